"""The loop: the state of the air forecast 6 h ahead feeds the retrieval of a flight line.

    python tests/benchmarks/loop.py [FOLDER]      (make loop, ten minutes)

31 August 2022 over the Rhine and around (needs the samples of reanalyses in ../shared): at 12 UTC
lines are flown, by full radiative transfer, under the pressure of the analysis of that hour; what
is known is of 6 UTC and before. Writes ``docs/loop.md`` and ``docs/loop.png``; lines, model and
``atmosphere.nc`` are kept in FOLDER.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch
import xarray as xr
from harness import ERA5, UNIT, Array, Score, bars, needed, page, run, save, table
from lines import SHAPE, SLOW, line, methods
from matplotlib.axes import Axes
from pvlib.location import lookup_altitude

from atmorep_bridge.air.age import persistence_sd
from atmorep_bridge.air.state import TEMPERATURE_SD, atmosphere_at, write
from atmorep_bridge.core.specs import SIZES, FieldSpec, Setup
from atmorep_bridge.core.tasks import nowcast
from atmorep_bridge.core.times import HOUR
from atmorep_bridge.core.training import Training, train
from atmorep_bridge.core.windows import Region, open_region
from sifnet.product.netcdf import read_netcdf
from sifnet.retrieval.prior import USUAL
from sifnet.scenes.scene import Scene
from sifnet.scenes.sun import sun_angles
from sifnet.units import standard_pressure

PRESSURE_SD = USUAL["surface_pressure"][1]
LAST = np.datetime64("2022-08-31T06", "ns")  # the last analysis that is there
AHEAD = 6
FLOWN = LAST + AHEAD * HOUR
FIELDS = (FieldSpec("surface_pressure", patch=(3, 4, 4), normaliser="mean"),)
HILLY, HIGH = 25.0, 250.0  # m; beyond either, a grid point tells no sea-level pressure
PRIORS = {
    "analysis": "analysis of 12 UTC",
    "forecast": "forecast from 6 UTC",
    "off": "that forecast, pressure one σ off",
    "persistence": "analysis of 6 UTC as it is",
    "climatology": f"standard atmosphere ± {PRESSURE_SD:g} hPa",
    "nothing": "no file: temperature standard, too",
}
COLOURS = ("k", "tab:blue", "tab:cyan", "tab:green", "tab:orange", "tab:red")
METHODS = ("sifnet", "optimal estimation, single pixels", "SFM", "3FLD")
Scores = dict[str, dict[str, Score]]
"""By method, then by prior."""
INTRODUCTION = f"""A reanalysis arrives days late. On 31 August 2022, 12 UTC, five lines are flown
(full radiative transfer, {SHAPE[0]} x {SHAPE[1]} pixels) under the surface pressure of ERA5 at that
hour. What is known is ERA5 of 6 UTC and before: `atmorep_bridge/core` forecasts the pressure from
it, `atmosphere.nc` tells it to the retrieval. All but the last column are also told the true
temperature ± {TEMPERATURE_SD:g} K. Twenty days of changing weather are in
[pressures.md](pressures.md). SIF at 760 nm, {UNIT}: RMSE over all pixels of all lines, mean of the
|bias| of each line. SFM and single pixels on {SLOW} pixels a line."""


@dataclass(frozen=True)
class Place:
    """Where a line is flown, at which height; ``seed`` draws what is not given."""

    name: str
    latitude: float
    longitude: float
    sensor: str
    seed: int

    @property
    def folder(self) -> str:
        """Name of its folder."""
        return self.name.replace(" ", "_")


PLACES = (
    Place("Jülich", 50.87, 6.45, "0.6 km", 41),
    Place("near Lyon", 45.75, 5.25, "1.8 km", 42),
    Place("near Moulins", 46.75, 3.5, "0.35 km", 43),
    Place("Lake Constance", 47.75, 9.5, "3.0 km", 44),
    Place("Schleswig", 54.75, 9.25, "0.6 km", 45),
)
"""Jülich; the grid points where pressure fell most (two alike) and rose most from 6 to 12 UTC; and
land in the north, under the high, where the standard atmosphere is far off."""


def main(folder: Path) -> None:
    """Forecast, fly, retrieve, and write the page."""
    needed(ERA5)
    torch.set_num_threads(1)
    region = open_region([ERA5 / "wam2layers" / f"ERA5_{day}_sp.nc"
                          for day in ("2020-01-01", "2022-08-31")], FIELDS)  # fmt: skip
    with page("loop", "The loop: a forecast of the air in the retrieval", INTRODUCTION) as add:
        analyses = region.between(FLOWN - 12 * HOUR, FLOWN).data.load()
        ensemble = forecast(region, folder)
        scores: Scores = {}
        heights = grounds(analyses["surface_pressure"].sel(time=FLOWN))
        told = [_fly(folder, place, height, ensemble, analyses, scores)
                for place, height in zip(PLACES, heights, strict=True)]  # fmt: skip
        add(_by_method(scores), _told(told), _whole_box(ensemble, analyses), _by_line(scores))
        _figure(ensemble, analyses, scores)


def grounds(now: xr.DataArray) -> list[float]:
    """km, of the analysis' ground at PLACES, which its files do not hold.

    Where the standard atmosphere takes sea-level pressure to that of the analysis. Sea-level
    pressure is a quadratic through flat lowlands, whose height pvlib's map of 5' knows.
    """
    points = now.stack(point=("latitude", "longitude"))
    y, x = points["latitude"].values.astype(float), points["longitude"].values.astype(float)
    steps = np.array([-1, 0, 1]) / 12
    around = np.array([[lookup_altitude(b + j, a + i) for j in steps for i in steps]
                       for b, a in zip(y, x, strict=True)])  # fmt: skip
    flat = (around.std(1) < HILLY) & (around.mean(1) < HIGH)

    def terms(north: Array, east: Array) -> Array:
        north, east = north - 50, east - 5
        return np.stack([north**0, north, east, north**2, north * east, east**2], -1)

    shares = points.values / standard_pressure(around.mean(1) / 1e3)  # of the standard's
    sea_level = np.linalg.lstsq(terms(y[flat], x[flat]), shares[flat])[0]
    there = np.array([(p.latitude, p.longitude) for p in PLACES])
    here = np.array([at(now, p) for p in PLACES]) / (terms(*there.T) @ sea_level)
    heights = np.linspace(-0.1, 3, 3101)
    return [float(z) for z in np.interp(-here, -standard_pressure(heights), heights)]


def at(values: xr.DataArray, place: Place) -> xr.DataArray:
    """Bilinear between the grid points around a place."""
    return values.interp(latitude=place.latitude, longitude=place.longitude)


def forecast(region: Region, folder: Path) -> xr.Dataset:
    """The ensemble of the hours after LAST; nothing after it is seen, nor trained on."""
    past = region.between(region.times[0], LAST)
    setup = Setup(FIELDS, (9, 16, 16), size=replace(SIZES["tiny"], width=64),
                  plans={"causal": 0.8, "random": 0.2})  # fmt: skip
    core = train(past, setup, folder / "rhine.ckpt", config=Training(steps=200, batch=8))
    return nowcast(core, past, LAST, AHEAD)


def priors(
    folder: Path, place: Place, ensemble: xr.Dataset, analyses: xr.Dataset
) -> dict[str, xr.Dataset]:
    """What an ``atmosphere.nc`` each tells of pressure over a place, by the keys of PRIORS."""
    where = place.latitude, place.longitude
    # In the form of an ensemble whose two members agree, an analysis has its own error only.
    alike = analyses.expand_dims(member=2).assign_attrs(level_kind="", source="ERA5")
    told = {
        "analysis": atmosphere_at(alike, *where, FLOWN),
        "forecast": atmosphere_at(ensemble, *where, FLOWN),
        "persistence": atmosphere_at(alike, *where, LAST),
    }
    sigma, ahead, stale = "surface_pressure_uncertainty", told["forecast"], told["persistence"]
    stale[sigma] = np.hypot(stale[sigma], persistence_sd("surface_pressure", AHEAD))
    told["off"] = ahead.assign(surface_pressure=ahead["surface_pressure"] + ahead[sigma])
    files = {name: write(air, folder / f"atmosphere_{name}.nc") for name, air in told.items()}
    return {name: read_netcdf(file) for name, file in files.items()}


def _fly(
    folder: Path, place: Place, height: float, ensemble: xr.Dataset, analyses: xr.Dataset,
    scores: Scores,
) -> list[str]:  # fmt: skip
    """Add the scores of a line; a row of the table of what is true and what is told."""
    files = priors(folder / place.folder, place, ensemble, analyses)
    true = float(files["analysis"]["surface_pressure"])
    zenith = float(sun_angles(FLOWN, place.latitude, place.longitude)[0][0])
    flown = line(folder / place.folder, place.sensor, seed=place.seed, ground_elevation=height,
                 solar_zenith_angle=zenith,
                 pressure_offset=true - float(standard_pressure(height)))  # fmt: skip
    hour = str(FLOWN.astype("datetime64[s]"))
    scene = Scene(flown.scene.dataset.assign_attrs(acquisition_time=hour))
    warm = flown.truth.attrs["temperature_offset"]
    # The files hold no temperature: all are told the true one, and differ in pressure alone.
    air = xr.Dataset({"temperature_offset": warm, "temperature_offset_uncertainty": TEMPERATURE_SD})
    told = {n: file.assign(air) for n, file in files.items()} | {"climatology": air,
                                                                 "nothing": None}  # fmt: skip
    estimates = methods(scene)
    for method in METHODS:
        for prior in PRIORS:
            score = scores.setdefault(method, {}).setdefault(prior, Score())
            score.add(estimates[method](told[prior]), flown.truth.sif_760.values, flown.bare)
    before = float(at(analyses["surface_pressure"].sel(time=LAST), place))
    row = [place.name, place.sensor, f"{zenith:.0f}°", f"{height * 1e3:.0f}", f"{true:.1f}",
           f"{true - before:+.1f}"]  # fmt: skip
    for file in [files[name] for name in PRIORS if name in files]:
        off = float(file["surface_pressure"]) - true
        row.append(f"{off:+.1f} ± {float(file['surface_pressure_uncertainty']):.1f}")
    row.append(f"{standard_pressure(height) - true:+.1f} ± {PRESSURE_SD:.1f}")
    row += [f"{warm:+.1f}", f"{float(flown.truth.aot_550.mean()):.2f}"]
    print(row, flush=True)
    return row


def _by_method(scores: Scores) -> str:
    rows = [[method, *(", ".join(s.cells()[:2]) for s in by_prior.values())]
            for method, by_prior in scores.items()]  # fmt: skip
    return f"""{table(["method", *PRIORS.values()], rows)}

![Forecasts of pressure, and SIF error by method and prior](loop.png)

SFM and 3FLD take what they are told for true; an error of pressure then may cancel their own, so
RMSE says little of what they are told: the shift from what the analysis gives, below, says more.
{_worth(scores, "sifnet")} {_worth(scores, "optimal estimation, single pixels")}"""


def _worth(scores: Scores, method: str) -> str:
    """What pressure from elsewhere costs a method that weighs what it is told."""
    rmse = {prior: score.rmse for prior, score in scores[method].items()}
    return (f"RMSE of {method}: {rmse['analysis']:.3f} with the analysis, "
            f"{rmse['forecast']:.3f} with the forecast, "
            f"{rmse['climatology']:.3f} with the standard atmosphere.")  # fmt: skip


def _told(rows: list[list[str]]) -> str:
    head = ["place", "sensor", "sun", "ground, m", "pressure at noon, hPa", "since 6 UTC",
            *list(PRIORS.values())[:-1], "temperature, K", "AOT"]  # fmt: skip
    usual = {n: f"{mean:g} ± {sd:g}" for n, (mean, sd) in USUAL.items() if n != "surface_pressure"}
    return f"""## What was told

Pressure that is told less the true one, ± the σ that is told with it, hPa; temperature in K from
the standard atmosphere, true, and true AOT.

{table(head, rows)}

The day's files hold no temperature and no aerosol. The true temperature is drawn, and told alike,
so that priors differ in pressure alone; the last is what sifnet takes without a file
({usual["temperature_offset"]} K). AOT is known to none ({usual["aot_550"]}). The analysis is taken
for true, which it is to its σ; the third prior has the pressure of the forecast one σ too high.

The places: Jülich; the two grid points where pressure fell most and the one where it rose most from
6 to 12 UTC, which are the hardest for any forecast; and one in the north, under the high. The files
hold no orography: the ground is where the sea-level pressure that flat lowlands show falls to that
of the analysis. Only the error of the standard atmosphere depends on it."""


def _whole_box(ensemble: xr.Dataset, analyses: xr.Dataset) -> str:
    """Root mean square errors of the forecast and of cheap ones."""
    true, members = (data["surface_pressure"].sortby(["latitude", "longitude"])
                     for data in (analyses, ensemble))  # fmt: skip
    last, before = (true.sel(time=t) for t in (LAST, LAST - HOUR))
    rows = []
    for ahead in (1, 3, AHEAD):
        then = members.sel(time=LAST + ahead * HOUR)
        guesses = (then.mean("member"), last, last + ahead * (last - before))
        errors = [np.sqrt(float(((g - true.sel(time=then["time"])) ** 2).mean())) for g in guesses]
        errors.append(float(np.sqrt(then.var("member", ddof=1).mean())))
        rows.append([f"{ahead} h", *(f"{e:.2f}" for e in errors)])
    forecast, unchanged = errors[:2]  # of the last, AHEAD
    verdict = "better" if forecast < unchanged else "worse"
    head = ["ahead", "forecast", "as it is", "goes on as in the last hour", "spread"]
    most = float(abs(true.sel(time=FLOWN) - last).max())
    return f"""## What the forecast is worth, over the whole box

Root mean square errors of surface pressure, hPa, 45 to 55° N, 0 to 10° E, {last.size} points.

{table(head, rows)}

**At {AHEAD} h the forecast is {verdict} than persistence here**: {forecast:.2f} hPa, and no change
{unchanged:.2f}. In six hours pressure changed by {most:.1f} hPa at most.
The tiny model was trained on 31 hours: 1 January 2020, and 0 to 6 UTC of the day. Window and tokens
were settled in trials that printed this day's error, too: it may flatter. What the loop shows is
that a forecast gets through to the map, with its σ; what it is worth in changing weather, or from a
model trained on years, one day cannot say."""


def shift(by_prior: dict[str, Score], prior: str) -> float:
    """Mean over the lines of |mean SIF less that with the analysis|."""
    pairs = zip(by_prior[prior].errors, by_prior["analysis"].errors, strict=True)
    return float(np.mean([abs(a.mean() - b.mean()) for a, b in pairs]))


def _by_line(scores: Scores) -> str:
    rows = []
    for method, by_prior in scores.items():
        for prior, score in by_prior.items():
            each = [f"{e.mean():+.2f}" for e in score.errors]
            rows.append([method, PRIORS[prior], f"{score.soil_means.mean():.3f}",
                         f"{shift(by_prior, prior):.3f}", *each])  # fmt: skip
    return f"""## Line by line

Mean |mean SIF| of a line over bare soil, where it is zero; mean |shift| of a line's mean SIF from
that with the analysis; bias of each line.

{table(["method", "pressure from", "soil", "shift", *(p.name for p in PLACES)], rows)}"""


def _figure(ensemble: xr.Dataset, analyses: xr.Dataset, scores: Scores) -> None:
    figure = plt.figure(figsize=(12, 8), layout="constrained")
    above, below = figure.subfigures(2, 1, height_ratios=[1, 1.25])
    axes = above.subplots(1, len(PLACES), sharey=True)
    for axis, place in zip(axes, PLACES, strict=True):
        _fan(axis, place, ensemble, analyses)
    axes[0].set_ylabel("surface pressure since 6 UTC, hPa")
    above.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=6,
                 frameon=False, fontsize=8)  # fmt: skip
    axes = below.subplots(1, 3, sharey=True)
    methods = [method.replace(", ", ",\n") for method in METHODS]
    for axis, title, value in (
        (axes[0], "RMSE of all lines", lambda s, prior: s[prior].rmse),
        (axes[1], "mean |bias| of a line", lambda s, prior: s[prior].biases.mean()),
        (axes[2], "mean |shift| from analysis", shift),
    ):
        series = {words: [value(scores[method], prior) for method in METHODS]
                  for prior, words in PRIORS.items()}  # fmt: skip
        bars(axis, methods, series, COLOURS)
        axis.set(title=title, xlabel=f"SIF at 760 nm, {UNIT}")
    axes[0].invert_yaxis()
    below.legend(*axes[0].get_legend_handles_labels(), title="pressure from",
                 loc="outside lower center", ncols=3, frameon=False, fontsize=8)  # fmt: skip
    save(figure, "loop", 128)


def _fan(axis: Axes, place: Place, ensemble: xr.Dataset, analyses: xr.Dataset) -> None:
    true, members = (at(data["surface_pressure"], place) for data in (analyses, ensemble))
    start = float(true.sel(time=LAST))
    hours = _hours(members["time"].values)
    values = members.transpose("member", "time").values - start
    axis.fill_between(hours, values.min(0), values.max(0), color="tab:blue", alpha=0.2, lw=0,
                      label="its members")  # fmt: skip
    axis.plot(hours, values.mean(0), color="tab:blue", label="forecast")
    told = atmosphere_at(ensemble, place.latitude, place.longitude, FLOWN)
    axis.errorbar(12.15, values.mean(0)[-1], float(told["surface_pressure_uncertainty"]),
                  color="tab:blue", capsize=3, label="σ that is told")  # fmt: skip
    axis.axhline(0, color="tab:green", linestyle=":", label="as it is")
    axis.plot(_hours(true["time"].values), true - start, color="k", label="analysis")
    axis.axvline(6, color="0.8", linewidth=0.8)
    axis.set(title=place.name, xlabel="hour, UTC", xticks=range(0, 13, 3))


def _hours(times: Iterable[np.datetime64]) -> np.ndarray:
    return (np.asarray(times) - LAST) / HOUR + 6


if __name__ == "__main__":
    run(main, "benchmark_loop")
