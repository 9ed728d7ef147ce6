"""Optimal estimation: the most probable state given spectra and priors, by Gauss-Newton steps.

Rodgers (2000), ch. 5: what one would do with time to spare, a pixel at a time or, exactly, with
the atmosphere shared by a patch and the sensor by its columns. Many pixels or a whole patch at a
time; the joint system is solved block by block (``information.solve_shared``).

The noise is that of the sensor alone: 0.1 % of radiance added to it as an error of the simulation
changes the fluorescence of a simulated line by 0.001 mW m-2 nm-1 sr-1. What the simulation gets
wrong is no noise but common to a patch, whose thousand pixels bend the atmosphere to it: on
simulated lines that leaves a bias of up to 0.1 beyond what the posterior knows of. That bare ground
does not glow is not used.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TypeVar

import torch
import xarray as xr
from torch import Tensor

from sifnet.evaluation.limits import Maps, Point, Problem, over_patches
from sifnet.physics.derivatives import SHARED
from sifnet.physics.emulator import Emulator
from sifnet.physics.fields import TensorFields
from sifnet.physics.surface import SIF, Surface
from sifnet.retrieval.information import AIR, SENSOR, solve_shared, surface_gain
from sifnet.retrieval.pixels import Pixels
from sifnet.scenes.scene import Scene

ITERATIONS = 10
CONVERGED = 0.25  # squared length of a step in units of the posterior covariance
HELD = 1e12  # resistance of a parameter at its bound
Part = TypeVar("Part", bound=TensorFields)


def optimal_estimation_scene(
    scene: Scene,
    *,
    shared: bool,
    emulator: Emulator | None = None,
    atmosphere: xr.Dataset | None = None,
    patch: tuple[int, int] = (32, 32),
) -> xr.Dataset:
    """``sif_760`` and ``sif_760_uncertainty``, mW m-2 nm-1 sr-1, (line, sample).

    Four surface parameters without prior, six of the atmosphere and two of the sensor with the
    priors of ``limits``. The uncertainty is the posterior's. NaN where a pixel is not usable.

    Args:
        shared: atmosphere and sensor are those of a patch and its columns, not of every pixel.
        emulator: the shipped one by default.
        atmosphere: outside knowledge of the atmosphere (see ``pixels.read``).
        patch: lines and samples.

    Raises:
        SifnetError: fewer than 5 bands in the fit window.
    """
    return over_patches(
        scene, most_probable if shared else _one_by_one, ("sif_760", "sif_760_uncertainty"),
        emulator=emulator, atmosphere=atmosphere, patch=patch,
    )  # fmt: skip


def _one_by_one(problem: Problem) -> Maps:
    """Every usable pixel as a patch of its own; the prior is linearised once a column."""
    pixels, usable = problem.pixels, problem.pixels.usable
    point = problem.prior()
    alone = Point(
        _alone(point.deviation[:, None], usable)[:, 0],
        point.surface.map(lambda x: _alone(x, usable)),
        point.blocks.map(lambda x: _alone(x, usable)),
    )
    return tuple(
        torch.full_like(pixels.ndvi, torch.nan).masked_scatter(usable, values)
        for values in most_probable(replace(problem, pixels=_apart(pixels)), alone)
    )


def most_probable(problem: Problem, start: Point | None = None) -> Maps:
    """sif_760 and its posterior sd ``patch, line, sample``, from a point, by default the prior.

    Damped as in Rodgers (2000), eq. 5.36: steps that do not lower the cost are taken back and
    tried again with the prior strengthened. Done when a step is short against the posterior
    covariance (his eq. 5.29); what is left is then second order in it.
    """
    point = start or problem.prior()
    sif = torch.full_like(problem.pixels.ndvi, torch.nan)
    sd = sif.clone()
    active = torch.arange(len(sif))
    cost = _cost(problem, point)
    damping = torch.zeros_like(cost)
    for iteration in range(1, ITERATIONS + 1):
        step = Step.gauss_newton(problem, point, damping)
        converged = (step.length2 < CONVERGED) & (damping < 1)
        done = converged | (iteration == ITERATIONS)
        if done.any():
            last = torch.where(converged[:, None, None], step.surface[..., SIF], 0.0).to(sif)
            sif[active[done]] = (point.surface.sif_760 + last)[done]
            sd[active[done]] = replace(problem, pixels=_some(problem.pixels, done)).uncertainty(
                _some(point, done)
            )
        going = ~done
        if not going.any():
            break
        problem = replace(problem, pixels=_some(problem.pixels, going))
        point, step = _some(point, going), _some(step, going)
        active, cost, damping = active[going], cost[going], damping[going]
        surface = point.surface.stack()
        moved = Surface.unstack(surface + step.surface.to(surface))
        trial = problem.around(point.deviation + step.shared, moved)
        new = _cost(problem, trial)
        better = new <= cost
        point, cost = _where(better, trial, point), torch.where(better, new, cost)
        damping = torch.where(better, damping / 4, 4 * damping.clamp(min=1))
    return sif, sd


@dataclass(frozen=True)
class Step(TensorFields):
    """A damped Gauss-Newton step of patches.

    Attributes:
        shared: ``patch, sample, 8``, of what is shared, in prior sd, within the bounds.
        surface: ``patch, line, sample, 4``.
        length2: ``patch``, squared length of the shared step in the posterior covariance.
    """

    shared: Tensor
    surface: Tensor
    length2: Tensor

    @classmethod
    def gauss_newton(cls, problem: Problem, point: Point, damping: Tensor) -> Step:
        matrix, side = problem.columns(point)
        low, high = _bounds(problem)
        x = point.deviation
        resistance = 1.0 + damping[:, None, None].expand_as(side)
        shared = solve_shared(matrix, side, x, resistance).step
        stuck = ((x <= low) & (shared < 0)) | ((x >= high) & (shared > 0))
        if stuck.any():
            shared = solve_shared(matrix, side, x, resistance + HELD * stuck).step
        shared = (x + shared).clamp(low, high) - x
        blocks = point.blocks
        follow = (surface_gain(blocks) @ shared[:, None, :, :, None])[..., 0]
        surface = solve_small(blocks.a, blocks.surface.double()) - follow
        bent = (shared[..., None, :] @ matrix @ shared[..., None])[..., 0, 0].sum(1)
        return cls(shared, surface, bent + _prior_cost(shared))


def _bounds(problem: Problem) -> tuple[Tensor, Tensor]:
    """Lowest and highest deviation ``patch, 1, 8``: ranges of emulator and instrument."""
    ranges = {**problem.simulator.emulator.ranges, **problem.simulator.instrument.ranges}
    nominal = problem.state(torch.zeros_like(problem.units[:, 0]))
    air = nominal.atmosphere.stack().mean((1, 2), keepdim=True)  # over terrain a pressure a pixel
    centre = torch.cat([air, nominal.sensor.stack()], dim=-1)[:, 0]
    limits = centre.new_tensor([ranges[name] for name in SHARED])
    low, high = ((edge - centre).double() / problem.units[:, 0].double() for edge in limits.T)
    return low, high


def _cost(problem: Problem, point: Point) -> Tensor:
    """-2 ln of the posterior probability, ``patch``, but for a constant."""
    misfit = torch.where(problem.pixels.usable, point.blocks.misfit.double(), 0.0)
    return misfit.sum((1, 2)) + _prior_cost(point.deviation)


def _prior_cost(deviation: Tensor) -> Tensor:
    """``patch``: one atmosphere, and the sensor of every column."""
    squares = deviation**2
    return squares[:, 0, AIR].sum(-1) + squares[..., SENSOR].sum((1, 2))


def _some(part: Part, chosen: Tensor) -> Part:
    return part.map(lambda x: x[chosen])


def _where(condition: Tensor, point: Point, otherwise: Point) -> Point:
    """Patch by patch."""

    def chosen(pair: list[Tensor]) -> Tensor:
        where = condition.reshape(-1, *(1,) * (pair[0].dim() - 1))
        return torch.where(where, pair[0], pair[1])

    return Point.combine(chosen, [point, otherwise])


def _apart(pixels: Pixels) -> Pixels:
    """Patches of 1 x 1 from the usable pixels of patches."""
    full = replace(
        pixels, column=pixels.column[:, None], line_id=pixels.line_id[:, None, None]
    ).map(lambda x: _alone(x, pixels.usable))
    return replace(full, column=full.column[:, 0], line_id=full.line_id[:, 0, 0])


def _alone(values: Tensor, usable: Tensor) -> Tensor:
    """``pixel, 1, 1, ...`` of ``patch, line, sample, ...``."""
    return values.expand(*usable.shape, *values.shape[3:])[usable][:, None, None]


def solve_small(matrix: Tensor, side: Tensor) -> Tensor:
    """Solution ``..., n`` of small positive systems ``..., n, n`` and ``..., n``, in double
    precision, safe where empty."""
    a = matrix.double()
    diagonal = torch.diagonal(a, dim1=-2, dim2=-1)
    a = a + torch.diag_embed(1e-8 * diagonal + 1e-12)
    return torch.linalg.solve(a, side.double()[..., None])[..., 0].to(side)
