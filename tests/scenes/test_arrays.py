"""A scene from plain arrays: what follows from when, where and how high, and what is assumed."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import numpy as np
import pytest

from sifnet.errors import SifnetError
from sifnet.scenes.scene import Scene
from sifnet.scenes.sensor import Sensor, usual_noise
from sifnet.scenes.sun import sun_angles, sun_earth_distance
from sifnet.units import vacuum_to_air

BANDS = np.arange(744.0, 771.0, 0.11)
WHERE: dict[str, Any] = {"latitude": 50.62, "longitude": 6.99, "sensor_height": 0.6}
FACTS = {**WHERE, "time": "2020-06-25T10:00:00"}


def _radiance(lines: int = 20, samples: int = 6, noise: float = 0.0) -> np.ndarray:
    rng = np.random.default_rng(0)
    level = 60 + 40 * rng.random((lines, samples, 1))
    light = level * (1 + 0.001 * (BANDS - 757))
    return (light + noise * np.sqrt(light) * rng.standard_normal(light.shape)).astype(np.float32)


def _scene(radiance: np.ndarray | None = None, **facts: Any) -> Scene:
    light = _radiance() if radiance is None else radiance
    return Scene.from_arrays(light, facts.pop("wavelength", BANDS), 0.28, **{**FACTS, **facts})


def test_sun_and_distance_follow_from_time_and_place() -> None:
    scene, when = _scene(ground_elevation=0.3), np.datetime64("2020-06-25T10:00")
    zenith, azimuth = sun_angles(when, 50.62, 6.99, 0.3)
    data = scene.dataset
    assert float(data.solar_zenith_angle) == pytest.approx(zenith[0])
    assert float(data.sun_earth_distance) == pytest.approx(sun_earth_distance(when))
    assert data.attrs["acquisition_time"] == "2020-06-25T10:00:00.000"
    local = datetime(2020, 6, 25, 12, 0, tzinfo=timezone(timedelta(hours=2)))
    there = float(_scene(time=local).dataset.solar_zenith_angle)
    assert there == pytest.approx(zenith[0], abs=0.05)  # sea level in place of 0.3 km
    seen = _scene(view_zenith_angle=np.arange(6.0), view_azimuth_angle=float(azimuth[0]) + 30.0)
    assert seen.dataset.view_zenith_angle.dims == ("sample",)
    assert float(seen.dataset.relative_azimuth_angle) == pytest.approx(30.0, abs=1e-6)


def test_times_and_places_of_lines_and_pixels_stay_where_they_are() -> None:
    times = np.datetime64("2020-06-25T10:00") + np.arange(20) * np.timedelta64(60, "s")
    degrees = 50.62 + 1e-4 * np.arange(120.0).reshape(20, 6)
    data = _scene(time=times, latitude=degrees).dataset
    assert data.time.dims == data.solar_zenith_angle.dims == ("line",)
    assert data.latitude.dims == ("line", "sample")
    assert np.ptp(data.solar_zenith_angle.values) > 1.0


@pytest.mark.parametrize(
    ("units", "factor"),
    [("W m-2 nm-1 sr-1", 1e3), ("W m^-2 sr^-1 µm^-1", 1.0), ("µW cm-2 nm-1 sr-1", 10.0)],
)
def test_units_are_converted(units: str, factor: float) -> None:
    scene = _scene(_radiance() / np.float32(factor), units=units)
    np.testing.assert_allclose(scene.radiance, _radiance(), rtol=1e-6)


def test_wavelengths_may_be_in_micrometres_or_in_air() -> None:
    micro = Scene.from_arrays(_radiance(), BANDS / 1e3, 0.28e-3, **FACTS)
    np.testing.assert_allclose(micro.wavelength, BANDS)
    np.testing.assert_allclose(micro.fwhm, 0.28)
    np.testing.assert_allclose(
        _scene(wavelength=vacuum_to_air(BANDS), medium="air").wavelength, BANDS, atol=1e-6
    )


def test_noise_is_read_from_the_bands_where_they_tell_it_and_assumed_elsewhere() -> None:
    seen = _scene(_radiance(60, 20, noise=0.05))
    assert seen.sensor.shot_noise == pytest.approx(0.05, rel=0.03)
    assert (seen.sensor.sampling, seen.sensor.fwhm) == (pytest.approx(0.11), 0.28)
    few = _scene(_radiance(4, 4))
    assert few.sensor.shot_noise == pytest.approx(0.07)
    assert "assumed, that of HyPlant" in few.dataset.attrs["notes"][-1]
    assert usual_noise(0.44) == pytest.approx(0.035)
    stated = Sensor("ibis", 0.11, 0.28, shot_noise=0.06)
    assert _scene(sensor=stated).sensor is stated
    assert Sensor("ibis", 0.11, 0.28).shot_noise == pytest.approx(0.07)
    assert _scene(sensor_height=np.inf).sensor.space


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        ({"time": None, "latitude": None}, "no time, latitude; expected when .* Give time=, lat"),
        ({"units": "counts"}, "unit of the radiance is not known: found 'counts'; expected one of"),
        ({"time": "noon"}, "time of the scene is none: found 'noon'.*Correct time="),
        ({"medium": "water"}, "medium of the wavelengths is not known: found 'water'"),
        ({"latitude": np.ones(7)}, "latitude fits neither lines nor samples"),
        ({"time": "2020-06-25T23:00:00"}, "the sun is below the horizon"),
    ],
)
def test_what_cannot_be_labelled_is_refused(facts: dict[str, Any], message: str) -> None:
    with pytest.raises(SifnetError, match=message):
        _scene(**facts)
