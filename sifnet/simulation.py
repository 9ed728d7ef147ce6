"""Scenes with known truth, in a sensor's own format: full radiative transfer, never the emulator.

So that nobody grades their own homework, the light of a simulated scene is computed by
sasktran2 at nodes over the scene (aerosol load or elevation, view angle, sun), interpolated between
nodes and convolved with each column's own response.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from rich.progress import track
from scipy.interpolate import CubicSpline

from sifnet.errors import SifnetError
from sifnet.landscape import Ground, smooth_pattern
from sifnet.physics import database
from sifnet.physics.radiative_transfer import Observer
from sifnet.physics.spectral_grids import SpectralGrids
from sifnet.physics.state import Atmosphere
from sifnet.readers import flox, hyplant, sun
from sifnet.units import standard_pressure

Array = NDArray[np.float64]

PLACE = {"latitude": 50.62, "longitude": 6.99}  # Campus Klein-Altendorf
NOON = datetime(2020, 6, 25, 11, tzinfo=UTC)
FLOX_HEIGHT = 0.0025  # km above the canopy
FLOX_NOISE = 1e-3  # of radiance
AOT_NODES = 3
VIEW_NODES = 7
NOISE = 0.07  # HyPlant FLUO: standard deviation / sqrt(radiance in mW m-2 nm-1 sr-1)


@dataclass(frozen=True)
class Settings:
    """Sun, air and sensor of a simulated scene; what is not given is drawn from the seed.

    Attributes:
        solar_zenith_angle: degrees.
        sensor_height: km above the ground.
        ground_elevation: km above sea level.
        pressure_offset: hPa, surface pressure minus the standard atmosphere's.
        temperature_offset: K.
        aot_550: mean over the scene; it varies by ``aot_contrast`` of itself, slowly.
        aot_contrast: half the peak-to-peak variation of AOT over its mean.
        aerosol_height: km.
        aerosol_type: 0 continental to 1 maritime.
        o2_scale: factor on O2 absorption.
        shift: nm, mean wavelength shift; a smile of ``smile`` nm is added across track.
        smile: nm, edge minus centre.
        fwhm_shift: nm at the edge of the swath; 0 in the middle.
        noise: standard deviation / sqrt(radiance).
        bare_soil: share of the scene.
    """

    solar_zenith_angle: float
    sensor_height: float
    ground_elevation: float
    pressure_offset: float
    temperature_offset: float
    aot_550: float
    aerosol_height: float
    aerosol_type: float
    shift: float
    smile: float
    fwhm_shift: float
    o2_scale: float = 1.0
    aot_contrast: float = 0.15
    noise: float = NOISE
    bare_soil: float = 0.25

    @classmethod
    def drawn(cls, rng: np.random.Generator, **given: float) -> Settings:
        """Draw what is not ``given`` from the ranges of European summer flights."""
        ranges = {
            "solar_zenith_angle": (28, 55),
            "sensor_height": (0.35, 1.8),
            "ground_elevation": (0.05, 0.4),
            "pressure_offset": (-8, 8),
            "temperature_offset": (-4, 6),
            "aot_550": (0.05, 0.25),
            "aerosol_height": (0.8, 2.5),
            "aerosol_type": (0, 0.4),
            "shift": (-0.03, 0.03),
            "smile": (-0.04, 0.04),
            "fwhm_shift": (-0.02, 0.02),
        }
        return cls(**({k: float(rng.uniform(*v)) for k, v in ranges.items()} | given))

    @property
    def surface_pressure(self) -> float:
        """Surface pressure, hPa."""
        return float(standard_pressure(self.ground_elevation)) + self.pressure_offset

    def atmosphere(self) -> Atmosphere:
        """The atmosphere at the mean aerosol load."""
        return Atmosphere.of(**{n: getattr(self, n) for n in Atmosphere.__dataclass_fields__})


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
) -> Path:
    """Write a simulated scene in its sensor's format, and ``truth.nc`` beside it.

    Args:
        sensor: ``hyplant`` (lines x samples pixels) or ``flox`` (``lines`` measurements).
        output: folder, made if need be.
        lines: lines along track, or measurements in time.
        samples: columns across track; FloX has one.
        seed: of everything drawn; the same seed gives the same bytes.
        settings: sun, air and sensor; drawn from the seed by default.
        ground: of HyPlant scenes, (lines, samples); drawn from the seed by default.
        relief: of HyPlant scenes; level by default. The file states the settings' mean elevation
            and height only, as real ones do.

    Returns:
        Path of the scene, for ``sifnet.open_scene``.

    Raises:
        SifnetError: no such sensor, or the folder cannot be written.
    """
    if sensor not in ("hyplant", "flox"):
        raise SifnetError(
            "cannot simulate this sensor",
            found=repr(sensor),
            expected="hyplant or flox",
            remedy="Choose one of these with --sensor.",
        )
    rng = np.random.default_rng(seed)
    settings = settings or Settings.drawn(rng)
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
    view = np.linspace(-hyplant.HALF_SWATH_DEG, hyplant.HALF_SWATH_DEG, samples)
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
        response = _responses(centre[inside], fwhm[inside] + fwhm_shift[sample])
        radiance[:, sample, inside] = light @ response
        radiance[:, sample, ~inside] = _red(column, centre[~inside], products[1])
    noisy = radiance + settings.noise * np.sqrt(radiance) * rng.standard_normal(radiance.shape)
    name = f"{NOON:%Y%m%d}-SIM-1300-{settings.sensor_height * 1e3:.0f}-L{seed}-S-FLUO_radiance"
    scene = hyplant.write_hyplant(
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
    _write_truth(
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
    light = np.stack([_products(settings, a, below)[0] for a in track(nodes, "sun")])
    light[:, :3] /= np.cos(np.radians(nodes))[:, None, None]
    at_time = CubicSpline(nodes, light)(sza) if len(nodes) > 1 else light.repeat(lines, 0)
    at_time[:, :3] *= np.cos(np.radians(sza))[:, None, None]

    wavelength, fwhm = np.arange(745.0, 778.0, 0.153), 0.31
    response = _responses(wavelength + settings.shift, np.full(len(wavelength), fwhm))
    reflected = _over(ground, database.GRID, at_time)
    # Irradiance over the target contains what the sky returns of the target's own light.
    _, lit, bounce, up, _ = at_time.transpose(1, 0, 2)
    incoming = lit / up / (1 - ground.reflectance(database.GRID)[:, 0] * bounce / lit)
    pair = [
        s @ response * (1 + FLOX_NOISE * rng.standard_normal((lines, len(wavelength))))
        for s in (incoming, reflected)
    ]
    scene = flox.write_flox(
        output,
        incoming=pair[0],
        reflected=pair[1],
        wavelength=wavelength,
        times=times,
        ground_elevation=settings.ground_elevation,
        sensor_height=FLOX_HEIGHT,
        **PLACE,
    )
    _write_truth(output, settings, seed, ground, {"solar_zenith_angle": (("line",), sza, "degree")})
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
    computed = _products(settings, settings.solar_zenith_angle, observers)
    return CubicSpline(nodes, computed)(view)


def _column_radiance(ground: Ground, place: Array, nodes: Array, products: Array) -> Array:
    """(line, GRID) radiance of one column: the polynomial through all nodes.

    Args:
        ground: of the column, (line, 1).
        place: (line) aerosol optical thickness, or elevation in km.
        nodes: (node) of the products, in the same measure.
        products: (node, 5, GRID).
    """
    at_nodes = [_over(ground, database.GRID, p) for p in products]
    weights = [
        np.prod([(place - b) / (a - b) for b in nodes if b != a], axis=0)[:, None] for a in nodes
    ]
    return sum((w * light for w, light in zip(weights, at_nodes, strict=True)), np.zeros(1))


def _over(ground: Ground, wavelength: Array, products: Array) -> Array:
    """(line, wavelength) radiance over a column (line, 1); the closed form, here in numpy."""
    path, lit, lit_bounce, up, up_bounce = np.moveaxis(products, -2, 0)
    reflectance, sif = ground.reflectance(wavelength)[:, 0], ground.sif(wavelength)[:, 0]
    reflected = reflectance * lit / (1 - reflectance * lit_bounce / lit)
    return path + reflected + sif * up / (1 - reflectance * up_bounce / up)


def _red(ground: Ground, wavelength: Array, products: Array) -> Array:
    """(line, band) radiance outside the simulated window, for NDVI only: a grey atmosphere."""
    continuum = products[:, (database.GRID > 744) & (database.GRID < 750)].mean(axis=1)
    grey = np.repeat(continuum[:, None], len(wavelength), axis=1)
    grey[:3] *= np.interp(wavelength, [660.0, 747.0], [1.20, 1.0])  # the sun is brighter there
    return _over(ground, wavelength, grey)


def _responses(centre: Array, fwhm: Array) -> Array:
    """(GRID, band) Gaussian responses, each summing to 1, less the products' own smoothing."""
    sigma = np.sqrt(fwhm**2 - database.PRESMOOTHING_FWHM**2) / np.sqrt(8 * np.log(2))
    weight = np.exp(-0.5 * ((database.GRID[:, None] - centre) / sigma) ** 2)
    return weight / np.maximum(weight.sum(axis=0), 1e-300)


@cache
def _grids() -> SpectralGrids:
    return SpectralGrids()


def _products(settings: Settings, solar_zenith_angle: float, observers: list[Observer]) -> Array:
    """(observer, 5, GRID) products by full radiative transfer, at the day's distance of the sun."""
    air = settings.atmosphere()
    computed = database.products(air, solar_zenith_angle, observers, _grids())
    computed[:, :3] /= sun.sun_earth_distance(NOON) ** 2
    return computed


def _write_truth(
    output: Path,
    settings: Settings,
    seed: int,
    ground: Ground,
    more: dict[str, tuple[tuple[str, ...], Array, str]],
) -> None:
    dims = ("line", "sample")
    radiance = "mW m-2 nm-1 sr-1"
    at_740 = ground.reflectance(np.array([740.0]))[..., 0]
    sif_740 = ground.sif(np.array([740.0]))[..., 0]
    maps = {
        "sif_760": (dims, ground.sif_760, radiance),
        "sif_740": (dims, sif_740, radiance),
        "reflectance_740": (dims, at_740, "1"),
        "bare_soil": (dims, ground.bare_soil.astype(np.int8), "1"),
        **more,
    }
    truth = xr.Dataset({k: (d, v, {"units": u}) for k, (d, v, u) in maps.items()})
    truth = truth.assign_attrs(
        title="truth of a scene simulated by full radiative transfer",
        seed=seed,
        surface_pressure_hpa=settings.surface_pressure,
        **asdict(settings),
    )
    truth.to_netcdf(output / "truth.nc", engine="h5netcdf")
