"""A model asked about a region of any size: tiles of its neighbourhood, which overlap."""

from __future__ import annotations

import numpy as np
import torch
import xarray as xr
from lightning.fabric.utilities import move_data_to_device

from atmorep_bridge.core.filling import from_visible
from atmorep_bridge.core.grids import Place, Regular
from atmorep_bridge.core.masks import Kind, Kinds
from atmorep_bridge.core.samples import NOISE, info, refuse_small
from atmorep_bridge.core.times import Times, every
from atmorep_bridge.core.tokens import ByField, from_tokens, on_points
from atmorep_bridge.core.training import Core
from atmorep_bridge.core.windows import Region
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
    if any(n < m for n, m in zip(region.grid.shape, setup.neighbourhood[1:], strict=True)):
        refuse_small(region, setup)
    return core.statistics.place(region)


def base(core: Core, region: Region, anomaly: ByField, kinds: Kinds) -> tuple[ByField, ByField]:
    """What windows of a whole region are filled with where hours are hidden or values missing.

    Args:
        anomaly: of each field ``window, level, time, row, column``.
        kinds: the same everywhere.

    Returns:
        Anomalies and the error to be expected of them.
    """
    visible = {}
    for spec in core.setup.fields:
        hidden = on_points(torch.from_numpy(kinds[spec.name])[None] == Kind.HIDDEN, spec.patch)
        visible[spec.name] = ~hidden[:, :, :, :1, :1] & torch.isfinite(anomaly[spec.name])
    place = core.statistics.place(region)
    return from_visible(core.statistics, anomaly, visible, place, (0, 0, 0, 0))


@torch.inference_mode()
def predict(
    core: Core, region: Region, anomaly: ByField, times: Times, kinds: Kinds,
    error: ByField | None = None, align: int = 1,
) -> ByField:  # fmt: skip
    """Anomalies of an ensemble, in windows of the model's length over a whole region.

    Args:
        anomaly: of each field ``window, level, time, row, column``.
        times: ``window, time``.
        kinds: of one tile, see ``masks``; the same for all.
        error: to be expected of anomalies that are not hidden; of another analysis if none.
        align: points of which corners of tiles are a multiple, those of coarse blocks.

    Returns:
        Of each field ``member, window, level, time, row, column``; what was seen as it was.
    """
    given = anomaly
    if error is None:
        anomaly, error = base(core, region, anomaly, kinds)
        noisy = {n: bool((k == Kind.NOISY).any()) for n, k in kinds.items()}
        error = {n: torch.full_like(e, NOISE) if noisy[n] else e for n, e in error.items()}
    setup = core.setup
    core = core.eval()
    members = setup.size.members
    total = {n: torch.zeros(members, *v.shape) for n, v in anomaly.items()}
    own, (height, width) = core.statistics.place(region), region.grid.shape
    weight = torch.zeros(height, width)
    flat = {n: torch.from_numpy(k).reshape(1, -1) for n, k in kinds.items()}
    for (rows, columns), blend in region.grid.tiles(setup.neighbourhood[1:], align):
        where = torch.from_numpy(rows[:, None] * width + columns)
        weight.view(-1).index_add_(0, where.flatten(), blend.flatten())
        place = own[0][rows], own[1][columns]
        for first in range(0, times.shape[0], TILES):
            some = slice(first, first + TILES)
            tile = [{n: v[some].flatten(-2)[..., where] for n, v in part.items()}
                    for part in (anomaly, error)]  # fmt: skip
            for name, values in _tile(core, tile, times[some], flat, place).items():
                sums = total[name][:, some].flatten(-2)
                sums.index_add_(-1, where.flatten(), (values * blend).flatten(-2))
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


def as_dataset(
    core: Core, region: Region, anomaly: ByField, times: Times, title: str
) -> xr.Dataset:
    """Values of an ensemble in our names: (member, time, level, latitude, longitude or cell).

    Args:
        anomaly: of each field ``member, level, time, row, column``.
    """
    setup, arrays = core.setup, {}
    place = core.statistics.place(region)
    for spec in setup.fields:
        values = core.statistics.value(spec.name, anomaly[spec.name], times, place)
        low, high = quantity(spec.name).bounds
        values = values.clamp(max(low, 0.0) if low > -1 else low, high)
        array = xr.DataArray(values.numpy(), dims=("member", "level", "time", *region.grid.dims))
        array = array.transpose("member", "time", "level", ...)
        if spec.levels:
            array = array.assign_coords(level=list(spec.levels))
        arrays[spec.name] = array if spec.levels else array.isel(level=0)
        arrays[spec.name].attrs["units"] = core.statistics.fields[spec.name].unit
    data = xr.Dataset(arrays).assign_coords(member=np.arange(setup.size.members), time=times)
    data = as_in_files(data, region)
    return data.assign_attrs(
        title=title,
        source="AtmoRep-style masked-token model of atmorep_bridge",
        level_kind=setup.level_kind,
        files=list(region.data.attrs.get("files", [])),
    )


def as_in_files(data: xr.Dataset, region: Region) -> xr.Dataset:
    """With the places of a region; where it is in tokens, points in the order of its files."""
    if isinstance(region.grid, Regular):
        return data.assign_coords(latitude=region.latitude, longitude=turned(region.longitude))
    names = [
        n for n in ("order", "latitude", "longitude", "cell", "crs") if n in region.data.coords
    ]
    data = data.assign_coords({name: region.data[name].variable for name in names})
    data = data.stack(place=region.grid.dims, create_index=False)
    data = data.isel(place=data["order"].values >= 0).sortby("order").drop_vars("order")
    return data.swap_dims(place="cell") if "cell" in data.coords else data.rename(place="cell")
