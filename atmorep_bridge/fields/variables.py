"""Any CF variable that states its unit: index series and maps, by the month."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import xarray as xr

from atmorep_bridge.fields.axes import files_of
from atmorep_bridge.fields.formats import readable
from atmorep_bridge.fields.opening import open_series
from sifnet.errors import SifnetError

MAP = ("time", "latitude", "longitude")
SPANNED = 0.8  # share of a month from its first time to its last


def open_variables(sources: Sequence[str | Path], names: Iterable[str]) -> dict[str, xr.DataArray]:
    """Monthly series ``time`` or ``time, latitude, longitude`` by name, each of its own grid.

    Steps below a month are averaged.

    Raises:
        SifnetError: see ``open_series``; or a variable has other dimensions.
    """
    return {name: _by_month(open_series(sources, [name]), name) for name in names}


def _by_month(data: xr.Dataset, name: str) -> xr.DataArray:
    values = data[name].squeeze([d for d in ("member", "level") if data.sizes.get(d) == 1])
    if values.dims not in (MAP, MAP[:1]):
        raise SifnetError(
            f"{name} is no series and no series of maps",
            found="dimensions " + (", ".join(map(str, values.dims)) or "none"),
            expected="time, or time, latitude, longitude",
            remedy="Select one level, or the mean of the members.",
            file=files_of(data),
        )
    with readable(files_of(data)):
        return monthly(values.astype(np.float64).compute())


def monthly(values: xr.DataArray) -> xr.DataArray:
    """Means of months, at their first day, of those whose times span most of the month."""
    times = values["time"].to_series()
    month = times.dt.to_period("M")
    values = values.assign_coords(time=month.dt.to_timestamp().to_numpy())
    if month.is_unique:
        return values
    day = times.dt.day + times.dt.hour / 24
    span = day.groupby(month).max() - day.groupby(month).min()
    full = span >= SPANNED * times.dt.days_in_month.groupby(month).first()
    means = values.groupby("time").mean(skipna=False, keep_attrs=True)
    return means.sel(time=full.index[full].to_timestamp())
