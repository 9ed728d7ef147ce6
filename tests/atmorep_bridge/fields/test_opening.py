"""Every layout of every service says the same atmosphere; what cannot be true is refused."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from atmorep_bridge.air.checks import check_values
from atmorep_bridge.air.columns import half_levels
from atmorep_bridge.fields.formats import open_raw
from atmorep_bridge.fields.opening import open_fields, open_series, plain_units
from fakes import grids
from fakes.fields import (
    AOT,
    LATITUDES,
    LONGITUDES,
    TIMES,
    cams,
    ensemble,
    height_at,
    humidity_at,
    merra2,
    model_levels,
    old_style,
    pressure_levels,
    single_levels,
    temperature_at,
    weatherbench,
    write,
    write_atmorep,
    write_grib,
    write_packed,
)
from sifnet.errors import SifnetError

NAMES = {"valid_time": "time", "pressure_level": "level"}


def opened(*paths: Path) -> xr.Dataset:
    grids = open_fields(paths)
    assert len(grids) == 1
    return grids[0]


def _new(folder: Path) -> list[Path]:
    return [write(pressure_levels(), folder / "era5.nc")]


def _old(folder: Path) -> list[Path]:
    return [write_packed(old_style(pressure_levels()), folder / "era5.nc")]


def _parts(folder: Path) -> list[Path]:
    """One file a variable and hour."""
    whole = pressure_levels()
    return [
        write(whole[[name]].isel(valid_time=[i]), folder / f"{name}{i}.nc")
        for name in ("z", "t", "q")
        for i in (1, 0)
    ]


def _preliminary(folder: Path) -> list[Path]:
    """ERA5 and its preliminary months in one old file: each is NaN where the other is not."""
    whole = old_style(pressure_levels())
    final, early = whole.where(whole["time"] == whole["time"][0]), whole.where(
        whole["time"] == whole["time"][1])  # fmt: skip
    both = xr.concat([final, early], xr.DataArray([1, 5], dims="expver", name="expver"))
    return [write(both.transpose("time", "expver", ...), folder / "era5t.nc")]


def _grib(folder: Path) -> list[Path]:
    pytest.importorskip("cfgrib")
    return [write_grib(pressure_levels(), folder / "era5.grib")]


def _weatherbench(folder: Path) -> list[Path]:
    pytest.importorskip("zarr")
    return [write(weatherbench(pressure_levels(), single_levels()), folder / "wb2.zarr")]


LAYOUTS: dict[str, Callable[[Path], list[Path]]] = {
    "cds": _new, "old cds, packed": _old, "a file a field": _parts, "with expver": _preliminary,
    "grib": _grib, "weatherbench": _weatherbench,
}  # fmt: skip


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts_on_pressure_levels_say_the_same(layout: str, tmp_path: Path) -> None:
    fields = opened(*LAYOUTS[layout](tmp_path))
    assert fields.attrs["level_kind"] == "pressure"
    np.testing.assert_allclose(fields["latitude"], LATITUDES)
    np.testing.assert_allclose(fields["longitude"], LONGITUDES)
    np.testing.assert_array_equal(fields["time"], np.array(TIMES, "datetime64[ns]"))
    p, h = fields["level"], xr.DataArray([9.0, 10.0], dims="time")
    assert float(p[0]) == 1.0
    assert float(p[-1]) == 1000.0
    place = (fields["latitude"], fields["longitude"], h)
    order = ("time", "level", "latitude", "longitude")
    expected = {
        "temperature": (temperature_at(*xr.broadcast(p, *place)), 2e-3, order),
        "specific_humidity": (humidity_at(p), 1e-6, ("level",)),
        "height": (height_at(*xr.broadcast(p, *place)), 2e-3, order),
    }
    axes = xr.broadcast(p, *place)[0].dims
    for name, (values, tolerance, dims) in expected.items():
        assert fields[name].dims == order
        known = xr.DataArray(values, dims=axes if len(dims) > 1 else dims)
        error = fields[name].drop_vars(list(fields.coords)) - known.drop_vars(
            list(known.coords))  # fmt: skip
        assert float(abs(error).max()) < tolerance, name
    check_values(fields.load())


def test_nothing_is_read_before_it_is_asked_for(tmp_path: Path) -> None:
    for grid in open_fields([*_new(tmp_path), write(cams(), tmp_path / "cams.nc")]):
        assert all(values.chunks is not None for values in grid.data_vars.values())


@pytest.mark.parametrize("levels", [60, 137])
def test_model_levels_with_lnsp(levels: int, tmp_path: Path) -> None:
    """lnsp and surface geopotential stand at level 1 and are NaN below, as the CDS delivers."""
    data = model_levels(*half_levels(levels))
    fields = opened(write(data, tmp_path / "ml.nc"))
    assert fields.attrs["level_kind"] == "model"
    surface = opened(write(single_levels(), tmp_path / "sfc.nc"))
    for name in ("surface_pressure", "surface_height"):
        np.testing.assert_allclose(fields[name], surface[name], rtol=1e-6)
        assert "level" not in fields[name].dims
    assert fields.sizes["level"] == levels
    check_values(fields.load())


def test_merra2_with_nan_under_ground(tmp_path: Path) -> None:
    fields = opened(write(merra2(), tmp_path / "merra2.nc4"))
    assert fields.attrs["product"] == "MERRA-2"
    assert fields["temperature"].isnull().any()
    assert set(fields.data_vars) >= {"height", "surface_pressure", "surface_height", "aot_550"}
    check_values(fields.load())


@pytest.mark.parametrize("forecast", [False, True])
def test_cams_aerosol_of_analysis_and_forecast(forecast: bool, tmp_path: Path) -> None:
    """Of two forecasts for one hour the one started later counts."""
    fields = opened(write(cams(forecast=forecast), tmp_path / "cams.nc"))
    assert fields.attrs["product"] == "CAMS"
    assert fields["time"].values[-1] == np.datetime64(TIMES[1])
    latest = fields["aot_550"].sel(time=list(TIMES))
    np.testing.assert_allclose(latest, AOT)


@pytest.mark.parametrize("kind", ["folder", "zip"])
def test_atmorep_forecasts_are_fields_of_model_levels(kind: str, tmp_path: Path) -> None:
    zarr = pytest.importorskip("zarr")
    store = tmp_path / "results_pred.zarr"
    root = store if kind == "folder" else zarr.storage.ZipStore(store, mode="w")
    write_atmorep(root, *half_levels(137))
    if kind == "zip":
        root.close()
    fields = opened(store)
    assert fields.attrs["product"] == "AtmoRep"
    assert fields["level"].values.tolist() == [96, 105, 114, 123, 137]
    assert set(fields.data_vars) == {"temperature", "specific_humidity"}


def test_atmorep_tokens_are_no_fields(tmp_path: Path) -> None:
    pytest.importorskip("zarr")
    store = write_atmorep(tmp_path / "tokens.zarr", *half_levels(137), tokens=True)
    with pytest.raises(SifnetError, match="these are tokens of AtmoRep, not fields"):
        open_fields([store])


def test_the_ground_may_be_downloaded_once(tmp_path: Path) -> None:
    """At any time, with the pressure of another."""
    once = single_levels(("2001-01-01T00",))[["z"]]
    files = [write(once, tmp_path / "z.nc"), write(single_levels()[["sp"]], tmp_path / "sp.nc")]
    fields = opened(*files)
    assert fields["surface_height"].dims == ("latitude", "longitude")
    np.testing.assert_array_equal(fields["time"], np.array(TIMES, "datetime64[ns]"))


def test_members_keep_their_dimension(tmp_path: Path) -> None:
    fields = opened(write(ensemble(0.5), tmp_path / "eda.nc"))
    assert fields["height"].sizes["member"] == 10


def test_different_grids_stay_apart(tmp_path: Path) -> None:
    files = [write(pressure_levels(), tmp_path / "era5.nc"), write(cams(), tmp_path / "cams.nc")]
    assert [grid.attrs["product"] for grid in open_fields(files)] == ["ERA5", "CAMS"]


@pytest.mark.parametrize(
    ("written", "plain"),
    [("kg kg**-1", "kg kg-1"), ("m**2 s**-2", "m2 s-2"), ("m+2 s-2", "m2 s-2"), (" Pa", "Pa")],
)
def test_units_are_written_in_many_ways(written: str, plain: str) -> None:
    assert plain_units(written) == plain


def _relabelled(name: str, **attributes: Any) -> Callable[[], xr.Dataset]:
    def change() -> xr.Dataset:
        data = pressure_levels() if name in ("t", "q", "z") else single_levels()
        data[name].attrs.update(attributes)
        return data

    return change


def _upside_down() -> xr.Dataset:
    data = pressure_levels()
    return data.assign_coords(pressure_level=data["pressure_level"].values[::-1])


def _model_upside_down() -> xr.Dataset:
    data = model_levels(*half_levels(137))
    flipped = data[["t", "q"]].isel(level=slice(None, None, -1))
    return data.assign({n: (data[n].dims, flipped[n].values) for n in ("t", "q")})


def _in_celsius() -> xr.Dataset:
    data = pressure_levels()
    return data.assign(t=(data["t"] - 273.15).assign_attrs(units="K"))


STRANGE: dict[str, tuple[Callable[[], xr.Dataset], str]] = {
    "Pa called hPa": (_relabelled("sp", units="hPa"), "surface_pressure is impossible"),
    "geopotential called height": (_relabelled("z", units="m"), "height is impossible"),
    "height called geopotential": (
        lambda: pressure_levels().assign(
            z=lambda d: (d["z"] / 9.80665).assign_attrs(units="m**2 s**-2")
        ),
        "heights do not fit their pressure levels",
    ),
    "surface geopotential called height": (
        lambda: single_levels().assign(z=lambda d: d["z"].assign_attrs(units="m")),
        "do not belong together",
    ),
    "levels upside down": (_upside_down, "levels are upside down"),
    "model levels upside down": (_model_upside_down, "levels are upside down"),
    "degrees Celsius called K": (_in_celsius, "temperature is impossible"),
}  # fmt: skip


@pytest.mark.parametrize("case", STRANGE)
def test_what_cannot_be_true_is_refused(case: str, tmp_path: Path) -> None:
    make, message = STRANGE[case]
    fields = opened(write(make(), tmp_path / "strange.nc"))
    with pytest.raises(SifnetError, match=message):
        check_values(fields.load())


def test_pressure_of_another_ground_is_refused(tmp_path: Path) -> None:
    data = single_levels()
    data["z"] = data["z"] + 20000.0  # 2 km
    fields = opened(write(data, tmp_path / "sfc.nc"))
    with pytest.raises(SifnetError, match="do not belong together: found pressures of 2.* km"):
        check_values(fields.load())


def test_an_unknown_unit_is_refused(tmp_path: Path) -> None:
    file = write(_relabelled("sp", units="inHg")(), tmp_path / "sp.nc")
    with pytest.raises(SifnetError, match="unit of sp .surface_pressure. is not understood"):
        open_fields([file])


def test_the_same_hour_twice_is_refused(tmp_path: Path) -> None:
    files = [write(pressure_levels(), tmp_path / f"{name}.nc") for name in "ab"]
    with pytest.raises(SifnetError, match="files hold the same fields twice"):
        open_fields(files)


def _no_grid(data: xr.Dataset) -> xr.Dataset:
    return data.rename(latitude="y", longitude="x")


def _exchanged(data: xr.Dataset) -> xr.Dataset:
    return data.assign_coords(latitude=data["latitude"] + 60)


def _no_level_numbers(data: xr.Dataset) -> xr.Dataset:
    return data.drop_vars("pressure_level")


def _odd_time(data: xr.Dataset) -> xr.Dataset:
    return data.assign_coords(valid_time=[1.0, 2.0])


def _no_time(data: xr.Dataset) -> xr.Dataset:
    return data.isel(valid_time=0, drop=True)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_no_grid, "not on a grid of latitude and longitude: no latitude"),
        (_exchanged, "latitudes are impossible"),
        (_no_level_numbers, "levels carry no numbers"),
        (_odd_time, "times cannot be understood"),
        (_no_time, "t .temperature. has no time"),
        (lambda data: data[["q"]].rename(q="u"), "nothing in these files is of use"),
    ],
)
def test_a_file_that_cannot_be_understood_is_refused(
    change: Callable[[xr.Dataset], xr.Dataset], message: str, tmp_path: Path
) -> None:
    file = write(change(pressure_levels()), tmp_path / "odd.nc")
    with pytest.raises(SifnetError, match=message):
        open_fields([file])


def _cut(path: Path, share: float) -> Path:
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    return path


@pytest.mark.parametrize("layout", ["cds", "old cds, packed", "grib"])
def test_a_cut_download_is_refused(layout: str, tmp_path: Path) -> None:
    file = _cut(LAYOUTS[layout](tmp_path)[0], 0.6)
    with pytest.raises(SifnetError, match="the file is damaged: .*Download it again"):
        for raw in open_raw(str(file)):
            raw.load()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("absent.nc", None, "no such file"),
        ("table.csv", b"time,sp\n", "this is no format of fields"),
        ("broken.nc", b"\x89HDF\r\n\x1a\nnothing more", "the file is damaged"),
        ("broken.grib", b"GRIB\x00\x00\x00\x09", "the file is damaged"),
        ("broken.zip", b"PK\x03\x04nothing", "the file is damaged"),
    ],
)
def test_what_is_no_file_of_fields_is_refused(
    name: str, content: bytes | None, message: str, tmp_path: Path
) -> None:
    if name.endswith("grib"):
        pytest.importorskip("cfgrib")
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(SifnetError, match=message):
        open_fields([tmp_path / name])


def test_an_empty_folder_is_no_zarr(tmp_path: Path) -> None:
    pytest.importorskip("zarr")
    with pytest.raises(SifnetError, match="the file is damaged"):
        open_fields([tmp_path])


def test_a_zip_says_what_to_do(tmp_path: Path) -> None:
    import zipfile

    with zipfile.ZipFile(tmp_path / "download.zip", "w") as file:
        file.writestr("data_sfc.nc", "")
    with pytest.raises(SifnetError, match="this is a zip file: found data_sfc.nc"):
        open_fields([tmp_path / "download.zip"])


def test_without_the_grib_extra_the_sentence_that_helps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.grib").write_bytes(b"GRIB")
    monkeypatch.setitem(__import__("sys").modules, "cfgrib", None)
    with pytest.raises(SifnetError, match=r"GRIB cannot be read here.*sifnet\[grib\]"):
        open_fields([tmp_path / "a.grib"])


def cells(layout: str, side: int = 2) -> xr.Dataset:
    """Pressure on HEALPix pixels, which tells its own place: 900 hPa and its latitude."""
    north, east = grids.healpix(side, "ring" if layout == "ring" else "nested")
    times = np.datetime64("2020-06-25", "ns") + np.arange(3) * np.timedelta64(1, "h")
    values = (900 + north + 0 * np.arange(3)[:, None]).astype("f4")
    data = xr.Dataset({"sp": (("time", "cell"), values, {"units": "hPa"})}, {"time": times})
    if layout == "list":
        return data.assign_coords(latitude=("cell", north), longitude=("cell", east % 360))
    about = {"grid_mapping_name": "healpix", "healpix_nside": side, "healpix_order": layout}
    if layout == "cf":
        about = {"grid_mapping_name": "healpix", "refinement_level": 1, "indexing_scheme": "nested"}
        pixels = np.arange(12 * side**2)[5:20]
        data = data.isel(cell=slice(5, 20)).rename(cell="i")
        data = data.assign_coords(pix=("i", pixels, {"standard_name": "healpix_index"}))
    return data.assign(crs=((), 0, about))


@pytest.mark.parametrize("layout", ["nest", "ring", "cf", "list"])
def test_pixels_are_where_their_grid_mapping_says(layout: str, tmp_path: Path) -> None:
    cells(layout).to_netcdf(tmp_path / "healpix.nc", engine="h5netcdf")
    found = open_series([tmp_path / "healpix.nc"], ["surface_pressure"])
    assert found["surface_pressure"].dims == ("time", "cell")
    np.testing.assert_allclose(found["surface_pressure"][1], 900 + found["latitude"], atol=1e-3)
    assert (np.abs(found["longitude"]) <= 180).all()
    with pytest.raises(SifnetError, match=r"without rows and columns: found .*cell of (48|15)"):
        open_fields([tmp_path / "healpix.nc"])


@pytest.mark.parametrize("layout", ["nuniq", "lost"])
def test_pixels_that_cannot_be_placed_are_refused(layout: str, tmp_path: Path) -> None:
    data = cells("nuniq") if layout == "nuniq" else cells("nest").isel(cell=slice(0, 7))
    data.to_netcdf(tmp_path / "healpix.nc", engine="h5netcdf")
    with pytest.raises(SifnetError, match=r"HEALPix pixels cannot be placed.* all 48 pixels"):
        open_series([tmp_path / "healpix.nc"], ["surface_pressure"])


def test_rows_of_reduced_gaussian_grib_are_roots_of_a_polynomial(tmp_path: Path) -> None:
    """The N32 grid of ecCodes, against numpy's Legendre polynomial of order 64."""
    pytest.importorskip("cfgrib")
    times = np.datetime64("2020-06-25", "ns") + np.arange(2) * np.timedelta64(1, "h")
    values = 280 + np.arange(6114) / 100 + np.arange(2)[:, None]
    path = grids.write_reduced_grib(values, times, tmp_path / "n32.grib")
    found = open_series([path], ["temperature_2m"])
    assert found["temperature_2m"].dims == ("time", "cell")
    np.testing.assert_allclose(found["temperature_2m"], values, atol=1e-3)
    roots = np.rad2deg(np.arcsin(np.polynomial.legendre.leggauss(64)[0]))
    np.testing.assert_allclose(np.unique(found["latitude"]), roots, atol=1e-4)
