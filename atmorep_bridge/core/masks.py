"""Which tokens a model sees, and how: the plan chooses the task, training draws among all plans.

Plans work on the tokens of one window, ``level, time, latitude, longitude``, a field each.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from atmorep_bridge.core.specs import Setup

Kinds = dict[str, NDArray[np.int64]]


class Kind(IntEnum):
    """How a token is given to the model. All but SEEN are predicted."""

    SEEN = 0
    HIDDEN = 1
    NOISY = 2
    COARSE = 3


def everything(setup: Setup, kind: Kind = Kind.SEEN) -> Kinds:
    """All tokens of every field of one kind."""
    return {s.name: np.full(setup.grid(s), int(kind)) for s in setup.fields}


def from_time(setup: Setup, first: int, last: int | None = None) -> Kinds:
    """Hide hours ``first`` to ``last`` (exclusive; None: the end) of all fields: nowcast, gap.

    Tokens that hold any of these hours are hidden.
    """
    kinds = everything(setup)
    last = setup.neighbourhood[0] if last is None else last
    for spec in setup.fields:
        hours = np.arange(setup.neighbourhood[0]).reshape(-1, spec.patch[0])
        hidden = ((hours >= first) & (hours < last)).any(1)
        kinds[spec.name][:, hidden] = Kind.HIDDEN
    return kinds


def draw(setup: Setup, rng: np.random.Generator) -> Kinds:
    """A plan, and the tokens it concerns, by chance; ``setup.plans`` says how often each."""
    names = list(setup.plans)
    shares = np.array([setup.plans[name] for name in names], dtype=float)
    return PLANS[str(rng.choice(names, p=shares / shares.sum()))](setup, rng)


def causal(setup: Setup, rng: np.random.Generator) -> Kinds:
    """All from one or two of the longest tokens before the end: a forecast."""
    steps = setup.neighbourhood[0] // setup.longest
    hidden = int(rng.integers(1, min(2, steps - 1) + 1))
    return from_time(setup, setup.neighbourhood[0] - hidden * setup.longest)


def gap(setup: Setup, rng: np.random.Generator) -> Kinds:
    """One of the longest tokens amid others: interpolation in time."""
    steps = setup.neighbourhood[0] // setup.longest
    first = int(rng.integers(1, max(steps - 1, 2))) * setup.longest
    return from_time(setup, first, first + setup.longest)


def random(setup: Setup, rng: np.random.Generator) -> Kinds:
    """A quarter to three quarters of the tokens, a share of its own at every field and level."""
    kinds = everything(setup)
    for field in kinds.values():
        for level in field:
            level[rng.random(level.shape) < rng.uniform(0.25, 0.75)] = Kind.HIDDEN
    return kinds


def block(setup: Setup, rng: np.random.Generator) -> Kinds:
    """The same part of the map at all times and levels: a hole."""
    kinds = everything(setup)
    corner, share = rng.random(2), rng.uniform(0.25, 0.6, 2)
    for field in kinds.values():
        rows, columns = (_part(n, corner[i], share[i]) for i, n in enumerate(field.shape[2:]))
        field[:, :, rows, columns] = Kind.HIDDEN
    return kinds


def _part(tokens: int, corner: float, share: float) -> slice:
    size = max(round(share * tokens), 1)
    first = round(corner * (tokens - size))
    return slice(first, first + size)


def one_field(setup: Setup, rng: np.random.Generator) -> Kinds:
    """One level of a field, or where there is but one, the field at most times."""
    kinds = everything(setup)
    field = kinds[str(rng.choice(list(kinds)))]
    if field.shape[0] > 1:
        field[rng.integers(field.shape[0])] = Kind.HIDDEN
    else:
        field[:, rng.random(field.shape[1]) < 0.8] = Kind.HIDDEN
    return kinds


PLANS: dict[str, Callable[[Setup, np.random.Generator], Kinds]] = {
    "causal": causal, "gap": gap, "random": random, "block": block, "field": one_field,
    "coarse": lambda setup, _: everything(setup, Kind.COARSE),  # downscaling
    "noise": lambda setup, _: everything(setup, Kind.NOISY),  # correction
}  # fmt: skip
