"""How wrong an emulator is, on samples of full radiative transfer it never saw."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sifnet.physics.emulator import Emulator
from sifnet.physics.full import database
from sifnet.physics.full.samples import Samples
from sifnet.physics.instrument import gaussian_response
from sifnet.physics.noise import noise_sd
from sifnet.physics.surface import powers_of, sif_shape
from sifnet.physics.transfer import PRODUCTS, TransferFunctions, at_sensor_radiance, linearised
from sifnet.physics.windows import FAR_RED, RED, Window

_Array = NDArray[np.floating]

SHOT_NOISE = 0.07  # of HyPlant, by which errors are weighed
REFLECTANCES = (0.05, 0.3, 0.5)
SIF_760 = 1.0  # mW m-2 nm-1 sr-1, of the ground that errors are measured over


@dataclass(frozen=True)
class MeasuredBands:
    """Bands that errors are measured in: Gaussians over the bands that are fitted."""

    fwhm: float
    sampling: float
    window: Window = FAR_RED

    @property
    def centres(self) -> _Array:
        """Band centres, nm."""
        low, high = self.window.fitted
        return np.arange(low, high + 1e-6, self.sampling)

    def matrix(self) -> _Array:
        """Responses ``band, wavelength`` on the window's grid, its smoothing allowed for."""
        width, centres = np.sqrt(self.fwhm**2 - database.PRESMOOTHING_FWHM**2), self.centres
        return gaussian_response(self.window.wavelength, centres, np.full(len(centres), width))


FINE_BANDS = "0.25nm"
MEASURED_BANDS = {
    FAR_RED: {FINE_BANDS: MeasuredBands(0.25, 0.11), "3.5nm": MeasuredBands(3.5, 2.55)},
    RED: {FINE_BANDS: MeasuredBands(0.25, 0.11, RED)},
}


def emulator_errors(emulator: Emulator, samples: Samples) -> dict[str, float]:
    """Errors over all samples, bands and reflectances 0.05, 0.3, 0.5.

    Returns:
        ``radiance_rms_percent_<fwhm>`` and ``radiance_p99_percent_<fwhm>``: of the error relative
        to the radiance of that band; ``sif_equivalent_rms`` (mW m-2 nm-1 sr-1), see below, and
        its ``sif_equivalent_p99``, at 0.25 nm.
    """
    report: dict[str, float] = {}
    atmosphere, geometry = samples.atmosphere(), samples.geometry()
    precise = deepcopy(emulator).double()
    with torch.no_grad():
        components = precise(atmosphere, geometry)
    for name, bands in MEASURED_BANDS[samples.window].items():
        matrix = bands.matrix()
        emulated = _on_bands(precise, components, matrix, samples.window)
        exact = samples.transfer(matrix)
        centres = torch.as_tensor(bands.centres)
        errors = [radiance_error(emulated, exact, centres, r) for r in REFLECTANCES]
        relative = 100.0 * torch.stack([error / radiance for error, radiance in errors])
        report |= _rms_and_p99("radiance_{}_percent_" + name, relative)
        if name == FINE_BANDS:
            pairs = zip(errors, REFLECTANCES, strict=True)
            sif = [sif_equivalent(error, exact, centres, r) for (error, _), r in pairs]
            report |= _rms_and_p99("sif_equivalent_{}", torch.stack(sif))
    return report


def _rms_and_p99(name: str, error: Tensor) -> dict[str, float]:
    """Root mean square and 99th percentile of absolute errors, each in its place of a name."""
    p99 = float(np.quantile(error.abs().numpy(), 0.99))
    return {name.format("rms"): float(error.square().mean().sqrt()), name.format("p99"): p99}


def _on_bands(
    emulator: Emulator, t: TransferFunctions, matrix: _Array, window: Window
) -> TransferFunctions:
    # An emulator for space reaches beyond the wavelengths that were computed.
    first = int(torch.searchsorted(emulator.grid, window.grid[0] - 1e-6))
    computed = emulator.basis[..., first : first + matrix.shape[1]]
    convolved = computed @ torch.as_tensor(matrix.T)
    return TransferFunctions(*(getattr(t, p) @ convolved[i] for i, p in enumerate(PRODUCTS)))


def radiance_error(
    emulated: TransferFunctions, exact: TransferFunctions, wavelength: Tensor, reflectance: float
) -> tuple[Tensor, Tensor]:
    """Error of emulated radiance and the radiance, mW m-2 nm-1 sr-1, ``sample, band``."""
    flat = torch.full_like(wavelength, reflectance)
    sif = SIF_760 * sif_shape(wavelength)
    radiance = at_sensor_radiance(flat, sif, exact)
    return at_sensor_radiance(flat, sif, emulated) - radiance, radiance


def sif_equivalent(
    error: Tensor, exact: TransferFunctions, wavelength: Tensor, reflectance: float
) -> Tensor:
    """Fluorescence at 760 nm that a radiance error would be taken for, ``sample``.

    Least squares, weighted by HyPlant's noise, of the error on four derivatives of radiance: by
    sif_760 and by the three coefficients of a quadratic reflectance. The coefficient of sif_760
    is what a retrieval with a known atmosphere would be wrong by.
    """
    flat, shape = torch.full_like(wavelength, reflectance), sif_shape(wavelength)
    radiance, slope, to_sif = linearised(flat, SIF_760 * shape, exact)
    basis = slope[..., None] * powers_of(wavelength, 3)
    derivatives = torch.cat([(to_sif * shape)[..., None], basis], dim=-1)
    weight = 1.0 / noise_sd(radiance, SHOT_NOISE)
    solved = torch.linalg.lstsq(derivatives * weight[..., None], (error * weight)[..., None])
    return solved.solution[:, 0, 0]
