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
from torch import Tensor, nn

from sifnet.errors import SifnetError
from sifnet.physics.state import Atmosphere, Geometry, check_ranges
from sifnet.physics.transfer import PRODUCTS, TransferFunctions
from sifnet.tables import data_file

SUNLIT = 3  # the first three products carry sunlight and are divided by cos(SZA) inside
SHIPPED = {False: "emulator_airborne.npz", True: "emulator_space.npz"}


class CoefficientNetwork(nn.Module):
    """Features of the state to coefficients: a linear map plus residual blocks of width ``width``.

    Inputs and outputs are standardised inside, by constants set when it is fitted.
    """

    feature_mean: Tensor
    feature_sd: Tensor
    coefficient_mean: Tensor
    coefficient_sd: Tensor

    def __init__(self, features: int, coefficients: int, width: int, blocks: int) -> None:
        super().__init__()
        self.enter = nn.Linear(features, width)
        self.blocks = nn.ModuleList(nn.Linear(width, width) for _ in range(blocks))
        self.leave = nn.Linear(width, coefficients)
        self.linear = nn.Linear(features, coefficients, bias=False)
        self.register_buffer("feature_mean", torch.zeros(features))
        self.register_buffer("feature_sd", torch.ones(features))
        self.register_buffer("coefficient_mean", torch.zeros(coefficients))
        self.register_buffer("coefficient_sd", torch.ones(coefficients))

    def standardise(self, features: Tensor, coefficients: Tensor) -> Self:
        """Set the constants from samples, and the linear map to their least-squares fit."""
        self.feature_mean.copy_(features.mean(0))
        self.feature_sd.copy_(features.std(0))
        self.coefficient_mean.copy_(coefficients.mean(0))
        self.coefficient_sd.copy_(coefficients.std(0))
        x = (features - features.mean(0)) / features.std(0)
        y = (coefficients - coefficients.mean(0)) / coefficients.std(0)
        # Features are nearly collinear; a little ridge keeps the map small.
        ridge = 1e-6 * len(x) * torch.eye(x.shape[1], dtype=x.dtype)
        with torch.no_grad():
            self.linear.weight.copy_(torch.linalg.solve(x.T @ x + ridge, x.T @ y).T)
            self.leave.weight.zero_()
            self.leave.bias.zero_()
        return self

    def forward(self, features: Tensor) -> Tensor:
        """Coefficients ``..., coefficient`` of features ``..., feature``."""
        x = (features - self.feature_mean) / self.feature_sd
        hidden = nn.functional.silu(self.enter(x))
        for block in self.blocks:
            hidden = hidden + nn.functional.silu(block(hidden))
        standard = self.linear(x) + self.leave(hidden)
        return self.coefficient_mean + self.coefficient_sd * standard


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
        components = self.basis.shape[1]
        coefficients = coefficients.unflatten(-1, (len(PRODUCTS), components - 1))
        ones = torch.ones_like(coefficients[..., :1])
        coefficients = torch.cat([ones, coefficients], dim=-1)
        sun = torch.cos(torch.deg2rad(geometry.solar_zenith_angle))
        sun = (sun / geometry.sun_earth_distance**2)[..., None]
        path, ground, ground_bounce, up, up_bounce = coefficients.unbind(-2)
        return TransferFunctions(path * sun, ground * sun, ground_bounce * sun, up, up_bounce)

    def spectra(self, t: TransferFunctions) -> TransferFunctions:
        """Components to spectra on ``grid``, ``..., wavelength``."""
        on_grid = {name: getattr(t, name) @ self.basis[i] for i, name in enumerate(PRODUCTS)}
        return TransferFunctions(**on_grid)

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

    def describe(self) -> str:
        """Ranges, sample counts and measured error, as text."""
        return json.dumps(self.metadata, indent=2)

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
        try:
            with np.load(path, allow_pickle=False) as stored:
                arrays = {k: torch.as_tensor(stored[k]) for k in stored if k != "metadata"}
                metadata = json.loads(str(stored["metadata"]))
            network = CoefficientNetwork(**metadata["network"])
            weights = {k[8:]: v for k, v in arrays.items() if k.startswith("network.")}
            network.load_state_dict(weights)
            return cls(arrays["grid"], arrays["basis"], network, metadata)
        except (OSError, ValueError, KeyError, RuntimeError, TypeError) as error:
            raise SifnetError(
                "this is not a readable emulator",
                found=str(error),
                expected="a file written by Emulator.save",
                remedy="Make one with `sifnet build-emulator`, or reinstall sifnet.",
                file=path,
            ) from error


def state_features(atmosphere: Atmosphere, geometry: Geometry, *, space: bool) -> Tensor:
    """What the coefficients depend on nearly linearly, ``..., feature``.

    Air masses 1/mu0 and 1/mu, the air and the aerosol between ground and sensor, the square root
    of absorber amounts (strong lines grow with it), and the cosine of the scattering angle
    cos = -(mu mu0 + sqrt(1 - mu^2) sqrt(1 - mu0^2) cos(raa)), which is -1 for backscatter.
    """
    a, g = atmosphere, geometry
    sza, vza = torch.deg2rad(g.solar_zenith_angle), torch.deg2rad(g.view_zenith_angle)
    raa = torch.deg2rad(g.relative_azimuth_angle)
    sun, view = 1.0 / torch.cos(sza), 1.0 / torch.cos(vza)
    scatter = -(torch.cos(sza) * torch.cos(vza) + torch.sin(sza) * torch.sin(vza) * torch.cos(raa))
    pressure = a.surface_pressure / 1013.25
    air = a.o2_scale * pressure
    down = air * sun
    features = [pressure, a.temperature_offset, a.o2_scale, a.aot_550, a.aerosol_height]
    features += [a.aerosol_type, sun, 1.0 / sun, view, scatter, scatter**2, scatter**3]
    features += [down, torch.sqrt(down), torch.exp(-a.aot_550 * sun), a.aot_550 * sun]
    features += [1.0 / a.aerosol_height, torch.sin(sza) * torch.sin(vza) * torch.cos(raa)]
    if not space:
        height = g.sensor_height
        below = 1.0 - torch.exp(-height / 8.0)
        aerosol_below = 1.0 - torch.exp(-height / a.aerosol_height)
        features += [below, torch.sqrt(below), torch.log(height + 0.02), aerosol_below]
        features += [air * (sun + below * view), torch.sqrt(air * below * view)]
        features += [torch.sqrt(air * (sun + below * view)), a.aot_550 * aerosol_below]
    else:
        features += [air * (sun + view), torch.sqrt(air * (sun + view))]
    return torch.stack(torch.broadcast_tensors(*features), dim=-1)
