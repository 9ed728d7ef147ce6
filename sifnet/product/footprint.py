"""Where on earth a product or a scene lies: the ring around it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr
from pyproj import CRS, Transformer

if TYPE_CHECKING:
    from rasterio.transform import Affine

Ring = list[list[float]]


def ring(
    data: xr.Dataset, dimensions: tuple[str, str], located: tuple[CRS, Affine] | None
) -> Ring | None:
    """Closed ring of [longitude, latitude], counterclockwise; None if no place is known.

    Over the date line longitudes go on beyond 180.

    Args:
        data: with latitude and longitude, where it is not ``located`` on a map.
        dimensions: down and across.
    """
    corners = _corners(data, dimensions, located)
    if corners is None or not np.isfinite(corners).all():
        return None
    east = max(x for x, _ in corners)
    open_ring = [[round(x + 360 if east - x > 180 else x, 6), round(y, 6)] for x, y in corners]
    following = open_ring[1:] + open_ring[:1]
    area = sum(a[0] * b[1] - b[0] * a[1] for a, b in zip(open_ring, following, strict=True))
    open_ring = open_ring if area >= 0 else open_ring[::-1]
    return [*open_ring, open_ring[0]]


def _corners(
    data: xr.Dataset, dimensions: tuple[str, str], located: tuple[CRS, Affine] | None
) -> Ring | None:
    if located is not None:
        projection, affine = located
        down, across = (data.sizes[name] for name in dimensions)
        a, b, c, d, e, f = affine[:6]
        ends = ((0, 0), (0, down), (across, down), (across, 0))
        corners = [(c + a * x + b * y, f + d * x + e * y) for x, y in ends]
        to_degrees = Transformer.from_crs(projection, "EPSG:4326", always_xy=True)
        return [list(to_degrees.transform(*corner)) for corner in corners]
    if "latitude" not in data or "longitude" not in data:
        return None
    at = dict(zip(dimensions, ([0, -1, -1, 0], [0, 0, -1, -1]), strict=True))
    pairs = zip(*(_chosen(data[n], at) for n in ("longitude", "latitude")), strict=True)
    return [[float(x), float(y)] for x, y in pairs]


def _chosen(values: xr.DataArray, at: Mapping[str, list[int]]) -> np.ndarray:
    chosen = {n: xr.DataArray(i, dims="corner") for n, i in at.items() if n in values.dims}
    return np.broadcast_to(values.isel(chosen).values, 4)
