"""The exact finish finds what the spectra were made from."""

from dataclasses import replace

import pytest
import torch

from fakes.emulator import fake_emulator
from sifnet.physics.derivatives import SHARED
from sifnet.physics.forward import Simulator
from sifnet.physics.instrument import Instrument
from sifnet.physics.noise import noise_sd
from sifnet.physics.state import Atmosphere, AtmospherePrior, Geometry, SensorState, State
from sifnet.physics.surface import SIF, ShapePrior, Surface
from sifnet.retrieval.information import normal_blocks, shared_equations, surface_gain
from sifnet.retrieval.pixels import Pixels
from sifnet.retrieval.refinement import STRAY_SD, refine_surface, row_equations

SHAPE = (2, 4, 8)
NINE = [751.0, 754.0, 757.0, 760.0, 761.0, 762.0, 764.0, 766.0, 769.0]  # nm


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
        stray=0.7 * radiance.mean(-1),
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
    fit = refine_surface(pixels, pixels.noise, bad, simulator)
    torch.testing.assert_close(fit.state.surface.sif_760, truth.surface.sif_760, rtol=0, atol=0.02)
    torch.testing.assert_close(
        fit.state.surface.at_740()[0], truth.surface.at_740()[0], rtol=0, atol=1e-3
    )
    assert float(fit.chi2.max()) < 1e-3
    unchanged = refine_surface(pixels, pixels.noise, bad, simulator, solve=False)
    assert unchanged.state is bad
    assert float(unchanged.chi2.mean()) > 10


def test_the_surface_is_that_of_the_true_wavelengths(simulator: Simulator) -> None:
    """Steep ground under bands 0.1 nm from nominal: taken at nominal ones, 0.002 of it is off."""
    pixels, truth = made(simulator, 0.15)
    plane = torch.ones(SHAPE)
    steep = Surface(0.3 * plane, 0.2 * plane, 0.02 * plane, plane)
    shifted = replace(truth, surface=steep, sensor=SensorState(
        torch.full((2, 1, 8), 0.1), torch.zeros(2, 1, 8)))  # fmt: skip
    seen = replace(pixels, radiance=simulator.radiance(shifted, pixels.geometry))
    fit = refine_surface(seen, pixels.noise, shifted, simulator)
    found, true = fit.state.surface.stack(), steep.stack()
    torch.testing.assert_close(found[..., :SIF], true[..., :SIF], rtol=0, atol=3e-4)
    torch.testing.assert_close(found[..., SIF], true[..., SIF], rtol=0, atol=1e-3)


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


def test_equations_are_those_of_the_pixels_with_their_surfaces_eliminated(
    simulator: Simulator,
) -> None:
    """Against ``information.shared_equations``, which forms them pixel by pixel."""
    pixels, truth = made(simulator, 0.15)
    noisy = replace(pixels, radiance=pixels.radiance + 0.5 * pixels.noise)
    free = torch.zeros(SHAPE)
    _, equations, gain = row_equations(noisy, truth, simulator, free, solve=False)
    units = torch.cat([pixels.prior.sd.stack(), torch.full((2, 1, 1, 2), 0.01)], -1)
    blocks = normal_blocks(noisy.radiance, noisy.noise, truth, noisy.geometry, units, simulator)
    matrix, side = shared_equations(blocks)
    known = slice(len(SHARED))  # the last is stray light, of which normal_blocks knows nothing
    torch.testing.assert_close(
        equations.own[..., known, known], matrix.sum(1), rtol=2e-3, atol=1e-2
    )
    torch.testing.assert_close(equations.side[..., known], side.sum(1), rtol=2e-3, atol=1e-2)
    expected = surface_gain(blocks)[..., SIF, :].float()
    torch.testing.assert_close(gain[..., known], expected, rtol=2e-3, atol=1e-4)


def test_stray_light_is_found_in_the_lines(simulator: Simulator) -> None:
    """One number, the air known: light in all bands alike is neither ground nor fluorescence."""
    pixels, truth = made(simulator, 0.15)
    bare = replace(truth, surface=replace(truth.surface, sif_760=torch.zeros(SHAPE)))
    radiance = simulator.radiance(bare, pixels.geometry)
    strayed = replace(pixels, radiance=radiance + 0.002 * pixels.stray[..., None])
    _, equations, _ = row_equations(strayed, bare, simulator, torch.full(SHAPE, 1e4))
    fit = refine_surface(strayed, pixels.noise, bare, simulator)
    found = equations.side[..., -1].sum() / equations.own[..., -1, -1].sum()
    assert float(found) * STRAY_SD == pytest.approx(0.002, rel=0.1)
    clean = refine_surface(strayed.without_stray(0.002), pixels.noise, bare, simulator)
    assert float(fit.state.surface.sif_760.mean()) > 0.05
    assert float(clean.state.surface.sif_760.abs().max()) < 0.01


def test_errors_of_bands_are_what_the_radiance_does(simulator: Simulator) -> None:
    """An error of 1 % of the ground's light in one band, by finite difference."""
    pixels, truth = made(simulator, 0.15)
    free = torch.zeros(SHAPE)
    bands, band = pixels.radiance.shape[-1], 40

    def side(radiance: torch.Tensor) -> torch.Tensor:
        changed = replace(pixels, radiance=radiance)
        _, equations, _ = row_equations(changed, truth, simulator, free, solve=False)
        return equations.error_side

    transfer = simulator.transfer(truth.atmosphere, truth.sensor, pixels.geometry)
    glow = truth.surface.sif_760[..., None] * transfer.up
    lit = (pixels.radiance - transfer.path - glow)[..., band]
    brighter = pixels.radiance.clone()
    brighter[..., band] += 0.01 * lit
    change = (side(brighter) - side(pixels.radiance))[..., bands + band]
    alone = 0.01 * (lit / pixels.noise[..., band]) ** 2
    # Surfaces answer to it a little: less is left than the band alone would say.
    assert bool((change < alone.sum(1)).all())
    assert bool((change > 0.7 * alone.sum(1)).all())


def test_misfit_of_noise_alone_is_one_a_degree_of_freedom(simulator: Simulator) -> None:
    """Nine bands, four of which the surface takes: counted as nine it would be 0.56."""
    few = Simulator(simulator.emulator, Instrument(NINE, 0.26, simulator.emulator))
    pixels, truth = made(few, 0.15)
    torch.manual_seed(2)
    found = []
    for _ in range(30):
        noisy = pixels.radiance + pixels.noise * torch.randn_like(pixels.radiance)
        found.append(refine_surface(replace(pixels, radiance=noisy), pixels.noise, truth, few).chi2)
    # 30 x 64 draws of chi-square with 5 degrees of freedom: sd of the mean 0.014.
    assert float(torch.stack(found).mean()) == pytest.approx(1.0, abs=0.05)


def test_what_a_prior_determines_takes_no_degree_of_freedom(simulator: Simulator) -> None:
    """Shapes and fluorescence drawn from their prior, then noise: the misfit is one still."""
    few = Simulator(simulator.emulator, Instrument(NINE, 0.26, simulator.emulator))
    pixels, truth = made(few, 0.15)
    sd = torch.tensor([2e-4, 2e-4])  # of c1 / c0 and c2 / c0: far better known than nine bands say
    like = torch.ones(SHAPE)
    prior = ShapePrior(
        gain=torch.ones(*SHAPE, 9),
        by_sif=torch.zeros(*SHAPE, 2),
        precision=torch.stack([sd[0] ** -2 * like, 0 * like, sd[1] ** -2 * like], -1),
        sif_760=torch.stack([like, 0.05 * like], -1),
        at_740=torch.stack([like, 0 * like], -1),
        unusual=like,
    )
    pixels = replace(pixels, shape_prior=prior)
    torch.manual_seed(4)
    found = []
    for _ in range(30):
        level = 0.2 + 0.3 * torch.rand(SHAPE)
        bent = level[..., None] * sd * torch.randn(*SHAPE, 2)
        surface = Surface(level, bent[..., 0], bent[..., 1], 1 + 0.05 * torch.randn(SHAPE))
        state = replace(truth, surface=surface)
        radiance = few.radiance(state, pixels.geometry, None, prior)
        noisy = radiance + pixels.noise * torch.randn_like(radiance)
        seen = replace(pixels, radiance=noisy)
        found.append(refine_surface(seen, pixels.noise, state, few).chi2)
    assert float(torch.stack(found).mean()) == pytest.approx(1.0, abs=0.05)
