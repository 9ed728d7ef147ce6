"""A line as one: all that its pixels share is found from all of them together.

No patch is an island. Spectroscopy, sun and kind of aerosol are those of the whole line, and so is
what the simulation is wrong by (``physics.discrepancy``); aerosol load is a smooth field, a
Gauss-Markov one between neighbouring patches; wavelength and width are smooth across the detector.
A line with a prior on all of these is one linear system a step (Rodgers 2000, eq. 5.9): surfaces
are eliminated pixel by pixel, and what is left is solved at once. Bare ground anchors it: there the
spectrum shows what is common to all pixels, without fluorescence.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial

import torch
from jaxtyping import Float, Int
from torch import Tensor

from sifnet.physics.derivatives import SHARED
from sifnet.physics.discrepancy import Discrepancy
from sifnet.physics.fields import Ranges
from sifnet.physics.state import Atmosphere, AtmospherePrior, SensorState
from sifnet.retrieval.information import SENSOR
from sifnet.retrieval.refinement import RowEquations

FIELD = Atmosphere.names().index("aot_550")
"""The parameter of the air that varies over the line."""
COMMON = [i for i in range(len(Atmosphere.names())) if i != FIELD]
"""Those of the whole line."""
LINE = [*COMMON, len(SHARED)]
"""What the whole line has among the shared parameters of RowEquations: its air, stray light."""
AOT_STEP = 0.02  # between neighbouring patches, standard deviation
SENSOR_STEPS = {"wavelength_shift": 0.003, "fwhm_shift": 0.003}  # nm, between neighbouring columns
SENSOR_LEVEL = 0.05  # nm, of all columns together about where they start
LARGEST_STEP = 3.0  # of an unknown, in units of its prior
STRETCHES = 12  # of a swath, in which discrepancies are seen at the same wavelengths
HELD = 1e12  # resistance of an unknown at its bound


@dataclass(frozen=True)
class Unknowns:
    """Where the unknowns of a line stand: the line's, then its patches', then its columns'.

    Attributes:
        components: of the discrepancy.
        grid: rows and columns of patches.
        samples: columns of the detector.
    """

    components: int
    grid: tuple[int, int]
    samples: int

    @property
    def line(self) -> int:
        """How many the whole line has: ``LINE`` and the components."""
        return len(LINE) + self.components

    @property
    def patches(self) -> slice:
        """Aerosol of every patch."""
        return slice(self.line, self.line + self.grid[0] * self.grid[1])

    @property
    def columns(self) -> slice:
        """Shift and width of every column, in turns."""
        start = self.patches.stop
        return slice(start, start + len(SensorState.names()) * self.samples)

    def of(self, first: int, column: Int[Tensor, "patch some"]) -> Int[Tensor, "patch some own"]:
        """Places of all that patches and their columns have: line, patch, column.

        Args:
            first: number of the first of the patches, counted row by row.
        """
        line = torch.arange(self.line).expand(*column.shape, -1)
        patch = self.line + first + torch.arange(len(column))
        sensor = torch.arange(len(SensorState.names()))
        sensors = self.columns.start + len(sensor) * column[..., None] + sensor
        return torch.cat([line, patch[:, None, None].expand(*column.shape, 1), sensors], -1)

    def gathered(
        self, first: int, column: Tensor, values: Float[Tensor, "patch sample own"]
    ) -> Float[Tensor, unknown]:
        """Sum over patches and their columns of what ``of`` gives the places of."""
        total = values.new_zeros(self.columns.stop)
        return total.index_add_(0, self.of(first, column).flatten(), values.flatten())

    def prior(self, sd: Tensor) -> Tensor:
        """Precision of all unknowns, in units of the prior of each.

        Args:
            sd: of ``aot_550``.
        """
        precision = torch.zeros(self.columns.stop, self.columns.stop, dtype=torch.double)
        diagonal = torch.diagonal(precision)
        diagonal[: self.line] = 1.0
        rows, columns = self.grid
        diagonal[self.patches] = 1.0 / (rows * columns)  # of their mean, together 1
        patch = torch.arange(rows * columns).reshape(rows, columns) + self.line
        tie = (float(sd) / AOT_STEP) ** 2
        _tie(precision, patch[1:].flatten(), patch[:-1].flatten(), tie)
        _tie(precision, patch[:, 1:].flatten(), patch[:, :-1].flatten(), tie)
        column = torch.arange(self.columns.start, self.columns.stop).reshape(self.samples, -1)
        for i, (name, entry) in enumerate(SensorState.parameters().items()):
            tie = (entry.step / SENSOR_STEPS[name]) ** 2
            _tie(precision, column[1:, i], column[:-1, i], tie)
            diagonal[column[:, i]] += (entry.step / SENSOR_LEVEL) ** 2 / self.samples
        return precision


def _tie(precision: Tensor, first: Tensor, second: Tensor, weight: float) -> None:
    """Add what holds pairs of unknowns together."""
    for i, j, sign in ((first, first, 1), (second, second, 1), (first, second, -1),
                       (second, first, -1)):  # fmt: skip
        precision.index_put_((i, j), precision.new_tensor(sign * weight), accumulate=True)


@dataclass(frozen=True)
class Guess:
    """Values of all that a line shares.

    Attributes:
        deviation: ``row, column, 6``, of the air of every patch from its prior, in prior sd.
        sensor: ``sample, 2``.
        stray: share of the mean radiance that is stray light in every band, in STRAY_SD.
        components: ``component``, coefficients of the discrepancy.
    """

    deviation: Tensor
    sensor: Tensor
    stray: Tensor
    components: Tensor

    def errors(self) -> Tensor:
        """Stray light and components, see ``Retrieval.errors``."""
        return torch.cat([self.stray[None], self.components])

    def stacked(self, start: Guess) -> Tensor:
        """All unknowns, sensors as steps from where they start."""
        steps = SensorState.steps(self.sensor)
        line = [self.deviation[0, 0, COMMON], self.stray[None], self.components]
        away = ((self.sensor - start.sensor) / steps).flatten()
        return torch.cat([*line, self.deviation[..., FIELD].flatten(), away]).double()

    def moved(self, unknowns: Unknowns, values: Tensor, start: Guess) -> Guess:
        """The guess with other values of the unknowns."""
        values = values.to(self.deviation)
        deviation = self.deviation.clone()
        deviation[..., COMMON] = values[: len(COMMON)]
        deviation[..., FIELD] = values[unknowns.patches].reshape(unknowns.grid)
        steps = SensorState.steps(self.sensor)
        sensor = start.sensor + values[unknowns.columns].reshape(self.sensor.shape) * steps
        return Guess(deviation, sensor, values[len(COMMON)], values[len(LINE) : unknowns.line])

    def air(self, prior: AtmospherePrior, first: int, ranges: Ranges) -> Atmosphere:
        """Of the patches of a prior, ``patch, 1, 1``, the first of which is number ``first``."""
        some = slice(first, first + len(prior.mean.aot_550))
        return prior.at(self.deviation.flatten(0, 1)[some, None, None], ranges)

    def sensors(self, column: Tensor, ranges: Ranges) -> SensorState:
        """Of columns ``patch, sample``: fields ``patch, 1, sample``."""
        values = self.sensor[column.clamp(max=len(self.sensor) - 1)][:, None]
        limits = values.new_tensor([ranges[name] for name in SensorState.names()])
        return SensorState.unstack(torch.minimum(torch.maximum(values, limits[:, 0]), limits[:, 1]))


class System:
    """The linear system of a line around a guess, gathered from its patches.

    Attributes:
        matrix, side: of the unknowns, the lower triangle only.
        errors: by stretch of columns, ``patch, 2 * band, component``, see ``Discrepancy``.
        strengths: by stretch, ``patch, 3, band``, see ``RowEquations``, summed over rows.
        of_patch: the errors of whole patches, ``patch, 2 * band, component``.
    """

    def __init__(
        self,
        unknowns: Unknowns,
        discrepancy: Discrepancy | None = None,
        wavelength: Float[Tensor, "patch 1 sample band"] | None = None,
    ) -> None:
        """Without equations yet.

        Args:
            wavelength: of the bands of columns of a row of patches, nm, at which the discrepancy is
                seen.
        """
        self.unknowns = unknowns
        size = unknowns.columns.stop
        self.matrix = torch.zeros(size, size, dtype=torch.double)
        self.side = torch.zeros(size, dtype=torch.double)
        self.alike = unknowns.samples
        self.errors: list[Tensor] = []
        self.strengths: list[Tensor] = []
        self.of_patch: Tensor | None = None
        self._told: Tensor | None = None  # by bands, of the components, once it is summed
        if discrepancy is not None and wavelength is not None:
            patches, _, columns, _ = wavelength.shape
            self.alike = math.ceil(patches * columns / STRETCHES)
            self.of_patch = discrepancy.errors(wavelength.mean((1, 2)))
            for some in wavelength[:, 0].split(self.alike, dim=1):
                self.errors.append(discrepancy.errors(some.mean(1)))
                self.strengths.append(some.new_zeros(len(some), 3, some.shape[-1]).double())

    def add(self, first: int, equations: RowEquations, column: Int[Tensor, "patch sample"]) -> None:
        """Equations of whole rows of patches.

        Args:
            first: number of the first of the patches, counted row by row.
            column: of the detector, in every patch.
        """
        rows, self._told = len(column) // self.unknowns.grid[1], None
        crosses = [equations.own.new_zeros(*equations.own.shape[:3], 0)]
        if self.errors:
            starts = range(0, column.shape[1], self.alike)
            parts = (equations.map(partial(_columns, slice(i, i + self.alike))) for i in starts)
            stretches = zip(parts, self.errors, self.strengths, strict=False)  # or fewer columns
            crosses = [self._stretch(rows, *stretch) for stretch in stretches]
        self._place(first, column, equations, torch.cat(crosses, 1).double())

    def _stretch(self, rows: int, part: RowEquations, errors: Tensor, strength: Tensor) -> Tensor:
        """What bands of a stretch say of the components, and surfaces explain of it; what both
        have with shared parameters, ``patch, sample, s, component``."""
        strength += part.strength.sum(1).unflatten(0, (rows, -1)).sum(0)
        both = errors.repeat(rows, 1, 1)
        components = slice(len(LINE), self.unknowns.line)
        explained = (part.explained.flatten(1, 2) @ both).flatten(0, 1)
        self.matrix[components, components] -= (explained.T @ explained).double()
        said = (part.error_side.sum(1, keepdim=True) @ both).sum((0, 1))
        self.side[components] += said.double()
        return (part.cross.flatten(1, 2) @ both).unflatten(1, part.cross.shape[1:3])

    def _place(self, first: int, column: Tensor, equations: RowEquations, cross: Tensor) -> None:
        """Lower triangle: the line's own, then its patches', then its columns' rows."""
        own, side = equations.own, equations.side
        unknowns, common, sensor = self.unknowns, len(LINE), len(SensorState.names())
        line = slice(0, unknowns.line)
        place = unknowns.patches.start + first + torch.arange(len(column))
        common_rows = torch.cat([own[..., LINE], cross], -1)  # of every shared parameter
        matrix, right = self.matrix, self.side
        matrix[:common, line] += common_rows[:, :, LINE].sum((0, 1))
        matrix[common : unknowns.line, :common] += cross[:, :, LINE].sum((0, 1)).T
        right[:common] += side[..., LINE].sum((0, 1))
        matrix[place, line] += common_rows[:, :, FIELD].sum(1)
        matrix[place, place] += own[:, :, FIELD, FIELD].sum(1)
        right[place] += side[..., FIELD].sum(1)
        for i in range(sensor):  # a column that fills an incomplete patch comes twice
            at, mine = unknowns.columns.start + sensor * column + i, SENSOR.start + i
            matrix[:, line].index_add_(0, at.flatten(), common_rows[:, :, mine].flatten(0, 1))
            matrix.index_put_((at, place[:, None]), own[..., mine, FIELD], accumulate=True)
            right.index_add_(0, at.flatten(), side[..., mine].flatten())
            for j in range(sensor):
                other = unknowns.columns.start + sensor * column + j
                matrix.index_put_((at, other), own[..., mine, SENSOR.start + j], accumulate=True)

    def expect_mean(self, gain: Float[Tensor, unknown], excess: float, sd: float) -> None:
        """A mean over pixels, of which no pixel alone is told, is as expected.

        Args:
            gain: what the unknowns do to it.
            excess: of the mean over what is expected.
            sd: of what is expected.
        """
        gain = gain.double() / sd
        self.matrix += gain[:, None] * gain
        self.side -= gain * excess / sd

    def solve(self, prior: Tensor, values: Tensor, low: Tensor, high: Tensor) -> Tensor:
        """New values; what would leave its range stays at its end.

        Args:
            prior: precision, about 0.
            values: of the unknowns in the guess; low, high: ends of their ranges.
        """
        whole = self._whole(prior)
        side = self.side - prior @ values
        held, end = torch.zeros_like(values, dtype=torch.bool), torch.zeros_like(values)
        for _ in range(len(SHARED)):
            resisting = whole.clone()
            resisting.diagonal().add_(HELD * held)
            factor = torch.linalg.cholesky(resisting)
            step = torch.cholesky_solve((side + HELD * held * end)[:, None], factor)[:, 0]
            nearest = torch.minimum(torch.maximum(values + step, low), high) - values
            beyond = ((nearest - step).abs() > 1e-6) & ~held
            if not beyond.any():
                break
            held, end = held | beyond, torch.where(beyond, nearest, end)
        step = step.clamp(-LARGEST_STEP, LARGEST_STEP)
        return values + step

    def covariance(self, prior: Tensor, some: Int[Tensor, some]) -> Float[Tensor, "some some"]:
        """Of some of the unknowns, from the columns of the inverse factor that are theirs."""
        factor = torch.linalg.cholesky(self._whole(prior))
        chosen = torch.zeros(len(prior), len(some)).to(factor)
        chosen[some, torch.arange(len(some))] = 1.0
        columns = torch.linalg.solve_triangular(factor, chosen, upper=False)
        return columns.mT @ columns

    def _whole(self, prior: Tensor) -> Tensor:
        """The lower triangle of the matrix, all that a factor needs, with the prior's precision."""
        if self._told is None:
            pairs = zip(self.strengths, self.errors, strict=True)
            rows = [_weighted(strength, both.double()) for strength, both in pairs]
            some = torch.cat(rows) if rows else self.matrix[:0, : self.unknowns.components]
            self._told = some.T @ some
        whole = torch.tril(self.matrix) + prior
        components = slice(len(LINE), self.unknowns.line)
        whole[components, components] += self._told
        return whole


def _weighted(
    strength: Float[Tensor, "patch 3 band"], errors: Float[Tensor, "patch error component"]
) -> Float[Tensor, "row component"]:
    """Rows whose squares are what bands say of the components: by Cholesky, band by band."""
    path, ground = errors.chunk(2, dim=1)
    pp, pg, gg = strength[..., None].unbind(1)
    root = torch.sqrt(pp)
    mixed = pg / root.clamp_min(1e-150)
    rest = torch.sqrt((gg - mixed**2).clamp_min(0.0))
    return torch.cat([root * path + mixed * ground, rest * ground]).flatten(0, 1)


def _columns(here: slice, values: Tensor) -> Tensor:
    return values[:, here]
