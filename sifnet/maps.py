"""Retrieve: a scene and a model to maps, strip by strip, so that memory does not grow with lines.

First the whole scene is read for what pixels share: the atmosphere of every patch and the sensor
state of every column. Then it is read again for the surface of every pixel, with the atmosphere
interpolated bilinearly between patch centres, so that no patch edge shows.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial

import torch
import xarray as xr
from rich.progress import Progress
from torch import Tensor

from sifnet.encoder import ATMOSPHERE, SENSOR
from sifnet.jacobians import to_polynomial
from sifnet.losses import total_sd
from sifnet.physics.noise import COMMON_ERROR
from sifnet.physics.state import Atmosphere, SensorState, State
from sifnet.physics.surface import sif_740_ratio
from sifnet.pixels import Pixels, patch_shape, strips
from sifnet.refinement import SurfaceFit, refine_shared, refine_surface
from sifnet.retrieval import Retrieval
from sifnet.scene import Flag, Scene

ALIKE = 0.2  # degrees (and km of height), within which columns of a patch are seen alike
BLOCK = 8  # lines over which the interpolated atmosphere is taken constant, if refined
STRIP = 64  # lines read at once
SCAN_LINES = (3, 8)  # of a patch, at least and at most, from which its atmosphere is found
SCANNED = 1.7  # pixels for each independent one, that many lines are enough
SCAN_SAMPLES = 16  # columns of which one tells the uncertainty, where nothing is refined
POOR_FIT = 4.0  # reduced chi-square: a residual twice what noise explains
EDGE = 1e-3  # share of a parameter's range that counts as its bound
MAPS = (
    "sif_760",
    "sif_740",
    "sif_760_uncertainty",
    "sif_760_uncertainty_shared",
    "sif_740_uncertainty",
    "reflectance_740",
    "reflectance_slope",
    "aot_550",
    "surface_pressure",
    "wavelength_shift",
    "fwhm_shift",
    "ndvi_radiance",
    "residual_rms",
    "chi2_reduced",
)


@dataclass(frozen=True)
class Shared:
    """What the pixels of a scene share.

    Attributes:
        deviation: ``row, column, 6``, atmosphere of every patch from its prior, in prior sd.
        carried: ``row, column, 2, 2``, see ``refinement.SharedFit``.
        sensor: ``sample, 2``, wavelength and width shift, nm.
        patch: lines and samples of a patch.
    """

    deviation: Tensor
    carried: Tensor
    sensor: Tensor
    patch: tuple[int, int]


def retrieve(
    scene: Scene,
    model: Retrieval,
    *,
    atmosphere: xr.Dataset | None = None,
    refine: bool = True,
    progress: bool = False,
) -> xr.Dataset:
    """Maps of MAPS and ``quality_flag`` on (line, sample); pixels that are not usable are NaN.

    Args:
        atmosphere: outside knowledge of the atmosphere (see ``pixels.read``).
        refine: finish the encoder's states by Gauss-Newton steps.
        progress: show a progress bar.

    Raises:
        SifnetError: the model was not made for this sensor or these bands.
    """
    with Progress(transient=True, disable=not progress) as bar:
        task = bar.add_task(f"retrieve {scene.name}", total=2 * scene.shape[0])
        done = partial(bar.advance, task)
        maps = retrieve_strips(scene, model, atmosphere=atmosphere, refine=refine, done=done)
        return xr.concat([strip for _, strip in maps], "line")


@torch.no_grad()
def retrieve_strips(
    scene: Scene,
    model: Retrieval,
    *,
    atmosphere: xr.Dataset | None = None,
    refine: bool = True,
    done: Callable[[int], None] = lambda lines: None,
) -> Iterator[tuple[slice, xr.Dataset]]:
    """The maps of ``retrieve`` from top to bottom, some lines at a time: nothing is kept.

    Args:
        atmosphere, refine: see ``retrieve``.
        done: told of every few lines that are finished; each line is passed twice.

    Raises:
        SifnetError: the model was not made for this sensor or these bands.
    """
    model.made_for.refuse_other(scene)
    model = model.eval()
    shared = find_shared(scene, model, atmosphere=atmosphere, refine=refine, done=done)
    height = shared.patch[0]
    block = (min(BLOCK, height) if refine else height, scene.shape[1])
    for window, pixels in _strips(scene, model, block, atmosphere, STRIP):
        found, flags = _solve(model, pixels, shared, window.start, refine)
        height = window.stop - window.start
        maps = {name: values.to(torch.float32) for name, values in found.items()}
        maps["quality_flag"] = flags.to(torch.uint16)
        planes = {n: v.flatten(0, 1)[:height].numpy() for n, v in maps.items()}
        yield window, xr.Dataset({n: (("line", "sample"), v) for n, v in planes.items()})
        done(height)


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
        atmosphere, refine: see ``retrieve``.
        done: told of every few lines that are finished.
    """
    patch = patch_shape(scene, model.made_for.patch)
    fewest, most = SCAN_LINES
    enough = math.ceil(SCANNED * model.made_for.weights.independent_pixels / patch[1])
    every = max(1, patch[0] // min(max(enough, fewest), most))
    seen = []
    for window, pixels in _strips(scene, model, patch, atmosphere, patch[0], every):
        seen.append(_scan(model, pixels, refine, patch[0]))
        done(window.stop - window.start)
    return _combine(seen, scene, patch)


def _strips(
    scene: Scene,
    model: Retrieval,
    shape: tuple[int, int],
    atmosphere: xr.Dataset | None,
    strip: int,
    every: int = 1,
) -> Iterator[tuple[slice, Pixels]]:
    return strips(
        scene,
        (max(1, shape[0] // every), shape[1]),
        strip=strip,
        every=every,
        ranges=model.emulator.ranges,
        window=model.made_for.window,
        atmosphere=atmosphere,
        line_id=model.line_id(scene),
        terrain=True,
        predictor=model.predictor,
    )


@dataclass(frozen=True)
class Row:
    """What one row of patches says: see Shared; ``weight``: usable pixels ``patch, sample``."""

    deviation: Tensor
    carried: Tensor
    sensor: Tensor
    weight: Tensor


def _scan(model: Retrieval, pixels: Pixels, refine: bool, lines: int) -> Row:
    """Atmosphere and sensor of a row of patches, from some of its ``lines``."""
    state, weights = model.encoder(pixels), model.made_for.weights
    through = (model.emulator, model.instrument)
    shown, at = replace(pixels, geometry=pixels.geometry.map(_even)), state
    if not refine:  # only the uncertainty is wanted, which a few columns tell
        few = torch.arange(0, pixels.column.shape[1], SCAN_SAMPLES)
        shown = pixels.samples(few)
        at = state.map(lambda x: x[..., few] if x.shape[-1] > 1 else x)
    sigma = total_sd(shown, weights.model_error)
    if refine:
        at = refine_surface(shown, sigma, at, *through).state
    fit = refine_shared(
        shown,
        sigma,
        at,
        *through,
        independent_pixels=weights.independent_pixels,
        bare_ndvi=weights.bare_ndvi,
        stand_for=lines * pixels.column.shape[1] / shown.usable[0].numel(),
        steps=2 if refine else 0,
    )
    if refine:
        state = fit.state
    mean, sd = pixels.prior.mean, pixels.prior.sd
    deviation = [
        ((getattr(state.atmosphere, n) - getattr(mean, n)) / getattr(sd, n)).mean((1, 2))
        for n in ATMOSPHERE
    ]
    sensor = [getattr(state.sensor, n)[:, 0].expand(pixels.column.shape) for n in SENSOR]
    columns = torch.stack(sensor, -1)
    return Row(torch.stack(deviation, -1), fit.carried, columns, pixels.usable.sum(1))


def _even(angle: Tensor) -> Tensor:
    """One value a patch, where its columns are seen alike, as from space: much less to simulate."""
    spread = torch.nan_to_num(angle.amax((1, 2)) - angle.amin((1, 2)))  # of infinite heights: 0
    if bool((spread < ALIKE).all()):
        return angle.mean((1, 2), keepdim=True)
    return angle


def _combine(seen: list[Row], scene: Scene, patch: tuple[int, int]) -> Shared:
    """Patches without a usable pixel take the mean of the others; columns average all patches."""
    deviation = torch.stack([row.deviation for row in seen])
    carried = torch.stack([row.carried for row in seen])
    count = torch.stack([row.weight.sum(1) for row in seen])
    mean = (deviation * count[..., None]).sum((0, 1)) / count.sum().clamp(min=1)
    deviation = torch.where(count[..., None] > 0, deviation, mean)
    weight = torch.stack([row.weight.flatten() for row in seen])[..., None]
    sensor = torch.stack([row.sensor.flatten(0, 1) for row in seen])
    typical = (sensor * weight).sum((0, 1)) / weight.sum().clamp(min=1)
    column = (sensor * weight).sum(0) / weight.sum(0).clamp(min=1)
    column = torch.where(weight.sum(0) > 0, column, typical)
    return Shared(deviation, carried, column[: scene.shape[1]], patch)


def interpolated(field: Tensor, patch: tuple[int, int], line: Tensor, sample: Tensor) -> Tensor:
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


def _solve(
    model: Retrieval, pixels: Pixels, shared: Shared, start: int, refine: bool
) -> tuple[dict[str, Tensor], Tensor]:
    """Maps ``block, line, sample`` and flags of a strip of full-width blocks."""
    blocks, height, samples = pixels.usable.shape
    line, sample = start + (torch.arange(blocks) + 0.5) * height, torch.arange(samples) + 0.5
    deviation = interpolated(shared.deviation, shared.patch, line, sample)[:, None]
    prior, ranges = pixels.prior, model.encoder.ranges
    atmosphere = Atmosphere(
        **{
            name: (getattr(prior.mean, name) + getattr(prior.sd, name) * deviation[..., i]).clamp(
                *ranges[name]
            )
            for i, name in enumerate(ATMOSPHERE)
        }
    )
    sensor = SensorState(*(shared.sensor[:, i].expand(blocks, 1, samples) for i in range(2)))
    latent = model.encoder.latent(pixels)
    state = State(atmosphere, model.encoder.surface(latent, pixels, atmosphere, sensor), sensor)
    sigma = total_sd(pixels, model.made_for.weights.model_error)
    fit = refine_surface(
        pixels, sigma, state, model.emulator, model.instrument, steps=2 if refine else 0
    )
    carried = interpolated(shared.carried, shared.patch, line, sample)[:, None]
    level = to_polynomial(fit.state.surface)[..., 0]
    over = torch.stack([torch.ones_like(level), level], -1)
    common = (over[..., None, :] @ carried @ over[..., None])[..., 0, 0]
    filled = COMMON_ERROR.get(model.made_for.sensor, 0.0) * pixels.radiance.amin(-1)
    # What the noise model leaves unexplained is counted as noise too.
    excess = fit.chi2.clamp(min=1)
    alike = common.clamp(min=0) + filled**2 + fit.shape_variance
    own = (fit.own_variance - fit.shape_variance) * excess
    sd = torch.sqrt(own + alike)
    return _maps(pixels, fit, sd, torch.sqrt(alike)), _flags(model, pixels, fit, sd)


def _maps(
    pixels: Pixels, fit: SurfaceFit, uncertainty: Tensor, shared: Tensor
) -> dict[str, Tensor]:
    surface, atmosphere, sensor = fit.state.surface, fit.state.atmosphere, fit.state.sensor
    level, slope = surface.reflectance_740, surface.reflectance_slope
    if pixels.known is not None:
        gain, steepness = pixels.known.at_740.unbind(-1)
        level, slope = gain * level, gain * (slope + steepness * level)
    ratio, spread = sif_740_ratio()
    found = {
        "sif_760": surface.sif_760,
        "sif_740": surface.sif_740,
        "sif_760_uncertainty": uncertainty,
        "sif_760_uncertainty_shared": shared,
        "sif_740_uncertainty": torch.hypot(ratio * uncertainty, spread * surface.sif_760),
        "reflectance_740": level,
        "reflectance_slope": slope,
        "aot_550": atmosphere.aot_550,
        "surface_pressure": atmosphere.surface_pressure,
        "wavelength_shift": sensor.wavelength_shift,
        "fwhm_shift": sensor.fwhm_shift,
        "residual_rms": fit.rms,
        "chi2_reduced": fit.chi2,
    }
    shape, hidden = pixels.usable.shape, ~pixels.usable
    masked = {n: v.expand(shape).masked_fill(hidden, torch.nan) for n, v in found.items()}
    return {**masked, "ndvi_radiance": pixels.ndvi}


def _flags(model: Retrieval, pixels: Pixels, fit: SurfaceFit, uncertainty: Tensor) -> Tensor:
    """Flags of the reading, and of the result: poor fit, parameter at its bound.

    Noise may carry fluorescence beyond its bounds: that is no reason to leave a pixel out.
    """
    flags = pixels.flags.clone()
    flags[pixels.usable & (fit.chi2 > POOR_FIT)] |= int(Flag.POOR_FIT)
    ranges = model.encoder.ranges
    for name, value in (*fit.state.surface.items(), *fit.state.sensor.items()):
        if name == "reflectance_slope_ratio":  # undetermined over ground without a slope
            continue
        low, high = ranges[name]
        edge = -3 * uncertainty if name == "sif_760" else EDGE * (high - low)
        beyond = ((value <= low + edge) | (value >= high - edge)).expand(flags.shape)
        flags[pixels.usable & beyond] |= int(Flag.AT_BOUND)
    return flags
