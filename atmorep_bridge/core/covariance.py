"""Covariance of all fields in space and time, added up chunk by chunk, zone by zone of a map.

A zone has few days and a climate of its own, all zones together have many and none: the covariance
that is used is between the two. How much of each, and how much is noise, is chosen on the last
fifth of the days, of which errors follow from their own covariance. How large errors are beside
what a covariance lets expect is read from every fifth that follows others that are learnt from:
prequential, as forecasts are made (Dawid 1984, doi:10.2307/2981683).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from atmorep_bridge.core.base import OFF, Values, between, definite, ridge

BYTES = 2**26  # of the covariances
POINTS = 64  # of a zone that are asked at most
POOLED = (1.0, 0.9, 0.6, 0.2, 0.02)
NUGGETS = ((1e-4, 1e-4), (1e-3, 1e-3), (1e-2, 1e-2), (1e-3, 0.03), (1e-3, 0.3), (1e-3, 1e3))
OTHERS = (OFF, 3.0, 1.0, 0.3, 0.1, 0.03, 0.01)  # of other channels
JUDGED = 8  # zones that choose
PARTS = 5  # of the days; the last one chooses
LEARNT = 2  # of them at least, before errors are counted
HELD = 1 / PARTS
Neighbours = Callable[[NDArray[np.int64]], NDArray[np.int64]]
Choice = tuple[float, ...]
"""Share of all zones, nuggets of a point itself, of neighbours and of other channels."""
Split = tuple[Tensor, Tensor, Tensor, Tensor]
"""Covariances that are learnt: of zones, and of all together; those of later days; and which of the
zones have both."""


def most_zones(products: int) -> int:
    """How many covariances BYTES allow.

    Args:
        products: numbers of the covariance of a zone.
    """
    return max(BYTES // (4 * products), 1)


def zones(rows: int, columns: int, products: int) -> Tensor:
    """Squares of a map, ``row, column``: as small as BYTES allow, see ``most_zones``."""
    most, side = most_zones(products), 1
    while -(-rows // side) * -(-columns // side) > most:
        side += 1
    north, east = torch.arange(rows) // side, torch.arange(columns) // side
    return north[:, None] * -(-columns // side) + east


class Products:
    """Sums of products of all that is at a point and its neighbours, of all channels, lags apart.

    A channel is a field at a level.

    Args:
        zone: ``row, column``. counts: ``channel, row, column``, what errors count there, variance
            and area.
        neighbours: of points counted row by row, ``..., neighbour``, the point itself first.
        hours: of a window, as many lags.
    """

    def __init__(self, zone: Tensor, counts: Tensor, neighbours: Neighbours, hours: int) -> None:
        self.hours, self.number = hours, int(zone.max()) + 1
        weight = torch.zeros(len(counts), self.number)
        self.weight = weight.index_add(1, zone.flatten(), counts.flatten(1))
        self.index, self.real = _asked(zone, neighbours)
        size = self.number, hours, *[len(counts) * self.index.shape[-1]] * 2
        self.sums, self.counts = torch.zeros(2, PARTS, *size)
        self.along = torch.zeros(PARTS, hours, 1, 1)

    def add(self, maps: Iterable[Tensor], weight: Tensor, part: int) -> None:
        """Of part of a series without a gap.

        Args:
            maps: of each channel anomalies ``time, row, column``, NaN where there is nothing; one
                at a time is in memory.
            weight: that part of ``taper``, with as many hours beyond as there are lags.
            part: of the days, of PARTS.
        """
        each = [anomaly.flatten(-2)[:, self.index].transpose(0, 1) for anomaly in maps]
        around = torch.cat(each, -1)  # zone, time, point, channel x neighbour
        there = (torch.isfinite(around) & self.real[:, None, :, None]).float()
        there *= weight[: there.shape[1], None, None]
        missing = len(weight) - there.shape[1]
        along = grams(weight.view(1, -1, 1, 1), self.hours)[0]
        self.along[part] += along
        self.sums[part] += grams(_longer(there * around.nan_to_num(), missing), self.hours)
        if torch.isfinite(around).all():  # as most fields are
            self.counts[part] += along * self.real.sum(1)[:, None, None, None]
        else:
            self.counts[part] += grams(_longer(there, missing), self.hours)

    def solved(self, lead: int, gap: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The covariance of each zone and last of all together, and how it is used, see ``Linear``.

        Args:
            lead: hours at the end of a window that are hidden where the choice is made for
                forecasts. gap: hours in its middle, for gaps.
        """
        middle = (self.hours - gap) // 2
        masks = (self.hours - lead, self.hours), (middle, middle + gap)
        # Later lags have fewer products; means over as many each would be no covariance.
        self.counts *= (self.along[:, :1] / self.along.clamp(min=1e-9))[:, None]
        own, whole = _means(self.sums.sum(0), self.counts.sum(0))
        pooled = torch.full((len(self.weight),), POOLED[0])
        nuggets = torch.tensor((*NUGGETS[1], OTHERS[0])).repeat(len(self.weight), 2, 1)
        scale = torch.ones(len(self.weight), 2)
        asked = torch.linspace(0, self.number - 1, min(self.number, JUDGED)).long()
        splits = [self._split(n, asked) for n in range(LEARNT, PARTS)]
        if splits[-1][-1].any():  # else too few days to choose on
            for channel in range(len(self.weight)):
                chosen = self._chosen(splits, self.weight[channel, asked], channel, masks)
                pooled[channel], nuggets[channel], scale[channel] = chosen
        return torch.cat([own, whole[None]]), pooled, nuggets, scale

    def _split(self, learnt: int, asked: Tensor) -> Split:
        """Of the first parts of the days, and the next."""
        sums, counts = self.sums[:learnt].sum(0), self.counts[:learnt].sum(0)
        truth, _ = _means(self.sums[learnt], self.counts[learnt], asked)
        there = (counts[asked, 0, 0, 0] > 0) & (self.counts[learnt, asked, 0, 0, 0] > 0)
        return *_means(sums, counts, asked), truth, there

    def _chosen(
        self, splits: list[Split], weight: Tensor, channel: int, masks: tuple[tuple[int, int], ...]
    ) -> tuple[float, Tensor, Tensor]:
        """Share of all zones and nuggets: what misses least on the last days; and the size of what
        it misses on all later days over the expected one."""
        both = [
            Values(channel, len(self.weight), self.index.shape[-1], others=o) for o in (False, True)
        ]

        def missed(split: Split, tried: Choice, mask: tuple[int, int]) -> Tensor:
            return _missed(split, weight, both[tried[3] < OFF], tried, *mask)

        def best(tried: Iterable[Choice], mask: tuple[int, int]) -> Choice:
            return min(tried, key=lambda choice: float(missed(splits[-1], choice, mask)[0]))

        nuggets, scale = [], []
        found = best(((p, *NUGGETS[1], OTHERS[0]) for p in POOLED), masks[0])
        for mask in masks:
            own = best(((found[0], *pair, found[3]) for pair in NUGGETS), mask)
            own = best(((*own[:3], o) for o in OTHERS), mask)
            real, expected = torch.stack([missed(split, own, mask) for split in splits]).sum(0)
            nuggets.append(own[1:])
            scale.append((real / expected.clamp(min=1e-30)).clamp(min=0).sqrt())
        return found[0], torch.tensor(nuggets), torch.stack(scale)


def _missed(
    split: Split, weight: Tensor, values: Values, tried: Choice, first: int, last: int
) -> Tensor:
    """Variance that an estimate misses of hours hidden on later days, and what it expects to miss;
    not relative to that of a zone, as scores are not."""
    *learnt, truth, there = split
    seen = torch.ones(len(truth[0]), values.kind.numel(), dtype=torch.bool)
    seen[first:last] = False
    hour, value = values.close(seen[None])[0].nonzero().T
    hour, value = (torch.cat(v) for v in ((hour, torch.arange(first, last)),
                                          (value, torch.zeros(last - first).long())))  # fmt: skip
    own, whole, truth = (between(c, hour, values.column[value]) for c in (*learnt, truth))
    mixed = torch.stack([definite(c) for c in torch.lerp(own, whole, tried[0])])
    n = len(hour) - (last - first)
    noise = torch.tensor(tried[1:], dtype=torch.double)[values.kind[value[:n]]]
    w = ridge(mixed[:, :n, :n], mixed[:, :n, n:], noise)
    left = [c[:, n:, n:].diagonal(dim1=1, dim2=2).sum(1) for c in (truth, mixed)]
    real = left[0] - (w * (2 * truth[:, :n, n:] - truth[:, :n, :n] @ w)).sum((1, 2))
    expected = left[1] - (w * mixed[:, :n, n:]).sum((1, 2))
    return (torch.stack([real, expected]) * weight * there).sum(1)


def _means(sums: Tensor, counts: Tensor, asked: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Covariances of zones and of all together; zones that lack a neighbour have that of all."""
    whole = sums.sum(0) / counts.sum(0).clamp(min=1e-9)
    some = slice(None) if asked is None else asked
    return torch.where(counts[some] > 0, sums[some] / counts[some].clamp(min=1e-9), whole), whole


def taper(length: int, hours: int) -> Tensor:
    """What the hours of a series count, and none those beyond: it begins and ends by and by.

    Sums of products of such a series are a covariance, and it does not begin or end with a leap, as
    of spectra (Welch 1967, doi:10.1109/TAU.1967.1161901).
    """
    risen = max(min(hours // 3, length // 2), 1)
    rise = torch.sin(torch.pi * (torch.arange(length) + 0.5) / (2 * risen))
    rise[risen:] = 1
    return functional.pad(rise * rise.flip(0), (0, hours - 1))


def grams(values: Tensor, hours: int) -> Tensor:
    """Sums of products of all values with those of the same hour and of hours later.

    Args:
        values: ``zone, time, point, value``, those of hours later among them.

    Returns:
        ``zone, lag, value, value``.
    """
    own = values.shape[1] - hours + 1
    now = values[:, :own].flatten(1, 2).mT
    return torch.stack([now @ values[:, n : n + own].flatten(1, 2) for n in range(hours)], 1)


def _longer(values: Tensor, by: int) -> Tensor:
    """With so many hours of nothing that follow."""
    return functional.pad(values, (0, 0, 0, 0, 0, by))


def _asked(zone: Tensor, neighbours: Neighbours) -> tuple[Tensor, Tensor]:
    """Points of zones and their neighbours, ``zone, point, neighbour``; and which of the points
    there are, ``zone, point``: zones at an edge have fewer."""
    flat, members = zone.flatten(), []
    for i in range(int(zone.max()) + 1):
        own = (flat == i).nonzero()[:, 0]
        members.append(own[torch.linspace(0, len(own) - 1, min(len(own), POINTS)).long()])
    most = max(map(len, members))
    point = torch.stack([torch.nn.functional.pad(m, (0, most - len(m))) for m in members])
    real = torch.arange(most) < torch.tensor([len(m) for m in members])[:, None]
    return torch.from_numpy(neighbours(point.numpy())), real
