"""A STAC item a scene: what a catalogue needs to find a product.

SpatioTemporal Asset Catalog 1.1.0 with the extensions projection, view, processing, raster and
classification, built with pystac.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from sifnet.files import whole
from sifnet.product.axes import axes
from sifnet.product.footprint import Ring, ring
from sifnet.product.labels import headline, place
from sifnet.product.netcdf import flag_shares, summary, thinned
from sifnet.product.provenance import told
from sifnet.scenes.scene import FLAGS

if TYPE_CHECKING:
    from pystac import Asset, Item

# pystac knows no class for these; the others it adds with what it writes.
PROCESSING = "https://stac-extensions.github.io/processing/v1.2.0/schema.json"
COG = "image/tiff; application=geotiff; profile=cloud-optimized"
ASSETS: dict[str, tuple[str, str, str]] = {  # what: media type, role, title
    "product": ("application/x-netcdf", "data", "maps of fluorescence, NetCDF-4, CF-1.11"),
    "cog": (COG, "data", "fluorescence, its uncertainty, and what else was found, GeoTIFF"),
    "flags": (COG, "data-mask", "quality flags, GeoTIFF"),
    "flex_l2": ("application/x-netcdf", "data", "maps by names of FLEX L2, NetCDF-4"),
    "quicklook": ("image/png", "overview", "fluorescence, uncertainty, reflectance, residual"),
    "thumbnail": ("image/png", "thumbnail", "fluorescence"),
}


def item(product: xr.Dataset, files: Mapping[str, Path], folder: Path) -> Item:
    """The item of a product.

    Args:
        product: in memory or open.
        files: of what ASSETS names.
        folder: of the item, to which its links are relative.

    Its own properties, ``sifnet:...``, are statistics over the trusted pixels.
    """
    import pystac
    from pystac.extensions.view import ViewExtension

    origin = told(product)
    flags = flag_shares(thinned(product[["quality_flag"]], 1000))
    properties = {
        "title": origin["title"],
        "created": datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
        "instruments": [str(origin["sensor"])],
        "processing:level": "L2",
        "processing:software": {"sifnet": str(origin["sifnet_version"])},
        "processing:lineage": str(origin["source"]),
        **{f"sifnet:{name}": _number(value) for name, value in summary(product).items()},
        "sifnet:headline": headline(product),
        "sifnet:flags": {name: _number(share) for name, share in flags.items()},
        "sifnet:command": str(origin["command"]),
    }
    geometry, box = _extent(footprint(product))
    made = pystac.Item(
        str(origin["scene"]), geometry, box, _utc(str(origin["acquisition_time"])),
        {name: value for name, value in properties.items() if value is not None},
        stac_extensions=[PROCESSING],
    )  # fmt: skip
    view = ViewExtension.ext(made, add_if_missing=True)
    view.sun_elevation = _number(90.0 - float(product["solar_zenith_angle"].mean()))
    view.incidence_angle = _number(abs(float(product["view_zenith_angle"].mean())))
    _project(made, product)
    for what, path in files.items():
        media, role, title = ASSETS[what]
        href = f"./{path.relative_to(folder).as_posix()}"
        made.add_asset(what, pystac.Asset(href, title, media_type=media, roles=[role]))
        if media == COG:
            _describe(made.assets[what], path)
    return made


def write_item(product: xr.Dataset, path: Path, files: Mapping[str, Path]) -> Path:
    """Write the item as JSON.

    Raises:
        SifnetError: the file cannot be written.
    """
    content = item(product, files, path.parent).to_dict(include_self_link=False)
    text = json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False)
    with whole(path) as partial:
        partial.write_text(text, encoding="utf-8")
    return path


def _project(made: Item, product: xr.Dataset) -> None:
    """Size and, on a map, projection of the maps in the product."""
    from pystac.extensions.projection import ProjectionExtension

    projection = ProjectionExtension.ext(made, add_if_missing=True)
    projection.shape = list(product["sif_760"].shape)
    if (located := place(product)) is not None:
        crs, affine = located
        code = crs.to_epsg()
        projection.apply(
            code=None if code is None else f"EPSG:{code}",
            wkt2=crs.to_wkt(), shape=projection.shape, transform=list(affine)[:6],
        )  # fmt: skip


def _describe(asset: Asset, path: Path) -> None:
    """What a GeoTIFF holds, band by band, and where, as the file itself says."""
    import rasterio
    from pystac.extensions.classification import Bitfield, Classification, ClassificationExtension
    from pystac.extensions.projection import ProjectionExtension
    from pystac.extensions.raster import DataType, RasterBand, RasterExtension, Sampling

    with rasterio.open(path) as file:
        code, transform, shape = file.crs.to_epsg(), list(file.transform)[:6], list(file.shape)
        wkt = file.crs.to_wkt()
        about = [
            (name, unit or None, file.tags(number).get("long_name"))
            for number, (name, unit) in enumerate(
                zip(file.descriptions, file.units, strict=True), start=1
            )
        ]
        kind, nodata = DataType(file.dtypes[0]), file.nodata
    ProjectionExtension.ext(asset, add_if_missing=True).apply(
        code=None if code is None else f"EPSG:{code}", wkt2=None if code else wkt,
        shape=shape, transform=transform,
    )  # fmt: skip
    empty: Any = "nan" if math.isnan(nodata) else int(nodata)
    bands = [
        RasterBand.create(nodata=empty, data_type=kind, unit=unit, sampling=Sampling.AREA)
        for _, unit, _ in about
    ]
    RasterExtension.ext(asset, add_if_missing=True).apply(bands)
    asset.extra_fields["bands"] = [
        {"name": name, **({"description": text} if text else {})} for name, _, text in about
    ]
    if kind is not DataType.UINT16:
        return
    fields = []
    for flag, text in FLAGS.items():
        name = str(flag.name).lower()
        classes = [
            Classification.create(value, description, label)
            for value, description, label in (
                (0, f"no {name.replace('_', ' ')}", f"not_{name}"), (1, text, name)
            )
        ]  # fmt: skip
        fields.append(Bitfield.create(int(flag).bit_length() - 1, 1, classes, name=name))
    ClassificationExtension.ext(asset, add_if_missing=True).apply(bitfields=fields)


def footprint(product: xr.Dataset) -> Ring | None:
    """Closed ring of [longitude, latitude] around a product, see ``footprint.ring``."""
    return ring(product, axes(product), place(product))


def _extent(ring: Ring | None) -> tuple[dict[str, Any] | None, list[float] | None]:
    """Geometry and box: a field spectrometer is a point, a line of unknown swath a line."""
    if ring is None:
        return None, None
    corners = [(x if x <= 180 else round(x - 360, 6), y) for x, y in ring]
    different = [list(corner) for corner in dict.fromkeys(corners)]
    kinds: dict[int, tuple[str, Any]] = {1: ("Point", different[0]), 2: ("LineString", different)}
    kind, coordinates = kinds.get(len(different), ("Polygon", [ring]))
    (west, south), (east, north) = np.min(ring, axis=0).tolist(), np.max(ring, axis=0).tolist()
    if east > 180 and kind == "Polygon":
        kind, coordinates = "MultiPolygon", [[half] for half in _halves(ring)]
    box = [west, south, east if east <= 180 else round(east - 360, 6), north]
    return {"type": kind, "coordinates": coordinates}, box


def _halves(ring: list[list[float]]) -> list[list[list[float]]]:
    """Closed rings west and east of the date line (RFC 7946, 3.1.9) of one that crosses it."""
    halves = []
    for side, turn in ((1, 0.0), (-1, 360.0)):
        kept: list[list[float]] = []
        for (x, y), (x_next, y_next) in pairwise(ring):
            if side * (180 - x) >= 0:
                kept.append([round(x - turn, 6), y])
            if (180 - x) * (180 - x_next) < 0:
                crossing = y + (y_next - y) * (180 - x) / (x_next - x)
                kept.append([180 - turn, round(crossing, 6)])
        halves.append([*kept, kept[0]])
    return halves


def _utc(time: str) -> datetime:
    """An acquisition time, which is UTC."""
    milliseconds = np.datetime64(time.removesuffix("Z"), "ms").astype(int)
    return datetime.fromtimestamp(milliseconds / 1e3, UTC)


def _number(value: float) -> float | None:
    """JSON has no NaN."""
    return float(f"{value:.6g}") if math.isfinite(value) else None
