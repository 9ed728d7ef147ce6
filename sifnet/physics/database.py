"""Full radiative transfer at many states: what the emulator is fitted to and tested on.

A state is one atmosphere and one sun, seen by several sensors. Each is a file of its own,
written whole or not at all, so that a build may be killed and resumed at any time, and extended
by asking for more states: state ``i`` is the same whatever the number asked for.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass
from functools import cached_property
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
)
from scipy.sparse import csr_array
from scipy.stats import qmc

from sifnet.errors import SifnetError
from sifnet.physics.atmosphere import layers, optical_layers
from sifnet.physics.radiative_transfer import Observer, accurate
from sifnet.physics.solar import solar_irradiance
from sifnet.physics.spectroscopy import CrossSections, absorption_cross_section
from sifnet.physics.state import RANGES, Atmosphere

Array = NDArray[np.float64]

GRID = np.arange(2001) * 0.02 + 740.0
"""Wavelengths of the products, nm, vacuum."""
PRESMOOTHING_FWHM = 0.06
"""FWHM, nm, of the Gaussian the products are smoothed with; no sensor is as sharp."""
STATE = (
    "surface_pressure",
    "temperature_offset",
    "aot_550",
    "aerosol_height",
    "aerosol_type",
    "o2_scale",
    "solar_zenith_angle",
    "view_zenith_angle",
    "relative_azimuth_angle",
    "sensor_height",
)
"""Columns of the ``state`` array of a file, in units of ``physics.state``."""
AIRBORNE_OBSERVERS, SPACE_OBSERVERS = 8, 4
MARGIN = 0.02
"""States reach this share of a range beyond it, where physics allows, so that the emulator is as
good at the limits of its ranges as within."""


class SpectralGrids:
    """The wavenumbers of radiative transfer, and the way from there to ``GRID``.

    Radiative transfer runs on few, unevenly spaced wavenumbers, dense only in O2 lines. Its
    results, smooth in between, are interpolated to an even step fine enough for solar lines,
    and only there multiplied by the sun and smoothed.
    """

    step = 0.02  # cm-1; 0.04 is wrong by 0.16 % in the O2 A band

    @cached_property
    def fine(self) -> Array:
        """Even wavenumbers, cm-1, reaching beyond ``GRID`` by 3 presmoothing widths."""
        low, high = 1e7 / (GRID[-1] + 0.2), 1e7 / (GRID[0] - 0.2)
        return np.arange(low, high + self.step, self.step)

    @cached_property
    def solar(self) -> Array:
        """Solar irradiance at 1 AU on ``fine``, mW m-2 nm-1."""
        return solar_irradiance(self.fine)

    @cached_property
    def cross_sections(self) -> CrossSections:
        """Cross-sections at the wavenumbers of radiative transfer."""
        return CrossSections(self._wavenumbers())

    def _wavenumbers(self) -> Array:
        """Wavenumbers between which transmittances can be interpolated to 1e-3."""
        air = layers(RANGES["surface_pressure"][1])
        groups = np.arange(0, len(air.o2_column), 4)
        column = np.add.reduceat(air.o2_column, groups)
        depth = column[:, None] * [
            absorption_cross_section(self.fine, air.pressure[i], air.temperature[i]) for i in groups
        ]
        above = np.cumsum(depth[::-1], axis=0)[::-1]  # of the column above a layer
        curves = np.exp(-np.concatenate([above[:1] / 2, above[:1] * 3, above[::2]]))
        return self.fine[interpolation_nodes(self.fine, curves, tolerance=1e-3)]

    @cached_property
    def smoothing(self) -> csr_array:
        """(GRID, fine) Gaussian of ``PRESMOOTHING_FWHM`` in wavelength, rows summing to 1."""
        wavelength = 1e7 / self.fine[::-1]
        sigma = PRESMOOTHING_FWHM / np.sqrt(8 * np.log(2))
        first = np.searchsorted(wavelength, GRID - 5 * sigma)
        last = np.searchsorted(wavelength, GRID + 5 * sigma)
        rows, columns, weights = [], [], []
        for row, (a, b) in enumerate(zip(first, last, strict=True)):
            # Steps are even in wavenumber: weigh by d(wavelength) ~ wavelength^2.
            near = wavelength[a:b]
            weight = np.exp(-0.5 * ((near - GRID[row]) / sigma) ** 2) * near**2
            rows.append(np.full(b - a, row))
            columns.append(len(self.fine) - 1 - np.arange(a, b))
            weights.append(weight / weight.sum())
        triple = np.concatenate(weights), (np.concatenate(rows), np.concatenate(columns))
        return csr_array(triple, shape=(len(GRID), len(self.fine)))

    def to_fine(self, spectra: Array) -> Array:
        """Interpolate (..., n) from the wavenumbers of radiative transfer to ``fine``."""
        nodes = self.cross_sections.wavenumber
        right = np.clip(np.searchsorted(nodes, self.fine), 1, len(nodes) - 1)
        share = (self.fine - nodes[right - 1]) / (nodes[right] - nodes[right - 1])
        return spectra[..., right - 1] * (1 - share) + spectra[..., right] * share

    def smooth(self, spectra: Array) -> Array:
        """Smooth (..., fine) to (..., GRID)."""
        flat = spectra.reshape(-1, spectra.shape[-1])
        return (self.smoothing @ flat.T).T.reshape(*spectra.shape[:-1], len(GRID))


def interpolation_nodes(x: Array, curves: Array, tolerance: float) -> NDArray[np.intp]:
    """Indices of ``x`` between which all ``curves`` (curve, n) are linear within ``tolerance``."""
    chosen = np.unique(np.append(np.arange(0, len(x), 100), len(x) - 1))
    while True:
        error = np.max([np.abs(np.interp(x, x[chosen], c[chosen]) - c) for c in curves], axis=0)
        bad = np.flatnonzero(error > tolerance)
        if not len(bad):
            return chosen
        # The worst point of every interval that is still bad joins.
        interval = np.searchsorted(chosen, bad)
        order = np.lexsort((-error[bad], interval))
        _, worst = np.unique(interval[order], return_index=True)
        chosen = np.union1d(chosen, bad[order][worst])


def products(
    atmosphere: Atmosphere,
    solar_zenith_angle: float,
    observers: list[Observer],
    grids: SpectralGrids,
) -> Array:
    """The five products by full radiative transfer, (observer, 5, GRID); 1 AU."""
    optics = optical_layers(atmosphere, grids.cross_sections)
    transfer = accurate(optics, solar_zenith_angle, observers)
    return grids.smooth(transfer.map(grids.to_fine).products(grids.solar))


@dataclass(frozen=True)
class Draw:
    """State ``index`` of the database: an atmosphere, a sun and observers."""

    atmosphere: Atmosphere
    solar_zenith_angle: float
    observers: list[Observer]

    def table(self) -> Array:
        """(observer, len(STATE)) values."""
        shared = [float(value) for _, value in self.atmosphere.items()] + [self.solar_zenith_angle]
        return np.array(
            [
                [*shared, o.view_zenith_angle, o.relative_azimuth_angle, o.sensor_height]
                for o in self.observers
            ]
        )


def draw(index: int, seed: int = 0) -> Draw:
    """Draw state ``index`` of the sequence that ``seed`` names; Sobol in atmosphere and sun."""
    names = STATE[:7]
    sequence = qmc.Sobol(len(names), scramble=True, rng=np.random.default_rng(seed))
    point = sequence.fast_forward(index).random(1)[0] if index else sequence.random(1)[0]
    values = {}
    for name, u in zip(names, point, strict=True):
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


_grids: SpectralGrids | None = None  # a worker process makes its own, once


def _compute(folder: Path, index: int, seed: int) -> None:
    global _grids
    _grids = _grids or SpectralGrids()
    state = draw(index, seed)
    computed = products(state.atmosphere, state.solar_zenith_angle, state.observers, _grids)
    path = _path(folder, index)
    partial = path.with_suffix(f".{os.getpid()}.partial")
    with partial.open("wb") as file:
        np.savez(file, products=computed.astype(np.float32), state=state.table(), seed=seed)
    partial.replace(path)


def _path(folder: Path, index: int) -> Path:
    return folder / f"state_{index:05d}.npz"


def build(folder: Path, states: int, workers: int = 2, seed: int = 0) -> Path:
    """Compute the states 0 to ``states`` - 1 that ``folder`` does not hold yet.

    About 5 seconds a state and core. Kill it at any time; call it again and it goes on.

    Raises:
        SifnetError: the folder cannot be written, or holds states of another seed.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / ".writable").touch()
    except OSError as error:
        raise SifnetError(
            "cannot write the database",
            file=folder,
            found=error.strerror,
            expected="a folder that can be written",
            remedy="Choose another folder.",
        ) from error
    _check_seed(folder, seed)
    missing = [i for i in range(states) if not _path(folder, i).exists()]
    columns = (
        TextColumn("radiative transfer"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns) as progress:
        task = progress.add_task("states", total=states, completed=states - len(missing))
        for _ in _run(folder, missing, workers, seed):
            progress.advance(task)
    return folder


def _check_seed(folder: Path, seed: int) -> None:
    first = next(iter(sorted(folder.glob("state_*.npz"))), None)
    if first is None:
        return
    with np.load(first) as file:
        found = int(file["seed"])
    if found != seed:
        raise SifnetError(
            "the folder holds states of another sequence",
            file=first,
            found=f"seed {found}",
            expected=f"seed {seed}",
            remedy="Use the same --seed, or an empty folder.",
        )


def _run(folder: Path, indices: list[int], workers: int, seed: int) -> Iterator[None]:
    """Yield as each state is done; a failed state raises here, with its own error."""
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        pending: set[Future[None]] = {pool.submit(_compute, folder, i, seed) for i in indices}
        try:
            while pending:
                done, pending = wait(pending, return_when=FIRST_COMPLETED)
                for future in done:
                    future.result()
                    yield
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def load(folder: Path) -> tuple[Array, NDArray[np.float32]]:
    """All states of a database: ``state`` (sample, len(STATE)), ``products`` (sample, 5, GRID).

    Raises:
        SifnetError: there is none.
    """
    files = sorted(folder.glob("state_*.npz"))
    if not files:
        raise SifnetError(
            "no database of radiative transfer",
            file=folder,
            found="no state_*.npz",
            expected="files written by sifnet build-emulator",
        )
    state, spectra = [], []
    for path in files:
        with np.load(path) as file:
            state.append(file["state"])
            spectra.append(file["products"])
    return np.concatenate(state), np.concatenate(spectra)
