"""Aerosol carried by winds that are known: a series whose next state is an expression of this one.

A channel around the Earth between walls at 45 degrees, on a plane grid of 5.625 degrees (600 km):

    dA/dt + u dA/dx + v dA/dy = K laplace(A) + S - k max(0, (q - Q_WET) / Q_WET) A

The wind has no divergence: it is the curl of a jet and of travelling waves whose strength changes
over days. Half of the sources emit at random (fires), half where the wind is strong (dust).
"""

from __future__ import annotations

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates

Array = NDArray[np.float64]

PIXEL = 6e5  # m
STEP = 6.0  # hours between states
SUBSTEPS = 4  # of the integration in one of them
ROWS, COLUMNS = 16, 64
DIFFUSION = 5e4  # m2 s-1
WET_RATE, Q_WET = 1 / 24, 0.008  # an hour at twice Q_WET; kg kg-1
BACKGROUND = 0.03
MEMORY = 96.0  # hours, of waves; fires forget in a quarter of it
WAVES = 10


def world(days: float, seed: int = 0) -> xr.Dataset:
    """``aot_550``, ``u``, ``v`` (m s-1) and ``q`` (kg kg-1) on (time, latitude, longitude)."""
    rng = np.random.default_rng(seed)
    spin_up = int(15 * 24 / STEP)
    count = int(days * 24 / STEP) + spin_up
    u, v, q = _weather(count, rng)
    fires, dust = _places(rng, 6), _places(rng, 6)
    burning = np.exp(_memory(count, 1, MEMORY / 4, rng)[:, 0] - 0.5)
    aot = np.full((count, ROWS, COLUMNS), BACKGROUND)
    for i in range(count - 1):
        state, hours = aot[i], STEP / SUBSTEPS
        for part in range(SUBSTEPS):
            x = (part + 0.5) / SUBSTEPS
            wind = [(1 - x) * field[i] + x * field[i + 1] for field in (u, v, q)]
            state = moved(state, wind[0], wind[1], hours)
            rate = WET_RATE * np.maximum(0, wind[2] / Q_WET - 1) + 1 / 120
            speed = np.hypot(wind[0], wind[1])
            source = 0.012 * (burning[i] * fires + (speed / 10) ** 2 * dust) + BACKGROUND / 120
            state = (state + hours * source) * np.exp(-hours * rate)
        aot[i + 1] = state
    return labelled(aot[spin_up:], u[spin_up:], v[spin_up:], q[spin_up:])


def uniform_wind(count: int, seed: int = 0) -> xr.Dataset:
    """Plumes in a wind that is alike everywhere; no sources.

    The wind of a time has blown since the time before, and another blows next: where plumes came
    from does not tell where they go.
    """
    rng = np.random.default_rng(seed)
    u, v = 15 * rng.uniform(-1, 1, (2, count))
    one = np.ones((ROWS, COLUMNS))
    aot = np.empty((count, ROWS, COLUMNS))
    for i in range(count):
        if i % 20 == 0:  # before they are blown to the walls and thin
            places = rng.uniform((3, 0), (ROWS - 3, COLUMNS), (4, 2))
            aot[i] = np.max([plume(*place) for place in places], axis=0)
        else:
            aot[i] = moved(aot[i - 1], u[i] * one, v[i] * one, STEP)
    u, v = (field[:, None, None] * one for field in (u, v))
    return labelled(aot, u, v, np.full(aot.shape, 0.5 * Q_WET))


def plume(row: float, column: float, width: float = 2.0, height: float = 0.6) -> Array:
    """``row, column``: a Gaussian on the background."""
    y, x = np.mgrid[:ROWS, :COLUMNS].astype(float)
    east = (x - column + COLUMNS / 2) % COLUMNS - COLUMNS / 2
    far = ((y - row) ** 2 + east**2) / (2 * width**2)
    return BACKGROUND + height * np.exp(-far)


def moved(aot: Array, u: Array, v: Array, hours: float) -> Array:
    """``row, column`` after a time: semi-Lagrangian, cubic, from where the air came; then mixed."""
    y, x = np.mgrid[:ROWS, :COLUMNS].astype(float)
    pixels = hours * 3600 / PIXEL
    half = [_sampled(wind, y - v * pixels / 2, x - u * pixels / 2, 1) for wind in (v, u)]
    aot = np.maximum(_sampled(aot, y - half[0] * pixels, x - half[1] * pixels, 3), 0)
    around = np.pad(np.pad(aot, ((1, 1), (0, 0)), mode="edge"), ((0, 0), (1, 1)), mode="wrap")
    beside = around[2:, 1:-1] + around[:-2, 1:-1] + around[1:-1, 2:] + around[1:-1, :-2]
    return aot + DIFFUSION * hours * 3600 / PIXEL**2 * (beside - 4 * aot)


def labelled(aot: Array, u: Array, v: Array, q: Array) -> xr.Dataset:
    """Fields ``time, row, column`` as a dataset in our names."""
    hours = np.arange(len(aot)) * int(STEP)
    spacing = 360 / COLUMNS
    coords = {
        "time": np.datetime64("2023-01-01", "ns") + hours.astype("timedelta64[h]"),
        "latitude": (np.arange(ROWS) - (ROWS - 1) / 2) * spacing,
        "longitude": -180 + np.arange(COLUMNS) * spacing,
    }
    fields = {"aot_550": aot, "u": u, "v": v, "q": q}
    return xr.Dataset({n: (tuple(coords), f.astype(np.float32)) for n, f in fields.items()}, coords)


def _sampled(field: Array, y: Array, x: Array, order: int) -> Array:
    """Around the Earth in longitude, constant beyond the walls."""
    edge = 4
    wide = np.pad(field, ((edge, edge), (0, 0)), mode="edge")
    return map_coordinates(wide, [np.clip(y, 0, ROWS - 1) + edge, x], order=order, mode="grid-wrap")


def _weather(count: int, rng: np.random.Generator) -> tuple[Array, Array, Array]:
    """u, v (m s-1) and q (kg kg-1) ``time, row, column``, of travelling waves."""
    y, x = (np.arange(ROWS) + 0.5) / ROWS, np.arange(COLUMNS) / COLUMNS
    hours = np.arange(count) * STEP
    u = 8 * np.sin(np.pi * y)[:, None] * np.ones((count, 1, COLUMNS))
    v, q = np.zeros_like(u), np.zeros_like(u)
    for _ in range(WAVES):
        k, m = int(rng.integers(1, 6)), int(rng.integers(1, 4))
        turn = rng.uniform(-1, 1) / 96  # of a wavelength an hour
        strength = _memory(count, 2, MEMORY, rng)
        phase = 2 * np.pi * (k * x - turn * hours[:, None] + rng.uniform())
        swing = strength[:, :1] * np.cos(phase) + strength[:, 1:] * np.sin(phase)
        slope = -strength[:, :1] * np.sin(phase) + strength[:, 1:] * np.cos(phase)
        across, along = np.pi * m / ROWS, 2 * np.pi * k / COLUMNS  # wave numbers, a pixel
        size = 4.5 / np.hypot(across, along)
        u -= size * across * np.cos(np.pi * m * y)[:, None] * swing[:, None]
        v += size * along * np.sin(np.pi * m * y)[:, None] * slope[:, None]
        q += np.sin(np.pi * m * y)[:, None] * np.roll(swing, COLUMNS // 8, axis=1)[:, None]
    return u, v, 0.006 * np.exp(0.15 * q)


def _memory(count: int, columns: int, hours: float, rng: np.random.Generator) -> Array:
    """``count, columns``: unit normal series that forget in some hours, smooth over a quarter."""
    series = rng.standard_normal((count, columns))
    for memory in (hours / 4, hours):
        keep = np.exp(-STEP / memory)
        for i in range(1, count):
            series[i] = keep * series[i - 1] + np.sqrt(1 - keep**2) * series[i]
    return series / series.std(axis=0)


def _places(rng: np.random.Generator, count: int) -> Array:
    """``row, column``: spots of sources, 1 in their middle."""
    spots = [plume(*rng.uniform((3, 0), (ROWS - 3, COLUMNS)), 1.2, 1.0) for _ in range(count)]
    return np.sum(spots, axis=0) - count * BACKGROUND
