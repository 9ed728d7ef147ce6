"""What simulated scenes have in common: their settings, their light, their truth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from sifnet.physics.full import database
from sifnet.physics.full.radiative_transfer import Observer
from sifnet.physics.full.spectral_grids import SpectralGrids
from sifnet.physics.state import Atmosphere
from sifnet.scenes import sun
from sifnet.simulation.ground import Ground
from sifnet.simulation.mosaic import Mosaic
from sifnet.units import standard_pressure

Array = NDArray[np.float64]

PLACE = {"latitude": 50.62, "longitude": 6.99}  # Campus Klein-Altendorf
NOON = datetime(2020, 6, 25, 11, tzinfo=UTC)
AOT_NODES = 3
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
    o2_scale: float = 1.0
    aot_contrast: float = 0.15
    noise: float = NOISE
    bare_soil: float = 0.25
    water_vapour: float = 2.0
    view_zenith_angle: float = 0.0
    relative_azimuth_angle: float = 90.0

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


def between(place: Array, nodes: Array, values: Sequence[Array]) -> Array:
    """(line, ...) the polynomial through values (line, ...) at nodes, at a place (line)."""
    weights = [
        np.prod([(place - b) / (a - b) for b in nodes if b != a], axis=0)[:, None] for a in nodes
    ]
    return sum((w * light for w, light in zip(weights, values, strict=True)), np.zeros(1))


def radiance_over(ground: Ground | Mosaic, wavelength: Array, products: Array) -> Array:
    """(line, wavelength) radiance over a column (line, 1); the closed form, here in numpy."""
    path, lit, lit_bounce, up, up_bounce = np.moveaxis(products, -2, 0)
    reflectance, sif = ground.reflectance(wavelength)[:, 0], ground.sif(wavelength)[:, 0]
    reflected = reflectance * lit / (1 - reflectance * lit_bounce / lit)
    return path + reflected + sif * up / (1 - reflectance * up_bounce / up)


def gaussian_responses(centre: Array, fwhm: Array, grid: Array = database.GRID) -> Array:
    """(grid, band) Gaussian responses, each summing to 1, less the products' own smoothing."""
    sigma = np.sqrt(fwhm**2 - database.PRESMOOTHING_FWHM**2) / np.sqrt(8 * np.log(2))
    weight = np.exp(-0.5 * ((grid[:, None] - centre) / sigma) ** 2)
    return weight / np.maximum(weight.sum(axis=0), 1e-300)


@cache
def _grids() -> SpectralGrids:
    return SpectralGrids()


def products_of(settings: Settings, solar_zenith_angle: float, observers: list[Observer]) -> Array:
    """(observer, 5, GRID) products by full radiative transfer, at the day's distance of the sun."""
    air = settings.atmosphere()
    computed = database.products(air, solar_zenith_angle, observers, _grids())
    computed[:, :3] /= sun.sun_earth_distance(NOON) ** 2
    return computed


def write_truth(
    output: Path,
    settings: Settings,
    seed: int,
    ground: Ground | Mosaic,
    more: dict[str, tuple[tuple[str, ...], Array, str]],
) -> None:
    """Write ``truth.nc`` of a ground and ``more`` (dimensions, values, unit) by name."""
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
