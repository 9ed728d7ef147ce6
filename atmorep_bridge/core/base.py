"""What hidden tokens are filled with: what one would say without a model. All in anomalies.

:func:`informed`: between two visible hours of a grid point the line between them; after the last,
or before the first, its anomaly damped by the memory of the field, ``r(lag)``; where nothing was
ever visible, climatology, an anomaly of zero. :func:`kriged`: the best linear estimate from all
visible hours of the grid point. :func:`detailed`: for a coarse field.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

NUGGET = 1e-3  # share of the variance that an hour does not tell of the next
FACTOR = 4  # of coarse resolution
LEAST_ERROR = 0.05  # to be expected of a base, standard deviations of the field


def informed(anomaly: Tensor, visible: Tensor, memory: Tensor) -> tuple[Tensor, Tensor]:
    """Anomalies, those that are not visible replaced by what the visible hours say.

    Args:
        anomaly, visible: ``batch, level, time, latitude, longitude``.
        memory: ``level, lag``, autocorrelation r at lags of 0, 1, ... steps, the window's length.

    Returns:
        The filled anomalies, and the error to be expected of them, which follows from r: after
        the last visible hour √(1 - r²), between two the variance of x - (1-w) x_a - w x_b.
    """
    hours = anomaly.shape[2]
    hour = torch.arange(hours, device=anomaly.device).view(1, 1, -1, 1, 1)
    before = torch.where(visible, hour, -1).cummax(2).values
    after = torch.where(visible, hour, hours).flip(2).cummin(2).values.flip(2)
    has_before, has_after = before >= 0, after < hours
    seen = torch.where(visible, anomaly, 0.0)
    first = seen.gather(2, before.clamp(min=0))
    last = seen.gather(2, after.clamp(max=hours - 1))
    since, until = _lagged(memory, hour - before), _lagged(memory, after - hour)
    across = _lagged(memory, after - before)
    w = (hour - before) / (after - before).clamp(min=1)
    between = 1 + w**2 + (1 - w) ** 2 - 2 * (1 - w) * since - 2 * w * until
    between = between + 2 * w * (1 - w) * across
    r = torch.where(has_before, since, torch.where(has_after, until, 0.0))
    alone = torch.where(has_before, first, last) * r
    both = has_before & has_after
    filled = torch.where(both, first + w * (last - first), alone)
    error = torch.where(both, between, 1 - r**2).clamp(min=LEAST_ERROR**2).sqrt()
    return torch.where(visible, seen, filled), error


def kriged(anomaly: Tensor, visible: Tensor, memory: Tensor) -> tuple[Tensor, Tensor]:
    """As ``informed``, from all visible hours of a grid point: the best linear estimate.

    x = c (C + εI)⁻¹ y with C = r(lag) among the visible hours y, c = r between them and the
    hidden one (simple kriging). It sees how the anomaly was changing, which a line and a damped
    value do not.
    """
    b, level, hours = anomaly.shape[:3]
    seen = torch.where(visible, anomaly, 0.0)
    filled, error = torch.empty_like(seen), torch.empty_like(seen)
    for i in range(level):
        covariance = _covariance(memory[i])
        patterns, which = _unique(visible[:, i].movedim(1, -1).reshape(-1, hours))
        v = patterns.to(covariance.dtype)
        among = covariance * v[:, :, None] * v[:, None, :]
        among = among + torch.diag_embed(1 - v + NUGGET * v)
        toward = covariance * v[:, None, :]  # pattern, hour, visible hour
        weights = torch.linalg.solve(among, toward, left=False)
        left = (1 - (weights * toward).sum(-1)).clamp(min=LEAST_ERROR**2).sqrt()
        values = seen[:, i].movedim(1, -1).reshape(-1, hours, 1)
        # Points of one pattern together: few patterns, many points.
        estimate = torch.empty_like(values)
        for j in range(patterns.shape[0]):
            at = which == j
            estimate[at] = weights[j].to(values.dtype) @ values[at]
        shape = b, *anomaly.shape[3:], hours
        filled[:, i] = estimate.reshape(shape).movedim(-1, 1)
        error[:, i] = left.to(values.dtype)[which].reshape(shape).movedim(-1, 1)
    return torch.where(visible, seen, filled), error


def _unique(patterns: Tensor) -> tuple[Tensor, Tensor]:
    """Different rows, and which of them each row is; rows are read as binary numbers."""
    place = 2 ** torch.arange(patterns.shape[1], device=patterns.device)
    _, which = (patterns * place).sum(1).unique(return_inverse=True)
    first = torch.zeros(int(which.max()) + 1, dtype=torch.long, device=patterns.device)
    first[which] = torch.arange(patterns.shape[0], device=patterns.device)
    return patterns[first], which


def _covariance(memory: Tensor) -> Tensor:
    """``hour, hour`` from r at lags: what sampling made impossible (negative) is set to zero."""
    hour = torch.arange(memory.shape[0], device=memory.device)
    values, vectors = torch.linalg.eigh(memory.double()[(hour[:, None] - hour).abs()])
    covariance = (vectors * values.clamp(min=0)) @ vectors.T
    scale = covariance.diagonal().rsqrt()
    return covariance * scale[:, None] * scale


def _lagged(memory: Tensor, lag: Tensor) -> Tensor:
    """Memory of each level at lags ``batch, level, time, latitude, longitude``."""
    index = lag.clamp(0, memory.shape[1] - 1).transpose(0, 1)
    flat = memory.gather(1, index.reshape(memory.shape[0], -1))
    return flat.reshape(index.shape).transpose(0, 1)


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


def detailed(coarse: Tensor, pattern: Tensor, factor: int = FACTOR) -> Tensor:
    """Coarse anomalies in fine resolution: bilinear, and larger where anomalies usually are.

    Args:
        coarse: ``..., level, time, row, column``, means over blocks of the fine grid.
        pattern: ``level, 1, row, column`` of the fine grid: usual anomaly here over usual anomaly.
    """
    rows, columns = pattern.shape[-2:]
    return pattern * sharpened(coarse / coarsened(pattern, factor), (rows, columns), factor)


BASES = {"informed": informed, "kriged": kriged}
