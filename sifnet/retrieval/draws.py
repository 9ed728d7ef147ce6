"""Simulated pixels whose state is known, for training and to express a model in other bands.

Every batch is of another world: the simulation is wrong by what it may be wrong by.

Fluorescence is drawn independently of reflectance, so that there is no greenness to read it from.
Geometry is that of the scene's own pixels. All is drawn where the model is, and a device is never
waited for.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import IterableDataset

from sifnet.physics.emulator import Emulator
from sifnet.physics.fields import TensorFields
from sifnet.physics.forward import Simulator
from sifnet.physics.noise import noise_sd
from sifnet.physics.precision import exact
from sifnet.physics.state import Atmosphere, AtmospherePrior, Geometry, SensorState, State
from sifnet.physics.surface import SIF, ShapePrior, Surface
from sifnet.retrieval.device import made_on
from sifnet.retrieval.model import Retrieval
from sifnet.retrieval.pixels import Pixels
from sifnet.retrieval.prior import USUAL, WARMEST
from sifnet.retrieval.refinement import STRAY_SD
from sifnet.retrieval.shape import Reading, ShapePredictor
from sifnet.units import standard_pressure

LINES, SAMPLES = 8, 8  # pixels of a simulated patch
WIDER = 1.5  # how much wider than the prior the simulated atmospheres are spread
LOWEST_FLIGHT = 0.1  # km above the ground
# Arguments of ``Surface.sloped``.
SURFACE_DRAWN: dict[str, tuple[float, float]] = {
    "reflectance_740": (0.02, 0.6),
    "slope": (-0.001, 0.009),
    "ratio": (-0.3, 1.3),
    "sif_760": (-0.6, 4.5),
}


@dataclass(frozen=True)
class Shapes(TensorFields):
    """Shapes of reflectance as they would be predicted.

    Attributes:
        prior: fields ``example``.
        unexplained: ``example, band``, relative to radiance, what no parabola corrects.
        factor: ``example, 2, 2``, whose square is the covariance of c1 / c0 and c2 / c0.
    """

    prior: ShapePrior
    unexplained: Tensor
    factor: Tensor

    @classmethod
    def of_examples(cls, predictor: ShapePredictor, wavelength: tuple[float, ...]) -> Shapes:
        """All that a predictor has learned, on bands, nm."""
        shape, ones = predictor.examples, torch.ones(len(predictor.examples))
        seen = Reading(shape, torch.zeros_like(shape), ones, ones, ones)
        prior, unexplained = predictor.as_prior(seen, np.array(wavelength))
        precision = prior.matrix(torch.ones(()))[..., 1:SIF, 1:SIF]
        return cls(prior, unexplained, torch.linalg.cholesky(torch.linalg.inv(precision)))


@dataclass(frozen=True)
class Source(TensorFields):
    """What is drawn from: geometry ``patch, 1, sample``, priors ``patch, 1, 1``, and shapes."""

    geometry: Geometry
    prior: AtmospherePrior
    shapes: Shapes | None


class Draws(IterableDataset[tuple[Pixels, State]]):
    """Endless batches of simulated patches and their states."""

    def __init__(self, model: Retrieval, pixels: Pixels, patches: int = 64) -> None:
        """Simulate with the model's emulator and instrument.

        Args:
            pixels: whose geometry and prior are drawn from.
            patches: in a batch.
        """
        self.model, self.patches, shapes = model, patches, None
        if model.predictor is not None:
            shapes = Shapes.of_examples(model.predictor, model.setup.wavelength)
        self.source = Source(pixels.geometry, pixels.prior, shapes)

    def __iter__(self) -> Iterator[tuple[Pixels, State]]:
        while True:
            yield self.draw()

    @torch.no_grad()
    def draw(self) -> tuple[Pixels, State]:
        """Pixels ``patches, LINES, SAMPLES`` with noise, and the state they were made from."""
        with made_on(self.model.device), exact():
            unseen, state, unexplained = self.unlit()
            world, prior = self._world(), unseen.shape_prior
            radiance = world.radiance(state, unseen.geometry, shape_prior=prior)
            stray = STRAY_SD * torch.randn(())
            radiance = radiance + stray * radiance.mean(-1, keepdim=True)
            shot = noise_sd(radiance, self.model.setup.sensor.shot_noise)
            noise = torch.hypot(shot, unexplained * radiance)
            noisy = (radiance + noise * torch.randn_like(radiance)).clamp(min=1e-2)
            return replace(unseen, radiance=noisy, noise=noise), state

    def unlit(self) -> tuple[Pixels, State, Tensor]:
        """Pixels whose radiance is not there yet, their state, and what no parabola corrects."""
        device = self.model.device
        self.source = self.source.map(lambda x: x.to(device))  # as it is where it is there already
        template, shapes = self._template(), self._shapes()
        surface = self._surface(shapes)
        state = State(self._atmosphere(template), surface, self._sensor())
        if shapes is None:
            return template, state, torch.zeros(())
        return replace(template, shape_prior=shapes.prior), state, shapes.unexplained

    def _world(self) -> Simulator:
        """The simulation under physics that may as well be true, another one every time."""
        discrepancy = self.model.discrepancy
        drawn = discrepancy.correction(torch.randn(discrepancy.count))
        return replace(self.model.simulator, correction=drawn)

    def _shapes(self) -> Shapes | None:
        """A shape ``patch, line, sample`` for every pixel, where they are predicted."""
        shapes = self.source.shapes
        if shapes is None:
            return None
        chosen = torch.randint(len(shapes.factor), (self.patches, LINES, SAMPLES))
        return shapes.map(lambda x: x[chosen])

    def _template(self) -> Pixels:
        """Random patches and columns of the scene, radiance aside."""
        p, geometry = self.patches, self.source.geometry
        patches, _, columns = geometry.solar_zenith_angle.shape
        patch = torch.randint(patches, (p, 1))
        column = torch.randint(columns, (p, SAMPLES))
        geometry = geometry.map(lambda x: x[patch, 0, column][:, None])
        prior = self.source.prior.map(lambda x: x[patch[:, 0]])
        return Pixels.unseen((p, LINES, SAMPLES), geometry, prior)

    def _atmosphere(self, template: Pixels) -> Atmosphere:
        """``patch, 1, 1``: normal around the prior, wider than it, within the emulator's ranges."""
        ranges, prior, drawn = self.model.emulator.ranges, template.prior, {}
        for name, mean in prior.mean.items():
            sd = getattr(prior.sd, name)
            value = mean + WIDER * sd * torch.randn_like(mean)
            low, high = ranges.get(name, (-torch.inf, torch.inf))
            # What falls outside is drawn uniformly, not heaped up at the limit.
            spread = torch.rand_like(mean) * sd
            value = torch.where(value < low, low + spread, value)
            drawn[name] = torch.where(value > high, high - spread, value).clamp(low, high)
        return Atmosphere(**drawn)

    def _surface(self, shapes: Shapes | None) -> Surface:
        """``patch, line, sample``; every patch has its own range of reflectance, some is bare.

        Where a shape is expected, with errors of it.
        """
        shape = (self.patches, LINES, SAMPLES)
        drawn = {n: low + (high - low) * torch.rand(shape)
                 for n, (low, high) in SURFACE_DRAWN.items()}  # fmt: skip
        low, high = SURFACE_DRAWN["reflectance_740"]
        ends = torch.sort(low + (high - low) * torch.rand(self.patches, 2)).values
        ends = ends[:, :, None, None]
        drawn["reflectance_740"] = ends[:, 0] + (ends[:, 1] - ends[:, 0]) * torch.rand(shape)
        bare = torch.rand(shape) < torch.rand(self.patches, 1, 1) * 0.6
        drawn["sif_760"] = torch.where(bare, torch.zeros(shape), drawn["sif_760"])
        surface = Surface.sloped(*drawn.values())
        if shapes is None:
            return surface
        linear, quadratic = (shapes.factor @ torch.randn(*shape, 2, 1))[..., 0].unbind(-1)
        level, _ = surface.at_740()
        return Surface(level, level * linear, level * quadratic, surface.sif_760)

    def _sensor(self) -> SensorState:
        """``patch, 1, sample``: anywhere within the instrument's ranges, columns alike."""
        drawn = []
        for low, high in self.model.instrument.ranges.values():
            middle = torch.rand(self.patches, 1, 1)
            around = middle + 0.1 * torch.randn(self.patches, 1, SAMPLES)
            drawn.append(low + (high - low) * around.clamp(0.02, 0.98))
        return SensorState(*drawn)


def anywhere(emulator: Emulator, patches: int = 4096) -> Pixels:
    """Patches whose geometry and prior are drawn over all that the emulator covers, no radiance.

    Half of the priors are those of a scene of which nothing is known, half those of a scene that
    comes with an atmosphere file: anywhere in the range, and more certain.
    """
    patch = (patches, 1, 1)

    def uniform(low: float, high: float) -> Tensor:
        return low + (high - low) * torch.rand(patch)

    ranges = emulator.ranges
    angles = {name: uniform(*ranges[name]) for name in Geometry.names() if name in ranges}
    if emulator.space:
        angles["sensor_height"] = torch.full(patch, torch.inf)
    else:
        low, high = LOWEST_FLIGHT, ranges["sensor_height"][1]
        angles["sensor_height"] = low * (high / low) ** torch.rand(patch)
    angles.setdefault("sun_earth_distance", uniform(0.983, 1.017))
    geometry = Geometry(**angles).map(lambda x: x.expand(-1, 1, SAMPLES))

    told = torch.rand(patch) < 0.5
    # Most ground is low: a quarter of it above 1 km.
    elevation = 3.0 * torch.rand(patch) ** 3
    pressure = torch.as_tensor(standard_pressure(elevation.numpy()), dtype=torch.float32)
    mean = {name: torch.full(patch, value) for name, (value, _) in USUAL.items()}
    sd = {name: torch.full(patch, spread) for name, (_, spread) in USUAL.items()}
    mean["surface_pressure"] = pressure
    mean["temperature_offset"] = uniform(-WARMEST, WARMEST)
    stated = {"surface_pressure": (pressure, 1.5), "aot_550": (uniform(0.02, 0.7), 0.05),
              "temperature_offset": (mean["temperature_offset"], 1.5)}  # fmt: skip
    for name, (value, spread) in stated.items():
        mean[name] = torch.where(told, value, mean[name])
        sd[name] = torch.where(told, spread * torch.exp(uniform(-0.7, 0.7)), sd[name])
    prior = AtmospherePrior(Atmosphere(**mean), Atmosphere(**sd))
    return Pixels.unseen((patches, 1, SAMPLES), geometry, prior)
