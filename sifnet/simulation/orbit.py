"""Scenes from orbit with known truth: full radiative transfer in 740-780 nm, scattering beside it.

Where the retrieval fits, light is computed line by line by sasktran2; the other bands, from which
only the shape of reflectance is predicted, by ``physics.full.wide_range``. Water vapour absorbs in
all.
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
from sifnet.simulation import scenery
from sifnet.simulation.desis_product import write_desis
from sifnet.simulation.ground import Mosaic
from sifnet.units import vacuum_to_air

Array = NDArray[np.float64]

BANDS = (401.9, 1000.0)  # nm, vacuum
FINE: Array = np.arange(733.0, 791.0, GRID[1] - GRID[0])  # nm, GRID and beyond it
WINGS = 8.0  # nm of a band on either side that must lie within FINE
SUN_AZIMUTH = 150.0  # degrees


def simulate_orbit(order: scenery.Order, level: str, zipped: bool) -> Path:
    """Write a product and its truth; see ``simulation.simulate``."""
    settings, sensor, (lines, samples) = order.settings, order.sensor, order.shape
    ground = Mosaic.drawn(order.shape, settings.bare_soil, order.rng)
    aot, nodes = settings.aot(order.shape, order.rng)
    inner, outer = light_from_space(settings, nodes)
    shift, fwhm_shift = settings.across(samples)
    wavelength = scenery.band_centres(*BANDS, sensor.sampling)
    fitted = (FINE[0] + WINGS < wavelength) & (FINE[-1] - WINGS > wavelength)
    radiance = np.empty((lines, samples, wavelength.size), dtype=np.float32)
    for sample in track(range(samples), "columns"):
        column = ground.column(sample)
        for grid, products, bands in ((FINE, inner, fitted), (COARSE_WAVELENGTH, outer, ~fitted)):
            centre = wavelength[bands] + shift[sample]
            response = scenery.responses(centre, sensor.fwhm + fwhm_shift[sample], grid)
            radiance[:, sample, bands] = scenery.column_radiance(
                column, aot[:, sample], products, grid, response
            )
    noise = settings.noise * np.sqrt(radiance)
    radiance += noise * order.rng.standard_normal(radiance.shape, dtype=np.float32)
    water, time = np.full_like(aot, settings.water_vapour), scenery.time_of(settings)
    scene = write_desis(
        order.output,
        f"DESIS-HSI-{level}-DT{order.seed:010d}_001-{time:%Y%m%dT%H%M%S}-V0220",
        radiance,
        vacuum_to_air(wavelength) if sensor.medium == "air" else wavelength,
        sensor.fwhm,
        level=level,
        quality={"land": np.ones_like(aot), "aot_550": aot, "water_vapour": water},
        zipped=zipped,
        acquisition_time=time,
        solar_zenith_angle=settings.solar_zenith_angle,
        solar_azimuth_angle=SUN_AZIMUTH,
        view_zenith_angle=settings.view_zenith_angle,
        view_azimuth_angle=(SUN_AZIMUTH + settings.relative_azimuth_angle) % 360,
        ground_elevation=settings.ground_elevation,
        water_vapour=settings.water_vapour,
        latitude=scenery.PLACE["latitude"],
        longitude=scenery.PLACE["longitude"],
    )
    found = {"aot_550": aot, "wavelength_shift": shift, "fwhm_shift": fwhm_shift}
    scenery.write_truth(order, ground, level == "L1C", **found)
    return scene


def light_from_space(
    settings: scenery.Settings, nodes: Array
) -> tuple[dict[float, Array], dict[float, Array]]:
    """The five products at each aerosol load of ``nodes``: on FINE, and on COARSE_WAVELENGTH."""
    light = {a: _light(replace(settings, aot_550=float(a))) for a in track(nodes, "air")}
    inner, outer = ({a: parts[i] for a, parts in light.items()} for i in (0, 1))
    return inner, outer


def sight(settings: scenery.Settings) -> list[Observer]:
    """The one line of sight of a scene seen from space."""
    return [Observer(settings.view_zenith_angle, settings.relative_azimuth_angle, np.inf)]


def _light(settings: scenery.Settings) -> tuple[Array, Array]:
    """The five products under one air: (5, FINE), and (5, COARSE_WAVELENGTH)."""
    seen = sight(settings)
    air, sza = settings.atmosphere(), settings.solar_zenith_angle
    wide = wide_range.products(air, settings.water_vapour, sza, seen)[0]
    dry = wide_range.products(air, 0.0, sza, seen)[0]
    for products in (wide, dry):
        products[:3] /= sun.sun_earth_distance(scenery.NOON) ** 2
    exact = scenery.products_of(settings, sza, seen)[0]
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
