"""Tasks of one trained model, none of which needs training: what is hidden chooses the task.

Each returns an ensemble (member, time, level, latitude, longitude) in our names and units.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray
from torch import Tensor

from atmorep_bridge.core import masks
from atmorep_bridge.core.base import FACTOR, coarsened, detailed
from atmorep_bridge.core.masks import Kind
from atmorep_bridge.core.predict import Place, as_dataset, predict, suits
from atmorep_bridge.core.samples import refuse_small
from atmorep_bridge.core.training import Core
from atmorep_bridge.core.windows import HOUR, Region
from sifnet.errors import SifnetError

Change = Mapping[str, Callable[[xr.DataArray], xr.DataArray]]


def longest_lead(core: Core) -> int:
    """Steps that a model forecasts at once: two of its longest tokens, as it was trained."""
    longest = max(spec.patch[0] for spec in core.setup.fields)
    return longest * min(2, core.setup.neighbourhood[0] // longest - 1)


def nowcast(core: Core, region: Region, last: np.datetime64, hours: int) -> xr.Dataset:
    """The hours after ``last``, the last time that is known.

    Beyond the model's longest lead each member goes on from its own forecast (rollout).

    Raises:
        SifnetError: the region does not suit the model, or the time is not in it with enough
            others before.
    """
    place = suits(core, region)
    lead, window = longest_lead(core), core.setup.neighbourhood[0]
    steps = -(-hours // region.hours)
    first = _position(region, last) - (window - lead) + 1
    known = _known(core, region, first, window - lead, place)
    start = region.times[first]
    forecasts: list[dict[str, Tensor]] = []
    for turn in range(-(-steps // lead)):
        times = start + (turn * lead + np.arange(window)) * region.hours * HOUR
        ahead = {n: torch.full((*k.shape[:2], lead, *k.shape[3:]), torch.nan)
                 for n, k in known.items()}  # fmt: skip
        given = {n: torch.cat([k, ahead[n]], 2) for n, k in known.items()}
        windows = np.broadcast_to(times, (next(iter(known.values())).shape[0], window))
        found = predict(core, region, given, windows, masks.from_time(core.setup, window - lead))
        own = {n: v[:, 0] if v.shape[1] == 1 else v[*[torch.arange(v.shape[0])] * 2]
               for n, v in found.items()}  # fmt: skip
        forecasts.append({n: v[:, :, -lead:] for n, v in own.items()})
        known = {n: v[:, :, lead:] for n, v in own.items()}
    whole = {n: torch.cat([f[n] for f in forecasts], 2)[:, :, :steps] for n in forecasts[0]}
    times = region.times[first + window - lead - 1] + np.arange(1, steps + 1) * region.hours * HOUR
    return as_dataset(core, region, whole, times, place, f"Forecast from {last}")


def interpolate(
    core: Core, region: Region, first: np.datetime64, last: np.datetime64
) -> xr.Dataset:
    """The times from ``first`` to ``last``, hidden, from what is before and after.

    Raises:
        SifnetError: the region does not suit the model, or a window around the gap is not in it.
    """
    place = suits(core, region)
    window = core.setup.neighbourhood[0]
    a, b = _position(region, first), _position(region, last)
    longest = max(spec.patch[0] for spec in core.setup.fields)
    tokens = -(-(b - a + 1) // longest)
    before = (window // longest - tokens + 1) // 2 * longest  # the gap begins with a token
    if tokens + 2 > window // longest:
        raise SifnetError(
            "the gap is too long for the model",
            found=f"{b - a + 1} steps", expected=f"at most {(window // longest - 2) * longest}",
            remedy="Forecast from before the gap instead (nowcast).",
        )  # fmt: skip
    given = _known(core, region, a - before, window, place)
    times = region.times[a - before : a - before + window]
    kinds = masks.from_time(core.setup, before, before + b - a + 1)
    found = predict(core, region, given, times[None], kinds)
    gap = {n: v[:, 0, :, before : before + b - a + 1] for n, v in found.items()}
    return as_dataset(core, region, gap, region.times[a : b + 1], place,
                      f"Interpolated from {first} to {last}")  # fmt: skip


def downscale(core: Core, coarse: Region, first: np.datetime64) -> xr.Dataset:
    """A window of coarse fields, from ``first`` on, in the resolution of the model.

    Args:
        coarse: means of FACTOR x FACTOR points of the model's grid.

    Raises:
        SifnetError: the coarse grid is none of such means, or the window is not in it.
    """
    fine = _finer(core, coarse)
    place = suits(core, fine)
    window = core.setup.neighbourhood[0]
    a = _position(coarse, first)
    _enough(coarse, a, window, core)
    times = coarse.times[a : a + window]
    values = coarse.window((a, 0, 0), (window, coarse.latitude.size, coarse.longitude.size))
    given = {}
    for name in core.setup.names:
        # Less the mean made coarse: where it is added again, its detail comes with it.
        mean = core.statistics.mean(name, times, *place)
        sd = core.statistics.fields[name].sd.view(-1, 1, 1, 1)
        anomaly = (torch.from_numpy(values[name]) - coarsened(mean)) / sd
        pattern = core.statistics.pattern(name, *place)
        given[name] = detailed(anomaly, pattern)[None]
    kinds = masks.everything(core.setup, Kind.COARSE)
    found = predict(core, fine, given, times[None], kinds, FACTOR)
    return as_dataset(core, fine, {n: v[:, 0] for n, v in found.items()}, times, place,
                      "Downscaled")  # fmt: skip


def _finer(core: Core, coarse: Region) -> Region:
    """The part of the model's grid of which a coarse grid holds the means; without values."""
    statistics = core.statistics
    axes = {}
    for name, known in (("latitude", statistics.latitude), ("longitude", statistics.longitude)):
        points, wide = known.numpy(), getattr(coarse, name)
        step = points[1] - points[0]
        west = wide[0] - (FACTOR - 1) / 2 * step
        if name == "longitude":
            west = (west - points[0] + step / 2) % 360 - step / 2 + points[0]
        axes[name] = west + step * np.arange(FACTOR * wide.size)
        at = (west - points[0]) / step
        inside = at > -0.01 and round(at) + FACTOR * wide.size <= points.size
        wrong = abs(wide[1] - wide[0] - FACTOR * step) > 0.01 * step
        if wrong or not inside or abs(at - round(at)) > 0.01:
            raise SifnetError(
                "the coarse grid does not lie on that of the model",
                found=f"{name} from {wide[0]:g}, step {wide[1] - wide[0]:g}",
                expected=f"means of {FACTOR} x {FACTOR} points between {points[0]:g} and "
                f"{points[-1]:g}, step {step:g}",
                remedy="Average the coarse fields onto that grid.",
                file=", ".join(coarse.data.attrs.get("files", [])) or None,
            )
    empty = xr.Dataset(dict.fromkeys(core.setup.names, 0.0), coords=axes)
    data = empty.assign_coords(time=coarse.times).assign_attrs(coarse.data.attrs)
    step = coarse.step[0] / FACTOR, coarse.step[1] / FACTOR
    return Region(data, step, coarse.hours, coarse.wraps, coarse.level_kind)


def correct(core: Core, analysis: Region, first: np.datetime64) -> xr.Dataset:
    """A window of another model's analysis, from ``first`` on, as the training data would be.

    Raises:
        SifnetError: the region does not suit the model, or the window is not in it.
    """
    place = suits(core, analysis)
    window = core.setup.neighbourhood[0]
    a = _position(analysis, first)
    given = _known(core, analysis, a, window, place)
    times = analysis.times[a : a + window]
    kinds = masks.everything(core.setup, Kind.NOISY)
    found = predict(core, analysis, given, times[None], kinds)
    return as_dataset(core, analysis, {n: v[:, 0] for n, v in found.items()}, times, place,
                      "Corrected")  # fmt: skip


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
    other = Region(
        region.data.assign({name: rule(region.data[name]) for name, rule in change.items()}),
        region.step, region.hours, region.wraps, region.level_kind,
    )  # fmt: skip
    usual, changed = (nowcast(core, r, last, hours) for r in (region, other))
    differences = {f"{n}_change": (changed[n] - usual[n]).assign_attrs(changed[n].attrs)
                   for n in core.setup.names}  # fmt: skip
    return changed.assign(differences).assign_attrs(title=f"Counterfactual from {last}")


def _known(core: Core, region: Region, first: int, steps: int, place: Place) -> dict[str, Tensor]:
    """Anomalies ``1, level, time, latitude, longitude`` of steps of a region."""
    _enough(region, first, steps, core)
    shape = steps, region.latitude.size, region.longitude.size
    times = region.times[first : first + steps]
    values = region.window((first, 0, 0), shape)
    return {n: core.statistics.anomaly(n, values[n], times, *place)[None]
            for n in core.setup.names}  # fmt: skip


def _enough(region: Region, first: int, steps: int, core: Core) -> None:
    """Refuse a window that is not in the region, or has a hole."""
    if first >= 0 and first in region.starts(steps):
        return
    if region.times.size < steps:
        refuse_small(region, core.setup)
    at: NDArray[np.datetime64] = region.times
    raise SifnetError(
        "too few time steps around this time",
        found=f"{at.size} steps from {at[0]} to {at[-1]}",
        expected=f"{steps} steps of {region.hours} h without a gap, {max(-first, 0)} earlier ones",
        remedy="Give a longer series.",
        file=", ".join(region.data.attrs.get("files", [])) or None,
    )


def _position(region: Region, time: np.datetime64) -> int:
    where = np.flatnonzero(region.times == time)
    if not where.size:
        raise SifnetError(
            "the fields do not hold this time", found=str(time),
            expected=f"one of {region.times[0]} to {region.times[-1]}, every {region.hours} h",
            remedy="Choose another time, or download it.",
        )  # fmt: skip
    return int(where[0])
