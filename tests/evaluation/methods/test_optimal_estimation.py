"""The most probable state: on known truth, against its own posterior, and off the beaten path."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import xarray as xr

from fakes.emulator import fake_emulator
from fakes.scenes import KnownScene, known_scene
from sifnet.evaluation.limits import Problem, limits
from sifnet.evaluation.methods.optimal_estimation import (
    Step,
    most_probable,
    optimal_estimation_scene,
    solve_small,
)
from sifnet.physics.derivatives import SHARED
from sifnet.physics.emulator import Emulator
from sifnet.physics.forward import Simulator
from sifnet.physics.instrument import Instrument
from sifnet.physics.noise import noise_sd
from sifnet.physics.state import Atmosphere, AtmospherePrior, Geometry, SensorState, State
from sifnet.physics.surface import Surface
from sifnet.retrieval.pixels import Pixels

DRAWS, SHAPE = 160, (3, 4)


@pytest.fixture(scope="module")
def simulator() -> Simulator:
    emulator = fake_emulator().requires_grad_(False)
    return Simulator(emulator, Instrument(np.arange(750.0, 770.0, 0.3), 0.26, emulator))


@pytest.fixture(scope="module")
def known() -> KnownScene:
    return known_scene(fake_emulator(), lines=24, samples=16, step=0.3)


@pytest.fixture(scope="module")
def found(known: KnownScene) -> dict[bool, xr.Dataset]:
    return {
        shared: optimal_estimation_scene(
            known.scene, shared=shared, emulator=fake_emulator(), patch=(24, 16)
        )
        for shared in (True, False)
    }


def drawn(simulator: Simulator) -> tuple[Pixels, torch.Tensor]:
    """Patches whose atmosphere, sensors and noise are drawn from what is assumed of them."""
    rng = torch.Generator().manual_seed(4)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=rng)

    one, full = torch.ones(DRAWS, 1, 1), torch.ones(DRAWS, *SHAPE)
    prior = AtmospherePrior(
        Atmosphere(1000 * one, 0 * one, 0.3 * one, 2 * one, 0.5 * one, one),
        Atmosphere(5 * one, 2 * one, 0.05 * one, 0.3 * one, 0.1 * one, 0.005 * one),
    )
    pairs = zip(prior.mean.items(), prior.sd.items(), strict=True)
    atmosphere = Atmosphere(**{n: mean + sd * normal(DRAWS, 1, 1) for (n, mean), (_, sd) in pairs})
    sensor = SensorState(0.02 * normal(DRAWS, 1, SHAPE[1]), 0.01 * normal(DRAWS, 1, SHAPE[1]))
    surface = Surface.sloped(0.3 + 0.1 * torch.rand(full.shape, generator=rng), 0.003 * full,
                             0.5 * full, 3 * torch.rand(full.shape, generator=rng))  # fmt: skip
    angles = {"solar_zenith_angle": 40.0, "view_zenith_angle": 5.0, "relative_azimuth_angle": 90.0,
              "sensor_height": 1.0, "sun_earth_distance": 1.0}  # fmt: skip
    geometry = Geometry(**{n: v * torch.ones(DRAWS, 1, SHAPE[1]) for n, v in angles.items()})
    radiance = simulator.radiance(State(atmosphere, surface, sensor), geometry)
    noise = noise_sd(radiance, 0.07)
    pixels = Pixels(
        radiance=radiance + noise * torch.randn(radiance.shape, generator=rng),
        noise=noise,
        irradiance=None,
        stray=torch.zeros_like(full),
        geometry=geometry,
        prior=prior,
        usable=full > 0,
        flags=full.int(),
        ndvi=full,
        column=torch.arange(SHAPE[1]).expand(DRAWS, -1),
        line_id=torch.zeros(DRAWS, dtype=torch.long),
    )
    return pixels, surface.sif_760


def error(result: xr.Dataset, known: KnownScene) -> np.ndarray:
    values = result["sif_760"].values - known.truth["sif_760"].values
    return values[np.isfinite(values)]


def test_truth_is_found_within_the_limit(known: KnownScene, found: dict[bool, xr.Dataset]) -> None:
    limit = limits(known.scene, emulator=fake_emulator(), patch=(24, 16))
    for shared, name in ((True, "patch"), (False, "single_pixel")):
        expected = float(np.sqrt((limit[name] ** 2).mean()))
        assert np.sqrt((error(found[shared], known) ** 2).mean()) < 1.15 * expected, name
        # The uncertainty is the limit, taken around the state found instead of the prior.
        stated = found[shared]["sif_760_uncertainty"] / limit[name]
        assert float(stated.mean()) == pytest.approx(1.0, abs=0.05), name
        assert float(stated.std()) < 0.05, name
    assert error(found[True], known).std() < 0.85 * error(found[False], known).std()


def test_scatter_is_the_posterior(simulator: Simulator) -> None:
    """Over draws of atmosphere, sensor and noise, as the prior and the noise model say."""
    pixels, truth = drawn(simulator)
    problem = Problem(pixels, simulator)
    sif, sd = most_probable(problem, problem.prior())
    scatter = torch.sqrt(((sif - truth) ** 2).mean() / (sd**2).mean())
    assert float(scatter) == pytest.approx(1.0, abs=0.15)
    assert abs(float((sif - truth).mean())) < 0.2 * float(sd.mean())


def test_where_it_starts_does_not_matter(simulator: Simulator) -> None:
    """Also from a point so far off that steps must be taken back."""
    pixels, _ = drawn(simulator)
    few = pixels.map(lambda x: x[:8])
    problem = Problem(few, simulator)
    start = problem.prior()
    far = start.deviation + torch.tensor([2.0, -2, 4, -3, 3, 2, 0.5, -0.5])
    from_prior = most_probable(problem, start)
    from_afar = most_probable(problem, problem.around(far, start.surface))
    for one, other in zip(from_prior, from_afar, strict=True):
        assert float((one - other).abs().max()) < 0.05 * float(from_prior[1].min())


def test_bounds_hold(simulator: Simulator) -> None:
    """Half of the draws have less pressure than the prior's mean, here the least there may be."""
    pixels, _ = drawn(simulator)
    emulator = simulator.emulator
    ranges = {**emulator.ranges, "surface_pressure": (1000.0, 1060.0)}
    narrow = Emulator(
        emulator.grid, emulator.basis, emulator.network, {**emulator.metadata, "ranges": ranges}
    )
    found = {}
    for name, through in (("free", emulator), ("bound", narrow)):
        problem = Problem(pixels, Simulator(through, simulator.instrument))
        step = Step.gauss_newton(problem, problem.prior(), torch.zeros(DRAWS))
        found[name] = step.shared[:, 0]
    pressure, o2 = SHARED.index("surface_pressure"), SHARED.index("o2_scale")
    held = found["free"][:, pressure] < -0.2
    assert 20 < int(held.sum()) < DRAWS - 20
    assert float(found["bound"][:, pressure].min()) > -1e-6
    # What is held is not looked for: less O2 absorption takes the place of less pressure.
    assert float((found["bound"] - found["free"])[held][:, o2].max()) < 0


def test_unusable_pixels_are_left_out(known: KnownScene) -> None:
    data = known.scene.dataset.copy()
    values = data["radiance"].values.copy()
    values[2:4, 5] = np.nan
    values[0, 0] *= 100
    data["radiance"] = (data["radiance"].dims, values)
    part = replace(known.scene, dataset=data).window(slice(0, 6))
    for shared in (True, False):
        result = optimal_estimation_scene(
            part, shared=shared, emulator=fake_emulator(), patch=(6, 10)
        )
        for plane in result.values():
            missing = ~np.isfinite(plane.values)
            assert missing[2:4, 5].all()
            assert missing[0, 0]
            assert missing.sum() == 3


def test_measured_irradiance_is_used() -> None:
    known = known_scene(
        fake_emulator(), lines=6, samples=4, step=0.3, measured_irradiance=True, sensor="flox"
    )
    for shared in (True, False):
        result = optimal_estimation_scene(
            known.scene, shared=shared, emulator=fake_emulator(), patch=(6, 4)
        )
        ratio = error(result, known) / result["sif_760_uncertainty"].values.ravel()
        assert np.sqrt((ratio**2).mean()) < 1.5


def test_small_systems_survive_an_empty_pixel() -> None:
    found = solve_small(torch.stack([torch.eye(4), torch.zeros(4, 4)]), torch.zeros(2, 4))
    assert torch.isfinite(found).all()
