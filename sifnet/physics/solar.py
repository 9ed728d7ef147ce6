"""Solar irradiance at 1 AU, monochromatic, 731-792 and 680-702 nm.

In the far red it is spectral lines and what multiplies them.
Lines are G. C. Toon's disk-integrated pseudo-transmittance, an empirical list: it gives the fine
structure. What multiplies them makes the product, at 0.04 nm, the spectrum of Chance & Kurucz
(2010). The list alone is a quarter too shallow at 0.25 nm, 0.4 % rms; three suns that TCCON
measured differ from Chance & Kurucz by 0.09 to 0.14 % where air does not absorb. In the red it is
their spectrum alone, a table that was sharpened by as much as it is smoothed.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from sifnet.errors import SifnetError
from sifnet.files import data_file

Array = NDArray[np.float64]

RANGE = (12625.0, 13675.0)  # cm-1; the list of lines reaches 25 cm-1 beyond
RED_RANGE = (680.1, 701.9)  # nm
LINE_WING = 25.0  # cm-1 on each side of a line
COARSE_WAVELENGTH: Array = np.arange(400.0, 1001.0)  # nm, for bands of some nanometres


@cache
def solar_lines() -> pd.DataFrame:
    """The shipped 825 lines: wavenumber, strength s, width y, doppler d (``data/README.md``)."""
    return pd.read_csv(data_file("solar_lines.csv"), comment="#")


def solar_transmittance(wavenumber: ArrayLike, lines: pd.DataFrame | None = None) -> Array:
    """Share of the continuum that the lines leave, (n).

    exp(-sum s exp(-x^2 / sqrt(d^4 + x^2 y^2))), x the distance from a line's centre, cm-1: a
    line is Gaussian of 1/e half-width d in its core and exponential, of scale y, in its wings.

    Args:
        wavenumber: (n) cm-1, vacuum, ascending.
        lines: table like ``solar_lines()``, the shipped one if None.

    Raises:
        SifnetError: wavenumbers not ascending, or outside 12 625-13 675 cm-1.
    """
    wavenumber = ascending(wavenumber)
    if wavenumber.min() < RANGE[0] or wavenumber.max() > RANGE[1]:
        raise SifnetError(
            "wavenumber outside the list of solar lines",
            found=f"{wavenumber.min():.0f} to {wavenumber.max():.0f} cm-1",
            expected=f"{RANGE[0]:.0f} to {RANGE[1]:.0f} cm-1 (731.3 to 792.1 nm)",
        )
    table = solar_lines() if lines is None else lines
    columns = [table[c].to_numpy() for c in ("wavenumber", "strength", "width", "doppler")]
    depth = np.zeros_like(wavenumber)
    for centre, s, y, d in zip(*columns, strict=True):
        first, last = np.searchsorted(wavenumber, (centre - LINE_WING, centre + LINE_WING))
        x2 = (wavenumber[first:last] - centre) ** 2
        depth[first:last] += s * np.exp(-x2 / np.sqrt(d**4 + x2 * y**2))
    return np.exp(-depth)


def ascending(wavenumber: ArrayLike) -> Array:
    """Wavenumbers as an array.

    Raises:
        SifnetError: they do not ascend.
    """
    array = np.asarray(wavenumber, dtype=float)
    if np.any(np.diff(array) <= 0):
        raise SifnetError("wavenumbers must ascend", found="a step of 0 or less", expected="> 0")
    return array


def solar_continuum(wavenumber: ArrayLike) -> Array:
    """What multiplies the lines, (n) mW m-2 nm-1 at 1 AU: linear in wavelength between knots."""
    table = pd.read_csv(data_file("solar_continuum.csv"), comment="#")
    wavelength = 1e7 / np.asarray(wavenumber, dtype=float)
    return np.interp(wavelength, table["wavelength"], table["irradiance"])


def solar_irradiance(wavenumber: ArrayLike, lines: pd.DataFrame | None = None) -> Array:
    """Solar irradiance at 1 AU, (n) mW m-2 nm-1, at wavenumbers (n), cm-1.

    Args and errors as ``solar_transmittance``. Another sun is any function of this signature.
    """
    nm = 1e7 / np.asarray(wavenumber, dtype=float)
    if RED_RANGE[0] <= nm.min() and nm.max() <= RED_RANGE[1]:
        return np.interp(nm, *_red_sun())
    return solar_continuum(wavenumber) * solar_transmittance(wavenumber, lines)


@cache
def _red_sun() -> tuple[Array, Array]:
    table = pd.read_csv(data_file("solar_red.csv"), comment="#")
    return table["wavelength"].to_numpy(), table["irradiance"].to_numpy()


@cache
def coarse_solar_irradiance() -> Array:
    """(COARSE_WAVELENGTH) extraterrestrial irradiance of ASTM G173-03, mW m-2 nm-1."""
    from pvlib.spectrum import get_reference_spectra

    sun = get_reference_spectra(standard="ASTM G173-03")["extraterrestrial"] * 1e3
    return np.interp(COARSE_WAVELENGTH, sun.index.to_numpy(float), sun.to_numpy(float))
