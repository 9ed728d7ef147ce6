"""Product: the map a scene became, labelled so that it can be understood without us.

CF-1.11 on the scene's own grid, with uncertainty, flags, and where every number came from.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import xarray as xr
from pyproj import CRS

from sifnet.product.provenance import Provenance, attributes
from sifnet.scenes import sensors
from sifnet.scenes.scene import FIT_WINDOW, FLAGS, Scene
from sifnet.units import RADIANCE

if TYPE_CHECKING:
    from rasterio.transform import Affine

SIF_COMMENT = "emitted at the surface, upward; may be negative, so that noise averages to zero"


def _described(long_name: str, units: str, **more: str) -> dict[str, str]:
    return {"long_name": long_name, "units": units, **more}


VARIABLES = {
    "sif_760": _described(
        "sun-induced chlorophyll fluorescence at 760 nm",
        RADIANCE,
        ancillary_variables="sif_760_uncertainty quality_flag",
        comment=SIF_COMMENT,
    ),
    "sif_740": _described(
        "sun-induced chlorophyll fluorescence at 740 nm",
        RADIANCE,
        ancillary_variables="sif_740_uncertainty quality_flag",
        comment=f"{SIF_COMMENT}; sif_760 times the mean shape of emission of canopy models",
    ),
    "sif_760_uncertainty": _described("uncertainty of sif_760, one standard deviation", RADIANCE),
    "sif_740_uncertainty": _described("uncertainty of sif_740, one standard deviation", RADIANCE),
    "sif_760_uncertainty_shared": _described(
        "part of the uncertainty of sif_760 that neighbouring pixels share",
        RADIANCE,
        comment="atmosphere, sensor and expected shape of reflectance; no mean reduces it",
    ),
    "reflectance_740": _described("reflectance of the surface at 740 nm", "1"),
    "reflectance_slope": _described("slope of the reflectance of the surface at 740 nm", "nm-1"),
    "aot_550": _described("aerosol optical thickness of the whole column at 550 nm", "1"),
    "surface_pressure": _described(
        "air pressure at the surface",
        "hPa",
        standard_name="surface_air_pressure",
        comment="as the retrieval explains the depth of the oxygen band; not a barometer",
    ),
    "wavelength_shift": _described("shift of band centres from nominal", "nm"),
    "fwhm_shift": _described("change of band width (FWHM) from nominal", "nm"),
    "ndvi_radiance": _described(
        "normalised difference of mean radiances 770-810 and 650-680 nm",
        "1",
        comment="at the sensor, as far as bands cover both; no reflectance is involved",
    ),
    "residual_rms": _described(
        "root mean square of measured minus simulated radiance",
        RADIANCE,
        comment=f"over the bands of {FIT_WINDOW[0]:g}-{FIT_WINDOW[1]:g} nm",
    ),
    "chi2_reduced": _described("residual over noise, squared, a degree of freedom", "1"),
}
PLACES = {
    "latitude": {"standard_name": "latitude", "units": "degrees_north"},
    "longitude": {"standard_name": "longitude", "units": "degrees_east"},
    "time": {"standard_name": "time"},
}
TIME_ON_FILE = {"units": "seconds since 1970-01-01", "dtype": "float64"}  # to 1 microsecond


def headline(product: xr.Dataset) -> str:
    """The variable that a sensor's users look at first: from space SIF at 740 nm, else at 760."""
    sensor = sensors().get(str(product.attrs.get("sensor")))
    space = sensor is not None and sensor.space
    return "sif_740" if space and "sif_740" in product else "sif_760"


def label(maps: xr.Dataset, scene: Scene) -> xr.Dataset:
    """Maps of a scene, or of a window of it, with all that belongs to every pixel."""
    product = xr.Dataset(coords={n: v for n, v in _places(scene).items() if v.ndim == 2})
    for name, described in VARIABLES.items():
        product[name] = maps[name].astype(np.float32).assign_attrs(described)
    moved = np.float32(scene.dataset.attrs.get("registered_shift", 0.0))
    product["wavelength_shift"] = (product["wavelength_shift"] + moved).assign_attrs(
        VARIABLES["wavelength_shift"]
    )
    product["quality_flag"] = maps["quality_flag"].astype(np.uint16)
    product["quality_flag"].attrs = {
        "long_name": "why a result is not to be trusted; 0 is good",
        "standard_name": "quality_flag",
        "flag_masks": np.array([int(flag) for flag in FLAGS], dtype=np.uint16),
        "flag_meanings": " ".join(str(flag.name).lower() for flag in FLAGS),
        "comment": "; ".join(f"{str(f.name).lower()}: {text}" for f, text in FLAGS.items()),
    }
    if _on_map(scene) is not None:
        for variable in product.data_vars.values():
            variable.attrs["grid_mapping"] = "spatial_ref"
    return product


def frame(scene: Scene, provenance: Provenance = Provenance()) -> xr.Dataset:
    """What a product has beside its maps: provenance, and coordinates on one dimension or none."""
    coordinates = {n: v for n, v in _places(scene).items() if v.ndim < 2}
    if (located := _on_map(scene)) is not None:
        coordinates |= grid(*located, shape=scene.shape[:2])
    return xr.Dataset(coords=coordinates, attrs=attributes(scene, provenance))


def _places(scene: Scene) -> dict[str, xr.Variable]:
    """Latitude, longitude and time of the scene, as far as it has them."""
    places = {n: scene.dataset[n].variable.copy() for n in PLACES if n in scene.dataset}
    for name, values in places.items():
        values.attrs = dict(PLACES[name])
        values.encoding = dict(TIME_ON_FILE) if name == "time" else {}
    return places


def _on_map(scene: Scene) -> tuple[CRS, Affine] | None:
    wkt, transform = (scene.dataset.attrs.get(name) for name in ("crs", "transform"))
    if wkt is None or transform is None:
        return None
    from rasterio.transform import Affine

    return CRS.from_user_input(wkt), Affine(*transform)


def grid(
    crs: CRS,
    affine: Affine,
    *,
    shape: tuple[int, int],
    names: tuple[str, str, str] = ("spatial_ref", "y", "x"),
    dimensions: tuple[str, str] = ("line", "sample"),
) -> dict[str, xr.Variable]:
    """Coordinates of a map: its grid mapping, and of a north-up one y and x as well."""
    transform = " ".join(f"{value:.12g}" for value in affine.to_gdal())
    mapping = crs.to_cf() | {"GeoTransform": transform}
    coordinates = {names[0]: xr.Variable((), np.int32(0), mapping)}
    if affine.b or affine.d:
        return coordinates  # rotated: y and x need both dimensions, GeoTransform has it all
    y = affine.f + affine.e * (np.arange(shape[0]) + 0.5)
    x = affine.c + affine.a * (np.arange(shape[1]) + 0.5)
    meaning = [PLACES["latitude"], PLACES["longitude"]]
    if not crs.is_geographic:
        projected = (f"projection_{axis}_coordinate" for axis in "yx")
        meaning = [{"standard_name": name, "units": "m"} for name in projected]
    variables = map(xr.Variable, dimensions, (y, x), meaning)
    return coordinates | dict(zip(names[1:], variables, strict=True))


def place(product: xr.Dataset) -> tuple[CRS, Affine] | None:
    """Projection and transform of a product that lies on a map."""
    if "spatial_ref" not in product.coords:
        return None
    from rasterio.transform import Affine

    reference = product["spatial_ref"].attrs
    transform = [float(value) for value in reference["GeoTransform"].split()]
    return CRS.from_wkt(reference["crs_wkt"]), Affine.from_gdal(*transform)
