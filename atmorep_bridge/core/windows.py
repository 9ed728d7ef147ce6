"""Regions of files, and windows of them: only what a patch needs is read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import dask
import numpy as np
import xarray as xr
from numpy.typing import NDArray

from atmorep_bridge.core.specs import FIELDS, FieldSpec
from atmorep_bridge.fields.axes import with_level, with_place, with_time
from atmorep_bridge.fields.formats import damaged, open_raw
from atmorep_bridge.fields.opening import plain_units
from sifnet.errors import SifnetError

IN_MEMORY = 2**30  # bytes; a region below this is read once
HOUR = np.timedelta64(1, "h")
SPACE_TIME = ("time", "latitude", "longitude")
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

    @cached_property
    def times(self) -> NDArray[np.datetime64]:
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
        try:
            part = np.asarray(whole[shape].data if whole.chunks is None else
                              whole[shape].data.compute(scheduler="synchronous"))  # fmt: skip
        except Exception as error:  # each library has its own for a broken chunk
            raise damaged(", ".join(self.data.attrs["files"]), error) from error
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
    parts: dict[str, list[xr.DataArray]] = {spec.name: [] for spec in fields}
    kinds = set()
    for source in map(str, sources):
        for raw in open_raw(source):
            for spec in fields:
                found, kind = _field(raw, spec, source)
                if found is not None:
                    parts[spec.name].append(found)
                    kinds |= {kind} - {""}
    files = ", ".join(map(str, sources))
    missing = [name for name, found in parts.items() if not found]
    if missing:
        raise SifnetError(
            "a field of the model is missing",
            found=", ".join(n for n in parts if n not in missing) or "none of its fields",
            expected="also " + ", ".join(missing),
            remedy="Download " + "; ".join(f"{FIELDS[name].download}" for name in missing),
            file=files,
        )
    series = [_series(name, found, files) for name, found in parts.items()]
    try:
        with dask.config.set({"array.slicing.split_large_chunks": False}):
            aligned = xr.align(*series, join="inner", exclude=("latitude", "longitude", "level"))
            data = xr.merge([a.to_dataset() for a in aligned], join="exact", compat="override")
    except ValueError as error:
        raise SifnetError(
            "the fields are on different grids", found=str(error).split("\n")[0],
            expected="one grid of latitudes and longitudes",
            remedy="Download them on the same grid and area.", file=files,
        ) from error  # fmt: skip
    data = _contiguous(data.assign_attrs(files=[str(source) for source in sources]))
    step = _regular(data, files)
    wraps = abs(data.sizes["longitude"] * step[1] - 360) < step[1] / 2
    return Region(data, step, _hours(data, files), wraps, next(iter(kinds), ""))


def _field(raw: xr.Dataset, spec: FieldSpec, source: str) -> tuple[xr.DataArray | None, str]:
    """One field of a raw dataset with our axes, unit and levels; None if it is not there."""
    quantity = FIELDS[spec.name]
    name = next((n for n in quantity.names if n in raw.data_vars), None)
    if name is None:
        return None, ""
    data, kind = raw[[name]], ""
    if spec.levels:
        data, kind = with_level(data, source)
    data = with_time(with_place(data, source), source)
    values = data[name]
    unit = plain_units(str(values.attrs.get("units", next(iter(quantity.units)))))
    if unit not in quantity.units:
        raise SifnetError(
            f"the unit of {name} ({spec.name}) is not understood", found=unit,
            expected=" or ".join(unit for unit in quantity.units if unit),
            remedy="Correct the attribute `units`.", file=source,
        )  # fmt: skip
    if spec.levels:
        values = _levels(values, spec, source)
    elif "level" in values.dims:
        values = values.isel(level=0, drop=True)
    if "time" not in values.dims or "member" in values.dims:
        raise SifnetError(
            f"{name} ({spec.name}) is no series in time", found=f"dimensions {values.dims}",
            expected="time, latitude, longitude, of one member",
            remedy="Download an analysis with its times.", file=source,
        )  # fmt: skip
    values = values.drop_vars([c for c in values.coords if c not in values.dims])
    values = values.astype(np.float32) * np.float32(quantity.units[unit])
    return values.rename(spec.name).drop_attrs(), kind


def _levels(values: xr.DataArray, spec: FieldSpec, source: str) -> xr.DataArray:
    there = values["level"].values if "level" in values.coords else np.empty(0)
    missing = [level for level in spec.levels if not np.isclose(there, level).any()]
    if missing:
        raise SifnetError(
            f"levels of {spec.name} are missing",
            found="levels " + (", ".join(f"{level:g}" for level in there) or "none"),
            expected="also " + ", ".join(map(str, missing)),
            remedy="Download them, or train a model on the levels that are there.",
            file=source,
        )
    where = [int(np.argmin(np.abs(there - level))) for level in spec.levels]
    return values.isel(level=where)


def _series(name: str, found: list[xr.DataArray], files: str) -> xr.DataArray:
    """The same field of several files as one series."""
    if len(found) > 1:
        found = sorted(found, key=lambda part: part["time"].values[0])
        try:
            whole = xr.concat(found, "time", join="exact")
        except ValueError as error:
            raise SifnetError(
                f"{name} is on different grids", found=str(error).split("\n")[0],
                expected="files of one grid", remedy="Give files of one download.", file=files,
            ) from error  # fmt: skip
    else:
        whole = found[0]
    if whole["time"].size > 1 and not (np.diff(whole["time"].values) > np.timedelta64(0)).all():
        raise SifnetError(
            f"files hold {name} twice", found="equal times", expected="each time once",
            remedy="Leave out the file that repeats another.", file=files,
        )  # fmt: skip
    return whole


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


def _regular(data: xr.Dataset, files: str) -> tuple[float, float]:
    """Degrees between points, the same all along latitude and all along longitude."""
    found = []
    for name in ("latitude", "longitude"):
        steps = np.diff(data[name].values)
        if steps.size < 1 or np.ptp(steps) > 1e-3 * steps.max() + 1e-4:
            raise SifnetError(
                "the grid is irregular",
                found=f"steps of {name} {steps.min():.4g} to {steps.max():.4g}"
                if steps.size else f"one {name}",
                expected="the same step everywhere",
                remedy="Download the fields on a regular grid, such as 0.25 degrees.",
                file=files,
            )  # fmt: skip
        found.append(float(np.median(steps).round(6)))
    return found[0], found[1]


def _hours(data: xr.Dataset, files: str) -> int:
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
