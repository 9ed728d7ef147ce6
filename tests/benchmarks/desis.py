"""DESIS scenes with known truth, what the shape of reflectance buys, and how long a scene takes.

    python tests/benchmarks/desis.py [FOLDER]        (make desis)

Scenes by full radiative transfer, mapped with the model that ships; a predictor that sees only
NDVI beside it; canopies of SCOPE, which the predictor of shapes has never seen, where they are at
hand; then time, memory and the gain of a second worker. Writes ``docs/desis.md`` and
``docs/desis.png``; scenes are kept in FOLDER.
"""

from __future__ import annotations

import os
import platform
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

from sifnet.evaluation.limits import limits
from sifnet.files import data_file
from sifnet.physics.solar import COARSE_WAVELENGTH
from sifnet.physics.surface import sif_740_ratio
from sifnet.product.aggregate import aggregate
from sifnet.product.retrieve import retrieve
from sifnet.retrieval.model import load
from sifnet.retrieval.shape import GRID, Reading
from sifnet.scenes import open_scene, record_of
from sifnet.simulation.scenery import Settings
from sifnet.simulation.simulate import simulate
from sifnet.training.shape import Lesson, Skies, lesson

ROOT = Path(__file__).resolve().parents[2]
SCOPE = ROOT.parent / "shared" / "data" / "scope" / "scope_verification_100scenes_640_850nm.npz"
SCENES: dict[str, tuple[int, int, dict[str, float]]] = {
    "sun high, clean": (
        51,
        64,
        {"solar_zenith_angle": 26.0, "aot_550": 0.07, "ground_elevation": 0.05},
    ),
    "usual": (52, 128, {"solar_zenith_angle": 41.0, "aot_550": 0.15, "ground_elevation": 0.3}),
    "sun low, hazy, high": (
        53,
        256,
        {"solar_zenith_angle": 55.0, "aot_550": 0.26, "ground_elevation": 0.9},
    ),
}
"""Seed, pixels a side, and what of the settings is not drawn; nothing was tuned on them."""
WHOLE = 1024  # pixels a side of a whole scene
HEAD = (
    "| scene | n | bias | RMSE | own limit | RMSE / limit | within 1 σ | 2 σ | vegetation bias "
    "| mean on soil | NDVI only |\n" + "|---" * 11 + "|"
)


@dataclass(frozen=True)
class Mapped:
    """A scene's map of SIF at 740 nm beside the truth, all (line, sample)."""

    sif: np.ndarray
    sd: np.ndarray
    truth: np.ndarray
    bare: np.ndarray
    ndvi: np.ndarray
    limit: np.ndarray
    product: xr.Dataset

    def row(self, name: str, others: list[Mapped]) -> str:
        """Figures of HEAD."""
        error, z = self.sif - self.truth, abs(self.sif - self.truth) / self.sd
        limit = rms(self.limit)
        return (
            f"| {name} | {error.size} | {error.mean():+.3f} | {rms(error):.3f} | {limit:.3f} "
            f"| {rms(error) / limit:.2f} | {(z < 1).mean():.0%} | {(z < 2).mean():.0%} "
            f"| {error[~self.bare].mean():+.3f} | {self.sif[self.bare].mean():+.3f} "
            f"| {rms(by_ndvi(self, others) - self.truth):.3f} |"
        )


def main(folder: Path) -> None:
    """Run all and write the page."""
    torch.set_num_threads(1)
    folder.mkdir(parents=True, exist_ok=True)
    mapped = {name: mapped_scene(folder, name) for name in SCENES}
    rows = [
        m.row(name, [other for other in mapped.values() if other is not m])
        for name, m in mapped.items()
    ]
    page = [head(), "## Native pixels\n\n" + "\n".join([HEAD, *rows]), blocks(mapped),
            greenness(mapped), unseen(), elsewhere(), speed(folder)]  # fmt: skip
    print("\n\n".join(page))
    (ROOT / "docs" / "desis.md").write_text("\n\n".join(page) + "\n", encoding="utf-8")
    figure(mapped, ROOT / "docs" / "desis.png")


def rms(x: np.ndarray) -> float:
    return float(np.sqrt(np.nanmean(x**2)))


def scene_of(folder: Path, seed: int, size: int, given: dict[str, float]) -> Path:
    """The image of a scene, simulated if it is not in ``folder`` yet."""
    place = folder / f"{seed}_{size}"
    if not (place / "truth.nc").exists():
        settings = Settings.drawn(np.random.default_rng(seed), record_of("desis"), **given)
        simulate("desis", place, lines=size, samples=size, seed=seed, settings=settings)
    return next(place.glob("*SPECTRAL_IMAGE.tif"))


def mapped_scene(folder: Path, name: str) -> Mapped:
    image = scene_of(folder, *SCENES[name])
    scene = open_scene(image)
    product = retrieve(scene)
    with xr.open_dataset(image.parent / "truth.nc") as truth:
        true, bare = truth.sif_740.values, truth.bare_soil.values.astype(bool)
    predictor = load(data_file("model_desis.ckpt")).predictor
    least = limits(scene, predictor=predictor)["single_pixel"].values
    return Mapped(product.sif_740.values, product.sif_740_uncertainty.values, true, bare,
                  product.ndvi_radiance.values, sif_740_ratio()[0] * least, product)  # fmt: skip


def by_ndvi(mine: Mapped, others: list[Mapped]) -> np.ndarray:
    """SIF by a straight line over NDVI, learned from the truth of the other scenes."""
    ndvi = np.concatenate([m.ndvi.ravel() for m in others])
    truth = np.concatenate([m.truth.ravel() for m in others])
    return np.polyval(np.polyfit(ndvi, truth, 1), mine.ndvi)


def head() -> str:
    return (
        "# DESIS scenes with known truth\n\n"
        "SIF at 740 nm, mW m⁻² nm⁻¹ sr⁻¹, by the model that ships. Full radiative transfer in "
        "740-780 nm, water vapour, 2.55 nm bands of 3.5 nm, signal to noise 200 at "
        "100 mW m⁻² nm⁻¹ sr⁻¹, smile to 0.3 nm; fields of PROSAIL canopies and soils that the "
        "predictor never saw, fluorescence drawn independently of reflectance. No setting was "
        "tuned on these scenes but one: the weights of blocks were changed after a first look. "
        f"{platform.processor() or platform.machine()}, {os.cpu_count()} "
        f"cores, torch {torch.__version__}; `make desis` makes this page.\n\n"
        "The own limit is the Cramér-Rao bound of a pixel by itself, with what its spectrum beside "
        "the window says of the shape of its reflectance and of fluorescence. `NDVI only`: RMSE "
        "of a line over NDVI, learned from the truth of the other scenes.\n\n"
        "![Truth and map](desis.png)"
    )


def blocks(mapped: dict[str, Mapped]) -> str:
    """The aggregated layer."""
    rows = ["## Blocks of pixels\n", "| scene | block | n | bias | RMSE | r² | within 1 σ | 2 σ |",
            "|---" * 8 + "|"]  # fmt: skip
    for name, m in mapped.items():
        for size in (3, 10):
            layer = aggregate(m.product, size)
            truth = xr.DataArray(m.truth, dims=("line", "sample"))
            true = truth.coarsen(line=size, sample=size, boundary="pad").mean().values  # type: ignore[attr-defined]
            sif = layer.sif_740_aggregated.values
            error, z = sif - true, abs(sif - true) / layer.sif_740_aggregated_uncertainty.values
            r2 = np.corrcoef(sif.ravel(), true.ravel())[0, 1] ** 2
            rows.append(f"| {name} | {size} x {size} | {error.size} | {error.mean():+.3f} "
                        f"| {rms(error):.3f} | {r2:.2f} | {(z < 1).mean():.0%} "
                        f"| {(z < 2).mean():.0%} |")  # fmt: skip
    return "\n".join(rows)


def greenness(mapped: dict[str, Mapped]) -> str:
    """Retrieved SIF of vegetation against true SIF and NDVI, together."""
    rows = ["## How much is fluorescence, how much greenness\n",
            "Retrieved SIF of vegetation, regressed on true SIF and NDVI together. A pixel follows "
            "its fluorescence by the first figure, the rest is what plants usually emit; the "
            "second would be 0 without any greenness in disguise.\n",
            "| scene | for 1 of true SIF | for 0.1 of NDVI |", "|---|---|---|"]  # fmt: skip
    for name, m in mapped.items():
        green = ~m.bare
        terms = np.stack([np.ones(green.sum()), m.truth[green], m.ndvi[green]], axis=1)
        _, follows, disguise = np.linalg.lstsq(terms, m.sif[green], rcond=None)[0]
        rows.append(f"| {name} | {follows:.2f} | {disguise / 10:+.3f} |")
    return "\n".join(rows)


def read(grounds: np.ndarray, glows: bool) -> tuple[Lesson, Reading]:
    """Spectra of grounds (ground, COARSE_WAVELENGTH) under fresh skies, and their reading."""
    predictor = load(data_file("model_desis.ckpt")).predictor
    assert predictor is not None
    rng = np.random.default_rng(5)
    wavelength = predictor.wavelength.double().numpy()
    fwhm, emit = np.full(len(wavelength), 3.5), np.full(len(grounds), glows)
    seen = lesson("desis", grounds, emit, Skies.drawn(rng, 40), wavelength, fwhm, 4500, rng)
    return seen, predictor(seen.spectrum, seen.geometry)


def unseen() -> str:
    """Canopies of another model of canopies."""
    title = "## Canopies of SCOPE, from which nothing was learned\n\n"
    if not SCOPE.exists():
        return title + f"Not computed: {SCOPE.name} is not at hand."
    with np.load(SCOPE) as scope:
        wave, table = scope["wl_nm"], scope["reflectance"]
    grounds = np.array([np.interp(COARSE_WAVELENGTH, wave, row) for row in table])
    seen, told = read(grounds.clip(1e-3), True)
    shape = told.shape + told.by_sif * seen.sif_760
    error = (seen.shape - shape).numpy()
    predictor = load(data_file("model_desis.ckpt")).predictor
    stated = np.sqrt(predictor.covariance.diagonal().numpy()) * told.unusual[:, None].numpy()
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
    rows = ["## Where nothing like it was learned\n",
            "The factor on the usual uncertainty of the shape of reflectance, and the standard "
            "deviation of what is said of SIF at 760 nm beforehand.\n",
            "| ground | factor, median | beforehand |", "|---|---|---|"]  # fmt: skip
    for name, reflectance in kinds.items():
        _, told = read(reflectance[None], False)
        rows.append(f"| {name} | {told.unusual.median():.1f} | {told.sif_sd.median():.1f} |")
    return "\n".join(rows)


def speed(folder: Path) -> str:
    """A whole scene, then four takes of it by one and by two workers."""
    whole = scene_of(folder, 54, WHOLE, {})
    seconds = timed([whole], folder / "out_whole", 1)
    memory = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20
    with xr.open_dataset(next((folder / "out_whole").glob("*_sif.nc"))) as product:
        error = product.sif_740.values - xr.open_dataset(whole.parent / "truth.nc").sif_740.values
    four = [take(whole, folder / "takes", number) for number in (1, 2, 3, 4)]
    one, two = (timed(four, folder / f"out_{n}", n) for n in (1, 2))
    return (
        "## Time\n\n"
        f"A scene of {WHOLE} x {WHOLE} pixels (GeoTIFF, 235 bands) read, mapped, aggregated and "
        f"written with quicklook and STAC item: {seconds:.0f} s with one process, start included, "
        f"at most {memory:.2f} GiB; RMSE {rms(error):.3f}, bias {np.nanmean(error):+.3f}. "
        f"Four takes of it: {one:.0f} s with one worker, {two:.0f} s with two: an efficiency of "
        f"{one / two / 2:.2f}, of which starting the processes takes its part."
    )


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


def figure(mapped: dict[str, Mapped], path: Path) -> None:
    """Truth, map and stated uncertainty of every scene, and blocks against truth."""
    fig, axes = plt.subplots(len(mapped), 4, figsize=(13, 3.1 * len(mapped)), layout="compressed")
    for row, (name, m) in zip(axes, mapped.items(), strict=True):
        layer = aggregate(m.product, 3).sif_740_aggregated.values
        truth = xr.DataArray(m.truth, dims=("line", "sample"))
        true = truth.coarsen(line=3, sample=3, boundary="pad").mean().values  # type: ignore[attr-defined]
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
        row[3].hexbin(true.ravel(), layer.ravel(), gridsize=40, bins="log", mincnt=1,
                      extent=(-0.5, 3.5, -0.5, 3.5))  # fmt: skip
        row[3].plot([-0.5, 3.5], [-0.5, 3.5], color="tab:red", linewidth=1)
        row[3].set_title("3 x 3 pixels, retrieved against true", fontsize=9)
    fig.suptitle("SIF at 740 nm, mW m⁻² nm⁻¹ sr⁻¹")
    fig.savefig(path, dpi=110)
    plt.close(fig)


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "benchmark_scenes"))
