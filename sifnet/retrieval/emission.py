"""An emission spectrum with its covariance, and what is read from it: bands, peaks, integral."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from sifnet.files import data_file

Array = NDArray[np.float64]

TABLE = "emission.csv"  # what ships: shapes of emission
PEAKS = {"red": (680.0, 698.0), "far_red": (725.0, 760.0)}  # nm, within which a peak is looked for


@dataclass(frozen=True)
class Measured:
    """A number of every spectrum: value, standard deviation, and the part that noise makes of it.

    Noise is what no two measurements share; the rest (stray light, the shape of emission, fringes)
    is alike in neighbours, and no mean reduces it.
    """

    value: Array
    sd: Array
    own: Array

    @property
    def shared(self) -> Array:
        """The part of the standard deviation that is not noise."""
        return np.sqrt(np.maximum(self.sd**2 - self.own**2, 0.0))


@dataclass(frozen=True)
class Emission:
    """What is emitted, (measurement, wavelength), and how well that is known.

    Attributes:
        wavelength: (wavelength) nm, 1 nm apart.
        sif: mW m-2 nm-1 sr-1.
        shapes: (measurement, wavelength, shape) of which ``sif`` is a sum; (wavelength, shape)
            where all have the same.
        covariance: (measurement, shape, shape) of how much of each is in it.
        noise: the part of it that comes from noise, which no two measurements share.
    """

    wavelength: Array
    sif: Array
    shapes: Array
    covariance: Array
    noise: Array

    def covers(self, low: float, high: float) -> bool:
        """Whether the spectra reach from ``low`` to ``high``, nm."""
        return bool(self.wavelength[0] <= low and self.wavelength[-1] >= high)

    def weighed(self, weight: Array) -> Measured:
        """The sum of ``weight`` (wavelength) or (measurement, wavelength) times the emission."""
        rows = np.broadcast_to(weight, self.sif.shape)
        part = np.matmul(rows[:, None, :], self.shapes)[:, 0]
        variances = (
            np.einsum("nu,nuv,nv->n", part, c, part) for c in (self.covariance, self.noise)
        )
        sd, own = (np.sqrt(np.maximum(variance, 0.0)) for variance in variances)
        return Measured(np.einsum("nw,nw->n", rows, self.sif), sd, own)

    def sd(self) -> Array:
        """(measurement, wavelength) standard deviation of ``sif``."""
        if self.shapes.ndim == 2:  # one product of matrices for all
            both = np.einsum("wu,wv->uvw", self.shapes, self.shapes)
            variance = self.covariance.reshape(len(self.sif), -1) @ both.reshape(-1, both.shape[-1])
        else:
            variance = (np.matmul(self.shapes, self.covariance) * self.shapes).sum(-1)
        return np.asarray(np.sqrt(np.maximum(variance, 0.0)))

    def at(self, wavelength: float) -> Measured:
        """Emission at a whole nanometre."""
        return self.weighed((self.wavelength == wavelength).astype(float))

    def integral(self) -> Measured:
        """Over all wavelengths, mW m-2 sr-1, by trapezoids."""
        weight = np.ones(len(self.wavelength))
        weight[[0, -1]] = 0.5
        return self.weighed(weight)

    def peak(self, name: str) -> tuple[Measured, Measured]:
        """Value and place (nm) of a peak of ``PEAKS``; NaN where emission has no maximum there.

        The highest maximum, by the parabola through it and its neighbours; to first order the place
        does not change the value, and of errors only the slope moves the place.
        """
        low, high = PEAKS[name]
        row, rise = np.arange(len(self.sif)), np.diff(self.sif)
        # The flank of the other peak may be higher than this one.
        maximum = (rise[:, :-1] >= 0) & (rise[:, 1:] <= 0)
        maximum &= (self.wavelength[1:-1] >= low) & (self.wavelength[1:-1] <= high)
        top = np.where(maximum, self.sif[:, 1:-1], -np.inf).argmax(1) + 1
        before, most, after = (self.sif[row, top + step] for step in (-1, 0, 1))
        bend = before - 2 * most + after
        none = ~(maximum.any(1) & (bend < 0))
        bend = np.where(none, -1.0, bend)
        away = 0.5 * (before - after) / bend
        slope = np.zeros_like(self.sif)
        slope[row, top - 1], slope[row, top + 1] = 0.5 / bend, -0.5 / bend
        moved = self.weighed(slope)
        level = self.weighed((np.arange(self.sif.shape[1]) == top[:, None]).astype(float))
        value = np.where(none, np.nan, most - 0.25 * (before - after) * away)
        place = np.where(none, np.nan, self.wavelength[top] + away)
        hidden = (np.where(none, np.nan, x) for x in (level.sd, level.own, moved.sd, moved.own))
        level_sd, level_own, moved_sd, moved_own = hidden
        return Measured(value, level_sd, level_own), Measured(place, moved_sd, moved_own)


@dataclass(frozen=True)
class FullSpectrum(Emission):
    """Of whole spectra under measured irradiance; (measurement) or (measurement, wavelength).

    Attributes:
        reflectance: of the surface.
        shift: nm, of the channel that looks down against the one that looks up.
        stray: share of the mean light in every band.
        residual_rms: mW m-2 nm-1 sr-1.
        chi2: reduced; where it is above 1, ``noise`` is as much larger.
    """

    reflectance: Array
    shift: Array
    stray: Array
    residual_rms: Array
    chi2: Array

    @classmethod
    def unknown(cls, count: int, wavelength: Array, unknowns: int) -> FullSpectrum:
        """Of spectra that tell nothing: NaN.

        Args:
            unknowns: shapes of emission.
        """
        size, square = len(wavelength), (count, unknowns, unknowns)
        wide = (count, size)
        shapes = [wide, (count, size, unknowns), square, square, wide, *[(count,)] * 4]
        return cls(wavelength, *(np.full(shape, np.nan) for shape in shapes))


@cache
def canopies() -> Array:
    """(wavelength, 5): nm, mean emission of canopies relative to 760 nm, and its components."""
    return np.loadtxt(data_file(TABLE), delimiter=",", comments="#")
