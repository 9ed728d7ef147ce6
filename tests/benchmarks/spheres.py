"""Ocean, ice, aerosol and air seasons ahead: the spheres beside cheap forecasts, on real data.

    python tests/benchmarks/spheres.py        (make spheres, some minutes on one core)

Writes ``docs/spheres.md`` and ``docs/spheres.png``. Needs the reference data beside the project.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import matplotlib.pyplot as plt
import numpy as np
import spheres_case as case
import torch
import xarray as xr
from harness import DOCS, Array, needed, page, rms, run, save, table
from PIL import Image
from spheres_case import Cheap, Series

from atmorep_bridge.spheres.forecast import forecast
from atmorep_bridge.spheres.model import Spheres, states_of, train
from atmorep_bridge.spheres.ridge import Choice, Coupling
from atmorep_bridge.spheres.series import month_of, months_of
from sifnet.files import whole

SPHERES = {"ocean": case.NINO, "pacific": ("pdo",), "air": ("soi", "ao", "nao"),
           "ice": ("extent", "volume")}  # fmt: skip
SKY = {"aerosol": ("aod",), "stratosphere": ("t50",)}
COUPLINGS: tuple[Coupling, ...] = ("none", "chosen", "always")
WORDS = {"none": "spheres, uncoupled", "chosen": "**spheres, coupled where held-back years gain**",
         "always": "spheres, always coupled"}  # fmt: skip
STRONG = "driven, coupled strongly"
TINY = 1e-9  # over land, which is not scored
LAST = "2000-12"  # the last month of the training of indices
ERUPTION = ("1991-06", "1992-06")  # that the model of Pinatubo has not seen
NETWORK = "spheres and cross-attention (mean of 3 seeds)"
INTRODUCTION = """`atmorep-bridge spheres` forecasts monthly variables of any grid, seasons ahead,
as one model: each sphere is reduced to a few patterns, each month ahead is a ridge regression on
the months before whose coefficients change through the year, and the other spheres are looked at
where that gained on held-back years. How to use it: [seasons ahead](howto/spheres.md). **What ships
is ridge**: a small network with cross-attention over all spheres, on top of it, did not gain.

Everything is chosen (months looked back, sharpness of the season, shrinkage, coupling) on the later
half of the record *before* the test, each part of it forecast from what was known before. But this
page was looked at while the method was made: that shrinkage leads to damped persistence and not to
climatology came of seeing aerosol fail (1993 to 1995), so a little of the test is in the design.

![Forecasts of Niño 3.4 and of September ice; Pinatubo](spheres.png)"""


@dataclass
class Told:
    """Forecasts and truth of a variable: ``case, ...``, and the year of each case."""

    truth: Array
    year: Array
    said: dict[str, Array]
    spread: Array

    def errors(self, name: str) -> Array:
        """Forecast less truth."""
        return self.said[name] - self.truth


def main() -> None:
    """Run all, write the page and its figure."""
    needed(case.CLIMATE)
    torch.set_num_threads(1)
    with page("spheres", "Seasons ahead: ocean, ice, aerosol, air", INTRODUCTION) as add:
        series = case.indices()
        models = {how: train(SPHERES, case.until(series, LAST), months=6, coupling=how)
                  for how in COUPLINGS}  # fmt: skip
        nino = {lead: _nino(models, series, lead) for lead in (3, 6)}
        add(_nino_section(nino, models["chosen"]), _coupling_section(models, series))
        ice = _ice(models, series)
        add(_ice_section(ice))
        sky = case.pinatubo()
        add(_sky_section(_sky(sky)))
        eruption = _eruption(sky)
        add(_eruption_section(*eruption))
        add(_surface_section(case.surface() | {n: series[n] for n in case.NINO}))
        _figure(nino[6], ice, eruption[0])


def _nino(models: dict[str, Spheres], series: Series, lead: int) -> Told:
    """Niño 3.4 from 2001 on, trained once."""
    raw = np.column_stack([series[n].values for n in case.NINO])
    months, times = case.month(series["nino34"]), series["nino34"]["time"].values
    inside = times <= np.datetime64(LAST)
    anomaly = case.anomalies(raw, months, inside)
    cheap = Cheap(anomaly, months, inside, lead)
    rows = np.arange(np.flatnonzero(~inside)[0] - lead, len(raw) - lead)
    usual = (raw - anomaly)[rows + lead, 3]
    said = {name: made()[rows, 3] for name, made in {
        "climatology": cheap.climatology, "damped persistence": cheap.persistence,
        "damped persistence of each month": cheap.seasonal_persistence,
        "seasonal linear inverse model": cheap.inverse_model,
        "ridge on 12 months, no seasons": cheap.ridge}.items()}  # fmt: skip
    said |= {WORDS[how]: _of(model, series, "nino34", times[rows + lead], lead)[:, 0] - usual
             for how, model in models.items()}  # fmt: skip
    said[NETWORK] = said[WORDS["chosen"]] + _network(models["chosen"], series, lead)[rows]
    year = times[rows + lead].astype("datetime64[Y]").astype(int) + 1970
    spread = np.full(rows.size, np.nan)
    spread[::6] = case.spread(models["chosen"], series, "nino34", times[rows[::6]], lead)
    return Told(anomaly[rows + lead, 3], year, said, spread)


def _of(model: Spheres, series: Series, name: str, targets: Array, lead: int,
        year: int | None = None) -> Array:  # fmt: skip
    """``target, point`` of a variable."""
    sphere = next(n for n, s in model.spheres.items() if name in [v.name for v in s.variables])
    when, fields = case.hindcast(model, series, sphere, lead, year)
    return fields[name][np.searchsorted(when, targets.astype("datetime64[M]").astype(int))]


def _network(model: Spheres, series: Series, lead: int) -> Array:
    """``time``: what a network adds to Niño 3.4, K, mean of three seeds.

    It is fitted on what the regression missed in held-back years to 1994, its epoch is chosen on
    those to 2000: the regression's own residuals of years it was fitted on would be too small.
    """
    axis, states = states_of(model.spheres, series)
    every = np.nan_to_num(np.hstack(list(states.values())))
    size = np.maximum(every[axis <= month_of(LAST)].std(0), 0.1)
    past = np.stack([np.roll(every / size, k, axis=0) for k in range(12)], axis=1)
    turn = 2 * np.pi * (axis % 12) / 12
    missed = np.zeros((axis.size, states["ocean"].shape[1]))
    rows = np.searchsorted(axis, model.starts["ocean"])
    missed[rows] = -model.errors["ocean"][:, lead - 1]
    early = rows[axis[rows] + 12 < month_of("1995-01")]
    late = rows[axis[rows] >= month_of("1995-01")]
    seeds = [case.residual(past, np.column_stack([np.sin(turn), np.cos(turn)]), missed, early, late,
                           seed) for seed in range(3)]  # fmt: skip
    patterns = model.spheres["ocean"].variables[3].patterns
    mine = np.mean(seeds, axis=0)[:, 3] * patterns[0, 0]
    return mine[np.searchsorted(axis, months_of(series["nino34"]))]


def _rows(told: Told, best: str, digits: int = 3) -> list[list[str]]:
    rows = []
    for name in told.said:
        error = told.errors(name)
        ratio = "{:.3f} ({:.3f} to {:.3f})".format(
            *case.interval(error, told.errors(best), told.year)
        )
        moves = np.ptp(told.said[name]) > 0
        r = np.corrcoef(told.said[name], told.truth)[0, 1] if moves else 0.0
        rows.append([name, f"{rms(error):.{digits}f}", f"{error.mean():+.2f}", f"{r:.2f}",
                     "–" if name == best else ratio])  # fmt: skip
    return rows


def _nino_section(nino: dict[int, Told], model: Spheres) -> str:
    lines = []
    for lead, told in nino.items():
        head = [f"{lead} months ahead", "rmse, K", "bias, K", "r", "rmse over that of coupled"]
        lines.append(table(head, _rows(told, WORDS["chosen"])))
    told = nino[6]
    ours, lim = told.errors(WORDS["chosen"]), told.errors("seasonal linear inverse model")
    r = np.corrcoef(told.said[WORDS["chosen"]], told.truth)[0, 1]
    ratio = case.interval(ours, lim, told.year)
    spread = {lead: float(rms(t.spread) / rms(t.errors(WORDS["chosen"])[::6]))
              for lead, t in nino.items()}  # fmt: skip
    choice = model.choices["ocean"][5]
    looks = "looks" if choice.coupling else "does not look"
    return f"""## Niño 3.4, 2001 to 2021

Trained once, to December 2000, on Niño 1+2, 3, 4 and 3.4 since 1950, SOI, AO, NAO, PDO since 1978,
ice extent and volume since 1979; every month from January 2001 to September 2021 is forecast.
Anomalies are from the months of 1950 to 2000. Intervals: 5 to 95 % over years drawn with
replacement.

{(chr(10) * 2).join(lines)}

Bars for six months: 0.65 K and r 0.60; ours {rms(ours):.3f} K and {r:.3f}:
**{_held(bool(rms(ours) <= 0.65 and r >= 0.60))}**, by a hair. Over the inverse model {ratio[0]:.3f}
({ratio[1]:.3f} to {ratio[2]:.3f}). Spread over error of 50 members: {spread[3]:.2f} and
{spread[6]:.2f} at three and six months. Six months ahead the ocean {looks} at the others (it looks
back {choice.lags} months, shrinkage {choice.shrinkage:g}): records that begin in 1978 add nothing
to four regions of the ocean with their own past year."""


def _held(good: bool) -> str:
    return "held" if good else "missed"


def _coupling_section(models: dict[str, Spheres], series: Series) -> str:
    rows: list[list[str]] = []
    gained, lost = [], []
    for sphere, names in SPHERES.items():
        for name in names:
            for lead in (1, 3, 6):
                targets = series[name]["time"].values
                when = case.hindcast(models["none"], series, sphere, lead)[0]
                inside = (targets > np.datetime64(LAST)) & (targets < np.datetime64("2020-04"))
                inside &= np.isin(targets.astype("datetime64[M]").astype(int), when)
                targets = targets[inside]
                truth = series[name].sel(time=targets).values
                errors = {how: _of(model, series, name, targets, lead)[:, 0] - truth
                          for how, model in models.items()}  # fmt: skip
                year = targets.astype("datetime64[Y]").astype(int)
                chosen = models["chosen"].choices[sphere][lead - 1].coupling
                ratio = {how: case.interval(errors[how], errors["none"], year)
                         for how in ("chosen", "always")}  # fmt: skip
                if ratio["chosen"][2] < 1:
                    gained.append(f"{name} at {lead}")
                if ratio["chosen"][1] > 1:
                    lost.append(f"{name} at {lead}")
                cells = ["{:.3f} ({:.3f} to {:.3f})".format(*r) for r in ratio.values()]
                cells[0] = cells[0] if chosen else "not coupled"
                rows.append([name, str(lead), f"{rms(errors['none']):.3g}", *cells, f"{chosen:g}"])
    head = ["variable", "months ahead", "rmse, uncoupled", "coupled where it gained", "always",
            "weight chosen"]  # fmt: skip
    return f"""## Coupled against uncoupled, 2001 to March 2020

The same models, trained once to December 2000, every month; rmse over that of the same without the
other spheres, 5 to 95 % over years. *Always* is chosen in hindsight, on parts of all the record,
lags and shrinkage too: what it gains need not be the coupling's.

{table(head, rows)}

The whole interval is below 1 for {", ".join(gained) or "none"} months, above 1 for
{", ".join(lost) or "none"}. The Pacific tells the slow indices around it. Held-back years couple
neither ocean nor ice to anything: rightly for the extent of ice, which the others make worse; at
three months *always* would have been the better choice for Niño 3.4."""


def _ice(models: dict[str, Spheres], series: Series) -> Told:
    """September extent from May, 2001 to 2019, fitted again each January with what was chosen."""
    first, last = 1979, 2019
    years = np.arange(first, last + 1)
    at = {name: series[name].to_series() for name in ("extent", "volume")}
    september = np.array([at["extent"].get(f"{y}-09-01", np.nan) for y in years])
    volume = np.array([at["volume"][f"{y}-05-01"] for y in years])
    may = np.array([at["extent"].get(f"{y}-05-01", np.nan) for y in years])
    said: dict[str, list[float]] = {}
    spread = []
    for year in range(2001, last + 1):
        past, now = years < year, years == year
        trend = np.polynomial.Polynomial.fit(years[past], september[past], 1)
        for name, x in (
            ("regression on May volume (PIOMAS)", volume),
            ("regression on May extent", may),
        ):
            line = np.polynomial.Polynomial.fit(x[past], september[past], 1)
            said.setdefault(name, []).append(float(line(x[now][0])))
        said.setdefault("climatology", []).append(september[past].mean())
        said.setdefault("last September", []).append(september[years == year - 1][0])
        said.setdefault("trend", []).append(float(trend(year)))
        both = np.column_stack(
            [np.ones(years.size), volume, may, years - 2000, np.append(np.nan, september[:-1])]
        )
        good = past & np.isfinite(both).all(1)
        scale = both[good].std(0) + (np.arange(5) == 0)
        centre = both[good].mean(0) * (np.arange(5) > 0)
        x = (both - centre) / scale
        b = np.linalg.solve(
            x[good].T @ x[good] + 0.1 * good.sum() * np.diag(np.arange(5) > 0),
            x[good].T @ september[good],
        )
        said.setdefault("ridge on May volume, extent, year, last September", []).append(
            float(x[now][0] @ b)
        )
        target = np.array([np.datetime64(f"{year}-09")])
        for how, model in models.items():
            made = _of(model, series, "extent", target, 4, year)[0, 0]
            said.setdefault(WORDS[how], []).append(float(made))
        spread.extend(case.spread(models["chosen"], series, "extent",
                                  [np.datetime64(f"{year}-05")], 4))  # fmt: skip
    tested = years >= 2001
    return Told(
        september[tested],
        years[tested],
        {n: np.array(v) for n, v in said.items()},
        np.array(spread),
    )


def _ice_section(ice: Told) -> str:
    ours = ice.errors(WORDS["chosen"])
    theirs = ice.errors("regression on May volume (PIOMAS)")
    late = ice.year >= 2005
    head = [
        "September extent from May",
        "rmse, million km²",
        "bias",
        "r",
        "rmse over that of coupled",
    ]
    return f"""## September ice, 2001 to 2019

Extent (NSIDC) and volume (PIOMAS, which ends in March 2020), both to the end of May. All methods
are fitted again on all Septembers before the one that is forecast; what spheres choose they chose
before 2001.

{table(head, _rows(ice, WORDS["chosen"]))}

Bar: 0.58; ours {rms(ours):.3f}: **{_held(bool(rms(ours) <= 0.58))}**. The regression on May volume,
0.602 in the issue that asks for this, is {rms(theirs):.3f} here (from 2005 on
{rms(theirs[late]):.3f}, ours {rms(ours[late]):.3f}): nineteen Septembers do not tell ours from it.
Spread over error: {float(rms(ice.spread) / rms(ours)):.2f}; the trend is not in it."""


def _area(values: Array, latitude: Array) -> Array:
    """``case, point``, scaled by the root of the area: a mean square is that of the maps."""
    weight = np.cos(np.radians(latitude))
    weight = np.broadcast_to(weight[:, None] / weight.mean(), values.shape[-2:])
    return (values * np.sqrt(weight)).reshape(len(values), -1)


def _maps(
    models: dict[Coupling, Spheres], series: Series, name: str, lead: int, first: int, last: int,
    log: bool,
) -> Told:  # fmt: skip
    """Maps of a variable in some years; everything is fitted again each January."""
    values = series[name]
    field = np.log(values.values) if log else values.values
    times, months = values["time"].values, case.month(values)
    years = times.astype("datetime64[Y]").astype(int) + 1970
    said: dict[str, list[Array]] = {}
    truth, when = [], []
    for year in range(first, last + 1):
        inside, rows = years < year, np.flatnonzero(years[lead:] == year)
        anomaly = case.anomalies(field, months, inside)
        flat_ = np.nan_to_num(anomaly.reshape(len(field), -1)) + TINY
        cheap = Cheap(flat_, months, inside, lead)
        x, y = anomaly[cheap.train], anomaly[cheap.train + lead]
        weight = np.cos(np.radians(values["latitude"].values))[:, None]
        share = np.nansum(x * y * weight) / np.nansum(x**2 * weight)
        usual = (field - anomaly)[rows + lead]
        for label, add in (("climatology", 0 * anomaly), ("damped persistence", share * anomaly),
                           ("damped persistence of each point",
                            cheap.persistence().reshape(anomaly.shape)),
                           ("persistence of the anomaly", anomaly)):  # fmt: skip
            said.setdefault(label, []).append(usual + add[rows])
        for how, model in models.items():
            found = _of(model, series, name, times[rows + lead], lead, year)
            found = found.reshape(usual.shape)
            said.setdefault(WORDS[how], []).append(np.log(found) if log else found)
        truth.append(field[rows + lead])
        when.append(years[rows + lead])
    north = values["latitude"].values
    known = np.isfinite(field).all(0).ravel()
    flat = {n: _area(np.concatenate(v), north)[:, known] for n, v in said.items()}
    return Told(_area(np.concatenate(truth), north)[:, known], np.concatenate(when), flat,
                np.zeros(1))  # fmt: skip


def _trained(
    spheres: dict[str, Sequence[str]], series: Series, last: str, months: int, log: Sequence[str]
) -> dict[Coupling, Spheres]:
    known = case.until(series, last)
    return {how: train(spheres, known, months=months, log=log, coupling=how) for how in COUPLINGS}


def _sky(series: Series) -> dict[str, Told]:
    """AOD and temperature three months ahead, 1993 to 1995."""
    models = _trained(SKY, series, "1992-12", 3, ("aod",))
    return {name: _maps(models, series, name, 3, 1993, 1995, name == "aod")
            for name in ("aod", "t50")}  # fmt: skip


def _map_table(told: Told, head: str) -> str:
    rows = [[name, f"{rms(told.errors(name)):.3f}",
             "–" if name == WORDS["chosen"] else "{:.3f} ({:.3f} to {:.3f})".format(
                 *case.interval(told.errors(name), told.errors(WORDS["chosen"]), told.year))]
            for name in told.said]  # fmt: skip
    return table([head, "rmse", "rmse over that of coupled"], rows)


def _sky_section(told: dict[str, Told]) -> str:
    aod = told["aod"]
    ours = {how: float(rms(aod.errors(WORDS[how]))) for how in COUPLINGS}
    return f"""## Aerosol and the stratosphere, 1993 to 1995

MERRA-2, 24 x 48 points, months. Chosen on 1986 to 1992, fitted again each January. AOD is scored by
its natural logarithm, area-weighted, so that 0.2 is a fifth of AOD; the issue that asks for 0.20
does not say how its baseline of 0.201 was scored, and none of ours is 0.201.

{_map_table(aod, "AOD, 3 months ahead, ln")}

{_map_table(told["t50"], "temperature at 50 hPa, 3 months ahead, K")}

Bar: 0.20; coupled {ours["chosen"]:.3f}, uncoupled {ours["none"]:.3f}:
**{_held(ours["chosen"] <= 0.20)}**, if this is how it was meant. Three years of one decaying
eruption: intervals of three blocks say little. Temperature three months ahead is a wave and the
quasi-biennial oscillation; a damped persistence of each point is the better forecast of it."""


def _eruption(series: Series) -> tuple[dict[str, Array], Spheres]:
    """Tropical and global anomalies at 50 hPa, K, of runs from May 1991 and of the truth."""
    gap = (series["aod"]["time"] >= np.datetime64(ERUPTION[0])) & (
        series["aod"]["time"] <= np.datetime64(ERUPTION[1]))  # fmt: skip
    blind = {name: values.where(~gap) for name, values in series.items()}
    model = train(SKY, blind, months=1, log=("aod",), coupling="always")
    alone = train(SKY, blind, months=1, log=("aod",), coupling="none")
    strong = {name: (Choice(1, 2.0, 0.1, 1.0),) for name in SKY}
    looked_at = train(SKY, blind, months=1, log=("aod",), choices=strong)
    truth = series["t50"].sel(time=slice("1991-06", "1993-11"))
    usual = blind["t50"].groupby("time.month").mean()
    north = np.cos(np.radians(truth["latitude"]))
    past = series["t50"].sel(time="1991-05-01") - usual.sel(month=5)
    share = _share(blind["t50"] - usual.sel(month=blind["t50"]["time"].dt.month))
    runs = {"truth": truth.expand_dims("member")}
    for name, made, without in (("driven by AOD as it was", model, None),
                                ("no eruption", model, {"aerosol": "1991-06"}),
                                ("uncoupled", alone, None), (STRONG, looked_at, None),
                                (f"{STRONG}, no eruption", looked_at,
                                 {"aerosol": "1991-06"})):  # fmt: skip
        runs[name] = forecast(made, series, "1991-05", given=["aerosol"], without=without)[
            "stratosphere"]["t50"].isel(time=slice(0, truth.sizes["time"]))  # fmt: skip
    out = {}
    for region, limit in (("tropics", 30.0), ("globe", 91.0)):
        weight = north * (abs(truth["latitude"]) < limit)
        for name, run_ in runs.items():
            anomaly = run_ - usual.sel(month=run_["time"].dt.month)
            out[f"{region}: {name}"] = (
                anomaly.weighted(weight)
                .mean(("latitude", "longitude"))
                .transpose("member", ...)
                .values
            )
        start = float(past.weighted(weight).mean())
        out[f"{region}: damped persistence"] = (
            start * share ** np.arange(1, truth.sizes["time"] + 1)[None]
        )
    return out, model


def _share(anomaly: xr.DataArray) -> float:
    """Of an anomaly that is left a month later."""
    x, y = anomaly.values[:-1], anomaly.values[1:]
    both = np.isfinite(x) & np.isfinite(y)
    return float((x[both] * y[both]).sum() / (x[both] ** 2).sum())


def _eruption_section(runs: dict[str, Array], model: Spheres) -> str:
    unseen, rows = slice(0, 13), []
    error: dict[str, float] = {}
    for region in ("tropics", "globe"):
        truth = runs[f"{region}: truth"][0, unseen]
        for name in ("damped persistence", "uncoupled", "driven by AOD as it was", "no eruption",
                     STRONG, f"{STRONG}, no eruption"):  # fmt: skip
            members = runs[f"{region}: {name}"][:, unseen]
            spread = f"{float(rms(members.std(0, ddof=1))):.2f}" if len(members) > 1 else ""
            error[f"{region}: {name}"] = found = float(rms(members.mean(0) - truth))
            rows.append([region, name, f"{found:.2f}", spread, f"{members.mean():+.2f}",
                         f"{truth.mean():+.2f}"])  # fmt: skip
    drawn = {name: (runs[f"tropics: {name}"] - runs[f"tropics: {without}"])[:, unseen].mean()
             for name, without in (("driven by AOD as it was", "no eruption"),
                                   (STRONG, f"{STRONG}, no eruption"))}  # fmt: skip
    over = {name: error[f"tropics: {name}"] / error["tropics: damped persistence"]
            for name in drawn}  # fmt: skip
    choice = model.choices["stratosphere"][0]
    head = ["region", "run", "rmse of the mean, K", "spread, K", "mean anomaly, K", "truth, K"]
    return f"""## What if Pinatubo had not erupted?

The eruption was on 15 June 1991. The model has **not seen June 1991 to June 1992**, neither AOD nor
temperature: what it knows of aerosol that warms is from the decay, July 1992 to 1995, and from
quiet years. From May 1991 it runs month by month with aerosol given, as it was or as usual
(`--given aerosol --without aerosol=1991-06`); 50 members. Temperature at 50 hPa, K above the usual,
over the thirteen months that were not seen.

{table(head, rows)}

Coupled as held-back months choose (weight {choice.coupling:g}, shrinkage {choice.shrinkage:g}), the
effect drawn in the tropics is {drawn["driven by AOD as it was"]:+.2f} K and the error
{over["driven by AOD as it was"]:.2f} of that of damped persistence: **next to nothing of the
warming**. Held-back months are mostly quiet, and what they ask for is not to look. *Coupled
strongly* is weight 1 and shrinkage 0.1, taken **after looking** at these months: it draws
{drawn[STRONG]:+.2f} K, with an error {over[STRONG]:.2f} of that of damped persistence. So the decay
holds enough to tell the warming of an onset that was not seen, but nothing before the fact says to
trust it so far. The world without an eruption cannot be scored; that a run with the eruption
explains months it never saw can. One eruption, aerosol of a reanalysis of 1991, and a
quasi-biennial oscillation that is in the truth and in no run."""


def _surface_section(series: Series) -> str:
    spheres = {"surface": ("sst",), "nino": case.NINO}
    models = _trained(spheres, series, "2017-12", 3, ())
    parts = [_map_table(_maps(models, series, "sst", lead, 2018, 2020, False),
                        f"sea surface, {lead} months ahead, K") for lead in (1, 3)]  # fmt: skip
    many = len(models["none"].spheres["surface"].variables[0].patterns)
    return f"""## Maps of the sea surface, 2018 to 2020

ERSST v5, 2° (NaN over land), read by `fields.variables` as it is, with the Niño regions as another
sphere whose record is six times as long. Chosen on 2010 to 2017, fitted again each January; {many}
patterns.

{parts[0]}

{parts[1]}

Here spheres lose to a damped persistence of each point: {many} patterns of an eight-year record do
not know a point as well as it knows itself."""


def _figure(nino: Told, ice: Told, runs: dict[str, Array]) -> None:
    """Six months ahead, Septembers, and Pinatubo."""
    figure, axes = plt.subplots(1, 3, figsize=(10.5, 3.2), layout="constrained")
    ours, when = nino.said[WORDS["chosen"]], np.arange(nino.truth.size)
    sd = float(rms(nino.spread))
    axes[0].fill_between(when, ours - sd, ours + sd, color="tab:blue", alpha=0.3, linewidth=0)
    axes[0].plot(nino.truth, color="k", linewidth=1, label="truth")
    axes[0].plot(ours, color="tab:blue", linewidth=1, label="spheres, ± 1 sd")
    axes[0].plot(nino.said["damped persistence"], color="0.6", linewidth=0.8,
                 label="damped persistence")  # fmt: skip
    axes[0].set(title="Niño 3.4, six months ahead", ylabel="K above usual", xticks=when[::48],
                xticklabels=nino.year[::48])  # fmt: skip
    axes[1].errorbar(ice.year, ice.said[WORDS["chosen"]], ice.spread, fmt="o", color="tab:blue",
                     markersize=3, label="spheres, ± 1 sd")  # fmt: skip
    axes[1].plot(ice.year, ice.said["regression on May volume (PIOMAS)"], "x", color="tab:orange",
                 label="regression on volume")  # fmt: skip
    axes[1].plot(ice.year, ice.truth, color="k", linewidth=1, label="truth")
    axes[1].set(title="September ice, from May", ylabel="million km²", xticks=ice.year[1::6])
    when = np.arange(30)
    for name, colour in ((STRONG, "tab:red"), ("driven by AOD as it was", "tab:purple"),
                         ("no eruption", "tab:blue"), ("damped persistence", "0.6"),
                         ("truth", "k")):  # fmt: skip
        members = runs[f"tropics: {name}"]
        axes[2].plot(when, members.mean(0), color=colour, label=name, linewidth=1)
        if name in (STRONG, "no eruption"):
            axes[2].fill_between(when, *np.quantile(members, (0.16, 0.84), axis=0), color=colour,
                                 alpha=0.15, linewidth=0)  # fmt: skip
    axes[2].axvspan(0, 12, color="0.93", zorder=0)
    axes[2].set(title="Tropics at 50 hPa (grey: not seen)", ylabel="K above usual",
                xlabel="months from June 1991", ylim=(-3, 8))  # fmt: skip
    for axis in axes:
        axis.spines[["top", "right"]].set_visible(False)
        axis.legend(frameon=False, fontsize=7)
    save(figure, "spheres")
    with whole(DOCS / "spheres.png") as partial, Image.open(DOCS / "spheres.png") as picture:
        picture.convert("RGB").quantize(96).save(partial, format="png", optimize=True)


if __name__ == "__main__":
    run(main)
