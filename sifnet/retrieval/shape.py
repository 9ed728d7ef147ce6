"""The shape of reflectance in the fit window, predicted from the rest of a pixel's own spectrum.

A band of 3.5 nm does not resolve the O2-A band well enough to tell fluorescence from the red
edge's tail. The rest of the spectrum, 640-740 and 785-850 nm, tells that tail to some tenths of a
per cent: a small network reads the at-sensor spectrum and gives the logarithm of reflectance
relative to 760 nm, learned on simulated spectra with any atmosphere and fluorescence in them
(``shape_training``). Fluorescence itself lifts the red edge that the network reads: it gives the
shape as it is with any fluorescence, and how much fluorescence the spectrum suggests, which is
little more than what plants usually emit. What is left is a Gaussian prior of the fit, wider where
the network is less sure, and wider still away from what it has learned.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from sifnet.errors import SifnetError
from sifnet.physics.fields import TensorFields
from sifnet.physics.instrument import sparse_response
from sifnet.physics.solar import COARSE_WAVELENGTH, coarse_solar_irradiance
from sifnet.physics.state import Geometry
from sifnet.physics.surface import CENTRE, SCALE, ShapePrior, sif_740_ratio

if TYPE_CHECKING:
    from scipy.interpolate import CubicSpline
    from scipy.sparse import csr_array

Array = NDArray[np.float64]

REGIONS = ((641.0, 684.0), (703.0, 743.0), (785.0, 849.0))  # nm, of the predicting bands
LONGEST_GAP = 6.0  # nm between bands, beyond which a spectrum cannot be interpolated
READ = tuple((low - LONGEST_GAP, high + LONGEST_GAP) for low, high in REGIONS)
GRID: Array = np.arange(740.0, 789.0, 4.0)  # nm, on which the shape is predicted
REFERENCE = 760.0  # nm, where it is 1
GEOMETRY = 4  # features of geometry
STEEPEST = 1.5  # of ln shape
BY_SIF = np.where(GRID == REFERENCE, 0.0, 0.01)  # ln shape by mW m-2 nm-1 sr-1: units
EXAMPLES = 1000
WIDEST = 30.0  # the most by which the prior widens
SUREST = 0.1  # mW m-2 nm-1 sr-1; asphalt of another code is 0.17 off, with 0.05 stated
SIF_740 = (0.0, 3.0)  # mW m-2 nm-1 sr-1, the range of SCOPE canopies, all alike


@dataclass(frozen=True)
class Sizes:
    """Of a predictor.

    Attributes:
        bands: it reads.
        width: of its two hidden layers.
        components: of the spectra it learned from, which tell whether another one is unusual.
    """

    bands: int
    width: int = 160
    components: int = 14


def sif_spread() -> float:
    """Standard deviation of sif_760 over the canopies, mW m-2 nm-1 sr-1."""
    return float(np.ptp(SIF_740) / np.sqrt(12.0) / sif_740_ratio()[0])


@dataclass(frozen=True)
class Reading(TensorFields):
    """What a spectrum says of the ground.

    Attributes:
        shape: ``..., GRID``, ln reflectance relative to 760 nm, if nothing fluoresces.
        by_sif: ``..., GRID``, its change by sif_760, per mW m-2 nm-1 sr-1.
        unusual: ``...``, factor on the standard deviation of shape.
        sif: ``...``, sif_760 that the spectrum suggests, mW m-2 nm-1 sr-1.
        sif_sd: ``...``, standard deviation of that.
    """

    shape: Tensor
    by_sif: Tensor
    unusual: Tensor
    sif: Tensor
    sif_sd: Tensor


class ShapePredictor(nn.Module):
    """At-sensor spectrum to ln reflectance relative to 760 nm, and how uncertain that is.

    Attributes:
        wavelength: ``feature``, nm, of the predicting bands.
        covariance: ``GRID, GRID``, of the error of ln reflectance relative to 760 nm, in units of
            the square of what the network says of it.
        examples: ``example, GRID``, shapes that it has learned.
    """

    wavelength: Tensor
    mean: Tensor
    sd: Tensor
    projection: Tensor
    typical: Tensor
    scale: Tensor
    covariance: Tensor
    examples: Tensor
    usual: Tensor

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.sizes = sizes
        n, width = sizes.bands, sizes.width
        self.network = nn.Sequential(
            nn.Linear(n + GEOMETRY, width),
            nn.SiLU(),
            nn.Linear(width, width),
            nn.SiLU(),
            nn.Linear(width, 2 * GRID.size + 3),
        )
        self.register_buffer("wavelength", torch.zeros(n))
        self.register_buffer("mean", torch.zeros(n))
        self.register_buffer("sd", torch.ones(n))
        self.register_buffer("projection", torch.zeros(n, sizes.components))
        self.register_buffer("typical", torch.zeros(GRID.size))
        self.register_buffer("scale", torch.ones(GRID.size))
        self.register_buffer("covariance", torch.eye(GRID.size))
        self.register_buffer("examples", torch.zeros(EXAMPLES, GRID.size))
        self.register_buffer("usual", torch.ones(2))  # distances that 1 % of what it knows exceed

    def forward(self, spectrum: Tensor, geometry: Tensor) -> Reading:
        """What a spectrum says, and how sure that is.

        Args:
            spectrum: ``..., feature``, ln of apparent reflectance.
            geometry: ``..., 4`` (``geometry_terms``).
        """
        standard = (spectrum - self.mean) / self.sd
        seen = self.read(standard, geometry)
        wider = self.widening(standard)
        # Away from what it has learned the network may be sure for no reason.
        unusual = torch.where(wider > 1, seen.unusual.clamp_min(1.0), seen.unusual) * wider
        # Whatever stands there, it does not emit more than canopies do.
        most = seen.sif_sd.clamp_min(sif_spread())
        return replace(seen, unusual=unusual, sif_sd=torch.minimum(seen.sif_sd * wider, most))

    def read(self, standard: Tensor, geometry: Tensor) -> Reading:
        """``forward``, as sure as the network itself is."""
        out = self.network(torch.cat([standard, geometry], dim=-1))
        shape, by_sif, rest = out.split([GRID.size, GRID.size, 3], dim=-1)
        error, sif, sif_error = rest.unbind(-1)
        return Reading(
            self.typical + self.scale * shape,
            torch.as_tensor(BY_SIF).to(by_sif) * by_sif,
            torch.exp(error.clamp(-1.5, 1.5)),
            1.0 + sif,
            torch.exp(sif_error.clamp(-3.0, 1.0)),
        )

    def widening(self, standard: Tensor) -> Tensor:
        """1 among 99 % of the learned spectra, then in proportion to the squared distance."""
        ratio = (self.distances(standard) / self.usual).amax(-1)
        return torch.nan_to_num(ratio, nan=WIDEST).clamp(1.0, WIDEST)

    def distances(self, standard: Tensor) -> Tensor:
        """``..., 2``: squared distance from what was learned, within its components and off them.

        Both are means over directions in units of the variance there.
        """
        scores = standard @ self.projection
        size = (self.projection**2).sum(0)
        off = standard - scores @ (self.projection / size).T
        return torch.stack([(scores**2).mean(-1), (off**2).mean(-1)], dim=-1)

    def shape_prior(
        self,
        radiance: Tensor,
        wavelength: Array,
        fwhm: Array,
        fitted: NDArray[np.intp],
        geometry: Geometry,
        elevation: Tensor,
    ) -> tuple[ShapePrior, Tensor]:
        """What the spectra say of the shape of reflectance in the bands of the fit.

        Args:
            radiance: ``..., band``, mW m-2 nm-1 sr-1.
            wavelength, fwhm: ``band``, nm.
            fitted: indices of the bands of the fit.
            geometry: fields ``...``.
            elevation: ``...``, km.

        Returns:
            The shape, and the standard deviation ``..., fitted`` of what no parabola corrects,
            relative to radiance.

        Raises:
            SifnetError: the bands do not cover REGIONS.
        """
        to = interpolation(self.wavelength.double().numpy(), wavelength)
        to_reflectance = torch.as_tensor(to * (np.pi / band_sun(wavelength, fwhm))).to(radiance)
        down = torch.cos(torch.deg2rad(geometry.solar_zenith_angle))
        light = (down / geometry.sun_earth_distance**2)[..., None]
        spectrum = torch.log((radiance @ to_reflectance.T).div_(light).clamp_min_(1e-4))
        sun_zenith, view_zenith, azimuth, *_ = (angle for _, angle in geometry.items())
        terms = geometry_terms(sun_zenith, view_zenith, azimuth, elevation)
        return self.as_prior(self(spectrum, terms).map(torch.nan_to_num), wavelength[fitted])

    def as_prior(self, seen: Reading, wavelength: Array) -> tuple[ShapePrior, Tensor]:
        """``shape_prior`` from what the network says."""
        log_shape = seen.shape.clamp(-STEEPEST, STEEPEST)
        precision, unexplained = self.prior(wavelength)
        bent = torch.as_tensor(parabola(wavelength)[1:] @ on_bands(wavelength)).to(log_shape)
        at = torch.as_tensor(on_bands(wavelength)).to(log_shape)
        ends = torch.as_tensor(on_bands(np.array([740.0, 739.0, 741.0]))).to(log_shape)
        at_740, before, after = (log_shape @ end for end in ends)
        shape_prior = ShapePrior(
            torch.exp(log_shape @ at.T),
            torch.stack([seen.by_sif @ curve for curve in bent], -1),
            torch.as_tensor(precision).to(log_shape) / seen.unusual[..., None] ** 2,
            torch.stack([seen.sif, seen.sif_sd.clamp_min(SUREST)], dim=-1),
            torch.stack([torch.exp(at_740), (after - before) / 2], dim=-1),
            seen.unusual,
        )
        return shape_prior, seen.unusual[..., None] * torch.as_tensor(unexplained).to(log_shape)

    def prior(self, wavelength: Array) -> tuple[Array, Array]:
        """Precision (3) of c1 / c0 and c2 / c0 (``ShapePrior``), and what they leave, (band)."""
        bands = on_bands(wavelength)
        covariance = bands @ self.covariance.double().numpy() @ bands.T
        fit = parabola(wavelength)
        precision = np.linalg.inv((fit @ covariance @ fit.T)[1:, 1:])
        off = np.eye(len(fit.T)) - np.linalg.pinv(fit) @ fit
        left = np.sqrt(np.diag(off @ covariance @ off.T).clip(0))
        return np.array([precision[0, 0], precision[0, 1], precision[1, 1]]), left


def interpolation(to: Array, wavelength: Array) -> Array:
    """(to, wavelength) linear interpolation between a sensor's bands.

    Raises:
        SifnetError: the bands do not cover ``to`` closely enough.
    """
    right = np.searchsorted(wavelength, to).clip(1, len(wavelength) - 1)
    gap = wavelength[right] - wavelength[right - 1]
    beyond = np.maximum(wavelength[0] - to, to - wavelength[-1])
    if (gap > LONGEST_GAP).any() or (beyond > LONGEST_GAP / 2).any():
        raise SifnetError(
            "bands are too far apart to predict the shape of reflectance",
            found=f"gaps up to {gap.max():.1f} nm, {beyond.max():.1f} nm beyond the last band",
            expected=f"at most {LONGEST_GAP:g} nm, over "
            + ", ".join(f"{low:g}-{high:g} nm" for low, high in REGIONS),
            remedy="Use a product with all bands, or a model fitted without this prediction.",
        )
    share = (to - wavelength[right - 1]) / gap
    matrix, row = np.zeros((len(to), len(wavelength))), np.arange(len(to))
    matrix[row, right - 1], matrix[row, right] = 1.0 - share, share
    return matrix


def band_sun(wavelength: Array, fwhm: Array) -> Array:
    """(band) solar irradiance at 1 AU seen by Gaussian bands, mW m-2 nm-1."""
    return np.asarray(_responses(wavelength, fwhm) @ coarse_solar_irradiance())


def responses(wavelength: Array, fwhm: Array) -> Array:
    """(band, COARSE_WAVELENGTH) Gaussian responses that sum to 1."""
    return np.asarray(_responses(wavelength, fwhm).toarray())


def _responses(wavelength: Array, fwhm: Array) -> csr_array:
    widths = np.broadcast_to(np.asarray(fwhm, float), np.shape(wavelength))
    return sparse_response(COARSE_WAVELENGTH, np.asarray(wavelength, float), widths)


def geometry_terms(
    solar_zenith_angle: Tensor,
    view_zenith_angle: Tensor,
    relative_azimuth: Tensor,
    elevation: Tensor,
) -> Tensor:
    """``..., 4`` of order 1: slant of sun and view, their scattering angle, height of the ground.

    Args:
        solar_zenith_angle, view_zenith_angle, relative_azimuth: degrees.
        elevation: km above sea level.
    """
    sun, view = torch.deg2rad(solar_zenith_angle), torch.deg2rad(view_zenith_angle)
    azimuth = torch.sin(sun) * torch.sin(view) * torch.cos(torch.deg2rad(relative_azimuth))
    parts = (1 / torch.cos(sun) - 1.4, 10 * (1 / torch.cos(view) - 1), 2 * azimuth, elevation - 0.3)
    return torch.stack(torch.broadcast_tensors(*parts), dim=-1)


def parabola(wavelength: Array) -> Array:
    """(3, band) matrix that gives the coefficients of the best parabola (``ShapePrior``)."""
    x = (wavelength - CENTRE) / SCALE
    return np.linalg.pinv(np.stack([np.ones_like(x), x, x**2], axis=1))


def on_bands(wavelength: Array) -> Array:
    """(band, GRID) matrix that interpolates a smooth curve on GRID to bands, cubic."""
    return np.asarray(_cubic()(wavelength))


@cache
def _cubic() -> CubicSpline:
    from scipy.interpolate import CubicSpline  # takes 0.4 s, for which most sensors need not wait

    return CubicSpline(GRID, np.eye(GRID.size), axis=0)
