"""The sun, against the public functions of pvlib."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from pvlib import solarposition

from sifnet.scenes.sun import sun_angles, sun_earth_distance

TIMES = pd.date_range("2018-01-03T05:00", "2031-07-01", periods=40, tz="UTC")


@pytest.mark.parametrize(("latitude", "longitude", "km"), [(50.9, 6.4, 0.1), (-33.0, 151.0, 1.5)])
def test_angles_are_those_of_pvlib(latitude: float, longitude: float, km: float) -> None:
    zenith, azimuth = sun_angles(TIMES.tz_localize(None), latitude, longitude, km)
    expected = solarposition.get_solarposition(TIMES, latitude, longitude, altitude=1e3 * km)
    np.testing.assert_allclose(zenith, expected["zenith"], atol=1e-9)
    np.testing.assert_allclose(azimuth, expected["azimuth"], atol=1e-9)


def test_distance_is_that_of_pvlib() -> None:
    expected = solarposition.nrel_earthsun_distance(TIMES)
    distance = [sun_earth_distance(time.to_pydatetime()) for time in TIMES]
    np.testing.assert_allclose(distance, expected, atol=1e-12)


def almanac(time: np.datetime64, latitude: float, longitude: float) -> tuple[float, float]:
    """True zenith and distance by the Astronomical Almanac's formulas, page C5: within 0.01
    degrees and 0.0001 AU from 1950 to 2050."""
    n = (time - np.datetime64("2000-01-01T12:00")) / np.timedelta64(1, "D")
    mean, anomaly = 280.460 + 0.9856474 * n, np.radians(357.528 + 0.9856003 * n)
    ecliptic = np.radians(mean + 1.915 * np.sin(anomaly) + 0.020 * np.sin(2 * anomaly))
    tilt = np.radians(23.439 - 0.0000004 * n)
    right_ascension = np.degrees(np.arctan2(np.cos(tilt) * np.sin(ecliptic), np.cos(ecliptic)))
    declination = np.arcsin(np.sin(tilt) * np.sin(ecliptic))
    sidereal = 280.46062 + 360.98564737 * n  # degrees, at Greenwich
    hour, north = np.radians(sidereal + longitude - right_ascension), np.radians(latitude)
    height = np.sin(north) * np.sin(declination) + np.cos(north) * np.cos(declination) * np.cos(
        hour
    )
    distance = 1.00014 - 0.01671 * np.cos(anomaly) - 0.00014 * np.cos(2 * anomaly)
    return float(90 - np.degrees(np.arcsin(height))), float(distance)


@pytest.mark.parametrize(
    ("time", "latitude", "longitude"),
    [
        ("2018-12-21T11:32", 50.9, 6.4),  # noon of the shortest day at Juelich, 74.3 degrees
        ("2026-06-25T17:55", 50.9, 6.4),  # 74.9
        ("2022-03-20T09:30", -33.0, 18.4),
        ("2030-10-03T20:00", 40.0, -105.0),
    ],
)
def test_the_true_sun_is_where_the_almanac_has_it(
    time: str, latitude: float, longitude: float
) -> None:
    """The apparent sun stands 0.06 degrees higher at 75 degrees (Bennett 1982): it is not taken."""
    when = np.datetime64(time)
    expected, distance = almanac(when, latitude, longitude)
    found, _ = sun_angles(when, latitude, longitude)
    assert float(found[0]) == pytest.approx(expected, abs=0.015)
    assert sun_earth_distance(when) == pytest.approx(distance, abs=2e-4)


def test_a_worked_example_of_the_solar_position_algorithm() -> None:
    """Reda and Andreas (2004, NREL/TP-560-34302, table A5.1): 17 October 2003, Golden; but for
    refraction, of which their 50.1116 degrees of zenith have 0.0160."""
    zenith, azimuth = sun_angles("2003-10-17T19:30:30", 39.742476, -105.1786, 1.83014)
    assert float(zenith[0]) == pytest.approx(50.11162 + 0.0160, abs=1e-3)
    assert float(azimuth[0]) == pytest.approx(194.34024, abs=1e-3)
