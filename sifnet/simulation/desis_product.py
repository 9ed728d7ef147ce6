"""DESIS products as they are downloaded, written from radiance: GeoTIFF, XML, masks, zip."""

from __future__ import annotations

import math
import re
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import rasterio
from numpy.typing import ArrayLike, NDArray
from pyproj import Geod
from rasterio.crs import CRS
from rasterio.errors import NotGeoreferencedWarning
from rasterio.transform import Affine
from rasterio.warp import transform

from sifnet.errors import SifnetError
from sifnet.scenes import desis_quality
from sifnet.scenes.desis import FILL, IMAGE, PER_STATED_UNIT

PIXEL = 30.0  # m
TOP = 32000  # largest number that is not saturated; the smallest is -TOP
SATURATED = 32767
LINE_TIME = 4.3e-3  # s
BANDS_AT_ONCE = 16
ALTITUDE = 408e3  # m, of the station


@dataclass(frozen=True)
class _Place:
    """Where a scene lies: its middle, its course, and its size in metres."""

    latitude: float
    longitude: float
    course: float  # degrees clockwise from north, of the station
    length: float
    width: float

    def corners(self, level: str) -> list[tuple[float, float]]:
        """Latitude and longitude of first line first, last line first, last last, first last.

        In L1C the image is the box around the scene, north up.
        """
        turn, shrink = math.radians(self.course), 1.0
        if level == "L1C":
            shrink = 1 / (abs(math.cos(turn)) + abs(math.sin(turn)))
        ahead = shrink * self.length / 2 * np.array([math.sin(turn), math.cos(turn)])
        right = shrink * self.width / 2 * np.array([math.cos(turn), -math.sin(turn)])
        geod, found = Geod(ellps="WGS84"), []
        for forth, aside in ((-1, -1), (1, -1), (1, 1), (-1, 1)):
            east, north = forth * ahead + aside * right
            azimuth, distance = math.degrees(math.atan2(east, north)), math.hypot(east, north)
            longitude, latitude, _ = geod.fwd(self.longitude, self.latitude, azimuth, distance)
            found.append((latitude, longitude))
        return found

    def grid(self, shape: tuple[int, int]) -> dict[str, Any]:
        """CRS (UTM) and transform of an L1C image whose middle is that of the scene."""
        zone = int((self.longitude + 180) // 6) % 60 + 1
        crs = CRS.from_epsg((32600 if self.latitude >= 0 else 32700) + zone)
        (x,), (y,) = transform("EPSG:4326", crs, [self.longitude], [self.latitude])
        left = round(x - shape[1] * PIXEL / 2)
        upper = round(y + shape[0] * PIXEL / 2)
        return {"crs": crs, "transform": Affine(PIXEL, 0, left, 0, -PIXEL, upper)}


def write_desis(
    folder: str | Path,
    name: str | None,
    radiance: Any,
    wavelength: ArrayLike,
    fwhm: ArrayLike,
    *,
    level: str = "L1B",
    acquisition_time: datetime,
    latitude: float,
    longitude: float,
    solar_zenith_angle: float,
    solar_azimuth_angle: float,
    view_zenith_angle: float,
    view_azimuth_angle: float,
    ground_elevation: float,
    water_vapour: float | None = None,
    aot_550: float | None = None,
    response: tuple[ArrayLike, ArrayLike] | None = None,
    quality: Mapping[str, Any] | None = None,
    zipped: bool = False,
) -> Path:
    """Write radiance as a product: ``NAME-SPECTRAL_IMAGE.tif``, ``NAME-METADATA.xml``.

    Gain and offset of every band use 16 bits over its own range, so that a step is 1/64000 of it.

    Args:
        name: DESIS-HSI-{L1B|L1C}-DT..., without ending; None makes one of time and level.
        radiance: (line, sample, band) mW m-2 nm-1 sr-1, sliced a few bands at a time. NaN is
            stored as fill, +inf as saturated.
        wavelength: (band,) nm in vacuum, ascending. fwhm: (band,) or scalar, nm.
        acquisition_time: UTC. latitude, longitude: of the middle, degrees.
        view_azimuth_angle: from the ground to the sensor, clockwise from north, as the sun's.
        ground_elevation: km. water_vapour: g cm-2.
        response: wavelength (band, point) nm, and response (band, point), NaN where a band has
            fewer points.
        quality: names of ``desis_quality.BANDS`` to (line, sample); writes QL_QUALITY-2.
        zipped: put the files into ``NAME.zip``, as it is downloaded.

    Returns:
        The image, or the zip.

    Raises:
        SifnetError: the name is not one of the convention, or of another level.
    """
    stem = name or f"DESIS-HSI-{level}-DT0000000001_001-{acquisition_time:%Y%m%dT%H%M%S}-V0220"
    parts = re.fullmatch(IMAGE, f"{stem}-SPECTRAL_IMAGE.tif", re.IGNORECASE)
    if parts is None or parts["level"] != level or level not in ("L1B", "L1C"):
        raise SifnetError("no name of a DESIS product of that level", found=f"{stem}, {level}",
                          expected="DESIS-HSI-L1B-... or DESIS-HSI-L1C-...",
                          remedy="Correct the name or the level.")  # fmt: skip
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    lines, samples, _ = radiance.shape
    place = _Place(
        latitude, longitude, (view_azimuth_angle - 90) % 360, lines * PIXEL, samples * PIXEL
    )
    grid = place.grid((lines, samples)) if level == "L1C" else {}
    image = folder / f"{stem}-SPECTRAL_IMAGE.tif"
    gain, offset = _write_image(image, radiance, grid)
    centre = np.asarray(wavelength, float)
    table = {
        "wavelengthCenterOfBand": centre,
        "wavelengthWidthOfBand": np.broadcast_to(np.asarray(fwhm, float), centre.shape),
        "gainOfBand": gain,
        "offsetOfBand": offset,
    }
    across = (place.course - 90) % 360  # to port, as L1C gives it
    facts = {
        "sunZenithAngle": solar_zenith_angle,
        "sunAzimuthAngle": solar_azimuth_angle,
        "sceneIncidenceAngle": view_zenith_angle,
        "sceneAzimuthAngle": place.course if level == "L1B" else across,
        "pointingMirrorAngle": 0.0,
        "backgroundValue": FILL,
        "terrain/meanGroundElevation": 1e3 * ground_elevation,
        "waterVapour/meanWaterVapour": water_vapour,
        "meanAerosolOpticalThickness": aot_550,
    }
    files = [image, folder / f"{stem}-METADATA.xml"]
    root = _document(level, acquisition_time, lines, place.corners(level), facts)
    _add_bands(root, table, response)
    ElementTree.indent(root)
    ElementTree.ElementTree(root).write(files[1], encoding="UTF-8", xml_declaration=True)
    if quality is not None:
        files.append(folder / f"{stem}-QL_QUALITY-2.tif")
        _write_layer(files[2], desis_quality.stored(quality, (lines, samples)), grid)
    return _pack(folder / f"{stem}.zip", files) if zipped else image


def _write_image(
    file: Path, radiance: Any, grid: Mapping[str, Any]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Write int16, one plane a band, and return gain and offset of L = 10 (gain DN + offset)."""
    lines, samples, bands = radiance.shape
    gain, offset = np.empty(bands), np.empty(bands)
    profile = {
        "driver": "GTiff",
        "dtype": "int16",
        "nodata": FILL,
        "interleave": "band",
        "width": samples,
        "height": lines,
        "count": bands,
        "bigtiff": "if_safer",
    }
    with _created(file, **profile, **grid) as target:
        for start in range(0, bands, BANDS_AT_ONCE):
            block = np.asarray(radiance[:, :, start : start + BANDS_AT_ONCE], np.float32)
            for band, plane in enumerate(np.moveaxis(block, 2, 0), start):
                stated = plane / np.float32(PER_STATED_UNIT)
                seen = stated[np.isfinite(stated)]
                low, high = (float(seen.min()), float(seen.max())) if seen.size else (0.0, 1.0)
                gain[band] = max(high - low, 1e-3) / (2 * TOP)
                offset[band] = (low + high) / 2
                numbers = np.rint((stated - np.float32(offset[band])) / np.float32(gain[band]))
                numbers = np.nan_to_num(numbers, nan=FILL, posinf=SATURATED, neginf=FILL)
                target.write(numbers.astype(np.int16), band + 1)
    return gain, offset


def _write_layer(file: Path, planes: NDArray[np.uint8], grid: Mapping[str, Any]) -> None:
    profile = {
        "driver": "GTiff",
        "dtype": "uint8",
        "count": len(planes),
        "height": planes.shape[1],
        "width": planes.shape[2],
        "compress": "deflate",
    }
    with _created(file, **profile, **grid) as target:
        target.write(planes)


@contextmanager
def _created(file: Path, **profile: Any) -> Iterator[rasterio.io.DatasetWriter]:
    """A new image; that L1B has no place on a map is as it should be."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.open(file, "w", **profile) as target:
            yield target


def _document(
    level: str,
    time: datetime,
    lines: int,
    corners: list[tuple[float, float]],
    facts: Mapping[str, float | None],
) -> ElementTree.Element:
    """``hsi_doc`` without its bands."""
    root = ElementTree.Element("hsi_doc")
    _put(root, "metadata/comment", "simulated with sifnet, not measured")
    _put(root, "product/productType", level)
    _put(root, "base/altitudeCoverage", ALTITUDE)
    end = time + timedelta(seconds=lines * LINE_TIME)
    for key, moment in (("startTime", time), ("endTime", end)):
        _put(root, f"base/temporalCoverage/{key}", f"{moment:%Y-%m-%dT%H:%M:%S.%fZ}")
    polygon = _at(root, "base/spatialCoverage/boundingPolygon")
    for number, (latitude, longitude) in enumerate(corners, 1):
        point = ElementTree.SubElement(polygon, "point")
        _put(point, "frame", f"point_{number}")
        _put(point, "latitude", latitude)
        _put(point, "longitude", longitude)
    for path, value in facts.items():
        if value is not None:
            _put(root, f"specific/{path}", value)
    return root


def _add_bands(
    root: ElementTree.Element,
    table: Mapping[str, NDArray[np.float64]],
    response: tuple[ArrayLike, ArrayLike] | None,
) -> None:
    """The bands' radiometry, and the other ``band`` elements that every real XML has."""
    spectral = _at(root, "specific/bandCharacterisation")
    geometric = _at(root, "specific/interiorOrientation")
    points, values = (None, None) if response is None else (np.asarray(r, float) for r in response)
    for number in range(len(table["gainOfBand"])):
        band = ElementTree.SubElement(spectral, "band")
        _put(band, "bandNumber", number + 1)
        for field, column in table.items():
            _put(band, field, float(column[number]))
        if points is not None and values is not None:
            known = np.isfinite(points[number]) & np.isfinite(values[number])
            for field, row in (("wavelengths", points), ("response", values)):
                _put(band, field, ",".join(f"{value:.6g}" if field == "response" else f"{value:.4f}"
                                           for value in row[number][known]))  # fmt: skip
        _put(band, "deadPixels", 0)
        _put(band, "suspiciousPixel", 0)
        _put(ElementTree.SubElement(geometric, "band"), "bandNumber", number + 1)


def _at(element: ElementTree.Element, path: str) -> ElementTree.Element:
    for tag in path.split("/"):
        child = element.find(tag)
        element = ElementTree.SubElement(element, tag) if child is None else child
    return element


def _put(element: ElementTree.Element, path: str, value: object) -> None:
    _at(element, path).text = str(value)


def _pack(target: Path, files: list[Path]) -> Path:
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for file in files:
            archive.write(file, file.name)
    for file in files:
        file.unlink()
    return target
