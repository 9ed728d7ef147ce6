"""A model asked about a region of any size: tiles of its neighbourhood, which overlap."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
import xarray as xr
from lightning.fabric.utilities import move_data_to_device
from numpy.typing import NDArray
from torch import Tensor

from atmorep_bridge.core.filling import Filled, from_visible
from atmorep_bridge.core.masks import Kind, Kinds
from atmorep_bridge.core.samples import NOISE, info, refuse_small
from atmorep_bridge.core.statistics import Place
from atmorep_bridge.core.tokens import ByField, from_tokens, on_points
from atmorep_bridge.core.training import Core
from atmorep_bridge.core.windows import SPACE_TIME, Region, Times, every
from atmorep_bridge.fields.axes import turned
from atmorep_bridge.fields.quantities import quantity
from sifnet.errors import SifnetError

TILES = 16  # predicted at once


def suits(core: Core, region: Region) -> Place:
    """Where a region lies on the model's grid.

    Raises:
        SifnetError: another region, other steps in time, other levels, or too small a region.
    """
    setup = core.setup
    missing = [name for name in setup.names if name not in region.data]
    if missing:
        raise SifnetError(
            "the checkpoint is of another set of fields",
            found=f"fields {', '.join(map(str, region.data.data_vars))}",
            expected=", ".join(setup.names),
            remedy="Open the region with the fields of the model.",
        )
    if (region.hours, region.level_kind) != (setup.hours, setup.level_kind):
        raise SifnetError(
            "the fields are not of the kind the model was trained on",
            found=f"every {every(region.hours)}, {region.level_kind or 'no'} levels",
            expected=f"every {every(setup.hours)}, {setup.level_kind or 'no'} levels",
            remedy="Download fields like those of the training.",
        )
    if others := {n: u for n, u in region.units.items() if u != core.statistics.fields[n].unit}:
        raise SifnetError(
            "the fields are in other units than those the model was trained on",
            found=", ".join(f"{name} in {unit}" for name, unit in others.items()),
            expected=", ".join(f"{n} in {core.statistics.fields[n].unit}" for n in others),
            remedy="Convert them, and say so in the attribute `units`.",
        )
    _, rows, columns = setup.neighbourhood
    if region.latitude.size < rows or region.longitude.size < columns:
        refuse_small(region, setup)
    return core.statistics.place(region)


def base(core: Core, region: Region, name: str, anomaly: Tensor, kinds: Kinds) -> Filled:
    """What windows of a whole region are filled with where hours are hidden or values missing.

    Args:
        anomaly: ``window, level, time, latitude, longitude``. kinds: the same everywhere.
    """
    (spec,) = (s for s in core.setup.fields if s.name == name)
    hidden = on_points(torch.from_numpy(kinds[name])[None] == Kind.HIDDEN, spec.patch)
    visible = ~hidden[:, :, :, :1, :1] & torch.isfinite(anomaly)
    (rows, columns), reach = core.statistics.place(region), core.statistics.linear[name].reach
    more = (0, 0, 0, 0)
    if region.wraps:
        east = np.arange(-reach, columns.size + reach) % columns.size
        anomaly, visible = anomaly[..., east], visible[..., east]
        columns, more = columns[east], (0, 0, reach, reach)
    return from_visible(core.statistics, name, anomaly, visible, (rows, columns), more)


@torch.inference_mode()
def predict(
    core: Core, region: Region, anomaly: ByField, times: Times, kinds: Kinds,
    error: ByField | None = None, align: int = 1,
) -> ByField:  # fmt: skip
    """Anomalies of an ensemble, in windows of the model's length over a whole region.

    Args:
        anomaly: of each field ``window, level, time, latitude, longitude``.
        times: ``window, time``.
        kinds: of one tile, see ``masks``; the same for all.
        error: to be expected of anomalies that are not hidden; of another analysis if none.
        align: points of which corners of tiles are a multiple, those of coarse blocks.

    Returns:
        Of each field ``member, window, level, time, latitude, longitude``; what was seen as it was.
    """
    given = anomaly
    if error is None:
        found = {name: base(core, region, name, v, kinds) for name, v in anomaly.items()}
        noisy = {n: bool((k == Kind.NOISY).any()) for n, k in kinds.items()}
        error = {n: torch.full_like(e, NOISE) if noisy[n] else e for n, (_, e) in found.items()}
        anomaly = {n: filled for n, (filled, _) in found.items()}
    setup = core.setup
    core = core.eval()
    members = setup.size.members
    total = {n: torch.zeros(members, *v.shape) for n, v in anomaly.items()}
    _, rows, columns = setup.neighbourhood
    own, places = core.statistics.place(region)
    blend = _blend(rows)[:, None] * _blend(columns)
    weight = torch.zeros(region.latitude.size, region.longitude.size)
    flat = {n: torch.from_numpy(k).reshape(1, -1) for n, k in kinds.items()}
    for north, east in _tiles(region, rows, columns, align):
        where = slice(north, north + rows), torch.from_numpy(east)
        weight[where] += blend
        place = slice(own.start + north, own.start + north + rows), places[east]
        for first in range(0, times.shape[0], TILES):
            some = slice(first, first + TILES)
            tile = [{n: v[some, :, :, where[0]][..., where[1]] for n, v in part.items()}
                    for part in (anomaly, error)]  # fmt: skip
            for name, values in _tile(core, tile, times[some], flat, place).items():
                sums = total[name][:, some, :, :, where[0]]
                sums.index_add_(-1, where[1], values * blend)
    blended = {}
    for spec in setup.fields:
        hidden = on_points(torch.from_numpy(kinds[spec.name])[None] != Kind.SEEN, spec.patch)
        # Plans of tasks are the same everywhere. A rest of a coarse block is in no tile.
        predicted = hidden[0, :, :, :1, :1] & (weight > 0)
        seen = torch.nan_to_num(given[spec.name])
        mean = total[spec.name] / weight.clamp(min=1e-9)
        blended[spec.name] = torch.where(predicted, mean, seen)
    return blended


def _tile(core: Core, filled: list[ByField], times: Times, kinds: ByField, place: Place) -> ByField:
    """Of each field ``member, window, level, time, row, column``, zero where tokens are seen."""
    setup, statistics, n = core.setup, core.statistics, times.shape[0]
    told = {
        s.name: torch.stack([info(setup, statistics, s, hours, place) for hours in times])
        for s in setup.fields
    }
    kind = {name: k.expand(n, -1) for name, k in kinds.items()}
    local = {name: statistics.pattern(name, place).expand(n, -1, -1, -1, -1) for name in kinds}
    device = next(core.parameters()).device
    ensemble = core(*move_data_to_device((*filled, local, kind, told), device))
    windows = {}
    for spec in setup.fields:
        # Tails are quantiles in an order that differs from value to value of a token: a member
        # would lose its spread where tiles overlap and in every mean over points.
        members = ensemble[spec.name][0].cpu().sort(0).values
        chosen = kind[spec.name] != Kind.SEEN
        tokens = torch.zeros(members.shape[0], *chosen.shape, spec.values)
        tokens[:, chosen] = members
        window = from_tokens(tokens.flatten(0, 1), spec.patch, setup.grid(spec))
        windows[spec.name] = window.view(members.shape[0], n, *window.shape[1:])
    return windows


def _tiles(
    region: Region, rows: int, columns: int, align: int
) -> Iterator[tuple[int, NDArray[np.int64]]]:
    """First row and all columns of tiles that cover a region, each half over the next."""
    width = region.longitude.size
    easts = _corners(width, columns, align)
    if region.wraps:
        easts = list(range(0, width, max(columns // 2 // align * align, 1)))
    for north in _corners(region.latitude.size, rows, align):
        for east in easts:
            yield north, (east + np.arange(columns)) % width


def _corners(points: int, tile: int, align: int) -> list[int]:
    """Corners of tiles from the first to the last that is a multiple of ``align``."""
    last = (points - tile) // align * align
    number = -(-2 * last // tile) + 1
    return sorted({round(x / align) * align for x in np.linspace(0, last, number)})


def _blend(points: int) -> Tensor:
    """Weight of a tile's points: the middle counts most, nothing counts zero."""
    place = torch.arange(points)
    return torch.minimum(place + 1, points - place).float() / ((points + 1) // 2)


def as_dataset(
    core: Core, region: Region, anomaly: ByField, times: Times, title: str
) -> xr.Dataset:
    """Values of an ensemble in our names: (member, time, level, latitude, longitude).

    Args:
        anomaly: of each field ``member, level, time, latitude, longitude``.
    """
    setup, arrays = core.setup, {}
    place = core.statistics.place(region)
    for spec in setup.fields:
        values = core.statistics.value(spec.name, anomaly[spec.name], times, place)
        low, high = quantity(spec.name).bounds
        values = values.clamp(max(low, 0.0) if low > -1 else low, high)
        array = xr.DataArray(values.numpy(), dims=("member", "level", *SPACE_TIME))
        array = array.transpose("member", "time", "level", ...)
        if spec.levels:
            array = array.assign_coords(level=list(spec.levels))
        arrays[spec.name] = array if spec.levels else array.isel(level=0)
        arrays[spec.name].attrs["units"] = core.statistics.fields[spec.name].unit
    data = xr.Dataset(arrays).assign_coords(
        member=np.arange(setup.size.members),
        time=times,
        latitude=region.latitude,
        longitude=turned(region.longitude),
    )
    return data.assign_attrs(
        title=title,
        source="AtmoRep-style masked-token model of atmorep_bridge",
        level_kind=setup.level_kind,
        files=list(region.data.attrs.get("files", [])),
    )
