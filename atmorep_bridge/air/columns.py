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

from sifnet.errors import SifnetError
from sifnet.units import AVOGADRO, BOLTZMANN, GRAVITY, MOLAR_MASS_AIR, standard_temperature

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
        z = np.full(np.shape(pressure), np.nan) if height is None else height
        nodes = np.array([pressure, z, temperature, humidity], dtype=float)
        p, _, t, _ = nodes
        if ground is not None:
            above = p < ground[0] - (0.0 if height is None else NEAR_GROUND)
        else:
            above = np.cumsum(np.isfinite(t)[::-1])[::-1] > 0  # NaN below the last value is ground
        nodes = nodes[:, above]
        needed = nodes if height is not None else nodes[[0, 2, 3]]
        complete = np.isfinite(needed).all(0)
        if not complete.all() or complete.size < 2:
            raise _missing_air(nodes[0], complete)
        if ground is not None:
            nodes = _grounded(nodes, *ground)
        return cls(*_with_depth(np.append(_top_of(nodes), nodes, axis=1)))

    def pressure_at(self, height: ArrayLike) -> Array:
        """Pressure, hPa, at heights, km: ln p between nodes with its slope from hydrostatics."""
        slope = -1 / (HYPSOMETRIC * _virtual(self.temperature, self.humidity))
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


def _missing_air(pressure: Array, complete: NDArray[np.bool_]) -> SifnetError:
    gap = f"no number at {pressure[~complete][-1]:.1f} hPa" if not complete.all() else (
        f"{pressure.size} levels")  # fmt: skip
    return SifnetError(
        "the profile has gaps above the ground",
        found=gap,
        expected="temperature, humidity (and height) on at least two levels above the ground",
        remedy="The download is incomplete, or the surface pressure is that of another place.",
    )


# Nodes are ``quantity, node``: pressure, height, temperature, humidity, from top to bottom.


def _virtual(temperature: Array, humidity: Array) -> Array:
    """K: of dry air as light as the humid one."""
    return temperature * (1 + 0.609 * humidity)


def _grounded(nodes: Array, pressure: float, height: float) -> Array:
    """Add the ground as a node, and heights where the levels have none."""
    p, _, t, q = nodes[:, -1]
    thickness = HYPSOMETRIC * t * np.log(pressure / p)
    ground = [pressure, height, t + LAPSE_RATE * thickness, q]
    nodes = np.append(nodes, np.array(ground)[:, None], axis=1)
    if np.isnan(nodes[1, :-1]).all():
        p, _, t, q = nodes[:, ::-1]
        steps = cumulative_trapezoid(_virtual(t, q), np.log(p), initial=0)
        nodes[1] = (height - HYPSOMETRIC * steps)[::-1]
    return nodes


def _top_of(nodes: Array) -> Array:
    """Nodes from TOP to above the highest level, fading into the standard atmosphere."""
    top, z, t, q = nodes[:, 0]
    p = np.geomspace(top, min(TOP, top / 10), 41)
    fading = p / top
    warm = standard_temperature(p) + fading * (t - standard_temperature(top))
    dry = STRATOSPHERE_HUMIDITY * (max(q, 1e-8) / STRATOSPHERE_HUMIDITY) ** fading
    steps = -HYPSOMETRIC * cumulative_trapezoid(_virtual(warm, dry), np.log(p), initial=0)
    return np.array([p, z + steps, warm, dry])[:, :0:-1]


def _with_depth(nodes: Array) -> Array:
    """Add nodes below the ground to LOWEST: T_v rises by LAPSE_RATE, p = p0 (T_v / T_v0)^(1/ΓH)."""
    p, z, t, q = nodes[:, -1]
    if z <= LOWEST:
        return nodes
    depth = (z - LOWEST) * np.linspace(0, 1, 13)[1:]
    ratio = 1 + LAPSE_RATE * depth / _virtual(t, q)
    below = [p * ratio ** (1 / (HYPSOMETRIC * LAPSE_RATE)), z - depth, t * ratio, 0 * depth + q]
    return np.append(nodes, below, axis=1)
