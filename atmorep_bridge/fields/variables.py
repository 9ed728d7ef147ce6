"""Any CF variable that states its unit: index series and maps, by the month."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import xarray as xr

from atmorep_bridge.fields.axes import with_place, with_time
from atmorep_bridge.fields.formats import open_raw, readable
from sifnet.errors import SifnetError

MAP = ("time", "latitude", "longitude")
SPANNED = 0.8  # share of a month from its first time to its last


def open_variables(sources: Sequence[str | Path], names: Iterable[str]) -> dict[str, xr.DataArray]:
    """Monthly series ``time`` or ``time, latitude, longitude`` by name, in the unit of the file.

    A name is the variable's own or its ``standard_name``. Steps below a month are averaged.

    Raises:
        SifnetError: no file has a name, or what it means cannot be used; see ``open_raw``.
    """
    raw = [(str(source), data) for source in sources for data in open_raw(str(source))]
    return {name: _variable(name, raw) for name in names}


def _variable(name: str, raw: list[tuple[str, xr.Dataset]]) -> xr.DataArray:
    parts: list[xr.DataArray] = []
    held: list[str] = []
    units: set[str] = set()
    for source, data in raw:
        held += map(str, data.data_vars)
        for own, values in data.data_vars.items():
            if name in (own, values.attrs.get("standard_name")):
                units.add(unit_of(values, source))
                parts.append(_labelled(data[[own]].rename({own: name}), source)[name])
    if not parts:
        raise SifnetError(
            f"no file holds the variable {name}",
            found=", ".join(dict.fromkeys(held)) or "no variable",
            expected="a variable of this name or standard_name",
            remedy="Give its file too, or another name.",
            file=", ".join(dict.fromkeys(source for source, _ in raw)),
        )
    places = {p[MAP[1]].values.tobytes() + p[MAP[2]].values.tobytes() if p.ndim == 3 else b""
              for p in parts}  # fmt: skip
    if len(units) > 1 or len(places) > 1:
        raise SifnetError(
            f"files hold {name} in different units or on different grids",
            found=", ".join(sorted(units)),
            expected="one unit and one grid",
            remedy="Leave out the file that differs.",
        )
    whole = xr.concat(parts, "time").drop_duplicates("time").sortby("time")
    return monthly(whole).rename(name).assign_attrs(units=units.pop())


def unit_of(values: xr.DataArray, source: str) -> str:
    """What the file says the numbers are in.

    Raises:
        SifnetError: it does not say.
    """
    if "units" not in values.attrs:
        raise SifnetError(
            f"{values.name} has no unit",
            found="no attribute `units`",
            expected="a CF unit, 1 for a pure number",
            remedy="Add it to the file.",
            file=source,
        )
    return str(values.attrs["units"])


def _labelled(data: xr.Dataset, source: str) -> xr.Dataset:
    """Our axes: time, and latitude and longitude where there are more dimensions."""
    data = data.squeeze([d for d in data.dims if d not in ("time", "lat", "lon") and
                         data.sizes[d] == 1 and d not in MAP])  # fmt: skip
    values = data[next(iter(data.data_vars))]
    data = with_time(with_place(data, source) if values.ndim > 1 else data, source)
    values = data[next(iter(data.data_vars))]
    if values.dims not in (MAP, MAP[:1]):
        values = values.transpose(*MAP, missing_dims="ignore")
    if values.dims not in (MAP, MAP[:1]):
        raise SifnetError(
            f"{values.name} is no series and no series of maps",
            found="dimensions " + (", ".join(map(str, values.dims)) or "none"),
            expected="time, or time, latitude, longitude",
            remedy="Select one level, or the mean of the members.",
            file=source,
        )
    with readable(source):
        return values.astype(np.float64).compute().to_dataset()


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
    return values.groupby("time").mean(skipna=False).sel(time=full.index[full].to_timestamp())
