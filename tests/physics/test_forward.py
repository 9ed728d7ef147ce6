"""The whole simulation: its parts in order, its limits, its gradient, measured irradiance."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch

from fakes.database import fake_products
from fakes.samples import fitted_emulator
from sifnet.physics.forward import Simulator
from sifnet.physics.full.database import GRID
from sifnet.physics.instrument import Instrument, gaussian_response
from sifnet.physics.state import Atmosphere, Geometry, SensorState, State
from sifnet.physics.surface import Surface
from sifnet.physics.transfer import TransferFunctions, at_sensor_radiance

CENTRES = np.arange(755.0, 769.0, 0.5)
ATMOSPHERE = Atmosphere.of(
    surface_pressure=980.0,
    temperature_offset=2.0,
    aot_550=0.15,
    aerosol_height=2.0,
    aerosol_type=0.3,
    o2_scale=1.0,
)
GEOMETRY = Geometry.of(
    solar_zenith_angle=40.0,
    view_zenith_angle=5.0,
    relative_azimuth_angle=60.0,
    sensor_height=0.7,
    sun_earth_distance=1.01,
)
SURFACE = Surface.sloped(*torch.tensor([0.3, 0.004, 0.5, 1.5]))
STATE = State(ATMOSPHERE, SURFACE, SensorState.of(wavelength_shift=0.02, fwhm_shift=-0.01))


@pytest.fixture(scope="module")
def simulator() -> Simulator:
    return Simulator(fitted_emulator(), Instrument(CENTRES, 0.3, fitted_emulator()))


def without(surface: Surface, **values: float) -> State:
    changed = {name: torch.tensor(value) for name, value in values.items()}
    return replace(STATE, surface=replace(surface, **changed))


def test_black_ground_without_emission_is_path_radiance(simulator):
    state = without(SURFACE, **dict.fromkeys(Surface.names(), 0.0))
    path = simulator.instrument(simulator.emulator(ATMOSPHERE, GEOMETRY), STATE.sensor).path
    assert torch.equal(simulator.radiance(state, GEOMETRY), path)


def test_emission_fills_the_band_in(simulator):
    bright = simulator.radiance(STATE, GEOMETRY)
    dark = simulator.radiance(without(SURFACE, sif_760=0.0), GEOMETRY)
    added = (bright - dark) / dark
    assert (added > 0).all()
    deepest, clear = dark.argmin(), dark.argmax()
    assert added[deepest] > 2 * added[clear]


def test_batches_broadcast(simulator):
    """An atmosphere a patch, a sensor a column, a surface a pixel: (patch, line, sample)."""
    state = State(
        ATMOSPHERE.map(lambda t: t.expand(2, 1, 1)),
        SURFACE.map(lambda t: t.expand(2, 3, 4)),
        STATE.sensor.map(lambda t: t.expand(2, 1, 4)),
    )
    radiance = simulator.radiance(state, GEOMETRY)
    assert radiance.shape == (2, 3, 4, len(CENTRES))
    alone = simulator.radiance(STATE, GEOMETRY)
    assert torch.allclose(radiance, alone.expand_as(radiance), rtol=1e-5)


@pytest.mark.parametrize("measured", [False, True])
def test_gradient_in_every_element_of_the_state(measured):
    emulator = fitted_emulator().double()
    simulator = Simulator(emulator, Instrument([757.0, 760.6, 764.0], 0.3, emulator).double())
    state = STATE.map(torch.Tensor.double)
    geometry = GEOMETRY.map(torch.Tensor.double)
    irradiance = torch.tensor([1100.0, 200.0, 500.0], dtype=torch.float64) if measured else None
    values = [t.clone().requires_grad_() for _, t in state.items()]

    def radiance(*v):
        state = State(Atmosphere(*v[:6]), Surface(*v[6:10]), SensorState(*v[10:]))
        return simulator.radiance(state, geometry, irradiance)

    try:
        assert torch.autograd.gradcheck(radiance, values, atol=1e-4, rtol=1e-4)
    finally:
        emulator.float()


def toy(height: float) -> TransferFunctions:
    """Exact toy products at one height, in bands of 0.3 nm."""
    atmosphere = [float(value) for _, value in ATMOSPHERE.items()]
    state = np.array([[*atmosphere, 40.0, 5.0, 60.0, height]])
    matrix = gaussian_response(GRID, CENTRES, np.full(len(CENTRES), 0.294))
    on_bands = fake_products(state)[0].astype(float) @ matrix.T
    return TransferFunctions(*map(torch.as_tensor, on_bands))


class ExactToy(torch.nn.Module):
    """Stands in for the emulator: the toy itself, already on bands."""

    def forward(self, atmosphere: Atmosphere, geometry: Geometry) -> TransferFunctions:
        return toy(float(geometry.sensor_height))


class OnBands(torch.nn.Module):
    """Stands in for the instrument, when spectra are on bands already."""

    wavelength = torch.as_tensor(CENTRES)

    def at(self, sensor: SensorState) -> Callable[[TransferFunctions], TransferFunctions]:
        return lambda transfer: transfer


@pytest.mark.parametrize("sif", [0.0, 1.5])
@pytest.mark.parametrize(("height", "tolerance"), [(0.002, 5e-5), (0.02, 5e-4), (0.05, 1e-3)])
def test_measured_irradiance_replaces_the_modelled_one(height, tolerance, sif):
    """Light measured at the sensor equals light at the ground, but for the air in between.

    The toy's irradiance at the ground, times the Beer's law of its own lines back up to the
    sensor, is what a FloX would measure; the simulation must find its way to the same radiance.
    """
    geometry = replace(GEOMETRY, sensor_height=torch.tensor(height))
    nominal = replace(STATE, sensor=STATE.sensor.map(torch.zeros_like))
    on_ground, at_sensor = toy(0.0), toy(height)
    surface = replace(SURFACE, sif_760=torch.tensor(sif))
    nominal = replace(nominal, surface=surface)
    reflectance, sif = surface.spectra(torch.as_tensor(CENTRES))
    exact = at_sensor_radiance(reflectance, sif, at_sensor)
    bounced = on_ground.ground / (1 - reflectance * on_ground.ground_bounce / on_ground.ground)
    mu, mu0 = np.cos(np.radians(5.0)), np.cos(np.radians(40.0))
    downward = (at_sensor.ground / on_ground.ground) ** (mu / mu0)
    irradiance = np.pi * bounced / downward
    got = Simulator(ExactToy(), OnBands()).radiance(nominal, geometry, irradiance)
    relative = (got / exact - 1).abs()
    # The toy's emission also bounces off the air above the sensor, which measured light lacks:
    # what comes back to the ground of its upward light is reflected there.
    bounced = (sif * reflectance * at_sensor.up_bounce / exact).abs().max()
    assert relative.max() < tolerance + float(bounced)


def test_clouds_are_in_measured_irradiance(simulator):
    """Half the light, half the reflected radiance; emission stays."""
    geometry = replace(GEOMETRY, sensor_height=torch.tensor(0.003))
    state = without(SURFACE, sif_760=0.0)
    light = torch.full((len(CENTRES),), 1000.0)
    full = simulator.radiance(state, geometry, light)
    half = simulator.radiance(state, geometry, light / 2)
    path = simulator.radiance(state, geometry, light * 0)
    assert torch.allclose(full - path, 2 * (half - path), rtol=1e-4)
    assert path.abs().max() < 1e-2 * full.min()
