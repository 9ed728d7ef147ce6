"""The few grid points and analyses around a scene, and what they say at its points."""

from __future__ import annotations

import numpy as np
import pandas as pd
import xarray as xr

from atmorep_bridge.air.footprint import Footprint
from atmorep_bridge.fields.formats import damaged
from sifnet.errors import SifnetError

BEYOND = np.timedelta64(1, "h")  # the nearest analysis serves this far outside the files' time
LONGEST_GAP = np.timedelta64(6, "h")  # between two analyses of ECMWF and NASA


def load_box(fields: xr.Dataset, footprint: Footprint) -> xr.Dataset:
    """The grid points around a footprint, of the analyses around its time, in memory.

    Longitudes are counted from the footprint, so that no box is cut at 180 degrees.

    Raises:
        SifnetError: the footprint is not inside, in space or in time; both ranges are stated. Or
            a file is damaged where it is read.
    """
    east = footprint.longitude[0]
    turned = (fields["longitude"] - east + 180) % 360 - 180
    points = (footprint.longitude - east + 180) % 360 - 180
    rows = _around(fields["latitude"].values, footprint.latitude)
    order = np.argsort(turned.values, kind="stable")
    columns = _around(turned.values[order], points)
    if rows is None or columns is None:
        raise _elsewhere(fields, footprint)
    chosen = {"latitude": rows, "longitude": np.sort(order[columns])}
    if "time" in fields.dims:
        chosen["time"] = _times(fields["time"].values, footprint, fields.attrs["files"])
    try:
        box = fields.isel({name: _slice(index) for name, index in chosen.items()})
        box = box.load(scheduler="synchronous")  # one chunk at a time: a global one is 150 MB
    except Exception as error:  # each library has its own for a broken chunk or message
        raise damaged(", ".join(fields.attrs["files"]), error) from error
    if "time" in box.get("surface_height", xr.DataArray(0)).dims:
        box["surface_height"] = box["surface_height"].isel(time=0, drop=True)
    box = box.assign_coords(longitude=(turned[chosen["longitude"]] + east).round(5))
    return box.sortby("longitude")


def _slice(index: np.ndarray) -> slice | np.ndarray:
    """A run of indices as a slice, of which dask reads no more than it needs."""
    run = slice(int(index[0]), int(index[-1]) + 1)
    return run if index.size == run.stop - run.start else index


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


def _times(times: np.ndarray, footprint: Footprint, files: list[str]) -> np.ndarray:
    first, last = footprint.time.min(), footprint.time.max()
    if times[0] - BEYOND > first or times[-1] + BEYOND < last:
        raise _another_time(times, footprint, files, "hours before and after the scene")
    before = max(int(np.searchsorted(times, first, side="right")) - 1, 0)
    after = min(int(np.searchsorted(times, last, side="left")), times.size - 1)
    chosen = np.arange(min(before, after), after + 1)
    if chosen.size > 1 and np.diff(times[chosen]).max() > LONGEST_GAP:
        raise _another_time(times, footprint, files, "analyses at most 6 hours apart")
    return chosen


def _span(values: np.ndarray) -> str:
    low, high = values.min(), values.max()
    if np.issubdtype(values.dtype, np.datetime64):
        low, high = (pd.Timestamp(v).strftime("%Y-%m-%d %H:%M") for v in (low, high))
        return f"{low} UTC" if low == high else f"{low} to {high} UTC"
    return f"{low:.4g}" if low == high else f"{low:.4g} to {high:.4g}"


def _another_time(
    times: np.ndarray, footprint: Footprint, files: list[str], expected: str
) -> SifnetError:
    day = pd.Timestamp(footprint.time.min())
    return SifnetError(
        "the fields are of another time than the scene",
        found=f"fields of {_span(times)}; scene of {_span(footprint.time)}",
        expected=expected,
        remedy=f"Download {day:%Y-%m-%d}, {day.floor('h'):%H:%M} and the next analysis.",
        file=", ".join(files),
    )


def _elsewhere(fields: xr.Dataset, footprint: Footprint) -> SifnetError:
    return SifnetError(
        "the scene lies outside the fields",
        found=f"fields of latitude {_span(fields['latitude'].values)}, "
        f"longitude {_span(fields['longitude'].values)}; "
        f"scene at latitude {_span(footprint.latitude)}, longitude {_span(footprint.longitude)}",
        expected="grid points on all sides of the scene",
        remedy="Download an area that holds the scene, with a margin of one grid length.",
        file=", ".join(fields.attrs["files"]),
    )


def at_points(fields: xr.Dataset, footprint: Footprint) -> xr.Dataset:
    """Bilinear in space, linear in time, at the points of a footprint: adds dimension (point).

    Raises:
        SifnetError: a corner has no number.
    """
    where = {
        "latitude": xr.DataArray(footprint.latitude, dims="point"),
        "longitude": xr.DataArray(_near(footprint.longitude, fields["longitude"]), dims="point"),
    }
    if "time" in fields.dims:
        times = fields["time"].values
        if times.size == 1:
            fields = fields.isel(time=0, drop=True)
        else:
            where["time"] = xr.DataArray(np.clip(footprint.time, times[0], times[-1]), dims="point")
    limits = {n: (fields[n].min(), fields[n].max()) for n in ("latitude", "longitude")}
    for name, (low, high) in limits.items():
        where[name] = where[name].clip(float(low), float(high))  # rounded coordinates
    found = fields.interp(where, method="linear")
    empty = [str(name) for name, values in found.data_vars.items() if values.isnull().any()]
    if empty:
        raise SifnetError(
            f"{', '.join(empty)} has no number over the scene",
            found="missing values at a corner of the grid",
            expected="numbers all around the scene",
            remedy="Download the fields again, or from another service.",
            file=", ".join(fields.attrs.get("files", [])) or None,
        )
    return found.drop_vars(["latitude", "longitude", "time"], errors="ignore")


def _near(longitude: np.ndarray, axis: xr.DataArray) -> np.ndarray:
    """Longitudes in the turn of the axis."""
    middle = float(axis.mean())
    return (longitude - middle + 180) % 360 - 180 + middle


def time_distance(values: xr.DataArray, footprint: Footprint) -> tuple[float, float]:
    """Hours between the analyses used, and from the scene to the nearest outside their time."""
    times = values["time"].values
    hour = np.timedelta64(1, "h")
    gap = float(np.diff(times).max() / hour) if times.size > 1 else 0.0
    early = float((times[0] - footprint.time.min()) / hour)
    late = float((footprint.time.max() - times[-1]) / hour)
    return gap, max(early, late, 0.0)
