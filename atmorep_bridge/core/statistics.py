"""What is usual: climate, spread, covariance and detail of each field, of the training part.

An anomaly is the value less the climate of its grid point, day of the year and hour (see
:mod:`climate`), over the standard deviation of that grid point.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from atmorep_bridge.core import climate
from atmorep_bridge.core.base import Linear, stencil
from atmorep_bridge.core.covariance import HELD, Products, zones
from atmorep_bridge.core.detail import FACTOR, Detail, Sums
from atmorep_bridge.core.specs import FieldSpec, Setup
from atmorep_bridge.core.tokens import ByField
from atmorep_bridge.core.windows import Fields, Region, Times, counted
from sifnet.errors import SifnetError

AT_ONCE = 2**24  # values of a level read at once
MOST_HOURS = 4000  # of which a covariance is made
LEAST_PATTERN = 0.1
SAME_PLACE = 0.01  # of a grid step
Place = tuple[slice, NDArray[np.int64]]
"""Rows and columns of the statistics' grid."""


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
        latitude, longitude: degrees, float64. wraps: all around the globe.
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
        return {n: Linear(u.covariance, self.rings, u.nuggets) for n, u in self.fields.items()}

    @cached_property
    def zone(self) -> Tensor:
        """``latitude, longitude``, see ``covariance``."""
        usual = next(iter(self.fields.values()))
        size = self.latitude.numel(), self.longitude.numel()
        return zones(*size, usual.covariance.shape[-1])

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
        (down, across), (north, east) = region.step, (self.latitude.numpy(), self.longitude.numpy())
        row = (region.latitude - north[0]) / down
        # Longitude counts from the grid's western edge, which rounding must not put at 360.
        column = ((region.longitude - east[0] + SAME_PLACE * across) % 360) / across - SAME_PLACE
        rows, columns = row.round().astype(np.int64), column.round().astype(np.int64)
        off = max(np.abs(row - rows).max(), np.abs(column - columns).max())
        inside = (rows.min() >= 0) and (rows.max() < north.size) and (columns.max() < east.size)
        if off > SAME_PLACE or not inside:
            raise SifnetError(
                "the region is not the one the model was trained on",
                found=_corners(region.latitude, region.longitude),
                expected=f"points of the grid {_corners(north, east)}",
                remedy="Cut the fields to that area, or train a model on this one.",
                file=region.files,
            )
        return slice(int(rows[0]), int(rows[-1]) + 1), columns

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
    hours, size = setup.neighbourhood[0], (region.latitude.size, region.longitude.size)
    zone = zones(*size, hours * len(stencil(setup.rings)))
    area = torch.cos(torch.deg2rad(torch.tensor(region.latitude))).clamp(min=0).float()
    products = Products(zone, usual.sd[0] ** 2 * area[:, None], setup.rings, hours)
    sums = Sums(1, *size) if min(size) >= FACTOR else None
    held = int((1 - HELD) * region.times.size)
    skipped = -(-region.times.size // MOST_HOURS)
    for turn, (first, own, values) in enumerate(_chunks(region, hours - 1, held)):
        times = region.times[first : first + values.shape[1]]
        waves = climate.harmonics(times, *usual.cycles).float()
        off = values - torch.einsum("tk,klyx->ltyx", waves, usual.climate)
        if sums is not None:
            sums.add(off[:, :own].nan_to_num(), region.wraps, held=first >= held)
        if turn % skipped == 0 and off.shape[1] >= hours:
            wide = beyond(off / usual.sd[:, None], max(setup.rings), region.wraps)
            products.add(wide[0], held=first >= held)
    covariance, nuggets = products.solved(setup.lead, setup.longest)
    return replace(usual, covariance=covariance[None], nuggets=nuggets[None],
                   detail=None if sums is None else sums.solved())  # fmt: skip


def beyond(values: Tensor, by: int, wraps: bool) -> Tensor:
    """Maps ``by`` points wider on every side: those of the edge, or of the globe's other side."""
    height, width = values.shape[-2:]
    rows, columns = torch.arange(-by, height + by), torch.arange(-by, width + by)
    columns = columns % width if wraps else columns.clamp(0, width - 1)
    return values[..., rows.clamp(0, height - 1), :][..., columns]


def _chunks(region: Region, more: int, split: int) -> Iterator[tuple[int, int, Tensor]]:
    """(first time, how many, values of these and of ``more`` that follow) of a single level.

    No chunk goes on beyond time number ``split`` or a hole in the series.
    """
    size = region.latitude.size, region.longitude.size
    hours = min(max(AT_ONCE // (size[0] * size[1]), 1), 240)
    apart = np.diff(counted(region.times, region.hours)) != 1
    holes = [0, *(np.flatnonzero(apart) + 1).tolist(), region.times.size]
    for begin, stop in pairwise(holes):
        firsts = sorted({*range(begin, stop, hours), split if begin < split < stop else begin})
        for first, end in pairwise((*firsts, stop)):
            length = min(end + more, stop) - first
            (values,) = region.window((first, 0, 0), (length, *size)).values()
            yield first, end - first, torch.from_numpy(values)


def _part(values: Tensor, place: Place) -> Tensor:
    """Rows and columns of a map, a view where the columns go on."""
    rows, columns = place
    if columns[-1] - columns[0] == columns.size - 1:
        return values[..., rows, int(columns[0]) : int(columns[-1]) + 1]
    return values[..., rows, :][..., torch.from_numpy(columns)]


def _corners(latitude: NDArray[np.float64], longitude: NDArray[np.float64]) -> str:
    step = latitude[1] - latitude[0] if latitude.size > 1 else float("nan")
    return (f"{latitude[0]:g} to {latitude[-1]:g} N, {longitude[0]:g} to {longitude[-1]:g} E, "
            f"step {step:g}")  # fmt: skip
