"""What others would do with the same scene, beside which the retrieval is judged."""

from __future__ import annotations

from functools import lru_cache

from sifnet.physics.emulator import Emulator
from sifnet.physics.forward import Simulator
from sifnet.retrieval.model import instrument_for
from sifnet.retrieval.window import fit_bands, fit_window
from sifnet.scenes.scene import Scene


def simulator_of(
    scene: Scene, emulator: Emulator | None = None, window: tuple[float, float] | None = None
) -> Simulator:
    """A scene's bands within a window (nm), with the shifts and widths usual for its sensor.

    An instrument takes a second to build and belongs to the sensor, so the latest few are kept.

    Args:
        emulator: that of the air, or of space, that ships with the package by default.

    Raises:
        SifnetError: too few bands, or bands that do not suit the emulator.
    """
    if emulator is None:
        emulator = _shipped(space=scene.space)
    bands = fit_bands(scene.wavelength, fit_window(scene, emulator, window))
    instrument = _instrument(
        scene.sensor,
        tuple(scene.wavelength[bands]),
        tuple(scene.fwhm[bands]),
        emulator.requires_grad_(False),
        scene.response(bands),
    )
    return Simulator(emulator, instrument)


_shipped = lru_cache(maxsize=2)(Emulator.load)
_instrument = lru_cache(maxsize=4)(instrument_for)
