"""Members as states: means over regions, and rollouts to two days. A part of docs/forecast.md.

    python tests/benchmarks/states.py       prints that part (the United Kingdom and the Horn)

Of the base alone, each member a fixed quantile of what it expects: no network is trained.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from harness import ERA5, needed, table
from torch import Tensor

from atmorep_bridge.core import skill
from atmorep_bridge.core.predict import suits
from atmorep_bridge.core.skill import Cases
from atmorep_bridge.core.specs import FieldSpec, Setup, Size
from atmorep_bridge.core.statistics import fit
from atmorep_bridge.core.tasks import rollout
from atmorep_bridge.core.training import Core
from atmorep_bridge.core.windows import Region, open_region

NAME = "temperature_2m"
OTHERS = ("tmax", "tmin")  # of the same days
SIZE = Size(width=8, heads=2, encoder_layers=1, decoder_layers=1, members=8)  # says nothing
UK = Setup((FieldSpec(NAME, patch=(3, 4, 4)),), (24, 16, 16), size=SIZE, rings=(2, 5, 12))
HORN = Setup(
    tuple(FieldSpec(n, patch=(1, 2, 3)) for n in (NAME, *OTHERS)),
    (8, 10, 12),
    hours=24,
    size=SIZE,
    rings=(1, 2, 3),
)
FILES = (
    ERA5 / "era5_t2m_uk_201903_hourly.nc",
    (ERA5.parent / "climate" / "ncep_ncar_daily_horn_of_africa_2008-2016.nc"),
)
LEADS = {"1-3 h": slice(0, 3), "4-6 h": slice(3, 6), "7-12 h": slice(6, 12),
         "13-24 h": slice(12, 24), "25-48 h": slice(24, 48)}  # fmt: skip
DAYS = {"day 1": slice(0, 1), "day 2": slice(1, 2), "day 4": slice(3, 4), "day 6": slice(5, 6)}


def section() -> str:
    """Both places, as a part of the page."""
    month = open_region([FILES[0]], UK.fields).loaded()
    train, _ = month.split(np.datetime64("2019-03-25", "ns"), UK.neighbourhood[0])
    years = open_region([FILES[1]], HORN.fields).loaded()
    to_2014 = years.between(years.times[0], np.datetime64("2014-12-31T23", "ns"))
    uk = _table(Core(UK, fit(train, UK)).silent(), month, "2019-03-25", 48, 12, LEADS)
    horn = _table(Core(HORN, fit(to_2014, HORN)).silent(), years, "2016-01-01", 6, 5, DAYS)
    return f"""## Members as states: regional means and rollouts

Of the base alone: each member is a fixed quantile at a point, and members are ordered by what the
base erred by on days before (`atmorep_bridge/core/copula.py`). *In order of value* is the same
without that. RMSE and CRPS in K, the mean of the ensemble beside a persistent value, a damped
anomaly and climatology; spread/skill at points and of the mean over the whole map, by area
(0.8-1.25 asked). CRPS of single values is their mean absolute error. Rollouts of the United Kingdom
go through eight turns of 6 h. Column water is not scored: of fields on levels, a single day is at
hand, and a window is as long.

United Kingdom, from every 12th hour of 25 to 29 March:

{uk}

Horn of Africa, from every 5th day of 2016:

{horn}

A trial with past analyses in the place of errors (the Schaake shuffle as published), from every
fourth hour of the test week: spread/skill of the regional mean of the United Kingdom 1.41 and 1.28
at 1-3 h and 4-6 h, CRPS 0.164 and 0.351 K; with errors 0.65 and 0.79, 0.135 and 0.347 K."""


def _table(
    core: Core, region: Region, since: str, steps: int, every: int, leads: dict[str, slice]
) -> str:
    at = np.datetime64(since, "ns")
    cases, before = (
        rollout_cases(core, region, NAME, at, steps, every, states=states)
        for states in (True, False)
    )
    rows = []
    for lead, steps_ in leads.items():
        point, old, mean, old_mean = (
            skill.scores(c, steps_) for c in (cases, before, regional(cases), regional(before))
        )
        others = ("persistence", "damped anomaly", "climatology")
        maes = ", ".join(f"{point[f'mae {n}'].value:.2f}" for n in others)
        rows.append([lead, f"{point['rmse'].value:.2f}",
                     ", ".join(f"{point[f'rmse {n}'].value:.2f}" for n in others),
                     f"{point['crps'].value:.2f}", maes,
                     f"{point['spread/skill'].value:.2f}", f"{old['spread/skill'].value:.2f}",
                     mean["spread/skill"], f"{old_mean['spread/skill'].value:.2f}",
                     f"{mean['crps'].value:.2f}", f"{old_mean['crps'].value:.2f}"])  # fmt: skip
    return table(
        ["ahead", "RMSE", "persistence, damped, climatology", "CRPS", "their mean error",
         "spread/skill", "in order of value", "of the regional mean", "in order of value",
         "CRPS of that", "in order of value"], rows,
    )  # fmt: skip


def rollout_cases(
    core: Core, region: Region, name: str, since: np.datetime64, steps: int, every: int,
    *, states: bool = True,
) -> Cases:  # fmt: skip
    """Forecasts of ``steps`` steps from every ``every``-th time before ``since`` or later.

    Args:
        region: with the past, from which members are ordered and anomalies are damped.
        states: whether they are ordered, see ``copula``.
    """
    place, history = suits(core, region), core.setup.neighbourhood[0] - core.setup.lead
    anomaly = core.statistics.anomalies(region.everything(), region.times, place)[name]
    mean = skill.normalised_mean(core, name, region.times[None], place)[0]
    first = int(np.searchsorted(region.times, since))
    past = anomaly[:, :first].nan_to_num()
    lagged = [(past[:, n:] * past[:, : first - n]).mean() for n in range(steps + 1)]
    memory = (torch.stack(lagged[1:]) / lagged[0]).view(1, -1, 1, 1)
    known = [int(n) + history - 1 for n in region.starts(history + steps)]
    known = [n for n in known if n >= first - 1][::every]
    members, truth, damped, held = [], [], [], []
    for last in known:
        begin, ahead = 0 if states else last + 1 - history, slice(last + 1, last + 1 + steps)
        given = replace(region, data=region.data.isel(time=slice(begin, last + 1)))
        members.append(rollout(core, given, last - begin, steps)[name])
        truth.append(anomaly[:, ahead])
        damped.append(memory * anomaly[:, last, None])
        held.append((anomaly + mean)[:, last, None] - mean[:, ahead])
    whole, zero = torch.stack(truth), torch.zeros_like(torch.stack(truth))
    baselines = {"damped anomaly": torch.stack(damped), "persistence": torch.stack(held),
                 "climatology": zero}  # fmt: skip
    times = np.stack([region.times[last + 1 : last + 1 + steps] for last in known])
    drawn = torch.stack(members, 1)
    return skill.cases_of(core, name, whole, drawn, baselines, times, slice(None), place)


def regional(cases: Cases) -> Cases:
    """The same of means over the map, of points by their area; those without truth left out."""
    weight = torch.isfinite(cases.truth) * cases.area.nan_to_num()
    total = weight.sum((-2, -1), keepdim=True)

    def mean(values: Tensor) -> Tensor:
        return (values.nan_to_num() * weight).sum((-2, -1), keepdim=True) / total

    baselines = {name: mean(values) for name, values in cases.baselines.items()}
    return Cases(mean(cases.truth), mean(cases.members), baselines, cases.day, torch.ones(1, 1))


if __name__ == "__main__":
    needed(ERA5)
    torch.set_num_threads(1)
    print(section())
