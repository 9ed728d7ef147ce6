"""The five spectra that carry light from the sun to the ground to the sensor, and their sum."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from sifnet.physics.fields import TensorFields

Spectra = TypeVar("Spectra", Tensor, np.ndarray)  # the closed form is the same arithmetic
SUNLIT = 3
"""How many of the first products carry sunlight."""


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


PRODUCTS = TransferFunctions.names()


class Radiance(NamedTuple):
    """Radiance at the sensor and its derivatives to the ground, each ``..., band``.

    Attributes:
        value: mW m-2 nm-1 sr-1.
        to_reflectance: mW m-2 nm-1 sr-1.
        to_sif: 1.
    """

    value: Tensor
    to_reflectance: Tensor
    to_sif: Tensor


def at_sensor_radiance(
    reflectance: Float[Tensor, "*#batch #band"],
    sif: Float[Tensor, "*#batch #band"],
    t: TransferFunctions,
) -> Float[Tensor, "*batch band"]:
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
    left, left_up = _unbounced(reflectance, t)
    return t.path + reflectance * (t.ground / left) + sif * (t.up / left_up)


def linearised(
    reflectance: Float[Spectra, "*#batch #band"],
    sif: Float[Spectra, "*#batch #band"],
    t: TransferFunctions,
) -> Radiance:
    """``at_sensor_radiance`` with its derivatives to the ground.

    With m = 1 / (1 - R s): dL/dR = ground m^2 + F up_bounce m'^2, dL/dF = up m'.
    """
    left, left_up = _unbounced(reflectance, t)
    ground, up = t.ground / left, t.up / left_up
    value = t.path + reflectance * ground + sif * up
    by_emission = sif * up / left_up * (t.up_bounce / t.up)
    return Radiance(value, ground / left + by_emission, up)


def straightened(
    radiance: Float[Tensor, "*batch band"],
    reflectance: Float[Tensor, "*#batch #band"],
    t: TransferFunctions,
    sigma: Float[Tensor, "*#batch band"],
) -> Radiance:
    """Measured radiance as a linear function of the ground, all over sigma, each ``..., band``.

    y = L - path, times what bounces leave of it, is R (ground + y s) + F up (1 - R s) / (1 - R s'):
    linear in R and F but for the last factor, which is nearly 1. It and the scale, 1 - R s, are
    taken at a reflectance near R; at R itself value = R to_reflectance + F to_sif exactly.
    """
    s, s_up = t.ground_bounce / t.ground, t.up_bounce / t.up
    lit = radiance - t.path
    weight = (1.0 - reflectance * s).mul_(sigma).reciprocal_()
    to_reflectance = torch.addcmul(t.ground, lit, s).mul_(weight)
    to_sif = t.up / (1.0 - reflectance * s_up).mul_(sigma)
    return Radiance(lit.mul_(weight), to_reflectance, to_sif)


def to_transfer(
    reflectance: Float[Spectra, "*#batch #band"],
    sif: Float[Spectra, "*#batch #band"],
    t: TransferFunctions,
) -> TransferFunctions:
    """Derivatives of radiance to each transfer function, ``..., band``.

    R G / (1 - R B / G) has the derivatives R m^2 (1 - 2 R s) to G and (R m)^2 to B.
    """
    left, left_up = _unbounced(reflectance, t)
    m, m_up = 1.0 / left, 1.0 / left_up
    return type(t)(
        m * 0.0 + 1.0,
        reflectance * m**2 * (1.0 - 2.0 * reflectance * t.ground_bounce / t.ground),
        (reflectance * m) ** 2,
        sif * m_up**2 * (1.0 - 2.0 * reflectance * t.up_bounce / t.up),
        sif * reflectance * m_up**2,
    )


def _unbounced(reflectance: Any, t: TransferFunctions) -> tuple[Any, Any]:
    """1 - R s of sunlight and of emission, 1 / m, ``..., band``."""
    s, s_up = t.ground_bounce / t.ground, t.up_bounce / t.up
    return 1.0 - reflectance * s, 1.0 - reflectance * s_up
