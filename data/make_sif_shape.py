"""Make data/sif_shape.csv: the mean shape of fluorescence emission over 100 SCOPE canopies.

    python data/make_sif_shape.py SCOPE.npz

SCOPE.npz holds the verification run of SCOPE 2 (van der Tol et al. 2009; Yang et al. 2021):
``wlF_nm`` (wavelength) and ``F_mW_m2_nm_sr`` (scene, wavelength).
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

HEADER = """\
Shape of canopy fluorescence at the surface, relative to 760 nm, from the 100 canopies of the
verification data set of SCOPE 2 (Yang et al. 2021, doi 10.5194/gmd-14-4697-2021; van der Tol et
al. 2009). Scenes without fluorescence left out. A canopy's shape is mean + score * pc1.
wavelength (nm), mean (1), first principal component (1, at one standard deviation)"""


def main(scope: Path) -> None:
    """Average the shapes and write the table."""
    data = np.load(scope)
    wavelength, emission = data["wlF_nm"], data["F_mW_m2_nm_sr"]
    at_760 = emission[:, wavelength == 760.0]
    # The shapes of nearly dark canopies are rounding errors of the run, not physics.
    keep = at_760[:, 0] > 0.05
    shapes = emission[keep] / at_760[keep]
    mean = shapes.mean(axis=0)
    _, singular, components = np.linalg.svd(shapes - mean, full_matrices=False)
    pc1 = components[0] * singular[0] / np.sqrt(keep.sum() - 1)
    window = (wavelength >= 640.0) & (wavelength <= 850.0)
    np.savetxt(
        Path(__file__).with_name("sif_shape.csv"),
        np.column_stack([wavelength, mean, pc1 * np.sign(pc1[wavelength == 740.0])])[window],
        fmt=("%.0f", "%.5f", "%.5f"),
        delimiter=",",
        header=HEADER,
    )
    print(f"{keep.sum()} canopies; pc1 holds {singular[0] ** 2 / (singular**2).sum():.1%}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
