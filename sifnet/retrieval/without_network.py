"""A retrieval whose search starts from what is known beforehand, for bands that tell all.

A network shortens the search for what pixels share and for their surfaces; where bands resolve the
lines of sun and oxygen, the search finds the same from the prior's air, the nominal sensor and
level ground. So a spectrometer in space for which no model ships can be mapped: its encoder says
these, whatever it is shown.
"""

from __future__ import annotations

from copy import deepcopy
from functools import lru_cache
from typing import Any

import torch

from sifnet.physics.emulator import Emulator
from sifnet.physics.state import SensorState
from sifnet.physics.surface import Surface
from sifnet.physics.windows import FAR_RED, RED, Window
from sifnet.retrieval.encoder import Architecture, unbounded
from sifnet.retrieval.losses import LossWeights
from sifnet.retrieval.model import Retrieval, Setup
from sifnet.scenes.registration import WIDEST
from sifnet.scenes.scene import Scene

LEVEL = {FAR_RED: 0.3, RED: 0.1}  # reflectance from which the search begins
# Independent pixels of a scene, as of DESIS: what the emulator is wrong by, 0.1 % in the band, and
# shapes of reflectance are common to all, and many pixels would move the air to explain them.
ALIKE = 10.0
SMALLEST = Architecture(
    features=1, widths=(1,), repeats=(1,), dropout=(0.0,), head_widths=(1,), head_repeats=(1,)
)


def needs_no_network(scene: Scene) -> bool:
    """Whether its bands resolve the lines, from space, in sunlight alone."""
    low, high = scene.sensor.window
    inside = (scene.wavelength >= low) & (scene.wavelength <= high)
    resolved = bool(inside.any()) and float(scene.fwhm[inside].mean()) < WIDEST
    silent = scene.irradiance is None and not scene.sensor.inspect_only
    return scene.space and resolved and silent


@torch.no_grad()
def from_prior(
    scene: Scene,
    window: Window = FAR_RED,
    sensor: SensorState | None = None,
    **options: Any,
) -> Retrieval:
    """A retrieval of the scene's bands that knows nothing but the prior.

    Args:
        window: of the far red, as wide as usual for the sensor, or the red one.
        sensor: a state, from which the search begins; nominal by default.
        options: of the ``Setup``.

    Raises:
        SifnetError: the sensor can be inspected only, or has too few bands.
    """
    asked = None if window is FAR_RED else window.fitted
    usual: dict[str, Any] = {"weights": LossWeights(independent_pixels=ALIKE)}
    emulator = _emulator(window, space=scene.space)
    setup = Setup.of_scene(scene, emulator, asked, architecture=SMALLEST, **usual | options)
    model = deepcopy(_nominal(setup, window))
    if sensor is not None:
        _begin(model, sensor)
    return model


@lru_cache
def _emulator(window: Window, *, space: bool) -> Emulator:
    return Emulator.load(space=space, window=window)


@lru_cache(maxsize=4)
@torch.no_grad()
def _nominal(setup: Setup, window: Window) -> Retrieval:
    """Whose search begins at the nominal sensor; kept, as it takes half a second."""
    model = Retrieval(setup, _emulator(window, space=setup.space))
    encoder = model.encoder
    for head in (encoder.patch_head, encoder.column_head, encoder.pixel_head):
        head.leave.weight.zero_()
        head.leave.bias.zero_()
    like = torch.zeros(())
    ground = Surface.flat(LEVEL[window], like).stack()
    low, high = encoder.span(Surface, like)
    encoder.pixel_head.leave.bias[: len(ground)] = unbounded(ground, low, high)
    _begin(model, SensorState(like, like))
    model.made_by = {"network": "none: the search starts from the prior"}
    model.discrepancy  # noqa: B018 - copies have it then
    return model.eval()


def _begin(model: Retrieval, sensor: SensorState) -> None:
    """Have the search begin at a state of the sensor."""
    bias = model.encoder.column_head.leave.bias
    low, high = model.encoder.span(SensorState, bias)
    bias.copy_(unbounded(sensor.stack().to(low), low, high))
