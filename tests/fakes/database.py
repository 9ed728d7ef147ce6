"""A database of transfer products from a closed-form toy atmosphere.

Lines of a rigid rotor stand in for the O2 A band, one scattering layer for the atmosphere. It has
the same dependence on everything (air mass, pressure, sensor height, aerosol, angles) at no cost.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from sifnet.physics.full.database import STATE
from sifnet.physics.state import RANGES

_FINE = np.arange(739.8, 780.2001, 0.01)
_Array = NDArray[np.float64]


def optical_depth_of_lines(fine: _Array = _FINE) -> _Array:
    """Vertical O2-like optical depth at 1013 hPa, from rotor lines of 0.02 nm width."""
    n = np.arange(1, 40, 2)
    strength = n * np.exp(-1.44 * n * (n + 1) / 207.0)
    branch_p = 13122.0 - 2.829 * n - 0.0465 * n**2
    branch_r = 13122.0 + 2.829 * (n + 1) - 0.0465 * (n + 1) ** 2
    centres = 1e7 / np.concatenate([branch_p, branch_p - 1.9, branch_r, branch_r - 1.9])
    x = (fine[:, None] - centres) / 0.004
    return 6.0 * (np.tile(strength, 4) / (1 + x**2)).sum(axis=1)


def fake_products(state: _Array) -> NDArray[np.float32]:
    """Products (sample, 5, wavelength on database.GRID) of states (sample, 10)."""
    p, dt, aot, height, kind, o2, sza, vza, raa, sensor = (c[:, None] for c in state.T)
    mu0, mu = np.cos(np.radians(sza)), np.cos(np.radians(vza))
    p = p / 1013.25
    tau = optical_depth_of_lines()
    tau_o2 = o2 * tau * p * (1 + 0.3 * (p - 1) * np.tanh(1 / (tau + 0.1)) + 2e-3 * dt)
    aerosol = aot * (550.0 / _FINE) ** (1.4 - 0.8 * kind)
    rayleigh = 0.026 * p * (760.0 / _FINE) ** 4
    below = 1 - np.exp(-sensor / 8.0)  # share of the air between ground and sensor
    below_aerosol = 1 - np.exp(-sensor / height)
    sun = 1255.0 - 3.0 * (_FINE - 760.0) - 60.0 * np.exp(-(((_FINE - 766.5) / 0.05) ** 2))
    down = mu0 * np.exp(-(tau_o2 + 0.2 * aerosol + 0.5 * rayleigh) / mu0)
    up = np.exp(-(tau_o2 * below + 0.2 * aerosol * below_aerosol + 0.5 * rayleigh * below) / mu)
    bounce = (0.9 * rayleigh + 0.15 * aerosol) * np.exp(-0.5 * tau_o2)
    cos_scatter = -(
        mu * mu0 + np.sin(np.radians(sza)) * np.sin(np.radians(vza)) * np.cos(np.radians(raa))
    )
    phase_r = 0.75 * (1 + cos_scatter**2)
    g = 0.65 + 0.1 * kind
    phase_a = (1 - g**2) / (1 + g**2 - 2 * g * cos_scatter) ** 1.5
    scattered = phase_r * rayleigh * below + phase_a * aerosol * below_aerosol
    depth_to_layer = tau_o2 * (np.exp(-height / 8.0) / mu0 + below * 0.5 / mu)
    path = sun * scattered / (4 * np.pi * mu) * np.exp(-depth_to_layer) / (1 + aerosol / mu0)
    path = path * mu0
    ground = sun * down * up / np.pi
    fine = np.stack([path, ground, ground * bounce, up, up * bounce], axis=1)
    smooth = gaussian_filter1d(fine, 0.06 / 2.3548 / 0.01, axis=-1, mode="nearest")
    return smooth[..., 20:-20:2].astype(np.float32)


def fake_states(atmospheres: int, geometries: int, *, space: bool, seed: int) -> _Array:
    """States (sample, 10) over all ranges; samples of an atmosphere share their first seven."""
    rng = np.random.default_rng(seed)
    low, high = np.array([RANGES[name] for name in STATE]).T
    state = rng.uniform(low, high, (atmospheres, geometries, 10))
    state[:, :, :7] = state[:, :1, :7]
    height = np.exp(rng.uniform(np.log(low[9]), np.log(high[9]), state.shape[:2]))
    state[..., 9] = np.inf if space else height
    return state.reshape(-1, 10)
