"""Onto a map: the grid a product lies on, or the nearest of its pixels where each has a place."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from pyproj import CRS, Transformer
from rasterio.transform import Affine

from sifnet.product.axes import axes
from sifnet.product.labels import place

MOST_CELLS = 4  # of a map, a pixel of the product
POLES = (-80.0, 84.0)  # degrees of latitude, beyond which there is no UTM


@dataclass(frozen=True)
class Map:
    """A grid on earth, and which pixel of a product is seen in each cell.

    Attributes:
        transform: from column and row to the projection.
        shape: rows and columns.
        nearest: (row, column) number of the pixel, -1 for none; None where cells are pixels.
        furthest: m, from the middle of a cell to that of its pixel.
    """

    crs: CRS
    transform: Affine
    shape: tuple[int, int]
    nearest: NDArray[np.int32] | None = None
    furthest: float = 0.0

    def laid(self, values: NDArray, empty: float) -> NDArray:
        """(row, column) of (down, across) values of the product, ``empty`` where there is none."""
        if self.nearest is None:
            return values
        seen = values.ravel()[np.maximum(self.nearest, 0)]
        return np.where(self.nearest < 0, values.dtype.type(empty), seen)

    def told(self) -> str:
        """How pixels came here, in a sentence."""
        if self.nearest is None:
            return "on the grid of the product"
        return (
            f"nearest neighbour of pixels at their own latitude and longitude, cells of "
            f"{self.transform.a:.3g} m, at most {self.furthest:.3g} m away"
        )


def can_be_mapped(product: xr.Dataset) -> bool:
    """Whether it is known where every pixel lies."""
    both = axes(product)
    own = all(n in product.coords and product[n].dims == both for n in ("latitude", "longitude"))
    return place(product) is not None or (own and min(product[n].size for n in both) > 1)


def map_of(product: xr.Dataset) -> Map | None:
    """The grid that a product lies on, else a north-up one of UTM around its pixels.

    None where pixels have no place of their own: the course of an aircraft is none.
    """
    if not can_be_mapped(product):
        return None
    if (located := place(product)) is not None:
        down, across = axes(product)
        return Map(*located, (product.sizes[down], product.sizes[across]))
    east, north = (product[n].values.astype(float) for n in ("longitude", "latitude"))
    crs = _utm(east, north)
    x, y = Transformer.from_crs("EPSG:4326", crs, always_xy=True).transform(east, north)
    return _around(crs, x, y)


def _utm(longitude: NDArray[np.float64], latitude: NDArray[np.float64]) -> CRS:
    """The zone of the middle, or the polar projection where there is none."""
    north = float(np.nanmedian(latitude))
    if not POLES[0] <= north <= POLES[1]:
        return CRS.from_epsg(32661 if north > 0 else 32761)
    turned = np.exp(1j * np.radians(longitude))  # over the date line a mean of degrees is elsewhere
    zone = int((np.degrees(np.angle(np.nanmean(turned))) + 180) // 6) % 60 + 1
    return CRS.from_epsg((32600 if north >= 0 else 32700) + zone)


def _around(crs: CRS, x: NDArray[np.float64], y: NDArray[np.float64]) -> Map:
    """A north-up grid over pixels at x, y (down, across), m."""
    from scipy.spatial import cKDTree

    along, across = (
        float(np.nanmedian(np.hypot(np.diff(x, axis=i), np.diff(y, axis=i)))) for i in (0, 1)
    )
    known = np.flatnonzero(np.isfinite(x + y).ravel())
    points = np.stack([x.ravel(), y.ravel()], axis=-1)[known]
    widest = max(along, across)
    (west, south), (east, north) = points.min(0) - widest, points.max(0) + widest
    cell = max(min(along, across), np.sqrt((east - west) * (north - south) / (MOST_CELLS * x.size)))
    cell = float(f"{cell:.4g}")
    west, north = np.floor(west / cell) * cell, np.ceil(north / cell) * cell
    shape = (int(np.ceil((north - south) / cell)), int(np.ceil((east - west) / cell)))
    tree, nearest, furthest = cKDTree(points), np.empty(shape, np.int32), 0.0
    columns = west + (np.arange(shape[1]) + 0.5) * cell
    for row in range(shape[0]):
        down = np.full(shape[1], north - (row + 0.5) * cell)
        # Half a diagonal is the farthest within a pixel; half of that again, for steps are uneven.
        distance, number = tree.query(
            np.stack([columns, down], axis=-1), distance_upper_bound=0.75 * np.hypot(along, across)
        )
        seen = np.isfinite(distance)
        nearest[row] = np.where(seen, known[np.minimum(number, len(known) - 1)], -1)
        furthest = max(furthest, float(distance[seen].max(initial=0.0)))
    return Map(crs, Affine(cell, 0, west, 0, -cell, north), shape, nearest, furthest)
