"""A small emulator of the toy atmosphere, made in a second: linear in features, not trained.

It need not be accurate: tests that use it make their truth with it.
"""

from __future__ import annotations

from functools import cache

from fakes.samples import fake_samples
from sifnet.physics.emulator import Emulator
from sifnet.physics.full.emulator_fit import FitSettings, fit_samples
from sifnet.physics.state import RANGES


@cache
def fake_emulator() -> Emulator:
    """An airborne emulator over the full ranges, the same on every call."""
    settings = FitSettings(components=8, width=8, blocks=0, epochs=0)
    emulator = fit_samples(fake_samples(60, seed=3), settings)
    emulator.metadata["ranges"] = {name: RANGES[name] for name in emulator.ranges}
    return emulator
