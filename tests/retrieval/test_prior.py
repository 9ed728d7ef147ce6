"""The prior of the atmosphere: pressure follows every pixel's ground, a file's state is taken."""

from dataclasses import replace

import numpy as np
import pytest
import xarray as xr

from fakes.fields import scene_at
from sifnet.errors import SifnetError
from sifnet.retrieval.prior import atmosphere_prior, describe, on_terrain, usual_warmth
from sifnet.scenes.scene import Scene
from sifnet.units import standard_pressure

ELEVATION = np.linspace(0.0, 0.3, 30, dtype=np.float32).reshape(6, 5)
ALTITUDE = np.arange(-0.5, 9.01, 0.1)


def cold_air(**changed: object) -> xr.Dataset:
    """An isothermal table: scale height 7.5 km, as standard air has 8.4 km at the ground."""
    table = xr.DataArray(1020 * np.exp(-ALTITUDE / 7.5), {"altitude": ALTITUDE}, "altitude")
    given = xr.Dataset({"surface_pressure": 1020 * np.exp(-0.1 / 7.5), "surface_altitude": 0.1,
                        "surface_pressure_uncertainty": 1.2, "air_pressure": table})  # fmt: skip
    return given.assign(**changed)  # type: ignore[arg-type]


def pressure(given: xr.Dataset | None, elevation: np.ndarray = ELEVATION) -> np.ndarray:
    prior = atmosphere_prior(scene_at(elevation=0.1), elevation, given)
    return prior.mean.surface_pressure.numpy()


def test_without_a_file_pressure_is_standard() -> None:
    np.testing.assert_allclose(pressure(None), standard_pressure(ELEVATION), rtol=1e-6)


def test_a_table_gives_every_pixel_its_own_pressure() -> None:
    expected = 1020 * np.exp(-ELEVATION / 7.5)
    np.testing.assert_allclose(pressure(cold_air()), expected, atol=2e-3)


def test_a_pressure_belongs_to_its_stated_altitude_or_to_the_mean_ground() -> None:
    alone = cold_air().drop_vars(["air_pressure", "altitude"])
    for given, at in ((alone, 0.1), (alone.assign(surface_altitude=0.2), 0.2),
                      (alone.drop_vars("surface_altitude"), 0.1)):  # fmt: skip
        known = float(given["surface_pressure"])
        expected = known * standard_pressure(ELEVATION) / standard_pressure(at)
        np.testing.assert_allclose(pressure(given), expected, rtol=1e-6)


def test_aot_that_the_product_states_is_taken_unless_some_is_given() -> None:
    scene = scene_at(elevation=0.1)
    stating = Scene(scene.dataset.assign(aot_550=0.31))
    for source, given, mean, sd in (
        (scene, None, 0.15, 0.10),
        (stating, None, 0.31, 0.05 + 0.15 * 0.31),
        (stating, cold_air(aot_550=0.2, aot_550_uncertainty=0.09), 0.2, 0.09),
    ):
        prior = atmosphere_prior(source, ELEVATION, given)
        assert float(prior.mean.aot_550.mean()) == pytest.approx(mean)
        assert float(prior.sd.aot_550.mean()) == pytest.approx(sd)


@pytest.mark.parametrize(
    "table",
    [
        xr.DataArray([900.0, 1000.0], {"altitude": [0.0, 1.0]}, "altitude"),
        xr.DataArray([1000.0, 990.0], {"altitude": [0.0, 0.1]}, "altitude"),
        xr.DataArray([1000.0, np.nan], {"altitude": [0.0, 1.0]}, "altitude"),
        xr.DataArray([1e33, 9e32], {"altitude": [0.0, 1.0]}, "altitude"),
    ],
)
def test_a_table_that_cannot_be_used_is_refused(table: xr.DataArray) -> None:
    given = cold_air().drop_vars(["air_pressure", "altitude"]).assign(air_pressure=table)
    with pytest.raises(SifnetError, match="air_pressure cannot be used"):
        pressure(given)


@pytest.mark.parametrize(
    ("name", "value"),
    [("surface_pressure", 1e30), ("aot_550", -1.0), ("temperature_offset", "warm"),
     ("o2_scale", [1.0, 1.0]), ("surface_pressure_uncertainty", np.inf)],
)  # fmt: skip
def test_air_that_there_is_nowhere_is_refused(name: str, value: object) -> None:
    variable = ("x", value) if isinstance(value, list) else value
    with pytest.raises(SifnetError, match=f"{name.removesuffix('_uncertainty')} cannot be used"):
        pressure(cold_air(**{name: variable}))


def test_air_of_no_time_is_refused() -> None:
    for stated in ("yesterday", "NaT"):
        air = cold_air().assign_attrs(acquisition_time=stated)
        with pytest.raises(SifnetError, match="the atmosphere file is of another time"):
            on_terrain(scene_at(), air)


def test_the_ground_of_the_file_is_the_scene_s() -> None:
    scene = scene_at(elevation=0.0)
    ground = xr.DataArray(ELEVATION, dims=("line", "sample"))
    there = on_terrain(scene, cold_air(ground_elevation=ground)).dataset
    np.testing.assert_array_equal(there["ground_elevation"], ELEVATION)
    assert float(there["sensor_height"].mean()) == pytest.approx(0.6)
    np.testing.assert_allclose(there["sensor_height"] + there["ground_elevation"], 0.75)
    one = on_terrain(scene, cold_air(ground_elevation=0.25)).dataset
    assert float(one["ground_elevation"]) == 0.25
    assert float(one["sensor_height"]) == pytest.approx(0.6)
    assert one["sensor_height"].dims == ()


def test_a_scene_in_space_stays_there() -> None:
    scene = scene_at()
    far = replace(scene, dataset=scene.dataset.assign(sensor_height=np.inf))
    ground = xr.DataArray(ELEVATION, dims=("line", "sample"))
    assert np.isinf(on_terrain(far, cold_air(ground_elevation=ground)).dataset.sensor_height).all()


def test_without_ground_in_the_file_the_scene_is_left_alone() -> None:
    scene = scene_at()
    assert on_terrain(scene, None) is scene
    assert on_terrain(scene, cold_air()) is scene


def test_the_ground_of_another_scene_is_refused() -> None:
    ground = xr.DataArray(ELEVATION[:3], dims=("line", "sample"))
    with pytest.raises(SifnetError, match="the atmosphere file is of another scene"):
        on_terrain(scene_at(), cold_air(ground_elevation=ground))


def test_the_atmosphere_of_another_day_is_refused() -> None:
    given = cold_air().assign_attrs(acquisition_time="2020-06-25T06:00:00")
    assert on_terrain(scene_at(), given).dataset is not None
    given.attrs["acquisition_time"] = "2020-06-24T09:20:00"
    with pytest.raises(SifnetError, match="of another time: found 2020-06-24T09:20:00 UTC; the sc"):
        on_terrain(scene_at(), given)


def test_source_and_spread_are_told_in_one_line() -> None:
    given = cold_air(aot_550=0.2, aot_550_uncertainty=0.09).assign_attrs(source="ERA5 and CAMS")
    assert describe(given) == ("ERA5 and CAMS; surface_pressure 1006 ± 1.2 hPa; aot_550 0.2 ± 0.09")
    assert describe(xr.Dataset()) == "source not stated"


@pytest.mark.parametrize(
    ("name", "latitude", "day"),
    [("tropical", 5.0, "01-20"), ("midlatitude_summer", 45.0, "07-16"),
     ("midlatitude_winter", 45.0, "01-15"), ("midlatitude_summer", -45.0, "01-15"),
     ("subarctic_summer", 62.0, "07-16")],
)  # fmt: skip
def test_air_is_as_warm_as_latitude_and_season(name: str, latitude: float, day: str) -> None:
    """Against the profiles of Anderson et al. (1986) as joseki has them."""
    joseki = pytest.importorskip("joseki")
    from sifnet.physics.full.atmosphere import layers, standard_temperature

    air = layers(1013.0)
    profile = joseki.make(f"afgl_1986-{name}")
    height = np.log(profile.p.values[::-1] / 100)
    there = np.interp(np.log(air.pressure), height, profile.t.values[::-1])
    warmer = there - standard_temperature(air.pressure)
    expected = np.average(warmer, weights=air.air_column * air.pressure)
    scene = scene_at(elevation=0.1)
    dated = {**scene.dataset.attrs, "acquisition_time": f"2024-{day}T12:00:00"}
    there = Scene(scene.dataset.assign(latitude=latitude).assign_attrs(dated))
    assert usual_warmth(there) == pytest.approx(np.clip(expected, -8, 8), abs=0.5)
    nowhere = Scene(scene.dataset.drop_vars("latitude", errors="ignore"))
    assert usual_warmth(nowhere) == 0.0
