"""What others would do with the same scene, beside which the retrieval is judged."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from sifnet.physics.emulator import Emulator
from sifnet.physics.instrument import Instrument
from sifnet.retrieval.model import instrument_for
from sifnet.retrieval.pixels import fit_bands
from sifnet.scenes.scene import MeasuredResponse, Scene
from sifnet.scenes.sensor import Sensor


def shipped_emulator(scene: Scene) -> Emulator:
    """The emulator of the air, or of space, that ships with the package.

    Raises:
        SifnetError: its file is missing.
    """
    return Emulator.load(space=bool(np.isposinf(scene.dataset["sensor_height"]).all()))


def nominal_instrument(
    scene: Scene, emulator: Emulator, window: tuple[float, float] | None = None
) -> Instrument:
    """A scene's bands within a window (nm), with the shifts and widths usual for its sensor.

    It takes a second to build and belongs to the sensor, so the latest few are kept.

    Raises:
        SifnetError: too few bands, or bands that do not suit the emulator.
    """
    bands = fit_bands(scene.wavelength, window or scene.sensor.window)
    return _instrument(
        tuple(scene.wavelength[bands]),
        tuple(scene.fwhm[bands]),
        scene.sensor,
        emulator,
        scene.response(bands),
    )


@lru_cache(maxsize=4)
def _instrument(
    wavelength: tuple[float, ...],
    fwhm: tuple[float, ...],
    sensor: Sensor,
    emulator: Emulator,
    response: MeasuredResponse | None,
) -> Instrument:
    return instrument_for(sensor, wavelength, fwhm, emulator, response)
