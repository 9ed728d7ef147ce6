"""Make the tables beside this from reference data: ``python tests/data/make.py FOLDER``."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd

HERE = Path(__file__).parent
SAO_FWHM = 0.04  # nm, of the spectrum itself


def sun(shared: Path) -> None:
    """Irradiance in Gaussian bands of 0.25 nm FWHM, of the spectrum's own width already."""
    path = shared / "solar" / "sao2010_700_820nm.csv"
    table = pd.read_csv(path, comment="#", names=["wavelength", "photons", "irradiance"])
    bands = np.arange(742.0, 782.1, 0.25)
    sigma = np.sqrt(0.25**2 - SAO_FWHM**2) / np.sqrt(8 * np.log(2))
    weight = np.exp(-0.5 * ((bands[:, None] - table.wavelength.to_numpy()) / sigma) ** 2)
    seen = weight @ table.irradiance.to_numpy() / weight.sum(1)
    rows = pd.DataFrame({"wavelength_nm": bands, "irradiance": seen})
    rows.to_csv(HERE / "sun.csv", index=False, float_format="%.6g")


def modtran(shared: Path) -> None:
    """Every fifth row of the T-18 system, in the ratios that the tests compare."""
    table = pd.read_csv(shared / "modtran" / "FLEX-S3_std_O2A_12979_13190.csv", skiprows=1)
    t = table.rename(columns=lambda name: name.strip("# ")).iloc[::5]
    two_way = t.tsstoo + t.tsdtoo + t.tsstdo + t.tsdtdo
    rows = pd.DataFrame({
        "wavenumber": t.wn_cm1, "path": t.rso, "two_way": two_way, "up": t.too + t.tdo,
        "down": t.tss + t.tsd, "spherical_albedo": t.rdd,
    })  # fmt: skip
    rows.to_csv(HERE / "modtran.csv", index=False, float_format="%.4g")


if __name__ == "__main__":
    sun(Path(sys.argv[1]))
    modtran(Path(sys.argv[1]))
