"""Real FloX spectra: the whole emission beside what SPECFIT, SFM and iFLD make of it.

    python tests/benchmarks/field.py                             (make field, two minutes)

Two blocks of 2025-06-15 and ten low-sun spectra over a forest (``../shared/data/INDEX.md``).
Writes ``docs/field.md``, ``docs/flox.png`` and a table of the README.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import xarray as xr
from harness import DATA, UNIT, Array, needed, page, put_in_results, run, save, table, within
from matplotlib.axes import Axes

import sifnet
from sifnet.evaluation.methods.fld import fld_scene
from sifnet.physics.windows import RED
from sifnet.product.measured_light import solve_scene
from sifnet.product.netcdf import trusted
from sifnet.retrieval.emission import Measured
from sifnet.retrieval.physiology import Greenness, light_from_red, quantum_efficiency
from sifnet.retrieval.whole_emission import whole_emission
from sifnet.scenes.registration import registered

FOLDER = DATA / "flox"
CANOPIES = Path(__file__).resolve().parents[1] / "data" / "scope_canopies.csv"
PLACE = {"latitude": 42.859, "longitude": 11.055, "ground_elevation": 0.01}
TOWER = {"latitude": 47.478, "longitude": 8.364, "ground_elevation": 0.682, "utc_offset_hours": 1.0,
         "wavelength_medium": "vacuum"}  # fmt: skip
FIRST = 33  # measurements of the first block
COMPARED = (  # ours, theirs, label, unit
    ("sif_760", "specfit_o2a", "O2-A, SPECFIT"),
    ("sif_760", "sfm_o2a", "O2-A, SFM"),
    ("sif_760", "ifld_o2a", "O2-A, iFLD"),
    ("sif_687", "specfit_o2b", "O2-B, SPECFIT"),
    ("sif_687", "sfm_o2b", "O2-B, SFM"),
    ("sif_687", "ifld_o2b", "O2-B, iFLD"),
    ("sif_far_red_peak", "specfit_far_red_peak", "far-red peak, SPECFIT"),
    ("sif_far_red_peak_wavelength", "specfit_far_red_peak_nm", "its place (nm), SPECFIT"),
    ("sif_red_peak", "specfit_red_peak", "red peak, SPECFIT"),
    ("total_integrated_sif", "specfit_integral_mw_m2_sr", "integral (mW m⁻² sr⁻¹), SPECFIT"),
)
OWN = {"o2a": ("specfit_o2a", "sfm_o2a"), "o2b": ("specfit_o2b", "sfm_o2b")}
HEAD = ("", "r", "within block 1 / 2", "mean difference", "of the mean", "within σ of both",
        "stated σ, mean")  # fmt: skip


@dataclass(frozen=True)
class Compared:
    """Two series of the same measurements; NaN in either is left out."""

    ours: Array
    theirs: Array
    sigma: Array

    @property
    def block(self) -> Array:
        """(measurement) whether it belongs to the first block."""
        return np.arange(len(self.ours)) < FIRST

    def r(self, chosen: Array | None = None) -> float:
        """Correlation, of some measurements by default of all."""
        used = np.isfinite(self.ours) & np.isfinite(self.theirs)
        used = used if chosen is None else used & chosen
        return float(np.corrcoef(self.ours[used], self.theirs[used])[0, 1])

    def difference(self) -> tuple[float, float]:
        """Mean difference, and its share of the mean of theirs."""
        used = np.isfinite(self.ours) & np.isfinite(self.theirs)
        mean = float((self.ours - self.theirs)[used].mean())
        return mean, mean / float(self.theirs[used].mean())

    def within(self, own: float) -> float:
        """Share of the differences within one standard deviation of both."""
        used = np.isfinite(self.ours) & np.isfinite(self.theirs)
        near = abs(self.ours - self.theirs) < np.hypot(self.sigma, own)
        return float(near[used].mean())

    def cells(self, own: float | None) -> list[str]:
        """Of the table."""
        mean, share = self.difference()
        blocks = " / ".join(f"{self.r(b):.3f}" for b in (self.block, ~self.block))
        within = "" if own is None else f"{100 * self.within(own):.0f} %"
        return [f"{self.r():.3f}", blocks, f"{mean:+.3f}", f"{100 * share:+.1f} %", within,
                f"{np.nanmean(self.sigma):.3f}"]  # fmt: skip


def compared(product: xr.Dataset, reference: pd.DataFrame, ours: str, theirs: str) -> Compared:
    """A quantity of the product beside a column of the references."""
    values, sigma = (product[n].values[:, 0].astype(float) for n in (ours, f"{ours}_uncertainty"))
    return Compared(values, reference[theirs].to_numpy(float), sigma)


def own_sigma(reference: pd.DataFrame, theirs: str) -> float | None:
    """What a reference may be wrong by: SPECFIT's differences from SFM, shared between both."""
    pair = OWN.get(theirs.split("_")[-1])
    if pair is None:
        return None
    return float((reference[pair[0]] - reference[pair[1]]).std() / np.sqrt(2))


def seconds_of_command(folder: Path) -> tuple[float, float]:
    """Processor and wall seconds of ``sifnet retrieve`` from files to product and pictures."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    place = ",".join(str(x) for x in (PLACE["latitude"], PLACE["longitude"], 10))
    command = [sys.executable, "-m", "sifnet.cli", "retrieve", str(folder), "-o",
               str(folder / "out"), "--site", place]  # fmt: skip
    subprocess.run(command, check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    spent = (after.ru_utime + after.ru_stime) - (before.ru_utime + before.ru_stime)
    return spent, time.perf_counter() - start


def main() -> None:
    """Compare, and write the page."""
    needed(FOLDER)
    reference = pd.read_csv(FOLDER / "reference_sif_full.csv")
    with page("field", "Real FloX spectra", INTRODUCTION) as add:
        with tempfile.TemporaryDirectory() as scratch:
            for file in FOLDER.glob("Py_*.csv"):
                (Path(scratch) / file.name).symlink_to(file)
            scene = sifnet.open_scene(scratch, sensor="flox", **PLACE)
            spent, wall = seconds_of_command(Path(scratch))
            product = sifnet.retrieve(scene).load()
            start = time.process_time()
            solve_scene(registered(scene))
            solving = time.process_time() - start
            other = fld_scene(scene, "3FLD")[:, 0]
        found = {label: (compared(product, reference, ours, theirs), own_sigma(reference, theirs))
                 for ours, theirs, label in COMPARED}  # fmt: skip
        rows = [[label, *pair.cells(own)] for label, (pair, own) in found.items()]
        add("## Two blocks, 115 measurements", table(HEAD, rows), NOTE)
        add(references(reference), from_760(reference))
        add(f"`sifnet retrieve` took {spent:.0f} s of processor time ({wall:.0f} s) from CSV to "
            f"product and pictures, most of it to import; solving all spectra took {solving:.1f} s "
            f"on one core.")  # fmt: skip
        add("![Our numbers against theirs](flox.png)")
        add("## A forest under a low sun", *tower())
        add(PLANTS, canopies(), *course(product))
        add(LIMITS)
        put_in_results("flox", readme(found, reference, other))
        draw(found)


def references(reference: pd.DataFrame) -> str:
    """How far the references agree with each other."""
    rows = []
    for band, (one, two) in OWN.items():
        pair = Compared(reference[one].to_numpy(), reference[two].to_numpy(), np.zeros(115))
        third = Compared(reference[f"ifld_{band}"].to_numpy(), reference[two].to_numpy(),
                         np.zeros(115))  # fmt: skip
        for name, each in (("SPECFIT and SFM", pair), ("iFLD and SFM", third)):
            rows.append([f"{band.upper().replace('O2', 'O2-')}, {name}", *each.cells(None)[:4]])
    return "### The references with each other\n\n" + table(HEAD[:5], rows)


def from_760(reference: pd.DataFrame) -> str:
    """What canopies of SCOPE would make of SIF at 687 nm where only that at 760 nm were known."""
    rows, block = [], np.arange(len(reference)) < FIRST
    for method in ("specfit", "sfm"):
        far, near = (reference[f"{method}_{band}"].to_numpy(float) for band in ("o2a", "o2b"))
        nothing = np.zeros_like(far)
        said = whole_emission(Measured(far, nothing, nothing)).at(RED.reference)
        for name, some in (("1", block), ("2", ~block)):
            ratio, expected = (near / far)[some], (said.value / far)[some].mean()
            rows.append([method.upper(), name, f"{ratio.mean():.2f} ± {ratio.std():.2f}",
                         f"{expected:.2f} ± {(said.sd / far)[some].mean():.2f}",
                         " / ".join(within(((said.value - near) / said.sd)[some]))])  # fmt: skip
    head = ("of", "block", "O2-B / O2-A", "SCOPE's canopies", "within σ / 2σ")
    return f"{FROM_760}\n\n{table(head, rows)}"


def tower() -> tuple[str, str]:
    """Lägeren: what is found, and how well it is explained."""
    file = FOLDER / "laegeren_20180611_flox_radiance.npz"
    rows = []
    for height in (0.002, 0.02):
        scene = sifnet.open_scene(file, sensor="flox", sensor_height=height, **TOWER)
        product = sifnet.retrieve(scene)
        cells = [f"{product[n].values.min():.2f} to {product[n].values.max():.2f}"
                 for n in ("sif_760", "sif_687")]  # fmt: skip
        flagged = int((product["quality_flag"].values != 0).sum())
        chi2 = float(product["chi2_reduced"].mean())
        rows.append([f"{1e3 * height:.0f} m", *cells, f"{chi2:.2f}",
                     f"{flagged} of {scene.shape[0]}"])  # fmt: skip
    head = ("sensor above the canopy", f"SIF at 760 nm, {UNIT}", "at 687 nm", "χ²", "flagged")
    return table(head, rows), TOWER_NOTE


def canopies() -> str:
    """What formulas of physiology make of SCOPE's canopies, beside SCOPE's own account of them."""
    data = pd.read_csv(CANOPIES, comment="#")
    known = {name: values.to_numpy(float) for name, values in data.items()}
    nothing = np.zeros(len(data))

    def exact(values: Array) -> Measured:
        return Measured(values, nothing, nothing)

    near = known["r760"]
    field = Greenness(known["red"], near, (known["r705"], known["r750"]))
    light = light_from_red(known["light_675"][:, None], np.array([675.0]))
    assert light is not None
    rows = []
    for label, green in (("red edge", field), ("687 and 760 nm", Greenness(known["r687"], near))):
        found = {
            "fAPAR": (green.fapar(), known["fapar"]),
            "fAPAR of chlorophyll": (green.fapar_chlorophyll(), known["fapar_chl"]),
            "escape at 760 nm (5 canopies)": (green.escape_probability(), known["sigma_f_760"]),
            "quantum efficiency": (quantum_efficiency(exact(known["sif_760"]), green, light),
                                   known["fqe"]),
        }  # fmt: skip
        for name, (number, truth) in found.items():
            used = np.isfinite(number.value) & np.isfinite(truth)
            ratio = (number.value / truth)[used]
            error = (number.value - truth)[used]
            within = (abs(error) < number.sd[used]).mean()
            rows.append([name, label, f"{truth[used].mean():.3g}", f"{error.mean():+.2g}",
                         f"{100 * (ratio.mean() - 1):+.0f} %", f"{100 * np.log(ratio).std():.0f} %",
                         f"{100 * within:.0f} %", f"{number.sd[used].mean():.2g}"])  # fmt: skip
    absorbed = known["fapar_chl"] / known["fapar"] * known["ipar"] * field.ndvi * near
    scatter = [
        np.nanstd(np.log(known[n] / absorbed / known["fqe"])) for n in ("sif_760", "integral")
    ]
    head = ("", "of", "SCOPE's mean", "mean error", "mean ratio", "scatter of the ratio",
            "within σ", "stated σ")  # fmt: skip
    return table(head, rows) + WHY_760.format(*(f"{100 * x:.0f} %" for x in scatter))


def course(product: xr.Dataset) -> tuple[str, str]:
    """The two blocks in physiology: means and spread of trusted measurements."""
    good = trusted(product)[:, 0]
    block = np.arange(good.size) < FIRST
    rows = []
    for name, factor, digits in (("integrated_par", 1, 0), ("fapar_chlorophyll", 1, 2),
                                 ("fluorescence_escape_probability", 1, 2),
                                 ("fluorescence_quantum_efficiency", 100, 2)):  # fmt: skip
        values = factor * product[name].values[:, 0]
        sigma, shared = (factor * product[f"{name}_uncertainty{end}"].values[:, 0]
                         for end in ("", "_shared"))  # fmt: skip
        cells = [f"{values[good & b].mean():.{digits}f} ± {values[good & b].std():.{digits}f}"
                 for b in (block, ~block)]  # fmt: skip
        noise = np.sqrt(np.maximum(sigma**2 - shared**2, 0))[good].mean()
        what = f"`{name}`" + (", %" if factor == 100 else "")
        rows.append([what, *cells, f"{sigma[good].mean():.{digits}f}", f"{noise:.{digits}f}"])
    head = ("trusted measurements: mean ± spread", "block 1", "block 2", "σ", "of that noise")
    return table(head, rows), OTHERS


def readme(
    found: dict[str, tuple[Compared, float | None]], reference: pd.DataFrame, other: Array
) -> str:
    """The table of the README."""

    def cell(pair: Compared) -> str:
        return f"{pair.r():.3f}, {pair.difference()[0]:+.2f}"

    def against(ours: Array | str, method: str) -> list[str]:
        cells = []
        for band in ("o2a", "o2b"):
            theirs = reference[f"{method}_{band}"].to_numpy()
            values = reference[f"{ours}_{band}"].to_numpy() if isinstance(ours, str) else ours
            cells.append(cell(Compared(values, theirs, np.zeros(115))))
        return cells

    rows = [["sifnet", *(cell(found[f"{band}, {m}"][0]) for m in ("SPECFIT", "SFM")
                         for band in ("O2-A", "O2-B"))]]  # fmt: skip
    three = [cell(Compared(other, reference[f"{m}_o2a"].to_numpy(), np.zeros(115)))
             for m in ("specfit", "sfm")]  # fmt: skip
    rows.append(["3FLD with measured irradiance", three[0], "", three[1], ""])
    rows.append(["SFM", *against("sfm", "specfit"), "", ""])
    head = ("correlation, mean difference", "O2-A, SPECFIT", "O2-B, SPECFIT", "O2-A, SFM",
            "O2-B, SFM")  # fmt: skip
    return table(head, rows)


def draw(found: dict[str, tuple[Compared, float | None]]) -> None:
    """Six quantities, ours against theirs."""
    labels = ("O2-A, SPECFIT", "O2-A, SFM", "far-red peak, SPECFIT", "O2-B, SPECFIT", "O2-B, SFM",
              "integral (mW m⁻² sr⁻¹), SPECFIT")  # fmt: skip
    figure, panels = plt.subplots(2, 3, figsize=(7.8, 5.2), layout="constrained")
    for axes, label in zip(panels.flat, labels, strict=True):
        one_to_one(axes, found[label][0], label)
    panels[0, 0].legend(frameon=False, fontsize=8, loc="lower right")
    save(figure, "flox")


def one_to_one(axes: Axes, pair: Compared, label: str) -> None:
    """Points of both blocks with our uncertainty."""
    for block, colour, name in ((pair.block, "#b3702c", "block 1"),
                                (~pair.block, "#0b7a4b", "block 2")):  # fmt: skip
        axes.errorbar(pair.theirs[block], pair.ours[block], pair.sigma[block], color=colour,
                      linestyle="none", marker="o", markersize=2.5, elinewidth=0.4,
                      label=name)  # fmt: skip
    low, high = np.nanmin([pair.ours, pair.theirs]), np.nanmax([pair.ours, pair.theirs])
    room = 0.05 * (high - low)
    limits = (low - room, high + room)
    axes.plot(limits, limits, color="0.5", linewidth=0.8)
    axes.set(xlim=limits, ylim=limits, aspect="equal")
    what, method = label.rsplit(", ", 1)
    what = what.split(" (")[0]
    axes.set_title(f"{what}: r {pair.r():.3f}, {pair.difference()[0]:+.2f}", fontsize=9, loc="left")
    axes.set_xlabel(method, fontsize=8)
    axes.set_ylabel("sifnet", fontsize=8)
    axes.tick_params(labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)


INTRODUCTION = f"""\
Irradiance and radiance measured through one spectrometer, 670-780 nm: reflectance as a smooth
curve, fluorescence as what canopies emit, both oxygen bands, water and Fraunhofer lines at once
(`sifnet/retrieval/full_spectrum.py`). Beside it what SPECFIT, SFM and iFLD, run by others, made of
the same spectra. SIF in {UNIT}."""
NOTE = """\
"Within σ of both" counts our stated σ and the reference's own: half the variance of the differences
between SPECFIT and SFM. All 115 measurements count, the one of poor fit and those of unstable light
too. No measurement has a red peak where emission rises from red to far-red without a maximum."""
FROM_760 = """\
### What canopies alone would have said

Maps are given what SCOPE's canopies emit at 687 nm beside 760 nm (`sif.emission()`, not used here).
Real canopies are redder, in block 1 by more than the spread of SCOPE's:"""
TOWER_NOTE = """\
Reduced χ² was 11 when wavelengths were taken for air (they are vacuum's: the lines lie 0.04 nm from
there, 0.17 nm from air), times for UTC (they are UTC + 1) and both channels for one response. It
falls to 1.3 with the skewness of the one against the other, which a FloX of 2025 does not have.
A wrong hour or medium is told (flag `out_of_range` by the sun's height, `scene_warnings`) and moves
SIF by less than σ. The height of the sensor is not in the file: at 20 m, oxygen between canopy and
sensor takes a tenth of what shows at 760 nm, which is given back where `sensor_height` says so."""
PLANTS = """\
## Physiology

Light that chlorophyll absorbs, the share of emission that escapes, and photons emitted over photons
absorbed, by the formulas of `sifnet/retrieval/physiology.py`:

- `fapar_chlorophyll`: a line of the red-edge NDVI of 750 and 705 nm (linear in fAPAR of green
  plants: Viña and Gitelson 2005) through 600 canopies of PROSAIL (`data/make_fapar.py`). Without a
  red edge, as from space: 0.745 of fAPAR.
- `fluorescence_escape_probability`, at 760 nm: NIRv / fAPAR (Zeng et al. 2019, after Yang and van
  der Tol 2018), fAPAR = 1.1638 NDVI − 0.1426 (Myneni and Williams 1994).
- `integrated_par`: photons of 400-700 nm where `*Incoming*FULL*.csv` of the other spectrometer lie
  in the folder (± 5 %, an assumption), else 1.48 times the irradiance at 670-680 nm (± 6 %: ASTM
  G173, MODTRAN, Bird and Riordan 1986).
- `fluorescence_quantum_efficiency`: π SIF at 760 nm in photons, times the 184.5 nm that stand for
  all emission of the photosystems of SCOPE 2, over escape, fAPAR of chlorophyll and PAR.

Where NDVI is below 0.3 there is no number. Beside SCOPE's own account of 92 of its canopies, which
had no part in the lines (only the 184.5 nm are SCOPE's, of five of them):"""
WHY_760 = """

With SCOPE's own absorbed light and the same escape, quantum efficiency scatters by {} where it is
made of SIF at 760 nm, and by {} where it is made of the integral of 670-780 nm: red light is
absorbed again on its way. So the integral is not used. That it is too high comes mostly of fAPAR of
chlorophyll, which is too low; σ counts that. Measurements of one canopy share most of it: changes
within hours are more certain than the level. What goes with the height of the sun is not known.

### The two blocks
"""
OTHERS = """\
An error in the calibration of the instrument cancels where PAR is from its own red light: both
channels share it. Irradiance over the cosine of the sun is 1.6 to 1.7 W m⁻² nm⁻¹ at 675 nm here,
more than above the air, so that PAR is some 20 % high, and SIF with it. Others fitted SCOPE to the
reflectance of this day as that of one canopy (Christiaanvandertol/FLEX, 2025): fAPAR of chlorophyll
0.65 to 0.72 ± 0.03, escape at 760 nm 0.33; the first spectrum here has 0.76 and 0.29. The day has
several canopies: in block 1 red reflectance goes from 0.02 to 0.08."""
LIMITS = """\
## What it does not do

- The far-red peak is 4 to 5 % above SPECFIT's. Between 735 and 755 nm no strong line tells
  emission from reflectance: its value there rests on the components of SCOPE through what 720, 730
  and 760 nm say. With scores of the components bound to twice SCOPE's spread instead of free it is
  9 % above, and O2-B 4 % below; the spectra hardly tell (log evidence 1,091.4 of a spectrum when
  bound, 1,089.5 when free). SPECFIT's ratio of peak to 760 nm in block 2, 1.30, is below that of
  each of the 93 canopies (1.35 to 1.74) and of the leaf of FluoWat (1.69).
- In O2-B measurements vary with ours as with SFM and iFLD; SPECFIT alone falls to half from the
  first to the second canopy of block 2. Its red peak lies at 689.8 nm in all but three spectra, and
  is a fifth higher than what we see at 687-688 nm.
- Direct and diffuse light are one irradiance; how a canopy weighs them is not modelled. A free
  depth of the oxygen band cannot be told from fluorescence in these spectra."""


if __name__ == "__main__":
    run(main)
