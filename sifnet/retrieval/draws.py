"""Simulated pixels whose state is known, for training and to express a model in other bands.

Fluorescence is drawn independently of reflectance, so that there is no greenness to read it from.
Geometry, and measured irradiance where there is any, are those of the scene's own pixels.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import IterableDataset

from sifnet.physics.emulator import Emulator
from sifnet.physics.forward import simulate
from sifnet.physics.noise import noise_sd
from sifnet.physics.state import Atmosphere, AtmospherePrior, Geometry, SensorState, State
from sifnet.physics.surface import KnownShape, Surface
from sifnet.retrieval.encoder import SENSOR
from sifnet.retrieval.jacobians import from_polynomial
from sifnet.retrieval.model import Retrieval
from sifnet.retrieval.pixels import Pixels
from sifnet.retrieval.prior import ATMOSPHERE_PRIOR, PRESSURE_SD
from sifnet.retrieval.shape import Reading
from sifnet.units import standard_pressure

LINES, SAMPLES = 8, 8  # pixels of a simulated patch


WIDER = 1.5  # how much wider than the prior the simulated atmospheres are spread


SURFACE_DRAWN: dict[str, tuple[float, float]] = {
    "reflectance_740": (0.02, 0.6),
    "reflectance_slope": (-0.001, 0.009),
    "reflectance_slope_ratio": (-0.3, 1.3),
    "sif_760": (-0.6, 4.5),
}


class Simulation(IterableDataset[tuple[Pixels, State]]):
    """Endless batches of simulated patches and their states."""

    def __init__(self, model: Retrieval, pixels: Pixels, patches: int = 64) -> None:
        """Simulate with the model's emulator and instrument.

        Args:
            pixels: whose geometry, prior and irradiance are drawn from.
            patches: in a batch.
        """
        self.model, self.pixels, self.patches = model, pixels, patches

    def __iter__(self) -> Iterator[tuple[Pixels, State]]:
        while True:
            yield self.draw()

    @torch.no_grad()
    def draw(self) -> tuple[Pixels, State]:
        """Pixels ``patches, LINES, SAMPLES`` with noise, and the state they were made from."""
        template = self._template()
        known, left = self._known_shape()
        surface = self._surface()
        surface = surface if known is None else self._about(known, surface)
        state = State(self._atmosphere(template), surface, self._sensor())
        radiance = simulate(
            state, template.geometry, self.model.emulator, self.model.instrument,
            template.irradiance, known,
        )  # fmt: skip
        noise = torch.hypot(noise_sd(radiance, self.model.setup.sensor.shot_noise), left * radiance)
        template = replace(template, known=known)
        noisy = radiance + noise * torch.randn_like(radiance)
        return replace(template, radiance=noisy.clamp(min=1e-2), noise=noise), state

    def _known_shape(self) -> tuple[KnownShape | None, Tensor]:
        """Shapes of reflectance as they would be predicted, and what no parabola corrects."""
        predictor = self.model.predictor
        if predictor is None:
            return None, torch.zeros(())
        chosen = torch.randint(len(predictor.examples), (self.patches, LINES, SAMPLES))
        shape, one = predictor.examples[chosen], torch.ones(chosen.shape)
        seen = Reading(shape, torch.zeros_like(shape), one, one, one)
        return predictor.as_known(seen, np.array(self.model.setup.wavelength))

    def _about(self, known: KnownShape, surface: Surface) -> Surface:
        """The level and fluorescence of a surface, with errors of the known shape."""
        precision = known.prior(torch.ones(()))[..., 1:3, 1:3]
        factor = torch.linalg.cholesky(torch.linalg.inv(precision))
        error = (factor @ torch.randn(*factor.shape[:-1], 1))[..., 0]
        level = surface.reflectance_740
        parts = level, level * error[..., 0], level * error[..., 1], surface.sif_760
        return from_polynomial(torch.stack(parts, dim=-1))

    def _template(self) -> Pixels:
        """Random patches, columns and, with irradiance, pixels of the scene, radiance aside."""
        p, source = self.patches, self.pixels
        patch = torch.randint(source.patches, (p, 1))
        column = torch.randint(source.column.shape[1], (p, SAMPLES))
        geometry = source.geometry.map(lambda x: x[patch, 0, column][:, None])
        prior = source.prior.map(lambda x: x[patch[:, 0]])
        irradiance = None
        if source.irradiance is not None:
            rows = torch.nonzero(source.usable)
            chosen = rows[torch.randint(len(rows), (p, LINES, SAMPLES))]
            irradiance = source.irradiance[tuple(chosen.unbind(-1))]
        shape = (p, LINES, SAMPLES)
        return Pixels(
            radiance=torch.empty(0),
            noise=torch.empty(0),
            irradiance=irradiance,
            geometry=geometry,
            prior=prior,
            usable=torch.ones(shape, dtype=torch.bool),
            flags=torch.zeros(shape, dtype=torch.int32),
            ndvi=torch.full(shape, torch.nan),
            column=torch.zeros(p, SAMPLES, dtype=torch.long),
            line_id=torch.full((p,), -1),
        )

    def _atmosphere(self, template: Pixels) -> Atmosphere:
        """``patch, 1, 1``: normal around the prior, wider than it, within the emulator's ranges."""
        ranges = self.model.emulator.ranges
        drawn = {}
        for (name, mean), (_, sd) in zip(
            template.prior.mean.items(), template.prior.sd.items(), strict=True
        ):
            value = mean + WIDER * sd * torch.randn_like(mean)
            low, high = ranges.get(name, (-torch.inf, torch.inf))
            # What falls outside is drawn uniformly, not heaped up at the limit.
            spread = torch.rand_like(mean) * sd
            value = torch.where(value < low, low + spread, value)
            drawn[name] = torch.where(value > high, high - spread, value).clamp(low, high)
        return Atmosphere(**drawn)

    def _surface(self) -> Surface:
        """``patch, line, sample``; every patch has its own range of reflectance, some is bare."""
        shape = (self.patches, LINES, SAMPLES)
        drawn = {n: low + (high - low) * torch.rand(shape)
                 for n, (low, high) in SURFACE_DRAWN.items()}  # fmt: skip
        low, high = SURFACE_DRAWN["reflectance_740"]
        ends = torch.sort(low + (high - low) * torch.rand(self.patches, 2)).values
        ends = ends[:, :, None, None]
        drawn["reflectance_740"] = ends[:, 0] + (ends[:, 1] - ends[:, 0]) * torch.rand(shape)
        bare = torch.rand(shape) < torch.rand(self.patches, 1, 1) * 0.6
        drawn["sif_760"] = torch.where(bare, torch.zeros(shape), drawn["sif_760"])
        return Surface(**drawn)

    def _sensor(self) -> SensorState:
        """``patch, 1, sample``: anywhere within the instrument's ranges, columns alike."""
        drawn = []
        for name in SENSOR:
            low, high = self.model.instrument.ranges[name]
            middle = torch.rand(self.patches, 1, 1)
            around = middle + 0.1 * torch.randn(self.patches, 1, SAMPLES)
            drawn.append(low + (high - low) * around.clamp(0.02, 0.98))
        return SensorState(*drawn)


LOWEST_FLIGHT = 0.1  # km above the ground


def anywhere(emulator: Emulator, patches: int = 4096) -> Pixels:
    """Patches whose geometry and prior are drawn over all that the emulator covers, no radiance.

    Half of the priors are those of a scene of which nothing is known, half those of a scene that
    comes with an atmosphere file: anywhere in the range, and more certain.
    """
    one = (patches, 1, 1)

    def uniform(low: float, high: float) -> Tensor:
        return low + (high - low) * torch.rand(one)

    ranges, names = emulator.ranges, Geometry.__dataclass_fields__
    angles = {name: uniform(*ranges[name]) for name in names if name in ranges}
    if emulator.space:
        angles["sensor_height"] = torch.full(one, torch.inf)
    else:
        low, high = LOWEST_FLIGHT, ranges["sensor_height"][1]
        angles["sensor_height"] = low * (high / low) ** torch.rand(one)
    angles.setdefault("sun_earth_distance", uniform(0.983, 1.017))
    geometry = Geometry(**angles).map(lambda x: x.expand(-1, 1, SAMPLES))

    told = torch.rand(one) < 0.5
    # Most ground is low: a quarter of it above 1 km.
    elevation = 3.0 * torch.rand(one) ** 3
    pressure = torch.as_tensor(standard_pressure(elevation.numpy()), dtype=torch.float32)
    mean, sd = {"surface_pressure": pressure}, {"surface_pressure": torch.full(one, PRESSURE_SD)}
    for name, (usual, spread) in ATMOSPHERE_PRIOR.items():
        mean[name], sd[name] = torch.full(one, usual), torch.full(one, spread)
    known = {"surface_pressure": (pressure, 1.5), "aot_550": (uniform(0.02, 0.7), 0.05),
             "temperature_offset": (uniform(-8.0, 8.0), 1.5)}  # fmt: skip
    for name, (value, spread) in known.items():
        mean[name] = torch.where(told, value, mean[name])
        sd[name] = torch.where(told, spread * torch.exp(uniform(-0.7, 0.7)), sd[name])
    shape = (patches, 1, SAMPLES)
    return Pixels(
        radiance=torch.empty(patches, 0),
        noise=torch.empty(patches, 0),
        irradiance=None,
        geometry=geometry,
        prior=AtmospherePrior(Atmosphere(**mean), Atmosphere(**sd)),
        usable=torch.ones(shape, dtype=torch.bool),
        flags=torch.zeros(shape, dtype=torch.int32),
        ndvi=torch.full(shape, torch.nan),
        column=torch.zeros(patches, SAMPLES, dtype=torch.long),
        line_id=torch.full((patches,), -1),
    )
