"""What the photons tell: normal equations of the state, its posterior covariance, one exact step.

A pixel's misfit depends on its own surface and on what it shares with others, atmosphere and
sensor. With z the misfit in units of noise, S and X its derivatives to the two groups, the blocks
A = S'S, B = S'X, C = X'X, a = S'z, c = X'z are all that posterior covariance (Rodgers 2000,
eq. 4.5) and Gauss-Newton steps need; eliminating the surface (Schur complement) leaves a system of
the size of the shared parameters.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.func import jvp, vmap

from sifnet.physics.emulator import Emulator
from sifnet.physics.forward import simulate, transfer_on_bands
from sifnet.physics.instrument import Instrument
from sifnet.physics.state import Atmosphere, Geometry, SensorState, State
from sifnet.physics.surface import Surface, sif_shape
from sifnet.physics.transfer import PRODUCTS, TransferFunctions

SHARED = (*Atmosphere.__dataclass_fields__, *SensorState.__dataclass_fields__)
CENTRE, SCALE = 760.0, 10.0  # nm, where the quadratic of reflectance is expanded
SIF = 3  # index of fluorescence among the surface parameters of the blocks


@dataclass(frozen=True)
class Blocks:
    """Normal equations, batch ``...`` = pixels; surface 4, shared 8 = len(SHARED).

    The surface parameters are the reflectance polynomial's c0 + c1 x + c2 x^2 with
    x = (wavelength - CENTRE) / SCALE, in which the simulation is nearly linear, and sif_760.
    Shared parameters are in units of their prior standard deviation.
    """

    a: Tensor  # ..., 4, 4
    b: Tensor  # ..., 4, 8
    c: Tensor  # ..., 8, 8
    surface: Tensor  # ..., 4: S'z
    shared: Tensor  # ..., 8: X'z


def surface_gain(blocks: Blocks) -> Tensor:
    """What a change of the shared parameters does to the surface, ``..., 4, 8``: A^-1 B."""
    return torch.linalg.solve(_regular(blocks.a.double()), blocks.b.double())


def own_variance(a: Tensor) -> Tensor:
    """Variance of sif_760 at known atmosphere and sensor, ``...``: [A^-1]_FF."""
    return torch.linalg.inv(_regular(a.double()))[..., SIF, SIF]


def posterior_sd(blocks: Blocks, prior_precision: Tensor, shared_pixels: float = 1.0) -> Tensor:
    """Posterior standard deviation of sif_760, ``...``, mW m-2 nm-1 sr-1.

    var F = [A^-1]_FF + (A^-1 B Q^-1 B' A^-1)_FF,  Q = prior + n (C - B' A^-1 B)

    Args:
        prior_precision: ``..., 8`` of the shared parameters in the blocks' units: 1 where the
            unit is the prior's sd, 0 where there is no prior.
        shared_pixels: n, how many pixels like this one determine what is shared: 1 for a pixel by
            itself, the independent pixels of a patch otherwise.
    """
    matrix, _ = shared_equations(blocks)
    q = torch.diag_embed(prior_precision.double().expand(matrix.shape[:-1]))
    q = q + shared_pixels * matrix
    row = surface_gain(blocks)[..., SIF, :]
    carried = (row * torch.linalg.solve(_regular(q), row[..., None])[..., 0]).sum(-1)
    return torch.sqrt(own_variance(blocks.a) + carried.clamp(min=0)).to(blocks.a.dtype)


def shared_equations(blocks: Blocks) -> tuple[Tensor, Tensor]:
    """(Schur complement ``..., 8, 8``, right side ``..., 8``) with the surface eliminated."""
    gain = surface_gain(blocks)
    matrix = blocks.c.double() - blocks.b.double().mT @ gain
    side = blocks.shared.double() - (gain.mT @ blocks.surface.double()[..., None])[..., 0]
    return (matrix + matrix.mT) / 2, side


def normal_blocks(
    radiance: Tensor,
    sigma: Tensor,
    surface: Tensor,
    state: State,
    geometry: Geometry,
    units: Tensor,
    emulator: Emulator,
    instrument: Instrument,
    irradiance: Tensor | None = None,
) -> Blocks:
    """Blocks of the pixels ``...`` around a state.

    Args:
        radiance, sigma: ``..., band``.
        surface: ``..., 4``, polynomial and fluorescence (see ``to_polynomial``).
        state: its atmosphere and sensor, broadcastable to ``...``, are used.
        units: ``..., 8``, size of a step of 1 in every shared parameter.
    """
    transfer, changes = transfer_derivatives(state, geometry, emulator, instrument, irradiance)
    wavelength = instrument.wavelength + state.sensor.wavelength_shift[..., None]
    simulated, to_surface = linearise(surface, wavelength, transfer)
    to_transfer = transfer_weights(surface, wavelength, transfer)
    z = (radiance - simulated) / sigma
    s = to_surface / sigma[..., None]
    x = sum(to_transfer[name][..., None] * changes[name] for name in PRODUCTS)
    x = torch.as_tensor(x) + _shift_of_surface(surface, wavelength, to_surface, x)
    x = x * units[..., None, :] / sigma[..., None]
    return Blocks(
        s.mT @ s,
        s.mT @ x,
        x.mT @ x,
        (s.mT @ z[..., None])[..., 0],
        (x.mT @ z[..., None])[..., 0],
    )


def linearise(surface: Tensor, wavelength: Tensor, t: TransferFunctions) -> tuple[Tensor, Tensor]:
    """Radiance ``..., band`` and its derivatives to the surface ``..., band, 4``, closed form.

    With m = 1 / (1 - r s): dL/dr = ground m^2 + f up_bounce m'^2, dL/df = up m'.
    """
    basis, shape = _powers(wavelength), sif_shape(wavelength)
    r = (surface[..., None, :3] * basis).sum(-1)
    f = surface[..., 3:4] * shape
    m = 1.0 / (1.0 - r * (t.ground_bounce / t.ground))
    m_up = 1.0 / (1.0 - r * (t.up_bounce / t.up))
    ground, up = t.ground * m, t.up * m_up
    radiance = t.path + r * ground + f * up
    to_r = ground * m + f * t.up_bounce * m_up**2
    return radiance, torch.cat([to_r[..., None] * basis, (up * shape)[..., None]], dim=-1)


def transfer_weights(
    surface: Tensor, wavelength: Tensor, t: TransferFunctions
) -> dict[str, Tensor]:
    """Derivatives of radiance to each transfer product, ``..., band`` by name.

    r G / (1 - r B / G) has the derivatives r m^2 (1 - 2 r s) to G and (r m)^2 to B.
    """
    r = (surface[..., None, :3] * _powers(wavelength)).sum(-1)
    f = surface[..., 3:4] * sif_shape(wavelength)
    s, s_up = t.ground_bounce / t.ground, t.up_bounce / t.up
    m, m_up = 1.0 / (1.0 - r * s), 1.0 / (1.0 - r * s_up)
    return {
        "path": torch.ones_like(r),
        "ground": r * m**2 * (1.0 - 2.0 * r * s),
        "ground_bounce": (r * m) ** 2,
        "up": f * m_up**2 * (1.0 - 2.0 * r * s_up),
        "up_bounce": f * r * m_up**2,
    }


def transfer_derivatives(
    state: State,
    geometry: Geometry,
    emulator: Emulator,
    instrument: Instrument,
    irradiance: Tensor | None = None,
) -> tuple[TransferFunctions, dict[str, Tensor]]:
    """Transfer functions on bands and, by product, derivatives to SHARED ``..., band, 8``.

    Forward-mode derivatives, one for each parameter: rows of the batch do not mix.
    """
    names = [name for name, _ in (*state.atmosphere.items(), *state.sensor.items())]
    alike = torch.broadcast_tensors(
        *(value for _, value in (*state.atmosphere.items(), *state.sensor.items())),
        geometry.solar_zenith_angle,
    )
    values = tuple(value.contiguous() for value in alike[: len(names)])

    def spectra(*parameters: Tensor) -> tuple[Tensor, ...]:
        count = len(Atmosphere.__dataclass_fields__)
        t = transfer_on_bands(
            Atmosphere(*parameters[:count]),
            SensorState(*parameters[count:]),
            geometry,
            emulator,
            instrument,
            irradiance,
        )
        return tuple(value for _, value in t.items())

    def along(direction: Tensor) -> tuple[Tensor, ...]:
        tangents = tuple(direction[i] * torch.ones_like(v) for i, v in enumerate(values))
        return jvp(spectra, values, tangents)[1]

    directions = torch.eye(len(values), dtype=values[0].dtype, device=values[0].device)
    changes = vmap(along)(directions)
    derivative = {
        name: change.movedim(0, -1) for name, change in zip(PRODUCTS, changes, strict=True)
    }
    return TransferFunctions(*spectra(*values)), derivative


def to_polynomial(surface: Surface) -> Tensor:
    """``..., 4``: reflectance around CENTRE as c0 + c1 x + c2 x^2, and sif_760."""
    curvature = surface.reflectance_slope * (surface.reflectance_slope_ratio - 1.0) / 80.0
    away = CENTRE - 740.0
    c0 = surface.reflectance_740 + surface.reflectance_slope * away + curvature * away**2
    c1 = (surface.reflectance_slope + 2.0 * curvature * away) * SCALE
    return torch.stack([c0, c1, curvature * SCALE**2, surface.sif_760], dim=-1)


def from_polynomial(surface: Tensor) -> Surface:
    """The inverse of ``to_polynomial``; the slope ratio of level ground (slope 0) is set to 1."""
    c0, c1, c2, sif = surface.unbind(-1)
    curvature, away = c2 / SCALE**2, CENTRE - 740.0
    slope = c1 / SCALE - 2.0 * curvature * away
    level = slope.abs() < 1e-7
    ratio = 1.0 + 80.0 * curvature / torch.where(level, torch.ones_like(slope), slope)
    ratio = torch.where(level, torch.ones_like(ratio), ratio)
    return Surface(c0 - c1 / SCALE * away + curvature * away**2, slope, ratio, sif)


def single_pixel_sd(
    state: State,
    geometry: Geometry,
    shared_sd: Tensor,
    noise: Callable[[Tensor], Tensor],
    emulator: Emulator,
    instrument: Instrument,
) -> Tensor:
    """The information limit of a pixel by itself: posterior sd of sif_760, ``...``.

    Args:
        shared_sd: ``8``, prior standard deviations of SHARED; the surface has no prior.
        noise: from radiance to its standard deviation, both ``..., band``.
    """
    radiance = simulate(state, geometry, emulator, instrument)
    blocks = normal_blocks(
        radiance,
        noise(radiance),
        to_polynomial(state.surface),
        state,
        geometry,
        shared_sd,
        emulator,
        instrument,
    )
    return posterior_sd(blocks, torch.ones_like(shared_sd))


def _powers(wavelength: Tensor) -> Tensor:
    """``..., band, 3``: 1, x, x^2."""
    x = (wavelength - CENTRE) / SCALE
    return torch.stack([torch.ones_like(x), x, x**2], dim=-1)


def _shift_of_surface(
    surface: Tensor, wavelength: Tensor, to_surface: Tensor, like: Tensor | int
) -> Tensor:
    """Derivative to the shift through reflectance and emission sampled at shifted bands."""
    slope = (surface[..., 1:2] + 2 * surface[..., 2:3] * (wavelength - CENTRE) / SCALE) / SCALE
    shape_slope = sif_shape(wavelength + 0.5) - sif_shape(wavelength - 0.5)  # nm-1
    emission = surface[..., SIF : SIF + 1] * shape_slope / sif_shape(wavelength)
    change = torch.zeros_like(torch.as_tensor(like))
    change[..., SHARED.index("wavelength_shift")] = (
        to_surface[..., 0] * slope + to_surface[..., SIF] * emission
    )
    return change


def _regular(matrix: Tensor) -> Tensor:
    """A millionth of the diagonal added, so that an empty pixel does not stop a batch."""
    diagonal = torch.diagonal(matrix, dim1=-2, dim2=-1)
    return matrix + torch.diag_embed(1e-6 * diagonal + 1e-12)
