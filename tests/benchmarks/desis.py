"""DESIS scenes with known truth, what the shape of reflectance buys, and how long a scene takes.

    python tests/benchmarks/desis.py [FOLDER]        (make desis)

Scenes by full radiative transfer, mapped with the model that ships; a predictor that sees only
NDVI beside it; canopies of SCOPE, which the predictor of shapes has never seen, where they are at
hand; then time, memory and the gain of a second worker. Writes ``docs/desis.md``,
``docs/desis.png`` and a table of ``docs/results.md``; scenes are kept in FOLDER.
"""

from __future__ import annotations

import resource
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch
import xarray as xr
from harness import DATA, Array, page, put_in_results, rms, run, save, table, within
from lines import Kept, kept

from sifnet.evaluation.limits import limits
from sifnet.files import data_file
from sifnet.physics.solar import COARSE_WAVELENGTH
from sifnet.physics.surface import sif_740_ratio
from sifnet.product.aggregate import aggregate
from sifnet.product.retrieve import retrieve
from sifnet.retrieval.model import load
from sifnet.retrieval.shape import GRID, Reading, ShapePredictor
from sifnet.scenes.desis import SENSOR as DESIS
from sifnet.simulation.scenery import Settings
from sifnet.training.shape import Lesson, Skies, lesson

SCOPE = DATA / "scope" / "scope_verification_100scenes_640_850nm.npz"
SCENES: dict[str, tuple[int, int, dict[str, float]]] = {
    "sun high, clean": (51, 64, {"solar_zenith_angle": 26.0, "aot_550": 0.07,
                                 "ground_elevation": 0.05}),
    "usual": (52, 128, {"solar_zenith_angle": 41.0, "aot_550": 0.15, "ground_elevation": 0.3}),
    "sun low, hazy, high": (53, 256, {"solar_zenith_angle": 55.0, "aot_550": 0.26,
                                      "ground_elevation": 0.9}),
}  # fmt: skip
"""Seed, pixels a side, and what of the settings is not drawn; nothing was tuned on them."""
WHOLE = 1024  # pixels a side of a whole scene
SMALL, LARGE = 3, 10  # pixels a side of blocks
INTRODUCTION = """SIF at 740 nm, mW m⁻² nm⁻¹ sr⁻¹, by the model that ships. Full radiative transfer
in 740-780 nm, water vapour, 2.55 nm bands of 3.5 nm, signal to noise 200 at 100 mW m⁻² nm⁻¹ sr⁻¹,
smile to 0.3 nm; fields of PROSAIL canopies and soils that the predictor never saw, fluorescence
drawn independently of reflectance. No setting was tuned on these scenes but one: the weights of
blocks were changed after a first look.

The own limit is the Cramér-Rao bound of a pixel by itself, with what its spectrum beside the window
says of the shape of its reflectance and of fluorescence. `NDVI only`: RMSE of a line over NDVI,
learned from the truth of the other scenes.

![Truth and map](desis.png)"""


@dataclass(frozen=True)
class Mapped:
    """A scene's map of SIF at 740 nm beside the truth, all (line, sample)."""

    sif: Array
    sd: Array
    truth: Array
    bare: np.ndarray
    ndvi: Array
    limit: Array
    product: xr.Dataset

    @property
    def error(self) -> Array:
        """Map less truth."""
        return self.sif - self.truth

    def blocks(self, size: int) -> tuple[Array, Array, Array]:
        """SIF of blocks of pixels, its stated sd, and the truth."""
        layer = aggregate(self.product, size)
        truth = xr.DataArray(self.truth, dims=("line", "sample"))
        true = truth.coarsen(line=size, sample=size, boundary="pad").mean().values  # type: ignore[attr-defined]
        return (
            layer.sif_740.values,
            layer.sif_740_uncertainty.values,
            true,
        )


def main(folder: Path) -> None:
    """Run all and write the page."""
    torch.set_num_threads(1)
    with page("desis", "DESIS scenes with known truth", INTRODUCTION) as add:
        mapped = {name: mapped_scene(folder, name) for name in SCENES}
        ndvi = {name: float(rms(by_ndvi(name, mapped) - m.truth)) for name, m in mapped.items()}
        add(native(mapped, ndvi), blocks(mapped), greenness(mapped), unseen(), elsewhere())
        text, whole_row = speed(folder)
        add(text)
        figure(mapped)
    rows = [readme_row(name, m, ndvi[name]) for name, m in mapped.items()]
    put_in_results("desis", table([
        "scene", "bias", "RMSE", "RMSE / own limit", f"RMSE of {SMALL} x {SMALL} pixels", "r²",
        "who knows NDVI only",
    ], [*rows, whole_row]))  # fmt: skip


def scene_of(folder: Path, seed: int, size: int, stated: dict[str, float]) -> Kept:
    return kept(folder / f"{seed}_{size}", "desis", (size, size), seed,
                lambda rng: Settings.drawn(rng, DESIS, **stated))  # fmt: skip


def shipped_predictor() -> ShapePredictor:
    predictor = load(data_file("model_desis.ckpt")).predictor
    assert predictor is not None
    return predictor


def mapped_scene(folder: Path, name: str) -> Mapped:
    seen = scene_of(folder, *SCENES[name])
    product = retrieve(seen.scene)
    least = limits(seen.scene, predictor=shipped_predictor())["single_pixel"].values
    return Mapped(product.sif_740.values, product.sif_740_uncertainty.values,
                  seen.truth.sif_740.values, seen.bare, product.ndvi_radiance.values,
                  sif_740_ratio()[0] * least, product)  # fmt: skip


def by_ndvi(name: str, mapped: dict[str, Mapped]) -> Array:
    """SIF by a straight line over NDVI, learned from the truth of the other scenes."""
    others = [m for other, m in mapped.items() if other != name]
    ndvi = np.concatenate([m.ndvi.ravel() for m in others])
    truth = np.concatenate([m.truth.ravel() for m in others])
    slope, intercept = np.polyfit(ndvi, truth, 1)
    return slope * mapped[name].ndvi + intercept


def native(mapped: dict[str, Mapped], ndvi: dict[str, float]) -> str:
    """Pixels as they come."""
    rows = []
    for name, m in mapped.items():
        error, limit = m.error, rms(m.limit)
        rows.append([
            name, error.size, f"{error.mean():+.3f}", f"{rms(error):.3f}", f"{limit:.3f}",
            f"{rms(error) / limit:.2f}", *within(error / m.sd), f"{error[~m.bare].mean():+.3f}",
            f"{m.sif[m.bare].mean():+.3f}", f"{ndvi[name]:.3f}",
        ])  # fmt: skip
    head = ["scene", "n", "bias", "RMSE", "own limit", "RMSE / limit", "within 1 σ", "2 σ",
            "vegetation bias", "mean on soil", "NDVI only"]  # fmt: skip
    return "## Native pixels\n\n" + table(head, rows)


def blocks(mapped: dict[str, Mapped]) -> str:
    """The aggregated layer."""
    rows = []
    for name, m in mapped.items():
        for size in (SMALL, LARGE):
            sif, sd, true = m.blocks(size)
            error, r2 = sif - true, np.corrcoef(sif.ravel(), true.ravel())[0, 1] ** 2
            rows.append([name, f"{size} x {size}", error.size, f"{error.mean():+.3f}",
                         f"{rms(error):.3f}", f"{r2:.2f}", *within(error / sd)])  # fmt: skip
    head = ["scene", "block", "n", "bias", "RMSE", "r²", "within 1 σ", "2 σ"]
    return "## Blocks of pixels\n\n" + table(head, rows)


def readme_row(name: str, m: Mapped, ndvi: float) -> list[str]:
    """Of the table in ``docs/results.md``."""
    _, size, stated = SCENES[name]
    sif, _, true = m.blocks(SMALL)
    return [
        f"{size} x {size}, sun {stated['solar_zenith_angle']:.0f}° from the zenith, "
        f"AOT {stated['aot_550']:.2f}",
        f"{m.error.mean():+.2f}", f"{rms(m.error):.3f}", f"{rms(m.error) / rms(m.limit):.2f}",
        f"{rms(sif - true):.3f}", f"{np.corrcoef(sif.ravel(), true.ravel())[0, 1] ** 2:.2f}",
        f"{ndvi:.3f}",
    ]  # fmt: skip


def greenness(mapped: dict[str, Mapped]) -> str:
    """Retrieved SIF of vegetation against true SIF and NDVI, together."""
    rows = []
    for name, m in mapped.items():
        green = ~m.bare
        terms = np.stack([np.ones(green.sum()), m.truth[green], m.ndvi[green]], axis=1)
        _, follows, disguise = np.linalg.lstsq(terms, m.sif[green], rcond=None)[0]
        rows.append([name, f"{follows:.2f}", f"{disguise / 10:+.3f}"])
    return f"""## How much is fluorescence, how much greenness

Retrieved SIF of vegetation, regressed on true SIF and NDVI together. A pixel follows its
fluorescence by the first figure, the rest is what plants usually emit; the second would be 0
without any greenness in disguise.

{table(["scene", "for 1 of true SIF", "for 0.1 of NDVI"], rows)}"""


def read(grounds: np.ndarray, glows: bool) -> tuple[Lesson, Reading]:
    """Spectra of grounds (ground, COARSE_WAVELENGTH) under fresh skies, and their reading."""
    predictor = shipped_predictor()
    rng = np.random.default_rng(5)
    wavelength = predictor.wavelength.double().numpy()
    fwhm, emit = np.full(len(wavelength), 3.5), np.full(len(grounds), glows)
    seen = lesson(DESIS, grounds, emit, Skies.drawn(rng, 40), wavelength, fwhm, 4500, rng)
    return seen, predictor(seen.spectrum, seen.geometry)


def unseen() -> str:
    """Canopies of another model of canopies."""
    title = "## Canopies of SCOPE, from which nothing was learned\n\n"
    if not SCOPE.exists():
        return title + f"Not computed: {SCOPE.name} is not at hand."
    with np.load(SCOPE) as scope:
        wave, spectra = scope["wl_nm"], scope["reflectance"]
    grounds = np.array([np.interp(COARSE_WAVELENGTH, wave, row) for row in spectra])
    seen, told = read(grounds.clip(1e-3), True)
    shape = told.shape + told.by_sif * seen.sif_760
    error = (seen.shape - shape).numpy()
    sd = np.sqrt(shipped_predictor().covariance.diagonal().numpy())
    stated = sd * told.unusual[:, None].numpy()
    away = GRID != 760.0
    off = (told.sif - seen.sif_760[:, 0]).numpy()
    return title + (
        f"{len(grounds)} canopies (van der Tol et al. 2009), 640-850 nm, under 160 skies: ln "
        f"reflectance relative to 760 nm is predicted to {100 * rms(error[:, 1]):.2f} % at "
        f"{GRID[1]:.0f} nm and {100 * rms(error[:, 10]):.2f} % at {GRID[10]:.0f} nm; errors are "
        f"{rms(error[:, away] / stated[:, away]):.2f} of the stated ones. Fluorescence suggested "
        f"by the spectrum beside the window: RMSE {rms(off):.2f}, "
        f"{rms(off / told.sif_sd.numpy()):.2f} of the stated, at 760 nm, where the drawn ones "
        f"have a standard deviation of {seen.sif_760.std():.2f}."
    )


def elsewhere() -> str:
    """Where the spectrum is none that was learned."""
    wave = COARSE_WAVELENGTH
    step = 1 / (1 + np.exp(-(wave - 700) / 3.0))
    kinds = {
        "snow": 0.9 - 0.1 * np.clip((wave - 700) / 300, 0, 1),
        "water": 0.05 * np.exp(-(wave - 400) / 150) + 0.004,
        "blue plastic": 0.5 * np.exp(-0.5 * ((wave - 460) / 40) ** 2) + 0.06,
        "red edge too steep": 0.02 + 0.7 * step,
    }
    rows = []
    for name, reflectance in kinds.items():
        _, told = read(reflectance[None], False)
        rows.append([name, f"{told.unusual.median():.1f}", f"{told.sif_sd.median():.1f}"])
    return f"""## Where nothing like it was learned

The factor on the usual uncertainty of the shape of reflectance, and the standard deviation of what
is said of SIF at 760 nm beforehand.

{table(["ground", "factor, median", "beforehand"], rows)}"""


def speed(folder: Path) -> tuple[str, list[str]]:
    """A whole scene, then four takes of it by one and by two workers; its row of the results."""
    whole = scene_of(folder, 54, WHOLE, {})
    seconds = timed([whole.file], folder / "out_whole", 1)
    memory = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20
    with xr.open_dataset(next((folder / "out_whole").glob("*_sif.nc"))) as product:
        error = product.sif_740.values - whole.truth.sif_740.values
    four = [take(whole.file, folder / "takes", number) for number in (1, 2, 3, 4)]
    single, double = (timed(four, folder / f"out_{n}", n) for n in (1, 2))
    text = f"""## Time

A scene of {WHOLE} x {WHOLE} pixels (GeoTIFF, {whole.scene.dataset.sizes["band"]} bands) read,
mapped, aggregated and written with quicklook and STAC item: {seconds:.0f} s with one process, start
included, at most {memory:.2f} GiB; RMSE {rms(error):.3f}, bias {np.nanmean(error):+.3f}. Four takes
of it: {single:.0f} s with one worker, {double:.0f} s with two: an efficiency of
{single / double / 2:.2f}, of which starting the processes takes its part."""
    bias = f"{np.nanmean(error):+.2f}"
    return text, [f"{WHOLE} x {WHOLE}, drawn", bias, f"{rms(error):.3f}", "", "", "", ""]


def take(image: Path, folder: Path, number: int) -> Path:
    """The same scene under another name, without a copy."""
    folder.mkdir(exist_ok=True)
    name = image.name.replace("_001-", f"_{number:03d}-")
    for file in image.parent.glob("DESIS-*"):
        linked = folder / file.name.replace("_001-", f"_{number:03d}-")
        linked.unlink(missing_ok=True)
        linked.hardlink_to(file)
    return folder / name


def timed(scenes: list[Path], output: Path, workers: int) -> float:
    shutil.rmtree(output, ignore_errors=True)
    sifnet = Path(sys.executable).with_name("sifnet")
    start = time.perf_counter()
    subprocess.run(
        [sifnet, "retrieve", *scenes, "-o", output, "--workers", str(workers)],
        check=True, capture_output=True,
    )  # fmt: skip
    return time.perf_counter() - start


def figure(mapped: dict[str, Mapped]) -> None:
    """Truth, map and stated uncertainty of every scene, and blocks against truth."""
    fig, axes = plt.subplots(len(mapped), 4, figsize=(13, 3.1 * len(mapped)), layout="compressed")
    for row, (name, m) in zip(axes, mapped.items(), strict=True):
        coarse, _, true = m.blocks(SMALL)
        for axis, title, values, limit in (
            (row[0], f"{name}: truth", m.truth, (0, 3)),
            (row[1], "retrieved, native pixels", m.sif, (0, 3)),
            (row[2], "stated uncertainty", m.sd, (0, 1.2)),
        ):
            shown = axis.imshow(values, vmin=limit[0], vmax=limit[1], interpolation="nearest",
                                cmap="viridis" if limit[1] == 3 else "magma")  # fmt: skip
            axis.set_title(title, fontsize=9)
            axis.set_xticks([])
            axis.set_yticks([])
            fig.colorbar(shown, ax=axis, shrink=0.8)
        row[3].hexbin(true.ravel(), coarse.ravel(), gridsize=40, bins="log", mincnt=1,
                      extent=(-0.5, 3.5, -0.5, 3.5))  # fmt: skip
        row[3].plot([-0.5, 3.5], [-0.5, 3.5], color="tab:red", linewidth=1)
        row[3].set_title(f"{SMALL} x {SMALL} pixels, retrieved against true", fontsize=9)
    fig.suptitle("SIF at 740 nm, mW m⁻² nm⁻¹ sr⁻¹")
    save(fig, "desis")


if __name__ == "__main__":
    run(main, "benchmark_scenes")
