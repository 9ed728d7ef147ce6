"""Product: the map a scene became, labelled so that it can be understood without us.

CF-1.11 and ACDD-1.3, on (y, x) where the scene lies on a map grid and on (line, sample) where it
does not, with uncertainty, flags, and where every number came from.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from pyproj import CRS, Transformer

from sifnet.product.axes import MAP, SWATH, renamed
from sifnet.product.discovery import acquired, discovery
from sifnet.product.footprint import ring
from sifnet.product.provenance import RECORD, Provenance, attributes, written
from sifnet.scenes import sensors
from sifnet.scenes.scene import FIT_WINDOW, FLAGS, Scene
from sifnet.units import RADIANCE

if TYPE_CHECKING:
    from rasterio.transform import Affine

SIF_COMMENT = "emitted at the surface, upward; may be negative, so that noise averages to zero"
MEASURED, QUALITY, AUXILIARY = "physicalMeasurement", "qualityInformation", "auxiliaryInformation"


def described(long_name: str, units: str, kind: str = MEASURED, **more: str) -> dict[str, str]:
    """Attributes of a variable, and of what kind it is (ISO 19115, ``coverage_content_type``)."""
    about = {"ancillary_variables": "quality_flag"} if kind == MEASURED else {}
    return {
        "long_name": long_name, "units": units, "coverage_content_type": kind, **about, **more
    }  # fmt: skip


SIF_687 = "sun-induced chlorophyll fluorescence at 687 nm, the O2 B band"
OPTIONAL = {  # of scenes whose bands show the O2 B band
    "sif_687": described(
        SIF_687,
        RADIANCE,
        ancillary_variables="sif_687_uncertainty sif_687_uncertainty_shared quality_flag_687",
        comment=SIF_COMMENT,
    ),
    "sif_687_uncertainty": described(
        "uncertainty of sif_687, one standard deviation", RADIANCE, QUALITY
    ),
    "sif_687_uncertainty_shared": described(
        "part of the uncertainty of sif_687 that neighbouring pixels share",
        RADIANCE,
        QUALITY,
        comment="atmosphere, sensor and what the simulation is wrong by; no mean reduces it",
    ),
    "reflectance_687": described(
        "reflectance of the surface at 687 nm", "1", ancillary_variables="quality_flag_687"
    ),
}
VARIABLES = {
    "sif_760": described(
        "sun-induced chlorophyll fluorescence at 760 nm",
        RADIANCE,
        ancillary_variables="sif_760_uncertainty sif_760_uncertainty_shared chi2_reduced "
        "residual_rms quality_flag",
        comment=SIF_COMMENT,
    ),
    "sif_740": described(
        "sun-induced chlorophyll fluorescence at 740 nm",
        RADIANCE,
        ancillary_variables="sif_740_uncertainty chi2_reduced residual_rms quality_flag",
        comment=f"{SIF_COMMENT}; sif_760 times the mean shape of emission of canopy models",
    ),
    "sif_760_uncertainty": described(
        "uncertainty of sif_760, one standard deviation", RADIANCE, QUALITY
    ),
    "sif_740_uncertainty": described(
        "uncertainty of sif_740, one standard deviation", RADIANCE, QUALITY
    ),
    "sif_760_uncertainty_shared": described(
        "part of the uncertainty of sif_760 that neighbouring pixels share",
        RADIANCE,
        QUALITY,
        comment="atmosphere, sensor and expected shape of reflectance; no mean reduces it",
    ),
    "reflectance_740": described("reflectance of the surface at 740 nm", "1"),
    "reflectance_slope": described("slope of the reflectance of the surface at 740 nm", "nm-1"),
    "aot_550": described(
        "aerosol optical thickness of the whole column at 550 nm",
        "1",
        standard_name="atmosphere_optical_thickness_due_to_ambient_aerosol_particles",
    ),
    "surface_pressure": described(
        "air pressure at the surface",
        "hPa",
        standard_name="surface_air_pressure",
        comment="as the retrieval explains the depth of the oxygen band; not a barometer",
    ),
    "wavelength_shift": described("shift of band centres from nominal", "nm"),
    "fwhm_shift": described("change of band width (FWHM) from nominal", "nm"),
    "ndvi_radiance": described(
        "normalised difference of mean radiances 770-810 and 650-680 nm",
        "1",
        comment="at the sensor, as far as bands cover both; no reflectance is involved",
    ),
    "residual_rms": described(
        "root mean square of measured minus simulated radiance",
        RADIANCE,
        QUALITY,
        comment=f"over the bands of {FIT_WINDOW[0]:g}-{FIT_WINDOW[1]:g} nm",
    ),
    "chi2_reduced": described("residual over noise, squared, a degree of freedom", "1", QUALITY),
}
GEOMETRY = {  # of the scene, as far as it varies: a value for all, for lines, samples or both
    "solar_zenith_angle": described(
        "solar zenith angle at the ground, without refraction", "degree", AUXILIARY,
        standard_name="solar_zenith_angle",
    ),
    "view_zenith_angle": described(
        "zenith angle of the sensor at the ground", "degree", AUXILIARY,
        standard_name="sensor_zenith_angle",
    ),
    "relative_azimuth_angle": described(
        "azimuth of the sensor less that of the sun, folded", "degree", AUXILIARY,
        comment="0: sensor and sun on the same side as seen from the ground, 180: opposite",
    ),
    "sensor_height": described(
        "height of the sensor above the ground", "km", AUXILIARY, comment="infinite: in space"
    ),
    "ground_elevation": described(
        "height of the ground above sea level", "km", AUXILIARY, standard_name="surface_altitude"
    ),
}  # fmt: skip
PLACES = {
    name: {**meaning, "coverage_content_type": "coordinate"}
    for name, meaning in {
        "latitude": {
            "standard_name": "latitude", "long_name": "latitude", "units": "degrees_north"
        },
        "longitude": {
            "standard_name": "longitude", "long_name": "longitude", "units": "degrees_east"
        },
        "time": {
            "standard_name": "time", "long_name": "time of acquisition, UTC",
            "units_metadata": "leap_seconds: none",
        },
        **{f"projection_{axis}": {
            "standard_name": f"projection_{axis}_coordinate", "units": "m",
            "long_name": f"{axis} of the map projection",
        } for axis in "yx"},
    }.items()
}  # fmt: skip
TIME_ON_FILE = {  # to 1 microsecond
    "units": "seconds since 1970-01-01", "dtype": "float64", "calendar": "standard",
    "_FillValue": None,
}  # fmt: skip


def headline(product: xr.Dataset) -> str:
    """The variable that a sensor's users look at first: from space SIF at 740 nm, else at 760."""
    sensor = sensors().get(str(product.attrs.get("sensor")))
    space = sensor is not None and sensor.space
    return "sif_740" if space and "sif_740" in product else "sif_760"


def label(maps: xr.Dataset, scene: Scene) -> xr.Dataset:
    """Maps of a scene, or of a window of it, with all that belongs to every pixel."""
    moved = np.float32(scene.dataset.attrs.get("registered_shift", 0.0))
    about = VARIABLES | {name: told for name, told in OPTIONAL.items() if name in maps}
    values = {name: maps[name].values.astype(np.float32, copy=False) for name in about}
    values["wavelength_shift"] = values["wavelength_shift"] + moved
    for name in ("quality_flag", "quality_flag_687"):
        if name in maps:
            values[name] = maps[name].values.astype(np.uint16)
            about[name] = flag_attributes()
    planes = values.items()
    product = xr.Dataset({name: (SWATH, plane, dict(about[name])) for name, plane in planes})
    return located(product, scene)


def located(maps: xr.Dataset, scene: Scene) -> xr.Dataset:
    """Maps with place and geometry of every pixel, on the dimensions of a product."""
    grid_of = on_map(scene)
    product = maps.assign_coords(
        {n: v for n, v in _places(scene, grid_of).items() if v.ndim == 2}
    ).assign({n: v for n, v in _geometry(scene).items() if v.ndim == 2})
    if grid_of is None:
        return product
    for variable in product.data_vars.values():
        variable.attrs["grid_mapping"] = "spatial_ref"
    return renamed(product, MAP)


def flag_attributes() -> dict[str, Any]:
    """What ``quality_flag`` means, as CF says it."""
    return {
        "long_name": "why a result is not to be trusted; 0 is good",
        "standard_name": "quality_flag",
        "coverage_content_type": QUALITY,
        "flag_masks": np.array([int(flag) for flag in FLAGS], dtype=np.uint16),
        "flag_meanings": " ".join(str(flag.name).lower() for flag in FLAGS),
        "comment": "; ".join(f"{str(f.name).lower()}: {text}" for f, text in FLAGS.items()),
    }


def frame(scene: Scene, provenance: Provenance = Provenance()) -> xr.Dataset:
    """What a product has beside its maps: provenance, and what is on one dimension or none."""
    grid_of = on_map(scene)
    coordinates = {n: v for n, v in _places(scene, grid_of).items() if v.ndim < 2}
    around = ring(scene.dataset, SWATH, grid_of)
    told, record = attributes(scene, provenance)
    product = xr.Dataset(
        {n: v for n, v in _geometry(scene).items() if v.ndim < 2} | {RECORD: written(record)},
        coords=coordinates,
        attrs=discovery(scene, around) | told,
    )
    if grid_of is None:
        return product
    return renamed(product, MAP).assign_coords(grid(*grid_of, shape=scene.shape[:2]))


def _geometry(scene: Scene) -> dict[str, xr.Variable]:
    """Angles and heights of the scene, on the dimensions that they have there."""
    geometry = {n: scene.dataset[n].variable.astype(np.float32) for n in GEOMETRY}
    for name, values in geometry.items():
        if values.ndim == 2:
            geometry[name] = values = values.transpose(*SWATH)
        values.attrs, values.encoding = dict(GEOMETRY[name]), {}
    return geometry


def _places(scene: Scene, located: tuple[CRS, Affine] | None) -> dict[str, xr.Variable]:
    """Time of the scene, and latitude and longitude as far as it has them.

    On a map the grid says where pixels are. Only on a rotated one, which has no y and no x of one
    dimension, the place of every pixel is told as well.
    """
    data = scene.dataset
    names = [n for n in PLACES if n in data and (located is None or n == "time")]
    places = {n: data[n].variable.copy() for n in names}
    places.setdefault("time", xr.Variable((), acquired(scene)))
    if located is not None and not _north_up(located[1]):
        places |= _pixels(*located, scene.shape[:2])
    for name, values in places.items():
        values.attrs = dict(PLACES[name])
        values.encoding = dict(TIME_ON_FILE) if name == "time" else {}
    return places


def on_map(scene: Scene) -> tuple[CRS, Affine] | None:
    """Projection and transform of a scene that lies on a map."""
    wkt, transform = (scene.dataset.attrs.get(name) for name in ("crs", "transform"))
    if wkt is None or transform is None:
        return None
    from rasterio.transform import Affine

    return CRS.from_user_input(wkt), Affine(*transform)


def _north_up(affine: Affine) -> bool:
    return not (affine.b or affine.d)


def _pixels(crs: CRS, affine: Affine, shape: tuple[int, int]) -> dict[str, xr.Variable]:
    """Where the middle of every pixel is, on earth and in the projection."""
    row, column = np.mgrid[: shape[0], : shape[1]] + 0.5
    a, b, c, d, e, f = affine[:6]
    x, y = c + a * column + b * row, f + d * column + e * row
    longitude, latitude = Transformer.from_crs(crs, "EPSG:4326", always_xy=True).transform(x, y)
    places = {"latitude": latitude, "longitude": longitude, "projection_y": y, "projection_x": x}
    return {name: xr.Variable(SWATH, values) for name, values in places.items()}


def grid(
    crs: CRS,
    affine: Affine,
    *,
    shape: tuple[int, int],
) -> dict[str, xr.Variable]:
    """Coordinates of a map: its grid mapping, and of a north-up one y and x as well.

    Args:
        shape: down and across.
    """
    transform = " ".join(f"{value:.12g}" for value in affine.to_gdal())
    # CF says the first; GDAL and rioxarray read the second and the transform.
    mapping = crs.to_cf() | {
        "long_name": "map projection", "spatial_ref": crs.to_wkt(), "GeoTransform": transform
    }  # fmt: skip
    coordinates = {"spatial_ref": xr.Variable((), np.int32(0), mapping)}
    if not _north_up(affine):
        return coordinates  # y and x need both dimensions, GeoTransform has it all
    y = affine.f + affine.e * (np.arange(shape[0]) + 0.5)
    x = affine.c + affine.a * (np.arange(shape[1]) + 0.5)
    meaning = [PLACES["latitude"], PLACES["longitude"]]
    if not crs.is_geographic:
        meaning = [PLACES[f"projection_{axis}"] for axis in "yx"]
    for name, values, about in zip(MAP, (y, x), meaning, strict=True):
        coordinates[name] = xr.Variable(name, values, dict(about), {"_FillValue": None})
    return coordinates


def place(product: xr.Dataset) -> tuple[CRS, Affine] | None:
    """Projection and transform of a product that lies on a map."""
    if "spatial_ref" not in product.coords:
        return None
    from rasterio.transform import Affine

    reference = product["spatial_ref"].attrs
    transform = [float(value) for value in reference["GeoTransform"].split()]
    return CRS.from_wkt(reference["crs_wkt"]), Affine.from_gdal(*transform)
