"""US Standard Atmosphere 1976, as a function of pressure, below 85 km."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]

# Pressure, hPa, and temperature, K, where the lapse rate changes (NOAA-S/T 76-1562, table 4).
# Below sea level the troposphere goes on, as in sifnet's simulation.
_PRESSURE = (0.003733836, 0.0395642, 0.6693887, 1.109063, 8.680187, 54.74889, 226.3206, 1100.0)
_TEMPERATURE = (186.946, 214.65, 270.65, 270.65, 228.65, 216.65, 216.65, 292.689)


def standard_temperature(pressure: ArrayLike) -> Array:
    """Temperature, K, at a pressure, hPa; constant above 85 km.

    Within a layer of constant lapse rate T is proportional to a power of p, so interpolating
    ln T linearly in ln p is exact.
    """
    return np.exp(np.interp(np.log(pressure), np.log(_PRESSURE), np.log(_TEMPERATURE)))


def standard_height(pressure: ArrayLike) -> Array:
    """Height, km, at a pressure, hPa: exact below 11 km, good to 1 km up to 1 hPa."""
    p = np.asarray(pressure, dtype=float)
    troposphere = 44.3308 * (1 - (np.maximum(p, _PRESSURE[-2]) / 1013.25) ** 0.190263)
    return troposphere + 6.6 * np.log(_PRESSURE[-2] / np.minimum(p, _PRESSURE[-2]))
