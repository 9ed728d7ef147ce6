"""What goes with a product: picture, thumbnail, GeoTIFF, and the STAC item that lists them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import xarray as xr


def beside(product: Path, *, cog: bool) -> dict[str, Path]:
    """The files that go with a product, by their names in ``stac.ASSETS``, and its STAC item."""
    files = {
        "quicklook": product.with_suffix(".png"),
        "thumbnail": product.parent / "thumbnails" / f"{product.stem}.png",
        "item": product.with_suffix(".json"),
    }
    return files | ({"cog": product.with_suffix(".tif")} if cog else {})


def complete(path: Path, *, cog: bool, anew: bool) -> None:
    """Make what goes with a product.

    Args:
        anew: also what is there already.

    Raises:
        SifnetError: a file cannot be written.
    """
    from sifnet.product import pictures, stac
    from sifnet.product.hourly import AXIS as HOURS
    from sifnet.product.hourly import write_table
    from sifnet.product.netcdf import opened

    makers: dict[str, Callable[[xr.Dataset, Path], Any]] = {
        "quicklook": pictures.quicklook,
        "thumbnail": pictures.thumbnail,
    }
    if cog:
        from sifnet.product.cog import to_cog  # takes 0.3 s, for which a flight line need not wait

        makers["cog"] = to_cog
    files = beside(path, cog=True)
    item = files.pop("item")
    wanted = [n for n in beside(path, cog=cog) if n in makers and (anew or not files[n].exists())]
    with opened(path) as product:
        for name in wanted:
            makers[name](product, files[name])
        table = path.with_name(f"{path.stem}_hourly.csv")
        if HOURS in product.dims and (anew or not table.exists()):
            write_table(product, table)
        if wanted or not item.exists():
            there = {n: file for n, file in {"product": path, **files}.items() if file.exists()}
            hrefs = {n: file.relative_to(path.parent).as_posix() for n, file in there.items()}
            stac.write_item(product, item, hrefs)
