"""The network that aerosol was forecast with before, beside the regression (``aerosol.py``).

    x(t+1) = x(t) + f( Pool( P(x(t-1), x(t)), M(m(t), m(t+1)) ), base )

P, M and f are convolutions over the map, of 3 x 3. Units are those of ``aerosol.series.Scaling``.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from aerosol_case import Case
from harness import Array, parameters
from torch import Tensor, nn
from torch.nn import functional

from atmorep_bridge.aerosol.series import Scaling

ROBUST = 0.1  # of the typical change, from which an error counts by its size, not its square
TINY = 1e-4  # below which roots and norms fade out instead of having an endless slope
BASE = 3  # maps of the base: the state, its last change, the mean of the training


def padded(maps: Tensor, periodic: bool) -> Tensor:
    """``..., row + 2, column + 2``: around the Earth in longitude if periodic, else repeated."""
    maps = torch.cat([maps[..., :1, :], maps, maps[..., -1:, :]], dim=-2)
    west, east = maps[..., :1], maps[..., -1:]
    return torch.cat([east, maps, west] if periodic else [west, maps, east], dim=-1)


class Convolution(nn.Conv2d):
    """3 x 3, of the same size as its input, on a grid that may go around the Earth."""

    def __init__(self, inputs: int, outputs: int, *, periodic: bool) -> None:
        super().__init__(inputs, outputs, 3)
        self.periodic = periodic

    def forward(self, maps: Tensor) -> Tensor:
        """``batch, feature, row, column``."""
        return super().forward(padded(maps, self.periodic))


def encoder(inputs: int, width: int, *, periodic: bool) -> nn.Sequential:
    """Features of maps ``batch, input, row, column``: what is within two pixels."""
    return nn.Sequential(
        Convolution(inputs, width, periodic=periodic),
        nn.GELU(),
        Convolution(width, width, periodic=periodic),
    )


class Pool(nn.Module):
    """Features of aerosol p and weather m, ``batch, width, row, column``, as one z of that width.

    z = Uᵀ((V p) ∘ (W m)), then sign(z) √|z|, then z / ‖z‖₂ over features (low-rank bilinear
    pooling, Kim et al. 2017, arXiv:1610.04325; normalised as Lin et al. 2015, arXiv:1504.07889).
    Without weather, z = Uᵀ V p.
    """

    def __init__(self, width: int, rank: int, *, weather: bool) -> None:
        super().__init__()
        self.v = nn.Conv2d(width, rank, 1)
        self.w = nn.Conv2d(width, rank, 1) if weather else None
        self.u = nn.Conv2d(rank, width, 1)

    def forward(self, p: Tensor, m: Tensor | None) -> Tensor:
        """Pooled features ``batch, width, row, column``."""
        if self.w is None:
            return self.u(self.v(p))
        return normalised(self.u(self.v(p) * self.w(m)))


def normalised(z: Tensor) -> Tensor:
    """Signed square root, then unit length over features (dimension 1)."""
    root = z / torch.sqrt(z.abs() + TINY)
    return root / torch.sqrt((root**2).sum(dim=1, keepdim=True) + TINY)


class AerosolNet(nn.Module):
    """One step of aerosol, in the units of ``series.Scaling``.

    Args:
        fields: number of weather fields; with none, it knows no weather.
        width: features of P, M and f; rank: of the pooling.
        mean: ``row, column``, the mean map of the training.
        change: typical change in a step, which the network's output is counted in.
        periodic: the grid goes around the Earth.
    """

    mean: Tensor

    def __init__(
        self,
        fields: int,
        *,
        width: int,
        rank: int,
        mean: Tensor,
        change: float,
        periodic: bool,
    ) -> None:
        super().__init__()
        self.change = change
        self.register_buffer("mean", mean)
        self.aerosol = encoder(BASE, width, periodic=periodic)
        self.weather = encoder(2 * fields, width, periodic=periodic) if fields else None
        self.pool = Pool(width, rank, weather=fields > 0)
        first = Convolution(width + BASE, width, periodic=periodic)
        last = Convolution(width, 1, periodic=periodic)
        nn.init.normal_(last.weight, std=0.1 / math.sqrt(9 * width))
        if last.bias is not None:  # untrained, it says persistence, nearly
            nn.init.zeros_(last.bias)
        self.increment = nn.Sequential(first, nn.GELU(), last)

    def forward(self, before: Tensor, now: Tensor, weather: Tensor) -> Tensor:
        """Aerosol a step ahead, ``batch, row, column``.

        Args:
            before, now: aerosol a step ago and now, ``batch, row, column``.
            weather: now and a step ahead, ``batch, 2, field, row, column``.
        """
        base = torch.stack([now, (now - before) / self.change, now - self.mean], dim=1)
        met = None if self.weather is None else self.weather(weather.flatten(1, 2))
        z = self.pool(self.aerosol(base), met)
        return now + self.change * self.increment(torch.cat([z, base], dim=1))[:, 0]

    def rollout(self, past: Tensor, weather: Tensor) -> Tensor:
        """Aerosol of coming steps, ``batch, step, row, column``, each from those before it.

        Args:
            past: a step ago and now, ``batch, 2, row, column``.
            weather: now and at every step, ``batch, 1 + step, field, row, column``.
        """
        before, now = past.unbind(1)
        states = []
        for step in range(weather.shape[1] - 1):
            before, now = now, self(before, now, weather[:, step : step + 2])
            states.append(now)
        return torch.stack(states, dim=1)


@dataclass(frozen=True)
class Training:
    """How it is fitted: Adam, one cycle of the learning rate, ``unroll`` steps forecast in turn."""

    width: int = 16
    rank: int = 32
    steps: int = 600
    batch: int = 8
    unroll: int = 3
    learning_rate: float = 1e-2


def network(case: Case, config: Training, seed: int, *, weather: bool = True) -> tuple[
    int, Callable[[int, int], Array]
]:  # fmt: skip
    """Number of parameters, and the forecast of AOT ``step, row, column``."""
    torch.manual_seed(seed)
    scaling = Scaling.of(case.train, case.weather if weather else ())
    aerosol, met = (torch.from_numpy(make(case.train))
                    for make in (scaling.aerosol, scaling.weather_maps))  # fmt: skip
    change = float((aerosol.diff(dim=0) ** 2).mean().sqrt())
    net = AerosolNet(met.shape[1], width=config.width, rank=config.rank, mean=aerosol.mean(0),
                     change=change, periodic=scaling.periodic)  # fmt: skip
    optimizer = torch.optim.Adam(net.parameters())
    cycle = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, config.learning_rate, total_steps=config.steps
    )
    for _ in range(config.steps):
        first = torch.randint(len(aerosol) - config.unroll - 1, (config.batch, 1))
        near = first + torch.arange(config.unroll + 2)
        misfit = net.rollout(aerosol[near[:, :2]], met[near[:, 1:]]) - aerosol[near[:, 2:]]
        misfit = misfit / change
        loss = functional.smooth_l1_loss(misfit, torch.zeros_like(misfit), beta=ROBUST)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        cycle.step()
    past, coming = (torch.from_numpy(make(case.test))
                    for make in (scaling.aerosol, scaling.weather_maps))  # fmt: skip

    @torch.no_grad()
    def forecast(start: int, steps: int) -> Array:
        states = net.rollout(past[None, start - 1 : start + 1],
                             coming[None, start : start + steps + 1])  # fmt: skip
        return scaling.aot(np.asarray(states[0]))

    return parameters(net), forecast
