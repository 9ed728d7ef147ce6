"""What metres to tens of metres of air do between a canopy and the spectrometer above it.

Oxygen takes a part of the emission on its way up, and of sunlight on its way down and up again; the
emulator knows both in the O2 A band (``physics.forward.Simulator``). At 2 m it is a third of a per
cent; on a tower of 20 m 3 % of emission at 760 nm and, because sunlight seems weakened as if less
were emitted, up to a tenth of it under a low sun. The B band has a thirteenth of the strength.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from sifnet.physics.emulator import Emulator
from sifnet.physics.forward import LOWEST_HEIGHT, Simulator
from sifnet.physics.state import SensorState
from sifnet.retrieval.model import instrument_for
from sifnet.retrieval.pixels import read
from sifnet.retrieval.window import fit_bands, fit_window
from sifnet.scenes.scene import Scene

Array = NDArray[np.float64]

WINDOW = (756.0, 773.0)  # nm, the O2 A band
NEAR = LOWEST_HEIGHT  # km, at which the air is left out: a third of a per cent of emission


class AirBelow(NamedTuple):
    """(measurement, band): transmittance for light on its way down and up, and for emission."""

    sunlight: Array
    emission: Array


@torch.no_grad()
def air_below(scene: Scene) -> AirBelow | None:
    """The air below the sensor of a scene with measured irradiance; None where it is too near."""
    if float(np.max(scene.dataset["sensor_height"].values)) <= NEAR:
        return None
    emulator = Emulator.load()
    window = fit_window(scene, emulator, WINDOW)
    bands = fit_bands(scene.wavelength, window, scene.file)
    pixels = read(scene, slice(None), scene.shape[:2], ranges=emulator.ranges, window=window)
    instrument = instrument_for(
        scene.sensor,
        tuple(scene.wavelength[bands]),
        tuple(scene.fwhm[bands]),
        emulator.requires_grad_(False),
        scene.response(bands),
    )
    still = torch.zeros_like(pixels.geometry.solar_zenith_angle)
    simulator = Simulator(emulator, instrument)
    t = simulator.transfer(
        pixels.prior.mean, SensorState(still, still), pixels.geometry, pixels.irradiance
    )
    assert pixels.irradiance is not None
    through = torch.pi * t.ground / pixels.irradiance.clamp_min(1e-6)
    air = AirBelow(*(np.ones((scene.shape[0] * scene.shape[1], scene.shape[2])) for _ in "12"))
    for whole, part in zip(air, (through, t.up), strict=True):
        found = part.expand(pixels.irradiance.shape).double().numpy()
        whole[:, bands] = found.reshape(len(whole), -1)
    return air
