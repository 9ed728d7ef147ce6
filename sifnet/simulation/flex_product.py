"""FLEX L1C products, written from radiance: NetCDF-4 in groups, as the mission's."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import h5netcdf
import numpy as np
from numpy.typing import NDArray

from sifnet.files import whole
from sifnet.scenes.flex_air import AEROSOL_NM
from sifnet.scenes.flex_l1c import CLASSES, EPOCH
from sifnet.units import standard_temperature

Array = NDArray[np.float64]

# Arm, first and last channel, their number and width, nm: those of simulated products of 2023, on
# the one grid of L1C (580 channels), where the high resolution replaces the low.
SEGMENTS = (
    ("LR", 499.4, 675.8063, 99, 1.984),
    ("HR1", 676.81354, 685.6719, 20, 0.4705),
    ("HR1", 685.95166, 697.0479, 120, 0.2869),
    ("LR", 697.6070, 739.6080, 71, 1.984),
    ("HR2", 740.09326, 748.01917, 18, 0.4705),
    ("HR2", 748.2989, 769.46576, 228, 0.2869),
    ("HR2", 769.74554, 769.74554, 1, 0.2869),
    ("HR2", 770.21173, 780.0026, 22, 0.4705),
)
ARMS = {"LR": 1, "HR1": 2, "HR2": 3}
INSTRUMENTS = 4  # FLORIS, OLCI, SLSTR nadir and oblique
PRESSURE: Array = np.array([1000, 975, 950, 925, 900, 850, 800, 750, 700, 650, 600, 550, 500, 450,
                            400, 350, 300, 250, 200, 150, 100, 70, 50, 30, 20.0])  # fmt: skip
LINE_TIME = 44_000  # us, 300 m on the ground
ANGSTROM = 1.3
PIXEL = 0.0027  # degrees of latitude, 300 m
DIMENSIONS = ("number_of_along_track_samples", "number_of_across_track_samples")


def channels() -> tuple[Array, Array, NDArray[np.intp]]:
    """Wavelength, nm, width, nm, and arm of the channels of L1C."""
    centre = np.concatenate([np.linspace(a, b, n) for _, a, b, n, _ in SEGMENTS])
    width = np.concatenate([np.full(n, w) for *_, n, w in SEGMENTS])
    arm = np.concatenate([np.full(n, ARMS[name]) for name, *_, n, _ in SEGMENTS])
    return centre, width, arm


def write_flex(
    folder: Path,
    radiance: NDArray[np.float32],
    noise: NDArray[np.float32],
    wavelength: Array,
    fwhm: Array,
    *,
    acquisition_time: datetime,
    planes: Mapping[str, Array],
    temperature_offset: float,
    seed: int,
) -> Path:
    """Write a product of one file into a folder of its name.

    Args:
        radiance, noise: (line, sample, channel) mW m-2 nm-1 sr-1.
        wavelength, fwhm: (sample, channel) nm in vacuum, as the product states them.
        planes: ``latitude``, ``longitude``, ``surface_elevation`` (m), ``sun_zenith_angle``,
            ``sun_azimuth_angle``, ``viewing_zenith_angle``, ``relative_azimuth_angle``,
            ``aerosol`` at 550 nm, ``water`` (g cm-2), ``pixel_classification``, each (line,
            sample).

    Returns:
        The folder.
    """
    lines, samples, bands = radiance.shape
    start = f"{acquisition_time:%Y%m%dT%H%M%S}"
    product = folder / f"FLX_L1C_FLXSYN_{start}_{start}_{start}_{seed:04d}_000_000_0000_01"
    product.mkdir(parents=True, exist_ok=True)
    file = product / f"{product.name}.nc"
    with whole(file) as partial, h5netcdf.File(partial, "w") as target:
        target.attrs["comment"] = "simulated with sifnet, not measured"
        target.attrs["product_type"] = "FLX_L1C_FLXSYN"
        measured = target.create_group("Measurement_data")
        sizes = dict(zip(DIMENSIONS, (lines, samples), strict=True))
        target.dimensions = {**sizes, "number_of_floris_channels": bands, "instruments":
                             INSTRUMENTS, "levels": PRESSURE.size, "aerosol_bands": 3}  # fmt: skip
        unit = "mW.m-2.sr-1.nm-1"
        cube = (*DIMENSIONS, "number_of_floris_channels")
        _put(measured, "floris_toa_radiance", cube, radiance, unit, fill=-1.0)
        _put(measured, "floris_toa_radiance_noise_uncertainty", cube, noise, unit, fill=-1.0)
        _geometry(target.create_group("Annotation_data/Geometry"), planes)
        info = target.create_group("Annotation_data/Instrumental_information")
        of_channels = (DIMENSIONS[1], cube[2])
        _put(info, "floris_spectral_channel_central_wavelengths", of_channels, wavelength, "nm")
        _put(info, "floris_spectral_channel_fwhm", of_channels, fwhm, "nm")
        arm = np.broadcast_to(channels()[2].astype(float), wavelength.shape)
        _put(info, "floris_instrument_flag", of_channels, arm, "")
        _air(target.create_group("Annotation_data/Meteorology"), planes, temperature_offset)
        _labels(target, planes)
        first = np.datetime64(acquisition_time.replace(tzinfo=None), "us") - EPOCH
        times = first.astype(np.int64) + LINE_TIME * (np.arange(lines) - lines // 2)
        _put(target.create_group("Annotation_data/Datation"), "time_stamp", DIMENSIONS[:1],
             times, "microseconds since 2000-01-01")  # fmt: skip
    return product


def _geometry(group: Any, planes: Mapping[str, Array]) -> None:
    for name, unit in (("latitude", "degrees_north"), ("longitude", "degrees_east"),
                       ("surface_elevation", "m")):  # fmt: skip
        _put(group, name, DIMENSIONS, planes[name], unit)
    for name in ("surface_slope", "surface_aspect"):
        _put(group, name, DIMENSIONS, np.zeros_like(planes["latitude"]), "degrees")
    for name in ("sun_zenith_angle", "sun_azimuth_angle", "viewing_zenith_angle",
                 "relative_azimuth_angle"):  # fmt: skip
        each = np.repeat(planes[name][..., None], INSTRUMENTS, axis=-1)
        _put(group, name, (*DIMENSIONS, "instruments"), each, "degrees")


def _air(group: Any, planes: Mapping[str, Array], temperature_offset: float) -> None:
    at = np.array(AEROSOL_NM)
    aerosol = planes["aerosol"][..., None] * (at / 550.0) ** -ANGSTROM
    _put(group, "aerosol_optical_thickness", (*DIMENSIONS, "aerosol_bands"), aerosol, "")
    group.variables["aerosol_optical_thickness"].attrs["wavelength"] = at
    # Named g.m-2 in products, with the numbers of g cm-2.
    _put(group, "total_columnar_water_vapor", DIMENSIONS, planes["water"], "g.m-2")
    _put(group, "total_ozone", DIMENSIONS, np.full_like(planes["water"], 0.3), "atm-cm")
    profile = standard_temperature(PRESSURE) + temperature_offset
    whole_scene = np.broadcast_to(profile, (*planes["water"].shape, PRESSURE.size))
    _put(group, "temperature_profile", (*DIMENSIONS, "levels"), whole_scene, "K")
    _put(group, "tie_pressure_levels", ("levels",), PRESSURE.astype(np.float32), "hPa")


def _labels(target: Any, planes: Mapping[str, Array]) -> None:
    classes = planes["pixel_classification"].astype(np.int16)
    group = target.create_group("Annotation_data/Ancillary_data")
    _put(group, "pixel_classification", DIMENSIONS, classes, "")
    attributes = group.variables["pixel_classification"].attrs
    attributes["flag_meanings"] = " ".join(CLASSES)
    attributes["flag_values"] = np.arange(len(CLASSES), dtype=np.int16)
    quality = target.create_group("Annotation_data/Quality")
    _put(quality, "quality_flags", DIMENSIONS, np.zeros_like(classes), "")


def _put(
    group: Any, name: str, dimensions: tuple[str, ...], values: NDArray[Any], unit: str,
    fill: float | None = None,
) -> None:  # fmt: skip
    fillvalue = None if fill is None else values.dtype.type(fill)
    variable = group.create_variable(
        name, dimensions, values.dtype, fillvalue=fillvalue, compression="gzip",
        compression_opts=1, shuffle=True,
    )  # fmt: skip
    variable[...] = values
    if unit:
        variable.attrs["units"] = unit
