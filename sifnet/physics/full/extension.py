"""The emulator beyond its grid, for bands so wide that they reach over it.

Beside the O2-A band, from 732 to 791 nm, nothing but scattering, the sun and some water vapour
below 742 and above 785 nm shapes the light. Divided by the sun, the products are smooth there, and
a line through their continuum continues them. That is linear in the spectra, so it is done to the
basis once, and no state is computed again.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from sifnet.physics.emulator import Emulator
from sifnet.physics.full.spectral_grids import PRESMOOTHING_FWHM
from sifnet.physics.solar import solar_irradiance
from sifnet.physics.transfer import SUNLIT

Array = NDArray[np.float64]

REACH = (733.0, 791.0)  # nm
CONTINUUM = ((741.0, 749.0), (776.0, 779.0))  # nm, from which either end is continued


def extended(emulator: Emulator, reach: tuple[float, float] = REACH) -> Emulator:
    """The same emulator on a longer grid."""
    grid = emulator.grid.double().numpy()
    step = grid[1] - grid[0]
    below = grid[0] - step * np.arange(round((grid[0] - reach[0]) / step), 0, -1)
    above = grid[-1] + step * np.arange(1, round((reach[1] - grid[-1]) / step) + 1)
    wide = np.concatenate([below, grid, above])
    sun = smoothed_sun(wide)
    lines = [_line(grid, *end) for end in zip(CONTINUUM, (below, above), strict=True)]
    basis = emulator.basis.double().numpy()
    longer = []
    for product, spectra in enumerate(basis):
        light = sun if product < SUNLIT else np.ones_like(sun)
        smooth = spectra / light[len(below) : len(below) + len(grid)]
        before, after = (smooth @ line for line in lines)
        longer.append(np.concatenate([before, smooth, after], axis=1) * light)
    metadata = {**emulator.metadata, "continued_to": list(reach)}
    return Emulator(
        torch.as_tensor(wide), torch.as_tensor(np.array(longer)).float(), emulator.network, metadata
    )


def _line(grid: Array, region: tuple[float, float], target: Array) -> Array:
    """(grid, target) matrix from values in a region to the straight line through them."""
    inside = (grid >= region[0]) & (grid <= region[1])
    at_region = np.stack([np.ones(inside.sum()), grid[inside] - region[0]])
    at_target = np.stack([np.ones(len(target)), target - region[0]])
    matrix = np.zeros((len(grid), len(target)))
    matrix[inside] = np.linalg.pinv(at_region) @ at_target
    return matrix


def smoothed_sun(grid: Array) -> Array:
    """Solar irradiance (mW m-2 nm-1, 1 AU) on an even grid (nm), smoothed as the products are."""
    step = (grid[1] - grid[0]) / 4
    fine = np.arange(grid[0] - 0.2, grid[-1] + 0.2 + step / 2, step)
    sun = solar_irradiance(1e7 / fine[::-1])[::-1]
    offset = np.arange(-40, 41) * step
    kernel = np.exp(-4 * np.log(2) * (offset / PRESMOOTHING_FWHM) ** 2)
    smooth = np.convolve(sun, kernel / kernel.sum(), mode="same")
    return np.interp(grid, fine, smooth)
