"""What the pixels of a scene share: the atmosphere of every patch, the sensor of every column."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from copy import copy
from dataclasses import dataclass, replace
from functools import partial
from itertools import accumulate, groupby
from typing import Any

import torch
import xarray as xr
from jaxtyping import Float
from torch import Tensor

from sifnet.physics.derivatives import SHARED
from sifnet.physics.fields import TensorFields
from sifnet.physics.forward import Simulator
from sifnet.physics.precision import exact
from sifnet.physics.state import Atmosphere, SensorState, State
from sifnet.physics.surface import Surface
from sifnet.physics.windows import FAR_RED, RED
from sifnet.retrieval.brightness import SHADED, Brightness
from sifnet.retrieval.device import made_on
from sifnet.retrieval.information import SENSOR
from sifnet.retrieval.line import COMMON, FIELD, LINE, Guess, System, Unknowns
from sifnet.retrieval.model import Retrieval
from sifnet.retrieval.pixels import Pixels, columns_of, join, patch_shape, strips
from sifnet.retrieval.refinement import STRAY_SD, row_equations
from sifnet.scenes.light import GREEN
from sifnet.scenes.scene import Scene

LEVEL = 0.004  # km of relief (0.5 hPa), below which a scene is taken for level
SCAN_LINES = (3, 8)  # of a patch, at least and at most, from which what is shared is found
SCAN_COLUMNS = 4  # of a patch, at least; rows of patches are looked at in others each
SCANNED = 12_288  # pixels of a scene that are enough for that
MOST_PATCHES = 1_000  # of a scene; where there were more, they are made larger
BARE_SD = 0.1  # mW m-2 nm-1 sr-1, fluorescence of a pixel of bare ground
USUAL_SIF = {FAR_RED: (1.3, 0.6), RED: (0.6, 0.4)}
"""mW m-2 nm-1 sr-1, mean over what is green in a line, and its spread."""
FIRST = 4  # the first step is made with each so manieth of these columns
STEPS = 5  # Gauss-Newton, of all that a line shares
CONVERGED = 0.33  # change of an unknown in units of its prior, at which no further step is made


@dataclass(frozen=True)
class Shared:
    """What the pixels of a scene share.

    Attributes:
        deviation: ``row, column, 6``, atmosphere of every patch from its prior, in prior sd.
        carried: ``row, column, 2, 2``, covariance of the error of sif_760 that pixels share, as
            intercept and slope over reflectance: its variance is r' carried r, r = (1, R).
        sensor: fields ``sample``.
        brightness: of the scene's ground.
        patch: lines and samples of a patch.
        errors: ``error``, of the simulation on the whole line, see ``Retrieval.errors``.
        said: what the encoder alone said of the same, None where that is all there is.
    """

    deviation: Tensor
    carried: Tensor
    sensor: SensorState
    brightness: Brightness
    patch: tuple[int, int]
    errors: Tensor
    said: Shared | None = None

    @property
    def stray(self) -> float:
        """Share of the mean radiance that is stray light in every band."""
        return STRAY_SD * float(self.errors[0])

    @property
    def strangeness(self) -> float:
        """Mean square of the discrepancy's coefficients, 1 where they are as expected."""
        return float((self.errors[1:] ** 2).sum()) / max(1, len(self.errors) - 1)

    def air_deviation(self) -> dict[str, Tensor]:
        """``row, column`` of every parameter of the air, in standard deviations of its prior."""
        return dict(zip(Atmosphere.names(), self.deviation.unbind(-1), strict=True))


@torch.no_grad()
def find_shared(
    scene: Scene,
    model: Retrieval,
    *,
    atmosphere: xr.Dataset | None = None,
    refine: bool = True,
    done: Callable[[int], None] = lambda lines: None,
) -> Shared:
    """What the pixels of a scene share, from some lines of every patch.

    Args:
        atmosphere: outside knowledge of the atmosphere (see ``pixels.read``).
        refine: by Gauss-Newton steps from the encoder's answer, else that answer itself.
        done: told of every few lines that are finished.

    Raises:
        SifnetError: the model was not made for this sensor or these bands.
    """
    model.refuse_other(scene)
    model = model.eval()
    patch = patches_of(scene, model.setup.patch)
    apart = _columns_apart(scene, patch)
    fewest, most = SCAN_LINES
    enough = apart * SCANNED * patch[0] // (scene.shape[0] * scene.shape[1])
    every = max(1, patch[0] // min(max(enough, fewest), apart * most))
    seen: list[Pixels] = []
    for window, pixels in pixel_strips(scene, model, patch, atmosphere, patch[0], every, apart):
        seen.append(replace(pixels, expected=None))  # learned of this line, it would be told twice
        done(window.stop - window.start)
    with made_on(model.device), exact():
        together = (join(part).map(lambda x: x.to(model.device)) for part in _periods(seen, apart))
        rows = [Row(pixels, model.encoder(pixels)) for pixels in together]
        line = Line(model, rows, scene.shape[1], seen[0].patches)
        return line.refined(patch) if refine else line.encoded(patch)


@dataclass(frozen=True)
class Row(TensorFields):
    """Pixels of some rows of patches, and their state."""

    pixels: Pixels
    state: State

    def thinned(self, every: int) -> Row:
        """Each ``every``-th of the columns of every patch."""
        some = slice(None, None, every)
        return Row(self.pixels.samples(some), self.state.map(partial(columns_of, index=some)))

    def of_one_column(self) -> Row:
        """The column of every patch that has the most usable pixels."""
        patch, best = torch.arange(self.pixels.patches), self.pixels.usable.sum(1).argmax(-1)

        def chosen(x: Tensor) -> Tensor:
            return x if x.dim() < 3 or x.shape[2] == 1 else x[patch, :, best][:, :, None]

        column = self.pixels.column[patch, best][:, None]
        return Row(replace(self.pixels.map(chosen), column=column), self.state.map(chosen))


class Line:
    """A scene's rows of patches, and the search for what they share.

    Args:
        across: patches of a row of them; by default of each of ``rows``.
    """

    def __init__(
        self, model: Retrieval, rows: list[Row], samples: int, across: int | None = None
    ) -> None:
        # Where chlorophyll absorbs, ground that is as green may well be half as bright.
        red = model.emulator.window == RED
        seen = (row.pixels for row in rows)
        self.brightness = Brightness.unknown() if red else Brightness.of(seen)
        self.model, self.rows = model, [replace(row, pixels=self._lit(row.pixels)) for row in rows]
        self.ranges = {**model.emulator.ranges, **model.instrument.ranges}
        self.first = [0, *accumulate(row.pixels.patches for row in rows)]  # of their patches
        across = across or rows[0].pixels.patches
        components = model.discrepancy.count
        self.unknowns = Unknowns(components, (self.first[-1] // across, across), samples)
        deviation = [r.pixels.prior.deviation(r.state.atmosphere).mean((1, 2)) for r in rows]
        self.usable = [row.pixels.usable for row in rows]
        self.encoder_says = torch.cat(deviation).unflatten(0, (-1, across))
        self.start = Guess(
            _between_patches(self.encoder_says, rows), _columns(rows, samples),
            torch.zeros(()), torch.zeros(components),
        )  # fmt: skip
        self.prior, self.low, self.high = self._known()

    def encoded(self, patch: tuple[int, int]) -> Shared:
        """What the encoder says, patch by patch, as uncertain as one pixel of a patch leaves it."""
        few = copy(self)  # what so few pixels say, a column of a patch says as well
        few.rows = [row.of_one_column() for row in self.rows]
        states = [few._state(i, self.start, row.state.surface) for i, row in enumerate(few.rows)]
        alone = 1.0 / few.rows[0].pixels.usable.shape[1]
        system, gains, _ = few._system(self.start, states, alone, solve=False)
        carried = few._carried(gains, system)
        sensor = SensorState.unstack(self.start.sensor)
        return Shared(
            self.encoder_says, carried, sensor, self.brightness, patch, self._known_errors()
        )

    def _known_errors(self) -> Tensor:
        """Of the simulation, as the model has learned them of this line."""
        return self.model.errors_of(self.rows[0].pixels.line_id[:1])[0].detach()

    def refined(self, patch: tuple[int, int]) -> Shared:
        """What explains all pixels best, with everything that is known beforehand."""
        near = self.start.deviation.clamp(-1.0, 1.0)  # an encoder may be far off in another light
        guess = replace(self.start, deviation=near * _field_only())
        guess, system, gains = self._searched(guess)
        carried = self._carried(gains, system)
        said = Shared(
            self.encoder_says, carried, SensorState.unstack(self.start.sensor), self.brightness,
            patch, self._known_errors(),
        )  # fmt: skip
        return Shared(
            guess.deviation,
            carried,
            SensorState.unstack(guess.sensor),
            self.brightness,
            patch,
            guess.errors(),
            said,
        )

    def _searched(self, guess: Guess) -> tuple[Guess, System, list[Tensor]]:
        """From a guess to the best one; the last system and its gains."""
        surfaces = [row.state.surface for row in self.rows]
        few = copy(self)
        few.rows = [row.thinned(FIRST) for row in self.rows]
        few.usable = [columns_of(usable, slice(None, None, FIRST)) for usable in self.usable]
        guess, *_ = few._step(guess, [row.state.surface for row in few.rows])
        for _ in range(STEPS):
            before = guess
            guess, system, gains, surfaces = self._step(guess, surfaces)
            change = (guess.stacked(self.start) - before.stacked(self.start)).abs()
            change[len(LINE) : self.unknowns.line] = 0.0  # of components: light is linear in them
            if float(change.max()) < CONVERGED:
                break
        return guess, system, gains

    def _step(
        self, guess: Guess, surfaces: list[Surface]
    ) -> tuple[Guess, System, list[Tensor], list[Surface]]:
        """A better guess and the system that it solves, with its gains and surfaces."""
        independent = self.model.setup.weights.independent_pixels
        counted = min(1.0, independent / max(1, sum(int(u.sum()) for u in self.usable)))
        states = [self._state(row, guess, surface) for row, surface in enumerate(surfaces)]
        system, gains, states = self._system(guess, states, counted)
        before = guess.stacked(self.start)
        after = system.solve(self.prior, before, self.low, self.high)
        guess = guess.moved(self.unknowns, after, self.start)
        return guess, system, gains, [state.surface for state in states]

    def _simulators(self, guess: Guess) -> list[Simulator]:
        """Under a guess, of the columns of all rows; like rows have theirs in common."""
        wrong = replace(self.model.simulator, correction=self.model.correction(guess.errors()))
        made: dict[bytes, Simulator] = {}
        simulators = []
        for row in self.rows:
            column = row.pixels.column
            key = column.cpu().numpy().tobytes()
            if key not in made:
                made[key] = wrong.settled(guess.sensors(column, self.ranges), slopes=True)
            simulators.append(made[key])
        return simulators

    def _state(self, row: int, guess: Guess, surface: Surface) -> State:
        pixels = self.rows[row].pixels
        air = guess.air(pixels.prior, self.first[row], self.ranges)
        return State(air, surface, guess.sensors(pixels.column, self.ranges))

    def _seen(self, row: Row, guess: Guess) -> Pixels:
        return row.pixels.without_stray(STRAY_SD * guess.stray)

    def _system(
        self, guess: Guess, states: list[State], counted: float, solve: bool = True
    ) -> tuple[System, list[Tensor], list[State]]:
        """The system around a guess; by rows, what all that is shared does to fluorescence, and
        the states with their best surfaces (see ``row_equations``)."""
        simulators, gains, refined = self._simulators(guess), [], []
        column = self.rows[0].pixels.column[: self.unknowns.grid[1]]
        wavelength = simulators[0].wavelength(guess.sensors(column, self.ranges))
        greens = max(1, sum(int(self._green(row.pixels).sum()) for row in self.rows))
        system = System(self.unknowns, self.model.discrepancy, wavelength)
        of_mean, excess = torch.zeros(self.unknowns.columns.stop), 0.0
        usual, spread = USUAL_SIF[self.model.emulator.window]
        rows = zip(self.first[:-1], self.rows, states, simulators, strict=True)
        for first, row, state, simulator in rows:
            pixels = self._seen(row, guess)
            known = counted * self._bare(pixels) / BARE_SD**2
            state, equations, gain = row_equations(
                pixels, state, simulator, known, counted, solve=solve
            )
            refined.append(state)
            system.add(first, equations, pixels.column)
            green = self._green(pixels)[..., None] / greens
            of_green = _by_unknown((gain.nan_to_num() * green).sum(1), system)
            of_mean -= self.unknowns.gathered(first, pixels.column, of_green)
            above = torch.nan_to_num(state.surface.sif_760 - usual)
            excess += float((above * green[..., 0]).sum())
            gains.append(_against_reflectance(pixels, state, gain))
        system.expect_mean(of_mean, excess, spread)
        return system, gains, refined

    def _lit(self, pixels: Pixels) -> Pixels:
        """Those where a part of the sun is missing say nothing of what is shared."""
        return replace(pixels, usable=pixels.usable & (self.brightness.share(pixels) >= SHADED))

    def _bare(self, pixels: Pixels) -> Tensor:
        return (pixels.ndvi <= self.model.setup.weights.bare_ndvi) & pixels.usable

    def _green(self, pixels: Pixels) -> Tensor:
        return (pixels.ndvi >= GREEN) & pixels.usable

    def _known(self) -> tuple[Tensor, Tensor, Tensor]:
        """Prior precision, and lowest and highest of all unknowns."""
        prior, unknowns = self.rows[0].pixels.prior, self.unknowns
        mean, sd = (part.stack().mean((0, 1, 2)) for part in (prior.mean, prior.sd))
        low = torch.full((unknowns.columns.stop,), -torch.inf, dtype=torch.double)
        ends = low, -low
        for end, limit in enumerate(ends):
            edge = mean.new_tensor([self.ranges[name][end] for name in Atmosphere.names()])
            deviation = ((edge - mean) / sd).double()
            limit[: len(COMMON)], limit[unknowns.patches] = deviation[COMMON], deviation[FIELD]
        return unknowns.prior(sd[FIELD]), *ends

    def _carried(self, gains: list[Tensor], system: System) -> Tensor:
        """``Shared.carried``, at the middle column of every patch."""
        rows, across = self.unknowns.grid
        column = self.rows[0].pixels.column[:across]
        middle = column[:, column.shape[1] // 2, None].repeat(rows, 1)
        some, place = self.unknowns.of(0, middle)[:, 0].unique(return_inverse=True)
        covariance = system.covariance(self.prior, some)
        of_pixels = torch.cat([_by_unknown(gain, system).double() for gain in gains])
        shared = covariance[place[..., None], place[..., None, :]]
        carried = (of_pixels @ shared @ of_pixels.mT).float()
        return carried.unflatten(0, (rows, across))


def _by_unknown(gain: Float[Tensor, "patch *of gain"], system: System) -> Tensor:
    """Gains of rows of patches (``row_equations``) in the order of ``Unknowns.of``."""
    own, errors = gain.tensor_split([len(SHARED) + 1], -1)
    if system.of_patch is None:
        errors = errors[..., :0]
    else:
        of_patch = system.of_patch.repeat(len(gain) // len(system.of_patch), 1, 1)
        errors = (errors.flatten(1, -2) @ of_patch).unflatten(1, gain.shape[1:-1])
    return torch.cat([own[..., LINE], errors, own[..., [FIELD]], own[..., SENSOR]], -1)


def _against_reflectance(pixels: Pixels, state: State, gain: Tensor) -> Tensor:
    """``patch, 2, parameter``: gains of sif_760 as intercept and slope over reflectance.

    What fluorescence does against what is shared is a straight line over reflectance, because the
    error is a share of the light that the ground reflects, and one of path radiance.
    """
    level = state.surface.reflectance_760.expand(pixels.usable.shape)
    line = torch.nan_to_num(torch.stack([torch.ones_like(level), level], -1))
    line = (line * pixels.usable[..., None]).flatten(1, 2).double()
    side = line.mT @ torch.nan_to_num(gain).flatten(1, 2).double()
    ridge = 1e-6 * torch.eye(2, dtype=torch.double)
    return torch.linalg.solve(line.mT @ line + ridge, side).to(gain)


def patches_of(scene: Scene, wanted: tuple[int, int]) -> tuple[int, int]:
    """Lines and samples of a patch, larger than wanted where a scene would have too many."""
    patch = patch_shape(scene, wanted)
    lines, samples = scene.shape[:2]
    while math.ceil(lines / patch[0]) * math.ceil(samples / patch[1]) > MOST_PATCHES:
        patch = 2 * patch[0], patch[1] if samples == 1 else 2 * patch[1]
    return patch


def _columns_apart(scene: Scene, patch: tuple[int, int]) -> int:
    """Of so many columns of a patch one is looked at, in the next row of patches the next.

    What it costs goes with columns, for each of which transfer functions and their slopes are
    formed, more than with the lines that are looked at.
    """
    return max(1, min(math.ceil(scene.shape[0] / patch[0]), patch[1] // SCAN_COLUMNS))


def _periods(seen: list[Pixels], apart: int) -> Iterator[list[Pixels]]:
    """Rows of patches that are solved together: neighbours with as many, but other columns."""
    for start in range(0, len(seen), apart):
        period = seen[start : start + apart]
        for _, alike in groupby(period, lambda pixels: pixels.usable.shape):
            yield list(alike)


def _field_only() -> Tensor:
    """1 for the parameter of the air that varies over a line, 0 for the others."""
    return torch.nn.functional.one_hot(torch.tensor(FIELD), len(Atmosphere.names())).float()


def _between_patches(deviation: Tensor, rows: list[Row]) -> Tensor:
    """Patches without a usable pixel take the mean of the others."""
    count = torch.cat([row.pixels.usable.sum((1, 2)) for row in rows])
    count = count.reshape(*deviation.shape[:2], 1)
    typical = (deviation * count).sum((0, 1)) / count.sum().clamp(min=1)
    return torch.where(count > 0, deviation, typical)


def _columns(rows: list[Row], samples: int) -> Tensor:
    """``sample, 2``: the encoder's sensor of every column, the mean where it has no pixel."""
    total, weight = torch.zeros(samples, 2), torch.zeros(samples, 1)
    for row in rows:
        count = row.pixels.usable.sum(1)[..., None].float()
        value = row.state.sensor.stack()[:, 0].expand(*count.shape[:2], -1)
        total.index_add_(0, row.pixels.column.flatten(), (value * count).flatten(0, 1))
        weight.index_add_(0, row.pixels.column.flatten(), count.flatten(0, 1))
    typical = total.sum(0) / weight.sum().clamp(min=1)
    return torch.where(weight > 0, total / weight.clamp(min=1), typical)


def interpolated(
    field: Float[Tensor, "row column *rest"],
    patch: tuple[int, int],
    line: Float[Tensor, line],
    sample: Float[Tensor, sample],
) -> Float[Tensor, "line sample *rest"]:
    """``line, sample, ...`` of a field ``row, column, ...`` given at the centres of patches.

    Bilinear, which is to blend patches with triangular weights; constant beyond the outermost
    centres. Places are given in pixels.
    """
    tail = (None,) * (field.dim() - 2)

    def neighbours(at: Tensor, length: int, count: int) -> tuple[Tensor, Tensor, Tensor]:
        position = (at / length - 0.5).clamp(0, count - 1)
        low = position.floor().long().clamp(max=max(count - 2, 0))
        return low, (low + 1).clamp(max=count - 1), position - low

    top, bottom, down = neighbours(line, patch[0], field.shape[0])
    left, right, across = neighbours(sample, patch[1], field.shape[1])
    along = field[:, left] + (field[:, right] - field[:, left]) * across[(None, slice(None), *tail)]
    return along[top] + (along[bottom] - along[top]) * down[(slice(None), None, *tail)]


def pixel_strips(
    scene: Scene,
    model: Retrieval,
    shape: tuple[int, int],
    atmosphere: xr.Dataset | None,
    strip: int,
    every: int = 1,
    apart: int = 1,
) -> Iterator[tuple[slice, Pixels]]:
    """Pixels of a scene as a model reads them, in windows of ``strip`` lines.

    Args:
        shape: lines and samples of a patch.
        every, apart: of its lines and columns, see ``pixels.strips``.
    """
    return strips(
        scene,
        (math.ceil(shape[0] / every), shape[1]),
        strip=strip,
        every=every,
        apart=apart,
        **reading(scene, model, atmosphere),
    )


def reading(scene: Scene, model: Retrieval, atmosphere: xr.Dataset | None) -> dict[str, Any]:
    """How a model reads the pixels of a scene: the options of ``pixels.read``."""
    elevation = scene.dataset["ground_elevation"]
    return {
        "ranges": model.emulator.ranges,
        "window": model.setup.window,
        "atmosphere": atmosphere,
        "line_id": model.line_id(scene),
        "terrain": float(elevation.max() - elevation.min()) > LEVEL,
        "predictor": model.predictor,
        "expected": model.expected_on(scene),
    }
