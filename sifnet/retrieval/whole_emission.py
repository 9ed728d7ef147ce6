"""The whole emission, 670-780 nm, of pixels of which SIF is known in one or both oxygen bands.

What canopies emit is a level, SIF at 760 nm, times a shape: a mean, principal components
(``data/emission.csv``) and what real leaves may differ from these by (``full_spectrum.LEAF``),

    F = a (m + sum s c),    a = SIF at 760 nm +- its sigma,    s of unit variance, apart from a

The products a s have the mean 0, the variance <a>^2 + sigma^2, and do not vary with a. Given
these moments, the linear estimate of least variance is conditioned on SIF at 687 nm (Rodgers 2000,
doi 10.1142/3171, eq. 4.5, for one measurement). So each band tells of the other: of 687 nm the
emission is what its lines say and what canopies do, and more certain than ``sif_687``, which is
what the lines alone say. Where SIF at 687 nm is not known, the spread of canopies is all in sigma.

Mean and spread are those of SCOPE's canopies, each counted as much as it emits (USUAL, VARIED): the
sparse and dark ones among them, from which more of the red escapes, are of little consequence. They
are a hypercube of inputs, wider than a landscape, and skewed.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline

from sifnet.physics.windows import RED
from sifnet.retrieval.emission import Emission, Measured, canopies
from sifnet.retrieval.full_spectrum import ANCHOR, LEAF, SPACING, WINDOW, b_splines

Array = NDArray[np.float64]

WAVELENGTH: Array = np.arange(WINDOW[0], WINDOW[1] + 1.0)
# Scores of the components of ``data/emission.csv``, mean and a root of their covariance, where a
# canopy counts as much as it emits (data/make_emission.py prints them).
USUAL = (-0.226, -0.051, 0.092)
VARIED = ((0.732, 0.0, 0.0), (-0.331, 0.823, 0.0), (-0.024, -0.216, 0.886))
LEAST = 1e-3  # of the largest shape, below which shapes are left out


def whole_emission(sif_760: Measured, sif_687: Measured | None = None) -> Emission:
    """Emission at ``WAVELENGTH`` of pixels; NaN where ``sif_760`` is.

    Args:
        sif_760: (pixel) mW m-2 nm-1 sr-1.
        sif_687: the same in the O2 B band, as its lines alone have it; NaN where it is not known.
            Its errors are taken as others than those of ``sif_760``.
    """
    every = shapes()
    there = every[RED.reference == WAVELENGTH][0]
    level, spread = sif_760.value, sif_760.sd**2
    prior = np.repeat((level**2 + spread)[:, None], every.shape[1], axis=1)
    prior[:, 0] = spread
    state = np.zeros_like(prior)
    state[:, 0] = level
    moved = np.zeros_like(prior)  # the state by SIF at 687 nm
    if sif_687 is not None:
        known = np.isfinite(sif_687.value) & np.isfinite(sif_687.sd)
        expected = prior[known] * there
        total = expected @ there + sif_687.sd[known] ** 2
        moved[known] = expected / total[:, None]
        state[known] += moved[known] * (sif_687.value - level * there[0])[known, None]
    unit = np.eye(every.shape[1])
    left = unit - moved[:, :, None] * there  # of the prior
    covariance = left * prior[:, None, :]
    by_level = left[:, :, 0]  # the state by SIF at 760 nm
    noise = np.einsum("n,nu,nv->nuv", sif_760.own**2, by_level, by_level)
    if sif_687 is not None:
        own = np.where(known, sif_687.own, 0.0) ** 2
        noise += np.einsum("n,nu,nv->nuv", own, moved, moved)
    return Emission(WAVELENGTH, state @ every.T, every, covariance, noise)


@cache
def shapes() -> Array:
    """(wavelength, shape): the mean shape, and what shapes vary by, each at one sd."""
    at, usual = usual_canopies()
    mean, *components = CubicSpline(at, usual)(WAVELENGTH).T
    splines = b_splines(*WINDOW, SPACING["leaf"])
    leaf = LEAF * mean[:, None] * (splines(WAVELENGTH) - splines(np.array([ANCHOR])))
    varied = np.concatenate([np.stack(components, -1), leaf], axis=1)
    directions, size, _ = np.linalg.svd(varied, full_matrices=False)
    kept = size > LEAST * size[0]
    return np.concatenate([mean[:, None], (directions * size)[:, kept]], axis=1)


def usual_canopies() -> tuple[Array, Array]:
    """nm, and (wavelength, shape) relative to 760 nm: the mean, and components of unit variance."""
    table = canopies()
    mean, components = table[:, 1], table[:, 2:]
    usual = np.column_stack([mean + components @ USUAL, components @ np.array(VARIED)])
    return table[:, 0], usual
