"""DESIS scenes with known truth: full radiative transfer in 740-780 nm, scattering beside it.

Where the retrieval fits, light is computed line by line by sasktran2; the other bands, from which
only the shape of reflectance is predicted, by ``physics.wide_range``. Water vapour absorbs in all.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.progress import track

from sifnet.physics.full import wide_range
from sifnet.physics.full.extension import smoothed_sun
from sifnet.physics.full.radiative_transfer import Observer
from sifnet.physics.full.spectral_grids import GRID
from sifnet.physics.solar import COARSE_WAVELENGTH, coarse_solar_irradiance
from sifnet.scenes import sun
from sifnet.simulation import desis_product as desis_files
from sifnet.simulation.ground import smooth_pattern
from sifnet.simulation.mosaic import Mosaic
from sifnet.simulation.scenery import (
    AOT_NODES,
    NOON,
    PLACE,
    Settings,
    between,
    gaussian_responses,
    products_of,
    radiance_over,
    write_truth,
)

Array = NDArray[np.float64]

BANDS = 401.9 + 2.553 * np.arange(235)  # nm, vacuum
FWHM = 3.5  # nm
NOISE = 0.05  # standard deviation / sqrt(radiance): a signal to noise of 200 at 100
FINE = np.arange(733.0, 791.0, GRID[1] - GRID[0])  # nm, GRID and beyond it
SUN_AZIMUTH = 150.0  # degrees
RANGES = {
    "view_zenith_angle": (2.0, 22.0),
    "relative_azimuth_angle": (20.0, 160.0),
    "water_vapour": (0.8, 3.5),
    "shift": (-0.25, 0.25),
    "smile": (-0.3, 0.3),
    "fwhm_shift": (-0.1, 0.1),
    "noise": (NOISE, NOISE),
    "sensor_height": (np.inf, np.inf),
}


def drawn(rng: np.random.Generator, **given: float) -> Settings:
    """Sun, air and sensor of a scene seen from space; what is not ``given`` is drawn."""
    own = {
        k: low if low == high else float(rng.uniform(low, high))
        for k, (low, high) in RANGES.items()
    }
    return Settings.drawn(rng, **(own | given))


def simulate_desis(
    output: Path,
    lines: int,
    samples: int,
    seed: int,
    settings: Settings | None,
    rng: np.random.Generator,
    level: str,
    zipped: bool,
) -> Path:
    """Write a product and ``truth.nc``; see ``simulation.simulate``."""
    settings = settings or drawn(rng)
    ground = Mosaic.drawn((lines, samples), settings.bare_soil, rng)
    pattern = 2 * smooth_pattern((lines, samples), rng, 0.5) - 1
    aot = settings.aot_550 * (1 + settings.aot_contrast * pattern)
    nodes = np.linspace(aot.min(), aot.max(), AOT_NODES)
    light = [_light(replace(settings, aot_550=float(a))) for a in track(nodes, "air")]
    inner, outer = (np.stack(part) for part in zip(*light, strict=True))
    across = np.linspace(-1, 1, samples)
    shift = settings.shift + settings.smile * across**2
    fwhm_shift = settings.fwhm_shift * across**2
    fitted = (FINE[0] + 8 < BANDS) & (FINE[-1] - 8 > BANDS)
    radiance = np.empty((lines, samples, BANDS.size), dtype=np.float32)
    for sample in track(range(samples), "columns"):
        column, width = ground.column(sample), FWHM + fwhm_shift[sample]
        for grid, products, bands in (
            (FINE, inner, fitted),
            (COARSE_WAVELENGTH, outer, ~fitted),
        ):
            over = [radiance_over(column, grid, p) for p in products]
            response = gaussian_responses(
                BANDS[bands] + shift[sample], np.full(bands.sum(), width), grid
            )
            radiance[:, sample, bands] = between(aot[:, sample], nodes, over) @ response
    noise = settings.noise * np.sqrt(radiance)
    radiance += noise * rng.standard_normal(radiance.shape, dtype=np.float32)
    scene = desis_files.write_desis(
        output,
        f"DESIS-HSI-{level}-DT{seed:010d}_001-{NOON:%Y%m%dT%H%M%S}-V0220",
        radiance,
        BANDS,
        FWHM,
        level=level,
        acquisition_time=NOON,
        solar_zenith_angle=settings.solar_zenith_angle,
        solar_azimuth_angle=SUN_AZIMUTH,
        view_zenith_angle=settings.view_zenith_angle,
        view_azimuth_angle=(SUN_AZIMUTH + settings.relative_azimuth_angle) % 360,
        ground_elevation=settings.ground_elevation,
        water_vapour=settings.water_vapour,
        latitude=PLACE["latitude"],
        longitude=PLACE["longitude"],
        quality={"land": np.ones_like(aot), "aot_550": aot,
                 "water_vapour": np.full_like(aot, settings.water_vapour)},
        zipped=zipped,
    )  # fmt: skip
    write_truth(
        output,
        settings,
        seed,
        ground,
        {
            "aot_550": (("line", "sample"), aot, "1"),
            "wavelength_shift": (("sample",), shift, "nm"),
            "fwhm_shift": (("sample",), fwhm_shift, "nm"),
        },
    )
    return scene


def _light(settings: Settings) -> tuple[Array, Array]:
    """The five products under one air: (5, FINE), and (5, COARSE_WAVELENGTH)."""
    sight = [Observer(settings.view_zenith_angle, settings.relative_azimuth_angle, np.inf)]
    air, sza = settings.atmosphere(), settings.solar_zenith_angle
    wide = wide_range.products(air, settings.water_vapour, sza, sight)[0]
    dry = wide_range.products(air, 0.0, sza, sight)[0]
    wide[:3] /= sun.sun_earth_distance(NOON) ** 2
    dry[:3] /= sun.sun_earth_distance(NOON) ** 2
    exact = products_of(settings, sza, sight)[0]
    # Beyond GRID: the smooth light of the wide range, with the sun's lines, joined in level.
    lines = smoothed_sun(FINE)
    bright = np.array([1, 1, 1, 0, 0], bool)[:, None]
    plain = _to_fine(dry / np.where(bright, coarse_solar_irradiance(), 1.0))
    plain = plain * np.where(bright, lines, 1.0)
    fine = np.empty_like(plain)
    inside = (GRID[0] <= FINE) & (GRID[-1] >= FINE)
    fine[:, inside] = [np.interp(FINE[inside], GRID, p) for p in exact]
    for side, seam in ((GRID[0] > FINE, (741, 748)), (GRID[-1] < FINE, (776, 779))):
        near = (seam[0] < FINE) & (seam[1] > FINE)
        level = fine[:, near].mean(1) / plain[:, near].mean(1)
        fine[:, side] = plain[:, side] * level[:, None]
    return fine * _to_fine(wide / dry), wide


def _to_fine(products: Array) -> Array:
    return np.array([np.interp(FINE, COARSE_WAVELENGTH, p) for p in products])
