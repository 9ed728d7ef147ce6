"""What the retrieval seeks: atmosphere, surface and sensor; and the geometry it is seen under.

All are frozen dataclasses of tensors. Their fields may have any batch shapes ``...`` that
broadcast against each other: an atmosphere shared over a patch is ``(patch, 1, 1)``, a sensor
state shared over a column ``(patch, 1, sample)``, a surface ``(patch, line, sample)``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from sifnet.errors import SifnetError
from sifnet.physics.fields import TensorFields
from sifnet.physics.surface import Surface

RANGES: dict[str, tuple[float, float]] = {
    "surface_pressure": (650.0, 1060.0),
    "temperature_offset": (-10.0, 10.0),
    "aot_550": (0.0, 0.8),
    "aerosol_height": (0.5, 4.0),
    "aerosol_type": (0.0, 1.0),
    "o2_scale": (0.96, 1.06),
    "solar_zenith_angle": (0.0, 75.0),
    "view_zenith_angle": (0.0, 30.0),
    "relative_azimuth_angle": (0.0, 180.0),
    "sensor_height": (0.002, 3.0),
    "sun_earth_distance": (0.98, 1.02),
    "reflectance_740": (0.0, 1.0),
    "reflectance_slope": (-0.005, 0.015),
    "reflectance_slope_ratio": (-1.0, 2.0),
    "sif_760": (-1.0, 5.0),
    "wavelength_shift": (-0.12, 0.12),
    "fwhm_shift": (-0.06, 0.06),
}
"""Lowest and highest value of every parameter, in the units of its class.

``sensor_height`` may also be ``inf``, which is space. ``sif_760`` may be negative, so that noise
over ground without fluorescence averages to zero. The ranges of ``wavelength_shift`` and
``fwhm_shift`` are those of HyPlant and FloX; an ``Instrument`` carries its own.
"""


@dataclass(frozen=True)
class Atmosphere(TensorFields):
    """Atmosphere over the ground of one or many pixels; every field ``...``.

    Attributes:
        surface_pressure: hPa, at the ground.
        temperature_offset: K, added to the whole standard temperature profile.
        aot_550: aerosol optical thickness at 550 nm, whole column.
        aerosol_height: km, scale height of the exponential aerosol profile above the ground.
        aerosol_type: 0 continental to 1 maritime.
        o2_scale: factor on all O2 absorption, whose absolute strength is uncertain by 1-2 %.
    """

    surface_pressure: Tensor
    temperature_offset: Tensor
    aot_550: Tensor
    aerosol_height: Tensor
    aerosol_type: Tensor
    o2_scale: Tensor


@dataclass(frozen=True)
class Geometry(TensorFields):
    """Where the sun and the sensor are; every field ``...``.

    Attributes:
        solar_zenith_angle: degrees.
        view_zenith_angle: degrees, at the ground.
        relative_azimuth_angle: degrees; 0 when sensor and sun are on the same side of the pixel
            (backscatter, the hot spot), 180 when the sensor looks towards the sun (forward).
        sensor_height: km above the ground; ``inf`` is space.
        sun_earth_distance: AU.
    """

    solar_zenith_angle: Tensor
    view_zenith_angle: Tensor
    relative_azimuth_angle: Tensor
    sensor_height: Tensor
    sun_earth_distance: Tensor


@dataclass(frozen=True)
class SensorState(TensorFields):
    """How the sensor differs from its nominal description; every field ``...``.

    Attributes:
        wavelength_shift: nm, added to every nominal band centre.
        fwhm_shift: nm, added to every nominal band width.
    """

    wavelength_shift: Tensor
    fwhm_shift: Tensor


@dataclass(frozen=True)
class State(TensorFields):
    """All that the retrieval seeks for a pixel; the parts broadcast against each other."""

    atmosphere: Atmosphere
    surface: Surface
    sensor: SensorState


@dataclass(frozen=True)
class AtmospherePrior(TensorFields):
    """What is known of the atmosphere before a spectrum is seen: mean and standard deviation."""

    mean: Atmosphere
    sd: Atmosphere


def check_ranges(part: TensorFields, ranges: Mapping[str, tuple[float, float]] = RANGES) -> None:
    """Refuse values outside the ranges; parameters that ``ranges`` does not name pass.

    Raises:
        SifnetError: a value is outside its range or not a number; the message names it.
    """
    for name, value in part.items():
        if name not in ranges:
            continue
        low, high = ranges[name]
        bad = outside(name, value, low, high)
        if bad.any():
            worst = value[bad].reshape(-1)[0].item()
            raise SifnetError(
                f"{name} is out of range",
                found=f"{worst:g} ({int(bad.sum())} of {bad.numel()} values)",
                expected=f"{low:g} to {high:g}" + (" or inf" if name == "sensor_height" else ""),
                remedy="The simulation does not extrapolate: leave such pixels out.",
            )


def outside(name: str, value: Tensor, low: float, high: float) -> Tensor:
    """Boolean ``...``: where a parameter is outside ``low..high`` or not a number.

    Space (``inf``) is a valid ``sensor_height``; limits are widened by 1e-6 of their span so
    that float32 rounding of a limit is not refused.
    """
    margin = 1e-6 * (high - low)
    inside = (value >= low - margin) & (value <= high + margin)
    if name == "sensor_height":
        inside = inside | torch.isposinf(value)
    return ~inside
