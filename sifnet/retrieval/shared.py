"""What the pixels of a scene share: the atmosphere of every patch, the sensor of every column."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import torch
import xarray as xr
from jaxtyping import Float
from torch import Tensor

from sifnet.physics.fields import TensorFields
from sifnet.physics.state import SensorState
from sifnet.retrieval.losses import total_sd
from sifnet.retrieval.model import Retrieval
from sifnet.retrieval.pixels import Pixels, patch_shape, strips
from sifnet.retrieval.refinement import refine_shared, refine_surface
from sifnet.scenes.scene import Scene

ALIKE = 0.2  # degrees (and km of height), within which columns of a patch are seen alike
LEVEL = 0.004  # km of relief (0.5 hPa), below which a scene is taken for level
SCAN_LINES = (3, 8)  # of a patch, at least and at most, from which its atmosphere is found
SCANNED = 1.7  # pixels for each independent one, that many lines are enough
SCAN_SAMPLES = 16  # columns of which one tells the uncertainty, where nothing is refined


@dataclass(frozen=True)
class Shared:
    """What the pixels of a scene share.

    Attributes:
        deviation: ``row, column, 6``, atmosphere of every patch from its prior, in prior sd.
        carried: ``row, column, 2, 2``, see ``refinement.SharedFit``.
        sensor: fields ``sample``.
        patch: lines and samples of a patch.
    """

    deviation: Tensor
    carried: Tensor
    sensor: SensorState
    patch: tuple[int, int]


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
    patch = patch_shape(scene, model.setup.patch)
    fewest, most = SCAN_LINES
    enough = math.ceil(SCANNED * model.setup.weights.independent_pixels / patch[1])
    every = max(1, patch[0] // min(max(enough, fewest), most))
    seen = []
    for window, pixels in pixel_strips(scene, model, patch, atmosphere, patch[0], every):
        seen.append(_scan(model, pixels, refine, patch[0]))
        done(window.stop - window.start)
    return _combine(seen, scene, patch)


@dataclass(frozen=True)
class Row(TensorFields):
    """What one row of patches says.

    Attributes:
        deviation, carried: of every patch, as in ``Shared``.
        sensor: ``patch, sample, 2``.
        weight: usable pixels ``patch, sample``.
    """

    deviation: Tensor
    carried: Tensor
    sensor: Tensor
    weight: Tensor


def _scan(model: Retrieval, pixels: Pixels, refine: bool, lines: int) -> Row:
    """Atmosphere and sensor of a row of patches, from some of its ``lines``."""
    state, weights = model.encoder(pixels), model.setup.weights
    shown, at = replace(pixels, geometry=pixels.geometry.map(_even)), state
    if not refine:  # only the uncertainty is wanted, which a few columns tell
        few = torch.arange(0, pixels.column.shape[1], SCAN_SAMPLES)
        shown = pixels.samples(few)
        at = state.map(lambda x: x[..., few] if x.shape[-1] > 1 else x)
    sigma = total_sd(shown, weights.model_error)
    if refine:
        at = refine_surface(shown, sigma, at, model.simulator).state
    fit = refine_shared(
        shown,
        sigma,
        at,
        model.simulator,
        independent_pixels=weights.independent_pixels,
        bare_ndvi=weights.bare_ndvi,
        stand_for=lines * pixels.column.shape[1] / shown.usable[0].numel(),
        steps=2 if refine else 0,
    )
    if refine:
        state = fit.state
    deviation = pixels.prior.deviation(state.atmosphere).mean((1, 2))
    sensor = state.sensor.stack()[:, 0].expand(*pixels.column.shape, -1)
    return Row(deviation, fit.carried, sensor, pixels.usable.sum(1))


def _even(angle: Tensor) -> Tensor:
    """One value a patch, where its columns are seen alike, as from space: much less to simulate."""
    spread = torch.nan_to_num(angle.amax((1, 2)) - angle.amin((1, 2)))  # of infinite heights: 0
    if bool((spread < ALIKE).all()):
        return angle.mean((1, 2), keepdim=True)
    return angle


def _combine(rows: list[Row], scene: Scene, patch: tuple[int, int]) -> Shared:
    """Patches without a usable pixel take the mean of the others; columns average all patches."""
    patches = Row.combine(torch.stack, rows)
    count = patches.weight.sum(-1, keepdim=True)
    typical = _weighted(patches.deviation, count, (0, 1))
    deviation = torch.where(count > 0, patches.deviation, typical)
    weight, sensor = patches.weight.flatten(1)[..., None], patches.sensor.flatten(1, 2)
    column = _weighted(sensor, weight, (0,))
    column = torch.where(weight.sum(0) > 0, column, _weighted(sensor, weight, (0, 1)))
    return Shared(deviation, patches.carried, SensorState.unstack(column[: scene.shape[1]]), patch)


def _weighted(values: Tensor, weight: Tensor, dims: tuple[int, ...]) -> Tensor:
    """Weighted mean, 0 where nothing has weight."""
    return (values * weight).sum(dims) / weight.sum(dims).clamp(min=1)


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
) -> Iterator[tuple[slice, Pixels]]:
    """Pixels of a scene as a model reads them, in windows of ``strip`` lines.

    Args:
        shape: lines and samples of a patch, of whose lines every ``every``-th is read.
    """
    elevation = scene.dataset["ground_elevation"]
    relief = float(elevation.max() - elevation.min())
    return strips(
        scene,
        (math.ceil(shape[0] / every), shape[1]),
        strip=strip,
        every=every,
        ranges=model.emulator.ranges,
        window=model.setup.window,
        atmosphere=atmosphere,
        line_id=model.line_id(scene),
        terrain=relief > LEVEL,
        predictor=model.predictor,
    )
