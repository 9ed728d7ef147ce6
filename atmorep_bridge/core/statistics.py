"""What is usual: climate, spread, covariance and detail of each field, of the training part.

An anomaly is the value less the climate of its grid point, day of the year and hour (see
:mod:`climate`), over the standard deviation of that grid point.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property, partial
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor

from atmorep_bridge.core import climate
from atmorep_bridge.core.base import Linear, stencil
from atmorep_bridge.core.cells import Grid, grid_of
from atmorep_bridge.core.covariance import PARTS, Products, taper
from atmorep_bridge.core.detail import FACTOR, Detail, Sums
from atmorep_bridge.core.grids import Place, Regular
from atmorep_bridge.core.specs import FieldSpec, Setup
from atmorep_bridge.core.times import Times, counted
from atmorep_bridge.core.tokens import ByField
from atmorep_bridge.core.windows import Fields, Region
from atmorep_bridge.fields.axes import run
from sifnet.errors import SifnetError

AT_ONCE = 2**24  # values of a level read at once
MOST_HOURS = 4000  # of which a covariance is made
LEAST_PATTERN = 0.1


@dataclass(frozen=True)
class Usual:
    """Statistics of one field.

    Attributes:
        climate: ``harmonic, level, latitude, longitude``, in its unit. cycles: how many harmonics
            of the year and of the day.
        sd: ``level, latitude, longitude``, of values less their climate, in the field's unit.
        detail: see ``detail``; none of a map without a block. unit: of the field.
    """

    climate: Tensor
    cycles: tuple[int, int]
    sd: Tensor
    detail: Detail | None
    unit: str


@dataclass(frozen=True)
class Statistics:
    """Statistics of all fields on the grid of the training part.

    Attributes:
        covariance, pooled, nuggets, scale: of anomalies, see ``Linear``; channels are the levels of
            the first field, then those of the next.
        latitude, longitude: degrees, float64. wraps: all around the globe. See ``grids``.
        rings: distances of neighbours, see ``Setup``. days: length of the training part.
    """

    fields: dict[str, Usual]
    covariance: Tensor
    pooled: Tensor
    nuggets: Tensor
    scale: Tensor
    latitude: Tensor
    longitude: Tensor
    wraps: bool
    rings: tuple[int, ...]
    days: float

    def __deepcopy__(self, _: object) -> Statistics:
        """They do not change: copies of a model (of its average weights) share them."""
        return self

    @cached_property
    def linear(self) -> Linear:
        """The base; it remembers what it solved."""
        return Linear(self.covariance, self.pooled, self.nuggets, self.scale)

    @cached_property
    def grid(self) -> Grid:
        """Of the training part."""
        return grid_of(self.latitude.numpy(), self.longitude.numpy(), self.wraps)

    @cached_property
    def zone(self) -> Tensor:
        """``row, column``, see ``covariance``."""
        return self.grid.zones(self.covariance[0].numel())

    def near(self, place: Place, inner: Place) -> Tensor:
        """Which points of a place are the neighbours of an inner one's, ``row, column,
        neighbour``, -1 where they are not in it."""
        width = self.grid.shape[1]
        flat, own = (rows[:, None] * width + columns for rows, columns in (place, inner))
        where = np.full(self.grid.shape[0] * width, -1, dtype=np.int32)
        where[flat] = np.arange(flat.size).reshape(flat.shape)
        return torch.from_numpy(where[self.grid.neighbours(own, self.rings)])

    def anomalies(self, values: Fields, times: Times, place: Place) -> ByField:
        """Normalised anomalies ``level, time, latitude, longitude`` of values there and then."""
        return {
            n: (torch.from_numpy(values[n]) - self.mean(n, times, place)) / self.sd(n, place)
            for n in self.fields
        }

    def value(self, name: str, anomaly: Tensor, times: Times, place: Place) -> Tensor:
        """The inverse of ``anomalies``; leading dimensions (members) are kept."""
        return anomaly * self.sd(name, place) + self.mean(name, times, place)

    def mean(self, name: str, times: Times, place: Place) -> Tensor:
        """Climate ``level, time, latitude, longitude`` there and then, in the field's unit."""
        usual = self.fields[name]
        waves = climate.harmonics(times, *usual.cycles).float()
        return torch.einsum("tk,klyx->ltyx", waves, _part(usual.climate, place))

    def sd(self, name: str, place: Place) -> Tensor:
        """Size of anomalies ``level, 1, latitude, longitude``, in the field's unit."""
        return _part(self.fields[name].sd, place)[:, None]

    def pattern(self, name: str, place: Place) -> Tensor:
        """The same over that of the whole map."""
        whole = (self.fields[name].sd ** 2).mean((1, 2)).sqrt()
        return self.sd(name, place) / whole.view(-1, 1, 1, 1)

    def place(self, region: Region) -> Place:
        """Where a region lies on the statistics' grid.

        Raises:
            SifnetError: the region is not part of the grid.
        """
        place = self.grid.place(region.grid)
        if place is None:
            raise SifnetError(
                "the region is not the one the model was trained on",
                found=str(region.grid),
                expected=f"points of the grid {self.grid}",
                remedy="Cut the fields to that area, or train a model on this one.",
                file=region.files,
            )
        return place

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> Statistics:
        """The inverse of ``dataclasses.asdict``."""
        fields = {}
        for name, parts in content["fields"].items():
            detail = None if parts["detail"] is None else Detail(**parts["detail"])
            fields[name] = Usual(**parts | {"detail": detail})
        return cls(**content | {"fields": fields})


def fit(region: Region, setup: Setup) -> Statistics:
    """Statistics of a region, the training part; missing values are left out.

    Climate and detail one level of one field at a time, then the covariance between all: memory is
    that of the result and of one more level.
    """
    fields = {spec.name: _field(region, setup, spec) for spec in setup.fields}
    north, east = (torch.tensor(axis) for axis in (region.latitude, region.longitude))
    joint = _joint(region, setup, fields)
    return Statistics(fields, *joint, north, east, region.wraps, setup.rings, _days(region))


def _days(region: Region) -> float:
    return float((region.times[-1] - region.times[0]) / np.timedelta64(1, "D"))


def _field(region: Region, setup: Setup, spec: FieldSpec) -> Usual:
    levels = [_level(part, spec) for part in _levels(region, spec)]
    details = [usual.detail for usual in levels if usual.detail is not None]
    joined = {part: torch.cat([getattr(detail, part) for detail in details])
              for part in Detail.__dataclass_fields__ if details}  # fmt: skip
    mean, sd = torch.cat([u.climate for u in levels], 1), torch.cat([u.sd for u in levels])
    return Usual(mean, levels[0].cycles, sd, Detail(**joined) if joined else None, levels[0].unit)


def _levels(region: Region, spec: FieldSpec) -> list[Region]:
    """The region of each level of a field alone."""
    data = region.data[[spec.name]]
    some = [data.isel(level=[i]) for i in range(len(spec.levels))] or [data]
    return [replace(region, data=part) for part in some]


def _level(region: Region, spec: FieldSpec) -> Usual:
    daily = spec.normaliser == "hour"
    cycles = climate.cycles(_days(region), region.hours, daily=daily)
    fitted, edges = climate.Fit(), _edges(region, 1)
    chunks = [chunk for stretch in _stretches(region, edges) for chunk in _chunks(region, *stretch)]
    for first, own in chunks:
        fitted.add(_values(region, first, own), _waves(region, cycles, first, own))
    mean, sd = fitted.solved()
    least = LEAST_PATTERN * (sd**2).mean((1, 2), keepdim=True).sqrt()
    sd = torch.maximum(sd, least).clamp(min=1e-12)
    usual = Usual(mean, cycles, sd, None, region.units[spec.name])
    if not isinstance(region.grid, Regular) or min(region.grid.shape) < FACTOR:
        return usual
    sums = Sums(1, *sd.shape[1:])
    for first, own in chunks:
        off = _off(region, usual, 0, first, own).nan_to_num()
        sums.add(off, region.wraps, held=first >= edges[-1])
    return replace(usual, detail=sums.solved())


def _joint(
    region: Region, setup: Setup, fields: dict[str, Usual]
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Covariance of all levels of all fields, and how much of it counts, see ``covariance``."""
    hours, edges = setup.neighbourhood[0], _edges(region, setup.neighbourhood[0])
    channels = [(part, fields[spec.name], i) for spec in setup.fields
                for i, part in enumerate(_levels(region, spec))]  # fmt: skip
    values = len(channels) * len(stencil(setup.rings))
    grid = region.grid
    zone = grid.zones(hours * values**2)
    counts = torch.stack([(usual.sd[i] ** 2 * grid.area).nan_to_num() for _, usual, i in channels])
    products = Products(zone, counts, partial(grid.neighbours, rings=setup.rings), hours)
    skipped = -(-region.times.size // MOST_HOURS)
    longest = region.times.size if skipped == 1 else max(MOST_HOURS // 8, 10 * hours)
    parts = [(n, min(n + longest, stop)) for begin, stop in _stretches(region, edges)
             for n in range(begin, stop, longest)]  # fmt: skip
    for begin, stop in parts[::skipped]:
        weight = taper(stop - begin, hours)
        for first, own in _chunks(region, begin, stop) if stop - begin >= hours else ():
            length = min(own + hours - 1, stop - first)
            maps = (_off(p, usual, i, first, length)[0] / usual.sd[i] for p, usual, i in channels)
            told = weight[first - begin : first - begin + own + hours - 1]
            products.add(maps, told, int(np.searchsorted(edges, begin, "right")) - 1)
    return products.solved(setup.lead, setup.longest)


def _edges(region: Region, hours: int) -> list[int]:
    """The first time of each part of the days, see ``covariance``. All but the last, which is held
    back, are one where they would be shorter than four windows."""
    each = region.times.size / PARTS
    return [int(n * each) if each >= 4 * hours or n == PARTS - 1 else 0 for n in range(PARTS)]


def _off(region: Region, usual: Usual, level: int, first: int, length: int) -> Tensor:
    """Values less their climate ``1, time, row, column``, of a level."""
    waves = _waves(region, usual.cycles, first, length)
    mean = torch.einsum("tk,kyx->tyx", waves.float(), usual.climate[:, level])
    return _values(region, first, length) - mean


def _waves(region: Region, cycles: tuple[int, int], first: int, length: int) -> Tensor:
    return climate.harmonics(region.times[first : first + length], *cycles)


def _values(region: Region, first: int, length: int) -> Tensor:
    (values,) = region.window(slice(first, first + length)).values()
    return torch.from_numpy(values)


def _stretches(region: Region, edges: list[int]) -> Iterator[tuple[int, int]]:
    """First and last time of parts of a series without a hole, of one part of the days each."""
    apart = np.flatnonzero(np.diff(counted(region.times, region.hours)) != 1) + 1
    return pairwise(sorted({0, *apart.tolist(), *edges, region.times.size}))


def _chunks(region: Region, begin: int, stop: int) -> Iterator[tuple[int, int]]:
    """(first time, how many) of parts of a stretch that are read at once."""
    points = math.prod(region.grid.shape)
    hours = min(max(AT_ONCE // points, 1), 240)
    return ((first, min(hours, stop - first)) for first in range(begin, stop, hours))


def _part(values: Tensor, place: Place) -> Tensor:
    """Rows and columns of a map, a view where they go on."""
    rows, columns = map(run, place)
    return values[..., rows, :][..., columns]
