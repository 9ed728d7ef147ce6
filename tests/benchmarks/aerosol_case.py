"""Series of aerosol maps to forecast (``aerosol.py``), and the cheap forecasts of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import xarray as xr
from harness import Array, rms

from atmorep_bridge.aerosol.forecast import AerosolModel
from atmorep_bridge.aerosol.series import AEROSOL

Starts = list[int]


@dataclass(frozen=True)
class Case:
    """A series to forecast: ``train`` is fitted on, forecasts start in ``test``."""

    train: xr.Dataset
    test: xr.Dataset
    weather: tuple[str, ...]
    leads: int
    every: int

    @property
    def truth(self) -> Array:
        """AOT ``time, row, column`` of the test."""
        return self.test[AEROSOL].values.astype(float)

    @property
    def starts(self) -> Starts:
        """Steps of the test from which a step at least can be forecast."""
        return list(range(1, len(self.truth) - 1, self.every))

    def errors(self, forecast: Callable[[int, int], Array]) -> Array:
        """``start, lead``: RMSE over the map; NaN where the test has ended. See ``of_model``."""
        errors = np.full((len(self.starts), self.leads), np.nan)
        for row, start in enumerate(self.starts):
            steps = min(self.leads, len(self.truth) - 1 - start)
            misfit = forecast(start, steps) - self.truth[start + 1 : start + 1 + steps]
            errors[row, :steps] = rms(misfit, (1, 2))
        return errors

    def persistence(self, start: int, steps: int) -> Array:
        """The last map, for ever."""
        return np.repeat(self.truth[start : start + 1], steps, axis=0)

    def damped_trend(self) -> Callable[[int, int], Array]:
        """The last change goes on, as much as it did in the median step of the training."""
        x = self.train[AEROSOL].values.astype(float)
        share = []
        for lead in range(1, self.leads + 1):
            trend, change = x[1:-lead] - x[: -lead - 1], x[lead + 1 :] - x[1:-lead]
            of_step = (trend * change).sum((1, 2)) / (trend**2).sum((1, 2))
            share.append(float(np.median(of_step)))

        def forecast(start: int, steps: int) -> Array:
            trend = self.truth[start] - self.truth[start - 1]
            grown = self.truth[start] + np.array(share[:steps])[:, None, None] * trend
            return np.maximum(grown, 0.0)

        return forecast

    def of_model(self, model: AerosolModel, *, held: bool = False) -> Callable[[int, int], Array]:
        """A model's forecast of AOT ``step, row, column``; ``held``: weather stays as at start."""
        aerosol = model.scaling.aerosol(self.test)
        weather = model.scaling.weather_maps(self.test)

        def forecast(start: int, steps: int) -> Array:
            coming = weather[start : start + steps + 1]
            if held:
                coming = np.repeat(coming[:1], steps + 1, axis=0)
            return model.scaling.aot(model.ridge.rollout(aerosol[start - 1 : start + 1], coming))

        return forecast
