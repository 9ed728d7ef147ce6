"""A scene and a model to maps, strip by strip, so that memory does not grow with lines.

First the whole scene is read for what pixels share: the atmosphere of every patch and the sensor
state of every column. Then it is read again for the surface of every pixel, with the atmosphere
interpolated bilinearly between patch centres, so that no patch edge shows.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial

import torch
import xarray as xr
from torch import Tensor

from sifnet.physics.forward import Simulator
from sifnet.physics.precision import exact
from sifnet.physics.state import State
from sifnet.physics.surface import Surface, sif_740_ratio
from sifnet.physics.transfer import TransferFunctions
from sifnet.retrieval.brightness import SHADED, sky_error
from sifnet.retrieval.device import made_on
from sifnet.retrieval.model import Retrieval
from sifnet.retrieval.pixels import Pixels, columns_of
from sifnet.retrieval.refinement import SurfaceFit, refine_surface
from sifnet.retrieval.shared import Shared, interpolated, pixel_strips
from sifnet.scenes.scene import Flag, Scene

BLOCKS = 4  # of the lines of a patch, in each of which its atmosphere is constant, if refined
AT_ONCE = 4096  # pixels solved together: few enough for a processor's cache
READ_AT_ONCE = 32_768  # read together
POOR_FIT = 4.0  # reduced chi-square: a residual twice what noise explains
UNLIKELY = 3.0  # standard deviations of the prior, beyond which air is not believed
STRANGE = 2.0  # mean square of the coefficients of a line's correction, beyond which it is not
EDGE = 1e-3  # share of a parameter's range that counts as its bound


def solve_strips(
    scene: Scene,
    model: Retrieval,
    shared: Shared,
    *,
    atmosphere: xr.Dataset | None = None,
    refine: bool = True,
    every: int = 1,
    grave: bool = False,
    done: Callable[[int], None] = lambda lines: None,
    see: Callable[[slice, Pixels, Tensor], None] = lambda window, blocks, middle: None,
) -> Iterator[tuple[slice, xr.Dataset]]:
    """Maps (line, sample) from top to bottom, some lines at a time: nothing is kept.

    Variables are those of ``_maps``, of which a product takes what it names, and ``quality_flag``;
    pixels that are not usable are NaN.

    Args:
        shared: what the pixels share, see ``find_shared``.
        atmosphere: outside knowledge of the atmosphere (see ``pixels.read``).
        refine: solve the surfaces, else they are the encoder's.
        every: map only each ``every``-th line of a window.
        grave: the scene contradicts physics: no pixel of it is to be trusted.
        done: told of every few lines that are finished.
        see: shown the blocks of every window, and the line in the middle of each.
    """
    model = model.eval()
    block = (block_lines(shared, refine=refine), scene.shape[1])
    # Whole blocks, wherever a scene is cut.
    strip = block[0] * max(1, READ_AT_ONCE // (block[0] * block[1]))
    thinned = block[0] * every, block[1]
    simulator = line_simulator(model, shared, torch.arange(scene.shape[1]))
    around = scene.dataset.attrs.get("adjacency_share_sd", 0.0)
    for window, pixels in pixel_strips(scene, model, thinned, atmosphere, strip * every, every):
        pixels = pixels.map(lambda x: x.to(model.device))
        middle = window.start + (torch.arange(pixels.patches) + 0.5) * thinned[0]
        with made_on(model.device), exact():
            at = middle.to(model.device)
            maps, flags = _solve(model, simulator, pixels, shared, at, refine, around)
            if grave:
                flags = _flagged(flags, pixels.usable, Flag.UNLIKELY_AIR)
            solved = torch.stack(list(maps.values()))
        height = len(range(window.start, window.stop, every))
        maps = dict(zip(maps, solved.to(torch.float32).cpu(), strict=True))  # one copy back
        maps["quality_flag"] = flags.cpu().to(torch.uint16)
        planes = {n: v.flatten(0, 1)[:height].numpy() for n, v in maps.items()}
        see(window, pixels, middle)
        yield window, xr.Dataset({n: (("line", "sample"), v) for n, v in planes.items()})
        done(window.stop - window.start)


def block_lines(shared: Shared, *, refine: bool = True) -> int:
    """Lines over which the interpolated atmosphere is taken constant."""
    return math.ceil(shared.patch[0] / BLOCKS) if refine else shared.patch[0]


@torch.no_grad()
def _solve(
    model: Retrieval,
    simulator: Simulator,
    pixels: Pixels,
    shared: Shared,
    line: Tensor,
    refine: bool,
    around: float = 0.0,
) -> tuple[dict[str, Tensor], Tensor]:
    """Maps ``block, line, sample`` and flags of a strip of full-width blocks.

    Args:
        around: standard deviation of the share of light that was taken for the surroundings'.
    """
    sample = torch.arange(pixels.usable.shape[2])
    fit, deviation, _ = surfaces(model, simulator, pixels, shared, (line, sample), refine=refine)
    carried = interpolated(shared.carried, shared.patch, line, sample + 0.5)[:, None]
    level = fit.state.surface.reflectance_760
    over = torch.stack([torch.ones_like(level), level], -1)
    common = (over[..., None, :] @ carried @ over[..., None])[..., 0, 0]
    share = shared.brightness.share(pixels)
    # What the noise model leaves unexplained is counted as noise too.
    excess = fit.chi2.clamp(min=1)
    alike = common.clamp(min=0) + fit.shape_variance + sky_error(pixels, share) ** 2
    if around:
        sif = fit.state.surface.sif_760.masked_fill(~pixels.usable, torch.nan)
        alike = alike + (around * (sif - sif.nanmean((1, 2), True)).nan_to_num()) ** 2
    own = (fit.own_variance - fit.shape_variance) * excess
    sd = torch.sqrt(own + alike)
    flags = _flags(model, pixels, fit, sd)
    known = torch.isfinite(fit.state.surface.sif_760) & torch.isfinite(sd)
    flags = _flagged(flags, pixels.usable & ~known, Flag.POOR_FIT)
    unlikely = (deviation.abs() > UNLIKELY).any(-1) | (shared.strangeness > STRANGE)
    flags = _flagged(flags, pixels.usable & unlikely, Flag.UNLIKELY_AIR)
    flags = _flagged(flags, pixels.usable & (share < SHADED), Flag.DIM)
    return _maps(pixels, fit, sd, torch.sqrt(alike)), flags


def surfaces(
    model: Retrieval,
    simulator: Simulator,
    pixels: Pixels,
    shared: Shared,
    at: tuple[Tensor, Tensor],
    *,
    refine: bool = True,
) -> tuple[SurfaceFit, Tensor, TransferFunctions]:
    """The surface of every pixel ``block, line, sample`` under what the pixels share.

    Args:
        simulator: of the line, see ``line_simulator``.
        at: middle of every block, in lines, and number of every column of ``pixels``.

    Returns:
        The fit, ``block, 1, sample, 6``, the air's deviation from its prior in prior sd, and what
        carries light there.
    """
    line, column = at
    deviation = interpolated(shared.deviation, shared.patch, line, column + 0.5)[:, None]
    atmosphere = pixels.prior.at(deviation, model.encoder.ranges)
    sensor = shared.sensor.map(lambda x: x[column].expand(len(line), 1, len(column)))
    if refine:  # solved from nothing: the encoder would be of no help
        surface = Surface.flat(0.0, pixels.ndvi)
    else:
        latent = model.encoder.latent(pixels)
        surface = model.encoder.surface(latent, pixels, atmosphere, sensor)
    state = State(atmosphere, surface, sensor)
    # Of all blocks at once: what a band sees is read once, and not once a block.
    transfer = simulator.transfer(atmosphere, sensor, pixels.geometry, pixels.irradiance)
    fits = []
    blocks, lines, samples = pixels.usable.shape
    count = max(1, AT_ONCE // (blocks * lines))
    for start in range(0, samples, count):
        some = slice(start, start + count)
        seen = pixels.samples(some).without_stray(shared.stray)
        cut = partial(columns_of, index=some)
        there, light = state.map(cut), transfer.map(cut)
        fit = refine_surface(seen, seen.noise, there, simulator, solve=refine, transfer=light)
        fits.append(fit)
    return SurfaceFit.combine(partial(torch.cat, dim=2), fits), deviation, transfer


def line_simulator(model: Retrieval, shared: Shared, column: Tensor) -> Simulator:
    """The simulation of some columns of a line, with all that was found of it."""
    wrong = replace(model.simulator, correction=model.correction(shared.errors))
    with exact():
        return wrong.settled(shared.sensor.map(lambda x: x[column]))


def _maps(
    pixels: Pixels, fit: SurfaceFit, uncertainty: Tensor, shared: Tensor
) -> dict[str, Tensor]:
    surface, atmosphere, sensor = fit.state.surface, fit.state.atmosphere, fit.state.sensor
    level, slope = surface.at_740()
    if pixels.shape_prior is not None:
        level, slope = pixels.shape_prior.label_740(level, slope)
    ratio, spread = sif_740_ratio()
    retrieved = {
        "sif_760": surface.sif_760,
        "sif_740": ratio * surface.sif_760,
        "sif_760_uncertainty": uncertainty,
        "sif_760_uncertainty_shared": shared,
        "sif_740_uncertainty": torch.hypot(ratio * uncertainty, spread * surface.sif_760),
        "reflectance_at_reference": surface.reflectance_760,
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
    masked = {n: v.expand(shape).masked_fill(hidden, torch.nan) for n, v in retrieved.items()}
    return {**masked, "ndvi_radiance": pixels.ndvi}


def _flags(model: Retrieval, pixels: Pixels, fit: SurfaceFit, uncertainty: Tensor) -> Tensor:
    """Flags of the reading, and of the result: poor fit, parameter at its bound.

    Noise may carry fluorescence beyond its bounds: that is no reason to leave a pixel out.
    """
    flags = _flagged(pixels.flags, pixels.usable & (fit.chi2 > POOR_FIT), Flag.POOR_FIT)
    for part in (fit.state.surface, fit.state.sensor):
        for name, entry in part.parameters().items():
            low, high = model.encoder.ranges[name]
            value = getattr(part, name)
            edge = -3 * uncertainty if name == "sif_760" else EDGE * (high - low)
            if entry.flagged:  # else it is undetermined over ground without a slope
                beyond = ((value <= low + edge) | (value >= high - edge)).expand(flags.shape)
                flags = _flagged(flags, pixels.usable & beyond, Flag.AT_BOUND)
    return flags


def _flagged(flags: Tensor, where: Tensor, flag: Flag) -> Tensor:
    """With one flag more somewhere; how many they are is not asked, for which a device waits."""
    return torch.where(where, flags | int(flag), flags)
