"""The five spectra that carry light from the sun to the ground to the sensor, and their sum."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from sifnet.physics.fields import TensorFields

SUNLIT = 3
"""How many of the first products carry sunlight."""
PRODUCTS = ("path", "ground", "ground_bounce", "up", "up_bounce")


@dataclass(frozen=True)
class TransferFunctions(TensorFields):
    """Products of transmittances, formed on the fine grid and only then convolved.

    The last axis of every field is wavelength, band, or component of a linear basis. With E0 the
    solar irradiance, E the irradiance of the black ground relative to it (cosine of the sun's
    zenith angle included), T the transmittance from the ground to the sensor and S the spherical
    albedo of the atmosphere seen from the ground:

    Attributes:
        path: E0 L0, mW m-2 nm-1 sr-1, radiance over a black ground.
        ground: E0 E T / pi, mW m-2 nm-1 sr-1.
        ground_bounce: E0 E T S / pi, mW m-2 nm-1 sr-1.
        up: T.
        up_bounce: T S.
    """

    path: Tensor
    ground: Tensor
    ground_bounce: Tensor
    up: Tensor
    up_bounce: Tensor


def at_sensor_radiance(reflectance: Tensor, sif: Tensor, t: TransferFunctions) -> Tensor:
    """Radiance at the sensor, mW m-2 nm-1 sr-1, ``..., band``.

    L = path + R ground / (1 - R s) + F up / (1 - R s'),  s = ground_bounce / ground,
    s' = up_bounce / up: the sum over all bounces between a Lambertian ground and the atmosphere
    (Vermote et al. 1997, eq. 5, with emission), s and s' being the spherical albedo weighted by
    what a band sees.

    Args:
        reflectance: ``..., band``.
        sif: ``..., band``, emission at the surface, mW m-2 nm-1 sr-1.
        t: transfer functions whose last axis is band.
    """
    s = t.ground_bounce / t.ground
    s_emitted = t.up_bounce / t.up
    return (
        t.path
        + reflectance * t.ground / (1.0 - reflectance * s)
        + sif * t.up / (1.0 - reflectance * s_emitted)
    )
