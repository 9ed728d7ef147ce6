"""Tokens are an exact, ordered cut of a window; their information is periodic where time is."""

import numpy as np
import pytest
import torch

from atmorep_bridge.core.grids import Places, Regular
from atmorep_bridge.core.tokens import (
    INFO,
    PLACE,
    from_tokens,
    on_points,
    positional_code,
    to_tokens,
    token_info,
)

HOUR = np.timedelta64(1, "h")
LEVEL = np.array([1.0])


def places(latitude: np.ndarray, longitude: np.ndarray, patch: tuple[int, int]) -> Places:
    grid = Regular(latitude, longitude, False)
    return grid.tokens(grid.window((0, 0), grid.shape), patch)


@pytest.mark.parametrize("patch", [(1, 1, 1), (2, 4, 2), (3, 2, 5), (6, 8, 10)])
def test_tokens_are_inverted_exactly(patch: tuple[int, int, int]) -> None:
    values = torch.randn(2, 3, 6, 8, 10)
    grid = (3, *(n // p for n, p in zip(values.shape[2:], patch, strict=True)))
    assert torch.equal(from_tokens(to_tokens(values, patch), patch, grid), values)


def test_a_token_is_one_block_of_one_level() -> None:
    values = torch.arange(2 * 4 * 4 * 6).view(1, 2, 4, 4, 6)
    tokens = to_tokens(values, (2, 2, 3))
    assert tokens.shape == (1, 2 * 2 * 2 * 2, 12)
    assert torch.equal(tokens[0, 1].view(2, 2, 3), values[0, 0, :2, :2, 3:])
    assert torch.equal(tokens[0, 8].view(2, 2, 3), values[0, 1, :2, :2, :3])


def test_flags_of_tokens_reach_their_points() -> None:
    values, patch = torch.randn(1, 2, 4, 4, 6), (2, 2, 3)
    flags = torch.zeros(1, 16, dtype=torch.bool)
    flags[0, 5] = True
    points = on_points(flags.view(1, 2, 2, 2, 2), patch)
    tokens = to_tokens(torch.where(points, 1.0, 0.0).expand_as(values), patch)
    assert torch.equal(tokens.bool().all(-1), flags)
    assert torch.equal(tokens.bool().any(-1), flags)


def test_info_knows_a_day_a_year_and_the_date_line() -> None:
    def info(start: str, west: float = 5.0) -> torch.Tensor:
        times = np.datetime64(start, "ns") + np.arange(2) * HOUR
        longitude = west + np.arange(2) * 0.25
        return token_info(times, LEVEL, places(np.array([50.0, 50.25]), longitude, (2, 2)), 2)

    assert info("2020-06-20T00").shape == (1, INFO)
    day = info("2020-06-20T00") - info("2020-06-21T00")
    assert day.abs().max() < 0.02  # a day of a year
    assert (info("2020-06-20T00") - info("2020-06-20T06")).abs().max() > 0.5
    torch.testing.assert_close(info("2020-06-20T00", 185.0), info("2020-06-20T00", -175.0),
                               atol=1e-4, rtol=0)  # fmt: skip
    midnight = info("2019-12-31T23") - info("2020-01-01T00")
    assert midnight.abs().max() < 0.3


def test_info_follows_the_order_of_tokens() -> None:
    times = np.datetime64("2020-06-20T00", "ns") + np.arange(4) * HOUR
    levels = np.array([0.5, 1.0])
    info = token_info(times, levels, places(np.arange(4.0), np.arange(6.0), (2, 3)), 2)
    assert info.shape == (2 * 2 * 2 * 2, INFO)
    assert torch.equal(info[:8, 0], torch.full((8,), 0.5))
    assert torch.equal(info[8:, 0], torch.ones(8))


def test_places_have_different_codes() -> None:
    times = np.datetime64("2020-06-20", "ns") + np.arange(9) * HOUR
    window = places(np.arange(24.0), np.arange(30.0), (6, 6))
    info = token_info(times, np.array([0.5, 1.0]), window, 3)
    assert info[-1, PLACE].tolist() == [1.5, 7.5, 21.0, 27.0]
    code = positional_code(info[:, PLACE], 32)
    assert code.shape == (120, 32)
    apart = torch.cdist(code, code) + torch.eye(120)
    assert apart.min() > 0.1
    assert positional_code(info[:1, PLACE], 18).shape == (1, 18)
