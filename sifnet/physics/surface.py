"""The ground: reflectance quadratic in wavelength, and fluorescence of one measured-like shape."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from torch import Tensor

from sifnet.files import data_file
from sifnet.physics.fields import TensorFields

CENTRE, SCALE = 760.0, 10.0  # nm, where the quadratic of reflectance is expanded
REFLECTANCE_SPAN = 40.0  # nm, 740 to 780, over which the slope ratio is defined


@dataclass(frozen=True)
class Surface(TensorFields):
    """Lambertian ground that reflects and fluoresces; every field ``...``.

    Attributes:
        reflectance_740: at 740 nm.
        reflectance_slope: nm-1, at 740 nm.
        reflectance_slope_ratio: slope at 780 nm over slope at 740 nm.
        sif_760: mW m-2 nm-1 sr-1, emission at the surface at 760 nm.
    """

    reflectance_740: Tensor
    reflectance_slope: Tensor
    reflectance_slope_ratio: Tensor
    sif_760: Tensor

    def spectra(self, wavelength: Tensor) -> tuple[Tensor, Tensor]:
        """Reflectance and fluorescence (mW m-2 nm-1 sr-1), each ``..., band``.

        rho(x) = rho740 + s (x - 740) + (e - 1) s (x - 740)^2 / 80: the slope runs linearly from
        s at 740 nm to e s at 780 nm (Scharr et al. 2021-24, the published HyPlant retrieval).

        Args:
            wavelength: ``band`` or ``..., band``, nm.
        """
        x = wavelength - 740.0
        slope = self.reflectance_slope
        curvature = slope * (self.reflectance_slope_ratio - 1.0) / (2.0 * REFLECTANCE_SPAN)
        reflectance = self.reflectance_740[..., None] + x * (
            slope[..., None] + curvature[..., None] * x
        )
        return reflectance, self.sif_760[..., None] * sif_shape(wavelength)

    @property
    def sif_740(self) -> Tensor:
        """Emission at 740 nm, mW m-2 nm-1 sr-1, ``...``, by the fixed shape."""
        at_740 = torch.tensor([740.0], dtype=self.sif_760.dtype, device=self.sif_760.device)
        return self.sif_760 * sif_shape(at_740)[0]


@dataclass(frozen=True)
class KnownShape(TensorFields):
    """What is known of the shape of reflectance beforehand; the surface is then what multiplies it.

    Reflectance is gain (c0 + c1 x + c2 x^2), x = (wavelength - 760 nm) / 10 nm, and c1 / c0 and
    c2 / c0 are known to be ``by_sif`` times sif_760 with the covariance that is the inverse of
    ``precision``; something is known of sif_760 itself.

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

    def prior(self, c0: Tensor) -> Tensor:
        """Prior precision of (c0, c1, c2, sif), ``..., 4, 4``, at a level c0 ``...``."""
        level = c0.clamp_min(0.02)[..., None]
        one_one, one_two, two_two = (self.precision / level**2).unbind(-1)
        precision = torch.stack([one_one, one_two, one_two, two_two], -1).unflatten(-1, (2, 2))
        away = torch.zeros(*precision.shape[:-2], 2, 4).to(precision)  # of c1, c2 from the known
        away[..., 0, 1] = away[..., 1, 2] = 1.0
        away[..., 3] = -level * self.by_sif
        prior = away.mT @ precision @ away
        prior[..., 3, 3] += 1.0 / self.sif_760[..., 1] ** 2
        return prior

    def mean(self, c0: Tensor) -> Tensor:
        """Where (c0, c1, c2, sif) are known to be, ``..., 4``; the prior says nothing of c0."""
        sif = self.sif_760[..., :1]
        level = c0.clamp_min(0.02)[..., None]
        return torch.cat([torch.zeros_like(sif), level * self.by_sif * sif, sif], dim=-1)


def sif_shape(wavelength: Tensor) -> Tensor:
    """Emission relative to 760 nm, same shape as ``wavelength`` (nm); differentiable.

    The mean of 100 SCOPE canopies (``data/sif_shape.csv``), linear between its 1 nm nodes, which
    is within 0.05 % of a smooth curve.
    """
    start, table = _shape_table()
    table = table.to(wavelength)
    position = wavelength - start
    index = position.detach().floor().long().clamp(0, len(table) - 2)
    return table[index] + (position - index) * (table[index + 1] - table[index])


@cache
def sif_740_ratio() -> tuple[float, float]:
    """Emission at 740 nm over that at 760 nm: mean and standard deviation over the canopies."""
    table = np.loadtxt(data_file("sif_shape.csv"), delimiter=",", comments="#")
    row = table[table[:, 0] == 740.0][0]
    return float(row[1]), float(row[2])


@cache
def _shape_table() -> tuple[float, Tensor]:
    """First wavelength (nm) and values, at 1 nm steps, of emission relative to 760 nm."""
    table = np.loadtxt(data_file("sif_shape.csv"), delimiter=",", comments="#")
    wavelength, mean = table[:, 0], table[:, 1]
    return float(wavelength[0]), torch.as_tensor(mean / np.interp(760.0, wavelength, mean))
