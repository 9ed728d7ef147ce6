"""Constants and conversions at the border; inside sifnet only the units named in DESIGN are used.

Wavelength nm in vacuum, radiance mW m-2 nm-1 sr-1, irradiance mW m-2 nm-1, angles degrees,
pressure hPa, heights km, water columns g cm-2.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

RADIANCE = "mW m-2 nm-1 sr-1"  # as products and pages write it
SPEED_OF_LIGHT = 2.99792458e8  # m s-1
PLANCK = 6.62607015e-34  # J s
BOLTZMANN = 1.380649e-23  # J K-1
AVOGADRO = 6.02214076e23  # mol-1
GRAVITY = 9.80665  # m s-2
MOLAR_MASS_AIR = 28.9644e-3  # kg mol-1
O2_FRACTION = 0.2095  # volume mixing ratio of O2 in dry air


def photons(wavelength_nm: ArrayLike) -> NDArray[np.float64]:
    """Micromoles of photons of a millijoule, umol mJ-1, at a wavelength in nm."""
    of_a_mole = PLANCK * SPEED_OF_LIGHT * AVOGADRO / (np.asarray(wavelength_nm, float) * 1e-9)  # J
    return np.asarray(1e3 / of_a_mole)


def vacuum_to_air(wavelength_nm: ArrayLike) -> NDArray[np.float64]:
    """Wavelength in standard air, nm, of a vacuum wavelength, nm (Edlen 1966; Morton 1991)."""
    vacuum = np.asarray(wavelength_nm, dtype=float)
    return vacuum / _refractive_index(vacuum)


def air_to_vacuum(wavelength_nm: ArrayLike) -> NDArray[np.float64]:
    """Wavelength in vacuum, nm, of a wavelength in standard air, nm; inverse to 1e-9 nm."""
    air = np.asarray(wavelength_nm, dtype=float)
    vacuum = air * _refractive_index(air)
    return air * _refractive_index(vacuum)


def _refractive_index(vacuum_nm: NDArray[np.float64]) -> NDArray[np.float64]:
    """Refractive index of dry air at 15 C and 1013.25 hPa (Edlen 1966, Metrologia 2, 71)."""
    sigma2 = (1e3 / vacuum_nm) ** 2  # um-2
    return 1 + 1e-8 * (8342.13 + 2406030.0 / (130.0 - sigma2) + 15997.0 / (38.9 - sigma2))


def standard_pressure(elevation_km: ArrayLike) -> NDArray[np.float64]:
    """Pressure, hPa, of the US Standard Atmosphere 1976 at a height below 11 km."""
    return 1013.25 * (1 - np.asarray(elevation_km, dtype=float) * 6.5 / 288.15) ** 5.25588


# Pressure, hPa, and temperature, K, where the lapse rate changes (US Standard Atmosphere 1976,
# NOAA-S/T 76-1562, table 4). Below sea level the troposphere goes on.
_PRESSURE = (0.003733836, 0.0395642, 0.6693887, 1.109063, 8.680187, 54.74889, 226.3206, 1100.0)
_TEMPERATURE = (186.946, 214.65, 270.65, 270.65, 228.65, 216.65, 216.65, 292.689)


def standard_temperature(pressure_hpa: ArrayLike) -> NDArray[np.float64]:
    """Temperature, K, of the US Standard Atmosphere 1976 at a pressure; constant above 85 km.

    Within a layer of constant lapse rate T is proportional to a power of p, so interpolating
    ln T linearly in ln p is exact.
    """
    return np.exp(np.interp(np.log(pressure_hpa), np.log(_PRESSURE), np.log(_TEMPERATURE)))


def standard_height(pressure_hpa: ArrayLike) -> NDArray[np.float64]:
    """Height, km, at a pressure: exact below 11 km, good to 1 km up to 1 hPa."""
    p = np.asarray(pressure_hpa, dtype=float)
    troposphere = 44.3308 * (1 - (np.maximum(p, _PRESSURE[-2]) / 1013.25) ** 0.190263)
    return troposphere + 6.6 * np.log(_PRESSURE[-2] / np.minimum(p, _PRESSURE[-2]))
