"""What a sphere is reduced to: a few numbers a month, from series and maps of any grid."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from atmorep_bridge.options import time
from atmorep_bridge.spheres.ridge import Array, Index, by_month
from sifnet.errors import SifnetError

MOST_PATTERNS = 10
EXPLAINED = 0.95  # share of variance, at which patterns are enough
FLOOR = 1e-6  # below which a logarithm is not taken


def months_of(values: xr.DataArray) -> Index:
    """Months since January 1970, so that January is 0 modulo 12."""
    return values["time"].values.astype("datetime64[M]").astype(np.int64)


def month_of(text: str | np.datetime64) -> int:
    """Months since January 1970.

    Raises:
        SifnetError: it is no time.
    """
    return int(time(str(text)).astype("datetime64[M]").astype(np.int64))


@dataclass(frozen=True)
class Variable:
    """A monthly variable as amplitudes of patterns.

    Attributes:
        unit: of the file. log: whether patterns are of the logarithm.
        latitude, longitude: of its points, degrees; a series of an index has neither.
        known: points that never lack; those below are of them, in the unit or its logarithm.
        usual: ``month of the year, point``, means of the training.
        patterns: ``pattern, point``, of an amplitude of one standard deviation.
        weight: ``point``, of its area. share: of the variance that each pattern explains.
        rest: ``point``, standard deviation of what the patterns leave out. kept: share of it that
            persists, by months ahead from 1.
    """

    name: str
    unit: str
    log: bool
    latitude: Array | None
    longitude: Array | None
    known: NDArray[np.bool_]
    usual: Array
    patterns: Array
    weight: Array
    share: Array
    rest: Array
    kept: Array

    @classmethod
    def of(cls, values: xr.DataArray, *, log: bool = False, months: int = 6) -> Variable:
        """The leading empirical orthogonal functions of anomalies from the mean of each month.

        Raises:
            SifnetError: it never changes, or no point is known throughout.
        """
        field = _flat(values, log)
        there = np.isfinite(field).any(1)
        field, when = field[there], months_of(values)[there]
        month = when % 12
        known: NDArray[np.bool_] = np.asarray(np.isfinite(field).all(0))
        grid = "latitude" in values.dims
        area = np.ones(known.size)
        if grid:
            area = np.cos(np.radians(values["latitude"].values)).clip(0.01)
            area = np.repeat(area, values.sizes["longitude"])
        inside = field[:, known]
        usual = by_month(inside, month)
        anomaly = inside - usual[month]
        weight = area[known] / max(area[known].sum(), FLOOR)
        if not known.any() or not (anomaly**2 @ weight).mean() > 0:
            raise SifnetError(
                f"{values.name} cannot be forecast",
                found=f"{int(known.sum())} of {known.size} points are known throughout",
                expected="a variable that changes, with points that never lack",
                remedy="Fill its gaps, or leave it out.",
            )
        power, left = np.linalg.eigh((anomaly * weight) @ anomaly.T / len(anomaly))
        power, left = power[::-1].clip(0), left[:, ::-1]
        share = power / power.sum()
        many = min(int(np.searchsorted(share.cumsum(), EXPLAINED)) + 1, MOST_PATTERNS)
        patterns = left[:, :many].T @ anomaly / np.sqrt(len(anomaly))
        rest = anomaly - left[:, :many] @ (left[:, :many].T @ anomaly)
        kept = [_persisting(rest, when, weight, lead + 1) for lead in range(months)]
        return cls(
            str(values.name), str(values.attrs["units"]), log,
            values["latitude"].values if grid else None,
            values["longitude"].values if grid else None,
            known, usual, patterns, weight, share[:many], rest.std(0), np.array(kept),
        )  # fmt: skip

    def amplitudes(self, values: xr.DataArray) -> tuple[Array, Array]:
        """``time, pattern``, and what these leave out, ``time, point``.

        Raises:
            SifnetError: another unit or another grid than in training.
        """
        field = _flat(values, self.log)
        theirs = (str(values.attrs["units"]), field.shape[1])
        if theirs != (self.unit, self.known.size):
            raise SifnetError(
                f"{self.name} is another than in training",
                found="unit {}, {} points".format(*theirs),
                expected=f"unit {self.unit}, {self.known.size} points",
                remedy="Give it as it was, or train again.",
            )
        anomaly = field[:, self.known] - self.usual[months_of(values) % 12]
        dual = self.patterns * self.weight
        found = anomaly @ (dual / (dual * self.patterns).sum(1, keepdims=True)).T
        return found, anomaly - found @ self.patterns

    def field(self, amplitudes: Array, months: Index, rest: Array | float = 0.0) -> Array:
        """``..., month, point`` in the unit of the file; ``rest``: beside the patterns."""
        inside = self.usual[months % 12] + amplitudes @ self.patterns + rest
        out = np.full((*inside.shape[:-1], self.known.size), np.nan)
        out[..., self.known] = np.exp(inside) if self.log else inside
        return out

    def ahead(self, left_out: Array, months: int, members: int, rng: np.random.Generator) -> Array:
        """``member, month, point``: what persists of the rest, and what is drawn of it anew."""
        kept = np.zeros((months, 1))
        kept[: self.kept.size, 0] = self.kept[:months]
        persists = (kept * left_out)[None]
        if not members:
            return persists
        drawn = rng.normal(size=(members, months, left_out.size)) * self.rest
        return persists + np.sqrt(1 - kept**2) * drawn


def _persisting(rest: Array, months: Index, weight: Array, lead: int) -> float:
    _, now, later = np.intersect1d(months + lead, months, return_indices=True)
    product, square = (rest[now] * rest[later]) @ weight, rest[now] ** 2 @ weight
    return float((product.sum() / max(square.sum(), FLOOR)).clip(0, 1))


def _flat(values: xr.DataArray, log: bool) -> Array:
    field = values.values.astype(np.float64).reshape(values.sizes["time"], -1)
    return np.log(np.maximum(field, FLOOR)) if log else field


@dataclass(frozen=True)
class Sphere:
    """Variables that are forecast as one state: indices, and maps of one grid."""

    variables: tuple[Variable, ...]

    def __post_init__(self) -> None:
        grids = {v.latitude.tobytes() + v.longitude.tobytes() for v in self.variables
                 if v.latitude is not None and v.longitude is not None}  # fmt: skip
        if len(grids) > 1:
            raise SifnetError(
                "a sphere has maps of different grids",
                found=", ".join(v.name for v in self.variables),
                expected="one grid in a sphere; spheres may differ",
                remedy="Make a sphere of each grid.",
            )

    @property
    def weight(self) -> Array:
        """``state``: each variable counts alike, each pattern by its share."""
        return np.concatenate([v.share / v.share.sum() for v in self.variables]) / len(
            self.variables
        )

    def states(self, series: Mapping[str, xr.DataArray], months: Index) -> Array:
        """``time, state`` of some months; NaN where a variable is not known."""
        parts = []
        for variable in self.variables:
            values = series[variable.name]
            out = np.full((months.size, len(variable.patterns)), np.nan)
            _, ours, theirs = np.intersect1d(months, months_of(values), return_indices=True)
            out[ours] = variable.amplitudes(values.isel(time=theirs))[0]
            parts.append(out)
        return np.hstack(parts)

    def split(self, states: Array) -> list[tuple[Variable, Array]]:
        """Each variable with its part of ``..., state``."""
        cuts = np.cumsum([len(v.patterns) for v in self.variables])[:-1]
        return list(zip(self.variables, np.split(states, cuts, axis=-1), strict=True))
