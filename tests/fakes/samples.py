"""Samples of the toy atmosphere, and an emulator fitted to some of them in seconds."""

from __future__ import annotations

from functools import cache

from fakes.database import fake_products, fake_states
from sifnet.physics.emulator import Emulator
from sifnet.physics.full.emulator_fit import FitSettings, fit_samples
from sifnet.physics.full.samples import Samples


def fitted_emulator(*, space: bool = False) -> Emulator:
    """Emulator of the toy atmosphere in ``fakes.database``; the same object every time."""
    return _fitted(space)  # a cache takes one way to call for another


@cache
def _fitted(space: bool) -> Emulator:
    settings = FitSettings(components=10, width=48, blocks=1, epochs=40, batch=64)
    return fit_samples(fake_samples(120, space=space, seed=5), settings)


def fake_samples(atmospheres: int, *, space: bool = False, seed: int = 1) -> Samples:
    """Four samples of each of some toy atmospheres."""
    state = fake_states(atmospheres, 4, space=space, seed=seed)
    return Samples(state, fake_products(state))
