"""The exact finish: the surface of a pixel, given atmosphere and sensor, in one batched step.

What pixels share is found from the equations that are left when their surfaces are eliminated
(``retrieval.line``); there the encoder, which amortises the inversion, says where to begin.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import chain

import torch
from jaxtyping import Float
from torch import Tensor

from sifnet.physics.derivatives import chained, transfer_derivatives
from sifnet.physics.fields import TensorFields
from sifnet.physics.forward import Simulator
from sifnet.physics.state import SensorState, State
from sifnet.physics.surface import SIF, ShapePrior, Surface, powers_of, sif_shape
from sifnet.physics.transfer import TransferFunctions, straightened
from sifnet.retrieval.information import regular
from sifnet.retrieval.pixels import Pixels

PAIRS = ((0, 0), (0, 1), (1, 1))  # of path and ground
STRAY_SD = 0.0015  # of the mean radiance, scattered into every band: none is known to be without
BEYOND_REASON = 1e3  # of a surface's parameter, with which nothing can be summed
REFLECTANCE = len(Surface.names()) - 1  # coefficients of a surface's reflectance


@dataclass(frozen=True)
class SurfaceFit(TensorFields):
    """A state and how its surfaces fit, each ``patch, line, sample``.

    Attributes:
        state: with the surface that minimises the misfit, or as given.
        own_variance: of sif_760 at known atmosphere and sensor.
        shape_variance: the part of it that is due to the shape prior's uncertainty, 0 without.
        chi2: sum of squared misfits in units of noise over bands less surface parameters, of which
            what is known beforehand is not counted.
        rms: root mean square misfit, mW m-2 nm-1 sr-1.
    """

    state: State
    own_variance: Tensor
    shape_variance: Tensor
    chi2: Tensor
    rms: Tensor


def refine_surface(
    pixels: Pixels,
    sigma: Float[Tensor, "patch line sample band"],
    state: State,
    simulator: Simulator,
    *,
    solve: bool = True,
    transfer: TransferFunctions | None = None,
) -> SurfaceFit:
    """The surface that minimises the misfit of every pixel, at its atmosphere and sensor.

    One step does it, from level ground as bright as the pixel: radiance is linear in fluorescence
    and can be made so in reflectance (``straightened``).

    Args:
        solve: else it is told how the surface of the state fits.
        transfer: of the state, where it is there already.
    """
    if transfer is None:
        transfer = simulator.transfer(
            state.atmosphere, state.sensor, pixels.geometry, pixels.irradiance
        )
    shift = state.sensor.wavelength_shift
    shape = sif_shape(simulator.wavelength(state.sensor))
    shape_prior, prior = pixels.shape_prior, None
    gain = None if shape_prior is None else shape_prior.gain
    if solve:
        surface = _level(pixels.radiance, transfer, shape_prior)
    else:
        surface = state.surface.shifted(shift).stack()
    # On the nominal bands the powers of a parabola are one matrix.
    powers = powers_of(simulator.instrument.wavelength, 2 * REFLECTANCE - 1).T.contiguous()
    curve = powers[:REFLECTANCE]
    reflectance = _gained(surface[..., :SIF] @ curve, gain)
    seen = straightened(pixels.radiance, reflectance, transfer, sigma)
    to_r, to_f = _gained(seen.to_reflectance, gain), seen.to_sif * shape
    misfit = _less(seen.value, to_r, to_f, surface, curve)
    told = _normal_matrix(to_r, to_f, powers)
    if pixels.expected is not None and solve:
        told[..., SIF, SIF] += pixels.expected[..., 1] ** -2
    a = told
    if shape_prior is not None:
        prior = shape_prior.matrix(surface[..., 0])  # which begins where the prior has it
        a = told + prior
    inverse = torch.linalg.inv(regular(a.double()))
    if solve:
        side = [*_moments(to_r * misfit, curve), (to_f * misfit).sum(-1)]
        if pixels.expected is not None:
            mean, sd = pixels.expected.unbind(-1)
            side[SIF] = side[SIF] + (mean - surface[..., SIF]) / sd**2
        change = (inverse * torch.stack(side, -1)[..., None, :]).sum(-1).to(surface)
        surface = surface + change
        misfit = _less(misfit, to_r, to_f, change, curve)
        state = replace(state, surface=Surface.unstack(surface).shifted(-shift))
    by_shape, freedom = _of_prior(inverse, prior, misfit.shape[-1])
    return SurfaceFit(
        state,
        inverse[..., SIF, SIF].to(a),
        by_shape.to(a),
        (misfit * misfit).sum(-1) / freedom,
        torch.sqrt((misfit * sigma).square_().mean(-1)),
    )


def _level(radiance: Tensor, t: TransferFunctions, shape_prior: ShapePrior | None) -> Tensor:
    """Stacked ground, ``..., 4``, that sends as much light on the average: level, or as known."""
    light = (radiance, t.path, t.ground, t.ground_bounce, t.up)
    lit, path, ground, bounce, up = (x.mean(-1) for x in light)
    lit = lit - path
    if shape_prior is not None:
        lit = lit - shape_prior.sif_760[..., 0] * up
    level = (lit / (ground + lit * bounce / ground)).clamp(0.0, 1.0)
    if shape_prior is None:
        return torch.nn.functional.pad(level[..., None], (0, SIF))
    level = level / shape_prior.gain.mean(-1)
    surface = shape_prior.mean(level)
    surface[..., 0] = level
    return surface


def _less(light: Tensor, to_r: Tensor, to_f: Tensor, surface: Tensor, curve: Tensor) -> Tensor:
    """What a surface leaves of light that is linear in it, in the light's place."""
    light.addcmul_(to_r, surface[..., :SIF] @ curve, value=-1.0)
    return light.addcmul_(to_f, surface[..., SIF:], value=-1.0)


def _gained(values: Tensor, gain: Tensor | None) -> Tensor:
    return values if gain is None else values * gain


def _of_prior(inverse: Tensor, prior: Tensor | None, bands: int) -> tuple[Tensor, Tensor]:
    """Variance of sif_760 by the error of an expected shape, [A^-1 P A^-1]_FF, and the bands less
    the parameters that they, not the prior, determine: the expectation of the misfit."""
    parameters = inverse.shape[-1]
    if prior is None:
        freedom = inverse.new_tensor(max(1, bands - parameters))
        return torch.zeros_like(inverse[..., 0, 0]), freedom.float()
    prior, of_sif = prior.double(), inverse[..., SIF, :]
    by_shape = ((prior * of_sif[..., None]).sum(-2) * of_sif).sum(-1)
    beforehand = (inverse * prior).sum((-2, -1))  # the trace of their product: both are symmetric
    return by_shape, (bands - parameters + beforehand).float()


def _normal_matrix(to_r: Tensor, to_f: Tensor, powers: Tensor) -> Tensor:
    """S'S ``..., 4, 4``, S = (to_r x^0, to_r x^1, to_r x^2, to_f), from moments over bands."""
    r, mixed = _moments(to_r * to_r, powers), _moments(to_r * to_f, powers[:REFLECTANCE])
    rows = [[*r[i : i + REFLECTANCE], mixed[i]] for i in range(REFLECTANCE)]
    rows.append([*mixed, (to_f * to_f).sum(-1)])
    return torch.stack([*chain(*rows)], -1).unflatten(-1, (len(rows), -1))


def _moments(
    values: Float[Tensor, "*batch band"], powers: Float[Tensor, "power band"]
) -> Float[Tensor, power * batch]:
    """Sums over bands. A few rows times many are ten times as fast as many times a few columns."""
    return (powers @ values.flatten(0, -2).T).unflatten(-1, values.shape[:-1])


@dataclass(frozen=True)
class RowEquations(TensorFields):
    """Normal equations of a row of patches, surfaces eliminated; n = 2 * band and s = len(SHARED)
    + 1, the last for stray light.

    Errors of path and ground in every band stand for the components: there are fewer pixels'
    worth of them to multiply.

    Attributes:
        own, side: ``patch, sample, s, s`` and ``patch, sample, s``.
        cross: ``patch, sample, s, n``, of shared parameters and errors.
        strength: ``patch, sample, 3, band``, what bands say of errors of path, of both, of ground.
        explained: ``patch, sample, row, n``, rows whose squares surfaces explain of it.
        error_side: ``patch, sample, n``.
    """

    own: Tensor
    side: Tensor
    cross: Tensor
    strength: Tensor
    explained: Tensor
    error_side: Tensor


def row_equations(
    pixels: Pixels,
    state: State,
    simulator: Simulator,
    known: Float[Tensor, "patch line sample"],
    counted: float = 1.0,
    *,
    solve: bool = True,
) -> tuple[State, RowEquations, Float[Tensor, "patch line sample gain"]]:
    """Equations around a state with its best surfaces.

    Args:
        known: precision with which a pixel is known not to fluoresce. It tells what is shared; the
            pixels' own result stays free.
        counted: how much of an observation each pixel is.
        solve: the surfaces, see ``refine_surface``.

    Returns:
        The state with these surfaces, the equations, and what the s shared parameters and the n
        errors do to sif_760.
    """
    transfer, changes = transfer_derivatives(simulator, state, pixels.geometry, pixels.irradiance)
    fit = refine_surface(pixels, pixels.noise, state, simulator, solve=solve, transfer=transfer)
    state, sound = _sound(fit.state, pixels.usable)
    wavelength, shape_prior = simulator.wavelength(state.sensor), pixels.shape_prior
    if shape_prior is not None:
        shape_prior = replace(shape_prior, gain=torch.nan_to_num(shape_prior.gain))
    excess = fit.chi2.clamp(min=1.0)  # what noise does not explain counts less
    share = torch.where(sound, counted / excess, 0.0)
    weight = torch.nan_to_num(torch.sqrt(share)[..., None] / pixels.noise)
    simulated, s, x = chained(transfer, changes, state, wavelength, shape_prior, weight)
    z = (pixels.radiance - simulated) * weight
    path = transfer.path * weight
    ground = simulated * weight - path - s[..., SIF, :] * state.surface.sif_760[..., None]
    lit = torch.stack([path, ground], -2)
    x = torch.cat([x, (pixels.stray[..., None] * weight)[..., None, :]], -2)

    a, to_surface = (s @ s.mT).double(), (s @ z[..., None])[..., 0].double()
    if shape_prior is not None:
        prior, pull = shape_prior.equations(state.surface.stack())
        a = a + share[..., None, None] * torch.nan_to_num(prior)
        to_surface = to_surface + share[..., None] * torch.nan_to_num(pull)
    a[..., SIF, SIF] += known
    to_surface[..., SIF] -= known * state.surface.sif_760
    diagonal = torch.diagonal(a, dim1=-2, dim2=-1)
    a = a + torch.diag_embed(1e-9 * diagonal + 1e-12)
    root = torch.linalg.inv(torch.linalg.cholesky(a))  # surfaces in units of what is known of them
    half = (root @ to_surface[..., None])[..., 0].to(s)
    roots = root.to(s) @ s  # 4, band
    units = _units(pixels, x)
    of_shared = (roots @ x.mT) * units
    of_errors = (roots[..., None, :] * lit[..., None, :, :]).flatten(-2)
    # Lines of a patch are summed: what surfaces explain of each is a few rows more.
    explained, by_shared = (f.movedim(1, 2).flatten(2, 3) for f in (of_errors, of_shared))
    halves = half.movedim(1, 2).flatten(2, 3)[..., None]
    to_errors = (lit * z[..., None, :]).sum(1).flatten(-2)
    cross = torch.cat([(x * part[..., None, :]).sum(1) for part in lit.unbind(-2)], -1)
    cross = cross * units[:, 0].mT  # patch, sample, s, n
    own = (x @ x.mT).sum(1) * units[:, 0] * units[:, 0].mT
    to_sif = root[..., SIF : SIF + 1, SIF].to(s)  # the last row of the inverse of a triangle
    equations = RowEquations(
        (own - by_shared.mT @ by_shared).double(),
        ((x @ z[..., None]).sum(1) * units[:, 0].mT - by_shared.mT @ halves)[..., 0].double(),
        cross - by_shared.mT @ explained,
        torch.stack([(lit[..., i, :] * lit[..., j, :]).sum(1) for i, j in PAIRS], -2),
        explained,
        to_errors - (explained.mT @ halves)[..., 0],
    )
    gain = torch.cat([of_shared[..., SIF, :], of_errors[..., SIF, :]], -1)
    return fit.state, equations, to_sif * gain


def _sound(state: State, usable: Tensor) -> tuple[State, Tensor]:
    """The state with empty surfaces where there is none to speak of, and where there is."""
    surface = state.surface.stack()
    sound = usable & (surface.abs() < BEYOND_REASON).all(-1)
    surface = torch.where(sound[..., None], surface, 0.0)
    return replace(state, surface=Surface.unstack(surface)), sound


def _units(pixels: Pixels, like: Tensor) -> Float[Tensor, "patch 1 1 1 s"]:
    """Of the shared parameters: standard deviations of what is known of them, steps of sensors."""
    patches = pixels.patches
    of_sensor = SensorState.steps(like).expand(patches, 1, 1, -1)
    of_stray = like.new_full((patches, 1, 1, 1), STRAY_SD)
    return torch.cat([pixels.prior.sd.stack(), of_sensor, of_stray], -1)[..., None, :]
