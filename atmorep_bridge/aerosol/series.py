"""Maps of aerosol and weather, step after step, as the aerosol regression takes them.

Aerosol is the square root of AOT, in standard deviations of the training: background and plumes
then count alike, and no forecast is negative. Weather fields are in their own standard deviations.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from atmorep_bridge.aerosol.ridge import Maps
from atmorep_bridge.core.times import counted, every, hours_of, later
from atmorep_bridge.fields.axes import goes_around, spacing
from atmorep_bridge.fields.variables import MAP
from sifnet.errors import SifnetError

AEROSOL = "aot_550"
UNEVEN = 0.05  # share by which spacings may differ: Gaussian grids pass
LEAST = 3  # rows, columns: what is around a point


@dataclass(frozen=True)
class Scaling:
    """Statistics of the training part, and the grid they belong to.

    Attributes:
        weather: names of the weather fields; weather_mean, weather_sd: of each, in its unit.
        root_mean, root_sd: of the square root of AOT.
        step: hours between two maps, MONTH of months, each at its first day.
        latitude, longitude: degrees.
    """

    weather: tuple[str, ...]
    weather_mean: tuple[float, ...]
    weather_sd: tuple[float, ...]
    root_mean: float
    root_sd: float
    step: int
    latitude: tuple[float, ...]
    longitude: tuple[float, ...]

    @classmethod
    def of(cls, fields: xr.Dataset, weather: Sequence[str]) -> Scaling:
        """Of a checked training series.

        Raises:
            SifnetError: see checked; or a field that never changes.
        """
        fields = checked(fields, (AEROSOL, *weather))
        root = np.sqrt(np.maximum(finite(fields, AEROSOL), 0.0))
        maps = {name: finite(fields, name) for name in weather}
        for name, values in {AEROSOL: root, **maps}.items():
            if not values.std() > 0:
                raise SifnetError(
                    f"{name} is the same everywhere and at all times",
                    found=f"standard deviation {values.std():g}",
                    expected="a field that varies",
                    remedy="Leave it out, or give another training series.",
                )
        return cls(
            weather=tuple(weather),
            weather_mean=tuple(float(m.mean()) for m in maps.values()),
            weather_sd=tuple(float(m.std()) for m in maps.values()),
            root_mean=float(root.mean()),
            root_sd=float(root.std()),
            step=hours_of(fields),
            latitude=tuple(fields["latitude"].values.tolist()),
            longitude=tuple(fields["longitude"].values.tolist()),
        )

    @property
    def periodic(self) -> bool:
        """Whether the grid goes around the Earth."""
        points = len(self.longitude)
        return goes_around((self.longitude[-1] - self.longitude[0]) / (points - 1), points)

    def aerosol(self, fields: xr.Dataset) -> Maps:
        """``time, row, column``: standard deviations of the root from AOT."""
        root = np.sqrt(np.maximum(finite(fields, AEROSOL), 0.0))
        return ((root - self.root_mean) / self.root_sd).astype(np.float32)

    def aot(self, aerosol: Maps) -> NDArray[np.float64]:
        """AOT from standard deviations of its root."""
        return np.maximum(aerosol.astype(float) * self.root_sd + self.root_mean, 0.0) ** 2

    def aot_sd(self, aot: NDArray[np.float64], sd: NDArray[np.float64]) -> NDArray[np.float64]:
        """Standard deviation of AOT = root², from that of the root, counted in root_sd.

        Var(r²) = 4 r² σ² + 2 σ⁴ for a normal r of standard deviation σ.
        """
        sigma = sd * self.root_sd
        return np.sqrt(4 * aot * sigma**2 + 2 * sigma**4)

    def weather_maps(self, fields: xr.Dataset) -> Maps:
        """``time, field, row, column``: in standard deviations from the mean."""
        maps = [
            (finite(fields, name) - mean) / sd
            for name, mean, sd in zip(self.weather, self.weather_mean, self.weather_sd, strict=True)
        ]
        shape = (fields.sizes["time"], 0, len(self.latitude), len(self.longitude))
        stacked = np.stack(maps, axis=1) if maps else np.empty(shape)
        return stacked.astype(np.float32)

    def refuse_other(self, fields: xr.Dataset, least: int = 2) -> xr.Dataset:
        """The fields, checked, if they are on the grid and the steps of the training, and long.

        Raises:
            SifnetError: they are not; or see checked.
        """
        fields = checked(fields, (AEROSOL, *self.weather))
        if fields.sizes["time"] < least:
            raise SifnetError(
                "the series has too few time steps",
                found=fields.sizes["time"],
                expected=f"at least {least}",
                remedy="Give a longer series, or forecast fewer steps.",
            )
        for name in ("latitude", "longitude"):
            theirs, ours = fields[name].values, np.array(getattr(self, name))
            if theirs.shape != ours.shape or not np.allclose(theirs, ours, atol=1e-3):
                raise SifnetError(
                    f"the fields are on another grid than the aerosol model's: {name}",
                    found=_axis(theirs),
                    expected=_axis(ours),
                    remedy="Interpolate them to its grid, or fit a model on theirs.",
                )
        if (step := hours_of(fields)) != self.step:
            raise SifnetError(
                "the fields have another time step than the aerosol model",
                found=every(step),
                expected=every(self.step),
                remedy="Select the times of its step, or fit a model on theirs.",
            )
        return fields


def checked(fields: xr.Dataset, names: Sequence[str]) -> xr.Dataset:
    """The named fields ``time, latitude, longitude`` on an even grid at even times.

    Raises:
        SifnetError: a field is absent or has other dimensions, or an axis is not even.
    """
    absent = [name for name in names if name not in fields]
    if absent:
        raise SifnetError(
            f"a field of the aerosol model is absent: {', '.join(absent)}",
            found=", ".join(map(str, fields.data_vars)) or "no field",
            expected=", ".join(names),
            remedy="Add the field, or fit a model without it.",
        )
    for name in names:
        if set(fields[name].dims) != set(MAP):
            raise SifnetError(
                f"{name} is not a series of maps",
                found="dimensions " + ", ".join(map(str, fields[name].dims)),
                expected=", ".join(MAP),
                remedy="Select one level, or the mean of the members.",
            )
    fields = fields[list(names)]
    for name in ("latitude", "longitude"):
        spacing(fields, name, tolerance=UNEVEN, least=LEAST)
    step, times = hours_of(fields), fields["time"].values
    if (np.diff(counted(times, step)) != 1).any():
        raise SifnetError(
            "the time steps are not even",
            found=f"holes between steps of a {every(step)}",
            expected="one step throughout, or months",
            remedy="Fill the gap, or give one of the parts.",
        )
    return fields.assign_coords(time=later(times, 0, step))


def finite(fields: xr.Dataset, name: str) -> NDArray[np.float64]:
    """Values of a field, ``time, latitude, longitude``.

    Raises:
        SifnetError: one of them is not a number.
    """
    values = fields[name].transpose(*MAP).values.astype(np.float64)
    bad = ~np.isfinite(values)
    if bad.any():
        when = fields["time"].values[np.flatnonzero(bad.any((1, 2)))[0]]
        raise SifnetError(
            f"{name} has gaps",
            found=f"{int(bad.sum())} values that are no numbers, first at {str(when)[:16]}",
            expected="a number everywhere",
            remedy="Give the files of that time too, fill the gaps, or cut them off. A forecast "
            "needs two analyses of aerosol, and weather up to its last step.",
        )
    return values


def _axis(values: NDArray[np.float64]) -> str:
    return f"{len(values)} values from {values[0]:g} to {values[-1]:g}"
