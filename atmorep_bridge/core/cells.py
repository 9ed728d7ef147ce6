"""Grids without rows and columns (HEALPix, reduced Gaussian, whatever lists its points): tokens.

A token is points that are near each other, in a pixel of a coarse HEALPix grid (Górski et al. 2005,
doi:10.1086/427976) or a part of one. Rows are tokens, and columns their points, none where others
have more; all else is that of :class:`grids.Regular`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from torch import Tensor

from atmorep_bridge.core.base import stencil
from atmorep_bridge.core.covariance import most_zones
from atmorep_bridge.core.grids import SAME_PLACE, Array, Corner, Place, Places, Regular, Sides
from atmorep_bridge.core.specs import Setup
from sifnet.errors import SifnetError

FINEST = 24  # HEALPix level that tells any two points apart
PARTS = 4  # tokens of a pixel, at least on average
OVERLAP = 4  # tiles over a token


@dataclass(frozen=True, eq=False)
class Cells:
    """Points of any order, ``token, point``; degrees, NaN where a token has no more."""

    latitude: Array
    longitude: Array
    dims = "token", "point"
    wraps = False

    @property
    def shape(self) -> tuple[int, int]:
        """Tokens, and the most points of one."""
        return self.latitude.shape[0], self.latitude.shape[1]

    @property
    def points(self) -> tuple[Array, Array]:
        """Latitude and longitude of every point, ``token, point``."""
        return self.latitude, self.longitude

    @property
    def step(self) -> tuple[float, float]:
        """Degrees between points, as if they stood in squares."""
        side = float(np.rad2deg(np.sqrt(np.nanmean(self.area.numpy()))))
        return side, side

    @cached_property
    def _vectors(self) -> Array:
        """``token, point, 3``, of length 1."""
        return _vectors(self.latitude, self.longitude)

    @cached_property
    def _middles(self) -> Array:
        """``token, 3``"""
        return _unit(np.nansum(self._vectors, 1))

    @cached_property
    def _tree(self) -> cKDTree:
        return cKDTree(self._vectors.reshape(-1, 3)[self._there])

    @cached_property
    def _there(self) -> NDArray[np.int64]:
        return np.flatnonzero(np.isfinite(self.latitude))

    @cached_property
    def _tokens(self) -> cKDTree:
        return cKDTree(self._middles)

    @cached_property
    def area(self) -> Tensor:
        """Steradian, ``token, point``. A whole HEALPix sphere is cut evenly, and so is taken what
        does not stand in rings between two latitudes; rings are cut evenly each."""
        number = self._there.size
        if number == self.latitude.size and np.log2(number / 12) % 2 == 0:
            return torch.full(self.shape, 4 * np.pi / number)
        north, east = (v.ravel()[self._there] for v in self.points)
        ring, which, count = np.unique(north.round(4), return_inverse=True, return_counts=True)
        if ring.size > number / 3:
            apart = self._tree.query(self._tree.data, k=2)[0][:, 1]
            each, which = np.array([np.median(apart) ** 2]), np.zeros(number, dtype=int)
        else:
            each = _heights(ring) * _apart(east, which, count)
            each[count == 1] = np.median(each[count > 1])
        area = np.full(self.latitude.size, np.nan)
        area[self._there] = each[which]
        return torch.from_numpy(area.reshape(self.shape)).float()

    def __str__(self) -> str:
        north, east = self.points
        return (f"{self._there.size} points, {np.nanmin(north):g} to {np.nanmax(north):g} N, "
                f"{np.nanmin(east):g} to {np.nanmax(east):g} E")  # fmt: skip

    def setup(self, setup: Setup) -> Setup:
        """With neighbourhoods of as many points, in tokens, and without the plans that need rows
        and columns.

        Raises:
            SifnetError: tokens of the fields differ in how many points they hold.
        """
        tokens, most = self.shape
        if all(s.patch[1:] == (1, most) for s in setup.fields) and setup.neighbourhood[2] == most:
            return setup
        if len({s.patch[1] * s.patch[2] for s in setup.fields}) > 1:
            raise SifnetError(
                "fields on this grid need tokens of as many points",
                found=", ".join(f"{s.name} {s.patch[1]} x {s.patch[2]}" for s in setup.fields),
                expected="the same for all",
            )
        hours, rows, columns = setup.neighbourhood
        many = min(max(round(rows * columns * tokens / self._there.size), 1), tokens)
        return replace(
            setup,
            fields=tuple(replace(s, patch=(s.patch[0], 1, most)) for s in setup.fields),
            neighbourhood=(hours, many, most),
            plans={n: share for n, share in setup.plans.items() if n not in ("coarse", "noise")},
        )

    def zones(self, values: int) -> Tensor:
        """Pixels of a HEALPix grid, as small as memory allows, see ``covariance``."""
        for level in range(12, -1, -1):
            found, zone = np.unique(_pixels(self._middles, level), return_inverse=True)
            if found.size <= most_zones(values):
                return torch.from_numpy(zone)[:, None].expand(self.shape)
        return torch.zeros(self.shape, dtype=torch.long)

    def place(self, other: object) -> Place | None:
        """All of it, if the other grid is the same; else none."""
        if not isinstance(other, Cells) or self.shape != other.shape:
            return None
        off = np.abs(self._vectors - other._vectors)
        if not np.nanmax(off) < SAME_PLACE * np.deg2rad(self.step[0]):
            return None
        return np.arange(self.shape[0]), np.arange(self.shape[1])

    def neighbours(self, points: NDArray[np.int64], rings: tuple[int, ...]) -> NDArray[np.int64]:
        """``..., neighbour`` of points counted token by token: the nearest to where the points of
        ``stencil`` would be, on great circles to the north, north-east, ..."""
        return self._table(rings)[points]

    def _table(self, rings: tuple[int, ...]) -> NDArray[np.int64]:
        if rings not in self._tables:
            own = self._vectors.reshape(-1, 3)[self._there]
            up, east = _tangents(own)
            table = np.repeat(np.arange(self.latitude.size)[:, None], len(stencil(rings)), 1)
            for column, (y, x) in enumerate(stencil(rings)[1:], 1):
                angle = np.deg2rad(self.step[0]) * np.hypot(y, x)
                toward = (y * up + x * east) / np.hypot(y, x)
                there = own * np.cos(angle) + toward * np.sin(angle)
                table[self._there, column] = self._there[self._tree.query(there)[1]]
            self._tables[rings] = table
        return self._tables[rings]

    @cached_property
    def _tables(self) -> dict[tuple[int, ...], NDArray[np.int64]]:
        return {}

    def draw(self, rng: np.random.Generator, shape: tuple[int, int]) -> Corner:
        """The token in the middle by chance, everywhere as often by area."""
        share = np.nansum(self.area.double().numpy(), 1)
        return int(rng.choice(self.shape[0], p=share / share.sum())), 0

    def window(self, corner: Corner, shape: tuple[int, int]) -> Place:
        """The tokens nearest to one."""
        return self._nearest(self._middles[corner[0]], shape)

    def _nearest(self, middle: Array, shape: tuple[int, int]) -> Place:
        near = np.atleast_1d(self._tokens.query(middle, k=shape[0])[1])
        return np.sort(near), np.arange(self.shape[1])  # neighbours in a row are neighbours

    def around(
        self, corner: Corner, shape: tuple[int, int], rings: tuple[int, ...], of: int = 1
    ) -> tuple[Place, Sides]:
        """A window, and after it the tokens that hold neighbours of its points."""
        rows, columns = self.window(corner, shape)
        flat = rows[:, None] * columns.size + columns
        asked = np.unique(self.neighbours(flat, rings) // columns.size)
        more = np.setdiff1d(asked, rows)
        return (np.concatenate([rows, more]), columns), (0, more.size, 0, 0)

    def tiles(self, shape: tuple[int, int], align: int) -> Iterator[tuple[Place, Tensor]]:
        """Windows that cover the grid, several over most tokens, and the weight of their points."""
        level = 12
        while level and np.unique(_pixels(self._middles, level)).size * shape[0] > (
            OVERLAP * self.shape[0]
        ):
            level -= 1
        _, which = np.unique(_pixels(self._middles, level), return_inverse=True)
        bare = np.ones(self.shape[0], dtype=bool)
        middles = [_unit(self._middles[which == i].sum(0)) for i in range(which.max() + 1)]
        while middles or bare.any():
            middle = middles.pop() if middles else self._middles[np.flatnonzero(bare)[0]]
            rows, columns = self._nearest(middle, shape)
            bare[rows] = False
            apart = np.linalg.norm(self._middles[rows] - middle, axis=1)
            weight = 1.05 - apart / max(apart.max(), 1e-9)
            blend = torch.from_numpy(weight).float()[:, None]
            yield (rows, columns), blend.expand(-1, columns.size)

    def tokens(self, place: Place, patch: tuple[int, int]) -> Places:
        """What is known of the tokens of a window; places in it are on its tangent plane."""
        middles, side = self._middles[place[0]], np.deg2rad(self.step[0])
        middle = _unit(middles.sum(0))
        half = np.sqrt(place[0].size * patch[0] * patch[1]) / 2
        down, across = (middles @ axis / side + half for axis in _tangents(middle))
        north = np.rad2deg(np.arcsin(middles[:, 2].clip(-1, 1)))
        east = np.rad2deg(np.arctan2(middles[:, 1], middles[:, 0]))
        area = np.nanmean(self.area.numpy()[place[0]], 1) / np.nanmean(self.area.numpy())
        return Places(*(v[:, None] for v in (north, east, down, across, area)))

    def between(self, latitude: Array, longitude: Array) -> tuple[Array, Array, NDArray[np.bool_]]:
        """The three points nearest to places and their weights, ``place, 3``, by the inverse of
        the distance; inside is what has one within a step and a half."""
        apart, near = self._tree.query(_vectors(latitude, longitude), k=3)
        weight = 1 / (apart + 1e-6)
        inside = apart[:, 0] < 1.5 * np.deg2rad(self.step[0])
        return self._there[near], weight / weight.sum(1, keepdims=True), inside


Grid = Regular | Cells


def grid_of(latitude: Array, longitude: Array, wraps: bool) -> Grid:
    """By whether latitude is an axis or that of every point."""
    return Regular(latitude, longitude, wraps) if latitude.ndim == 1 else Cells(latitude, longitude)


def in_tokens(latitude: Array, longitude: Array, most: int) -> NDArray[np.int64]:
    """Which points are in a token, ``token, point``, -1 where there are no more.

    Points of a pixel of a coarse HEALPix grid stand in nested order, in which neighbours are near
    each other, and are cut evenly into as few tokens as hold at most ``most``. On a HEALPix grid
    tokens of 4, 16, 64 points are pixels themselves. What is cut so is cut the same by the number
    of points that a token then has.
    """
    place = _pixels(_vectors(latitude, longitude), FINEST)
    order = np.argsort(place, kind="stable")
    while True:
        for level in range(FINEST, -1, -1):
            pixel = place[order] >> 2 * (FINEST - level)
            _, first, count = np.unique(pixel, return_index=True, return_counts=True)
            if count.mean() >= PARTS * most:
                break
        within = np.arange(order.size) - np.repeat(first, count)
        cut = within * np.repeat(-(-count // most), count) // np.repeat(count, count)
        begins = np.append(True, (np.diff(cut) != 0) | (np.diff(pixel) != 0))
        first = np.flatnonzero(begins)
        size = np.diff(np.append(first, order.size))
        if size.max() == most or most == 1:
            break
        most = int(size.max())
    index = np.full((first.size, most), -1)
    which = np.cumsum(begins) - 1
    index[which, np.arange(order.size) - first[which]] = order
    return index


def _pixels(vectors: Array, level: int) -> NDArray[np.int64]:
    """Number in a nested HEALPix grid."""
    from astropy_healpix import healpy

    return healpy.vec2pix(2**level, *np.moveaxis(vectors, -1, 0), nest=True)


def _vectors(latitude: Array, longitude: Array) -> Array:
    y, x = np.deg2rad(latitude), np.deg2rad(longitude)
    return np.stack([np.cos(y) * np.cos(x), np.cos(y) * np.sin(x), np.sin(y)], -1)


def _unit(vectors: Array) -> Array:
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def _tangents(vectors: Array) -> tuple[Array, Array]:
    """To the north and to the east, ``..., 3``, of length 1."""
    x, y, z = np.moveaxis(vectors, -1, 0)
    east = _unit(np.stack([-y, x + 1e-12, 0 * z], -1))
    return np.cross(vectors, east), east


def _heights(ring: Array) -> Array:
    """Of the zones about latitudes, ascending, on a sphere of radius 1; to the pole where near."""
    sine = np.sin(np.deg2rad(ring))
    edges = np.sin(np.deg2rad((ring[1:] + ring[:-1]) / 2))
    edges = np.concatenate([2 * sine[:1] - edges[:1], edges, 2 * sine[-1:] - edges[-1:]])
    first, last = edges[1] - edges[0], edges[-1] - edges[-2]
    edges[0] = -1 if edges[0] < first - 1 else edges[0]
    edges[-1] = 1 if edges[-1] > 1 - last else edges[-1]
    return np.diff(edges)


def _apart(east: Array, which: NDArray[np.int64], count: NDArray[np.int64]) -> Array:
    """Least distance between the points of each ring, radians."""
    order = np.lexsort((east, which))
    first = np.cumsum(count) - count
    following = np.roll(east[order], -1)
    following[first + count - 1] = east[order][first]
    gaps = (following - east[order]) % 360
    return np.deg2rad(np.minimum.reduceat(gaps, first))
