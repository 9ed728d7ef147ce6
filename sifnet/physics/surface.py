"""The ground: reflectance quadratic in wavelength, and fluorescence of one measured-like shape."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Self

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from sifnet.files import data_file
from sifnet.physics.fields import TensorFields, parameter
from sifnet.physics.windows import BETWEEN, FAR_RED, RED

CENTRE, SCALE = FAR_RED.reference, 10.0  # nm, x = (wavelength - CENTRE) / SCALE
REFLECTANCE_SPAN = 40.0  # nm, 740 to 780, over which the slope ratio is defined
DARKEST = 0.02  # reflectance below which the shape of reflectance is taken as that of this


@dataclass(frozen=True)
class Surface(TensorFields):
    """Lambertian ground that reflects and fluoresces; every field ``...``.

    Reflectance is reflectance_760 + reflectance_linear x + reflectance_quadratic x^2, in which
    radiance is nearly linear; where there is a ``ShapePrior``, its gain multiplies it. What is
    named after 760 nm is that of the reference of the window in which a wavelength lies: in the
    red window it stands for 687 nm.

    Attributes:
        reflectance_760: at 760 nm.
        reflectance_linear, reflectance_quadratic: coefficients of x and x^2.
        sif_760: mW m-2 nm-1 sr-1, emission at the surface at 760 nm. It may be negative, so that
            noise over ground without fluorescence averages to zero.
    """

    reflectance_760: Tensor = parameter(0.0, 1.0, "1", "reflectance at 760 nm", step=0.01)
    reflectance_linear: Tensor = parameter(
        -0.1, 0.25, "1", "linear part of reflectance", step=0.005
    )
    reflectance_quadratic: Tensor = parameter(
        -0.05, 0.05, "1", "quadratic part of reflectance", step=0.003, flagged=False
    )
    sif_760: Tensor = parameter(
        -1.0, 5.0, "mW m-2 nm-1 sr-1", "sun-induced chlorophyll fluorescence at 760 nm", step=0.3
    )

    @classmethod
    def sloped(cls, reflectance_740: Tensor, slope: Tensor, ratio: Tensor, sif_760: Tensor) -> Self:
        """The published parameterisation (Scharr et al. 2021-24): level and slope at 740 nm.

        rho(y) = rho740 + s y + (e - 1) s y^2 / 80, y = wavelength - 740 nm: the slope runs linearly
        from s at 740 nm to e s at 780 nm.

        Args:
            slope: s, nm-1. ratio: e.
        """
        curvature = slope * (ratio - 1.0) / (2.0 * REFLECTANCE_SPAN)
        away = CENTRE - 740.0
        return cls(
            reflectance_740 + slope * away + curvature * away**2,
            (slope + 2.0 * curvature * away) * SCALE,
            curvature * SCALE**2,
            sif_760,
        )

    @classmethod
    def flat(cls, reflectance: float, like: Tensor) -> Self:
        """Ground of one reflectance at all wavelengths that does not glow."""
        dark = torch.zeros_like(like)
        return cls(**dict.fromkeys(cls.names(), dark) | {"reflectance_760": dark + reflectance})

    def spectra(
        self, wavelength: Float[Tensor, "*#batch band"]
    ) -> tuple[Float[Tensor, "*batch band"], Float[Tensor, "*batch band"]]:
        """Reflectance and fluorescence (mW m-2 nm-1 sr-1), each ``..., band``.

        Args:
            wavelength: ``band`` or ``..., band``, nm.
        """
        x = _away(wavelength)
        curve = self.reflectance_linear[..., None] + self.reflectance_quadratic[..., None] * x
        reflectance = self.reflectance_760[..., None] + curve * x
        return reflectance, self.sif_760[..., None] * sif_shape(wavelength)

    def slope(self, wavelength: Float[Tensor, "*#batch band"]) -> Float[Tensor, "*batch band"]:
        """Of reflectance, nm-1, ``..., band``."""
        x = _away(wavelength)
        bent = 2.0 * self.reflectance_quadratic[..., None] * x
        return (self.reflectance_linear[..., None] + bent) / SCALE

    def at_740(self) -> tuple[Float[Tensor, "*batch"], Float[Tensor, "*batch"]]:
        """Reflectance at 740 nm and its slope there (nm-1), each ``...``: the labels of a map."""
        away = self.shifted(torch.full_like(self.reflectance_760, 740.0 - CENTRE))
        return away.reflectance_760, away.reflectance_linear / SCALE

    def shifted(self, shift: Tensor) -> Self:
        """The surface whose reflectance at a wavelength is ours at wavelength + shift, nm.

        A parabola stays one when it is shifted. Fluorescence is left as it is.
        """
        d = shift / SCALE
        return type(self)(
            self.reflectance_760 + d * (self.reflectance_linear + d * self.reflectance_quadratic),
            self.reflectance_linear + 2.0 * d * self.reflectance_quadratic,
            self.reflectance_quadratic,
            self.sif_760,
        )


SIF = Surface.names().index("sif_760")
"""Place of fluorescence where the parameters of a surface are stacked, the last."""


def powers_of(
    wavelength: Float[Tensor, "*batch band"], count: int
) -> Float[Tensor, "*batch band {count}"]:
    """``..., band, count``: 1, x, x^2 ... of x, wavelength from the reference over SCALE."""
    x = _away(wavelength)
    return torch.stack([x**power for power in range(count)], dim=-1)


def _away(wavelength: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """x, of wavelengths (nm) from the reference of their window."""
    return (wavelength - torch.where(wavelength < BETWEEN, RED.reference, CENTRE)) / SCALE


@dataclass(frozen=True)
class ShapePrior(TensorFields):
    """What is known of the shape of reflectance beforehand; the surface is then what multiplies it.

    With c0, c1, c2 the coefficients of a ``Surface``, reflectance is gain (c0 + c1 x + c2 x^2), and
    c1 / c0 and c2 / c0 are known to be ``by_sif`` times sif_760 with the covariance that is the
    inverse of ``precision``; something is known of sif_760 itself.

    Attributes:
        gain: ``..., band``, reflectance relative to that at 760 nm.
        by_sif: ``..., 2``, by mW m-2 nm-1 sr-1.
        precision: ``..., 3``, elements 11, 12 and 22 of the symmetric matrix.
        sif_760: ``..., 2``, mean and standard deviation, mW m-2 nm-1 sr-1.
        at_740: ``..., 2``, gain at 740 nm, and its slope there over it, nm-1.
        unusual: ``...``, factor by which the covariance exceeds the usual one.
    """

    gain: Tensor
    by_sif: Tensor
    precision: Tensor
    sif_760: Tensor
    at_740: Tensor
    unusual: Tensor

    def matrix(
        self, reflectance_760: Float[Tensor, "*#batch"]
    ) -> Float[Tensor, "*batch surface surface"]:
        """Prior precision of a stacked surface, ``..., 4, 4``, at a level ``...``."""
        level = reflectance_760.clamp_min(DARKEST)[..., None]
        p11, p12, p22 = (self.precision / level**2).unbind(-1)
        b1, b2 = (level * self.by_sif).unbind(-1)
        # c1 - b1 F and c2 - b2 F have the precision P: the blocks are P, -P b and b' P b.
        f1, f2 = p11 * b1 + p12 * b2, p12 * b1 + p22 * b2
        sif = f1 * b1 + f2 * b2 + self.sif_760[..., 1] ** -2
        no = torch.zeros_like(sif)
        rows = (no, no, no, no, no, p11, p12, -f1, no, p12, p22, -f2, no, -f1, -f2, sif)
        return torch.stack(torch.broadcast_tensors(*rows), -1).unflatten(-1, (4, 4))

    def mean(self, reflectance_760: Float[Tensor, "*#batch"]) -> Float[Tensor, "*batch surface"]:
        """Where a stacked surface is expected, ``..., 4``; the prior says nothing of its level."""
        sif = self.sif_760[..., :1]
        level = reflectance_760.clamp_min(DARKEST)[..., None]
        return torch.cat([torch.zeros_like(sif), level * self.by_sif * sif, sif], dim=-1)

    def equations(
        self, surface: Float[Tensor, "*batch surface"]
    ) -> tuple[Float[Tensor, "*batch surface surface"], Float[Tensor, "*batch surface"]]:
        """What the prior adds to the normal equations of a stacked surface and to their side."""
        level = surface[..., 0]
        precision, away = self.matrix(level), surface - self.mean(level)
        return precision, -(precision @ away[..., None])[..., 0]

    def label_740(self, level: Tensor, slope: Tensor) -> tuple[Tensor, Tensor]:
        """Reflectance at 740 nm and its slope there, the gain included (see ``Surface.at_740``)."""
        gain, steepness = self.at_740.unbind(-1)
        return gain * level, gain * (slope + steepness * level)


def sif_shape(wavelength: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Emission relative to the window's reference, as ``wavelength`` (nm); differentiable.

    The mean of 100 SCOPE canopies (``data/sif_shape.csv``), linear between its 1 nm nodes, which
    is within 0.05 % of a smooth curve.
    """
    start, table = _shape_table(wavelength.dtype, wavelength.device)
    position = wavelength - start
    index = position.detach().floor().long().clamp(0, len(table) - 2)
    return table[index] + (position - index) * (table[index + 1] - table[index])


@cache
def sif_740_ratio() -> tuple[float, float]:
    """Emission at 740 nm over that at 760 nm: mean and standard deviation over the canopies."""
    table = _emission()
    row = table[table[:, 0] == 740.0][0]
    return float(row[1]), float(row[2])


def emission_spread(wavelength: np.ndarray) -> np.ndarray:
    """Standard deviation over the canopies of emission relative to 760 nm, at wavelengths, nm."""
    table = _emission()
    return np.abs(np.interp(wavelength, table[:, 0], table[:, 2]))


@cache
def _shape_table(dtype: torch.dtype, device: torch.device) -> tuple[float, Tensor]:
    """First wavelength (nm) and values, at 1 nm steps, of emission relative to the references."""
    wavelength, mean = _emission()[:, 0], _emission()[:, 1]
    reference = np.where(wavelength < BETWEEN, RED.reference, FAR_RED.reference)
    relative = mean / np.interp(reference, wavelength, mean)
    return float(wavelength[0]), torch.as_tensor(relative, dtype=dtype, device=device)


@cache
def _emission() -> np.ndarray:
    """(wavelength, 3): nm at 1 nm steps, and emission, mean and standard deviation."""
    return np.loadtxt(data_file("sif_shape.csv"), delimiter=",", comments="#")
