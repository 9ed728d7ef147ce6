"""Ensembles as files: fields as services write them, zarr layouts of WeatherBench and AtmoRep."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import xarray as xr

from atmorep_bridge.fields.axes import on_axes, with_units
from atmorep_bridge.fields.quantities import QUANTITIES, quantity
from sifnet.files import scratch, whole

PUBLISHED = {
    "eastward_wind": "velocity_u", "northward_wind": "velocity_v",
    "vertical_velocity": "velocity_z", "temperature": "temperature",
    "specific_humidity": "specific_humidity",
}  # fmt: skip
"""AtmoRep's names; fields it does not have keep the service's."""
WEATHERBENCH = {
    "eastward_wind": "u_component_of_wind", "northward_wind": "v_component_of_wind",
    "temperature_2m": "2m_temperature", "water_vapour": "total_column_water_vapour",
    "aot_550": "total_aerosol_optical_depth_550nm", "height": "geopotential",
    "surface_height": "geopotential_at_surface",
}  # fmt: skip
"""WeatherBench 2's names where they are not ours."""


def write_fields(ensemble: xr.Dataset, path: Path) -> Path:
    """NetCDF with the names of weather services, which ``open_fields`` reads with its members.

    Raises:
        SifnetError: it cannot be written.
    """
    data = ensemble.copy()
    names: dict[str, str] = {}
    for name in map(str, ensemble.data_vars):
        field = name.removesuffix("_change")
        names[name] = quantity(field).names[0] + name.removeprefix(field)
        if field in QUANTITIES:
            data[name] = data[name].assign_attrs(units=QUANTITIES[field].unit)
    if "level" in ensemble.dims:
        kind = ensemble.attrs["level_kind"]
        names["level"] = "model_level" if kind == "model" else "pressure_level"
    if "crs" in ensemble.coords:
        for values in data.data_vars.values():
            values.attrs["grid_mapping"] = "crs"
    elif "cell" in ensemble.dims:
        names["cell"] = "values"  # as cfgrib names points of a reduced Gaussian grid
    data = with_units(data.rename(names))
    data.attrs = {k: v if isinstance(v, str) else "\n".join(v) for k, v in data.attrs.items()}
    with whole(path) as partial:
        data.to_netcdf(partial, engine="h5netcdf")
    return path


def write_weatherbench(data: xr.Dataset, path: Path) -> Path:
    """Zarr (format 3) in WeatherBench 2's layout and names: ``time``, of a forecast the one it is
    from, ``prediction_timedelta``, ``number`` of a member, level, latitude, longitude; SI units.

    Args:
        data: our names and units; a forecast says its ``reference_time`` in an attribute.
        path: a folder that is not there yet, or a zarr folder, which is replaced.

    Raises:
        SifnetError: it cannot be written.
    """
    fields = {}
    for name in map(str, data.data_vars):
        field = name.removesuffix("_change")
        own = data[name].attrs.get("units", "")
        unit, factor = next(iter(quantity(field).units.items()), (own, 1.0))
        values = (data[name] / factor).astype(np.float32).assign_attrs(units=unit)
        fields[WEATHERBENCH.get(field, field) + name.removeprefix(field)] = values
    laid = xr.Dataset(fields, attrs={"source": data.attrs.get("source", "")})
    if "reference_time" in data.attrs:
        reference = np.datetime64(data.attrs["reference_time"], "ns")
        lead = (laid["time"].values - reference).astype("timedelta64[ns]")
        laid = laid.assign_coords(time=lead).rename(time="prediction_timedelta")
        laid = laid.expand_dims(time=[reference])
    order = "member", "time", "prediction_timedelta", "level", "latitude", "longitude", "cell"
    laid = with_units(laid.transpose(*order, missing_dims="ignore"))
    if "member" in laid.dims:
        laid = laid.rename(member="number")
    with scratch(path) as partial:
        try:
            laid.to_zarr(partial, zarr_format=3, consolidated=False)
            if (path / "zarr.json").exists():
                shutil.rmtree(path)
            partial.replace(path)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    return path


def write_published(folder: Path, ensemble: xr.Dataset) -> list[Path]:
    """AtmoRep's layout: ``results_idbridge_epoch00000_<part>.zarr``, zip stores, of pred (the mean)
    and ens.

    Each holds ``<field>/sample=00000/{data, ml, datetime, lat, lon}``; data is (ml, datetime, lat,
    lon), of ens (member, ml, ...), in SI units. A field of the surface has ml 0.

    Raises:
        SifnetError: it cannot be written.
    """
    import zarr

    on_axes(ensemble)
    written = []
    for part, data in {"pred": ensemble.mean("member"), "ens": ensemble}.items():
        path = folder / f"results_idbridge_epoch00000_{part}.zarr"
        with whole(path) as partial, zarr.storage.ZipStore(partial, mode="w") as store:
            root = zarr.create_group(store)
            for field in [name for name in data.data_vars if name in QUANTITIES]:
                _write_sample(root, data[field])
        written.append(path)
    return written


def _write_sample(root: object, values: xr.DataArray) -> None:
    quantity = QUANTITIES[str(values.name)]
    group = root.create_group(  # type: ignore[attr-defined]
        f"{PUBLISHED.get(str(values.name), quantity.names[0])}/sample=00000"
    )
    if "level" not in values.dims:
        values = values.expand_dims(level=[0])
    values = values.transpose(
        "member", "level", "time", "latitude", "longitude", missing_dims="ignore"
    )
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
