"""SFM: spectral fitting, a nonlinear least-squares fit of every spectrum by itself.

Cogliati et al. (2019, Remote Sens. Environ. 231, 110840) fit reflectance and fluorescence to the
spectrum around O2-A with the atmosphere taken as known. Here the atmosphere is that of the prior
and the simulation is our own; the wavelength shift is fitted too, because no spectrometer in the
air is calibrated well enough to do without. Irradiance measured through the same spectrometer is
shifted as the radiance is: there the shift cannot be seen and does no harm.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
import xarray as xr
from numpy.polynomial import chebyshev
from numpy.typing import NDArray
from scipy.optimize import least_squares

from sifnet.evaluation.methods import simulator_of
from sifnet.physics.emulator import Emulator
from sifnet.physics.forward import Simulator
from sifnet.physics.state import SensorState
from sifnet.physics.surface import CENTRE, SCALE, sif_shape
from sifnet.physics.transfer import linearised, to_transfer
from sifnet.retrieval.pixels import Pixels, patch_shape, strips
from sifnet.retrieval.window import fit_window
from sifnet.scenes.scene import Scene

Array = NDArray[np.float64]

UNKNOWNS = ("c0", "c1", "c2", "sif_760", "wavelength_shift")
"""Reflectance c0 + c1 x + c2 x^2 with x = (wavelength - CENTRE) / SCALE as in
``physics.surface``, mW m-2 nm-1 sr-1, nm."""
UNITS = np.array([0.3, 0.05, 0.05, 1.0, 0.02])  # of the unknowns, steps of like effect
STRIP = 16  # lines that share an atmosphere and are read together
MOST = 40  # evaluations of a spectrum, of which it usually needs 5


@dataclass(frozen=True)
class ShiftedLight:
    """Transfer functions on bands as a function of wavelength shift, for one pixel or column.

    Attributes:
        wavelength: (band,) nominal, nm.
        shape, shape_slope: (band,) emission relative to 760 nm, and its derivative, nm-1.
        coefficients: (node, 5 * band) of Chebyshev polynomials of the shift; products in the
            order of ``sifnet.physics.transfer.PRODUCTS``; a single node if there is no shift.
        middle, reach: nm, of the shifts that the polynomials cover, and how far either way.
    """

    wavelength: Array
    shape: Array
    shape_slope: Array
    coefficients: Array
    middle: float
    reach: float

    def at(self, shift: float) -> tuple[Array, Array]:
        """The five products (5, band) and their derivatives to the shift, nm-1."""
        x = np.clip((shift - self.middle) / self.reach, -1.0, 1.0)
        terms, slopes = [1.0, x], [0.0, 1.0]
        for k in range(2, len(self.coefficients)):
            terms.append(2 * x * terms[k - 1] - terms[k - 2])
            slopes.append(2 * terms[k - 1] + 2 * x * slopes[k - 1] - slopes[k - 2])
        count = len(self.coefficients)
        weights = np.array([terms[:count], slopes[:count]]) / [[1.0], [self.reach]]
        value, change = (weights @ self.coefficients).reshape(2, 5, -1)
        return value, change


class _Light(NamedTuple):
    """Transfer functions as arrays, for which the closed form is the same arithmetic."""

    path: Array
    ground: Array
    ground_bounce: Array
    up: Array
    up_bounce: Array


class _Misfit:
    """Misfit of one spectrum in units of its noise, with its analytic Jacobian.

    The solver asks for both at the same place one after the other: they are computed together.
    Unknowns are in units of UNITS; without the last, the shift is 0.
    """

    def __init__(self, radiance: Array, noise: Array, light: ShiftedLight) -> None:
        self.radiance, self.noise, self.light = radiance, noise, light
        self.jacobian_there: tuple[Array, Array] | None = None

    def __call__(self, scaled: Array) -> Array:
        light, free = self.light, len(scaled)
        c0, c1, c2, sif, shift = UNITS * np.append(scaled, np.zeros(len(UNITS) - free))
        products, changes = light.at(shift)
        transfer: Any = _Light(*products)
        x = (light.wavelength + shift - CENTRE) / SCALE
        slope = (c1 + 2 * c2 * x) / SCALE
        reflectance, shape = c0 + x * (c1 + c2 * x), light.shape + light.shape_slope * shift
        simulated, to_r, to_f = linearised(reflectance, sif * shape, transfer)
        weights: Any = to_transfer(reflectance, sif * shape, transfer)
        to_shift = sum(weight * change for weight, change in zip(weights, changes, strict=True))
        to_shift = to_shift + to_r * slope + sif * light.shape_slope * to_f
        rows = np.stack([to_r, to_r * x, to_r * x**2, shape * to_f, to_shift])[:free]
        self.jacobian_there = scaled.copy(), (rows * UNITS[:free, None] / self.noise).T
        return (simulated - self.radiance) / self.noise

    def jacobian(self, scaled: Array) -> Array:
        if self.jacobian_there is None or not np.array_equal(self.jacobian_there[0], scaled):
            self(scaled)
        assert self.jacobian_there is not None
        return self.jacobian_there[1]


def spectral_fitting(radiance: Array, noise: Array, light: ShiftedLight) -> Array:
    """(5,) UNKNOWNS that explain one spectrum best; NaN where the fit does not converge.

    Levenberg-Marquardt from dark ground without fluorescence, to which only the level of the
    brightest bands is fitted.

    Args:
        radiance: (band,) mW m-2 nm-1 sr-1. noise: (band,) its standard deviation.
        light: transfer functions of the pixel.
    """
    unsolved = np.full(len(UNKNOWNS), np.nan)
    path, ground = light.at(0.0)[0][:2]
    bright = ground > np.quantile(ground, 0.7)
    level = np.mean((radiance - path)[bright]) / np.mean(ground[bright])
    if not (np.isfinite(radiance).all() and np.isfinite(level)):
        return unsolved
    free = len(UNKNOWNS) if len(light.coefficients) > 1 else len(UNKNOWNS) - 1
    start = np.zeros(free)
    start[0] = level / UNITS[0]
    misfit = _Misfit(radiance, noise, light)
    fitted = least_squares(
        misfit, start, jac=misfit.jacobian, method="lm", ftol=1e-6, xtol=1e-6, max_nfev=MOST
    )
    solution = np.append(fitted.x, np.zeros(len(UNKNOWNS) - free)) * UNITS
    return (
        solution if fitted.success and abs(solution[4] - light.middle) < light.reach else unsolved
    )


def spectral_fitting_scene(
    scene: Scene,
    *,
    emulator: Emulator | None = None,
    atmosphere: xr.Dataset | None = None,
    at: NDArray[np.bool_] | None = None,
) -> Array:
    """(line, sample) fluorescence at 760 nm of a scene, mW m-2 nm-1 sr-1.

    NaN where a pixel is not usable, where the fit does not converge, and outside ``at``.

    Args:
        emulator: the shipped one by default.
        atmosphere: outside knowledge of the atmosphere (see ``pixels.read``).
        at: (line, sample), the pixels to fit; all by default. Spectra are fitted one by one: about
            a thousand a second.
    """
    simulator = simulator_of(scene, emulator)
    at = np.ones(scene.shape[:2], bool) if at is None else at
    sif = np.full(at.shape, np.nan)
    # Only what is asked for is read: a few lines and samples of a long scene.
    lines, samples = np.flatnonzero(at.any(1)), np.flatnonzero(at.any(0))
    if not lines.size:
        return sif
    part = Scene(scene.dataset.isel(line=lines, sample=samples))
    shape = patch_shape(part, (STRIP, samples.size))
    for window, pixels in strips(
        part,
        shape,
        strip=STRIP,
        ranges=simulator.emulator.ranges,
        window=fit_window(part, simulator.emulator),
        atmosphere=atmosphere,
    ):
        place = np.ix_(lines[window], samples)
        sif[place] = _fit_strip(pixels, at[place], simulator)
    return sif


def _fit_strip(pixels: Pixels, wanted: NDArray[np.bool_], simulator: Simulator) -> Array:
    """(line, sample) fluorescence of the pixels of a strip that are ``wanted`` and usable."""
    instrument, coefficients = simulator.instrument, _shifted(pixels, simulator)
    wavelength = instrument.wavelength.double().numpy()
    around = [sif_shape(torch.as_tensor(wavelength + d)).numpy() for d in (-0.5, 0.0, 0.5)]
    low, high = instrument.shift_range
    radiance, noise, usable = (
        x.flatten(0, 1).numpy().astype(kind)
        for x, kind in ((pixels.radiance, float), (pixels.noise, float), (pixels.usable, bool))
    )
    sif = np.full(wanted.shape, np.nan)
    for line, sample in np.argwhere(wanted & usable[: len(wanted)]):
        light = ShiftedLight(
            wavelength,
            around[1],
            around[2] - around[0],
            coefficients[line % len(coefficients), sample],
            (low + high) / 2,
            (high - low) / 2,
        )
        sif[line, sample] = spectral_fitting(radiance[line, sample], noise[line, sample], light)[3]
    return sif


@torch.no_grad()
def _shifted(pixels: Pixels, simulator: Simulator) -> Array:
    """(line, sample, node, 5 * band) coefficients of ShiftedLight; one line if lines are alike.

    Patches follow each other along line. The instrument is itself a Chebyshev series in the
    shift, of which its values at as many points are all there is to know.
    """
    instrument = simulator.instrument
    count = instrument.nodes[0] if pixels.irradiance is None else 1
    points = chebyshev.chebpts1(count)
    low, high = instrument.shift_range
    shift = torch.as_tensor((low + high) / 2 + points * (high - low) / 2).to(pixels.radiance)
    shift = shift[:, None, None, None]
    sensor = SensorState(shift, torch.zeros_like(shift))
    t = simulator.transfer(pixels.prior.mean, sensor, pixels.geometry, pixels.irradiance)
    products = torch.stack(torch.broadcast_tensors(*(x for _, x in t.items())), dim=-2)
    values = products.flatten(-2).double().numpy()  # node, patch, line, sample, 5 * band
    coefficients = np.tensordot(np.linalg.inv(chebyshev.chebvander(points, count - 1)), values, 1)
    return np.moveaxis(coefficients.reshape(count, -1, *values.shape[3:]), 0, -2)
