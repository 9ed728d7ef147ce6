"""Make the spectroscopic and solar tables of this folder from the published files they rest on.

    python data/make_tables.py REFERENCE [--output FOLDER]

Every table is a small CSV of facts in our own layout, its source and units in its first lines.
They ship with sifnet: run this only to change a source or a range.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from sifnet.physics.solar import RANGE, solar_transmittance

Array = NDArray[np.float64]

BOLTZMANN_CM = 1.4387769  # h c / k, cm K
LOSCHMIDT = 2.6867811e19  # molecules cm-3 of 1 amagat
MIXING_TEMPERATURES = np.arange(160.0, 341.0, 10.0)
FWHM_PER_SIGMA = np.sqrt(8 * np.log(2))
CIA_O2_SHARE = 0.209  # O2 mixing ratio of the air whose absorption Tran & Hartmann tabulate

REFERENCE_HELP = """\
Folder with the published files: lines/o2_aband_hitran2012.csv (HITRAN2012; Rothman et al. 2013),
lines/tccon_SDFO2.dat, tccon_RMFO2.dat, tccon_CIAO2.dat (line parameters, relaxation matrix and
collision-induced absorption of Tran & Hartmann 2008, from the GGG software of TCCON),
xsec/sasktran189_o3_o2o2_740_790nm.npz (O3 of Daumont, Brion and Malicet 1992),
solar/toon_disk_integrated_12600_13700.txt (solar lines of G. Toon) and
solar/sao2010_700_820nm.csv (Chance & Kurucz 2010)."""


def o2_lines(reference: Path) -> tuple[str, pd.DataFrame]:
    """Lines of 16O2, 16O18O and 16O17O in HITRAN's conventions."""
    source = pd.read_csv(reference / "lines" / "o2_aband_hitran2012.csv")
    table = pd.DataFrame(
        {
            "isotopologue": source["iso"],
            "wavenumber": source["nu_cm1"].map("{:.6f}".format),
            "intensity": source["S_296K_cm_molec"].map("{:.3e}".format),
            "air_width": source["gamma_air"],
            "temperature_exponent": source["n_air"],
            "air_shift": source["delta_air"],
            "lower_energy": source["E_lower"].map("{:.4f}".format),
            "branch": [
                branch_name(*row)
                for row in source[["iso", "branch", "upper", "lower"]].itertuples(index=False)
            ],
        }
    )
    header = (
        "O2 A band lines, HITRAN2012 (Rothman et al. 2013, doi 10.1016/j.jqsrt.2013.07.002).\n"
        "HITRAN isotopologue number; cm-1; cm molecule-1 at 296 K, abundance included; "
        "cm-1 atm-1 (HWHM, 296 K); 1; cm-1 atm-1; cm-1;\n"
        "branch of the magnetic dipole lines of 16O2 b(0)-X(0), empty for all others"
    )
    return header, table


def branch_name(isotopologue: int, quanta: str, upper: str, lower: str) -> str:
    """``P29Q28`` of a magnetic dipole line (HITRAN's mark d) of the 16O2 0-0 band, else empty."""
    if isotopologue != 1 or not quanta.endswith("d") or upper[-1] != "0" or lower[-1] != "0":
        return ""
    return quanta[:-1].replace(" ", "")


def line_mixing(reference: Path) -> tuple[str, pd.DataFrame]:
    """Y of the 70 mixing lines on a grid of temperatures."""
    header = (
        "First-order line mixing coefficients Y of the O2 A band in air, atm-1, at temperatures\n"
        "of the columns, K; from the relaxation matrix of Tran & Hartmann (2008, \n"
        "doi 10.1029/2008JD010011), renormalised as there"
    )
    return header, mixing_at_temperatures(reference, mixing_lines(reference))


def mixing_at_temperatures(reference: Path, lines: pd.DataFrame) -> pd.DataFrame:
    """Y of lines as ``mixing_lines`` reads them, their wavenumbers those of A or another band."""
    count = len(lines)
    elements = [
        (float(row[:15]), float(row[15:31]))
        for row in (reference / "lines" / "tccon_RMFO2.dat").read_text().splitlines()
    ]
    at_296, exponent = np.array(elements).T.reshape(2, count, count)
    coefficients = np.array(
        [first_order_mixing(lines, at_296 * (296 / t) ** exponent, t) for t in MIXING_TEMPERATURES]
    )
    table = pd.DataFrame(
        {f"{t:.0f}": c for t, c in zip(MIXING_TEMPERATURES, coefficients, strict=True)}
    ).map("{:.5g}".format)
    table.insert(0, "branch", lines["branch"])
    return table


def mixing_lines(reference: Path) -> pd.DataFrame:
    """The 70 lines of the relaxation matrix, in its order."""
    columns = ["wavenumber", "population", "rotor_dipole", "dipole", "lower_energy"]
    columns += ["width", "exponent", "shift"]
    numbers = [(0, 12), (14, 23), (25, 34), (35, 44), (46, 56), (58, 63), (65, 69), (71, 80)]
    rows = (reference / "lines" / "tccon_SDFO2.dat").read_text().splitlines()
    table = pd.DataFrame([[float(r[a:b]) for a, b in numbers] for r in rows], columns=columns)
    table["branch"] = [r[80:].replace(" ", "") for r in rows]
    return table


def first_order_mixing(lines: pd.DataFrame, relaxation: Array, temperature: float) -> Array:
    """Y_l = sum over k != l of 2 (d_k / d_l) W_kl / (nu_l - nu_k), atm-1 (Tran & Hartmann 2008).

    Args:
        lines: as read by ``mixing_lines``, n rows.
        relaxation: (n, n) W_lk at this temperature, cm-1 atm-1, as tabulated: row l, column k.
        temperature: K.
    """
    energy = lines["lower_energy"].to_numpy()
    # The partition function cancels in every ratio of populations.
    population = lines["population"].to_numpy() * np.exp(
        BOLTZMANN_CM * energy * (1 / 296 - 1 / temperature)
    )
    wavenumber, dipole = lines["wavenumber"].to_numpy(), lines["dipole"].to_numpy()
    relaxation = relaxation.copy()
    ratio = population[:, None] / population  # [k, l] = population_k / population_l
    upward = energy[:, None] >= energy  # [k, l]: transfer l -> k goes up in energy
    # Order matters for equal energies: the published procedure runs over l outermost.
    for line in range(len(lines)):
        up = upward[:, line]
        relaxation[up, line] = relaxation[line, up] * ratio[up, line]
    width = lines["width"] * (296 / temperature) ** lines["exponent"]
    np.fill_diagonal(relaxation, width)
    _renormalise(relaxation, lines, ratio)
    spacing = wavenumber - wavenumber[:, None]  # [k, l] = nu_l - nu_k
    np.fill_diagonal(spacing, np.inf)
    return np.sum(2 * dipole[:, None] / dipole * relaxation / spacing, axis=0)


def _renormalise(relaxation: Array, lines: pd.DataFrame, ratio: Array) -> None:
    """Scale W in place, line by line in the file's order, so that the sum rule holds:

    sum_k d_k W_kl = 0.04 d_l (1 - |m| / 36)^2, with rigid rotor dipoles d.
    """
    rotor = lines["rotor_dipole"].to_numpy()
    branch = lines["branch"]
    n = branch.str.extract(r"^[PR](\d+)")[0].astype(int)
    m = np.where(branch.str[0] == "P", n, n + 1)
    residual = 0.04 * rotor * (1 - m / 36) ** 2
    for line in range(len(lines) - 1):
        done, rest = slice(None, line + 1), slice(line + 1, None)
        fixed = rotor[done] @ relaxation[done, line]
        free = rotor[rest] @ relaxation[rest, line]
        relaxation[rest, line] *= -(fixed - residual[line]) / free
        relaxation[line, rest] = relaxation[rest, line] / ratio[rest, line]


def collision_induced_absorption(reference: Path) -> tuple[str, pd.DataFrame]:
    """Per O2 molecule and air molecule.

    The published table is the absorption of *air*, cm-1 amagat-2: its O2 is divided out. HITRAN's
    O2-O2 coefficient, and a real spectrum at high air mass, confirm the magnitude.
    """
    wavenumber, per_amagat2 = np.loadtxt(reference / "lines" / "tccon_CIAO2.dat").T
    binary = per_amagat2 / CIA_O2_SHARE / LOSCHMIDT**2
    table = pd.DataFrame(
        {
            "wavenumber": wavenumber.astype(int),
            "coefficient": [f"{b:.4e}" for b in np.maximum(binary, 0)],
        }
    )
    header = (
        "Collision-induced absorption of O2 in air, A band (Tran & Hartmann 2008, \n"
        "doi 10.1029/2008JD010011): cm-1; cm5 molecule-2, per O2 molecule and air molecule"
    )
    return header, table


def o3_cross_section(reference: Path) -> tuple[str, pd.DataFrame]:
    """Every nanometre: the Chappuis band is smooth here."""
    data = np.load(reference / "xsec" / "sasktran189_o3_o2o2_740_790nm.npz")
    wavelength, fine = data["wavelength_nm"], data["O3DBM"]
    at = np.arange(740.0, 790.1, 1.0)
    # A parabola over +-2 nm: the noise of the laboratory spectrum goes, the band shape stays.
    smooth = []
    for centre in at:
        near = np.abs(wavelength - centre) <= 2.0
        smooth.append(np.polyfit(wavelength[near] - centre, fine[near] * 1e22, 2)[-1] * 1e-22)
    table = pd.DataFrame({"wavelength": at.astype(int), "cross_section": np.array(smooth)})
    table["cross_section"] = table["cross_section"].map("{:.4e}".format)
    header = (
        "Ozone, Chappuis band wing, near 223 K (Daumont, Brion, Malicet et al. 1992, \n"
        "doi 10.1007/BF00053756), smoothed over 4 nm: nm in vacuum; cm2 molecule-1"
    )
    return header, table


def solar_lines(reference: Path) -> tuple[str, pd.DataFrame]:
    """The 825 lines of 12 600-13 700 cm-1."""
    path = reference / "solar" / "toon_disk_integrated_12600_13700.txt"
    columns = {"wavenumber": (3, 15), "strength": (15, 25), "width": (25, 35), "doppler": (35, 40)}
    rows = path.read_text().splitlines()
    formats = ("{:.4f}", "{:.3e}", "{:.3e}", "{:.4f}")
    table = pd.DataFrame(
        {
            name: [form.format(float(r[a:b])) for r in rows]
            for (name, (a, b)), form in zip(columns.items(), formats, strict=True)
        }
    )
    header = (
        "Solar lines of the disk-integrated pseudo-transmittance exp(-sum s exp(-x^2 / \n"
        "sqrt(d^4 + x^2 y^2))), x in cm-1 from line centre; list of G. C. Toon (JPL), as \n"
        "distributed with RtRetrievalFramework, Copyright (c) 2017 California Institute of \n"
        "Technology, BSD-3-Clause (notice in README.md): cm-1; s (1); y (cm-1); d (cm-1)"
    )
    return header, table


def solar_continuum(reference: Path) -> tuple[str, pd.DataFrame]:
    """SAO2010 divided by the lines, both as sharp as SAO2010 is, every 0.02 nm."""
    fwhm, step = 0.04, 0.01  # nm
    source = pd.read_csv(
        reference / "solar" / "sao2010_700_820nm.csv",
        comment="#",
        names=["wavelength", "photons", "irradiance"],
    )
    wavenumber = np.arange(RANGE[0], RANGE[1], 0.01)
    fine = np.arange(731.4, 792.0, step / 10)
    lines = np.interp(fine, 1e7 / wavenumber[::-1], solar_transmittance(wavenumber)[::-1])
    lines = gaussian_filter1d(lines, 10 * fwhm / FWHM_PER_SIGMA / step)
    at = np.arange(731.5, 791.9, 2 * step)
    sao = np.interp(at, source["wavelength"], source["irradiance"])
    ratio = sao / np.interp(at, fine, lines)
    table = pd.DataFrame(
        {
            "wavelength": [f"{v:.2f}" for v in at],
            "irradiance": [f"{v:.1f}" for v in ratio],
        }
    )
    header = (
        "Solar irradiance at 1 AU by which the transmittance of solar_lines.csv is multiplied to\n"
        "give, at 0.04 nm, the spectrum of Chance & Kurucz (2010, doi\n"
        "10.1016/j.jqsrt.2010.01.036): nm in vacuum; mW m-2 nm-1"
    )
    return header, table


NEEDED = [
    "lines/o2_aband_hitran2012.csv",
    "lines/tccon_SDFO2.dat",
    "lines/tccon_RMFO2.dat",
    "lines/tccon_CIAO2.dat",
    "xsec/sasktran189_o3_o2o2_740_790nm.npz",
    "solar/toon_disk_integrated_12600_13700.txt",
    "solar/sao2010_700_820nm.csv",
]

TABLES = {
    "o2_lines.csv": o2_lines,
    "o2_line_mixing.csv": line_mixing,
    "o2_cia.csv": collision_induced_absorption,
    "o3_cross_section.csv": o3_cross_section,
    "solar_lines.csv": solar_lines,
    "solar_continuum.csv": solar_continuum,  # rests on solar_lines.csv
}


def main() -> None:
    """Make every table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("reference", type=Path, help=REFERENCE_HELP)
    parser.add_argument(
        "--output", type=Path, default=Path(__file__).parent, help="where the tables go"
    )
    arguments = parser.parse_args()
    if missing := [name for name in NEEDED if not (arguments.reference / name).exists()]:
        parser.error(
            f"{arguments.reference} lacks {', '.join(missing)}; --help says what each of them is"
        )
    for name, make in TABLES.items():
        header, table = make(arguments.reference)
        path = arguments.output / name
        comment = "".join(f"# {line.rstrip()}\n" for line in header.splitlines())
        path.write_text(comment + table.to_csv(index=False))
        print(f"{path}: {len(table)} rows, {path.stat().st_size / 1e3:.1f} kB")


if __name__ == "__main__":
    main()
