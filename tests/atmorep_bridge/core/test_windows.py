"""Regions: what is read, what is refused, and the globe's seam."""

from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from atmorep_bridge.core.samples import refuse_small
from atmorep_bridge.core.specs import FieldSpec, Setup
from atmorep_bridge.core.windows import open_region
from sifnet.errors import SifnetError

T2M = (FieldSpec("temperature_2m", patch=(2, 4, 4)),)


def small(longitude: np.ndarray, hours: int = 4, name: str = "t2m") -> xr.Dataset:
    times = np.datetime64("2020-06-20T00", "ns") + np.arange(hours) * np.timedelta64(1, "h")
    latitude = np.array([51.0, 50.75, 50.5])
    t, y, x = np.meshgrid(np.arange(hours), latitude, longitude % 360, indexing="ij")
    values = (250 + t + y / 100 + x / 10).astype("f4")  # tells its own place
    data = xr.Dataset({name: (("time", "latitude", "longitude"), values, {"units": "K"})})
    return data.assign_coords(time=times, latitude=latitude, longitude=longitude)


def stored(data: xr.Dataset, folder: Path, name: str = "era5.nc") -> Path:
    data.to_netcdf(folder / name, engine="h5netcdf")
    return folder / name


def curvilinear(data: xr.Dataset) -> xr.Dataset:
    flat = data.rename_dims(latitude="y", longitude="x").drop_vars(["latitude", "longitude"])
    place = ("y", "x"), np.ones((3, data.sizes["longitude"]))
    return flat.assign_coords(latitude=place, longitude=place)


def test_axes_ascend_and_units_are_ours(tmp_path: Path) -> None:
    data = small(np.arange(5.0, 6.0, 0.25))
    data["sp"] = (data["t2m"] * 0 + 1e5).assign_attrs(units="Pa")
    specs = (*T2M, FieldSpec("surface_pressure", patch=(2, 1, 1)))
    region = open_region([stored(data, tmp_path)], specs)
    assert (np.diff(region.latitude) > 0).all()
    assert (region.grid.step, region.hours) == ((0.25, 0.25), 1)
    assert (region.wraps, region.level_kind) == (False, "")
    window = region.window(slice(1, 3), (np.arange(3), np.arange(1, 3)))
    assert window["surface_pressure"].shape == (1, 2, 3, 2)
    np.testing.assert_allclose(window["surface_pressure"], 1000.0)
    expected = 250 + 1 + 50.5 / 100 + 5.25 / 10
    np.testing.assert_allclose(window["temperature_2m"][0, 0, 0, 0], expected, rtol=1e-6)


def test_a_window_goes_on_across_180_degrees_of_a_globe(tmp_path: Path) -> None:
    region = open_region([stored(small(np.arange(0.0, 360.0, 15.0)), tmp_path)], T2M)
    assert region.wraps
    last = region.longitude.size - 1
    row = region.window(slice(1), region.grid.window((0, last), (1, 3)))["temperature_2m"][0, 0, 0]
    np.testing.assert_allclose((row - 250 - 50.5 / 100) * 10, [165, 180, 195], atol=0.01)


def test_a_region_across_180_degrees_has_no_jump(tmp_path: Path) -> None:
    there = (np.arange(178.0, 182.1, 0.25) + 180) % 360 - 180
    region = open_region([stored(small(there), tmp_path)], T2M)
    np.testing.assert_allclose(np.diff(region.longitude), 0.25)
    row = region.everything()["temperature_2m"][0, 0, 0]
    np.testing.assert_allclose((row - 250 - 50.5 / 100) * 10, region.longitude, atol=0.01)


def test_only_the_chunks_of_a_window_are_read(tmp_path: Path) -> None:
    """All other chunks are damaged: whoever reads them fails."""
    data = small(np.arange(0.0, 8.0, 0.25), hours=8)
    chunks = {"t2m": {"chunks": (2, 3, 8)}}
    data.to_zarr(tmp_path / "era5.zarr", encoding=chunks, consolidated=False)
    kept = tmp_path / "era5.zarr" / "t2m" / "c" / "1" / "0" / "2"
    assert kept.exists()
    for chunk in (tmp_path / "era5.zarr" / "t2m" / "c").rglob("*"):
        if chunk.is_file() and chunk != kept:
            chunk.write_bytes(b"damaged")
    region = open_region([tmp_path / "era5.zarr"], T2M)
    place = np.arange(3), np.arange(16, 24)
    window = region.window(slice(2, 4), place)["temperature_2m"]
    np.testing.assert_allclose(window[0, 0, 0], 252 + 50.5 / 100 + np.arange(4, 6, 0.25) / 10)
    with pytest.raises(SifnetError, match="damaged"):
        region.window(slice(2), place)


def test_files_of_several_times_and_fields_are_one_region(tmp_path: Path) -> None:
    whole = small(np.arange(5.0, 6.0, 0.25), hours=6)
    pressure = (whole.rename(t2m="sp") * 0 + 1000)["sp"].assign_attrs(units="hPa").to_dataset()
    paths = [stored(whole.isel(time=slice(3, 6)), tmp_path, "b.nc"),
             stored(whole.isel(time=slice(0, 3)), tmp_path, "a.nc"),
             stored(pressure.isel(time=slice(1, 6)), tmp_path, "sp.nc")]  # fmt: skip
    region = open_region(paths, (*T2M, FieldSpec("surface_pressure", patch=(2, 1, 1))))
    assert region.times.size == 5
    assert region.starts(5).tolist() == [0]
    with pytest.raises(SifnetError, match="twice"):
        open_region([paths[0], paths[0]], T2M)


def test_model_and_pressure_levels(tmp_path: Path) -> None:
    data = small(np.arange(5.0, 6.0, 0.25), name="q").rename(q="plain")
    levels = xr.DataArray([105, 123, 137], dims="level", name="level")
    data["q"] = (data["plain"] * 0 + levels / 1e5).assign_attrs(units="kg kg**-1")
    data = data.drop_vars("plain").assign_coords(level=levels.assign_attrs(
        long_name="model_level_number"))  # fmt: skip
    path = stored(data, tmp_path)
    region = open_region([path], (FieldSpec("specific_humidity", (105, 137), (2, 1, 1)),))
    assert region.level_kind == "model"
    values = region.everything()["specific_humidity"]
    np.testing.assert_allclose(values[:, 0, 0, 0], [105e-5, 137e-5], rtol=1e-6)
    with pytest.raises(SifnetError, match="specific_humidity: levels do not suit"):
        open_region([path], (FieldSpec("specific_humidity", (96, 137), (2, 1, 1)),))


def test_holes_in_time_are_not_stepped_over(tmp_path: Path) -> None:
    data = small(np.arange(5.0, 6.0, 0.25), hours=9).isel(time=[0, 1, 2, 5, 6, 7, 8])
    region = open_region([stored(data, tmp_path)], T2M)
    assert region.starts(3).tolist() == [0, 3, 4]


def test_split_leaves_a_gap(tmp_path: Path) -> None:
    region = open_region([stored(small(np.arange(5.0, 6.0, 0.25), hours=20), tmp_path)], T2M)
    train, test = region.split(np.datetime64("2020-06-20T12"), 4)
    assert str(train.times[-1])[:13] == "2020-06-20T07"
    assert str(test.times[0])[:13] == "2020-06-20T12"
    assert test.times.size == 8


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda d: d.rename(t2m="cloud"), "field of the model is missing"),
        (lambda d: d.isel(longitude=[0, 1, 3]), "grid is not even: longitude"),
        (lambda d: d.isel(time=[0]), "times cannot be used"),
        (lambda d: d.assign(t2m=d["t2m"].assign_attrs(units="F")), "unit of t2m"),
        (lambda d: d.isel(time=0, drop=True), r"t2m \(temperature_2m\) has no time"),
        (lambda d: d.rename(latitude="y"), "not on a grid"),
        (lambda d: curvilinear(d), "cdo remapbil"),
    ],
)
def test_unusable_files_are_refused(tmp_path: Path, change: object, said: str) -> None:
    data = change(small(np.arange(5.0, 6.0, 0.25)))  # type: ignore[operator]
    with pytest.raises(SifnetError, match=said):
        open_region([stored(data, tmp_path)], T2M)


def test_files_of_different_grids_are_refused(tmp_path: Path) -> None:
    one = stored(small(np.arange(5.0, 6.0, 0.25)), tmp_path, "a.nc")
    other = small(np.arange(7.0, 8.0, 0.25)).rename(t2m="sp")
    other["sp"].attrs["units"] = "hPa"
    specs = (*T2M, FieldSpec("surface_pressure", patch=(2, 1, 1)))
    with pytest.raises(SifnetError, match="surface_pressure is never where the first field"):
        open_region([one, stored(other, tmp_path, "b.nc")], specs)
    later = small(np.arange(7.0, 8.0, 0.25))
    later["time"] = later["time"] + np.timedelta64(1, "D")
    with pytest.raises(SifnetError, match="different grids"):
        open_region([one, stored(later, tmp_path, "c.nc")], T2M)


def test_regions_below_a_window_are_refused(tmp_path: Path) -> None:
    region = open_region([stored(small(np.arange(5.0, 6.0, 0.25)), tmp_path)], T2M)
    with pytest.raises(SifnetError, match="smaller than the model's neighbourhood"):
        refuse_small(region, Setup(T2M, (4, 8, 8)))
    with pytest.raises(SifnetError, match="too few time steps"):
        refuse_small(region, Setup((FieldSpec("temperature_2m", patch=(2, 1, 1)),), (6, 3, 4)))


def test_ensembles_and_levels_of_several_kinds_are_refused(tmp_path: Path) -> None:
    data = small(np.arange(5.0, 6.0, 0.25))
    members = data.expand_dims(number=[0, 1])
    with pytest.raises(SifnetError, match="the fields are an ensemble: found 2 members"):
        open_region([stored(members, tmp_path, "members.nc")], T2M)
    levels = xr.DataArray([500.0, 850.0], dims="level", name="level")
    upper = xr.Dataset(
        {
            "q": (data["t2m"] * 0 + levels / 1e5).assign_attrs(units="kg kg**-1"),
            "t": (data["t2m"] + 0 * levels).assign_attrs(units="K"),
        }
    ).assign_coords(level=levels.assign_attrs(units="hPa"))
    specs = [FieldSpec("specific_humidity", (500,)), FieldSpec("temperature", (850,))]
    with pytest.raises(SifnetError, match="fields of one model are on different levels"):
        open_region([stored(upper, tmp_path, "upper.nc")], specs)


def test_files_of_single_levels_are_one_region(tmp_path: Path) -> None:
    data = small(np.arange(5.0, 6.0, 0.25), name="q")
    paths = [
        stored((data * 0 + level / 1e5).assign(q=lambda d: d["q"].assign_attrs(units="1"))
               .expand_dims(pressure_level=[level]), tmp_path, f"{level}.nc")
        for level in (850.0, 500.0)
    ]  # fmt: skip
    region = open_region(paths, (FieldSpec("specific_humidity", (500, 850), (2, 1, 1)),))
    assert region.level_kind == "pressure"
    values = region.everything()["specific_humidity"]
    np.testing.assert_allclose(values[:, 0, 0, 0], [500e-5, 850e-5], rtol=1e-6)
