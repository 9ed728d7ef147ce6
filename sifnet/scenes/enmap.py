"""EnMAP (DLR): at-sensor radiance of the visible and near infrared, L1B or L1C.

A folder, a zip or any file of a product ``ENMAP01-____{L1B|L1C}-DT<take>_<time>_...`` with
``-SPECTRAL_IMAGE_VNIR.TIF`` (L1B) or ``-SPECTRAL_IMAGE.TIF`` (L1C) and ``-METADATA.XML``.
L = 1000 (gain DN + offset) mW m-2 nm-1 sr-1; fill is ``backgroundValue``, 0 without one. Bands of
the other spectrometer, beyond 900 nm, are left out.

With 6.5 nm FWHM and three or four bands in 750-770 nm a retrieval is refused (``too few bands in
the fit window``): the scene is for inspection, for NDVI and for methods that bring their own bands.
Wavelengths are taken as vacuum, as the XML says nothing.
"""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from sifnet.scenes.footprint import place
from sifnet.scenes.formats.geotiff import open_raster, radiance
from sifnet.scenes.formats.hsi_doc import Document, check_bands, is_product, one_product
from sifnet.scenes.scene import Scene
from sifnet.scenes.sensor import Sensor
from sifnet.scenes.site import Site
from sifnet.scenes.sun import relative_azimuth, sun_earth_distance
from sifnet.units import air_to_vacuum

__all__ = ["matches", "open_scene"]

SENSOR = Sensor(
    name="enmap",
    sampling=6.5,
    fwhm=6.5,
    shot_noise=0.05,
    space=True,
    inspect_only="bands every 6.5 to 8 nm put two or three into the O2 A band, too few to tell "
    "fluorescence from reflectance",
)
NAME = r"ENMAP\d\d-_*L\w\w-"
IMAGE = r"(?P<stem>ENMAP\d\d-_*(?P<level>L\w\w)-.+)-SPECTRAL_IMAGE(_VNIR)?(_COG)?\.(geo)?tiff?"
LEVELS = {"L1B": "", "L1C": "", "L2A": "surface reflectance, its radiance is lost"}
PER_STATED_UNIT = 1000.0  # mW m-2 nm-1 sr-1 for each W m-2 nm-1 sr-1
VNIR_BANDS = 91  # where the XML does not say
THOUSANDTHS = {"aot_550": "sceneAOT", "water_vapour": "sceneWV"}
EARTH_RADIUS, ORBIT = 6371.0, 653.0  # km
_FIELDS = {
    "number": "number",
    "wavelength": "wavelengthCenterOfBand",
    "fwhm": "FWHMOfBand",
    "gain": "GainOfBand",
    "offset": "OffsetOfBand",
}


def matches(path: Path) -> bool:
    """Whether the path is an EnMAP file or zip, or a folder that holds a product."""
    return is_product(path, IMAGE, NAME)


def open_scene(path: Path, **site: Any) -> Scene:
    """Open an L1B or L1C product by its folder, its zip or one of its files.

    Args:
        site: keywords of :class:`sifnet.scenes.site.Site`.

    Raises:
        SifnetError: the product is incomplete, damaged or contradicts itself, there are two, or
            it is L2A.
    """
    product = one_product(path, IMAGE, LEVELS, "EnMAP")
    folder = product.files.path
    given = Site.read(folder.parent if product.files.zipped else folder, site)
    document, raster = product.metadata(), open_raster(product.files, product.image)
    table = document.bands("bandID", _FIELDS)
    vnir = int(document.number("product/image/vnir/channels") or VNIR_BANDS)
    if "_VNIR" in product.image.upper():  # in L1B each spectrometer has an image of its own
        table = {name: values[:vnir] for name, values in table.items()}
    check_bands(document, table, raster)
    index = np.argsort(table["wavelength"][:vnir], kind="stable")
    table = {name: values[index] for name, values in table.items()}
    fill = document.number("specific/backgroundValue")
    time = document.time()
    # L1B carries a fit to its corners as if it were a map; only L1C is one.
    mapped = raster if product.level == "L1C" else replace(raster, crs=None)
    located, grid = place(mapped, document.corners())
    notes: list[str] = []
    air = given.wavelength_medium == "air"
    return Scene.from_arrays(
        radiance(
            raster,
            index,
            PER_STATED_UNIT * table["gain"],
            PER_STATED_UNIT * table["offset"],
            0 if fill is None else int(fill),
        ),
        air_to_vacuum(table["wavelength"]) if air else table["wavelength"],
        table["fwhm"],
        geometry=_geometry(document, given, time, notes),
        sensor=SENSOR,
        name=product.stem,
        acquisition_time=time,
        source_files=list(dict.fromkeys([str(product.path), str(document.file)])),
        extra={**located, **_stated(document)},
        notes=notes,
        **grid,
    )


def _geometry(document: Document, given: Site, time: str, notes: list[str]) -> dict[str, Any]:
    zenith, elevation = given.solar_zenith_angle, given.ground_elevation
    if zenith is None:
        zenith = 90.0 - document.needed("specific/sunElevationAngle/center")
    if elevation is None:
        metres = document.number("specific/meanGroundElevation")
        elevation = 0.0 if metres is None else metres / 1e3
        if metres is None:
            notes.append("ground elevation 0 km: the XML states none; give ground_elevation")
    azimuth = given.relative_azimuth_angle
    if azimuth is None:
        to_sun = document.needed("specific/sunAzimuthAngle/center")
        azimuth = float(relative_azimuth(_azimuth_to_sensor(document, notes), to_sun))
    return {
        "solar_zenith_angle": zenith,
        "view_zenith_angle": _view_zenith(document),
        "relative_azimuth_angle": azimuth,
        "sensor_height": np.inf,
        "ground_elevation": elevation,
        "sun_earth_distance": sun_earth_distance(np.datetime64(time)),
    }


def _view_zenith(document: Document) -> float:
    """At the ground: as stated, or from the tilt, sin(zenith) = (1 + h / R) sin(tilt)."""
    stated = document.number("specific/viewingZenithAngle/center")
    if stated is not None:
        return abs(stated)
    across = math.radians(document.needed("specific/acrossOffNadirAngle/center"))
    along = math.radians(document.number("specific/alongOffNadirAngle/center") or 0.0)
    tilt = math.atan(math.hypot(math.tan(across), math.tan(along)))
    return math.degrees(math.asin((1 + ORBIT / EARTH_RADIUS) * math.sin(tilt)))


def _azimuth_to_sensor(document: Document, notes: list[str]) -> float:
    stated = document.number("specific/viewingAzimuthAngle/center")
    if stated is not None:
        notes.append(f"viewingAzimuthAngle {stated:g} taken as the direction to the sensor")
        return stated
    course = document.needed("specific/sceneAzimuthAngle/center")
    notes.append(f"sceneAzimuthAngle {course:g} taken as the direction to the sensor")
    return course


def _stated(document: Document) -> dict[str, float]:
    """Aerosol and water vapour (g cm-2), which the XML gives in thousandths."""
    found = {n: document.number(f"specific/qualityFlag/{t}") for n, t in THOUSANDTHS.items()}
    return {name: value / 1e3 for name, value in found.items() if value is not None and value > 0}
