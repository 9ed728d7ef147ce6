"""Derivatives against differences, autograd and full radiative transfer; algebra against dense."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from fakes.emulator import fake_emulator
from sifnet.physics.derivatives import SHARED, jacobians, transfer_derivatives
from sifnet.physics.emulator import CoefficientNetwork, Emulator
from sifnet.physics.forward import Simulator
from sifnet.physics.full.radiative_transfer import Observer
from sifnet.physics.full.spectral_grids import GRID, PRESMOOTHING_FWHM, SpectralGrids
from sifnet.physics.instrument import Instrument, gaussian_response
from sifnet.physics.noise import noise_sd
from sifnet.physics.state import Atmosphere, Geometry, SensorState, State
from sifnet.physics.surface import SIF, Surface, sif_shape
from sifnet.physics.transfer import PRODUCTS
from sifnet.retrieval.information import (
    Blocks,
    normal_blocks,
    posterior_sd,
    shared_equations,
    sif_sd,
    solve_shared,
    surface_covariance,
    surface_gain,
)

DOUBLE = torch.float64
UNITS = torch.tensor([8.0, 5.0, 0.1, 0.7, 0.3, 0.005, 0.01, 0.01], dtype=DOUBLE)


@pytest.fixture(scope="module")
def simulator() -> Simulator:
    single = fake_emulator()
    network = CoefficientNetwork(**single.metadata["network"])
    network.load_state_dict(single.network.state_dict())
    emulator = Emulator(single.grid, single.basis, network, single.metadata).double()
    bands = torch.arange(750.0, 770.0, 0.4).numpy()
    return Simulator(emulator, Instrument(bands, 0.26, emulator))


@pytest.fixture
def state() -> State:
    return State(
        Atmosphere.of(dtype=DOUBLE, surface_pressure=[980.0, 1010.0], temperature_offset=[1.0, 0.0],
                      aot_550=[0.2, 0.1], aerosol_height=1.5, aerosol_type=0.3, o2_scale=1.0),
        Surface.sloped(*torch.tensor([[0.2, 0.35], [0.001, 0.004], [0.8, 0.3], [0.0, 1.5]],
                                     dtype=DOUBLE)),
        SensorState.of(dtype=DOUBLE, wavelength_shift=[0.02, -0.01], fwhm_shift=[0.01, 0.0]),
    )  # fmt: skip


@pytest.fixture
def geometry() -> Geometry:
    return Geometry.of(dtype=DOUBLE, solar_zenith_angle=[40.0, 55.0], view_zenith_angle=8.0,
                       relative_azimuth_angle=70.0, sensor_height=1.0,
                       sun_earth_distance=1.0)  # fmt: skip


def blocks_at(state, geometry, simulator, offset=0.0):  # type: ignore[no-untyped-def]
    radiance = simulator.radiance(state, geometry)
    sigma = noise_sd(radiance, 0.07)
    return normal_blocks(radiance + offset, sigma, state, geometry, UNITS, simulator)


def test_linearised_radiance_is_the_simulation(state, geometry, simulator) -> None:  # type: ignore[no-untyped-def]
    radiance, jacobian, _ = jacobians(simulator, state, geometry)
    torch.testing.assert_close(radiance, simulator.radiance(state, geometry))

    def radiance_of(surface: torch.Tensor) -> torch.Tensor:
        there = replace(state, surface=Surface.unstack(surface))
        return simulator.radiance(there, geometry).sum(0)

    automatic = torch.autograd.functional.jacobian(radiance_of, state.surface.stack())
    torch.testing.assert_close(jacobian, automatic.movedim(1, 0), rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("index", range(len(SHARED)))
def test_shared_derivatives_are_those_of_the_simulation(  # type: ignore[no-untyped-def]
    index, state, geometry, simulator
) -> None:
    """X'z with z a small change of one parameter must be the column of X'X of that parameter."""
    step = 1e-4 * UNITS[index]
    name = SHARED[index]
    part = "atmosphere" if index < 6 else "sensor"
    inner = replace(getattr(state, part), **{name: getattr(getattr(state, part), name) + step})
    moved = simulator.radiance(replace(state, **{part: inner}), geometry)
    at = simulator.radiance(state, geometry)
    blocks = blocks_at(state, geometry, simulator, (moved - at) / 1e-4)
    torch.testing.assert_close(blocks.shared, blocks.c[..., index], rtol=2e-3, atol=1e-3)


def test_transfer_derivatives_with_measured_irradiance(  # type: ignore[no-untyped-def]
    state, geometry, simulator
) -> None:
    light = torch.full((2, len(simulator.instrument.wavelength)), 900.0, dtype=DOUBLE)
    low = replace(geometry, sensor_height=torch.full((2,), 0.002, dtype=DOUBLE))
    transfer, changes = transfer_derivatives(simulator, state, low, light)
    changes = dict(zip(PRODUCTS, changes, strict=True))
    *batch, bands = transfer.ground.shape
    assert changes["ground"].shape == (*batch, len(SHARED), bands)
    assert all(torch.isfinite(change).all() for change in changes.values())


def test_posterior_is_that_of_the_dense_system(state, geometry, simulator) -> None:  # type: ignore[no-untyped-def]
    blocks = blocks_at(state, geometry, simulator)
    prior = torch.ones(len(SHARED), dtype=DOUBLE)
    top = torch.cat([blocks.a, blocks.b], dim=-1)
    bottom = torch.cat([blocks.b.mT, blocks.c + torch.diag(prior)], dim=-1)
    dense = torch.linalg.inv(torch.cat([top, bottom], dim=-2))
    expected = torch.sqrt(dense[..., SIF, SIF])
    torch.testing.assert_close(posterior_sd(blocks, prior), expected, rtol=1e-3, atol=0.0)


def test_sharing_and_knowledge_help_and_noise_hurts(state, geometry, simulator) -> None:  # type: ignore[no-untyped-def]
    blocks = blocks_at(state, geometry, simulator)
    prior = torch.ones(len(SHARED), dtype=DOUBLE)
    alone, shared = posterior_sd(blocks, prior), posterior_sd(blocks, prior, 64.0)
    assert bool((shared < alone).all())

    units = torch.ones(len(SHARED), dtype=DOUBLE)
    vague = units.clone()
    vague[0] = (8.0 / 50.0) ** 2
    assert bool((posterior_sd(blocks, vague) > alone).all())
    louder = blocks.map(lambda x: x / 4)  # all is squares of 1 / sigma
    assert bool((posterior_sd(louder, units) > 1.3 * alone).all())


def test_shared_solution_is_that_of_the_dense_system() -> None:
    """3 lines x 4 samples, linear and Gaussian: 48 surface, 8 sensor and 6 atmosphere unknowns."""
    lines, samples, bands = 3, 4, 20
    rng = torch.Generator().manual_seed(0)

    def random(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=rng, dtype=DOUBLE)

    s, x = random(lines, samples, bands, 4), random(lines, samples, bands, 8)
    z = 3 * random(lines, samples, bands)
    blocks = Blocks(s.mT @ s, s.mT @ x, x.mT @ x, (s.mT @ z[..., None])[..., 0],
                    (x.mT @ z[..., None])[..., 0], (z**2).sum(-1))  # fmt: skip
    deviation = random(samples, 8)
    deviation[:, :6] = deviation[0, :6]

    surfaces = 4 * lines * samples
    jacobian = torch.zeros(lines, samples, bands, surfaces + 2 * samples + 6, dtype=DOUBLE)
    for i in range(lines):
        for j in range(samples):
            first = 4 * (i * samples + j)
            jacobian[i, j, :, first : first + 4] = s[i, j]
            sensor = surfaces + 2 * j
            jacobian[i, j, :, sensor : sensor + 2] = x[i, j, :, 6:]
            jacobian[i, j, :, -6:] = x[i, j, :, :6]
    k = jacobian.flatten(0, 2)
    prior = torch.zeros(k.shape[1], dtype=DOUBLE)
    prior[surfaces:] = 1.0
    pull = torch.cat([torch.zeros(surfaces, dtype=DOUBLE), deviation[:, 6:].flatten(),
                      deviation[0, :6]])  # fmt: skip
    covariance = torch.linalg.inv(k.mT @ k + torch.diag(prior))
    step = covariance @ (k.mT @ z.flatten() - pull)

    matrix, side = (part.sum(0) for part in shared_equations(blocks))
    solved = solve_shared(matrix, side, deviation, torch.ones_like(side))
    shared, shared_covariance = solved.step, solved.covariance
    exact = {"rtol": 1e-8, "atol": 1e-8}
    torch.testing.assert_close(shared[:, 6:].flatten(), step[surfaces:-6], **exact)
    torch.testing.assert_close(shared[:, :6], step[-6:].expand(samples, 6), **exact)
    own = torch.linalg.solve(blocks.a, blocks.surface)
    surface = own - (surface_gain(blocks) @ shared[..., None])[..., 0]
    torch.testing.assert_close(surface.flatten(), step[:surfaces], **exact)
    expected = torch.diagonal(covariance)[:surfaces].reshape(lines, samples, 4)
    variance = torch.diagonal(surface_covariance(blocks, shared_covariance), dim1=-2, dim2=-1)
    torch.testing.assert_close(variance, expected, **exact)
    torch.testing.assert_close(
        sif_sd(blocks, shared_covariance), expected[..., SIF].sqrt(), **exact
    )
    for j in range(samples):
        at = [*range(k.shape[1] - 6, k.shape[1]), surfaces + 2 * j, surfaces + 2 * j + 1]
        torch.testing.assert_close(shared_covariance[j], covariance[at][:, at], **exact)


def test_resistance_holds_a_parameter() -> None:
    matrix, side = torch.eye(8, dtype=DOUBLE).expand(3, 8, 8), torch.ones(3, 8, dtype=DOUBLE)
    resistance = torch.ones(3, 8, dtype=DOUBLE)
    resistance[:, 2] = 1e12
    step = solve_shared(matrix, side, torch.zeros_like(side), resistance).step
    assert float(step[:, 2].abs().max()) < 1e-9
    assert float(step[:, 0].min()) == pytest.approx(3 / 4)  # three columns and the prior


FIELDS = (
    {"surface_pressure": 1005.0, "temperature_offset": 1.0, "aot_550": 0.15,
     "aerosol_height": 1.5, "aerosol_type": 0.3, "o2_scale": 1.0},
    {"surface_pressure": 960.0, "temperature_offset": -3.0, "aot_550": 0.3,
     "aerosol_height": 1.0, "aerosol_type": 0.1, "o2_scale": 1.0},
)  # fmt: skip
ANGLES = (
    {"solar_zenith_angle": 45.0, "view_zenith_angle": 8.0, "sensor_height": 0.7},
    {"solar_zenith_angle": 30.0, "view_zenith_angle": 15.0, "sensor_height": 1.8},
)
STEPS = {"surface_pressure": 4.0, "temperature_offset": 2.0, "aot_550": 0.02,
         "aerosol_height": 0.15, "aerosol_type": 0.1, "o2_scale": 0.005,
         "wavelength_shift": 0.005, "fwhm_shift": 0.005}  # fmt: skip
PRIOR = np.array([8.0, 5.0, 0.1, 0.7, 0.3, 0.005, 0.07, 0.035])
POLYNOMIAL, GLOW = (0.3, 0.02, 0.005), 0.95
BANDS = np.arange(750.0, 770.0, 0.11)


def full_radiance(
    products: NDArray, polynomial: tuple[float, ...], sif: float, shift: float = 0, wider: float = 0
) -> NDArray:
    """HyPlant's radiance of products (5, GRID), without a line of what is tested."""
    fwhm = np.full(BANDS.shape, np.sqrt((0.25 + wider) ** 2 - PRESMOOTHING_FWHM**2))
    path, lit, lit_bounce, up, up_bounce = products @ gaussian_response(GRID, BANDS + shift, fwhm).T
    r = np.polynomial.polynomial.polyval((BANDS + shift - 760.0) / 10.0, polynomial)
    glow = sif * sif_shape(torch.as_tensor(BANDS + shift)).numpy()
    return path + r * lit / (1 - r * lit_bounce / lit) + glow * up / (1 - r * up_bounce / up)


def full_jacobian(air: dict[str, float], angles: dict[str, float]) -> tuple[NDArray, NDArray]:
    """Radiance (band) and its derivatives (band, 4 + 8) by differences of full RT."""
    from sifnet.physics.full.database import products

    grids = SpectralGrids()
    observer = Observer(angles["view_zenith_angle"], 90.0, angles["sensor_height"])

    def light(**changes: float) -> NDArray:
        moved = {name: value + changes.get(name, 0.0) for name, value in air.items()}
        sun = angles["solar_zenith_angle"]
        return products(Atmosphere.of(**moved), sun, [observer], grids)[0]

    at = light()
    columns = []
    for i in range(3):
        up, down = (list(POLYNOMIAL) for _ in range(2))
        up[i], down[i] = up[i] + 1e-3, down[i] - 1e-3
        change = full_radiance(at, tuple(up), GLOW) - full_radiance(at, tuple(down), GLOW)
        columns.append(change / 2e-3)
    columns.append(full_radiance(at, POLYNOMIAL, 1.0) - full_radiance(at, POLYNOMIAL, 0.0))
    for name in SHARED:
        step = STEPS[name]
        if name in air:
            ends = [full_radiance(light(**{name: x}), POLYNOMIAL, GLOW) for x in (step, -step)]
        else:
            word = "shift" if name == "wavelength_shift" else "wider"
            ends = [full_radiance(at, POLYNOMIAL, GLOW, **{word: x}) for x in (step, -step)]
        columns.append((ends[0] - ends[1]) / (2 * step))
    return full_radiance(at, POLYNOMIAL, GLOW), np.stack(columns, axis=-1)


def sif_sd_of(jacobian: NDArray, sigma: NDArray, prior: NDArray, pixels: int = 1) -> float:
    """Rodgers' (2000) eq. 2.27, dense; ``pixels`` alike share what is not the surface."""
    k = jacobian / sigma[:, None]
    own = np.eye(pixels)
    weighted = np.hstack([np.kron(own, k[:, :4]), np.kron(np.ones((pixels, 1)), k[:, 4:])])
    precision = np.concatenate([np.zeros(4 * pixels), 1 / prior**2])
    return float(np.sqrt(np.linalg.inv(weighted.T @ weighted + np.diag(precision))[SIF, SIF]))


@pytest.mark.slow
@pytest.mark.parametrize(("air", "angles"), [*zip(FIELDS, ANGLES, strict=True)])
def test_jacobians_are_those_of_full_radiative_transfer(
    air: dict[str, float], angles: dict[str, float]
) -> None:
    """The shipped emulator's derivatives against differences of 13 states of sasktran2.

    What counts is the last line: the posterior sd of fluorescence that follows from them.
    """
    pytest.importorskip("sasktran2")
    radiance, expected = full_jacobian(air, angles)
    shipped = Emulator.load().requires_grad_(False)
    simulator = Simulator(shipped, Instrument(BANDS, 0.25, shipped))
    more = {"relative_azimuth_angle": 90.0, "sun_earth_distance": 1.0}
    geometry = Geometry.of(**{name: [value] for name, value in (angles | more).items()})
    surface = torch.tensor([[*POLYNOMIAL, GLOW]])
    state = State(
        Atmosphere.of(**{name: [value] for name, value in air.items()}),
        Surface.unstack(surface),
        SensorState.of(wavelength_shift=[0.0], fwhm_shift=[0.0]),
    )
    sigma = 0.07 * np.sqrt(radiance)

    def ours(prior: NDArray, pixels: float) -> float:
        units = torch.as_tensor(prior, dtype=torch.float32)
        noise = torch.as_tensor(sigma, dtype=torch.float32)[None]
        blocks = normal_blocks(torch.as_tensor(radiance, dtype=torch.float32)[None], noise,
                               state, geometry, units, simulator)  # fmt: skip
        return float(posterior_sd(blocks, torch.ones(8), pixels))

    _, to_surface, to_shared = jacobians(simulator, state, geometry)
    jacobian = torch.cat([to_surface, to_shared], dim=-1)[0].numpy()
    error = np.linalg.norm(jacobian - expected, axis=0) / np.linalg.norm(expected, axis=0)
    worst = dict(zip(("c0", "c1", "c2", "sif_760", *SHARED), error.round(4), strict=True))
    assert not {name: value for name, value in worst.items() if value > 0.04}
    for pressure in (2.0, 8.0, 50.0):
        prior = np.array([pressure, *PRIOR[1:]])
        assert ours(prior, 1) == pytest.approx(sif_sd_of(expected, sigma, prior), rel=0.03)
    assert ours(PRIOR, 64) == pytest.approx(sif_sd_of(expected, sigma, PRIOR, 64), rel=0.05)
