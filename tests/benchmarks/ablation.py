"""What each part of the method buys: the same lines with it and without it.

    python tests/benchmarks/ablation.py [FOLDER]        (make ablation, half an hour)

Writes ``docs/ablation.md``; lines are kept in FOLDER.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import xarray as xr
from harness import UNIT, Score, page, run, table
from lines import LINES, line

from sifnet.product.retrieve import retrieve
from sifnet.retrieval.losses import LossWeights
from sifnet.retrieval.model import Retrieval
from sifnet.retrieval.prior import USUAL
from sifnet.retrieval.shipped import model_for
from sifnet.scenes.scene import Scene
from sifnet.training.fit import Training, fit
from sifnet.units import standard_pressure

PRESSURE_SD = USUAL["surface_pressure"][1]
TERMS = ("ndvi", "prior", "perturbation")
Make = Callable[[Scene], Retrieval]
Tell = Callable[[xr.Dataset], xr.Dataset]
"""From a line's truth, what the retrieval is told of its air."""

INTRODUCTION = f"""The four lines of [accuracy](accuracy.md) together, SIF at 760 nm, {UNIT}: RMSE
over all pixels, largest |bias| and largest |mean on soil| of a line.

The term `prior` is there because it is how an atmosphere file reaches the fit; the lines' prior is
the standard atmosphere. `perturbation` is there so that the encoder reads fluorescence and not
greenness, which RMSE does not show: the last section of [accuracy](accuracy.md) does."""


def main(folder: Path) -> None:
    """Run all and write the page."""
    with page("ablation", "What each part buys", INTRODUCTION) as add:
        rows = []
        for name, make in models().items():
            once = cache(make)
            cells = [c for refine in (False, True) for c in score(folder, once, refine=refine)]
            rows.append([name, *cells])
            print(rows[-1], flush=True)
        add(table(["", "encoder only: RMSE", "bias", "soil", "refined: RMSE", "bias", "soil"],
                  rows))  # fmt: skip
        rows = []
        for name, (make, tell) in knowledge().items():
            rows.append([name, *score(folder, make, refine=True, tell=tell)])
            print(rows[-1], flush=True)
        add("## What is known beforehand, and what is shared",
            "With the model that ships, refined.", table(["", "RMSE", "bias", "soil"], rows),
        )  # fmt: skip


def models() -> dict[str, Make]:
    """Ways to come by a model."""
    plain = LossWeights()
    made: dict[str, Make] = {
        "the model that ships, no fit": model_for,
        "fitted to the line": fit,
        "fitted without the model that ships (simulations of the line first)": lambda scene: fit(
            scene, config=Training(), emulator=model_for(scene).emulator
        ),
        "fitted without any simulation": lambda scene: fit(
            scene, config=Training(pretrain_steps=0), emulator=model_for(scene).emulator
        ),
    }
    for term in TERMS:
        if getattr(plain, term, 0) > 0:
            config = Training(weights=replace(plain, **{term: 0.0}))
            made[f"fitted without the term `{term}`"] = lambda scene, c=config: fit(scene, config=c)
    return made


def knowledge() -> dict[str, tuple[Make, Tell | None]]:
    """What the retrieval is told of the air, and how it shares what it finds."""
    usual = f"pressure of the standard atmosphere ± {PRESSURE_SD:g} hPa, patches of 32 x 32"
    return {
        f"as usual ({usual})": (model_for, None),
        "pressure known to ± 2 hPa": (model_for, pressure(2.0)),
        "pressure of the standard atmosphere ± 50 hPa": (model_for, standard(50.0)),
        "patches of 8 x 8": (patches(8), None),
        "every pixel by itself": (patches(1), None),
        "bare ground not held to zero": (no_bare_ground, None),
    }


def cache(make: Make) -> Make:
    """``make`` whose models are kept by the name of the scene."""
    made: dict[str, Retrieval] = {}
    return lambda scene: made.get(scene.name) or made.setdefault(scene.name, make(scene))


def score(folder: Path, make: Make, *, refine: bool, tell: Tell | None = None) -> list[str]:
    """RMSE, largest |bias| and |soil mean| of all lines."""
    total = Score()
    for name in LINES:
        flown = line(folder, name)
        atmosphere = None if tell is None else tell(flown.truth)
        maps = retrieve(flown.scene, make(flown.scene), atmosphere=atmosphere, refine=refine)
        total.add(maps.sif_760.values, flown.truth.sif_760.values, flown.bare)
    return total.cells(max)


def pressure(sd: float) -> Tell:
    """Pressure that is one standard deviation off the truth."""
    return lambda truth: _told(float(truth.attrs["surface_pressure_hpa"]) + sd, sd)


def standard(sd: float) -> Tell:
    """Pressure of the standard atmosphere, taken for as uncertain as ``sd``."""
    return lambda truth: _told(float(standard_pressure(truth.attrs["ground_elevation"])), sd)


def _told(value: float, sd: float) -> xr.Dataset:
    return xr.Dataset({"surface_pressure": value, "surface_pressure_uncertainty": sd})


def patches(side: int) -> Make:
    """The model that ships, with smaller patches."""

    def make(scene: Scene) -> Retrieval:
        model = model_for(scene)
        model.setup = replace(model.setup, patch=(side, side))
        return model

    return make


def no_bare_ground(scene: Scene) -> Retrieval:
    """The model that ships, told of no bare ground."""
    model = model_for(scene)
    weights = replace(model.setup.weights, bare_ndvi=-1.0)
    model.setup = replace(model.setup, weights=weights)
    return model


if __name__ == "__main__":
    run(main, "benchmark_lines")
