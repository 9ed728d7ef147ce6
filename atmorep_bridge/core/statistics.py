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
from numpy.typing import NDArray
from torch import Tensor

from atmorep_bridge.core import climate
from atmorep_bridge.core.base import Linear, stencil
from atmorep_bridge.core.cells import Grid, grid_of
from atmorep_bridge.core.covariance import HELD, Products
from atmorep_bridge.core.detail import FACTOR, Detail, Sums
from atmorep_bridge.core.grids import Place, Regular
from atmorep_bridge.core.specs import FieldSpec, Setup
from atmorep_bridge.core.tokens import ByField
from atmorep_bridge.core.windows import Fields, Region, Times, counted
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
        covariance: ``level, zone, hour x neighbour, hour x neighbour`` of anomalies in a window,
            see ``covariance``.
        nuggets: ``level, 2, 2``, see ``base``.
        detail: see ``detail``; none of a map without a block. unit: of the field.
    """

    climate: Tensor
    cycles: tuple[int, int]
    sd: Tensor
    covariance: Tensor
    nuggets: Tensor
    detail: Detail | None
    unit: str


@dataclass(frozen=True)
class Statistics:
    """Statistics of all fields on the grid of the training part.

    Attributes:
        latitude, longitude: degrees, float64. wraps: all around the globe. See ``grids``.
        rings: distances of neighbours, see ``Setup``. days: length of the training part.
    """

    fields: dict[str, Usual]
    latitude: Tensor
    longitude: Tensor
    wraps: bool
    rings: tuple[int, ...]
    days: float

    def __deepcopy__(self, _: object) -> Statistics:
        """They do not change: copies of a model (of its average weights) share them."""
        return self

    @cached_property
    def linear(self) -> dict[str, Linear]:
        """The base of each field; it remembers what it solved."""
        return {n: Linear(u.covariance, u.nuggets) for n, u in self.fields.items()}

    @cached_property
    def grid(self) -> Grid:
        """Of the training part."""
        return grid_of(self.latitude.numpy(), self.longitude.numpy(), self.wraps)

    @cached_property
    def zone(self) -> Tensor:
        """``row, column``, see ``covariance``."""
        usual = next(iter(self.fields.values()))
        return self.grid.zones(usual.covariance.shape[-1])

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

    One level of one field at a time: memory is that of the result and of one more level.
    """
    fields = {spec.name: _field(region, setup, spec) for spec in setup.fields}
    north, east = (torch.tensor(axis) for axis in (region.latitude, region.longitude))
    return Statistics(fields, north, east, region.wraps, setup.rings, _days(region))


def _days(region: Region) -> float:
    return float((region.times[-1] - region.times[0]) / np.timedelta64(1, "D"))


def _field(region: Region, setup: Setup, spec: FieldSpec) -> Usual:
    levels = [_level(region, setup, spec, i) for i in range(max(len(spec.levels), 1))]
    details = [usual.detail for usual in levels if usual.detail is not None]
    parts = {part: torch.cat([getattr(usual, part) for usual in levels])
             for part in ("sd", "covariance", "nuggets")}  # fmt: skip
    joined = {part: torch.cat([getattr(detail, part) for detail in details])
              for part in Detail.__dataclass_fields__ if details}  # fmt: skip
    mean = torch.cat([usual.climate for usual in levels], 1)
    detail = Detail(**joined) if joined else None
    return Usual(mean, levels[0].cycles, **parts, detail=detail, unit=levels[0].unit)


def _level(region: Region, setup: Setup, spec: FieldSpec, level: int) -> Usual:
    data = region.data[[spec.name]]
    part = replace(region, data=data.isel(level=[level]) if spec.levels else data)
    daily = spec.normaliser == "hour"
    cycles = climate.cycles(_days(region), region.hours, daily=daily)
    fitted = climate.Fit()
    for first, own, values in _chunks(part, 0, 0):
        fitted.add(values, climate.harmonics(region.times[first : first + own], *cycles))
    mean, sd = fitted.solved()
    least = LEAST_PATTERN * (sd**2).mean((1, 2), keepdim=True).sqrt()
    sd = torch.maximum(sd, least).clamp(min=1e-12)
    return _second(part, setup, Usual(mean, cycles, sd, sd, sd, None, part.units[spec.name]))


def _second(region: Region, setup: Setup, usual: Usual) -> Usual:
    """With the covariance and the regression of detail of one level, from its anomalies."""
    hours, grid = setup.neighbourhood[0], region.grid
    zone = grid.zones(hours * len(stencil(setup.rings)))
    counts = (usual.sd[0] ** 2 * grid.area).nan_to_num()
    products = Products(zone, counts, partial(grid.neighbours, rings=setup.rings), hours)
    blocks = isinstance(grid, Regular) and min(grid.shape) >= FACTOR
    sums = Sums(1, *grid.shape) if blocks else None
    held = int((1 - HELD) * region.times.size)
    skipped = -(-region.times.size // MOST_HOURS)
    for turn, (first, own, values) in enumerate(_chunks(region, hours - 1, held)):
        times = region.times[first : first + values.shape[1]]
        waves = climate.harmonics(times, *usual.cycles).float()
        off = values - torch.einsum("tk,klyx->ltyx", waves, usual.climate)
        if sums is not None:
            sums.add(off[:, :own].nan_to_num(), region.wraps, held=first >= held)
        if turn % skipped == 0 and off.shape[1] >= hours:
            products.add((off / usual.sd[:, None])[0], held=first >= held)
    covariance, nuggets = products.solved(setup.lead, setup.longest)
    return replace(usual, covariance=covariance[None], nuggets=nuggets[None],
                   detail=None if sums is None else sums.solved())  # fmt: skip


def _chunks(region: Region, more: int, split: int) -> Iterator[tuple[int, int, Tensor]]:
    """(first time, how many, values of these and of ``more`` that follow) of a single level.

    No chunk goes on beyond time number ``split`` or a hole in the series.
    """
    hours = min(max(AT_ONCE // math.prod(region.grid.shape), 1), 240)
    apart = np.diff(counted(region.times, region.hours)) != 1
    holes = [0, *(np.flatnonzero(apart) + 1).tolist(), region.times.size]
    for begin, stop in pairwise(holes):
        firsts = sorted({*range(begin, stop, hours), split if begin < split < stop else begin})
        for first, end in pairwise((*firsts, stop)):
            length = min(end + more, stop) - first
            (values,) = region.window(slice(first, first + length)).values()
            yield first, end - first, torch.from_numpy(values)


def _part(values: Tensor, place: Place) -> Tensor:
    """Rows and columns of a map, a view where they go on."""
    rows, columns = map(_run, place)
    return values[..., rows, :][..., columns]


def _run(index: NDArray[np.int64]) -> slice | Tensor:
    if (np.diff(index) == 1).all():
        return slice(int(index[0]), int(index[-1]) + 1)
    return torch.from_numpy(index)
