"""Space-time blocks of a field and level as tokens, and what a token knows of its place."""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from atmorep_bridge.core.grids import Places

INFO_FREQUENCIES = (1, 2, 4, 8, 16, 32, 64)  # around the globe; the last resolves 3 degrees
TOLD = 7 + 4 * len(INFO_FREQUENCIES)  # of what a token knows: two of its level, five of time, ...
PLACE = slice(TOLD, TOLD + 4)  # then its place in the window,
AREA = TOLD + 4  # and its area
INFO = TOLD + 5
ByField = dict[str, Tensor]
"""A tensor of each field of a model."""


def to_tokens(values: Tensor, patch: tuple[int, int, int]) -> Tensor:
    """Cut windows into tokens.

    Args:
        values: ``batch, level, time, row, column``; multiples of the patch.

    Returns:
        ``batch, token, value``: tokens in the order of level, time, row, column.
    """
    b, level, t, y, x = values.shape
    pt, py, px = patch
    cut = values.reshape(b, level, t // pt, pt, y // py, py, x // px, px)
    return cut.permute(0, 1, 2, 4, 6, 3, 5, 7).reshape(b, -1, pt * py * px)


def from_tokens(
    tokens: Tensor, patch: tuple[int, int, int], grid: tuple[int, int, int, int]
) -> Tensor:
    """The inverse of ``to_tokens``, for windows of ``grid`` tokens (level, time, rows, columns)."""
    level, t, y, x = grid
    pt, py, px = patch
    cut = tokens.reshape(-1, level, t, y, x, pt, py, px)
    return cut.permute(0, 1, 2, 5, 3, 6, 4, 7).reshape(-1, level, t * pt, y * py, x * px)


def on_points(flags: Tensor, patch: tuple[int, int, int]) -> Tensor:
    """What is said of tokens (``batch, level, t, y, x``) at every grid point of them."""
    for dim, n in zip((2, 3, 4), patch, strict=True):
        flags = flags.repeat_interleave(n, dim)
    return flags


def token_info(
    times: NDArray[np.datetime64],
    level: NDArray[np.floating],
    places: Places,
    hours: int,
    trained_days: float = 1e6,
) -> Tensor:
    """Year, day of the year, hour, level, latitude and longitude of the middle of each token, and
    its place in the window and area.

    Args:
        times: (time). level: (level), 0 to 1 from the top to the ground.
        places: of the tokens of a time. hours: of a token.
        trained_days: length of the training part. What it cannot teach is not told: the season
            to a model of less than a year, the year to one of less than three. It would only
            learn by heart which day is which.

    Returns:
        ``token, INFO``: phases as sine and cosine, so that midnight, New Year and 180 degrees are
        nowhere special.
    """
    days = _middle(times.astype("datetime64[s]").astype(float) / 86400, hours)
    year = 1970 + days / 365.2425
    hour, season = 2 * math.pi * (days % 1), 2 * math.pi * (year % 1)
    year = np.where(trained_days >= 3 * 365, year, 2000.0)
    season = np.where(trained_days >= 365, season, 0.0)
    time = [(year - 2000) / 50, np.sin(hour), np.cos(hour), np.sin(season), np.cos(season)]
    high, step = np.asarray(level, dtype=float), np.arange(days.size)
    north, east = np.deg2rad(places.latitude), np.deg2rad(places.longitude)
    shape = high.size, days.size, *places.latitude.shape
    levels, hourly = (1, 1, 1), (1, 1)
    parts = [*(_along(v, levels) for v in (high, high**2)), *(_along(v, hourly) for v in time)]
    parts += [*_phases(north), *_phases(east)]
    parts += [_along(np.arange(high.size) + 0.5, levels), _along((step + 0.5) * hours, hourly)]
    parts += [places.north, places.east, places.area]
    info = np.stack([np.broadcast_to(part, shape) for part in parts], -1).astype(np.float32)
    return torch.from_numpy(info.reshape(-1, INFO))


def _along(values: NDArray[np.floating], following: tuple[int, ...]) -> NDArray[np.floating]:
    return values.reshape(-1, *following)


def _phases(angle: NDArray[np.floating]) -> list[NDArray[np.floating]]:
    return [f(k * angle) for k in INFO_FREQUENCIES for f in (np.sin, np.cos)]


def _middle(axis: NDArray[np.floating], n: int) -> NDArray[np.floating]:
    return axis.reshape(-1, n).mean(1)


def positional_code(place: Tensor, width: int) -> Tensor:
    """Sines and cosines of places in a window, ``..., width``.

    A quarter of the width each for level (counted), time (hours), latitude and longitude (grid
    points), so that fields of different patches share one measure. Vaswani et al. 2017, eq 3.5.

    Args:
        place: ``..., 4``, the PLACE of what a token knows.
    """
    size = width // 8 * 2
    scale = torch.exp(-math.log(1000.0) * torch.arange(0, size, 2, device=place.device) / size)
    angle = place[..., None] * scale
    code = torch.cat([angle.sin(), angle.cos()], -1).flatten(-2)
    return torch.nn.functional.pad(code, (0, width - 4 * size))
