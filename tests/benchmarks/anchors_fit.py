"""Fits of ``anchors.py``: least squares with priors, and errors that know of misfit.

Residuals of a good spectrum are not noise but what the model lacks, line by line, so the formal
covariance is far too small. Blocks of the spectrum are left out in turn (delete-one jackknife;
Efron & Stein 1981), and the larger of the two errors is stated.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from harness import Array

BLOCKS = 12
ITERATIONS = 12


@dataclass(frozen=True)
class Unknown:
    """A parameter: what is known of it, and the step that its derivative is taken over."""

    mean: float
    sd: float
    step: float


@dataclass(frozen=True)
class Fit:
    """What was found.

    Attributes:
        value, error: by name; the error is the larger of formal and jackknife.
        residual: ``n``, measured less fitted, in units of the spectrum.
        fitted: ``n``.
        correlation: ``parameter, parameter``, in the order of ``value``.
    """

    value: dict[str, float]
    error: dict[str, float]
    residual: Array
    fitted: Array
    correlation: Array


Model = Callable[[Mapping[str, float]], Array]


def fit(model: Model, measured: Array, sigma: Array, unknowns: Mapping[str, Unknown],
        independent: float = 1.0) -> Fit:  # fmt: skip
    """Gauss-Newton from the prior means, with the noise scaled to the misfit.

    Args:
        model: ``n`` of parameters by name.
        measured, sigma: ``n``; sigma may be relative.
        independent: share of the samples that are independent.
    """
    names = list(unknowns)
    prior, sd, step = (np.array([getattr(u, f) for u in unknowns.values()])
                       for f in ("mean", "sd", "step"))  # fmt: skip
    x, scale = prior.copy(), 1.0
    for _ in range(ITERATIONS):
        at = model(dict(zip(names, x, strict=True)))
        jacobian = np.stack([
            (model(dict(zip(names, x + step * (np.arange(len(x)) == i), strict=True))) - at)
            / step[i] for i in range(len(x))
        ], axis=1)  # fmt: skip
        away = (measured - at) / sigma
        scale = float(np.sqrt(np.mean(away**2)))
        weighted = jacobian / sigma[:, None]
        move, covariance = _solve(weighted, away, prior - x, sd, scale, independent)
        x = x + move
        if np.all(np.abs(move) < 1e-3 * np.sqrt(np.diag(covariance))):
            break
    at = model(dict(zip(names, x, strict=True)))
    formal = np.sqrt(np.diag(covariance))
    away = (measured - at) / sigma
    left_out = _jackknife(weighted, away, prior - x, sd, scale, independent)
    error = np.maximum(formal, left_out)
    return Fit(
        dict(zip(names, x.tolist(), strict=True)),
        dict(zip(names, error.tolist(), strict=True)),
        measured - at,
        at,
        covariance / np.outer(formal, formal),
    )


def _solve(weighted: Array, away: Array, from_prior: Array, sd: Array, scale: float,
           independent: float) -> tuple[Array, Array]:  # fmt: skip
    """Step to the optimum of a linear model, and its covariance."""
    share = independent / scale**2
    precision = share * weighted.T @ weighted + np.diag(1 / sd**2)
    covariance = np.linalg.inv(precision)
    return covariance @ (share * weighted.T @ away + from_prior / sd**2), covariance


def _jackknife(weighted: Array, away: Array, from_prior: Array, sd: Array, scale: float,
               independent: float) -> Array:  # fmt: skip
    """Standard error of every parameter from fits that leave a block of the spectrum out."""
    block = np.arange(len(away)) * BLOCKS // len(away)
    moves = np.array([
        _solve(weighted[block != b], away[block != b], from_prior, sd, scale, independent)[0]
        for b in range(BLOCKS)
    ])  # fmt: skip
    return np.sqrt((BLOCKS - 1) / BLOCKS * ((moves - moves.mean(0)) ** 2).sum(0))
