"""A scene to its files: the map, strip by strip, and what goes with it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import xarray as xr

from sifnet import finished
from sifnet.aggregate import aggregate
from sifnet.cog import to_cog
from sifnet.maps import retrieve_strips
from sifnet.outputs import append, opened, whole, write_strips
from sifnet.plots import quicklook, thumbnail
from sifnet.priors import describe, on_terrain
from sifnet.product import Provenance, frame, label
from sifnet.retrieval import Retrieval
from sifnet.scene import Scene
from sifnet.stac import write_item

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
    strips = (
        (lines, label(maps, scene.window(lines)))
        for lines, maps in retrieve_strips(scene, model, atmosphere=atmosphere, done=done)
    )
    with whole(path) as partial:
        write_strips(around, strips, partial, scene.shape[0])
        if block:
            with opened(partial) as product:
                layer = aggregate(product, block)
            append(layer, partial)
        finished.refuse_foreign(finished.record(path), files, path)


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
