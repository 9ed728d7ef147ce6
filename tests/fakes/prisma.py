"""PRISMA products written by hand, independently of the package: every pixel known."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

STEM = "PRS_L{}_STD_OFFL_20210611T105000_20210611T105004_0001"
LINES, SAMPLES, BANDS = 5, 4, 66
WAVELENGTH = np.concatenate([np.zeros(3), 972.6 - 9.7 * np.arange(BANDS - 3)])  # nm, as stored
SCALE, OFFSET = 100.0, 0.5
SWATHS = "HDFEOS/SWATHS"


def known_numbers() -> NDArray[np.uint16]:
    """(line, sample, band in the order of the file)."""
    line, sample, band = np.ogrid[:LINES, :SAMPLES, :BANDS]
    return (9000 + 100 * line + 10 * sample + band).astype(np.uint16)


def known_radiance() -> NDArray[np.float64]:
    """(line, sample, band) mW m-2 nm-1 sr-1, the used bands by ascending wavelength."""
    return (OFFSET + known_numbers() / SCALE)[..., :2:-1]


def fake_prisma(folder: Path, *, level: str = "1") -> Path:
    """Write a product and return its file."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{STEM.format(level)}.he5"
    stored = np.transpose(known_numbers(), (1, 2, 0))
    width = np.where(WAVELENGTH > 0, 12.0, 0.0)
    with h5py.File(path, "w") as file:
        file.attrs.update(
            Product_StartTime=np.bytes_("2021-06-11T10:50:00.000000"),
            Product_StopTime=np.bytes_("2021-06-11T10:50:04.400000"),
            Sun_zenith_angle=np.float32(25.0), Sun_azimuth_angle=np.float32(140.0),
            ScaleFactor_Vnir=np.float32(SCALE), Offset_Vnir=np.float32(OFFSET),
            List_Cw_Vnir=WAVELENGTH.astype(np.float32), List_Fwhm_Vnir=width.astype(np.float32),
        )  # fmt: skip
        for swath, numbers in (("PRS_L1_HCO", stored), ("PRS_L1_HRC", np.zeros_like(stored))):
            data, where = f"{SWATHS}/{swath}/Data Fields/", f"{SWATHS}/{swath}/Geolocation Fields/"
            file[data + "VNIR_Cube"] = numbers
            file[data + "VNIR_PIXEL_SAT_ERR_MATRIX"] = _errors(stored.shape)
            place = np.ones((SAMPLES, LINES), np.float32)
            file[where + "Latitude_VNIR"], file[where + "Longitude_VNIR"] = 42.8 * place, 11 * place
        cloud, cover = np.zeros((SAMPLES, LINES), np.uint8), np.full((SAMPLES, LINES), 3, np.uint8)
        cloud[1, 2], cover[2, 3], cover[3, 3] = 1, 0, 1
        file[f"{SWATHS}/PRS_L1_HCO/Data Fields/Cloud_Mask"] = cloud
        file[f"{SWATHS}/PRS_L1_HCO/Data Fields/LandCover_Mask"] = cover
    return path


def _errors(shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """Saturated at 759 nm in one pixel, and at 400 nm, which is of no account."""
    errors = np.zeros(shape, np.uint8)
    errors[0, int(np.argmin(np.abs(WAVELENGTH - 759.0))), 1] = 2
    errors[0, BANDS - 1, 0] = 2
    return errors
