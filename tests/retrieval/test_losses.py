"""What every term of the loss punishes, and what it leaves alone."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from sifnet.physics.state import Atmosphere, AtmospherePrior, Geometry, SensorState, State
from sifnet.physics.surface import Surface
from sifnet.retrieval import losses
from sifnet.retrieval.losses import LossWeights, Perturbed
from sifnet.retrieval.pixels import Pixels

BANDS = 10


@pytest.fixture
def pixels() -> Pixels:
    shape = (2, 3, 3)
    one = torch.ones(2, 1, 1)
    mean = Atmosphere(1000 * one, 0 * one, 0.15 * one, 1.5 * one, 0.3 * one, one)
    sd = Atmosphere(8 * one, 5 * one, 0.1 * one, 0.7 * one, 0.3 * one, 0.005 * one)
    return Pixels(
        radiance=torch.full((*shape, BANDS), 50.0),
        noise=torch.full((*shape, BANDS), 0.5),
        irradiance=None,
        stray=torch.zeros(shape),
        geometry=Geometry(*(torch.ones(2, 1, 3) for _ in range(5))),
        prior=AtmospherePrior(mean, sd),
        usable=torch.ones(shape, dtype=torch.bool),
        flags=torch.zeros(shape, dtype=torch.int32),
        ndvi=torch.full(shape, 0.7),
        column=torch.arange(3).expand(2, 3),
        line_id=torch.zeros(2, dtype=torch.long),
    )


@pytest.fixture
def state(pixels: Pixels) -> State:
    plane = torch.ones(pixels.usable.shape)
    surface = Surface.sloped(0.3 * plane, 0.003 * plane, 0.5 * plane, 1.2 * plane)
    sensor = SensorState(torch.zeros(2, 1, 3), torch.zeros(2, 1, 3))
    return State(pixels.prior.mean, surface, sensor)


def with_sif(state: State, sif: Tensor) -> State:
    return replace(state, surface=replace(state.surface, sif_760=sif))


def test_residual_is_half_chi_square_and_ignores_unusable_pixels(pixels: Pixels) -> None:
    sigma = pixels.noise
    assert float(losses.residual(pixels, pixels.radiance + sigma, sigma)) == pytest.approx(0.5)
    usable = pixels.usable.clone()
    usable[0, 0, 0] = False
    wrong = pixels.radiance.clone()
    wrong[0, 0, 0] = torch.nan
    assert float(losses.residual(replace(pixels, usable=usable), wrong, sigma)) == 0.0


def test_residual_counts_misfit_in_noise_so_dark_bands_count_as_much(pixels: Pixels) -> None:
    noise = pixels.noise.clone()
    noise[..., 0] = 0.1
    bright, dark = pixels.radiance.clone(), pixels.radiance.clone()
    bright[..., 1] += 0.5
    dark[..., 0] += 0.1
    assert losses.residual(pixels, bright, noise) == pytest.approx(
        float(losses.residual(pixels, dark, noise)), rel=1e-4
    )


def test_ndvi_punishes_mean_fluorescence_of_bare_ground_only(pixels: Pixels, state: State) -> None:
    assert float(losses.ndvi(pixels, state, 0.12)) == 0.0
    bare = replace(pixels, ndvi=torch.full_like(pixels.ndvi, 0.05))
    assert float(losses.ndvi(bare, state, 0.12)) > 100
    noise = torch.tensor([-1.0, 0.0, 1.0]).expand(2, 3, 3)
    assert float(losses.ndvi(bare, with_sif(state, noise), 0.12)) == pytest.approx(0, abs=1e-9)
    unknown = replace(pixels, ndvi=torch.full_like(pixels.ndvi, torch.nan))
    assert float(losses.ndvi(unknown, state, 0.12)) == 0.0


def test_prior_counts_standard_deviations(pixels: Pixels) -> None:
    mean = pixels.prior.mean
    assert float(losses.prior(pixels, mean)) == 0.0
    moved = replace(mean, surface_pressure=mean.surface_pressure + 16.0)
    assert float(losses.prior(pixels, moved)) == pytest.approx(0.5 * 4.0)


def test_perturbation_wants_fluorescence_to_follow_and_the_rest_to_stay(
    pixels: Pixels, state: State
) -> None:
    added = torch.full(pixels.usable.shape, 0.6)
    follows = with_sif(state, state.surface.sif_760 + added)
    assert float(losses.perturbation(pixels, state, Perturbed(follows, added))) == pytest.approx(0)
    deaf = float(losses.perturbation(pixels, state, Perturbed(state, added)))
    assert deaf == pytest.approx(0.5 * (0.6 / Surface.parameters()["sif_760"].step) ** 2)
    brighter = replace(follows.surface, reflectance_760=follows.surface.reflectance_760 + 0.02)
    leaks = replace(follows, surface=brighter)
    assert float(losses.perturbation(pixels, state, Perturbed(leaks, added))) > 1.0


def test_terms_apply_weights_and_sum_to_a_finite_loss(pixels: Pixels, state: State) -> None:
    found = pixels.radiance + 0.3
    terms = losses.terms(pixels, found, state)
    assert "perturbation" not in terms
    double = losses.terms(pixels, found, state, None, LossWeights(residual=2.0, ndvi=0.0))
    assert float(double["residual"]) == pytest.approx(2 * float(terms["residual"]))
    added = torch.zeros(pixels.usable.shape)
    errors = torch.tensor([[1.0, 2.0], [0.0, 0.0]])
    with_all = losses.terms(pixels, found, state, Perturbed(state, added), errors=errors)
    bands = pixels.radiance.shape[-1]
    counted = min(LossWeights().independent_pixels, pixels.usable[0].numel()) * bands
    assert float(with_all["errors"]) == pytest.approx(0.5 * 2.5 / counted)
    assert torch.isfinite(torch.stack(list(with_all.values()))).all()
