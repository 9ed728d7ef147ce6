"""Scores against closed forms: normal distributions, pairs, and what fair means."""

import math

import numpy as np
import pytest
import torch
import xarray as xr

from atmorep_bridge.core.losses import crps, of_samples


def test_crps_is_that_of_its_definition() -> None:
    members, truth = torch.randn(5, 7, 3), torch.randn(7, 3)
    error = (members - truth).abs().mean(0)
    pairs = (members[:, None] - members[None]).abs().sum((0, 1))
    for alpha in (1.0, 0.95, 0.0):
        epsilon = (1 - alpha) / 5
        expected = error - (1 - epsilon) * pairs / (2 * 5 * 4)
        torch.testing.assert_close(crps(members, truth, alpha), expected)


def test_without_fairness_it_is_the_score_of_the_ensemble_itself() -> None:
    """α = 0: E|x - y| - ½ E|x - x'| with x' any member, itself included."""
    members, truth = torch.randn(4, 100), torch.randn(100)
    whole = (members[:, None] - members[None]).abs().mean((0, 1))
    expected = (members - truth).abs().mean(0) - 0.5 * whole
    torch.testing.assert_close(crps(members, truth, 0.0), expected)


def test_fair_crps_of_a_normal_is_that_of_its_distribution() -> None:
    """Gneiting & Raftery 2007, eq. 21, at y = 0.7, from four members, 200,000 times."""
    torch.manual_seed(0)
    y = 0.7
    density = math.exp(-(y**2) / 2) / math.sqrt(2 * math.pi)
    below = 0.5 * (1 + math.erf(y / math.sqrt(2)))
    exact = y * (2 * below - 1) + 2 * density - 1 / math.sqrt(math.pi)
    found = crps(torch.randn(4, 200_000), torch.full((200_000,), y), 1.0).mean()
    assert float(found) == pytest.approx(exact, abs=3e-3)


def test_almost_fair_holds_every_member() -> None:
    """Fair CRPS does not feel one member that is far off where all others are right."""
    truth = torch.zeros(1)
    members = torch.zeros(4, 1, requires_grad=True)
    with torch.no_grad():
        members[0] = 100.0
    (fair,) = torch.autograd.grad(crps(members, truth, 1.0).sum(), members)
    (almost,) = torch.autograd.grad(crps(members, truth, 0.95).sum(), members)
    assert abs(float(fair[0])) < 1e-7
    assert float(almost[0]) > 1e-3


@pytest.mark.parametrize(("alpha", "spread"), [(0.0, 0.99), (0.95, 1.59)])
def test_tails_spread_as_much_as_the_truth_only_without_fairness(
    alpha: float, spread: float
) -> None:
    """Eight numbers, best for a normal truth: at its quantiles (k - ½)/8, or far beyond."""
    truth = torch.distributions.Normal(0.0, 1.0).icdf((torch.arange(4000) + 0.5) / 4000)
    members = torch.linspace(-1, 1, 8).requires_grad_()
    steps = torch.optim.LBFGS([members], line_search_fn="strong_wolfe", max_iter=100)

    def loss() -> torch.Tensor:
        steps.zero_grad()
        total = crps(members[:, None].expand(8, 4000), truth, alpha).mean()
        total.backward()
        return total

    steps.step(loss)  # type: ignore[arg-type]
    assert float(members.std().detach()) == pytest.approx(spread, abs=0.02)
    outermost = 1 - float(torch.distributions.Normal(0.0, 1.0).cdf(members.detach().max()))
    assert outermost == pytest.approx((1 - alpha) / 8 / 2, abs=0.005)


def test_loss_gradients() -> None:
    members = torch.randn(3, 4, dtype=torch.float64, requires_grad=True)
    truth = torch.randn(4, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda m: crps(m, truth), members)


def test_each_sample_counts_once_and_missing_values_never() -> None:
    each = torch.tensor([[1.0, 1.0], [3.0, float("nan")], [5.0, 5.0]])
    counts = torch.isfinite(each)
    found = of_samples(each, counts, torch.tensor([0, 0, 2]), 3)
    torch.testing.assert_close(found, torch.tensor([5 / 3, 0.0, 5.0]))


def test_crps_is_that_of_a_library_at_both_ends() -> None:
    """Of the Bureau of Meteorology's ``scores``: as it stands, and fair; linear between."""
    library = pytest.importorskip("scores.probability")
    members, truth = torch.randn(5, 40, generator=torch.manual_seed(0)), torch.zeros(40)
    arrays = (xr.DataArray(members.numpy(), dims=("member", "place")),
              xr.DataArray(truth.numpy(), dims="place"))  # fmt: skip
    stands, fair = (
        library.crps_for_ensemble(*arrays, "member", method=m, preserve_dims="place").values
        for m in ("ecdf", "fair")
    )
    for alpha in (0.0, 0.25, 1.0):
        expected = (1 - alpha) * stands + alpha * fair
        np.testing.assert_allclose(crps(members, truth, alpha), expected, rtol=1e-5, atol=1e-6)
