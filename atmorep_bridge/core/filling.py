"""What windows are filled with before the network sees them, in training and in tasks alike."""

from __future__ import annotations

import torch
from torch import Tensor

from atmorep_bridge.core.detail import AROUND, FACTOR
from atmorep_bridge.core.grids import Place, Sides
from atmorep_bridge.core.statistics import Statistics
from atmorep_bridge.core.tokens import ByField
from sifnet.errors import SifnetError

Filled = tuple[Tensor, Tensor]
"""Anomalies, and the error to be expected of them, ``batch, level, time, row, column``."""


def from_visible(
    statistics: Statistics, anomaly: ByField, visible: ByField, place: Place, more: Sides
) -> tuple[ByField, ByField]:
    """Anomalies where not all is visible, from what is, and the error expected there, see ``base``.

    Args:
        anomaly, visible: of a part of the map. place: of that part.
        more: points of it around what is asked for. Beyond what is given, nothing is known.
    """
    within = inner(place, more)
    rows, columns = map(torch.from_numpy, within)
    names = list(statistics.fields)
    wide = torch.cat([anomaly[name] for name in names], 1).flatten(-2)
    seen = torch.cat([visible[name] for name in names], 1).flatten(-2) & torch.isfinite(wide)
    near, zone = statistics.near(place, within), statistics.zone[rows][:, columns]
    levels = [anomaly[name].shape[1] for name in names]
    filled, error = (dict(zip(names, whole.split(levels, 1), strict=True))
                     for whole in statistics.linear.fill(wide, seen, near, zone))  # fmt: skip
    return filled, error


def inner(place: Place, more: Sides) -> Place:
    """The part of a place that is asked for."""
    rows, columns = place
    return (rows[more[0] : rows.size - more[1]], columns[more[2] : columns.size - more[3]])


def from_coarse(
    statistics: Statistics, name: str, coarse: Tensor, place: Place, more: Sides
) -> Filled:
    """Anomalies in fine resolution from coarse ones in the field's unit, see ``detail``.

    Args:
        coarse: ``..., level, time, block row, block column``, missing ones zero.
        place: of what is asked for, whole blocks. more: blocks around it.

    Raises:
        SifnetError: the place does not begin where blocks begin.
    """
    (rows, columns), detail = place, statistics.fields[name].detail
    if detail is None or rows[0] % FACTOR or columns[0] % FACTOR:
        raise SifnetError(
            "nothing is known of detail here",
            found=f"row {rows[0]} and column {columns[0]} of the model's grid",
            expected=f"multiples of {FACTOR}",
            remedy="Cut the region so that it begins where a block of the model's grid does.",
        )
    wide = _clamped(coarse, [AROUND - n for n in more])
    whole = slice(int(rows[0]) // FACTOR, (int(rows[-1]) + 1) // FACTOR)
    fine, error = detail.fine(wide, whole, torch.from_numpy(columns[::FACTOR] // FACTOR))
    sd = statistics.sd(name, place)
    return fine / sd, error / sd


def _clamped(values: Tensor, by: list[int]) -> Tensor:
    height, width = values.shape[-2:]
    rows = torch.arange(-by[0], height + by[1]).clamp(0, height - 1)
    columns = torch.arange(-by[2], width + by[3]).clamp(0, width - 1)
    return values[..., rows, :][..., columns]
