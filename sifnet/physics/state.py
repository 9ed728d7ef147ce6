"""What the retrieval seeks: atmosphere, surface and sensor; and the geometry it is seen under.

All are frozen dataclasses of tensors. Their fields may have any batch shapes ``...`` that
broadcast against each other: an atmosphere shared over a patch is ``(patch, 1, 1)``, a sensor
state shared over a column ``(patch, 1, sample)``, a surface ``(patch, line, sample)``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self, TypeVar

import torch
from jaxtyping import Bool, Float
from numpy.typing import ArrayLike
from torch import Tensor

from sifnet.errors import SifnetError
from sifnet.physics.fields import Ranges, TensorFields, parameter
from sifnet.physics.surface import Surface

Part = TypeVar("Part", bound=TensorFields)


@dataclass(frozen=True)
class Atmosphere(TensorFields):
    """Atmosphere over the ground of one or many pixels; every field ``...``.

    Priors are those of clear summer days over land; that of surface_pressure is the weather around
    the standard atmosphere at the ground's elevation.

    Attributes:
        surface_pressure: hPa, at the ground.
        temperature_offset: K, added to the whole standard temperature profile.
        aot_550: aerosol optical thickness at 550 nm, whole column.
        aerosol_height: km, scale height of the exponential aerosol profile above the ground.
        aerosol_type: 0 continental to 1 maritime.
        o2_scale: factor on all O2 absorption, whose absolute strength is uncertain by 1-2 %.
    """

    surface_pressure: Tensor = parameter(
        650.0, 1060.0, "hPa", "air pressure at the surface", prior=(1013.25, 8.0)
    )
    temperature_offset: Tensor = parameter(
        -10.0, 10.0, "K", "temperature less that of the standard atmosphere", prior=(0.0, 5.0)
    )
    aot_550: Tensor = parameter(
        0.0, 0.8, "1", "aerosol optical thickness of the whole column at 550 nm", prior=(0.15, 0.10)
    )
    aerosol_height: Tensor = parameter(
        0.5, 4.0, "km", "scale height of the aerosol profile", prior=(1.5, 0.7)
    )
    aerosol_type: Tensor = parameter(
        0.0, 1.0, "1", "aerosol, from continental (0) to maritime (1)", prior=(0.3, 0.3)
    )
    o2_scale: Tensor = parameter(
        0.96, 1.06, "1", "factor on the absorption by oxygen", prior=(1.0, 0.015)
    )

    @classmethod
    def usual(cls, **values: ArrayLike | Tensor) -> Self:
        """Where nothing is said otherwise, the mean of the prior."""
        means = {name: entry.prior[0] for name, entry in cls.parameters().items() if entry.prior}
        chosen: dict[str, Any] = {**means, **values}
        return cls.of(**chosen)


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

    solar_zenith_angle: Tensor = parameter(0.0, 75.0, "degree", "solar zenith angle")
    view_zenith_angle: Tensor = parameter(0.0, 30.0, "degree", "view zenith angle")
    relative_azimuth_angle: Tensor = parameter(0.0, 180.0, "degree", "relative azimuth angle")
    sensor_height: Tensor = parameter(0.002, 3.0, "km", "height of the sensor above the ground")
    sun_earth_distance: Tensor = parameter(0.98, 1.02, "AU", "distance of sun and earth")


@dataclass(frozen=True)
class SensorState(TensorFields):
    """How the sensor differs from its nominal description; every field ``...``.

    The ranges are those of HyPlant; an ``Instrument`` carries its own.

    Attributes:
        wavelength_shift: nm, added to every nominal band centre.
        fwhm_shift: nm, added to every nominal band width.
    """

    wavelength_shift: Tensor = parameter(
        -0.12, 0.12, "nm", "shift of band centres from nominal", step=0.01
    )
    fwhm_shift: Tensor = parameter(
        -0.06, 0.06, "nm", "change of band width (FWHM) from nominal", step=0.01
    )


@dataclass(frozen=True)
class State(TensorFields):
    """All that the retrieval seeks for a pixel; the parts broadcast against each other."""

    atmosphere: Atmosphere
    surface: Surface
    sensor: SensorState


RANGES: dict[str, tuple[float, float]] = {
    name: entry.range
    for part in (Atmosphere, Geometry, Surface, SensorState)
    for name, entry in part.parameters().items()
}
"""Lowest and highest value of every parameter, in the units of its class."""


@dataclass(frozen=True)
class AtmospherePrior(TensorFields):
    """What is known of the atmosphere before a spectrum is seen: mean and standard deviation."""

    mean: Atmosphere
    sd: Atmosphere

    def deviation(self, atmosphere: Atmosphere) -> Float[Tensor, "*batch field"]:
        """(x - mean) / sd, ``..., field``."""
        return (atmosphere.stack() - self.mean.stack()) / self.sd.stack()

    def at(self, deviation: Float[Tensor, "*batch field"], ranges: Ranges) -> Atmosphere:
        """mean + sd deviation of ``..., field``, kept within the ranges."""
        return within(Atmosphere.unstack(self.mean.stack() + self.sd.stack() * deviation), ranges)


def within(part: Part, ranges: Ranges) -> Part:
    """The same, every field kept within its range."""
    return type(part)(**{name: value.clamp(*ranges[name]) for name, value in part.items()})


def check_ranges(part: TensorFields, ranges: Ranges = RANGES) -> None:
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


def outside(
    name: str, value: Float[Tensor, "*shape"], low: float, high: float
) -> Bool[Tensor, "*shape"]:
    """Boolean ``...``: where a parameter is outside ``low..high`` or not a number.

    Space (``inf``) is a valid ``sensor_height``; limits are widened by 1e-6 of their span so
    that float32 rounding of a limit is not refused.
    """
    margin = 1e-6 * (high - low)
    inside = (value >= low - margin) & (value <= high + margin)
    if name == "sensor_height":
        inside = inside | torch.isposinf(value)
    return ~inside
