"""Skill of an ensemble beside cheap forecasts, with its uncertainty from a bootstrap over days."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import default_collate

from atmorep_bridge.core import masks
from atmorep_bridge.core.base import OFF, Linear, stencil
from atmorep_bridge.core.detail import FACTOR, coarsened, sharpened
from atmorep_bridge.core.filling import from_coarse
from atmorep_bridge.core.grids import Place
from atmorep_bridge.core.losses import crps
from atmorep_bridge.core.masks import Kind
from atmorep_bridge.core.predict import base, predict, suits
from atmorep_bridge.core.times import Times
from atmorep_bridge.core.tokens import ByField
from atmorep_bridge.core.training import Core
from atmorep_bridge.core.windows import Region

Array = NDArray[np.float64]
OURS = "our base"


@dataclass(frozen=True)
class Cases:
    """Forecasts of one field of many windows; anomalies in the field's unit.

    Attributes:
        truth: ``case, level, time, latitude, longitude``. members: with the members before that.
        baselines: name → like truth; OURS is what the network starts from.
        day: (case) of the bootstrap. area: what a point counts, ``row, 1 or column``.
    """

    truth: Tensor
    members: Tensor
    baselines: dict[str, Tensor]
    day: NDArray[np.int64]
    area: Tensor


def nowcast_cases(core: Core, region: Region, name: str, every: int = 1) -> Cases:
    """Forecasts from every ``every``-th time of a region, as far as the model goes at once."""
    window = core.setup.neighbourhood[0]
    return _hidden_cases(core, region, name, window - core.setup.lead, window, every)


def gap_cases(core: Core, region: Region, name: str, every: int = 1, length: int = 3) -> Cases:
    """Gaps in the middle of windows."""
    longest = core.setup.longest
    first = (core.setup.neighbourhood[0] // longest) // 2 * longest
    return _hidden_cases(core, region, name, first, first + length, every)


def _hidden_cases(
    core: Core, region: Region, name: str, first: int, last: int, every: int
) -> Cases:
    anomaly, times, place = _windows(core, region, every)
    truth, kinds = anomaly[name], masks.from_time(core.setup, first, last)
    members = predict(core, region, anomaly, times, kinds)[name]
    ours = base(core, region, anomaly, kinds)[0][name]
    visible = torch.isfinite(truth)
    visible[:, :, first:last] = False
    alone = _alone(core, name)
    points = torch.arange(truth[0, 0, 0].numel()).view(*truth.shape[-2:], 1)
    kriged, _ = alone.fill(truth.flatten(-2), visible.flatten(-2), points, 0 * points[..., 0])
    # Persistence keeps the value, not the anomaly: the difference is that of the two hours' means.
    mean = normalised_mean(core, name, times, place)
    held, hours = truth[:, :, first - 1 : first], torch.arange(1, last - first + 1)
    damped, value = torch.zeros_like(truth), truth + mean
    if last < core.setup.neighbourhood[0]:
        share = hours.view(1, 1, -1, 1, 1) / (last - first + 1)
        damped[:, :, first:last] = held + share * (truth[:, :, last : last + 1] - held)
        now, after = value[:, :, first - 1 : first], value[:, :, last : last + 1]
        straight = torch.zeros_like(truth)
        straight[:, :, first:last] = now + share * (after - now) - mean[:, :, first:last]
        simple = {"line between anomalies": damped, "linear in time": straight}
    else:
        memory = alone.covariance[-1, hours].diagonal(dim1=1, dim2=2).T  # level, hour
        damped[:, :, first:last] = held * memory[None, :, :, None, None]
        simple = {"damped anomaly": damped, "persistence": value[:, :, first - 1 : first] - mean}
    climatology = {"climatology": torch.zeros_like(truth)}
    baselines = simple | climatology | {"one grid point, kriged": kriged, OURS: ours}
    return cases_of(core, name, truth, members, baselines, times, slice(first, last), place)


def _alone(core: Core, name: str) -> Linear:
    """The same base of a field without neighbours, zones and other fields."""
    statistics, n = core.statistics, 0
    neighbours = len(stencil(statistics.rings))
    for other, usual in statistics.fields.items():
        if other == name:
            break
        n += len(usual.sd)
    at = torch.arange(n, n + len(statistics.fields[name].sd)) * neighbours
    whole = statistics.covariance[-1:, :, at][..., at]
    scale = whole[0, 0].diagonal().sqrt()
    nuggets = torch.tensor([1e-3, 1e-3, OFF]).repeat(len(at), 2, 1)
    one = torch.ones(len(at))
    return Linear(whole / scale[:, None] / scale, one, nuggets, one[:, None].expand(-1, 2))


def downscaling_cases(core: Core, region: Region, name: str, every: int = 1) -> Cases:
    """All times of windows from their means over blocks."""
    truth, times, place = _windows(core, region, every)
    statistics, (rows, columns) = core.statistics, place
    shape = region.grid.shape
    whole = [n // FACTOR * FACTOR for n in shape]
    blocks = rows[: whole[0]], columns[: whole[1]]
    smooth, errors = {}, {}
    for n, values in truth.items():
        off = coarsened((values * statistics.sd(n, place)).nan_to_num())
        found = from_coarse(statistics, n, off, blocks, (0, 0, 0, 0))
        rest = (0, shape[1] - whole[1], 0, shape[0] - whole[0])  # in no block
        smooth[n], errors[n] = (
            torch.nn.functional.pad(v.flatten(0, 1), rest, "replicate").unflatten(0, v.shape[:2])
            for v in found
        )  # fmt: skip
    kinds = masks.everything(core.setup, Kind.COARSE)
    members = predict(core, region, smooth, times, kinds, errors, FACTOR)[name]
    mean, sd = normalised_mean(core, name, times, place), statistics.sd(name, place)
    baselines = {
        "bilinear": sharpened(coarsened((truth[name] + mean) * sd), shape) / sd - mean,
        "bilinear and hourly mean detail": sharpened(coarsened(truth[name] * sd), shape) / sd,
        OURS: smooth[name],
    }
    return cases_of(core, name, truth[name], members, baselines, times, slice(None), place)


def normalised_mean(core: Core, name: str, times: Times, place: Place) -> Tensor:
    """Climatology in units of the anomaly: added to one, differences are those of values."""
    mean = torch.stack([core.statistics.mean(name, hours, place) for hours in times])
    return mean / core.statistics.sd(name, place)


def _windows(core: Core, region: Region, every: int) -> tuple[ByField, Times, Place]:
    place = suits(core, region)
    window = core.setup.neighbourhood[0]
    starts = region.starts(window)[::every]
    values = region.everything()
    times = np.stack([region.times[s : s + window] for s in starts])
    truth: ByField = default_collate([
        core.statistics.anomalies({n: v[:, s : s + window] for n, v in values.items()}, t, place)
        for s, t in zip(starts, times, strict=True)
    ])  # fmt: skip
    return truth, times, place


def cases_of(
    core: Core, name: str, truth: Tensor, members: Tensor, baselines: dict[str, Tensor],
    times: Times, hours: slice, place: Place,
) -> Cases:  # fmt: skip
    """Of anomalies, the hours that count, in the field's unit."""
    sd = core.statistics.sd(name, place)
    shown = times[:, hours]
    return Cases(
        truth[:, :, hours] * sd,
        members[:, :, :, hours] * sd,
        {n: b[:, :, hours] * sd for n, b in baselines.items()},
        shown[:, shown.shape[1] // 2].astype("datetime64[D]").astype(np.int64),
        core.statistics.grid.area[place[0]],
    )


@dataclass(frozen=True)
class Score:
    """A figure with the 5 and 95 % quantiles of its bootstrap."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3f} ({self.low:.3f}-{self.high:.3f})"


def scores(cases: Cases, hours: slice = slice(None), draws: int = 500) -> dict[str, Score]:
    """RMSE of the ensemble mean and of baselines, CRPS, mean errors without sign, spread/skill.

    Days are drawn with replacement; all cases of a day stay together.
    """
    truth, members = cases.truth[:, :, hours], cases.members[:, :, :, hours]
    valid = torch.isfinite(truth)
    truth = torch.nan_to_num(truth)
    axes, area = (1, 2, 3, 4), cases.area.nan_to_num()

    def case_mean(values: Tensor) -> Array:
        total = (torch.where(valid, values, 0.0) * area).sum(axes)
        return np.asarray((total / (valid * area).sum(axes).clamp(min=1e-9)).double().numpy())

    parts = {
        "mse": case_mean((members.mean(0) - truth) ** 2),
        "variance": case_mean(members.var(0)),
        "crps": case_mean(crps(members, truth)),
    }
    for name, values in cases.baselines.items():
        parts[f"mse {name}"] = case_mean((values[:, :, hours] - truth) ** 2)
        parts[f"mae {name}"] = case_mean((values[:, :, hours] - truth).abs())

    days, day = np.unique(cases.day, return_inverse=True)
    drawn = np.random.default_rng(0).integers(days.size, size=(draws, days.size))
    counts = (drawn[:, :, None] == np.arange(days.size)).sum(1)[:, day]
    weights = np.vstack([np.ones(day.size), counts])  # of all cases, as they are first
    means = {name: weights @ values / weights.sum(1) for name, values in parts.items()}
    return {
        name: Score(values[0], *np.quantile(values[1:], [0.05, 0.95]))
        for name, values in _figures(means, list(cases.baselines), members.shape[0]).items()
    }


def _figures(mean: dict[str, Array], baselines: list[str], members: int) -> dict[str, Array]:
    """Root mean squares and ratios of mean squares; see ``scores``."""
    # A finite ensemble's mean is off by its own variance / members (Fortin et al. 2014, eq. 15).
    variance = (members + 1) / members * mean["variance"]
    figures = {"rmse": mean["mse"] ** 0.5, "crps": mean["crps"],
               "spread/skill": (variance / mean["mse"]) ** 0.5}  # fmt: skip
    for name in baselines:
        mse, mae = mean[f"mse {name}"], mean[f"mae {name}"]
        figures |= {
            f"rmse {name}": mse**0.5,
            f"mae {name}": mae,
            f"rmse / {name}": (mean["mse"] / mse) ** 0.5,
            f"crps / mae {name}": mean["crps"] / mae,
        }
    return figures


def best_baseline(scores: dict[str, Score], cases: Cases) -> str:
    """Name of the baseline of least RMSE."""
    return min(cases.baselines, key=lambda name: scores[f"rmse {name}"].value)
