"""The ground of a scene seen from space: fields of PROSAIL canopies and soils over 400-1000 nm.

Fluorescence and its shape are drawn independently of reflectance, so that greenness does not tell
it. The spectra are draws that the predictor of shapes never saw (``shape_training``).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline

from sifnet.simulation.canopies import WAVELENGTH, draw_canopies, draw_emission, draw_soils
from sifnet.simulation.ground import fields, smooth_pattern

Array = NDArray[np.float64]

SIF_740 = (0.1, 3.0)  # mW m-2 nm-1 sr-1, of vegetation
PATCHINESS = 0.25  # share of the level within a field that varies from pixel to pixel
MIXTURE = 3  # spectra of a field: two canopies and a soil


@dataclass(frozen=True)
class Mosaic:
    """What the ground is at every pixel (line, sample).

    Attributes:
        field: number of the field a pixel lies in.
        spectra: (field, MIXTURE, WAVELENGTH) reflectance.
        shares: (line, sample, MIXTURE) of the field's spectra.
        emission: (field, WAVELENGTH) fluorescence relative to 740 nm.
        sif_740: (line, sample) mW m-2 nm-1 sr-1.
        bare_soil: (line, sample).
    """

    field: NDArray[np.intp]
    spectra: Array
    shares: Array
    emission: Array
    sif_740: Array
    bare_soil: NDArray[np.bool_]

    @classmethod
    def drawn(cls, shape: tuple[int, int], bare_soil: float, rng: np.random.Generator) -> Mosaic:
        """Draw fields, some bare; within a field the cover varies smoothly and from pixel to
        pixel."""
        field = fields(shape, rng)
        count = int(field.max()) + 1
        soil = rng.permutation(count) < round(bare_soil * count)
        soils = draw_soils(2 * count, rng)
        green = draw_canopies(2 * count, rng).reshape(count, 2, -1)
        bare = soils[:count, None] * np.array([1.0, 0.85])[:, None]
        spectra = np.where(soil[:, None, None], bare, green)
        spectra = np.concatenate([spectra, soils[count:, None]], axis=1)

        def pattern(levels: Array) -> Array:
            varied = 0.6 * smooth_pattern(shape, rng) + 0.4 * rng.random(shape)
            return np.clip((1 - PATCHINESS) * levels[field] + PATCHINESS * varied, 0, 1)

        second, cover = pattern(rng.random(count)), pattern(0.6 + 0.4 * rng.random(count))
        shares = np.stack([cover * (1 - second), cover * second, 1 - cover], axis=-1)
        low, high = SIF_740
        sif = (low + (high - low) * pattern(rng.random(count))) * ~soil[field]
        return cls(field, spectra, shares, draw_emission(count, rng), sif, soil[field])

    @property
    def sif_760(self) -> Array:
        """(line, sample) mW m-2 nm-1 sr-1."""
        return self.sif(np.array([760.0]))[..., 0]

    def reflectance(self, wavelength: Array) -> Array:
        """(line, sample, wavelength) at vacuum wavelengths, nm."""
        spectra = CubicSpline(WAVELENGTH, self.spectra, axis=-1)(wavelength)
        return np.einsum("lsm,lsmw->lsw", self.shares, spectra[self.field])

    def sif(self, wavelength: Array) -> Array:
        """(line, sample, wavelength) emission at the surface, mW m-2 nm-1 sr-1."""
        shape = np.array([np.interp(wavelength, WAVELENGTH, s) for s in self.emission])
        return self.sif_740[..., None] * shape[self.field]

    def column(self, sample: int) -> Mosaic:
        """One column, (line, 1)."""
        cut = (slice(None), slice(sample, sample + 1))
        met, field = np.unique(self.field[cut], return_inverse=True)
        return Mosaic(field.reshape(-1, 1), self.spectra[met], self.shares[cut],
                      self.emission[met], self.sif_740[cut], self.bare_soil[cut])  # fmt: skip
