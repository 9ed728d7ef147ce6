"""Where the sun stood: the one place where readers turn time and place into solar angles."""

from __future__ import annotations

import importlib.util
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from types import ModuleType

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sifnet.errors import SifnetError

DELTA_T = 67.0  # s, terrestrial less universal time, as pvlib takes it
AIR = (1013.25, 12.0)  # hPa, degrees Celsius; with REFRACTION for the apparent sun alone
REFRACTION = 0.5667  # degrees, at sunset


@cache
def _spa() -> ModuleType:
    """NREL's solar position algorithm (Reda and Andreas 2004), of pvlib.

    The module alone: pvlib itself imports all of photovoltaics, most of a second.
    """
    package = importlib.util.find_spec("pvlib")
    if package is None or package.submodule_search_locations is None:
        raise ModuleNotFoundError("pvlib")
    file = Path(package.submodule_search_locations[0], "spa.py")
    spec = importlib.util.spec_from_file_location("sifnet.scenes._spa", file)
    if spec is None or spec.loader is None:
        raise ModuleNotFoundError("pvlib.spa")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _unix(times: NDArray[np.datetime64]) -> NDArray[np.float64]:
    """Seconds since 1970."""
    return times.astype("datetime64[ns]").astype(np.int64) / 1e9


def sun_angles(
    times_utc: ArrayLike, latitude: ArrayLike, longitude: ArrayLike, elevation_km: float = 0.0
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Solar zenith and azimuth (clockwise from north), degrees, for each time (time,).

    The zenith is the true one, without refraction, as plane-parallel radiative transfer takes it
    (the apparent sun stands 0.05 degrees higher at 75 degrees). NREL's SPA through pvlib.
    """
    seconds = _unix(np.atleast_1d(np.asarray(times_utc, "datetime64[ns]")))
    metres = elevation_km * 1e3
    position = _spa().solar_position(
        seconds, latitude, longitude, metres, *AIR, DELTA_T, REFRACTION
    )
    return np.asarray(position[1], float), np.asarray(position[4], float)


def solar_course(
    day: datetime, count: int, latitude: float, longitude: float, lowest_elevation: float = 20.0
) -> tuple[NDArray[np.datetime64], NDArray[np.float64]]:
    """Times (UTC, whole seconds) and solar zenith angles, evenly over the sunlit part of a day.

    Raises:
        SifnetError: the sun does not rise ``lowest_elevation`` degrees above the horizon.
    """
    # The solar day begins at local midnight, so that it is not cut in two far from Greenwich.
    midnight = np.datetime64(f"{day:%Y-%m-%d}", "s") - np.timedelta64(round(longitude * 240), "s")
    minutes = midnight + np.arange(0, 86400, 60).astype("timedelta64[s]")
    zenith, _ = sun_angles(minutes, latitude, longitude)
    lit = minutes[zenith <= 90.0 - lowest_elevation]
    if lit.size == 0:
        raise SifnetError(
            "the sun stays too low on that day",
            found=f"solar zenith angle {zenith.min():.1f} at noon",
            expected=f"{90.0 - lowest_elevation:g} or less",
            remedy="Choose another day or place.",
        )
    span = (lit[-1] - lit[0]) / np.timedelta64(1, "s")
    offsets = np.round(np.linspace(0.0, span, count)).astype("timedelta64[s]")
    times = lit[0] + offsets
    return times, sun_angles(times, latitude, longitude)[0]


def sun_earth_distance(time_utc: datetime | np.datetime64) -> float:
    """Distance of sun and earth, AU."""
    if isinstance(time_utc, datetime) and time_utc.tzinfo:
        time_utc = time_utc.astimezone(UTC).replace(tzinfo=None)
    seconds = _unix(np.array([time_utc], "datetime64[ns]"))
    return float(_spa().earthsun_distance(seconds, DELTA_T, 1)[0])


def relative_azimuth(
    azimuth_to_sensor: ArrayLike, azimuth_to_sun: ArrayLike
) -> NDArray[np.float64]:
    """Degrees; 0 = sensor and sun on the same side as seen from the ground, 180 = opposite."""
    difference = np.asarray(azimuth_to_sensor, float) - np.asarray(azimuth_to_sun, float)
    folded: NDArray[np.float64] = np.abs((difference + 180.0) % 360.0 - 180.0)
    return folded
