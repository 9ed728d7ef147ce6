"""Flight lines with known truth: light at nodes of aerosol or elevation and of view angle."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.progress import track
from scipy.interpolate import CubicSpline

from sifnet.physics.full.database import GRID
from sifnet.physics.full.radiative_transfer import Observer
from sifnet.scenes.hyplant import HALF_SWATH_DEG
from sifnet.scenes.sensor import Sensor
from sifnet.simulation import scenery
from sifnet.simulation.ground import Ground
from sifnet.simulation.hyplant_product import write_hyplant

Array = NDArray[np.float64]

# The bands a retrieval uses, not all that a sensor has: a few red ones for NDVI, and these.
RED: Array = np.linspace(671.0, 678.26, 12)  # nm
OXYGEN = (746.0, 775.0)  # nm
WINGS = 3.0  # FWHM of a band on either side that must lie within the light
VIEW_NODES = 7
LOCAL = timedelta(hours=2)  # central European summer time, of the file's name
RELATIVE_AZIMUTH = 90.0  # degrees on both sides: the line is flown towards or from the sun


@dataclass(frozen=True)
class Relief:
    """Ground that rises and falls below a sensor at one altitude; one aerosol load everywhere.

    Attributes:
        elevation: (line, sample) km above sea level.
        over: settings over ground at some elevations, km, that enclose all; light is interpolated
            between them by a polynomial through all.
    """

    elevation: Array
    over: Mapping[float, scenery.Settings]


def simulate_line(order: scenery.Order, ground: Ground | None, relief: Relief | None) -> Path:
    """Write a flight line and its truth; see ``simulation.simulate``."""
    settings, sensor, rng = order.settings, order.sensor, order.rng
    ground = ground or Ground.drawn(order.shape, settings.bare_soil, rng)
    lines, samples = ground.sif_760.shape
    aot, nodes = settings.aot((lines, samples), rng)
    elevation = np.full_like(aot, settings.ground_elevation)
    place, over = aot, {node: replace(settings, aot_550=node) for node in nodes}
    if relief is not None:
        aot, elevation = np.full_like(aot, settings.aot_550), relief.elevation
        place, over = elevation, dict(relief.over)
    view = np.linspace(-HALF_SWATH_DEG, HALF_SWATH_DEG, samples)
    products = scenery.emulated_products if order.quick else scenery.products_of
    airs = list(over.items()) if order.quick else track(list(over.items()), "air")
    transfer = {p: _products_across(air, view, products) for p, air in airs}
    shift, fwhm_shift = settings.across(samples)
    wavelength = np.concatenate([RED, _oxygen_bands(sensor)])
    radiance = np.empty((lines, samples, wavelength.size), dtype=np.float32)
    for sample in track(range(samples), description="columns", disable=order.quick):
        column = ground.column(sample)
        light = {node: across[sample] for node, across in transfer.items()}
        red, oxygen = np.split(wavelength + shift[sample], [RED.size])
        response = scenery.responses(oxygen, sensor.fwhm + fwhm_shift[sample])
        radiance[:, sample, : RED.size] = _red(column, red, list(light.values())[len(light) // 2])
        radiance[:, sample, RED.size :] = scenery.column_radiance(
            column, place[:, sample], light, GRID, response
        )
    noisy = radiance + settings.noise * np.sqrt(radiance) * rng.standard_normal(radiance.shape)
    height, time = settings.sensor_height, scenery.time_of(settings)
    scene = write_hyplant(
        order.output,
        f"{time + LOCAL:%Y%m%d-SIM-%H%M}-{height * 1e3:.0f}-L{order.seed}-S-FLUO_radiance",
        noisy.astype(np.float32),
        wavelength,
        sensor.fwhm,
        solar_zenith_angle=settings.solar_zenith_angle,
        relative_azimuth_angle=RELATIVE_AZIMUTH,
        ground_elevation=settings.ground_elevation,
        sensor_height=height,
        acquisition_time=time,
        latitude=scenery.PLACE["latitude"],
        longitude=scenery.PLACE["longitude"],
    )
    drift = {"wavelength_shift": shift, "fwhm_shift": fwhm_shift}
    scenery.write_truth(order, ground, aot_550=aot, ground_elevation=elevation, **drift)
    return scene


def _oxygen_bands(sensor: Sensor) -> Array:
    """Centres from the shoulder of the band on, nm, whose light is computed with their wings."""
    reach = WINGS * sensor.fwhm
    first, last = max(OXYGEN[0], GRID[0] + reach), min(OXYGEN[1], GRID[-1] - reach)
    return scenery.band_centres(first, last, sensor.sampling)


def _products_across(
    settings: scenery.Settings, view: Array, products_of: scenery.ProductsOf
) -> Array:
    """(sample, 5, GRID) products under one air; cubic in view angle between nodes."""
    nodes = np.linspace(view[0], view[-1], VIEW_NODES)
    observers = [Observer(abs(v), RELATIVE_AZIMUTH, settings.sensor_height) for v in nodes]
    products = products_of(settings, settings.solar_zenith_angle, observers)
    return CubicSpline(nodes, products)(view)


def _red(column: Ground, wavelength: Array, products: Array) -> Array:
    """(line, band) radiance outside the simulated window, for NDVI only: a grey atmosphere."""
    continuum = products[:, (GRID > 744) & (GRID < 750)].mean(axis=1)
    grey = np.repeat(continuum[:, None], len(wavelength), axis=1)
    grey[:3] *= np.interp(wavelength, [660.0, 747.0], [1.20, 1.0])  # the sun is brighter there
    return scenery.radiance_over(column, wavelength, grey)
