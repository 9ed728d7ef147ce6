"""What hidden values are filled with: the best linear estimate from what is visible around them.

One covariance in space and time is known (:mod:`covariance`): of all fields and levels (channels)
at a point and at its neighbours, lags apart. From it follows the estimate of any hidden hour from
any visible hours of these points, x = c (C + λI)⁻¹ y, one small solve for every pattern of what is
visible: ridge regression, without a regression for each task. λ of other channels is as large as
days held back ask for; where they tell nothing they are not asked. All in anomalies over the local
standard deviation.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

LEAST_ERROR = 0.05  # to be expected of a base, standard deviations of the field
NEAR = 9  # points that are asked of other channels, and where almost all patterns differ
CLOSE = 2  # hours from a hidden one in which other channels are asked
LEAST_NUGGET = 1e-4
OFF = 1e3  # λ of what is not asked
MANY = 64  # patterns; of hours hidden on the whole map no more come from three rings at an edge
JUDGES = 32  # visible values that say how unusual the hour is
KEPT = 4096  # solutions of a field in memory
AT_ONCE = 2**20  # points x values
Key = tuple[int, int, bytes]


def stencil(rings: tuple[int, ...]) -> NDArray[np.int64]:
    """Rows and columns from a point to itself and its neighbours, ``point, 2``: eight a ring."""
    eight = [(y, x) for y in (-1, 0, 1) for x in (-1, 0, 1) if y or x]
    return np.array([(0, 0), *((r * y, r * x) for r in rings for y, x in eight)])


class Values:
    """What a channel is estimated from: its neighbours, and if asked the nearest of others.

    Attributes:
        column: of the covariance, channel x neighbour; the point itself first.
        kind: 0 for the point itself, 1 for its neighbours, 2 for other channels.
        far: not asked where almost all patterns differ.
    """

    def __init__(self, channel: int, channels: int, neighbours: int, *, others: bool) -> None:
        own = torch.arange(neighbours)
        near = [own[:NEAR] + c * neighbours for c in range(channels) if others and c != channel]
        self.column = torch.cat([own + channel * neighbours, *near])
        self.kind = torch.ones_like(self.column)
        self.kind[0], self.kind[neighbours:] = 0, 2
        self.far = self.column % neighbours >= NEAR
        self.far[neighbours:] = self.column[neighbours:] % neighbours > 0

    def close(self, seen: Tensor) -> Tensor:
        """What is visible, ``point, hour, value``, other channels near hidden hours alone."""
        hidden = functional.max_pool1d((~seen[:, None, :, 0]).float(), 2 * CLOSE + 1, 1, CLOSE)
        return seen & ((self.kind < 2) | (hidden[:, 0, :, None] > 0))


def between(covariance: Tensor, hour: Tensor, column: Tensor) -> Tensor:
    """Covariance ``..., value, value`` of values of a window, from that of lags.

    Args:
        covariance: ``..., lag, column, column``, the first before the second.
    """
    lag, first, second = hour - hour[:, None], column[:, None], column
    early, late = torch.where(lag < 0, second, first), torch.where(lag < 0, first, second)
    return covariance[..., lag.abs(), early, late].double()


def definite(covariance: Tensor) -> Tensor:
    """The nearest covariance (Higham 1988): where values are missing, means of products of
    different hours are none, and weights from one would be of any size. Variances stay."""
    usual = covariance.diagonal().clamp(min=1e-30)
    least = LEAST_NUGGET * usual.mean() * torch.eye(len(covariance), dtype=covariance.dtype)
    if not torch.linalg.cholesky_ex(covariance + least).info:
        return covariance
    values, vectors = torch.linalg.eigh(covariance)
    found = (vectors * values.clamp(min=0)) @ vectors.mT
    scale = (usual / found.diagonal().clamp(min=1e-30)).sqrt()
    return found * scale[:, None] * scale


@dataclass(frozen=True)
class Solution:
    """How the hidden hours of a point follow from one pattern of visible values.

    Attributes:
        hours: (hidden) of the window. index: (visible) hour x value. error: (hidden).
        weights: ``hidden, visible``.
        judges, whitening: visible values, and the matrix that makes them independent.
        judged: sum of their squares then to be expected, less than their number under shrinkage.
    """

    hours: Tensor
    index: Tensor
    weights: Tensor
    error: Tensor
    judges: Tensor
    whitening: Tensor
    judged: float


class Linear:
    """The base of all channels.

    Args:
        covariance: ``zone, lag, channel x neighbour, channel x neighbour``, of the zones of a map
            and last of all together.
        pooled: (channel) share of the covariance of all together.
        nuggets: ``channel, 2, 3``, λ of forecasts and of gaps, of a point itself, of neighbours and
            of other channels.
        scale: ``channel, 2``, of errors of forecasts and of gaps over the expected ones.
    """

    def __init__(self, covariance: Tensor, pooled: Tensor, nuggets: Tensor, scale: Tensor) -> None:
        self.covariance, self.pooled, self.nuggets = covariance, pooled, nuggets
        self.scale = scale
        self.neighbours = covariance.shape[-1] // len(nuggets)
        self.values = [
            Values(c, len(nuggets), self.neighbours, others=bool((nugget[:, 2] < OFF).any()))
            for c, nugget in enumerate(nuggets)
        ]
        self.solutions: OrderedDict[Key, Solution] = OrderedDict()

    def fill(
        self, anomaly: Tensor, visible: Tensor, near: Tensor, zone: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Anomalies, those that are not visible replaced, and the error to be expected there.

        Args:
            anomaly, visible: ``batch, channel, time, point``.
            near: ``row, column, neighbour``, of what is asked for: which points are a point itself
                and its neighbours, -1 for what is not given.
            zone: ``row, column``, of what is asked for.

        Returns:
            ``batch, level, time, row, column`` of what is asked for. The error is that of the
            estimate, times how unusual the visible values are: the ratio of a Student-t process
            (Shah et al. 2014, arXiv:1402.4306, eq. 6).
        """
        pad = torch.nn.functional.pad  # a last point that is never visible
        given = pad(torch.where(visible, anomaly, 0.0), (0, 1))
        visible = pad(visible, (0, 1), value=False)
        own = near[..., 0].long()
        filled = given[..., own]
        error = torch.zeros_like(filled)
        for channel, values in enumerate(self.values):
            hidden = ~visible[:, channel][..., own]
            points = hidden.any(1).nonzero()
            for some in points.split(AT_ONCE // values.kind.numel()):
                b, y, x = some.T
                asked = some, near[y, x].long(), zone[y, x]
                found = self._points(channel, given, visible, *asked)
                at = hidden[b, :, y, x]
                for whole, told in zip((filled, error), found, strict=True):
                    part = whole[b, channel, :, y, x]
                    whole[b, channel, :, y, x] = torch.where(at, told, part)
        return filled, error

    def _points(
        self, channel: int, given: Tensor, visible: Tensor, points: Tensor, near: Tensor,
        zone: Tensor,
    ) -> tuple[Tensor, Tensor]:  # fmt: skip
        """Estimate and error of all hours, ``point, hour``, right where hours are hidden."""
        values, n = self.values[channel], self.neighbours
        where = points[:, :1], values.column // n, slice(None), near[:, values.column % n]
        seen = values.close(visible[where].transpose(1, 2))  # point, hour, value
        flat = given[where].transpose(1, 2).flatten(1)
        patterns, which = _unique(seen)
        keep = patterns.shape[0] <= MANY
        if not keep:
            seen[:, :, values.far] = False
            patterns, which = _unique(seen)
        pairs, inverse = torch.stack([zone, which], 1).unique(dim=0, return_inverse=True)
        solutions = self._solutions(channel, pairs, patterns, keep=keep)
        estimate, error = torch.zeros(2, len(points), given.shape[2])
        order, each = inverse.argsort(), inverse.bincount(minlength=len(solutions)).tolist()
        for s, own in zip(solutions, order.split(each), strict=True):
            at = own[:, None], s.hours
            estimate[at] = flat[own][:, s.index] @ s.weights.T
            error[at] = s.error * self._unusual(s, flat[own])[:, None]
        return estimate, error

    @staticmethod
    def _unusual(s: Solution, flat: Tensor) -> Tensor:
        white = flat[:, s.judges] @ s.whitening.T
        return unusual((white**2).sum(1), s.judged)

    def _solutions(
        self, channel: int, pairs: Tensor, patterns: Tensor, *, keep: bool
    ) -> list[Solution]:
        """Of pairs (zone, pattern), from memory where they were met before; by zone, ascending."""
        packed = np.packbits(patterns.flatten(1).numpy(), axis=1)
        keys = [(channel, int(z), packed[p].tobytes()) for z, p in pairs.tolist()]
        known = {key: self.solutions[key] for key in keys if key in self.solutions}
        missing = [i for i, key in enumerate(keys) if key not in known]
        for zone in sorted({keys[i][1] for i in missing}):
            asked = [i for i in missing if keys[i][1] == zone]
            solved = self._solve(channel, zone, patterns[pairs[asked, 1]])
            known |= {keys[i]: s for i, s in zip(asked, solved, strict=True)}
        if keep:
            self.solutions |= known
            while len(self.solutions) > KEPT:
                self.solutions.popitem(last=False)
        return [known[key] for key in keys]

    def _solve(self, channel: int, zone: int, patterns: Tensor) -> list[Solution]:
        """Of patterns ``pattern, hour, value`` in one zone, all at once."""
        hours, values = patterns.shape[1], self.values[channel]
        asked = patterns.any((0, 1))
        asked[0] = True
        patterns, kind, column = patterns[..., asked], values.kind[asked], values.column[asked]
        hour, value = torch.ones(patterns.shape[1:]).nonzero().T
        place = hour * len(asked) + asked.nonzero()[value, 0]
        own, usual = (between(self.covariance[z], hour, column[value]) for z in (zone, -1))
        whole = definite(torch.lerp(own, usual, float(self.pooled[channel])))
        visible = patterns.flatten(1)
        size = max(int(visible.sum(1).max()), 1)
        index = visible.to(torch.uint8).argsort(dim=1, descending=True, stable=True)[:, :size]
        there = visible.gather(1, index).to(whole.dtype)
        among = whole[index[:, :, None], index[:, None, :]] * there[:, :, None] * there[:, None]
        own = torch.arange(hours) * patterns.shape[2]  # the point itself, hour by hour
        toward = whole[own][:, index].transpose(0, 1) * there[:, None]  # pattern, hour, visible
        # A gap has visible hours after hidden ones; anything else is a forecast.
        gap = (~patterns[:, :-1, 0] & patterns[:, 1:, 0]).any(1).long()
        nuggets = self.nuggets[channel, gap].gather(1, kind[index % patterns.shape[2]])
        weights = ridge(among, toward.mT, nuggets, there).mT
        left = whole[0, 0] - (weights * toward).sum(-1)
        error = (left.clamp(min=0).sqrt() * self.scale[channel, gap, None]).clamp(min=LEAST_ERROR)
        found = []
        for i, pattern in enumerate(patterns):
            hidden = (~pattern[:, 0]).nonzero()[:, 0]
            told = toward[i, hidden].abs().amax(0) if hidden.numel() else toward[i].sum(0)
            most = told.topk(min(JUDGES, int(there[i].sum()))).indices
            judges, known = index[i, most], index[i, : int(there[i].sum())]
            among_judges = whole[judges][:, judges]
            white = whitening(among_judges, nuggets[i, most])
            found.append(
                Solution(hidden, place[known], weights[i, hidden, : known.numel()].float(),
                         error[i, hidden].float(), place[judges], white,
                         float((white @ among_judges.float() * white).sum()))
            )  # fmt: skip
        return found


def ridge(among: Tensor, toward: Tensor, nugget: Tensor, there: Tensor | None = None) -> Tensor:
    """(C + λ C̄ I)⁻¹ c, batched; λ grows where sampling made C indefinite.

    Args:
        among: ``..., n, n``. toward: ``..., n, m``. nugget: one, or ``..., n``.
        there: ``..., n``, 0 for what is not there.
    """
    diagonal = among.diagonal(dim1=-2, dim2=-1)
    there = torch.ones_like(diagonal) if there is None else there
    usual = diagonal.sum(-1, keepdim=True) / there.sum(-1, keepdim=True).clamp(min=1)
    least = torch.zeros_like(usual)
    while True:
        noise = torch.maximum(least, nugget.to(usual)) * usual * there + 1 - there + 1e-30
        factor, failed = torch.linalg.cholesky_ex(among + torch.diag_embed(noise))
        if not failed.any():
            return torch.cholesky_solve(toward, factor)
        least = torch.where(failed[..., None] > 0, (3 * least).clamp(min=1e-6), least)


def whitening(covariance: Tensor, nugget: Tensor) -> Tensor:
    """Makes values of a covariance independent, of unit variance."""
    eye = torch.eye(covariance.shape[-1], dtype=covariance.dtype).expand_as(covariance)
    return torch.linalg.cholesky_ex(ridge(covariance, eye, nugget))[0].mT.float()


def unusual(squares: Tensor, number: Tensor | float) -> Tensor:
    """Ratio of errors in a Student-t process of 4 degrees of freedom, of unit values' squares."""
    return ((2 + squares) / (2 + number)).sqrt()


def _unique(patterns: Tensor) -> tuple[Tensor, Tensor]:
    """Different patterns ``point, hour, value``, and which of them each point has."""
    packed = np.packbits(patterns.flatten(1).numpy(), axis=1)
    rows = packed.view([("", packed.dtype, packed.shape[1])])[:, 0]
    _, first, which = np.unique(rows, return_index=True, return_inverse=True)
    return patterns[torch.from_numpy(first)], torch.from_numpy(which)
