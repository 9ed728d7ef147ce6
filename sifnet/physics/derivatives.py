"""Derivatives of radiance to the state: closed form for the surface, autodiff for the rest."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd import forward_ad

from sifnet.physics.forward import Simulator
from sifnet.physics.state import Atmosphere, Geometry, SensorState, State
from sifnet.physics.surface import ShapePrior, Surface, powers_of, sif_shape
from sifnet.physics.transfer import TransferFunctions, linearised, to_transfer

SHARED = (*Atmosphere.names(), *SensorState.names())
"""What the pixels of a patch or column share, in the order of derivatives to it."""


def jacobians(
    simulator: Simulator,
    state: State,
    geometry: Geometry,
    irradiance: Float[Tensor, "*#batch band"] | None = None,
    shape_prior: ShapePrior | None = None,
) -> tuple[
    Float[Tensor, "*batch band"],
    Float[Tensor, "*batch band surface"],
    Float[Tensor, "*batch band shared"],
]:
    """Radiance ``..., band``, its derivatives to the surface ``..., band, 4`` and to SHARED.

    See ``Simulator.radiance`` for the arguments.
    """
    transfer, changes = transfer_derivatives(simulator, state, geometry, irradiance)
    wavelength = simulator.wavelength(state.sensor)
    radiance, surface, shared = chained(transfer, changes, state, wavelength, shape_prior)
    return radiance, surface.mT, shared.mT


def chained(
    transfer: TransferFunctions,
    changes: Sequence[Tensor],
    state: State,
    wavelength: Float[Tensor, "*#batch band"],
    shape_prior: ShapePrior | None = None,
    scale: Float[Tensor, "*#batch band"] | float = 1.0,
) -> tuple[
    Float[Tensor, "*batch band"],
    Float[Tensor, "*batch surface band"],
    Float[Tensor, "*batch shared band"],
]:
    """``jacobians`` from transfer functions and their derivatives (``transfer_derivatives``).

    Bands are beside each other, as a processor wants them: derivatives are ``..., 4, band``.

    Args:
        scale: of all derivatives, ``..., band``.
    """
    basis = powers_of(wavelength, len(Surface.names()) - 1).mT
    reflectance, sif = state.surface.spectra(wavelength)
    if shape_prior is not None:
        basis = basis * shape_prior.gain[..., None, :]
        reflectance = reflectance * shape_prior.gain
    radiance = linearised(reflectance, sif, transfer)
    lit = (radiance.to_reflectance * scale)[..., None, :]
    emitted = radiance.to_sif * scale
    to_surface = torch.cat([lit * basis, (emitted * sif_shape(wavelength))[..., None, :]], -2)
    to_shared = torch.zeros_like(lit)
    weights = to_transfer(reflectance, sif, transfer)
    for (_, weight), change in zip(weights.items(), changes, strict=True):
        to_shared = torch.addcmul(to_shared, (weight * scale)[..., None, :], change)
    # Reflectance and emission are sampled at shifted bands.
    shape_slope = sif_shape(wavelength + 0.5) - sif_shape(wavelength - 0.5)  # nm-1
    moved = to_surface[..., 0, :] * state.surface.slope(wavelength)
    moved = moved + emitted * state.surface.sif_760[..., None] * shape_slope
    to_shared[..., SHARED.index("wavelength_shift"), :] += moved
    return radiance.value, to_surface, to_shared


def transfer_derivatives(
    simulator: Simulator, state: State, geometry: Geometry, irradiance: Tensor | None = None
) -> tuple[TransferFunctions, list[Tensor]]:
    """Transfer functions on bands and, for each, derivatives to SHARED ``..., 8, band``.

    The emulator tells its slopes in its few components; the instrument is linear in these, and a
    polynomial in shift and width. Under measured irradiance they are derived in forward mode, one
    parameter at a time: rows of the batch do not mix.
    """
    if irradiance is not None:
        air, sensor = ([v for _, v in part.items()] for part in (state.atmosphere, state.sensor))

        def on_bands(*x: Tensor) -> TransferFunctions:
            parts = Atmosphere(*x[: len(air)]), SensorState(*x[len(air) :])
            return simulator.transfer(*parts, geometry, irradiance)

        alike = torch.broadcast_tensors(*air, *sensor, geometry.solar_zenith_angle)
        return _forward_derivatives(on_bands, alike[:-1])

    components, to_air = simulator.emulator.linearised(state.atmosphere, geometry)
    responses = simulator.responses or simulator.settled(state.sensor, slopes=True).responses
    assert responses is not None, "settled"
    first = components.map(lambda x: x[None])
    both = TransferFunctions.combine(torch.cat, [first, to_air]).map(lambda x: x.movedim(0, -2))
    rows, to_sensor = responses.of_rows(both), responses.by_sensor(components)
    transfer = rows.map(lambda x: x[..., 0, :])
    pairs = zip(rows.items(), to_sensor.items(), strict=True)
    changes = [torch.cat([row[..., 1:, :], own], dim=-2) for (_, row), (_, own) in pairs]
    return transfer, changes


def _forward_derivatives(
    function: Callable[..., TransferFunctions], values: Sequence[Tensor]
) -> tuple[TransferFunctions, list[Tensor]]:
    """Outputs ``..., n`` and their derivatives ``..., parameter, n`` to values, all ``...``.

    The directions are a leading axis of the batch, so that the instrument stays one product.
    """
    with forward_ad.dual_level():
        duals = []
        for i, value in enumerate(values):
            direction = torch.zeros(len(values), *value.shape).to(value)
            direction[i] = 1.0
            repeated = value.expand(direction.shape).contiguous()
            duals.append(forward_ad.make_dual(repeated, direction))
        pairs = [forward_ad.unpack_dual(output) for _, output in function(*duals).items()]
    changes = [torch.zeros_like(x) if change is None else change for x, change in pairs]
    outputs = TransferFunctions(*(x[0] for x, _ in pairs))
    return outputs, [change.movedim(0, -2) for change in changes]
