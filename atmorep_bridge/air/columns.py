"""A column of air: heights from hydrostatic balance, pressure and temperature at any elevation.

    d ln p / dz = -g / (R_d T_v),   T_v = T (1 + 0.609 q)

Heights km above sea level, geopotential over 9.80665 m s-2. The orography of the models is in the
same measure, so what is neglected is gravity's change with latitude over the distance between
model ground and true ground: at most 0.3 % of it, 0.1 hPa for 300 m.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import ArrayLike, NDArray
from scipy.integrate import cumulative_trapezoid, trapezoid
from scipy.interpolate import CubicHermiteSpline

from atmorep_bridge.air.standard import standard_temperature
from sifnet.errors import SifnetError
from sifnet.units import AVOGADRO, BOLTZMANN, GRAVITY, MOLAR_MASS_AIR

Array = NDArray[np.float64]

GAS_CONSTANT = BOLTZMANN * AVOGADRO / MOLAR_MASS_AIR  # J kg-1 K-1, of dry air
HYPSOMETRIC = GAS_CONSTANT / GRAVITY * 1e-3  # km K-1
LAPSE_RATE = 6.5  # K km-1, where there is no air in the model: below its ground
TOP = 0.01  # hPa
STRATOSPHERE_HUMIDITY = 3e-6  # kg/kg, 5 ppmv
NEAR_GROUND = 1.0  # hPa; a pressure level nearer to the ground than this says nothing new
LOWEST = -0.6  # km
WEAK_SHARE, SHAPE_SHARE = 0.14, 0.1  # see temperature_offset
PROFILE_HEIGHTS = np.array(
    [0, 0.05, 0.1, 0.2, 0.3, 0.45, 0.6, 0.8, 1, 1.25, 1.5, 1.8, 2.1, 2.5, 3, 3.5, 4, 5, 6, 7, 8,
     9, 10, 12, 14, 16, 18, 20, 22, 25, 28, 32, 36, 40, 45, 50, 60], dtype=float
)  # fmt: skip
"""(37) km above the ground: the layer boundaries of sifnet's simulation."""


@cache
def half_levels(levels: int) -> tuple[Array, Array]:
    """a, hPa, and b of the half levels, from the top, of 60 or 137 ECMWF model levels.

    Raises:
        SifnetError: no such set of levels.
    """
    table = pd.read_csv(str(files("atmorep_bridge.air") / "model_levels.csv"), comment="#")
    table = table[table["levels"] == levels]
    if table.empty:
        raise SifnetError(
            "unknown model levels",
            found=f"{levels} levels",
            expected="60 (CAMS reanalysis) or 137 (ERA5, CAMS forecast)",
            remedy="Download all levels down to the lowest, or pressure levels.",
        )
    return table["a_hpa"].to_numpy(), table["b"].to_numpy()


def model_level_pressure(level: xr.DataArray, surface_pressure: xr.DataArray) -> xr.DataArray:
    """Pressure, hPa, in the middle of model levels: the mean of p = a + b p_s on half levels.

    Args:
        level: (level) numbers, down to the lowest, which tells how many the model has.
        surface_pressure: any dimensions, hPa.

    Raises:
        SifnetError: the lowest level is none of a model we know.
    """
    a, b = half_levels(int(level.max()))
    number = level.values.astype(int)
    middle = [(x[number] + x[number - 1]) / 2 for x in (a, b)]
    a_full, b_full = (xr.DataArray(x, dims="level", coords={"level": level}) for x in middle)
    return a_full + b_full * surface_pressure


@dataclass(frozen=True)
class Column:
    """A column from below sea level to 0.01 hPa; nodes from the top to the bottom.

    Attributes:
        pressure: (node) hPa. height: (node) km above sea level.
        temperature: (node) K. humidity: (node) kg/kg.
    """

    pressure: Array
    height: Array
    temperature: Array
    humidity: Array

    @classmethod
    def from_levels(
        cls,
        pressure: ArrayLike,
        temperature: ArrayLike,
        humidity: ArrayLike,
        *,
        ground: tuple[float, float] | None = None,
        height: ArrayLike | None = None,
    ) -> Column:
        """Hang a model's levels on its ground, or on their own heights, and complete them.

        Levels below the ground are left out, whether they are NaN or extrapolated. Above the
        highest level the column goes over into the standard atmosphere, the difference fading by
        1/e in a scale height. Below the ground it is 6.5 K warmer a km.

        Args:
            pressure, temperature, humidity: (level) hPa, K, kg/kg, from top to ground.
            ground: pressure, hPa, and height, km, of the model's ground.
            height: (level) km; needed without a ground.

        Raises:
            SifnetError: values are missing above the ground.
        """
        p, t, q = (np.asarray(x, dtype=float) for x in (pressure, temperature, humidity))
        z = None if height is None else np.asarray(height, dtype=float)
        if ground is not None:
            above = p < ground[0] - (0.0 if z is None else NEAR_GROUND)
        else:
            above = np.cumsum(np.isfinite(t)[::-1])[::-1] > 0  # NaN below the last value is ground
        p, t, q, z = p[above], t[above], q[above], None if z is None else z[above]
        known = np.isfinite(p) & np.isfinite(t) & np.isfinite(q)
        if z is not None:
            known &= np.isfinite(z)
        if not known.all() or p.size < 2:
            raise _missing_air(p, known)
        if ground is not None:
            p, t, q, z = _grounded(p, t, q, z, *ground)
        assert z is not None
        return cls(*_with_depth(*_with_top(p, z, t, q)))

    @property
    def virtual_temperature(self) -> Array:
        """(node) K: of dry air as light as the humid one."""
        return self.temperature * (1 + 0.609 * self.humidity)

    def pressure_at(self, height: ArrayLike) -> Array:
        """Pressure, hPa, at heights, km: ln p between nodes with its slope from hydrostatics."""
        slope = -1 / (HYPSOMETRIC * self.virtual_temperature)
        up = slice(None, None, -1)
        curve = CubicHermiteSpline(self.height[up], np.log(self.pressure[up]), slope[up])
        return np.exp(curve(height))

    def temperature_at(self, height: ArrayLike) -> Array:
        """Temperature, K, at heights, km."""
        return np.interp(np.asarray(height), self.height[::-1], self.temperature[::-1])


def moved(pressure: Any, rise: float, temperature: Any) -> Any:
    """Pressure, hPa, ``rise`` km higher, through air of a mean virtual temperature, K."""
    return pressure * np.exp(-rise / (HYPSOMETRIC * temperature))


def temperature_offset(pressure: Any, temperature: Any, axis: int = -1) -> tuple[Array, Array]:
    """What must be added to the standard profile, K, and how far one number can miss the shape.

    Strong O2 lines absorb in their wings, in proportion to their width: a layer counts as p dp.
    Weak lines count as dp. In spectra of 0.25 nm the A band is WEAK_SHARE of the way from the
    first to the second: full spectra of real profiles from pole to equator, where the two means
    differ by up to 5 K, are fitted best by that offset to 0.1 of the difference.

    Args:
        pressure, temperature: profile, hPa and K, in any order along ``axis``.

    Returns:
        Offset and its uncertainty from the shape of the profile, K.
    """
    excess = temperature - standard_temperature(pressure)

    def mean(weight: Any) -> Array:
        total = trapezoid(weight, pressure, axis=axis)
        return trapezoid(excess * weight, pressure, axis=axis) / total

    strong, weak = mean(pressure), mean(np.ones_like(pressure))
    return strong + WEAK_SHARE * (weak - strong), SHAPE_SHARE * np.abs(weak - strong)


def _missing_air(pressure: Array, known: NDArray[np.bool_]) -> SifnetError:
    gap = f"no number at {pressure[~known][-1]:.1f} hPa" if not known.all() else (
        f"{pressure.size} levels")  # fmt: skip
    return SifnetError(
        "the profile has gaps above the ground",
        found=gap,
        expected="temperature, humidity (and height) on at least two levels above the ground",
        remedy="The download is incomplete, or the surface pressure is that of another place.",
    )


def _grounded(
    p: Array, t: Array, q: Array, z: Array | None, ground_pressure: float, ground_height: float
) -> tuple[Array, Array, Array, Array]:
    """Add the ground as a node, and heights where the levels have none."""
    thickness = HYPSOMETRIC * t[-1] * np.log(ground_pressure / p[-1])
    p = np.append(p, ground_pressure)
    t = np.append(t, t[-1] + LAPSE_RATE * thickness)
    q = np.append(q, q[-1])
    if z is None:
        steps = cumulative_trapezoid(t[::-1] * (1 + 0.609 * q[::-1]), np.log(p[::-1]), initial=0)
        return p, t, q, (ground_height - HYPSOMETRIC * steps)[::-1]
    return p, t, q, np.append(z, ground_height)


def _with_top(p: Array, z: Array, t: Array, q: Array) -> tuple[Array, Array, Array, Array]:
    """Add nodes from the highest level to TOP, fading into the standard atmosphere."""
    above = np.geomspace(p[0], min(TOP, p[0] / 10), 41)[1:]
    fading = above / p[0]
    warm = standard_temperature(above) + fading * (t[0] - standard_temperature(p[0]))
    dry = STRATOSPHERE_HUMIDITY * (max(q[0], 1e-8) / STRATOSPHERE_HUMIDITY) ** fading
    new_p, new_t, new_q = (np.append(a, b)[: above.size + 1] for a, b in
                           ((p[0], above), (t[0], warm), (q[0], dry)))  # fmt: skip
    virtual = new_t * (1 + 0.609 * new_q)
    steps = -HYPSOMETRIC * cumulative_trapezoid(virtual, np.log(new_p), initial=0)
    down = slice(None, 0, -1)
    return (np.append(new_p[down], p), np.append((z[0] + steps)[down], z),
            np.append(new_t[down], t), np.append(new_q[down], q))  # fmt: skip


def _with_depth(p: Array, z: Array, t: Array, q: Array) -> tuple[Array, Array, Array, Array]:
    """Add nodes below the ground to LOWEST: T_v rises by LAPSE_RATE, p = p0 (T_v / T_v0)^(1/ΓH)."""
    if z[-1] <= LOWEST:
        return p, z, t, q
    depth = (z[-1] - LOWEST) * np.linspace(0, 1, 13)[1:]
    virtual = t[-1] * (1 + 0.609 * q[-1])
    ratio = 1 + LAPSE_RATE * depth / virtual
    below = p[-1] * ratio ** (1 / (HYPSOMETRIC * LAPSE_RATE))
    warm = virtual * ratio / (1 + 0.609 * q[-1])
    return (np.append(p, below), np.append(z, z[-1] - depth), np.append(t, warm),
            np.append(q, np.full(depth.shape, q[-1])))  # fmt: skip
