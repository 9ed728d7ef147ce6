"""Many scenes with one model: each is mapped on its own, what is there already is skipped."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import xarray as xr

from sifnet.errors import SifnetError
from sifnet.outputs import read_netcdf, to_cog, write
from sifnet.plots import quicklook
from sifnet.pretrained import model_for, shipped_file
from sifnet.product import Provenance, retrieve
from sifnet.readers import open_scene
from sifnet.retrieval import Retrieval, load
from sifnet.scene import Scene


@dataclass(frozen=True)
class Job:
    """What is done with every scene; plain values, so that it travels between processes."""

    output: Path
    model: Path | None = None
    sensor: str | None = None
    atmosphere: Path | None = None
    command: str = "sifnet from Python"
    overwrite: bool = False
    cog: bool = False


def run(
    job: Job, scenes: Sequence[Path], workers: int = 1, *, progress: bool = False
) -> Iterator[str | SifnetError]:
    """Map scenes, ``workers`` at the same time; one outcome each, in their order.

    An outcome is a sentence on what was made, or the error for which the scene was refused.

    Raises:
        SifnetError: the model or the atmosphere cannot be read.
    """
    if job.model is not None:
        load(job.model)
    read_atmosphere(job.atmosphere)
    if workers == 1 or len(scenes) == 1:
        yield from (_one(job, path, progress=progress) for path in scenes)
        return
    # A fresh process each, because threads of torch do not survive a fork.
    with ProcessPoolExecutor(min(workers, len(scenes)), mp_context=get_context("spawn")) as pool:
        yield from pool.map(partial(_one, job), scenes)


def map_scene(
    scene: Scene,
    model: Retrieval,
    output: Path,
    atmosphere: xr.Dataset | None,
    provenance: Provenance,
    *,
    progress: bool = False,
) -> tuple[xr.Dataset, Path]:
    """Retrieve a scene, write ``<scene>_sif.nc`` and ``.png``; the product and its picture.

    Raises:
        SifnetError: the model does not suit the scene, or the folder cannot be written.
    """
    product = retrieve(
        scene, model, atmosphere=atmosphere, provenance=provenance, progress=progress
    )
    path = write(product, output / f"{scene.name}_sif.nc")
    picture = path.with_suffix(".png")
    quicklook(product, picture)
    return product, picture


def read_atmosphere(path: Path | None) -> xr.Dataset | None:
    """What is known of the atmosphere beforehand, if anything.

    Raises:
        SifnetError: the file cannot be read.
    """
    return None if path is None else read_netcdf(path)


def source_of(atmosphere: Path | None) -> str:
    """How a product names the source of its prior atmosphere."""
    return Provenance().atmosphere_source if atmosphere is None else str(atmosphere.absolute())


def _one(job: Job, path: Path, *, progress: bool = False) -> str | SifnetError:
    try:
        scene = open_scene(path, sensor=job.sensor)
        target = job.output / f"{scene.name}_sif.nc"
        if target.exists() and not job.overwrite:
            return f"{target} is there already (--overwrite makes it again)"
        model = model_for(scene, job.model)
        provenance = Provenance(
            command=job.command,
            model_file=job.model or shipped_file(scene),
            configuration=asdict(model.made_for),
            atmosphere_source=source_of(job.atmosphere),
        )
        air = read_atmosphere(job.atmosphere)
        product, _ = map_scene(scene, model, job.output, air, provenance, progress=progress)
        if job.cog:
            to_cog(product, target.with_suffix(".tif"))
        return f"map: {target}"
    except SifnetError as error:
        return error
