"""Members that are states of the air: in the order of what the base erred by on past days.

What a model says are quantiles, of every point and hour by itself. Which member takes which of
them is read from past analyses: the base fills the same hours of earlier windows, and what it errs
by there are fields in space, time, height and of all quantities. Small errors obey linear
equations, so a sum of them by chance is one again; such a sum ranks a member's values. That is the
Schaake shuffle (Clark et al. 2004, J. Hydrometeorol. 5, 243-262), a case of ensemble copula
coupling (Schefzik et al. 2013, doi:10.1214/13-STS443), with errors in the place of analyses: what
is wrong three hours ahead reaches less far than weather does.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from atmorep_bridge.core.masks import Kinds
from atmorep_bridge.core.predict import base
from atmorep_bridge.core.times import HOUR
from atmorep_bridge.core.tokens import ByField
from atmorep_bridge.core.training import Core
from atmorep_bridge.core.windows import Region

DAY = np.timedelta64(1, "D")
EACH = 2  # past windows for every member
FEWEST = 4  # below, members stay in the order of their values


@dataclass(frozen=True)
class Past:
    """Earlier windows, of the hours of the day of one that is asked for.

    Attributes:
        starts: (window) indices of times, the latest first.
        weights: ``member, window``, drawn by chance; a member has the same ones all along.
    """

    starts: list[int]
    weights: Tensor


def earlier(region: Region, start: int, length: int, known: int, members: int) -> Past | None:
    """The latest windows that were known, or none: the region does not reach as far back.

    Args:
        start, length: of the window asked for, index of a time and steps.
        known: index of the last time that is known.
    """
    there = region.starts(length)
    latest = there[there <= min(known - length + 1, start - 1)][::-1]
    same = (region.times[start] - region.times[latest]) % DAY == 0 * HOUR
    starts = latest[same][: EACH * members].tolist()
    if len(starts) < FEWEST:
        return None
    hour = int(region.times[start].astype("datetime64[h]").astype(int))
    chance = torch.Generator().manual_seed(hour)
    return Past(starts, torch.randn(members, len(starts), generator=chance))


def errors(core: Core, region: Region, starts: list[int], kinds: Kinds) -> ByField:
    """What the base errs by in windows of analyses, ``window, level, time, latitude, longitude``.

    Args:
        starts: indices of times. kinds: what is hidden. What is missing or seen has no error.
    """
    window, place = core.setup.neighbourhood[0], core.statistics.place(region)
    each = []
    for start in starts:
        hours = slice(start, start + window)
        values = region.window(hours)
        each.append(core.statistics.anomalies(values, region.times[hours], place))
    truth = {name: torch.stack([anomaly[name] for anomaly in each]) for name in core.setup.names}
    filled, _ = base(core, region, truth, kinds)
    return {name: (values - filled[name]).nan_to_num() for name, values in truth.items()}


def ordered(
    core: Core, region: Region, members: ByField, past: Past | None, kinds: Kinds, later: int = 0
) -> ByField:
    """The members' values at every point and hour, in the order of past errors there.

    Args:
        members: of each field ``member, window, level, time, latitude, longitude``.
        past: without any, the members stay in the order of their values.
        later: steps, of the window after the one that ``past`` is of.
    """
    if past is None:
        return members
    found = errors(core, region, [start + later for start in past.starts], kinds)
    ranked = {}
    for name, values in members.items():
        mixed = torch.einsum("mw,w...->m...", past.weights, found[name])
        rank = mixed.argsort(0).argsort(0)[:, None]
        ranked[name] = values.sort(0).values.gather(0, rank.expand_as(values))
    return ranked
