"""EMIT products written by hand, independently of the package: every pixel known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

STEM = "EMIT_{}_001_20220811T130027_2222309_001"
LINES, SAMPLES = 5, 4
WAVELENGTH = 381.0 + 7.4 * np.arange(285)
OBS = 11
SUN, VIEW = (32.0, 150.0), (8.0, 100.0)  # zenith and azimuth, degrees


def known_radiance() -> NDArray[np.float64]:
    """(line, sample, band) uW cm-2 sr-1 nm-1; the first pixel is filled."""
    line, sample, band = np.ogrid[:LINES, :SAMPLES, : WAVELENGTH.size]
    light = 9.0 + 0.1 * line + 0.01 * sample - 0.001 * band
    light[0, 0] = -9999.0
    return light


def fake_emit(folder: Path, *, obs: bool = True, level: str = "L1B_RAD") -> Path:
    """Write a product, with its angles or without, and return the file of radiance."""
    folder.mkdir(parents=True, exist_ok=True)
    plane = np.ones((LINES, SAMPLES))
    path = folder / f"{STEM.format(level)}.nc"
    with h5py.File(path, "w") as file:
        file.attrs["time_coverage_start"] = "2022-08-11T13:00:27+0000"
        name = "radiance" if level == "L1B_RAD" else "reflectance"
        _put(file, name, known_radiance().astype(np.float32))
        file["sensor_band_parameters/wavelengths"] = WAVELENGTH.astype(np.float32)
        file["sensor_band_parameters/fwhm"] = np.full(WAVELENGTH.size, 8.5, np.float32)
        _location(file, plane)
    if obs:
        planes = np.zeros((LINES, SAMPLES, OBS))
        planes[..., 1:5] = VIEW[1], VIEW[0], SUN[1], SUN[0]
        planes[..., 10] = 1.0133
        planes[2, 1] = -9999.0
        with h5py.File(folder / f"{STEM.format('L1B_OBS')}.nc", "w") as file:
            _put(file, "obs", planes)
            _location(file, plane)
    return path


def _location(file: h5py.File, plane: NDArray[np.float64]) -> None:
    for name, value in (("lat", 39.5), ("lon", -4.2), ("elev", 640.0)):
        _put(file, f"location/{name}", value * plane)


def _put(file: h5py.File, name: str, values: NDArray[Any]) -> None:
    file[name] = values
    file[name].attrs["_FillValue"] = values.dtype.type(-9999.0)
