"""The ground of a simulated scene: fields of crops and bare soil, and what they emit.

Reflectance, fluorescence and its spectral shape are drawn independently of each other, so that
greenness does not tell fluorescence. ``Ground`` has formulas, whose emission is good in the O2 A
band; ``WholeGround`` emits below it too; ``Mosaic`` has PROSAIL canopies and soils over 400-1000
nm, draws that the predictor of shapes never saw (``training.shape``).
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline
from scipy.ndimage import gaussian_filter

from sifnet.simulation.canopies import WAVELENGTH, draw_canopies, draw_emission, draw_soils

Array = NDArray[np.float64]

# The canopy: logistic red edge; reflectance at 675 nm, in the near infrared, edge nm, width nm.
CANOPY = {"red": (0.02, 0.06), "infrared": (0.25, 0.55), "edge": (712.0, 722.0)}
EDGE_WIDTH = 12.0
SOIL = {"at_740": (0.10, 0.32), "slope": (2e-4, 9e-4)}
SIF_760 = (0.1, 2.4)  # mW m-2 nm-1 sr-1, of vegetation (SCOPE: 0.01-1.95)
SIF_WIDTH = (21.0, 26.0)  # nm; F760 / F740 of 0.55 to 0.68, SCOPE's range
FALLING = 740.0  # nm, from which on emission is taken to fall as the side of one peak
SIF_740 = (0.1, 3.0)  # mW m-2 nm-1 sr-1, of vegetation
PATCHINESS = 0.25  # share of the level within a field that varies from pixel to pixel
# No canopy is so sparse that its radiance looks like bare ground, on which the retrieval takes it
# as known that nothing glows: fluorescence is drawn without regard to how many leaves there are.
LEAST_NDVI = 0.6
MIXTURE = 3  # spectra of a field: two canopies and a soil


@dataclass(frozen=True)
class Ground:
    """What the ground of a simulated scene is, at every pixel (line, sample).

    Reflectance is a soil line where ``bare_soil``, a canopy with a logistic red edge elsewhere.
    ``field`` is the number of the field a pixel lies in.
    """

    field: NDArray[np.intp]
    bare_soil: NDArray[np.bool_]
    red: Array
    infrared: Array
    edge: Array
    soil_740: Array
    soil_slope: Array
    sif_760: Array
    sif_width: Array

    @classmethod
    def drawn(cls, shape: tuple[int, int], bare_soil: float, rng: np.random.Generator) -> Ground:
        """Draw fields of crops, with smooth variation inside, and bare soil between them."""
        field, bare = draw_fields(shape, bare_soil, rng)

        def pattern(low: float, high: float) -> Array:
            level = rng.random(bare.size)[field]
            mixed = np.clip(0.75 * level + 0.25 * smooth_pattern(shape, rng), 0, 1)
            return low + (high - low) * mixed

        soil = bare[field]
        return cls(
            field=field,
            bare_soil=soil,
            red=pattern(*CANOPY["red"]),
            infrared=pattern(*CANOPY["infrared"]),
            edge=pattern(*CANOPY["edge"]),
            soil_740=pattern(*SOIL["at_740"]),
            soil_slope=pattern(*SOIL["slope"]),
            sif_760=np.where(soil, 0.0, pattern(*SIF_760)),
            sif_width=pattern(*SIF_WIDTH),
        )

    def reflectance(self, wavelength: Array) -> Array:
        """(line, sample, wavelength) reflectance at vacuum wavelengths, nm."""
        every = {name: values[..., None] for name, values in vars(self).items()}
        edge = 1 + np.exp((every["edge"] - wavelength) / EDGE_WIDTH)
        canopy = every["red"] + (every["infrared"] - every["red"]) / edge
        soil = every["soil_740"] + every["soil_slope"] * (wavelength - 740)
        return np.where(every["bare_soil"], soil, canopy)

    def sif(self, wavelength: Array) -> Array:
        """(line, sample, wavelength) emission at the surface, mW m-2 nm-1 sr-1.

        The falling side of the far-red peak at 737 nm, of a width that is the canopy's own.
        """
        at, reference = ((x - 737.0) ** 2 for x in (wavelength, 760.0))
        shape = np.exp(-0.5 * (at - reference) / self.sif_width[..., None] ** 2)
        return self.sif_760[..., None] * shape

    def column(self, sample: int) -> Self:
        """One column, (line, 1)."""
        cut = slice(sample, sample + 1)
        return replace(self, **{f.name: getattr(self, f.name)[:, cut] for f in fields(Ground)})


@dataclass(frozen=True)
class WholeGround(Ground):
    """A ground with the red peak: its own SIF from 740 nm on, below in the shapes of canopies.

    Attributes:
        emission: (field, WAVELENGTH) fluorescence relative to 740 nm.
    """

    emission: Array

    @classmethod
    def of(cls, ground: Ground, rng: np.random.Generator) -> WholeGround:
        """Draw the emission of every field of a ground."""
        return cls(**vars(ground), emission=draw_emission(int(ground.field.max()) + 1, rng))

    def sif(self, wavelength: Array) -> Array:
        """(line, sample, wavelength) emission at the surface, mW m-2 nm-1 sr-1."""
        shape = np.array([np.interp(wavelength, WAVELENGTH, s) for s in self.emission])
        below = super().sif(np.array([FALLING])) * shape[self.field]
        return np.where(wavelength < FALLING, below, super().sif(wavelength))


@dataclass(frozen=True)
class Mosaic:
    """What the ground of a scene seen from space is, at every pixel (line, sample).

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
    def drawn(
        cls,
        shape: tuple[int, int],
        bare_soil: float,
        rng: np.random.Generator,
        least_ndvi: float = -1.0,
    ) -> Mosaic:
        """Draw fields, some bare; within a field the cover varies smoothly and from pixel to
        pixel.

        Args:
            least_ndvi: of a canopy, at 670 and 800 nm; a sparser one is drawn again.
        """
        field, soil = draw_fields(shape, bare_soil, rng)
        count = soil.size
        soils = draw_soils(2 * count, rng)
        green = _greener(draw_canopies(2 * count, rng), least_ndvi, rng).reshape(count, 2, -1)
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


def _greener(canopies: Array, least: float, rng: np.random.Generator) -> Array:
    """The canopies, sparse ones replaced."""
    red, infrared = (np.searchsorted(WAVELENGTH, at) for at in (670.0, 800.0))
    while True:
        total = canopies[:, infrared] + canopies[:, red]
        sparse = canopies[:, infrared] - canopies[:, red] < least * total
        if not sparse.any():
            return canopies
        canopies[sparse] = draw_canopies(int(sparse.sum()), rng)


def draw_fields(
    shape: tuple[int, int], bare_soil: float, rng: np.random.Generator
) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
    """Number of the field each pixel (line, sample) lies in, and which fields (field) are bare.

    A pixel belongs to the nearest of random centres.
    """
    count = max(6, shape[0] * shape[1] // 400)
    centres = rng.random((count, 2)) * shape
    line, sample = np.indices(shape)
    nearest = np.zeros(shape, dtype=np.intp)
    best = np.full(shape, np.inf)
    for number, (a, b) in enumerate(centres):
        distance = np.maximum(abs(line - a), abs(sample - b))
        nearest = np.where(distance < best, number, nearest)
        best = np.minimum(distance, best)
    fields = int(nearest.max()) + 1
    return nearest, rng.permutation(fields) < round(bare_soil * fields)


def smooth_pattern(shape: tuple[int, int], rng: np.random.Generator, width: float = 0.06) -> Array:
    """Smooth random pattern, 0 to 1; ``width`` is its scale as a share of the scene."""
    noise = gaussian_filter(rng.standard_normal(shape), width * max(shape), mode="reflect")
    span = np.ptp(noise)
    return (noise - noise.min()) / span if span > 0 else np.full(shape, 0.5)
