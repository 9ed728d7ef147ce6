"""Flight lines with known truth, by full radiative transfer, on which accuracy is measured.

Nothing was tuned on them. They are simulated once into a folder (about a minute each) and kept.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from sifnet.simulation.ground import Ground
from sifnet.simulation.scenery import Settings
from sifnet.simulation.simulate import simulate

SHAPE = (128, 96)  # lines, samples
LINES: dict[str, dict[str, float]] = {
    "0.35 km": {"seed": 11, "sensor_height": 0.35, "solar_zenith_angle": 30, "aot_550": 0.10,
                "pressure_offset": -8},
    "0.6 km": {"seed": 12, "sensor_height": 0.6, "solar_zenith_angle": 25, "aot_550": 0.05,
               "pressure_offset": 5},
    "1.8 km": {"seed": 13, "sensor_height": 1.8, "solar_zenith_angle": 45, "aot_550": 0.20,
               "pressure_offset": 8},
    "3.0 km": {"seed": 14, "sensor_height": 3.0, "solar_zenith_angle": 60, "aot_550": 0.30,
               "pressure_offset": -5},
}  # fmt: skip
"""Seed, and what of the settings is not drawn from it (see ``simulation.Settings``)."""
GREENNESS = {"seed": 15, "sensor_height": 0.6, "solar_zenith_angle": 38, "aot_550": 0.12,
             "pressure_offset": 4}  # fmt: skip


def line(folder: Path, name: str, **changed: float) -> Path:
    """The header of a line, simulated if it is not in ``folder`` yet; its truth lies beside."""
    given = {k: float(v) for k, v in (LINES[name] | changed).items()}
    return _kept(folder / name.replace(" ", ""), given, None)


def greenness(folder: Path) -> Path:
    """A line whose left half holds reflectance while F varies, and the right half the reverse."""
    seed = int(GREENNESS["seed"])
    ground = Ground.drawn(SHAPE, 0.2, np.random.default_rng(seed))
    left = np.arange(SHAPE[1]) < SHAPE[1] // 2
    green = ~ground.bare_soil
    for name, value in (("red", 0.04), ("infrared", 0.42), ("edge", 717.0)):
        getattr(ground, name)[:, left] = value
    ground.sif_760[:, ~left] = np.where(green, 1.2, 0.0)[:, ~left]
    return _kept(folder / "greenness", {k: float(v) for k, v in GREENNESS.items()}, ground)


def _kept(folder: Path, given: dict[str, float], ground: Ground | None) -> Path:
    if not (folder / "truth.nc").exists():
        seed = int(given.pop("seed"))
        settings = Settings.drawn(np.random.default_rng(seed), **given)
        simulate("hyplant", folder, lines=SHAPE[0], samples=SHAPE[1], seed=seed,
                 settings=settings, ground=ground)  # fmt: skip
    return next(folder.glob("*.hdr"))
