"""Full radiative transfer that is quick: on half the wavenumbers, and never twice for the same."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from sifnet.physics.full.radiative_transfer import Observer
from sifnet.physics.full.spectral_grids import SpectralGrids
from sifnet.physics.windows import FAR_RED, Window
from sifnet.simulation import scenery


class Coarse(SpectralGrids):
    """Good to 0.3 % in the O2 A band."""

    tolerance = 1e-2


_grids = cache(Coarse)


def quick_light(patch: pytest.MonkeyPatch) -> None:
    """From now on scenes are simulated in it."""
    computed: dict[tuple[object, ...], np.ndarray] = {}
    compute = scenery.products_of

    def once(
        settings: scenery.Settings,
        zenith: float,
        observers: list[Observer],
        window: Window = FAR_RED,
    ) -> np.ndarray:
        asked = (settings, zenith, tuple(observers), window)
        if asked not in computed:
            computed[asked] = compute(settings, zenith, observers, window)
        return computed[asked].copy()

    patch.setattr(scenery, "_grids", _grids)
    patch.setattr(scenery, "products_of", once)
