"""Spectral lines of the O2 A band: the shipped list, a user's own, and what they depend on.

Shipped are 16O2, 16O18O and 16O17O of HITRAN2012 (Rothman et al. 2013, doi
10.1016/j.jqsrt.2013.07.002) and the first-order line mixing of the 70 strongest 16O2 lines
(Tran & Hartmann 2008, doi 10.1029/2008JD010011). Broadening and shifts are those in air.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline

from sifnet.errors import SifnetError
from sifnet.files import data_file
from sifnet.units import BOLTZMANN, PLANCK, SPEED_OF_LIGHT

Array = NDArray[np.float64]

REFERENCE_TEMPERATURE = 296.0  # K, of HITRAN
HC_K = 100 * PLANCK * SPEED_OF_LIGHT / BOLTZMANN  # second radiation constant, cm K
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
        branch: such as ``P29Q28`` for lines that may mix, empty for all others.
    """

    isotopologue: NDArray[np.int64]
    wavenumber: Array
    intensity: Array
    air_width: Array
    temperature_exponent: Array
    air_shift: Array
    lower_energy: Array
    branch: NDArray[np.str_]


@cache
def shipped_lines() -> Lines:
    """The 485 lines of ``data/o2_lines.csv``."""
    table = pd.read_csv(data_file("o2_lines.csv"), comment="#", keep_default_na=False)
    columns = {name: table[name].to_numpy() for name in Lines.__dataclass_fields__}
    return Lines(**columns | {"branch": table["branch"].to_numpy(dtype=str)})


def read_hitran(path: str | Path) -> Lines:
    """O2 lines of a HITRAN download in 160-character records (``.par``; ``.data`` of hitran-api).

    Raises:
        SifnetError: a record is not 160 characters long or holds no number where HITRAN has one,
            or none is of O2 in 12 600-13 700 cm-1.
    """
    records = [r for r in Path(path).read_text().splitlines() if r.strip()]
    for number, record in enumerate(records, start=1):
        if len(record) < 160:
            raise SifnetError(
                f"line {number} is no HITRAN record",
                found=f"{len(record)} characters",
                expected="160",
                remedy="Download O2 (molecule 7) with hitran-api or from hitran.org as '.par'.",
                file=path,
            )
    records = [r for r in records if r[:2] == " 7" and 12600 < float(r[3:15]) < 13700]
    if not records:
        raise SifnetError(
            "no line of the O2 A band",
            found="none of molecule 7 in 12600-13700 cm-1",
            expected="the A band, 12800-13520 cm-1",
            file=path,
        )

    def column(first: int, last: int) -> Array:
        try:
            return np.array([float(r[first:last]) for r in records])
        except ValueError as error:
            raise SifnetError(
                f"columns {first + 1}-{last} of a HITRAN record hold no number",
                found=str(error).rpartition(": ")[2],
                expected="the layout of HITRAN 2004 and later",
                file=path,
            ) from error

    return Lines(
        isotopologue=column(2, 3).astype(int),
        wavenumber=column(3, 15),
        intensity=column(15, 25),
        air_width=column(35, 40),
        temperature_exponent=column(55, 59),
        air_shift=column(59, 67),
        lower_energy=column(45, 55),
        branch=np.array([_branch(r) for r in records]),
    )


def _branch(record: str) -> str:
    """Branch of a magnetic dipole line (mark d) of 16O2, b(v=0) - X(v=0); empty otherwise."""
    upper, lower, quanta = record[67:82].split(), record[82:97].split(), record[112:127].strip()
    if record[2] == "1" and upper == ["b", "0"] and lower == ["X", "0"] and quanta.endswith("d"):
        return quanta[:-1].replace(" ", "")
    return ""


@cache
def _mixing_table() -> tuple[list[str], CubicSpline]:
    table = pd.read_csv(data_file("o2_line_mixing.csv"), comment="#", index_col="branch")
    return list(table.index), CubicSpline(table.columns.astype(float), table.to_numpy().T)


def mixing_coefficients(branch: NDArray[np.str_], temperature: float) -> Array:
    """First-order line mixing Y, atm-1, of lines by branch; 0 where the branch does not mix."""
    branches, spline = _mixing_table()
    known = dict(zip(branches, spline(temperature), strict=True))
    return np.array([known.get(str(b), 0.0) for b in branch])


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
