"""Fields of files on one grid and in one step of time: those of the first one.

A field of another grid is interpolated, or averaged where its points are closer; one of other steps
is what could be known then. Nothing is said where it does not reach.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from atmorep_bridge.core.cells import Cells, Grid
from atmorep_bridge.core.grids import Regular
from atmorep_bridge.core.times import every, hours_of, told
from atmorep_bridge.fields.axes import files_of, goes_around, on_axes, spacing
from atmorep_bridge.fields.opening import one_grid, parts_of
from sifnet.errors import SifnetError

UNEVEN = 1e-3  # share by which distances between points may differ
LEAST = 0.499  # share of what a point is made from that must be there: half, but for rounding


def open_together(sources: Sequence[str | Path], names: Sequence[str]) -> xr.Dataset:
    """Fields at the points and the steps of the first one, at the times that all of them have.

    Of other steps a field is what ``times.told`` says. Its attribute ``comment`` tells where it
    came from.

    Raises:
        SifnetError: a field is in no file, or never where the first one is; or a grid is uneven.
    """
    parts = parts_of(sources, names)
    first, *others = (
        contiguous(one_grid([part[[name]] for part in parts if name in part])) for name in names
    )
    return one_grid([first, *(_onto(first, _in_time(first, other)) for other in others)])


def _in_time(first: xr.Dataset, other: xr.Dataset) -> xr.Dataset:
    """A field in the steps of the first one."""
    hours, own = hours_of(first), hours_of(other)
    at, times = first["time"].values, other["time"].values
    if hours == own and np.isin(times, at).any():
        return other
    index = told(at, hours, times, own)
    known = (index >= 0).any(1)
    if not known.any():
        raise _apart(first, other)
    (name,), part = other.data_vars, xr.DataArray(index[known], dims=("time", "part"))
    values = other[name].drop_vars("time").isel(time=part).where(part >= 0, 0.0)
    mean = values.sum("part", skipna=False) / (part >= 0).sum("part")
    said = f"{'the last that had ended' if own > hours else 'the mean'} of every {every(own)}"
    told_of = mean.assign_attrs(other[name].attrs, comment=said)
    return other.drop_dims("time").assign({name: told_of}).assign_coords(time=at[known])


def _apart(first: xr.Dataset, other: xr.Dataset) -> SifnetError:
    found, expected = (f"{grid_in(d)}, every {every(hours_of(d))} from {d.time.values[0]} to "
                       f"{d.time.values[-1]}" for d in (other, first))  # fmt: skip
    return SifnetError(
        f"{', '.join(map(str, other.data_vars))} is never where the first field of the model is",
        found=found,
        expected=f"some of {expected}",
        remedy="Download it for the same area and times, or leave it out.",
        file=files_of(other),
    )


def grid_in(data: xr.Dataset) -> Grid:
    """Where points are, of a list or on axes.

    Raises:
        SifnetError: there are none, or axes are not even.
    """
    if "cell" in data.dims:
        return Cells(data["latitude"].values[None], data["longitude"].values[None])
    on_axes(data)
    _, across = (spacing(data, n, tolerance=UNEVEN) for n in ("latitude", "longitude"))
    north, east = data["latitude"].values, data["longitude"].values
    return Regular(north, east, goes_around(across, east.size))


def contiguous(data: xr.Dataset) -> xr.Dataset:
    """Longitudes from the western edge on, so that a region across 180 degrees has no jump."""
    if "longitude" not in data.dims:
        return data
    longitude = data["longitude"].values
    gaps = np.diff(np.append(longitude, longitude[0] + 360))
    first = (int(np.argmax(gaps)) + 1) % longitude.size
    if first == 0 or np.isclose(gaps.max(), np.median(gaps), atol=1e-3):
        return data
    turned = data.roll(longitude=-first, roll_coords=True)
    east = turned["longitude"].values
    return turned.assign_coords(longitude=np.where(east < east[0], east + 360, east))


def _onto(first: xr.Dataset, other: xr.Dataset) -> xr.Dataset:
    """A field at the points of the first one: between its own, or where those are closer the mean
    over a cell. Where half of that is missing, beyond its area or on land, nothing is said."""
    (name,), source, target = other.data_vars, grid_in(other), grid_in(first)
    places = {n: first[n].variable for n in ("latitude", "longitude")}
    if all(np.array_equal(place, other[n]) for n, place in places.items()):
        return other
    weights = _weights(source, target)
    covered = np.asarray(weights.sum(1)).ravel() >= LEAST
    if not covered.any():
        raise _apart(first, other)
    old, new = _dims(other), _dims(first)
    shape = [first.sizes[d] for d in new]

    def moved(given: NDArray[np.float32]) -> NDArray[np.float32]:
        flat = given.reshape(-1, weights.shape[1]).T
        there = np.isfinite(flat)
        share = weights @ there.astype(np.float32)
        mean = weights @ np.where(there, flat, 0.0) / np.maximum(share, LEAST)
        found = np.where(share >= LEAST, mean, np.nan).T.astype(np.float32)
        return found.reshape(*given.shape[: given.ndim - len(old)], *shape)

    values = xr.apply_ufunc(
        moved, other[name].chunk(dict.fromkeys(old, -1)), input_core_dims=[old],
        output_core_dims=[new], exclude_dims=set(old), dask="parallelized",
        output_dtypes=[np.float32],
        dask_gufunc_kwargs={"output_sizes": dict(zip(new, shape, strict=True))},
    )  # fmt: skip
    said = [f"from {source}, which covers {covered.mean():.0%} of the points"]
    said += [other[name].attrs["comment"]] if "comment" in other[name].attrs else []
    values = values.assign_attrs(other[name].attrs, comment="; ".join(said))
    return values.to_dataset(name=name).assign_coords(places).assign_attrs(other.attrs)


def _dims(data: xr.Dataset) -> list[str]:
    return ["cell"] if "cell" in data.dims else ["latitude", "longitude"]


def _weights(source: Grid, target: Grid) -> csr_matrix:
    """``target point, source point``: sums are the share of the point's cell that is inside."""
    ratios = [t / s for t, s in zip(target.step, source.step, strict=True)]
    many = max(math.ceil(max(ratios) - 0.01), 1)
    offset = (np.arange(many) + 0.5) / many - 0.5
    (down, across), (north, east) = target.step, (p.ravel()[:, None, None] for p in target.points)
    squares = np.cos(np.deg2rad(north)).clip(1e-6) if isinstance(target, Cells) else 1.0
    north, east = (north + down * offset[:, None]).clip(-90, 90), east + across * offset / squares
    north, east = np.broadcast_arrays(north, east)
    index, weight, inside = source.between(north.ravel(), east.ravel())
    row = np.repeat(np.arange(target.points[0].size), many**2 * index.shape[1])
    share = np.where(inside[:, None], weight, 0.0) / many**2
    shape = target.points[0].size, source.points[0].size
    return csr_matrix((share.ravel(), (row, index.ravel())), shape=shape, dtype=np.float32)
