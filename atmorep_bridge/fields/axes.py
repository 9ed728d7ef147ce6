"""Axes of weather services to ours: place, level and time under one name and in one order."""

from __future__ import annotations

from functools import reduce
from typing import TypeVar

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from atmorep_bridge.fields.quantities import PRESSURE
from sifnet.errors import SifnetError

DIMENSIONS = ("member", "time", "level", "latitude", "longitude", "cell")
RENAME = {
    "lat": "latitude",
    "lon": "longitude",
    "datetime": "time",
    "number": "member",
    "realization": "member",
}
PRESSURE_LEVELS = ("pressure_level", "isobaricInhPa", "isobaricInPa", "plev", "pressure")
MODEL_LEVELS = ("model_level", "hybrid", "ml", "modelLevel")
LEVELS = (*PRESSURE_LEVELS, *MODEL_LEVELS, "level", "lev")


Degrees = TypeVar("Degrees", float, NDArray[np.float64], xr.DataArray)


def turned(longitude: Degrees, about: float = 0.0) -> Degrees:
    """Degrees east of a meridian, from -180 to 180."""
    return (longitude - about + 180) % 360 - 180


def files_of(data: xr.Dataset) -> str | None:
    """The files that fields are from, as an error names them."""
    return ", ".join(data.attrs.get("files", [])) or None


def spacing(data: xr.Dataset, name: str, *, tolerance: float, least: int = 2) -> float:
    """Degrees between the points of an axis.

    Args:
        tolerance: share by which they may differ. least: number of points.

    Raises:
        SifnetError: too few points, or they are not equally far apart.
    """
    axis = data[name].values.astype(float)
    steps = np.diff(axis)
    if axis.size < least or np.ptp(steps) > tolerance * abs(steps.mean()) + 1e-4:
        raise SifnetError(
            f"the grid is not even: {name}",
            found=f"{axis.size} values from {axis[0]:g} to {axis[-1]:g}",
            expected=f"at least {least} values, equally far apart",
            remedy="Download the fields on a regular grid, such as 0.25 degrees, or interpolate.",
            file=files_of(data),
        )
    return float(np.median(steps).round(6))


def goes_around(step: float, points: int) -> bool:
    """Whether longitudes reach around the Earth."""
    return abs(step * points - 360) < 0.5 * step


def run(index: NDArray[np.int64]) -> slice | NDArray[np.int64]:
    """Indices that follow each other as a slice, of which libraries read or copy no more."""
    if (np.diff(index) == 1).all():
        return slice(int(index[0]), int(index[-1]) + 1)
    return index


def with_place(data: xr.Dataset, source: str) -> xr.Dataset:
    """Ascending latitude and longitude from -180, rounded so that float32 and float64 agree.

    Of points in a list, as on reduced Gaussian and HEALPix grids, latitude and longitude are along
    ``cell``, in the order of the file.

    Raises:
        SifnetError: the grid is not one of latitude and longitude, nor a list of points.
    """
    data = data.rename({k: v for k, v in RENAME.items() if k in data.variables or k in data.dims})
    data = _healpix(data, source)
    names = "latitude", "longitude"
    along = {data[name].dims for name in names if name in data.coords}
    if len(along) == 1 and len(dims := along.pop()) == 1 and dims[0] not in DIMENSIONS:
        data = data.rename_dims({dims[0]: "cell"})
    for name in names:
        if name not in data.coords or not {name, "cell"} & set(data[name].dims):
            raise SifnetError(
                f"the fields are not on a grid of latitude and longitude: no {name}",
                found=f"dimensions {', '.join(map(str, data.dims))}",
                expected="latitude, longitude, as axes or of each point of a list (reduced "
                "Gaussian, HEALPix), not of a projection",
                remedy="Download them on a regular grid, or take them there, as by "
                "cdo remapbil,r360x180.",
                file=source,
            )
    data = data.assign_coords(
        latitude=data["latitude"].astype(float).round(5),
        longitude=turned(data["longitude"].astype(float)).round(5),
    )
    if not (np.abs(data["latitude"]) <= 90).all():
        raise SifnetError(
            "latitudes are impossible",
            found=f"{float(data.latitude.min()):g} to {float(data.latitude.max()):g}",
            expected="-90 to 90",
            remedy="Are latitude and longitude exchanged?",
            file=source,
        )
    for name in names if "cell" not in data.dims else ():
        order = np.argsort(data[name].values, kind="stable")
        order = order[np.append(True, np.diff(data[name].values[order]) > 0)]  # -180 and 180 once
        data = _take(data, name, order)
    return data


def _healpix(data: xr.Dataset, source: str) -> xr.Dataset:
    """With the places of pixels, where a grid mapping says that they are HEALPix.

    Understood are the layouts of CF 1.13 (``refinement_level``, ``indexing_scheme``; the numbers
    of pixels have the standard_name healpix_index) and of easy.gems (``healpix_nside``,
    ``healpix_order``; numbers in ``cell``, or all pixels in their order).

    Raises:
        SifnetError: pixels are numbered in another way, or it cannot be told which they are.
    """
    mapping = next((v for v in data.variables.values()
                    if v.attrs.get("grid_mapping_name") == "healpix"), None)  # fmt: skip
    if mapping is None:
        return data
    says = mapping.attrs
    side = int(says.get("healpix_nside", 2 ** int(says.get("refinement_level", 0))))
    order = str(says.get("healpix_order", says.get("indexing_scheme", "nested")))
    numbers = [str(n) for n, v in data.coords.items() if v.ndim == 1
               and (n == "cell" or v.attrs.get("standard_name") == "healpix_index")]  # fmt: skip
    whole = [str(d) for d, n in data.sizes.items() if n == 12 * side**2]
    if order not in ("nest", "nested", "ring") or not numbers + whole:
        raise SifnetError(
            "these HEALPix pixels cannot be placed",
            found=f"order {order}, dimensions {', '.join(map(str, data.dims))}",
            expected=f"nested or ring, all {12 * side**2} pixels or a coordinate healpix_index",
            file=source,
        )
    if numbers:
        index, dimension = data[numbers[0]].values, str(data[numbers[0]].dims[0])
    else:
        index, dimension = np.arange(12 * side**2), whole[0]
    from astropy_healpix import healpy

    east, north = healpy.pix2ang(side, index, nest=order != "ring", lonlat=True)
    data = data.drop_vars([n for n in (*numbers, "latitude", "longitude") if n in data.variables])
    about = {"standard_name": "healpix_index", "units": "1"}
    if dimension != "cell":
        data = data.rename_dims({dimension: "cell"})
    places = {"cell": ("cell", index, about), "latitude": ("cell", north),
              "longitude": ("cell", east)}  # fmt: skip
    return data.assign_coords(places | {"crs": ((), 0, says)})


def on_axes(data: xr.Dataset) -> None:
    """Refuse points in a list and series of indices, where rows and columns are needed.

    Raises:
        SifnetError: there are none.
    """
    if not {"latitude", "longitude"} <= set(data.dims):
        raise SifnetError(
            "the fields are on a grid without rows and columns",
            found=", ".join(f"{name} of {size}" for name, size in data.sizes.items()),
            expected="axes of latitude and longitude",
            remedy="Take them to a regular grid, as by cdo remapbil,r360x180. (Models are trained "
            "on any grid, forecast and interpolate.)",
            file=files_of(data),
        )


def with_units(data: xr.Dataset) -> xr.Dataset:
    """With what CF wants said of latitude and longitude, of axes or of points in a list."""
    for name, unit in (("latitude", "degrees_north"), ("longitude", "degrees_east")):
        if name in data.coords:
            data[name] = data[name].assign_attrs(units=unit, standard_name=name)
    return data


def _take(data: xr.Dataset, name: str, order: np.ndarray) -> xr.Dataset:
    """``isel`` by slices where the order allows: dask then reads the part that is asked for."""
    cuts = np.flatnonzero(np.abs(np.diff(order)) != 1) + 1
    runs = np.split(order, cuts)
    if len(runs) > 2:
        return data.isel({name: order})
    pieces = []
    for run in runs:
        step = 1 if run.size == 1 or run[1] > run[0] else -1
        stop = run[-1] + step
        pieces.append(data.isel({name: slice(run[0], None if stop < 0 else stop, step)}))
    if len(pieces) == 1:
        return pieces[0]
    return xr.concat(pieces, name, data_vars="minimal", coords="minimal", compat="override",
                     join="override")  # fmt: skip


def with_level(data: xr.Dataset, source: str) -> tuple[xr.Dataset, str]:
    """``level`` from top to ground: hPa, or the number of a model level, and which of the two.

    Raises:
        SifnetError: levels are only counted, not labelled.
    """
    name = next((str(name) for name in (*data.dims, *data.coords) if name in LEVELS), None)
    if name is None:
        return data, ""
    if name not in data.coords:
        raise SifnetError(
            "levels carry no numbers",
            found=f"dimension {name} of {data.sizes[name]}",
            expected="pressures, or numbers of model levels",
            remedy="Download the fields with their level coordinate.",
            file=source,
        )
    values = data[name].values.astype(float)
    about = f"{data[name].attrs.get('units', '')} {data[name].attrs.get('long_name', '')}".lower()
    units = str(data[name].attrs.get("units", ""))
    model = name in MODEL_LEVELS or "model" in about or "layer" in about
    if not model and name not in PRESSURE_LEVELS and units not in PRESSURE:
        model = bool(values.max() <= 137 and (values == values.round()).all())
    if name not in data.dims:
        data = data.expand_dims(name)
    data = data.rename({name: "level"})
    if not model:
        in_pascal = units == "Pa" or (units not in PRESSURE and values.max() > 1100)
        data = data.assign_coords(level=data["level"].astype(float) * (0.01 if in_pascal else 1.0))
    if data["level"].size > 1 and (np.diff(data["level"].values) < 0).all():
        data = data.isel(level=slice(None, None, -1))
    return data.sortby("level"), "model" if model else "pressure"


def _lead(data: xr.Dataset, valid: str) -> xr.DataArray:
    """Hours from the reference time to the time ``valid``, on the dimensions of the latter."""
    since = [name for name in ("forecast_reference_time", "time")
             if name != valid and name in data.variables
             and np.issubdtype(data[name].dtype, np.datetime64)]  # fmt: skip
    began = data[since[0]] if since else data[valid]
    hours = (data[valid] - began) / np.timedelta64(1, "h")
    return hours.transpose(*data[valid].dims).astype(float)


def with_time(data: xr.Dataset, source: str) -> xr.Dataset:
    """One dimension ``time`` of validity; of two forecasts for a time, the later one.

    Its coordinate ``lead`` is hours since the analysis that a forecast began from, 0 of analyses.

    Raises:
        SifnetError: times are no dates.
    """
    if "expver" in data.dims:  # ERA5 and its preliminary months, one of them NaN
        versions = (data.isel(expver=i, drop=True) for i in range(data.sizes["expver"]))
        data = reduce(xr.Dataset.fillna, versions)
    if {"time", "prediction_timedelta"} <= set(data.dims):  # WeatherBench's forecasts
        after = data["prediction_timedelta"]
        if not np.issubdtype(after.dtype, np.timedelta64):
            unit = after.attrs.get("units", "ns")
            after = after.copy(data=pd.to_timedelta(after.values, unit=unit))
        data = data.assign_coords(valid_time=data["time"] + after)
    name = "valid_time" if "valid_time" in data.variables else "time"
    if name not in data.variables:
        return data  # an invariant field; a quantity that needs a time is refused later
    valid = data[name]
    if not np.issubdtype(valid.dtype, np.datetime64):
        raise SifnetError(
            "times cannot be understood",
            found=f"{name} of type {valid.dtype}, units {valid.attrs.get('units')!r}",
            expected="dates of the standard calendar (CF `units`)",
            remedy="Correct the file's time coordinate.",
            file=source,
        )
    data = data.assign_coords(lead=_lead(data, name))
    if valid.ndim == 2:  # reference time and lead time
        data = data.stack(analysis=valid.dims).reset_index("analysis")
        valid = data[name]
    times = np.atleast_1d(valid.values).astype("datetime64[ns]")
    lead = np.atleast_1d(data["lead"].values)
    dimension = str(valid.dims[0]) if valid.ndim else "time"
    places = "latitude", "longitude", "crs"  # of points in a list, no axes
    axes = [name for name in (*data.dims, *places)
            if name in (*DIMENSIONS, "crs") and name not in ("time", dimension)]  # fmt: skip
    data = data.drop_vars([name for name in data.coords if name not in axes])
    if not valid.ndim:
        data = data.expand_dims("time")
    elif dimension != "time":
        data = data.rename({dimension: "time"})
    data = data.assign_coords(time=times, lead=("time", lead))
    if (np.diff(times) > np.timedelta64(0)).all():
        return data
    # Stacked, forecasts started later come later: the last of equal times has the shortest lead.
    return data.drop_duplicates("time", keep="last").sortby("time")
