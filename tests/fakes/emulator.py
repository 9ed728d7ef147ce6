"""A small emulator of the toy atmosphere, made in a second: principal components, linear in features.

It need not be accurate: tests that use it make their truth with it.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import torch
from fakes.database import GRID, STATE_NAMES, fake_products, fake_states

from sifnet.physics.emulator import SUNLIT, CoefficientNetwork, Emulator, state_features
from sifnet.physics.state import RANGES, Atmosphere, Geometry


@cache
def fake_emulator(components: int = 8, samples: int = 160) -> Emulator:
    """An airborne emulator over the full ranges, the same on every call."""
    state = fake_states(samples // 4, 4, space=False, seed=3)
    products = fake_products(state).astype(float)
    products[:, :SUNLIT] /= np.cos(np.radians(state[:, 6]))[:, None, None]
    basis, coefficients = [], []
    for product in products.transpose(1, 0, 2):
        mean = product.mean(0)
        _, _, vectors = np.linalg.svd(product - mean, full_matrices=False)
        basis.append(np.concatenate([mean[None], vectors[: components - 1]]))
        coefficients.append((product - mean) @ vectors[: components - 1].T)
    target = np.concatenate(coefficients, axis=1)
    tensors = dict(zip(STATE_NAMES, torch.as_tensor(state.T), strict=True))
    atmosphere = Atmosphere(*(tensors[n] for n in Atmosphere.__dataclass_fields__))
    angles = {n: tensors[n] for n in Geometry.__dataclass_fields__ if n in tensors}
    geometry = Geometry(**angles, sun_earth_distance=torch.ones(len(state)))
    features = state_features(atmosphere, geometry, space=False).numpy()
    network = CoefficientNetwork(features.shape[1], target.shape[1], width=8, blocks=0)
    centre, spread = features.mean(0), features.std(0)
    x = (features - centre) / spread
    ridge = x.T @ x + 1e-3 * len(x) * np.eye(x.shape[1])
    with torch.no_grad():
        network.feature_mean.copy_(torch.as_tensor(centre))
        network.feature_sd.copy_(torch.as_tensor(spread))
        network.coefficient_mean.copy_(torch.as_tensor(target.mean(0)))
        network.linear.weight.copy_(torch.as_tensor(np.linalg.solve(ridge, x.T @ target).T))
        network.leave.weight.zero_()
        network.leave.bias.zero_()
    metadata = {
        "space": False,
        "presmoothing_fwhm": 0.06,
        "ranges": {name: list(RANGES[name]) for name in STATE_NAMES},
        "network": {"features": x.shape[1], "coefficients": target.shape[1], "width": 8,
                    "blocks": 0},
    }  # fmt: skip
    as_float = [torch.as_tensor(np.array(a), dtype=torch.float32) for a in (GRID, basis)]
    return Emulator(as_float[0], as_float[1], network, metadata)
