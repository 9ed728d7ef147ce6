"""Derivatives of radiance to the state: closed form for the surface, autodiff for what is shared.

The surface enters as a parabola of reflectance around 760 nm and the fluorescence at 760 nm, in
which radiance is nearly linear.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.autograd import forward_ad

from sifnet.physics.emulator import Emulator
from sifnet.physics.forward import transfer_on_bands
from sifnet.physics.instrument import Instrument
from sifnet.physics.state import Atmosphere, Geometry, SensorState, State
from sifnet.physics.surface import CENTRE, SCALE, KnownShape, Surface, sif_shape
from sifnet.physics.transfer import PRODUCTS, TransferFunctions

SHARED = (*Atmosphere.__dataclass_fields__, *SensorState.__dataclass_fields__)
SIF = 3  # index of fluorescence among the surface parameters


def jacobians(
    surface: Tensor,
    state: State,
    geometry: Geometry,
    emulator: Emulator,
    instrument: Instrument,
    irradiance: Tensor | None = None,
    known: KnownShape | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Radiance ``..., band``, its derivatives to the surface ``..., band, 4`` and to SHARED.

    See ``normal_blocks`` for the arguments.
    """
    transfer, changes = transfer_derivatives(state, geometry, emulator, instrument, irradiance)
    wavelength = instrument.wavelength + state.sensor.wavelength_shift[..., None]
    radiance, to_surface = linearise(surface, wavelength, transfer, known)
    weights = transfer_weights(surface, wavelength, transfer, known)
    x = torch.as_tensor(sum(weights[name][..., None] * changes[name] for name in PRODUCTS))
    return radiance, to_surface, x + _shift_of_surface(surface, wavelength, to_surface, x)


def linearise(
    surface: Tensor, wavelength: Tensor, t: TransferFunctions, known: KnownShape | None = None
) -> tuple[Tensor, Tensor]:
    """Radiance ``..., band`` and its derivatives to the surface ``..., band, 4``, closed form."""
    basis = _basis(wavelength, known)
    r = (surface[..., None, :3] * basis).sum(-1)
    radiance, to_r, to_f = sensitivities(r, surface[..., 3:4], sif_shape(wavelength), t)
    return radiance, torch.cat([to_r[..., None] * basis, to_f[..., None]], dim=-1)


def sensitivities(
    reflectance: Tensor, sif_760: Tensor, shape: Tensor, t: TransferFunctions
) -> tuple[Tensor, Tensor, Tensor]:
    """Radiance, its derivative to a band's reflectance and to sif_760, each ``..., band``.

    With m = 1 / (1 - r s): dL/dr = ground m^2 + f up_bounce m'^2, dL/df = up m'.
    """
    m = 1.0 / (1.0 - reflectance * (t.ground_bounce / t.ground))
    m_up = 1.0 / (1.0 - reflectance * (t.up_bounce / t.up))
    ground, to_f = t.ground * m, t.up * m_up * shape
    radiance = t.path + reflectance * ground + sif_760 * to_f
    to_r = ground * m + sif_760 * shape * t.up_bounce * m_up**2
    return radiance, to_r, to_f


def _basis(wavelength: Tensor, known: KnownShape | None) -> Tensor:
    """``..., band, 3``: what c0, c1 and c2 are multiplied by to give reflectance."""
    powers = powers_of(wavelength, 3)
    return powers if known is None else known.gain[..., None] * powers


def transfer_weights(
    surface: Tensor, wavelength: Tensor, t: TransferFunctions, known: KnownShape | None = None
) -> dict[str, Tensor]:
    """Derivatives of radiance to each transfer product, ``..., band`` by name.

    r G / (1 - r B / G) has the derivatives r m^2 (1 - 2 r s) to G and (r m)^2 to B.
    """
    r = (surface[..., None, :3] * _basis(wavelength, known)).sum(-1)
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

    Forward-mode derivatives, one for each parameter: rows of the batch do not mix. Without
    measured irradiance they go through the emulator alone, in its few components: the instrument
    is linear in these.
    """
    air = Atmosphere.__dataclass_fields__
    alike = torch.broadcast_tensors(
        *(value for _, value in (*state.atmosphere.items(), *state.sensor.items())),
        geometry.solar_zenith_angle,
    )
    values, sensor = alike[:-1], SensorState(*alike[len(air) : -1])
    if irradiance is not None:

        def spectra(*x: Tensor) -> tuple[Tensor, ...]:
            parts = Atmosphere(*x[: len(air)]), SensorState(*x[len(air) :])
            return _tensors(transfer_on_bands(*parts, geometry, emulator, instrument, irradiance))

        on_bands, changes = _forward_derivatives(spectra, values)
        return TransferFunctions(*on_bands), dict(zip(PRODUCTS, changes, strict=True))

    # Air and sight alone: where a patch has one of each, its columns need no more.
    alike = torch.broadcast_tensors(
        *(value for _, value in (*state.atmosphere.items(), *geometry.items()))
    )
    components, to_air = _forward_derivatives(
        lambda *x: _tensors(emulator(Atmosphere(*x), geometry)), alike[: len(air)]
    )
    transfer = TransferFunctions(*components)
    on_bands, to_sensor = _forward_derivatives(
        lambda *x: _tensors(instrument(transfer, SensorState(*x))), values[len(air) :]
    )
    apart = sensor.map(lambda x: x[..., None])  # one sensor for all six derivatives
    by_air = instrument(TransferFunctions(*(change.mT for change in to_air)), apart)
    both = zip(by_air.items(), to_sensor, strict=True)
    return TransferFunctions(*on_bands), {
        name: torch.cat([one, two.mT], dim=-2).mT for (name, one), two in both
    }


def _forward_derivatives(
    function: Callable[..., tuple[Tensor, ...]], values: Sequence[Tensor]
) -> tuple[tuple[Tensor, ...], list[Tensor]]:
    """Outputs ``..., n`` and their derivatives ``..., n, parameter`` to values, all ``...``.

    The directions are a leading axis of the batch, so that the instrument stays one product.
    """
    with forward_ad.dual_level():
        duals = []
        for i, value in enumerate(values):
            direction = torch.zeros(len(values), *value.shape).to(value)
            direction[i] = 1.0
            repeated = value.expand(direction.shape).contiguous()
            duals.append(forward_ad.make_dual(repeated, direction))
        pairs = [forward_ad.unpack_dual(output) for output in function(*duals)]
    changes = [torch.zeros_like(x) if change is None else change for x, change in pairs]
    return tuple(x[0] for x, _ in pairs), [change.movedim(0, -1) for change in changes]


def _tensors(t: TransferFunctions) -> tuple[Tensor, ...]:
    return tuple(value for _, value in t.items())


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


def powers_of(wavelength: Tensor, count: int) -> Tensor:
    """``..., band, count``: 1, x, x^2 ... of x = (wavelength - CENTRE) / SCALE."""
    x = (wavelength - CENTRE) / SCALE
    return torch.stack([x**power for power in range(count)], dim=-1)


def _shift_of_surface(
    surface: Tensor, wavelength: Tensor, to_surface: Tensor, like: Tensor
) -> Tensor:
    """Derivative to the shift through reflectance and emission sampled at shifted bands."""
    slope = (surface[..., 1:2] + 2 * surface[..., 2:3] * (wavelength - CENTRE) / SCALE) / SCALE
    shape_slope = sif_shape(wavelength + 0.5) - sif_shape(wavelength - 0.5)  # nm-1
    emission = surface[..., SIF : SIF + 1] * shape_slope / sif_shape(wavelength)
    change = torch.zeros_like(like)
    change[..., SHARED.index("wavelength_shift")] = (
        to_surface[..., 0] * slope + to_surface[..., SIF] * emission
    )
    return change
