"""Plans hide what their names say, and chance is the seed's."""

import numpy as np
import pytest

from atmorep_bridge.core import masks
from atmorep_bridge.core.masks import Kind
from atmorep_bridge.core.specs import FieldSpec, Setup

TWO = Setup(
    (FieldSpec("specific_humidity", (105, 137), (3, 4, 4)),
     FieldSpec("surface_pressure", (), (1, 2, 2))),
    (12, 8, 8),
)  # fmt: skip


def hidden_hours(kinds: masks.Kinds, name: str, patch: int) -> np.ndarray:
    return np.repeat((kinds[name] == Kind.HIDDEN).all((0, 2, 3)), patch)


@pytest.mark.parametrize("plan", masks.PLANS)
def test_every_plan_has_the_shape_of_the_fields(plan: str) -> None:
    for seed in range(5):
        kinds = masks.PLANS[plan](TWO, np.random.default_rng(seed))
        assert {n: k.shape for n, k in kinds.items()} == {s.name: TWO.grid(s) for s in TWO.fields}
        assert any((k != Kind.SEEN).any() for k in kinds.values())


def test_causal_hides_the_end_and_nothing_else() -> None:
    for seed in range(8):
        kinds = masks.causal(TWO, np.random.default_rng(seed))
        for name, patch in (("specific_humidity", 3), ("surface_pressure", 1)):
            hidden = hidden_hours(kinds, name, patch)
            assert hidden.sum() in (3, 6)
            assert (np.diff(hidden.astype(int)) >= 0).all()


def test_gap_has_something_on_both_sides() -> None:
    for seed in range(8):
        kinds = masks.gap(TWO, np.random.default_rng(seed))
        hidden = hidden_hours(kinds, "surface_pressure", 1)
        assert hidden.sum() == 3
        assert not hidden[0]
        assert not hidden[-1]
        np.testing.assert_array_equal(hidden, hidden_hours(kinds, "specific_humidity", 3))


def test_from_time_hides_tokens_that_hold_the_hours() -> None:
    kinds = masks.from_time(TWO, 4, 5)
    assert hidden_hours(kinds, "surface_pressure", 1).nonzero()[0].tolist() == [4]
    assert hidden_hours(kinds, "specific_humidity", 3).nonzero()[0].tolist() == [3, 4, 5]


def test_random_hides_a_quarter_to_three_quarters() -> None:
    shares = [(masks.random(TWO, np.random.default_rng(s))["surface_pressure"] != 0).mean()
              for s in range(200)]  # fmt: skip
    assert 0.1 < min(shares) < 0.35
    assert 0.65 < max(shares) < 0.9


def test_a_block_is_a_hole_at_all_times() -> None:
    kinds = masks.block(TWO, np.random.default_rng(1))["surface_pressure"] != Kind.SEEN
    assert (kinds == kinds[:1, :1]).all()
    rows, columns = kinds[0, 0].any(1), kinds[0, 0].any(0)
    assert kinds[0, 0].sum() == rows.sum() * columns.sum()
    assert not kinds.all()


def test_one_field_leaves_the_others() -> None:
    kinds = masks.one_field(TWO, np.random.default_rng(0))
    assert sum(bool((k != Kind.SEEN).any()) for k in kinds.values()) == 1


def test_draw_follows_the_shares_and_the_seed() -> None:
    only = Setup(TWO.fields, TWO.neighbourhood, plans={"coarse": 1.0, "gap": 0.0})
    kinds = masks.draw(only, np.random.default_rng(3))
    assert all((k == Kind.COARSE).all() for k in kinds.values())
    one, same, other = (masks.draw(TWO, np.random.default_rng(s)) for s in (5, 5, 6))
    assert all((one[n] == same[n]).all() for n in one)
    assert any((one[n] != other[n]).any() for n in one)
