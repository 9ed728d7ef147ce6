"""Reflectance of canopies and soils over 400-1000 nm, drawn from PROSAIL.

PROSPECT-D leaves (Feret et al. 2017) in a SAIL canopy (Verhoef 1984, Jacquemoud et al. 2009),
over soils mixed from the two of the library, of random brightness, slope and iron band; a part
of the canopies is mixed with bare soil. Needs the extra ``build``.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sifnet.files import data_file

Array = NDArray[np.float64]

WAVELENGTH: Array = np.arange(400.0, 1001.0)  # nm
LAI = (0.1, 7.0)
IRON = (870.0, 60.0)  # nm, centre and width of the ferric absorption


def draw_canopies(count: int, rng: np.random.Generator) -> Array:
    """(count, WAVELENGTH) directional reflectance of canopies, some partly of bare soil."""
    import prosail

    below, beside = draw_soils(count, rng), draw_soils(count, rng)
    brown = rng.uniform(0, 0.6, count) * (rng.random(count) < 0.4)
    red = rng.uniform(0, 8, count) * (rng.random(count) < 0.3)
    drawn = zip(
        rng.uniform(1.0, 2.5, count),  # leaf structure
        rng.uniform(2.0, 90.0, count),  # chlorophyll, ug cm-2
        rng.uniform(1.0, 25.0, count),  # carotenoids, ug cm-2
        brown,
        rng.uniform(0.004, 0.05, count),  # water, cm
        rng.uniform(0.001, 0.02, count),  # dry matter, g cm-2
        np.exp(rng.uniform(np.log(LAI[0]), np.log(LAI[1]), count)),
        rng.uniform(25.0, 75.0, count),  # mean leaf angle, degrees
        rng.uniform(0.01, 0.5, count),  # hot spot
        rng.uniform(15.0, 65.0, count),  # sun, view and azimuth, degrees
        rng.uniform(0.0, 25.0, count),
        rng.uniform(0.0, 180.0, count),
        strict=True,
    )
    canopies = np.empty((count, WAVELENGTH.size))
    for i, parameters in enumerate(drawn):
        soil = np.pad(below[i], (0, 2101 - WAVELENGTH.size), mode="edge")
        canopies[i] = prosail.run_prosail(
            *parameters, ant=red[i], prospect_version="D", factor="SDR", rsoil0=soil
        )[: WAVELENGTH.size]
    bare = (rng.random((count, 1)) ** 2) * (rng.random((count, 1)) < 0.5)
    return canopies + bare * (beside - canopies)


def draw_soils(count: int, rng: np.random.Generator) -> Array:
    """(count, WAVELENGTH) reflectance of bare soils."""
    from prosail import spectral_lib

    def uniform(low: float, high: float) -> Array:
        return rng.uniform(low, high, (count, 1))

    dry, wet = (soil[: WAVELENGTH.size] for soil in spectral_lib.soil)
    share = uniform(0, 1)
    x = (WAVELENGTH - 700.0) / 300.0
    shape = rng.normal(0, 0.15, (count, 1)) * x + rng.normal(0, 0.08, (count, 1)) * x**2
    shape = shape + rng.normal(0, 0.04, (count, 1)) * x**3
    iron = np.exp(-0.5 * ((WAVELENGTH - IRON[0]) / IRON[1]) ** 2)
    soils = uniform(0.4, 1.4) * (share * dry + (1 - share) * wet) * np.exp(shape)
    return np.clip(soils * (1 - uniform(0, 0.08) * iron), 0.01, 0.8)


def draw_emission(count: int, rng: np.random.Generator) -> Array:
    """(count, WAVELENGTH) fluorescence relative to 740 nm, 0 beyond 640-850 nm.

    SCOPE's mean and leading component (``data/sif_shape.csv``); the red peak varies by itself.
    """
    table = pd.read_csv(data_file("sif_shape.csv"), comment="#", header=None)
    wavelength, mean, component = table.to_numpy().T
    shape = mean + rng.standard_normal((count, 1)) * component
    red = 1 / (1 + np.exp((wavelength - 705.0) / 4.0))
    shape = np.clip(shape * (1 - red * rng.uniform(0, 0.7, (count, 1))), 0, None)
    shape = shape / shape[:, wavelength == 740.0]
    return np.array([np.interp(WAVELENGTH, wavelength, s, left=0, right=0) for s in shape])
