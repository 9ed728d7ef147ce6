"""FLEX products written by hand, independently of the package: every pixel known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

LINES, SAMPLES = 7, 6
WAVELENGTH = np.concatenate([[655.0, 670.0], np.arange(748.0, 776.0, 0.5)])
SMILE = 0.01 * np.linspace(-1, 1, SAMPLES)
L1C = "FLX_L1C_FLXSYN_20230712T100000_20230712T100232_20260311T160418_0158_100_064_0021_01"
L1B = "FLX_L1B_OBS____20230712T100000_20230712T100232_20260311T160418_0158_100_064_0021_01"
MIDDLE = 742_471_200_000_000  # microseconds from 2000-01-01 to 2023-07-12T10:00
LEVELS = np.array([1000.0, 850.0, 700.0, 500.0, 300.0, 200.0, 100.0, 50.0])
ALONG, ACROSS = "number_of_along_track_samples", "number_of_across_track_samples"


def known_radiance(bands: int = WAVELENGTH.size) -> NDArray[np.float64]:
    """(line, sample, band) mW m-2 nm-1 sr-1."""
    line, sample, band = np.ogrid[:LINES, :SAMPLES, :bands]
    return 60.0 + line + 0.1 * sample + 0.01 * band


def classes() -> NDArray[np.int16]:
    """Vegetation, and in the first line one of each other class that is flagged."""
    numbers = np.full((LINES, SAMPLES), 2, np.int16)
    numbers[0, :5] = (0, 3, 4, 5, 6)
    return numbers


def fake_flex(
    folder: Path,
    *,
    order: tuple[int, int, int] = (0, 1, 2),
    named: bool = True,
    without: tuple[str, ...] = (),
    changed: dict[str, NDArray[Any]] | None = None,
    attributes: dict[str, dict[str, Any]] | None = None,
) -> Path:
    """Write an L1C product and return its folder.

    Args:
        order: axes of cubes, of (line, sample, channel). named: whether axes have names.
        without: variables that are left out. changed: replaces some, by their names.
        attributes: further, of variables.
    """
    product = folder / L1C
    product.mkdir(parents=True, exist_ok=True)
    plane, cube = np.ones((LINES, SAMPLES)), known_radiance()
    geometry, info = "Annotation_data/Geometry/", "Annotation_data/Instrumental_information/"
    weather = "Annotation_data/Meteorology/"
    each = np.stack([plane, 2 * plane, 3 * plane, 4 * plane], -1)
    profile = 250.0 + 3.0 * np.arange(LEVELS.size) * np.ones((LINES, SAMPLES, 1))
    variables: dict[str, tuple[NDArray[Any], str]] = {
        "Measurement_data/floris_toa_radiance": (cube, "lsc"),
        "Measurement_data/floris_toa_radiance_noise_uncertainty": (0.02 * np.sqrt(cube), "lsc"),
        geometry + "latitude": (45.0 * plane, "ls"),
        geometry + "longitude": (3.0 * plane, "ls"),
        geometry + "surface_elevation": (200.0 * plane, "ls"),
        geometry + "sun_zenith_angle": (30.0 * each, "lsi"),
        geometry + "viewing_zenith_angle": (4.0 * each, "lsi"),
        geometry + "relative_azimuth_angle": (-50.0 * each, "lsi"),
        info + "floris_spectral_channel_central_wavelengths": (WAVELENGTH + SMILE[:, None], "sc"),
        info + "floris_spectral_channel_fwhm": (np.full((SAMPLES, WAVELENGTH.size), 0.6), "sc"),
        weather + "aerosol_optical_thickness": (plane[..., None] * [0.3, 0.25, 0.2], "lsa"),
        weather + "total_columnar_water_vapor": (2.2 * plane, "ls"),
        weather + "temperature_profile": (profile, "lsp"),
        weather + "tie_pressure_levels": (LEVELS, "p"),
        "Annotation_data/Ancillary_data/pixel_classification": (classes(), "ls"),
        "Annotation_data/Quality/quality_flags": (np.zeros((LINES, SAMPLES), np.int16), "ls"),
        "Annotation_data/Datation/time_stamp": (MIDDLE + 44_000 * np.arange(LINES), "l"),
    }
    with h5py.File(product / "L1C.MO.01.nc", "w") as file:
        names = {"l": ALONG, "s": ACROSS, "c": "channels", "i": "instruments", "a": "aerosol",
                 "p": "levels"}  # fmt: skip
        for path, (values, axes) in variables.items():
            name = path.rsplit("/", 1)[-1]
            if name in without:
                continue
            values = (changed or {}).get(name, values)
            if len(axes) == 3:
                values = np.transpose(values, order)
                axes = "".join(axes[i] for i in order)
            stored = file.create_dataset(path, data=values)
            stored.attrs.update((attributes or {}).get(name, {}))
            for dim, axis in zip(stored.dims, axes, strict=True):
                if named:
                    dim.attach_scale(_scale(file, f"Measurement_data/{names[axis]}", dim, values))
    return product


def _scale(file: h5py.File, path: str, dim: Any, values: NDArray[Any]) -> h5py.Dataset:
    """A dimension inside a group, as early products have them."""
    if path not in file:
        axis = dim._dimension
        file.create_dataset(path, data=np.zeros(values.shape[axis])).make_scale()
    return file[path]


CHANNELS = 748.0 + 0.5 * np.arange(56)
SCALE, OFFSET = 0.002, -5.0


def fake_flex_l1b(folder: Path, *, arms: tuple[str, ...] = ("hre1", "hre2", "lres")) -> Path:
    """Write an L1B product, a file an arm, and return its folder.

    Of HRE2 the first two channels are binned (B), the rest are not (U).
    """
    product = folder / L1B
    product.mkdir(parents=True, exist_ok=True)
    for arm in arms:
        with h5py.File(product / f"{L1B.lower()}_{arm}.nc", "w") as file:
            if arm != "hre2":
                file.create_dataset("Annotation_data/Geometry/SZA", data=np.zeros((3, 3)))
                continue
            for i in range(CHANNELS.size):
                name = f"Measurement_data/FLORIS_HR2{'B' if i < 2 else 'U'}_{i + 1}_radiance"
                numbers = np.rint((known_radiance()[..., i] - OFFSET) / SCALE).astype(np.uint16)
                stored = file.create_dataset(name, data=numbers)
                stored.attrs.update(scale_factor=np.float32(SCALE), add_offset=np.float32(OFFSET))
            _annotations(file)
    return product


def _annotations(file: h5py.File) -> None:
    plane = np.ones((LINES, SAMPLES))
    for name, value in (("SZA", 30.0), ("SAA", 150.0), ("OZA", 4.0), ("OAA", 100.0)):
        stored = file.create_dataset(f"Annotation_data/Geometry/{name}",
                                     data=(1e6 * value * plane).astype(np.int32))  # fmt: skip
        stored.attrs["scale_factor"] = 1e-6
    for name, value in (("latitude", 45.0), ("longitude", 3.0)):
        stored = file.create_dataset(f"Annotation_data/Geolocation_coordinates/{name}",
                                     data=(1e6 * value * plane).astype(np.int32))  # fmt: skip
        stored.attrs["scale_factor"] = 1e-6
    where, quality = "Annotation_data/Geolocation_coordinates/", "Annotation_data/Quality_flags/"
    file[where + "altitude"] = (200 * plane).astype(np.int16)
    common = np.full((LINES, SAMPLES), 2, np.uint8)
    common[0, 0], common[0, 1] = 1, 4
    file[quality + "common_quality_flags"] = common
    channel = np.zeros((LINES, SAMPLES, CHANNELS.size), np.uint8)
    channel[1, 0, 24], channel[1, 1, 24], channel[1, 2, 0] = 4, 2, 4  # 760 nm twice, 748 nm
    file[quality + "channel_quality_flags"] = channel
    info, weather = "Annotation_data/Instrumental_information/", "Annotation_data/Meteo/"
    file[info + "spectral_channel_centre_wavelength"] = np.tile(CHANNELS[:, None], SAMPLES)
    file[info + "FWHM"] = np.full((CHANNELS.size, SAMPLES), 0.6)
    file["Annotation_data/Time_coordinates/time_stamp"] = MIDDLE + 44_000 * np.arange(LINES)
    file[weather + "sea_level_pressure"] = np.full((LINES, 4), 1021.0)
    file[weather + "total_columnar_water_vapour"] = np.full((LINES, 4), 25.0)
    file[weather + "reference_pressure_level"] = LEVELS
    file[weather + "atmospheric_temperature_profile"] = np.full((LINES, 4, LEVELS.size), 250.0)
