"""Regions of files, and windows of them: only what a patch needs is read."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from atmorep_bridge.core.cells import Grid, grid_of, in_tokens
from atmorep_bridge.core.grids import Place
from atmorep_bridge.core.specs import MONTH, FieldSpec
from atmorep_bridge.core.times import Times, counted, hours_of, later
from atmorep_bridge.core.together import grid_in, open_together
from atmorep_bridge.fields.axes import files_of, run
from atmorep_bridge.fields.formats import readable
from sifnet.errors import SifnetError

IN_MEMORY = 2**30  # bytes; a region below this is read once
Fields = dict[str, NDArray[np.float32]]
"""``level, time, row, column`` of each field, in its unit."""


@dataclass(frozen=True)
class Region:
    """Fields on one grid, lazily. On a regular one places ascend without a jump.

    Attributes:
        data: our names; ``time``, rows and columns of the grid, and level for a field that has any.
        hours: between times; MONTH where they are months of the calendar, each at its first day.
        wraps: whether it goes all around the globe.
        level_kind: "model", "pressure" or none.
    """

    data: xr.Dataset
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


def open_region(sources: Sequence[str | Path], fields: Sequence[FieldSpec]) -> Region:
    """Open the fields of files, folders and addresses on one grid, without reading them.

    On a grid that is not regular, points come in tokens of at most as many as one of the first
    field has (rows times columns of its patch), see ``grids``.

    Raises:
        SifnetError: a field or level is in no file, the grid or the times are irregular; or see
            ``open_together``.
    """
    data = open_together(sources, [spec.name for spec in fields])
    files = files_of(data)
    if "member" in data.dims:
        raise SifnetError(
            "the fields are an ensemble",
            found=f"{data.sizes['member']} members",
            expected="the analysis, of one member",
            remedy="Download the analysis, or select a member.",
            file=files,
        )
    levels = {spec.levels for spec in fields if spec.levels}
    if len(levels) > 1:
        raise SifnetError(
            "fields of one model are on different levels",
            found="; ".join(", ".join(map(str, some)) for some in levels),
            expected="the same levels for all that have any",
        )
    kind = data.attrs["level_kind"] if levels else ""
    each = [on_levels(data[[spec.name]], spec.levels, files) for spec in fields]
    data = xr.merge(each, join="exact", compat="override", combine_attrs="override")
    data, hours = data.astype(np.float32, keep_attrs=True), hours_of(data)
    if hours == MONTH:
        data = data.assign_coords(time=later(data["time"].values, 0, MONTH))
    if "cell" in data.dims:
        return Region(_in_tokens(data, math.prod(fields[0].patch[1:])), hours, False, kind)
    return Region(data, hours, grid_in(data).wraps, kind)


def on_levels(data: xr.Dataset, levels: Sequence[float], files: str | None) -> xr.Dataset:
    """A field on some levels, or on none: a single one that it carries along goes.

    Raises:
        SifnetError: it has not these levels.
    """
    present = data["level"].values if "level" in data.dims else np.empty(0)
    if present.size == 1 and not levels:
        return data.isel(level=0, drop=True)
    apart = np.abs(present[:, None] - np.array(levels))
    missing = [level for level in levels if not np.isclose(present, level).any()]
    if missing or bool(levels) != bool(present.size):
        raise SifnetError(
            f"{', '.join(map(str, data.data_vars))}: levels do not suit the field",
            found="levels " + (", ".join(f"{level:g}" for level in present) or "none"),
            expected="levels " + (", ".join(f"{level:g}" for level in levels) or "none"),
            remedy="Name levels that are there after @, or download those that are missing.",
            file=files,
        )
    return data.isel(level=apart.argmin(0)) if levels else data


def _in_tokens(data: xr.Dataset, most: int) -> xr.Dataset:
    """Points of any order as ``token, point``; ``order`` is their number in the file."""
    index = in_tokens(data["latitude"].values, data["longitude"].values, most)
    order = xr.DataArray(index, dims=("token", "point"))
    data = data.isel(cell=order).where(order >= 0)
    places = {name: data[name].where(order >= 0) for name in ("latitude", "longitude")}
    return data.assign_coords({"order": order} | places)
