"""Regions of files, and windows of them: only what a patch needs is read."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from atmorep_bridge.core.cells import Grid, grid_of, in_tokens
from atmorep_bridge.core.grids import Place
from atmorep_bridge.core.specs import MONTH, FieldSpec
from atmorep_bridge.fields.axes import files_of, goes_around, on_axes, run, spacing
from atmorep_bridge.fields.formats import readable
from atmorep_bridge.fields.opening import open_series
from sifnet.errors import SifnetError

IN_MEMORY = 2**30  # bytes; a region below this is read once
HOUR = np.timedelta64(1, "h")
LEAST_MONTH, MOST_MONTH = 28 * 24 * HOUR, 31 * 24 * HOUR
UNEVEN = 1e-3  # share by which distances between points may differ
Times = NDArray[np.datetime64]
Fields = dict[str, NDArray[np.float32]]
"""``level, time, row, column`` of each field, in its unit."""


@dataclass(frozen=True)
class Region:
    """Fields on one grid, lazily. On a regular one places ascend without a jump.

    Attributes:
        data: our names; ``time``, rows and columns of the grid, and level for a field that has any.
        step: degrees of latitude and longitude between points of a regular one.
        hours: between times; MONTH where they are months of the calendar, each at its first day.
        wraps: whether it goes all around the globe.
        level_kind: "model", "pressure" or none.
    """

    data: xr.Dataset
    step: tuple[float, float]
    hours: int
    wraps: bool
    level_kind: str

    @property
    def units(self) -> dict[str, str]:
        """Of each field."""
        return {str(name): str(v.attrs["units"]) for name, v in self.data.data_vars.items()}

    @property
    def files(self) -> str | None:
        """They are named in errors."""
        return files_of(self.data)

    @cached_property
    def times(self) -> Times:
        """(time)"""
        return self.data["time"].values

    @cached_property
    def grid(self) -> Grid:
        """Where its points are."""
        return grid_of(self.latitude, self.longitude, self.wraps)

    @cached_property
    def latitude(self) -> NDArray[np.float64]:
        """Degrees, (latitude), or of every point (token, point)."""
        return self.data["latitude"].values

    @cached_property
    def longitude(self) -> NDArray[np.float64]:
        """The same, (longitude) beyond 180 where the region goes on there."""
        return self.data["longitude"].values

    def between(self, first: np.datetime64, last: np.datetime64) -> Region:
        """The times from ``first`` to ``last``, both included."""
        begin, end = self.times.searchsorted(first), self.times.searchsorted(last, "right")
        return self.part(int(begin), int(end))

    def part(self, first: int, end: int) -> Region:
        """Times number ``first`` to ``end``, which is not included."""
        return replace(self, data=self.data.isel(time=slice(first, end)))

    def split(self, test: np.datetime64, gap: int) -> tuple[Region, Region]:
        """Times before ``test`` less a gap of ``gap`` steps, for training, and times from it on."""
        last = later(test, -gap, self.hours) - np.timedelta64(1, "ns")
        return self.between(self.times[0], last), self.between(test, self.times[-1])

    def starts(self, hours: int) -> NDArray[np.int64]:
        """Indices of times from which ``hours`` steps go on without a gap."""
        if self.times.size < hours:
            return np.empty(0, dtype=np.int64)
        number = counted(self.times, self.hours)
        return np.flatnonzero(number[hours - 1 :] - number[: number.size - hours + 1] == hours - 1)

    def window(self, times: slice, place: Place | None = None) -> Fields:
        """All fields of a window, or of the whole grid.

        Raises:
            SifnetError: a file is damaged where it is read.
        """
        rows, columns = place or map(np.arange, self.grid.shape)
        cuts = np.split(columns, np.flatnonzero(np.diff(columns) < 0) + 1)
        return {
            str(name): np.concatenate([self._part(str(name), times, rows, c) for c in cuts], -1)
            for name in self.data.data_vars
        }

    def _part(
        self, name: str, t: slice, rows: NDArray[np.int64], columns: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        """Level, time, row, column; from memory if it is there, else from the files."""
        whole, dims = self.data.variables[name], ("time", *self.grid.dims)
        asked = dict(zip(dims, (t, run(rows), run(columns)), strict=True))
        with readable(self.files):
            part = whole[tuple(asked.get(str(d), slice(None)) for d in whole.dims)]
            values = np.asarray(part.load(scheduler="synchronous").data)
        order = [whole.dims.index(d) for d in ("level", *dims) if d in whole.dims]
        values = values.transpose(order).astype(np.float32, copy=False)
        return values if "level" in whole.dims else values[None]

    def everything(self) -> Fields:
        """All fields of the region."""
        return self.window(slice(None))

    def loaded(self) -> Region:
        """The region in memory, if it is small enough to read it once and for all."""
        if self.data.nbytes > IN_MEMORY:
            return self
        return replace(self, data=self.data.compute(scheduler="synchronous"))


def counted(times: Times, hours: int) -> NDArray[np.float64]:
    """Numbers of the steps that times are at, from the first; one apart where there is no hole."""
    if hours == MONTH:
        return times.astype("datetime64[M]").astype(float)
    return np.asarray((times - times[:1]) / (hours * HOUR))


def later(time: np.datetime64 | Times, steps: int | NDArray[np.int64], hours: int) -> Any:
    """The time or the times so many steps after a time."""
    if hours == MONTH:
        return (time.astype("datetime64[M]") + steps).astype("datetime64[ns]")
    return time.astype("datetime64[ns]") + steps * hours * HOUR


def every(hours: int) -> str:
    """Steps in words."""
    return "month" if hours == MONTH else f"{hours} h"


def open_region(sources: Sequence[str | Path], fields: Sequence[FieldSpec]) -> Region:
    """Open the fields of files, folders and addresses that share a grid, without reading them.

    On a grid that is not regular, points come in tokens of at most as many as one of the first
    field has (rows times columns of its patch), see ``grids``.

    Raises:
        SifnetError: a field or level is in no file, the grid or the times are irregular, or files
            are on different grids.
    """
    data = open_series(sources, [spec.name for spec in fields])
    files = files_of(data)
    if "member" in data.dims:
        raise SifnetError(
            "the fields are an ensemble",
            found=f"{data.sizes['member']} members",
            expected="the analysis, of one member",
            remedy="Download the analysis, or select a member.",
            file=files,
        )
    for spec in fields:
        data = _with_its_levels(data, spec, files)
    levels = {spec.levels for spec in fields if spec.levels}
    if len(levels) > 1:
        raise SifnetError(
            "fields of one model are on different levels",
            found="; ".join(", ".join(map(str, some)) for some in levels),
            expected="the same levels for all that have any",
        )
    kind = data.attrs["level_kind"] if levels else ""
    if levels:
        data = on_levels(data, levels.pop(), files)
    data = data.astype(np.float32, keep_attrs=True)
    if "cell" in data.dims:
        data, step, wraps = _in_tokens(data, math.prod(fields[0].patch[1:])), (0.0, 0.0), False
    else:
        on_axes(data)
        data = _contiguous(data)
        down, across = (spacing(data, n, tolerance=UNEVEN) for n in ("latitude", "longitude"))
        step, wraps = (down, across), goes_around(across, data.sizes["longitude"])
    hours = hours_of(data)
    if hours == MONTH:
        data = data.assign_coords(time=later(data["time"].values, 0, MONTH))
    return Region(data, step, hours, wraps, kind)


def _with_its_levels(data: xr.Dataset, spec: FieldSpec, files: str | None) -> xr.Dataset:
    """Refuse levels of a field without any; a single one that a field carries along goes."""
    values = data[spec.name]
    number = values.sizes.get("level", 0)
    if number == 1 and not spec.levels:
        return data.assign({spec.name: values.isel(level=0, drop=True)})
    if bool(number) == bool(spec.levels):
        return data
    raise SifnetError(
        f"{spec.name}: levels do not suit the field",
        found=f"levels {', '.join(map(str, spec.levels)) or 'none'}",
        expected=f"some of {', '.join(f'{x:g}' for x in data['level'].values)}"
        if number
        else "none, it has no levels",
        remedy=f"Name levels after @: {spec.name}@..." if number else f"Ask for {spec.name} alone.",
        file=files,
    )


def on_levels(data: xr.Dataset, levels: Sequence[float], files: str | None) -> xr.Dataset:
    """The fields on some levels.

    Raises:
        SifnetError: there is no such level.
    """
    present = data["level"].values if "level" in data.coords else np.empty(0)
    apart = np.abs(present[:, None] - np.array(levels))
    if missing := [level for level in levels if not np.isclose(present, level).any()]:
        names = (str(name) for name, values in data.data_vars.items() if "level" in values.dims)
        raise SifnetError(
            f"levels of {', '.join(names)} are missing",
            found="levels " + (", ".join(f"{level:g}" for level in present) or "none"),
            expected="also " + ", ".join(f"{level:g}" for level in missing),
            remedy="Download them, or train a model on the levels that are there.",
            file=files,
        )
    return data.isel(level=apart.argmin(0))


def _in_tokens(data: xr.Dataset, most: int) -> xr.Dataset:
    """Points of any order as ``token, point``; ``order`` is their number in the file."""
    index = in_tokens(data["latitude"].values, data["longitude"].values, most)
    order = xr.DataArray(index, dims=("token", "point"))
    data = data.isel(cell=order).where(order >= 0)
    places = {name: data[name].where(order >= 0) for name in ("latitude", "longitude")}
    return data.assign_coords({"order": order} | places)


def _contiguous(data: xr.Dataset) -> xr.Dataset:
    """Longitudes from the western edge on, so that a region across 180 degrees has no jump."""
    longitude = data["longitude"].values
    gaps = np.diff(np.append(longitude, longitude[0] + 360))
    first = (int(np.argmax(gaps)) + 1) % longitude.size
    if first == 0 or np.isclose(gaps.max(), np.median(gaps), atol=1e-3):
        return data
    turned = data.roll(longitude=-first, roll_coords=True)
    east = turned["longitude"].values
    return turned.assign_coords(longitude=np.where(east < east[0], east + 360, east))


def hours_of(data: xr.Dataset) -> int:
    """Hours between times: the smallest step, and a multiple of an hour; or MONTH.

    Raises:
        SifnetError: times are not in order, or closer than an hour.
    """
    times = data["time"].values
    steps = np.diff(times)
    in_months = steps.size and LEAST_MONTH <= steps.min() <= MOST_MONTH
    if in_months and (np.diff(counted(times, MONTH)) > 0).all():
        return MONTH
    if steps.size == 0 or steps.min() < HOUR or (steps.min() % HOUR) != np.timedelta64(0, "h"):
        raise SifnetError(
            "the times cannot be used",
            found=f"steps of {steps.min() / HOUR:g} h" if steps.size else "a single time",
            expected="a series of times, whole hours or months apart",
            remedy="Download analyses of every hour, day or month.",
            file=files_of(data),
        )
    return int(steps.min() / HOUR)
