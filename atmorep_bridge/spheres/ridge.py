"""Seasonal ridge regression over lags: the coefficients change through the year, smoothly.

    y(t + lead) = mean + a x(t) + sum over lags of x(t - lag) B,   x less the mean of its month

``a``, of all states of a sphere in a season, is damped persistence, which shrinkage leads to. For
each month of the year a and B are fitted on all months, weighted by exp(kappa (cos(angle between
them) - 1)). A predictor counts in its own size; that of another sphere is shrunk more than one of
the sphere itself. What is not known is at its mean.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import product
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Index = NDArray[np.int64]
Coupling = Literal["chosen", "none", "always"]
LAGS = (1, 3, 12)
LAGS_OF_OTHERS = 3  # at most
SHARPNESS = (2.0, 5.0, 15.0)
SHRINKAGE = (0.001, 0.01, 0.1, 0.3, 1.0, 10.0)
COUPLING = (0.1, 0.3, 1.0)
PARTS = 6  # that the later half of a record is forecast in, each from all before it
TINY = 1e-12


@dataclass(frozen=True)
class Choice:
    """What held-back years decide.

    Attributes:
        lags: months that are looked back, this one included. sharpness: kappa of the season.
        shrinkage: of typical squares. coupling: weight of other spheres, 0 to 1; 0 is none.
    """

    lags: int = 1
    sharpness: float = 5.0
    shrinkage: float = 0.1
    coupling: float = 0.0


DAMPED = Choice(shrinkage=1e9)
"""Damped persistence alone."""


@dataclass(frozen=True)
class Law:
    """A fitted regression: ``b`` month, predictor, state; ``x`` and ``y`` the means by month."""

    b: Array
    x: Array
    y: Array

    def __call__(self, predictors: Array, month: Index) -> Array:
        """``..., time, state`` from ``..., time, predictor``."""
        anomaly = np.nan_to_num(predictors - self.x[month])
        return self.y[month] + np.einsum("...tp,tps->...ts", anomaly, self.b[month])


def ahead(states: Array, lead: int) -> Array:
    """The states ``lead`` months later; NaN where the record has ended."""
    return np.concatenate([states[lead:], np.full((lead, states.shape[1]), np.nan)])


def predictors(own: Array, others: Array, choice: Choice) -> Array:
    """``..., time, lag x state``: the sphere itself, then the others if they are coupled.

    This month is first; NaN before the record begins.
    """
    parts = []
    for states, lags in ((own, choice.lags), (others, min(choice.lags, LAGS_OF_OTHERS))):
        blank = np.full((*states.shape[:-2], lags - 1, states.shape[-1]), np.nan)
        longer = np.concatenate([blank, states], axis=-2)
        months = states.shape[-2]
        parts += [longer[..., lags - 1 - k :, :][..., :months, :] for k in range(lags)]
    parts = parts if choice.coupling else parts[: choice.lags]
    return np.concatenate(parts, axis=-1)


def by_month(values: Array, month: Index) -> Array:
    """Means ``month of the year, column``; of all months where one has none."""
    belongs = (month == np.arange(12)[:, None]).astype(float)
    sums, counts = belongs @ np.nan_to_num(values), belongs @ np.isfinite(values)
    everywhere = sums.sum(0) / np.maximum(counts.sum(0), 1)
    return np.where(counts > 0, sums / np.maximum(counts, 1), everywhere)


def fit(x: Array, y: Array, month: Index, choice: Choice, weight: Array) -> Law:
    """Of rows whose ``y`` is known. The first predictors are the sphere's own, this month first.

    Args:
        weight: of each state of the sphere.
    """
    x_mean, y_mean = by_month(x, month), by_month(y, month)
    x, y = np.nan_to_num(x - x_mean[month]), y - y_mean[month]
    states, size = y.shape[1], x.shape[1]
    both = np.hstack([x, y])
    squares = np.stack([both[month == m].T @ x[month == m] for m in range(12)])
    angle = 2 * np.pi * (np.arange(12)[:, None] - np.arange(12)) / 12
    near = np.exp(choice.sharpness * (np.cos(angle) - 1))
    squares = np.tensordot(near / (near @ np.bincount(month, minlength=12))[:, None], squares, 1)
    gram, cross = squares[:, :size], squares[:, size:]
    now = np.diagonal(gram, axis1=1, axis2=2)
    damped = np.diagonal(cross, axis1=1, axis2=2) @ weight / (now[:, :states] @ weight + TINY)
    persisted = damped[:, None, None] * np.eye(size)[:, :states]
    trust = np.ones(size)
    trust[states * choice.lags :] = choice.coupling
    left = cross.transpose(0, 2, 1) - gram @ persisted
    b = solved(gram, left, trust / (np.sqrt(now) + TINY), choice.shrinkage)
    return Law(b + persisted, x_mean, y_mean)


def solved(squares: Array, cross: Array, scale: Array, shrinkage: float) -> Array:
    """Ridge coefficients ``..., predictor, state``; shrinkage in typical squares.

    Args:
        squares: ``..., predictor, predictor``. cross: ``..., predictor, state``.
        scale: ``..., predictor``, its weight over the root of its square.
    """
    scaled = squares * scale[..., :, None] * scale[..., None, :]
    scaled = scaled + shrinkage * np.eye(scale.shape[-1])
    return scale[..., None] * np.linalg.solve(scaled, cross * scale[..., None])


def rows_of(own: Array, y: Array) -> Index:
    """Times at which the sphere is known, now and ahead."""
    return np.flatnonzero(np.isfinite(own).all(1) & np.isfinite(y).all(1))


def held_back(
    own: Array, others: Array, month: Index, lead: int, choice: Choice, weight: Array,
    *, hindsight: bool = False,
) -> Array:  # fmt: skip
    """Errors ``time, state`` of parts of the later half, each forecast from what was known before.

    Args:
        hindsight: parts of all of the record, each from all that is more than a year away.
    """
    x, y = predictors(own, others, choice), ahead(own, lead)
    rows, errors = rows_of(own, y), np.full(y.shape, np.nan)
    for held in np.array_split(rows if hindsight else rows[rows.size // 2 :], PARTS):
        if not held.size:
            continue
        train = rows[rows + lead <= held[0]]
        if hindsight:
            train = rows[(rows + lead + 12 <= held[0]) | (rows >= held[-1] + lead + 12)]
        if train.size >= 24:
            law = fit(x[train], y[train], month[train], choice, weight)
            errors[held] = law(x[held], month[held]) - y[held]
    return errors


def choose(
    own: Array, others: Array, month: Index, lead: int, weight: Array, coupling: Coupling
) -> Choice:
    """The regression with the least weighed squared error in ``held_back``.

    Args:
        coupling: with others if that gains ("chosen"), never ("none"), or in any case ("always");
            the last, which explains, is chosen in hindsight.
    """

    def score(choice: Choice) -> float:
        hindsight = coupling == "always"
        missed = held_back(own, others, month, lead, choice, weight, hindsight=hindsight)
        return float(np.nanmean(missed**2 @ weight))

    alone = min((Choice(*c) for c in product(LAGS, SHARPNESS[:1], SHRINKAGE)), key=score)
    alone = min((replace(alone, sharpness=kappa) for kappa in SHARPNESS), key=score)
    if coupling == "none" or not others.shape[1]:
        return alone
    some = [s for s in SHRINKAGE if alone.shrinkage <= s <= 100 * alone.shrinkage]
    both = [replace(alone, coupling=c, shrinkage=s) for c in COUPLING for s in some]
    return min(both if coupling == "always" else [alone, *both], key=score)
