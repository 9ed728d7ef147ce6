"""Make the tables of the O2 B band, b(1)-X(0), from levels and lines that are published.

    python data/make_o2_b_lines.py REFERENCE [--output FOLDER]

REFERENCE is the folder of ``make_tables.py``, of which HITRAN2012 (Rothman et al. 2013, doi
10.1016/j.jqsrt.2013.07.002) and the relaxation matrix of Tran & Hartmann (2008) are read. The A
band has every lower level that the B band starts from, and its hot band b(1)-X(1) the upper levels
that it ends in, to J = 30, so that the positions of 16O2 follow by the combination principle. No
line of the B band itself is read.

Upper levels of 16O18O and 16O17O are those of 16O2 scaled by reduced mass. Intensities are those
of the A band from the same lower level in the same branch, times frequency, and scaled to the
strength of the B band; widths and shifts are those of the A band too.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
from make_tables import branch_name, mixing_at_temperatures, mixing_lines
from numpy.typing import NDArray

Array = NDArray[np.float64]

BAND_STRENGTH = 1.52e-23  # cm molecule-1 at 296 K, of 16O2 with its abundance
"""40.8 cm-1 km-1 atm-1 at 273 K: Giver, Boese & Miller (1974, J. Quant. Spectrosc. Radiat. Transfer
14, 793-802), as others quote it; three direct suns find 0.99 to 1.03 of it (docs/anchors.md)."""
ANHARMONICITY = 14.00  # cm-1, omega_e x_e of b (Huber & Herzberg 1979)
MASS = {1: (15.9949146, 15.9949146), 2: (15.9949146, 17.9991596), 3: (15.9949146, 16.9991318)}
"""u, of the atoms of HITRAN's isotopologues (AME 2020)."""
WEAKEST = 1e-30  # cm molecule-1
BRANCH_PREFIX = "B:"  # of branches, as those of the A band have the same names

MIXING_HEADER = """\
# First-order line mixing coefficients Y of the O2 B band in air, atm-1, at temperatures of the
# columns, K; from the relaxation matrix of the A band (Tran & Hartmann 2008, doi
# 10.1029/2008JD010011) at the positions of o2_b_lines.csv, by make_o2_b_lines.py
"""
HEADER = """\
# O2 B band lines, b(1)-X(0): positions are differences of levels of HITRAN2012 (Rothman et al.
# 2013, doi 10.1016/j.jqsrt.2013.07.002), intensities and widths those of its A band by rotational
# state, scaled to 1.52e-23 cm molecule-1 (Giver et al. 1974); by make_o2_b_lines.py
# HITRAN isotopologue number; cm-1; cm molecule-1 at 296 K, abundance included;
# cm-1 atm-1 (HWHM, 296 K); 1; cm-1 atm-1; cm-1;
# branch of lines of 16O2 that may mix (o2_b_line_mixing.csv), empty for all others
"""


def levels(lines: pd.DataFrame) -> pd.Series:
    """Energy of the upper level, cm-1, by its J."""
    return (lines["nu_cm1"] + lines["E_lower"]).groupby(upper_rotation(lines["branch"])).mean()


def upper_rotation(branch: pd.Series) -> pd.Series:
    """J' of ``P29Q 28 d``: N'' = 29 and one less, as b has no spin (J' = N')."""
    letter, lower = branch.str[0], branch.str.replace(" ", "").str.extract(r"^.(\d+)")[0]
    return lower.astype(int) + letter.map({"O": -2, "P": -1, "Q": 0, "R": 1, "S": 2})


def constants(energy: pd.Series) -> Array:
    """T, B and -D of a singlet, cm-1: fitted to its levels."""
    x = energy.index.to_numpy(float)
    return np.linalg.lstsq(np.vander(x * (x + 1), 3, increasing=True), energy, rcond=None)[0]


def b_lines(source: pd.DataFrame) -> pd.DataFrame:
    """The table, from HITRAN's lines of the A band and of the hot band beside it."""
    dipole = source["branch"].str.endswith("d")  # the quadrupole lines are 1e5 times weaker
    main = source[dipole & (source["upper"] == "b 0") & (source["lower"] == "X 0")]
    hot = source[dipole & (source["upper"] == "b 1") & (source["lower"] == "X 1")]
    of_hot, of_main = constants(levels(hot)), constants(levels(main[main["iso"] == 1]))
    rows = []
    for isotopologue, lines in main.groupby("iso"):
        rotation = upper_rotation(lines["branch"])
        energy = polynomial(upper_constants(int(isotopologue), lines, of_hot, of_main), rotation)
        if isotopologue == 1:  # the published levels themselves, as far as they go
            energy = rotation.map(levels(hot)).fillna(energy)
        quanta = lines[["iso", "branch", "upper", "lower"]].itertuples(index=False)
        name = [branch_name(*row) for row in quanta]
        rows.append(lines.assign(position=energy - lines["E_lower"], branch=name))
    table = pd.concat(rows)
    intensity = table["S_296K_cm_molec"] * table["position"] / table["nu_cm1"]
    table["intensity"] = intensity * BAND_STRENGTH / intensity[table["iso"] == 1].sum()
    return table[table["intensity"] > WEAKEST].sort_values("position")


def upper_constants(isotopologue: int, lines: pd.DataFrame, hot: Array, main: Array) -> Array:
    """T, B and -D of b(1), cm-1: of 16O2, or what scaling by reduced mass adds to b(0)'s."""
    if isotopologue == 1:
        return hot
    rho = np.sqrt(reduced_mass(1) / reduced_mass(isotopologue))
    ours = constants(levels(lines))
    quantum = rho * (hot[0] - main[0]) + 2 * ANHARMONICITY * rho * (1 - rho)
    return ours + np.array([quantum, *((hot - main)[1:] * rho ** np.array([3, 5]))])


def reduced_mass(isotopologue: int) -> float:
    """u."""
    one, other = MASS[isotopologue]
    return one * other / (one + other)


def polynomial(coefficients: Array, rotation: pd.Series) -> pd.Series:
    """Term values, cm-1."""
    x = rotation * (rotation + 1.0)
    return coefficients[0] + coefficients[1] * x + coefficients[2] * x**2


def b_mixing(reference: Path, lines: pd.DataFrame) -> pd.DataFrame:
    """Y of the B band: the A band's relaxation matrix, of the lower levels, at B's positions."""
    ours = lines[lines["branch"] != ""].set_index("branch")["position"]
    mixing = mixing_lines(reference)
    mixing["wavenumber"] = mixing["branch"].map(ours)
    table = mixing_at_temperatures(reference, mixing)
    table["branch"] = BRANCH_PREFIX + table["branch"]
    return table


def main() -> None:
    """Make the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("reference", type=Path)
    parser.add_argument("--output", type=Path, default=Path(__file__).parent)
    arguments = parser.parse_args()
    lines = b_lines(pd.read_csv(arguments.reference / "lines" / "o2_aband_hitran2012.csv"))
    table = pd.DataFrame(
        {
            "isotopologue": lines["iso"],
            "wavenumber": lines["position"].map("{:.4f}".format),
            "intensity": lines["intensity"].map("{:.3e}".format),
            "air_width": lines["gamma_air"],
            "temperature_exponent": lines["n_air"],
            "air_shift": lines["delta_air"],
            "lower_energy": lines["E_lower"].map("{:.4f}".format),
            "branch": [BRANCH_PREFIX + b if b else "" for b in lines["branch"]],
        }
    )
    for name, header, rows in (
        ("o2_b_lines.csv", HEADER, table),
        ("o2_b_line_mixing.csv", MIXING_HEADER, b_mixing(arguments.reference, lines)),
    ):
        path = arguments.output / name
        path.write_text(header + rows.to_csv(index=False))
        print(f"{path}: {len(rows)} rows, {path.stat().st_size / 1e3:.1f} kB")


if __name__ == "__main__":
    main()
