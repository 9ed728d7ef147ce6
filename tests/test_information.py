"""Derivatives against differences and autograd; covariance against the dense inverse."""

from dataclasses import replace

import pytest
import torch

from fakes.emulator import fake_emulator
from sifnet.information import (
    SHARED,
    SIF,
    from_polynomial,
    linearise,
    normal_blocks,
    posterior_sd,
    single_pixel_sd,
    to_polynomial,
    transfer_derivatives,
)
from sifnet.physics.emulator import CoefficientNetwork, Emulator
from sifnet.physics.forward import simulate, transfer_on_bands
from sifnet.physics.instrument import Instrument
from sifnet.physics.noise import noise_sd
from sifnet.physics.state import Atmosphere, Geometry, SensorState, State
from sifnet.physics.surface import Surface

DOUBLE = torch.float64
UNITS = torch.tensor([8.0, 5.0, 0.1, 0.7, 0.3, 0.005, 0.01, 0.01], dtype=DOUBLE)


@pytest.fixture(scope="module")
def emulator() -> Emulator:
    single = fake_emulator()
    network = CoefficientNetwork(**single.metadata["network"])
    network.load_state_dict(single.network.state_dict())
    return Emulator(single.grid, single.basis, network, single.metadata).double()


@pytest.fixture(scope="module")
def instrument(emulator: Emulator) -> Instrument:
    return Instrument(torch.arange(750.0, 770.0, 0.4).numpy(), 0.26, emulator)


@pytest.fixture
def state() -> State:
    return State(
        Atmosphere.of(dtype=DOUBLE, surface_pressure=[980.0, 1010.0], temperature_offset=[1.0, 0.0],
                      aot_550=[0.2, 0.1], aerosol_height=1.5, aerosol_type=0.3, o2_scale=1.0),
        Surface.of(dtype=DOUBLE, reflectance_740=[0.2, 0.35], reflectance_slope=[0.001, 0.004],
                   reflectance_slope_ratio=[0.8, 0.3], sif_760=[0.0, 1.5]),
        SensorState.of(dtype=DOUBLE, wavelength_shift=[0.02, -0.01], fwhm_shift=[0.01, 0.0]),
    )  # fmt: skip


@pytest.fixture
def geometry() -> Geometry:
    return Geometry.of(dtype=DOUBLE, solar_zenith_angle=[40.0, 55.0], view_zenith_angle=8.0,
                       relative_azimuth_angle=70.0, sensor_height=1.0,
                       sun_earth_distance=1.0)  # fmt: skip


def blocks_at(state, geometry, emulator, instrument, offset=0.0):  # type: ignore[no-untyped-def]
    radiance = simulate(state, geometry, emulator, instrument)
    sigma = noise_sd(radiance, "hyplant")
    return normal_blocks(radiance + offset, sigma, to_polynomial(state.surface), state, geometry,
                         UNITS, emulator, instrument), radiance, sigma  # fmt: skip


def test_polynomial_is_the_same_surface(state: State) -> None:
    back = from_polynomial(to_polynomial(state.surface))
    for (name, a), (_, b) in zip(back.items(), state.surface.items(), strict=True):
        torch.testing.assert_close(a, b, msg=name)
    level = replace(state.surface, reflectance_slope=torch.zeros(2, dtype=DOUBLE))
    assert torch.isfinite(from_polynomial(to_polynomial(level)).reflectance_slope_ratio).all()


def test_linearised_radiance_is_the_simulation(state, geometry, emulator, instrument) -> None:  # type: ignore[no-untyped-def]
    transfer = transfer_on_bands(state.atmosphere, state.sensor, geometry, emulator, instrument)
    wavelength = instrument.wavelength + state.sensor.wavelength_shift[..., None]
    surface = to_polynomial(state.surface)
    radiance, jacobian = linearise(surface, wavelength, transfer)
    torch.testing.assert_close(radiance, simulate(state, geometry, emulator, instrument))
    automatic = torch.autograd.functional.jacobian(
        lambda x: linearise(x, wavelength, transfer)[0].sum(0), surface
    )
    torch.testing.assert_close(jacobian, automatic.movedim(1, 0), rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("index", range(len(SHARED)))
def test_shared_derivatives_are_those_of_the_simulation(  # type: ignore[no-untyped-def]
    index, state, geometry, emulator, instrument
) -> None:
    """X'z with z a small change of one parameter must be the column of X'X of that parameter."""
    step = 1e-4 * UNITS[index]
    name = SHARED[index]
    part = "atmosphere" if index < 6 else "sensor"
    inner = replace(getattr(state, part), **{name: getattr(getattr(state, part), name) + step})
    moved = simulate(replace(state, **{part: inner}), geometry, emulator, instrument)
    at = simulate(state, geometry, emulator, instrument)
    blocks, _, _ = blocks_at(state, geometry, emulator, instrument, (moved - at) / 1e-4)
    torch.testing.assert_close(blocks.shared, blocks.c[..., index], rtol=2e-3, atol=1e-3)


def test_transfer_derivatives_with_measured_irradiance(  # type: ignore[no-untyped-def]
    state, geometry, emulator, instrument
) -> None:
    light = torch.full((2, len(instrument.wavelength)), 900.0, dtype=DOUBLE)
    low = replace(geometry, sensor_height=torch.full((2,), 0.002, dtype=DOUBLE))
    transfer, changes = transfer_derivatives(state, low, emulator, instrument, light)
    assert changes["ground"].shape == (*transfer.ground.shape, len(SHARED))
    assert all(torch.isfinite(change).all() for change in changes.values())


def test_posterior_is_that_of_the_dense_system(state, geometry, emulator, instrument) -> None:  # type: ignore[no-untyped-def]
    blocks, _, _ = blocks_at(state, geometry, emulator, instrument)
    prior = torch.ones(len(SHARED), dtype=DOUBLE)
    top = torch.cat([blocks.a, blocks.b], dim=-1)
    bottom = torch.cat([blocks.b.mT, blocks.c + torch.diag(prior)], dim=-1)
    dense = torch.linalg.inv(torch.cat([top, bottom], dim=-2))
    expected = torch.sqrt(dense[..., SIF, SIF])
    torch.testing.assert_close(posterior_sd(blocks, prior), expected, rtol=1e-3, atol=0.0)


def test_sharing_and_knowledge_help_and_noise_hurts(state, geometry, emulator, instrument) -> None:  # type: ignore[no-untyped-def]
    blocks, _, _ = blocks_at(state, geometry, emulator, instrument)
    prior = torch.ones(len(SHARED), dtype=DOUBLE)
    alone, shared = posterior_sd(blocks, prior), posterior_sd(blocks, prior, 64.0)
    assert bool((shared < alone).all())

    def limit(units: torch.Tensor, factor: float) -> torch.Tensor:
        return single_pixel_sd(state, geometry, units,
                               lambda x: factor * noise_sd(x, "hyplant"),
                               emulator, instrument)  # fmt: skip

    torch.testing.assert_close(limit(UNITS, 1.0), alone)
    vague = UNITS.clone()
    vague[0] = 50.0
    assert bool((limit(vague, 1.0) > alone).all())
    assert bool((limit(UNITS, 2.0) > 1.3 * alone).all())
