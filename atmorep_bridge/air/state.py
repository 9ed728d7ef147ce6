"""The atmosphere of a scene as one file: ``atmosphere.nc``, with uncertainty and source.

Uncertainties are one standard deviation. What is not known from an ensemble is a stated default:

- pressure 1 hPa: ERA5 against stations at their own height, 0.5 to 1 hPa (Hersbach et al. 2020,
  QJRMS 146, 1999); also 0.5 hPa for 4 m of elevation (Copernicus DEM GLO-30), 0.08 hPa for each
  hour between the analyses (rms of withheld hours of ERA5 over the Rhine,
  tests/atmorep_bridge/air/test_real_fields.py), and 2 K of temperature in the air between model
  ground and true ground;
- temperature offset 1 K (ERA5 against radiosondes, lower troposphere), and what the shape of the
  profile leaves open (columns.temperature_offset);
- aerosol 0.05 + 0.2 AOT: 83 % of MERRA-2 lie within it of AERONET (Remote Sens. 2024, 16, 3304).

The spread over the footprint, and for pressure and temperature the age of the last analysis and
the lead time of a forecast (:mod:`age`), are added to each in quadrature. Pressure so old that it
is worth less than climate is the standard atmosphere's.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from atmorep_bridge.air.age import (
    CLIMATE_SD,
    PERSISTENCE,
    forecast_sd,
    persistence_sd,
    worse_than_climate,
)
from atmorep_bridge.air.box import at_points, load_box
from atmorep_bridge.air.colocate import Colocated, colocate, column_state
from atmorep_bridge.air.columns import HYPSOMETRIC, LAPSE_RATE, moved
from atmorep_bridge.air.footprint import Footprint
from atmorep_bridge.fields.axes import on_axes, with_units
from sifnet import __version__
from sifnet.errors import SifnetError
from sifnet.files import sha256, whole
from sifnet.scenes.scene import Scene
from sifnet.units import standard_pressure

log = logging.getLogger(__name__)
PRESSURE_SD, ELEVATION_SD, GAP_SD = 1.0, 0.5, 0.08  # hPa, hPa, hPa/h
AIR_BETWEEN_SD = 2.0  # K
TEMPERATURE_SD = 1.0  # K
AOT_SD = (0.05, 0.2)  # constant, share
SEA_LEVEL_TEMPERATURE = 288.15  # K, of the standard atmosphere

SCALARS: dict[str, dict[str, str]] = {
    "surface_pressure": {
        "long_name": "air pressure at the ground of mean elevation surface_altitude",
        "standard_name": "surface_air_pressure",
        "units": "hPa",
    },
    "temperature_offset": {
        "long_name": "temperature above the US Standard Atmosphere 1976 at equal pressure",
        "comment": "mean as the oxygen A band sees it: 86 % weighted with p dp, 14 % with dp",
        "units": "K",
    },
    "aot_550": {
        "long_name": "aerosol optical thickness at 550 nm, whole column",
        "standard_name": "atmosphere_optical_thickness_due_to_ambient_aerosol_particles",
        "units": "1",
    },
}
ARRAYS: dict[str, dict[str, str]] = {
    "air_pressure": {
        "long_name": "pressure over the scene at an altitude",
        "standard_name": "air_pressure",
        "units": "hPa",
        "comment": "below ground where the ground is higher; interpolate ln p linearly",
    },
    "altitude": {"standard_name": "altitude", "units": "km", "positive": "up"},
    "ground_elevation": {
        "long_name": "elevation of the ground above sea level",
        "standard_name": "surface_altitude",
        "units": "km",
    },
    "surface_altitude": {
        "long_name": "mean elevation of the ground, at which surface_pressure is given",
        "units": "km",
    },
    "time": {"standard_name": "time"},
}
Estimate = tuple[float, float, str]
"""Value, standard deviation, and how that comes about."""


def atmosphere(
    estimates: Mapping[str, Estimate],
    footprint: Footprint,
    arrays: Mapping[str, xr.DataArray] | None = None,
    **attributes: str,
) -> xr.Dataset:
    """What ``write`` writes and ``sifnet fit --atmosphere`` reads, made here and nowhere else.

    Args:
        estimates: of some of ``SCALARS``.
        footprint: its elevation is that of the surface pressure, its relief goes with it.
        arrays: further ones of ``ARRAYS``.
        attributes: source, title and the like.
    """
    data = xr.Dataset(dict(arrays or {}), coords=footprint.middle)
    for name, (value, sd, comment) in estimates.items():
        data[name] = value
        data[name].attrs = SCALARS[name] | {"ancillary_variables": f"{name}_uncertainty"}
        data[f"{name}_uncertainty"] = sd
        data[f"{name}_uncertainty"].attrs = {
            "long_name": f"uncertainty of {name}, one standard deviation",
            "units": SCALARS[name]["units"],
            "comment": comment,
        }
    if "surface_pressure" in estimates and np.isfinite(footprint.elevation):
        data["surface_altitude"] = footprint.elevation
    if footprint.relief is not None:
        relief = footprint.relief.astype(np.float32)
        data["ground_elevation"] = relief.drop_vars(list(relief.coords))
    for label in data.variables.keys() & ARRAYS:
        data[label].attrs |= ARRAYS[str(label)]
    data["time"].encoding = {"units": "seconds since 1970-01-01", "dtype": "int64"}
    return with_units(data).assign_attrs(
        Conventions="CF-1.11",
        institution=f"made by atmorep_bridge of sifnet {__version__}",
        acknowledgement="ERA5 and CAMS: contains modified Copernicus information",
        **attributes,
    )


def write(air: xr.Dataset, path: Path) -> Path:
    """Write NetCDF-4; the same state gives the same bytes.

    Raises:
        SifnetError: the file cannot be written.
    """
    encoding: dict[Any, Any] = {name: {"_FillValue": None} for name in air.variables}
    if "ground_elevation" in air and air["ground_elevation"].ndim:
        encoding["ground_elevation"] |= {"zlib": True, "complevel": 4}
    with whole(path) as partial:
        air.to_netcdf(partial, engine="h5netcdf", encoding=encoding)
    return path


def state(
    scene: Scene,
    fields: Sequence[str | Path],
    *,
    elevation: float | str | Path | None = None,
    command: str = "atmorep_bridge from Python",
) -> xr.Dataset:
    """The atmosphere over a scene, as ``sifnet fit --atmosphere`` reads it.

    Args:
        fields: files, folders or addresses of reanalysis and aerosol fields.
        elevation: of the ground: a DEM, or metres; None takes the scene's own.
        command: recorded in the history.

    Raises:
        SifnetError: fields, place, time or elevation do not suit; the message says how.
    """
    footprint = Footprint.of(scene, elevation)
    over = colocate(fields, footprint)
    table = over.values["pressure"]
    table = table.mean([name for name in table.dims if name != "altitude"])
    estimates = {
        name: _aged(name, _estimate(over.values[name], *usual), over.beyond)
        for name, usual in _usual(over, footprint).items()
        if name in over.values
    }
    if worse_than_climate(over.beyond):
        estimates["surface_pressure"] = _climate(footprint.elevation, over.beyond)
        table = table.copy(data=standard_pressure(table["altitude"]))
        log.warning("surface pressure: %s", estimates["surface_pressure"][2])
    return atmosphere(
        estimates,
        footprint,
        {"air_pressure": table},
        title=f"Atmosphere over {scene.name}",
        source=" and ".join(over.products) + "; elevation of " + footprint.source,
        **provenance(command, over.sources),
        scene=scene.name,
        acquisition_time=str(scene.dataset.attrs["acquisition_time"]),
    )


def atmosphere_at(
    ensemble: xr.Dataset,
    latitude: float,
    longitude: float,
    time: str | np.datetime64,
    *,
    elevation: float | None = None,
    model_height: float | None = None,
) -> xr.Dataset:
    """What a forecast says of the air over a place, as ``sifnet fit --atmosphere`` reads it.

    Means and spreads of the members, or the uncertainty that comes with a field (that of
    ``aerosol.forecast``); to it comes in quadrature what an analysis, which is all a model can
    learn to forecast, is itself uncertain by. Bilinear in space, linear in time. The temperature
    offset needs temperature and humidity on levels, and surface pressure.

    Args:
        elevation: of the ground, km, to which pressure is moved from ``model_height``, km.

    Raises:
        SifnetError: the place or time is not in the ensemble, there is nothing of use in it, or it
            is not on axes of latitude and longitude.
    """
    on_axes(ensemble)
    ground = model_height if elevation is None else elevation
    footprint = Footprint.at(latitude, longitude, time, np.nan if ground is None else ground)
    box = load_box(ensemble, footprint, beyond=np.timedelta64(0, "h"))
    members = xr.Dataset()
    if {"temperature", "specific_humidity", "surface_pressure"} <= set(box):
        columns = column_state(box.assign(surface_height=model_height or 0.0), ground or 0.0)
        members = at_points(columns[["surface_pressure", "temperature_offset"]], footprint)
    elif "surface_pressure" in box:
        here = at_points(box[[n for n in ("surface_pressure", "temperature_2m") if n in box]],
                         footprint)  # fmt: skip
        rise = 0.0 if model_height is None or ground is None else ground - model_height
        between = here.get("temperature_2m", SEA_LEVEL_TEMPERATURE) - LAPSE_RATE * rise / 2
        members["surface_pressure"] = moved(here["surface_pressure"], rise, between)
    if "aot_550" in box:
        aerosol = [name for name in ("aot_550", "aot_550_uncertainty") if name in box]
        members = members.merge(at_points(box[aerosol], footprint))
    if not members:
        raise SifnetError(
            "nothing in this ensemble is of use to a retrieval",
            found=", ".join(map(str, ensemble.data_vars)),
            expected="some of surface pressure, temperature and humidity, aerosol",
            remedy="Train a model that has ps or aod550.",
        )
    return atmosphere(
        {name: _forecast(name, members) for name in SCALARS if name in members},
        footprint,
        title=f"Atmosphere at {latitude:g} N, {longitude:g} E",
        source=str(ensemble.attrs.get("source", "")),
        acquisition_time=str(footprint.time[0].astype("datetime64[s]")),
    )


def _forecast(name: str, members: xr.Dataset) -> Estimate:
    """The members' mean, and their spread beside what an analysis is uncertain by."""
    mean, said = float(members[name].mean()), f"{name}_uncertainty"
    if said in members:
        spread, whose = float(members[said].mean()), "forecast"
    else:
        spread = float(members[name].std(ddof=1))
        whose = f"spread of {members[name].size} members"
    own = {
        "surface_pressure": float(np.hypot(PRESSURE_SD, ELEVATION_SD)),
        "temperature_offset": TEMPERATURE_SD,
        "aot_550": aot_sd(mean),
    }[name]
    return mean, float(np.hypot(spread, own)), f"{whose} {spread:.3g}, analysis {own:.3g}"


def aot_sd(aot: float) -> float:
    """Standard deviation of an analysed AOT."""
    return AOT_SD[0] + AOT_SD[1] * aot


def _estimate(values: xr.DataArray, usual: float, comment: str) -> Estimate:
    """Mean over points and members; uncertainty, in which members replace what is usual."""
    if values.sizes.get("member", 1) > 1:
        usual = float(values.mean("point").std("member", ddof=1))
        comment = f"spread of {values.sizes['member']} members {usual:.3g}"
        if values.name == "surface_pressure":
            usual = float(np.hypot(usual, ELEVATION_SD))
            comment += f", elevation {ELEVATION_SD:g}"
        values = values.mean("member")
    spread = float(values.std("point"))
    comment += f"; spread over the footprint {spread:.3g}"
    return float(values.mean()), float(np.hypot(usual, spread)), comment


def _aged(name: str, estimate: Estimate, hours: float) -> Estimate:
    """With what weather does in the hours since the last analysis."""
    value, sd, comment = estimate
    if name not in PERSISTENCE or not hours:
        return estimate
    since = persistence_sd(name, hours)
    return value, float(np.hypot(sd, since)), f"{comment}; {hours:.3g} h old {since:.2g}"


def _climate(elevation: float, hours: float) -> Estimate:
    """Surface pressure where an analysis is too old to say more than that there is weather."""
    old = persistence_sd("surface_pressure", hours)
    return (
        float(standard_pressure(elevation)),
        CLIMATE_SD,
        f"climate {CLIMATE_SD:g} around the standard atmosphere: the last analysis is {hours:.0f} h"
        f" old, as it is it would err by {old:.3g}",
    )


def _usual(over: Colocated, footprint: Footprint) -> dict[str, tuple[float, str]]:
    """Uncertainty of each quantity where there is no ensemble, and how it comes about."""
    values = over.values.mean()
    warm, pressure = float(values["temperature"]), float(values["surface_pressure"])
    rise = np.nan_to_num(abs(over.model_height - footprint.elevation))
    terms = {
        "analysis": PRESSURE_SD,
        "elevation": ELEVATION_SD,
        f"{over.gap:.3g} h between analyses": GAP_SD * over.gap,
        f"{over.lead:.3g} h ahead": forecast_sd("surface_pressure", over.lead),
        f"{rise * 1e3:.0f} m from model ground": pressure * rise / (HYPSOMETRIC * warm)
        * AIR_BETWEEN_SD / warm,
    }  # fmt: skip
    shape, aot = float(values["shape"]), float(values.get("aot_550", 0.0))
    ahead = forecast_sd("temperature_offset", over.lead)
    return {
        "surface_pressure": (
            float(np.sqrt(sum(term**2 for term in terms.values()))),
            ", ".join(f"{why} {term:.2g}" for why, term in terms.items() if term),
        ),
        "temperature_offset": (
            float(np.sqrt(TEMPERATURE_SD**2 + shape**2 + ahead**2)),
            f"analysis {TEMPERATURE_SD:g}, shape of the profile {shape:.2g}"
            + (f", {over.lead:.3g} h ahead {ahead:.2g}" if ahead else ""),
        ),
        "aot_550": (aot_sd(aot), f"{AOT_SD[0]:g} + {AOT_SD[1]:g} AOT"),
    }


def provenance(command: str, sources: Sequence[str]) -> dict[str, str]:
    """The command, and files with their checksums, as attributes of what was made of them."""
    return {
        "history": f"sifnet {__version__}: {command}",
        "input_files": "\n".join(sources),
        "input_sha256": "\n".join(map(checksum, sources)),
    }


def checksum(source: str) -> str:
    """SHA-256 of a file; of the metadata of a zarr folder; "?" of an address."""
    path = Path(source)
    if path.is_file():
        return sha256(path)
    if not path.is_dir():
        return "?"
    kept = ("zarr.json", ".zmetadata", ".zarray", ".zattrs", ".zgroup")
    metadata = (name.read_bytes() for name in sorted(path.rglob("*")) if name.name in kept)
    return hashlib.sha256(b"".join(metadata)).hexdigest()
