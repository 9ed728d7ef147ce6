"""Stations in the hours that a forecast hides, withheld ones as judges. A part of docs/forecast.md.

    python tests/benchmarks/stations.py       prints that part

No file of real stations is at hand: they are drawn from the analyses, with errors of their own.
"""

from __future__ import annotations

from functools import partial

import numpy as np
import pandas as pd
import torch
import xarray as xr
from harness import ERA5, Array, needed, rms, table
from states import FILES, NAME, UK

from atmorep_bridge.core.copula import errors
from atmorep_bridge.core.masks import from_time
from atmorep_bridge.core.stations import EARTH
from atmorep_bridge.core.statistics import fit
from atmorep_bridge.core.tasks import nowcast
from atmorep_bridge.core.training import Core
from atmorep_bridge.core.windows import Region, open_region

HOURS, MANY, EVERY = 6, 40, 6
INSTRUMENT, PLACE = 0.3, 0.7  # K, of each hour, and of the place at all hours
SIGMA = float(np.hypot(INSTRUMENT, PLACE))
FIRST = np.datetime64("2019-03-24T23", "ns")
LENGTHS = np.geomspace(30, 3000, 40)  # km


def section() -> str:
    """Stations over the United Kingdom, as a part of the page."""
    month = open_region([FILES[0]], UK.fields).loaded()
    train, _ = month.split(np.datetime64("2019-03-25", "ns"), UK.neighbourhood[0])
    off, spread = withheld(Core(UK, fit(train, UK)).silent(), train, month, FIRST)
    rows = [[name, *(f"{rms(each[:, part]):.2f}" for part in (slice(0, 3), slice(3, 6)))]
            for name, each in off.items()]  # fmt: skip
    ratio = np.sqrt(9 / 8) * rms(spread) / rms(off["base, and stations"])  # of 8 members
    return f"""## Stations

Hours that a forecast hides may be observed somewhere. {MANY} places were drawn over the United
Kingdom, half of them are told (`--stations`), the others judge, at all six hours, from every
{EVERY}th hour of the test week. No file of real stations was at hand: an observation is ERA5
between its grid points, with {INSTRUMENT} K of its own every hour and {PLACE} K that the place is
off by all week. What is withheld is ERA5 itself. Of the base alone; RMSE in K. The nearest analysis
is the last that a forecast knows. Kriging takes an exponential covariance fitted to the training
days, of anomalies or of the base's errors.

{table(["at withheld places", "1-3 h", "4-6 h"], rows)}

Spread/skill of the corrected members there: {ratio:.2f}. How far observations reach was chosen on
18 to 23 March, of 60, 100, 150, 200 and 250 km."""


def withheld(
    core: Core, train: Region, region: Region, first: np.datetime64, days: int = 7
) -> tuple[dict[str, Array], Array]:
    """Errors, K, ``case, hour, place``, at places not told, of every method; and our spread."""
    rng = np.random.default_rng(0)
    at = [rng.uniform(axis[0], axis[-1], MANY) for axis in (region.latitude, region.longitude)]
    value = _at(region.data[NAME], at)
    seen = value + PLACE * rng.normal(size=MANY) + INSTRUMENT * rng.normal(size=value.shape)
    told, kept = slice(0, MANY // 2), slice(MANY // 2, None)
    climate = _at(_map(core, region), at)
    weather = _kriged(at, told, kept, _at(train.data[NAME], at) - climate[: train.times.size])
    kinds = from_time(core.setup, core.setup.neighbourhood[0] - core.setup.lead)
    starts = list(range(0, train.times.size - core.setup.neighbourhood[0], core.setup.lead))
    wrong = errors(core, train, starts, kinds)[NAME][:, 0, -HOURS:] * core.statistics.sd(
        NAME, core.statistics.place(train))  # fmt: skip
    fault = [_kriged(at, told, kept, _at(_grid(region, wrong[:, h]), at)) for h in range(HOURS)]
    names = ("nearest analysis", "kriging of stations", "base", "base, and kriging",
             "base, and stations")  # fmt: skip
    off: dict[str, list[Array]] = {name: [] for name in names}
    spread = []
    begin = int(np.flatnonzero(region.times == first)[0])
    for last in range(begin, min(begin + 24 * days, region.times.size - HOURS), EVERY):
        ahead = slice(last + 1, last + 1 + HOURS)
        rows = pd.DataFrame({
            "time": np.repeat(region.times[ahead], MANY // 2), "field": NAME, "sigma": SIGMA,
            "latitude": np.tile(at[0][told], HOURS), "longitude": np.tile(at[1][told], HOURS),
            "value": seen[ahead, told].ravel(),
        })  # fmt: skip
        before, after = (
            _at(nowcast(core, region, region.times[last], HOURS, t)[NAME], at) for t in (None, rows)
        )
        mean = before.mean(0)
        found = (
            value[last, kept] + np.zeros((HOURS, 1)),
            climate[ahead, kept] + (seen - climate)[ahead, told] @ weather,
            mean[:, kept],
            mean[:, kept] + np.stack([(seen[ahead, told] - mean[:, told])[h] @ fault[h]
                                      for h in range(HOURS)]),
            after.mean(0)[:, kept],
        )  # fmt: skip
        for name, values in zip(names, found, strict=True):
            off[name].append(values - value[ahead, kept])
        spread.append(after[..., kept].std(0, ddof=1))
    return {name: np.stack(each) for name, each in off.items()}, np.stack(spread)


def _map(core: Core, region: Region) -> xr.DataArray:
    return _grid(region, core.statistics.mean(NAME, region.times, core.statistics.place(region))[0])


def _grid(region: Region, values: torch.Tensor) -> xr.DataArray:
    axes = {"latitude": region.latitude, "longitude": region.longitude}
    return xr.DataArray(values.numpy(), dims=("time", *axes), coords=axes)


def _at(field: xr.DataArray, at: list[Array]) -> Array:
    """Between grid points, ``..., place``."""
    places = {n: ("place", p) for n, p in zip(("latitude", "longitude"), at, strict=True)}
    turned = field.assign_coords(longitude=(field["longitude"] + 180) % 360 - 180)
    return turned.interp(places).transpose(..., "place").values.astype(float)


def _kriged(at: list[Array], told: slice, kept: slice, past: Array) -> Array:
    """Weights of simple kriging, ``told, kept``; the covariance is that of past values there."""
    y, x = map(np.deg2rad, at)
    half = np.sin((y - y[:, None]) / 2) ** 2
    half += np.cos(y) * np.cos(y[:, None]) * np.sin((x - x[:, None]) / 2) ** 2
    apart = 2 * EARTH * np.arcsin(np.sqrt(half.clip(0, 1)))
    found, variance = np.corrcoef(past.T), past.var()
    misfit = partial(_misfit, found, apart)
    covariance = variance * np.exp(-apart / min(LENGTHS, key=misfit))
    among = covariance[told, told] + SIGMA**2 * np.eye(len(covariance[told]))
    return np.linalg.solve(among, covariance[told, kept])


def _misfit(found: Array, apart: Array, length: float) -> float:
    return float(((found - np.exp(-apart / length)) ** 2).sum())


if __name__ == "__main__":
    needed(ERA5)
    torch.set_num_threads(1)
    print(section())
