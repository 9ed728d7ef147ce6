"""Supervised start: the encoder learns on simulated pixels whose state is known.

Fluorescence is drawn independently of reflectance, so that there is no greenness to read it from.
Geometry, and measured irradiance where there is any, are those of the scene's own pixels.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import lightning
import numpy as np
import torch
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor
from torch.utils.data import IterableDataset

from sifnet.encoder import SENSOR, Encoder
from sifnet.jacobians import from_polynomial
from sifnet.losses import SURFACE_SCALE
from sifnet.physics.forward import simulate
from sifnet.physics.noise import noise_sd
from sifnet.physics.state import Atmosphere, SensorState, State
from sifnet.physics.surface import KnownShape, Surface
from sifnet.pixels import Pixels
from sifnet.retrieval import Retrieval
from sifnet.shape import Reading

LINES, SAMPLES = 8, 8  # pixels of a simulated patch
WIDER = 1.5  # how much wider than the prior the simulated atmospheres are spread
SENSOR_SCALE = 0.005  # nm, error of shift and width that costs as much as one sd elsewhere
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
        noise = torch.hypot(noise_sd(radiance, self.model.made_for.sensor), left * radiance)
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
        return predictor.as_known(seen, np.array(self.model.made_for.wavelength))

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


class Pretraining(lightning.LightningModule):
    """Supervised training of an encoder: every head is given the truth it builds upon."""

    def __init__(self, encoder: Encoder, learning_rate: float) -> None:
        super().__init__()
        self.encoder = encoder
        self.learning_rate = learning_rate

    def training_step(self, batch: tuple[Pixels, State], _: int) -> Tensor:
        """Mean squared error of every head in units of what matters."""
        pixels, truth = batch
        latent = self.encoder.latent(pixels)
        atmosphere = self.encoder.atmosphere(latent, pixels)
        sensor = self.encoder.column_estimate(latent, pixels)
        surface = self.encoder.surface(latent, pixels, truth.atmosphere, truth.sensor)
        terms = {
            "surface": surface_error(surface, truth.surface),
            "atmosphere": atmosphere_error(atmosphere, truth.atmosphere, pixels),
            "sensor": sensor_error(self.encoder.bound_sensor(sensor), truth.sensor),
        }
        loss = torch.stack(list(terms.values())).sum()
        self.log_dict({"loss": loss, **terms}, on_step=False, on_epoch=True, batch_size=1)
        return loss

    def transfer_batch_to_device(
        self, batch: tuple[Pixels, State], device: torch.device, dataloader_idx: int
    ) -> tuple[Pixels, State]:
        """Lightning does not move frozen dataclasses by itself."""
        pixels, state = batch
        return pixels.map(lambda x: x.to(device)), state.map(lambda x: x.to(device))

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Adam with one cycle of the learning rate: up for a fifth of the steps, then to zero."""
        parameters = [p for n, p in self.encoder.named_parameters() if n != "columns"]
        optimizer = torch.optim.Adam(parameters, lr=self.learning_rate)
        cycle = torch.optim.lr_scheduler.OneCycleLR(
            optimizer,
            max_lr=self.learning_rate,
            total_steps=int(self.trainer.estimated_stepping_batches) + 1,
            pct_start=0.2,
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": cycle, "interval": "step"}}


def surface_error(found: Surface, truth: Surface) -> Tensor:
    """Mean over pixels of sum_k log(1 + (error_k / scale_k)^2): large errors do not rule."""
    errors = [
        torch.log1p(((getattr(found, n) - getattr(truth, n)) / scale) ** 2).mean()
        for n, scale in SURFACE_SCALE.items()
    ]
    return torch.stack(errors).sum()


def atmosphere_error(found: Atmosphere, truth: Atmosphere, pixels: Pixels) -> Tensor:
    """Mean over patches of sum_k (error_k / prior sd_k)^2."""
    errors = [
        (((x - y) / sd) ** 2).mean()
        for (_, x), (_, y), (_, sd) in zip(
            found.items(), truth.items(), pixels.prior.sd.items(), strict=True
        )
    ]
    return torch.stack(errors).sum()


def sensor_error(found: SensorState, truth: SensorState) -> Tensor:
    """Mean over columns of sum_k log(1 + (error_k / SENSOR_SCALE)^2)."""
    errors = [
        torch.log1p(((x - y) / SENSOR_SCALE) ** 2).mean()
        for (_, x), (_, y) in zip(found.items(), truth.items(), strict=True)
    ]
    return torch.stack(errors).sum()
