"""What is usual at a place, a day of the year and an hour: harmonics, without steps in between."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

YEAR = 365.2425  # days
ANNUAL, DAILY = 3, 4  # harmonics of the year and of the day at most
DOUBT = 0.5  # hours' worth of evidence against every harmonic


def cycles(days: float, hours: int, *, daily: bool) -> tuple[int, int]:
    """How many harmonics of the year and of the day a series can teach.

    Args:
        days: length of the series; of less than half a year, none of the year, of which it would
            say what follows. hours: between times.
    """
    annual = 0 if days < 180 else 1 if days < 360 else 2 if days < 1000 else ANNUAL
    return annual, min(DAILY, max((24 // hours - 1) // 2, 0)) if daily else 0


def harmonics(times: NDArray[np.datetime64], annual: int, daily: int) -> Tensor:
    """``time, harmonic``: 1, the year, the day, and the day's first two through the year."""
    days = times.astype("datetime64[s]").astype(np.int64) / 86400
    year, day = (2 * np.pi * phase for phase in (days / YEAR % 1, days % 1))
    waves = [[f(k * angle) for k in range(1, n + 1) for f in (np.cos, np.sin)]
             for angle, n in ((year, annual), (day, daily))]  # fmt: skip
    both = [a * b for a in waves[0][:2] for b in waves[1][:4]]
    return torch.from_numpy(np.stack([np.ones(days.shape), *waves[0], *waves[1], *both], -1))


class Fit:
    """Harmonics of one field by least squares, its values added chunk by chunk."""

    def __init__(self) -> None:
        self.among: Tensor = torch.zeros(())
        self.toward: Tensor = torch.zeros(())
        self.square: Tensor = torch.zeros(())
        self.origin: Tensor | None = None
        self.known: Tensor = torch.zeros((), dtype=torch.bool)

    def add(self, values: Tensor, waves: Tensor) -> None:
        """Values ``level, time, latitude, longitude``; missing ones count as the mean of those
        of their point that come with them."""
        if self.origin is None:
            self.origin = values.nanmean(1, keepdim=True).nan_to_num()
        self.known = self.known | torch.isfinite(values).any(1)
        far = values - self.origin
        if not torch.isfinite(far).all():
            far = torch.where(torch.isfinite(far), far, far.nanmean(1, keepdim=True).nan_to_num())
        self.among = self.among + waves.T @ waves
        self.square = self.square + (far**2).sum(1)
        level, time = far.shape[:2]
        toward = waves.T.float() @ far.transpose(0, 1).reshape(time, -1)
        self.toward = self.toward + toward.view(-1, level, *far.shape[2:])

    def solved(self) -> tuple[Tensor, Tensor]:
        """``harmonic, level, latitude, longitude``, NaN where no value ever was, and the sd of what
        is left at every point."""
        assert self.origin is not None
        doubt = torch.full((len(self.among),), DOUBT, dtype=self.among.dtype)
        doubt[0] = 0.0
        inverse = torch.linalg.inv(self.among + torch.diag(doubt))
        toward = self.toward.flatten(1).double()
        found = inverse @ toward
        explained = (found * (2 * toward - self.among @ found)).sum(0)
        left = (self.square.double().flatten() - explained) / self.among[0, 0]
        found = found.float().view(self.toward.shape)
        found[0] += self.origin[:, 0]
        found[0][~self.known] = torch.nan  # land of an ocean's field: nothing to be said there
        return found, left.clamp(min=0).sqrt().float().view(self.toward.shape[1:])
