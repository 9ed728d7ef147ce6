"""The exact finish: a few batched Gauss-Newton steps from the encoder's state.

The encoder amortises the inversion and is close; the surface of a pixel, given atmosphere and
sensor, is then solved exactly, and the atmosphere of a patch with the sensor of its columns from
all of its pixels at once.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from sifnet.physics.forward import Simulator
from sifnet.physics.state import Atmosphere, SensorState, State, within
from sifnet.physics.surface import SIF, Surface, powers_of, sif_shape
from sifnet.physics.transfer import linearised
from sifnet.retrieval.information import (
    AIR,
    SENSOR,
    Blocks,
    SharedStep,
    normal_blocks,
    own_variance,
    shared_equations,
    solve_shared,
    surface_gain,
)
from sifnet.retrieval.pixels import Pixels

BARE_GROUND_SD = 0.1  # mW m-2 nm-1 sr-1
LARGEST_STEP = 2.0  # of a shared parameter in one step, in units of its prior
SENSOR_DAMPING = 0.1  # of the equations of a column's sensor, in steps^-2
REFLECTANCE = len(Surface.names()) - 1  # coefficients of a surface's reflectance


def shared_units(pixels: Pixels) -> Float[Tensor, "patch 1 1 shared"]:
    """``patch, 1, 1, 8``: prior sd of the atmosphere, steps of the sensor."""
    atmosphere = pixels.prior.sd.stack()
    sensor = SensorState.steps(atmosphere).expand(*atmosphere.shape[:-1], -1)
    return torch.cat([atmosphere, sensor], dim=-1)


@dataclass(frozen=True)
class SurfaceFit:
    """A state and how its surfaces fit, each ``patch, line, sample``.

    Attributes:
        state: with the surface that minimises the misfit, or as given after 0 steps.
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
    steps: int = 2,
) -> SurfaceFit:
    """The surface that minimises the misfit of every pixel, at its atmosphere and sensor.

    Two steps suffice: radiance is linear in fluorescence and nearly so in reflectance.
    """
    transfer = simulator.transfer(
        state.atmosphere, state.sensor, pixels.geometry, pixels.irradiance
    )
    shift = state.sensor.wavelength_shift
    shape = sif_shape(simulator.wavelength(state.sensor))
    # On the nominal bands the powers of a parabola are one matrix.
    surface = state.surface.shifted(shift).stack()
    powers = powers_of(simulator.instrument.wavelength, 2 * REFLECTANCE - 1)
    weight = 1.0 / sigma**2
    shape_prior, prior = pixels.shape_prior, None
    pull: Tensor | float = 0.0
    gain = 1.0 if shape_prior is None else shape_prior.gain
    for step in range(steps + 1):
        reflectance = surface[..., :SIF] @ powers[:, :REFLECTANCE].T * gain
        radiance = linearised(reflectance, surface[..., SIF:] * shape, transfer)
        to_r, to_f = radiance.to_reflectance * gain, radiance.to_sif * shape
        misfit = pixels.radiance - radiance.value
        a = _normal_matrix(to_r, to_f, weight, powers)
        if shape_prior is not None:
            prior, pull = shape_prior.equations(surface)
            a = a + prior
        if step < steps:
            seen = weight * misfit
            to_level = (to_r * seen) @ powers[:, :REFLECTANCE]
            side = torch.cat([to_level, (to_f * seen).sum(-1, True)], -1)
            surface = surface + solve_small(a, side + pull)
    if steps:
        state = replace(state, surface=Surface.unstack(surface).shifted(-shift))
    return SurfaceFit(
        state,
        own_variance(a).to(a),
        by_shape(a, prior),
        (misfit**2 * weight).sum(-1) / _freedom(a, prior, misfit.shape[-1]),
        torch.sqrt((misfit**2).mean(-1)),
    )


def _freedom(a: Tensor, prior: Tensor | None, bands: int) -> Tensor | int:
    """Bands less the parameters that they, not the prior, determine: the misfit's expectation."""
    parameters = a.shape[-1]
    if prior is None:
        return max(1, bands - parameters)
    beforehand = torch.linalg.solve(a.double(), prior.double()).diagonal(dim1=-2, dim2=-1).sum(-1)
    return (bands - parameters + beforehand).to(a)


def by_shape(
    a: Float[Tensor, "*batch surface surface"],
    prior: Float[Tensor, "*batch surface surface"] | None,
) -> Float[Tensor, "*batch"]:
    """Variance of sif_760 by the error of an expected shape, ``...``: [A^-1 P A^-1]_FF."""
    if prior is None:
        return torch.zeros_like(a[..., 0, 0])
    to_sif = torch.linalg.inv(a.double())[..., SIF, :]
    return (to_sif[..., None, :] @ prior.double() @ to_sif[..., None])[..., 0, 0].to(a)


def _normal_matrix(to_r: Tensor, to_f: Tensor, weight: Tensor, powers: Tensor) -> Tensor:
    """S'S ``..., 4, 4``, S = (to_r x^0, to_r x^1, to_r x^2, to_f), from moments over bands."""
    moments = (to_r**2 * weight) @ powers
    mixed = (to_r * to_f * weight) @ powers[:, :REFLECTANCE]
    sif = (to_f**2 * weight).sum(-1, keepdim=True)
    rows = [
        torch.cat([moments[..., i : i + REFLECTANCE], mixed[..., i : i + 1]], dim=-1)
        for i in range(REFLECTANCE)
    ]
    return torch.stack([*rows, torch.cat([mixed, sif], dim=-1)], dim=-2)


def solve_small(
    matrix: Float[Tensor, "*batch n n"], side: Float[Tensor, "*batch n"]
) -> Float[Tensor, "*batch n"]:
    """Solution ``..., n`` of small positive systems, in double precision, safe where empty."""
    a = matrix.double()
    diagonal = torch.diagonal(a, dim1=-2, dim2=-1)
    a = a + torch.diag_embed(1e-8 * diagonal + 1e-12)
    return torch.linalg.solve(a, side.double()[..., None])[..., 0].to(side)


@dataclass(frozen=True)
class SharedFit:
    """What the pixels of a patch share, and what its uncertainty does to fluorescence.

    Attributes:
        state: with the atmosphere and sensor that explain the patch best, or as given.
        covariance: ``patch, 6, 6``, of the atmosphere in units of the prior's sd, before the last
            step.
        carried: ``patch, 2, 2``, covariance of the error of sif_760 that all pixels share, as
            intercept and slope over reflectance: its variance is r' carried r, r = (1, R).
    """

    state: State
    covariance: Tensor
    carried: Tensor


def refine_shared(
    pixels: Pixels,
    sigma: Tensor,
    state: State,
    simulator: Simulator,
    *,
    independent_pixels: float,
    bare_ndvi: float,
    stand_for: float = 1.0,
    steps: int = 2,
) -> SharedFit:
    """The patch's maximum a posteriori atmosphere and sensor, with its surfaces.

    The pixels' normal equations, with their surfaces eliminated, are counted as if there were
    ``independent_pixels`` of them (see ``losses.LossWeights``); then the sensor of every column is
    eliminated, and what is left is solved for the atmosphere together with its prior. Pixels of
    bare ground are held to have no fluorescence, here only: their own result stays free.

    Args:
        stand_for: pixels of the patch that each of the given ones stands for.
    """
    units = shared_units(pixels)
    ranges = {**simulator.emulator.ranges, **simulator.instrument.ranges}
    for left in reversed(range(max(1, steps))):
        free = blocks_of(pixels, sigma, state, simulator)
        equations = shared_equations(_bare_ground(free, pixels, state, bare_ndvi))
        columns = _by_column(*equations, pixels.usable, independent_pixels, stand_for)
        solved = _step(columns, state.atmosphere, pixels)
        if left == 0:
            carried = _carried(free, solved, state, pixels.usable)
        if steps:
            change = solved.step.clamp(-LARGEST_STEP, LARGEST_STEP).to(units)[:, None] * units
            air = state.atmosphere.stack() + change[:, :, :1, AIR]
            sensor = state.sensor.stack() + change[..., SENSOR]
            moved = State(
                within(Atmosphere.unstack(air), ranges),
                state.surface,
                within(SensorState.unstack(sensor), ranges),
            )
            state = refine_surface(pixels, sigma, moved, simulator, steps=1).state
    return SharedFit(state, _of_atmosphere(solved).to(units), carried)


def _by_column(
    matrix: Tensor, side: Tensor, usable: Tensor, independent_pixels: float, stand_for: float
) -> tuple[Tensor, Tensor]:
    """Equations ``patch, sample, 8, 8`` and ``patch, sample, 8``: sums over the usable lines."""
    count = usable.sum((1, 2))
    counted = (count * stand_for).clamp(max=independent_pixels) / count.clamp(min=1)
    weight = (usable * counted[:, None, None]).to(matrix)
    matrix = (torch.nan_to_num(matrix) * weight[..., None, None]).sum(1)
    return matrix, (torch.nan_to_num(side) * weight[..., None]).sum(1)


def _step(columns: tuple[Tensor, Tensor], atmosphere: Atmosphere, pixels: Pixels) -> SharedStep:
    """Towards the prior's atmosphere and the spectra; sensors are only damped."""
    matrix, side = columns
    deviation = pixels.prior.deviation(atmosphere).mean((1, 2)).to(matrix)
    pull, resistance = torch.zeros_like(side), torch.full_like(side, SENSOR_DAMPING)
    pull[..., AIR], resistance[..., AIR] = deviation[:, None], 1.0
    return solve_shared(matrix, side, pull, resistance)


def _carried(blocks: Blocks, solved: SharedStep, state: State, usable: Tensor) -> Tensor:
    """``SharedFit.carried``: the error of the atmosphere, with the sensor that answers to it.

    What fluorescence does against the atmosphere is a straight line over reflectance, because
    the error is a share of the light that the ground reflects, and one of path radiance.
    """
    to_sif = surface_gain(blocks)[..., SIF, :]
    answered = (to_sif[..., None, SENSOR] @ solved.follow[:, None])[..., 0, :]
    to_sif = torch.nan_to_num(to_sif[..., AIR] - answered)
    reflectance = state.surface.reflectance_760.expand(usable.shape).to(to_sif)
    line = torch.stack([torch.ones_like(reflectance), torch.nan_to_num(reflectance)], -1)
    line = (line * usable[..., None]).flatten(1, 2)
    normal = line.mT @ line + 1e-6 * torch.eye(2).to(line)
    coefficients = torch.linalg.solve(normal, line.mT @ to_sif.flatten(1, 2))
    return (coefficients @ _of_atmosphere(solved) @ coefficients.mT).float()


def _of_atmosphere(solved: SharedStep) -> Tensor:
    """``patch, 6, 6``: covariance, alike in all columns."""
    return solved.covariance[:, 0, AIR, AIR]


def blocks_of(pixels: Pixels, sigma: Tensor, state: State, simulator: Simulator) -> Blocks:
    """Normal equations of all pixels around a state."""
    return normal_blocks(
        pixels.radiance,
        sigma,
        state,
        pixels.geometry,
        shared_units(pixels),
        simulator,
        pixels.irradiance,
        pixels.shape_prior,
    )


def _bare_ground(blocks: Blocks, pixels: Pixels, state: State, bare_ndvi: float) -> Blocks:
    """Blocks with fluorescence of bare ground observed as 0 +- BARE_GROUND_SD."""
    bare = (torch.nan_to_num(pixels.ndvi, nan=1.0) <= bare_ndvi).to(blocks.a)
    weight = bare / BARE_GROUND_SD**2
    a, side = blocks.a.clone(), blocks.surface.clone()
    a[..., SIF, SIF] += weight
    side[..., SIF] -= weight * state.surface.sif_760
    return replace(blocks, a=a, surface=side)
