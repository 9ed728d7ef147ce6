"""The base of hidden values is the best linear estimate: exact where theory says what that is."""

from itertools import pairwise

import numpy as np
import pytest
import torch

from atmorep_bridge.core.base import (
    MANY,
    OFF,
    Linear,
    Values,
    between,
    definite,
    ridge,
    stencil,
    unusual,
)
from atmorep_bridge.core.covariance import PARTS, Products, grams, taper, zones
from atmorep_bridge.core.grids import Regular

HOURS, RINGS = 6, (1,)
N = len(stencil(RINGS))
TINY = torch.tensor([1e-6, 1e-6, OFF]).expand(1, 2, 3)


def covariance(rings: tuple[int, ...] = RINGS, hours: int = HOURS) -> torch.Tensor:
    """Of a first-order autoregression in time, of neighbours that are alike by 0.8; two zones."""
    place = torch.from_numpy(stencil(rings)).double()
    apart = 0.8 ** torch.cdist(place, place)
    return (0.9 ** torch.arange(hours)[:, None, None] * apart).expand(2, -1, -1, -1)


def linear(rings: tuple[int, ...] = RINGS, hours: int = HOURS) -> Linear:
    return Linear(covariance(rings, hours), torch.ones(1), TINY, torch.ones(1, 2))


def window(lags: torch.Tensor) -> torch.Tensor:
    """Of all hours and values, of a covariance of lags."""
    hour, value = torch.ones(lags.shape[:2]).nonzero().T
    return between(lags, hour, value)


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
    """Neighbours in a map of 4 columns, of points counted in its inner two columns."""
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
    values, c = windows(2), window(covariance()[0])
    seen = torch.rand(values.shape, generator=torch.manual_seed(1)) < 0.6
    filled, error = linear().fill(*mapped(values, seen), zone())
    rows, columns = stencil(RINGS).T
    for b, y, x in ((0, 0, 0), (1, 1, 2)):
        mine = values[b, 0][:, y + 1 + rows, x + 1 + columns].flatten().double()
        known = seen[b, 0][:, y + 1 + rows, x + 1 + columns].flatten()
        inner = filled[b, 0, :, y, x]
        for hour in range(HOURS):
            if known[hour * N]:
                assert inner[hour] == values[b, 0, hour, y + 1, x + 1]
                continue
            among, toward = c[known][:, known], c[known, hour * N]
            w = torch.linalg.solve(among, toward)
            assert float(inner[hour]) == pytest.approx(float(w @ mine[known]), abs=2e-3)
            # Values of chance are unusual: more error than a normal's.
            assert float(error[b, 0, hour, y, x]) > float(1 - w @ toward) ** 0.5


def test_of_an_autoregression_only_the_last_hour_counts() -> None:
    values = windows(4)
    filled, error = linear().fill(*mapped(values, ahead(values)), zone())
    inner = values[..., 1:-1, 1:-1]
    torch.testing.assert_close(filled[:, :, 4], 0.9 * inner[:, :, 3], atol=1e-3, rtol=0)
    torch.testing.assert_close(filled[:, :, 5], 0.81 * inner[:, :, 3], atol=1e-3, rtol=0)
    assert torch.equal(filled[:, :, :4], inner[:, :, :4])
    assert not error[:, :, :4].any()


def test_where_nothing_is_visible_stands_climate() -> None:
    values = windows(1)
    filled, error = linear().fill(*mapped(values, values > 9), zone())
    assert not filled.any()
    torch.testing.assert_close(error, torch.ones_like(error), atol=1e-3, rtol=0)


def test_an_unusual_past_makes_the_error_larger() -> None:
    """Three times the usual values: about three times the error (Student-t process)."""
    drawn = torch.linalg.cholesky(window(covariance()[0])) @ torch.randn(
        HOURS * N, 500, generator=torch.manual_seed(0)).double()  # fmt: skip
    rows, columns = stencil(RINGS).T
    errors = []
    for size in (1.0, 3.0):
        values = torch.zeros(500, 1, HOURS, 3, 3)
        values[:, 0, :, 1 + rows, 1 + columns] = size * drawn.T.view(500, HOURS, N).float()
        _, error = linear().fill(*mapped(values, ahead(values)), zone(1, 1))
        errors.append(float(error[:, :, 4].square().mean().sqrt()))
    assert errors[0] == pytest.approx((1 - 0.9**2) ** 0.5, rel=0.05)
    assert errors[1] / errors[0] == pytest.approx(3.0, rel=0.1)
    assert float(unusual(torch.tensor(7.0), 7)) == pytest.approx(1.0)


def test_many_patterns_are_answered_by_the_nearest_points() -> None:
    """Beyond MANY patterns the outer ring is not asked; what is said is as if it were hidden."""
    rings = (1, 2)
    values = torch.randn(1, 1, 4, 16, 16, generator=torch.manual_seed(0))
    seen = torch.rand(values.shape, generator=torch.manual_seed(1)) < 0.5
    wide = linear(rings, 4)
    filled, _ = wide.fill(*mapped(values, seen, rings), zone(12, 12))
    assert not wide.solutions  # patterns of chance do not come again
    small = mapped(values[..., 6:9, 6:9], seen[..., 6:9, 6:9])
    alone, _ = linear((1,), 4).fill(*small, zone(1, 1))
    torch.testing.assert_close(filled[..., 5:6, 5:6], alone, atol=1e-3, rtol=0)
    assert MANY < 144


def test_solutions_are_found_again() -> None:
    values = windows(2)
    known = linear()
    first = known.fill(*mapped(values, ahead(values)), zone())
    kept = dict(known.solutions)
    again = known.fill(*mapped(values, ahead(values)), zone())
    assert len(kept) == 1
    assert all(known.solutions[key] is kept[key] for key in kept)
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))


def test_products_are_those_of_each_lag() -> None:
    values = torch.randn(2, 11, 3, 2, generator=torch.manual_seed(0))
    found = grams(values, 4)
    for lag in range(4):
        expected = torch.einsum("ztpa,ztpb->zab", values[:, :8], values[:, lag : lag + 8])
        torch.testing.assert_close(found[:, lag], expected, atol=1e-4, rtol=1e-4)


def test_read_in_parts_a_series_has_one_covariance() -> None:
    """And it is one: of no window is a variance below zero."""
    values = torch.randn(60, 3, 4, generator=torch.manual_seed(0)).cumsum(0)
    weight, found = taper(60, 5), []
    for parts in ((0, 60), (0, 20, 21, 60)):
        products = Products(zones(1, 2, 10**9), torch.ones(1, 1, 2), inside, 5)
        for first, stop in pairwise(parts):
            some = values[first : min(stop + 4, 60)]
            products.add([some], weight[first : stop + 4], 0)
        found.append(products.solved(1, 1)[0])
    torch.testing.assert_close(found[0], found[1], rtol=1e-4, atol=1e-3)
    assert torch.linalg.eigvalsh(window(found[0][-1])).min() > -1e-4 * found[0].max()


def test_missing_values_are_in_no_product() -> None:
    """Independent values, a fifth missing: variances are 1, not 0.8."""
    values = torch.randn(400, 4, 4, generator=torch.manual_seed(0))
    values[torch.rand(values.shape, generator=torch.manual_seed(1)) < 0.2] = torch.nan
    products = Products(zones(2, 2, 10**8), torch.ones(1, 2, 2), inside, 2)
    products.add([values], taper(400, 2), 0)
    found = products.solved(1, 1)[0]
    torch.testing.assert_close(found[0, 0].diagonal(), torch.ones(9), atol=0.1, rtol=0)


def test_weights_of_a_coast_are_of_bounded_size() -> None:
    """A smooth field that is missing at half of the neighbours now and then: means of products of
    different hours are no covariance, what is taken is, and variances stay what they are."""
    generator = torch.manual_seed(0)
    values = torch.randn(40, 1, 1, generator=generator) + 0.1 * torch.randn(
        40, 4, 4, generator=generator
    )
    values[torch.rand(values.shape, generator=generator) < 0.5] = torch.nan
    values[:, 1, 2] = torch.nan  # land
    products = Products(zones(2, 2, 1), torch.ones(1, 2, 2), inside, 3)
    products.add([values], taper(40, 3), 0)
    usual = values[torch.isfinite(values)].var()
    for lags in products.solved(1, 1)[0]:
        found = definite(window(lags))
        assert float(torch.linalg.eigvalsh(found).min()) > -1e-4 * float(found.abs().max())
        torch.testing.assert_close(found.diagonal().mean().float(), usual, rtol=0.4, atol=0)


@pytest.mark.parametrize("tells", [True, False])
def test_another_field_is_asked_where_it_tells_something(tells: bool) -> None:
    """One that is followed a step later halves the error; noise does no harm."""
    rng = np.random.default_rng(0)
    other = rng.normal(size=(400, 4, 4))
    values = rng.normal(size=(400, 4, 4))
    if tells:
        values[1:] = 0.5 * values[1:] + 0.75**0.5 * other[:-1]
    both = torch.from_numpy(np.stack([values, other])).float()
    products = Products(zone(2, 2), torch.ones(2, 2, 2), inside, 4)
    for some, part in ((both[:, :300], 0), (both[:, 300:], PARTS - 1)):
        products.add(some, taper(some.shape[1], 4), part)
    covariance, pooled, nuggets, scale = products.solved(1, 1)
    base = Linear(covariance, pooled, nuggets, scale)
    new = torch.from_numpy(rng.normal(size=(200, 2, 4, 4, 4))).float()
    if tells:
        new[:, 0, 1:] = 0.5 * new[:, 0, 1:] + 0.75**0.5 * new[:, 1, :-1]
    seen = torch.ones_like(new).bool()
    seen[:, :, 3:] = False
    filled, error = base.fill(*mapped(new, seen), zone(2, 2))
    off = (filled - new[..., 1:-1, 1:-1])[:, 0, 3]
    if tells:
        assert float(off.square().mean().sqrt()) == pytest.approx(0.5, rel=0.15)
        assert float(error[:, 0, 3].mean()) == pytest.approx(0.5, rel=0.15)
    else:
        nuggets[:, :, 2] = OFF
        alone = Linear(covariance, pooled, nuggets, scale).fill(*mapped(new, seen), zone(2, 2))[0]
        missed = (alone - new[..., 1:-1, 1:-1])[:, 0, 3]
        assert float(off.square().mean()) < 1.01 * float(missed.square().mean())


def test_other_fields_are_asked_near_hidden_hours_and_places() -> None:
    values = Values(1, 3, 25, others=True)
    assert values.column[0] == 25
    assert values.column[25:].tolist() == [*range(9), *range(50, 59)]
    seen = torch.ones(1, 8, 43).bool()
    seen[:, 6:] = False
    found = values.close(seen)[0]
    assert found[:6, :25].all()
    assert found[:, 25:].any(1).tolist() == [False] * 4 + [True] * 2 + [False] * 2


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
        products = Products(zone, torch.ones(1, 2, 2), inside, 3)
        for some, part in ((values[:hours], 0), (values[hours:], PARTS - 1)):
            products.add([some], taper(len(some), 3), part)
        found, pooled, *_ = products.solved(1, 1)
        # A point and itself an hour later.
        west, east = torch.lerp(found[:2, 1, 0, 0], found[2, 1, 0, 0], pooled)
        if r_east < 0:
            assert float(west) > 0.5
            assert float(east) < -0.5
        else:
            assert float(west) == pytest.approx(float(east), abs=0.15)


def test_errors_are_scaled_by_those_of_later_days() -> None:
    """Noise as large all along is what is expected; twice as large from day to day, it is not."""
    rng, found = np.random.default_rng(0), []
    for growth in (1.0, 2.0):
        products = Products(zone(2, 2), torch.ones(1, 2, 2), inside, 4)
        for part in range(PARTS):
            values = torch.from_numpy(growth**part * rng.normal(size=(400, 4, 4))).float()
            products.add([values], taper(400, 4), part)
        found.append(products.solved(1, 1)[3])
    torch.testing.assert_close(found[0], torch.ones(1, 2), atol=0.05, rtol=0)
    # Parts of variance 1, 4, 16, ...: the next over the mean of those before, all added up.
    real = [4.0**part for part in range(2, PARTS)]
    expected = [sum(4.0**part for part in range(n)) / n for n in range(2, PARTS)]
    ratio = (sum(real) / sum(expected)) ** 0.5
    torch.testing.assert_close(found[1], torch.full((1, 2), ratio), atol=0, rtol=0.1)


def test_zones_are_few_where_memory_is_little() -> None:
    assert zones(10, 12, 80_000).unique().numel() == 120
    assert zones(721, 1440, 10**6).unique().numel() <= 2**26 / (4 * 10**6)


def test_an_indefinite_covariance_is_lifted() -> None:
    c = torch.tensor([[1.0, 1.2], [1.2, 1.0]]).double()
    w = ridge(c, torch.ones(2, 1).double(), torch.tensor(1e-4))
    assert torch.isfinite(w).all()
    assert float(w.sum()) > 0
