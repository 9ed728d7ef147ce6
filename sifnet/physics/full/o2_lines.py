"""Spectral lines of the O2 A and B bands: the shipped lists, and what they depend on.

Shipped are 16O2, 16O18O and 16O17O: of the A band those of HITRAN2012 (Rothman et al. 2013, doi
10.1016/j.jqsrt.2013.07.002) and the first-order line mixing of the 70 strongest 16O2 lines
(Tran & Hartmann 2008, doi 10.1029/2008JD010011); of the B band what follows from both
(``data/make_o2_b_lines.py``). Broadening and shifts are those in air.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cache

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline

from sifnet.files import data_file
from sifnet.units import BOLTZMANN, PLANCK, SPEED_OF_LIGHT

Array = NDArray[np.float64]

REFERENCE_TEMPERATURE = 296.0  # K, of HITRAN
ROTATIONAL_CONSTANT = 1.4377  # cm-1, of 16O2's ground state
HC_K = 100 * PLANCK * SPEED_OF_LIGHT / BOLTZMANN  # second radiation constant, cm K
B_BAND_FROM = 13_900.0  # cm-1 (719 nm), between the bands, where neither has lines
TEMPERATURES = (160.0, 340.0)  # K, where partition sums and line mixing are known

PARTITION = {  # Q(T) / Q(296 K) = 1 + a x + b x^2 + c x^3, x = T / 296 K - 1
    1: (1.001554, 0.015659, 0.014897),
    2: (1.006006, 0.018128, 0.017156),
    3: (1.005507, 0.016924, 0.016078),
}
"""By HITRAN isotopologue, fitted to TIPS-2021 (Gamache et al. 2021) over 150-350 K, within 1e-4."""


@dataclass(frozen=True)
class Lines:
    """Spectral lines of O2, HITRAN's conventions; every field is (line).

    Attributes:
        isotopologue: HITRAN number, 1 = 16O2, 2 = 16O18O, 3 = 16O17O.
        wavenumber: cm-1, in vacuum.
        intensity: cm molecule-1 at 296 K, isotopic abundance included.
        air_width: half-width at half maximum in air, cm-1 atm-1 at 296 K.
        temperature_exponent: of ``air_width``.
        air_shift: cm-1 atm-1.
        lower_energy: cm-1.
        branch: such as ``P29Q28``, of the B band ``B:P29Q28``, for lines that may mix, empty for
            all others.
    """

    isotopologue: NDArray[np.int64]
    wavenumber: Array
    intensity: Array
    air_width: Array
    temperature_exponent: Array
    air_shift: Array
    lower_energy: Array
    branch: NDArray[np.str_]

    @property
    def rotation(self) -> Array:
        """Rotational quantum number N of the lower state, about, from its energy B N (N + 1)."""
        return np.sqrt(self.lower_energy / ROTATIONAL_CONSTANT + 0.25) - 0.5


@cache
def shipped_lines() -> Lines:
    """The 485 lines of the A band, ``data/o2_lines.csv``."""
    return _read_lines("o2_lines.csv")


@cache
def shipped_b_lines() -> Lines:
    """The 359 lines of the B band, ``data/o2_b_lines.csv``."""
    return _read_lines("o2_b_lines.csv")


def _read_lines(name: str) -> Lines:
    table = pd.read_csv(data_file(name), comment="#", keep_default_na=False)
    columns = {field.name: table[field.name].to_numpy() for field in fields(Lines)}
    return Lines(**columns | {"branch": table["branch"].to_numpy(dtype=str)})


def lines_seen_at(wavenumber: Array) -> Lines:
    """The shipped lines of the bands that a grid enters: those of A alone below 13 900 cm-1.

    Args:
        wavenumber: (n) cm-1, ascending.
    """
    if len(wavenumber) == 0 or wavenumber[-1] < B_BAND_FROM:
        return shipped_lines()
    if wavenumber[0] >= B_BAND_FROM:
        return shipped_b_lines()
    both = shipped_lines(), shipped_b_lines()
    return Lines(**{
        field.name: np.concatenate([getattr(lines, field.name) for lines in both])
        for field in fields(Lines)
    })  # fmt: skip


@cache
def _mixing_table() -> tuple[list[str], CubicSpline]:
    names = "o2_line_mixing.csv", "o2_b_line_mixing.csv"
    table = pd.concat(
        [pd.read_csv(data_file(name), comment="#", index_col="branch") for name in names]
    )
    return list(table.index), CubicSpline(table.columns.astype(float), table.to_numpy().T)


def mixing_coefficients(branch: NDArray[np.str_], temperature: float) -> Array:
    """First-order line mixing Y, atm-1, of lines by branch; 0 where the branch does not mix."""
    branches, spline = _mixing_table()
    mixing = dict(zip(branches, spline(temperature), strict=True))
    return np.array([mixing.get(str(b), 0.0) for b in branch])


def line_intensity(lines: Lines, temperature: float) -> Array:
    """Line intensities, cm molecule-1, at a temperature, K (Rothman et al. 1998, eq. A11)."""
    x = temperature / REFERENCE_TEMPERATURE - 1
    partition = {i: 1 + a * x + b * x**2 + c * x**3 for i, (a, b, c) in PARTITION.items()}
    inverse = 1 / temperature - 1 / REFERENCE_TEMPERATURE
    emission = -np.expm1(-HC_K * lines.wavenumber / temperature)
    emission_reference = -np.expm1(-HC_K * lines.wavenumber / REFERENCE_TEMPERATURE)
    return (
        lines.intensity
        / np.array([partition[i] for i in lines.isotopologue])
        * np.exp(-HC_K * lines.lower_energy * inverse)
        * emission
        / emission_reference
    )
