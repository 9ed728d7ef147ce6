"""FLEX scenes by full transfer, in our own world and under the physics of another.

    python tests/benchmarks/flex.py        (make flex, twenty minutes; needs reference data)

Scenes of 96 x 64 pixels as ``sifnet simulate --sensor flex --red`` writes them, mapped without
anything known but what the product states: SIF in both oxygen bands, the whole emission, and
physiology. Writes the tables of ``docs/flex.md``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

import flex_left_out
import numpy as np
import torch
import xarray as xr
from flex_physics import Physics, products_of
from flex_plants import Canopies
from flex_scores import TABLES, Mapped, least_errors
from harness import DATA, DOCS, Array, machine, needed, put_in, run, table

import sifnet
from sifnet.physics.full.radiative_transfer import Observer
from sifnet.physics.windows import FAR_RED, Window
from sifnet.retrieval import whole_emission
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


@dataclass(frozen=True)
class Case:
    """A world.

    Attributes:
        physics: of light; None for the simulation's own, over its own ground.
        fixed: settings that are not drawn.
        stray: share of the mean radiance of the arm in each of its channels.
        tilt: of gain from one end of the arm to the other.
        sky: whether oxygen shows in what canopies reflect (``flex_plants.smooth_reflectance``).
        lit: whether light is another's too, and not only canopies.
    """

    label: str
    seed: int
    physics: Physics | None = ANOTHERS
    fixed: dict[str, float] = field(default_factory=dict)
    stray: float = 0.0
    tilt: float = 0.0
    sky: bool = False
    lit: bool = True


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
    Case("and oxygen in what canopies reflect", 2, sky=True),
    Case("another's canopies in our own light", 2, lit=False),
)


class Lit:
    """Light under a physics, computed once for the same air and sun."""

    def __init__(self) -> None:
        self.known: dict[object, Array] = {}

    def __call__(
        self,
        settings: Settings,
        zenith: float,
        observers: list[Observer],
        window: Window = FAR_RED,
        *,
        physics: Physics,
    ) -> Array:
        """See ``flex_physics.products_of``."""
        alike = replace(settings, shift=0, smile=0, fwhm_shift=0, bare_soil=0)
        key = (*asdict(alike).items(), zenith, *observers, window.name, physics)
        if key not in self.known:
            self.known[key] = products_of(settings, zenith, observers, window, physics)
        return self.known[key].copy()


def spoilt(case: Case, write: Callable[..., Path], folder: Path, radiance: Any, *more: Any,
           **named: Any) -> Path:  # fmt: skip
    """Writes a product as its sensor's faults have it, in the arms of high resolution."""
    for arm in (2, 3):
        fine = swath.channels()[2] == arm
        light = radiance[..., fine]
        tilt = 1 + case.tilt * np.linspace(-0.5, 0.5, light.shape[-1])
        radiance[..., fine] = (light + case.stray * light.mean(-1, keepdims=True)) * tilt
    return write(folder, radiance, *more, **named)


@contextmanager
def another(case: Case, settings: Settings, light: Lit) -> Iterator[Canopies]:
    """The simulation under a physics that is not its own, and shapes of emission of canopies that
    stand in no field of it."""
    sunlight = CLEAR * SUN_755 * np.cos(np.radians(settings.solar_zenith_angle))
    canopies = Canopies(sunlight, case.sky)
    products = partial(light, physics=case.physics) if case.lit else scenery.products_of
    whole_emission.shapes.cache_clear()
    with (
        patch.object(scenery, "products_of", products),
        patch.object(scenery, "AOT_NODES", 2),
        patch.object(swath, "Mosaic", canopies),
        patch.object(swath, "write_flex", partial(spoilt, case, write_flex)),
        patch.object(whole_emission, "usual_canopies", canopies.of_others),
    ):
        yield canopies
    whole_emission.shapes.cache_clear()


def mapped(case: Case, folder: Path, light: Lit) -> Mapped:
    """A scene of a world, its map with the whole emission and physiology, and its truth."""
    lines, samples = SHAPE
    rng = np.random.default_rng(case.seed)
    order: dict[str, Any] = {"lines": lines, "samples": samples, "seed": case.seed, "red": True}
    world: AbstractContextManager[Canopies | None] = nullcontext()
    if case.physics is not None:
        order["settings"] = Settings.drawn(rng, SENSOR, **AIR | case.fixed)
        world = another(case, order["settings"], light)
    with world as canopies:
        scene = sifnet.open_scene(sifnet.simulate("flex", folder, **order))
        product = sifnet.retrieve(scene)
        product = product.merge(product.sif.emission()).merge(product.sif.physiology())
        truth = xr.load_dataset(folder / "truth.nc", engine="h5netcdf")
        least = least_errors(scene, truth)
    plants = {} if canopies is None else canopies.physiology()
    return Mapped(product, truth, plants, *least)


def main() -> None:
    """Simulate and map all worlds."""
    needed(DATA)
    torch.set_num_threads(1)
    rows: dict[str, list[list[str]]] = {name: [] for name in TABLES}
    light = Lit()
    for case in CASES:
        with TemporaryDirectory() as folder:
            found = mapped(case, Path(folder), light)
        for name, (_, row_of) in TABLES.items():
            if row := row_of(found):
                rows[name].append([case.label, str(case.seed), *row])
                print(name, *rows[name][-1], sep=" | ", flush=True)
    made = f"`make flex`: {machine()}."
    for name, (head, _) in TABLES.items():
        text = table(("world", "seed", *head), rows[name])
        put_in(DOCS / "flex.md", name, f"{text}\n\n{made}")
    put_in(DOCS / "flex.md", "left out", table(flex_left_out.HEAD, flex_left_out.rows()))


if __name__ == "__main__":
    run(main)
