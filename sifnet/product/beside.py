"""What goes with a product: picture, thumbnail, GeoTIFF, a mission's names, and the STAC item that
lists them."""

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


def of_mission(product: xr.Dataset, path: Path) -> dict[str, Path]:
    """The file under the names of the sensor's own mission, where it has such."""
    flex = product.attrs.get("sensor") == "flex"
    return {"flex_l2": path.with_name(f"{path.stem}_flex_l2.nc")} if flex else {}


def complete(path: Path, *, cog: bool, anew: bool) -> None:
    """Make what goes with a product.

    Args:
        anew: also what is there already.

    Raises:
        SifnetError: a file cannot be written.
    """
    from sifnet.product import pictures, stac
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
        mission = of_mission(product, path)
        if mission:
            from sifnet.product.flex_l2 import write_l2

            makers["flex_l2"], files = write_l2, files | mission
            wanted += [n for n in mission if anew or not files[n].exists()]
        for name in wanted:
            makers[name](product, files[name])
        if wanted or not item.exists():
            there = {n: file for n, file in {"product": path, **files}.items() if file.exists()}
            hrefs = {n: file.relative_to(path.parent).as_posix() for n, file in there.items()}
            stac.write_item(product, item, hrefs)
