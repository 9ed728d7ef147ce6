"""One way to build a Trainer and to run it, for everything that is trained here."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.callbacks import (
    Callback,
    EarlyStopping,
    EMAWeightAveraging,
    ModelCheckpoint,
)
from lightning.pytorch.loggers import CSVLogger
from lightning.pytorch.strategies import StrategyRegistry
from torch import Tensor, nn
from torch.utils.data import DataLoader

from sifnet.errors import MOST_SEED, SifnetError, require_number
from sifnet.files import alone, unwritable
from sifnet.training.progress import Line
from sifnet.training.resume import BEST, Apart, Chance, Whole, is_first_process

DEVICES = ("auto", "cpu", "gpu", "cuda", "mps", "tpu")
PRECISIONS = ("32-true", "16-mixed", "bf16-mixed", "16-true", "bf16-true", "64-true")
MOST = 10**9  # of anything that is counted
MANY = 10**7  # weights, from which on a step may be worth more than one thread


def check_settings(settings: Any, *, counts: Mapping[str, int], rates: Sequence[str] = ()) -> None:
    """Refuse settings with which nothing can be trained, before hours are spent.

    Args:
        settings: with ``seed``, and what ``make_trainer`` takes.
        counts: names of numbers and the least of each. rates: names of what is above 0.

    Raises:
        SifnetError: a number is impossible, or device, precision or strategy are not known.
    """
    for name, least in {**counts, "devices": 1}.items():
        require_number(f"training: {name}", getattr(settings, name), least, MOST)
    for name in rates:
        require_number(f"training: {name}", getattr(settings, name), 0, below=True)
    check_seed(settings.seed)
    strategies = ("auto", *StrategyRegistry.available_strategies())
    for name, offered in (
        ("device", DEVICES), ("precision", PRECISIONS), ("strategy", strategies)
    ):  # fmt: skip
        if getattr(settings, name) not in offered:
            raise SifnetError(
                f"training: {name} is not known",
                found=repr(getattr(settings, name)),
                expected=f"one of {', '.join(offered)}",
                remedy="Correct this value.",
            )


def check_seed(seed: int) -> None:
    """Refuse a seed that not all generators take.

    Raises:
        SifnetError: it is below 0 or beyond 32 bits.
    """
    require_number("training: seed", seed, 0, MOST_SEED)


def make_trainer(
    *,
    epochs: int,
    steps_per_epoch: int,
    folder: Path | None = None,
    patience: int | None = None,
    best: str | None = None,
    averaged: int = 0,
    device: str = "cpu",
    devices: int = 1,
    precision: str = "32-true",
    strategy: str = "auto",
    progress: bool | Line = False,
) -> lightning.Trainer:
    """The Trainer of all fits: deterministic, stops early, resumable when it has a folder.

    Raises:
        SifnetError: the machine has no such device, or it cannot do this.

    Args:
        best: the loss by which the best epoch is kept as BEST in the folder, besides the last.
        averaged: steps over which weights are averaged (an exponential mean) for the loss of data
            held back and for what is kept; 0 for none. Sharded weights are not averaged.
        device: kind of it: "cpu", "gpu", "auto". devices: how many of them, in each node of a
            SLURM job.
        precision: "32-true", "bf16-mixed", ... strategy: "auto", "ddp", "fsdp", ...
        progress: show a line, or the line that shows it.
    """
    # Lightning's advice on devices and services; what matters here is said by other means.
    for name in ("lightning.pytorch", "lightning.fabric", "lightning.pytorch.utilities.rank_zero"):
        logging.getLogger(name).setLevel(logging.ERROR)
    callbacks: list[Callback] = [Apart()]
    if progress:
        of_its_own = Line("training", epochs * steps_per_epoch)
        callbacks.append(progress if isinstance(progress, Line) else of_its_own)
    if patience is not None:
        callbacks.append(EarlyStopping("loss", patience=patience, min_delta=1e-4, mode="min"))
    if averaged and not strategy.startswith("fsdp"):
        callbacks.append(EMAWeightAveraging(decay=1 - 1 / averaged))
    if folder is not None and best is not None:
        callbacks.append(
            ModelCheckpoint(folder, filename=Path(BEST).stem, enable_version_counter=False,
                            monitor=best, save_on_train_epoch_end=True)
        )  # fmt: skip
    if folder is not None:
        callbacks.append(Chance())
        callbacks.append(
            ModelCheckpoint(folder, filename="last", save_top_k=1, enable_version_counter=False,
                            monitor=None, save_on_train_epoch_end=True)
        )  # fmt: skip
    with _available(device, devices, precision, strategy), warnings.catch_warnings():
        # Where `srun` is at hand and one process is enough, it says that `srun` is not used.
        warnings.filterwarnings("ignore", message=".*srun.*")
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
            # Every process draws its own (``Apart``), as many as every other.
            use_distributed_sampler=False,
            # Sharded weights are written by their strategy.
            plugins=None if strategy.startswith("fsdp") else Whole(),
            enable_checkpointing=folder is not None,
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
            log_every_n_steps=1,
            # Sharded parameters have no norm that one process could know.
            gradient_clip_val=None if strategy.startswith("fsdp") else 1.0,
        )


class Told(lightning.LightningModule):
    """A module whose losses are noted once an epoch: each costs Lightning milliseconds to note."""

    def __init__(self) -> None:
        super().__init__()
        self._names: tuple[str, ...] = ()
        self._seen: list[Tensor] = []

    def tell(self, terms: Mapping[str, Tensor]) -> Tensor:
        """The sum of the terms of a step, which its epoch's log will hold the means of."""
        each = torch.stack(list(terms.values()))
        self._names = ("loss", *terms)
        self._seen.append(torch.cat([each.sum()[None], each]).detach())
        return each.sum()

    def on_train_epoch_end(self) -> None:
        """Note the means of the epoch."""
        means = torch.stack(self._seen).mean(0)
        self.log_dict(dict(zip(self._names, means, strict=True)), sync_dist=True)
        self._seen = []


def adam(parameters: Iterable[nn.Parameter], rate: float, precision: str) -> torch.optim.Adam:
    """Adam of all weights in one kernel, but in mixed precision: its gradients Lightning clips not.

    Args:
        precision: of the trainer.
    """
    fused = not precision.endswith("mixed")
    return torch.optim.Adam(parameters, rate, fused=fused, foreach=not fused)


@contextmanager
def _available(device: str, devices: int, precision: str, strategy: str) -> Iterator[None]:
    try:
        yield
    except (MisconfigurationException, RuntimeError, TypeError, ValueError, ImportError) as error:
        raise SifnetError(
            "nothing can be trained in this way on this machine",
            found=f"device {device}, devices {devices}, precision {precision}, strategy "
            f"{strategy}: {str(error).splitlines()[0] if str(error) else type(error).__name__}",
            expected="what the machine has, such as device cpu",
            remedy="Change the settings of the training.",
        ) from error


def run(
    trainer: lightning.Trainer,
    module: lightning.LightningModule,
    loader: DataLoader[Any],
    resume: Path | None = None,
    held: DataLoader[Any] | None = None,
) -> None:
    """Train; below MANY weights in one thread: a small network waits for a second one more than it
    gains.

    Args:
        held: data that are not learnt from, of which the module's ``validation_step`` tells a loss.

    Raises:
        SifnetError: an epoch or the log cannot be written.
    """
    threads = torch.get_num_threads()
    if sum(p.numel() for p in module.parameters()) < MANY:
        torch.set_num_threads(1)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="lightning")
            trainer.fit(module, loader, held, ckpt_path=resume, weights_only=True)
    except OSError as error:
        raise unwritable(Path(trainer.log_dir or trainer.default_root_dir), error) from error
    finally:
        torch.set_num_threads(threads)


def by_itself(folder: Path) -> AbstractContextManager[None]:
    """The folder for this training alone; its processes on other devices share it.

    Raises:
        SifnetError: another training is at it.
    """
    return alone(folder) if is_first_process() else nullcontext()
