"""FLEX scenes by full transfer, in our own world and under the physics of another.

    python tests/benchmarks/flex.py        (make flex, ten minutes; needs reference data)

Scenes of 96 x 64 pixels as ``sifnet simulate --sensor flex`` writes them, mapped without anything
known but what the product states. Writes the table of ``docs/flex.md``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
import xarray as xr
from flex_physics import Canopies, Physics, products_of
from harness import DATA, DOCS, Array, machine, needed, put_in, rms, run, table, within

import sifnet
from sifnet.evaluation.limits import limits
from sifnet.physics.full.radiative_transfer import Observer
from sifnet.scenes.checks import SUN_755
from sifnet.scenes.flex import SENSOR
from sifnet.simulation import scenery, swath
from sifnet.simulation.flex_product import write_flex
from sifnet.simulation.scenery import Settings

SHAPE = 96, 64
CLEAR = 0.9  # share of the sun's light at 755 nm that reaches the ground, about
# Pressure that nobody states, and what the product says of temperature, K above the standard: less
# than AFGL's summer has (8.8), more than is there (6.8).
AIR = {"pressure_offset": -6.0, "temperature_offset": 8.0}
ANOTHERS = Physics()
SMOKE = Physics(albedo=0.87, asymmetry=0.64, angstrom=1.9, layer=2.6)
HEAD = ("world", "seed", "vegetation: RMSE", "bias", "bare ground", "within σ / 2σ", "mean σ",
        "limit of a pixel", "at 740 nm: RMSE", "trusted")  # fmt: skip


@dataclass(frozen=True)
class Case:
    """A world.

    Attributes:
        physics: of light; None for the simulation's own, over its own ground.
        fixed: settings that are not drawn.
        stray: share of the mean radiance of the arm in each of its channels.
        tilt: of gain from one end of the arm to the other.
    """

    label: str
    seed: int
    physics: Physics | None = ANOTHERS
    fixed: dict[str, float] = field(default_factory=dict)
    stray: float = 0.0
    tilt: float = 0.0


SMILED = {"shift": 0.06, "smile": 0.03, "fwhm_shift": 0.012}
LOW = {"solar_zenith_angle": 66.0, "aot_550": 0.32}
CASES = (
    *(Case("our own", seed, None) for seed in (1, 2)),
    *(Case("another's", seed) for seed in (1, 2, 3)),
    Case("and newer lines, less mixing", 1, Physics(newer=True)),
    Case("and stray light 0.3 %, gain tilted by 1 %", 1, stray=0.003, tilt=0.01),
    Case("and shifted 0.06 nm, smile, wider at the edge", 1, fixed=SMILED),
    Case("and smoke at 2.6 km, AOT 0.25", 1, SMOKE, {"aot_550": 0.25}),
    Case("and sun at 66°, AOT 0.32", 1, fixed=LOW),
    Case("and no bare ground", 1, fixed={"bare_soil": 0.0}),
)


class Lit:
    """Light under a physics, computed once for the same air and sun."""

    def __init__(self) -> None:
        self.known: dict[object, Array] = {}

    def __call__(
        self, settings: Settings, zenith: float, observers: list[Observer], physics: Physics
    ) -> Array:
        """See ``flex_physics.products_of``."""
        alike = replace(settings, shift=0, smile=0, fwhm_shift=0, bare_soil=0)
        key = (*asdict(alike).items(), zenith, *observers, physics)
        if key not in self.known:
            self.known[key] = products_of(settings, zenith, observers, physics)
        return self.known[key].copy()


def spoilt(case: Case, write: Callable[..., Path], folder: Path, radiance: Any, *more: Any,
           **named: Any) -> Path:  # fmt: skip
    """Writes a product as its sensor's faults have it, in the arm of the O2 A band."""
    fine = swath.channels()[2] == 3
    light = radiance[..., fine]
    tilt = 1 + case.tilt * np.linspace(-0.5, 0.5, light.shape[-1])
    radiance[..., fine] = (light + case.stray * light.mean(-1, keepdims=True)) * tilt
    return write(folder, radiance, *more, **named)


def simulated(case: Case, folder: Path, light: Lit) -> tuple[sifnet.Scene, xr.Dataset]:
    """A scene of a world, and its truth."""
    lines, samples = SHAPE
    rng = np.random.default_rng(case.seed)
    order = {"lines": lines, "samples": samples, "seed": case.seed}
    if case.physics is None:
        product = sifnet.simulate("flex", folder, **order)
    else:
        settings = Settings.drawn(rng, SENSOR, **AIR | case.fixed)
        sunlight = CLEAR * SUN_755 * np.cos(np.radians(settings.solar_zenith_angle))
        with (
            patch.object(scenery, "products_of", partial(light, physics=case.physics)),
            patch.object(scenery, "AOT_NODES", 2),
            patch.object(swath, "Mosaic", Canopies(sunlight)),
            patch.object(swath, "write_flex", partial(spoilt, case, write_flex)),
        ):
            product = sifnet.simulate("flex", folder, settings=settings, **order)
    return sifnet.open_scene(product), xr.load_dataset(folder / "truth.nc", engine="h5netcdf")


def row(case: Case, folder: Path, light: Lit) -> list[str]:
    """One row of the table."""
    scene, truth = simulated(case, folder, light)
    product = sifnet.retrieve(scene)
    bare = truth["bare_soil"].values > 0
    sigma = product["sif_760_uncertainty"].values
    error, far_red = (product[n].values - truth[n].values for n in ("sif_760", "sif_740"))
    seen = np.isfinite(error)
    plants = seen & ~bare
    ground = f"{error[seen & bare].mean():+.2f}" if (seen & bare).any() else ""
    return [
        case.label,
        str(case.seed),
        f"{rms(error[plants]):.3f}",
        f"{error[plants].mean():+.3f}",
        ground,
        " / ".join(within((error / sigma)[seen])),
        f"{sigma[seen].mean():.2f}",
        f"{rms(limits(scene)['patch'].values[plants]):.3f}",
        f"{rms(far_red[plants]):.3f}",
        f"{(product['quality_flag'] == 0).mean().item():.0%}",
    ]


def main() -> None:
    """Simulate and map all worlds."""
    needed(DATA)
    torch.set_num_threads(1)
    rows, light = [], Lit()
    for case in CASES:
        with TemporaryDirectory() as folder:
            rows.append(row(case, Path(folder), light))
        print(*rows[-1], sep=" | ", flush=True)
    put_in(DOCS / "flex.md", "worlds", f"{table(HEAD, rows)}\n\n`make flex`: {machine()}.")


if __name__ == "__main__":
    run(main)
