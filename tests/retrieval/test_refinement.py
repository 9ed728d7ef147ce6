"""The exact finish finds what the spectra were made from."""

from dataclasses import replace

import pytest
import torch

from fakes.emulator import fake_emulator
from sifnet.physics.forward import Simulator
from sifnet.physics.instrument import Instrument
from sifnet.physics.noise import noise_sd
from sifnet.physics.state import Atmosphere, AtmospherePrior, Geometry, SensorState, State
from sifnet.physics.surface import Surface
from sifnet.retrieval import losses
from sifnet.retrieval.pixels import Pixels
from sifnet.retrieval.refinement import BARE_GROUND_SD, refine_shared, refine_surface, solve_small

SHAPE = (2, 4, 8)


@pytest.fixture(scope="module")
def simulator() -> Simulator:
    emulator = fake_emulator().requires_grad_(False)
    return Simulator(emulator, Instrument(torch.arange(750.0, 770.0, 0.22).numpy(), 0.26, emulator))


def made(simulator: Simulator, aot: float) -> tuple[Pixels, State]:
    """Pixels without noise, a quarter of them bare, and the state they were made from."""
    rng = torch.Generator().manual_seed(0)
    one = torch.ones(2, 1, 1)
    random = torch.rand(4, *SHAPE, generator=rng)
    bare = random[3] < 0.25
    surface = Surface.sloped(0.1 + 0.4 * random[0], 0.001 + 0.004 * random[1],
                             torch.full(SHAPE, 0.5),
                             torch.where(bare, 0.0, 3 * random[2]))  # fmt: skip
    prior = AtmospherePrior(
        Atmosphere(1000 * one, 0 * one, 0.15 * one, 1.5 * one, 0.3 * one, one),
        Atmosphere(8 * one, 5 * one, 0.1 * one, 0.7 * one, 0.3 * one, 0.005 * one),
    )
    atmosphere = replace(prior.mean, aot_550=aot * one)
    sensor = SensorState(torch.full((2, 1, 8), 0.02), torch.full((2, 1, 8), 0.01))
    angles = {"solar_zenith_angle": 40.0, "view_zenith_angle": 5.0, "relative_azimuth_angle": 90.0,
              "sensor_height": 1.0, "sun_earth_distance": 1.0}  # fmt: skip
    geometry = Geometry(**{n: torch.full((2, 1, 8), v) for n, v in angles.items()})
    state = State(atmosphere, surface, sensor)
    radiance = simulator.radiance(state, geometry)
    pixels = Pixels(
        radiance=radiance,
        noise=noise_sd(radiance, 0.07),
        irradiance=None,
        geometry=geometry,
        prior=prior,
        usable=torch.ones(SHAPE, dtype=torch.bool),
        flags=torch.zeros(SHAPE, dtype=torch.int32),
        ndvi=torch.where(bare, 0.05, 0.7),
        column=torch.arange(8).expand(2, 8),
        line_id=torch.zeros(2, dtype=torch.long),
    )
    return pixels, state


def test_surface_is_found_exactly_from_a_bad_start(simulator: Simulator) -> None:
    pixels, truth = made(simulator, 0.15)
    plane = torch.ones(SHAPE)
    bad = replace(truth, surface=Surface.sloped(0.2 * plane, 0.002 * plane, plane, 0.5 * plane))
    fit = refine_surface(pixels, pixels.noise, bad, simulator, steps=3)
    torch.testing.assert_close(fit.state.surface.sif_760, truth.surface.sif_760, rtol=0, atol=0.02)
    torch.testing.assert_close(
        fit.state.surface.at_740()[0], truth.surface.at_740()[0], rtol=0, atol=1e-3
    )
    assert float(fit.chi2.max()) < 1e-3
    unchanged = refine_surface(pixels, pixels.noise, bad, simulator, steps=0)
    assert unchanged.state is bad
    assert float(unchanged.chi2.mean()) > 10


def test_own_variance_is_the_scatter_of_noise(simulator: Simulator) -> None:
    pixels, truth = made(simulator, 0.15)
    torch.manual_seed(1)
    found = []
    for _ in range(40):
        noisy = pixels.radiance + pixels.noise * torch.randn_like(pixels.radiance)
        fit = refine_surface(replace(pixels, radiance=noisy), pixels.noise, truth, simulator)
        found.append(fit.state.surface.sif_760)
    scatter = torch.stack(found).var(0)
    assert float((scatter / fit.own_variance).mean()) == pytest.approx(1.0, abs=0.06)


def test_atmosphere_is_the_most_probable_of_its_patch(simulator: Simulator) -> None:
    pixels, truth = made(simulator, 0.3)

    def cost(state: State) -> float:
        """-ln of the posterior probability: spectra, bare ground, prior."""
        fit = refine_surface(pixels, pixels.noise, state, simulator, steps=0)
        freedom = pixels.radiance.shape[-1] - 4
        glow = state.surface.sif_760[pixels.ndvi < 0.12] / BARE_GROUND_SD
        total = 0.5 * (fit.chi2.sum() * freedom + (glow**2).sum())
        return float(total + 2 * losses.prior(pixels, state.atmosphere))

    start = refine_surface(
        pixels, pixels.noise, replace(truth, atmosphere=pixels.prior.mean), simulator
    ).state
    shared = refine_shared(
        pixels, pixels.noise, start, simulator, independent_pixels=1e5, bare_ndvi=0.12, steps=6
    )
    state, covariance = shared.state, shared.covariance
    assert cost(state) < cost(start)
    assert cost(state) < cost(truth) + 0.05  # the truth is improbable a priori

    def error(found: State) -> float:
        return float((found.surface.sif_760 - truth.surface.sif_760).abs().mean())

    assert error(state) < error(start)
    assert covariance.shape == (2, 6, 6)
    variance = torch.diagonal(covariance, dim1=-2, dim2=-1)
    assert bool(((variance > 0) & (variance <= 1.001)).all())  # never more than the prior


def test_sensor_of_every_column_is_found_with_the_atmosphere(simulator: Simulator) -> None:
    pixels, truth = made(simulator, 0.2)
    wrong = replace(truth, sensor=truth.sensor.map(lambda x: x + 0.01 * torch.linspace(-1, 1, 8)))
    fit = refine_shared(
        pixels, pixels.noise, wrong, simulator, independent_pixels=1e3, bare_ndvi=0.12,
        steps=4,
    )  # fmt: skip
    for name, value in fit.state.sensor.items():
        torch.testing.assert_close(value, getattr(truth.sensor, name), rtol=0, atol=3e-4)


def test_carried_error_is_what_a_wrong_atmosphere_does_to_fluorescence(
    simulator: Simulator,
) -> None:
    pixels, truth = made(simulator, 0.15)
    options = {"independent_pixels": 20.0, "bare_ndvi": -1.0}
    fit = refine_shared(pixels, pixels.noise, truth, simulator, **options, steps=1)
    # Draw atmospheres from the stated covariance, let sensor and surfaces answer, see what moves.
    torch.manual_seed(0)
    spread = torch.linalg.cholesky(fit.covariance.double()).float()
    moved = []
    for _ in range(60):
        step = (spread @ torch.randn(2, 6, 1))[..., 0]
        air = {
            name: value + step[:, i, None, None] * getattr(pixels.prior.sd, name)
            for i, (name, value) in enumerate(truth.atmosphere.items())
        }
        known = AtmospherePrior(Atmosphere(**air), pixels.prior.sd.map(lambda x: 1e-4 * x))
        held = replace(pixels, prior=known)
        found = refine_shared(held, pixels.noise, replace(truth, atmosphere=known.mean), simulator,
                              **options, steps=2).state  # fmt: skip
        surface = refine_surface(pixels, pixels.noise, found, simulator).state.surface
        moved.append(surface.sif_760 - truth.surface.sif_760)
    scatter = torch.stack(moved).var(0)
    level, slope = truth.surface.at_740()
    level = level + 20 * slope
    over = torch.stack([torch.ones_like(level), level], -1)
    stated = (over[..., None, :] @ fit.carried[:, None, None] @ over[..., None])[..., 0, 0]
    assert float((scatter / stated).mean()) == pytest.approx(1.0, abs=0.3)


def test_without_pixels_the_atmosphere_is_the_prior(simulator: Simulator) -> None:
    pixels, truth = made(simulator, 0.3)
    nothing = replace(pixels, usable=torch.zeros_like(pixels.usable))
    fit = refine_shared(
        nothing, pixels.noise, truth, simulator, independent_pixels=50.0, bare_ndvi=0.12
    )
    torch.testing.assert_close(fit.state.atmosphere.aot_550, pixels.prior.mean.aot_550)
    for name, value in fit.state.sensor.items():
        torch.testing.assert_close(value, getattr(truth.sensor, name))
    torch.testing.assert_close(fit.covariance[0], torch.eye(6))
    assert torch.isfinite(fit.carried).all()


def test_small_systems_survive_an_empty_pixel() -> None:
    found = solve_small(torch.stack([torch.eye(4), torch.zeros(4, 4)]), torch.zeros(2, 4))
    assert torch.isfinite(found).all()
