"""What simulated scenes have in common: their settings, their light, their truth."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray

from sifnet.physics.emulator import Emulator
from sifnet.physics.full import database
from sifnet.physics.full.radiative_transfer import Observer
from sifnet.physics.full.spectral_grids import SpectralGrids
from sifnet.physics.instrument import gaussian_response
from sifnet.physics.state import Atmosphere, Geometry
from sifnet.physics.transfer import TransferFunctions, at_sensor_radiance
from sifnet.physics.windows import FAR_RED, Window
from sifnet.scenes import sun
from sifnet.scenes.hyplant import SENSOR as HYPLANT
from sifnet.scenes.sensor import Sensor
from sifnet.simulation.ground import Ground, Mosaic, smooth_pattern
from sifnet.units import standard_pressure

Array = NDArray[np.float64]

PLACE = {"latitude": 50.62, "longitude": 6.99}  # Campus Klein-Altendorf
NOON = datetime(2020, 6, 25, 11, tzinfo=UTC)
AOT_NODES = 3
SUMMER = {  # ranges of European summer flights
    "solar_zenith_angle": (28, 55),
    "sensor_height": (0.35, 1.8),
    "ground_elevation": (0.05, 0.4),
    "pressure_offset": (-8, 8),
    "temperature_offset": (-4, 6),
    "aot_550": (0.05, 0.25),
    "aerosol_height": (0.8, 2.5),
    "aerosol_type": (0, 0.4),
}
SIGHT = {  # the same of scenes seen from space
    "view_zenith_angle": (2.0, 22.0),
    "relative_azimuth_angle": (20.0, 160.0),
    "water_vapour": (0.8, 3.5),
}
NADIR = {"view_zenith_angle": (0.0, 6.0)}  # of a swath of 150 km
# How much of its own ranges of shift and width a sensor drifts in a scene: shift, smile, width.
DRIFT = {"line": (0.25, 1 / 3, 1 / 3), "series": (0.12, 0.16, 1 / 3), "orbit": (0.2, 0.24, 1 / 3),
         "swath": (0.2, 0.3, 1 / 3)}  # fmt: skip
EMISSION: Array = np.arange(670.0, 781.0)  # nm, of a scene's truth
_PIXEL = ("line", "sample")
TRUTH = {  # dimensions and unit
    "sif_760": (_PIXEL, "mW m-2 nm-1 sr-1"),
    "sif_740": (_PIXEL, "mW m-2 nm-1 sr-1"),
    "sif_687": (_PIXEL, "mW m-2 nm-1 sr-1"),
    "sif_emission_spectrum": ((*_PIXEL, "emission_wavelength"), "mW m-2 nm-1 sr-1"),
    "reflectance_740": (_PIXEL, "1"),
    "bare_soil": (_PIXEL, "1"),
    "aot_550": (_PIXEL, "1"),
    "ground_elevation": (_PIXEL, "km"),
    "wavelength_shift": (("sample",), "nm"),
    "fwhm_shift": (("sample",), "nm"),
    "solar_zenith_angle": (("line",), "degree"),
}


@dataclass(frozen=True)
class Settings:
    """Sun, air and sensor of a simulated scene; what is not fixed is drawn from the seed.

    Attributes:
        solar_zenith_angle: degrees.
        sensor_height: km above the ground.
        ground_elevation: km above sea level.
        pressure_offset: hPa, surface pressure minus the standard atmosphere's.
        temperature_offset: K.
        aot_550: mean over the scene; it varies by ``aot_contrast`` of itself, slowly.
        aerosol_height: km.
        aerosol_type: 0 continental to 1 maritime.
        shift: nm, mean wavelength shift; a smile of ``smile`` nm is added across track.
        smile: nm, edge minus centre.
        fwhm_shift: nm at the edge of the swath; 0 in the middle.
        noise: standard deviation / sqrt(radiance).
        o2_scale: factor on O2 absorption.
        aot_contrast: half the peak-to-peak variation of AOT over its mean.
        bare_soil: share of the scene.
        water_vapour: g cm-2, of scenes seen from space.
        view_zenith_angle, relative_azimuth_angle: degrees, of scenes seen from space.
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
    noise: float
    o2_scale: float = 1.0
    aot_contrast: float = 0.15
    bare_soil: float = 0.25
    water_vapour: float = 2.0
    view_zenith_angle: float = 0.0
    relative_azimuth_angle: float = 90.0

    @classmethod
    def drawn(cls, rng: np.random.Generator, sensor: Sensor = HYPLANT, **fixed: float) -> Settings:
        """Draw what is not ``fixed``: the air of a European summer, the drift of a sensor."""
        form = sensor.simulated_as or "line"
        shift, smile, width = DRIFT[form]
        drift = {
            "shift": _within(sensor.shift_range, shift),
            "smile": _within(sensor.shift_range, smile),
            "fwhm_shift": _within(sensor.fwhm_range, width),
        }

        def draw(ranges: Mapping[str, tuple[float, float]]) -> dict[str, float]:
            return {name: float(rng.uniform(low, high)) for name, (low, high) in ranges.items()}

        # The drift is drawn again with the air, so that the scene of a seed stays what it was.
        sight = SIGHT | (NADIR if form == "swath" else {})
        seen = form in ("orbit", "swath")
        looked = draw(sight | drift) | {"sensor_height": np.inf} if seen else {}
        return cls(**({"noise": sensor.shot_noise} | draw(SUMMER | drift) | looked | fixed))

    @property
    def surface_pressure(self) -> float:
        """Surface pressure, hPa."""
        return float(standard_pressure(self.ground_elevation)) + self.pressure_offset

    def atmosphere(self) -> Atmosphere:
        """The atmosphere at the mean aerosol load."""
        return Atmosphere.of(**{n: getattr(self, n) for n in Atmosphere.names()})

    def aot(self, shape: tuple[int, int], rng: np.random.Generator) -> tuple[Array, Array]:
        """AOT (line, sample), and the nodes at which light is computed."""
        pattern = 2 * smooth_pattern(shape, rng, 0.5) - 1
        aot = self.aot_550 * (1 + self.aot_contrast * pattern)
        return aot, np.unique(np.linspace(aot.min(), aot.max(), AOT_NODES))

    def across(self, samples: int) -> tuple[Array, Array]:
        """Wavelength shift and change of width of each column (sample), nm."""
        edge = np.linspace(-1, 1, samples) ** 2
        return self.shift + self.smile * edge, self.fwhm_shift * edge


def _within(limits: tuple[float, float], share: float) -> tuple[float, float]:
    """A share of a range around 0, as far on one side as on the other."""
    edge = share * max(0.0, min(-limits[0], limits[1]))
    return -edge, edge


def time_of(settings: Settings) -> datetime:
    """UTC of the afternoon of NOON when the sun stands where the settings say, over PLACE.

    The nearest to it where the sun never does.
    """
    seconds = np.arange(30 * 60, 9 * 3600)  # from the highest sun to its setting
    times = np.datetime64(NOON.replace(tzinfo=None)) + seconds.astype("timedelta64[s]")
    zenith, _ = sun.sun_angles(times, **PLACE, elevation_km=settings.ground_elevation)
    nearest = int(np.argmin(np.abs(zenith - settings.solar_zenith_angle)))
    return NOON + timedelta(seconds=int(seconds[nearest]))


@dataclass(frozen=True)
class Order:
    """What a scene is to be: of which sensor and size, under which settings, written where."""

    sensor: Sensor
    output: Path
    shape: tuple[int, int]
    seed: int
    settings: Settings
    rng: np.random.Generator
    quick: bool = False
    """Whether the emulator makes the light of a line, in place of full radiative transfer."""
    red: bool = False
    """Whether the O2 B band is simulated too."""


def radiance_over(ground: Ground | Mosaic, wavelength: Array, products: Array) -> Array:
    """(line, wavelength) radiance over a column (line, 1) through products (..., 5, wavelength)."""
    surface = (ground.reflectance(wavelength), ground.sif(wavelength))
    reflectance, sif = (torch.as_tensor(spectra[:, 0]) for spectra in surface)
    transfer = TransferFunctions(*torch.as_tensor(products).unbind(-2))
    radiance: Array = at_sensor_radiance(reflectance, sif, transfer).numpy()
    return radiance


def band_centres(first: float, last: float, sampling: float) -> Array:
    """Band centres from the first to below the last, nm."""
    return first + sampling * np.arange(np.ceil((last - first) / sampling), dtype=float)


def responses(centre: Array, fwhm: float | Array, grid: Array = database.GRID) -> Array:
    """(band, grid) Gaussian responses, less the products' own smoothing."""
    narrowed = np.sqrt(np.full_like(centre, fwhm) ** 2 - database.PRESMOOTHING_FWHM**2)
    return gaussian_response(grid, centre, narrowed).astype(float)


def column_radiance(
    column: Ground | Mosaic, place: Array, light: dict[float, Array], grid: Array, response: Array
) -> Array:
    """(line, band) radiance of one column: the polynomial through the light at all nodes.

    Args:
        column: the ground, (line, 1).
        place: (line) aerosol optical thickness, or elevation in km.
        light: products (5, grid) at nodes in the same measure.
        response: (band, grid).
    """
    radiance = np.zeros((place.size, grid.size))
    for node, products in light.items():
        weight = np.prod([(place - b) / (node - b) for b in light if b != node], axis=0)
        radiance += np.reshape(weight, (-1, 1)) * radiance_over(column, grid, products)
    seen: Array = radiance @ response.T
    return seen


ProductsOf = Callable[[Settings, float, list[Observer], Window], Array]


def emulated_products(
    settings: Settings,
    solar_zenith_angle: float,
    observers: list[Observer],
    window: Window = FAR_RED,
) -> Array:
    """As ``products_of``, by the emulator of retrievals: in milliseconds, without ``build``."""
    emulator = Emulator.load(window=window)
    seen = Geometry.of(
        solar_zenith_angle=solar_zenith_angle,
        view_zenith_angle=[observer.view_zenith_angle for observer in observers],
        relative_azimuth_angle=[observer.relative_azimuth_angle for observer in observers],
        sensor_height=[observer.sensor_height for observer in observers],
        sun_earth_distance=sun.sun_earth_distance(NOON),
    )
    with torch.no_grad():
        components = emulator(settings.atmosphere(), seen).stack().movedim(-1, -2)
        products = (components[..., None, :] @ emulator.basis).squeeze(-2)
    return np.asarray(products.double())


_grids = cache(SpectralGrids)


def products_of(
    settings: Settings,
    solar_zenith_angle: float,
    observers: list[Observer],
    window: Window = FAR_RED,
) -> Array:
    """(observer, 5, grid) products by full radiative transfer, at the day's distance of the sun."""
    air = settings.atmosphere()
    computed = database.products(air, solar_zenith_angle, observers, _grids(window))
    computed[:, :3] /= sun.sun_earth_distance(NOON) ** 2
    return computed


def write_truth(
    order: Order, ground: Ground | Mosaic, on_map: bool = False, /, **more: Array
) -> None:
    """Write ``truth.nc`` of a ground and of ``more``, whose dimensions and units TRUTH has.

    Args:
        on_map: whether the scene lies on a map grid; its truth is then on (y, x), as its product.
    """
    at_740 = np.array([740.0])
    values = {
        "sif_760": ground.sif_760,
        "sif_740": ground.sif(at_740)[..., 0],
        "reflectance_740": ground.reflectance(at_740)[..., 0],
        "bare_soil": ground.bare_soil.astype(np.int8),
        **more,
    }
    if order.red:
        emission = ground.sif(EMISSION).astype(np.float32)
        values["sif_687"] = emission[..., EMISSION == 687.0][..., 0]
        values["sif_emission_spectrum"] = emission
    truth = xr.Dataset({n: (TRUTH[n][0], v, {"units": TRUTH[n][1]}) for n, v in values.items()})
    if order.red:
        truth = truth.assign_coords(emission_wavelength=EMISSION)
    if on_map:
        truth = truth.rename(line="y", sample="x")
    light = "the emulator that retrievals use" if order.quick else "full radiative transfer"
    truth = truth.assign_attrs(
        title=f"truth of a scene simulated by {light}",
        seed=order.seed,
        surface_pressure_hpa=order.settings.surface_pressure,
        **asdict(order.settings),
    )
    truth.to_netcdf(order.output / "truth.nc", engine="h5netcdf")
