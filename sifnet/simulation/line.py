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

from sifnet.physics.full.radiative_transfer import Observer
from sifnet.physics.windows import FAR_RED, RED, Window
from sifnet.scenes.hyplant import HALF_SWATH_DEG
from sifnet.scenes.sensor import Sensor
from sifnet.simulation import scenery
from sifnet.simulation.ground import Ground, Mosaic, WholeGround
from sifnet.simulation.hyplant_product import write_hyplant

Array = NDArray[np.float64]

# The bands a retrieval uses, not all that a sensor has: a few for NDVI, and around oxygen.
CHLOROPHYLL: Array = np.linspace(671.0, 678.26, 12)  # nm
OXYGEN = {FAR_RED: (746.0, 775.0), RED: (683.0, 693.5)}  # nm
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


def simulate_line(
    order: scenery.Order, ground: Ground | Mosaic | None, relief: Relief | None
) -> Path:
    """Write a flight line and its truth; see ``simulation.simulate``."""
    settings, sensor, rng = order.settings, order.sensor, order.rng
    ground = ground or Ground.drawn(order.shape, settings.bare_soil, rng)
    whole = ground
    if order.red and type(ground) is Ground:  # by dice of its own: the rest is as without red
        whole = WholeGround.of(ground, rng.spawn(1)[0])
    lines, samples = ground.sif_760.shape
    aot, nodes = settings.aot((lines, samples), rng)
    elevation = np.full_like(aot, settings.ground_elevation)
    place, over = aot, {node: replace(settings, aot_550=node) for node in nodes}
    if relief is not None:
        aot, elevation = np.full_like(aot, settings.aot_550), relief.elevation
        place, over = elevation, dict(relief.over)
    shift, fwhm_shift = settings.across(samples)
    parts: list[tuple[Array, Array]] = []
    grounds = {FAR_RED: ground, RED: whole} if order.red else {FAR_RED: ground}
    for window, below in grounds.items():
        bands, seen = _seen(order, below, (place, over), (shift, fwhm_shift), window)
        noise = settings.noise * np.sqrt(seen) * rng.standard_normal(seen.shape)
        parts.append((bands, seen + noise))
    wavelength, noisy = (np.concatenate(part, axis=-1) for part in zip(*parts, strict=True))
    order_of_bands = np.argsort(wavelength)
    wavelength, noisy = wavelength[order_of_bands], noisy[..., order_of_bands]
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
    scenery.write_truth(order, whole, aot_550=aot, ground_elevation=elevation, **drift)
    return scene


def _seen(
    order: scenery.Order,
    ground: Ground | Mosaic,
    air: tuple[Array, Mapping[float, scenery.Settings]],
    drift: tuple[Array, Array],
    window: Window,
) -> tuple[Array, Array]:
    """Centres of a window's bands, nm, and (line, sample, band) radiance in them without noise.

    Args:
        air: place of every pixel between the nodes, and the settings there.
        drift: shift and change of width of every column.
    """
    (place, over), sensor, first = air, order.sensor, 0
    transfer, bands = _across(order, over, window), _oxygen_bands(sensor, window)
    if window == FAR_RED:
        bands, first = np.concatenate([CHLOROPHYLL, bands]), CHLOROPHYLL.size
    seen = np.empty((*place.shape, bands.size), np.float32)
    columns = track(range(place.shape[1]), description="columns", disable=order.quick)
    for sample, shift, wider in zip(columns, *drift, strict=True):
        column = ground.column(sample)
        light = {node: across[sample] for node, across in transfer.items()}
        if window == FAR_RED:
            middle = list(light.values())[len(light) // 2]
            seen[:, sample, :first] = _grey(column, CHLOROPHYLL + shift, middle)
        response = scenery.responses(bands[first:] + shift, sensor.fwhm + wider, window.wavelength)
        seen[:, sample, first:] = scenery.column_radiance(
            column, place[:, sample], light, window.wavelength, response
        )
    return bands, seen


def _oxygen_bands(sensor: Sensor, window: Window) -> Array:
    """Centres from the shoulder of the band on, nm, whose light is computed with their wings."""
    reach, (low, high) = WINGS * sensor.fwhm, OXYGEN[window]
    first, last = max(low, window.grid[0] + reach), min(high, window.grid[1] - reach)
    return scenery.band_centres(first, last, sensor.sampling)


def _across(
    order: scenery.Order, over: Mapping[float, scenery.Settings], window: Window
) -> dict[float, Array]:
    """(sample, 5, grid) products at each node; cubic in view angle between angles of its own."""
    view = np.linspace(-HALF_SWATH_DEG, HALF_SWATH_DEG, order.shape[1])
    nodes = np.linspace(view[0], view[-1], VIEW_NODES)
    products_of = scenery.emulated_products if order.quick else scenery.products_of
    transfer = {}
    for node, air in track(list(over.items()), f"{window.name} light", disable=order.quick):
        observers = [Observer(abs(v), RELATIVE_AZIMUTH, air.sensor_height) for v in nodes]
        products = products_of(air, air.solar_zenith_angle, observers, window)
        transfer[node] = CubicSpline(nodes, products)(view)
    return transfer


def _grey(column: Ground | Mosaic, wavelength: Array, products: Array) -> Array:
    """(line, band) radiance outside the simulated window, for NDVI only: a grey atmosphere."""
    grid = FAR_RED.wavelength
    continuum = products[:, (grid > 744) & (grid < 750)].mean(axis=1)
    grey = np.repeat(continuum[:, None], len(wavelength), axis=1)
    grey[:3] *= np.interp(wavelength, [660.0, 747.0], [1.20, 1.0])  # the sun is brighter there
    return scenery.radiance_over(column, wavelength, grey)
