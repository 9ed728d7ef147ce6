"""A scene to its files: the map, strip by strip, and what goes with it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import xarray as xr
from rich.progress import Progress

from sifnet.files import whole
from sifnet.product.aggregate import aggregate
from sifnet.product.cog import to_cog
from sifnet.product.labels import finish, frame, label
from sifnet.product.netcdf import append, opened, read_netcdf, thinned, write_strips
from sifnet.product.pictures import MOST, quicklook, thumbnail
from sifnet.product.provenance import Provenance, record, refuse_foreign
from sifnet.product.stac import write_item
from sifnet.retrieval.model import Retrieval
from sifnet.retrieval.prior import describe, on_terrain
from sifnet.retrieval.shared import find_shared
from sifnet.retrieval.shipped import model_for
from sifnet.retrieval.strips import solve_strips
from sifnet.scenes.scene import Scene

MAKERS: dict[str, Callable[[xr.Dataset, Path], Any]] = {
    "quicklook": quicklook,
    "thumbnail": thumbnail,
    "cog": to_cog,
}


def write_map(
    scene: Scene,
    model: Retrieval,
    path: Path,
    atmosphere: xr.Dataset | None,
    provenance: Provenance,
    *,
    block: int = 0,
    done: Callable[[int], None] = lambda lines: None,
) -> None:
    """Retrieve a scene into a file: memory does not grow with its lines.

    Args:
        block: pixels a side of the blocks of an aggregated layer, 0 for none.
        done: see ``maps.retrieve_strips``.

    Raises:
        SifnetError: the model does not suit the scene, the file cannot be written, or the product
            of another scene has its name.
    """
    files = [Path(file) for file in scene.dataset.attrs["source_files"]]
    scene = on_terrain(scene, atmosphere)
    around = frame(scene, provenance)
    if atmosphere is not None:
        around.attrs["atmosphere_prior"] = describe(atmosphere)
    shared = find_shared(scene, model, atmosphere=atmosphere, done=done)
    strips = (
        (lines, label(maps, scene.window(lines)))
        for lines, maps in solve_strips(scene, model, shared, atmosphere=atmosphere, done=done)
    )
    with whole(path) as partial:
        write_strips(around, strips, partial, scene.shape[0])
        if block:
            with opened(partial) as product:
                layer = aggregate(product, block)
            append(layer, partial)
        refuse_foreign(record(path), files, path)


def beside(product: Path, *, cog: bool) -> dict[str, Path]:
    """The files that go with a product, by their names in ``stac.ASSETS``, and its STAC item."""
    files = {
        "quicklook": product.with_suffix(".png"),
        "thumbnail": product.parent / "thumbnails" / f"{product.stem}.png",
        "item": product.with_suffix(".json"),
    }
    return files | ({"cog": product.with_suffix(".tif")} if cog else {})


def complete(path: Path, *, cog: bool, anew: bool) -> None:
    """Make picture, thumbnail, GeoTIFF, and the STAC item that lists them.

    Args:
        anew: also those that are there already.

    Raises:
        SifnetError: a file cannot be written.
    """
    files = beside(path, cog=cog)
    wanted = [name for name in MAKERS if name in files and (anew or not files[name].exists())]
    with opened(path) as product:
        for name in wanted:
            MAKERS[name](product, files[name])
        if wanted or not files["item"].exists():
            listed = {"product": path, **beside(path, cog=True)}
            listed.pop("item")
            there = {n: f.relative_to(path.parent) for n, f in listed.items() if f.exists()}
            write_item(product, files["item"], {n: f.as_posix() for n, f in there.items()})


def retrieve(
    scene: Scene,
    model: str | Path | Retrieval | None = None,
    *,
    atmosphere: xr.Dataset | None = None,
    refine: bool = True,
    provenance: Provenance | None = None,
    progress: bool = False,
) -> xr.Dataset:
    """Map a scene with a model: the product, on (line, sample).

    Args:
        model: a fitted one, or its file; the pre-trained one that ships by default.
        atmosphere: outside knowledge of the atmosphere over the scene.
        refine: finish the encoder's states by Gauss-Newton steps.
        provenance: recorded in the attributes.
        progress: show a progress bar.

    Raises:
        SifnetError: the model was not made for this sensor, cannot read its bands, or none ships.
    """
    scene = on_terrain(scene, atmosphere)
    model = model_for(scene, model)
    with Progress(transient=True, disable=not progress) as bar:
        task = bar.add_task(f"retrieve {scene.name}", total=2 * scene.shape[0])
        told: dict[str, Any] = {"atmosphere": atmosphere, "refine": refine}
        told["done"] = partial(bar.advance, task)
        shared = find_shared(scene, model, **told)
        maps = xr.concat([maps for _, maps in solve_strips(scene, model, shared, **told)], "line")
    product = finish(maps, scene, provenance or Provenance())
    if atmosphere is not None:
        product.attrs["atmosphere_prior"] = describe(atmosphere)
    return product


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

    The product that is returned is thinned to what a picture shows.

    Raises:
        SifnetError: the model does not suit the scene, or the folder cannot be written.
    """
    path = output / f"{scene.name}_sif.nc"
    with Progress(transient=True, disable=not progress) as bar:
        task = bar.add_task(f"retrieve {scene.name}", total=2 * scene.shape[0])
        write_map(scene, model, path, atmosphere, provenance, done=partial(bar.advance, task))
    picture = path.with_suffix(".png")
    with opened(path) as product:
        quicklook(product, picture)
        return thinned(product, MOST), picture


def read_atmosphere(path: Path | None, labels: Path | None = None) -> xr.Dataset | None:
    """What is known of the atmosphere beforehand, if anything.

    Args:
        labels: a DESIS L2A product, whose quality layer knows aerosol and water; where the file
            of ``path`` knows one too, the file counts.

    Raises:
        SifnetError: a file cannot be read.
    """
    known = None if path is None else read_netcdf(path)
    if labels is None:
        return known
    from sifnet.scenes.desis import labels as read_labels

    told: xr.Dataset = read_labels(labels)
    if known is None:
        return told
    merged = known.assign({name: told[name] for name in told.data_vars if name not in known})
    return merged.assign_attrs({**told.attrs, **known.attrs})


def source_of(atmosphere: Path | None) -> str:
    """How a product names the source of its prior atmosphere."""
    return Provenance().atmosphere_source if atmosphere is None else str(atmosphere.absolute())
