"""Fit: from scenes to a model that explains them."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import lightning
import numpy as np
import torch
import xarray as xr
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor
from torch.utils.data import DataLoader, RandomSampler

from sifnet.errors import SifnetError, require_number
from sifnet.files import writable
from sifnet.physics.emulator import Emulator
from sifnet.physics.state import SensorState
from sifnet.retrieval.draws import Draws
from sifnet.retrieval.encoder import Architecture, unbounded
from sifnet.retrieval.expected import ExpectedSif, read, readable
from sifnet.retrieval.losses import LossWeights
from sifnet.retrieval.model import Retrieval, Setup, line_key, load
from sifnet.retrieval.pixels import Pixels
from sifnet.retrieval.prior import prepared
from sifnet.retrieval.shared import Shared, find_shared
from sifnet.retrieval.shipped import on_bands_of, refuse_measured_light, shipped_file
from sifnet.retrieval.strips import solve_strips
from sifnet.scenes.scene import Scene
from sifnet.training.patches import Patches, read_patches
from sifnet.training.pretrain import learn_simulations
from sifnet.training.progress import Line, shown
from sifnet.training.resume import Asked, data_told, is_first_process, scenes_told, weights_told
from sifnet.training.trainer import (
    MOST,
    Told,
    adam,
    by_itself,
    check_settings,
    make_trainer,
    run,
)

NOTE = "fit.json"
_log = logging.getLogger(__name__)

LAST_RATE = 0.05  # of the learning rate, at the end of a fit
FEWEST, LEARNED = 200, 40_000  # pixels, from which to learn what fluorescence to expect


@dataclass(frozen=True)
class Training:
    """How a model is fitted.

    Attributes:
        epochs: of ``steps_per_epoch`` optimiser steps on the scenes, at most.
        batch: patches in a step; lines_per_step, samples_per_step: random lines and columns of each
            that are looked at. Pixels of a column have what it sees in common, which is costly.
        learning_rate: Adam's, at the start; a twentieth of it at the end, where a fit would else be
            left somewhere about the best.
        patience: epochs without a better loss after which the fit stops.
        pretrain_steps: on simulations of the scenes, where there is no model to start from.
        most_patches: that are held in memory; of larger scenes, evenly spread ones.
        patch, window, weights, architecture: see ``retrieval.Setup``; the window usual for the
            sensor by default.
        device, devices, precision, strategy: see ``trainer.make_trainer``.
    """

    epochs: int = 7
    steps_per_epoch: int = 25
    batch: int = 6
    lines_per_step: int = 8
    samples_per_step: int = 8
    learning_rate: float = 7e-4
    patience: int = 4
    pretrain_steps: int = 300
    pretrain_learning_rate: float = 4e-3
    most_patches: int = 400
    seed: int = 0
    patch: tuple[int, int] = (32, 32)
    window: tuple[float, float] | None = None
    weights: LossWeights = field(default_factory=LossWeights)
    architecture: Architecture = field(default_factory=Architecture)
    device: str = "cpu"
    devices: int = 1
    precision: str = "32-true"
    strategy: str = "auto"

    def __post_init__(self) -> None:
        counts = ("steps_per_epoch", "batch", "lines_per_step", "samples_per_step",
                  "most_patches", "patience")  # fmt: skip
        check_settings(
            self,
            counts={**dict.fromkeys(counts, 1), "epochs": 0, "pretrain_steps": 0},
            rates=("learning_rate", "pretrain_learning_rate"),
        )
        for size in self.patch:
            require_number("training: patch", size, 1, MOST)
        if self.window is not None:
            low, high = self.window
            require_number("training: window, its lower end", low, 300.0, 2500.0)
            require_number("training: window, its upper end", high, low, 2500.0, below=True)

    @property
    def trainer_options(self) -> dict[str, Any]:
        """Devices and precision, see ``trainer.make_trainer``."""
        names = ("device", "devices", "precision", "strategy")
        return {name: getattr(self, name) for name in names}


def fit(
    scenes: Scene | Sequence[Scene],
    output: str | Path | None = None,
    *,
    config: Training = Training(),
    start_model: str | Path | Retrieval | None = None,
    atmosphere: xr.Dataset | None = None,
    emulator: Emulator | None = None,
    progress: bool = False,
    keep_note: bool = False,
) -> Retrieval:
    """Fit a model to scenes of one sensor: a pre-trained one adapts to their own radiance.

    What their red edges say of fluorescence is learned too, and is then a prior of their pixels
    (``retrieval.expected``): maps of these scenes are less noisy than those of ``retrieve`` alone.

    Where no pre-trained model ships (another sensor, another architecture)
    the encoder learns on simulations of the scenes first.

    Args:
        output: folder for ``model.ckpt`` and the log. An interrupted fit with the same config
            goes on from its last epoch when called again, and ends as if it had not been.
        start_model: to start from, in place of the one that ships.
        atmosphere: outside knowledge of the atmosphere (see ``pixels.read``).
        emulator: in place of the shipped one; the encoder then learns on its simulations.
        keep_note: leave ``NOTE`` in the folder, by which the same call returns the model that is
            there, until the caller has used it and removes the note.

    Raises:
        SifnetError: a scene that needs no model, scenes of different sensors or bands, no usable
            pixel, a loss that does not stay finite, or an output that cannot be written, or that
            another process is writing.
    """
    if isinstance(start_model, str | Path):
        start_model = load(start_model)  # before a folder is made: a typo leaves none behind
    folder = None if output is None else writable(Path(output))
    with nullcontext() if folder is None else by_itself(folder):
        scenes = [scenes] if isinstance(scenes, Scene) else list(scenes)
        for scene in scenes:
            refuse_measured_light(scene)
        ready = [prepared(scene, atmosphere) for scene in scenes]
        lightning.seed_everything(config.seed, verbose=False)
        start = _start_of(ready[0], config, start_model, emulator)
        model = _model(ready, config, start, emulator)
        asked = None if folder is None else _asked(folder, scenes, config, model, atmosphere)
        if keep_note and asked is not None and asked.made(asked.path.parent / "model.ckpt"):
            return load(asked.path.parent / "model.ckpt")
        steps = config.epochs * config.steps_per_epoch + (
            config.pretrain_steps if start is None else 0
        )
        with shown(progress, "fit", steps) as line:
            _fitted(model, ready, config, start, atmosphere, asked, line)
        if folder is not None and asked is not None and is_first_process():
            model.save(folder / "model.ckpt")
            asked.finish(folder / "model.ckpt" if keep_note else None)
        return model.eval()


def _asked(
    folder: Path, scenes: Sequence[Scene], config: Training, model: Retrieval,
    atmosphere: xr.Dataset | None,
) -> Asked:  # fmt: skip
    """What is fitted, by all that makes a difference: by it an interrupted fit is known."""
    return Asked(
        folder / NOTE, config=asdict(config), scenes=scenes_told(scenes),
        model=weights_told(model.state_dict()), atmosphere=data_told(atmosphere),
    )  # fmt: skip


def _fitted(
    model: Retrieval,
    scenes: Sequence[Scene],
    config: Training,
    start: Retrieval | None,
    atmosphere: xr.Dataset | None,
    asked: Asked | None,
    line: Line | Literal[False],
) -> None:
    pixels = read_patches(
        scenes,
        config.patch,
        ranges=model.emulator.ranges,
        window=model.setup.window,
        atmosphere=atmosphere,
        most=config.most_patches,
        predictor=model.predictor,
    )
    columns = max(scene.shape[1] for scene in scenes)
    resume = None if asked is None else asked.interrupted()
    if resume is not None and start is None:
        model.eval().add_lines(*_nothing_known(model, len(scenes), columns))
    else:
        if start is None:
            _learn(model, pixels, config, line)
        shared = _shared(model, scenes, atmosphere)
        model.add_lines(*_lines(model, shared, columns))
    if config.epochs:
        folder = None if asked is None else asked.path.parent
        _adapt(model, pixels, config, folder, resume, line)
    _refuse_diverged(model, scenes[0])
    if start is None:  # an encoder that has learned the lines knows better where to begin
        shared = _shared(model, scenes, atmosphere)
    model.expected = _expected(model, scenes, shared, atmosphere)
    model.made_by = asdict(config)


def _refuse_diverged(model: Retrieval, scene: Scene) -> None:
    lost = [name for name, p in model.encoder.named_parameters() if not torch.isfinite(p).all()]
    if lost:
        raise SifnetError(
            "the fit has come to nothing",
            found=f"weights that are not finite in {lost[0]}",
            expected="a loss that falls",
            remedy="Lower learning_rate in the settings, or map without a fit.",
            file=scene.file,
        )


def _start_of(
    scene: Scene,
    config: Training,
    start_model: str | Path | Retrieval | None,
    emulator: Emulator | None,
) -> Retrieval | None:
    """What a fit starts from, on the bands of the scene; None if from nothing."""
    if start_model is not None:
        start = start_model if isinstance(start_model, Retrieval) else load(start_model)
        return on_bands_of(start, scene, config.window)
    file = shipped_file(scene) if emulator is None else None
    shipped = None if file is None else load(file)
    if shipped is None or shipped.setup.architecture != config.architecture:
        return None
    try:
        return on_bands_of(shipped, scene, config.window)
    except SifnetError as error:
        _log.info("learning on simulations first: %s", error)
        return None


def _model(
    scenes: Sequence[Scene], config: Training, start: Retrieval | None, emulator: Emulator | None
) -> Retrieval:
    """A new model for the scenes, with the start model's encoder if there is one."""
    weights = config.weights
    if start is not None:
        emulator = start.emulator
        if weights.independent_pixels == LossWeights().independent_pixels:
            # How far pixels err alike is of what reads them: it comes with the start model.
            alike = start.setup.weights.independent_pixels
            weights = replace(weights, independent_pixels=alike)
    emulator = emulator or Emulator.load(space=scenes[0].space)
    setup = Setup.of_scene(
        scenes[0],
        emulator,
        config.window,
        patch=config.patch,
        architecture=config.architecture if start is None else start.setup.architecture,
        features=None if start is None else start.setup.features,
        weights=weights,
        lines=tuple(line_key(scene) for scene in scenes),
        predictor=None if start is None else start.setup.predictor,
    )
    model = Retrieval(setup, emulator, None if start is None else start.instrument)
    for scene in scenes[1:]:
        model.refuse_other(scene)
    if start is not None:
        named = {k: v for k, v in start.encoder.state_dict().items() if k != "columns"}
        model.encoder.load_state_dict(named, strict=False)
        model.predictor = start.predictor
    return model


def _learn(model: Retrieval, pixels: Pixels, config: Training, line: Line | Literal[False]) -> None:
    learn_simulations(
        model,
        Draws(model, pixels),
        config.pretrain_steps,
        learning_rate=config.pretrain_learning_rate,
        progress=line,
        **config.trainer_options,
    )


def _nothing_known(model: Retrieval, lines: int, columns: int) -> tuple[Tensor, Tensor]:
    """What ``Retrieval.add_lines`` asks for, 0 everywhere."""
    sensors = torch.zeros(lines, columns, len(SensorState.names()))
    return sensors, model.errors_of(torch.full((lines,), -1)).detach()


def _shared(
    model: Retrieval, scenes: Sequence[Scene], atmosphere: xr.Dataset | None
) -> list[Shared]:
    return [find_shared(scene, model.eval(), atmosphere=atmosphere) for scene in scenes]


def _lines(model: Retrieval, shared: list[Shared], columns: int) -> tuple[Tensor, Tensor]:
    """Sensor of every column, and errors of the simulation, of the scenes as refinement finds them.

    See ``Retrieval.add_lines``.
    """
    sensors, errors = _nothing_known(model, len(shared), columns)
    span = model.encoder.span(SensorState, sensors)
    for line, found in enumerate(shared):
        sensor = found.sensor.stack()
        sensors[line, : len(sensor)] = unbounded(sensor, *span)
        errors[line] = found.errors
    return sensors, errors


def _expected(
    model: Retrieval,
    scenes: Sequence[Scene],
    shared: list[Shared],
    atmosphere: xr.Dataset | None,
) -> ExpectedSif | None:
    """How fluorescence goes with the red edge, if the bands show it and no predictor reads it."""
    if model.predictor is not None or not all(readable(scene) for scene in scenes):
        return None
    every = math.ceil(sum(math.prod(scene.shape[:2]) for scene in scenes) / LEARNED)
    seen = []
    for scene, found in zip(scenes, shared, strict=True):
        strips = solve_strips(scene, model.eval(), found, atmosphere=atmosphere, every=every)
        for window, maps in strips:
            part = scene.read(slice(window.start, window.stop, every), np.arange(scene.shape[2]))
            own = maps["sif_760_uncertainty"] ** 2 - maps["sif_760_uncertainty_shared"] ** 2
            planes = torch.from_numpy(np.stack([maps["sif_760"], own], -1))
            good = torch.from_numpy(maps["quality_flag"].values == 0)
            seen.append(torch.cat([planes, read(part)], -1)[good])
    pixels = torch.cat(seen)
    enough = len(pixels) >= FEWEST
    return ExpectedSif.learned(pixels[:, 2:], pixels[:, 0], pixels[:, 1]) if enough else None


def _adapt(
    model: Retrieval,
    pixels: Pixels,
    config: Training,
    folder: Path | None,
    resume: Path | None,
    line: Line | Literal[False],
) -> None:
    patches = Patches(pixels, config.lines_per_step, config.samples_per_step)
    batch = min(config.batch, len(patches))
    sampler = RandomSampler(patches, replacement=True, num_samples=config.steps_per_epoch * batch)
    loader: DataLoader[Any] = DataLoader(
        patches, batch_size=batch, sampler=sampler, collate_fn=_already
    )
    trainer = make_trainer(
        epochs=config.epochs,
        steps_per_epoch=config.steps_per_epoch,
        folder=folder,
        patience=config.patience,
        progress=line,
        **config.trainer_options,
    )
    run(trainer, Fitting(model, config.learning_rate), loader, resume)


def _already(batch: Any) -> Any:
    """Patches delivers whole batches: nothing is left to collate."""
    return batch


class Fitting(Told):
    """A retrieval as Lightning trains it."""

    def __init__(self, retrieval: Retrieval, learning_rate: float) -> None:
        super().__init__()
        self.retrieval = retrieval
        # Of lines that are not known; what learns nothing would keep processes waiting.
        retrieval.encoder.column_head.requires_grad_(False)
        self.learning_rate = learning_rate

    def on_train_start(self) -> None:
        """What lines have found of their sensors stays: their responses are formed once."""
        with torch.no_grad():
            self.sensors, self.lines = self.retrieval.lines_simulator()

    def training_step(self, pixels: Pixels, _: int) -> Tensor:
        """Loss of a batch, the sum of its terms."""
        assert self.lines.responses is not None, "settled"
        place = pixels.line_id[:, None], 0, pixels.column
        sensor = self.sensors.map(lambda x: x[place][:, None])
        here = self.lines.responses.map(lambda x: x[:, *place][:, :, None])
        simulator = replace(self.lines, responses=here)
        return self.tell(self.retrieval.loss_terms(pixels, sensor, simulator))

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Adam from the learning rate down to LAST_RATE of it."""
        learning = [p for p in self.retrieval.encoder.parameters() if p.requires_grad]
        optimizer = adam(learning, self.learning_rate, self.trainer.precision)
        steps = max(1, int(self.trainer.estimated_stepping_batches))
        decay = torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda step: LAST_RATE ** min(1.0, step / steps)
        )
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": decay, "interval": "step"},
        }

    def transfer_batch_to_device(
        self, batch: Pixels, device: torch.device, dataloader_idx: int
    ) -> Pixels:
        """Lightning does not move frozen dataclasses by itself."""
        return batch.map(lambda x: x.to(device))
