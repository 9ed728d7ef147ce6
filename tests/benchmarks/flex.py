"""FLEX scenes by full transfer, in our own world and under the physics of another.

    python tests/benchmarks/flex.py        (make flex, twenty minutes; needs reference data)

Scenes of 96 x 64 pixels as ``sifnet simulate --sensor flex --red`` writes them, mapped without
anything known but what the product states: SIF in both oxygen bands, and the whole emission. Writes
the tables of ``docs/flex.md``.
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

import numpy as np
import torch
import xarray as xr
from flex_physics import Canopies, Physics, products_of
from harness import DATA, DOCS, Array, machine, needed, put_in, rms, run, table, within

import sifnet
from sifnet.evaluation.limits import limits
from sifnet.physics.emulator import Emulator
from sifnet.physics.full.radiative_transfer import Observer
from sifnet.physics.windows import FAR_RED, RED, Window
from sifnet.product.emission import peaks_and_integral
from sifnet.retrieval import whole_emission
from sifnet.retrieval.emission import Emission
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
EMITTED = ("world", "seed", "687 nm, its lines alone: RMSE", "bias", "within σ / 2σ",
           "limit of a pixel", "687 nm, with canopies: RMSE", "bias", "within σ / 2σ",
           "bare ground", "670-780 nm: RMSE", "integral: RMSE", "bias", "within σ / 2σ",
           "far-red peak: RMSE", "its place, nm", "red peak: RMSE", "found / there")  # fmt: skip
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


PEAKS = "sif_far_red_peak", "sif_far_red_peak_wavelength", "sif_red_peak"
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
def another(case: Case, settings: Settings, light: Lit) -> Iterator[None]:
    """The simulation under a physics that is not its own, and shapes of emission of canopies that
    stand in no field of it."""
    canopies = Canopies(CLEAR * SUN_755 * np.cos(np.radians(settings.solar_zenith_angle)))
    whole_emission.shapes.cache_clear()
    with (
        patch.object(scenery, "products_of", partial(light, physics=case.physics)),
        patch.object(scenery, "AOT_NODES", 2),
        patch.object(swath, "Mosaic", canopies),
        patch.object(swath, "write_flex", partial(spoilt, case, write_flex)),
        patch.object(whole_emission, "usual_canopies", canopies.of_others),
    ):
        yield
    whole_emission.shapes.cache_clear()


def mapped(case: Case, folder: Path, light: Lit) -> tuple[sifnet.Scene, xr.Dataset, xr.Dataset]:
    """A scene of a world, its map with the whole emission, and its truth."""
    lines, samples = SHAPE
    rng = np.random.default_rng(case.seed)
    order: dict[str, Any] = {"lines": lines, "samples": samples, "seed": case.seed, "red": True}
    world: AbstractContextManager[None] = nullcontext()
    if case.physics is not None:
        order["settings"] = Settings.drawn(rng, SENSOR, **AIR | case.fixed)
        world = another(case, order["settings"], light)
    with world:
        scene = sifnet.open_scene(sifnet.simulate("flex", folder, **order))
        product = sifnet.retrieve(scene)
        product = product.merge(product.sif.emission())
    return scene, product, xr.load_dataset(folder / "truth.nc", engine="h5netcdf")


def rows_of(case: Case, folder: Path, light: Lit) -> tuple[list[str], list[str]]:
    """A row of each table."""
    scene, product, truth = mapped(case, folder, light)
    bare = truth["bare_soil"].values > 0
    sigma = product["sif_760_uncertainty"].values
    error, far_red = (product[n].values - truth[n].values for n in ("sif_760", "sif_740"))
    seen = np.isfinite(error)
    plants = seen & ~bare
    ground = f"{error[seen & bare].mean():+.2f}" if (seen & bare).any() else ""
    world = [case.label, str(case.seed)]
    return [
        *world,
        f"{rms(error[plants]):.3f}",
        f"{error[plants].mean():+.3f}",
        ground,
        " / ".join(within((error / sigma)[seen])),
        f"{sigma[seen].mean():.2f}",
        f"{rms(limits(scene)['patch'].values[plants]):.3f}",
        f"{rms(far_red[plants]):.3f}",
        f"{(product['quality_flag'] == 0).mean().item():.0%}",
    ], [*world, *emitted(scene, product, truth)]


def emitted(scene: sifnet.Scene, product: xr.Dataset, truth: xr.Dataset) -> list[str]:
    """Of the red and of the whole emission: figures of vegetation, and of bare ground at 687 nm."""
    bare = truth["bare_soil"].values > 0
    plants = np.isfinite(product["sif_687"].values) & ~bare
    soils = np.isfinite(product["sif_687"].values) & bare
    red = Emulator.load(space=True, window=RED)
    limit = limits(scene, emulator=red, window=RED.fitted)["patch"].values
    true, found = (d["sif_emission_spectrum"].values for d in (truth, product))
    sd = product["sif_emission_spectrum_uncertainty"].values
    at = int(np.flatnonzero(truth["emission_wavelength"].values == RED.reference)[0])
    alone = product["sif_687"].values - true[..., at]
    spread = product["sif_687_uncertainty"].values
    error = found - true
    exact = peaks_of(true)
    total = product["total_integrated_sif"].values - exact["total_integrated_sif"]
    usual = exact["total_integrated_sif"][plants].mean()
    z = total / product["total_integrated_sif_uncertainty"].values
    far, place, near = (product[n].values - exact[n] for n in PEAKS)
    both = plants & np.isfinite(near)
    there = plants & np.isfinite(exact["sif_red_peak"])
    ground = f"{error[soils][:, at].mean():+.2f}" if soils.any() else ""
    return [
        f"{rms(alone[plants]):.3f}", f"{alone[plants].mean():+.3f}",
        " / ".join(within((alone / spread)[plants])), f"{rms(limit[plants]):.3f}",
        f"{rms(error[plants][:, at]):.3f}", f"{error[plants][:, at].mean():+.3f}",
        " / ".join(within((error / sd)[plants][:, at])), ground,
        f"{rms(error[plants]):.3f}",
        f"{rms(total[plants]) / usual:.0%}", f"{total[plants].mean() / usual:+.0%}",
        " / ".join(within(z[plants])),
        f"{rms(far[plants]):.3f}", f"{rms(place[plants]):.1f}",
        f"{rms(near[both]):.3f}" if both.any() else "", f"{both.sum() / plants.sum():.0%} / "
        f"{there.sum() / plants.sum():.0%}",
    ]  # fmt: skip


def peaks_of(spectra: Array) -> dict[str, Array]:
    """Peaks and integral (line, sample) of true spectra (line, sample, wavelength)."""
    flat = spectra.reshape(-1, spectra.shape[-1]).astype(float)
    sure = np.zeros((len(flat), 1, 1))
    shape = np.zeros((flat.shape[1], 1))
    emission = Emission(whole_emission.WAVELENGTH, flat, shape, sure, sure)
    return {
        number.name: number.value.value.reshape(spectra.shape[:2])
        for number in peaks_and_integral(emission)
    }


def main() -> None:
    """Simulate and map all worlds."""
    needed(DATA)
    torch.set_num_threads(1)
    rows, emissions, light = [], [], Lit()
    for case in CASES:
        with TemporaryDirectory() as folder:
            row, emission = rows_of(case, Path(folder), light)
        rows.append(row)
        emissions.append(emission)
        print(*row, "|", *emission[2:], sep=" | ", flush=True)
    made = f"`make flex`: {machine()}."
    put_in(DOCS / "flex.md", "worlds", f"{table(HEAD, rows)}\n\n{made}")
    put_in(DOCS / "flex.md", "emission", f"{table(EMITTED, emissions)}\n\n{made}")


if __name__ == "__main__":
    run(main)
