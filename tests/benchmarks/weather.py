"""Weather of real days over a simulated scene: what is true there, and what the bridge is told.

The fields are moved, as they are, to the place and the hour of the scene. That hour itself is
withheld: the bridge gets analyses before and after.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import xarray as xr
from harness import ERA5, Array
from numpy.typing import ArrayLike
from pyproj import Transformer

from atmorep_bridge.air.columns import temperature_offset
from sifnet.simulation.scenery import NOON, PLACE
from sifnet.units import GRAVITY, standard_pressure

ABOVE_MODEL = 0.1  # km, of the scene's ground above the model's
STEPS = np.array([-0.375, -0.125, 0.125, 0.375])  # degrees, of the grid around the scene
UPPER_RHINE = (49.45, 8.45)  # degrees north and east: Mannheim


@dataclass(frozen=True)
class Weather:
    """Over one scene.

    Attributes:
        name: of the day, in words.
        elevation: km, of the ground of the scene.
        pressure: hPa at elevations, km, at the hour of the scene; true.
        temperature_offset: K, true.
        fields: what the bridge is told, hours before and after.
    """

    name: str
    elevation: float
    pressure: Callable[[ArrayLike], Array]
    temperature_offset: float
    fields: xr.Dataset

    def pressure_offset(self, elevation: float) -> float:
        """True pressure less the standard atmosphere's at an elevation, hPa."""
        return float(self.pressure(elevation) - standard_pressure(elevation))


def ifs(file: str, name: str, hour: int) -> Weather:
    """A column of ECMWF's forecast model, 137 levels, hourly; told 1 h before and 2 h after.

    The true pressure is the model's own at its own heights, which the bridge is not told.
    """
    with xr.open_dataset(ERA5 / "cloudnet" / file) as opened:
        day = opened.load().sortby("level")
    now = day.isel(time=hour)
    ground = float(now["sfc_geopotential"]) / GRAVITY / 1e3
    height = ground + now["height"].values.astype(float) / 1e3
    pressure = now["pressure"].values.astype(float) / 100
    around = day.isel(time=[hour - 1, hour + 2])
    fields = around[["temperature", "q", "sfc_pressure", "sfc_geopotential"]]
    fields = fields.rename(temperature="t", q="q", sfc_pressure="sp",
                           sfc_geopotential="surface_geopotential")  # fmt: skip
    fields = fields.drop_vars(set(fields.coords) - {"time", "level"})
    return Weather(
        f"{name}, {str(now['time'].values)[:13]} h UTC, IFS",
        ground + ABOVE_MODEL,
        lambda z: np.exp(np.interp(z, height[::-1], np.log(pressure)[::-1])),
        float(temperature_offset(pressure, now["temperature"].values)[0]),
        _moved(fields.expand_dims(latitude=STEPS, longitude=STEPS), now["time"].values),
    )


def era5() -> Weather:
    """ERA5 on 37 pressure levels over the upper Rhine, three hours of a night in May.

    Brought from a map of 20 km to degrees. The true pressure is the analysis' own at its ground
    between the grid points that the bridge is told, an hour before and after.
    """
    files = [ERA5 / "mptrac" / f"era5_utm32_2025_05_01_0{hour}.nc" for hour in range(3)]
    day = xr.concat([xr.open_dataset(file)[["t", "q", "sp", "z"]] for file in files], "time")
    day = day.load().rename(z="surface_geopotential", plev="level")
    day["level"] = (day["level"] / 100).assign_attrs(units="hPa")
    now = _at(day.isel(time=1), np.zeros(1)).squeeze()
    ground, pressure = float(now["surface_geopotential"]) / GRAVITY / 1e3, float(now["sp"]) / 100
    above = now.sel(level=now["level"] < pressure)
    return Weather(
        f"Upper Rhine, {str(now['time'].values)[:13]} h UTC, ERA5",
        ground,
        lambda z: pressure * standard_pressure(z) / standard_pressure(ground),
        float(temperature_offset(above["level"].values, above["t"].values)[0]),
        _moved(_at(day.isel(time=[0, 2]), STEPS), now["time"].values),
    )


def _at(day: xr.Dataset, steps: Array) -> xr.Dataset:
    """On latitude and longitude around UPPER_RHINE, bilinear on the map."""
    north, east = np.meshgrid(*(centre + steps for centre in UPPER_RHINE), indexing="ij")
    x, y = Transformer.from_crs("EPSG:4326", "EPSG:32632", always_xy=True).transform(east, north)
    dims = ("latitude", "longitude")
    here = day.interp(x=xr.DataArray(x, dims=dims), y=xr.DataArray(y, dims=dims))
    return here.drop_vars(["x", "y"]).assign_coords(latitude=steps, longitude=steps)


def _moved(fields: xr.Dataset, hour: np.datetime64) -> xr.Dataset:
    """To the place and hour of the scene; coordinates were degrees from the scene."""
    units = {"t": "K", "q": "kg kg**-1", "sp": "Pa", "surface_geopotential": "m**2 s**-2"}
    for name, unit in units.items():
        fields[name].attrs = {"units": unit}
    there = np.datetime64(NOON.replace(tzinfo=None), "ns")
    return fields.assign_coords(
        time=fields["time"].values.astype("datetime64[ns]") - hour.astype("datetime64[ns]") + there,
        latitude=PLACE["latitude"] + fields["latitude"].values,
        longitude=PLACE["longitude"] + fields["longitude"].values,
    )
