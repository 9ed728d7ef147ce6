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
