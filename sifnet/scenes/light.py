"""What some lines of a scene show: how bright its ground is, and how much bands scatter."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sifnet.scenes.checks import continuum_bands, sun_on_ground
from sifnet.scenes.scatter import noise_over_root
from sifnet.scenes.scene import Scene

Array = NDArray[np.float64]

LINES = 48  # of a scene, that are looked at
RED, INFRARED = (650.0, 680.0), (770.0, 810.0)  # nm, the bands of the NDVI of radiances
GREEN = 0.5  # NDVI of radiances, above which ground is green
FEWEST = 40  # pixels that say what is usual
SEEN = ((640.0, 690.0), (739.0, 811.0))  # nm, of all that is looked at


@dataclass(frozen=True)
class Light:
    """What some lines of a scene show.

    Attributes:
        reflectance: of every pixel that is lit, in the continuum, by the sun at its angle or by
            measured irradiance.
        ndvi: of radiances; not a number where bands do not cover it.
        noise: over the noise of the sensor's record; not a number where it cannot be told.
        irradiance: measured, over the sunlight above the air; empty where none is measured.
        bands: the same lines, of which ``spectrum`` is the mean over lit pixels.
    """

    reflectance: Array
    ndvi: Array
    noise: float
    irradiance: Array
    bands: Scene
    spectrum: Array

    @classmethod
    def of(cls, scene: Scene) -> Light:
        """From lines all over the scene."""
        step, wavelength = -(-scene.shape[0] // LINES), scene.wavelength
        seen = [(wavelength >= low) & (wavelength <= high) for low, high in SEEN]
        part = scene.read(slice(step // 2, None, step), np.flatnonzero(np.any(seen, axis=0)))
        radiance, clear = part.radiance.values, continuum_bands(part.wavelength)
        level, sun = _mean(radiance[..., clear]), sun_on_ground(scene.dataset)
        lit = np.isfinite(level) & (level > 0) & (part.flags().values == 0)
        light, measured, noise = np.full(level.shape, sun), np.empty(0), np.nan
        if part.irradiance is None:
            usual = np.sqrt((part.shot_noise[clear] ** 2).mean())
            noise = noise_over_root(radiance[..., clear], lit) / usual
        else:  # whose light changes from line to line
            light = _mean(part.irradiance.values[..., clear])
            lit &= light > 0
            measured = light[lit] / sun
        spectrum = radiance[lit].mean(0, dtype=float) if lit.any() else np.zeros(part.shape[2])
        green = ndvi(radiance[lit], part.wavelength)
        return cls(np.pi * level[lit] / light[lit], green, noise, measured, part, spectrum)

    def ground(self) -> tuple[Array, bool]:
        """Reflectance of what is green, or of all where too little is, and whether it is green."""
        green = self.ndvi >= GREEN
        return (self.reflectance[green], True) if green.sum() >= FEWEST else (
            self.reflectance, False)  # fmt: skip


def ndvi(radiance: NDArray[np.floating], wavelength: Array) -> Array:
    """(pixel,) of radiances; not a number where bands do not cover it."""
    inside = [(wavelength >= low) & (wavelength <= high) for low, high in (INFRARED, RED)]
    if not all(some.any() for some in inside):
        return np.full(len(radiance), np.nan)
    near, red = (_mean(radiance[:, some]) for some in inside)
    return np.asarray((near - red) / np.where(near + red > 0, near + red, np.nan))


def _mean(radiance: NDArray[np.floating]) -> Array:
    return np.asarray(radiance.mean(-1, dtype=float))
