"""One way to build a Trainer and to run it, for everything that is trained here."""

from __future__ import annotations

import logging
import os
import warnings
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import (
    Callback,
    EarlyStopping,
    ModelCheckpoint,
    RichProgressBar,
)
from lightning.pytorch.loggers import CSVLogger
from torch.utils.data import DataLoader


def make_trainer(
    *,
    epochs: int,
    steps_per_epoch: int,
    folder: Path | None = None,
    patience: int | None = None,
    device: str = "cpu",
    devices: int = 1,
    precision: str = "32-true",
    strategy: str = "auto",
    progress: bool = False,
) -> lightning.Trainer:
    """The Trainer of all fits: deterministic, stops early, resumable when it has a folder.

    Args:
        device: kind of it: "cpu", "gpu", "auto". devices: how many of them, in each node of a
            SLURM job.
        precision: "32-true", "bf16-mixed", ... strategy: "auto", "ddp", "fsdp", ...
    """
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
        devices=devices,
        # Of a job of SLURM that starts a process for every device itself.
        num_nodes=int(os.environ.get("SLURM_NNODES", 1)) if devices > 1 else 1,
        strategy=strategy,
        precision=precision,  # type: ignore[arg-type]
        deterministic=True,
        logger=False if folder is None else CSVLogger(folder, name="", version="log"),
        callbacks=callbacks,
        enable_checkpointing=folder is not None,
        enable_progress_bar=progress,
        enable_model_summary=False,
        log_every_n_steps=1,
        # Sharded parameters have no norm that one process could know.
        gradient_clip_val=None if strategy.startswith("fsdp") else 1.0,
    )


def run(
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


def is_first_process() -> bool:
    """Whether this process writes; with several devices there are others, which must not."""
    return not torch.distributed.is_initialized() or torch.distributed.get_rank() == 0
