"""Full radiative transfer at many states: what the emulator is fitted to and tested on.

A state is one atmosphere and one sun, seen by several sensors. A few hundred states are computed
on every wavenumber. From the first of them the representative wavenumbers are learned
(``reduction``), on which the thousands of states of the fit are computed; the others are kept to
measure the emulator on. Every file is written whole or not at all, so a build may be killed and
resumed at any time, and extended by asking for more states: state ``i`` is the same whatever the
number asked for.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import astuple, dataclass
from functools import cache
from multiprocessing import get_context, parent_process
from multiprocessing.connection import wait
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from scipy.stats import qmc

from sifnet.errors import SifnetError
from sifnet.files import whole, writable
from sifnet.physics.full.atmosphere import optical_layers
from sifnet.physics.full.radiative_transfer import MonochromaticTransfer, Observer, accurate
from sifnet.physics.full.reduction import Reduction, snapshot
from sifnet.physics.full.spectral_grids import GRID, PRESMOOTHING_FWHM, SpectralGrids
from sifnet.physics.full.spectroscopy import CrossSections
from sifnet.physics.state import RANGES, Atmosphere
from sifnet.physics.transfer import SUNLIT
from sifnet.physics.windows import FAR_RED, RED, Window

__all__ = ["GRID", "PRESMOOTHING_FWHM", "STATE", "build", "draw", "load", "products"]

Array = NDArray[np.float64]
Arrays = dict[str, NDArray[np.floating]]

SHARED = (*Atmosphere.names(), "solar_zenith_angle")
"""What all samples of one state share."""
STATE = (*SHARED, "view_zenith_angle", "relative_azimuth_angle", "sensor_height")
"""Columns of the ``state`` array of a file, in units of ``physics.state``."""
AIRBORNE_OBSERVERS, SPACE_OBSERVERS = 8, 4
SNAPSHOTS = 128  # full states that the representative wavenumbers are learned from
FULL = 320  # full states in all; the others measure the emulator
RED_SNAPSHOTS, RED_FULL = 24, 50  # of the red window, where absorption is a tenth as strong
BLOCK = 16  # states of the fit in a file
MARGIN = 0.02
"""States reach this share of a range beyond it, where physics allows, so that the emulator is as
good at the limits of its ranges as within."""


def products(
    atmosphere: Atmosphere,
    solar_zenith_angle: float,
    observers: list[Observer],
    grids: SpectralGrids,
) -> Array:
    """The five products by full radiative transfer, (observer, 5, grid); 1 AU."""
    light = Draw(atmosphere, solar_zenith_angle, observers).light(grids.cross_sections)
    return grids.products(light)


@dataclass(frozen=True)
class Draw:
    """State ``index`` of the database: an atmosphere, a sun and observers."""

    atmosphere: Atmosphere
    solar_zenith_angle: float
    observers: list[Observer]

    @property
    def cos_sza(self) -> float:
        """Cosine of the solar zenith angle."""
        return float(np.cos(np.radians(self.solar_zenith_angle)))

    def light(self, cross_sections: CrossSections) -> MonochromaticTransfer:
        """Full radiative transfer at the wavenumbers of ``cross_sections``."""
        optics = optical_layers(self.atmosphere, cross_sections)
        return accurate(optics, self.solar_zenith_angle, self.observers)

    def table(self) -> Array:
        """(observer, len(STATE)) values."""
        shared = [float(value) for _, value in self.atmosphere.items()] + [self.solar_zenith_angle]
        return np.array([[*shared, *astuple(observer)] for observer in self.observers])


def draw(index: int, seed: int = 0) -> Draw:
    """Draw state ``index`` of the sequence that ``seed`` names; Sobol in atmosphere and sun."""
    sequence = qmc.Sobol(len(SHARED), scramble=True, rng=np.random.default_rng(seed))
    point = sequence.fast_forward(index).random(1)[0] if index else sequence.random(1)[0]
    values = {}
    for name, u in zip(SHARED, point, strict=True):
        low, high = RANGES[name]
        margin = MARGIN * (high - low)
        # Nothing has a negative optical depth or zenith angle, nor a share beyond 0..1.
        start = low if low == 0 else low - margin
        stop = high if name == "aerosol_type" else high + margin
        values[name] = start + u * (stop - start)
    sza = values.pop("solar_zenith_angle")
    rng = np.random.default_rng([seed, index])
    count = AIRBORNE_OBSERVERS + SPACE_OBSERVERS
    low, high = RANGES["sensor_height"]
    # Squared, so that tower heights, where transmittances change fastest, are well covered.
    airborne = low + (1.02 * high - low) * rng.random(AIRBORNE_OBSERVERS) ** 2
    heights = [*airborne, *[np.inf] * SPACE_OBSERVERS]
    view = 1.02 * RANGES["view_zenith_angle"][1] * rng.random(count)
    azimuth = RANGES["relative_azimuth_angle"][1] * rng.random(count)
    observers = [Observer(*map(float, o)) for o in zip(view, azimuth, heights, strict=True)]
    return Draw(Atmosphere.of(**values), float(sza), observers)


@cache
def _grids(window: Window) -> SpectralGrids:
    return SpectralGrids(window)


@cache
def _reduced(folder: Path) -> CrossSections:
    return CrossSections(Reduction.load(folder / "reduction.npz").wavenumber)


def _compute_full(folder: Path, index: int, seed: int, window: Window) -> None:
    state, grids = draw(index, seed), _grids(window)
    light = state.light(grids.cross_sections)
    five = grids.products(light).astype(np.float32)
    arrays: Arrays = {"products": five, "state": state.table()}
    if index < _snapshots(window):
        arrays["snapshot"] = snapshot(light, state.cos_sza)
    _save(folder / _name("full", index), arrays, seed)


def _compute_block(folder: Path, block: int, seed: int, _: Window) -> None:
    """States of the fit, at the representative wavenumbers."""
    draws = [draw(FULL + block * BLOCK + i, seed) for i in range(BLOCK)]
    nodes = [snapshot(d.light(_reduced(folder)), d.cos_sza) for d in draws]
    tables = [d.table() for d in draws]
    arrays: Arrays = {"nodes": np.concatenate(nodes), "state": np.concatenate(tables)}
    _save(folder / _name("reduced", block), arrays, seed)


def _save(path: Path, arrays: Arrays, seed: int) -> None:
    with whole(path) as partial:
        np.savez(partial, allow_pickle=False, seed=seed, **arrays)


def _name(kind: str, number: int) -> str:
    return f"{kind}_{number:05d}.npz"


def build(
    folder: Path,
    states: int,
    workers: int = 2,
    seed: int = 0,
    full: int = FULL,
    window: Window = FAR_RED,
) -> Path:
    """Compute what ``folder`` does not hold yet of ``full`` full and ``states`` reduced states.

    About 5 seconds a full state and core, half a second a reduced one. Kill it at any time; call
    it again and it goes on.

    Raises:
        SifnetError: the folder cannot be written, or holds states of another seed.
    """
    writable(folder)
    _check_seed(folder, seed)
    _run("every wavenumber", _compute_full, "full", folder, full, workers, seed, window)
    if not (folder / "reduction.npz").exists():
        paths = [folder / _name("full", i) for i in range(min(_snapshots(window), full))]
        snapshots = np.concatenate([_array(path, "snapshot") for path in paths])
        learned = Reduction.learn(snapshots, _grids(window))
        with whole(folder / "reduction.npz") as partial:
            learned.save(partial)
    blocks = -(-states // BLOCK)
    _run(
        "representative wavenumbers", _compute_block, "reduced", folder, blocks, workers, seed,
        window,
    )  # fmt: skip
    return folder


def _snapshots(window: Window) -> int:
    return RED_SNAPSHOTS if window == RED else SNAPSHOTS


def _end_with_parent() -> None:
    """A worker whose parent was killed would wait for work for ever."""
    if (parent := parent_process()) is not None:
        threading.Thread(target=lambda: (wait([parent.sentinel]), os._exit(1)), daemon=True).start()


def _array(path: Path, name: str) -> NDArray[np.float32]:
    with np.load(path) as file:
        return file[name]


def _check_seed(folder: Path, seed: int) -> None:
    first = next(iter(sorted(folder.glob("full_*.npz"))), None)
    if first is not None and (stored := int(_array(first, "seed"))) != seed:
        raise SifnetError(
            "the folder holds states of another sequence",
            file=first,
            found=f"seed {stored}",
            expected=f"seed {seed}",
            remedy="Use the same --seed, or an empty folder.",
        )


def _run(
    what: str,
    compute: Callable[[Path, int, int, Window], None],
    kind: str,
    folder: Path,
    count: int,
    workers: int,
    seed: int,
    window: Window,
) -> None:
    """Compute the files that are missing in several processes, with a progress bar.

    One that fails raises here, with its own error.
    """
    missing = [i for i in range(count) if not (folder / _name(kind, i)).exists()]
    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    context = get_context("spawn")
    pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_end_with_parent)
    with Progress(*columns) as progress:
        task = progress.add_task(what, total=count, completed=count - len(missing))
        try:
            for future in as_completed(
                [pool.submit(compute, folder, i, seed, window) for i in missing]
            ):
                future.result()
                progress.advance(task)
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def load(
    folder: Path, *, full: bool, space: bool, window: Window = FAR_RED
) -> tuple[Array, NDArray[np.float32]]:
    """States (sample, len(STATE)) and products (sample, 5, grid) of a database.

    Args:
        folder: that ``build`` made.
        full: those computed on every wavenumber and not used otherwise, for tests; else those of
            the fit.
        space: those of sensors in space, else below 3 km.

    Raises:
        SifnetError: there is none.
    """
    files = sorted(folder.glob("full_*.npz" if full else "reduced_*.npz"))
    files = files[_snapshots(window) :] if full else files
    if not files:
        raise SifnetError(
            "no database of radiative transfer",
            file=folder,
            found="no files of its " + ("test" if full else "fit"),
            expected="files written by sifnet build-emulator",
        )
    reduction = None if full else Reduction.load(folder / "reduction.npz")
    states, spectra = [], []
    for path in files:
        state = _array(path, "state")
        chosen = np.isinf(state[:, STATE.index("sensor_height")]) == space
        states.append(state[chosen])
        if reduction is None:
            spectra.append(_array(path, "products")[chosen])
            continue
        computed = reduction.products(_array(path, "nodes")[chosen])
        sza = state[chosen, STATE.index("solar_zenith_angle")]
        computed[:, :SUNLIT] *= np.cos(np.radians(sza))[:, None, None].astype(np.float32)
        spectra.append(computed)
    return np.concatenate(states), np.concatenate(spectra)
