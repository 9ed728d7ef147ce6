"""Covariance of a field in space and time, added up chunk by chunk, zone by zone of a map.

A zone has few days and a climate of its own, all zones together have many and none: the covariance
that is used is between the two. How much of each, and how much is noise, is chosen on the last
fifth of the days, of which errors follow from their own covariance.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from atmorep_bridge.core.base import ridge

BYTES = 2**26  # of the covariances of a level
POINTS = 64  # of a zone that are asked at most
POOLED = (1.0, 0.9, 0.6, 0.2, 0.02)
NUGGETS = ((1e-4, 1e-4), (1e-3, 1e-3), (1e-2, 1e-2), (1e-3, 0.03), (1e-3, 0.3), (1e-3, 1e3))
JUDGED = 8  # zones that choose
HELD = 0.2  # share of the days that choose
Neighbours = Callable[[NDArray[np.int64]], NDArray[np.int64]]


def most_zones(values: int) -> int:
    """How many covariances BYTES allow.

    Args:
        values: of a window that a covariance is between, hours x neighbours.
    """
    return max(BYTES // (4 * values**2), 1)


def zones(rows: int, columns: int, values: int) -> Tensor:
    """Squares of a map, ``row, column``: as small as memory allows, see ``most_zones``."""
    most, side = most_zones(values), 1
    while -(-rows // side) * -(-columns // side) > most:
        side += 1
    north, east = torch.arange(rows) // side, torch.arange(columns) // side
    return north[:, None] * -(-columns // side) + east


class Products:
    """Sums of products of all values of a window, of a point and its neighbours, of one level.

    Args:
        zone: ``row, column``. counts: what errors count there, variance and area.
        neighbours: of points counted row by row, ``..., neighbour``, the point itself first.
        hours: of a window.
    """

    def __init__(
        self, zone: Tensor, counts: Tensor, neighbours: Neighbours, hours: int
    ) -> None:  # fmt: skip
        self.hours, self.number = hours, int(zone.max()) + 1
        self.weight = torch.zeros(self.number).index_add(0, zone.flatten(), counts.flatten())
        self.index, self.real = _asked(zone, neighbours)
        size = self.number, *[hours * self.index.shape[-1]] * 2
        self.sums, self.counts = torch.zeros(2, *size), torch.zeros(2, *size)

    def add(self, anomaly: Tensor, *, held: bool) -> None:
        """Of all windows of a series ``time, row, column`` without a gap.

        Args:
            anomaly: NaN where there is nothing.
        """
        around = anomaly.flatten(-2)[:, self.index].transpose(0, 1)  # zone, time, point, neighbour
        there = torch.isfinite(around) & self.real[:, None, :, None]
        self.sums[int(held)] += grams(torch.where(there, around, 0.0), self.hours)
        if torch.isfinite(around).all():  # as most fields are
            windows = around.shape[1] - self.hours + 1
            self.counts[int(held)] += windows * self.real.sum(1)[:, None, None]
        else:
            self.counts[int(held)] += grams(there.float(), self.hours)

    def solved(self, lead: int, gap: int) -> tuple[Tensor, Tensor]:
        """The covariance that is used, ``zone, hour x neighbour, hour x neighbour``, and nuggets.

        Args:
            lead: hours at the end of a window that are hidden where the choice is made for
                forecasts. gap: hours in its middle, for gaps.

        Returns:
            Nuggets ``2, 2``: of a forecast and of a gap, for the point itself and its neighbours.
        """
        middle = (self.hours - gap) // 2
        masks = (self.hours - lead, self.hours), (middle, middle + gap)
        pooled, nuggets = POOLED[0], [NUGGETS[1]] * 2
        if (self.counts[:, :, 0, 0] > 0).any(1).all():  # else there are too few days to choose on
            parts = [self._parts(part) for part in (0, 1)]
            ahead = {p: self._explained(parts, p, NUGGETS[1], *masks[0]) for p in POOLED}
            pooled = max(ahead, key=lambda p: ahead[p])
            for i, mask in enumerate(masks):
                each = {pair: self._explained(parts, pooled, pair, *mask) for pair in NUGGETS}
                nuggets[i] = max(each, key=lambda pair: each[pair])
        own, whole = _means(self.sums.sum(0), self.counts.sum(0))
        return torch.lerp(own, whole, pooled), torch.tensor(nuggets)

    def _parts(self, part: int) -> tuple[Tensor, Tensor, Tensor]:
        """Weights of the zones that choose, their covariances, and that of all zones, of a part."""
        asked = torch.linspace(0, self.number - 1, min(self.number, JUDGED)).long()
        counts = self.counts[part]
        own, whole = _means(self.sums[part], counts, asked)
        weight = self.weight[asked] * (counts[asked, 0, 0] > 0)
        return weight, own.double(), whole.double()

    def _explained(
        self, parts: list[tuple[Tensor, Tensor, Tensor]], pooled: float,
        nuggets: tuple[float, float], first: int, last: int,
    ) -> float:  # fmt: skip
        """Variance that an estimate explains of hours hidden on the days held back; not relative to
        that of a zone, as scores are not."""
        (_, own, whole), (weight, held, _) = parts
        place = torch.arange(whole.shape[-1])
        hour, neighbour = place // self.index.shape[-1], place % self.index.shape[-1]
        seen = ((hour < first) | (hour >= last)).nonzero()[:, 0]
        hidden = place[(neighbour == 0) & (hour >= first) & (hour < last)]
        noise = torch.tensor(nuggets, dtype=torch.double)[(neighbour[seen] > 0).long()]
        mixed = torch.lerp(own[:, seen], whole[seen], pooled)
        w = ridge(mixed[:, :, seen], mixed[:, :, hidden], noise)
        truth = held[:, seen]
        each = (w * (2 * truth[:, :, hidden] - truth[:, :, seen] @ w)).sum((1, 2))
        return float((each * weight).sum())


def _means(sums: Tensor, counts: Tensor, asked: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Covariances of zones and of all together; zones that lack a neighbour have that of all."""
    whole = sums.sum(0) / counts.sum(0).clamp(min=1)
    if _uneven(counts.sum(0)):
        whole = _definite(whole)
    own = torch.empty_like(sums if asked is None else sums[asked])
    for i, zone in enumerate(range(len(sums)) if asked is None else asked.tolist()):
        there = counts[zone] > 0
        own[i] = torch.where(there, sums[zone] / counts[zone].clamp(min=1), whole)
        if _uneven(counts[zone]):
            own[i] = _definite(own[i])
    return own, whole


def _uneven(counts: Tensor) -> bool:
    return bool(counts.min() < counts.max())


def _definite(covariance: Tensor) -> Tensor:
    """The nearest covariance (Higham 1988): where values are missing, means of products of
    different hours are none, and weights from one would be of any size."""
    values, vectors = torch.linalg.eigh(covariance.double())
    return ((vectors * values.clamp(min=0)) @ vectors.mT).to(covariance.dtype)


def grams(values: Tensor, hours: int) -> Tensor:
    """Sum over all windows of a series of products of all their values.

    A window's products an hour later are its own less the first and with the next, so that each
    lag is summed once and not at every hour of the window.

    Args:
        values: ``zone, time, point, neighbour``.

    Returns:
        ``zone, hour x neighbour, hour x neighbour``.
    """
    zone, time, _, n = values.shape
    windows = time - hours + 1
    blocks = torch.empty(zone, hours, n, hours, n)
    now = values[:, :windows].flatten(1, 2)
    for lag in range(hours):
        blocks[:, 0, :, lag] = torch.bmm(now.mT, values[:, lag : lag + windows].flatten(1, 2))
    for hour in range(1, hours):
        more = blocks[:, hour - 1, :, hour - 1 : -1].clone()
        for first, sign in ((0, -1), (windows, 1)):
            old = values[:, first + hour - 1]
            then = values[:, first + hour - 1 : first + hours - 1].transpose(1, 2).flatten(2)
            more += sign * torch.bmm(old.mT, then).view(more.shape)
        blocks[:, hour, :, hour:] = more
        blocks[:, hour, :, :hour] = blocks[:, :hour, :, hour].permute(0, 3, 1, 2)
    return blocks.view(zone, hours * n, hours * n)


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
