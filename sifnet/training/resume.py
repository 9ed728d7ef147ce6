"""What an interrupted training goes on from: its last epoch, and what it was asked to do.

A training that goes on ends as one that was never interrupted: also its random numbers, and that
it had stopped early, are kept.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import lightning
import torch
import xarray as xr
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.plugins import TorchCheckpointIO
from lightning.pytorch.utilities import rank_zero_only

from sifnet import __version__
from sifnet.files import sha256, size_and_time, whole
from sifnet.scenes.scene import Scene

LAST, BEST = "last.ckpt", "best.ckpt"
_log = logging.getLogger(__name__)


def is_first_process() -> bool:
    """Whether this process writes; with several devices there are others, which must not."""
    if torch.distributed.is_initialized():
        return torch.distributed.get_rank() == 0
    return getattr(rank_zero_only, "rank", 0) == 0


class Whole(TorchCheckpointIO):
    """Epochs are written as everything is: whole or not at all, under a name of this process."""

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None
    ) -> None:
        """Write an epoch.

        Raises:
            SifnetError: it cannot be written.
        """
        with whole(path) as partial, partial.open("wb") as file:
            torch.save(checkpoint, file)


class Chance(Callback):
    """Random numbers, of the CPU and of a CUDA device, and an early stop, kept with every epoch."""

    def on_save_checkpoint(
        self, trainer: lightning.Trainer, _: lightning.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Keep them."""
        checkpoint["chance"] = {"random": torch.get_rng_state(), "stopped": trainer.should_stop}
        device = trainer.strategy.root_device
        if device.type == "cuda":
            checkpoint["chance"]["device"] = torch.cuda.get_rng_state(device)

    def on_load_checkpoint(
        self, trainer: lightning.Trainer, _: lightning.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Go on with them."""
        chance, device = checkpoint["chance"], trainer.strategy.root_device
        torch.set_rng_state(chance["random"])
        if device.type == "cuda" and "device" in chance:
            torch.cuda.set_rng_state(chance["device"].cpu(), device)
        trainer.should_stop = chance["stopped"]


class Apart(Callback):
    """Of several processes each draws chance of its own; the first goes on with what it has.

    They begin alike, with the same seed, and would all learn from the same patches.
    """

    def on_train_epoch_start(
        self, trainer: lightning.Trainer, _: lightning.LightningModule
    ) -> None:
        """Chance that is known by epoch and process, so that an interrupted training goes on."""
        if trainer.global_rank:
            seed = os.environ.get("PL_GLOBAL_SEED", "0")  # of ``lightning.seed_everything``
            told = f"{seed} {trainer.current_epoch} {trainer.global_rank}"
            torch.manual_seed(int(hashlib.sha256(told.encode()).hexdigest()[:8], 16))


class Asked:
    """A note of what is trained, in the folder where its epochs are kept.

    Attributes:
        path: of the note. last: of the epoch. best: of the best epoch, where it is kept.
        text: what was asked, by which an earlier training of the same is known.
    """

    def __init__(self, path: Path, **asked: Any) -> None:
        self.path, self.last, self.best = path, path.with_name(LAST), path.with_name(BEST)
        self.text = json.dumps({"sifnet": __version__, **asked}, sort_keys=True, default=str)

    def interrupted(self) -> Path | None:
        """The last epoch of an interrupted training of the same; nothing is left of another."""
        if self._asked() == self.text and _readable(self.last):
            _log.info("going on from %s", self.last)
            return self.last
        if is_first_process():
            self._forget()
            self._write()
        return None

    def made(self, model: Path) -> bool:
        """Whether the model is there, and a training of the same made it: see ``finish``."""
        note = self._note()
        return (
            note.get("asked") == self.text
            and model.is_file()
            and note.get("model_sha256") == sha256(model)
        )

    def finish(self, model: Path | None = None) -> None:
        """Nothing is left; of a model that is yet to be used, the note that it is done."""
        if model is None:
            self.path.unlink(missing_ok=True)
        else:
            self._write(model_sha256=sha256(model))
        self._forget()

    def _forget(self) -> None:
        self.last.unlink(missing_ok=True)
        self.best.unlink(missing_ok=True)

    def _write(self, **more: str) -> None:
        with whole(self.path) as partial:
            partial.write_text(json.dumps({"asked": self.text, **more}), encoding="utf-8")

    def _asked(self) -> object:
        return self._note().get("asked")

    def _note(self) -> dict[str, Any]:
        try:
            note = json.loads(self.path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return note if isinstance(note, dict) else {}


def _readable(epoch: Path) -> bool:
    if not epoch.exists():
        return False
    try:
        return "chance" in torch.load(epoch, map_location="cpu", weights_only=True)
    except Exception as error:
        _log.warning("%s cannot be read, the training begins again: %s", epoch, error)
        return False


def scenes_told(scenes: Sequence[Scene]) -> list[list[str]]:
    """What tells scenes from others: their files as they are, or their values where none are."""
    told = []
    for scene in scenes:
        files = [Path(file) for file in scene.dataset.attrs["source_files"]]
        name = f"{scene.name} {scene.dataset.attrs['acquisition_time']}"
        content = [f"{file} {size_and_time(file)}" for file in files]
        told.append([name, *(content or [data_told(scene.dataset[["radiance"]])])])
    return told


def data_told(data: xr.Dataset | None) -> str:
    """A checksum of names and values."""
    if data is None:
        return "none"
    digest = hashlib.sha256()
    for name, values in sorted(data.variables.items(), key=lambda item: str(item[0])):
        digest.update(f"{name} {values.dims} {values.shape} {values.dtype}".encode())
        digest.update(values.values.tobytes())
    return digest.hexdigest()


def weights_told(weights: Mapping[str, torch.Tensor]) -> str:
    """A checksum of weights."""
    digest = hashlib.sha256()
    for name, values in weights.items():
        digest.update(name.encode())
        digest.update(values.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
