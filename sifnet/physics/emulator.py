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
from sifnet.physics.features import slant_depth, state_features
from sifnet.physics.state import Atmosphere, Geometry, check_ranges
from sifnet.physics.transfer import PRODUCTS, TransferFunctions
from sifnet.physics.windows import FAR_RED, RED, Window, window_of

SHIPPED = {
    (FAR_RED, False): "emulator_airborne.npz",
    (FAR_RED, True): "emulator_space.npz",
    (RED, False): "emulator_airborne_red.npz",
    (RED, True): "emulator_space_red.npz",
}
"""Files by window, and whether the sensor is in space."""


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
        return self._coefficients(torch.exp(latents @ self.to_points), features.shape)

    def _coefficients(self, at_points: Tensor, features: torch.Size) -> Tensor:
        coefficients = at_points @ self.from_points[:, 1:] + self.from_points[:, :1]
        return coefficients.movedim(0, -2).reshape(*features[:-1], *coefficients.shape[::2])

    def slopes(self, features: Tensor, changes: Tensor) -> tuple[Tensor, Tensor]:
        """Coefficients, and their changes ``direction, ..., product, coefficient``.

        Args:
            features: ``..., feature``.
            changes: of them, ``direction, ..., feature``: the chain rule through ``forward``.
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
        at_points = torch.exp(self._leave(x, hidden) @ self.to_points)
        moved = at_points[:, None] * ((latents * self.latent_sd[:, None]) @ self.to_points[:, None])
        slopes = (moved @ self.from_points[:, None, 1:]).movedim(0, -2)
        return (
            self._coefficients(at_points, features.shape),
            slopes.reshape(*changes.shape[:-1], *slopes.shape[-2:]),
        )


def _silu_slope(x: Tensor) -> Tensor:
    share = torch.sigmoid(x)
    return share * (1.0 + x * (1.0 - share))


class Emulator(nn.Module):
    """(Atmosphere, Geometry) to TransferFunctions in components of a linear basis.

    Attributes:
        grid: nm in vacuum, ``wavelength``.
        basis: ``product, component, wavelength``; component 0 is the mean spectrum.
        window: whose light it gives.
        metadata: ranges, sample counts, measured error, versions, seed; plain JSON values.
    """

    grid: Tensor
    basis: Tensor
    clear: Tensor
    window: Window

    def __init__(
        self, grid: Tensor, basis: Tensor, network: CoefficientNetwork, metadata: dict[str, Any]
    ) -> None:
        super().__init__()
        self.register_buffer("grid", grid)
        self.register_buffer("basis", basis)
        self.window = window_of(float(grid[0]))
        low, high = self.window.clear
        clear = (grid >= low) & (grid <= high)
        up = basis[PRODUCTS.index("up")][:, clear].mean(-1)
        self.register_buffer("clear", up, persistent=False)  # up outside absorption, by component
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
        transfer = self._products(coefficients, 1.0, geometry)
        if self.window == RED:  # no level is known so well there
            return transfer
        depth = slant_depth(atmosphere, geometry, space=self.space)
        level = torch.exp(-depth) / self._clear(transfer.up)
        return _levelled(transfer, level, transfer.up, transfer.up_bounce)

    def linearised(
        self, atmosphere: Atmosphere, geometry: Geometry
    ) -> tuple[TransferFunctions, TransferFunctions]:
        """``forward``, and its derivatives ``parameter, ..., component`` to the atmosphere.

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
            self._told(Atmosphere.unstack(air + step), sight) for step in (steps, -steps)
        )
        told = self._told(atmosphere, geometry)
        change = ((ahead - behind) / 2e-6).to(told)
        values, slopes = self.network.slopes(told[..., :-1], change[..., :-1])
        transfer = self._products(values, 1.0, geometry)
        changes = self._products(slopes, 0.0, geometry)
        if self.window == RED:
            return transfer, changes
        clear = self._clear(transfer.up)
        level = torch.exp(-told[..., -1]) / clear
        moved = (-change[..., -1] - self._clear(changes.up) / clear)[..., None]
        to_air = _levelled(
            changes,
            level,
            changes.up + transfer.up * moved,
            changes.up_bounce + transfer.up_bounce * moved,
        )
        return _levelled(transfer, level, transfer.up, transfer.up_bounce), to_air

    def _told(self, atmosphere: Atmosphere, geometry: Geometry) -> Tensor:
        """What decides the transfer functions: ``state_features``, and ``slant_depth``."""
        features = state_features(atmosphere, geometry, space=self.space)
        depth = slant_depth(atmosphere, geometry, space=self.space)
        return torch.cat([features, depth.expand(features.shape[:-1])[..., None]], -1)

    def _clear(self, up: Float[Tensor, "*batch component"]) -> Float[Tensor, "*batch"]:
        """Upward transmittance where nothing absorbs, as the network has it."""
        return up @ self.clear

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
    def load(
        cls, path: str | Path | None = None, *, space: bool = False, window: Window = FAR_RED
    ) -> Self:
        """Read an emulator; without a path the shipped one, airborne or for space.

        Raises:
            SifnetError: the file is missing or is not an emulator.
        """
        path = Path(path) if path is not None else data_file(SHIPPED[window, space])
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


def _levelled(
    t: TransferFunctions, level: Tensor, up: Tensor, up_bounce: Tensor
) -> TransferFunctions:
    """With upward transmittance times a level ``...``."""
    level = level[..., None]
    return TransferFunctions(t.path, t.ground, t.ground_bounce, up * level, up_bounce * level)
