"""Skill of an ensemble beside cheap forecasts, with its uncertainty from a bootstrap over days."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import default_collate

from atmorep_bridge.core import masks
from atmorep_bridge.core.base import FACTOR, coarsened, detailed, informed, kriged, sharpened
from atmorep_bridge.core.losses import crps
from atmorep_bridge.core.masks import Kind
from atmorep_bridge.core.predict import Place, predict, suits
from atmorep_bridge.core.samples import Samples
from atmorep_bridge.core.tasks import longest_lead
from atmorep_bridge.core.tokens import to_tokens
from atmorep_bridge.core.training import Core
from atmorep_bridge.core.windows import Region

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Cases:
    """Forecasts of one field of many windows; anomalies times sd, so in the field's unit.

    Attributes:
        truth: ``case, level, time, latitude, longitude``. members: with the members before that.
        baselines: name → like truth. day: (case) of the bootstrap.
    """

    truth: torch.Tensor
    members: torch.Tensor
    baselines: dict[str, torch.Tensor]
    day: NDArray[np.int64]


def nowcast_cases(core: Core, region: Region, name: str, every: int = 1) -> Cases:
    """Forecasts from every ``every``-th time of a region, as far as the model goes at once."""
    window = core.setup.neighbourhood[0]
    return _hidden_cases(core, region, name, window - longest_lead(core), window, every)


def gap_cases(core: Core, region: Region, name: str, every: int = 1, length: int = 3) -> Cases:
    """Gaps in the middle of windows."""
    window = core.setup.neighbourhood[0]
    longest = max(spec.patch[0] for spec in core.setup.fields)
    first = (window // longest) // 2 * longest
    return _hidden_cases(core, region, name, first, first + length, every)


def _hidden_cases(
    core: Core, region: Region, name: str, first: int, last: int, every: int
) -> Cases:
    truth, times, place = _windows(core, region, every)
    setup = core.setup
    found = predict(core, region, truth, times, masks.from_time(setup, first, last))[name]
    usual, known = core.statistics.fields[name], truth[name]
    visible = torch.isfinite(known)
    visible[:, :, first:last] = False
    base, _ = informed(known, visible, usual.memory)
    krige, _ = kriged(known, visible, usual.memory)
    baselines = {"informed base": base, "kriged base": krige, "climatology": torch.zeros_like(base)}
    # Persistence keeps the value, not the anomaly: the difference is that of the two hours' means.
    mean = _normalised_mean(core, name, times, place)
    held = (known + mean)[:, :, first - 1 : first]
    if last < setup.neighbourhood[0]:
        after = (known + mean)[:, :, last : last + 1]
        share = torch.arange(1, last - first + 1).view(1, 1, -1, 1, 1) / (last - first + 1)
        straight = held + share * (after - held)
        baselines["linear in time"] = torch.zeros_like(known)
        baselines["linear in time"][:, :, first:last] = straight - mean[:, :, first:last]
    else:
        baselines["persistence"] = held - mean
    return _cases(core, name, known, found, baselines, times, slice(first, last))


def downscaling_cases(core: Core, region: Region, name: str, every: int = 1) -> Cases:
    """All times of windows from their means over blocks."""
    truth, times, place = _windows(core, region, every)
    shape = region.latitude.size, region.longitude.size
    given = {n: detailed(coarsened(v), core.statistics.pattern(n, *place))
             for n, v in truth.items()}  # fmt: skip
    kinds = masks.everything(core.setup, Kind.COARSE)
    found = predict(core, region, given, times, kinds, FACTOR)[name]
    mean = _normalised_mean(core, name, times, place)
    plain = sharpened(coarsened(truth[name] + mean), shape) - mean
    baselines = {
        "bilinear": plain,
        "bilinear and hourly mean detail": sharpened(coarsened(truth[name]), shape),
        "the same, scaled by local spread": given[name],
    }
    return _cases(core, name, truth[name], found, baselines, times, slice(None))


def _normalised_mean(
    core: Core, name: str, times: NDArray[np.datetime64], place: Place
) -> torch.Tensor:
    """Climatology in units of the anomaly: added to one, differences are those of values."""
    sd = core.statistics.fields[name].sd.view(-1, 1, 1, 1)
    return torch.stack([core.statistics.mean(name, t, *place) / sd for t in times])


def _windows(core: Core, region: Region, every: int):  # type: ignore[no-untyped-def]
    place = suits(core, region)
    window = core.setup.neighbourhood[0]
    starts = region.starts(window)[::every]
    values = region.everything()
    times = np.stack([region.times[s : s + window] for s in starts])
    truth = {
        n: torch.stack([
            core.statistics.anomaly(n, values[n][:, s : s + window], t, *place)
            for s, t in zip(starts, times, strict=True)
        ])
        for n in core.setup.names
    }  # fmt: skip
    return truth, times, place


def _cases(
    core: Core, name: str, truth: torch.Tensor, members: torch.Tensor,
    baselines: dict[str, torch.Tensor], times: NDArray[np.datetime64], hours: slice,
) -> Cases:  # fmt: skip
    sd = core.statistics.fields[name].sd.view(-1, 1, 1, 1)
    shown = times[:, hours]
    return Cases(
        truth[:, :, hours] * sd,
        members[:, :, :, hours] * sd,
        {n: b[:, :, hours] * sd for n, b in baselines.items()},
        shown[:, shown.shape[1] // 2].astype("datetime64[D]").astype(np.int64),
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
    known = torch.isfinite(truth)
    truth = torch.nan_to_num(truth)
    mean = members.mean(0)
    axes = (1, 2, 3, 4)

    def day_mean(values: torch.Tensor) -> Array:
        total = torch.where(known, values, 0.0).sum(axes) / known.sum(axes).clamp(min=1)
        return np.asarray(total.double().numpy())

    parts = {
        "mse": day_mean((mean - truth) ** 2),
        "variance": day_mean(members.var(0)),
        "crps": day_mean(crps(members, truth)),
    }
    for name, values in cases.baselines.items():
        parts[f"mse {name}"] = day_mean((values[:, :, hours] - truth) ** 2)
        parts[f"mae {name}"] = day_mean((values[:, :, hours] - truth).abs())
    days = [np.flatnonzero(cases.day == day) for day in np.unique(cases.day)]
    rng = np.random.default_rng(0)
    drawn = [np.concatenate([days[i] for i in rng.integers(len(days), size=len(days))])
             for _ in range(draws)]  # fmt: skip
    everyone = np.arange(cases.day.size)

    def at(which: NDArray[np.int64]) -> dict[str, float]:
        means = {name: float(values[which].mean()) for name, values in parts.items()}
        return _figures(means, members.shape[0])

    best, again = at(everyone), [at(which) for which in drawn]
    return {
        name: Score(value, *np.quantile([a[name] for a in again], [0.05, 0.95]).tolist())
        for name, value in best.items()
    }


def _figures(mean: dict[str, float], members: int) -> dict[str, float]:
    """Root mean squares and ratios of mean squares; see ``scores``."""
    squared = {key.removeprefix("mse "): v for key, v in mean.items() if key.startswith("mse ")}
    # A finite ensemble's mean is off by its own variance / members (Fortin et al. 2014, eq. 15).
    variance = (members + 1) / members * mean["variance"]
    found = {"rmse": mean["mse"] ** 0.5, "crps": mean["crps"],
             "spread/skill": (variance / mean["mse"]) ** 0.5}  # fmt: skip
    for name, mse in squared.items():
        found[f"rmse {name}"] = mse**0.5
        found[f"mae {name}"] = mean[f"mae {name}"]
        found[f"rmse / {name}"] = (mean["mse"] / mse) ** 0.5
        found[f"crps / mae {name}"] = mean["crps"] / mean[f"mae {name}"]
    return found


def masked_errors(
    core: Core, region: Region, samples: int = 96, seed: int = 1
) -> dict[str, dict[str, Array]]:
    """Mean squared error of randomly masked tokens, of each sample, for every field.

    Anomalies, in standard deviations: of the model ("model") and what it fills in itself, and of
    lines in time and damped values ("informed base").

    Returns:
        field → method → (sample).
    """
    setup = replace(core.setup, plans={"random": 1.0})
    data = Samples(region, setup, core.statistics, seed)
    found: dict[str, dict[str, list[float]]] = {n: {} for n in setup.names}
    for index in range(samples):
        batch = default_collate([data[index]])
        with torch.inference_mode():
            predicted = core(*(batch[k] for k in ("given", "pattern", "kinds", "info")))
            lines, _ = core.filled(batch["given"], batch["kinds"], "informed")
            own, _ = core.filled(batch["given"], batch["kinds"])
        for spec in setup.fields:
            where = batch["kinds"][spec.name] != Kind.SEEN
            truth = to_tokens(batch["truth"][spec.name], spec.patch)[where]
            methods = {"model": predicted[spec.name][0].mean(0),
                       "informed base": lines[spec.name][where],
                       "own base": own[spec.name][where]}  # fmt: skip
            for method, values in methods.items():
                error = float(((values - truth) ** 2).nanmean())
                found[spec.name].setdefault(method, []).append(error)
    return {n: {m: np.array(v) for m, v in methods.items()} for n, methods in found.items()}


def best_baseline(found: dict[str, Score], cases: Cases) -> str:
    """Name of the baseline of least RMSE."""
    return min(cases.baselines, key=lambda name: found[f"rmse {name}"].value)
