"""SIF at 687 nm from the O2 B band, of lines and swaths with known truth.

    python tests/benchmarks/red.py [FOLDER]   (make red)

Scenes of HyPlant and FLEX by full radiative transfer in both windows, over the grounds that their
simulation has, with emission of SCOPE; some of them under oxygen and pressure that are not the
retrieval's. Their maps beside truth and beside the least possible error, and the emulators beside
full transfer that they never saw. Scenes in FOLDER are not made again. Writes
``docs/red.md``. Half an hour.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
import xarray as xr
from harness import UNIT, page, run, table

import sifnet
from sifnet.evaluation.limits import limits
from sifnet.physics.emulator import Emulator
from sifnet.physics.windows import RED
from sifnet.product.netcdf import trusted
from sifnet.scenes import record_of
from sifnet.simulation.scenery import Settings
from sifnet.simulation.simulate import simulate

SIZE = {"hyplant": (64, 64), "flex": (32, 32)}
INTRODUCTION = f"""`sifnet retrieve` gives `sif_687` where the bands of
{RED.fitted[0]:g}-{RED.fitted[1]:g} nm resolve the lines of sun and oxygen (HyPlant FLUO, FLEX).
Here are scenes of full radiative transfer in both windows, with emission of SCOPE, over canopies of
PROSAIL (FLEX) and of formulas (HyPlant), {UNIT}; never the emulator."""
AFTER = """- **One pixel is noise, a field is a number.** Canopies here emit 0.3 to 0.5 at 687 nm.
  The mission asks 0.2 of FLEX: the lines of a pixel do not reach it, nor could they (the limit
  beside).
- **What canopies do is knowledge too.** `product.sif.emission()` gives the whole emission, 670-780
  nm, from both bands and from the shapes in which canopies emit: the rows *given canopies*. Most of
  what it knows at 687 nm comes from 760 nm. `sif_687` stays what the lines alone say, so that the
  ratio of both is measured, not assumed.
- The error of the rows *given canopies* is mostly that of the shape, which a field has in common:
  means over pixels reduce it little, and a scene of a few fields lies all to one side. Shapes are
  drawn from SCOPE's here, as are those of `data/emission.csv`; [FLEX](flex.md) tries others.
- The shared σ is what pixels of a line have in common; the bias should stay within it. Over bare
  ground it is above zero more often than not, because priors pull. Under the air of hyplant 2, in
  the emulator's light, eight grounds of PROSAIL gave −0.01 to +0.11, on average +0.040 ± 0.016,
  where the shared σ is 0.07; with the air told +0.029, and with nothing expected of the mean of
  green pixels (0.6 ± 0.4; there are 0.35) +0.017 ± 0.012. Six of HyPlant's own ground: +0.036, and
  +0.015 under the standard's pressure and oxygen. Counted as 10 and not as 150 independent pixels,
  these let priors pull more (+0.23); one of them, were bare ground not known to be dark, reads +0.4
  with a σ of 0.6. It is not noise (a fiftieth of it: the same), not stray light, and not shapes of
  reflectance or emission.
- `--red` adds red bands to the scene that is simulated without: the far red of a seed is the same
  byte for byte. HyPlant's ground is of formulas (`ground.Ground`) and emits below 740 nm in a
  shape of SCOPE's, drawn for every field; what it reflects in the red, 0.03 to 0.1, is a smoother
  curve than a leaf's. The few bands near 675 nm that tell NDVI have no red peak.
- No water vapour is simulated in the red window, as there is no list of its lines. In
  685.6-690.6 nm it is little: libRadtran with 1.4 g cm-2 of it and our oxygen without agree to
  0.4 % rms ([oxygen and the sun](anchors.md)). Over humid air this may be more than σ says.
- Where light has none of the lines, `sif_687` is absent: so in the ten HyPlant worlds that are not
  ours, whose red light is smooth to 0.1 % (0.05 to 0.13 % rms; ours here 13 %). Nothing here was
  tried on real red light of HyPlant or FLEX.
- `quality_flag_687` says why a pixel is not to be trusted at 687 nm, `quality_flag` at 760 nm.
- The second window adds half to the time of a map."""


@dataclass(frozen=True)
class Case:
    """A scene, and what of its air is not as the retrieval has it.

    Attributes:
        o2: factor on all oxygen.
        pressure: hPa, added to what was drawn.
    """

    sensor: str
    seed: int
    o2: float = 1.0
    pressure: float = 0.0

    @property
    def name(self) -> str:
        other = "" if self.o2 == 1.0 else f", O2 {self.o2:g}, {self.pressure:+g} hPa"
        return f"{self.sensor} {self.seed}{other}"

    def scene(self, folder: Path) -> tuple[sifnet.Scene, xr.Dataset]:
        """The scene and its truth, simulated unless it is there."""
        here = folder / f"{self.sensor}_{self.seed}_{self.o2:g}"
        if not (here / "truth.nc").exists():
            record, (lines, samples) = record_of(self.sensor), SIZE[self.sensor]
            drawn = Settings.drawn(np.random.default_rng(self.seed), record)
            moved = drawn.pressure_offset + self.pressure
            settings = replace(drawn, o2_scale=self.o2, pressure_offset=moved)
            simulate(record, here, lines=lines, samples=samples, seed=self.seed, red=True,
                     settings=settings)  # fmt: skip
        path = next(p for p in here.iterdir() if p.suffix == ".hdr" or p.is_dir())
        return sifnet.open_scene(path), xr.open_dataset(here / "truth.nc")


CASES = (
    Case("hyplant", 1),
    Case("hyplant", 2, 0.99, -6.0),
    Case("flex", 1),
    Case("flex", 2, 0.99, -6.0),
)


def main(folder: Path) -> None:
    """Simulate, retrieve, compare and write the page."""
    torch.set_num_threads(1)
    with page("red", "SIF at 687 nm, from the O2 B band", INTRODUCTION) as add:
        rows = [row for case in CASES for row in compared(case, folder)]
        add(table(["scene", "nm", "RMSE", "bias", "mean σ", "shared σ", "within σ / 2σ",
                   "bare ground", "RMSE of 5 x 5", "limit, a pixel of a patch", "trusted"],
                  rows))  # fmt: skip
        add("## The emulators", emulators())
        add("## What to know", AFTER)


def compared(case: Case, folder: Path) -> list[list[str]]:
    """A row of each band."""
    scene, truth = case.scene(folder)
    product = sifnet.retrieve(scene)
    soil = truth["bare_soil"].values.astype(bool)
    rows, some = [], slice(0, 32)  # lines that tell the limit
    for band, flag in ((760, "quality_flag"), (687, "quality_flag_687")):
        name = f"sif_{band}"
        found, sigma, shared = (
            product[f"{name}{n}"].values for n in ("", "_uncertainty", "_uncertainty_shared")
        )
        good = (product[flag].values == 0) & np.isfinite(found)
        error = found - truth[name].values
        green, bare = good & ~soil, good & soil
        window = RED.fitted if band == 687 else None
        emulator = Emulator.load(space=scene.space, window=RED) if band == 687 else None
        limit = limits(scene.window(some), emulator=emulator, window=window)["patch"].values
        within = [100 * (np.abs(error / sigma)[green] < n).mean() for n in (1, 2)]
        rows.append([
            case.name, str(band), f"{np.sqrt((error[green] ** 2).mean()):.2f}",
            f"{error[green].mean():+.2f}", f"{sigma[green].mean():.2f}",
            f"{shared[green].mean():.2f}",
            f"{within[0]:.0f}% / {within[1]:.0f}%", f"{error[bare].mean():+.2f}",
            f"{means(error, green):.2f}", f"{np.nanmedian(limit[green[some]]):.2f}",
            f"{100 * good.mean():.0f}%",
        ])  # fmt: skip
        print(rows[-1], flush=True)
    rows.append(given_canopies(case, product, truth))
    print(rows[-1], flush=True)
    return rows


def given_canopies(case: Case, product: xr.Dataset, truth: xr.Dataset) -> list[str]:
    """A row of the emission at 687 nm that follows from both bands and from what canopies emit."""
    spectrum = product.sif.emission().sel(emission_wavelength=687.0)
    error = (spectrum["sif_emission_spectrum"] - truth["sif_687"]).values
    sigma = spectrum["sif_emission_spectrum_uncertainty"].values
    good = trusted(product, "sif_687") & trusted(product)
    soil = truth["bare_soil"].values.astype(bool)
    green, bare = good & ~soil, good & soil
    z = np.abs(error / sigma)[green]
    return [
        case.name, "687, given canopies", f"{np.sqrt((error[green] ** 2).mean()):.2f}",
        f"{error[green].mean():+.2f}", f"{sigma[green].mean():.2f}", "",
        f"{100 * (z < 1).mean():.0f}% / {100 * (z < 2).mean():.0f}%",
        f"{error[bare].mean():+.2f}", f"{means(error, green):.2f}", "",
        f"{100 * good.mean():.0f}%",
    ]  # fmt: skip


def means(error: np.ndarray, good: np.ndarray) -> float:
    """RMSE of means over 5 x 5 pixels that are all good."""
    lines, samples = (5 * (n // 5) for n in error.shape)
    blocks = np.where(good, error, np.nan)[:lines, :samples].reshape(lines // 5, 5, -1, 5)
    return float(np.sqrt(np.nanmean(blocks.mean((1, 3)) ** 2)))


def emulators() -> str:
    """What their files say of themselves."""
    rows = []
    for space, what in ((False, "below 3 km"), (True, "in space")):
        made = Emulator.load(space=space, window=RED).metadata
        error = made["measured_error"]
        rows.append([
            what, made["fitted"]["atmospheres"], made["held_out"]["atmospheres"],
            f"{error['radiance_rms_percent_0.25nm']:.3f} %",
            f"{error['radiance_p99_percent_0.25nm']:.2f} %",
            f"{error['sif_equivalent_rms']:.3f}",
        ])  # fmt: skip
    heads = ["sensors", "atmospheres fitted", "held out", "radiance, rms", "99th percentile",
             f"taken for SIF at 687 nm, rms, {UNIT}"]  # fmt: skip
    said = "Against full transfer on every wavenumber, at states that the fit never saw:"
    return f"{said}\n\n{table(heads, rows)}"


if __name__ == "__main__":
    run(main, keep="red_scenes")
