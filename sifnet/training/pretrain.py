"""Supervised start: the encoder learns on simulated pixels whose state is known (``Draws``)."""

from __future__ import annotations

import math
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor
from torch.optim.lr_scheduler import OneCycleLR
from torch.utils.data import DataLoader

from sifnet.files import writable
from sifnet.physics.emulator import Emulator
from sifnet.physics.state import Atmosphere, AtmospherePrior, SensorState, State
from sifnet.physics.surface import Surface
from sifnet.retrieval.draws import Draws, anywhere
from sifnet.retrieval.encoder import Architecture
from sifnet.retrieval.losses import LossWeights
from sifnet.retrieval.model import Retrieval, Setup
from sifnet.retrieval.pixels import Pixels, join
from sifnet.retrieval.shape import ShapePredictor
from sifnet.scenes import record_of
from sifnet.scenes.sensor import Sensor
from sifnet.training.resume import Asked, is_first_process, weights_told
from sifnet.training.trainer import Told, adam, by_itself, check_seed, make_trainer, run

# Predicted shapes err alike over a field, and a patch of a scene from space has few fields.
ALIKE = LossWeights(independent_pixels=10.0)


EPOCH = 250  # optimiser steps of a pre-training after which it is saved
SENSOR_SCALE = 0.005  # nm, error of shift and width that costs as much as one sd elsewhere


class Pretraining(Told):
    """Supervised training of an encoder: every head is given the truth it builds upon."""

    def __init__(self, retrieval: Retrieval, learning_rate: float) -> None:
        super().__init__()
        self.retrieval = retrieval  # as a whole: simulations are drawn where it is
        self.learning_rate = learning_rate

    def training_step(self, batch: tuple[Pixels, State], _: int) -> Tensor:
        """Mean squared error of every head in units of what matters."""
        pixels, truth = batch
        encoder = self.retrieval.encoder
        latent = encoder.latent(pixels)
        atmosphere = encoder.atmosphere(latent, pixels)
        sensor = encoder.column_estimate(latent, pixels)
        surface = encoder.surface(latent, pixels, truth.atmosphere, truth.sensor)
        terms = {
            "surface": surface_error(surface, truth.surface),
            "atmosphere": atmosphere_error(atmosphere, truth.atmosphere, pixels.prior),
            "sensor": sensor_error(encoder.bound_sensor(sensor), truth.sensor),
        }
        return self.tell(terms)

    def transfer_batch_to_device(
        self, batch: tuple[Pixels, State], device: torch.device, dataloader_idx: int
    ) -> tuple[Pixels, State]:
        """It was drawn there."""
        return batch

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Adam with one cycle of the learning rate: up for a fifth of the steps, then to zero."""
        parameters = [p for p in self.retrieval.encoder.parameters() if p.requires_grad]
        optimizer = adam(parameters, self.learning_rate, self.trainer.precision)
        steps = int(self.trainer.estimated_stepping_batches) + 1
        cycle = one_cycle(optimizer, self.learning_rate, steps)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": cycle, "interval": "step"}}


def one_cycle(optimizer: torch.optim.Optimizer, rate: float, steps: int) -> OneCycleLR:
    """Up for a fifth of the steps, two at least, for a rise of no step has no slope; then to 0."""
    return OneCycleLR(optimizer, rate, total_steps=steps, pct_start=max(0.2, 2 / steps))


def surface_error(surface: Surface, truth: Surface) -> Tensor:
    """Mean over pixels of sum_k log(1 + (error_k / step_k)^2): large errors do not rule."""
    error = surface.stack() - truth.stack()
    return torch.log1p((error / Surface.steps(error)) ** 2).mean((0, 1, 2)).sum()


def atmosphere_error(atmosphere: Atmosphere, truth: Atmosphere, prior: AtmospherePrior) -> Tensor:
    """Mean over patches of sum_k (error_k / prior sd_k)^2."""
    error = (atmosphere.stack() - truth.stack()) / prior.sd.stack()
    return (error**2).mean((0, 1, 2)).sum()


def sensor_error(sensor: SensorState, truth: SensorState) -> Tensor:
    """Mean over columns of sum_k log(1 + (error_k / SENSOR_SCALE)^2)."""
    error = sensor.stack() - truth.stack()
    return torch.log1p((error / SENSOR_SCALE) ** 2).mean((0, 1, 2)).sum()


def pretrain(
    sensor: Sensor | str,
    output: str | Path,
    *,
    steps: int = 12_000,
    seed: int = 0,
    architecture: Architecture = Architecture(),
    emulator: Emulator | None = None,
    device: str = "cpu",
    devices: int = 1,
    strategy: str = "auto",
    progress: bool = False,
) -> Path:
    """Train a start model on simulations over the whole range of an emulator, and save it.

    An interrupted training goes on from its last epoch when called again.

    Args:
        output: the checkpoint; beside it, while training, a folder with what is done.
        steps: of the optimiser; a few more where epochs of at most ``EPOCH`` do not divide them.
        emulator: the shipped one by default, for space where the sensor predicts shapes.
        device, devices, strategy: see ``trainer.make_trainer``; simulations are drawn on the device
            that learns from them, by each process its own.

    Raises:
        SifnetError: the sensor is not known, or the output cannot be written.
    """
    check_seed(seed)
    output = Path(output)
    folder = writable(output.with_name(output.name + ".training"))
    with by_itself(folder):
        lightning.seed_everything(seed, verbose=False)
        sensor, predictor = record_of(sensor), None
        if sensor.predicts_shape:
            from sifnet.training.shape import learn

            predictor = learn(sensor, seed=seed, progress=progress)
        emulator = emulator or Emulator.load(space=sensor.space)
        model = untrained(sensor, emulator, architecture, predictor)
        asked = Asked(
            folder / "training.json", steps=steps, seed=seed, epoch=EPOCH,
            setup=asdict(model.setup), model=weights_told(model.state_dict()),
        )  # fmt: skip
        draws = Draws(model, anywhere(model.emulator))
        learn_simulations(model, draws, steps, asked=asked, device=device, devices=devices,
                          strategy=strategy, progress=progress)  # fmt: skip
        if is_first_process():
            model.save(output)
            shutil.rmtree(folder)
    return output


def learn_simulations(
    model: Retrieval,
    draws: Draws,
    steps: int,
    *,
    learning_rate: float = 4e-3,
    asked: Asked | None = None,
    **trainer_options: Any,
) -> None:
    """Freeze the encoder's features by simulated pixels, and train it on their known states.

    Args:
        asked: of a training that may be interrupted, where it is kept, and goes on from.
        trainer_options: see ``trainer.make_trainer``.
    """
    model.encoder.features.freeze(join([draws.draw()[0] for _ in range(4)]))
    if steps == 0:
        return
    folder = None if asked is None else asked.path.parent
    epochs = 1 if folder is None else math.ceil(steps / EPOCH)
    trainer = make_trainer(
        epochs=epochs, steps_per_epoch=math.ceil(steps / epochs), folder=folder, **trainer_options
    )
    model.encoder.train()
    loader: DataLoader[Any] = DataLoader(draws, batch_size=None)
    resume = None if asked is None else asked.interrupted()
    run(trainer, Pretraining(model, learning_rate), loader, resume)
    model.encoder.eval()


def untrained(
    sensor: Sensor,
    emulator: Emulator,
    architecture: Architecture = Architecture(),
    predictor: ShapePredictor | None = None,
) -> Retrieval:
    """A model for the nominal bands of a sensor over the fit window."""
    centres = sensor.centres()
    setup = Setup(
        sensor=sensor,
        wavelength=tuple(centres.tolist()),
        fwhm=(sensor.fwhm,) * len(centres),
        space=emulator.space,
        window=sensor.window,
        predictor=None if predictor is None else predictor.sizes,
        architecture=architecture,
        weights=LossWeights() if predictor is None else ALIKE,
    )
    model = Retrieval(setup, emulator)
    model.predictor = predictor
    return model
