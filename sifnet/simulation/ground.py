"""The ground of a simulated scene: fields of crops and bare soil, and what they emit.

Reflectance, fluorescence and its spectral shape are drawn independently of each other, so that
greenness does not tell fluorescence.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

Array = NDArray[np.float64]

# The canopy: logistic red edge; reflectance at 675 nm, in the near infrared, edge nm, width nm.
CANOPY = {"red": (0.02, 0.06), "infrared": (0.25, 0.55), "edge": (712.0, 722.0)}
EDGE_WIDTH = 12.0
SOIL = {"at_740": (0.10, 0.32), "slope": (2e-4, 9e-4)}
SIF_760 = (0.1, 2.4)  # mW m-2 nm-1 sr-1, of vegetation (SCOPE: 0.01-1.95)
SIF_WIDTH = (21.0, 26.0)  # nm; F760 / F740 of 0.55 to 0.68, SCOPE's range


@dataclass(frozen=True)
class Ground:
    """What the ground of a simulated scene is, at every pixel (line, sample).

    Reflectance is a soil line where ``bare_soil``, a canopy with a logistic red edge elsewhere.
    """

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
        field = fields(shape, rng)
        count = field.max() + 1
        soil_fields = rng.permutation(count) < round(bare_soil * count)

        def pattern(low: float, high: float) -> Array:
            level = rng.random(count)[field]
            mixed = np.clip(0.75 * level + 0.25 * smooth_pattern(shape, rng), 0, 1)
            return low + (high - low) * mixed

        soil = soil_fields[field]
        return cls(
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

    def column(self, sample: int) -> Ground:
        """One column, (line, 1)."""
        cut = slice(sample, sample + 1)
        return Ground(**{name: values[:, cut] for name, values in vars(self).items()})


def fields(shape: tuple[int, int], rng: np.random.Generator) -> NDArray[np.intp]:
    """(line, sample) number of the field each pixel lies in: nearest of random centres."""
    count = max(6, shape[0] * shape[1] // 400)
    centres = rng.random((count, 2)) * shape
    line, sample = np.indices(shape)
    nearest = np.zeros(shape, dtype=np.intp)
    best = np.full(shape, np.inf)
    for number, (a, b) in enumerate(centres):
        distance = np.maximum(abs(line - a), abs(sample - b))
        nearest = np.where(distance < best, number, nearest)
        best = np.minimum(distance, best)
    return nearest


def smooth_pattern(shape: tuple[int, int], rng: np.random.Generator, width: float = 0.06) -> Array:
    """Smooth random pattern, 0 to 1; ``width`` is its scale as a share of the scene."""
    noise = gaussian_filter(rng.standard_normal(shape), width * max(shape), mode="reflect")
    span = np.ptp(noise)
    return (noise - noise.min()) / span if span > 0 else np.full(shape, 0.5)
