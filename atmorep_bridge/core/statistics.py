"""What is usual: mean, spread and memory of each field, fitted on the training part.

An anomaly is the value less the mean of its grid point, month and hour of the day, over the
standard deviation of its level.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from atmorep_bridge.core.base import coarsened, sharpened
from atmorep_bridge.core.specs import Setup
from atmorep_bridge.core.tokens import ByField
from atmorep_bridge.core.windows import HOUR, Fields, Region, Times
from sifnet.errors import SifnetError

CHUNK = 240  # times read at once
LEAST_PATTERN = 0.1
SAME_PLACE = 0.01  # of a grid step
Place = tuple[slice, NDArray[np.int64]]
"""Rows and columns of the statistics' grid."""


@dataclass(frozen=True)
class Usual:
    """Statistics of one field.

    Attributes:
        mean: ``month, hour, level, latitude, longitude``, in its unit; hour 24 or 1.
        sd: ``level``, of the anomaly. memory: ``level, lag``, autocorrelation of the anomaly.
        detail: ``level``, sd of what coarse resolution loses of a normalised anomaly.
        pattern: ``level, latitude, longitude``, local sd of the normalised anomaly, larger over
            land than over sea.
    """

    mean: Tensor
    sd: Tensor
    memory: Tensor
    detail: Tensor
    pattern: Tensor


@dataclass(frozen=True)
class Statistics:
    """Statistics of all fields on the grid of the training part.

    Attributes:
        latitude, longitude: degrees, float64. months: 1 to 12, those trained on.
        days: length of the training part.
    """

    fields: dict[str, Usual]
    latitude: Tensor
    longitude: Tensor
    months: Tensor
    days: Tensor

    def anomalies(self, values: Fields, times: Times, place: Place) -> ByField:
        """Normalised anomalies ``level, time, latitude, longitude`` of values there and then."""
        return {
            n: self.normalised(n, torch.from_numpy(values[n]) - self.mean(n, times, place))
            for n in self.fields
        }

    def normalised(self, name: str, difference: Tensor) -> Tensor:
        """``level, time, latitude, longitude`` from the field's unit to standard deviations."""
        return difference / self.fields[name].sd.view(-1, 1, 1, 1)

    def value(self, name: str, anomaly: Tensor, times: Times, place: Place) -> Tensor:
        """The inverse of ``anomalies``; leading dimensions (members) are kept."""
        return anomaly * self.fields[name].sd.view(-1, 1, 1, 1) + self.mean(name, times, place)

    def mean(self, name: str, times: Times, place: Place) -> Tensor:
        """Climatology ``level, time, latitude, longitude`` there and then, in the field's unit."""
        (rows, columns), mean = place, self.fields[name].mean
        month, hour = _month(times), _hour(times)
        apart = np.abs(self.months.numpy()[None] - month[:, None])
        which = np.minimum(apart, 12 - apart).argmin(1)  # the nearest month of the training
        at = torch.from_numpy(which), torch.from_numpy(hour % mean.shape[1])
        if columns[-1] - columns[0] == columns.size - 1:  # a view, which is quick
            east: slice | Tensor = slice(int(columns[0]), int(columns[-1]) + 1)
        else:
            east = torch.from_numpy(columns)
        return mean[:, :, :, rows][..., east][at].transpose(0, 1)

    def pattern(self, name: str, place: Place) -> Tensor:
        """Local over usual size of anomalies, ``level, 1, latitude, longitude``."""
        return self.fields[name].pattern[:, None, place[0]][..., torch.from_numpy(place[1])]

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
        fields = {name: Usual(**parts) for name, parts in content["fields"].items()}
        return cls(**content | {"fields": fields})


def fit(region: Region, setup: Setup) -> Statistics:
    """Statistics of a region, the training part; missing values are left out."""
    months = np.unique(_month(region.times))
    means = _means(region, setup, months)
    fields = {
        name: Usual(torch.from_numpy(m), unit := torch.ones(m.shape[2]), unit[:, None], unit, unit)
        for name, m in means.items()
    }
    span = (region.times[-1] - region.times[0]) / np.timedelta64(1, "D")
    place = tuple(torch.tensor(x) for x in (region.latitude, region.longitude, months, span))
    plain = Statistics(fields, *place)
    for name, (products, detail, local) in _products(region, setup, plain).items():
        sd = products[:, :1].clip(min=1e-24) ** 0.5
        memory = (products / sd**2).clip(0.0, 1.0)
        pattern = (np.sqrt(local) / sd[:, :, None]).clip(min=LEAST_PATTERN)
        parts = (sd[:, 0], memory, np.sqrt(detail) / sd[:, 0], pattern)
        fields[name] = Usual(fields[name].mean, *(torch.from_numpy(p).float() for p in parts))
    return Statistics(fields, *place)


def _means(region: Region, setup: Setup, months: NDArray[np.int64]) -> dict[str, NDArray]:
    """Mean of every month, hour of the day, level and point; hours never seen get the day's."""
    sums: dict[str, tuple[NDArray, NDArray]] = {}
    for first, values in _chunks(region, 0):
        for spec in setup.fields:
            part = values[spec.name].swapaxes(0, 1)
            times = region.times[first : first + part.shape[0]]
            hours = 24 if spec.normaliser == "hour" else 1
            when = np.searchsorted(months, _month(times)), _hour(times) % hours
            shape = (months.size, hours, *part.shape[1:])
            total, count = sums.setdefault(spec.name, (np.zeros(shape), np.zeros(shape)))
            np.add.at(total, when, np.nan_to_num(part))
            np.add.at(count, when, np.isfinite(part))
    means = {}
    for name, (total, count) in sums.items():
        day = total.sum(1, keepdims=True) / count.sum(1, keepdims=True).clip(min=1)
        mean = np.where(count > 0, total / count.clip(min=1), day)
        means[name] = mean.astype(np.float32)
    return means


def _products(
    region: Region, setup: Setup, plain: Statistics
) -> dict[str, tuple[NDArray, NDArray, NDArray]]:
    """Mean product of anomalies a lag apart, ``level, lag``; variance of detail, ``level``; and
    variance of each grid point, ``level, latitude, longitude``."""
    lags = setup.neighbourhood[0]
    place = slice(0, region.latitude.size), np.arange(region.longitude.size)
    sums = {s.name: np.zeros((max(len(s.levels), 1), lags)) for s in setup.fields}
    counts = {name: np.zeros_like(total) for name, total in sums.items()}
    details: dict[str, list[NDArray]] = {name: [] for name in sums}
    local: dict[str, list[NDArray]] = {name: [] for name in sums}
    for first, values in _chunks(region, lags):
        times = region.times[first : first + CHUNK + lags]
        for name, gappy in plain.anomalies(values, times, place).items():
            valid, anomaly = torch.isfinite(gappy).numpy(), gappy.nan_to_num().numpy()
            details[name].append(_detail(anomaly[:, :CHUNK]))
            local[name].append((anomaly[:, :CHUNK] ** 2).mean(1))
            for lag in range(min(lags, times.size)):
                end = min(CHUNK, times.size - lag)
                # Of a series with a hole, only hours that are as far apart as they stand.
                apart = times[lag : lag + end] - times[:end] == lag * region.hours * HOUR
                pair = valid[:, :end] & valid[:, lag : lag + end] & apart[:, None, None]
                product = anomaly[:, :end] * anomaly[:, lag : lag + end] * pair
                sums[name][:, lag] += product.sum((1, 2, 3))
                counts[name][:, lag] += pair.sum((1, 2, 3))
    return {
        name: (total / counts[name].clip(min=1), np.mean(details[name], 0), np.mean(local[name], 0))
        for name, total in sums.items()
    }


def _detail(anomaly: NDArray) -> NDArray:
    """Variance of what is lost when anomalies are made coarse and smooth again, ``level``."""
    fine = torch.from_numpy(anomaly)
    smooth = sharpened(coarsened(fine), (fine.shape[-2], fine.shape[-1]))
    return ((fine - smooth) ** 2).mean((1, 2, 3)).numpy().astype(float)


def _chunks(region: Region, more: int) -> Iterator[tuple[int, Fields]]:
    """(first time, fields) of all times, CHUNK at once and ``more`` that follow."""
    size = region.latitude.size, region.longitude.size
    for first in range(0, region.times.size, CHUNK):
        length = min(CHUNK + more, region.times.size - first)
        yield first, region.window((first, 0, 0), (length, *size))


def _month(times: Times) -> NDArray[np.int64]:
    return times.astype("datetime64[M]").astype(np.int64) % 12 + 1


def _hour(times: Times) -> NDArray[np.int64]:
    return times.astype("datetime64[h]").astype(np.int64) % 24


def _corners(latitude: NDArray[np.float64], longitude: NDArray[np.float64]) -> str:
    step = latitude[1] - latitude[0] if latitude.size > 1 else float("nan")
    return (f"{latitude[0]:g} to {latitude[-1]:g} N, {longitude[0]:g} to {longitude[-1]:g} E, "
            f"step {step:g}")  # fmt: skip
