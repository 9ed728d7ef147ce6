"""What the photons tell: normal equations of the state, its posterior covariance, one exact step.

A pixel's misfit depends on its own surface and on what it shares with others, atmosphere and
sensor. With z the misfit in units of noise, S and X its derivatives to the two groups, the blocks
A = S'S, B = S'X, C = X'X, a = S'z, c = X'z are all that posterior covariance (Rodgers 2000,
eq. 4.5) and Gauss-Newton steps (eq. 5.9) need. They are eliminated from the inside out, by Schur
complements: the surface of every pixel, the sensor of every column, and what remains is a system
of the atmosphere's six parameters. No matrix grows with the patch.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from sifnet.physics.derivatives import SHARED, jacobians
from sifnet.physics.fields import TensorFields
from sifnet.physics.forward import Simulator
from sifnet.physics.state import Atmosphere, Geometry, State
from sifnet.physics.surface import SIF, ShapePrior

AIR = slice(0, len(Atmosphere.names()))
"""Where the atmosphere stands among SHARED."""
SENSOR = slice(AIR.stop, len(SHARED))
"""Where the sensor state stands among SHARED."""


@dataclass(frozen=True)
class Blocks(TensorFields):
    """Normal equations, batch ``...`` = pixels; surface 4, shared 8 = len(SHARED).

    The surface parameters are those of ``Surface``, in which the simulation is nearly linear.
    Shared parameters are in units of the size that they were asked in.
    """

    a: Tensor  # ..., 4, 4, with the precision of a shape prior
    b: Tensor  # ..., 4, 8
    c: Tensor  # ..., 8, 8
    surface: Tensor  # ..., 4: S'z
    shared: Tensor  # ..., 8: X'z
    misfit: Tensor  # ...: z'z


def surface_gain(blocks: Blocks) -> Float[Tensor, "*batch surface shared"]:
    """What a change of the shared parameters does to the surface, ``..., 4, 8``: A^-1 B."""
    return torch.linalg.solve(regular(blocks.a.double()), blocks.b.double())


def surface_covariance(
    blocks: Blocks, covariance: Float[Tensor, "*#batch shared shared"]
) -> Float[Tensor, "*batch surface surface"]:
    """Posterior covariance of the surface, ``..., 4, 4``: A^-1 + A^-1 B C B' A^-1.

    Args:
        covariance: C, of what is shared, ``..., 8, 8``.
    """
    gain = surface_gain(blocks)
    return torch.linalg.inv(regular(blocks.a.double())) + gain @ covariance @ gain.mT


def sif_sd(
    blocks: Blocks, covariance: Float[Tensor, "*#batch shared shared"]
) -> Float[Tensor, "*batch"]:
    """Posterior standard deviation of sif_760, ``...``, mW m-2 nm-1 sr-1."""
    variance = surface_covariance(blocks, covariance)[..., SIF, SIF]
    return torch.sqrt(variance.clamp(min=0)).to(blocks.a.dtype)


def posterior_sd(
    blocks: Blocks, prior_precision: Float[Tensor, "*#batch shared"], shared_pixels: float = 1.0
) -> Float[Tensor, "*batch"]:
    """``sif_sd`` of pixels ``...`` whose shared parameters are found from pixels like themselves.

    Args:
        prior_precision: ``..., 8`` of the shared parameters in the blocks' units: 1 where the
            unit is the prior's sd, 0 where there is no prior.
        shared_pixels: n, how many pixels like this one determine what is shared: 1 for a pixel by
            itself, the independent pixels of a patch otherwise.
    """
    matrix, _ = shared_equations(blocks)
    q = torch.diag_embed(prior_precision.double().expand(matrix.shape[:-1]))
    return sif_sd(blocks, torch.linalg.inv(regular(q + shared_pixels * matrix)))


def shared_equations(
    blocks: Blocks,
) -> tuple[Float[Tensor, "*batch shared shared"], Float[Tensor, "*batch shared"]]:
    """(Schur complement ``..., 8, 8``, right side ``..., 8``) with the surface eliminated."""
    gain = surface_gain(blocks)
    matrix = blocks.c.double() - blocks.b.double().mT @ gain
    side = blocks.shared.double() - (gain.mT @ blocks.surface.double()[..., None])[..., 0]
    return (matrix + matrix.mT) / 2, side


@dataclass(frozen=True)
class SharedStep:
    """What pixels of a patch say together of its atmosphere and of its columns' sensors.

    Attributes:
        step: ``..., sample, 8``; the atmosphere's part is the same in all columns.
        covariance: ``..., sample, 8, 8``, of the atmosphere and the column's own sensor.
        follow: ``..., sample, 2, 6``, how far a sensor moves against the atmosphere.
    """

    step: Tensor
    covariance: Tensor
    follow: Tensor


def solve_shared(
    matrix: Float[Tensor, "*batch sample shared shared"],
    side: Float[Tensor, "*batch sample shared"],
    pull: Float[Tensor, "*batch sample shared"],
    resistance: Float[Tensor, "*batch sample shared"],
) -> SharedStep:
    """Gauss-Newton step of atmosphere and sensors, the sensors eliminated column by column.

    With K the sum of the ``shared_equations`` over the pixels of a column, its parts K_aa, K_as,
    K_ss of atmosphere and sensor, and R the resistance:

    Q = R_a + sum over columns of (K_aa - K_as (K_ss + R_s)^-1 K_sa)

    Args:
        matrix: ``..., sample, 8, 8``, K of every column.
        side: ``..., sample, 8``, the right side that belongs to it.
        pull: ``..., sample, 8``, prior precision times deviation from the prior; the
            atmosphere's part is the same in all columns.
        resistance: ``..., sample, 8``, of the same kind: prior precision, and for a step the
            damping of Levenberg and Marquardt, large where a parameter is to stay.
    """
    resist = torch.diag_embed(resistance)
    inverse = torch.linalg.inv((matrix + resist)[..., SENSOR, SENSOR])
    follow = inverse @ matrix[..., SENSOR, AIR]
    q = (matrix[..., AIR, AIR] - matrix[..., AIR, SENSOR] @ follow).sum(-3)
    q = q + resist[..., 0, AIR, AIR]
    side_s = (side - pull)[..., SENSOR, None]
    side_a = (side[..., AIR] - (follow.mT @ side_s)[..., 0]).sum(-2) - pull[..., 0, AIR]
    covariance_a = torch.linalg.inv(q)[..., None, :, :].expand(*side.shape[:-1], *q.shape[-2:])
    air = covariance_a @ side_a[..., None, :, None]
    step = torch.cat([air, inverse @ side_s - follow @ air], dim=-2)[..., 0]
    cross = -follow @ covariance_a
    top = torch.cat([covariance_a, cross.mT], dim=-1)
    bottom = torch.cat([cross, inverse - cross @ follow.mT], dim=-1)
    return SharedStep(step, torch.cat([top, bottom], dim=-2), follow)


def normal_blocks(
    radiance: Float[Tensor, "*batch band"],
    sigma: Float[Tensor, "*batch band"],
    state: State,
    geometry: Geometry,
    units: Float[Tensor, "*#batch shared"],
    simulator: Simulator,
    irradiance: Tensor | None = None,
    shape_prior: ShapePrior | None = None,
) -> Blocks:
    """Blocks of the pixels ``...`` around a state.

    Args:
        radiance, sigma: ``..., band``.
        state: its parts are broadcastable to ``...``.
        units: ``..., 8``, size of a step of 1 in every shared parameter.
        shape_prior: enters the equations of the surface.
    """
    simulated, s, x = jacobians(simulator, state, geometry, irradiance, shape_prior)
    z = (radiance - simulated) / sigma
    s = s / sigma[..., None]
    x = x * units[..., None, :] / sigma[..., None]
    a, side = s.mT @ s, (s.mT @ z[..., None])[..., 0]
    if shape_prior is not None:
        prior, pull = shape_prior.equations(state.surface.stack())
        a, side = a + prior, side + pull
    return Blocks(a, s.mT @ x, x.mT @ x, side, (x.mT @ z[..., None])[..., 0], (z**2).sum(-1))


def regular(matrix: Tensor) -> Tensor:
    """A trace added to the diagonal, so that an empty pixel does not stop a batch."""
    diagonal = torch.diagonal(matrix, dim1=-2, dim2=-1)
    return matrix + torch.diag_embed(1e-10 * diagonal + 1e-12)
