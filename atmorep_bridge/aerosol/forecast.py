"""Forecast of aerosol where no analysis exists yet.

    model = fit(series, weather=("u", "v", "q"))
    calibrate(model, later_series, steps=8)
    coming = forecast(model, fields, start, steps=8)
    write(atmosphere_at(coming, latitude, longitude, time), Path("atmosphere.nc"))

The uncertainty at each lead time is what the model was off by in a series that it was not fitted
on, where the weather was known: the error of a weather forecast is not in it.
"""

from __future__ import annotations

import numpy as np
import torch
import xarray as xr
from torch.utils.data import DataLoader

from atmorep_bridge.aerosol.model import AerosolModel
from atmorep_bridge.aerosol.series import AEROSOL, windows
from atmorep_bridge.air.state import SCALARS
from atmorep_bridge.core.windows import Times, later
from atmorep_bridge.fields.variables import MAP
from sifnet.errors import SifnetError


@torch.no_grad()
def calibrate(model: AerosolModel, held_out: xr.Dataset, steps: int) -> None:
    """Learn the uncertainty of every lead time up to ``steps`` from a series not fitted on.

    The standard deviation is the rms error, bias included, of forecasts from every start.

    Raises:
        SifnetError: too few steps, another grid, a field absent or with gaps.
    """
    stretches = windows(held_out, model.scaling, steps)
    squares = torch.zeros(steps, dtype=torch.float64)
    for aerosol, weather in DataLoader(stretches, batch_size=16):
        misfit = model.net.rollout(aerosol[:, :2], weather) - aerosol[:, 2:]
        squares += (misfit.double() ** 2).mean((2, 3)).sum(0)
    model.errors = tuple(torch.sqrt(squares / len(stretches)).tolist())


@torch.no_grad()
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
        SifnetError: a time is absent, more steps than calibrated, another grid, gaps.
    """
    scaling = model.scaling
    if not 1 <= steps <= len(model.errors):
        raise SifnetError(
            "the aerosol model's uncertainty is not known so far ahead",
            found=f"{steps} steps",
            expected=f"1 to {len(model.errors)}" if model.errors else "a calibrated model",
            remedy="Call calibrate with a held-out series and as many steps.",
            command="Train again with more --steps.",
        )
    fields = scaling.refuse_other(fields)
    times = later(np.datetime64(str(start)), np.arange(-1, steps + 1), scaling.step)
    past = scaling.aerosol(_at(fields, times[:2]))
    if scaling.weather:
        weather = scaling.weather_maps(_at(fields, times[1:]))
    else:
        weather = past.new_empty(steps + 1, 0, *past.shape[1:])
    states = torch.cat([past[1:], model.net.rollout(past[None], weather[None])[0]])
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


def _at(fields: xr.Dataset, times: Times) -> xr.Dataset:
    """Fields of some times.

    Raises:
        SifnetError: one of the times is absent.
    """
    there = fields["time"].values
    for time in times:
        if time not in there:
            raise SifnetError(
                f"the fields lack a time: {str(time)[:16]}",
                found=f"{str(there[0])[:16]} to {str(there[-1])[:16]}" if there.size else "none",
                expected=f"{str(times[0])[:16]} to {str(times[-1])[:16]}",
                remedy="Give two analyses of aerosol and the weather up to the last step.",
            )
    return fields.sel(time=times)
