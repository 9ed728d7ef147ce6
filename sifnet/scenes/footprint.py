"""Where a scene from space lies: the course of the sensor, and the place of its pixels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sifnet.scenes.formats.geotiff import Raster


def heading(start: ArrayLike, end: ArrayLike) -> float | None:
    """Course from one (latitude, longitude) to another, degrees clockwise from north.

    None when they are the same to about a metre.
    """
    first, last = np.asarray(start, float), np.asarray(end, float)
    north = last[0] - first[0]
    east = _turn(last[1] - first[1]) * math.cos(math.radians((first[0] + last[0]) / 2))
    if math.hypot(north, east) < 1e-5:
        return None
    return math.degrees(math.atan2(east, north)) % 360


def place(
    raster: Raster, corners: NDArray[np.float64] | None
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Latitude and longitude as variables of a Scene, and its grid (crs, transform) on a map.

    On a map the middle of the image; in sensor geometry every pixel, bilinear between corners.
    """
    if raster.crs:
        latitude, longitude = middle(raster.crs, raster.transform, raster.lines, raster.samples)
        grid = {"crs": raster.crs, "transform": list(raster.transform)}
        return {"latitude": latitude, "longitude": longitude}, grid
    if corners is None:
        return {}, {}
    down = ((np.arange(raster.lines) + 0.5) / raster.lines)[:, None, None]
    right = ((np.arange(raster.samples) + 0.5) / raster.samples)[None, :, None]
    corners = corners.copy()
    corners[:, 1] = corners[0, 1] + _turn(corners[:, 1] - corners[0, 1])  # over the date line
    upper = corners[0] + (corners[1] - corners[0]) * right
    lower = corners[3] + (corners[2] - corners[3]) * right
    points = upper + (lower - upper) * down
    dims = ("line", "sample")
    return {"latitude": (dims, points[..., 0]), "longitude": (dims, _turn(points[..., 1]))}, {}


def middle(crs: str, affine: Sequence[float], lines: int, samples: int) -> tuple[float, float]:
    """Latitude and longitude of the middle of an image on a map; NaN where that has none."""
    from rasterio.warp import transform

    a, b, c, d, e, f = affine
    x = a * samples / 2 + b * lines / 2 + c
    y = d * samples / 2 + e * lines / 2 + f
    try:
        longitude, latitude = transform(crs, "EPSG:4326", [x], [y])
    except Exception:  # errors of GDAL have no public name
        return math.nan, math.nan
    return float(latitude[0]), float(longitude[0])


def _turn(degrees: Any) -> Any:
    """The same angle within -180 and 180."""
    return (degrees + 180.0) % 360.0 - 180.0
