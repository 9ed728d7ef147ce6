"""The atmosphere of a scene as one file: ``atmosphere.nc``, with uncertainty and source.

Uncertainties are one standard deviation. What is not known from an ensemble is a stated default:

- pressure 1 hPa: ERA5 against stations at their own height, 0.5 to 1 hPa (Hersbach et al. 2020,
  QJRMS 146, 1999); also 0.5 hPa for 4 m of elevation (Copernicus DEM GLO-30), 0.08 hPa for each
  hour between the analyses and 0.35 hPa for each hour beyond the last (both rms of withheld hours
  of ERA5 over the Rhine, tests/atmorep_bridge/air/test_real_fields.py), and 2 K of temperature in
  the air between model ground and true ground;
- temperature offset 1 K (ERA5 against radiosondes, lower troposphere), and what the shape of the
  profile leaves open (columns.temperature_offset);
- aerosol 0.05 + 0.2 AOT: 83 % of MERRA-2 lie within it of AERONET (Remote Sens. 2024, 16, 3304);
- water 0.2 g cm-2 (reanalyses against GPS, 1 to 2 kg m-2).

The spread over the footprint is added to each in quadrature.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from atmorep_bridge.air.colocate import ALTITUDES, Colocated, colocate
from atmorep_bridge.air.columns import HYPSOMETRIC, PROFILE_HEIGHTS
from atmorep_bridge.air.footprint import Footprint
from sifnet import __version__
from sifnet.errors import SifnetError
from sifnet.scenes.scene import Scene

PRESSURE_SD, ELEVATION_SD, GAP_SD, BEYOND_SD = 1.0, 0.5, 0.08, 0.35  # hPa, hPa, hPa/h, hPa/h
AIR_BETWEEN_SD = 2.0  # K
TEMPERATURE_SD = 1.0  # K
AOT_SD = (0.05, 0.2)  # constant, share
WATER_SD = 0.2  # g cm-2

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
    "water_vapour": {
        "long_name": "water vapour above the ground",
        "standard_name": "atmosphere_mass_content_of_water_vapor",
        "units": "g cm-2",
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
    "height": {"standard_name": "height", "units": "km", "positive": "up"},
    "profile_pressure": {"standard_name": "air_pressure", "units": "hPa"},
    "profile_temperature": {"standard_name": "air_temperature", "units": "K"},
    "profile_humidity": {"standard_name": "specific_humidity", "units": "1"},
    "ground_elevation": {
        "long_name": "elevation of the ground above sea level",
        "standard_name": "surface_altitude",
        "units": "km",
    },
    "surface_altitude": {
        "long_name": "mean elevation of the ground, at which surface_pressure is given",
        "units": "km",
    },
    "latitude": {"standard_name": "latitude", "units": "degrees_north"},
    "longitude": {"standard_name": "longitude", "units": "degrees_east"},
    "time": {"standard_name": "time"},
}


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
    found = colocate(fields, footprint)
    data = xr.Dataset(
        coords={
            "altitude": ALTITUDES,
            "height": PROFILE_HEIGHTS,
            "time": _middle(footprint.time),
            "latitude": float(footprint.latitude.mean()),
            "longitude": float(footprint.longitude[0] + _turn(footprint.longitude).mean()),
        }
    )
    names = {"surface_pressure": "surface_pressure", "temperature_offset": "temperature_offset",
             "aot_550": "aot_550", "water_vapour": "water"}  # fmt: skip
    defaults = _defaults(found, footprint)
    for name, theirs in names.items():
        if theirs in found.values:
            _add(data, name, found.values[theirs], defaults[name])
    everywhere = found.values.mean([d for d in ("point", "member") if d in found.values.dims])
    data["air_pressure"] = "altitude", everywhere["pressure"].values
    for part in ("pressure", "temperature", "humidity"):
        data[f"profile_{part}"] = "height", everywhere[f"profile_{part}"].values
    data["surface_altitude"] = footprint.elevation
    if footprint.relief is not None:
        relief = footprint.relief.astype(np.float32)
        data["ground_elevation"] = relief.drop_vars(list(relief.coords))
    for label, attributes in ARRAYS.items():
        if label in data.variables:
            data[label].attrs |= attributes
    data["time"].encoding = {"units": "seconds since 1970-01-01", "dtype": "int64"}
    return data.assign_attrs(_attributes(scene, found, footprint, command))


def write(atmosphere: xr.Dataset, path: Path) -> Path:
    """Write NetCDF-4; the same state gives the same bytes.

    Raises:
        SifnetError: the file cannot be written.
    """
    partial = path.with_name(f".{path.name}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        encoding: dict[Any, Any] = {n: {"_FillValue": None} for n in atmosphere.variables}
        if atmosphere.get("ground_elevation", xr.DataArray(0)).ndim:
            encoding["ground_elevation"] |= {"zlib": True, "complevel": 4}
        atmosphere.to_netcdf(partial, engine="h5netcdf", encoding=encoding)
        partial.replace(path)
    except OSError as error:
        raise SifnetError(
            "the output cannot be written",
            found=error.strerror or str(error),
            expected="a folder with write permission and space",
            remedy="Choose another file with -o.",
            file=path,
        ) from error
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
    return path


def _add(data: xr.Dataset, name: str, values: xr.DataArray, default: tuple[float, str]) -> None:
    """Mean over points and members, uncertainty and footprint spread of one quantity."""
    usual, comment = default
    if "member" in values.dims and values.sizes["member"] > 1:
        members = values.mean("point")
        known = float(members.std("member", ddof=1))
        comment = f"spread of {values.sizes['member']} members {known:.3g}"
        if name == "surface_pressure":
            known = float(np.hypot(known, ELEVATION_SD))
            comment += f", elevation {ELEVATION_SD:g}"
        values = values.mean("member")
    else:
        known = usual
    spread = float(values.std("point"))
    units = SCALARS[name]["units"]
    data[name] = float(values.mean("point"))
    data[name].attrs = SCALARS[name] | {"ancillary_variables": f"{name}_uncertainty"}
    data[f"{name}_uncertainty"] = float(np.hypot(known, spread))
    data[f"{name}_uncertainty"].attrs = {
        "long_name": f"uncertainty of {name}, one standard deviation",
        "units": units,
        "comment": f"{comment}; spread over the footprint {spread:.3g}",
    }
    data[f"{name}_spread"] = spread
    data[f"{name}_spread"].attrs = {
        "long_name": f"standard deviation of {name} over the footprint and its time, at one "
        "elevation",
        "units": units,
    }


def _defaults(found: Colocated, footprint: Footprint) -> dict[str, tuple[float, str]]:
    """Uncertainty of each quantity where there is no ensemble, and how it comes about."""
    values = found.values
    pressure = float(values["surface_pressure"].mean())
    warm = float(values["profile_temperature"].isel(level=0).mean())
    moved = 0.0 if np.isnan(found.model_height) else abs(found.model_height - footprint.elevation)
    air_between = pressure * moved / (HYPSOMETRIC * warm) * AIR_BETWEEN_SD / warm
    terms = {
        "analysis": PRESSURE_SD,
        "elevation": ELEVATION_SD,
        f"{found.gap:.3g} h between analyses": GAP_SD * found.gap,
        f"{found.beyond:.3g} h beyond them": BEYOND_SD * found.beyond,
        f"{moved * 1e3:.0f} m from model ground": air_between,
    }
    shape = float(values["shape"].mean())
    aot = float(values["aot_550"].mean()) if "aot_550" in values else 0.0
    return {
        "surface_pressure": (
            float(np.sqrt(sum(term**2 for term in terms.values()))),
            ", ".join(f"{why} {term:.2g}" for why, term in terms.items() if term),
        ),
        "temperature_offset": (
            float(np.hypot(TEMPERATURE_SD, shape)),
            f"analysis {TEMPERATURE_SD:g}, shape of the profile {shape:.2g}",
        ),
        "aot_550": (AOT_SD[0] + AOT_SD[1] * aot, f"{AOT_SD[0]:g} + {AOT_SD[1]:g} AOT"),
        "water_vapour": (WATER_SD, f"analysis {WATER_SD:g}"),
    }


def _attributes(
    scene: Scene, found: Colocated, footprint: Footprint, command: str
) -> dict[str, str]:
    sums = {file: checksum(file) for file in found.sources}
    return {
        "Conventions": "CF-1.11",
        "title": f"Atmosphere over {scene.name}",
        "source": " and ".join(found.products) + "; elevation of " + footprint.source,
        "institution": "made by atmorep_bridge of sifnet " + __version__,
        "history": f"sifnet {__version__}: {command}",
        "input_files": "\n".join(found.sources),
        "input_sha256": "\n".join(sums.values()),
        "scene": scene.name,
        "acquisition_time": str(scene.dataset.attrs["acquisition_time"]),
        "acknowledgement": "ERA5 and CAMS: contains modified Copernicus information",
    }


def checksum(source: str) -> str:
    """SHA-256 of a file; of the metadata of a zarr folder; "?" of an address."""
    path = Path(source)
    if path.is_file():
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    if not path.is_dir():
        return "?"
    total = hashlib.sha256()
    for name in sorted(path.rglob("*")):
        if name.name in ("zarr.json", ".zmetadata", ".zarray", ".zattrs", ".zgroup"):
            total.update(name.read_bytes())
    return total.hexdigest()


def _middle(times: np.ndarray) -> Any:
    stamps = pd.DatetimeIndex(times)
    return np.datetime64((stamps.min() + (stamps.max() - stamps.min()) / 2).floor("s"), "ns")


def _turn(longitude: np.ndarray) -> np.ndarray:
    """Degrees east of the first point, across 180 if need be."""
    return (longitude - longitude[0] + 180) % 360 - 180
