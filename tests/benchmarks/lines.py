"""Scenes with known truth, by full radiative transfer, on which accuracy is measured.

Nothing was tuned on the flight lines. Each is simulated once into a folder (about a minute) and
kept.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from harness import Array
from numpy.typing import NDArray

from sifnet.evaluation.methods.all import evenly
from sifnet.evaluation.methods.fld import fld_scene
from sifnet.evaluation.methods.optimal_estimation import optimal_estimation_scene
from sifnet.evaluation.methods.spectral_fitting import spectral_fitting_scene
from sifnet.product.retrieve import retrieve
from sifnet.retrieval.shipped import model_for
from sifnet.scenes import open_scene
from sifnet.scenes.scene import Scene
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
SLOW = 3000  # pixels on which the two methods are tried that solve one by one


@dataclass(frozen=True)
class Kept:
    """A scene in its folder, and its truth, (line, sample)."""

    file: Path
    scene: Scene
    truth: xr.Dataset

    @property
    def bare(self) -> NDArray[np.bool_]:
        """Where the ground is bare soil."""
        return self.truth["bare_soil"].values.astype(bool)


def kept(
    folder: Path,
    sensor: str,
    shape: tuple[int, int],
    seed: int,
    settings: Callable[[np.random.Generator], Settings],
    **more: Any,
) -> Kept:
    """A scene, simulated if it is not in ``folder`` yet.

    Args:
        settings: draws them.
        more: see ``sifnet.simulation.simulate.simulate``.
    """
    if not (folder / "truth.nc").exists():
        simulate(sensor, folder, lines=shape[0], samples=shape[1], seed=seed,
                 settings=settings(np.random.default_rng(seed)), **more)  # fmt: skip
    file = next(f for end in ("*.hdr", "*SPECTRAL_IMAGE.tif") for f in folder.glob(end))
    return Kept(file, open_scene(file), xr.load_dataset(folder / "truth.nc"))


def line(folder: Path, name: str, **changed: float) -> Kept:
    """One of LINES, with some of its settings changed."""
    return _line(folder / name.replace(" ", ""), LINES[name] | changed)


def greenness(folder: Path) -> Kept:
    """A line whose left half holds reflectance while F varies, and the right half the reverse."""
    ground = Ground.drawn(SHAPE, 0.2, np.random.default_rng(int(GREENNESS["seed"])))
    left = np.arange(SHAPE[1]) < SHAPE[1] // 2
    green = ~ground.bare_soil
    for name, value in (("red", 0.04), ("infrared", 0.42), ("edge", 717.0)):
        getattr(ground, name)[:, left] = value
    ground.sif_760[:, ~left] = np.where(green, 1.2, 0.0)[:, ~left]
    return _line(folder / "greenness", GREENNESS, ground=ground)


def _line(folder: Path, stated: dict[str, float], **more: Any) -> Kept:
    values = {name: float(value) for name, value in stated.items() if name != "seed"}
    return kept(folder, "hyplant", SHAPE, int(stated["seed"]),
                lambda rng: Settings.drawn(rng, **values), **more)  # fmt: skip


def methods(scene: Scene, slow: int = SLOW) -> dict[str, Callable[[xr.Dataset | None], Array]]:
    """sif_760 (line, sample) of a scene from what is told of its air; NaN where not tried."""
    model, some = model_for(scene), evenly(scene.shape[:2], slow)
    places = {"line": np.flatnonzero(some.any(1)), "sample": np.flatnonzero(some.any(0))}
    part = Scene(scene.dataset.isel(places))

    def alone(atmosphere: xr.Dataset | None) -> Array:
        sif = np.full(scene.shape[:2], np.nan)
        estimate = optimal_estimation_scene(part, shared=False, atmosphere=atmosphere)
        sif[np.ix_(*places.values())] = estimate.sif_760.values
        return sif

    return {
        "sifnet": lambda air: retrieve(scene, model, atmosphere=air).sif_760.values,
        "optimal estimation, shared": lambda air: (
            optimal_estimation_scene(scene, shared=True, atmosphere=air).sif_760.values
        ),
        "optimal estimation, single pixels": alone,
        "3FLD": lambda air: fld_scene(scene, atmosphere=air),
        "SFM": lambda air: spectral_fitting_scene(scene, atmosphere=air, at=some),
    }
