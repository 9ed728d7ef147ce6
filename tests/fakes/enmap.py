"""EnMAP products written by hand, independently of the package: every pixel known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.transform import Affine

STEM = "ENMAP01-____{}-DT0000001867_20220724T104526Z_008_V010302_20230628T165614Z"
LINES, SAMPLES, VNIR, SWIR = 5, 4, 12, 3
# The two spectrometers overlap, so that the wavelengths of the whole table are not ascending.
WAVELENGTH = np.concatenate([700.0 + 6.5 * np.arange(VNIR), [765.0, 902.0, 911.0]])
GAIN = 1e-5 + 1e-8 * np.arange(VNIR + SWIR)
OFFSET = -1e-4 * np.ones(VNIR + SWIR)
MAP = {"crs": "EPSG:32633", "transform": Affine(30.0, 0, 370000, 0, -30.0, 5810000)}
FIT = {"crs": "EPSG:4326", "transform": Affine(4e-4, 0, 13.0, 0, -3e-4, 52.5)}  # of L1B's corners


def known_numbers(bands: int) -> NDArray[np.int16]:
    """(band, line, sample): 9000 + 100 line + 10 sample + band; the first pixel is fill, 0."""
    band, line, sample = np.ogrid[:bands, :LINES, :SAMPLES]
    numbers = (9000 + 100 * line + 10 * sample + band).astype(np.int16)
    numbers[:, 0, 0] = 0
    return numbers


def known_radiance() -> NDArray[np.float64]:
    """(line, sample, band), mW m-2 nm-1 sr-1, of the first spectrometer."""
    numbers = np.moveaxis(known_numbers(VNIR), 0, 2).astype(float)
    numbers[0, 0] = np.nan
    return 1000 * (numbers * GAIN[:VNIR] + OFFSET[:VNIR])


def fake_enmap(folder: Path, *, level: str = "L1B", facts: dict[str, Any] | None = None) -> Path:
    """Write a product and return its image; ``facts`` adds elements below ``specific``."""
    folder.mkdir(parents=True, exist_ok=True)
    stem = STEM.format(level)
    images = {"_VNIR": VNIR, "_SWIR": SWIR} if level == "L1B" else {"": VNIR + SWIR}
    for ending, bands in images.items():
        with rasterio.open(
            folder / f"{stem}-SPECTRAL_IMAGE{ending}.TIF", "w", driver="GTiff", dtype="int16",
            count=bands, height=LINES, width=SAMPLES, **(FIT if level == "L1B" else MAP),
        ) as target:  # fmt: skip
            target.write(known_numbers(bands))
    (folder / f"{stem}-METADATA.XML").write_text(_document(facts or {}))
    return folder / f"{stem}-SPECTRAL_IMAGE{next(iter(images))}.TIF"


def _document(facts: dict[str, Any]) -> str:
    bands = "".join(
        f'<bandID number="{number}"><wavelengthCenterOfBand>{wavelength}</wavelengthCenterOfBand>'
        f"<FWHMOfBand>6.5</FWHMOfBand><GainOfBand>{gain}</GainOfBand>"
        f"<OffsetOfBand>{offset}</OffsetOfBand></bandID>"
        for number, (wavelength, gain, offset) in enumerate(
            zip(WAVELENGTH, GAIN, OFFSET, strict=True), 1
        )
    )
    corners = {"upper_left": (52.5, 13.0), "upper_right": (52.48, 13.4),
               "lower_right": (52.2, 13.35), "lower_left": (52.22, 12.95),
               "center": (52.35, 13.18)}  # fmt: skip
    points = "".join(
        f"<point><frame>{frame}</frame><latitude>{latitude}</latitude>"
        f"<longitude>{longitude}</longitude></point>"
        for frame, (latitude, longitude) in corners.items()
    )
    specific: dict[str, Any] = {
        "backgroundValue": 0,
        "sunElevationAngle": "<upper_left>57.9</upper_left><center>58.0</center>",
        "sunAzimuthAngle": "<upper_left>151.9</upper_left><center>152.0</center>",
        "acrossOffNadirAngle": "<center>-10.0</center>",
        "sceneAzimuthAngle": "<center>102.0</center>",
        "meanGroundElevation": 40,
        "qualityFlag": "<sceneAOT>180</sceneAOT><sceneWV>2100</sceneWV>",
        **facts,
    }
    told = "".join(f"<{k}>{v}</{k}>" for k, v in specific.items() if v is not None)
    return (
        "<level_X xmlns:xsi='http://www.w3.org/2001/XMLSchema-instance'><base><temporalCoverage>"
        "<startTime>2022-07-24T10:45:26.012Z</startTime></temporalCoverage><spatialCoverage>"
        f"<boundingPolygon>{points}</boundingPolygon></spatialCoverage></base><product><image>"
        f"<vnir><channels>{VNIR}</channels></vnir></image></product><specific>"
        f"<bandCharacterisation>{bands}</bandCharacterisation>{told}</specific></level_X>"
    )
