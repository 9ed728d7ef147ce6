"""Make ``gas_bands.csv``: absorption by water vapour and O2 over 600-1000 nm, in 3 nm bands.

Direct sunlight of MODTRAN at four solar zenith angles (file MODTRAN.mat beside the SCOPE model of
van der Tol et al.) gives the optical depth by Langley's method: E = E0 cos(SZA) exp(-tau m).
What rises above the smooth scattering is absorption. It is told as the coefficient of Bird &
Riordan (1986, J. Appl. Meteorol. 25, 87-97, eq. 8), with which it grows more slowly than the
amount of water, for an assumed column of 2.9 g cm-2 (midlatitude summer).

    python data/make_gas_bands.py ../shared/data/modtran/MODTRAN.mat
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from scipy.io import loadmat
from scipy.optimize import brentq

COLUMN = 2.9  # g cm-2
FWHM = 3.0  # nm
GRID = np.arange(600.0, 1001.0)
# Without absorption but ozone's, which is smooth: there the smooth scattering is fitted.
CLEAN = ((664, 683), (705, 711), (748, 756), (772, 784), (850, 886))
OXYGEN = (685.0, 697.0)  # the B band; the A band is computed line by line
HEADER = """\
# Absorption over 600-1000 nm seen by bands of 3 nm (FWHM), from direct sunlight of MODTRAN by
# Langley's method (see make_gas_bands.py). water: coefficient a of Bird & Riordan (1986, eq. 8),
# optical depth 0.2385 a W m / (1 + 20.07 a W m)^0.45, W water column g cm-2, m air mass.
# oxygen: optical depth of the O2 B band at m = 1. The O2 A band is left out.
# wavelength (nm), water (1), oxygen (1)
"""


def optical_depth(path: Path) -> np.ndarray:
    """Optical depth at air masses 1.15 (30 degrees) to 2 (60 degrees), on GRID."""
    data = loadmat(path)["MODTRAN"][0, 0]
    wavelength, sun = data["wl"][:, 0], data["Esun"][:, [1, 3]]  # SZA 60 and 30
    near = (wavelength > GRID[0] - 10) & (wavelength < GRID[-1] + 10)
    order = np.argsort(wavelength[near])
    wavelength, sun = wavelength[near][order], sun[near][order]
    response = np.exp(-4 * np.log(2) * ((wavelength - GRID[:, None]) / FWHM) ** 2)
    bands = (response * np.gradient(wavelength)) @ sun
    mu = np.cos(np.radians([60.0, 30.0]))
    bands = bands / mu
    return np.log(bands[:, 1] / bands[:, 0]) / (1 / mu[0] - 1 / mu[1])


def coefficient(depth: float) -> float:
    """Bird & Riordan's coefficient whose optical depth grows by ``depth`` a unit air mass."""

    def growth(a: float) -> float:
        m = np.array([1 / np.cos(np.radians(30.0)), 2.0])
        tau = 0.2385 * a * COLUMN * m / (1 + 20.07 * a * COLUMN * m) ** 0.45
        return float((tau[1] - tau[0]) / (m[1] - m[0])) - depth

    return 0.0 if depth < 1e-4 else float(brentq(growth, 0.0, 1e4))


def main() -> None:
    """Write the table."""
    depth = optical_depth(Path(sys.argv[1]))
    clean = np.any([(low <= GRID) & (high >= GRID) for low, high in CLEAN], axis=0)
    x = np.log(GRID / 760)
    smooth = np.polyval(np.polyfit(x[clean], depth[clean], 4), x)
    absorbed = np.where(clean, 0.0, np.clip(depth - smooth, 0.0, None))
    absorbed[(GRID > 746) & (GRID < 784)] = 0.0
    absorbed[GRID < 684] = 0.0  # not to be told from ozone
    oxygen = (OXYGEN[0] <= GRID) & (OXYGEN[1] >= GRID)
    rows = [
        f"{w:.0f},{0.0 if o2 else coefficient(tau):.5g},{tau if o2 else 0.0:.4f}"
        for w, tau, o2 in zip(GRID, absorbed, oxygen, strict=True)
    ]
    target = Path(__file__).with_name("gas_bands.csv")
    target.write_text(HEADER + "\n".join(rows) + "\n")


if __name__ == "__main__":
    main()
