"""A network that makes its own weather, which ``aerosol.py`` sets beside ours."""

from __future__ import annotations

from typing import Any

import lightning
import torch
import xarray as xr
from aerosol_case import Case
from harness import Array, parameters
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, RandomSampler

from atmorep_bridge.aerosol.model import ROBUST, AerosolTraining
from atmorep_bridge.aerosol.net import Convolution, encoder
from atmorep_bridge.aerosol.series import Scaling
from sifnet.training.trainer import make_trainer, run


class Coupled(lightning.LightningModule):
    """One network that forecasts aerosol and weather together: same layers, no pooling needed."""

    def __init__(self, scaling: Scaling, config: AerosolTraining, mean: Tensor, change: Tensor):
        super().__init__()
        self.config, fields = config, 1 + len(scaling.weather)
        self.register_buffer("mean", mean)
        self.register_buffer("change", change[:, None, None])
        self.features = encoder(2 * fields + 1, config.width, periodic=scaling.periodic)
        self.increment = nn.Sequential(
            Convolution(config.width + 2 * fields + 1, config.width, periodic=scaling.periodic),
            nn.GELU(),
            Convolution(config.width, fields, periodic=scaling.periodic),
        )

    def rollout(self, past: Tensor, steps: int) -> Tensor:
        """All fields ``batch, step, field, row, column``; ``past``: of two steps, aerosol first."""
        before, now = past.unbind(1)
        states = []
        for _ in range(steps):
            anomaly = now[:, :1] - self.mean
            base = torch.cat([now, (now - before) / self.change, anomaly], dim=1)
            step = self.increment(torch.cat([self.features(base), base], dim=1))
            before, now = now, now + self.change * step
            states.append(now)
        return torch.stack(states, dim=1)

    def training_step(self, batch: Tensor, _: int) -> Tensor:
        misfit = self.rollout(batch[:, :2], batch.shape[1] - 2) - batch[:, 2:]
        misfit = misfit / self.change
        return functional.smooth_l1_loss(misfit, torch.zeros_like(misfit), beta=ROBUST)

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.Adam(self.parameters())
        cycle = torch.optim.lr_scheduler.OneCycleLR(
            optimizer, self.config.learning_rate, total_steps=self.config.steps
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": cycle, "interval": "step"}}


class AllFields(torch.utils.data.Dataset[Tensor]):
    """Stretches ``2 + steps, field, row, column`` of a series, aerosol first."""

    def __init__(self, fields: xr.Dataset, scaling: Scaling, steps: int) -> None:
        aerosol, weather = scaling.aerosol(fields), scaling.weather_maps(fields)
        self.maps, self.length = torch.cat([aerosol[:, None], weather], dim=1), 2 + steps

    def __len__(self) -> int:
        return len(self.maps) - self.length + 1

    def __getitem__(self, i: int) -> Tensor:
        return self.maps[i : i + self.length]


def coupled(case: Case, config: AerosolTraining) -> tuple[int, Array]:
    """Parameters of a coupled network and its errors ``start, lead``."""
    lightning.seed_everything(config.seed, verbose=False)
    scaling = Scaling.of(case.train, case.weather)
    stretches = AllFields(case.train, scaling, config.unroll)
    change = torch.diff(stretches.maps, dim=0).pow(2).mean((0, 2, 3)).sqrt()
    net = Coupled(scaling, config, stretches.maps[:, 0].mean(0), change)
    drawn = RandomSampler(stretches, replacement=True, num_samples=config.steps * config.batch)
    run(make_trainer(epochs=1, steps_per_epoch=config.steps), net,
        DataLoader(stretches, batch_size=config.batch, sampler=drawn))  # fmt: skip
    maps = AllFields(case.test, scaling, 1).maps

    @torch.no_grad()
    def forecast(start: int, steps: int) -> Array:
        return scaling.aot(net.rollout(maps[None, start - 1 : start + 1], steps)[0, :, 0])

    return parameters(net), case.errors(forecast)
