"""EnMAP (DLR): at-sensor radiance of the visible and near infrared, L1B or L1C, to inspect.

A folder, a zip or any file of a product ``ENMAP01-____{L1B|L1C}-DT<take>_<time>_...`` with
``-SPECTRAL_IMAGE_VNIR.TIF`` (L1B) or ``-SPECTRAL_IMAGE.TIF`` (L1C) and ``-METADATA.XML``.
L = 1000 (gain DN + offset) mW m-2 nm-1 sr-1; fill is ``backgroundValue``, 0 without one. Bands of
the other spectrometer, beyond 900 nm, are left out.

With three or four bands of 6.5 nm in 750-770 nm fluorescence cannot be told from reflectance: the
scene is for inspection and for NDVI, and every retrieval of it is refused with that reason
(``SENSOR.inspect_only``). Wavelengths are taken as vacuum, as the XML says nothing.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from sifnet.scenes.formats.dlr import Download, Layout, open_product
from sifnet.scenes.formats.hsi_doc import Document, is_product
from sifnet.scenes.scene import Scene
from sifnet.scenes.sensor import Sensor

__all__ = ["matches", "open_scene"]

SENSOR = Sensor(
    name="enmap",
    sampling=6.5,
    fwhm=6.5,
    shot_noise=0.05,
    since=2022,
    space=True,
    inspect_only="bands every 6.5 to 8 nm put two or three into the O2 A band, too few to tell "
    "fluorescence from reflectance",
)
NAME = r"ENMAP\d\d-_*L\w\w-"
VNIR_BANDS = 91  # where the XML does not say
EARTH_RADIUS, ORBIT = 6371.0, 653.0  # km


def matches(path: Path) -> bool:
    """Whether the path is an EnMAP file or zip, or a folder that holds a product."""
    return is_product(path, LAYOUT.image, NAME)


def open_scene(path: Path, sensor: Sensor = SENSOR, **site: Any) -> Scene:
    """Open an L1B or L1C product; see :func:`sifnet.scenes.formats.dlr.open_product`."""
    return open_product(path, LAYOUT, sensor, site)


def _view_zenith(document: Document) -> float:
    """At the ground: as stated, or from the tilt, sin(zenith) = (1 + h / R) sin(tilt)."""
    stated = document.number("specific/viewingZenithAngle/center")
    if stated is not None:
        return abs(stated)
    across = math.radians(document.needed("specific/acrossOffNadirAngle/center"))
    along = math.radians(document.number("specific/alongOffNadirAngle/center") or 0.0)
    tilt = math.atan(math.hypot(math.tan(across), math.tan(along)))
    return math.degrees(math.asin((1 + ORBIT / EARTH_RADIUS) * math.sin(tilt)))


def _azimuth_to_sensor(download: Download) -> float:
    element = "viewingAzimuthAngle"
    azimuth = download.document.number(f"specific/{element}/center")
    if azimuth is None:
        element = "sceneAzimuthAngle"
        azimuth = download.document.needed(f"specific/{element}/center")
    download.notes.append(f"{element} {azimuth:g} taken as the direction to the sensor")
    return azimuth


LAYOUT = Layout(
    title="EnMAP",
    image=r"(?P<stem>ENMAP\d\d-_*(?P<level>L\w\w)-.+)-SPECTRAL_IMAGE(_VNIR)?(_COG)?\.(geo)?tiff?",
    band="bandID",
    fields={
        "number": "number",
        "wavelength": "wavelengthCenterOfBand",
        "fwhm": "FWHMOfBand",
        "gain": "GainOfBand",
        "offset": "OffsetOfBand",
    },
    unit=1000.0,  # of W m-2 nm-1 sr-1
    stored=("int16", "uint16"),
    fill=0,
    elevation="specific/meanGroundElevation",
    sun_azimuth="specific/sunAzimuthAngle/center",
    stated={"aot_550": ("qualityFlag/sceneAOT", 1e3), "water_vapour": ("qualityFlag/sceneWV", 1e3)},
    solar_zenith=lambda document: 90.0 - document.needed("specific/sunElevationAngle/center"),
    view_zenith=_view_zenith,
    azimuth_to_sensor=_azimuth_to_sensor,
    first_bands=lambda document: int(document.number("product/image/vnir/channels") or VNIR_BANDS),
)
