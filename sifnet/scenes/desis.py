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
from sifnet.scenes.footprint import heading
from sifnet.scenes.formats.dlr import Download, Layout, open_product
from sifnet.scenes.formats.geotiff import Stored
from sifnet.scenes.formats.hsi_doc import is_product
from sifnet.scenes.formats.lazy import Saturation
from sifnet.scenes.scene import Flag, Scene
from sifnet.scenes.sensor import Sensor

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
    since=2018,
    space=True,
    predicts_shape=True,
    simulated_as="orbit",
    start_model="model_desis.ckpt",
)
NAME = r"DESIS-HSI-L\w\w-"
SATURATED = 32767  # the largest int16
RETRIEVED = (743.0, 784.0)  # nm, where dead detectors and saturation matter


def matches(path: Path) -> bool:
    """Whether the path is a DESIS file or zip, or a folder that holds a product."""
    return is_product(path, LAYOUT.image, NAME)


def open_scene(path: Path, sensor: Sensor = SENSOR, **site: Any) -> Scene:
    """Open an L1B or L1C product; see :func:`sifnet.scenes.formats.dlr.open_product`."""
    return open_product(path, LAYOUT, sensor, site)


def _azimuth_to_sensor(download: Download) -> float:
    """Direction from the ground to the station, degrees clockwise from north."""
    stated = download.document.needed("specific/sceneAzimuthAngle")
    corners, level, notes = download.document.corners(), download.product.level, download.notes
    course = None if corners is None else heading(corners[:2].mean(0), corners[2:].mean(0))
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


def _extra(download: Download) -> dict[str, Any]:
    return {**_response(download), "reader_flags": (("line", "sample"), _flags(download))}


def _response(download: Download) -> dict[str, Any]:
    """Measured spectral response of every band, where every band has one."""
    values = download.document.lists("band", "bandNumber", "response")
    points = download.document.lists("band", "bandNumber", "wavelengths")
    if values is None or points is None:
        return {}
    pairs = list(zip(values, points, strict=True))
    if any(v.size != p.size or v.size < 3 or (v < 0).any() or not v.any() for v, p in pairs):
        download.notes.append("the measured response of the bands is not whole: Gaussians are used")
        return {}
    longest = max(v.size for v in values)

    def table(rows: list[NDArray[np.float64]]) -> tuple[tuple[str, str], NDArray[np.float64]]:
        padded = [np.pad(row, (0, longest - row.size), constant_values=np.nan) for row in rows]
        return ("band", "point"), np.array(padded)[download.index]

    centres = [download.in_vacuum(row) for row in points]
    return {"response": table(values), "response_wavelength": table(centres)}


def _flags(download: Download) -> Any:
    """Saturation in the bands that are retrieved from, and the masks beside the image, lazy."""
    wavelength, notes = download.table["wavelength"], download.notes
    used = download.index[(wavelength >= RETRIEVED[0]) & (wavelength <= RETRIEVED[1])]
    for what, field in (("dead", "deadPixels"), ("suspicious", "suspiciousPixel")):
        counts = download.document.lists("band", "bandNumber", field)
        number = 0 if counts is None else sum(counts[band].sum() for band in used)
        if number:
            notes.append(
                f"{number:g} {what} detector pixels in {RETRIEVED[0]:g}-{RETRIEVED[1]:g} nm, "
                "which the processor filled"
            )
    masks = mask_flags(download.product, download.raster, notes)
    numbers = Stored(download.raster, used)
    return Saturation(numbers, SATURATED, Flag.SATURATED, masks).lazy()


LAYOUT = Layout(
    title="DESIS",
    image=r"(?P<stem>DESIS-HSI-(?P<level>L\w\w)-.+)-SPECTRAL_IMAGE(_COG)?\.tiff?",
    band="band",
    fields={
        "number": "bandNumber",
        "wavelength": "wavelengthCenterOfBand",
        "fwhm": "wavelengthWidthOfBand",
        "gain": "gainOfBand",
        "offset": "offsetOfBand",
    },
    unit=10.0,  # of mW cm-2 um-1 sr-1
    stored=("int16",),
    fill=-32768,
    elevation="specific/terrain/meanGroundElevation",
    sun_azimuth="specific/sunAzimuthAngle",
    stated={
        "aot_550": ("meanAerosolOpticalThickness", 1.0),
        "water_vapour": ("waterVapour/meanWaterVapour", 1.0),
    },
    solar_zenith=lambda document: document.needed("specific/sunZenithAngle"),
    view_zenith=lambda document: abs(document.needed("specific/sceneIncidenceAngle")),
    azimuth_to_sensor=_azimuth_to_sensor,
    extra=_extra,
    instead=" (this one's quality layer can serve as labels)",
)
