"""What hidden values are filled with: the best linear estimate from what is visible around them.

Of each field one covariance in space and time is known (:mod:`covariance`): of all hours of a
window at a point and at its neighbours. From it follows the estimate of any hidden hour from any
visible hours of these points, x = c (C + λI)⁻¹ y, one small solve for every pattern of what is
visible: ridge regression, without a regression for each task. All in anomalies over the local
standard deviation.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

LEAST_ERROR = 0.05  # to be expected of a base, standard deviations of the field
NEAR = 9  # points that are asked where almost every point has a pattern of its own
MANY = 64  # patterns; of hours hidden on the whole map no more come from three rings at an edge
JUDGES = 32  # visible values that say how unusual the hour is
KEPT = 4096  # solutions of a field in memory
AT_ONCE = 2**15  # points
Key = tuple[int, int, bytes]


def stencil(rings: tuple[int, ...]) -> NDArray[np.int64]:
    """Rows and columns from a point to itself and its neighbours, ``point, 2``: eight a ring."""
    eight = [(y, x) for y in (-1, 0, 1) for x in (-1, 0, 1) if y or x]
    return np.array([(0, 0), *((r * y, r * x) for r in rings for y, x in eight)])


@dataclass(frozen=True)
class Solution:
    """How the hidden hours of a point follow from one pattern of visible values.

    Attributes:
        hours: (hidden) of the window. index: (visible) hour x neighbour. error: (hidden).
        weights: ``hidden, visible``.
        judges, whitening: visible values, and the matrix that makes them independent.
    """

    hours: Tensor
    index: Tensor
    weights: Tensor
    error: Tensor
    judges: Tensor
    whitening: Tensor


class Linear:
    """The base of one field.

    Args:
        covariance: ``level, zone, hour x neighbour, hour x neighbour``, in the zones of a map.
        nuggets: ``level, 2, 2``, λ of forecasts and of gaps, of a point itself and of neighbours.
    """

    def __init__(self, covariance: Tensor, nuggets: Tensor) -> None:
        self.covariance, self.nuggets = covariance, nuggets
        self.solutions: OrderedDict[Key, Solution] = OrderedDict()

    def fill(
        self, anomaly: Tensor, visible: Tensor, near: Tensor, zone: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Anomalies, those that are not visible replaced, and the error to be expected there.

        Args:
            anomaly, visible: ``batch, level, time, point``.
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
        for level in range(anomaly.shape[1]):
            hidden = ~visible[:, level][..., own]
            points = hidden.any(1).nonzero()
            for some in points.split(AT_ONCE):
                b, y, x = some.T
                asked = b[:, None], level, slice(None), near[y, x].long()
                found = self._points(level, given[asked], visible[asked], zone[y, x])
                at = hidden[b, :, y, x]
                for whole, values in zip((filled, error), found, strict=True):
                    part = whole[b, level, :, y, x]
                    whole[b, level, :, y, x] = torch.where(at, values, part)
        return filled, error

    def _points(
        self, level: int, given: Tensor, visible: Tensor, zone: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Estimate and error of all hours, ``point, hour``, right where hours are hidden.

        Args:
            given, visible: ``point, neighbour, hour``.
        """
        seen, values = visible.transpose(1, 2), given.transpose(1, 2)
        patterns, which = _unique(seen)
        keep = patterns.shape[0] <= MANY
        if not keep:
            seen[:, :, NEAR:] = False
            patterns, which = _unique(seen)
        pairs, inverse = torch.stack([zone, which], 1).unique(dim=0, return_inverse=True)
        solutions = self._solutions(level, pairs, patterns, keep=keep)
        flat = values.flatten(1)
        estimate, error = torch.zeros(2, *values.shape[:2])
        order, each = inverse.argsort(), inverse.bincount(minlength=len(solutions)).tolist()
        for s, own in zip(solutions, order.split(each), strict=True):
            at = own[:, None], s.hours
            estimate[at] = flat[own][:, s.index] @ s.weights.T
            error[at] = s.error * self._unusual(s, flat[own])[:, None]
        return estimate, error

    @staticmethod
    def _unusual(s: Solution, flat: Tensor) -> Tensor:
        white = flat[:, s.judges] @ s.whitening.T
        return unusual((white**2).sum(1), s.judges.numel())

    def _solutions(
        self, level: int, pairs: Tensor, patterns: Tensor, *, keep: bool
    ) -> list[Solution]:
        """Of pairs (zone, pattern), from memory where they were met before; by zone, ascending."""
        packed = np.packbits(patterns.flatten(1).numpy(), axis=1)
        keys = [(level, int(z), packed[p].tobytes()) for z, p in pairs.tolist()]
        known = {key: self.solutions[key] for key in keys if key in self.solutions}
        missing = [i for i, key in enumerate(keys) if key not in known]
        for zone in sorted({keys[i][1] for i in missing}):
            asked = [i for i in missing if keys[i][1] == zone]
            solved = self._solve(level, zone, patterns[pairs[asked, 1]])
            known |= {keys[i]: s for i, s in zip(asked, solved, strict=True)}
        if keep:
            self.solutions |= known
            while len(self.solutions) > KEPT:
                self.solutions.popitem(last=False)
        return [known[key] for key in keys]

    def _solve(self, level: int, zone: int, patterns: Tensor) -> list[Solution]:
        """Of patterns ``pattern, hour, neighbour`` in one zone, all at once."""
        hours = patterns.shape[1]
        whole = self.covariance[level, zone].double()
        visible = patterns.flatten(1)
        size = max(int(visible.sum(1).max()), 1)
        index = visible.to(torch.uint8).argsort(dim=1, descending=True, stable=True)[:, :size]
        there = visible.gather(1, index).to(whole.dtype)
        among = whole[index[:, :, None], index[:, None, :]] * there[:, :, None] * there[:, None]
        own = torch.arange(hours) * patterns.shape[2]  # the point itself, hour by hour
        toward = whole[own][:, index].transpose(0, 1) * there[:, None]  # pattern, hour, visible
        # A gap has visible hours after hidden ones; anything else is a forecast.
        gap = (~patterns[:, :-1, 0] & patterns[:, 1:, 0]).any(1).long()
        nuggets = self.nuggets[level, gap].gather(1, (index % patterns.shape[2] > 0).long())
        weights = ridge(among, toward.mT, nuggets, there).mT
        left = whole[0, 0] - (weights * toward).sum(-1)
        error = left.clamp(min=LEAST_ERROR**2).sqrt()
        found = []
        for i, pattern in enumerate(patterns):
            hidden = (~pattern[:, 0]).nonzero()[:, 0]
            told = toward[i, hidden].abs().amax(0) if hidden.numel() else toward[i].sum(0)
            most = told.topk(min(JUDGES, int(there[i].sum()))).indices
            judges, known = index[i, most], index[i, : int(there[i].sum())]
            found.append(
                Solution(hidden, known, weights[i, hidden, : known.numel()].float(),
                         error[i, hidden].float(), judges,
                         whitening(whole[judges][:, judges], nuggets[i, most]))
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


def unusual(squares: Tensor, number: Tensor | int) -> Tensor:
    """Ratio of errors in a Student-t process of 4 degrees of freedom, of unit values' squares."""
    return ((2 + squares) / (2 + number)).sqrt()


def _unique(patterns: Tensor) -> tuple[Tensor, Tensor]:
    """Different patterns ``point, hour, neighbour``, and which of them each point has."""
    packed = np.packbits(patterns.flatten(1).numpy(), axis=1)
    rows = packed.view([("", packed.dtype, packed.shape[1])])[:, 0]
    _, first, which = np.unique(rows, return_index=True, return_inverse=True)
    return patterns[torch.from_numpy(first)], torch.from_numpy(which)
