"""31 August 2022 over the Rhine (``loop.py``): hours, places, the ground there, the forecast."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import xarray as xr
from pvlib.location import lookup_altitude
from weather import Array

from atmorep_bridge.core.specs import SIZES, FieldSpec, Setup
from atmorep_bridge.core.tasks import nowcast
from atmorep_bridge.core.training import Training, train
from atmorep_bridge.core.windows import HOUR, Region
from sifnet.units import standard_pressure

LAST = np.datetime64("2022-08-31T06", "ns")  # the last analysis that is there
AHEAD = 6
FLOWN = LAST + AHEAD * HOUR
FIELDS = (FieldSpec("surface_pressure", patch=(3, 4, 4), normaliser="mean"),)
HILLY, HIGH = 25.0, 250.0  # m; beyond either, a grid point tells no sea-level pressure


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
    known = np.linalg.lstsq(terms(y[flat], x[flat]), shares[flat])[0]
    there = np.array([(p.latitude, p.longitude) for p in PLACES])
    here = np.array([at(now, p) for p in PLACES]) / (terms(*there.T) @ known)
    heights = np.linspace(-0.1, 3, 3101)
    return [float(z) for z in np.interp(-here, -standard_pressure(heights), heights)]


def at(values: xr.DataArray, place: Place) -> xr.DataArray:
    """Bilinear between the grid points around a place."""
    return values.interp(latitude=place.latitude, longitude=place.longitude)


def forecast(region: Region, folder: Path) -> xr.Dataset:
    """The ensemble of the hours after LAST; nothing after it is seen, nor trained on."""
    known = region.between(region.times[0], LAST)
    setup = Setup(FIELDS, (9, 16, 16), size=replace(SIZES["tiny"], width=64),
                  plans={"causal": 0.8, "random": 0.2})  # fmt: skip
    core = train(known, setup, folder / "rhine.ckpt", config=Training(steps=200, batch=8))
    return nowcast(core, known, LAST, AHEAD)
