"""Tasks of one trained model, none of which needs training: what is hidden chooses the task.

Each returns an ensemble (member, time, level, latitude, longitude) in our names and units.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
import pandas as pd
import torch
import xarray as xr

from atmorep_bridge.core import copula, masks, stations
from atmorep_bridge.core.detail import FACTOR, coarsened
from atmorep_bridge.core.filling import from_coarse
from atmorep_bridge.core.masks import Kind, Kinds
from atmorep_bridge.core.predict import as_dataset, base, predict, suits
from atmorep_bridge.core.times import Times, every, later
from atmorep_bridge.core.tokens import ByField
from atmorep_bridge.core.training import Core
from atmorep_bridge.core.windows import Fields, Region
from atmorep_bridge.fields.axes import on_axes
from sifnet.errors import SifnetError

Change = Mapping[str, Callable[[xr.DataArray], xr.DataArray]]


def nowcast(
    core: Core, region: Region, last: np.datetime64, hours: int, table: pd.DataFrame | None = None
) -> xr.Dataset:
    """The hours after ``last``, the last time that is known.

    Beyond the model's longest lead each member goes on from its own forecast (rollout).

    Args:
        table: observations of these hours, see ``stations``.

    Raises:
        SifnetError: the region does not suit the model, the time is not in it with enough others
            before, or no observation is of these hours.
    """
    steps = -(-hours // region.hours)
    times = later(last, np.arange(1, steps + 1), region.hours)
    if table is not None:
        stations.refuse_elsewhere(core, region, times, table)
    ahead = rollout(core, region, _position(region, last), steps, table)
    found = as_dataset(core, region, ahead, times, f"Forecast from {last}")
    return found.assign_attrs(reference_time=str(last))


def rollout(
    core: Core, region: Region, known: int, steps: int, table: pd.DataFrame | None = None
) -> ByField:
    """Anomalies ``member, level, time, latitude, longitude`` of the steps after one that is known.

    Args:
        known: index of the last time that is. table: observations, see ``stations``.

    Raises:
        SifnetError: the region does not suit the model, or too little of the past is in it.
    """
    lead, window = core.setup.lead, core.setup.neighbourhood[0]
    turns, start = -(-steps // lead), known - (window - lead) + 1
    past, times = _window(core, region, start, window - lead)
    kinds = masks.from_time(core.setup, window - lead)
    length = window + (turns - 1) * lead
    before = copula.earlier(region, start, length, known, core.setup.size.members)
    forecasts: list[ByField] = []
    for turn in range(turns):
        hour = later(times[0], turn * lead + np.arange(window), region.hours)
        padded = {n: torch.nn.functional.pad(v, (0, 0) * 2 + (0, lead), value=torch.nan)
                  for n, v in past.items()}  # fmt: skip
        windows = np.broadcast_to(hour, (next(iter(past.values())).shape[0], window))
        filled, expected = base(core, region, padded, kinds)
        if turn == 0:  # how unusual the air is, analyses say; members would be so more and more
            error = expected
        errors = {n: error[n].expand_as(v) for n, v in filled.items()}
        members = predict(core, region, filled, windows, kinds, errors)
        members = copula.ordered(core, region, members, before, kinds, turn * lead)
        own = {n: v[:, 0] if v.shape[1] == 1 else v[*[torch.arange(v.shape[0])] * 2]
               for n, v in members.items()}  # fmt: skip
        if table is not None:
            own = stations.corrected(core, region, own, hour, known, kinds, table)
        forecasts.append({n: v[:, :, -lead:] for n, v in own.items()})
        past = {n: v[:, :, lead:] for n, v in own.items()}
    return {n: torch.cat([f[n] for f in forecasts], 2)[:, :, :steps] for n in forecasts[0]}


def interpolate(
    core: Core, region: Region, first: np.datetime64, last: np.datetime64,
    table: pd.DataFrame | None = None,
) -> xr.Dataset:  # fmt: skip
    """The times from ``first`` to ``last``, hidden, from what is before and after.

    Args:
        table: observations of these times, see ``stations``.

    Raises:
        SifnetError: the region does not suit the model, or a window around the gap is not in it.
    """
    suits(core, region)
    window, longest = core.setup.neighbourhood[0], core.setup.longest
    start = _position(region, first)
    steps = _position(region, last) - start + 1
    tokens = -(-steps // longest)
    before = (window // longest - tokens + 1) // 2 * longest  # the gap begins with a token
    if tokens + 2 > window // longest:
        raise SifnetError(
            "the gap is too long for the model",
            found=f"{steps} steps", expected=f"at most {(window // longest - 2) * longest}",
            remedy="Forecast from before the gap instead (nowcast).",
        )  # fmt: skip
    around, times = _window(core, region, start - before, window)
    gap = slice(before, before + steps)
    kinds = masks.from_time(core.setup, gap.start, gap.stop)
    members = predict(core, region, around, times[None], kinds)
    past = copula.earlier(region, start - before, window, start - 1, core.setup.size.members)
    members = copula.ordered(core, region, members, past, kinds)
    own = {n: v[:, 0] for n, v in members.items()}
    if table is not None:
        stations.refuse_elsewhere(core, region, times[gap], table)
        own = stations.corrected(core, region, own, times, start - 1, kinds, table)
    title = f"Interpolated from {first} to {last}"
    return as_dataset(core, region, own, times, title).isel(time=gap)


def downscale(core: Core, coarse: Region, first: np.datetime64) -> xr.Dataset:
    """A window of coarse fields, from ``first`` on, in the resolution of the model.

    Args:
        coarse: means of FACTOR x FACTOR points of the model's grid.

    Raises:
        SifnetError: the coarse grid is none of such means, or the window is not in it.
    """
    fine = _finer(core, coarse)
    place = suits(core, fine)
    values, times = _values(coarse, _position(coarse, first), core.setup.neighbourhood[0])
    smooth, errors = {}, {}
    for name in core.setup.names:
        # Less the mean made coarse: where it is added again, its detail comes with it.
        mean = coarsened(core.statistics.mean(name, times, place))
        off = (torch.from_numpy(values[name]) - mean).nan_to_num()
        filled, error = from_coarse(core.statistics, name, off, place, (0, 0, 0, 0))
        smooth[name], errors[name] = filled[None], error[None]
    kinds = masks.everything(core.setup, Kind.COARSE)
    return _answer(core, fine, smooth, times, kinds, "Downscaled", errors, FACTOR)


def _finer(core: Core, coarse: Region) -> Region:
    """The part of the model's grid of which a coarse grid holds the means; without values."""
    on_axes(coarse.data)
    down, across = (step / FACTOR for step in coarse.grid.step)
    within = np.arange(FACTOR) - (FACTOR - 1) / 2  # steps from the middle of a block
    axes = {
        "latitude": np.add.outer(coarse.latitude, down * within).ravel(),
        "longitude": np.add.outer(coarse.longitude, across * within).ravel(),
    }
    names = core.setup.names
    empty = {name: xr.DataArray(0.0, attrs=coarse.data[name].attrs) for name in names}
    data = xr.Dataset(empty, axes).assign_coords(time=coarse.times).assign_attrs(coarse.data.attrs)
    fine = replace(coarse, data=data)
    if core.statistics.grid.place(fine.grid) is None:
        raise SifnetError(
            "the coarse grid does not lie on that of the model",
            found=str(coarse.grid),
            expected=f"means of {FACTOR} x {FACTOR} points of the grid {core.statistics.grid}",
            remedy="Average the coarse fields onto that grid.",
            file=coarse.files,
        )
    return fine


def correct(core: Core, analysis: Region, first: np.datetime64) -> xr.Dataset:
    """A window of another model's analysis, from ``first`` on, as the training data would be.

    Raises:
        SifnetError: the region does not suit the model, or the window is not in it.
    """
    on_axes(analysis.data)
    start = _position(analysis, first)
    noisy, times = _window(core, analysis, start, core.setup.neighbourhood[0])
    kinds = masks.everything(core.setup, Kind.NOISY)
    return _answer(core, analysis, noisy, times, kinds, "Corrected")


def counterfactual(
    core: Core, region: Region, change: Change, last: np.datetime64, hours: int
) -> xr.Dataset:
    """What would follow if the past were another: a nowcast from changed fields.

    Args:
        change: of some fields, a function of the field as an array.

    Returns:
        The forecast, and with the suffix ``_change`` how each member differs from the forecast
        of the unchanged past.
    """
    unknown = [name for name in change if name not in core.setup.names]
    if unknown:
        raise SifnetError(
            "a field to change is not in the model", found=", ".join(unknown),
            expected=", ".join(core.setup.names),
        )  # fmt: skip
    fields = {name: region.data[name] for name in change}
    other = region.data.assign(
        {name: change[name](field).assign_attrs(field.attrs) for name, field in fields.items()}
    )
    usual, changed = (
        nowcast(core, past, last, hours) for past in (region, replace(region, data=other))
    )
    differences = {f"{n}_change": (changed[n] - usual[n]).assign_attrs(changed[n].attrs)
                   for n in core.setup.names}  # fmt: skip
    return changed.assign(differences).assign_attrs(title=f"Counterfactual from {last}")


def _answer(
    core: Core, region: Region, window: ByField, times: Times, kinds: Kinds, title: str,
    error: ByField | None = None, align: int = 1,
) -> xr.Dataset:  # fmt: skip
    """What a model says of a single window, see ``predict``."""
    members = predict(core, region, window, times[None], kinds, error, align)
    return as_dataset(core, region, {n: v[:, 0] for n, v in members.items()}, times, title)


def _window(core: Core, region: Region, first: int, steps: int) -> tuple[ByField, Times]:
    """Anomalies ``1, level, time, latitude, longitude`` of steps of a region, and their times.

    Raises:
        SifnetError: the region does not suit the model, or the steps are not in it.
    """
    place = suits(core, region)
    values, times = _values(region, first, steps)
    anomalies = core.statistics.anomalies(values, times, place)
    return {name: anomaly[None] for name, anomaly in anomalies.items()}, times


def _values(region: Region, first: int, steps: int) -> tuple[Fields, Times]:
    """Steps of a whole region, refused if they are not in it or have a hole."""
    at = region.times
    if first not in region.starts(steps):
        raise SifnetError(
            "too few time steps around this time",
            found=f"{at.size} steps from {at[0]} to {at[-1]}",
            expected=f"{steps} steps of a {every(region.hours)} without a gap, {max(-first, 0)} "
            "earlier ones",
            remedy="Give a longer series.",
            file=region.files,
        )
    hours = slice(first, first + steps)
    return region.window(hours), at[hours]


def _position(region: Region, time: np.datetime64) -> int:
    where = np.flatnonzero(region.times == time)
    if not where.size:
        raise SifnetError(
            "the fields do not hold this time", found=str(time),
            expected=f"one of {region.times[0]} to {region.times[-1]}, every {every(region.hours)}",
            remedy="Choose another time, or download it.",
        )  # fmt: skip
    return int(where[0])
