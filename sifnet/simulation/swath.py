"""A scene of FLORIS on FLEX: two resolutions around the O2 A band, smile that the product states.

In 740-780 nm light is computed line by line by sasktran2; the other channels, which the retrieval
uses for its NDVI only, are of ``physics.full.wide_range``: without the lines of the O2 B band,
unless these are asked for (682.5-693.6 nm, no water vapour there).
The product knows its wavelengths but for a common shift, its noise, and its air with the errors of
real ones: aerosol to 0.03 and a tenth, temperature to 0.7 K.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.progress import track

from sifnet.physics.solar import COARSE_WAVELENGTH
from sifnet.physics.windows import RED
from sifnet.simulation import scenery
from sifnet.simulation.flex_product import PIXEL, channels, write_flex
from sifnet.simulation.ground import LEAST_NDVI, Mosaic
from sifnet.simulation.orbit import FINE, SUN_AZIMUTH, light_from_space, sight

Array = NDArray[np.float64]

AEROSOL_ERROR, WARMTH_ERROR = (0.03, 0.1), 0.7  # of what the product states; K
WATER_ERROR = 0.1  # share
COARSEST = 2.0  # nm, of channels seen on a grid of 1 nm
CLASS = {"soil": 1, "vegetation": 2}


def simulate_swath(order: scenery.Order) -> Path:
    """Write an L1C product and its truth; see ``simulation.simulate``."""
    settings, sensor, (lines, samples) = order.settings, order.sensor, order.shape
    ground = Mosaic.drawn(order.shape, settings.bare_soil, order.rng, LEAST_NDVI)
    aot, nodes = settings.aot(order.shape, order.rng)
    light = light_from_space(settings, nodes)
    shift, fwhm_shift = settings.across(samples)
    nominal, width, arm = channels()
    fine = arm == arm[-1]
    low, high = RED.counted
    red = (nominal >= low) & (nominal <= high) if order.red else np.zeros_like(fine)
    radiance = np.empty((lines, samples, nominal.size), dtype=np.float32)
    parts = [(FINE, light[0], fine), (COARSE_WAVELENGTH, light[1], ~fine & ~red)]
    if order.red:
        lit = {
            a: scenery.products_of(
                replace(settings, aot_550=float(a)), settings.solar_zenith_angle, sight(settings),
                RED,
            )[0]
            for a in track(nodes, "red light")
        }  # fmt: skip
        parts.append((RED.wavelength, lit, red))
    for sample in track(range(samples), "columns"):
        column = ground.column(sample)
        for grid, products, bands in parts:
            wide = width[bands] + fwhm_shift[sample]
            seen = wide.clip(min=COARSEST) if grid is COARSE_WAVELENGTH else wide
            response = scenery.responses(nominal[bands] + shift[sample], seen, grid)
            radiance[:, sample, bands] = scenery.column_radiance(
                column, aot[:, sample], products, grid, response
            )
    # Wider channels are sums of pixels of the detector: as many photons more.
    pixels = (np.gradient(nominal) / sensor.sampling).clip(min=1.0)
    noise = (settings.noise / np.sqrt(pixels) * np.sqrt(radiance.clip(min=1.0))).astype(np.float32)
    radiance += noise * order.rng.standard_normal(radiance.shape, dtype=np.float32)
    smile = shift - shift.mean()
    scene = write_flex(
        order.output,
        radiance,
        noise,
        nominal + smile[:, None],
        np.broadcast_to(width, (samples, width.size)).copy(),
        acquisition_time=scenery.time_of(settings),
        planes=_planes(order, ground, aot),
        temperature_offset=settings.temperature_offset + WARMTH_ERROR * order.rng.standard_normal(),
        seed=order.seed,
    )
    scenery.write_truth(order, ground, aot_550=aot, wavelength_shift=shift, fwhm_shift=fwhm_shift)
    return scene


def _planes(order: scenery.Order, ground: Mosaic, aot: Array) -> dict[str, Array]:
    """What the product states of every pixel."""
    settings, rng = order.settings, order.rng
    full = np.ones(order.shape)
    line, sample = np.indices(order.shape) - np.array(order.shape)[:, None, None] // 2
    least, share = AEROSOL_ERROR
    told = aot * (1 + share * rng.standard_normal()) + least * rng.standard_normal()
    soil = ground.bare_soil.astype(bool)
    return {
        "latitude": scenery.PLACE["latitude"] - PIXEL * line,
        "longitude": scenery.PLACE["longitude"]
        + PIXEL * sample / np.cos(np.radians(scenery.PLACE["latitude"])),
        "surface_elevation": 1e3 * settings.ground_elevation * full,
        "sun_zenith_angle": settings.solar_zenith_angle * full,
        "sun_azimuth_angle": SUN_AZIMUTH * full,
        "viewing_zenith_angle": settings.view_zenith_angle * full,
        "relative_azimuth_angle": settings.relative_azimuth_angle * full,
        "aerosol": told.clip(0.01),
        "water": settings.water_vapour * (1 + WATER_ERROR * rng.standard_normal()) * full,
        "pixel_classification": np.where(soil, CLASS["soil"], CLASS["vegetation"]),
    }
