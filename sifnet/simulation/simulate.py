"""Scenes with known truth, in a sensor's own format: full radiative transfer, never the emulator.

So that nobody grades their own homework, the light of a simulated scene is computed by
sasktran2 at nodes over the scene (aerosol load or elevation, view angle, sun), interpolated between
nodes and convolved with each column's own response.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.progress import track
from scipy.interpolate import CubicSpline

from sifnet.errors import SifnetError
from sifnet.physics.full import database
from sifnet.physics.full.radiative_transfer import Observer
from sifnet.scenes import sun
from sifnet.scenes.hyplant import HALF_SWATH_DEG
from sifnet.simulation.desis import simulate_desis
from sifnet.simulation.flox_product import write_flox
from sifnet.simulation.ground import Ground, smooth_pattern
from sifnet.simulation.hyplant_product import write_hyplant
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

FLOX_HEIGHT = 0.0025  # km above the canopy
FLOX_NOISE = 1e-3  # of radiance
VIEW_NODES = 7


@dataclass(frozen=True)
class Relief:
    """Ground that rises and falls below a sensor at one altitude; one aerosol load everywhere.

    Attributes:
        elevation: (line, sample) km above sea level.
        over: settings over ground at some elevations, km, that enclose all; light is interpolated
            between them by a polynomial through all.
    """

    elevation: Array
    over: Mapping[float, Settings]


def simulate(
    sensor: str,
    output: str | Path,
    *,
    lines: int = 96,
    samples: int = 96,
    seed: int = 0,
    settings: Settings | None = None,
    ground: Ground | None = None,
    relief: Relief | None = None,
    level: str = "L1C",
    zipped: bool = False,
) -> Path:
    """Write a simulated scene in its sensor's format, and ``truth.nc`` beside it.

    Args:
        sensor: ``hyplant`` or ``desis`` (lines x samples pixels), ``flox`` (``lines``
            measurements).
        output: folder, made if need be.
        lines: lines along track, or measurements in time.
        samples: columns across track; FloX has one.
        seed: of everything drawn; the same seed gives the same bytes.
        settings: sun, air and sensor; drawn from the seed by default.
        ground: of HyPlant scenes, (lines, samples); drawn from the seed by default.
        relief: of HyPlant scenes; level by default. The file states the settings' mean elevation
            and height only, as real ones do.
        level: of DESIS products, L1B or L1C, with masks, aerosol and water beside it.
        zipped: DESIS products, as they are downloaded.

    Returns:
        Path of the scene, for ``sifnet.open_scene``.

    Raises:
        SifnetError: no such sensor, or the folder cannot be written.
    """
    if sensor not in ("hyplant", "flox", "desis"):
        raise SifnetError(
            "cannot simulate this sensor",
            found=repr(sensor),
            expected="hyplant, flox or desis",
            remedy="Choose one of these with --sensor.",
        )
    rng = np.random.default_rng(seed)
    output = Path(output)
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SifnetError(
            "cannot write the simulated scene",
            file=output,
            found=error.strerror,
            expected="a folder that can be written",
            remedy="Choose another folder with -o.",
        ) from error
    if sensor == "desis":
        return simulate_desis(output, lines, samples, seed, settings, rng, level, zipped)
    settings = settings or Settings.drawn(rng)
    if sensor == "flox":
        return _simulate_flox(output, lines, samples, seed, settings, rng)
    ground = ground or Ground.drawn((lines, samples), settings.bare_soil, rng)
    return _simulate_hyplant(output, ground, seed, settings, rng, relief)


def _simulate_hyplant(
    output: Path,
    ground: Ground,
    seed: int,
    settings: Settings,
    rng: np.random.Generator,
    relief: Relief | None,
) -> Path:
    lines, samples = ground.sif_760.shape
    aot = settings.aot_550 * (
        1 + settings.aot_contrast * (2 * smooth_pattern((lines, samples), rng, 0.5) - 1)
    )
    place = aot
    nodes = {a: replace(settings, aot_550=a) for a in np.linspace(aot.min(), aot.max(), AOT_NODES)}
    if relief is not None:
        aot = np.full_like(aot, settings.aot_550)
        place, nodes = relief.elevation, dict(relief.over)
    view = np.linspace(-HALF_SWATH_DEG, HALF_SWATH_DEG, samples)
    across = np.linspace(-1, 1, samples)
    shift = settings.shift + settings.smile * across**2
    fwhm_shift = settings.fwhm_shift * across**2
    wavelength, fwhm = _hyplant_bands()
    transfer = np.stack([_products_across(air, view) for air in track(nodes.values(), "air")])

    radiance = np.empty((lines, samples, len(wavelength)), dtype=np.float32)
    inside = wavelength > database.GRID[0] + 1
    for sample in track(range(samples), description="columns"):
        column, products = ground.column(sample), transfer[:, sample]
        light = _column_radiance(column, place[:, sample], np.array(list(nodes)), products)
        centre = wavelength + shift[sample]
        response = gaussian_responses(centre[inside], fwhm[inside] + fwhm_shift[sample])
        radiance[:, sample, inside] = light @ response
        radiance[:, sample, ~inside] = _red(column, centre[~inside], products[1])
    noisy = radiance + settings.noise * np.sqrt(radiance) * rng.standard_normal(radiance.shape)
    name = f"{NOON:%Y%m%d}-SIM-1300-{settings.sensor_height * 1e3:.0f}-L{seed}-S-FLUO_radiance"
    scene = write_hyplant(
        output,
        name,
        noisy.astype(np.float32),
        wavelength,
        fwhm,
        solar_zenith_angle=settings.solar_zenith_angle,
        relative_azimuth_angle=90.0,
        ground_elevation=settings.ground_elevation,
        sensor_height=settings.sensor_height,
        acquisition_time=NOON,
        latitude=PLACE["latitude"],
        longitude=PLACE["longitude"],
    )
    dims = ("line", "sample")
    level = np.full_like(aot, settings.ground_elevation)
    elevation = level if relief is None else relief.elevation
    write_truth(
        output,
        settings,
        seed,
        ground,
        {
            "aot_550": (dims, aot, "1"),
            "ground_elevation": (dims, elevation, "km"),
            "wavelength_shift": (("sample",), shift, "nm"),
            "fwhm_shift": (("sample",), fwhm_shift, "nm"),
        },
    )
    return scene


def _simulate_flox(
    output: Path,
    lines: int,
    samples: int,
    seed: int,
    settings: Settings,
    rng: np.random.Generator,
) -> Path:
    """A field spectrometer 2.5 m up over one canopy, through a day: E / pi and L a measurement."""
    ground = Ground.drawn((lines, 1), 0.0, rng)
    still = Ground(**{k: v[:1].repeat(lines, 0) for k, v in vars(ground).items()})
    course = np.sin(np.linspace(0.15, np.pi - 0.15, lines))
    ground = Ground(**vars(still) | {"sif_760": still.sif_760 * course[:, None]})
    times, sza = sun.solar_course(NOON, lines, **PLACE)
    nodes = np.linspace(sza.min(), sza.max(), min(lines, 8))
    below = [Observer(0.0, 0.0, FLOX_HEIGHT)]
    light = np.stack([products_of(settings, a, below)[0] for a in track(nodes, "sun")])
    light[:, :3] /= np.cos(np.radians(nodes))[:, None, None]
    at_time = CubicSpline(nodes, light)(sza) if len(nodes) > 1 else light.repeat(lines, 0)
    at_time[:, :3] *= np.cos(np.radians(sza))[:, None, None]

    wavelength, fwhm = np.arange(745.0, 778.0, 0.153), 0.31
    response = gaussian_responses(wavelength + settings.shift, np.full(len(wavelength), fwhm))
    reflected = radiance_over(ground, database.GRID, at_time)
    # Irradiance over the target contains what the sky returns of the target's own light.
    _, lit, bounce, up, _ = at_time.transpose(1, 0, 2)
    incoming = lit / up / (1 - ground.reflectance(database.GRID)[:, 0] * bounce / lit)
    pair = [
        s @ response * (1 + FLOX_NOISE * rng.standard_normal((lines, len(wavelength))))
        for s in (incoming, reflected)
    ]
    scene = write_flox(
        output,
        incoming=pair[0],
        reflected=pair[1],
        wavelength=wavelength,
        times=times,
        ground_elevation=settings.ground_elevation,
        sensor_height=FLOX_HEIGHT,
        **PLACE,
    )
    write_truth(output, settings, seed, ground, {"solar_zenith_angle": (("line",), sza, "degree")})
    return scene


def _hyplant_bands() -> tuple[Array, Array]:
    """The bands a retrieval uses, not all 1024: a few red ones for NDVI, and the O2-A region."""
    red = 671.0 + 0.66 * np.arange(12)
    oxygen = 746.0 + 0.11 * np.arange(264)
    wavelength = np.concatenate([red, oxygen])
    return wavelength, np.full(len(wavelength), 0.25)


def _products_across(settings: Settings, view: Array) -> Array:
    """(sample, 5, GRID) products under one air; cubic in view angle between nodes."""
    nodes = np.linspace(view[0], view[-1], VIEW_NODES)
    # Relative azimuth 90 degrees on both sides: the line is flown towards or from the sun.
    observers = [Observer(abs(v), 90.0, settings.sensor_height) for v in nodes]
    computed = products_of(settings, settings.solar_zenith_angle, observers)
    return CubicSpline(nodes, computed)(view)


def _column_radiance(ground: Ground, place: Array, nodes: Array, products: Array) -> Array:
    """(line, GRID) radiance of one column: the polynomial through all nodes.

    Args:
        ground: of the column, (line, 1).
        place: (line) aerosol optical thickness, or elevation in km.
        nodes: (node) of the products, in the same measure.
        products: (node, 5, GRID).
    """
    return between(place, nodes, [radiance_over(ground, database.GRID, p) for p in products])


def _red(ground: Ground, wavelength: Array, products: Array) -> Array:
    """(line, band) radiance outside the simulated window, for NDVI only: a grey atmosphere."""
    continuum = products[:, (database.GRID > 744) & (database.GRID < 750)].mean(axis=1)
    grey = np.repeat(continuum[:, None], len(wavelength), axis=1)
    grey[:3] *= np.interp(wavelength, [660.0, 747.0], [1.20, 1.0])  # the sun is brighter there
    return radiance_over(ground, wavelength, grey)
