"""Samples to train on: a window anywhere in the region, and a plan, both drawn by number.

Sample ``i`` is the same whatever process or worker makes it, and however many of them there are.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset, DistributedSampler

from atmorep_bridge.core import masks
from atmorep_bridge.core.detail import AROUND, FACTOR, coarsened
from atmorep_bridge.core.filling import from_coarse, from_visible, inner
from atmorep_bridge.core.grids import Place, Sides
from atmorep_bridge.core.masks import Kind, Kinds
from atmorep_bridge.core.specs import FieldSpec, Setup
from atmorep_bridge.core.statistics import Statistics
from atmorep_bridge.core.times import Times, every
from atmorep_bridge.core.tokens import ByField, on_points, token_info
from atmorep_bridge.core.windows import Region
from sifnet.errors import SifnetError

Sample = dict[str, ByField]
NOISE = 0.3  # standard deviations of the field: usual difference between two models


class Samples(Dataset[Sample]):
    """Windows of a region; each is input, its error, truth, kinds, info, pattern of every field.

    Raises:
        SifnetError: the region is smaller than the neighbourhood, in space or in time.
    """

    def __init__(
        self, region: Region, setup: Setup, statistics: Statistics, seed: int,
        superposed: float = 0.0,
    ) -> None:  # fmt: skip
        self.region, self.setup, self.statistics = region, setup, statistics
        self.seed, self.superposed = seed, superposed
        refuse_small(region, setup)
        self.starts = region.starts(setup.neighbourhood[0])
        self.own, self.shape = statistics.place(region), setup.neighbourhood[1:]

    def __len__(self) -> int:
        """Times that a window may begin at; numbers of samples go on beyond, as often as asked."""
        return self.starts.size

    def __getitem__(self, index: int) -> Sample:
        """Sample number ``index``."""
        rng = np.random.default_rng((self.seed, index))
        grid, hours = self.region.grid, self.setup.neighbourhood[0]
        start, (row, column) = int(rng.choice(self.starts)), grid.draw(rng, self.shape)
        kinds = masks.draw(self.setup, rng)
        coarse = any((kind == Kind.COARSE).any() for kind in kinds.values())
        if coarse:  # blocks are those of the map
            row, column = (_aligned(n, int(own[0])) for n, own in
                           zip((row, column), self.own, strict=True))  # fmt: skip
            there, more = grid.around((row, column), self.shape, (AROUND * FACTOR,), FACTOR)
        else:
            there, more = grid.around((row, column), self.shape, self.setup.rings)
        wide = self._anomalies(start, there)
        if rng.random() < self.superposed:
            wide = self._superpose(wide, start, there, rng)
        around = self._known(there)
        times, place = self.region.times[start : start + hours], inner(around, more)
        names = "input", "error", "truth", "kinds", "info", "pattern"
        parts: Sample = {name: {} for name in names}
        parts["input"], parts["error"] = (
            self._coarse(wide, around, more) if coarse
            else self._filled(wide, kinds, around, more, rng)
        )  # fmt: skip
        for spec in self.setup.fields:
            name, kind = spec.name, torch.from_numpy(kinds[spec.name])
            parts["truth"][name] = _inner(wide[name], more)
            parts["pattern"][name] = self.statistics.pattern(name, place)
            parts["kinds"][name] = kind.flatten()
            parts["info"][name] = info(self.setup, self.statistics, spec, times, place)
        return parts

    def _filled(
        self, wide: ByField, kinds: Kinds, place: Place, more: Sides, rng: np.random.Generator
    ) -> tuple[ByField, ByField]:
        """What fields are filled with; around the window, hours are hidden that all of it lacks."""
        visible, noisy = {}, {}
        for spec in self.setup.fields:
            kind = torch.from_numpy(kinds[spec.name])[None]
            hidden, noisy[spec.name] = (
                on_points(kind == k, spec.patch)[0] for k in (Kind.HIDDEN, Kind.NOISY)
            )
            given = wide[spec.name]
            seen = ~hidden.all(3).all(2)[:, :, None, None].expand(given.shape).clone()
            _inner(seen, more)[:] = ~hidden
            visible[spec.name] = seen[None]
        one = {name: given[None] for name, given in wide.items()}
        filled, error = from_visible(self.statistics, one, visible, place, more)
        for name, where in noisy.items():
            filled[name], error[name] = filled[name][0], error[name][0]
            if where.any():
                given = _inner(wide[name], more).nan_to_num()
                filled[name] = torch.where(where, given + _error(given, rng), given)
                error[name] = torch.full_like(given, NOISE)
        return filled, error

    def _coarse(self, wide: ByField, place: Place, more: Sides) -> tuple[ByField, ByField]:
        north, south, west, east = (n // FACTOR for n in more)
        own, blocks = inner(place, more), (north, south, west, east)
        filled, error = {}, {}
        for name, given in wide.items():
            coarse = coarsened((given * self.statistics.sd(name, place)).nan_to_num())
            filled[name], error[name] = from_coarse(self.statistics, name, coarse, own, blocks)
        return filled, error

    def _known(self, place: Place) -> Place:
        """Where a part of the region is on the grid of the statistics."""
        (rows, columns), (own_rows, own_columns) = place, self.own
        return own_rows[rows], own_columns[columns]

    def _anomalies(self, start: int, place: Place) -> ByField:
        """All fields of a window."""
        times = slice(start, start + self.setup.neighbourhood[0])
        values = self.region.window(times, place)
        return self.statistics.anomalies(values, self.region.times[times], self._known(place))

    def _superpose(
        self, truth: ByField, start: int, place: Place, rng: np.random.Generator
    ) -> ByField:
        """Add another time at the same place: cosφ of one, sinφ of the other.

        Of the same hour of the day, where that has a mean of its own.
        Small anomalies obey linear equations, so their sum is weather too; φ keeps the variance.
        What is learnt is then the best linear forecast first, for which days are soon enough.
        """
        daily = any(s.normaliser == "hour" for s in self.setup.fields)
        day = 24 // self.region.hours if daily and 24 % self.region.hours == 0 else 1
        others = self.starts[(self.starts - start) % day == 0]
        other = self._anomalies(int(rng.choice(others)), place)
        phase = rng.uniform(0, 2 * np.pi)
        a, b = float(np.cos(phase)), float(np.sin(phase))
        return {name: a * values + b * other[name] for name, values in truth.items()}


def refuse_small(region: Region, setup: Setup) -> None:
    """Refuse a region that does not hold a single window.

    Raises:
        SifnetError: it says how many times, rows and columns are needed.
    """
    hours, rows, columns = setup.neighbourhood
    height, width = region.grid.shape
    if height < rows or width < columns:
        raise SifnetError(
            "the region is smaller than the model's neighbourhood",
            found=f"{height} x {width} points",
            expected=f"at least {rows} x {columns}",
            remedy="Download a larger area, or train a model with a smaller neighbourhood.",
            file=region.files,
        )
    if not region.starts(hours).size:
        raise SifnetError(
            "too few time steps for a window",
            found=f"{region.times.size} steps of a {every(region.hours)}, none followed by others",
            expected=f"{hours} without a gap",
            remedy="Download a longer series, or train a model with a shorter neighbourhood.",
            file=region.files,
        )


def _inner(wide: Tensor, more: Sides) -> Tensor:
    north, south, west, east = more
    return wide[..., north : wide.shape[-2] - south, west : wide.shape[-1] - east]


def _aligned(corner: int, first: int) -> int:
    """The corner, or a little before or after it, where a block begins."""
    back = (first + corner) % FACTOR
    return corner - back if corner >= back else corner - back + FACTOR


def _error(values: Tensor, rng: np.random.Generator) -> Tensor:
    """What another model might be off by: a bias, waves, and a little white noise."""
    level, time, rows, columns = values.shape
    bias = rng.normal(size=(level, 1, 1, 1))
    waves = rng.normal(size=(level, time // 6 + 2, rows // 6 + 2, columns // 6 + 2))
    smooth = torch.nn.functional.interpolate(
        torch.from_numpy(waves)[None], (time, rows, columns), mode="trilinear", align_corners=True
    )[0]
    total = (
        0.5 * torch.from_numpy(bias)
        + smooth
        + 0.3 * torch.from_numpy(rng.normal(size=values.shape))
    )
    return (NOISE * rng.uniform(0.3, 1.5) * total).to(values.dtype)


def info(
    setup: Setup, statistics: Statistics, spec: FieldSpec, times: Times, place: Place
) -> Tensor:
    """What the tokens of a field know of their place and time, ``token, INFO``."""
    ground = 137 if setup.level_kind == "model" else 1000
    height = np.array(spec.levels or (ground,), dtype=float) / ground  # 0 at the top
    places = statistics.grid.tokens(place, spec.patch[1:])
    return token_info(times, height, places, spec.patch[0], float(statistics.days))


class Consecutive(DistributedSampler[Any]):
    """Numbers of samples that go on from epoch to epoch, dealt to the processes in turn.

    Args:
        batch: samples of a step and process. same: in every epoch the numbers of the first.

    Two processes with half a batch each therefore see what one sees with the whole batch.
    """

    def __init__(self, dataset: Samples, batch: int, steps: int, *, same: bool = False) -> None:
        super().__init__(dataset, num_replicas=1, rank=0, shuffle=False)
        self.batch, self.steps, self.same = batch, steps, same

    def __iter__(self) -> Iterator[int]:
        """Numbers of this process in this epoch."""
        world, rank = 1, 0
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            world, rank = torch.distributed.get_world_size(), torch.distributed.get_rank()
        first = (0 if self.same else self.epoch) * self.steps * self.batch * world
        return iter(range(first + rank, first + self.steps * self.batch * world, world))

    def __len__(self) -> int:
        return self.batch * self.steps
