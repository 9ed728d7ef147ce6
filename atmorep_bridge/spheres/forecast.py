"""Ensembles of the coming months, and of what they would be if a sphere were as usual.

Members are the forecast less an error that the model made in held-back years from the same season:
of one date for all spheres, months ahead and points, so that a member is a state.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from atmorep_bridge.spheres import ridge
from atmorep_bridge.spheres.model import Series, Spheres, others_of, states_of
from atmorep_bridge.spheres.ridge import Array, Index
from atmorep_bridge.spheres.series import Sphere, month_of, months_of
from sifnet.errors import SifnetError

SEASON = 5.0  # kappa of the season that members' errors are from
States = dict[str, Array]


def forecast(
    model: Spheres,
    series: Series,
    last: str | np.datetime64,
    *,
    members: int = 50,
    given: Sequence[str] = (),
    without: Mapping[str, str] | None = None,
    seed: int = 0,
) -> dict[str, xr.Dataset]:
    """The months after ``last``, an ensemble of each sphere that is known in that month.

    Args:
        members: 0 gives the one forecast without errors drawn.
        given: spheres whose coming months are known, or supposed: the others then go on month by
            month, as long as these are known. Of all others, nothing after ``last`` is looked at.
        without: spheres that are usual from a month on, as they were before: "no eruption".

    Raises:
        SifnetError: no sphere is known in the last month, or there is none of a name.
    """
    if other := [name for name in (*given, *(without or {})) if name not in model.spheres]:
        raise SifnetError("the model has no such sphere", found=", ".join(other),
                          expected=", ".join(model.spheres))  # fmt: skip
    end = month_of(last)
    axis, states = states_of(model.spheres, series)
    now = int(np.searchsorted(axis, end))
    for name in states.keys() - set(given):
        states[name][now + 1 :] = np.nan
    known = [n for n, own in states.items() if now < axis.size and np.isfinite(own[now]).all()]
    if not known or set(given) - set(known):
        raise SifnetError(
            "not known in the last month: " + ", ".join(given or model.spheres),
            found=str(last),
            expected="all variables of a sphere in that month",
            remedy="Give later data, or an earlier month.",
        )
    for name, since in (without or {}).items():
        states[name] = _usual_since(states[name], axis, name, since)
    rng = np.random.default_rng(seed)
    coming = (_driven if given else _direct)(model, states, axis, now, members, tuple(given), rng)
    return {
        name: _labelled(model.spheres[name], coming[name], series, end, members, rng)
        for name in coming if name in known
    }  # fmt: skip


def _direct(
    model: Spheres, states: States, axis: Index, now: int, members: int,
    _: tuple[str, ...], rng: np.random.Generator,
) -> States:  # fmt: skip
    """``member, month, state`` of each sphere, every month by its own regression."""
    rows, out = _dates(model, int(axis[now]), members, rng), {}
    for name, own in states.items():
        others, past = others_of(states, name), slice(now + 1)
        coming = np.concatenate([
            law(ridge.predictors(own[past], others[past], choice)[-1:], axis[now : now + 1] % 12)
            for law, choice in zip(model.laws[name], model.choices[name], strict=True)
        ])  # fmt: skip
        out[name] = coming - _away(model.errors[name][rows[name]]) if members else coming[None]
    return out


def _driven(
    model: Spheres, states: States, axis: Index, now: int, members: int,
    given: tuple[str, ...], rng: np.random.Generator,
) -> States:  # fmt: skip
    """The same, month after month, by the regressions of one month, beside what is given."""
    known = np.all([np.isfinite(states[name][now:]).all(1) for name in given], axis=0)
    months = int(known.argmin() if not known.all() else known.size) - 1
    if months < 1:
        raise SifnetError(f"{', '.join(given)}: no month after the last is known", expected="some")
    free = [name for name in states if name not in given]
    many = {name: np.repeat(own[None], max(members, 1), 0) for name, own in states.items()}
    for t in range(now, now + months):
        rows = _dates(model, int(axis[t]), members, rng)
        step = {}
        for name in free:
            choice, law = model.choices[name][0], model.laws[name][0]
            past = slice(max(t + 1 - choice.lags, 0), t + 1)
            x = ridge.predictors(many[name][:, past], others_of(many, name)[:, past], choice)
            step[name] = law(x[:, -1:], axis[t : t + 1] % 12)[:, 0]
            if members:
                step[name] = step[name] - _away(model.errors[name][rows[name], 0])
        for name, values in step.items():
            many[name][:, t + 1] = values
    return {name: many[name][:, now + 1 : now + 1 + months] for name in free}


def _away(errors: Array) -> Array:
    """Less the mean of the members: that of the ensemble is the forecast."""
    return errors - errors.mean(0)


def _dates(model: Spheres, end: int, members: int, rng: np.random.Generator) -> dict[str, Index]:
    """Rows of the errors of each sphere: of one date for all that have it, of its season."""
    every = np.unique(np.concatenate(list(model.starts.values())))
    season = np.exp(SEASON * np.cos(2 * np.pi * (every - end) / 12))
    count = sum(np.isin(every, starts) for starts in model.starts.values())
    weight = season * (count == np.max(count))
    dates = rng.choice(every, members, p=weight / weight.sum())
    rows = {}
    for name, starts in model.starts.items():
        weight = np.exp(SEASON * np.cos(2 * np.pi * (starts - end) / 12))
        spare = rng.choice(starts.size, members, p=weight / weight.sum())
        where = np.searchsorted(starts, dates).clip(max=starts.size - 1)
        rows[name] = np.where(starts[where] == dates, where, spare)
    return rows


def _usual_since(states: Array, axis: Index, name: str, since: str) -> Array:
    first = month_of(since)
    before, after = axis < first, axis >= first
    if not np.isfinite(states[before]).all(1).sum() >= 12:
        raise SifnetError(
            f"what is usual of {name} is not known before {since}",
            found=f"{int(np.isfinite(states[before]).all(1).sum())} months",
            expected="at least 12",
            remedy="Give a longer series, or a later month.",
        )
    out = states.copy()
    out[after] = ridge.by_month(states[before], axis[before] % 12)[axis[after] % 12]
    return out


def _labelled(
    sphere: Sphere, states: Array, series: Series, end: int, members: int,
    rng: np.random.Generator,
) -> xr.Dataset:  # fmt: skip
    """Values of a sphere's states ``member, month, state`` after the month ``end``."""
    arrays, months = {}, end + 1 + np.arange(states.shape[1])
    for variable, part in sphere.split(states):
        last = series[variable.name].isel(time=months_of(series[variable.name]) == end)
        rest = variable.ahead(variable.amplitudes(last)[1][0], months.size, members, rng)
        values = variable.field(part, months, rest)
        coords: dict[str, Any] = {"time": months.astype("datetime64[M]").astype("datetime64[ns]")}
        if variable.latitude is not None and variable.longitude is not None:
            coords |= {"latitude": variable.latitude, "longitude": variable.longitude}
        coords = {"member": np.arange(len(values)), **coords}
        values = values.reshape([len(axis) for axis in coords.values()])
        attrs = {"units": variable.unit, "cell_methods": "time: mean"}
        arrays[variable.name] = xr.DataArray(values, coords, tuple(coords), attrs=attrs)
    return xr.Dataset(arrays)
