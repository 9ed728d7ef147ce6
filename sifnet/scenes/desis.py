"""DESIS (DLR, on the International Space Station): at-sensor radiance, L1B or L1C.

A folder, a zip as downloaded, or any file of a product
``DESIS-HSI-{L1B|L1C}-DT<take>_<tile>-<time>-<version>`` with ``-SPECTRAL_IMAGE.tif`` (or ``.TIF``,
``_COG.TIF``) and ``-METADATA.xml`` (``.XML``). L = 10 (gain DN + offset) mW m-2 nm-1 sr-1, int16,
fill -32768. Where the XML gives the measured response of its bands, the scene carries it as
``response`` and ``response_wavelength`` (band, point), NaN beyond a band's own points; ``aot_550``
and ``water_vapour`` (g cm-2) are there where the XML states them. A layer QL_QUALITY-2 beside it,
on the same grid, gives flags. L2A is reflectance: refused, but see
:func:`sifnet.scenes.desis_quality.labels`.

The XML does not say whether wavelengths are in air or vacuum. They are taken as vacuum; air would
be 0.21 nm away, which is within the shift that a retrieval fits. site.json can say otherwise.

``sceneAzimuthAngle`` is the course of the station in L1B and a direction across it in L1C of the
same take. The corners tell which; the station is then taken to look to port, as its mount does
(45 degrees to port, 5 to starboard), so that as seen from the ground it stands 90 degrees
clockwise of its course.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sifnet.scenes.desis_quality import labels, mask_flags
from sifnet.scenes.footprint import heading, place
from sifnet.scenes.formats.geotiff import Raster, open_raster, radiance, saturation
from sifnet.scenes.formats.hsi_doc import Document, Product, check_bands, is_product, one_product
from sifnet.scenes.scene import Flag, Scene
from sifnet.scenes.sensor import Sensor
from sifnet.scenes.site import Site
from sifnet.scenes.sun import relative_azimuth, sun_earth_distance
from sifnet.units import air_to_vacuum

__all__ = ["labels", "matches", "open_scene"]

# Sampling and width: Krutz et al. 2019; ranges: the published simulations. Noise is an assumption:
# the published signal to noise is about 200 near 550 nm and lower in the near infrared; 200 is
# taken at L = 100.
SENSOR = Sensor(
    name="desis",
    sampling=2.553,
    fwhm=3.5,
    shot_noise=0.05,
    window=(743.5, 783.5),
    shift_range=(-1.75, 1.25),
    fwhm_range=(-0.30, 0.30),
    space=True,
    predicts_shape=True,
    simulated_as="orbit",
    start_model="model_desis.ckpt",
)
NAME = r"DESIS-HSI-L\w\w-"
IMAGE = r"(?P<stem>DESIS-HSI-(?P<level>L\w\w)-.+)-SPECTRAL_IMAGE(_COG)?\.tiff?"
LEVELS = {"L1B": "", "L1C": "", "L2A": "surface reflectance, its radiance is lost"}
PER_STATED_UNIT = 10.0  # mW m-2 nm-1 sr-1 for each mW cm-2 um-1 sr-1
FILL = -32768
RETRIEVED = (743.0, 784.0)  # nm, where dead detectors and saturation matter
STATED = {  # variable: (element, largest credible value)
    "aot_550": ("specific/meanAerosolOpticalThickness", 5.0),
    "water_vapour": ("specific/waterVapour/meanWaterVapour", 10.0),
}
_FIELDS = {
    "number": "bandNumber",
    "wavelength": "wavelengthCenterOfBand",
    "fwhm": "wavelengthWidthOfBand",
    "gain": "gainOfBand",
    "offset": "offsetOfBand",
}


def matches(path: Path) -> bool:
    """Whether the path is a DESIS file or zip, or a folder that holds a product."""
    return is_product(path, IMAGE, NAME)


def open_scene(path: Path, **site: Any) -> Scene:
    """Open an L1B or L1C product by its folder, its zip or one of its files.

    Args:
        site: keywords of :class:`sifnet.scenes.site.Site`.

    Raises:
        SifnetError: the product is incomplete, damaged or contradicts itself, there are two, or
            it is L2A.
    """
    product = one_product(path, IMAGE, LEVELS, "DESIS")
    folder = product.files.path
    given = Site.read(folder.parent if product.files.zipped else folder, site)
    document, raster = product.metadata(), open_raster(product.files, product.image)
    table = document.bands("band", _FIELDS)
    check_bands(document, table, raster)
    index = np.argsort(table["wavelength"], kind="stable")
    table = {name: values[index] for name, values in table.items()}
    corners, time = document.corners(), document.time()
    fill = document.number("specific/backgroundValue")
    notes: list[str] = []
    located, grid = place(raster, corners)
    return Scene.from_arrays(
        radiance(
            raster,
            index,
            PER_STATED_UNIT * table["gain"],
            PER_STATED_UNIT * table["offset"],
            FILL if fill is None else int(fill),
        ),
        _vacuum(table["wavelength"], given),
        table["fwhm"],
        geometry=_geometry(document, product.level, given, corners, time, notes),
        sensor=SENSOR,
        name=product.stem,
        acquisition_time=time,
        source_files=list(dict.fromkeys([str(product.path), str(document.file)])),
        extra={
            **located,
            **_stated(document, notes),
            **_response(document, index, given, notes),
            **_flags(product, document, raster, table["wavelength"], index, notes),
        },
        notes=notes,
        **grid,
    )


def _vacuum(wavelength: NDArray[np.float64], given: Site) -> NDArray[np.float64]:
    return air_to_vacuum(wavelength) if given.wavelength_medium == "air" else wavelength


def _geometry(
    document: Document,
    level: str,
    given: Site,
    corners: NDArray[np.float64] | None,
    time: str,
    notes: list[str],
) -> dict[str, Any]:
    """The scalars of a Scene's geometry: a scene of 30 km has one sun and one line of sight."""
    zenith = given.solar_zenith_angle
    elevation = given.ground_elevation
    if elevation is None:
        metres = document.number("specific/terrain/meanGroundElevation")
        elevation = 0.0 if metres is None else metres / 1e3
        if metres is None:
            notes.append("ground elevation 0 km: the XML states none; give ground_elevation")
    azimuth = given.relative_azimuth_angle
    if azimuth is None:
        to_sensor = _azimuth_to_sensor(document, level, corners, notes)
        azimuth = float(relative_azimuth(to_sensor, document.needed("specific/sunAzimuthAngle")))
    return {
        "solar_zenith_angle": document.needed("specific/sunZenithAngle")
        if zenith is None
        else zenith,
        "view_zenith_angle": abs(document.needed("specific/sceneIncidenceAngle")),
        "relative_azimuth_angle": azimuth,
        "sensor_height": np.inf,
        "ground_elevation": elevation,
        "sun_earth_distance": sun_earth_distance(np.datetime64(time)),
    }


def _azimuth_to_sensor(
    document: Document, level: str, corners: NDArray[np.float64] | None, notes: list[str]
) -> float:
    """Direction from the ground to the station, degrees clockwise from north."""
    stated = document.needed("specific/sceneAzimuthAngle")
    course = None if corners is None else heading(corners)
    if course is None:
        along, decided = level == "L1B", f"by the level {level}, as the corners do not tell"
    else:
        across = abs((stated - course + 90.0) % 180.0 - 90.0)  # 0 along the track, 90 across
        if 30.0 < across < 60.0:
            notes.append(
                f"sceneAzimuthAngle {stated:g} is neither along nor across the course "
                f"{course:.1f}: taken as the direction to the station"
            )
            return stated
        along, decided = across <= 30.0, f"by the course {course:.1f} of the corners"
    to_sensor = (stated + (90.0 if along else 180.0)) % 360.0
    notes.append(
        f"sceneAzimuthAngle {stated:g} taken as {'the course' if along else 'across it'}, "
        f"{decided}; station assumed to look to port, so it stands at {to_sensor:.1f}"
    )
    return to_sensor


def _stated(document: Document, notes: list[str]) -> dict[str, Any]:
    """Aerosol and water vapour as the product states them; what is not credible is left out."""
    found = {}
    for name, (path, largest) in STATED.items():
        value = document.number(path)
        if value is not None and 0 < value <= largest:
            found[name] = value
        elif value is not None:
            notes.append(f"{name} {value:g} of the XML is not credible and not used")
    return found


def _response(
    document: Document, index: NDArray[np.intp], given: Site, notes: list[str]
) -> dict[str, Any]:
    """Measured spectral response of every band, where every band has one."""
    values = document.lists("band", "bandNumber", "response")
    points = document.lists("band", "bandNumber", "wavelengths")
    if values is None or points is None:
        return {}
    pairs = list(zip(values, points, strict=True))
    if any(v.size != p.size or v.size < 3 or (v < 0).any() or not v.any() for v, p in pairs):
        notes.append("the measured response of the bands is not whole: Gaussians are used")
        return {}
    dims, longest = ("band", "point"), max(v.size for v in values)

    def table(rows: list[NDArray[np.float64]]) -> NDArray[np.float64]:
        padded = [np.pad(row, (0, longest - row.size), constant_values=np.nan) for row in rows]
        return np.array([padded[band] for band in index])

    return {
        "response": (dims, table(values)),
        "response_wavelength": (dims, table([_vacuum(row, given) for row in points])),
    }


def _flags(
    product: Product,
    document: Document,
    raster: Raster,
    wavelength: NDArray[np.float64],
    index: NDArray[np.intp],
    notes: list[str],
) -> dict[str, Any]:
    """Saturation in the bands that are retrieved from, and the masks beside the image, lazy."""
    used = index[(wavelength >= RETRIEVED[0]) & (wavelength <= RETRIEVED[1])]
    for what, field in (("dead", "deadPixels"), ("suspicious", "suspiciousPixel")):
        counts = document.lists("band", "bandNumber", field)
        number = 0 if counts is None else sum(counts[band].sum() for band in used)
        if number:
            notes.append(f"{number:g} {what} detector pixels in {RETRIEVED[0]:g}-{RETRIEVED[1]:g}"
                         " nm, which the processor filled")  # fmt: skip
    masks = mask_flags(product, raster, notes)
    flags = saturation(raster, used, Flag.SATURATED, masks)
    return {"reader_flags": (("line", "sample"), flags)}
