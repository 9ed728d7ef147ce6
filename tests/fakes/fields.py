"""Reanalysis files true to format over an atmosphere that is known in closed form everywhere.

Virtual temperature falls by 6.5 K/km to 11 km and is constant above; sea-level pressure and
temperature are linear in latitude, longitude and time, humidity is a power of pressure. So the
pressure at any place, height and time is an expression, not an interpolation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]

GRAVITY = 9.80665
KM_PER_K = 287.0596 / GRAVITY * 1e-3  # scale height a kelvin
LAPSE, TROPOPAUSE = 6.5, 11.0  # K km-1, km
LEVELS = (1, 2, 3, 5, 7, 10, 20, 30, 50, 70, 100, 125, 150, 175, 200, 225, 250, 300, 350, 400,
          450, 500, 550, 600, 650, 700, 750, 775, 800, 825, 850, 875, 900, 925, 950, 975,
          1000)  # fmt: skip
TIMES = ("2020-06-25T09", "2020-06-25T10")
LATITUDES = np.arange(50.0, 52.01, 0.25)
LONGITUDES = np.arange(5.0, 8.01, 0.25)
AOT = 0.2


def sea_level(latitude: Any, longitude: Any, hour: Any) -> tuple[Any, Any]:
    """Pressure, hPa, and virtual temperature, K; hour of 25 June 2020."""
    north, east, later = latitude - 51.0, longitude - 6.5, hour - 9.5
    return 1010 + 2 * north - 1.5 * east + 0.8 * later, 292 - 1.5 * north + 0.5 * east + later


def pressure_at(height: ArrayLike, latitude: Any, longitude: Any, hour: Any) -> Any:
    """hPa at a height, km."""
    p0, t0 = sea_level(latitude, longitude, hour)
    z = np.asarray(height, dtype=float)
    exponent = 1 / (KM_PER_K * LAPSE)
    low = (1 - LAPSE * np.minimum(z, TROPOPAUSE) / t0) ** exponent
    cold = t0 - LAPSE * TROPOPAUSE
    return p0 * low * np.exp(-np.maximum(z - TROPOPAUSE, 0) / (KM_PER_K * cold))


def height_at(pressure: Any, latitude: Any, longitude: Any, hour: Any) -> Any:
    """km at a pressure, hPa: the inverse of pressure_at."""
    p0, t0 = sea_level(latitude, longitude, hour)
    low = t0 / LAPSE * (1 - (pressure / p0) ** (KM_PER_K * LAPSE))
    cold, edge = t0 - LAPSE * TROPOPAUSE, pressure_at(TROPOPAUSE, latitude, longitude, hour)
    return np.where(low < TROPOPAUSE, low, TROPOPAUSE + KM_PER_K * cold * np.log(edge / pressure))


def humidity_at(pressure: Any) -> Any:
    return np.maximum(8e-3 * (pressure / 1013.25) ** 3, 3e-6)


def temperature_at(pressure: Any, latitude: Any, longitude: Any, hour: Any) -> Any:
    """K, not virtual."""
    _, t0 = sea_level(latitude, longitude, hour)
    z = height_at(pressure, latitude, longitude, hour)
    virtual = t0 - LAPSE * np.minimum(z, TROPOPAUSE)
    return virtual / (1 + 0.609 * humidity_at(pressure))


def water_above(column: Any, ground: float) -> float:
    """Water vapour, g cm-2, of a column of the bridge above a height, km: integral of q dp / g."""
    above = column.height > ground
    q = np.interp(ground, column.height[::-1], column.humidity[::-1])
    p = np.append(column.pressure[above], column.pressure_at(ground))
    # hPa -> 100 Pa; kg m-2 -> 0.1 g cm-2
    return float(np.trapezoid(np.append(column.humidity[above], q), p)) * 10 / GRAVITY


def orography(latitude: Any, longitude: Any) -> Any:
    """km, of the model's ground: hundreds of metres from one grid point to the next."""
    return 0.25 + 0.2 * np.sin(9 * latitude) * np.cos(7 * longitude)


def _axes(times: Sequence[str], latitudes: ArrayLike, longitudes: ArrayLike) -> tuple[Any, ...]:
    stamps = np.array(times, dtype="datetime64[ns]")
    hour = (stamps - np.datetime64("2020-06-25", "ns")) / np.timedelta64(1, "h")
    return stamps, hour, np.asarray(latitudes, float), np.asarray(longitudes, float)


def pressure_levels(
    times: Sequence[str] = TIMES,
    latitudes: ArrayLike = LATITUDES,
    longitudes: ArrayLike = LONGITUDES,
    levels: Sequence[float] = LEVELS,
) -> xr.Dataset:
    """ERA5 on pressure levels as the CDS delivers it since 2024: t, q, z."""
    stamps, hour, latitude, longitude = _axes(times, latitudes, longitudes)
    north = latitude[::-1]
    h, p, y, x = np.meshgrid(hour, np.array(levels, float)[::-1], north, longitude, indexing="ij")
    dims = ("valid_time", "pressure_level", "latitude", "longitude")
    return xr.Dataset(
        {
            "t": (dims, temperature_at(p, y, x, h).astype("f4"), {"units": "K"}),
            "q": (dims, humidity_at(p).astype("f4"), {"units": "kg kg**-1"}),
            "z": (dims, (height_at(p, y, x, h) * 1e3 * GRAVITY).astype("f4"),
                  {"units": "m**2 s**-2"}),
        },
        coords={
            "valid_time": stamps,
            "pressure_level": ("pressure_level", p[0, :, 0, 0], {"units": "hPa"}),
            "latitude": north,
            "longitude": longitude,
            "number": 0,
            "expver": ("valid_time", ["0001"] * stamps.size),
        },
        attrs={"institution": "European Centre for Medium-Range Weather Forecasts",
               "history": "2025-01-01 GRIB to CDM+CF via cfgrib, reanalysis-era5"},
    )  # fmt: skip


def single_levels(
    times: Sequence[str] = TIMES,
    latitudes: ArrayLike = LATITUDES,
    longitudes: ArrayLike = LONGITUDES,
) -> xr.Dataset:
    """ERA5 on single levels: sp, and z of the ground."""
    stamps, hour, latitude, longitude = _axes(times, latitudes, longitudes)
    h, y, x = np.meshgrid(hour, latitude[::-1], longitude, indexing="ij")
    ground = orography(y, x)
    dims = ("valid_time", "latitude", "longitude")
    return xr.Dataset(
        {
            "sp": (dims, pressure_at(ground, y, x, h) * 100, {"units": "Pa"}),
            "z": (dims, ground * 1e3 * GRAVITY, {"units": "m**2 s**-2"}),
        },
        coords={"valid_time": stamps, "latitude": latitude[::-1], "longitude": longitude},
        attrs={"history": "reanalysis-era5-single-levels"},
    )


def model_levels(
    half_a: Array,
    half_b: Array,
    times: Sequence[str] = TIMES,
    latitudes: ArrayLike = LATITUDES,
    longitudes: ArrayLike = LONGITUDES,
) -> xr.Dataset:
    """ERA5 on model levels: t and q on all, lnsp and z at level 1 and NaN below it.

    Args:
        half_a, half_b: coefficients of the half levels, hPa and 1.
    """
    surface = single_levels(times, latitudes, longitudes)
    number = np.arange(1, half_a.size)
    a, b = ((v[1:] + v[:-1]) / 2 for v in (half_a, half_b))
    sp = surface["sp"].values[:, None] / 100
    p = a[:, None, None] + b[:, None, None] * sp
    _, hour, latitude, longitude = _axes(times, latitudes, longitudes)
    y, x = latitude[::-1][:, None], longitude
    h = hour[:, None, None, None]
    dims = ("time", "level", "latitude", "longitude")
    first = np.full(p.shape, np.nan)
    lnsp, z = first.copy(), first.copy()
    lnsp[:, 0], z[:, 0] = np.log(surface["sp"].values), surface["z"].values
    return xr.Dataset(
        {
            "t": (dims, temperature_at(p, y, x, h), {"units": "K"}),
            "q": (dims, humidity_at(p), {"units": "kg kg**-1"}),
            "lnsp": (dims, lnsp, {"units": "~"}),
            "z": (dims, z, {"units": "m**2 s**-2"}),
        },
        coords={
            "time": surface["valid_time"].values,
            "level": ("level", number, {"long_name": "model_level_number"}),
            "latitude": surface["latitude"].values,
            "longitude": longitude,
        },
    )


def old_style(new: xr.Dataset) -> xr.Dataset:
    """A pressure-level file as the CDS delivered it before 2024: ascending levels, 0 to 360."""
    old = new.drop_vars(["number", "expver"], errors="ignore")
    old = old.rename(valid_time="time", pressure_level="level").isel(level=slice(None, None, -1))
    old["level"] = old["level"].astype("i4").assign_attrs(units="millibars")
    return old.assign_coords(longitude=old["longitude"] % 360).sortby("longitude")


def write_packed(data: xr.Dataset, path: Path) -> Path:
    """NetCDF-3 with int16, scale and offset, as the old CDS packed it."""
    encoding = {}
    for name, values in data.data_vars.items():
        low, high = float(values.min()), float(values.max())
        encoding[name] = {"dtype": "i2", "scale_factor": (high - low) / 65532 or 1.0,
                          "add_offset": (high + low) / 2, "_FillValue": -32767}  # fmt: skip
    data.to_netcdf(path, engine="scipy", encoding=encoding)
    return path


def write(data: xr.Dataset, path: Path) -> Path:
    """NetCDF-4, or zarr by the name."""
    if path.suffix == ".zarr":
        data.to_zarr(path, consolidated=False)
    else:
        data.to_netcdf(path, engine="h5netcdf")
    return path


def weatherbench(new: xr.Dataset, surface: xr.Dataset) -> xr.Dataset:
    """WeatherBench 2 and ARCO: long names, levels without attributes, an invariant geopotential."""
    data = new.drop_vars(["number", "expver"]).rename(
        valid_time="time", pressure_level="level", t="temperature", q="specific_humidity",
        z="geopotential",
    )  # fmt: skip
    data = data.isel(level=slice(None, None, -1)).assign_coords(
        level=data["level"].values[::-1].astype(int)
    )
    data["surface_pressure"] = surface["sp"].rename(valid_time="time")
    data["geopotential_at_surface"] = surface["z"].isel(valid_time=0, drop=True)
    for name in ("temperature", "specific_humidity", "geopotential"):
        data[name].attrs.clear()
    data = data.assign_coords(longitude=data["longitude"] % 360)
    return data.transpose("time", "level", "longitude", "latitude", ...)


def merra2(times: Sequence[str] = TIMES) -> xr.Dataset:
    """MERRA-2 on pressure levels, NaN (1e15) below the ground, H in m, with PS, PHIS, TOTEXTTAU."""
    latitudes, longitudes = np.arange(49.5, 52.6, 0.5), np.arange(5.0, 8.2, 0.625)
    new = pressure_levels(times, latitudes, longitudes).sortby("latitude")
    surface = single_levels(times, latitudes, longitudes).sortby("latitude")
    ground = new["pressure_level"] < surface["sp"] / 100
    data = xr.Dataset(
        {
            "T": new["t"].where(ground).assign_attrs(units="K"),
            "QV": new["q"].where(ground).assign_attrs(units="kg kg-1"),
            "H": (new["z"] / GRAVITY).where(ground).assign_attrs(units="m"),
            "PS": surface["sp"],
            "PHIS": surface["z"].assign_attrs(units="m+2 s-2"),
            "TOTEXTTAU": xr.full_like(surface["sp"], AOT).assign_attrs(units="1"),
        }
    ).drop_vars(["number", "expver"])
    names = {"valid_time": "time", "pressure_level": "lev", "latitude": "lat", "longitude": "lon"}
    data = data.rename(names).transpose("time", "lev", "lat", "lon")
    return data.assign_attrs(Title="MERRA-2 inst3_3d_asm_Np")


def cams(times: Sequence[str] = TIMES, *, forecast: bool = False) -> xr.Dataset:
    """CAMS aerosol: EAC4, or a forecast of two starts and two lead times each."""
    latitudes, longitudes = np.arange(49.5, 52.6, 0.75), np.arange(4.5, 8.3, 0.75)
    stamps, _, latitude, longitude = _axes(times, latitudes, longitudes)
    attributes = {"title": "CAMS global", "institution": "ECMWF, Copernicus Atmosphere"}
    shape = (stamps.size, latitude.size, longitude.size)
    dims: tuple[str, ...] = ("valid_time", "latitude", "longitude")
    coords: dict[str, Any] = {"latitude": latitude[::-1], "longitude": longitude}
    if not forecast:
        coords["valid_time"] = stamps
        values = np.full(shape, AOT)
    else:  # an earlier start says more aerosol; the later one is to be believed
        hours = np.array([0, 1]).astype("timedelta64[h]").astype("timedelta64[ns]")
        starts = stamps[0] - np.array([1, 0]).astype("timedelta64[h]")
        dims = ("forecast_reference_time", "forecast_period", *dims[1:])
        coords |= {"forecast_reference_time": starts, "forecast_period": hours,
                   "valid_time": (dims[:2], starts[:, None] + hours)}  # fmt: skip
        values = np.empty((2, 2, *shape[1:]))
        values[0], values[1] = 2 * AOT, AOT
    return xr.Dataset({"aod550": (dims, values, {"units": "~"})}, coords, attributes)


def ensemble(spread: float, members: int = 10) -> xr.Dataset:
    """Pressure levels of members whose geopotential differs as much as a spread, hPa."""
    base = pressure_levels()
    steps = np.linspace(-1, 1, members)
    steps *= spread / steps.std(ddof=1)
    higher = xr.DataArray(steps * 8.4 * GRAVITY, dims="number", coords={"number": range(members)})
    base = base.drop_vars("number")
    return base.assign(z=(base["z"] + higher).assign_attrs(base["z"].attrs))


def write_atmorep(path: Any, half_a: Array, half_b: Array, *, tokens: bool = False) -> Any:
    """Forecast of AtmoRep at five of 137 levels, a sample; or, instead, tokens of its training."""
    import zarr

    data = model_levels(half_a, half_b).sel(level=[96, 105, 114, 123, 137])
    root = zarr.open_group(path, mode="w")
    for name, theirs in (("temperature", "t"), ("specific_humidity", "q")):
        sample = root.create_group(f"{name}/sample=00000")
        values = data[theirs].transpose("level", "time", "latitude", "longitude").values
        if tokens:
            sample.create_group("ml=00137").create_array("data", data=values[0])
            continue
        arrays = {"data": values, "ml": data["level"].values, "lat": data["latitude"].values,
                  "lon": data["longitude"].values}  # fmt: skip
        for key, array in arrays.items():
            sample.create_array(key, data=array)
        sample.create_array("datetime", data=data["time"].values.astype("datetime64[ns]"))
    return path


def open_data(times: Sequence[str] = TIMES) -> xr.Dataset:
    """As of the IFS in ECMWF's open data: 13 levels, geopotential height in gpm."""
    levels = (50, 100, 150, 200, 250, 300, 400, 500, 600, 700, 850, 925, 1000)
    data = pressure_levels(times, levels=levels)
    return data.assign(gh=(data["z"] / GRAVITY).assign_attrs(units="gpm")).drop_vars("z")


def write_grib(data: xr.Dataset, path: Path, began: str | None = None) -> Path:
    """Pressure levels as GRIB edition 2, one message a field, by ecCodes.

    Args:
        began: when a forecast began; the data are then its steps, else analyses.
    """
    import eccodes

    sizes = data["latitude"].values, data["longitude"].values
    with path.open("wb") as file:
        for name in data.data_vars:
            for time in data["valid_time"].values:
                for level in data["pressure_level"].values:
                    message = eccodes.codes_grib_new_from_samples("regular_ll_pl_grib2")
                    start = time if began is None else np.datetime64(began)
                    stamp = str(start.astype("datetime64[m]"))
                    keys = {
                        "Ni": sizes[1].size, "Nj": sizes[0].size,
                        "latitudeOfFirstGridPointInDegrees": sizes[0][0],
                        "latitudeOfLastGridPointInDegrees": sizes[0][-1],
                        "longitudeOfFirstGridPointInDegrees": sizes[1][0],
                        "longitudeOfLastGridPointInDegrees": sizes[1][-1],
                        "iDirectionIncrementInDegrees": sizes[1][1] - sizes[1][0],
                        "jDirectionIncrementInDegrees": sizes[0][0] - sizes[0][1],
                        "centre": "ecmf", "dataDate": int(stamp[:10].replace("-", "")),
                        "dataTime": int(stamp[11:16].replace(":", "")),
                        "step": int((time - start) / np.timedelta64(1, "h")),
                        "shortName": str(name), "level": int(level), "bitsPerValue": 24,
                    }  # fmt: skip
                    for key, value in keys.items():
                        eccodes.codes_set(message, key, value)
                    plane = data[name].sel(valid_time=time, pressure_level=level).values
                    eccodes.codes_set_values(message, plane.astype(float).ravel())
                    eccodes.codes_write(message, file)
                    eccodes.codes_release(message)
    return path


def write_dem(
    path: Path, elevation: Array, west: float, north: float, step: float, crs: str = "EPSG:4326"
) -> Path:
    """A GeoTIFF of elevations, m, with its upper left corner and pixel size."""
    import rasterio
    from rasterio.transform import from_origin

    rows, columns = elevation.shape
    with rasterio.open(path, "w", driver="GTiff", height=rows, width=columns, count=1, crs=crs,
                       dtype="float32", transform=from_origin(west, north, step, step),
                       nodata=-9999) as file:  # fmt: skip
        file.write(elevation.astype("float32"), 1)
    return path


def scene_at(
    latitude: Any = 51.1,
    longitude: Any = 6.4,
    time: str = "2020-06-25T09:20:00",
    *,
    elevation: float = 0.1,
    lines: int = 6,
    samples: int = 5,
    **attributes: Any,
) -> Any:
    """A bright scene of HyPlant at a place; latitude and longitude may be (dims, values)."""
    from sifnet.scenes import record_of
    from sifnet.scenes.scene import Scene

    bands = np.arange(745.0, 772.0, 0.5)
    extra = {"latitude": latitude, "longitude": longitude}
    extra |= {"time": attributes.pop("times")} if "times" in attributes else {}
    return Scene.from_arrays(
        np.full((lines, samples, bands.size), 60.0, "f4"),
        bands,
        0.3,
        geometry={"solar_zenith_angle": 40.0, "view_zenith_angle": 0.0, "sensor_height": 0.6,
                  "relative_azimuth_angle": 90.0, "ground_elevation": elevation,
                  "sun_earth_distance": 1.0},
        sensor=replace(record_of("hyplant"), since=1940),  # reanalyses begin before it
        name="line",
        acquisition_time=time,
        extra={key: value for key, value in extra.items() if value is not None},
        **attributes,
    )  # fmt: skip
