"""FLEX: both levels to the last digit, in whatever order of axes, and what is refused."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from fakes.flex import (
    CHANNELS,
    L1B,
    LINES,
    MIDDLE,
    SAMPLES,
    WAVELENGTH,
    fake_flex,
    fake_flex_l1b,
    known_radiance,
)
from sifnet.batch.find import find, name_of
from sifnet.errors import SifnetError
from sifnet.retrieval.pixels import read
from sifnet.retrieval.prior import atmosphere_prior, describe, own_air
from sifnet.scenes import open_scene
from sifnet.scenes.scene import Flag
from sifnet.units import standard_pressure, standard_temperature


@pytest.mark.parametrize(
    ("order", "named"),  # samples before lines cannot be told without names
    [((0, 1, 2), True), ((0, 1, 2), False), ((2, 0, 1), False), ((1, 0, 2), True)],
)
def test_l1c_in_whatever_order_of_axes(
    tmp_path: Path, order: tuple[int, int, int], named: bool
) -> None:
    product = fake_flex(tmp_path, order=order, named=named)
    for path in (product, tmp_path, next(product.glob("*.nc"))):
        scene = open_scene(path)
        np.testing.assert_allclose(scene.radiance.values, known_radiance(), rtol=1e-6)
    part = scene.read(slice(2, 4), np.array([0, 5, 30])).radiance.values
    np.testing.assert_allclose(part, known_radiance()[2:4][..., [0, 5, 30]], rtol=1e-6)
    np.testing.assert_allclose(scene.wavelength, WAVELENGTH, atol=1e-9)
    np.testing.assert_allclose(scene.shot_noise, 0.02, rtol=1e-5)
    data = scene.dataset
    for name, value in (("solar_zenith_angle", 30), ("view_zenith_angle", 4),
                        ("relative_azimuth_angle", 50), ("ground_elevation", 0.2)):  # fmt: skip
        np.testing.assert_allclose(data[name], value, rtol=1e-6)
    assert np.isinf(data["sensor_height"])
    assert data["time"].values[0] == np.datetime64("2023-07-12T10:00")
    assert "-0.010 to +0.010 nm" in data.attrs["notes"][0]


def test_classes_and_quality_become_flags(tmp_path: Path) -> None:
    quality = np.zeros((LINES, SAMPLES), np.int16)
    quality[1, :3] = (1, 2, 5)
    flags = open_scene(fake_flex(tmp_path, changed={"quality_flags": quality})).flags().values
    expected = np.zeros((LINES, SAMPLES), np.uint16)
    expected[0, :5] = [Flag.DEAD, Flag.WATER, Flag.CLOUD, Flag.SHADOW, Flag.SNOW]
    expected[1, 0] = Flag.DEAD
    np.testing.assert_array_equal(flags, expected)


def test_a_file_s_own_classes_count_and_what_is_not_known_is_told(tmp_path: Path) -> None:
    masks = np.full((LINES, SAMPLES), 256, np.int16)
    masks[0, 0] = 512 + 1024
    scene = open_scene(fake_flex(tmp_path / "a", changed={"pixel_classification": masks}))
    assert (scene.flags().values == 0).all()
    assert any(f"{LINES * SAMPLES} pixels have a class" in n for n in scene.dataset.attrs["notes"])
    own = {"flag_meanings": b"land cloud snow_ice", "flag_masks": np.array([256, 512, 1024])}
    product = fake_flex(tmp_path / "b", changed={"pixel_classification": masks},
                        attributes={"pixel_classification": own})  # fmt: skip
    flags = open_scene(product).flags().values
    assert flags[0, 0] == Flag.CLOUD | Flag.SNOW
    assert (flags.ravel()[1:] == 0).all()


def test_what_is_filled_is_dead_and_does_not_spread(tmp_path: Path) -> None:
    latitude, sun = np.full((LINES, SAMPLES), 45.0), np.full((LINES, SAMPLES, 4), 30.0)
    light = known_radiance()
    latitude[2, 1], sun[2, 2], light[2, 3, 20] = -999.0, -1.0, -1.0
    changed = {"latitude": latitude, "sun_zenith_angle": sun, "floris_toa_radiance": light}
    scene = open_scene(fake_flex(tmp_path, changed=changed))
    assert (scene.flags().values[2, 1:4] & Flag.DEAD > 0).all()
    assert np.isfinite(scene.dataset["solar_zenith_angle"].values).all()
    assert float(scene.dataset["latitude"].mean()) == 45.0
    assert np.isnan(scene.radiance.values).sum() == 1


def test_the_product_s_own_air_is_the_prior(tmp_path: Path) -> None:
    scene = open_scene(fake_flex(tmp_path))
    elevation = np.full((LINES, SAMPLES), 0.2, np.float32)
    prior = atmosphere_prior(scene, elevation)
    np.testing.assert_allclose(prior.mean.aot_550, 0.3, rtol=1e-5)
    np.testing.assert_allclose(prior.sd.aot_550, 0.05 + 0.15 * 0.3, rtol=1e-5)
    np.testing.assert_allclose(prior.sd.temperature_offset, 1.0)
    np.testing.assert_allclose(scene.dataset["water_vapour"], 2.2, rtol=1e-6)
    assert describe(own_air(scene)).startswith("the product itself; temperature_offset")
    pixels = read(scene, slice(0, LINES), (LINES, SAMPLES), window=(755.0, 770.0))
    expected = 0.02 * np.sqrt(pixels.radiance.numpy())
    np.testing.assert_allclose(pixels.noise, expected, rtol=1e-4)


def test_light_that_strays_is_that_of_the_arm(tmp_path: Path) -> None:
    """Red light falls on another spectrometer."""
    light = known_radiance()
    light[..., :2] *= 0.1
    shape = (LINES, SAMPLES)
    plain, dark = (
        read(open_scene(fake_flex(tmp_path / name, changed=changed)), slice(0, LINES), shape)
        for name, changed in (("a", {}), ("b", {"floris_toa_radiance": light}))
    )
    inside = (WAVELENGTH >= 750) & (WAVELENGTH <= 780)
    mean = np.trapezoid(known_radiance()[..., inside], WAVELENGTH[inside]) / 25.5
    np.testing.assert_allclose(plain.stray[0], mean, rtol=1e-5)
    np.testing.assert_array_equal(plain.stray, dark.stray)


@pytest.mark.parametrize("offset", [-6.0, 0.0, 4.5])
def test_temperature_is_the_profile_s_above_the_standard(tmp_path: Path, offset: float) -> None:
    from fakes.flex import LEVELS

    profile = standard_temperature(LEVELS) + offset
    profile[0] += 100.0  # below the ground, so that it does not count
    changed = {
        "temperature_profile": profile * np.ones((LINES, SAMPLES, 1)),
        "surface_elevation": np.full((LINES, SAMPLES), 500.0),
    }
    scene = open_scene(fake_flex(tmp_path, changed=changed))
    np.testing.assert_allclose(scene.dataset["temperature_offset"], offset, atol=1e-4)


def test_standard_temperature_is_that_of_the_simulation() -> None:
    full = pytest.importorskip("sifnet.physics.full.atmosphere", reason="needs the 'build' extra")
    pressure = np.geomspace(0.05, 1050.0, 60)
    exact = full.standard_temperature(pressure)
    np.testing.assert_allclose(standard_temperature(pressure), exact, atol=0.2)


def test_water_in_either_unit(tmp_path: Path) -> None:
    """Products call it g m-2 and mean g cm-2; were it g m-2, it would be ten thousand times."""
    grams = np.full((LINES, SAMPLES), 2.2e4)
    scene = open_scene(fake_flex(tmp_path, changed={"total_columnar_water_vapor": grams}))
    np.testing.assert_allclose(scene.dataset["water_vapour"], 2.2, rtol=1e-6)


def test_noise_is_assumed_where_none_is_stated(tmp_path: Path) -> None:
    scene = open_scene(fake_flex(tmp_path, without=("floris_toa_radiance_noise_uncertainty",)))
    inside = (scene.wavelength > 750) & (scene.wavelength < 770)
    expected = 0.0275 * np.sqrt(0.0932 / 0.5)
    np.testing.assert_allclose(scene.shot_noise[inside], expected, rtol=1e-6)
    assert any("noise is not stated" in note for note in scene.dataset.attrs["notes"])


def test_l1b_to_the_last_digit(tmp_path: Path) -> None:
    product = fake_flex_l1b(tmp_path)
    for path in (product, tmp_path, next(product.glob("*hre2.nc"))):
        scene = open_scene(path)
        np.testing.assert_allclose(scene.radiance.values, known_radiance(56), atol=0.0011)
    np.testing.assert_allclose(scene.wavelength, CHANNELS)
    flags = scene.flags().values
    assert (flags[0, 0], flags[0, 1]) == (Flag.DEAD, Flag.WATER)
    assert (flags[1, 0], flags[1, 1], flags[1, 2]) == (Flag.SATURATED, Flag.DEAD, 0)
    data = scene.dataset
    np.testing.assert_allclose(data["relative_azimuth_angle"], 50.0, rtol=1e-5)
    pressure = standard_pressure(0.2) * 1021 / 1013.25
    np.testing.assert_allclose(data["surface_pressure"], pressure, rtol=1e-6)
    assert float(data["water_vapour"]) == pytest.approx(2.5)
    prior = atmosphere_prior(scene, np.full((LINES, SAMPLES), 0.2, np.float32))
    np.testing.assert_allclose(prior.mean.surface_pressure, pressure, rtol=1e-6)


def test_a_product_is_one_scene_of_a_batch(tmp_path: Path) -> None:
    product = fake_flex_l1b(tmp_path)
    scenes, refused = find([tmp_path])
    assert scenes == [product]
    assert not refused
    assert name_of(product) == open_scene(product).name


def _damaged(product: Path) -> None:
    file = next(product.glob("*.nc"))
    file.write_bytes(file.read_bytes()[:3000])


def _other_channels(product: Path) -> None:
    name = "Annotation_data/Instrumental_information/floris_spectral_channel_fwhm"
    with h5py.File(next(product.glob("*.nc")), "a") as file:
        del file[name]
        file[name] = np.ones((SAMPLES, 3))


def _other_layout(product: Path) -> None:
    with h5py.File(next(product.glob("*.nc")), "a") as file:
        del file["Measurement_data/floris_toa_radiance"]
        file["Measurement_data/floris_toa_radiance"] = np.ones((2, 3, 4))


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (_damaged, r"\.nc: this is not a readable NetCDF-4 file"),
        (_other_channels, r"floris_spectral_channel_fwhm is not that of the radiance: found "
                          rf"\({SAMPLES}, 3\); expected {WAVELENGTH.size} channels"),
        (_other_layout, r"floris_toa_radiance has another layout: found \(2, 3, 4\)"),
    ],
)  # fmt: skip
def test_a_broken_product_is_refused(tmp_path: Path, harm: Any, message: str) -> None:
    product = fake_flex(tmp_path)
    harm(product)
    with pytest.raises(SifnetError, match=message):
        open_scene(product)


@pytest.mark.parametrize(
    "missing", ["floris_spectral_channel_central_wavelengths", "sun_zenith_angle", "latitude"]
)
def test_what_must_be_there_is_named(tmp_path: Path, missing: str) -> None:
    with pytest.raises(SifnetError, match=f"the product has no {missing}"):
        open_scene(fake_flex(tmp_path, without=(missing,)))


def test_other_levels_and_arms_are_refused(tmp_path: Path) -> None:
    level2 = tmp_path / "FLX_L2__FLXSYN_20230712T100000"
    level2.mkdir()
    shutil.copy(next(fake_flex(tmp_path / "l1c", without=("floris_toa_radiance",)).glob("*.nc")),
                level2)  # fmt: skip
    with pytest.raises(SifnetError, match="FLEX L2 has no radiance.*Order the L1C product"):
        open_scene(level2)
    with pytest.raises(SifnetError, match="the product has no arm HRE2"):
        open_scene(fake_flex_l1b(tmp_path / "l1b", arms=("hre1",)))
    two = tmp_path / "two"
    fake_flex(two)
    fake_flex_l1b(two)
    with pytest.raises(SifnetError, match=f"this is not one FLEX product: found {L1B}, FLX_L1C"):
        open_scene(two, sensor="flex")


def test_no_angle_and_no_wavelength_are_refused(tmp_path: Path) -> None:
    sun = np.full((LINES, SAMPLES, 4), np.nan)
    with pytest.raises(SifnetError, match="solar zenith angle is missing"):
        open_scene(fake_flex(tmp_path / "a", changed={"sun_zenith_angle": sun}))
    lost = np.full((SAMPLES, WAVELENGTH.size), np.nan)
    name = "floris_spectral_channel_central_wavelengths"
    with pytest.raises(SifnetError, match="wavelengths are missing"):
        open_scene(fake_flex(tmp_path / "b", changed={name: lost}))


def test_time_is_counted_from_2000() -> None:
    middle = np.datetime64("2000-01-01", "us") + np.timedelta64(MIDDLE, "us")
    assert middle == np.datetime64("2023-07-12T10:00:00")
