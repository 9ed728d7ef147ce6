"""Product: the map a scene became, labelled so that it can be understood without us.

CF-1.11 on the scene's own grid, with uncertainty, flags, and where every number came from.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from pyproj import CRS
from rasterio.transform import Affine

from sifnet import __version__
from sifnet.maps import retrieve as retrieve_maps
from sifnet.outputs import sha256
from sifnet.pretrained import model_for
from sifnet.priors import describe, on_terrain
from sifnet.retrieval import Retrieval
from sifnet.scene import FIT_WINDOW, FLAGS, Scene

RADIANCE = "mW m-2 nm-1 sr-1"
SIF_COMMENT = "emitted at the surface, upward; may be negative, so that noise averages to zero"
VARIABLES: dict[str, dict[str, str]] = {
    "sif_760": {
        "long_name": "sun-induced chlorophyll fluorescence at 760 nm",
        "units": RADIANCE,
        "ancillary_variables": "sif_760_uncertainty quality_flag",
        "comment": SIF_COMMENT,
    },
    "sif_740": {
        "long_name": "sun-induced chlorophyll fluorescence at 740 nm",
        "units": RADIANCE,
        "ancillary_variables": "quality_flag",
        "comment": f"{SIF_COMMENT}; sif_760 times the mean shape of emission of canopy models",
    },
    "sif_760_uncertainty": {
        "long_name": "uncertainty of sif_760, one standard deviation",
        "units": RADIANCE,
    },
    "reflectance_740": {"long_name": "reflectance of the surface at 740 nm", "units": "1"},
    "reflectance_slope": {
        "long_name": "slope of the reflectance of the surface at 740 nm",
        "units": "nm-1",
    },
    "aot_550": {
        "long_name": "aerosol optical thickness of the whole column at 550 nm",
        "units": "1",
    },
    "water_vapour": {
        "long_name": "water vapour column",
        "units": "g cm-2",
        "comment": f"not retrieved: {FIT_WINDOW[0]:g}-{FIT_WINDOW[1]:g} nm has no water lines "
        "that would tell it; the variable keeps its place",
    },
    "surface_pressure": {
        "long_name": "air pressure at the surface",
        "standard_name": "surface_air_pressure",
        "units": "hPa",
        "comment": "as the retrieval explains the depth of the oxygen band; not a barometer",
    },
    "wavelength_shift": {"long_name": "shift of band centres from nominal", "units": "nm"},
    "fwhm_shift": {"long_name": "change of band width (FWHM) from nominal", "units": "nm"},
    "ndvi_radiance": {
        "long_name": "normalised difference of mean radiances 770-810 and 650-680 nm",
        "units": "1",
        "comment": "at the sensor, as far as bands cover both; no reflectance is involved",
    },
    "residual_rms": {
        "long_name": "root mean square of measured minus simulated radiance",
        "units": RADIANCE,
        "comment": f"over the bands of {FIT_WINDOW[0]:g}-{FIT_WINDOW[1]:g} nm",
    },
    "chi2_reduced": {
        "long_name": "residual over noise, squared, a degree of freedom",
        "units": "1",
    },
}
PLACES = {
    "latitude": {"standard_name": "latitude", "units": "degrees_north"},
    "longitude": {"standard_name": "longitude", "units": "degrees_east"},
    "time": {"standard_name": "time"},
}
GEOMETRY = {
    "solar_zenith_angle": "degree",
    "view_zenith_angle": "degree",
    "relative_azimuth_angle": "degree",
    "sensor_height": "km",
    "ground_elevation": "km",
}


@dataclass(frozen=True)
class Provenance:
    """Where a product came from, beside its scene.

    Attributes:
        command: as it was typed.
        model_file: the checkpoint, None if the model was never saved.
        configuration: all settings of the fit.
        seed: of the fit.
        atmosphere_source: what was known of the atmosphere beforehand.
    """

    command: str = "sifnet from Python"
    model_file: Path | None = None
    configuration: Mapping[str, Any] = field(default_factory=dict)
    seed: int | None = None
    atmosphere_source: str = "standard atmosphere and climatological prior of sifnet"


def retrieve(
    scene: Scene,
    model: str | Path | Retrieval | None = None,
    *,
    atmosphere: xr.Dataset | None = None,
    provenance: Provenance | None = None,
    progress: bool = False,
) -> xr.Dataset:
    """Map a scene with a model: the product, on (line, sample).

    Args:
        model: a fitted one, or its file; the pre-trained one that ships by default.
        atmosphere: outside knowledge of the atmosphere over the scene.
        provenance: recorded in the attributes.
        progress: show a progress bar.

    Raises:
        SifnetError: the model was not made for this sensor, cannot read its bands, or none ships.
    """
    scene = on_terrain(scene, atmosphere)
    model = model_for(scene, model)
    maps = retrieve_maps(scene, model, atmosphere=atmosphere, progress=progress)
    product = finish(maps, scene, provenance or Provenance())
    if atmosphere is not None:
        product.attrs["atmosphere_prior"] = describe(atmosphere)
    return product


def finish(maps: xr.Dataset, scene: Scene, provenance: Provenance | None = None) -> xr.Dataset:
    """Label maps (line, sample): units, names, flags, place, time and provenance.

    Every name of VARIABLES is there afterwards; what was not retrieved is NaN and says so.
    """
    shape = scene.shape[:2]
    product = xr.Dataset(coords=_places(scene))
    for name, attributes in VARIABLES.items():
        values = maps[name] if name in maps else xr.full_like(maps["sif_760"], np.nan)
        product[name] = values.astype(np.float32)
        product[name].attrs = dict(attributes)
        if name not in maps and "comment" not in attributes:
            product[name].attrs["comment"] = "not retrieved"
    product["quality_flag"] = maps["quality_flag"].astype(np.uint16)
    product["quality_flag"].attrs = {
        "long_name": "why a result is not to be trusted; 0 is good",
        "standard_name": "quality_flag",
        "flag_masks": np.array([int(flag) for flag in FLAGS], dtype=np.uint16),
        "flag_meanings": " ".join(str(flag.name).lower() for flag in FLAGS),
        "comment": "; ".join(f"{str(f.name).lower()}: {text}" for f, text in FLAGS.items()),
    }
    product = product.assign_attrs(_attributes(scene, provenance or Provenance()))
    assert product["sif_760"].shape == shape
    return _georeferenced(product, scene)


def _places(scene: Scene) -> dict[str, xr.Variable]:
    """Latitude, longitude and time of the scene, as far as it has them."""
    found = {}
    for name, attributes in PLACES.items():
        if name in scene.dataset:
            values = scene.dataset[name].variable.copy()
            values.attrs = dict(attributes)
            values.encoding = {"units": "seconds since 1970-01-01"} if name == "time" else {}
            found[name] = values
    return found


def _attributes(scene: Scene, provenance: Provenance) -> dict[str, Any]:
    now = datetime.now(UTC).isoformat(timespec="seconds")
    data = scene.dataset
    files = [Path(file) for file in data.attrs["source_files"]]
    configuration = dict(provenance.configuration)
    attributes: dict[str, Any] = {
        "Conventions": "CF-1.11",
        "title": f"Sun-induced fluorescence, {scene.name}",
        "source": f"sifnet {__version__}, self-supervised retrieval from {scene.sensor} radiance",
        "history": f"{now} sifnet {__version__}: {provenance.command}",
        "scene": scene.name,
        "sensor": scene.sensor,
        "acquisition_time": str(data.attrs["acquisition_time"]),
        "source_files": "\n".join(str(file.absolute()) for file in files),
        "source_sha256": "\n".join(sha256(file) if file.is_file() else "?" for file in files),
        "reader_notes": "\n".join(str(note) for note in data.attrs["notes"]),
        "sifnet_version": __version__,
        "configuration": json.dumps(configuration, default=str, sort_keys=True),
        "atmosphere_source": provenance.atmosphere_source,
        "command": provenance.command,
    }
    for name, units in GEOMETRY.items():
        attributes[name] = float(data[name].mean())
        attributes[f"{name}_units"] = units
    if provenance.seed is not None:
        attributes["seed"] = provenance.seed
    if provenance.model_file is not None:
        attributes["model_file"] = str(provenance.model_file.absolute())
        attributes["model_sha256"] = sha256(provenance.model_file)
    return attributes


def _georeferenced(product: xr.Dataset, scene: Scene) -> xr.Dataset:
    """Add ``spatial_ref`` where the scene lies on a map; north-up grids get x and y as well."""
    wkt, transform = (scene.dataset.attrs.get(name) for name in ("crs", "transform"))
    if wkt is None or transform is None:
        return product
    crs, affine = CRS.from_user_input(wkt), Affine(*transform)
    reference = {
        **crs.to_cf(),
        "GeoTransform": " ".join(f"{value:.12g}" for value in affine.to_gdal()),
    }
    product = product.assign_coords(spatial_ref=((), np.int32(0), reference))
    for variable in product.data_vars.values():
        variable.attrs["grid_mapping"] = "spatial_ref"
    if affine.b or affine.d:
        return product  # rotated: x and y would need both dimensions, GeoTransform has it all
    kind = ("longitude", "latitude") if crs.is_geographic else (
        "projection_x_coordinate", "projection_y_coordinate")  # fmt: skip
    units = ("degrees_east", "degrees_north") if crs.is_geographic else ("m", "m")
    lines, samples = product["sif_760"].shape
    x = affine.c + affine.a * (np.arange(samples) + 0.5)
    y = affine.f + affine.e * (np.arange(lines) + 0.5)
    return product.assign_coords(
        x=("sample", x, {"standard_name": kind[0], "units": units[0]}),
        y=("line", y, {"standard_name": kind[1], "units": units[1]}),
    )
