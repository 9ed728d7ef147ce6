"""The exact finish: a few batched Gauss-Newton steps from the encoder's state.

The encoder amortises the inversion and is close; the surface of a pixel, given atmosphere and
sensor, is then solved exactly, and the atmosphere of a patch from all of its pixels at once.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from sifnet.information import (
    Blocks,
    from_polynomial,
    linearise,
    normal_blocks,
    own_variance,
    shared_equations,
    to_polynomial,
)
from sifnet.physics.emulator import Emulator
from sifnet.physics.forward import transfer_on_bands
from sifnet.physics.instrument import Instrument
from sifnet.physics.state import Atmosphere, State
from sifnet.pixels import Pixels

SENSOR_UNITS = (0.01, 0.01)  # nm, steps of shift and width in the normal equations
BARE_GROUND_SD = 0.1  # mW m-2 nm-1 sr-1
LARGEST_STEP = 2.0  # of a shared parameter in one step, in units of its prior


def shared_units(pixels: Pixels) -> Tensor:
    """``patch, 1, 1, 8``: prior sd of the atmosphere, SENSOR_UNITS of the sensor."""
    sensor = torch.tensor(SENSOR_UNITS).to(pixels.radiance)
    atmosphere = torch.stack([sd for _, sd in pixels.prior.sd.items()], dim=-1)
    return torch.cat([atmosphere, sensor.expand(*atmosphere.shape[:-1], -1)], dim=-1)


@dataclass(frozen=True)
class SurfaceFit:
    """A state and how its surfaces fit, each ``patch, line, sample``.

    Attributes:
        state: with the surface that minimises the misfit, or as given after 0 steps.
        own_variance: of sif_760 at known atmosphere and sensor.
        chi2: sum of squared misfits in units of noise over bands less surface parameters.
        rms: root mean square misfit, mW m-2 nm-1 sr-1.
    """

    state: State
    own_variance: Tensor
    chi2: Tensor
    rms: Tensor


def refine_surface(
    pixels: Pixels,
    sigma: Tensor,
    state: State,
    emulator: Emulator,
    instrument: Instrument,
    *,
    steps: int = 2,
) -> SurfaceFit:
    """The surface that minimises the misfit of every pixel, at its atmosphere and sensor.

    Two steps suffice: radiance is linear in fluorescence and nearly so in reflectance.
    """
    transfer = transfer_on_bands(
        state.atmosphere, state.sensor, pixels.geometry, emulator, instrument, pixels.irradiance
    )
    wavelength = instrument.wavelength + state.sensor.wavelength_shift[..., None]
    surface = to_polynomial(state.surface)
    for step in range(steps + 1):
        simulated, jacobian = linearise(surface, wavelength, transfer)
        s = jacobian / sigma[..., None]
        misfit = pixels.radiance - simulated
        z = misfit / sigma
        a = s.mT @ s
        if step < steps:
            surface = surface + solve_small(a, (s.mT @ z[..., None])[..., 0])
    if steps:
        state = replace(state, surface=from_polynomial(surface))
    freedom = max(1, z.shape[-1] - surface.shape[-1])
    return SurfaceFit(
        state,
        own_variance(a).to(a),
        (z**2).sum(-1) / freedom,
        torch.sqrt((misfit**2).mean(-1)),
    )


def solve_small(matrix: Tensor, side: Tensor) -> Tensor:
    """Solution ``..., n`` of small positive systems, in double precision, safe where empty."""
    a = matrix.double()
    diagonal = torch.diagonal(a, dim1=-2, dim2=-1)
    a = a + torch.diag_embed(1e-8 * diagonal + 1e-12)
    return torch.linalg.solve(a, side.double()[..., None])[..., 0].to(side)


def refine_atmosphere(
    pixels: Pixels,
    sigma: Tensor,
    state: State,
    emulator: Emulator,
    instrument: Instrument,
    *,
    independent_pixels: float,
    bare_ndvi: float,
    steps: int = 2,
) -> tuple[State, Tensor]:
    """The patch's maximum a posteriori atmosphere, with its surfaces, and its covariance.

    The pixels' normal equations, with their surfaces eliminated, are averaged, counted
    ``independent_pixels`` times (see ``losses.LossWeights``) and added to the prior. Pixels of
    bare ground are held to have no fluorescence, here only: their own result stays free. The
    sensor state stays.

    Returns:
        State, and covariance ``patch, 6, 6`` in units of the prior's sd (before the last step).
    """
    count = len(Atmosphere.__dataclass_fields__)
    units = shared_units(pixels)
    for step in range(max(1, steps)):
        blocks = blocks_of(pixels, sigma, state, emulator, instrument)
        blocks = _bare_ground(blocks, pixels, state, bare_ndvi)
        matrix, side = (_patch_mean(x, pixels.usable) for x in shared_equations(blocks))
        n = pixels.usable.sum((1, 2)).clamp(max=independent_pixels).to(matrix)
        q = n[:, None, None] * matrix[:, :count, :count] + torch.eye(count).to(matrix)
        if step < steps:
            side = n[:, None] * side[:, :count] - _deviation(state.atmosphere, pixels)
            change = torch.linalg.solve(q, side[..., None])[..., 0]
            change = change.clamp(-LARGEST_STEP, LARGEST_STEP).to(units)
            change = change * units[:, 0, 0, :count]
            moved = _move(state.atmosphere, change, emulator.ranges)
            state = refine_surface(
                pixels, sigma, replace(state, atmosphere=moved), emulator, instrument, steps=1
            ).state
    return state, torch.linalg.inv(q).to(units)


def blocks_of(
    pixels: Pixels, sigma: Tensor, state: State, emulator: Emulator, instrument: Instrument
) -> Blocks:
    """Normal equations of all pixels around a state."""
    return normal_blocks(
        pixels.radiance,
        sigma,
        to_polynomial(state.surface),
        state,
        pixels.geometry,
        shared_units(pixels),
        emulator,
        instrument,
        pixels.irradiance,
    )


def _bare_ground(blocks: Blocks, pixels: Pixels, state: State, bare_ndvi: float) -> Blocks:
    """Blocks with fluorescence of bare ground observed as 0 +- BARE_GROUND_SD."""
    bare = (torch.nan_to_num(pixels.ndvi, nan=1.0) <= bare_ndvi).to(blocks.a)
    weight = bare / BARE_GROUND_SD**2
    a, side = blocks.a.clone(), blocks.surface.clone()
    a[..., 3, 3] += weight
    side[..., 3] -= weight * state.surface.sif_760
    return replace(blocks, a=a, surface=side)


def _deviation(atmosphere: Atmosphere, pixels: Pixels) -> Tensor:
    """``patch, 6``: from the prior's mean, in its sd."""
    rows = zip(atmosphere.items(), pixels.prior.mean.items(), pixels.prior.sd.items(), strict=True)
    return torch.stack([((x - m) / sd).flatten() for (_, x), (_, m), (_, sd) in rows], dim=-1)


def _move(
    atmosphere: Atmosphere, step: Tensor, ranges: dict[str, tuple[float, float]]
) -> Atmosphere:
    """The atmosphere ``patch, 1, 1`` after a step ``patch, 6``, kept within the ranges."""
    moved = {
        name: (value + step[:, i, None, None]).clamp(*ranges[name])
        for i, (name, value) in enumerate(atmosphere.items())
    }
    return Atmosphere(**moved)


def _patch_mean(value: Tensor, usable: Tensor) -> Tensor:
    """``patch, ...``: mean over usable pixels of ``patch, line, sample, ...``."""
    weight = usable.reshape(*usable.shape, *(1,) * (value.dim() - 3)).to(value)
    count = usable.sum((1, 2)).clamp(min=1).reshape(-1, *(1,) * (value.dim() - 3)).to(value)
    return (torch.nan_to_num(value) * weight).sum((1, 2)) / count
