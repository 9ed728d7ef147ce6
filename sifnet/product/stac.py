"""A STAC item a scene: what a catalogue needs to find a product.

SpatioTemporal Asset Catalog 1.1.0 with the extensions projection, view and processing.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from pyproj import Transformer

from sifnet.files import whole
from sifnet.product.labels import headline, place
from sifnet.product.netcdf import flag_shares, summary, thinned

EXTENSIONS = (
    "https://stac-extensions.github.io/projection/v2.0.0/schema.json",
    "https://stac-extensions.github.io/view/v1.0.0/schema.json",
    "https://stac-extensions.github.io/processing/v1.2.0/schema.json",
)
ASSETS: dict[str, tuple[str, str, str]] = {  # what: media type, role, title
    "product": ("application/x-netcdf", "data", "maps of fluorescence, NetCDF-4, CF-1.11"),
    "cog": ("image/tiff; application=geotiff; profile=cloud-optimized", "data", "maps, GeoTIFF"),
    "quicklook": ("image/png", "overview", "fluorescence, uncertainty, reflectance, residual"),
    "thumbnail": ("image/png", "thumbnail", "fluorescence"),
}


def item(product: xr.Dataset, files: Mapping[str, str]) -> dict[str, Any]:
    """The item of a product.

    Args:
        product: in memory or open.
        files: of what ASSETS names, the path relative to the item.

    Its own properties, ``sifnet:...``, are statistics over the trusted pixels.
    """
    attributes = product.attrs
    flags = flag_shares(thinned(product[["quality_flag"]], 1000))
    properties = {
        "title": attributes["title"],
        "datetime": _utc(str(attributes["acquisition_time"])),
        "created": datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
        "instruments": [str(attributes["sensor"])],
        "view:sun_elevation": _number(90.0 - float(attributes["solar_zenith_angle"])),
        "view:incidence_angle": _number(abs(float(attributes["view_zenith_angle"]))),
        "processing:level": "L2",
        "processing:software": {"sifnet": str(attributes["sifnet_version"])},
        "processing:lineage": str(attributes["source"]),
        **_projection(product),
        **{f"sifnet:{name}": _number(value) for name, value in summary(product).items()},
        "sifnet:headline": headline(product),
        "sifnet:flags": {name: _number(share) for name, share in flags.items()},
        "sifnet:command": str(attributes["command"]),
    }
    return {
        "type": "Feature",
        "stac_version": "1.1.0",
        "stac_extensions": list(EXTENSIONS),
        "id": str(attributes["scene"]),
        **_extent(footprint(product)),
        "properties": {n: v for n, v in properties.items() if v is not None or n == "datetime"},
        "links": [],
        "assets": {
            what: {"href": f"./{path}", "type": media, "roles": [role], "title": title}
            for what, path in files.items()
            for media, role, title in [ASSETS[what]]
        },
    }


def write_item(product: xr.Dataset, path: Path, files: Mapping[str, str]) -> Path:
    """Write the item as JSON.

    Raises:
        SifnetError: the file cannot be written.
    """
    text = json.dumps(item(product, files), indent=1, ensure_ascii=False, allow_nan=False)
    with whole(path) as partial:
        partial.write_text(text, encoding="utf-8")
    return path


def footprint(product: xr.Dataset) -> list[list[float]] | None:
    """Closed ring of [longitude, latitude], counterclockwise; None if no place is known.

    Over the date line longitudes go on beyond 180.
    """
    lines, samples = product["sif_760"].shape
    if (located := place(product)) is not None:
        projection, affine = located
        a, b, c, d, e, f = affine[:6]
        ends = ((0, 0), (0, lines), (samples, lines), (samples, 0))
        to_degrees = Transformer.from_crs(projection, "EPSG:4326", always_xy=True)
        corners = [(c + a * x + b * y, f + d * x + e * y) for x, y in ends]
        ring = [list(to_degrees.transform(*corner)) for corner in corners]
    elif "latitude" in product.coords and "longitude" in product.coords:
        at = {"line": [0, -1, -1, 0], "sample": [0, 0, -1, -1]}
        pairs = zip(*(_corners(product[n], at) for n in ("longitude", "latitude")), strict=True)
        ring = [[float(x), float(y)] for x, y in pairs]
    else:
        return None
    if not np.isfinite(ring).all():
        return None
    east = max(x for x, _ in ring)
    ring = [[round(x + 360 if east - x > 180 else x, 6), round(y, 6)] for x, y in ring]
    area = sum(a[0] * b[1] - b[0] * a[1] for a, b in zip(ring, ring[1:] + ring[:1], strict=True))
    ring = ring if area >= 0 else ring[::-1]
    return [*ring, ring[0]]


def _extent(ring: list[list[float]] | None) -> dict[str, Any]:
    """Geometry and box: a field spectrometer is a point, a line of unknown swath a line."""
    if ring is None:
        return {"geometry": None}
    corners = [(x if x <= 180 else round(x - 360, 6), y) for x, y in ring]
    different = [list(corner) for corner in dict.fromkeys(corners)]
    kinds: dict[int, tuple[str, Any]] = {1: ("Point", different[0]), 2: ("LineString", different)}
    kind, coordinates = kinds.get(len(different), ("Polygon", [ring]))
    (west, south), (east, north) = np.min(ring, axis=0).tolist(), np.max(ring, axis=0).tolist()
    if east > 180 and kind == "Polygon":
        kind, coordinates = "MultiPolygon", [[half] for half in _halves(ring)]
    box = [west, south, east if east <= 180 else round(east - 360, 6), north]
    return {"geometry": {"type": kind, "coordinates": coordinates}, "bbox": box}


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


def _corners(values: xr.DataArray, at: Mapping[str, list[int]]) -> np.ndarray:
    chosen = {n: xr.DataArray(i, dims="corner") for n, i in at.items() if n in values.dims}
    return np.broadcast_to(values.isel(chosen).values, 4)


def _projection(product: xr.Dataset) -> dict[str, Any]:
    shape = {"proj:shape": list(product["sif_760"].shape)}
    if (located := place(product)) is None:
        return shape
    projection, affine = located
    code = projection.to_epsg()
    return {
        **shape,
        "proj:code": None if code is None else f"EPSG:{code}",
        "proj:wkt2": projection.to_wkt(),
        "proj:transform": list(affine)[:6],
    }


def _utc(time: str) -> str:
    """RFC 3339 of an acquisition time, which is UTC."""
    return f"{np.datetime64(time.removesuffix('Z'), 'ms')}Z"


def _number(value: float) -> float | None:
    """JSON has no NaN."""
    return float(f"{value:.6g}") if math.isfinite(value) else None
