"""Coarse fields made fine: what is between the middles of blocks, a ridge regression a grid point.

Every point of the fine grid is estimated from the 5 x 5 blocks around its own, in anomalies.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from atmorep_bridge.core.base import LEAST_ERROR, ridge, unusual, whitening

FACTOR = 4  # of coarse resolution
AROUND = 2  # blocks on every side that are asked
JUDGED = 1  # blocks on every side that say how unusual the hour is
SHRINKAGES = (1e-4, 1e-3, 1e-2, 1e-1)
ASKED = 256  # blocks of which the shrinkage is chosen


@dataclass(frozen=True)
class Detail:
    """Regression of one field, in its unit.

    Attributes:
        weights: ``level, block row, block column, 25, 16``, of coarse anomalies around a block.
        error: ``level, row, column`` of whole blocks, root mean square.
        usual: ``level, block row, block column``, sd of coarse anomalies.
        whitening: ``level, 9, 9``, makes coarse anomalies over their sd independent.
    """

    weights: Tensor
    error: Tensor
    usual: Tensor
    whitening: Tensor

    def fine(self, coarse: Tensor, rows: slice, columns: Tensor) -> tuple[Tensor, Tensor]:
        """Anomalies in fine resolution, and the error to be expected of them.

        Args:
            coarse: ``..., level, time, block row, block column``, ``AROUND`` wider on every side
                than what is asked for. rows, columns: blocks of the grid that are asked for.
        """
        weights = self.weights[:, rows][:, :, columns].float()
        around = patches(coarse, AROUND)
        fine = joined(torch.einsum("...ltyxk,lyxkf->...ltyxf", around, weights))
        trim = slice(AROUND - JUDGED, JUDGED - AROUND)
        inner = patches((coarse / self._wide(rows, columns))[..., trim, trim], JUDGED)
        white = torch.einsum("...ltyxk,ljk->...ltyxj", inner, self.whitening)
        size = unusual((white**2).sum(-1), white.shape[-1])
        size = size.repeat_interleave(FACTOR, -2).repeat_interleave(FACTOR, -1)
        usual = blocks(self.error)[:, rows][:, :, columns]
        return fine, joined(usual)[:, None] * size

    def _wide(self, rows: slice, columns: Tensor) -> Tensor:
        """Usual size of coarse anomalies, ``AROUND`` blocks wider; at edges that of the edge."""
        height, width = self.usual.shape[1:]
        row = torch.arange(rows.start - AROUND, rows.stop + AROUND).clamp(0, height - 1)
        first, last = columns[:1], columns[-1:]
        steps = torch.arange(1, AROUND + 1)
        column = torch.cat([first - steps.flip(0), columns, last + steps]).clamp(0, width - 1)
        return self.usual[:, row][:, :, column][:, None]


class Sums:
    """What the regression of one field is made from, added up chunk by chunk."""

    def __init__(self, levels: int, rows: int, columns: int) -> None:
        size, k = (levels, rows // FACTOR, columns // FACTOR), (2 * AROUND + 1) ** 2
        self.among, self.toward = torch.zeros(*size, k, k), torch.zeros(*size, k, FACTOR**2)
        self.square, self.count = torch.zeros(*size, FACTOR**2), 0
        step = max(size[1] * size[2] // ASKED, 1)
        self.asked = torch.arange(0, size[1] * size[2], step)
        self.held: list[tuple[Tensor, Tensor, Tensor]] = []

    def add(self, anomaly: Tensor, wraps: bool, *, held: bool) -> None:
        """Anomalies ``level, time, latitude, longitude``; held: of days that choose shrinkage."""
        coarse = coarsened(anomaly)
        rows, columns = (FACTOR * n for n in coarse.shape[-2:])
        around = patches(widened(coarse, AROUND, wraps), AROUND).permute(0, 2, 3, 1, 4)
        fine = blocks(anomaly[..., :rows, :columns]).permute(0, 2, 3, 1, 4)
        if held:
            a, f = (v.flatten(1, 2)[:, self.asked] for v in (around, fine))
            self.held.append((a.mT @ a, a.mT @ f, (f**2).sum(-2)))
        a, f = (v.flatten(0, 2) for v in (around, fine))
        self.among.flatten(0, 2).baddbmm_(a.mT, a)
        self.toward.flatten(0, 2).baddbmm_(a.mT, f)
        self.square += (fine**2).sum(-2)
        self.count += anomaly.shape[1]

    def solved(self) -> Detail:
        """The regression, its shrinkage the one of least error on the days held back."""
        shrinkage, count = self._chosen(), max(self.count, 1)
        weights = torch.empty_like(self.toward, dtype=torch.half)
        error = torch.empty_like(self.square)
        for level in range(weights.shape[0]):
            for row in range(weights.shape[1]):  # in double, a row of blocks at once
                among, toward = (v[level, row].double() for v in (self.among, self.toward))
                w = ridge(among, toward, torch.tensor(shrinkage))
                left = self.square[level, row] - _explained(w, among, toward)
                weights[level, row], error[level, row] = w.half(), (left / count).clamp(min=0)
        middle = self.among.shape[-1] // 2
        usual = (self.among[..., middle, middle] / count).clamp(min=1e-24).sqrt()
        least = LEAST_ERROR * usual.amax((1, 2), keepdim=True)
        error = torch.maximum(joined(error.sqrt()), least)
        return Detail(weights, error, usual, self._whitening(usual, count))

    def _chosen(self) -> float:
        """Errors follow from the sums themselves: f² - 2 w·b + w·A w."""
        if not self.held:
            return SHRINKAGES[1]
        held = [torch.stack(part).sum(0).double() for part in zip(*self.held, strict=True)]
        whole = [v.flatten(1, 2)[:, self.asked].double() for v in (self.among, self.toward)]
        rest = [v - part for v, part in zip(whole, held[:2], strict=True)]
        explained = {}
        for shrinkage in SHRINKAGES:
            w = ridge(rest[0], rest[1], torch.tensor(shrinkage))
            explained[shrinkage] = float(_explained(w, held[0], held[1]).sum())
        return max(explained, key=lambda shrinkage: explained[shrinkage])

    def _whitening(self, usual: Tensor, count: int) -> Tensor:
        """Pooled over all blocks."""
        side = 2 * AROUND + 1
        inner = slice(AROUND - JUDGED, AROUND + JUDGED + 1)
        judges = torch.arange(side**2).view(side, side)[inner, inner].flatten()
        scale = patches(widened(usual, JUDGED, False), JUDGED)
        among = self.among[..., judges, :][..., judges] / count
        pooled = (among / (scale[..., None] * scale[..., None, :])).mean((1, 2)).double()
        return whitening(pooled, torch.tensor(SHRINKAGES[1]))


def _explained(weights: Tensor, among: Tensor, toward: Tensor) -> Tensor:
    """Sum of squares that weights take away, of each point."""
    return (weights * (2 * toward - among @ weights)).sum(-2)


def patches(values: Tensor, around: int) -> Tensor:
    """``..., row, column, (2 around + 1)²`` of maps that are ``around`` wider on every side."""
    side = 2 * around + 1
    return values.unfold(-2, side, 1).unfold(-2, side, 1).flatten(-2)


def blocks(values: Tensor) -> Tensor:
    """``..., block row, block column, 16`` of fine maps."""
    rows, columns = (n // FACTOR for n in values.shape[-2:])
    cut = values.unflatten(-1, (columns, FACTOR)).unflatten(-3, (rows, FACTOR))
    return cut.transpose(-3, -2).flatten(-2)


def joined(values: Tensor) -> Tensor:
    """The inverse of ``blocks``."""
    return values.unflatten(-1, (FACTOR, FACTOR)).transpose(-3, -2).flatten(-2).flatten(-3, -2)


def widened(coarse: Tensor, by: int, wraps: bool) -> Tensor:
    """Maps with ``by`` more blocks on every side: those of the edge, or of the other side."""
    rows, columns = (torch.arange(-by, n + by) for n in coarse.shape[-2:])
    height, width = coarse.shape[-2:]
    columns = columns % width if wraps else columns.clamp(0, width - 1)
    return coarse[..., rows.clamp(0, height - 1), :][..., columns]


def coarsened(values: Tensor, factor: int = FACTOR) -> Tensor:
    """Means of ``factor`` x ``factor`` points; the last two dimensions are cut to whole blocks."""
    rows, columns = (n // factor * factor for n in values.shape[-2:])
    flat = values[..., :rows, :columns].reshape(-1, 1, rows, columns)
    means = functional.avg_pool2d(flat, factor)
    return means.reshape(*values.shape[:-2], *means.shape[-2:])


def sharpened(coarse: Tensor, shape: tuple[int, int], factor: int = FACTOR) -> Tensor:
    """Bilinear between the middles of coarse blocks; beyond the outermost their value.

    Args:
        coarse: ``..., row, column``. shape: rows and columns of the fine grid, which begins where
            the coarse one begins.
    """
    flat = coarse.reshape(-1, 1, *coarse.shape[-2:])
    fine = functional.interpolate(flat, scale_factor=factor, mode="bilinear")
    rest = 0, shape[1] - fine.shape[-1], 0, shape[0] - fine.shape[-2]
    return functional.pad(fine, rest, "replicate").reshape(*coarse.shape[:-2], *shape)
