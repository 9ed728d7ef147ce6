"""A year of real hourly weather over Berlin, and what was known of it when a line is flown.

ERA5 of 2017, 2 x 3 grid points (``climate/`` of the reference data). Everything that has to be
learned is learned on hours that are no flight's, and so is each prior's σ.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import xarray as xr
from harness import DATA, Array, rms
from numpy.typing import NDArray

from atmorep_bridge.core.climate import harmonics
from atmorep_bridge.core.filling import from_visible
from atmorep_bridge.core.specs import FieldSpec, Setup
from atmorep_bridge.core.statistics import fit
from atmorep_bridge.core.windows import open_region
from sifnet.scenes.sun import sun_angles
from sifnet.units import standard_pressure

FILE = DATA / "climate" / "ERA5_berlin_2017_hourly.nc"
BERLIN = {"latitude": 52.52, "longitude": 13.40}
GROUND = 0.04  # km
AHEAD = 6  # hours
FAST = 5.0  # hPa in AHEAD hours
APART = 3  # days between flights
OWN = 36  # hours on either side of a flight that nothing is learned from
LAGS = (0, 1, 2, 3, 4, 5, 6, 9, 12, 18, 24)  # hours
SHRINKAGE = 1e-4  # of unit variance; from 1e-6 to 1e-4 the error is the same
FOLD = 240  # hours that are predicted by the others
NOTHING_LEARNED = 0.1  # hPa, σ of what is true
# Mid-latitude summer and winter of Anderson et al. (1986): at the ground 294.2 and 272.2 K, over
# the column 8.8 K warmer and 8.1 K colder than the US standard atmosphere of 288.15 K.
COLUMN_SHARE = (8.8 + 8.1) / (294.2 - 272.2)
COLUMN_WARMER = 8.8 - COLUMN_SHARE * (294.2 - 288.15)
WARMEST = 9.5  # K from the standard, within the emulator
Index = NDArray[np.int64]


@dataclass(frozen=True)
class Year:
    """Hours of a year over a point.

    Attributes:
        times: (hour). pressure: (hour) hPa. warmth: (hour) K of the column above the standard.
        zenith: (hour) degrees, of the sun.
        signs: (hour, sign) what a forecast is made from.
    """

    times: NDArray[np.datetime64]
    pressure: Array
    warmth: Array
    zenith: Array
    signs: Array

    @classmethod
    def read(cls) -> Year:
        """From the file, bilinear between its grid points; a forecast is told of all of them."""
        with xr.open_dataset(FILE, engine="scipy") as opened:
            grid = opened[["sp", "t2m", "u10", "v10", "u100", "v100"]].load()
        here = grid.interp(BERLIN)
        times = grid["time"].values
        hours = times.size
        winds = [here[n].values for n in ("t2m", "u10", "v10", "u100", "v100")]
        day = here["t2m"].rolling(time=24, min_periods=1).mean().values  # the ground's day is no
        warmth = COLUMN_WARMER + COLUMN_SHARE * (day - 288.15)  # matter of the column
        return cls(
            times,
            here["sp"].values / 100,
            np.clip(warmth, -WARMEST, WARMEST),
            sun_angles(times, **BERLIN)[0].ravel(),
            np.column_stack([grid["sp"].values.reshape(hours, -1) / 100, *winds]),
        )

    def change(self, hours: int) -> Array:
        """(hour) hPa since ``hours`` before; NaN at the beginning."""
        return np.append(np.full(hours, np.nan), self.pressure[hours:] - self.pressure[:-hours])


def flights(year: Year, number: int, lowest_sun: float, seed: int) -> Index:
    """Hours that are flown, half of them of fast change, in the order of the year.

    Each an hour drawn of a day with such hours, the days drawn, APART days from each other.

    Args:
        lowest_sun: zenith angle, degrees.
    """
    rng = np.random.default_rng(seed)
    change = abs(year.change(AHEAD))
    day = np.arange(year.times.size) // 24
    seen = (year.zenith < lowest_sun) & (day > APART + 5)
    chosen: list[int] = []
    for fast in (True, False):
        able = np.flatnonzero(seen & ((change >= FAST) == fast))
        for one in rng.permutation(np.unique(day[able])):
            if len(chosen) == (number // 2 if fast else number):
                break
            if all(abs(one - day[other]) >= APART for other in chosen):
                chosen.append(int(rng.choice(able[day[able] == one])))
    return np.sort(chosen)


@dataclass(frozen=True)
class Told:
    """One prior: what it says at every hour, NaN where it cannot, and its σ, hPa or K."""

    values: Array
    sd: float


def learnable(year: Year, flown: Index) -> NDArray[np.bool_]:
    """Hours that are OWN hours from any flight."""
    return (abs(np.arange(year.times.size)[:, None] - flown) > OWN).all(1)


def pressures(year: Year, flown: Index) -> dict[str, Told]:
    """hPa, by prior; each σ is the rms error at hours that are no flight's."""
    free = learnable(year, flown)

    def honest(values: Array) -> Told:
        return Told(values, float(rms((values - year.pressure)[free])))

    predicted, withheld = _forecast(year, free)
    told = {
        "truth": Told(year.pressure, NOTHING_LEARNED),
        "forecast": Told(predicted, honest(withheld).sd),
    }
    for age in (AHEAD, 24, 120):
        told[f"{age} h"] = honest(year.pressure - year.change(age))
    usual = np.full(year.times.size, year.pressure[free].mean())
    return told | {"climatology": honest(usual)}


def usual_warmth(year: Year, flown: Index) -> Told:
    """K, of the season: a harmonic of the year."""
    free = learnable(year, flown)
    waves = harmonics(year.times, 1, 0).numpy()
    usual = waves @ np.linalg.lstsq(waves[free], year.warmth[free])[0]
    return Told(usual, float(rms((usual - year.warmth)[free])))


def _forecast(year: Year, free: NDArray[np.bool_]) -> tuple[Array, Array]:
    """hPa at every hour, from AHEAD hours before, by ridge regression learned at free hours; and
    the same learned without the hours around, as it errs where it has not learned."""
    last = np.arange(LAGS[-1], year.times.size - AHEAD)
    then = last + AHEAD
    angle = 2 * np.pi * (last % 24) / 24  # the tide of the air
    tide = [f(k * angle) for k in (1, 2) for f in (np.cos, np.sin)]
    signs = np.column_stack([*(year.signs[last - lag] for lag in LAGS), *tide])
    signs = (signs - signs.mean(0)) / signs.std(0)
    change = year.pressure[then] - year.pressure[last]
    ridge = _ridge(signs, change)

    def at(values: Array) -> Array:
        whole = np.full(year.times.size, np.nan)
        whole[then] = year.pressure[last] + values
        return whole

    withheld = np.full(last.size, np.nan)
    for first in range(0, year.times.size, FOLD):
        there = (then >= first) & (then < first + FOLD)
        near = (then >= first - OWN) & (then < first + FOLD + OWN)
        withheld[there] = ridge(free[then] & ~near)[there]
    return at(ridge(free[then])), at(withheld)


def _ridge(signs: Array, aim: Array) -> Callable[[NDArray[np.bool_]], Array]:
    def predicted(learn: NDArray[np.bool_]) -> Array:
        centre, mean = signs[learn].mean(0), aim[learn].mean()
        known = signs[learn] - centre
        among = known.T @ known / len(known) + SHRINKAGE * np.eye(signs.shape[1])
        weights = np.linalg.solve(among, known.T @ (aim[learn] - mean) / len(known))
        found: Array = (signs - centre) @ weights + mean
        return found

    return predicted


def whole_year(year: Year) -> float:
    """hPa, rms at all hours of forecasts learned at all hours but those around."""
    _, withheld = _forecast(year, np.ones(year.times.size, dtype=bool))
    return float(rms(withheld - year.pressure))


def halves(year: Year) -> dict[str, float]:
    """hPa, rms in the second half of the year of forecasts learned in the first.

    By the base of ``atmorep_bridge/core``, which takes one field on a grid, and so no wind.
    """
    spec = FieldSpec("surface_pressure", patch=(AHEAD, 2, 3))
    hours = LAGS[-1] + AHEAD
    setup = Setup((spec,), (hours, 2, 3), rings=(1,))
    region = open_region([FILE], setup.fields).loaded()
    half = region.times.size // 2
    learned = region.between(region.times[0], region.times[half - OWN])
    asked = region.between(region.times[half], region.times[-1])
    statistics = fit(learned, setup)
    place = statistics.place(asked)
    series = statistics.anomalies(asked.everything(), asked.times, place)[spec.name]
    windows = series.unfold(1, hours, 1).permute(1, 0, 4, 2, 3)
    visible = torch.ones_like(windows, dtype=torch.bool)
    visible[:, :, -AHEAD:] = False
    filled, _ = from_visible(statistics, spec.name, windows, visible, place, (0, 0, 0, 0))
    errors = (filled - windows)[:, :, -1] * statistics.sd(spec.name, place)[:, 0]
    first = np.arange(year.times.size) <= half - OWN
    ours, _ = _forecast(year, first)
    return {
        "base": float(rms(errors.numpy())),
        "ridge": float(rms((ours - year.pressure)[half:])),
        "as it is": float(rms(year.change(AHEAD)[half:])),
    }


def pressure_offset(pressure: float) -> float:
    """hPa above the standard atmosphere's over GROUND."""
    return pressure - float(standard_pressure(GROUND))
