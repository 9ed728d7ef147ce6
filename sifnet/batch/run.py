"""Many scenes with one model: each is mapped on its own, what is there already is skipped."""

from __future__ import annotations

import json
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Literal

import dask
import torch
from rich.progress import Progress

from sifnet.batch import cluster
from sifnet.batch import done as finished
from sifnet.batch.find import find
from sifnet.errors import SifnetError
from sifnet.files import data_file, sha256, sweep, writable
from sifnet.product.aggregate import SPACE
from sifnet.product.netcdf import opened, summary
from sifnet.product.provenance import Provenance, record, refuse_foreign, same_sources, sources
from sifnet.product.retrieve import beside, complete, read_atmosphere, source_of, write_map
from sifnet.retrieval.model import load
from sifnet.retrieval.shipped import model_for, shipped_file
from sifnet.scenes import open_scene, sensors

Done = Callable[[int], None]


@dataclass(frozen=True)
class Job:
    """What is done with every scene; plain values, so that it travels between processes.

    Attributes:
        labels: a product whose quality layer tells of the atmosphere, where no file does.
        aggregate: pixels a side of the blocks of the aggregated layer, 0 for none; by default
            ``aggregate.SPACE`` for a sensor in space, and none for others.
    """

    output: Path
    model: Path | None = None
    sensor: str | None = None
    atmosphere: Path | None = None
    command: str = "sifnet from Python"
    overwrite: bool = False
    cog: bool = False
    labels: Path | None = None
    aggregate: int | None = None

    def settings(self) -> str:
        """All that changes a product, beside its scene, the model and the version of sifnet."""
        told = {"sensor": self.sensor, "aggregate": self.aggregate}
        for name in ("atmosphere", "labels"):
            path = getattr(self, name)
            told[name] = sha256(path) if path is not None and path.is_file() else path
        return json.dumps(told, default=str, sort_keys=True)


@dataclass(frozen=True)
class Outcome:
    """What became of a scene.

    Attributes:
        note: the product, or why there is none.
        statistics: of the product, see ``outputs.summary``.
        error: for which there is no product.
        detail: the traceback of an error that nobody foresaw.
    """

    scene: Path
    state: Literal["mapped", "there already", "failed"]
    note: str
    seconds: float = 0.0
    statistics: dict[str, float] | None = None
    error: SifnetError | None = None
    detail: str = ""


def run(
    job: Job,
    scenes: Sequence[Path],
    workers: int = 1,
    *,
    scheduler: str | None = None,
    progress: Progress | None = None,
) -> Iterator[Outcome]:
    """Map scenes, ``workers`` at the same time; an outcome each, as they finish.

    Failures are kept in ``failures.json`` of the output folder until the scene is mapped.

    Args:
        scenes: see ``downloads.find``.
        scheduler: address of a Dask cluster that shares the file system; else local processes.
        progress: is shown the scenes and, with one worker, the lines of each.

    Raises:
        SifnetError: the model, the atmosphere or the scheduler cannot be used, or the output
            cannot be written.
    """
    if job.model is not None:
        load(job.model)
    read_atmosphere(job.atmosphere, job.labels)
    writable(job.output)
    sweep(job.output)
    bar = progress or Progress(disable=True)
    failures = finished.Failures.read(job.output)
    try:
        found, refused = find(scenes)
        task = bar.add_task("scenes", total=len(found) + len(refused))
        todo, there = _skip(job, found)
        strange = [_failed(path, error) for path, error in refused.items()]
        for outcome in chain(strange, there, _work(job, todo, workers, scheduler, bar)):
            if outcome.error is None:
                failures.remove(outcome.scene)
            else:
                remedy = getattr(outcome.error, "remedy", None) or ""
                failures.add(outcome.scene, str(outcome.error), remedy, outcome.detail)
            bar.advance(task)
            yield outcome
    finally:
        sweep(job.output)


def _skip(job: Job, scenes: list[Path]) -> tuple[list[Path], list[Outcome]]:
    """What is left to do, and what is done; the latter is seen without opening a scene."""
    if job.overwrite:
        return scenes, []
    products, settings, model = finished.of_path(job.output), job.settings(), _models(job)
    todo, there = [], []
    for scene in scenes:
        product = products.get(str(scene.absolute()))
        known = {} if product is None else record(product)
        if (
            product is not None
            and finished.outdated(known, model(str(known.get("sensor"))), settings) is None
            and same_sources(known, sources(known))
            and all(path.exists() for path in beside(product, cog=job.cog).values())
        ):
            there.append(_there(scene, product))
        else:
            todo.append(scene)
    return todo, there


def _models(job: Job) -> Callable[[str], str | None]:
    """Checksum of the model that scenes of a sensor are mapped with."""
    checksums: dict[str, str | None] = {}

    def of(sensor: str) -> str | None:
        if sensor not in checksums:
            record = sensors().get(sensor)
            shipped = None if record is None else record.start_model
            file = job.model or (None if shipped is None else data_file(shipped))
            checksums[sensor] = None if file is None else sha256(file)
        return checksums[sensor]

    return of


def _work(
    job: Job, scenes: list[Path], workers: int, scheduler: str | None, bar: Progress
) -> Iterator[Outcome]:
    if scheduler is None and (workers == 1 or len(scenes) < 2):
        for path in scenes:
            yield _shown(job, path, bar)
        return
    for path, result in cluster.spread(
        partial(_one, job), scenes, workers=workers, scheduler=scheduler
    ):
        if isinstance(result, Outcome):
            yield result
        else:
            yield _died(path, result)


def _shown(job: Job, path: Path, bar: Progress) -> Outcome:
    task = bar.add_task(path.name, total=None)
    try:
        return _one(
            job,
            path,
            started=lambda lines: bar.update(task, total=2 * lines),
            done=partial(bar.advance, task),
        )
    finally:
        bar.remove_task(task)


def _died(path: Path, problem: BaseException) -> Outcome:
    error = SifnetError(
        "the worker did not survive this scene",
        found=f"{type(problem).__name__}: {problem}",
        expected=f"at most {cluster.MEMORY} of memory a worker",
        remedy="Map the scene alone with one worker, and see what it says.",
        file=path,
    )
    return _failed(path, error)


def _failed(path: Path, error: SifnetError, detail: str = "") -> Outcome:
    return Outcome(path, "failed", str(error), error=error, detail=detail)


def _one(
    job: Job,
    path: Path,
    started: Done = lambda lines: None,
    done: Done = lambda lines: None,
) -> Outcome:
    """A scene from file to file; no error of it leaves here."""
    start = time.monotonic()
    if cluster.on_worker():
        torch.set_num_threads(1)
    try:
        # Within a Dask worker, reading must not become tasks of the cluster.
        with dask.config.set(scheduler="synchronous" if cluster.on_worker() else "threads"):
            outcome = _mapped(job, path, started, done)
    except SifnetError as error:
        outcome = _failed(path, error)
    except Exception as error:
        told = SifnetError(
            "an error that nobody foresaw",
            found=f"{type(error).__name__}: {error}, {_where(error)}",
            remedy="Please report it, with its `detail` in failures.json.",
            file=path,
        )
        detail = "".join(traceback.format_exception(error))
        outcome = _failed(path, told, detail)
    return replace(outcome, seconds=time.monotonic() - start)


def _where(error: Exception) -> str:
    """The last line of ours that an error came through."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [one for one in frames if "sifnet" in Path(one.filename).parts] or frames
    return f"in {Path(ours[-1].filename).name}, line {ours[-1].lineno}, {ours[-1].name}"


def _mapped(job: Job, path: Path, started: Done, done: Done) -> Outcome:
    scene = open_scene(path, sensor=job.sensor)
    started(scene.shape[0])
    files = [Path(file) for file in scene.dataset.attrs["source_files"]]
    target = job.output / f"{scene.name}_sif.nc"
    model_file, settings, why = job.model or shipped_file(scene), job.settings(), None
    if target.exists():
        known = record(target)
        refuse_foreign(known, files, target)
        why = finished.outdated(known, _models(job)(scene.sensor.name), settings)
        if why is None and not same_sources(known, files):
            why = "its scene has changed"
        if why is None and not job.overwrite:
            complete(target, cog=job.cog, anew=False)
            return _there(path, target)
    model = model_for(scene, job.model)
    air = read_atmosphere(job.atmosphere, job.labels)
    provenance = Provenance(
        command=job.command,
        model_file=model_file,
        configuration=asdict(model.setup),
        atmosphere_source=source_of(job.atmosphere or job.labels),
        settings=settings,
        scene_path=path,
    )
    in_space = bool((scene.dataset["sensor_height"] == float("inf")).all())
    block = (SPACE if in_space else 0) if job.aggregate is None else job.aggregate
    write_map(scene, model, target, air, provenance, block=block, done=done)
    complete(target, cog=job.cog, anew=True)
    note = str(target) if why is None else f"{target}, made again: {why}"
    with opened(target) as product:
        return Outcome(path, "mapped", note, statistics=summary(product))


def _there(scene: Path, product: Path) -> Outcome:
    return Outcome(scene, "there already", f"{product} is there already")
