"""Wavelength grids: where light is computed, where the sun multiplies it, where products live."""

from __future__ import annotations

from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from sifnet.physics.full.atmosphere import layers
from sifnet.physics.full.radiative_transfer import MonochromaticTransfer
from sifnet.physics.full.spectroscopy import CrossSections, absorption_cross_section
from sifnet.physics.solar import solar_irradiance
from sifnet.physics.state import RANGES
from sifnet.physics.windows import FAR_RED, Window

Array = NDArray[np.float64]

GRID: Array = FAR_RED.wavelength
"""Wavelengths of the products of the far-red window, nm, vacuum."""
PRESMOOTHING_FWHM = 0.06
"""FWHM, nm, of the Gaussian the products are smoothed with; no sensor is as sharp."""


class SpectralGrids:
    """The wavenumbers of radiative transfer, and the way from there to a window's ``grid``.

    Radiative transfer runs on few, unevenly spaced wavenumbers, dense only in O2 lines. Its
    results, smooth in between, are interpolated to an even step fine enough for solar lines,
    and only there multiplied by the sun and smoothed.
    """

    step = 0.02  # cm-1; 0.04 is wrong by 0.16 % in the O2 A band
    tolerance = 1e-3  # of transmittances that are interpolated; 1e-2 is wrong by 0.3 % there

    def __init__(self, window: Window = FAR_RED) -> None:
        self.window, self.grid = window, window.wavelength

    @cached_property
    def fine(self) -> Array:
        """Even wavenumbers, cm-1, reaching beyond ``grid`` by 3 presmoothing widths."""
        low, high = 1e7 / (self.grid[-1] + 0.2), 1e7 / (self.grid[0] - 0.2)
        return np.arange(low, high + self.step, self.step)

    @cached_property
    def solar(self) -> Array:
        """Solar irradiance at 1 AU on ``fine``, mW m-2 nm-1."""
        return solar_irradiance(self.fine)

    @cached_property
    def cross_sections(self) -> CrossSections:
        """Cross-sections at the wavenumbers of radiative transfer."""
        return CrossSections(self._wavenumbers())

    def _wavenumbers(self) -> Array:
        """Wavenumbers between which transmittances can be interpolated to the tolerance."""
        air = layers(RANGES["surface_pressure"][1])
        groups = np.arange(0, len(air.o2_column), 4)
        column = np.add.reduceat(air.o2_column, groups)
        depth = column[:, None] * [
            absorption_cross_section(self.fine, air.pressure[i], air.temperature[i]) for i in groups
        ]
        above = np.cumsum(depth[::-1], axis=0)[::-1]  # of the column above a layer
        curves = np.exp(-np.concatenate([above[:1] / 2, above[:1] * 3, above[::2]]))
        return self.fine[interpolation_nodes(self.fine, curves, self.tolerance)]

    @cached_property
    def smoothing(self) -> csr_array:
        """(grid, fine) Gaussian of ``PRESMOOTHING_FWHM`` in wavelength, rows summing to 1."""
        wavelength, grid = 1e7 / self.fine[::-1], self.grid
        sigma = PRESMOOTHING_FWHM / np.sqrt(8 * np.log(2))
        first, last = np.searchsorted(wavelength, (grid - 5 * sigma, grid + 5 * sigma))
        row = np.repeat(np.arange(len(grid)), last - first)
        column = np.concatenate([np.arange(*ends) for ends in zip(first, last, strict=True)])
        near = wavelength[column]
        # Steps are even in wavenumber: weigh by d(wavelength) ~ wavelength^2.
        weight = np.exp(-0.5 * ((near - grid[row]) / sigma) ** 2) * near**2
        weight /= np.bincount(row, weight)[row]
        triple = weight, (row, len(self.fine) - 1 - column)
        return csr_array(triple, shape=(len(grid), len(self.fine)))

    def to_fine(self, spectra: Array) -> Array:
        """Interpolate (..., n) from the wavenumbers of radiative transfer to ``fine``."""
        nodes = self.cross_sections.wavenumber
        right = np.clip(np.searchsorted(nodes, self.fine), 1, len(nodes) - 1)
        share = (self.fine - nodes[right - 1]) / (nodes[right] - nodes[right - 1])
        return spectra[..., right - 1] * (1 - share) + spectra[..., right] * share

    def products(self, light: MonochromaticTransfer) -> Array:
        """The five products (observer, 5, grid) of light at the wavenumbers it was computed on."""
        return self.smooth(light.map(self.to_fine).products(self.solar))

    def to_grid(self, spectra: NDArray[np.floating], *, sun: bool) -> Array:
        """Spectra (sample, product, n) of radiative transfer to ``grid``, sunlit if asked."""
        done = np.empty((*spectra.shape[:-1], len(self.grid)))
        for i, some in enumerate(spectra):
            fine = self.to_fine(some.astype(float))
            done[i] = self.smooth(fine * self.solar if sun else fine)
        return done

    def smooth(self, spectra: Array) -> Array:
        """Smooth (..., fine) to (..., grid)."""
        flat = spectra.reshape(-1, spectra.shape[-1])
        return (self.smoothing @ flat.T).T.reshape(*spectra.shape[:-1], len(self.grid))


def interpolation_nodes(x: Array, curves: Array, tolerance: float) -> NDArray[np.intp]:
    """Indices of ``x`` between which all ``curves`` (curve, n) are linear within ``tolerance``."""
    chosen = np.unique(np.append(np.arange(0, len(x), 100), len(x) - 1))
    while True:
        error = np.max([np.abs(np.interp(x, x[chosen], c[chosen]) - c) for c in curves], axis=0)
        bad = np.flatnonzero(error > tolerance)
        if not len(bad):
            return chosen
        # The worst point of every interval that is still bad joins.
        interval = np.searchsorted(chosen, bad)
        order = np.lexsort((-error[bad], interval))
        _, worst = np.unique(interval[order], return_index=True)
        chosen = np.union1d(chosen, bad[order][worst])
