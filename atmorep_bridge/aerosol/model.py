"""The aerosol model: fitted on a series of maps, driven by weather from outside.

A small network (``net``) learns the change in one step from two past states and the weather
now and then; ``forecast`` repeats it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import lightning
import torch
import xarray as xr
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor
from torch.nn import functional
from torch.utils.data import DataLoader, RandomSampler

from atmorep_bridge.aerosol.net import AerosolNet
from atmorep_bridge.aerosol.series import Scaling, windows
from sifnet.files import checkpoint, save_checkpoint
from sifnet.training.trainer import make_trainer, run

KIND = "an aerosol model of bilinear pooling"
DRIVERS = ("u", "v", "q")
ROBUST = 0.1  # of the typical change, from which an error counts by its size, not its square


@dataclass(frozen=True)
class AerosolTraining:
    """How an aerosol model is fitted.

    Attributes:
        width, rank: features of the network and of its pooling.
        steps: of the optimiser, each on ``batch`` stretches of the series.
        unroll: steps of a stretch that are forecast, one from the other.
        learning_rate: Adam's, at its peak (one cycle).
    """

    width: int = 16
    rank: int = 32
    steps: int = 600
    batch: int = 8
    unroll: int = 3
    learning_rate: float = 1e-2
    seed: int = 0


class AerosolModel(lightning.LightningModule):
    """A network with the grid and the statistics it was fitted on.

    Attributes:
        errors: standard deviation of the forecast at each lead time, in the network's unit; empty
            before ``forecast.calibrate``.
    """

    def __init__(self, scaling: Scaling, config: AerosolTraining) -> None:
        super().__init__()
        self.scaling, self.config = scaling, config
        self.errors: tuple[float, ...] = ()
        self.net = AerosolNet(
            len(scaling.weather),
            width=config.width,
            rank=config.rank,
            mean=torch.zeros(len(scaling.latitude), len(scaling.longitude)),
            change=scaling.change,
            periodic=scaling.periodic,
        )

    def training_step(self, batch: tuple[Tensor, Tensor], _: int) -> Tensor:
        """Huber loss of all steps, in units of the typical change in one.

        Analyses jump where satellites come in (MERRA-2 over India: at 3, 6 and 9 UTC, five times
        as far as weather moves aerosol in an hour), which squares would chase.
        """
        aerosol, weather = batch
        misfit = (self.net.rollout(aerosol[:, :2], weather) - aerosol[:, 2:]) / self.scaling.change
        loss = functional.smooth_l1_loss(misfit, torch.zeros_like(misfit), beta=ROBUST)
        self.log("loss", loss, on_step=False, on_epoch=True, batch_size=len(aerosol))
        return loss

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Adam; the learning rate rises and falls once."""
        optimizer = torch.optim.Adam(self.net.parameters())
        cycle = torch.optim.lr_scheduler.OneCycleLR(
            optimizer, self.config.learning_rate, total_steps=max(2, self.config.steps)
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": cycle, "interval": "step"}}

    def save(self, path: str | Path) -> None:
        """Write a checkpoint that needs no other file, whole or not at all.

        Raises:
            SifnetError: the path cannot be written.
        """
        content = {
            "scaling": asdict(self.scaling),
            "config": asdict(self.config),
            "errors": list(self.errors),
            "net": self.net.state_dict(),
        }
        save_checkpoint(path, KIND, content)


def load(path: str | Path) -> AerosolModel:
    """Read a checkpoint; only tensors and plain values are read, no code runs.

    Raises:
        SifnetError: missing, no checkpoint of an aerosol model, or of another format.
    """
    with checkpoint(path, KIND, "atmorep-bridge aerosol train") as content:
        model = AerosolModel(Scaling(**content["scaling"]), AerosolTraining(**content["config"]))
        model.net.load_state_dict(content["net"])
        model.errors = tuple(content["errors"])
    return model.eval()


def fit(
    series: xr.Dataset,
    *,
    weather: Sequence[str] = DRIVERS,
    config: AerosolTraining = AerosolTraining(),
    progress: bool = False,
) -> AerosolModel:
    """Fit on a series of ``aot_550`` and weather, (time, latitude, longitude).

    Keep a later part of it, a gap of some steps away, for ``forecast.calibrate``. The same
    seed gives the same model.

    Args:
        weather: names of the fields that drive the aerosol, any that say what moves, makes or
            washes it out; it may be none.

    Raises:
        SifnetError: a field is absent or has gaps, too few steps, an uneven grid.
    """
    lightning.seed_everything(config.seed, verbose=False)
    scaling = Scaling.of(series, weather)
    stretches = windows(series, scaling, config.unroll)
    model = AerosolModel(scaling, config)
    model.net.mean.copy_(scaling.aerosol(series).mean(0))
    drawn = RandomSampler(stretches, replacement=True, num_samples=config.steps * config.batch)
    loader: DataLoader[Any] = DataLoader(stretches, batch_size=config.batch, sampler=drawn)
    trainer = make_trainer(epochs=1, steps_per_epoch=config.steps, progress=progress)
    run(trainer, model, loader)
    return model.eval()
