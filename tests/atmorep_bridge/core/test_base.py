"""The base of hidden values is the best linear estimate: exact where theory says what that is."""

import numpy as np
import pytest
import torch

from atmorep_bridge.core.base import MANY, Linear, ridge, stencil, unusual
from atmorep_bridge.core.covariance import Products, grams, zones
from atmorep_bridge.core.grids import Regular

HOURS, RINGS = 6, (1,)
N = len(stencil(RINGS))
TINY = torch.full((1, 2, 2), 1e-6)


def covariance(r: float = 0.9, near: float = 0.8) -> torch.Tensor:
    """Of a first-order autoregression in time, of neighbours that are alike by ``near``."""
    hour, place = torch.arange(HOURS), torch.from_numpy(stencil(RINGS)).double()
    time = r ** (hour - hour[:, None]).abs().double()
    apart = near ** torch.cdist(place, place)
    return torch.kron(time, apart)[None, None]


def windows(batch: int, rows: int = 2, columns: int = 3) -> torch.Tensor:
    return torch.randn(batch, 1, HOURS, rows + 2, columns + 2, generator=torch.manual_seed(0))


def zone(rows: int = 2, columns: int = 3) -> torch.Tensor:
    return torch.zeros(rows, columns, dtype=torch.long)


def mapped(
    values: torch.Tensor, seen: torch.Tensor, rings: tuple[int, ...] = RINGS
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """As lists of points; asked for is what has all neighbours."""
    (height, width), by = values.shape[-2:], max(rings)
    grid = Regular(np.arange(height, dtype=float), np.arange(width, dtype=float), False)
    rows, columns = np.arange(by, height - by), np.arange(by, width - by)
    near = grid.neighbours(rows[:, None] * width + columns, rings)
    return values.flatten(-2), seen.flatten(-2), torch.from_numpy(near)


def inside(points: np.ndarray) -> np.ndarray:
    """Neighbours in 4 x 4 points of its inner 2 x 2."""
    offsets = stencil(RINGS)
    return (
        (points[..., None] // 2 + 1 + offsets[:, 0]) * 4 + points[..., None] % 2 + 1 + offsets[:, 1]
    )


def ahead(values: torch.Tensor) -> torch.Tensor:
    seen = torch.ones_like(values).bool()
    seen[:, :, 4:] = False
    return seen


def test_what_is_hidden_is_the_conditional_mean_of_a_normal() -> None:
    """Against conditioning written out, of a gap and of points of different patterns."""
    values, c = windows(2), covariance()
    seen = torch.rand(values.shape, generator=torch.manual_seed(1)) < 0.6
    filled, error = Linear(c, TINY).fill(*mapped(values, seen), zone())
    rows, columns = stencil(RINGS).T
    for b, y, x in ((0, 0, 0), (1, 1, 2)):
        mine = values[b, 0][:, y + 1 + rows, x + 1 + columns].flatten().double()
        known = seen[b, 0][:, y + 1 + rows, x + 1 + columns].flatten()
        inner = filled[b, 0, :, y, x]
        for hour in range(HOURS):
            if known[hour * N]:
                assert inner[hour] == values[b, 0, hour, y + 1, x + 1]
                continue
            among, toward = c[0, 0][known][:, known], c[0, 0][known, hour * N]
            w = torch.linalg.solve(among, toward)
            assert float(inner[hour]) == pytest.approx(float(w @ mine[known]), abs=2e-3)
            # Values of chance are unusual: more error than a normal's.
            assert float(error[b, 0, hour, y, x]) > float(1 - w @ toward) ** 0.5


def test_of_an_autoregression_only_the_last_hour_counts() -> None:
    values = windows(4)
    filled, error = Linear(covariance(), TINY).fill(*mapped(values, ahead(values)), zone())
    inner = values[..., 1:-1, 1:-1]
    torch.testing.assert_close(filled[:, :, 4], 0.9 * inner[:, :, 3], atol=1e-3, rtol=0)
    torch.testing.assert_close(filled[:, :, 5], 0.81 * inner[:, :, 3], atol=1e-3, rtol=0)
    assert torch.equal(filled[:, :, :4], inner[:, :, :4])
    assert not error[:, :, :4].any()


def test_where_nothing_is_visible_stands_climate() -> None:
    values = windows(1)
    filled, error = Linear(covariance(), TINY).fill(*mapped(values, values > 9), zone())
    assert not filled.any()
    torch.testing.assert_close(error, torch.ones_like(error), atol=1e-3, rtol=0)


def test_an_unusual_past_makes_the_error_larger() -> None:
    """Three times the usual values: about three times the error (Student-t process)."""
    drawn = torch.linalg.cholesky(covariance()[0, 0]) @ torch.randn(
        HOURS * N, 500, generator=torch.manual_seed(0)).double()  # fmt: skip
    rows, columns = stencil(RINGS).T
    errors = []
    for size in (1.0, 3.0):
        values = torch.zeros(500, 1, HOURS, 3, 3)
        values[:, 0, :, 1 + rows, 1 + columns] = size * drawn.T.view(500, HOURS, N).float()
        _, error = Linear(covariance(), TINY).fill(*mapped(values, ahead(values)), zone(1, 1))
        errors.append(float(error[:, :, 4].square().mean().sqrt()))
    assert errors[0] == pytest.approx((1 - 0.9**2) ** 0.5, rel=0.05)
    assert errors[1] / errors[0] == pytest.approx(3.0, rel=0.1)
    assert float(unusual(torch.tensor(7.0), 7)) == pytest.approx(1.0)


def test_many_patterns_are_answered_by_the_nearest_points() -> None:
    """Beyond MANY patterns the outer ring is not asked; what is said is as if it were hidden."""
    rings = (1, 2)
    place = torch.from_numpy(stencil(rings)).double()
    hour = torch.arange(4)
    c = torch.kron(0.9 ** (hour - hour[:, None]).abs().double(), 0.8 ** torch.cdist(place, place))
    values = torch.randn(1, 1, 4, 16, 16, generator=torch.manual_seed(0))
    seen = torch.rand(values.shape, generator=torch.manual_seed(1)) < 0.5
    linear = Linear(c[None, None], TINY)
    filled, _ = linear.fill(*mapped(values, seen, rings), zone(12, 12))
    assert not linear.solutions  # patterns of chance do not come again
    near = torch.zeros(17).bool()
    near[:9] = True
    keep = near.repeat(4)
    small = Linear(c[keep][:, keep][None, None], TINY)
    alone, _ = small.fill(*mapped(values[..., 6:9, 6:9], seen[..., 6:9, 6:9]), zone(1, 1))
    torch.testing.assert_close(filled[..., 5:6, 5:6], alone, atol=1e-3, rtol=0)
    assert MANY < 144


def test_solutions_are_found_again() -> None:
    values = windows(2)
    linear = Linear(covariance(), TINY)
    first = linear.fill(*mapped(values, ahead(values)), zone())
    kept = dict(linear.solutions)
    again = linear.fill(*mapped(values, ahead(values)), zone())
    assert len(kept) == 1
    assert all(linear.solutions[key] is kept[key] for key in kept)
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))


def test_products_of_all_windows_are_those_of_each() -> None:
    values = torch.randn(2, 11, 3, 2, generator=torch.manual_seed(0))
    expected = torch.zeros(2, 8, 8)
    for start in range(8):
        window = values[:, start : start + 4].permute(0, 2, 1, 3).flatten(2)
        expected += window.mT @ window
    torch.testing.assert_close(grams(values, 4), expected, atol=1e-4, rtol=1e-4)


def test_missing_values_are_in_no_product() -> None:
    """Independent values, a fifth missing: variances are 1, not 0.8."""
    values = torch.randn(400, 4, 4, generator=torch.manual_seed(0))
    values[torch.rand(values.shape, generator=torch.manual_seed(1)) < 0.2] = torch.nan
    products = Products(zones(2, 2, 10**6), torch.ones(2, 2), inside, 2)
    products.add(values, held=False)
    found, _ = products.solved(1, 1)
    torch.testing.assert_close(found[0].diagonal(), torch.ones(18), atol=0.1, rtol=0)


def test_weights_of_a_coast_are_of_bounded_size() -> None:
    """A smooth field that is missing at half of the neighbours now and then: means of products of
    different hours are no covariance, what is taken is, and variances stay what they are."""
    generator = torch.manual_seed(0)
    values = torch.randn(40, 1, 1, generator=generator) + 0.1 * torch.randn(
        40, 4, 4, generator=generator
    )
    values[torch.rand(values.shape, generator=generator) < 0.5] = torch.nan
    values[:, 1, 2] = torch.nan  # land
    products = Products(zones(2, 2, 1), torch.ones(2, 2), inside, 3)
    products.add(values, held=False)
    found, _ = products.solved(1, 1)
    least = torch.linalg.eigvalsh(found.double()).min()
    assert float(least) > -1e-4 * float(found.abs().max())
    usual = values[torch.isfinite(values)].var()
    torch.testing.assert_close(found.diagonal(dim1=-2, dim2=-1).mean(), usual, rtol=0.3, atol=0)


def test_how_much_a_zone_goes_its_own_way_is_chosen_on_held_back_days() -> None:
    """West remembers, east alternates: zones alone. All alike and few hours: all together."""
    rng = np.random.default_rng(0)
    for r_east, hours in ((-0.8, 600), (0.8, 30)):
        series = [rng.normal(size=(4, 4))]
        r = np.where(np.arange(4) < 2, 0.8, r_east)
        for _ in range(2 * hours):
            series.append(r * series[-1] + 0.6 * rng.normal(size=(4, 4)))
        values = torch.from_numpy(np.stack(series)).float()
        zone = (torch.arange(4) >= 2).long().expand(2, 4)[:, 1:3]
        products = Products(zone, torch.ones(2, 2), inside, 3)
        products.add(values[:hours], held=False)
        products.add(values[hours:], held=True)
        found, _ = products.solved(1, 1)
        west, east = found[:, 0, 9]  # a point and itself an hour later
        if r_east < 0:
            assert float(west) > 0.5
            assert float(east) < -0.5
        else:
            assert float(west) == pytest.approx(float(east), abs=0.15)


def test_zones_are_few_where_memory_is_little() -> None:
    assert zones(10, 12, 200).unique().numel() == 120
    assert zones(721, 1440, 900).unique().numel() <= 2**26 / (4 * 900**2)


def test_an_indefinite_covariance_is_lifted() -> None:
    c = torch.tensor([[1.0, 1.2], [1.2, 1.0]]).double()
    w = ridge(c, torch.ones(2, 1).double(), torch.tensor(1e-4))
    assert torch.isfinite(w).all()
    assert float(w.sum()) > 0
