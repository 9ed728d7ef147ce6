"""Colocation against an atmosphere known in closed form, at the scene's time, place, elevation."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from rasterio.shutil import copy

from atmorep_bridge.air.colocate import ALTITUDES, Colocated, colocate
from atmorep_bridge.air.columns import half_levels
from atmorep_bridge.air.footprint import Footprint, dem_elevation, places
from fakes.fields import (
    AOT,
    cams,
    ensemble,
    merra2,
    model_levels,
    old_style,
    pressure_at,
    pressure_levels,
    scene_at,
    sea_level,
    single_levels,
    weatherbench,
    write,
    write_atmorep,
    write_dem,
    write_packed,
)
from sifnet.errors import SifnetError

HOUR = 9 + 20 / 60
TIMES = tuple(f"2020-06-25T{hour:02d}" for hour in (9, 10))


def brought(*files: Path, elevation: float = 0.1, **place: object) -> Colocated:
    scene = scene_at(elevation=elevation, **place)  # type: ignore[arg-type]
    return colocate(files, Footprint.of(scene))


def _pressure_levels(folder: Path) -> list[Path]:
    return [write(pressure_levels(), folder / "pl.nc")]


def _with_surface(folder: Path) -> list[Path]:
    return [*_pressure_levels(folder), write(single_levels(), folder / "sfc.nc")]


def _model_137(folder: Path) -> list[Path]:
    return [write(model_levels(*half_levels(137)), folder / "ml.nc")]


def _model_60(folder: Path) -> list[Path]:
    return [write(model_levels(*half_levels(60)), folder / "ml.nc")]


def _packed(folder: Path) -> list[Path]:
    return [write_packed(old_style(pressure_levels()), folder / "old.nc")]


def _merra2(folder: Path) -> list[Path]:
    return [write(merra2(), folder / "merra2.nc")]


def _weatherbench(folder: Path) -> list[Path]:
    pytest.importorskip("zarr")
    return [write(weatherbench(pressure_levels(), single_levels()), folder / "wb2.zarr")]


def _atmorep(folder: Path) -> list[Path]:
    """Five levels of AtmoRep hung on ERA5's ground."""
    pytest.importorskip("zarr")
    store = write_atmorep(folder / "pred.zarr", *half_levels(137))
    return [store, write(single_levels(), folder / "sfc.nc")]


SOURCES: list[tuple[Callable[[Path], list[Path]], float]] = [  # and tolerance, hPa
    (_pressure_levels, 0.02),
    (_with_surface, 0.02),
    (_model_137, 0.03),
    (_model_60, 0.03),
    (_packed, 0.05),
    (_merra2, 0.05),
    (_weatherbench, 0.02),
    (_atmorep, 0.6),
]


@pytest.mark.parametrize(("make", "tolerance"), SOURCES)
def test_pressure_at_the_scene(
    make: Callable[[Path], list[Path]], tolerance: float, tmp_path: Path
) -> None:
    """Off the grid, between the hours, above and below the model's ground."""
    files = make(tmp_path)
    for elevation in (0.0, 0.1, 0.6):
        found = brought(*files, elevation=elevation)
        truth = pressure_at(elevation, 51.1, 6.4, HOUR)
        at_scene = float(found.values["surface_pressure"].mean())
        assert at_scene == pytest.approx(float(truth), abs=tolerance), elevation
    table = found.values["pressure"].mean("point")
    low = ALTITUDES <= 3
    known = pressure_at(ALTITUDES[low], 51.1, 6.4, HOUR)
    np.testing.assert_allclose(table[low], known, atol=2 * tolerance)


def test_levels_may_carry_their_own_pressure(tmp_path: Path) -> None:
    """MERRA-2 on its 72 model levels: PL beside T, no coefficients."""
    a, b = half_levels(137)
    data = model_levels(a, b)
    surface = np.exp(data["lnsp"].isel(level=0, drop=True)).rename("PS")
    a, b = (xr.DataArray((x[1:] + x[:-1]) / 2, dims="level") for x in (a, b))
    chosen = np.unique(np.linspace(0, 136, 72).round().astype(int))
    merra = xr.Dataset(
        {
            "T": data["t"],
            "QV": data["q"],
            "PL": (a * 100 + b * surface).transpose(*data["t"].dims).assign_attrs(units="Pa"),
            "PS": surface.assign_attrs(units="Pa"),
            "PHIS": data["z"].isel(level=0, drop=True).assign_attrs(units="m+2 s-2"),
        }
    ).isel(level=chosen)
    merra = merra.assign_coords(level=np.arange(1.0, 73)).rename(
        level="lev", latitude="lat", longitude="lon"
    )
    found = brought(write(merra, tmp_path / "nv.nc"), elevation=0.3)
    at_scene = float(found.values["surface_pressure"][0])
    assert at_scene == pytest.approx(float(pressure_at(0.3, 51.1, 6.4, HOUR)), abs=0.03)


def test_damage_is_found_where_it_is_read(tmp_path: Path) -> None:
    file = tmp_path / "pl.nc"
    encoding = {name: {"zlib": True, "chunksizes": (1, 37, 9, 13)} for name in "tqz"}
    pressure_levels().to_netcdf(file, engine="h5netcdf", encoding=encoding)
    content = bytearray(file.read_bytes())
    middle = slice(len(content) // 3, 2 * len(content) // 3)
    content[middle] = bytes(len(content[middle]))
    file.write_bytes(bytes(content))
    with pytest.raises(SifnetError, match=r"pl\.nc: the file is damaged: .*Download it again"):
        brought(file)


def test_averaging_over_terrain_first_would_be_wrong(tmp_path: Path) -> None:
    """What moving every corner to the scene's elevation before averaging is good for."""
    surface = single_levels()
    sp = surface["sp"].interp(latitude=51.1, longitude=6.4, valid_time=np.datetime64(
        "2020-06-25T09:20", "ns"))  # fmt: skip
    assert abs(float(sp) / 100 - pressure_at(0.1, 51.1, 6.4, HOUR)) > 5
    found = brought(*_model_137(tmp_path), elevation=0.1)
    assert float(found.values["surface_pressure"][0]) == pytest.approx(
        pressure_at(0.1, 51.1, 6.4, HOUR), abs=0.03
    )


@pytest.mark.parametrize("east", [179.95, -179.95, 0.05, -0.05])
@pytest.mark.parametrize("counted", ["0 to 360", "-180 to 180"])
def test_scenes_at_the_seams_of_longitude(east: float, counted: str, tmp_path: Path) -> None:
    around = round(east) + np.arange(-1, 1.01, 0.25)
    longitude = around % 360 if counted == "0 to 360" else (around + 180) % 360 - 180
    known = pressure_levels(longitudes=6.5 + np.arange(-1, 1.01, 0.25))
    file = write(known.assign_coords(longitude=longitude).sortby("longitude"), tmp_path / "pl.nc")
    found = brought(file, longitude=east)
    truth = pressure_at(0.1, 51.1, 6.5 + east - round(east), HOUR)
    at_scene = float(found.values["surface_pressure"][0])
    assert at_scene == pytest.approx(float(truth), abs=0.02)


def test_a_line_knows_the_pressure_along_its_track(tmp_path: Path) -> None:
    track = np.linspace(50.4, 51.6, 6)
    scene = scene_at(("line", track), ("line", np.full(6, 6.4)))
    footprint = Footprint.of(scene)
    found = colocate(_pressure_levels(tmp_path), footprint).values["surface_pressure"]
    np.testing.assert_allclose(found, pressure_at(0.1, footprint.latitude, 6.4, HOUR), atol=0.02)


def test_a_day_of_a_tower_knows_the_pressure_at_each_time(tmp_path: Path) -> None:
    times = np.datetime64("2020-06-25T09:05", "ns") + np.arange(6) * np.timedelta64(10, "m")
    footprint = Footprint.of(scene_at(times=("line", times)))
    found = colocate(_pressure_levels(tmp_path), footprint).values["surface_pressure"]
    hours = 9 + (5 + 10 * np.arange(6)) / 60
    np.testing.assert_allclose(found, pressure_at(0.1, 51.1, 6.4, hours), atol=0.02)


def test_aerosol_comes_from_its_own_grid(tmp_path: Path) -> None:
    files = [*_pressure_levels(tmp_path), write(cams(), tmp_path / "cams.nc")]
    found = brought(*files)
    assert float(found.values["aot_550"][0]) == pytest.approx(AOT)
    assert found.products == ["ERA5", "CAMS"]
    assert "aot_550" not in brought(*_pressure_levels(tmp_path)).values


def test_the_first_file_that_has_a_quantity_gives_it(tmp_path: Path) -> None:
    doubled = cams().assign(aod550=lambda d: (2 * d["aod550"]).assign_attrs(units="~"))
    doubled = doubled.assign_coords(longitude=doubled["longitude"] + 0.1)
    files = [write(doubled, tmp_path / "one.nc"), write(cams(), tmp_path / "other.nc")]
    found = brought(*_pressure_levels(tmp_path), *files)
    assert float(found.values["aot_550"][0]) == pytest.approx(2 * AOT)


def test_members_are_kept(tmp_path: Path) -> None:
    found = brought(write(ensemble(0.5), tmp_path / "eda.nc")).values["surface_pressure"]
    assert found.sizes["member"] == 10
    assert float(found.std("member", ddof=1)[0]) == pytest.approx(0.5, rel=0.03)


def test_the_ends_of_the_day_are_served_for_an_hour(tmp_path: Path) -> None:
    late = brought(*_pressure_levels(tmp_path), time="2020-06-25T10:40:00")
    assert late.beyond == pytest.approx(2 / 3)
    assert late.gap == 0
    assert float(late.values["surface_pressure"][0]) == pytest.approx(
        float(pressure_at(0.1, 51.1, 6.4, 10)), abs=0.02
    )


def test_another_time_states_both_ranges(tmp_path: Path) -> None:
    files = _pressure_levels(tmp_path)
    message = (
        "another time than the scene: found fields of 2020-06-25 09:00 to 2020-06-25 10:00 UTC; "
        "scene of 2020-07-26 09:20 UTC"
    )
    with pytest.raises(SifnetError, match=message):
        brought(*files, time="2020-07-26T09:20:00")


def test_days_around_a_missing_one_are_not_bridged(tmp_path: Path) -> None:
    times = ("2020-06-24T23", "2020-06-26T00")
    file = write(pressure_levels(times), tmp_path / "pl.nc")
    with pytest.raises(SifnetError, match="expected analyses at most 6 hours apart"):
        brought(file)


def test_another_place_states_both_ranges(tmp_path: Path) -> None:
    message = (
        "the scene lies outside the fields: found fields of latitude 50 to 52, longitude 5 to 8; "
        "scene at latitude 53.5, longitude 6.4"
    )
    with pytest.raises(SifnetError, match=message):
        brought(*_pressure_levels(tmp_path), latitude=53.5)


def test_aerosol_of_another_day_is_not_left_out_in_silence(tmp_path: Path) -> None:
    other = write(cams(("2020-06-27T09", "2020-06-27T10")), tmp_path / "cams.nc")
    with pytest.raises(SifnetError, match=r"cams\.nc: the fields are of another time"):
        brought(*_pressure_levels(tmp_path), other)


@pytest.mark.parametrize(
    ("files", "lacking"),
    [
        ({"pl": ["t", "z"]}, "specific_humidity .ERA5 hourly data on pressure levels"),
        ({"pl": ["q", "z"]}, "temperature .ERA5 hourly data on pressure levels"),
        ({"pl": ["q", "t"]}, "height .ERA5 hourly data on pressure levels: geopotential"),
        ({"pl": ["q", "t"], "sfc": ["sp"]}, "surface_height .ERA5 .*single levels: geopotential"),
        ({"sfc": ["sp", "z"]}, "temperature .*; specific_humidity"),
        ({"cams": ["aod550"]}, "temperature .*; specific_humidity .*; height"),
    ],
)
def test_what_is_missing_is_said_with_its_download(
    files: dict[str, list[str]], lacking: str, tmp_path: Path
) -> None:
    make = {"pl": pressure_levels, "sfc": single_levels, "cams": cams}
    paths = [write(make[name]()[wanted], tmp_path / f"{name}.nc") for name, wanted in files.items()]
    with pytest.raises(SifnetError, match=f"Download, on the same grid: .*{lacking}"):
        brought(*paths)


def test_a_gap_over_the_scene_is_refused(tmp_path: Path) -> None:
    holes = cams().assign(aod550=lambda d: d["aod550"].where(d["latitude"] > 51.5)
                          .assign_attrs(units="~"))  # fmt: skip
    with pytest.raises(SifnetError, match="aot_550 has no number over the scene"):
        brought(*_pressure_levels(tmp_path), write(holes, tmp_path / "cams.nc"))


def test_a_profile_with_gaps_is_refused(tmp_path: Path) -> None:
    data = pressure_levels()
    data["t"] = data["t"].where(data["pressure_level"] != 700)
    with pytest.raises(SifnetError, match=r"gaps above the ground: found no number at 700\.0 hPa"):
        brought(write(data, tmp_path / "pl.nc"))


# The scene's own side: place and elevation.


def test_an_assumed_elevation_is_refused() -> None:
    scene = scene_at(elevation=0.0, notes=["ground elevation 0 km: nothing says it"])
    with pytest.raises(SifnetError, match="Give --elevation DEM.tif or --elevation METRES"):
        Footprint.of(scene)
    assert Footprint.of(scene, "120").elevation == pytest.approx(0.12)
    assert Footprint.of(scene, 120.0).elevation == pytest.approx(0.12)


@pytest.mark.parametrize("metres", ["12000", "-900"])
def test_an_impossible_elevation_is_refused(metres: str) -> None:
    with pytest.raises(SifnetError, match="the elevation in metres is impossible"):
        Footprint.of(scene_at(), metres)


def test_a_scene_without_a_place_is_refused() -> None:
    with pytest.raises(SifnetError, match="the place of the scene is not known"):
        Footprint.of(scene_at(None, None))


def rectified() -> object:
    """10 m pixels in UTM 32, near Juelich."""
    return scene_at(None, None, lines=40, samples=30, crs="EPSG:32632",
                    transform=[10.0, 0.0, 310000.0, 0.0, -10.0, 5650000.0])  # fmt: skip


def test_a_map_has_a_place_for_every_pixel() -> None:
    latitude, longitude = places(rectified())  # type: ignore[arg-type]
    assert latitude.dims == ("line", "sample")
    np.testing.assert_allclose(latitude[[0, -1], 0], [50.9702, 50.9667], atol=1e-4)
    assert float(longitude[0, -1] - longitude[0, 0]) == pytest.approx(290 / 70_100, rel=0.02)


@pytest.mark.parametrize("crs", ["EPSG:4326", "EPSG:32632"])
def test_a_dem_gives_every_pixel_its_elevation(crs: str, tmp_path: Path) -> None:
    """A plane is reproduced exactly by bilinear interpolation, in any projection of the DEM."""
    scene = rectified()
    latitude, longitude = places(scene)  # type: ignore[arg-type]
    if crs == "EPSG:4326":
        west, north, step, size = 6.28, 50.98, 1e-4, (300, 400)
        x, y = longitude.values, latitude.values
    else:
        west, north, step, size = 309900.0, 5650100.0, 10.0, (60, 60)
        row, column = np.mgrid[:40, :30]
        x, y = 310005.0 + 10 * column, 5649995.0 - 10 * row
    rows, columns = np.mgrid[: size[0], : size[1]] + 0.5
    plane = 100 + 0.5 * columns + 0.25 * rows
    dem = write_dem(tmp_path / "dem.tif", plane, west, north, step, crs)
    expected = 100 + 0.5 * (x - west) / step + 0.25 * (north - y) / step
    found = dem_elevation(dem, latitude, longitude)
    assert found.dims == ("line", "sample")
    np.testing.assert_allclose(found * 1e3, expected, atol=0.01)
    footprint = Footprint.of(scene, dem)  # type: ignore[arg-type]
    assert footprint.relief is not None
    assert footprint.elevation == pytest.approx(expected.mean() / 1e3, abs=1e-5)
    assert footprint.source == "DEM dem.tif"


def test_a_dem_that_does_not_suit_is_refused(tmp_path: Path) -> None:
    scene = rectified()
    flat = np.full((50, 50), 100.0)
    elsewhere = write_dem(tmp_path / "elsewhere.tif", flat, 8.0, 48.0, 1e-3)
    with pytest.raises(SifnetError, match=r"found latitude 47\.95.* to 48.*expected the scene ins"):
        Footprint.of(scene, elsewhere)  # type: ignore[arg-type]
    holes = write_dem(tmp_path / "holes.tif", np.full((400, 400), -9999.0), 6.27, 50.98, 1e-4)
    with pytest.raises(SifnetError, match="found none m, 1200 of 1200 without a number"):
        Footprint.of(scene, holes)  # type: ignore[arg-type]
    (tmp_path / "text.tif").write_text("no image")
    for file in ("text.tif", "absent.tif"):
        with pytest.raises(SifnetError, match="the elevation model cannot be used"):
            Footprint.of(scene, tmp_path / file)  # type: ignore[arg-type]


def test_fields_over_the_whole_globe_are_read_around_the_scene_only(tmp_path: Path) -> None:
    """Two degrees apart: what is loaded is the box of four corners."""
    from atmorep_bridge.air.box import load_box
    from atmorep_bridge.fields.opening import open_fields

    data = pressure_levels(latitudes=np.arange(-90, 91, 10.0), longitudes=np.arange(0, 360, 10.0))
    fields = open_fields([write(data, tmp_path / "globe.nc")])[0]
    for east in (-3.0, 179.0, 6.4):
        box = load_box(fields, Footprint.of(scene_at(longitude=east)))
        assert dict(box.sizes) == {"time": 2, "level": 37, "latitude": 2, "longitude": 2}
        assert isinstance(box["temperature"].data, np.ndarray)
    assert float(sea_level(51.0, 6.5, 9.5)[0]) == 1010.0
    assert isinstance(fields, xr.Dataset)


def test_a_dem_serves_a_scene_of_a_single_place(tmp_path: Path) -> None:
    dem = write_dem(tmp_path / "dem.tif", np.full((30, 30), 335.0), 6.9, 50.7, 0.01)
    single = (xr.DataArray(50.62), xr.DataArray(6.99))
    assert float(dem_elevation(dem, *single)) == pytest.approx(0.335)


def test_a_dem_that_only_names_another_is_refused(tmp_path: Path) -> None:
    dem = write_dem(tmp_path / "dem.tif", np.full((30, 30), 335.0), 6.9, 50.7, 0.01)
    copy(dem, str(tmp_path / "other.tif"), driver="VRT")
    with pytest.raises(SifnetError, match="the elevation model cannot be used"):
        dem_elevation(tmp_path / "other.tif", xr.DataArray(50.62), xr.DataArray(6.99))
