"""When does a retrieval need the forecast? Twenty lines under a year of real pressure.

    python tests/benchmarks/pressures.py [FOLDER]      (make pressures, twenty minutes)

Berlin 2017 by ERA5 (needs ``climate/`` of ../shared): hours of daylight, half of them after fast
changes of pressure, are flown by full radiative transfer, and each is retrieved with the pressure
that was known a while before. Writes ``docs/pressures.md`` and ``docs/pressures.png``. Lines and
what was found on each are kept in FOLDER; a run that was cut off goes on with the next line.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

import berlin
import matplotlib.pyplot as plt
import numpy as np
import torch
import xarray as xr
from berlin import AHEAD, FAST, GROUND, Index, Told, Year
from harness import UNIT, Array, needed, page, rms, run, save, table
from lines import kept, methods

from atmorep_bridge.air.state import TEMPERATURE_SD
from sifnet.files import whole
from sifnet.scenes.scene import Scene
from sifnet.simulation.scenery import Settings

SHAPE = (64, 48)  # lines, samples
SOME = 768  # pixels of a line on which pixels are solved one by one
NUMBER, LOWEST_SUN, SEED = 20, 70.0, 1
HIDDEN = "sifnet, bare ground hidden"
METHODS = ("sifnet", HIDDEN, "optimal estimation, single pixels", "SFM")
PRIORS = {
    "truth": "truth",
    "forecast": f"{AHEAD} h forecast",
    "6 h": "6 h old",
    "24 h": "24 h old",
    "120 h": "120 h old",
    "climatology": "mean of the year",
    "warmth": "truth; temperature of the season",
}
PAIRS = (("forecast", "truth"), ("6 h", "truth"), ("forecast", "6 h"), ("24 h", "truth"),
         ("climatology", "truth"), ("120 h", "climatology"))  # fmt: skip
DRAWS = 1000
INTRODUCTION = f"""{NUMBER} lines as of HyPlant, {SHAPE[0]} x {SHAPE[1]} pixels, by full radiative
transfer, under the pressure of ERA5 over Berlin at {NUMBER} hours of 2017: half of them *fast*,
after a change of {FAST:g} hPa or more in {AHEAD} h, the others at other hours; days drawn, the sun
as it stood there, not lower than {90 - LOWEST_SUN:.0f}°. Each is retrieved with pressure known from
elsewhere, and the σ that is worth on the rest of the year. Temperature is told true
± {TEMPERATURE_SD:g} K but in the last column, aerosol to none. SIF at 760 nm, {UNIT}."""


def main(folder: Path) -> None:
    """Fly, retrieve, and write the page."""
    needed(berlin.FILE.parent)
    torch.set_num_threads(1)
    year = Year.read()
    flown = berlin.flights(year, NUMBER, LOWEST_SUN, SEED)
    told, season = berlin.pressures(year, flown), berlin.usual_warmth(year, flown)
    with page("pressures", "When does a retrieval need the forecast?", INTRODUCTION) as add:
        found = [_flown(folder, year, int(hour), told, season) for hour in flown]
        fast = abs(year.change(AHEAD)[flown]) >= FAST
        errors = xr.concat([_errors(one) for one in found], "day")
        share = float((abs(year.change(AHEAD)) >= FAST)[year.zenith < LOWEST_SUN].mean())
        add(_by_prior(errors, fast, share), _told(year, flown, told, season, fast))
        add(_by_line(year, flown, errors))
        add(f"Lines and retrievals took {sum(f.attrs['seconds'] for f in found) / 60:.0f} minutes"
            " of one processor's time, in however many runs.")  # fmt: skip
        _figure(errors, fast)


def _flown(folder: Path, year: Year, hour: int, told: dict[str, Told], season: Told) -> xr.Dataset:
    """SIF ``prior, line, sample`` by method, and what was told; what FOLDER holds is kept."""
    name = str(year.times[hour].astype("M8[h]"))
    airs = {prior: _air(year.warmth[hour], TEMPERATURE_SD, said.values[hour], said.sd)
            for prior, said in told.items()}  # fmt: skip
    airs["warmth"] = _air(season.values[hour], season.sd, year.pressure[hour], told["truth"].sd)
    said = xr.concat(list(airs.values()), xr.DataArray(list(airs), dims="prior", name="prior"))
    began = time.process_time()
    line = kept(folder / name, "hyplant", SHAPE, 100 + hour, lambda rng: Settings.drawn(
        rng, solar_zenith_angle=float(year.zenith[hour]), ground_elevation=GROUND,
        pressure_offset=berlin.pressure_offset(float(year.pressure[hour])),
        temperature_offset=float(year.warmth[hour])))  # fmt: skip
    file, found = folder / name / "found.nc", said.assign_attrs(seconds=0.0)
    if file.exists():
        before = xr.load_dataset(file, engine="h5netcdf")
        if said.broadcast_equals(before[list(said.data_vars)]):
            found = before
    missing = [method for method in METHODS if method not in found]
    if missing:
        ways = methods(line.scene, SOME)
        radiance = line.scene.dataset["radiance"].where(line.truth["bare_soil"] == 0)
        hidden = methods(Scene(line.scene.dataset.assign(radiance=radiance)))
        ways[HIDDEN] = hidden["sifnet"]
        for method in missing:
            sif = np.array([ways[method](air) for air in airs.values()], dtype=np.float32)
            found[method] = ("prior", "line", "sample"), sif
        found["truth"] = ("line", "sample"), line.truth["sif_760"].values
        found.attrs["seconds"] += time.process_time() - began
        with whole(file) as partial:
            found.to_netcdf(partial, engine="h5netcdf")
        print(name, f"{found.attrs['seconds']:.0f} s", flush=True)
    return found


def _air(warmth: float, warmth_sd: float, pressure: float, pressure_sd: float) -> xr.Dataset:
    return xr.Dataset({
        "surface_pressure": pressure, "surface_pressure_uncertainty": pressure_sd,
        "temperature_offset": warmth, "temperature_offset_uncertainty": warmth_sd,
    })  # fmt: skip


def _errors(found: xr.Dataset) -> xr.Dataset:
    """Of a line, ``method, prior``: mean square and mean error, over pixels that were solved."""
    error = xr.concat([found[m].astype(float) - found["truth"] for m in METHODS], "method")
    over = ["line", "sample"]
    return xr.Dataset({"square": (error**2).mean(over), "bias": error.mean(over)})


def _rmse(errors: xr.Dataset, days: Index) -> Array:
    """(method, prior)"""
    return np.sqrt(errors["square"].transpose("day", "method", "prior").values[days].mean(0))


def _bias(errors: xr.Dataset, days: Index) -> Array:
    """(method, prior) mean over days of a line's |mean error|."""
    return np.asarray(abs(errors["bias"]).transpose("day", "method", "prior").values[days].mean(0))


def drawn(measure: Callable[[xr.Dataset, Index], Array], errors: xr.Dataset, which: Array) -> Array:
    """(3, ...) of a measure of days: its value, and 5 and 95 % of a bootstrap over them."""
    rng, days = np.random.default_rng(0), np.flatnonzero(which)
    some = [measure(errors, rng.choice(days, days.size)) for _ in range(DRAWS)]
    return np.array([measure(errors, days), *np.quantile(some, [0.05, 0.95], axis=0)])


def _ratios(errors: xr.Dataset, days: Index) -> Array:
    """(method, pair) of RMSE."""
    names, rmse = list(PRIORS), _rmse(errors, days)
    return np.stack([rmse[:, names.index(a)] / rmse[:, names.index(b)] for a, b in PAIRS], -1)


def _by_prior(errors: xr.Dataset, fast: Array, share: float) -> str:
    head = ["method", *PRIORS.values()]
    tables, ratios = [], []
    for days in (fast, ~fast):
        values = zip(*(of(errors, np.flatnonzero(days)) for of in (_rmse, _bias)), strict=True)
        tables.append(table(head, [
            [method, *(f"{r:.3f}, {b:.3f}" for r, b in zip(*both, strict=True))]
            for method, both in zip(METHODS, values, strict=True)
        ]))  # fmt: skip
        ratios.append(drawn(_ratios, errors, days))
    rows = [[method, words, *(f"{v:.2f} ({low:.2f}-{high:.2f})" for v, low, high in ratio[:, m].T)]
            for m, method in enumerate(METHODS)
            for words, ratio in zip(("fast", "other"), ratios, strict=True)]  # fmt: skip
    pairs = [f"{PRIORS[a]} / {PRIORS[b]}" for a, b in PAIRS]
    parts = [_rmse(errors, np.flatnonzero(days)) ** 2 for days in (fast, ~fast)]
    mixed = np.sqrt(share * parts[0] + (1 - share) * parts[1])
    year = [[m, *(f"{v:.3f}" for v in values)] for m, values in zip(METHODS, mixed, strict=True)]
    return f"""{_answer(ratios)}

![SIF error by method and prior](pressures.png)

RMSE over the pixels of all lines, mean over lines of the |mean error|. SFM and single pixels on
{SOME} pixels a line; where bare ground is hidden, its pixels are taken out beforehand.

Fast hours, by where pressure is from:

{tables[0]}

Other hours:

{tables[1]}

Ratios of RMSE; in brackets 5 to 95 % of a bootstrap over days:

{table(["method", "hours", *pairs], rows)}

RMSE as in the year: of its hours with the sun so high {share:.1%} are fast, and count so.

{table(head, year)}"""


def _answer(ratios: Sequence[Array]) -> str:
    """What the ratios of fast and of other hours say."""

    def both(method: str, pair: tuple[str, str]) -> str:
        at = METHODS.index(method), PAIRS.index(pair)
        return " and ".join(f"{ratio[0][at]:.2f}" for ratio in ratios)

    alone, sfm = METHODS[2:]
    return f"""RMSE over that with the true pressure, in fast hours and in others:

- **sifnet does not need the forecast here.** With the mean of the year it has
  {both("sifnet", ("climatology", "truth"))} times the RMSE. It finds in the spectra how much oxygen
  there is, whose strength it does not trust to better than 1.5 %: that is 15 hPa. Where no bare
  ground tells it, it errs more, but no more by pressure
  ({both(HIDDEN, ("climatology", "truth"))}).
- **A pixel solved alone needs the pressure of the day**: 6 h old it is good enough
  ({both(alone, ("6 h", "truth"))}), 24 h old it costs ({both(alone, ("24 h", "truth"))}), and so
  does the mean of the year ({both(alone, ("climatology", "truth"))}). Forecast, it is as good as
  true ({both(alone, ("forecast", "truth"))}).
- **A method that takes pressure for true, as SFM does, needs the forecast where pressure changes**:
  the RMSE is {both(sfm, ("forecast", "6 h"))} times that with the analysis of {AHEAD} h before. A
  better forecast would be worth more: the truth is not reached
  ({both(sfm, ("forecast", "truth"))}).
- **At five days' age an analysis is worse than the mean of the year**:
  {both(sfm, ("120 h", "climatology"))} times its RMSE for SFM,
  {both(alone, ("120 h", "climatology"))} for single pixels. `atmorep-bridge state` takes climate
  then, from two days on.

Fast hours came mostly with a low sun, under which all errs less. All that is simulated has the
spectroscopy that sifnet believes in; what an error of it does is in [worlds](worlds.md)."""


def _told(year: Year, flown: Index, told: dict[str, Told], season: Told, fast: Array) -> str:
    rows = []
    for prior, said in told.items():
        error = said.values - year.pressure
        rows.append([PRIORS[prior], f"{said.sd:.2f}", f"{rms(error[flown][fast]):.2f}",
                     f"{rms(error[flown][~fast]):.2f}"])  # fmt: skip
    halves, whole = berlin.halves(year), berlin.whole_year(year)
    return f"""## What was told

Pressure, hPa: the σ that is told, which is the rms error at the hours of the year that are
{berlin.OWN} h from any flight, and the rms error at the flights.

{table(["pressure from", "σ told", "fast", "other"], rows)}

The forecast is a ridge regression on pressure at six grid points, wind at 10 and 100 m and 2 m
temperature of the last day, learned at those hours; its σ is of ten days at a time that it has not
learned. Over all hours of the year it errs by {whole:.2f} hPa where it has not learned, as it is by
{rms(year.change(AHEAD)):.2f} (asked: 1.5). Which of these signs to take was tried on all hours,
flights among them: from 1.64 with pressure of the place alone to that. Learned in the first half of
the year it errs by {halves["ridge"]:.2f} in the second; the base of `atmorep_bridge/core`, which
takes pressure alone, by {halves["base"]:.2f}, no change by {halves["as it is"]:.2f}: that base is
made for maps, not for six points, and is not used here.

The true temperature of the column follows the 2 m temperature of the last 24 h:
{berlin.COLUMN_WARMER:.1f} K above the standard atmosphere at 288.15 K, and
{berlin.COLUMN_SHARE:.2f} K more a kelvin, as mid-latitude summer and winter of Anderson et al.
(1986) have it; at most {berlin.WARMEST:g} K. That of the season is a harmonic of the year,
± {season.sd:.1f} K. Ground, aerosol and height of the sensor are drawn for each line; the sun is as
far away as in June."""


def _by_line(year: Year, flown: Index, errors: xr.Dataset) -> str:
    change = year.change(AHEAD)
    rows = []
    for day, hour in enumerate(flown):
        each = errors["bias"].isel(day=day).transpose("method", "prior").values
        rows.append([
            str(year.times[hour].astype("M8[h]")), f"{year.zenith[hour]:.0f}°",
            f"{year.pressure[hour]:.1f}", f"{change[hour]:+.1f}", f"{year.warmth[hour]:+.1f}",
            *(", ".join(f"{value:+.2f}" for value in of_method) for of_method in each),
        ])  # fmt: skip
    head = ["hour, UTC", "sun from zenith", "hPa", f"in {AHEAD} h", "K", *METHODS]
    return f"""## Line by line

Bias by prior, in the order above.

{table(head, rows)}"""


def _figure(errors: xr.Dataset, fast: Array) -> None:
    figure, axes = plt.subplots(
        1, len(METHODS), figsize=(10.5, 3.2), layout="constrained", sharey=True
    )
    at = np.arange(len(PRIORS))[::-1]
    for m, (axis, method) in enumerate(zip(axes, METHODS, strict=True)):
        for days, colour, words, lower in ((fast, "tab:red", f"≥ {FAST:g} hPa in {AHEAD} h", 0.12),
                                           (~fast, "tab:blue", "other hours", -0.12)):  # fmt: skip
            value, low, high = drawn(_bias, errors, days)[:, m]
            axis.errorbar(value, at + lower, xerr=[value - low, high - value], fmt="o", ms=4,
                          color=colour, label=words, lw=1)  # fmt: skip
        axis.set(title=method.replace(", ", ",\n"), xlim=(0, None))
        axis.set_yticks(at, [words.replace("; ", ",\n") for words in PRIORS.values()])
        axis.grid(axis="x", color="0.9")
        axis.spines[["top", "right"]].set_visible(False)
    axes[1].set_xlabel(f"mean |bias| of a line, {UNIT}")
    axes[2].legend(frameon=False, fontsize=8, loc="lower right")
    save(figure, "pressures", 16)


if __name__ == "__main__":
    run(main, "benchmark_pressures")
