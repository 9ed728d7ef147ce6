"""Forecast of aerosol where no analysis exists yet.

    model = fit(series, weather=("u", "v", "q"))
    model = calibrated(model, later_series, steps=8)
    coming = forecast(model, fields, start, steps=8)
    write(atmosphere_at(coming, latitude, longitude, time), Path("atmosphere.nc"))

The uncertainty at each lead time is what the model was off by in a series that it was not fitted
on, where the weather was known: the error of a weather forecast is not in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
import xarray as xr
from lightning_utilities.core.apply_func import apply_to_collection

from atmorep_bridge.aerosol import ridge
from atmorep_bridge.aerosol.ridge import Choice, Ridge
from atmorep_bridge.aerosol.series import AEROSOL, Scaling
from atmorep_bridge.air.state import SCALARS
from atmorep_bridge.core.times import later
from atmorep_bridge.fields.variables import MAP
from sifnet.errors import SifnetError
from sifnet.files import checkpoint, save_checkpoint

KIND = "an aerosol model of bilinear ridge regression"


@dataclass(frozen=True)
class AerosolModel:
    """A regression with the grid and the statistics it was fitted on.

    Attributes:
        errors: standard deviation of the forecast at each lead time, in ``scaling.root_sd``; empty
            before ``calibrated``.
    """

    scaling: Scaling
    ridge: Ridge
    errors: tuple[float, ...] = ()

    def save(self, path: str | Path) -> None:
        """Write a checkpoint that needs no other file, whole or not at all.

        Raises:
            SifnetError: the path cannot be written.
        """
        save_checkpoint(path, KIND, apply_to_collection(asdict(self), np.ndarray, torch.from_numpy))


def load(path: str | Path) -> AerosolModel:
    """Read a checkpoint; only tensors and plain values are read, no code runs.

    Raises:
        SifnetError: missing, no checkpoint of an aerosol model, or of another format.
    """
    with checkpoint(path, KIND, "atmorep-bridge aerosol train") as content:
        c = apply_to_collection(content, torch.Tensor, torch.Tensor.numpy)
        law = Ridge(**c["ridge"] | {"choice": Choice(**c["ridge"]["choice"])})
        return AerosolModel(Scaling(**c["scaling"]), law, c["errors"])


def fit(series: xr.Dataset, *, weather: Sequence[str]) -> AerosolModel:
    """Fit on a series of ``aot_550`` and weather, (time, latitude, longitude).

    Keep a later part of it, a gap of some steps away, for ``calibrated``.

    Args:
        weather: names of the fields that drive the aerosol, any that say what moves, makes or
            washes it out; it may be none.

    Raises:
        SifnetError: a field is absent or has gaps, too few steps, an uneven grid.
    """
    scaling = Scaling.of(series, weather)
    series = scaling.refuse_other(series, ridge.LEAST)
    maps = scaling.aerosol(series), scaling.weather_maps(series)
    return AerosolModel(scaling, ridge.fit(*maps, scaling.periodic))


def calibrated(model: AerosolModel, held_out: xr.Dataset, steps: int) -> AerosolModel:
    """With the uncertainty of every lead time up to ``steps``, from a series not fitted on.

    The standard deviation is the rms error, bias included, of forecasts from every start.

    Raises:
        SifnetError: too few steps, another grid, a field absent or with gaps.
    """
    held_out = model.scaling.refuse_other(held_out, steps + 2)
    states = ridge.stretches(model.scaling.aerosol(held_out), 2 + steps)
    weather = ridge.stretches(model.scaling.weather_maps(held_out)[1:], 1 + steps)
    squares = [((model.ridge.rollout(own[:2], driver) - own[2:]) ** 2).mean((1, 2), dtype=float)
               for own, driver in zip(states, weather, strict=True)]  # fmt: skip
    return replace(model, errors=tuple(np.sqrt(np.mean(squares, axis=0)).tolist()))


def forecast(
    model: AerosolModel, fields: xr.Dataset, start: str | np.datetime64, steps: int
) -> xr.Dataset:
    """``aot_550`` and ``aot_550_uncertainty`` on (time, latitude, longitude), from the start on.

    The first map is the analysis at the start; its own uncertainty is not counted in.

    Args:
        fields: ``aot_550`` at the start and a step before it; weather from the start to the end.
            What it holds of aerosol after the start is not looked at.
        steps: of the model, at most as many as were calibrated.

    Raises:
        SifnetError: more steps than calibrated, another grid, a time that is absent, or gaps.
    """
    scaling = model.scaling
    if not 1 <= steps <= len(model.errors):
        raise SifnetError(
            "the aerosol model's uncertainty is not known so far ahead",
            found=f"{steps} steps",
            expected=f"1 to {len(model.errors)}" if model.errors else "a calibrated model",
            remedy="Call calibrated with a held-out series and as many steps.",
            command="Train again with more --steps.",
        )
    times = later(np.datetime64(str(start)), np.arange(-1, steps + 1), scaling.step)
    fields = scaling.refuse_other(fields).reindex(time=times)
    past = scaling.aerosol(fields.isel(time=slice(2)))
    weather = scaling.weather_maps(fields.isel(time=slice(1, None)))
    states = np.concatenate([past[1:], model.ridge.rollout(past, weather)])
    aot = scaling.aot(states)
    sd = np.array([0.0, *model.errors[:steps]])[:, None, None]
    coming = xr.Dataset(
        {
            AEROSOL: (MAP, aot, SCALARS[AEROSOL]),
            f"{AEROSOL}_uncertainty": (MAP, scaling.aot_sd(aot, sd), {"units": "1"}),
        },
        {"time": times[1:], "latitude": fields["latitude"], "longitude": fields["longitude"]},
    )
    drivers = ", ".join(scaling.weather) or "no weather"
    return coming.assign_attrs(
        source=f"aerosol forecast from {str(times[1])[:16]}, driven by {drivers}",
        start=str(times[1]),
    )
