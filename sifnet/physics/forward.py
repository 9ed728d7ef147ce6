"""A state to the radiance a sensor sees: the whole forward simulation in four lines."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from sifnet.physics.emulator import Emulator
from sifnet.physics.instrument import Instrument
from sifnet.physics.state import Atmosphere, Geometry, SensorState, State
from sifnet.physics.surface import KnownShape
from sifnet.physics.transfer import TransferFunctions, at_sensor_radiance

LOWEST_HEIGHT = 0.002  # km, the lowest sensor of the emulator
LAYER_HEIGHT = 0.1  # km, of the layer from which the air just above the ground is characterised


def simulate(
    state: State,
    geometry: Geometry,
    emulator: Emulator,
    instrument: Instrument,
    irradiance: Tensor | None = None,
    known: KnownShape | None = None,
) -> Tensor:
    """Radiance at the sensor, mW m-2 nm-1 sr-1, ``..., band``; batch shapes broadcast.

    Args:
        state: atmosphere, surface and sensor.
        geometry: sun and sensor.
        emulator: gives transfer functions in components.
        instrument: brings them to the bands.
        irradiance: measured beside the sensor through the same spectrometer, mW m-2 nm-1,
            ``..., band``; it then replaces the modelled one.
        known: shape of reflectance that the surface multiplies.
    """
    transfer = transfer_on_bands(
        state.atmosphere, state.sensor, geometry, emulator, instrument, irradiance
    )
    wavelength = instrument.wavelength + state.sensor.wavelength_shift[..., None]
    reflectance, sif = state.surface.spectra(wavelength)
    if known is not None:
        reflectance = reflectance * known.gain
    return at_sensor_radiance(reflectance, sif, transfer)


def transfer_on_bands(
    atmosphere: Atmosphere,
    sensor: SensorState,
    geometry: Geometry,
    emulator: Emulator,
    instrument: Instrument,
    irradiance: Tensor | None = None,
) -> TransferFunctions:
    """Transfer functions on the sensor's bands, ``..., band``, from measured light if given."""
    if irradiance is not None:
        return _near_ground(atmosphere, sensor, geometry, emulator, instrument, irradiance)
    return instrument(emulator(atmosphere, geometry), sensor)


def _near_ground(
    atmosphere: Atmosphere,
    sensor: SensorState,
    geometry: Geometry,
    emulator: Emulator,
    instrument: Instrument,
    irradiance: Tensor,
) -> TransferFunctions:
    """Transfer functions metres to tens of metres above ground, under measured irradiance I.

    L = path(h) + R I / pi t^(1 + mu/mu0) + F t_F

    t and t_F are the band transmittances of the air below the sensor, for sunlight and for
    fluorescence: they differ, because sunlight arrives without the line cores. The emulator gives
    both over a layer up to h1 = max(h, 100 m), t1 = ground(h1) / ground(h0) with h0 = 2 m, and
    t = t1^(h / (h1 - h0)), Beer's law over the share of the layer. Light on its way down crosses
    the same air along the sun's direction, hence mu/mu0 in the exponent. Path radiance below h1
    grows linearly, path(h) = path(h1) h / h1. All bounces are in I already. What is neglected,
    the different slant of diffuse light, is of second order in the optical depth of that air.
    """
    height = geometry.sensor_height
    top = height.clamp_min(LAYER_HEIGHT)
    bottom = torch.full_like(height, LOWEST_HEIGHT)

    def on_bands(at_height: Tensor) -> TransferFunctions:
        transfer = emulator(atmosphere, replace(geometry, sensor_height=at_height))
        return instrument(transfer, sensor)

    above, below = on_bands(top), on_bands(bottom)
    share = (height / (top - bottom))[..., None]
    sun = torch.cos(torch.deg2rad(geometry.solar_zenith_angle))
    view = torch.cos(torch.deg2rad(geometry.view_zenith_angle))
    both_ways = share * (1.0 + view / sun)[..., None]
    # A dead band may read zero light, of which no albedo s = bounce / ground can be formed.
    ground = irradiance.clamp_min(1e-6) / torch.pi * (above.ground / below.ground) ** both_ways
    up = (above.up / below.up) ** share
    nothing = torch.zeros_like(up)
    return TransferFunctions(above.path * (height / top)[..., None], ground, nothing, up, nothing)
