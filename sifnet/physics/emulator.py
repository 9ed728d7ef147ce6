"""From atmosphere and geometry to the five transfer functions, fast and differentiable.

The products of full radiative transfer on a fine wavelength grid are compressed linearly, each by
its own mean and principal components, and a small network predicts the coefficients. Because all
stays linear in the coefficients, a sensor is a matrix applied to the components once: one emulator
serves every sensor.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from sifnet.errors import SifnetError
from sifnet.files import arrays, data_file
from sifnet.physics.state import Atmosphere, Geometry, check_ranges
from sifnet.physics.transfer import PRODUCTS, TransferFunctions

SHIPPED = {False: "emulator_airborne.npz", True: "emulator_space.npz"}


class CoefficientNetwork(nn.Module):
    """Features of the state to the coefficients of every product.

    A linear map plus residual blocks of width ``width`` gives latents, which are principal
    components of the logarithm of a product at ``points`` wavelengths. Their exponential is a
    transmittance there, and the coefficients follow from these linearly: the network only has to
    learn optical depths, which depend on the state far more simply than transmittances do.
    Constants are set by ``emulator_fit``.
    """

    feature_mean: Tensor
    feature_sd: Tensor
    latent_mean: Tensor
    latent_sd: Tensor
    to_points: Tensor
    from_points: Tensor

    def __init__(
        self, features: int, latents: int, points: int, coefficients: int, width: int, blocks: int
    ) -> None:
        super().__init__()
        products = len(PRODUCTS)
        self.enter = nn.Linear(features, width)
        self.blocks = nn.ModuleList(nn.Linear(width, width) for _ in range(blocks))
        self.leave = nn.Linear(width, products * latents)
        self.linear = nn.Linear(features, products * latents, bias=False)
        self.register_buffer("feature_mean", torch.zeros(features))
        self.register_buffer("feature_sd", torch.ones(features))
        self.register_buffer("latent_mean", torch.zeros(products, 1, latents))
        self.register_buffer("latent_sd", torch.ones(products, 1, latents))
        self.register_buffer("to_points", torch.zeros(products, latents, points))
        self.register_buffer("from_points", torch.zeros(products, points + 1, coefficients))

    def latents(self, features: Tensor) -> Tensor:
        """Latents ``product, sample, latent`` of features ``sample, feature``."""
        x = (features - self.feature_mean) / self.feature_sd
        hidden = nn.functional.silu(self.enter(x))
        for block in self.blocks:
            hidden = hidden + nn.functional.silu(block(hidden))
        return self._leave(x, hidden)

    def _leave(self, x: Tensor, hidden: Tensor) -> Tensor:
        standard = (self.linear(x) + self.leave(hidden)).unflatten(-1, (len(PRODUCTS), -1))
        return self.latent_mean + self.latent_sd * standard.movedim(-2, 0)

    def forward(self, features: Tensor) -> Tensor:
        """Coefficients ``..., product, coefficient`` of features ``..., feature``."""
        latents = self.latents(features.reshape(-1, features.shape[-1]))
        at_points = torch.exp(latents @ self.to_points)
        coefficients = at_points @ self.from_points[:, 1:] + self.from_points[:, :1]
        return coefficients.movedim(0, -2).reshape(*features.shape[:-1], *coefficients.shape[::2])

    def slopes(self, features: Tensor, changes: Tensor) -> Tensor:
        """Changes ``direction, ..., product, coefficient`` that changes of features make, each
        ``direction, ..., feature``: the chain rule through ``forward``.
        """
        flat = features.reshape(-1, features.shape[-1])
        x = (flat - self.feature_mean) / self.feature_sd
        change = changes.reshape(len(changes), *x.shape) / self.feature_sd
        entered = self.enter(x)
        hidden = nn.functional.silu(entered)
        moved = _silu_slope(entered) * (change @ self.enter.weight.T)
        for block in self.blocks:
            inner = block(hidden)
            moved = moved + _silu_slope(inner) * (moved @ block.get_parameter("weight").T)
            hidden = hidden + nn.functional.silu(inner)
        standard = self.linear(change) + moved @ self.leave.weight.T
        latents = standard.unflatten(-1, (len(PRODUCTS), -1)).movedim(-2, 0)
        at_points = torch.exp(self._leave(x, hidden) @ self.to_points)[:, None]
        at_points = at_points * ((latents * self.latent_sd[:, None]) @ self.to_points[:, None])
        coefficients = (at_points @ self.from_points[:, None, 1:]).movedim(0, -2)
        return coefficients.reshape(*changes.shape[:-1], *coefficients.shape[-2:])


def _silu_slope(x: Tensor) -> Tensor:
    share = torch.sigmoid(x)
    return share * (1.0 + x * (1.0 - share))


class Emulator(nn.Module):
    """(Atmosphere, Geometry) to TransferFunctions in components of a linear basis.

    Attributes:
        grid: nm in vacuum, ``wavelength``.
        basis: ``product, component, wavelength``; component 0 is the mean spectrum.
        metadata: ranges, sample counts, measured error, versions, seed; plain JSON values.
    """

    grid: Tensor
    basis: Tensor

    def __init__(
        self, grid: Tensor, basis: Tensor, network: CoefficientNetwork, metadata: dict[str, Any]
    ) -> None:
        super().__init__()
        self.register_buffer("grid", grid)
        self.register_buffer("basis", basis)
        self.network = network
        self.metadata = metadata

    @property
    def presmoothing_fwhm(self) -> float:
        """nm, width of the Gaussian with which the basis was smoothed."""
        return float(self.metadata["presmoothing_fwhm"])

    @property
    def space(self) -> bool:
        """Whether it is made for sensors in space, else for 2 m to 3 km above the ground."""
        return bool(self.metadata["space"])

    @property
    def ranges(self) -> dict[str, tuple[float, float]]:
        """Lowest and highest value of each parameter in the database it was fitted on."""
        return {name: (low, high) for name, (low, high) in self.metadata["ranges"].items()}

    def forward(self, atmosphere: Atmosphere, geometry: Geometry) -> TransferFunctions:
        """Transfer functions whose last axis is component; batch shapes broadcast.

        Values outside ``ranges`` are not looked for here, in the gradient's path: see ``check``.
        """
        coefficients = self.network(state_features(atmosphere, geometry, space=self.space))
        return self._products(coefficients, 1.0, geometry)

    def slopes(self, atmosphere: Atmosphere, geometry: Geometry) -> TransferFunctions:
        """Derivatives ``parameter, ..., component`` of ``forward`` to the atmosphere.

        Those of the features are differences over a millionth, in double precision: exact to
        1e-9, where torch would load its compiler for two seconds to derive a quotient.
        """
        sight = geometry.map(torch.Tensor.double)
        like = torch.broadcast_tensors(*(x for _, x in (*atmosphere.items(), *sight.items())))
        air = torch.stack(like[: len(Atmosphere.names())], -1).double()
        steps = 1e-6 * torch.eye(air.shape[-1]).to(air).reshape(
            -1, *(1,) * (air.dim() - 1), air.shape[-1]
        )
        ahead, behind = (
            state_features(Atmosphere.unstack(air + step), sight, space=self.space)
            for step in (steps, -steps)
        )
        features = state_features(atmosphere, geometry, space=self.space)
        changes = ((ahead - behind) / 2e-6).to(features)
        return self._products(self.network.slopes(features, changes), 0.0, geometry)

    def _products(self, coefficients: Tensor, mean: float, geometry: Geometry) -> TransferFunctions:
        """From coefficients of all components but the first, the mean spectrum."""
        first = torch.full_like(coefficients[..., :1], mean)
        coefficients = torch.cat([first, coefficients], dim=-1)
        sun = torch.cos(torch.deg2rad(geometry.solar_zenith_angle))
        sun = (sun / geometry.sun_earth_distance**2)[..., None]
        path, ground, ground_bounce, up, up_bounce = coefficients.unbind(-2)
        return TransferFunctions(path * sun, ground * sun, ground_bounce * sun, up, up_bounce)

    def check(self, atmosphere: Atmosphere, geometry: Geometry) -> None:
        """Refuse states outside the database it was fitted on.

        Raises:
            SifnetError: a parameter is out of range, or the sensor is in space and the emulator
                airborne, or the other way round.
        """
        in_space = torch.isposinf(geometry.sensor_height)
        if bool((in_space != self.space).any()):
            raise SifnetError(
                "sensor_height does not fit the emulator",
                found="a sensor " + ("below space" if self.space else "in space (inf)"),
                expected="inf" if self.space else "0.002 to 3 km above the ground",
                remedy=f"Use Emulator.load(space={not self.space}).",
            )
        check_ranges(atmosphere, self.ranges)
        check_ranges(geometry, self.ranges)

    def save(self, path: Path) -> None:
        """Write arrays and metadata to an ``npz`` file, without pickle."""
        arrays = {f"network.{k}": v.numpy() for k, v in self.network.state_dict().items()}
        np.savez_compressed(
            path,
            grid=self.grid.numpy(),
            basis=self.basis.numpy().astype(np.float32),
            metadata=np.array(json.dumps(self.metadata)),
            **arrays,
        )

    @classmethod
    def load(cls, path: str | Path | None = None, *, space: bool = False) -> Self:
        """Read an emulator; without a path the shipped one, airborne or for space.

        Raises:
            SifnetError: the file is missing or is not an emulator.
        """
        path = Path(path) if path is not None else data_file(SHIPPED[space])
        with arrays(
            path,
            "this is not a readable emulator",
            expected="a file written by Emulator.save",
            remedy="Make one with `sifnet build-emulator`, or reinstall sifnet.",
        ) as stored:
            tensors = {k: torch.as_tensor(stored[k]) for k in stored if k != "metadata"}
            metadata = json.loads(str(stored["metadata"]))
            network = CoefficientNetwork(**metadata["network"])
            weights = {k[8:]: v for k, v in tensors.items() if k.startswith("network.")}
            network.load_state_dict(weights)
            return cls(tensors["grid"], tensors["basis"], network, metadata)


def state_features(
    atmosphere: Atmosphere, geometry: Geometry, *, space: bool
) -> Float[Tensor, "*batch feature"]:
    """What the logarithms of the products depend on nearly linearly, ``..., feature``.

    Air masses 1/mu0 and 1/mu; the air and the aerosol between ground and sensor; p sqrt(air mass),
    with which pressure-broadened strong lines grow; aerosol optical depth along the sun's path;
    the scattering angle, of cosine -(mu mu0 + sqrt(1 - mu^2) sqrt(1 - mu0^2) cos(raa)), -1 for
    backscatter; and the logarithm of path radiance in the single-scattering approximation.
    """
    a, g = atmosphere, geometry
    sza, vza = torch.deg2rad(g.solar_zenith_angle), torch.deg2rad(g.view_zenith_angle)
    azimuth = torch.sin(sza) * torch.sin(vza) * torch.cos(torch.deg2rad(g.relative_azimuth_angle))
    sun, view = 1.0 / torch.cos(sza), 1.0 / torch.cos(vza)
    scatter = -(torch.cos(sza) * torch.cos(vza) + azimuth)
    pressure, strength = a.surface_pressure / 1013.25, torch.sqrt(a.o2_scale)
    if space:
        air_below = aerosol_below = torch.ones_like(a.aot_550)
    else:
        air_below = 1.0 - torch.exp(-g.sensor_height / 8.0)
        aerosol_below = 1.0 - torch.exp(-g.sensor_height / a.aerosol_height)
    both = sun + air_below * view
    haze = a.aot_550 * sun
    features = [pressure, a.temperature_offset, a.o2_scale, a.aot_550, a.aerosol_height]
    features += [a.aerosol_type, sun, 1.0 / sun, view, azimuth, scatter, scatter**2, scatter**3]
    features += [torch.log(sun), torch.log(pressure), haze, torch.exp(-haze), torch.exp(-3 * haze)]
    features += [1.0 / a.aerosol_height, a.aot_550 / a.aerosol_height, haze * a.aerosol_type]
    for mass in (sun, both):
        features += [pressure * mass, pressure * torch.sqrt(mass) * strength]
    scattered = _single_scattering(a, sun, view, scatter, air_below, aerosol_below)
    features += [scattered, torch.exp(scattered)]
    if not space:
        features += [air_below, torch.log(g.sensor_height), torch.log(g.sensor_height + 0.1)]
        features += [pressure * torch.sqrt(air_below * view) * strength]
        features += [aerosol_below, a.aot_550 * aerosol_below]
    return torch.stack(torch.broadcast_tensors(*features), dim=-1)


def _single_scattering(
    a: Atmosphere,
    sun: Tensor,
    view: Tensor,
    scatter: Tensor,
    air_below: Tensor,
    aerosol_below: Tensor,
) -> Tensor:
    """Logarithm of path radiance / (mu0 E0) scattered once in the continuum, to some 10 %.

    Rayleigh optical depth at 760 nm 0.026; aerosol of Angstrom exponent about 1.2 and
    Henyey-Greenstein phase function, asymmetry 0.65 to 0.7.
    """
    rayleigh = 0.026 * a.surface_pressure / 1013.25 * air_below
    aerosol = 0.68 * a.aot_550
    asymmetry = 0.65 + 0.05 * a.aerosol_type
    forward = 1.0 + asymmetry**2 - 2.0 * asymmetry * scatter
    phase = (1.0 - asymmetry**2) / (forward * torch.sqrt(forward))
    amount = 0.75 * (1.0 + scatter**2) * rayleigh + phase * aerosol * aerosol_below
    slant = (sun + view) * (rayleigh + aerosol * aerosol_below)
    escape = -torch.expm1(-slant) / slant
    return torch.log(amount * escape * sun * view) - 0.5 * aerosol * (1 - aerosol_below) * sun
