"""What windows are filled with before the network sees them, in training and in tasks alike."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from atmorep_bridge.core.detail import AROUND, FACTOR
from atmorep_bridge.core.statistics import Place, Statistics
from sifnet.errors import SifnetError

Filled = tuple[Tensor, Tensor]
"""Anomalies, and the error to be expected of them, ``batch, level, time, latitude, longitude``."""
Sides = tuple[int, int, int, int]
"""Points to the north (the first rows), south, west and east."""


def from_visible(
    statistics: Statistics, name: str, anomaly: Tensor, visible: Tensor, place: Place, more: Sides
) -> Filled:
    """Anomalies where not all is visible, from what is, see ``base``.

    Args:
        anomaly, visible: of a part of the map. place: of that part.
        more: points of it around what is asked for, at most as many as the base asks.
    """
    linear, (rows, columns) = statistics.linear[name], place
    lacking = [linear.reach - n for n in more]
    # Beyond the edge of the map is its edge, as where the covariance was made; beyond what is
    # given, nothing.
    size = statistics.latitude.numel(), statistics.longitude.numel()
    edges = (rows.start == 0, rows.stop == size[0], columns[0] == 0, columns[-1] == size[1] - 1)
    known = [n if edge and not (statistics.wraps and i > 1) else 0
             for i, (n, edge) in enumerate(zip(lacking, edges, strict=True))]  # fmt: skip
    wide = _clamped(anomaly, lacking)
    seen = _clamped(visible, known)
    rest = [a - b for a, b in zip(lacking, known, strict=True)]
    seen = torch.nn.functional.pad(seen, (rest[2], rest[3], rest[0], rest[1]), value=False)
    north, south, west, east = more
    zone = statistics.zone[rows, :][:, torch.from_numpy(columns)]
    zone = zone[north : zone.shape[0] - south, west : zone.shape[1] - east]
    return linear.fill(wide, seen & torch.isfinite(wide), zone)


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
    if detail is None or rows.start % FACTOR or columns[0] % FACTOR:
        raise SifnetError(
            "nothing is known of detail here",
            found=f"row {rows.start} and column {columns[0]} of the model's grid",
            expected=f"multiples of {FACTOR}",
            remedy="Cut the region so that it begins where a block of the model's grid does.",
        )
    wide = _clamped(coarse, [AROUND - n for n in more])
    whole = slice(rows.start // FACTOR, rows.stop // FACTOR)
    fine, error = detail.fine(wide, whole, torch.from_numpy(columns[::FACTOR] // FACTOR))
    sd = statistics.sd(name, place)
    return fine / sd, error / sd


def around(place: Place, whole: Place, by: int, *, wraps: bool, whole_of: int = 1) -> Sides:
    """How many points around a place there are in the whole, up to ``by``, of such multiples."""
    (rows, columns), (all_rows, all_columns) = place, whole
    sides = [rows.start - all_rows.start, all_rows.stop - rows.stop]
    first = int(np.flatnonzero(all_columns == columns[0])[0])
    sides += [by, by] if wraps else [first, all_columns.size - first - columns.size]
    north, south, west, east = (min(n, by) // whole_of * whole_of for n in sides)
    return north, south, west, east


def _clamped(values: Tensor, by: list[int]) -> Tensor:
    height, width = values.shape[-2:]
    rows = torch.arange(-by[0], height + by[1]).clamp(0, height - 1)
    columns = torch.arange(-by[2], width + by[3]).clamp(0, width - 1)
    return values[..., rows, :][..., columns]
