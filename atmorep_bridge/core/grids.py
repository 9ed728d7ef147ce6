"""Grids: where points are, what they count, which are near each other, and windows of them.

Every grid is rows x columns of points. Of a regular one these are latitudes and longitudes, and a
token is some of each. Of any other a row is a token, see :mod:`cells`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from atmorep_bridge.core.base import stencil
from atmorep_bridge.core.covariance import zones
from atmorep_bridge.core.specs import Setup

Array = NDArray[np.float64]
Place = tuple[NDArray[np.int64], NDArray[np.int64]]
"""Rows and columns of a grid."""
Sides = tuple[int, int, int, int]
"""Rows at the beginning and at the end, columns at the beginning and at the end."""
Corner = tuple[int, int]
SAME_PLACE = 0.01  # of a grid step


class Places(NamedTuple):
    """Of tokens ``row, column``.

    Attributes:
        latitude, longitude: degrees, of the middle. north, east: grid points, in the window.
        area: what a point counts.
    """

    latitude: Array
    longitude: Array
    north: Array
    east: Array
    area: Array


@dataclass(frozen=True)
class Regular:
    """Latitudes and longitudes, degrees, that ascend in even steps.

    Attributes:
        wraps: all around the globe.
    """

    latitude: Array
    longitude: Array
    wraps: bool
    dims = "latitude", "longitude"

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.latitude.size, self.longitude.size

    @property
    def step(self) -> tuple[float, float]:
        """Degrees of latitude and longitude between points."""
        return self.latitude[1] - self.latitude[0], self.longitude[1] - self.longitude[0]

    @property
    def points(self) -> tuple[Array, Array]:
        """Latitude and longitude of every point, ``row, column``."""
        north, east = np.meshgrid(self.latitude, self.longitude, indexing="ij")
        return north, east

    @property
    def area(self) -> Tensor:
        """What a point counts, ``row, 1``: its area over that at the equator."""
        return torch.cos(torch.deg2rad(torch.tensor(self.latitude))).clamp(min=0).float()[:, None]

    def __str__(self) -> str:
        (y, x), step = (self.latitude, self.longitude), self.latitude[1:2] - self.latitude[:1]
        return (f"{y[0]:g} to {y[-1]:g} N, {x[0]:g} to {x[-1]:g} E, "
                f"step {step[0] if step.size else float('nan'):g}")  # fmt: skip

    def setup(self, setup: Setup) -> Setup:
        """As it is: a neighbourhood and a token are so many rows and columns."""
        return setup

    def zones(self, values: int) -> Tensor:
        """See ``covariance``."""
        return zones(*self.shape, values)

    def place(self, other: object) -> Place | None:
        """Where another grid lies on this one, none where it is no part of it."""
        if not isinstance(other, Regular):
            return None
        row, column = self._where(other.latitude, other.longitude)
        rows, columns = row.round().astype(np.int64), column.round().astype(np.int64)
        off = max(np.abs(row - rows).max(), np.abs(column - columns).max())
        inside = rows.min() >= 0 and rows.max() < self.shape[0] and columns.max() < self.shape[1]
        apart = np.append(np.diff(rows), np.diff(columns) % self.shape[1])
        same = inside and off <= SAME_PLACE and (apart == 1).all()
        return (rows, columns) if same else None

    def _where(self, latitude: Array, longitude: Array) -> tuple[Array, Array]:
        """Rows and columns of places, not whole; columns from the western edge, which rounding
        must not put at the eastern one."""
        (down, across), around = self.step, (longitude - self.longitude[0]) % 360
        around = np.where(around > 360 - SAME_PLACE * across, around - 360, around)
        return (latitude - self.latitude[0]) / down, around / across

    def neighbours(self, points: NDArray[np.int64], rings: tuple[int, ...]) -> NDArray[np.int64]:
        """``..., neighbour`` of points counted row by row, see ``stencil``: those of the edge, or
        of the globe's other side."""
        (height, width), offset = self.shape, stencil(rings)
        row = (points[..., None] // width + offset[:, 0]).clip(0, height - 1)
        column = points[..., None] % width + offset[:, 1]
        return row * width + (column % width if self.wraps else column.clip(0, width - 1))

    def draw(self, rng: np.random.Generator, shape: tuple[int, int]) -> Corner:
        """The corner of a window by chance, everywhere as often by area."""
        height, width = self.shape
        rows, columns = height - shape[0] + 1, width if self.wraps else width - shape[1] + 1
        # Rows near the poles stand close together.
        middle = self.latitude[:rows] + self.step[0] * shape[0] / 2
        share = np.cos(np.deg2rad(middle)).clip(0.01)
        return int(rng.choice(rows, p=share / share.sum())), int(rng.integers(columns))

    def window(self, corner: Corner, shape: tuple[int, int]) -> Place:
        """Rows and columns of it; around the globe, columns go on at the first one."""
        (y, x), (rows, columns) = corner, shape
        return np.arange(y, y + rows), np.arange(x, x + columns) % self.shape[1]

    def around(
        self, corner: Corner, shape: tuple[int, int], rings: tuple[int, ...], of: int = 1
    ) -> tuple[Place, Sides]:
        """A window with its neighbours, as far as there are, and how much wider it is.

        Args:
            of: by multiples of so many points.
        """
        (y, x), (rows, columns), by = corner, shape, max(rings)
        sides = y, self.shape[0] - y - rows, x, self.shape[1] - x - columns
        sides = (*sides[:2], by, by) if self.wraps else sides
        north, south, west, east = (min(n, by) // of * of for n in sides)
        wide = rows + north + south, columns + west + east
        return self.window((y - north, (x - west) % self.shape[1]), wide), (
            north, south, west, east)  # fmt: skip

    def tiles(self, shape: tuple[int, int], align: int) -> Iterator[tuple[Place, Tensor]]:
        """Windows that cover the grid, each half over the next, and the weight of their points.

        Args:
            align: points of which corners are a multiple.
        """
        (height, width), (rows, columns) = self.shape, shape
        easts = _corners(width, columns, align)
        if self.wraps:
            easts = list(range(0, width, max(columns // 2 // align * align, 1)))
        blend = _blend(rows)[:, None] * _blend(columns)
        for north in _corners(height, rows, align):
            for east in easts:
                yield self.window((north, east), shape), blend

    def tokens(self, place: Place, patch: tuple[int, int]) -> Places:
        """What is known of the tokens of a window."""
        axes = (self.latitude[place[0]], self.longitude[place[1]])
        north, east = (axis.reshape(-1, n).mean(1) for axis, n in zip(axes, patch, strict=True))
        down, across = ((np.arange(a.size) + 0.5) * n
                        for a, n in zip((north, east), patch, strict=True))  # fmt: skip
        area = np.cos(np.deg2rad(north))
        each = np.broadcast_arrays(north[:, None], east, down[:, None], across, area[:, None])
        return Places(*each)

    def between(self, latitude: Array, longitude: Array) -> tuple[Array, Array, NDArray[np.bool_]]:
        """Points around places and their weights, ``place, 4``, bilinear; and what is inside."""
        (height, width), (row, column) = self.shape, self._where(latitude, longitude)
        inside = (row > -SAME_PLACE) & (row < height - 1 + SAME_PLACE)
        inside &= (column < width - 1 + SAME_PLACE) | self.wraps
        y = row.astype(np.int64).clip(0, max(height - 2, 0))
        x = column.astype(np.int64).clip(0, width - 1 if self.wraps else max(width - 2, 0))
        south, west = row - y, column - x
        corners = [(n, m) for n in (0, 1) for m in (0, 1)]
        index = np.stack([(y + n) * width + (x + m) % width for n, m in corners], -1)
        weight = [(1 - south) * (1 - west), (1 - south) * west, south * (1 - west), south * west]
        return index, np.stack(weight, -1), inside


def _corners(points: int, tile: int, align: int) -> list[int]:
    """Corners of tiles from the first to the last that is a multiple of ``align``."""
    last = (points - tile) // align * align
    number = -(-2 * last // tile) + 1
    return sorted({round(x / align) * align for x in np.linspace(0, last, number)})


def _blend(points: int) -> Tensor:
    """Weight of a tile's points: the middle counts most, nothing counts zero."""
    place = torch.arange(points)
    return torch.minimum(place + 1, points - place).float() / ((points + 1) // 2)
