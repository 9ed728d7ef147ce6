"""A state to the radiance a sensor sees: the whole forward simulation in four lines."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from sifnet.physics.discrepancy import Correction
from sifnet.physics.emulator import Emulator
from sifnet.physics.instrument import Instrument, Responses
from sifnet.physics.state import Atmosphere, Geometry, SensorState, State
from sifnet.physics.surface import ShapePrior
from sifnet.physics.transfer import Radiance, TransferFunctions, linearised

LOWEST_HEIGHT = 0.002  # km, the lowest sensor of the emulator
LAYER_HEIGHT = 0.1  # km, of the layer from which the air just above the ground is characterised


@dataclass(frozen=True)
class Simulator:
    """Emulator and instrument: what turns a state into the radiance of a sensor's bands.

    Attributes:
        emulator: gives transfer functions in components.
        instrument: brings them to the bands.
        correction: of what it is known to be wrong by, on a line; not under measured light.
        responses: of the instrument, where the sensor state is settled; they then stand for it
            and for the correction.
    """

    emulator: Emulator
    instrument: Instrument
    correction: Correction | None = None
    responses: Responses | None = None

    def radiance(
        self,
        state: State,
        geometry: Geometry,
        irradiance: Float[Tensor, "*#batch band"] | None = None,
        shape_prior: ShapePrior | None = None,
    ) -> Float[Tensor, "*batch band"]:
        """Radiance at the sensor, mW m-2 nm-1 sr-1, ``..., band``; batch shapes broadcast.

        See ``light`` for the arguments.
        """
        return self.light(state, geometry, irradiance, shape_prior).value

    def light(
        self,
        state: State,
        geometry: Geometry,
        irradiance: Float[Tensor, "*#batch band"] | None = None,
        shape_prior: ShapePrior | None = None,
        transfer: TransferFunctions | None = None,
    ) -> Radiance:
        """Radiance at the sensor and its derivatives to the ground; batch shapes broadcast.

        Args:
            state: atmosphere, surface and sensor.
            geometry: sun and sensor.
            irradiance: measured beside the sensor through the same spectrometer, mW m-2 nm-1,
                ``..., band``; it then replaces the modelled one.
            shape_prior: whose gain multiplies reflectance.
            transfer: what carries light there, where it is known already.
        """
        if transfer is None:
            transfer = self.transfer(state.atmosphere, state.sensor, geometry, irradiance)
        reflectance, sif = state.surface.spectra(self.wavelength(state.sensor))
        if shape_prior is not None:
            reflectance = reflectance * shape_prior.gain
        return linearised(reflectance, sif, transfer)

    def settled(self, sensor: SensorState, *, slopes: bool = False) -> Simulator:
        """For one sensor state, for which instrument and correction become one.

        Args:
            slopes: and how what bands see goes with the sensor state.
        """
        responses = self.instrument.at(sensor, slopes=slopes)
        if self.correction is not None:
            responses = responses.corrected(*self.correction.factors(self.wavelength(sensor)))
        return replace(self, correction=None, responses=responses)

    def wavelength(self, sensor: SensorState) -> Float[Tensor, "*batch band"]:
        """Band centres under a sensor state, nm, ``..., band``."""
        return self.instrument.wavelength + sensor.wavelength_shift[..., None]

    def transfer(
        self,
        atmosphere: Atmosphere,
        sensor: SensorState,
        geometry: Geometry,
        irradiance: Float[Tensor, "*#batch band"] | None = None,
    ) -> TransferFunctions:
        """Transfer functions on the sensor's bands, ``..., band``, from measured light if given."""
        if irradiance is not None:
            return self._near_ground(atmosphere, sensor, geometry, irradiance)
        responses = self.responses or self.instrument.at(sensor)
        transfer = responses(self.emulator(atmosphere, geometry))
        if self.correction is None:
            return transfer
        return self.correction(transfer, self.wavelength(sensor))

    def _near_ground(
        self, atmosphere: Atmosphere, sensor: SensorState, geometry: Geometry, irradiance: Tensor
    ) -> TransferFunctions:
        """Transfer functions metres to tens of metres above ground, under measured irradiance I.

        L = path(h) + R I / pi t^(1 + mu/mu0) + F t_F

        t and t_F are the band transmittances of the air below the sensor, for sunlight and for
        fluorescence: they differ, because sunlight arrives without the line cores. The emulator
        gives both over a layer up to h1 = max(h, 100 m), t1 = ground(h1) / ground(h0) with
        h0 = 2 m, and t = t1^(h / (h1 - h0)), Beer's law over the share of the layer. Light on its
        way down crosses the same air along the sun's direction, hence mu/mu0 in the exponent. Path
        radiance below h1 grows linearly, path(h) = path(h1) h / h1. All bounces are in I already.
        What is neglected, the different slant of diffuse light, is of second order in the optical
        depth of that air.
        """
        height = geometry.sensor_height
        top = height.clamp_min(LAYER_HEIGHT)
        bottom = torch.full_like(height, LOWEST_HEIGHT)
        above, below = (
            self.transfer(atmosphere, sensor, replace(geometry, sensor_height=level))
            for level in (top, bottom)
        )
        share = (height / (top - bottom))[..., None]
        sun = torch.cos(torch.deg2rad(geometry.solar_zenith_angle))
        view = torch.cos(torch.deg2rad(geometry.view_zenith_angle))
        both_ways = share * (1.0 + view / sun)[..., None]
        # A dead band may read zero light, of which no albedo s = bounce / ground can be formed.
        ground = irradiance.clamp_min(1e-6) / torch.pi * (above.ground / below.ground) ** both_ways
        up = (above.up / below.up) ** share
        dark = torch.zeros_like(up)
        return TransferFunctions(above.path * (height / top)[..., None], ground, dark, up, dark)
