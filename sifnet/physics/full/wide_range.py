"""Light over 400-1000 nm, as bands of some nanometres see it: for what lies beside the O2-A band.

Scattering by full radiative transfer at two dozen wavelengths, smooth in between; ozone, water
vapour and the O2 B band as tabled absorption (``data/gas_bands.csv``, Bird & Riordan 1986); the
sun of ASTM G173-03. Good to a few per cent between the bands and coarse within them, which is what
a predictor may be taught with and tried on, not what a retrieval may be built upon. Needs the
extra ``build``.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline

from sifnet.files import data_file
from sifnet.physics.full.atmosphere import optical_layers
from sifnet.physics.full.radiative_transfer import Observer, transfer_functions
from sifnet.physics.solar import COARSE_WAVELENGTH as WAVELENGTH
from sifnet.physics.solar import coarse_solar_irradiance
from sifnet.physics.state import Atmosphere

Array = NDArray[np.float64]

NODES = np.array([400, 430, 470, 520, 580, 640, 700, 760, 820, 900, 1000.0])
STREAMS = 8
# Chappuis band, absorption coefficient of ozone, cm-1 (Bird & Riordan 1986, table 1).
OZONE_NM = (400, 450, 500, 550, 570, 593, 610, 630, 656, 690, 740, 780, 1000)
OZONE = (0, 0.003, 0.03, 0.085, 0.12, 0.119, 0.12, 0.09, 0.065, 0.028, 0.01, 0, 0)
OZONE_COLUMN = 0.3  # atm-cm


@dataclass(frozen=True)
class _NoGas:
    """Stands in for cross-sections where only scattering is wanted."""

    wavenumber: Array

    def o2(self, pressure: Array, temperature: Array) -> Array:
        return np.zeros((len(pressure), self.wavenumber.size))

    @property
    def cia(self) -> Array:
        return np.zeros(self.wavenumber.size)

    o3 = cia


def products(
    atmosphere: Atmosphere, water: float, solar_zenith_angle: float, observers: list[Observer]
) -> Array:
    """(observer, 5, WAVELENGTH) the five products (``physics.transfer``) at 1 AU.

    Gases absorb above the scattering, on the way down and up; path radiance half of that.

    Args:
        atmosphere: scalar fields; O2's A band is not in it.
        water: vapour column, g cm-2.
        observers: in space.
    """
    order = np.argsort(1e7 / NODES)
    optics = optical_layers(atmosphere, _NoGas((1e7 / NODES)[order]))  # type: ignore[arg-type]
    light = transfer_functions(optics, solar_zenith_angle, observers, STREAMS)
    light = light.map(
        lambda x: np.exp(CubicSpline(NODES, np.log(x[..., np.argsort(order)]), axis=-1)(WAVELENGTH))
    )
    scattered = light.products(coarse_solar_irradiance())
    down = 1 / np.cos(np.radians(solar_zenith_angle))
    for i, observer in enumerate(observers):
        up = 1 / np.cos(np.radians(observer.view_zenith_angle))
        both = transmittance(water, down + up)
        scattered[i, 0] *= np.sqrt(both)
        scattered[i, 1:3] *= both
        scattered[i, 3:] *= transmittance(water, up)
    return scattered


def transmittance(water: float, air_mass: float) -> Array:
    """(WAVELENGTH) of ozone, water vapour (g cm-2) and the O2 B band along an air mass."""
    table = _gases()
    amount = table["water"].to_numpy() * water * air_mass
    vapour = 0.2385 * amount / (1 + 20.07 * amount) ** 0.45
    ozone = np.interp(WAVELENGTH, OZONE_NM, OZONE) * OZONE_COLUMN * air_mass
    depth = np.interp(WAVELENGTH, table["wavelength"], vapour, left=0.0)
    oxygen = np.interp(WAVELENGTH, table["wavelength"], table["oxygen"], left=0.0)
    return np.exp(-depth - ozone - oxygen * air_mass)


@cache
def _gases() -> pd.DataFrame:
    return pd.read_csv(
        data_file("gas_bands.csv"), comment="#", names=["wavelength", "water", "oxygen"]
    )
