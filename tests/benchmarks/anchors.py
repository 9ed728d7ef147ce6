"""Real spectra fitted with our spectroscopy: what oxygen is known to, and SIF of two deserts.

    python tests/benchmarks/anchors.py                        (make anchors, ten minutes)

Three direct suns of TCCON, line by line, and two deserts from orbit at 0.25 nm
(``../shared/data/INDEX.md``). Writes ``docs/anchors.md`` and ``docs/anchors.png``. Nothing that
ships is changed by it.
"""

from __future__ import annotations

from dataclasses import dataclass

import matplotlib.pyplot as plt
import numpy as np
from anchors_b import checked, section
from anchors_desert import COMPARED_FWHM, DesertModel
from anchors_fit import Fit, Unknown
from anchors_spectra import REAL, Desert, direct_suns, mojave, railroad_valley
from anchors_sun import INSTRUMENT, SPECTROSCOPY, DirectSunModel
from harness import UNIT, Array, needed, page, run, save, table

SHOWN = ("strength", "cia", "width", "width_slope", "mixing", "wings", "isotopes", "narrowing")
HEAD = ("spectrum", "strength", "CIA", "width", "width, slope", "mixing", "wings missing",
        "rare isotopologues", "narrowing")  # fmt: skip
OTHERS = ("warmer", "zero", "sun", "loss", "near", "far")
OTHERS_HEAD = ("spectrum", "warmer, K", "zero, %", "depth of solar lines", "loss of modulation",
               "near wings, %", "far wings, %", "residual rms, % of the continuum")  # fmt: skip
PERCENT = ("zero", "near", "far")
# Band-averaged optical depth of the US standard atmosphere with ABSCO v5.2, as RSFraLab
# (github.com/RSFraLab/RSFraLab.github.io, oco/data/tau_aband.json at 6a0c0cf, read 2026) has it
# under OCO-2's response, beside ours under a Gaussian of 0.0418 nm: compared once, by hand.
ABSCO = (
    ("cores of five P lines, 762.3-763.1 nm", "19.83, 25.09, 36.84, 37.77, 47.72",
     "19.84, 25.10, 36.79, 37.73, 47.69", "1.001; as the response is taken"),
    ("integral, 761.92-763.09 nm", "", "", "0.998"),
    ("least in the gap of the band, 762.1 nm", "0.056", "0.051", "1.10; wings of the response"),
    ("above the head, 759.05 nm", "0.0050", "0.0075 (0.0030 wings, 0.0044 CIA)", "0.67"),
)  # fmt: skip


def spectroscopy(fit: Fit, extra: float = 0.0) -> list[str]:
    """Cells of ``SHOWN``; ``extra`` is an error of the strength that the spectrum does not know."""
    cells = []
    for name in SHOWN:
        error = np.hypot(fit.error[name], extra if name == "strength" else 0.0)
        cells.append(f"{fit.value[name]:.3f} ± {error:.3f}")
    return cells


def others(fit: Fit, residual: float) -> list[str]:
    """Cells of ``OTHERS``."""
    cells = []
    for name in OTHERS:
        unit = 100.0 if name in PERCENT else 1.0
        value, error = (unit * x.get(name, np.nan) for x in (fit.value, fit.error))
        cells.append("" if np.isnan(value) else f"{value:.2f} ± {error:.2f}")
    return [*cells, f"{100 * residual:.2f}"]


def combined(fits: list[Fit], extra: list[float]) -> dict[str, Unknown]:
    """Weighted mean of every parameter, and the larger of its error and the spectra's scatter.

    The depth of the sun's lines is among them; temperature, each site's own, is not.
    """
    found = {}
    for name, prior in {**SPECTROSCOPY, "sun": INSTRUMENT["sun"]}.items():
        if name == "warmer":
            continue
        value = np.array([fit.value[name] for fit in fits])
        more = np.array(extra) * (name == "strength")
        weight = 1 / (np.array([fit.error[name] for fit in fits]) ** 2 + more**2)
        mean = np.average(value, weights=weight)
        scatter = np.sqrt(np.average((value - mean) ** 2, weights=weight))
        sd = max(float(weight.sum() ** -0.5), float(scatter))
        found[name] = Unknown(float(mean), sd, prior.step)
    found["product"] = _product(fits, extra)
    return found


def _product(fits: list[Fit], extra: list[float]) -> Unknown:
    """Strength times width, which is known better than either (both errors anticorrelated)."""
    value = np.array([fit.value["strength"] * fit.value["width"] for fit in fits])
    variance = []
    for fit, more in zip(fits, extra, strict=True):
        names = list(fit.value)
        place = [names.index("strength"), names.index("width")]
        errors = np.array([fit.error["strength"], fit.error["width"]])
        variance.append(errors @ fit.correlation[np.ix_(place, place)] @ errors + more**2)
    weight = 1 / np.array(variance)
    mean = float(np.average(value, weights=weight))
    scatter = np.sqrt(np.average((value - mean) ** 2, weights=weight))
    return Unknown(mean, max(float(weight.sum() ** -0.5), float(scatter)), 1e-3)


def together(unknowns: dict[str, Unknown]) -> list[str]:
    """Cells of ``SHOWN`` for a mean and its standard deviation."""
    return [f"{unknowns[name].mean:.3f} ± {unknowns[name].sd:.3f}" for name in SHOWN]


def with_known(known: dict[str, Unknown]) -> dict[str, dict[str, Unknown]]:
    """The three fits of a desert: what is known in each."""
    seen = {name: unknown for name, unknown in known.items() if name != "width"}
    apart = {name: unknown for name, unknown in known.items() if name != "product"}
    dark = {"sif": Unknown(0.0, 1e-6, 0.1), "strength": Unknown(1.0, 0.2, 1e-3)}
    return {
        "our tables": {"sun": known["sun"]},
        "the direct suns' spectroscopy": seen,
        "no fluorescence": {**apart, **dark},
    }


def deserts(models: dict[str, DesertModel], known: dict[str, Unknown]) -> dict[str, dict[str, Fit]]:
    """Fits by desert and by what is known."""
    return {
        name: {label: model.fit(**given) for label, given in with_known(known).items()}
        for name, model in models.items()
    }


def sampled(desert: Desert, model: DesertModel) -> DesertModel:
    """The same, on its samples, with the work that was done."""
    fine = DesertModel(desert, 0.0)
    fine.__dict__.update(oxygen=model.oxygen, scattering=model.scattering)
    return fine


def figure(
    suns: list[tuple[DirectSunModel, Fit]], reflected: dict[str, tuple[Array, Array]]
) -> None:
    """Residuals of all spectra."""
    drawing, axes = plt.subplots(len(suns) + len(reflected), 1, figsize=(9, 8), sharex=True,
                                 layout="compressed")  # fmt: skip
    for axis, (model, fit) in zip(axes, suns, strict=False):
        axis.plot(1e7 / model.spectrum.wavenumber, 100 * fit.residual, lw=0.3, rasterized=True)
        axis.set(ylim=(-4, 4), title=model.spectrum.name)
    for axis, (name, (at, residual)) in zip(axes[len(suns) :], reflected.items(), strict=True):
        axis.plot(at, 100 * residual, lw=0.8)
        axis.set(ylim=(-1, 1), title=f"{name}, {COMPARED_FWHM} nm")
    drawing.supylabel("measured less fitted, % of the continuum")
    axes[-1].set_xlabel("wavelength, nm")
    save(drawing, "anchors")


@dataclass(frozen=True)
class Found:
    """All models and fits, by the name of the spectrum; those of deserts also by what is known."""

    suns: dict[str, tuple[DirectSunModel, Fit]]
    known: dict[str, Unknown]
    banded: dict[str, DesertModel]
    at_bands: dict[str, dict[str, Fit]]
    at_samples: dict[str, dict[str, Fit]]

    @classmethod
    def of_all(cls) -> Found:
        """Direct suns first: the deserts are fitted with what they found."""
        models = [DirectSunModel(spectrum) for spectrum in direct_suns()]
        fits = [model.fit() for model in models]
        known = combined(fits, [model.spectrum.airmass_error for model in models])
        ground = {"OCO-2 Railroad Valley": railroad_valley(), "GOSAT Mojave": mojave()}
        banded = {name: DesertModel(desert) for name, desert in ground.items()}
        samples = {name: sampled(ground[name], model) for name, model in banded.items()}
        suns = {m.spectrum.name: (m, f) for m, f in zip(models, fits, strict=True)}
        return cls(suns, known, banded, deserts(banded, known), deserts(samples, known))

    @property
    def dark(self) -> dict[str, tuple[DesertModel, Fit]]:
        """Deserts, their fluorescence taken as 0."""
        return {n: (m, self.at_bands[n]["no fluorescence"]) for n, m in self.banded.items()}

    def strength(self) -> tuple[float, float]:
        """Weighted mean over all spectra, and their scatter."""
        all_of = [(f, m.spectrum.airmass_error) for m, f in self.suns.values()]
        all_of += [(f, _pressure_error(m)) for m, f in self.dark.values()]
        values = np.array([fit.value["strength"] for fit, _ in all_of])
        errors = np.hypot(*np.array([(f.error["strength"], more) for f, more in all_of]).T)
        return float(np.average(values, weights=errors**-2)), float(values.std(ddof=1))

    def residuals(self) -> dict[str, Array]:
        """Of the deserts at 0.25 nm, relative to the continuum."""
        return {n: fit.residual / m.measured.max() for n, (m, fit) in self.dark.items()}


def _pressure_error(model: DesertModel) -> float:
    return model.spectrum.pressure_sd / model.spectrum.pressure


def spectroscopy_table(found: Found) -> str:
    """Of every spectrum, and of the direct suns together."""
    rows = [[n, *spectroscopy(f, m.spectrum.airmass_error)] for n, (m, f) in found.suns.items()]
    rows.append(["**direct suns together**", *together(found.known)])
    rows += [
        [f"{n}, SIF taken as 0", *spectroscopy(f, _pressure_error(m))]
        for n, (m, f) in found.dark.items()
    ]
    return table(HEAD, rows)


def others_table(found: Found) -> str:
    """Of every spectrum; residuals of direct suns where the sun has no lines."""
    rows = [
        [name, *others(fit, fit.residual[model.sigma < 1.05 * model.sigma.min()].std())]
        for name, (model, fit) in found.suns.items()
    ]
    left = found.residuals()
    rows += [[name, *others(fit, left[name].std())] for name, (_, fit) in found.dark.items()]
    return table(OTHERS_HEAD, rows)


def sif_table(found: Found) -> str:
    """Of both deserts, with our tables and with what the direct suns found."""
    rows = []
    for name, model in found.banded.items():
        for label in ("our tables", "the direct suns' spectroscopy"):
            both = [by[name][label] for by in (found.at_bands, found.at_samples)]
            sif = [f"{fit.value['sif']:+.2f} ± {fit.error['sif']:.2f}" for fit in both]
            rms = 100 * both[0].residual.std() / model.measured.max()
            rows.append([name, label, *sif, f"{rms:.2f}"])
    head = ("desert", "with", f"SIF at {COMPARED_FWHM} nm, {UNIT}", "SIF on its samples",
            f"residual rms at {COMPARED_FWHM} nm, %")  # fmt: skip
    return table(head, rows)


def main() -> None:
    """Fit all spectra."""
    needed(REAL)
    introduction = (
        "Real spectra fitted line by line with our spectroscopy; nothing is changed by it."
    )
    with page("anchors", "What real spectra say of oxygen", introduction) as add:
        found = Found.of_all()
        add(conclusion(found))
        add("## Spectroscopy, relative to the tables that ship")
        add(spectroscopy_table(found), SPECTROSCOPY_NOTE)
        add("## Sun, air and instruments", others_table(found), INSTRUMENT_NOTE)
        add("## Fluorescence of deserts", sif_table(found), SIF_NOTE)
        head = ("vertical optical depth of O2, US standard", "ABSCO v5.2", "ours", "ratio")
        add("## Beside ABSCO v5.2", table(head, ABSCO), ABSCO_NOTE)
        add(*section(checked()))
        left = found.residuals()
        figure(list(found.suns.values()), {n: (m.bands, left[n]) for n, m in found.banded.items()})
        add("## What is left", "![Residuals of all spectra](anchors.png)", LEFT_NOTE)


def conclusion(found: Found) -> str:
    """What is to be made of it, before all tables."""
    known, (overall, spread) = found.known, found.strength()
    k = {name: f"{u.mean:.3f} ± {u.sd:.3f}" for name, u in known.items()}
    slope = known["width_slope"]
    narrower = f"{100 * slope.mean:+.1f} ± {100 * slope.sd:.1f} %".replace("-", "−")
    sif = {
        label: " and ".join(
            f"{by[label].value['sif']:+.1f} ± {by[label].error['sif']:.1f}".replace("-", "−")
            for by in found.at_bands.values()
        )
        for label in ("our tables", "the direct suns' spectroscopy")
    }
    return f"""\
Relative to the tables that ship (1 = unchanged), of three direct suns and two deserts:

- **O2 line strength {overall:.3f}**, standard deviation over the five spectra {spread:.3f}. Beside
  it ABSCO v5.2 is 1.00 of ours, and HITRAN 2024 about 1.01.
- **Widths {k["width"]}**, their product with strength, which wings and 0.25 nm see, {k["product"]};
  and **{narrower}** from N = 0 to 13 and again from 13 to 26.
- **CIA {k["cia"]}, mixing {k["mixing"]}, share of the wings beyond 25 cm-1 that is missing
  {k["wings"]}**: these stand for each other.
- **Solar lines are {k["sun"]} times as deep as in our sun**, over the direct suns.
- SIF of playa and desert, which have none: {sif["our tables"]} {UNIT} with our tables,
  {sif["the direct suns' spectroscopy"]} with what the direct suns found. One spectrum does not give
  it to 0.3: over so bright ground 1 % of the strength is about 2. Bare pixels of a line are
  needed, as the retrieval has them."""


SPECTROSCOPY_NOTE = """\
Strength, CIA, width and mixing are factors; slope is the change of widths at N = 13 on top, growing
with N; narrowing is a quadratic speed dependence of widths (0 is Voigt's); rare isotopologues are
16O18O and 16O17O beside 16O2 (1.024 for air if a list is for sea water). Errors are the larger of
formal and delete-one jackknife over 12 parts of a spectrum, with air mass or pressure in that of
strength. Strength and width of 16O2 are anticorrelated (−0.99): lines that saturate give their
product, and it is the rare isotopologues, of known abundance, that part them."""
INSTRUMENT_NOTE = """\
Temperature is relative to the AFGL profile of the season; zero, relative to the continuum; wings
are 0.13 and 1.2 nm wide. TCCON sees the centre of the disc, deserts are lit by all of it. Solar
lines count less in the direct suns' fits."""
SIF_NOTE = f"""\
{UNIT}, as if alike over the window. GOSAT's is on the scale of (P + S) / 2. Reflected light
is computed by full radiative transfer (16 streams, OPAC continental aerosol of known load ± 0.03,
scale height 2 ± 1.5 km) as a function of absorption. GOSAT's pressure is that of its altitude,
± 4 hPa. OCO-2's pressure comes from its own retrieval with ABSCO."""
ABSCO_NOTE = """\
The stored file holds optical depth under OCO-2's response, so between lines it shows the response's
wings, and nothing can be said there but in the gap and above the head. Its O2 holds CIA."""

LEFT_NOTE = """\
All five leave the same: less light than fitted at 761-762 nm and more at 762.2-762.6, where both
branches meet. No combination of the parameters takes that away: it is what the ensemble lacks. The
direct suns alone, sharper than the sun that we know, leave the cores of its strong lines too."""


if __name__ == "__main__":
    run(main)
