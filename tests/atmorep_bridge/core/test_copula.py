"""Members in the order of past errors: the same values at a point, together a state."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from atmorep_bridge.core import copula, tasks
from atmorep_bridge.core.masks import from_time
from atmorep_bridge.core.predict import predict
from atmorep_bridge.core.training import Core
from atmorep_bridge.core.windows import Region

NAME = "temperature_2m"
LAST = np.datetime64("2020-06-23T12", "ns")


def known(region: Region) -> int:
    return int(np.flatnonzero(region.times == LAST)[0])


def test_past_windows_are_of_the_same_hour_and_known(region: Region) -> None:
    start = known(region) - 3
    past = copula.earlier(region, start, 8, known(region), 3)
    assert past is None  # three days before are in the file, and four are needed
    longer = replace(region, data=region.data.isel(time=slice(0, None)))
    many = np.arange(10 * 24) * np.timedelta64(1, "h") + region.times[0]
    data = longer.data.isel(time=np.arange(10 * 24) % 96).assign_coords(time=many)
    longer = replace(region, data=data)
    past = copula.earlier(longer, 9 * 24 + 5, 8, 9 * 24 + 8, 3)
    assert past is not None
    assert past.starts == [(8 - n) * 24 + 5 for n in range(6)]  # two for every member
    assert past.weights.shape == (3, 6)
    far = copula.earlier(longer, 9 * 24 + 5, 40, 9 * 24 + 8, 3)
    assert far is not None
    assert far.starts[0] == 7 * 24 + 5  # the rollout's whole stretch must be known


def test_values_stay_and_take_the_order_of_errors(core: Core, region: Region) -> None:
    kinds = from_time(core.setup, 4)
    starts = [40, 30, 20, 10]
    past = copula.Past(starts, torch.eye(4)[:3])  # each member one of the past errors
    members = {NAME: torch.randn(3, 2, 1, 8, 12, 16)}
    found = copula.ordered(core, region, members, past, kinds)[NAME]
    torch.testing.assert_close(found.sort(0).values, members[NAME].sort(0).values)
    errors = copula.errors(core, region, starts, kinds)[NAME]
    assert (errors[:, :, :4] == 0).all()  # seen
    for window in range(2):
        rank = found[:, window, :, 4:].argsort(0).argsort(0)
        assert torch.equal(rank, errors[:3, :, 4:].argsort(0).argsort(0))
    assert copula.ordered(core, region, members, None, kinds) is members


def test_a_mean_over_the_map_spreads_less_than_its_points(core: Core, region: Region) -> None:
    """In the order of their values, members are all wrong everywhere at once."""
    start = known(region) - 3
    kinds = from_time(core.setup, 4)
    past = copula.Past([start - 24 * n for n in (1, 2, 3)], torch.randn(3, 3))
    ranked = {NAME: torch.randn(3, 1, 1, 8, 12, 16).sort(0).values}
    state = copula.ordered(core, region, ranked, past, kinds)[NAME][..., 4:, :, :]
    spreads = [v.mean((-2, -1)).var(0).mean() for v in (state, ranked[NAME][..., 4:, :, :])]
    assert spreads[0] < 0.7 * spreads[1]


def test_how_unusual_the_air_is_analyses_say(
    core: Core, region: Region, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not members: the spread of a rollout would grow without end."""
    told = []

    def noted(*arguments):
        told.append(arguments[5][NAME])
        return predict(*arguments)

    monkeypatch.setattr(tasks, "predict", noted)
    tasks.nowcast(core, region, LAST, 12)
    assert [len(error) for error in told] == [1, 3, 3]  # members from the second turn on
    assert all(torch.equal(error, told[0].expand_as(error)) for error in told)
