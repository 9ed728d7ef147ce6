"""Skill against numbers made by hand: what a forecast may see, and what counts as independent."""

import importlib
from dataclasses import replace
from types import ModuleType

import numpy as np
import pytest
import torch
import xarray as xr

from atmorep_bridge.core import skill
from atmorep_bridge.core.skill import Cases, best_baseline, scores
from atmorep_bridge.core.training import Core
from atmorep_bridge.core.windows import Region
from conftest import PROJECT

SHAPE = (1, 2, 3, 4)  # level, time, latitude, longitude
NAME = "temperature_2m"


def cases(error: list[float], day: list[int], spread: float = 1.0) -> Cases:
    """A truth of zero, three members around a mean that is off by ``error``, a worse baseline."""
    off = torch.tensor(error).view(-1, 1, 1, 1, 1).expand(-1, *SHAPE)
    members = torch.stack([off - spread, off, off + spread])
    baselines = {"twice as far": 2 * off, "far": 5 * off}
    return Cases(
        torch.zeros(len(error), *SHAPE), members, baselines, np.array(day), torch.ones(3, 1)
    )


@pytest.fixture
def states(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(PROJECT / "tests" / "benchmarks")
    return importlib.import_module("states")


def test_figures_are_those_of_their_definitions() -> None:
    found = scores(cases([1.0, 3.0], [0, 1]))
    assert found["rmse"].value == pytest.approx(5**0.5)  # √((1 + 9) / 2)
    assert found["rmse twice as far"].value == pytest.approx(20**0.5)
    assert found["mae twice as far"].value == pytest.approx(4.0)
    assert found["rmse / twice as far"].value == pytest.approx(0.5)
    # Members at 0, 1, 2 and 2, 3, 4: mean distance 1 and 3, less half of 8/9 between members.
    assert found["crps"].value == pytest.approx((1 + 3) / 2 - 4 / 9)
    assert found["crps / mae twice as far"].value == pytest.approx((2 - 4 / 9) / 4)
    # Variance 1 of three members, times 4/3, over a mean square of 5.
    assert found["spread/skill"].value == pytest.approx((4 / 3 / 5) ** 0.5)
    assert best_baseline(found, cases([1.0, 3.0], [0, 1])) == "twice as far"


def test_all_cases_of_a_day_are_drawn_together() -> None:
    """Two days, each a quarter of the time alone: one is all 1, the other all 3."""
    found = scores(cases([1.0] * 40 + [3.0] * 40, [0] * 40 + [1] * 40))["rmse"]
    assert (found.low, found.high) == (pytest.approx(1.0), pytest.approx(3.0))
    many = scores(cases([1.0, 3.0] * 40, list(range(80))))["rmse"]
    assert many.low > 1.9
    assert many.high < 2.6


def test_missing_truth_and_other_hours_do_not_count() -> None:
    made = cases([1.0, 3.0], [0, 1])
    truth = made.truth.clone()
    truth[:, :, 1] = 100.0
    truth[1, :, 0, 0] = torch.nan
    found = scores(replace(made, truth=truth), slice(0, 1))
    assert found["rmse"].value == pytest.approx(5**0.5)


def test_rows_count_by_their_area() -> None:
    made = cases([1.0], [0])
    off = torch.zeros(1, *SHAPE)
    off[:, :, :, 0] = 3.0
    found = scores(
        replace(made, members=torch.stack([off, off]), area=torch.tensor([[0.5], [1], [1]]))
    )
    assert found["rmse"].value == pytest.approx((9 * 0.5 / 2.5) ** 0.5)


def changed(region: Region, hours: slice) -> Region:
    """Other values at some hours of every window of eight."""
    data = region.data.copy(deep=True).load()
    values = data[NAME].values
    for start in range(0, len(values) - 7, 8):
        values[start : start + 8][hours] += 7.0
    return replace(region, data=data)


@pytest.fixture(scope="module")
def windows(region: Region) -> Region:
    return replace(region, data=region.data.isel(time=slice(0, 40)))


def test_no_forecast_sees_its_target(core: Core, windows: Region) -> None:
    """Windows that do not overlap: from the fifth hour on, all that is said is said without it."""
    kept, other = (skill.nowcast_cases(core, r, NAME, 8)
                   for r in (windows, changed(windows, slice(4, 8))))  # fmt: skip
    assert float((other.truth - kept.truth).mean()) == pytest.approx(7.0, abs=1e-3)
    assert torch.equal(kept.members, other.members)
    assert set(kept.baselines) == {"damped anomaly", "persistence", "climatology",
                                   "one grid point, kriged", skill.OURS}  # fmt: skip
    for name, values in kept.baselines.items():
        assert torch.equal(values, other.baselines[name]), name


def test_no_interpolation_sees_its_target(core: Core, windows: Region) -> None:
    kept, other = (skill.gap_cases(core, r, NAME, 8, 2)
                   for r in (windows, changed(windows, slice(4, 6))))  # fmt: skip
    assert float((other.truth - kept.truth).mean()) == pytest.approx(7.0, abs=1e-3)
    assert torch.equal(kept.members, other.members)
    for name, values in kept.baselines.items():
        assert torch.equal(values, other.baselines[name]), name


def in_kelvin(core: Core, region: Region, found: Cases, anomaly: torch.Tensor, first: int):
    """Values of what ``Cases`` holds as anomalies, hours from ``first`` of every window on."""
    place, means = core.statistics.place(region), []
    for start in range(0, 8 * len(found.truth), 8):
        hours = region.times[start + first : start + first + anomaly.shape[2]]
        means.append(core.statistics.mean(NAME, hours, place))
    return (anomaly + torch.stack(means)).numpy()[:, 0]


def test_persistence_is_the_last_value_that_was_seen(core: Core, windows: Region) -> None:
    found = skill.nowcast_cases(core, windows, NAME, 8)
    held = in_kelvin(core, windows, found, found.baselines["persistence"], 4)
    values = windows.data[NAME].values.reshape(5, 8, 12, 16)
    np.testing.assert_allclose(held, np.repeat(values[:, 3:4], 4, axis=1), atol=1e-3)
    truth = in_kelvin(core, windows, found, found.truth, 4)
    np.testing.assert_allclose(truth, values[:, 4:], atol=1e-3)
    assert found.day.tolist() == [18433, 18433, 18433, 18434, 18434]  # 2020-06-20, days of 1970


def test_a_gap_is_bridged_by_a_straight_line_of_values(core: Core, windows: Region) -> None:
    found = skill.gap_cases(core, windows, NAME, 8, 2)
    line = in_kelvin(core, windows, found, found.baselines["linear in time"], 4)
    values = windows.data[NAME].values.reshape(5, 8, 12, 16)
    before, after = values[:, 3], values[:, 6]
    expected = np.stack([(2 * before + after) / 3, (before + 2 * after) / 3], axis=1)
    np.testing.assert_allclose(line, expected, atol=1e-3)


def test_downscaling_starts_from_means_over_blocks(core: Core, windows: Region) -> None:
    """Detail that leaves the means of 4 x 4 points as they are is not seen by anyone."""
    data = windows.data.copy(deep=True).load()
    pattern = np.tile([1.0, -1.0], (12, 8)).astype("f4")
    data[NAME] = data[NAME] + pattern
    kept, other = (skill.downscaling_cases(core, r, NAME, 8)
                   for r in (windows, replace(windows, data=data)))  # fmt: skip
    assert not torch.allclose(kept.truth, other.truth)
    torch.testing.assert_close(kept.members, other.members, atol=2e-3, rtol=0)
    for name, values in kept.baselines.items():
        torch.testing.assert_close(values, other.baselines[name], atol=2e-3, rtol=0, msg=name)


def test_a_regional_mean_is_one_of_points_by_area(states: ModuleType) -> None:
    made = replace(cases([1.0], [0]), area=torch.tensor([[0.5], [1], [1]]))
    truth = made.truth.clone()
    truth[:, :, :, 0] = 5.0
    truth[0, 0, 0, 1, 2] = torch.nan
    found = states.regional(replace(made, truth=truth))
    assert found.truth.shape == (1, 1, 2, 1, 1)
    assert found.truth.flatten().tolist() == pytest.approx([10 / 9, 1.0])
    torch.testing.assert_close(found.members[:, 0, 0, 0, 0, 0], torch.tensor([0.0, 1.0, 2.0]))


def test_no_rollout_sees_its_target(states: ModuleType, core: Core, windows: Region) -> None:
    """One from the 24th hour on, twelve hours long: three turns."""
    since, data = windows.times[24], windows.data.copy(deep=True).load()
    data[NAME].values[24:] += 7.0
    kept, other = (states.rollout_cases(core, r, NAME, since, 12, 99)
                   for r in (windows, replace(windows, data=data)))  # fmt: skip
    assert kept.truth.shape == (1, 1, 12, 12, 16)
    assert float((other.truth - kept.truth).mean()) == pytest.approx(7.0, abs=1e-3)
    assert torch.equal(kept.members, other.members)
    for name, values in kept.baselines.items():
        assert torch.equal(values, other.baselines[name]), name
    held = in_kelvin(core, windows, kept, kept.baselines["persistence"], 24)
    np.testing.assert_allclose(held[0], np.repeat(windows.data[NAME].values[23:24], 12, 0),
                               atol=1e-3)  # fmt: skip


def test_scores_are_those_of_a_library() -> None:
    """Of the Bureau of Meteorology's ``scores``, with weights and missing truth."""
    library = pytest.importorskip("scores")
    generator = torch.manual_seed(0)
    members, truth = torch.randn(5, 1, *SHAPE, generator=generator), torch.randn(1, *SHAPE)
    truth[0, 0, 1, 2, 3] = torch.nan
    area = torch.tensor([0.5, 0.7, 1.0])
    found = scores(Cases(truth, members, {"first": members[0]}, np.array([0]), area[:, None]))
    dims = ("case", "level", "time", "latitude", "longitude")
    of, seen = xr.DataArray(members.numpy(), dims=("member", *dims)), xr.DataArray(truth, dims=dims)
    weights = xr.DataArray(area.numpy(), dims="latitude")
    assert found["rmse"].value == pytest.approx(
        float(library.continuous.rmse(of.mean("member"), seen, weights=weights)), rel=1e-5
    )
    assert found["mae first"].value == pytest.approx(
        float(library.continuous.mae(of[0], seen, weights=weights)), rel=1e-5
    )
    assert found["crps"].value == pytest.approx(
        float(library.probability.crps_for_ensemble(of, seen, "member", weights=weights)), rel=1e-5
    )
