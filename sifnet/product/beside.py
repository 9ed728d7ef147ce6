"""What goes with a product: picture, thumbnail, GeoTIFF, a mission's names, and the STAC item that
lists them."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import xarray as xr


def beside(product: Path, *, cog: bool) -> dict[str, Path]:
    """The files that go with a product, by their names in ``stac.ASSETS``, and its STAC item.

    Args:
        cog: also the GeoTIFFs.
    """
    files = {
        "quicklook": product.with_suffix(".png"),
        "thumbnail": product.parent / "thumbnails" / f"{product.stem}.png",
        "item": product.with_suffix(".json"),
    }
    if not cog:
        return files
    flags = product.with_name(f"{product.stem}_flags.tif")
    return files | {"cog": product.with_suffix(".tif"), "flags": flags}


def of_mission(product: xr.Dataset, path: Path) -> dict[str, Path]:
    """The file under the names of the sensor's own mission, where it has such."""
    flex = product.attrs.get("sensor") == "flex"
    return {"flex_l2": path.with_name(f"{path.stem}_flex_l2.nc")} if flex else {}


def complete(path: Path, *, cog: bool, anew: bool, product: xr.Dataset | None = None) -> str:
    """Make what goes with a product, and tell what nobody would expect of its GeoTIFFs.

    Args:
        anew: also what is there already.
        product: of the path, where it is open already, which takes half a second.

    Raises:
        SifnetError: a file cannot be written.
    """
    from sifnet.product import pictures, stac
    from sifnet.product.axes import HOURS
    from sifnet.product.netcdf import opened

    makers: dict[str, Callable[[xr.Dataset, Path], Any]] = {
        "quicklook": pictures.write_quicklook,
        "thumbnail": pictures.thumbnail,
    }
    files, told = beside(path, cog=True), ""
    item = files.pop("item")
    wanted = [n for n in beside(path, cog=cog) if n in files and (anew or not files[n].exists())]
    with opened(path) if product is None else nullcontext(product) as product:
        mission = of_mission(product, path)
        if mission:
            from sifnet.product.flex_l2 import write_l2

            makers["flex_l2"], files = write_l2, files | mission
            wanted += [n for n in mission if anew or not files[n].exists()]
        for name in wanted:
            if name in makers:
                makers[name](product, files[name])
        if "cog" in wanted or "flags" in wanted:
            # Takes 0.3 s to load, for which a flight line need not wait.
            from sifnet.product.cog import write_cogs

            told = write_cogs(product, files["cog"], files["flags"])
        table = path.with_name(f"{path.stem}_hourly.csv")
        if HOURS in product.dims and (anew or not table.exists()):
            from sifnet.product.hourly import write_table  # loads scipy: the same

            write_table(product, table)
        if wanted or not item.exists():
            there = {n: file for n, file in {"product": path, **files}.items() if file.exists()}
            stac.write_item(product, item, there)
    return told
