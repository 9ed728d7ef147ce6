"""Maps of worlds that are not ours: the table that counts.

    python tests/benchmarks/worlds.py [FOLDER]              (make worlds, half an hour)

Ten HyPlant lines and a DESIS scene with truth, made by code that shares nothing with ours but
public tables (``../shared/worlds/README.md``), mapped with the models that ship, refined, by the
encoder alone, and by both after a fit. Writes ``docs/worlds.md``, ``docs/results.md`` its table.
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast
from unittest.mock import patch

import numpy as np
import torch
import xarray as xr
from harness import DATA, UNIT, Array, needed, page, put_in_results, rms, run, table, within
from numpy.typing import NDArray
from torch import Tensor

import sifnet
from sifnet.evaluation.limits import limits
from sifnet.evaluation.methods.optimal_estimation import optimal_estimation_scene
from sifnet.physics import discrepancy
from sifnet.physics.surface import ShapePrior, sif_740_ratio
from sifnet.retrieval import refinement, shared
from sifnet.retrieval.shape import ShapePredictor
from sifnet.retrieval.shipped import model_for
from sifnet.scenes.scene import Scene

WORLDS = DATA.parent / "worlds"
VEGETATION, BARE = 2, (0, 1)  # surface classes of truth.nc
PATCH = 32  # pixels, over which the mean of the error should not scatter
NOTHING, KNOWN = 1e3, 1e6  # sd of fluorescence, and factor on precision
FEWEST = 20  # pixels of half a field, to speak of its mean
FIT = "after a fit: RMSE, bias, within 1 σ / 2 σ"
ENCODER = "encoder alone: RMSE, bias"
TAUGHT = "encoder alone after a fit: RMSE, bias"
OPTIMAL = "optimal estimation of patches: RMSE, bias"
HEAD = ("world", "RMSE", "bias", "bare ground", "within 1 σ / 2 σ", "mean σ", "shared σ",
        "patch means scatter", "good", "limit", ENCODER, OPTIMAL,
        TAUGHT, FIT, "limits asked for")  # fmt: skip
CLEAR, HARD = "0.30, 0.12, 0.10", "0.40, 0.20, 0.20"


def nothing(truth: xr.Dataset, folder: Path) -> xr.Dataset | None:
    """Known of the atmosphere."""
    return None


def pressure(truth: xr.Dataset, folder: Path) -> xr.Dataset:
    """As a reanalysis knows it."""
    known = truth.attrs["surface_pressure_hpa"]
    return xr.Dataset({"surface_pressure": known, "surface_pressure_uncertainty": 2.0})


def terrain(truth: xr.Dataset, folder: Path) -> xr.Dataset:
    """A digital elevation model."""
    return xr.load_dataset(folder / "dem.nc", engine="h5netcdf")


@dataclass(frozen=True)
class Case:
    """A world, what is known of its air, and what its map is asked for."""

    world: str
    asked: str
    known: Callable[[xr.Dataset, Path], xr.Dataset | None] = nothing
    label: str = ""


CASES = (
    *(Case(name, CLEAR) for name in ("plain", "stress", "misreg", "low")),
    *(Case(name, HARD) for name in ("stray", "adjacency", "smoke", "shadow")),
    Case("relief", HARD, terrain, "relief, with its terrain"),
    Case("forest", "0.50, 0.40"),
    Case("forest", "0.25, 0.12", pressure, "forest, pressure ± 2 hPa"),
    Case("desis", "0.60, 0.25, 0.25"),
)


@dataclass(frozen=True)
class Map:
    """Errors of a map, and what it says of them; ``line, sample``."""

    error: Array
    sigma: Array
    shared: Array
    surface: NDArray[np.int8]
    good: float

    @classmethod
    def of(cls, product: xr.Dataset, truth: xr.Dataset) -> Map:
        name = "sif_740" if product.attrs["sensor"] == "desis" else "sif_760"
        return cls(
            product[name].values - truth[name].values,
            product[f"{name}_uncertainty"].values,
            product["sif_760_uncertainty_shared"].values,
            truth["surface_class"].values,
            float((product["quality_flag"] == 0).mean()),
        )

    def over(self, classes: int | tuple[int, ...]) -> Array:
        """Errors over some surfaces, where there is a result."""
        return self.error[np.isin(self.surface, classes) & np.isfinite(self.error)]

    def patches(self) -> float:
        """Standard deviation of the means of errors over vegetation of patches."""
        error = np.where(self.surface == VEGETATION, self.error, np.nan)
        lines, samples = error.shape
        means = [
            np.nanmean(part)
            for line in range(0, lines, PATCH)
            for sample in range(0, samples, PATCH)
            if np.isfinite(part := error[line : line + PATCH, sample : sample + PATCH]).any()
        ]
        return float(np.std(means))


def unpacked(world: str, folder: Path) -> Path:
    """Folder of a world, unpacked where it is not there yet."""
    if not (folder / world).is_dir():
        with zipfile.ZipFile(WORLDS / f"{world}.zip") as packed:
            packed.extractall(folder)
    return folder / world


def dropped(product: xr.Dataset, truth: xr.Dataset) -> str:
    """Share of fluorescence that stress takes in every field, as a map has it and in truth."""
    drops, fields = [], truth["field"].values
    planted, stressed = truth["surface_class"].values == VEGETATION, truth["stressed"].values > 0
    for field in np.unique(fields):
        halves = [planted & (fields == field) & half for half in (stressed, ~stressed)]
        if min(half.sum() for half in halves) < FEWEST:
            continue
        sifs = product["sif_760"].values, truth["sif_760"].values
        drops.append([1 - np.nanmean(s[halves[0]]) / np.nanmean(s[halves[1]]) for s in sifs])
    found, true = np.transpose(drops)
    right = f"sign right in {(found > 0).sum()} of {len(found)} fields"
    return f"{found.mean():.2f} of a field's fluorescence, {true.mean():.2f} in truth, {right}"


def coarse(product: xr.Dataset, truth: xr.Dataset) -> str:
    """RMSE of means over 3 x 3 pixels of vegetation alone."""
    planted = (truth["surface_class"] == VEGETATION).values
    return f"{rms(thirds(product['sif_740'].values - truth['sif_740'].values, planted)):.2f}"


def thirds(values: Array, where: NDArray[np.bool_]) -> Array:
    """Means over 3 x 3 pixels all of which are there."""
    lines, samples = (3 * (n // 3) for n in values.shape)
    part = np.where(where, values, np.nan)[:lines, :samples]
    means = part.reshape(lines // 3, 3, samples // 3, 3).mean((1, 3))
    return np.asarray(means[np.isfinite(means)])


def optimal(scene: Scene, truth: xr.Dataset, known: xr.Dataset | None) -> Array:
    """Errors over vegetation of optimal estimation whose patches share their air, same priors."""
    found = optimal_estimation_scene(scene, shared=True, atmosphere=known)["sif_760"].values
    in_740 = scene.sensor.name == "desis"
    found = found * sif_740_ratio()[0] if in_740 else found
    error = found - truth["sif_740" if in_740 else "sif_760"].values
    return error[(truth["surface_class"].values == VEGETATION) & np.isfinite(error)]


@dataclass(frozen=True)
class Ground:
    """What a predictor knows of the shape of reflectance, and nothing of fluorescence.

    Attributes:
        sharper: by how much better, as a factor on precision.
    """

    predictor: ShapePredictor
    sharper: float = 1.0

    def shape_prior(self, *seen: Any) -> tuple[ShapePrior, Tensor]:
        """See ``ShapePredictor``."""
        prior, unexplained = self.predictor.shape_prior(*seen)
        silent = torch.full_like(prior.sif_760, NOTHING)
        precision = self.sharper * prior.precision
        return replace(prior, precision=precision, sif_760=silent), unexplained / self.sharper


def least(scene: Scene, truth: xr.Dataset) -> list[str]:
    """What light tells of SIF at 740 nm, alone and with truth's mean and spread; native, 3 x 3.

    Noise is each pixel's own. Errors of reflectance are those of the plants that stand there: those
    of nine pixels may be all alike, or all different.
    """
    model, sif = model_for(scene), truth["sif_740"].values
    planted = truth["surface_class"].values == VEGETATION

    def light(predictor: ShapePredictor | Ground | None) -> float:
        known = limits(scene, emulator=model.emulator, predictor=cast(Any, predictor))["patch"]
        return sif_740_ratio()[0] * rms(known.values[planted & np.isfinite(known.values)])

    assert model.predictor is not None
    exact = light(Ground(model.predictor, KNOWN))
    spreads = float(sif[planted].std()), float(np.nanstd(thirds(sif, planted)))
    said = []
    for what, predictor in (
        ("taken for a parabola", None),
        ("as the predictor knows it", Ground(model.predictor)),
        ("known exactly", Ground(model.predictor, KNOWN)),
    ):
        alone = light(predictor)
        different = alone / 3
        alike = float(np.hypot(exact / 3, np.sqrt(max(0.0, alone**2 - exact**2))))
        sizes = (alone,), (different, alike)
        texts = []
        for some, spread in zip(sizes, spreads, strict=True):
            both = [(sd**-2 + spread**-2) ** -0.5 for sd in some]
            texts += [" to ".join(f"{sd:.2f}" for sd in part) for part in (some, both)]
        said.append(
            f"- desis, least RMSE by light alone, reflectance {what}: {texts[0]}, {texts[1]} were "
            f"mean and spread known; of 3 x 3 {texts[2]}, {texts[3]}"
        )
    return [*said, f"- desis, spread of truth {spreads[0]:.2f}, of 3 x 3 {spreads[1]:.2f}"]


def open_end(scene: Scene, truth: xr.Dataset, known: xr.Dataset | None) -> str:
    """Shared sd that is left where only air, spectroscopy and sensor's bands are not known."""
    planted = truth["surface_class"].values == VEGETATION
    sure = {"SUN_SD": 1e-9, "LIST_SD": 1e-9, "WINGS_SD": 1e-9}
    with (
        patch.multiple(discrepancy, **sure),
        patch.object(refinement, "STRAY_SD", 1e-6),
        patch.object(shared, "STRAY_SD", 1e-6),
    ):
        product = sifnet.retrieve(scene, model_for(scene), atmosphere=known)
    left = rms(product["sif_760_uncertainty_shared"].values[planted])
    air = limits(scene, atmosphere=known, patch=scene.shape[:2])["patch"].values[planted]
    photons = rms(truth["sif_760_limit_shared"].values[planted])
    return (
        f"shared σ {left:.2f}, RMSE {np.hypot(left, photons):.2f} at least, were sun, stray light "
        f"and response known exactly; {rms(air):.2f} were the strength of CIA, widths and line "
        "mixing known, too"
    )


MORE = {"stress": ("stress takes", dropped), "desis": ("RMSE of means over 3 x 3 pixels:", coarse)}


def row(case: Case, folder: Path, notes: list[str]) -> list[str]:
    """One row of the table; what it cannot hold is added to the notes."""
    here = unpacked(case.world, folder)
    scene = sifnet.open_scene([*here.glob("*.hdr"), *here.glob("DESIS*")][0])
    truth = xr.load_dataset(here / "truth.nc", engine="h5netcdf")
    known = case.known(truth, here)
    fitted = sifnet.fit(scene, atmosphere=known)
    products = {
        "no fit": sifnet.retrieve(scene, atmosphere=known),
        "encoder alone": sifnet.retrieve(scene, atmosphere=known, refine=False),
        "encoder alone after a fit": sifnet.retrieve(scene, fitted, atmosphere=known, refine=False),
        "after a fit": sifnet.retrieve(scene, fitted, atmosphere=known),
    }
    if case.world in MORE:
        what, how = MORE[case.world]
        notes += [f"- {case.world}, {n}: {what} {how(p, truth)}" for n, p in products.items()]
    refined, encoded, taught, after = (Map.of(product, truth) for product in products.values())
    if case.world == "desis":
        notes += least(scene, truth)
    if case.world == "forest":
        notes += [f"- {case.label or case.world}: {open_end(scene, truth, known)}"]
    best = optimal(scene, truth, known)
    bare = refined.over(BARE)
    plants, alone, itself, learned = (
        one.over(VEGETATION) for one in (refined, encoded, taught, after)
    )
    seen = np.isfinite(refined.error)
    planted = seen & (refined.surface == VEGETATION)
    limit = truth.get("sif_760_limit_shared")
    photons = "" if limit is None else f"{rms(limit.values[refined.surface == VEGETATION]):.2f}"
    return [
        case.label or case.world,
        f"{rms(plants):.2f}",
        f"{plants.mean():+.2f}",
        f"{bare.mean():+.2f}" if len(bare) else "",
        " / ".join(within((refined.error / refined.sigma)[seen])),
        f"{refined.sigma[seen].mean():.2f}",
        "" if case.world == "desis" else f"{rms(refined.shared[planted]):.2f}",
        f"{refined.patches():.2f}",
        f"{refined.good:.0%}",
        photons,
        f"{rms(alone):.2f}, {alone.mean():+.2f}",
        f"{rms(best):.2f}, {best.mean():+.2f}",
        f"{rms(itself):.2f}, {itself.mean():+.2f}",
        f"{rms(learned):.2f}, {learned.mean():+.2f}, "
        + " / ".join(within((after.error / after.sigma)[seen])),
        case.asked,
    ]


def main(folder: Path) -> None:
    """Map all worlds."""
    needed(WORLDS)
    introduction = (
        f"Truth that our code did not make; {UNIT} over vegetation, at 760 nm, for DESIS at "
        "740 nm. The models that ship, no fit but in the column that says so, nothing known of the "
        "air where nothing is said. "
        "Limits asked for: RMSE, absolute bias, absolute mean over bare ground. The limit is that "
        "of a pixel whose air and sensor are known. Shared σ, over vegetation, is what the line "
        "leaves open of what its pixels share, given all priors: no bias is smaller but by luck. "
        "Optimal estimation has the same priors of air and sensor, a patch of 32 x 32 at a time."
    )
    with page("worlds", "Worlds that are not ours", introduction) as add:
        notes: list[str] = []
        rows = [row(case, folder, notes) for case in CASES]
        add(table(HEAD, rows), "\n".join(notes))
    shown = [*range(5), HEAD.index(ENCODER), HEAD.index(FIT)]
    put_in_results("worlds", table([HEAD[i] for i in shown], [[r[i] for i in shown] for r in rows]))


if __name__ == "__main__":
    run(main, keep="benchmark_worlds")
