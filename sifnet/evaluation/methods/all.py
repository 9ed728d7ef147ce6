"""Every method on the same scene: what it finds, and how many spectra a second of one core."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from math import sqrt
from typing import Any, get_args

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray
from rich.progress import Progress

from sifnet.errors import SifnetError
from sifnet.evaluation.methods import simulator_of
from sifnet.evaluation.methods.fld import WINDOW, Method, fld_scene
from sifnet.evaluation.methods.optimal_estimation import optimal_estimation_scene
from sifnet.evaluation.methods.spectral_fitting import spectral_fitting_scene
from sifnet.product.retrieve import retrieve
from sifnet.retrieval.model import Retrieval
from sifnet.scenes.scene import Scene

Array = NDArray[np.float64]

AT_MOST = {"SFM": 1000, "optimal estimation": 20_000}
"""Pixels, evenly spread, on which methods are tried that take much time for each."""
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Estimate:
    """What a method made of a scene.

    Attributes:
        sif_760: (line, sample) mW m-2 nm-1 sr-1, NaN where not solved.
        uncertainty: the same of its standard deviation, None if the method states none.
        spectra_per_second: solved, a core; NaN if not measured.
        everywhere: False if only some pixels were tried, spread evenly.
    """

    sif_760: Array
    uncertainty: Array | None = None
    spectra_per_second: float = np.nan
    everywhere: bool = True


def all_estimates(
    scene: Scene,
    *,
    model: Retrieval | None = None,
    atmosphere: xr.Dataset | None = None,
    progress: bool = False,
) -> dict[str, Estimate]:
    """Estimates by method: of the model, if given, with and without refinement, then baselines.

    A method that cannot be used on the scene is left out with a warning. All see the same prior
    atmosphere and the same simulation.

    Args:
        model: ``sifnet`` and ``sifnet, encoder only``.
        atmosphere: outside knowledge of the atmosphere (see ``pixels.read``).
        progress: show a progress bar.
    """
    estimates: dict[str, Estimate] = {}
    size = scene.shape[0] * scene.shape[1]
    with one_core(), Progress(transient=True, disable=not progress) as bar:
        methods = _methods(scene, model, atmosphere)
        task = bar.add_task("", total=len(methods))
        for name, method in methods.items():
            bar.update(task, description=name)
            try:
                estimates[name] = _timed(method, everywhere=size <= AT_MOST.get(name, size))
            except SifnetError as error:
                _log.warning("%s is left out: %s", name, error)
            bar.advance(task)
    return estimates


def evenly(shape: tuple[int, int], most: int) -> NDArray[np.bool_]:
    """(line, sample): at most so many pixels, on evenly spread lines and samples."""
    lines, samples = shape
    columns = min(samples, max(1, round(sqrt(most * samples / lines))))
    rows = min(lines, most // columns)
    columns = min(samples, most // rows)
    chosen = np.zeros(shape, bool)
    places = (np.linspace(0, n - 1, k).round().astype(int) for n, k in
              ((lines, rows), (samples, columns)))  # fmt: skip
    chosen[np.ix_(*places)] = True
    return chosen


@contextmanager
def one_core() -> Iterator[None]:
    """Torch with one thread, so that times are those of a core."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _methods(
    scene: Scene, model: Retrieval | None, atmosphere: xr.Dataset | None
) -> dict[str, Callable[[], Array | xr.Dataset]]:
    """What computes each estimate, by name, in the order of the table."""
    methods: dict[str, Callable[[], Array | xr.Dataset]] = {}
    if model is not None:
        ours = partial(retrieve, scene, model, atmosphere=atmosphere)
        methods |= {"sifnet": ours, "sifnet, encoder only": partial(ours, refine=False)}
    emulator = None if model is None else model.emulator
    options: dict[str, Any] = {"emulator": emulator, "atmosphere": atmosphere}
    for name in get_args(Method):
        fld = partial(fld_scene, scene, name, **options)
        methods[name] = fld
        if scene.irradiance is None:
            methods[f"{name}, bare ground"] = partial(fld, bare_ground=True)
    some = {name: evenly(scene.shape[:2], most) for name, most in AT_MOST.items()}
    methods["SFM"] = partial(spectral_fitting_scene, scene, at=some["SFM"], **options)
    estimation = partial(optimal_estimation_scene, **options)
    alone = partial(estimation, shared=False)
    methods["optimal estimation"] = partial(_only, scene, some["optimal estimation"], alone)
    methods["optimal estimation, shared"] = partial(estimation, scene, shared=True)
    # Matrices of the sensor are built once for many scenes: they are not in anybody's time.
    with suppress(SifnetError):  # a method that cannot be used says so when it is run
        simulator_of(scene, emulator)
        if scene.irradiance is None:
            simulator_of(scene, emulator, WINDOW)
    return methods


def _only(
    scene: Scene, chosen: NDArray[np.bool_], method: Callable[[Scene], xr.Dataset]
) -> xr.Dataset:
    """Maps of a method run on some lines and samples only; NaN elsewhere."""
    places = {"line": np.flatnonzero(chosen.any(1)), "sample": np.flatnonzero(chosen.any(0))}
    maps = method(Scene(scene.dataset.isel(places))).assign_coords(places)
    whole = {name: np.arange(scene.dataset.sizes[name]) for name in places}
    return maps.reindex(whole).drop_vars(list(places))


def _timed(method: Callable[[], Array | xr.Dataset], *, everywhere: bool) -> Estimate:
    """An estimate and its speed in processor time, which others on the machine do not slow."""
    start = time.process_time()
    made = method()
    seconds = time.process_time() - start
    maps = made if isinstance(made, xr.Dataset) else xr.Dataset({"sif_760": (("y", "x"), made)})
    sif = maps["sif_760"].values.astype(float)
    sigma = maps["sif_760_uncertainty"].values if "sif_760_uncertainty" in maps else None
    rate = np.isfinite(sif).sum() / seconds
    return Estimate(sif, sigma, float(rate), everywhere)
