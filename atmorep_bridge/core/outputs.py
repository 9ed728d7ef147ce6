"""Ensembles as files: fields as services write them, AtmoRep's zarr layout, ``atmosphere.nc``."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from atmorep_bridge.air.columns import (
    HYPSOMETRIC,
    LAPSE_RATE,
    Column,
    model_level_pressure,
    temperature_offset,
)
from atmorep_bridge.air.state import (
    AOT_SD,
    ELEVATION_SD,
    PRESSURE_SD,
    SCALARS,
    TEMPERATURE_SD,
    WATER_SD,
)
from atmorep_bridge.core.specs import FIELDS
from sifnet.errors import SifnetError

PUBLISHED = {
    "eastward_wind": "velocity_u", "northward_wind": "velocity_v",
    "vertical_velocity": "velocity_z", "temperature": "temperature",
    "specific_humidity": "specific_humidity",
}  # fmt: skip
"""AtmoRep's names; fields it does not have keep the service's."""
COLUMN = {"temperature", "specific_humidity", "surface_pressure"}
HEIGHTS = np.linspace(0, 20, 81)  # km above the ground, for the temperature offset


def write_fields(ensemble: xr.Dataset, path: Path) -> Path:
    """NetCDF with the names of weather services, which ``open_fields`` reads with its members.

    Raises:
        SifnetError: it cannot be written.
    """
    names: dict[str, str] = {}
    for name in map(str, ensemble.data_vars):
        field = name.removesuffix("_change")
        names[name] = FIELDS[field].names[0] + name.removeprefix(field)
    if "level" in ensemble.dims:
        kind = ensemble.attrs["level_kind"]
        names["level"] = "model_level" if kind == "model" else "pressure_level"
    data = ensemble.copy()
    for name in names:
        if name in data.data_vars:
            unit = FIELDS[name.removesuffix("_change")].ours or "1"
            data[name] = data[name].assign_attrs(units=unit)
    data = data.rename(names)
    data.attrs = {k: v if isinstance(v, str) else "\n".join(v) for k, v in data.attrs.items()}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        data.to_netcdf(path, engine="h5netcdf")
    except OSError as error:
        raise _unwritable(path, error) from error
    return path


def write_published(
    folder: Path,
    ensemble: xr.Dataset,
    *,
    source: xr.Dataset | None = None,
    target: xr.Dataset | None = None,
    sample: int = 0,
    name: str = "bridge",
) -> list[Path]:
    """AtmoRep's layout: ``results_id<name>_epoch00000_<part>.zarr``, zip stores, of source, target,
    pred (the mean) and ens.

    Each holds ``<field>/sample=00000/{data, ml, datetime, lat, lon}``; data is (ml, datetime, lat,
    lon), of ens (member, ml, ...), in SI units. A field of the surface has ml 0.

    Raises:
        SifnetError: it cannot be written.
    """
    import zarr

    parts = {"source": source, "target": target, "pred": ensemble.mean("member"), "ens": ensemble}
    written = []
    for part, data in parts.items():
        if data is None:
            continue
        path = folder / f"results_id{name}_epoch00000_{part}.zarr"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with zarr.storage.ZipStore(path, mode="w") as store:
                root = zarr.create_group(store)
                for field in [n for n in data.data_vars if n in FIELDS]:
                    _write_sample(root, data[field], f"sample={sample:05d}")
        except OSError as error:
            raise _unwritable(path, error) from error
        written.append(path)
    return written


def _write_sample(root: object, values: xr.DataArray, sample: str) -> None:
    quantity = FIELDS[str(values.name)]
    group = root.create_group(  # type: ignore[attr-defined]
        f"{PUBLISHED.get(str(values.name), quantity.names[0])}/{sample}"
    )
    if "level" not in values.dims:
        values = values.expand_dims(level=[0])
    order = ["member"] if "member" in values.dims else []
    values = values.transpose(*order, "level", "time", "latitude", "longitude")
    factor = next(iter(quantity.units.values()))
    arrays = {
        "data": (values.values / factor).astype(np.float32),
        "ml": values["level"].values,
        "datetime": values["time"].values.astype("datetime64[ns]"),
        "lat": values["latitude"].values.astype(np.float32),
        "lon": values["longitude"].values.astype(np.float32),
    }
    for key, array in arrays.items():
        group.create_array(key, data=array)


def _unwritable(path: Path, error: OSError) -> SifnetError:
    return SifnetError(
        "the output cannot be written",
        found=error.strerror or str(error),
        expected="a folder with write permission and space",
        remedy="Choose another output.",
        file=path,
    )


def atmosphere_at(
    ensemble: xr.Dataset,
    latitude: float,
    longitude: float,
    time: np.datetime64,
    *,
    elevation: float | None = None,
    model_height: float | None = None,
) -> xr.Dataset:
    """What an ensemble says of the air over a place, as ``sifnet fit --atmosphere`` reads it.

    Bilinear in space, linear in time. Means and spreads of the members; to the spread comes what
    an analysis, which is all a model can learn to forecast, is itself uncertain by (see ``state``).
    The temperature offset needs temperature and humidity on levels, and surface pressure.

    Args:
        elevation: of the ground, km, to which pressure is moved from ``model_height``, km.

    Raises:
        SifnetError: the place or time is not in the ensemble, or there is nothing of use in it.
    """
    here = _interpolated(ensemble, latitude, longitude, time)
    members: dict[str, NDArray[np.float64]] = {}
    if set(here.data_vars) >= COLUMN:
        members |= _columns(here, model_height or 0.0, elevation)
    elif "surface_pressure" in here:
        members["surface_pressure"] = _moved(here, model_height, elevation)
    for name in ("water_vapour", "aot_550"):
        if name in here:
            members[name] = here[name].values.astype(float)
    if not members:
        raise SifnetError(
            "nothing in this ensemble is of use to a retrieval",
            found=", ".join(map(str, ensemble.data_vars)),
            expected="some of surface pressure, temperature and humidity, water, aerosol",
            remedy="Train a model that has ps, tcwv or aod550.",
        )
    data = xr.Dataset(coords={"latitude": latitude, "longitude": longitude, "time": time})
    for name, values in members.items():
        spread, own = float(values.std(ddof=1)), _analysis_sd(name, float(values.mean()))
        comment = f"spread of {values.size} members {spread:.3g}, analysis {own:.3g}"
        data[name] = float(values.mean())
        data[name].attrs = SCALARS[name] | {"ancillary_variables": f"{name}_uncertainty"}
        data[f"{name}_uncertainty"] = float(np.hypot(spread, own))
        data[f"{name}_uncertainty"].attrs = {"units": SCALARS[name]["units"], "comment": comment}
    ground = elevation if elevation is not None else model_height
    if ground is not None and "surface_pressure" in data:
        data["surface_altitude"] = ground
        data["surface_altitude"].attrs = {"units": "km"}
    stamp = str(time.astype("datetime64[s]"))
    return data.assign_attrs(
        Conventions="CF-1.11", title=f"Atmosphere at {latitude:g} N, {longitude:g} E",
        source=str(ensemble.attrs.get("source", "")), acquisition_time=stamp,
        acknowledgement="ERA5 and CAMS: contains modified Copernicus information",
    )  # fmt: skip


def _analysis_sd(name: str, value: float) -> float:
    """Standard deviation of an analysis at a place of known elevation."""
    known = {
        "surface_pressure": float(np.hypot(PRESSURE_SD, ELEVATION_SD)),
        "temperature_offset": TEMPERATURE_SD,
        "water_vapour": WATER_SD,
        "aot_550": AOT_SD[0] + AOT_SD[1] * value,
    }
    return known[name]


def _interpolated(
    ensemble: xr.Dataset, latitude: float, longitude: float, time: np.datetime64
) -> xr.Dataset:
    east = ensemble["longitude"].values
    turned = (east - longitude + 180) % 360 - 180
    data = ensemble.assign_coords(longitude=turned).sortby("longitude")
    axes = {"latitude": latitude, "longitude": 0.0, "time": time.astype("datetime64[ns]")}
    for name, value in axes.items():
        low, high = data[name].values.min(), data[name].values.max()
        if not low <= value <= high:
            shift = longitude if name == "longitude" else 0
            raise SifnetError(
                f"the ensemble does not reach this {name}",
                found=str(value + shift) if shift else str(value),
                expected=f"{low + shift} to {high + shift}" if shift else f"{low} to {high}",
                remedy="Forecast a larger region, or more hours.",
            )
    where = {n: v for n, v in axes.items() if data.sizes[n] > 1}
    alone = {n: 0 for n in axes if data.sizes[n] == 1}
    return data.isel(alone).interp(where, method="linear")


def _moved(
    here: xr.Dataset, model_height: float | None, elevation: float | None
) -> NDArray[np.float64]:
    """Surface pressure of each member, hPa, at the elevation, by hypsometry."""
    pressure = here["surface_pressure"].values.astype(float)
    if model_height is None or elevation is None:
        return pressure
    warm = here["temperature_2m"].values if "temperature_2m" in here else 288.15
    between = warm + LAPSE_RATE * (model_height - elevation) / 2
    moved: NDArray[np.float64] = pressure * np.exp(
        (model_height - elevation) / (HYPSOMETRIC * between)
    )
    return moved


def _columns(
    here: xr.Dataset, model_height: float, elevation: float | None
) -> dict[str, NDArray[np.float64]]:
    """Pressure at the ground, temperature offset and water of each member's column of air."""
    ground = model_height if elevation is None else elevation
    found = []
    for member in range(here.sizes["member"]):
        one = here.isel(member=member)
        if here.attrs["level_kind"] == "model":
            pressure = model_level_pressure(one["level"], one["surface_pressure"])
        else:
            pressure = one["level"]
        column = Column.from_levels(
            pressure, one["temperature"], one["specific_humidity"],
            ground=(float(one["surface_pressure"]), model_height),
        )  # fmt: skip
        p, t = (f(ground + HEIGHTS) for f in (column.pressure_at, column.temperature_at))
        found.append((p[0], float(temperature_offset(p, t)[0]), column.water(ground)))
    names = ("surface_pressure", "temperature_offset", "water_vapour")
    return dict(zip(names, np.array(found, dtype=float).T, strict=True))
