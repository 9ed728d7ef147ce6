"""The aerosol regression: what aerosol does next, given where it was and what the weather does.

    x(t+1) = x(t) + p B m + c m,    p = P(x(t-1), x(t)),    m = M(w(t), w(t+1))

``p`` is the map around a point, ``m`` its weather; all products of the two count (bilinear pooling,
of full rank), alike everywhere, and ``c`` is of each point: what is emitted there. Weather comes
from outside ("offline coupling"), so that nothing need know how weather is made. Advection,
u dx/dlon + v dx/dlat, is a product of a slope with a wind, and to the second order in the step with
products of winds (Lax and Wendroff 1960, doi:10.1002/cpa.3160130205).

Aerosol is ``time, row, column``, weather ``time, field, row, column``, both in standard deviations.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise, product

import numpy as np
from numpy.typing import NDArray

from atmorep_bridge.spheres.ridge import Array, solved

Maps = NDArray[np.float32]
NOW, CHANGE = 2, 1  # points around one, at which the state and its last change are looked at
NUMBERS = (2 * NOW + 1) ** 2 + (2 * CHANGE + 1) ** 2 + 2  # of p
SHRINKAGE = (0.001, 0.01, 0.1, 1.0, 10.0)
COUPLING = (0.0, 0.1, 0.3, 1.0)
OWN = (0.0, 0.1, 1.0)
PARTS = 2  # that the later half of a series is forecast in, each from all before it
AHEAD = 3  # steps that a choice is judged by
STARTS = 30  # of such forecasts in a part, at most
LEAST = 2 * PARTS * AHEAD  # times of a series
ROUNDS = 4  # in which B and c are fitted in turn
TINY = 1e-9
BLOCK = 2**24  # products that are made at once


@dataclass(frozen=True)
class Choice:
    """What held-back steps decide.

    Attributes:
        shrinkage: of typical squares, towards persistence. coupling: weight of weather, 0 to 1,
            and its square that of products of weather.
        own: shrinkage of what is of each point; 0 is without.
    """

    shrinkage: float
    coupling: float
    own: float = 0.0


@dataclass(frozen=True)
class Ridge:
    """A fitted regression.

    Attributes:
        b: number of p, number of m. c: row, column, number of m.
        mean: ``row, column``, the mean map of the training.
        low, high: ``field, 1, 1``, what weather has been; beyond, it counts as there.
        periodic: the grid goes around the Earth.
    """

    b: Maps
    c: Maps
    mean: Maps
    low: Maps
    high: Maps
    periodic: bool
    choice: Choice

    def rollout(self, past: Maps, weather: Maps) -> Maps:
        """Aerosol of coming steps, ``step, row, column``, each from those before it.

        Args:
            past: a step ago and now, ``2, row, column``.
            weather: now and at every step, ``1 + step, field, row, column``.
        """
        m = met(np.clip(weather, self.low, self.high))
        before, now = past[:1], past[1:]
        states = []
        for step in range(len(m)):
            p = about(before, now, self.mean, self.periodic)
            change = np.einsum("...m,...m->...", p @ self.b + self.c, m[step : step + 1])
            before, now = now, now + change
            states.append(now[0])
        return np.stack(states)


def around(maps: Maps, radius: int, periodic: bool) -> Maps:
    """``time, row, column, point``: around the Earth in longitude if periodic, else repeated."""
    wide = np.pad(maps, ((0, 0), (radius, radius), (0, 0)), "edge")
    wide = np.pad(wide, ((0, 0), (0, 0), (radius, radius)), "wrap" if periodic else "edge")
    near = np.lib.stride_tricks.sliding_window_view(wide, [2 * radius + 1] * 2, axis=(1, 2))
    return near.reshape(*maps.shape, -1)


def about(before: Maps, now: Maps, mean: Maps, periodic: bool) -> Maps:
    """p ``time, row, column, number``: the map around a point, its last change, its anomaly, 1."""
    rest = np.stack([now - mean, np.ones_like(now)], -1)
    last = around(now - before, CHANGE, periodic)
    return np.concatenate([around(now, NOW, periodic), last, rest], -1)


def met(weather: Maps) -> Maps:
    """m ``step, row, column, number``: 1, weather between two times, its change, its products."""
    values = np.moveaxis(weather, 1, -1)
    between, change = (values[1:] + values[:-1]) / 2, values[1:] - values[:-1]
    i, j = np.triu_indices(values.shape[-1])
    one = np.ones((*between.shape[:-1], 1), np.float32)
    return np.concatenate([one, between, change, between[..., i] * between[..., j]], -1)


def trust(fields: int, coupling: float) -> Array:
    """Weight of each number of m."""
    return np.repeat([1, coupling, coupling**2], [1, 2 * fields, fields * (fields + 1) // 2])


def stretches(maps: Maps, times: int) -> Maps:
    """``start, time, ...``: all of so many times."""
    return np.moveaxis(np.lib.stride_tricks.sliding_window_view(maps, times, axis=0), -1, 1)


def fit(aerosol: Maps, weather: Maps, periodic: bool) -> Ridge:
    """Fit on a series of at least ``LEAST`` times, as the later half of it chooses."""
    choice = _choose(aerosol, weather, periodic)
    return _Series(aerosol, weather, periodic).ridge(choice)


def _choose(aerosol: Maps, weather: Maps, periodic: bool) -> Choice:
    """The least squared error over that of persistence, of parts forecast from all before them."""
    edges = np.linspace(len(aerosol) // 2, len(aerosol), PARTS + 1).astype(int)
    parts = []
    for first, end in pairwise(edges):
        states = stretches(aerosol[first - 2 : end], 2 + AHEAD)
        driven = stretches(weather[first - 1 : end], 1 + AHEAD)
        every = slice(None, None, -(-len(states) // STARTS))
        early = _Series(aerosol[:first], weather[:first], periodic)
        parts.append((early, states[every], driven[every]))
    persisted = sum(((s[:, 2:] - s[:, 1:2]) ** 2).mean((0, 2, 3)) for _, s, _ in parts) + TINY

    def error(choice: Choice) -> float:
        missed = np.zeros(AHEAD)
        for early, states, driven in parts:
            ridge = early.ridge(choice)
            said = np.stack([ridge.rollout(s[:2], w) for s, w in zip(states, driven, strict=True)])
            missed += ((said - states[:, 2:]) ** 2).mean((0, 2, 3))
        return float((missed / persisted).mean())

    couplings = COUPLING if weather.shape[1] else COUPLING[:1]
    alike = min((Choice(*c) for c in product(SHRINKAGE, couplings)), key=error)
    return min((replace(alike, own=own) for own in OWN), key=error)


@dataclass(frozen=True)
class _Series:
    """What a regression is fitted on."""

    aerosol: Maps
    weather: Maps
    periodic: bool

    @cached_property
    def mean(self) -> Maps:
        return self.aerosol.mean(0)

    @cached_property
    def weight(self) -> Maps:
        """``step, 1, 1``: every step counts by what moves before and in it, however far. Analyses
        jump where satellites come in: MERRA-2 over India at 3, 6 and 9 UTC, five times as far as
        weather moves aerosol in an hour."""
        size = np.sqrt((np.diff(self.aerosol, axis=0) ** 2).mean((1, 2), keepdims=True))
        size = size[:-1] + size[1:]
        return 1 / (size + 0.1 * size.mean() + np.float32(TINY))

    def blocks(self) -> Iterator[tuple[Maps, Maps, Maps, Maps]]:
        """p, m, the change to explain and the weight of some steps at a time."""
        products = NUMBERS * trust(self.weather.shape[1], 1.0).size
        many = max(1, BLOCK // (products * self.mean.size))
        for first in range(1, len(self.aerosol) - 1, many):
            end = min(first + many, len(self.aerosol) - 1)
            now, then = self.aerosol[first:end], self.aerosol[first + 1 : end + 1]
            p = about(self.aerosol[first - 1 : end - 1], now, self.mean, self.periodic)
            yield (
                p,
                met(self.weather[first : end + 1]),
                then - now,
                self.weight[first - 1 : end - 1],
            )

    @cached_property
    def squares(self) -> Array:
        """``product, product + 1``: sums over all points and steps; with the change at last."""
        total: Array = np.zeros(())
        for p, m, change, weight in self.blocks():
            x = p[..., None] * (m * weight[..., None])[..., None, :]
            x = x.reshape(-1, NUMBERS * m.shape[-1])
            total = total + x.T @ np.column_stack([x, (weight * change).ravel()])
        return total

    def ridge(self, choice: Choice) -> Ridge:
        """B of what c leaves, and c of what B leaves, in turn."""
        trusted = trust(self.weather.shape[1], choice.coupling)
        c = np.zeros((*self.mean.shape, trusted.size), np.float32)
        for _ in range(ROUNDS if choice.own else 1):
            b = self._alike(c, np.tile(trusted, NUMBERS), choice.shrinkage)
            c = self._own(b, trusted, choice.own) if choice.own else c
        low, high = (f(self.weather, axis=(0, 2, 3))[:, None, None] for f in (np.min, np.max))
        return Ridge(b, c, self.mean, low, high, self.periodic, choice)

    def _alike(self, c: Maps, trusted: Array, shrinkage: float) -> Maps:
        """``number of p, number of m``: B, of what is left by c."""
        squares, cross = self.squares[:, :-1], self.squares[:, -1].copy()
        for p, m, _, weight in self.blocks() if c.any() else ():
            known = weight**2 * np.einsum("rcm,trcm->trc", c, m)
            flat = p.reshape(-1, NUMBERS).T @ (m * known[..., None]).reshape(-1, m.shape[-1])
            cross -= flat.ravel()
        scale = trusted / (np.sqrt(np.diagonal(squares)) + TINY)
        b = solved(squares, cross[:, None], scale, shrinkage)
        return b.reshape(NUMBERS, -1).astype(np.float32)

    def _own(self, b: Maps, trusted: Array, shrinkage: float) -> Maps:
        """``row, column, number of m``: c, of what is left by B."""
        cross = np.zeros((*self.mean.shape, trusted.size))
        squares = np.zeros((*cross.shape, trusted.size))
        for p, m, change, weight in self.blocks():
            weighed = m * weight[..., None] ** 2
            left = change - np.einsum("...m,...m->...", p @ b, m)
            cross += np.einsum("trci,trc->rci", weighed, left)
            squares += np.einsum("trci,trcj->rcij", weighed, m)
        scale = trusted / (np.sqrt(np.einsum("rcii->i", squares) / self.mean.size) + TINY)
        return solved(squares, cross[..., None], scale, shrinkage)[..., 0].astype(np.float32)
