"""Point observations in hours that are hidden: they correct what was filled, wherever errors go.

Optimal interpolation with errors of past windows (ensemble optimal interpolation, Evensen 2003,
doi:10.1007/s10236-003-0036-9): how the error at a station goes with that elsewhere, at other hours
and of other quantities, is what the base erred by in past analyses; how large it is now, the
members say. Far correlations are noise and fade with distance (Gaspari & Cohn 1999,
doi:10.1002/qj.49712555417, eq. 4.10). Every member is corrected by observations with errors of its
own (Burgers et al. 1998), so that members stay states and spread as much less as they should.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from atmorep_bridge.core.copula import errors
from atmorep_bridge.core.masks import Kinds
from atmorep_bridge.core.specs import SHORT
from atmorep_bridge.core.times import Times, counted
from atmorep_bridge.core.tokens import ByField
from atmorep_bridge.core.training import Core
from atmorep_bridge.core.windows import Region
from sifnet.errors import SifnetError

COLUMNS = "time", "latitude", "longitude", "field", "value", "sigma"
MANY, FEWEST = 96, 8  # past windows
REACH = 100.0  # km, and a grid step at least; from twice that on, stations tell nothing
FAR = 5.0  # standard deviations; an observation that is off by more is a mistake
EARTH = 6371.0  # km
Degrees = tuple[NDArray[np.float64], NDArray[np.float64]]
"""Latitudes and longitudes."""


def read_stations(path: Path) -> pd.DataFrame:
    """A CSV file with COLUMNS: UTC, degrees, a field of the surface (t2m), its value and error.

    Value and sigma are in the field's unit; sigma holds what a place differs by from the mean of a
    grid box, too.

    Raises:
        SifnetError: it cannot be read, lacks a column, or holds what is no number.
    """
    try:
        table = pd.read_csv(path)
        missing = [name for name in COLUMNS if name not in table]
        if missing:
            raise ValueError(f"no column {', '.join(missing)}")
        table["time"] = pd.to_datetime(table["time"], utc=True).dt.tz_localize(None)
        numbers = table[["latitude", "longitude", "value", "sigma"]].astype(float)
        if not (np.isfinite(numbers).all(axis=None) and (numbers["sigma"] > 0).all()):
            raise ValueError("a value that is no number, or a sigma that is not above zero")
    except (OSError, ValueError) as error:
        raise SifnetError(
            "these stations cannot be read", found=str(error), file=path,
            expected=f"CSV with the columns {', '.join(COLUMNS)}",
            remedy="2019-03-28T09,51.48,-0.45,t2m,284.2,0.8 is a row (UTC, degrees, K).",
        ) from error  # fmt: skip
    return table.assign(field=table["field"].replace(SHORT), **numbers)


@dataclass(frozen=True)
class Points:
    """Observations of one window: hour, and the points around with their weights, of each."""

    field: list[str]
    hour: Tensor
    index: Tensor
    weight: Tensor

    def of(self, fields: ByField) -> Tensor:
        """Values there, between grid points, of ``any, level, time, row, column``."""
        each = []
        for name, hour, index, weight in zip(
            self.field, self.hour, self.index, self.weight, strict=True
        ):
            values = fields[name][:, 0, int(hour)].flatten(-2)[:, index]
            each.append((values * weight).sum(1))
        return torch.stack(each, -1)


def corrected(
    core: Core, region: Region, members: ByField, times: Times, known: int, kinds: Kinds,
    table: pd.DataFrame,
) -> ByField:  # fmt: skip
    """Members that know what stations say of the hidden hours of a window.

    Args:
        members: of each field ``member, level, time, latitude, longitude``.
        times: (time) of the window. known: index of the last time of the region that is known.
        table: of ``read_stations``; other hours, fields and places are left out.

    Raises:
        SifnetError: the region holds too few past windows to learn from.
    """
    hours = _hidden(core, kinds)
    seen, points = _points(core, region, times[hours], table)
    if seen.empty:
        return members
    value, deviation = _spread(core, region, members, times, known, kinds, hours)
    told = points.of(deviation)
    where = seen["latitude"].to_numpy(), seen["longitude"].to_numpy()
    north, east = (axis.ravel() for axis in region.grid.points)
    reach = max(REACH, float(np.deg2rad(region.grid.step[0])) * EARTH)
    near = _taper(_apart(where, (north, east)) / reach)
    expected, sigma = points.of(value), torch.tensor(seen["sigma"].to_numpy()).float()
    among = told.T @ told * _taper(_apart(where, where) / reach)
    off = torch.tensor(seen["value"].to_numpy()).float() - expected
    total = (among.diagonal() + sigma**2).sqrt()
    good = off.mean(0).abs() < FAR * total
    chance = torch.Generator().manual_seed(int(times[0].astype("datetime64[h]").astype(int)))
    noise = sigma * torch.randn(off.shape, generator=chance)
    off = (off + noise - noise.mean(0))[:, good]
    gain = torch.linalg.solve((among + torch.diag(sigma**2))[good][:, good], off.T)  # obs, member
    found = {}
    for name, own in members.items():
        toward = torch.einsum("klthw,kp->plthw", deviation[name], told[:, good])
        toward = toward * near[good].view(-1, 1, 1, *toward.shape[-2:])
        sd = core.statistics.sd(name, core.statistics.place(region))
        change = torch.einsum("plthw,pm->mlthw", toward, gain) / sd
        found[name] = own.clone()
        found[name][:, :, hours] += change
    return found


def _spread(
    core: Core, region: Region, members: ByField, times: Times, known: int, kinds: Kinds,
    hours: slice,
) -> tuple[ByField, ByField]:  # fmt: skip
    """Members in the fields' units, and errors of past windows as large as the members spread."""
    window, place = core.setup.neighbourhood[0], core.statistics.place(region)
    there = region.starts(window)
    starts = there[there <= known - window + 1][:: -core.setup.lead][:MANY].tolist()
    if len(starts) < FEWEST:
        raise SifnetError(
            "too little of the past to say how errors go together", file=region.files,
            found=f"{len(starts)} windows", expected=f"at least {FEWEST}, {core.setup.lead} steps "
            "apart", remedy="Give the days before as well.",
        )  # fmt: skip
    past = errors(core, region, starts, kinds)
    value, deviation = {}, {}
    for name, own in members.items():
        sd, part = core.statistics.sd(name, place), (slice(None), slice(None), hours)
        value[name] = core.statistics.value(name, own[part], times[hours], place)
        off = past[name][part]
        usual = (off**2).mean(0).sqrt().clamp(min=1e-6)
        deviation[name] = off / usual * own[part].std(0) * sd / len(starts) ** 0.5
    return value, deviation


def refuse_elsewhere(core: Core, region: Region, times: Times, table: pd.DataFrame) -> None:
    """Refuse stations none of which says anything of hours that are hidden.

    Raises:
        SifnetError: all are of other hours, places or fields.
    """
    if _points(core, region, times, table)[0].empty:
        raise SifnetError(
            "no station is of these hours, this map and a field of the surface",
            found=f"{len(table)} rows, {table['time'].min()} to {table['time'].max()}, of "
            + ", ".join(sorted(set(table["field"]))),
            expected=f"some of {times[0]} to {times[-1]}, {region.grid}",
            remedy="Check the time zone (UTC), the signs of longitudes, and the names of fields.",
        )


def _hidden(core: Core, kinds: Kinds) -> slice:
    """Hours of a window that are hidden, one stretch."""
    spec = core.setup.fields[0]
    at = np.flatnonzero(np.repeat(kinds[spec.name][0, :, 0, 0] > 0, spec.patch[0]))
    return slice(int(at[0]), int(at[-1]) + 1)


def _points(
    core: Core, region: Region, times: Times, table: pd.DataFrame
) -> tuple[pd.DataFrame, Points]:
    """Rows of the table that are of these times, of the map and of fields of the surface."""
    steps = counted(np.concatenate([times[:1], table["time"].to_numpy()]), region.hours)
    hour = np.round(steps[1:] - steps[0])
    place = table["latitude"].to_numpy(), table["longitude"].to_numpy()
    index, weight, inside = region.grid.between(*place)
    surface = [spec.name for spec in core.setup.fields if not spec.levels]
    inside = inside & table["field"].isin(surface).to_numpy() & (hour >= 0) & (hour < times.size)
    each = (torch.from_numpy(part[inside]) for part in (hour, index, weight.astype(np.float32)))
    return table[inside], Points(table["field"][inside].tolist(), *each)


def _apart(stations: Degrees, points: Degrees) -> Tensor:
    """Great circles between places, km, ``station, point``."""
    (y, x), (north, east) = (tuple(map(np.deg2rad, p)) for p in (stations, points))
    y, x = y[:, None], x[:, None]
    half = np.sin((north - y) / 2) ** 2
    half = half + np.cos(north) * np.cos(y) * np.sin((east - x) / 2) ** 2
    return torch.from_numpy(2 * EARTH * np.arcsin(np.sqrt(half.clip(0, 1)))).float()


def _taper(r: Tensor) -> Tensor:
    """Of distances over the reach: 1 at none, 0 from two on (Gaspari & Cohn 1999, eq. 4.10)."""
    near = 1 - 5 / 3 * r**2 + 5 / 8 * r**3 + r**4 / 2 - r**5 / 4
    far = 4 - 5 * r + 5 / 3 * r**2 + 5 / 8 * r**3 - r**4 / 2 + r**5 / 12 - 2 / (3 * r.clamp(min=1))
    return torch.where(r < 1, near, torch.where(r < 2, far, 0.0))
