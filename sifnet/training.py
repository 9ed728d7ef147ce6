"""Fit: from scenes to a model that explains them. One way to build a Trainer, one checkpoint."""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import lightning
import torch
import xarray as xr
from lightning.pytorch.callbacks import (
    Callback,
    EarlyStopping,
    ModelCheckpoint,
    RichProgressBar,
)
from lightning.pytorch.loggers import CSVLogger
from torch.utils.data import DataLoader, RandomSampler

from sifnet.encoder import Architecture
from sifnet.errors import SifnetError
from sifnet.losses import LossWeights
from sifnet.patches import Patches, read_patches
from sifnet.physics.emulator import Emulator
from sifnet.pixels import Pixels, join
from sifnet.pretraining import Pretraining, Simulation, estimate_columns
from sifnet.retrieval import Retrieval, Setup, line_key, load
from sifnet.scene import FIT_WINDOW, Scene

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Training:
    """How a model is fitted.

    Attributes:
        epochs: of ``steps_per_epoch`` optimiser steps on the scenes, at most.
        batch: patches in a step; lines_per_step: random lines of each that are looked at.
        learning_rate: Adam's, at the start; a fifth of it at the end.
        patience: epochs without a better loss after which the fit stops.
        pretrain_steps: on simulations, when no start model is given.
        most_patches: that are held in memory; of larger scenes, evenly spread ones.
        patch, window, weights, architecture: see ``retrieval.Setup``.
        device, precision: of Lightning's Trainer.
    """

    epochs: int = 8
    steps_per_epoch: int = 25
    batch: int = 12
    lines_per_step: int = 8
    learning_rate: float = 5e-4
    patience: int = 4
    pretrain_steps: int = 300
    pretrain_learning_rate: float = 4e-3
    most_patches: int = 400
    seed: int = 0
    patch: tuple[int, int] = (32, 32)
    window: tuple[float, float] = FIT_WINDOW
    weights: LossWeights = field(default_factory=LossWeights)
    architecture: Architecture = field(default_factory=Architecture)
    device: str = "cpu"
    precision: str = "32-true"

    def __post_init__(self) -> None:
        for name in ("steps_per_epoch", "batch", "lines_per_step", "most_patches", "patience"):
            if getattr(self, name) < 1:
                raise SifnetError(
                    f"training: {name} is too small",
                    found=getattr(self, name),
                    expected="at least 1",
                )


def fit(
    scenes: Scene | Sequence[Scene],
    output: str | Path | None = None,
    *,
    config: Training = Training(),
    start_model: str | Path | Retrieval | None = None,
    atmosphere: xr.Dataset | None = None,
    emulator: Emulator | None = None,
    progress: bool = False,
) -> Retrieval:
    """Fit a model to scenes of one sensor: on simulations first, then on their own radiance.

    Args:
        output: folder for ``model.ckpt`` and the log. An interrupted fit with the same config
            goes on from its last epoch when called again.
        start_model: an encoder to start from, in place of the simulations.
        atmosphere: outside knowledge of the atmosphere (see ``pixels.read``).
        emulator: in place of the shipped one.

    Raises:
        SifnetError: scenes of different sensors or bands, no usable pixel, or an output that
            cannot be written.
    """
    scenes = [scenes] if isinstance(scenes, Scene) else list(scenes)
    lightning.seed_everything(config.seed, verbose=False)
    folder = None if output is None else _prepared(Path(output))
    resume = _interrupted(folder, config, scenes)
    model = _start(scenes, config, start_model, emulator)
    pixels = read_patches(
        scenes,
        config.patch,
        ranges=model.emulator.ranges,
        window=config.window,
        atmosphere=atmosphere,
        most=config.most_patches,
    )
    columns = max(scene.shape[1] for scene in scenes)
    if resume is not None:
        model.encoder.add_lines(torch.zeros(len(scenes), columns, 2))
    else:
        if start_model is None:
            _pretrain(model, pixels, config, progress)
        model.encoder.add_lines(estimate_columns(model, pixels, len(scenes), columns))
    if config.epochs:
        _adapt(model, pixels, config, folder, resume, progress)
    if folder is not None:
        model.save(folder / "model.ckpt")
        for left in ("last.ckpt", "fit.json"):
            (folder / left).unlink(missing_ok=True)
    return model.eval()


def make_trainer(
    *,
    epochs: int,
    steps_per_epoch: int,
    folder: Path | None = None,
    patience: int | None = None,
    device: str = "cpu",
    precision: str = "32-true",
    progress: bool = False,
) -> lightning.Trainer:
    """The Trainer of all fits: deterministic, stops early, resumable when it has a folder."""
    # Lightning's advice on devices and services; what matters here is said by other means.
    for name in ("lightning.pytorch", "lightning.fabric", "lightning.pytorch.utilities.rank_zero"):
        logging.getLogger(name).setLevel(logging.ERROR)
    callbacks: list[Callback] = [RichProgressBar()] if progress else []
    if patience is not None:
        callbacks.append(EarlyStopping("loss", patience=patience, min_delta=1e-4, mode="min"))
    if folder is not None:
        callbacks.append(
            ModelCheckpoint(folder, filename="last", save_top_k=1, enable_version_counter=False,
                            monitor=None, save_on_train_epoch_end=True)
        )  # fmt: skip
    return lightning.Trainer(
        max_epochs=epochs,
        limit_train_batches=steps_per_epoch,
        accelerator=device,
        devices=1,
        precision=precision,  # type: ignore[arg-type]
        deterministic=True,
        logger=False if folder is None else CSVLogger(folder, name="", version="log"),
        callbacks=callbacks,
        enable_checkpointing=folder is not None,
        enable_progress_bar=progress,
        enable_model_summary=False,
        log_every_n_steps=1,
        gradient_clip_val=1.0,
    )


def _prepared(folder: Path) -> Path:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / ".writable"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise SifnetError(
            "the output folder cannot be written",
            found=str(error),
            expected="a folder with write permission",
            remedy="Choose another output folder.",
            file=folder,
        ) from error
    return folder


def _interrupted(folder: Path | None, config: Training, scenes: Sequence[Scene]) -> Path | None:
    """The last epoch of an interrupted fit with the same config and scenes, if there is one."""
    if folder is None:
        return None
    now = json.dumps({"config": asdict(config), "lines": [line_key(s) for s in scenes]})
    note, last = folder / "fit.json", folder / "last.ckpt"
    same = note.exists() and last.exists() and note.read_text() == now
    if not same:
        last.unlink(missing_ok=True)
        note.write_text(now)
        return None
    _log.info("going on from %s", last)
    return last


def _start(
    scenes: Sequence[Scene],
    config: Training,
    start_model: str | Path | Retrieval | None,
    emulator: Emulator | None,
) -> Retrieval:
    """A new model for the scenes, with the start model's encoder if there is one."""
    setup = Setup.of_scene(
        scenes[0],
        window=config.window,
        patch=config.patch,
        architecture=config.architecture,
        weights=config.weights,
        lines=tuple(line_key(scene) for scene in scenes),
    )
    for scene in scenes[1:]:
        setup.refuse_other(scene)
    if start_model is None:
        return Retrieval(
            setup, emulator or Emulator.load(space=setup.space), learning_rate=config.learning_rate
        )
    start = start_model if isinstance(start_model, Retrieval) else load(start_model)
    for scene in scenes:
        start.made_for.refuse_other(scene)
    setup = replace(setup, architecture=start.made_for.architecture)
    model = Retrieval(setup, start.emulator, learning_rate=config.learning_rate)
    weights = {k: v for k, v in start.encoder.state_dict().items() if k != "columns"}
    model.encoder.load_state_dict(weights, strict=False)
    return model


def _pretrain(model: Retrieval, pixels: Pixels, config: Training, progress: bool) -> None:
    simulation = Simulation(model, pixels)
    model.encoder.features.freeze(join([simulation.draw()[0] for _ in range(4)]))
    steps = config.pretrain_steps
    if steps == 0:
        return
    trainer = make_trainer(
        epochs=1,
        steps_per_epoch=steps,
        device=config.device,
        precision=config.precision,
        progress=progress,
    )
    model.encoder.train()
    loader: DataLoader[Any] = DataLoader(simulation, batch_size=None)
    _run(trainer, Pretraining(model.encoder, config.pretrain_learning_rate), loader)
    model.encoder.eval()


def _adapt(
    model: Retrieval,
    pixels: Pixels,
    config: Training,
    folder: Path | None,
    resume: Path | None,
    progress: bool,
) -> None:
    patches = Patches(pixels, config.lines_per_step)
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
        device=config.device,
        precision=config.precision,
        progress=progress,
    )
    _run(trainer, model, loader, resume)


def _run(
    trainer: lightning.Trainer,
    module: lightning.LightningModule,
    loader: DataLoader[Any],
    resume: Path | None = None,
) -> None:
    """Train in one thread: a network this small waits for a second one more than it gains."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="lightning")
            trainer.fit(module, loader, ckpt_path=resume, weights_only=True)
    finally:
        torch.set_num_threads(threads)


def _already(batch: Any) -> Any:
    """Patches delivers whole batches: nothing is left to collate."""
    return batch
