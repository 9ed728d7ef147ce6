"""Forecast of aerosol where no analysis exists yet, and the prior of a scene from it.

    model = fit(series, weather=("u", "v", "q"))
    calibrate(model, later_series, steps=8)
    coming = forecast(model, fields, start, steps=8)
    write(scene_prior(coming, latitude, longitude, time), Path("atmosphere.nc"))

The uncertainty at each lead time is what the model was off by in a series that it was not fitted
on, where the weather was known: the error of a weather forecast is not in it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import xarray as xr
from torch.utils.data import DataLoader

from atmorep_bridge.aerosol.model import AerosolModel
from atmorep_bridge.aerosol.series import AEROSOL, DIMENSIONS, Windows, later
from atmorep_bridge.air.box import at_points, load_box
from atmorep_bridge.air.footprint import Footprint
from atmorep_bridge.air.state import SCALARS, aot_sd, atmosphere
from sifnet.errors import SifnetError

HOUR = np.timedelta64(3_600_000_000_000, "ns")


@torch.no_grad()
def calibrate(model: AerosolModel, held_out: xr.Dataset, steps: int) -> None:
    """Learn the uncertainty of every lead time up to ``steps`` from a series not fitted on.

    The standard deviation is the rms error, bias included, of forecasts from every start.

    Raises:
        SifnetError: too few steps, another grid, a field absent or with gaps.
    """
    windows = Windows(held_out, model.scaling, steps)
    squares = torch.zeros(steps, dtype=torch.float64)
    for aerosol, weather in DataLoader(windows, batch_size=16):
        misfit = model.net.rollout(aerosol[:, :2], weather) - aerosol[:, 2:]
        squares += (misfit.double() ** 2).mean((2, 3)).sum(0)
    model.errors = tuple(torch.sqrt(squares / len(windows)).tolist())


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
    now = np.datetime64(str(start), "ns")
    fields = scaling.refuse_other(fields)
    past = scaling.aerosol(_at(fields, [later(now, scaling.step, -1), now]))
    times = [later(now, scaling.step, i) for i in range(steps + 1)]
    if scaling.weather:
        weather = scaling.weather_maps(_at(fields, times))
    else:
        weather = past.new_empty(steps + 1, 0, *past.shape[1:])
    states = torch.cat([past[1:], model.net.rollout(past[None], weather[None])[0]])
    aot = scaling.aot(states)
    sd = np.array([0.0, *model.errors[:steps]])[:, None, None]
    coming = xr.Dataset(
        {
            AEROSOL: (DIMENSIONS, aot, SCALARS[AEROSOL]),
            f"{AEROSOL}_uncertainty": (DIMENSIONS, scaling.aot_sd(aot, sd), {"units": "1"}),
        },
        {"time": times, "latitude": fields["latitude"], "longitude": fields["longitude"]},
    )
    drivers = ", ".join(scaling.weather) or "no weather"
    return coming.assign_attrs(
        source=f"aerosol forecast from {str(now)[:16]}, driven by {drivers}", start=str(now)
    )


def scene_prior(
    coming: xr.Dataset, latitude: float, longitude: float, time: str | np.datetime64
) -> xr.Dataset:
    """A forecast at a place and time, as ``sifnet fit --atmosphere`` reads it.

    Bilinear in space, linear in time. To the uncertainty of the forecast that of the analysis it
    starts from is added in quadrature (``state.aot_sd``). Merge it into the file of
    ``state.state``, or write it alone with ``state.write``.

    Raises:
        SifnetError: the forecast does not reach the place or the time.
    """
    footprint = Footprint.at(latitude, longitude, time)
    here = at_points(load_box(coming, footprint, beyond=0 * HOUR), footprint).isel(point=0)
    aot, ahead = float(here[AEROSOL]), float(here[f"{AEROSOL}_uncertainty"])
    comment = f"forecast {ahead:.3g}, analysis {aot_sd(aot):.3g}"
    return atmosphere(
        {AEROSOL: (aot, float(np.hypot(ahead, aot_sd(aot))), comment)},
        footprint,
        title=f"Aerosol at {latitude:g} N, {longitude:g} E",
        source=coming.attrs["source"],
        acquisition_time=str(footprint.time[0].astype("datetime64[s]")),
    ).drop_vars(list(footprint.middle))


def _at(fields: xr.Dataset, times: Sequence[np.datetime64]) -> xr.Dataset:
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
