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
from sifnet.scenes.desis import LAYOUT, SATURATED
from sifnet.scenes.formats.dlr import RADIANCE

PIXEL = 30.0  # m
TOP = 32000  # largest number that is not saturated; the smallest is -TOP
LINE_TIME = 4.3e-3  # s
BANDS_AT_ONCE = 16
ALTITUDE = 408e3  # m, of the station


@dataclass(frozen=True)
class Overpass:
    """When and how a scene was seen, and what its XML says of the air.

    acquisition_time: UTC. latitude, longitude: of the middle, degrees. ground_elevation: km.
    view_azimuth_angle: from the ground to the sensor, clockwise from north, as the sun's.
    water_vapour: g cm-2.
    """

    acquisition_time: datetime
    latitude: float
    longitude: float
    solar_zenith_angle: float
    solar_azimuth_angle: float
    view_zenith_angle: float
    view_azimuth_angle: float
    ground_elevation: float
    water_vapour: float | None = None
    aot_550: float | None = None

    @property
    def course(self) -> float:
        """Degrees clockwise from north, of the station, which looks to port."""
        return (self.view_azimuth_angle - 90) % 360

    def corners(self, shape: tuple[int, int], level: str) -> list[tuple[float, float]]:
        """Latitude and longitude of first line first, last line first, last last, first last.

        In L1C the image is the box around the scene, north up.
        """
        turn, size = math.radians(self.course), PIXEL
        if level == "L1C":
            size /= abs(math.cos(turn)) + abs(math.sin(turn))
        ahead = size * shape[0] / 2 * np.array([math.sin(turn), math.cos(turn)])
        right = size * shape[1] / 2 * np.array([math.cos(turn), -math.sin(turn)])
        geod, corners = Geod(ellps="WGS84"), []
        for forth, aside in ((-1, -1), (1, -1), (1, 1), (-1, 1)):
            east, north = forth * ahead + aside * right
            azimuth, distance = math.degrees(math.atan2(east, north)), math.hypot(east, north)
            longitude, latitude, _ = geod.fwd(self.longitude, self.latitude, azimuth, distance)
            corners.append((latitude, longitude))
        return corners

    def grid(self, shape: tuple[int, int]) -> dict[str, Any]:
        """CRS (UTM) and transform of an L1C image whose middle is that of the scene."""
        zone = int((self.longitude + 180) // 6) % 60 + 1
        crs = CRS.from_epsg((32600 if self.latitude >= 0 else 32700) + zone)
        (x,), (y,) = transform("EPSG:4326", crs, [self.longitude], [self.latitude])
        left = round(x - shape[1] * PIXEL / 2)
        upper = round(y + shape[0] * PIXEL / 2)
        return {"crs": crs, "transform": Affine(PIXEL, 0, left, 0, -PIXEL, upper)}

    def facts(self, lines: int, level: str) -> dict[str, object]:
        """What the XML has beside its polygon and its bands; None for what it leaves out."""
        start = self.acquisition_time
        end = start + timedelta(seconds=lines * LINE_TIME)
        return {
            "metadata/comment": "simulated with sifnet, not measured",
            "product/productType": level,
            "base/altitudeCoverage": ALTITUDE,
            "base/temporalCoverage/startTime": f"{start:%Y-%m-%dT%H:%M:%S.%fZ}",
            "base/temporalCoverage/endTime": f"{end:%Y-%m-%dT%H:%M:%S.%fZ}",
            "specific/sunZenithAngle": self.solar_zenith_angle,
            "specific/sunAzimuthAngle": self.solar_azimuth_angle,
            "specific/sceneIncidenceAngle": self.view_zenith_angle,
            # The course in L1B, across it to port in L1C.
            "specific/sceneAzimuthAngle": (self.course - (90 if level == "L1C" else 0)) % 360,
            "specific/pointingMirrorAngle": 0.0,
            "specific/backgroundValue": LAYOUT.fill,
            "specific/terrain/meanGroundElevation": 1e3 * self.ground_elevation,
            "specific/waterVapour/meanWaterVapour": self.water_vapour,
            "specific/meanAerosolOpticalThickness": self.aot_550,
        }


def write_desis(
    folder: str | Path,
    name: str | None,
    radiance: Any,
    wavelength: ArrayLike,
    fwhm: ArrayLike,
    *,
    level: str = "L1B",
    response: tuple[ArrayLike, ArrayLike] | None = None,
    quality: Mapping[str, Any] | None = None,
    zipped: bool = False,
    **overpass: Any,
) -> Path:
    """Write radiance as a product: ``NAME-SPECTRAL_IMAGE.tif``, ``NAME-METADATA.xml``.

    Gain and offset of every band use 16 bits over its own range, so that a step is 1/64000 of it.

    Args:
        name: DESIS-HSI-{L1B|L1C}-DT..., without ending; None makes one of time and level.
        radiance: (line, sample, band) mW m-2 nm-1 sr-1, sliced a few bands at a time. NaN is
            stored as fill, +inf as saturated.
        wavelength: (band,) nm in vacuum, ascending. fwhm: (band,) or scalar, nm.
        response: wavelength (band, point) nm, and response (band, point), NaN where a band has
            fewer points.
        quality: names of ``desis_quality.BANDS`` to (line, sample); writes QL_QUALITY-2.
        zipped: put the files into ``NAME.zip``, as it is downloaded.
        overpass: of :class:`Overpass`.

    Returns:
        The image, or the zip.

    Raises:
        SifnetError: the name is not one of the convention, or of another level.
    """
    seen = Overpass(**overpass)
    stem = name or f"DESIS-HSI-{level}-DT0000000001_001-{seen.acquisition_time:%Y%m%dT%H%M%S}-V0220"
    parts = re.fullmatch(LAYOUT.image, f"{stem}-SPECTRAL_IMAGE.tif", re.IGNORECASE)
    if parts is None or parts["level"] != level or level not in RADIANCE:
        raise SifnetError("no name of a DESIS product of that level", found=f"{stem}, {level}",
                          expected="DESIS-HSI-L1B-... or DESIS-HSI-L1C-...",
                          remedy="Correct the name or the level.")  # fmt: skip
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    shape = radiance.shape[:2]
    grid = seen.grid(shape) if level == "L1C" else {}
    image, metadata = folder / f"{stem}-SPECTRAL_IMAGE.tif", folder / f"{stem}-METADATA.xml"
    files = [image, metadata]
    gain, offset = _write_image(image, radiance, grid)
    table = {"wavelength": wavelength, "fwhm": fwhm, "gain": gain, "offset": offset}
    root = _document(seen, level, shape)
    _add_bands(root, table, response)
    ElementTree.indent(root)
    ElementTree.ElementTree(root).write(metadata, encoding="UTF-8", xml_declaration=True)
    if quality is not None:
        files.append(folder / f"{stem}-QL_QUALITY-2.tif")
        planes = desis_quality.stored(quality, shape)
        profile = dict(zip(("count", "height", "width"), planes.shape, strict=True)) | grid
        with _created(files[-1], dtype="uint8", compress="deflate", **profile) as layer:
            layer.write(planes)
    return _pack(folder / f"{stem}.zip", files) if zipped else image


def _write_image(
    file: Path, radiance: Any, grid: Mapping[str, Any]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Write int16, one plane a band, and return gain and offset of L = 10 (gain DN + offset)."""
    lines, samples, bands = radiance.shape
    gain, offset, fill = np.empty(bands), np.empty(bands), LAYOUT.fill
    size = {"count": bands, "height": lines, "width": samples, "bigtiff": "if_safer"}
    stored = {"dtype": "int16", "nodata": fill, "interleave": "band"}
    with _created(file, **size, **stored, **grid) as target:
        for start in range(0, bands, BANDS_AT_ONCE):
            block = np.asarray(radiance[:, :, start : start + BANDS_AT_ONCE], np.float32)
            for band, plane in enumerate(np.moveaxis(block, 2, 0), start):
                scaled = plane / np.float32(LAYOUT.unit)
                seen = scaled[np.isfinite(scaled)]
                low, high = (float(seen.min()), float(seen.max())) if seen.size else (0.0, 1.0)
                gain[band] = max(high - low, 1e-3) / (2 * TOP)
                offset[band] = (low + high) / 2
                numbers = np.rint((scaled - np.float32(offset[band])) / np.float32(gain[band]))
                numbers = np.nan_to_num(numbers, nan=fill, posinf=SATURATED, neginf=fill)
                target.write(numbers.astype(np.int16), band + 1)
    return gain, offset


@contextmanager
def _created(file: Path, **profile: Any) -> Iterator[rasterio.io.DatasetWriter]:
    """A new image; that L1B has no place on a map is as it should be."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.open(file, "w", driver="GTiff", **profile) as target:
            yield target


def _document(seen: Overpass, level: str, shape: tuple[int, int]) -> ElementTree.Element:
    """``hsi_doc`` without its bands."""
    root = ElementTree.Element("hsi_doc")
    for path, value in seen.facts(shape[0], level).items():
        if value is not None:
            _put(root, path, value)
    polygon = _at(root, "base/spatialCoverage/boundingPolygon")
    for number, (latitude, longitude) in enumerate(seen.corners(shape, level), 1):
        point = ElementTree.SubElement(polygon, "point")
        _put(point, "frame", f"point_{number}")
        _put(point, "latitude", latitude)
        _put(point, "longitude", longitude)
    return root


def _add_bands(
    root: ElementTree.Element,
    table: Mapping[str, ArrayLike],
    response: tuple[ArrayLike, ArrayLike] | None,
) -> None:
    """The bands' radiometry, and the other ``band`` elements that every real XML has."""
    spectral = _at(root, "specific/bandCharacterisation")
    geometric = _at(root, "specific/interiorOrientation")
    columns = np.broadcast_arrays(*(np.asarray(column, float) for column in table.values()))
    measured = None if response is None else np.stack([np.asarray(r, float) for r in response], -1)
    for number, row in enumerate(zip(*columns, strict=True)):
        band = ElementTree.SubElement(spectral, "band")
        _put(band, "bandNumber", number + 1)
        for field, value in zip(table, row, strict=True):
            _put(band, LAYOUT.fields[field], float(value))
        if measured is not None:
            points = measured[number][np.isfinite(measured[number]).all(axis=-1)]
            _put(band, "wavelengths", ",".join(f"{centre:.4f}" for centre, _ in points))
            _put(band, "response", ",".join(f"{share:.6g}" for _, share in points))
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
