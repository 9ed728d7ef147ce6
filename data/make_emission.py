"""Make data/emission.csv: what canopies emit from 660 to 800 nm, as a mean and three components.

    python data/make_emission.py SCOPE.npz LEAF.csv

SCOPE.npz holds the verification run of SCOPE 2 (van der Tol et al. 2009; Yang et al. 2021):
``wlF_nm``, ``F_mW_m2_nm_sr`` and ``reflectance``, (scene, wavelength). LEAF.csv is the emission of
a leaf under the FluoWat clip, ``Wavelength`` and ``Rad_mean``. The leaf is not in the table: it
tells how far what is measured may lie from what the canopies span. That and the roughness of the
canopies' reflectance are printed; they are constants of ``sifnet.retrieval.full_spectrum``. Printed
too, for ``sifnet.retrieval.whole_emission``: scores where a canopy counts as much as it emits.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd

COMPONENTS = 3
RANGE, WINDOW = (660.0, 800.0), (670.0, 780.0)  # nm
HEADER = f"""\
Canopy fluorescence leaving the surface relative to 760 nm, from the 93 fluorescing canopies of the
verification data set of SCOPE 2 (Yang et al. 2021, doi 10.5194/gmd-14-4697-2021; van der Tol et al.
2009). A canopy's emission is level (mean + sum of scores times components).
wavelength (nm), mean (1), {COMPONENTS} principal components (1, each at one standard deviation)"""


def main(scope: Path, leaf: Path) -> None:
    """Write the table, and print what the two constants rest on."""
    data = np.load(scope)
    wavelength, emission = data["wlF_nm"], data["F_mW_m2_nm_sr"]
    # The shapes of nearly dark canopies are rounding errors of the run, not physics.
    keep = emission[:, wavelength == 760.0][:, 0] > 0.05
    inside = (wavelength >= RANGE[0]) & (wavelength <= RANGE[1])
    shapes = (emission[keep] / emission[keep][:, wavelength == 760.0])[:, inside]
    mean = shapes.mean(axis=0)
    _, singular, components = np.linalg.svd(shapes - mean, full_matrices=False)
    components = components * singular[:, None] / np.sqrt(keep.sum() - 1)
    components *= np.sign(components[:, [np.argmax(wavelength[inside] == 687.0)]])
    np.savetxt(
        Path(__file__).with_name("emission.csv"),
        np.column_stack([wavelength[inside], mean, components[:COMPONENTS].T]),
        fmt=("%.0f", *("%.5f",) * (1 + COMPONENTS)),
        delimiter=",",
        header=HEADER,
    )
    shares = singular**2 / (singular**2).sum()
    print(f"{keep.sum()} canopies; components hold {shares[:COMPONENTS].round(4)}")
    kept = components[:COMPONENTS]
    scores = np.linalg.lstsq(kept.T, (shapes - mean).T, rcond=None)[0]
    level = emission[keep][:, wavelength == 760.0][:, 0]
    root = np.linalg.cholesky(np.cov(scores, aweights=level, ddof=0))
    print(f"weighed by level: mean {np.average(scores, axis=1, weights=level).round(3)}, {root=}")

    window = (wavelength >= WINDOW[0]) & (wavelength <= WINDOW[1])
    table = pd.read_csv(leaf)
    measured = np.interp(wavelength, table["Wavelength"], table["Rad_mean"])
    measured = (measured / measured[wavelength == 760.0])[window]
    known, spanned = mean[window[inside]], components[:COMPONENTS, window[inside]].T
    # The leaf's scores, twice a standard deviation being as likely as a misfit of a tenth.
    weighed = spanned / (0.1 * known[:, None])
    system = weighed.T @ weighed / 20 + np.eye(COMPONENTS) / 4
    scores = np.linalg.solve(system, weighed.T @ ((measured - known) / (0.1 * known)) / 20)
    left = 1 - (known + spanned @ scores) / measured
    print(f"the leaf lies {np.sqrt((left**2).mean()):.1%} (rms) beside what they span")
    every = slice(None, None, 5)
    steps = np.diff(data["reflectance"][keep][:, window][:, every], n=3, axis=1)
    print(f"third differences of reflectance at 5 nm: {np.sqrt((steps**2).mean()):.4f} (rms)")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
