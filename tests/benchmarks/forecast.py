"""Skill of the masked-token model on real ERA5 beside cheap forecasts.

    python tests/benchmarks/forecast.py [FOLDER]        (make forecast)

Trains on days that come before those it is tested on; checkpoints are kept in FOLDER and found
again. Writes ``docs/forecast.md`` and
``docs/forecast.png``. Needs the reference data beside the project.
"""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import states
import stations
import torch
import xarray as xr
from harness import ERA5, needed, page, parameters, run, save, table
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from atmorep_bridge.core import climate, masks, skill
from atmorep_bridge.core.base import ridge
from atmorep_bridge.core.masks import Kind
from atmorep_bridge.core.model import MaskedTokenModel
from atmorep_bridge.core.predict import base
from atmorep_bridge.core.specs import SIZES, FieldSpec, Setup, all_coupled
from atmorep_bridge.core.tasks import interpolate, nowcast
from atmorep_bridge.core.tokens import INFO
from atmorep_bridge.core.training import Core, Training, load, train
from atmorep_bridge.core.windows import Region, open_region

UK = ERA5 / "era5_t2m_uk_201903_hourly.nc"
HORN = ERA5.parent / "climate" / "ncep_ncar_daily_horn_of_africa_2008-2016.nc"
NAME = "temperature_2m"
TEST_UK = np.datetime64("2019-03-25", "ns")
SMALL = replace(SIZES["tiny"], width=64)
MONTH = Setup((FieldSpec(NAME, patch=(3, 4, 4)),), (24, 16, 16), size=SMALL, rings=(2, 5, 12))
OTHERS = ("tmax", "tmin", "prate")  # of the same days; rain in the unit of its service
RAIN = "kg m-2 s-1"
YEARS = Setup(all_coupled([FieldSpec(name, patch=(1, 5, 4)) for name in (NAME, *OTHERS)]),
              (8, 10, 12), hours=24, size=SMALL, rings=(1, 2, 3),
              plans={"causal": 1.0})  # fmt: skip
MODELS = {
    "uk": (UK, MONTH, Training(steps=400)),
    "horn": (HORN, YEARS, Training(steps=300, learning_rate=2e-3, superposed=0.5, workers=2)),
}
CHOICE, REPORT = ("2014-12-26", "2015-12-31"), ("2015-12-26", "2016-12-31")
BARS = {"nowcast, 1-3 h": 0.66, "nowcast, 4-6 h": 1.30, "gap of 3 h": 0.272,
        "downscaling x 4": 0.335, "day 1": 1.22, "day 2": 1.65}  # fmt: skip
SHRINKAGE = torch.tensor(0.1)  # of the ridge that is told more, chosen on 2015
LEAST_SPREAD, MOST_SPREAD, LEAST_GAIN = 0.80, 1.25, 0.98
Scores = dict[str, dict[str, skill.Score]]
"""By task, then by figure."""
INTRODUCTION = """A reanalysis arrives days late; a retrieval of today needs the state now.
`atmorep_bridge/core` is a masked-token model after AtmoRep (Lessig et al. 2023, arXiv:2308.13280):
what is hidden from it chooses the task, and none needs a training of its own. How it is used, on a
laptop and on a cluster, is in [core.md](core.md).

What is hidden is first filled with our base, the best linear estimate; the network adds to it, and
says how uncertain it is. Ahead and in gaps that is a ridge regression from all visible hours of a
window at a point and at 24 neighbours, and from other fields near the hidden hours there and at the
eight nearest. It knows one covariance of all fields in space and time, part of the place's zone,
part of the whole map; that share, the shrinkage and how much other fields count are chosen on the
last fifth of the training days. How large errors are is known from what a covariance of earlier
days misses on each of the last three fifths. For detail the base is a ridge regression of every
fine point on 5 x 5 coarse blocks. Anomalies are from harmonics of the year and the day, over the
standard deviation of the place. What a forecast is worth to SIF is in [loop.md](loop.md).

![Truth, mean, spread and error of a forecast and a filled gap](forecast.png)

The forecast is from 6 UTC on 28 March, chosen because it is a hard one: central England was colder
than usual at that hour, and six hours later warmer. Ranges are 5 to 95 % of a bootstrap over days;
points count by their area. The training of both networks, an hour of CPU, is not in
the minutes below where they are there from a run before."""
CHOICES = """## What was chosen, and on which days

Local standard deviations, distances of neighbours, harmonics and blocks were chosen on 1 to 23
March: trained to 16 March, looked at on 18 to 23 March, and the other way round (8 to 23, 1
to 6 March). There the base has 0.43 / 0.49 K ahead 1-3 h and 0.83 / 0.90 K at 4-6 h; from one grid
point 0.50 / 0.59 and 1.01 / 1.04 K. The weather of the test week is half as hard again. The
test week was scored beside these days in every one of those trials, so it is not untouched.

How much the neighbours count in a gap is chosen on the last days of the training part. In one half
of the month neighbours make a gap better by 12 %, in the other worse by 4 %, and worse in the
test week: no choice on the training days says so.

The error that the base expects grows with how unusual the visible values are (a Student-t process):
that, not the training days, is what lets the spread follow a week of larger errors.

How large errors of forecasts and of gaps are beside the expected ones is told by three of five
parts of the training days, each from the days before it: 0.98 and 0.78 here. Without that the
spread/skill of a gap is 1.4 in the test week. It is no rule that was seen to help before: trained
on 9 to 16 days of March and tried on the five to seven after them, five times, it took spread/skill
of a gap from 1.21-1.69 to 1.32-1.66 and that of 1-3 h from 1.00-1.23 to 1.19-1.49; fewer days are
rather learnt by heart. The last fifth alone did no better (gaps 0.90-1.66, 1-3 h 0.85-1.65). More
values to tell how unusual an hour is (96 or 256 instead of 32) made CRPS of forecasts no better in
two of these trials.

The last fifth of the training days is not learnt from; the epoch of least loss there is what is
tested, or the base alone where that has less: networks have 0.6 % less over the United Kingdom and
3 % less over the Horn, of which test days keep nothing in RMSE and 0.5 to 0.8 % in CRPS over the
Horn. A base that knew temperature alone had 1.191 and 1.619 K over the Horn in 2016; a ridge that
was told the other fields besides had 0.956 and 0.982 of that.

Each member has a tail of its own; none is drawn by chance. Such members settle at fixed quantiles
of what may come true, and α, the fair share of the almost fair CRPS (Lang et al. 2024,
arXiv:2412.15832), says at which (`atmorep_bridge/core/losses.py`); 0.25, as chosen for the former
base."""


def regions(file: Path, folder: Path) -> tuple[Region, Region]:
    """Training and test part: a window's length apart; of years, to 2014 and after."""
    if file == UK:
        return open_region([file], MONTH.fields).split(TEST_UK, MONTH.neighbourhood[0])
    with xr.open_dataset(file, engine="h5netcdf") as daily:  # which does not state the unit of rain
        told = daily.load().assign(prate=daily["prate"].assign_attrs(units=RAIN))
    told.to_netcdf(folder / file.name, engine="h5netcdf")
    years = open_region([folder / file.name], YEARS.fields)
    return part(years, "2008-01-01", "2014-12-31"), part(years, CHOICE[0], REPORT[1])


def part(region: Region, first: str, last: str) -> Region:
    """The days from the first to the last."""
    return region.between(np.datetime64(first, "ns"), np.datetime64(last, "ns"))


def model(name: str, folder: Path) -> Path:
    """Train one model, unless it is there."""
    file, setup, config = MODELS[name]
    path = folder / f"{name}.ckpt"
    if path.exists():
        core = load(path)
        if (core.setup, core.how) == (setup, config):
            return path
    torch.set_num_threads(1)
    begun = time.time()
    train(regions(file, folder)[0], setup, path, config=config)
    print(f"{name}: {time.time() - begun:.0f} s", flush=True)
    return path


def main(folder: Path) -> None:
    """Train both, then write the page."""
    needed(ERA5)
    torch.set_num_threads(1)
    with page("forecast", "The state of the atmosphere, now", INTRODUCTION) as add:
        core, (_, test) = load(model("uk", folder)), regions(UK, folder)
        add(_uk(month(core, test)))
        _figure(core, test)
        add(
            _horn(load(model("horn", folder)), *regions(HORN, folder)),
            states.section(),
            stations.section(),
            CHOICES,
            _speed(),
        )


def month(core: Core, test: Region) -> Scores:
    """Scores of every task on the last week of the month."""
    ahead = skill.nowcast_cases(core, test, NAME)
    return {
        "nowcast, 1-3 h": skill.scores(ahead, slice(0, 3)),
        "nowcast, 4-6 h": skill.scores(ahead, slice(3, 6)),
        "gap of 3 h": skill.scores(skill.gap_cases(core, test, NAME)),
        "downscaling x 4": skill.scores(skill.downscaling_cases(core, test, NAME, 4)),
    }


def _uk(scores: Scores) -> str:
    tables, missed = _tables(scores)
    return f"""## 2 m temperature over the United Kingdom

Hourly ERA5, 33 x 49 points. Trained on 1 to 23 March 2019, tested on 25 to 31 March, all hours and
places; the day between is a window's length. RMSE in K.

{tables}

Missed of what was asked: {missed}."""


def _horn(core: Core, learnt: Region, years: Region) -> str:
    text = []
    told = _told_more(core, learnt, years)
    for year, days in (("2015", CHOICE), ("2016", REPORT)):
        cases = skill.nowcast_cases(core, part(years, *days), NAME)
        scores = {f"day {d + 1}": skill.scores(cases, slice(d, d + 1)) for d in (0, 1)}
        tables, missed = _tables(scores)
        gains = [s[f"rmse / {skill.OURS}"] for s in scores.values()]
        wins = all(gain.high < 1 and gain.value <= LEAST_GAIN for gain in gains)
        says = "The network earns its place." if wins else (
            f"The network is not {1 - LEAST_GAIN:.0%} better than its base: the base is the model."
        )  # fmt: skip
        more = " and ".join(f"{told[year][d]:.3f} (day {d + 1})" for d in (0, 1))
        text.append(f"### {year}\n\n{tables}\n\nMissed of what was asked: {missed}. {says} "
                    f"Of a ridge that is told as much, over the base: {more}.")  # fmt: skip
    return """## Daily temperature over the Horn of Africa

NCEP/NCAR, 10 x 12 points of 1.9°, 2008 to 2016: trained to 2014, of which the last fifth chose the
epoch, choices on 2015, 2016 for the report. One and two days ahead. Base and network are told the
highest and lowest of the day and rain besides temperature, the network the season, too. So is the
ridge below, made apart from the model: of what the base misses, on all four fields of the last two
days at nine points, and how that changes through the year; pooled, and of each point.

""" + "\n\n".join(text)


def _told_more(core: Core, learnt: Region, years: Region) -> dict[str, list[float]]:
    """RMSE over that of the base, of each day ahead, of a ridge on what the base misses."""
    x, missed = _missed(core, learnt)
    whole = ridge((x.mT @ x).sum(0), (x.mT @ missed).sum(0), SHRINKAGE)
    weights = whole + ridge(x.mT @ x, x.mT @ (missed - x @ whole), SHRINKAGE)
    found = {}
    for year, days in (("2015", CHOICE), ("2016", REPORT)):
        x, missed = _missed(core, part(years, *days))
        left = missed - x @ weights
        found[year] = ((left**2).mean((0, 1)) / (missed**2).mean((0, 1))).sqrt().tolist()
    return found


def _missed(core: Core, region: Region) -> tuple[torch.Tensor, torch.Tensor]:
    """What is known ``point, case, feature``, and what the base misses ``point, case, day``, K."""
    days, place = core.setup.neighbourhood[0], core.statistics.place(region)
    known, starts = days - core.setup.lead, region.starts(days)
    anomaly = core.statistics.anomalies(region.everything(), region.times, place)
    whole = {n: torch.stack([v[:, s : s + days] for s in starts]) for n, v in anomaly.items()}
    ours = base(core, region, whole, masks.from_time(core.setup, known))[0][NAME]
    missed = ((whole[NAME] - ours) * core.statistics.sd(NAME, place))[:, 0, known:]
    last, looked = starts + known - 1, []
    for name in core.setup.names:
        wide = torch.nn.functional.pad(anomaly[name], (1, 1, 1, 1), "replicate")[0]
        around = wide.unfold(1, 3, 1).unfold(2, 3, 1).flatten(-2)
        looked += [around[last], around[last - 1]]
    season = climate.harmonics(region.times[last], 1, 0).float()
    features = torch.cat(looked, -1)[..., None] * season[:, None, None, None]
    return features.flatten(3).flatten(1, 2).transpose(0, 1), missed.flatten(2).permute(2, 0, 1)


def _tables(scores: Scores) -> tuple[str, str]:
    """RMSE of every forecast of every task, what the network adds, and what is missed."""
    rows, added, missed = [], [], []
    for task, s in scores.items():
        own = f"rmse {skill.OURS}"
        names = [k for k in s if k.startswith("rmse ") and "/" not in k and k != own]
        others = ", ".join(f"{k.removeprefix('rmse ')} {s[k].value:.3f}" for k in names)
        best = min((k for k in s if k.startswith("mae ")), key=lambda k: s[k].value)
        spread, rmse, ours = s["spread/skill"], s["rmse"], s[own]
        rows.append([task, others, f"{ours.value:.3f}", rmse, f"≤ {BARS[task]:g}"])
        added.append([task, s[f"rmse / {skill.OURS}"], f"{s['crps'].value:.3f}",
                      s[f"crps / {best}"], spread])  # fmt: skip
        missed += [f"{task}: {what}" for what, met in (
            (f"{rmse.value:.3f} K", rmse.value <= BARS[task]),
            (f"spread/skill {spread.value:.3f}", LEAST_SPREAD <= spread.value <= MOST_SPREAD),
        ) if not met]  # fmt: skip
    first = table(["task", "others", "our base (ridge)", "with the network", "asked"], rows)
    second = table(["task", "network / base", "CRPS, K", "CRPS / MAE of the best single value",
                    f"spread/skill, {LEAST_SPREAD}-{MOST_SPREAD} asked"], added)  # fmt: skip
    return f"{first}\n\n{second}", "; ".join(missed) or "nothing"


def _speed() -> str:
    """Tokens a second and operations of ``base``, forward and backward, a field of the surface."""
    setup = Setup(
        (FieldSpec("temperature_2m", patch=(3, 9, 9)),), (36, 54, 108), size=SIZES["base"]
    )
    network, spec = MaskedTokenModel(setup), setup.fields[0]
    n = setup.tokens(spec)

    def step() -> None:
        tokens = {spec.name: torch.randn(1, n, spec.values)}
        kinds = {spec.name: torch.randint(0, 2, (1, n))}
        chosen = {spec.name: kinds[spec.name] == Kind.HIDDEN}
        info = {spec.name: torch.randn(1, n, INFO)}
        network(tokens, tokens, kinds, info, chosen)[spec.name].square().mean().backward()

    # Attention is counted as products of matrices only where it is computed as such.
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        step()
    begun, turns = time.time(), 3
    for _ in range(turns):
        step()
    taken = (time.time() - begun) / turns
    a = torch.randn(2048, 2048)
    begun = time.time()
    for _ in range(10):
        a @ a
    peak = 10 * 2 * 2048**3 / (time.time() - begun)
    rate = counter.get_total_flops() / taken
    return (
        f"## Speed of `base`\n\n{parameters(network) / 1e6:.1f} million parameters, {n} tokens "
        f"of 3 h x 9 x 9 points, float32, {torch.get_num_threads()} thread(s): "
        f"{n / taken:.0f} tokens/s forward and backward, "
        f"{counter.get_total_flops() / 1e9:.0f} Gflop a window, "
        f"{rate / 1e9:.0f} Gflop/s, {rate / peak:.0%} of what a product of 2048 x 2048 matrices "
        "reaches here."
    )


def _figure(core: Core, test: Region) -> None:
    last = np.datetime64("2019-03-28T06", "ns")
    hour = np.timedelta64(1, "h")
    rows = {
        "6 h ahead": nowcast(core, test, last, 6).isel(time=5),
        "middle of a gap of 3 h": interpolate(core, test, last + 5 * hour, last + 7 * hour)
        .isel(time=1),
    }  # fmt: skip
    figure, axes = plt.subplots(2, 4, figsize=(13, 6), layout="compressed")
    for line, (label, ensemble) in zip(axes, rows.items(), strict=True):
        values = ensemble["temperature_2m"]
        truth = test.data["temperature_2m"].sel(time=ensemble["time"].values)
        mean, spread = values.mean("member"), values.std("member")
        low, high = float(truth.min()), float(truth.max())
        worst = float(abs(mean - truth).max())
        maps = {"ERA5": (truth, "viridis", low, high),
                "ensemble mean": (mean, "viridis", low, high),
                "spread": (spread, "magma", 0, float(spread.max())),
                "mean - ERA5": (mean - truth, "RdBu_r", -worst, worst)}  # fmt: skip
        for axis, (title, (data, colours, least, most)) in zip(line, maps.items(), strict=True):
            drawn = axis.pcolormesh(data["longitude"], data["latitude"], data, cmap=colours,
                                    vmin=least, vmax=most)  # fmt: skip
            figure.colorbar(drawn, ax=axis, label="K", shrink=0.8)
            axis.set_title(f"{title}, {label}", fontsize=9)
    save(figure, "forecast", 256)


if __name__ == "__main__":
    run(main, "forecast_models")
