"""Regions of files, and windows of them: only what a patch needs is read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from atmorep_bridge.core.specs import FieldSpec
from atmorep_bridge.fields.axes import files_of, goes_around, spacing
from atmorep_bridge.fields.formats import readable
from atmorep_bridge.fields.opening import open_series
from sifnet.errors import SifnetError

IN_MEMORY = 2**30  # bytes; a region below this is read once
HOUR = np.timedelta64(1, "h")
UNEVEN = 1e-3  # share by which distances between points may differ
SPACE_TIME = ("time", "latitude", "longitude")
Times = NDArray[np.datetime64]
Fields = dict[str, NDArray[np.float32]]
"""``level, time, latitude, longitude`` of each field, in its unit."""


@dataclass(frozen=True)
class Region:
    """Fields on one regular grid, lazily: latitude and longitude ascend without a jump.

    Attributes:
        data: our names; ``time, latitude, longitude``, and level for a field that has any.
        step: degrees of latitude and longitude. hours: between times.
        wraps: whether it goes all around the globe.
        level_kind: "model", "pressure" or none.
    """

    data: xr.Dataset
    step: tuple[float, float]
    hours: int
    wraps: bool
    level_kind: str

    @property
    def files(self) -> str | None:
        """They are named in errors."""
        return files_of(self.data)

    @cached_property
    def times(self) -> Times:
        """(time)"""
        return self.data["time"].values

    @cached_property
    def latitude(self) -> NDArray[np.float64]:
        """(latitude) degrees."""
        return self.data["latitude"].values

    @cached_property
    def longitude(self) -> NDArray[np.float64]:
        """(longitude) degrees, beyond 180 where the region goes on there."""
        return self.data["longitude"].values

    def between(self, first: np.datetime64, last: np.datetime64) -> Region:
        """The times from ``first`` to ``last``, both included."""
        chosen = (self.times >= first) & (self.times <= last)
        return replace(self, data=self.data.isel(time=chosen))

    def split(self, test: np.datetime64, gap: int) -> tuple[Region, Region]:
        """Times before ``test`` less a gap of ``gap`` steps, for training, and times from it on."""
        before = test - (gap * self.hours + 1) * HOUR
        return (
            self.between(self.times[0], before + np.timedelta64(59, "m")),
            self.between(test, self.times[-1]),
        )

    def starts(self, hours: int) -> NDArray[np.int64]:
        """Indices of times from which ``hours`` steps go on without a gap."""
        if self.times.size < hours:
            return np.empty(0, dtype=np.int64)
        span = self.times[hours - 1 :] - self.times[: self.times.size - hours + 1]
        return np.flatnonzero(span == (hours - 1) * self.hours * HOUR)

    def window(self, corner: tuple[int, int, int], shape: tuple[int, int, int]) -> Fields:
        """All fields of a window; around the globe, columns go on at the first one.

        Args:
            corner, shape: time, row and column.

        Raises:
            SifnetError: a file is damaged where it is read.
        """
        t, y, x = (slice(first, first + n) for first, n in zip(corner, shape, strict=True))
        columns = np.arange(x.start, x.stop) % self.longitude.size
        cuts = np.split(columns, np.flatnonzero(np.diff(columns) < 0) + 1)
        return {
            str(name): np.concatenate(
                [self._part(str(name), t, y, slice(int(c[0]), int(c[-1]) + 1)) for c in cuts], -1
            )
            for name in self.data.data_vars
        }

    def _part(self, name: str, t: slice, y: slice, x: slice) -> NDArray[np.float32]:
        """Level, time, latitude, longitude; from memory if it is there, else from the files."""
        whole = self.data.variables[name]
        shape = tuple({"time": t, "latitude": y, "longitude": x}.get(str(d), slice(None))
                      for d in whole.dims)  # fmt: skip
        with readable(self.files):
            part = np.asarray(whole[shape].load(scheduler="synchronous").data)
        order = [whole.dims.index(d) for d in ("level", *SPACE_TIME) if d in whole.dims]
        part = part.transpose(order).astype(np.float32, copy=False)
        return part if "level" in whole.dims else part[None]

    def everything(self) -> Fields:
        """All fields of the region."""
        return self.window((0, 0, 0), (self.times.size, self.latitude.size, self.longitude.size))

    def loaded(self) -> Region:
        """The region in memory, if it is small enough to read it once and for all."""
        if self.data.nbytes > IN_MEMORY:
            return self
        return replace(self, data=self.data.compute(scheduler="synchronous"))


def open_region(sources: Sequence[str | Path], fields: Sequence[FieldSpec]) -> Region:
    """Open the fields of files, folders and addresses that share a grid, without reading them.

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
    levels = {spec.levels for spec in fields if spec.levels}
    if len(levels) > 1:
        raise SifnetError(
            "fields of one model are on different levels",
            found="; ".join(", ".join(map(str, some)) for some in levels),
            expected="the same levels for all that have any",
        )
    if levels:
        data = _on_levels(data, levels.pop(), files)
    kind = data.attrs["level_kind"]
    data = _contiguous(data.astype(np.float32))
    down, across = (spacing(data, name, tolerance=UNEVEN) for name in ("latitude", "longitude"))
    wraps = goes_around(across, data.sizes["longitude"])
    return Region(data, (down, across), _hours(data, files), wraps, kind)


def _on_levels(data: xr.Dataset, levels: tuple[int, ...], files: str | None) -> xr.Dataset:
    present = data["level"].values if "level" in data.coords else np.empty(0)
    apart = np.abs(present[:, None] - np.array(levels))
    if missing := [level for level in levels if not np.isclose(present, level).any()]:
        names = (str(name) for name, values in data.data_vars.items() if "level" in values.dims)
        raise SifnetError(
            f"levels of {', '.join(names)} are missing",
            found="levels " + (", ".join(f"{level:g}" for level in present) or "none"),
            expected="also " + ", ".join(map(str, missing)),
            remedy="Download them, or train a model on the levels that are there.",
            file=files,
        )
    return data.isel(level=apart.argmin(0))


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


def _hours(data: xr.Dataset, files: str | None) -> int:
    """Hours between times: the smallest step, and a multiple of an hour."""
    steps = np.diff(data["time"].values)
    if steps.size == 0 or steps.min() < HOUR or (steps.min() % HOUR) != np.timedelta64(0, "h"):
        raise SifnetError(
            "the times cannot be used",
            found=f"steps of {steps.min() / HOUR:g} h" if steps.size else "a single time",
            expected="a series of times, whole hours apart",
            remedy="Download hourly analyses.",
            file=files,
        )
    return int(steps.min() / HOUR)
