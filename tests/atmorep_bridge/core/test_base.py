"""The base of hidden tokens is exact where theory says so."""

import numpy as np
import pytest
import torch

from atmorep_bridge.core.base import (
    LEAST_ERROR,
    NUGGET,
    coarsened,
    informed,
    kriged,
    sharpened,
)


def window(values: list[float]) -> torch.Tensor:
    return torch.tensor(values).view(1, 1, -1, 1, 1)


MEMORY = torch.tensor([[1.0, 0.8, 0.6, 0.4, 0.3, 0.2]])


def test_between_visible_hours_a_line() -> None:
    seen = window([1, 1, 0, 0, 1, 1]).bool()
    filled, _ = informed(window([0.0, 1.0, 9.0, 9.0, 7.0, 8.0]), seen, MEMORY)
    torch.testing.assert_close(filled, window([0.0, 1.0, 3.0, 5.0, 7.0, 8.0]))


def test_beyond_the_last_and_before_the_first_damped() -> None:
    seen = window([0, 0, 1, 1, 0, 0]).bool()
    filled, error = informed(window([9.0, 9.0, 1.0, 2.0, 9.0, 9.0]), seen, MEMORY)
    torch.testing.assert_close(filled, window([0.6, 0.8, 1.0, 2.0, 1.6, 1.2]))
    torch.testing.assert_close(error[0, 0, 4:, 0, 0], torch.tensor([0.6, 0.8]))


def test_never_visible_is_climatology() -> None:
    filled, error = informed(window([3.0] * 6), torch.zeros(1, 1, 6, 1, 1).bool(), MEMORY)
    assert not filled.any()
    assert torch.equal(error, torch.ones_like(error))


def test_missing_values_are_filled_and_never_spread() -> None:
    values = window([1.0, float("nan"), 3.0, 4.0, 5.0, 6.0])
    filled, _ = informed(values, torch.isfinite(values), MEMORY)
    torch.testing.assert_close(filled, window([1.0, 2.0, 3.0, 4.0, 5.0, 6.0]))


def test_expected_error_is_that_of_a_red_noise() -> None:
    """A first-order autoregression, r(lag) = 0.9^lag, 20,000 draws."""
    rng, r, hours = np.random.default_rng(0), 0.9, 8
    series = [rng.normal(size=20000)]
    for _ in range(hours - 1):
        series.append(r * series[-1] + np.sqrt(1 - r**2) * rng.normal(size=20000))
    truth = torch.from_numpy(np.stack(series, 1)).view(-1, 1, hours, 1, 1)
    seen = window([1, 0, 0, 0, 1, 0, 0, 0]).bool().expand_as(truth)
    memory = torch.tensor([[r**lag for lag in range(hours)]], dtype=torch.float64)
    filled, error = informed(truth, seen, memory)
    measured = (filled - truth).std(0)[~seen[0]]
    torch.testing.assert_close(measured, error[0][~seen[0]], rtol=0.03, atol=0.0)
    assert (error >= LEAST_ERROR).all()


def test_levels_have_memories_of_their_own() -> None:
    values, seen = torch.ones(1, 2, 3, 1, 1), torch.tensor([1, 0, 0]).view(1, 1, 3, 1, 1).bool()
    memory = torch.tensor([[1.0, 0.9, 0.8], [1.0, 0.5, 0.1]])
    filled, _ = informed(values, seen.expand_as(values), memory)
    torch.testing.assert_close(filled[0, :, :, 0, 0], memory)


def test_sharpening_keeps_a_plane_and_the_mean() -> None:
    rows, columns = torch.meshgrid(torch.arange(16.0), torch.arange(24.0), indexing="ij")
    plane = 3 + 0.5 * rows - 0.25 * columns
    smooth = sharpened(coarsened(plane), (16, 24))
    torch.testing.assert_close(smooth[2:-2, 2:-2], plane[2:-2, 2:-2])
    assert torch.equal(smooth[0], smooth[1])  # beyond the outermost middles nothing is known
    torch.testing.assert_close(smooth.mean(), plane.mean())


def test_coarse_means_of_rest_rows_are_left_out() -> None:
    assert coarsened(torch.ones(2, 3, 33, 49)).shape == (2, 3, 8, 12)
    assert sharpened(torch.ones(2, 3, 8, 12), (33, 49)).shape == (2, 3, 33, 49)


def test_kriging_is_the_conditional_mean_of_a_normal() -> None:
    """Against conditioning written out for one pattern, and against the damped value of a
    first-order autoregression, of which nothing but the last hour counts."""
    r, hours = 0.9, 6
    lag = np.abs(np.subtract.outer(np.arange(hours), np.arange(hours)))
    memory = torch.tensor([[r**i for i in range(hours)]])
    seen = window([1, 1, 0, 0, 1, 0]).bool()
    values = window([1.0, -0.5, 9.0, 9.0, 0.7, 9.0])
    filled, error = kriged(values, seen, memory)
    known = [0, 1, 4]
    c = r ** lag.astype(float)
    inverse = np.linalg.inv(c[np.ix_(known, known)] + NUGGET * np.eye(3))
    expected = c[:, known] @ inverse @ np.array([1.0, -0.5, 0.7])
    sd = np.sqrt(1 - np.einsum("ij,jk,ik->i", c[:, known], inverse, c[:, known]))
    for hour in (2, 3, 5):
        assert float(filled[0, 0, hour]) == pytest.approx(expected[hour], abs=1e-4)
        assert float(error[0, 0, hour]) == pytest.approx(sd[hour], rel=1e-3)
    assert float(filled[0, 0, 5]) == pytest.approx(r * 0.7, rel=2e-2)
    assert torch.equal(filled[seen], values[seen])


def test_kriging_knows_points_of_different_patterns_apart() -> None:
    torch.manual_seed(0)
    values = torch.randn(2, 2, 6, 3, 4)
    seen = torch.rand(2, 2, 6, 3, 4) < 0.5
    memory = torch.tensor([[0.9**i for i in range(6)], [0.5**i for i in range(6)]])
    whole, _ = kriged(values, seen, memory)
    for b, level, y, x in ((0, 0, 1, 2), (1, 1, 2, 3)):
        at = slice(b, b + 1), slice(level, level + 1), slice(None), slice(y, y + 1), slice(x, x + 1)
        alone, _ = kriged(values[at], seen[at], memory[level : level + 1])
        torch.testing.assert_close(whole[at], alone, atol=1e-4, rtol=1e-4)


def test_kriging_without_any_visible_hour_is_climatology() -> None:
    filled, error = kriged(window([3.0] * 6), torch.zeros(1, 1, 6, 1, 1).bool(), MEMORY)
    assert not filled.any()
    torch.testing.assert_close(error, torch.ones_like(error))
