"""The few grid points and analyses around a scene, and what they say at its points."""

from __future__ import annotations

import numpy as np
import pandas as pd
import xarray as xr

from atmorep_bridge.air.footprint import Footprint, span
from atmorep_bridge.fields.axes import files_of, run, turned
from atmorep_bridge.fields.formats import readable
from sifnet.errors import SifnetError

BEYOND = np.timedelta64(1, "h")  # what knows of no age serves this far outside the files' time
LONGEST_GAP = np.timedelta64(6, "h")  # between two analyses of ECMWF and NASA


def load_box(
    fields: xr.Dataset, footprint: Footprint, beyond: np.timedelta64 = BEYOND
) -> xr.Dataset:
    """The grid points around a footprint, of the analyses around its time, in memory.

    Longitudes are counted from the footprint, so that no box is cut at 180 degrees.

    Args:
        beyond: how long after the times of the fields the last of them serves; the first serves
            BEYOND before, if that is shorter.

    Raises:
        SifnetError: the footprint is not inside, in space or in time; both ranges are stated. Or
            a file is damaged where it is read.
    """
    east = footprint.longitude[0]
    eastward = turned(fields["longitude"], east)
    rows = _around(fields["latitude"].values, footprint.latitude)
    order = np.argsort(eastward.values, kind="stable")
    columns = _around(eastward.values[order], turned(footprint.longitude, east))
    if rows is None or columns is None:
        raise _elsewhere(fields, footprint)
    chosen = {"latitude": rows, "longitude": np.sort(order[columns])}
    if "time" in fields.dims:
        chosen["time"] = _times(fields, footprint, beyond)
    with readable(files_of(fields)):
        box = fields.isel({name: run(index) for name, index in chosen.items()})
        box = box.load(scheduler="synchronous")  # one chunk at a time: a global one is 150 MB
    if "time" in box.get("surface_height", xr.DataArray(0)).dims:
        box["surface_height"] = box["surface_height"].isel(time=0, drop=True)
    box = box.assign_coords(longitude=(eastward[chosen["longitude"]] + east).round(5))
    return box.sortby("longitude")


def _around(axis: np.ndarray, points: np.ndarray) -> np.ndarray | None:
    """Indices of an ascending axis from the last before to the first after all points."""
    tolerance = 1e-4  # degrees, of rounded coordinates
    low, high = points.min(), points.max()
    if axis.size < 2 or low < axis[0] - tolerance or high > axis[-1] + tolerance:
        return None
    first = max(int(np.searchsorted(axis, low, side="right")) - 1, 0)
    last = min(int(np.searchsorted(axis, high, side="left")), axis.size - 1)
    if first == last:
        first, last = (first, first + 1) if first + 1 < axis.size else (first - 1, first)
    return np.arange(first, last + 1)


def _times(fields: xr.Dataset, footprint: Footprint, beyond: np.timedelta64) -> np.ndarray:
    times = fields["time"].values
    first, last = footprint.time.min(), footprint.time.max()
    if times[0] - min(beyond, BEYOND) > first or times[-1] + beyond < last:
        raise _another_time(fields, footprint, "hours before and after the scene")
    before = max(int(np.searchsorted(times, first, side="right")) - 1, 0)
    after = min(int(np.searchsorted(times, last, side="left")), times.size - 1)
    chosen = np.arange(min(before, after), after + 1)
    if chosen.size > 1 and np.diff(times[chosen]).max() > LONGEST_GAP:
        raise _another_time(fields, footprint, "analyses at most 6 hours apart")
    return chosen


def _another_time(fields: xr.Dataset, footprint: Footprint, expected: str) -> SifnetError:
    day = pd.Timestamp(footprint.time.min())
    return SifnetError(
        "the fields are of another time than the scene",
        found=f"fields of {span(fields['time'].values)}; scene of {span(footprint.time)}",
        expected=expected,
        remedy=f"Download {day:%Y-%m-%d}, {day.floor('h'):%H:%M} and the next analysis.",
        file=files_of(fields),
    )


def _elsewhere(fields: xr.Dataset, footprint: Footprint) -> SifnetError:
    return SifnetError(
        "the scene lies outside the fields",
        found=f"fields of latitude {span(fields['latitude'].values)}, "
        f"longitude {span(fields['longitude'].values)}; "
        f"scene at latitude {span(footprint.latitude)}, longitude {span(footprint.longitude)}",
        expected="grid points on all sides of the scene",
        remedy="Download an area that holds the scene, with a margin of one grid length.",
        file=files_of(fields),
    )


def at_points(fields: xr.Dataset, footprint: Footprint) -> xr.Dataset:
    """Bilinear in space, linear in time, at the points of a footprint: adds dimension (point).

    Args:
        fields: a box around the footprint, see ``load_box``.

    Raises:
        SifnetError: a corner has no number.
    """
    middle = float(fields["longitude"].mean())
    where = {
        "latitude": footprint.latitude,
        "longitude": turned(footprint.longitude, middle) + middle,
        "time": footprint.time,
    }
    if fields.sizes.get("time", 1) == 1:
        fields = fields.isel(time=0, missing_dims="ignore")
        del where["time"]
    points = {
        name: xr.DataArray(np.clip(at, *fields[name].values[[0, -1]]), dims="point")
        for name, at in where.items()
    }
    values = fields.interp(points, method="linear")
    empty = [str(name) for name, array in values.data_vars.items() if array.isnull().any()]
    if empty:
        raise SifnetError(
            f"{', '.join(empty)} has no number over the scene",
            found="missing values at a corner of the grid",
            expected="numbers all around the scene",
            remedy="Download the fields again, or from another service.",
            file=files_of(fields),
        )
    return values.drop_vars(["latitude", "longitude", "time"], errors="ignore")


def time_distance(values: xr.DataArray, footprint: Footprint) -> tuple[float, float]:
    """Hours between the times used, and from the scene to the nearest outside them."""
    times = values["time"].values
    hour = np.timedelta64(1, "h")
    gap = max([*np.diff(times), 0 * hour]) / hour
    beyond = max(times[0] - footprint.time.min(), footprint.time.max() - times[-1], 0 * hour) / hour
    return float(gap), float(beyond)
