"""Maps as cloud-optimised GeoTIFFs, made in windows: SIF and what goes with it, and the flags."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import rasterio
import rasterio.shutil
import xarray as xr
from numpy.typing import NDArray
from rasterio.errors import NotGeoreferencedWarning
from rasterio.windows import Window

from sifnet.files import scratch, whole
from sifnet.product.axes import axes
from sifnet.product.labels import OPTIONAL, VARIABLES
from sifnet.product.netcdf import WINDOW, windows
from sifnet.product.onto_map import Map, map_of
from sifnet.scenes.scene import FLAGS, Flag

FIRST = ("sif_760", "sif_760_uncertainty", "sif_740", "sif_740_uncertainty")
BANDS = (*FIRST, *OPTIONAL, *(name for name in VARIABLES if name not in FIRST))
"""Of a file, as far as the product has them."""
FLAG_BANDS = "quality_flag", "quality_flag_687"
NO_FLAGS = 2**16 - 1  # of a cell in which no pixel is seen
NOWHERE = (
    "no GeoTIFF: it lies on no map grid, and its pixels have no latitude and longitude of their own"
)


def write_cogs(product: xr.Dataset, maps: Path, flags: Path) -> str:
    """Write both files, and say where their pixels come from, or why there are none."""
    ground = map_of(product)
    if ground is None:
        return NOWHERE
    to_cog(product, maps, ground)
    flags_to_cog(product, flags, ground)
    return f"GeoTIFF {maps}, {ground.told()}"


def to_cog(product: xr.Dataset, path: str | Path, ground: Map | None = None) -> Path:
    """Write the maps as a cloud-optimised GeoTIFF, float32, a band a variable, SIF and σ first.

    Bands carry name and unit. A file that is open (``netcdf.opened``) and lies on a grid is never
    in memory as a whole.

    Args:
        ground: where its pixels lie; that of ``map_of`` by default, or nowhere if there is none.

    Raises:
        SifnetError: the file cannot be written.
    """
    ground, names = ground or map_of(product), [name for name in BANDS if name in product]

    def describe(file: Any) -> None:
        for band, name in enumerate(names, start=1):
            about = product[name].attrs
            file.set_band_description(band, name)
            file.set_band_unit(band, str(about.get("units", "")))
            file.update_tags(band, long_name=about["long_name"])

    profile = {"dtype": "float32", "nodata": float("nan"), "count": len(names)}
    return _write(product, names, Path(path), ground, profile, describe)


def flags_to_cog(product: xr.Dataset, path: str | Path, ground: Map | None = None) -> Path:
    """Write the quality flags, uint16, a bit a reason; tags and a table beside it name them.

    Those of SIF at 687 nm are a second band, where there are such. The table (``.aux.xml``, as GDAL
    and QGIS read it) names every combination that occurs in a band.
    """
    path, ground = Path(path), ground or map_of(product)
    names = [name for name in FLAG_BANDS if name in product]

    def describe(file: Any) -> None:
        for band, name in enumerate(names, start=1):
            file.set_band_description(band, name)
            file.update_tags(
                band,
                flag_masks=" ".join(str(int(flag)) for flag in FLAGS),
                flag_meanings=str(product[name].attrs["flag_meanings"]),
                **{f"flag_{int(flag)}": f"{_name(flag)}: {text}" for flag, text in FLAGS.items()},
            )

    profile = {"dtype": "uint16", "nodata": NO_FLAGS, "count": len(names)}
    _write(product, names, path, ground, profile, describe)
    counts = {name: Counter[int]() for name in names}
    for part in windows(product[names]):
        for name in names:
            found, count = np.unique(part[name], return_counts=True)
            counts[name].update(dict(zip(found.tolist(), count.tolist(), strict=True)))
    with whole(path.with_name(f"{path.name}.aux.xml")) as partial:
        partial.write_text(_tables(counts.values()), encoding="utf-8")
    return path


def _name(flag: Flag) -> str:
    return str(flag.name).lower()


def _write(
    product: xr.Dataset,
    names: Iterable[str],
    path: Path,
    ground: Map | None,
    profile: dict[str, Any],
    describe: Callable[[Any], None],
) -> Path:
    names = list(names)
    shape = product["sif_760"].shape if ground is None else ground.shape
    profile |= {"height": shape[0], "width": shape[1], "tiled": True, "BIGTIFF": "IF_SAFER"}
    if ground is not None:
        profile |= {"crs": ground.crs.to_wkt(), "transform": ground.transform}
    # The driver of this format only copies: what it copies is a plain GeoTIFF beside it.
    beside = path.with_name(f"{path.stem}.plain.tif")
    with warnings.catch_warnings(), whole(path) as partial, scratch(beside) as plain:
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.open(plain, "w", driver="GTiff", **profile) as file:
            for band, rows, values in _parts(product[names], names, ground, profile["nodata"]):
                window = Window(0, rows, shape[1], len(values))
                file.write(values.astype(profile["dtype"]), band, window=window)
            file.update_tags(**_tags(product, ground))
            describe(file)
        predictor = "3" if profile["dtype"] == "float32" else "2"
        rasterio.shutil.copy(plain, partial, driver="COG", compress="ZSTD", predictor=predictor)
    return path


def _parts(
    maps: xr.Dataset, names: list[str], ground: Map | None, empty: float
) -> Iterator[tuple[int, int, NDArray]]:
    """Band, first row and values: windows of all bands, or one band after the other, laid out."""
    if ground is not None and ground.nearest is not None:
        for band, name in enumerate(names, start=1):
            yield band, 0, ground.laid(maps[name].values, empty)
        return
    down, _ = axes(maps)
    row = 0
    for part in windows(maps, WINDOW):
        yield from ((band, row, part[name].values) for band, name in enumerate(names, start=1))
        row += part.sizes[down]


def _tags(product: xr.Dataset, ground: Map | None) -> dict[str, str]:
    """When, by what and with what; the first two as TIFF itself knows them."""
    stated = product.attrs
    time, version = str(stated["acquisition_time"]), str(stated["sifnet_version"])
    told = {
        "TIFFTAG_DATETIME": time[:19].replace("-", ":").replace("T", " "),
        "TIFFTAG_SOFTWARE": f"sifnet {version}",
        "acquisition_time": f"{time.removesuffix('Z')}Z",
        "scene": str(stated["scene"]),
        "sensor": str(stated["sensor"]),
        "sifnet_version": version,
    }
    if ground is not None and ground.nearest is not None:
        told |= {"resampling": ground.told(), "furthest_pixel_m": f"{ground.furthest:.3f}"}
    return told


def _tables(counts: Iterable[Mapping[int, int]]) -> str:
    """Raster attribute tables of GDAL, one a band."""
    root = ElementTree.Element("PAMDataset")
    for number, found in enumerate(counts, start=1):
        _table(ElementTree.SubElement(root, "PAMRasterBand", band=str(number)), found)
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode") + "\n"


def _table(band: ElementTree.Element, counts: Mapping[int, int]) -> None:
    """Value, how many pixels, what it means, why."""
    table = ElementTree.SubElement(band, "GDALRasterAttributeTable", tableType="thematic")
    integer, text = "0", "2"
    generic, pixels, name, value = "0", "1", "2", "5"  # usages of a column, GDALRATFieldUsage
    columns = (("value", integer, value), ("pixels", integer, pixels), ("flags", text, name),
               ("description", text, generic))  # fmt: skip
    for number, (title, kind, usage) in enumerate(columns):
        column = ElementTree.SubElement(table, "FieldDefn", index=str(number))
        for tag, content in (("Name", title), ("Type", kind), ("Usage", usage)):
            ElementTree.SubElement(column, tag).text = content
    for number, (flags, count) in enumerate(sorted(counts.items())):
        raised = [flag for flag in FLAGS if flags & flag]
        names = ", ".join(map(_name, raised)) or "good"
        why = "; ".join(FLAGS[flag] for flag in raised) or "nothing speaks against it"
        row = ElementTree.SubElement(table, "Row", index=str(number))
        for content in (str(flags), str(count), names, why):
            ElementTree.SubElement(row, "F").text = content
