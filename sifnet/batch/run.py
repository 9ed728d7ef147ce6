"""Many scenes with one model: each is mapped on its own, what is there already is skipped.

What takes seconds to import is imported where a scene is mapped, so that a batch that is done says
so at once.
"""

from __future__ import annotations

import gc
import json
import sys
import time
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from itertools import chain
from pathlib import Path
from typing import Literal

from rich.progress import Progress

from sifnet.batch import cluster, pool
from sifnet.batch.done import Failures, outdated
from sifnet.batch.find import find
from sifnet.errors import SifnetError, told_by_system
from sifnet.files import data_file, regular, sha256, sweep, writable
from sifnet.product.beside import beside, complete
from sifnet.product.provenance import Provenance, record, refuse_foreign, source_files, sources

MOST_TOLD = 16 * 2**30  # bytes of a file that tells of the air
LEAST = 2**30  # bytes of addresses, without which libraries do not even load


@dataclass(frozen=True)
class Job:
    """What is done with every scene; plain values, so that it travels between processes.

    Attributes:
        site: where the spectrometer stands, see ``scenes.site.stated``.
        labels: a product whose quality layer tells of the atmosphere, where no file does.
        aggregate: pixels a side of the blocks of the aggregated layer, 0 for none; by default
            ``aggregate.SPACE`` for a sensor in space, and none for others.
        device: see ``retrieve``.
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
    device: str = "auto"
    site: str | None = None

    def settings(self) -> str:
        """All that changes a product, beside its scene, the model and the version of sifnet.

        Raises:
            SifnetError: a file is far too large to tell of the air, and was not read.
        """
        told = {"sensor": self.sensor, "aggregate": self.aggregate}
        for name in ("atmosphere", "labels"):
            path = getattr(self, name)
            there = path is not None and path.is_file()
            told[name] = sha256(regular(path, MOST_TOLD)) if there else path
        if self.site is not None:
            told["site"] = self.site
        return json.dumps(told, default=str, sort_keys=True)


@dataclass(frozen=True)
class Outcome:
    """What became of a scene.

    Attributes:
        note: the product, or why there is none.
        product: its file; None where the scene failed.
        statistics: of a product that was made now, see ``netcdf.summary``.
        error: for which there is no product.
        detail: the traceback of an error that nobody foresaw.
    """

    scene: Path
    state: Literal["mapped", "there already", "failed"]
    note: str
    product: Path | None = None
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
        scenes: see ``find.find``.
        scheduler: address of a Dask cluster that shares the file system; else local processes.
        progress: is shown the scenes and, with one worker, the lines of each.

    Raises:
        SifnetError: no scene is there at all; the model, the atmosphere or the scheduler cannot
            be used, or the output cannot be written.
    """
    bar = progress or Progress(disable=True)
    paths, refused = find(scenes)
    _refuse_nothing(paths, refused)
    there = {} if job.overwrite else _there(job, paths)
    todo = [path for path in paths if path not in there]
    workers = min(workers, len(todo))
    if scheduler is None and workers > 1:
        pool.prepare()  # meanwhile we look at model and atmosphere
    if todo:
        _check(job)
    sweep(job.output)
    failures = Failures.read(job.output)
    task = bar.add_task("scenes", total=len(paths) + len(refused))
    try:
        settled = chain(map(_failed, refused, refused.values()), there.values())
        for outcome in chain(settled, _work(job, todo, workers, scheduler, bar)):
            if outcome.error is None:
                failures.remove(outcome.scene)
            else:
                failures.add(outcome.scene, outcome.error, outcome.detail)
            bar.advance(task)
            yield outcome
    finally:
        sweep(job.output)


def _refuse_nothing(paths: Sequence[Path], refused: dict[Path, SifnetError]) -> None:
    """Refuse what names no scene before anything is written: a typo leaves no folder behind."""
    if any(path.exists() for path in paths):
        return
    if refused:
        raise next(iter(refused.values()))
    if paths:
        from sifnet.scenes import open_scene

        open_scene(paths[0])


def _there(job: Job, scenes: Sequence[Path]) -> dict[Path, Outcome]:
    """Scenes that are done, which is seen without opening one."""
    records = {file: record(file) for file in sorted(job.output.glob("*_sif.nc"))}
    products = {attrs.get("scene_path"): file for file, attrs in records.items()}
    settings, there = job.settings(), {}
    for scene in scenes:
        if (file := products.get(str(scene.absolute()))) is None:
            continue
        attrs = records[file]
        current = outdated(attrs, job.model or _shipped(attrs), settings, sources(attrs)) is None
        cog = job.cog and attrs.get("pixels_placed_by") != ""
        if current and all(path.exists() for path in beside(file, cog=cog).values()):
            there[scene] = _is_there(scene, file)
    return there


def _shipped(attrs: dict[str, object]) -> Path | None:
    """The model that ships under the name of that which made a product."""
    try:
        return data_file(Path(str(attrs.get("model_file"))).name)
    except SifnetError:
        return None


def _check(job: Job) -> None:
    """Refuse, before hours are spent, what no scene could be mapped with."""
    if job.site is not None:
        from sifnet.scenes.site import stated

        stated(job.site)
    if job.model is not None or job.atmosphere is not None or job.labels is not None:
        from sifnet.product.retrieve import loaded, read_atmosphere

        if job.model is not None:
            loaded(job.model)
        read_atmosphere(job.atmosphere, job.labels)
    writable(job.output)


def _work(
    job: Job, scenes: list[Path], workers: int, scheduler: str | None, bar: Progress
) -> Iterator[Outcome]:
    if scheduler is None and workers < 2:
        yield from (_attempt(job, path, bar) for path in scenes)
        return
    attempt = partial(_attempt, job)
    if scheduler is None:
        results = pool.spread(attempt, scenes, workers=workers)
    else:
        results = cluster.spread(attempt, scenes, scheduler)
    for path, result in results:
        yield result if isinstance(result, Outcome) else _failed(path, result)


def _attempt(job: Job, path: Path, bar: Progress | None = None) -> Outcome:
    """A scene from file to file; no error of it leaves here.

    Args:
        bar: None on a worker, which shows nothing and has one thread.
    """
    start = time.monotonic()
    load()
    if bar is None:
        import torch

        torch.set_num_threads(1)
    try:
        outcome = _mapped(job, path, bar or False)
    except Exception as error:
        outcome = _failed(path, error)
    return replace(outcome, seconds=time.monotonic() - start)


@cache
def load() -> None:
    """Load the libraries that map a scene, out of sight of the collector of garbage.

    It would walk through all they are made of, which is no garbage, again and again.

    Raises:
        MemoryError: less is allowed than they take; some would abort, others never end.
    """
    if sys.platform != "win32":
        import resource

        allowed, _ = resource.getrlimit(resource.RLIMIT_AS)
        if allowed != resource.RLIM_INFINITY and allowed < LEAST:
            raise MemoryError(f"at most {allowed / 2**20:.0f} MiB are allowed")
    gc.disable()
    try:
        import sifnet.product.pictures
        import sifnet.product.retrieve  # noqa: F401
    finally:
        gc.freeze()
        gc.enable()


def _mapped(job: Job, path: Path, progress: Progress | Literal[False]) -> Outcome:
    from sifnet.product.netcdf import summary
    from sifnet.product.retrieve import read_atmosphere, retrieve
    from sifnet.retrieval.shipped import shipped_file
    from sifnet.scenes import open_scene
    from sifnet.scenes.site import stated

    scene = open_scene(path, sensor=job.sensor, **stated(job.site))
    file = job.output / f"{scene.name}_sif.nc"
    model, settings, why = job.model or shipped_file(scene), job.settings(), None
    if file.exists():
        attrs, files = record(file), source_files(scene)
        refuse_foreign(attrs, files, file)
        why = outdated(attrs, model, settings, files)
        if why is None and not job.overwrite:
            return _is_there(path, file, complete(file, cog=job.cog, anew=False))
    needless = job.model is None and scene.irradiance is not None
    source = job.atmosphere or job.labels
    provenance = Provenance(
        command=job.command,
        model_file=model,
        atmosphere_source=str(source.absolute()) if source else Provenance.atmosphere_source,
        atmosphere_file=job.atmosphere,
        labels_file=job.labels,
        settings=settings,
        scene_path=path,
    )
    with retrieve(
        scene,
        None if needless else model,
        atmosphere=read_atmosphere(job.atmosphere, job.labels),
        into=file,
        block=job.aggregate,
        provenance=provenance,
        progress=progress,
        device=job.device,
    ) as product:
        statistics = summary(product)
        told = complete(file, cog=job.cog, anew=True, product=product)
    note = "; ".join(filter(None, (str(file), why and f"made again: {why}", told)))
    return Outcome(path, "mapped", note, file, statistics=statistics)


def _is_there(scene: Path, product: Path, told: str = "") -> Outcome:
    note = "; ".join(filter(None, (f"{product} is there already", told)))
    return Outcome(scene, "there already", note, product)


def _failed(scene: Path, error: Exception) -> Outcome:
    """An error of ours says what is wrong; of any other the traceback is kept."""
    if isinstance(error, SifnetError):
        return Outcome(scene, "failed", str(error), error=error)
    detail = "".join(traceback.format_exception(error))
    if (told := told_by_system(error, scene)) is not None:
        return Outcome(scene, "failed", str(told), error=told, detail=detail)
    frames = traceback.extract_tb(error.__traceback__)
    ours = Path(__file__).parents[1]
    last = [frame for frame in frames if ours in Path(frame.filename).parents][-1]
    where = f"in {Path(last.filename).name}, line {last.lineno}, {last.name}"
    told = SifnetError(
        "an error that nobody foresaw",
        found=f"{type(error).__name__}: {error}, {where}",
        remedy="Please report it, with its `detail` in failures.json.",
        file=scene,
    )
    return Outcome(scene, "failed", str(told), error=told, detail=detail)
