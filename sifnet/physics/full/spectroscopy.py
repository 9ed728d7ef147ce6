"""Absorption cross-sections of the O2 A band, and of ozone beneath it, 12 800-13 520 cm-1.

The sum of four parts: Voigt lines of 16O2, 16O18O and 16O17O (HITRAN2012; Rothman et al. 2013),
first-order line mixing of the main band and the collision-induced absorption that belongs to it
(Tran & Hartmann 2008), and the wing of the ozone Chappuis band. Broadening is that of air.

Of the B band, 14 300-14 600 cm-1 (685-699 nm), there are lines, their mixing and ozone: no
collision-induced absorption and no water.

Absolute absorption by O2 is uncertain by 1-2 %: callers multiply it by ``Atmosphere.o2_scale``.
"""

from __future__ import annotations

from functools import cache
from itertools import permutations, product

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.interpolate import CubicSpline
from scipy.sparse import csr_array
from scipy.special import wofz

from sifnet.errors import SifnetError
from sifnet.files import data_file
from sifnet.physics.full.o2_lines import (
    REFERENCE_TEMPERATURE,
    TEMPERATURES,
    Lines,
    line_intensity,
    lines_seen_at,
    mixing_coefficients,
)
from sifnet.physics.solar import ascending
from sifnet.physics.windows import BETWEEN
from sifnet.units import AVOGADRO, BOLTZMANN, SPEED_OF_LIGHT

Array = NDArray[np.float64]

STANDARD_ATMOSPHERE = 1013.25  # hPa
MOLAR_MASS = {1: 31.98983e-3, 2: 33.994076e-3, 3: 32.994045e-3}  # kg mol-1, by isotopologue

WOFZ_WINDOW = 2.0  # cm-1; farther out Voigt and Lorentz shapes agree to 1e-4
WEAK_LINE_WING = 25.0  # cm-1; lines without mixing end here, as in HITRAN practice


def absorption_cross_section(
    wavenumber: ArrayLike,
    pressure: float,
    temperature: float,
    lines: Lines | None = None,
    line_mixing: float = 1.0,
    reach: float = np.inf,
) -> Array:
    """Cross-section of the O2 lines in air, (n) cm2 per O2 molecule of natural abundance.

    sum_l S_l / (sqrt(pi) a_l) [Re w(z_l) + Y_l P Im w(z_l)], z = (nu - nu_l + i gamma_l) / a_l,
    with P in atm, a the 1/e half-width of the Doppler profile and w the Faddeeva function;
    first-order mixing goes slightly negative between 13 170 and 13 200 cm-1, so the sum is
    clipped at 0. Lines of the mixing band have no cutoff, all others end at 25 cm-1.

    Args:
        wavenumber: (n) cm-1, vacuum, ascending.
        pressure: hPa.
        temperature: K, 160 to 340.
        lines: those shipped, of the bands that the wavenumbers enter, if None.
        line_mixing: factor on it; 0 gives a sum of Voigt lines.
        reach: cm-1 from their centres, where lines of the mixing band end.

    Raises:
        SifnetError: wavenumbers not ascending, temperature outside 160-340 K, pressure 0 or less.
    """
    wavenumber = ascending(wavenumber)
    if not TEMPERATURES[0] <= temperature <= TEMPERATURES[1]:
        raise SifnetError("temperature of O2", found=f"{temperature:g} K", expected="160 to 340 K")
    if pressure <= 0:
        raise SifnetError("pressure of air", found=f"{pressure:g} hPa", expected="more than 0")
    lines = lines or lines_seen_at(wavenumber)
    atm = pressure / STANDARD_ATMOSPHERE
    centre = lines.wavenumber + lines.air_shift * atm
    mass = np.array([MOLAR_MASS[i] for i in lines.isotopologue]) / AVOGADRO
    doppler = centre * np.sqrt(2 * BOLTZMANN * temperature / mass) / SPEED_OF_LIGHT
    warmth = REFERENCE_TEMPERATURE / temperature
    lorentz = lines.air_width * atm * warmth**lines.temperature_exponent
    mixing = atm * mixing_coefficients(lines.branch, temperature) * line_mixing
    intensity = line_intensity(lines, temperature)

    wing = np.where(lines.branch == "", WEAK_LINE_WING, reach)
    edges = (-wing, wing, -WOFZ_WINDOW, WOFZ_WINDOW)
    first, last, near_first, near_last = (np.searchsorted(wavenumber, centre + e) for e in edges)
    total = np.zeros_like(wavenumber)
    for i in range(len(centre)):
        offset = wavenumber[first[i] : last[i]] - centre[i]
        shape = (lorentz[i] + mixing[i] * offset) / (np.pi * (offset**2 + lorentz[i] ** 2))
        near = slice(near_first[i] - first[i], near_last[i] - first[i])
        w = wofz((offset[near] + 1j * lorentz[i]) / doppler[i])
        shape[near] = (w.real + mixing[i] * w.imag) / (np.sqrt(np.pi) * doppler[i])
        total[first[i] : last[i]] += intensity[i] * shape
    return np.maximum(total, 0.0)


@cache
def _cia_table() -> tuple[Array, Array]:
    table = pd.read_csv(data_file("o2_cia.csv"), comment="#")
    return table["wavenumber"].to_numpy(dtype=float), table["coefficient"].to_numpy()


def collision_induced_absorption(wavenumber: ArrayLike) -> Array:
    """Binary coefficient of O2 in air, (n) cm5 molecule-2 (Tran & Hartmann 2008).

    Optical depth per cm = coefficient * n(O2) * n(air), number densities in molecules cm-3.
    Holds O2-O2 and O2-N2 pairs; it belongs to this line mixing and is uncertain by half. Its
    dependence on temperature is left out. 0 outside 12 800-13 480 cm-1.
    """
    at, coefficient = _cia_table()
    inside = CubicSpline(at, coefficient)(np.clip(wavenumber, at[0], at[-1]))
    outside = (np.asarray(wavenumber) < at[0]) | (np.asarray(wavenumber) > at[-1])
    return np.where(outside, 0.0, np.maximum(inside, 0.0))


def o3_cross_section(wavenumber: ArrayLike) -> Array:
    """Ozone cross-section, (n) cm2 molecule-1 (Daumont et al. 1992).

    678-704 and 740-790 nm; held beyond.
    """
    wavelength = 1e7 / np.asarray(wavenumber, dtype=float)
    red, far = (
        np.interp(wavelength, table["wavelength"], table["cross_section"])
        for table in (
            pd.read_csv(data_file(name), comment="#")
            for name in ("o3_red.csv", "o3_cross_section.csv")
        )
    )
    return np.where(wavelength < BETWEEN, red, far)


PRESSURE_NODES = np.geomspace(0.05, 1500.0, 40)  # hPa
TEMPERATURE_NODES = np.linspace(*TEMPERATURES, 10)  # K


class CrossSections:
    """Cross-sections on a wavenumber grid, tabulated once so that any layer is quick.

    The O2 lines are tabulated over (ln pressure, temperature) and interpolated by cubics through
    the 4 x 4 nearest nodes: within 0.02 % of any two-way transmittance of the line-by-line sum.

    Attributes:
        wavenumber: (n) cm-1, ascending.
        cia: (n) cm5 molecule-2, see ``collision_induced_absorption``.
        o3: (n) cm2 molecule-1.
        nodes: (pressure * temperature, n) table of the O2 lines.
    """

    def __init__(
        self, wavenumber: ArrayLike, lines: Lines | None = None, **spectroscopy: float
    ) -> None:
        """Tabulate; ``spectroscopy`` as in ``absorption_cross_section``."""
        self.wavenumber = np.asarray(wavenumber, dtype=float)
        self.cia = collision_induced_absorption(self.wavenumber)
        self.o3 = o3_cross_section(self.wavenumber)
        spectra = [
            absorption_cross_section(self.wavenumber, p, t, lines, **spectroscopy)
            for p, t in product(PRESSURE_NODES, TEMPERATURE_NODES)
        ]
        self.nodes = np.array(spectra)

    def o2(self, pressure: ArrayLike, temperature: ArrayLike, nodes: Array | None = None) -> Array:
        """Cross-section of the O2 lines, (layer, n) cm2 per O2 molecule.

        Args:
            pressure: (layer) hPa, 0.05 to 1500.
            temperature: (layer) K, 160 to 340.
            nodes: another table than this one's.

        Raises:
            SifnetError: a pressure or temperature is outside the table.
        """
        pressure, temperature = np.atleast_1d(pressure), np.atleast_1d(temperature)
        _check_inside("pressure, hPa", pressure, PRESSURE_NODES)
        _check_inside("temperature, K", temperature, TEMPERATURE_NODES)
        p_node, p_weight = _cubic_weights(np.log(PRESSURE_NODES), np.log(pressure))
        t_node, t_weight = _cubic_weights(TEMPERATURE_NODES, temperature)
        node = p_node[:, :, None] * len(TEMPERATURE_NODES) + t_node[:, None, :]
        weight = p_weight[:, :, None] * t_weight[:, None, :]
        layer = np.broadcast_to(np.arange(len(pressure))[:, None, None], node.shape)
        interpolate = csr_array(
            (weight.ravel(), (layer.ravel(), node.ravel())),
            shape=(len(pressure), len(self.nodes)),
        )
        return np.maximum(interpolate @ (self.nodes if nodes is None else nodes), 0.0)


def _check_inside(name: str, value: Array, nodes: Array) -> None:
    if np.min(value) < nodes[0] or np.max(value) > nodes[-1]:
        raise SifnetError(
            f"{name}, outside the table of cross-sections",
            found=f"{np.min(value):g} to {np.max(value):g}",
            expected=f"{nodes[0]:g} to {nodes[-1]:g}",
        )


def _cubic_weights(nodes: Array, x: Array) -> tuple[NDArray[np.intp], Array]:
    """Indices (m, 4) and Lagrange weights (m, 4) of the cubic through the nodes around x (m)."""
    first = np.clip(np.searchsorted(nodes, x) - 2, 0, len(nodes) - 4)
    index = first[:, None] + np.arange(4)
    at = nodes[index]
    weight = np.ones_like(at)
    for j, k in permutations(range(4), 2):
        weight[:, j] *= (x - at[:, k]) / (at[:, j] - at[:, k])
    return index, weight
