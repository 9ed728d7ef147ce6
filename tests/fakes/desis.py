"""DESIS products written by hand, independently of the package: every pixel known."""

from __future__ import annotations

import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.errors import NotGeoreferencedWarning
from rasterio.transform import Affine

TAKE = "DT0488344520_005-20200818T141910"
LINES, SAMPLES = 7, 6
WAVELENGTH = np.round(np.arange(640.0, 812.0, 4.0), 3)
COURSE = 36.0  # degrees clockwise from north
CENTRE = (40.0, -88.0)
UTM = {"crs": "EPSG:32616", "transform": Affine(30.0, 0, 400000, 0, -30.0, 4430000)}
LAYER = ("shadow", "land", "snow", "haze_land", "haze_water", "cloud_land", "cloud_water", "water")


def known_numbers(bands: int = WAVELENGTH.size) -> NDArray[np.int16]:
    """(band, line, sample): 8000 + 100 line + 10 sample + band."""
    band, line, sample = np.ogrid[:bands, :LINES, :SAMPLES]
    return (8000 + 100 * line + 10 * sample + band).astype(np.int16)


def gains(bands: int = WAVELENGTH.size) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Another gain and offset for every band, mW cm-2 um-1 sr-1."""
    return 1e-3 + 1e-6 * np.arange(bands), 0.5 + 0.01 * np.arange(bands)


def known_radiance() -> NDArray[np.float64]:
    """(line, sample, band), mW m-2 nm-1 sr-1: ten times the product's own unit."""
    gain, offset = gains()
    return 10 * (np.moveaxis(known_numbers(), 0, 2) * gain + offset)


def fake_desis(
    folder: Path,
    *,
    level: str = "L1B",
    image: str = "-SPECTRAL_IMAGE.tif",
    xml: str = "-METADATA.xml",
    numbers: NDArray[Any] | None = None,
    order: Any = None,
    bands: dict[str, Any] | None = None,
    facts: dict[str, Any] | None = None,
    layer: NDArray[Any] | None = None,
    zipped: bool = False,
    profile: dict[str, Any] | None = None,
) -> Path:
    """Write a product and return its image, or its zip.

    Args:
        order: in which the XML lists the bands. bands: replaces columns of the table of bands,
            None removes one. facts: replaces elements below ``specific``, None removes one.
        layer: (10, line, sample) of QL_QUALITY-2.
    """
    folder.mkdir(parents=True, exist_ok=True)
    stem = f"DESIS-HSI-{level}-{TAKE}-V0210"
    grid = {} if level == "L1B" else UTM
    stored = known_numbers() if numbers is None else numbers
    files = {folder / f"{stem}{image}": (stored, {"nodata": -32768, **(profile or {})})}
    if layer is not None:
        files[folder / f"DESIS-HSI-L2A-{TAKE}-V0210-QL_QUALITY-2.tif"] = (layer, {})
    for file, (planes, options) in files.items():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            with rasterio.open(
                file, "w", driver="GTiff", dtype=planes.dtype, count=planes.shape[0],
                height=planes.shape[1], width=planes.shape[2], **grid, **options,
            ) as target:  # fmt: skip
                target.write(planes)
    target = folder / f"{stem}{xml}"
    target.write_text(document(level, order, bands or {}, facts or {}))
    if not zipped:
        return folder / f"{stem}{image}"
    return pack(folder / f"{stem}.zip", [*files, target])


def pack(target: Path, files: list[Path]) -> Path:
    """Move files into a zip."""
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in files:
            archive.write(file, file.name)
            file.unlink()
    return target


def document(level: str, order: Any, bands: dict[str, Any], facts: dict[str, Any]) -> str:
    """The XML as text, with a second kind of ``band`` as the real one has it."""
    gain, offset = gains()
    count = WAVELENGTH.size
    table: dict[str, Any] = {
        "bandNumber": np.arange(1, count + 1),
        "wavelengthCenterOfBand": WAVELENGTH,
        "wavelengthWidthOfBand": np.full(count, 3.5),
        "gainOfBand": gain,
        "offsetOfBand": offset,
        "deadPixels": np.zeros(count, int),
        "suspiciousPixel": np.zeros(count, int),
        **bands,
    }
    rows = [
        "".join(f"<{k}>{v[band]}</{k}>" for k, v in table.items() if v is not None)
        for band in (range(count) if order is None else order)
    ]
    specific: dict[str, Any] = {
        "sunZenithAngle": 30.0,
        "sunAzimuthAngle": 150.0,
        "sceneIncidenceAngle": 8.0,
        "sceneAzimuthAngle": COURSE if level == "L1B" else (COURSE - 90) % 360,
        "pointingMirrorAngle": 0.1,
        "backgroundValue": -32768,
        "terrain": "<meanGroundElevation>212.0</meanGroundElevation>",
        "waterVapour": "<meanWaterVapour>2.4</meanWaterVapour>",
        "meanAerosolOpticalThickness": 0.21,
        **facts,
    }
    told = "".join(f"<{k}>{v}</{k}>" for k, v in specific.items() if v is not None)
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n<hsi_doc><metadata/><product/><base>'
        "<altitudeCoverage>410000</altitudeCoverage><temporalCoverage>"
        "<startTime>2020-08-18T14:19:10.250Z</startTime>"
        "<endTime>2020-08-18T14:19:14.650Z</endTime></temporalCoverage>"
        f"<spatialCoverage><boundingPolygon>{_points()}</boundingPolygon></spatialCoverage>"
        f"</base><specific><bandCharacterisation><band>{'</band><band>'.join(rows)}</band>"
        "</bandCharacterisation><interiorOrientation><band><bandNumber>1</bandNumber></band>"
        f"</interiorOrientation>{told}</specific></hsi_doc>"
    )


def _points() -> str:
    """Corners of a square of 0.2 degrees to either side, flown along COURSE."""
    turn, text = np.radians(COURSE), ""
    for number, (ahead, right) in enumerate(((-1, -1), (1, -1), (1, 1), (-1, 1)), 1):
        north = 0.1 * (ahead * np.cos(turn) - right * np.sin(turn))
        east = 0.1 * (ahead * np.sin(turn) + right * np.cos(turn))
        text += (
            f"<point><frame>point_{number}</frame><latitude>{CENTRE[0] + north}</latitude>"
            f"<longitude>{CENTRE[1] + east / np.cos(np.radians(CENTRE[0]))}</longitude></point>"
        )
    return text
