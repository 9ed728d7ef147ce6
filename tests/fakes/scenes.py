"""Small scenes whose state is known in every pixel, simulated with a given emulator."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray

from sifnet.physics.emulator import Emulator
from sifnet.physics.forward import Simulator
from sifnet.physics.instrument import Instrument, covered
from sifnet.physics.noise import noise_sd
from sifnet.physics.state import Atmosphere, Geometry, SensorState, State
from sifnet.physics.surface import Surface
from sifnet.retrieval.model import instrument_for
from sifnet.retrieval.shape import band_sun
from sifnet.scenes import record_of
from sifnet.scenes.scene import Scene
from sifnet.units import standard_pressure


@dataclass(frozen=True)
class KnownScene:
    """A scene and the state it was made from; ``truth`` has (line, sample) variables."""

    scene: Scene
    truth: xr.Dataset


def known_scene(
    emulator: Emulator,
    *,
    lines: int = 24,
    samples: int = 16,
    sensor: str = "hyplant",
    step: float = 0.22,
    measured_irradiance: bool = False,
    pressure_offset: float = 4.0,
    aot: float = 0.2,
    seed: int = 1,
    name: str = "fake",
    relief: float = 0.0,
) -> KnownScene:
    """Stripes of vegetation and bare soil, fluorescence independent of reflectance, a smile.

    With ``relief`` (km) the ground rises across the swath.
    """
    rng = torch.Generator().manual_seed(seed)
    wavelength = np.arange(750.0, 770.0, step)
    fwhm = np.full(wavelength.shape, 0.26)
    simulator = Simulator(emulator, Instrument(wavelength, fwhm, emulator))
    shape = (lines, samples)
    bare = (torch.arange(lines)[:, None] // 3 + torch.arange(samples) // 4) % 3 == 0
    uniform = lambda: torch.rand(shape, generator=rng)  # noqa: E731
    sif = torch.where(bare, torch.zeros(shape), 0.2 + 3.0 * uniform())
    surface = Surface.sloped(
        torch.where(bare, 0.15 + 0.1 * uniform(), 0.25 + 0.2 * uniform()),
        torch.where(bare, 0.0005 + 0.0005 * uniform(), 0.003 + 0.002 * uniform()),
        0.2 + 0.6 * uniform(),
        sif,
    )
    drift = torch.linspace(0, 1, lines)[:, None]
    full = torch.ones(lines, 1)
    rise = relief * torch.linspace(0, 1, samples).expand(shape)
    pressure = torch.as_tensor(standard_pressure(rise.numpy()), dtype=torch.float32)
    atmosphere = Atmosphere(
        surface_pressure=(pressure if relief else 1013.25 * full) + pressure_offset,
        temperature_offset=2.0 * full,
        aot_550=aot + 0.03 * drift,
        aerosol_height=1.5 * full,
        aerosol_type=0.3 * full,
        o2_scale=1.0 * full,
    )
    smile = torch.linspace(-1, 1, samples)[None]
    bent = SensorState(wavelength_shift=0.03 + 0.02 * smile**2, fwhm_shift=0.01 + 0.005 * smile)
    geometry = {
        "solar_zenith_angle": 40.0,
        "view_zenith_angle": (("sample",), np.abs(np.linspace(-10, 10, samples))),
        "relative_azimuth_angle": 90.0,
        "sensor_height": 0.002 if measured_irradiance else (1.0 if not relief else (
            ("line", "sample"), 1.0 - rise.numpy())),
        "sun_earth_distance": 1.0,
        "ground_elevation": (("line", "sample"), rise.numpy()) if relief else 0.0,
    }  # fmt: skip
    angles = {
        n: torch.as_tensor(np.asarray(v[1] if isinstance(v, tuple) else v), dtype=torch.float32)
        for n, v in geometry.items()
        if n in Geometry.names()
    }
    seen = Geometry(**{n: v if v.dim() == 2 else v.expand(1, samples) for n, v in angles.items()})
    state = State(atmosphere, surface, bent)
    extra = {}
    with torch.no_grad():
        irradiance = None
        if measured_irradiance:
            t = simulator.transfer(atmosphere, bent, seen)
            irradiance = torch.pi * t.ground / t.up * (0.9 + 0.1 * uniform()[..., None])
            extra["irradiance"] = (("line", "sample", "band"), irradiance.numpy())
        radiance = simulator.radiance(state, seen, irradiance)
        noise = noise_sd(radiance, record_of(sensor).shot_noise)
        radiance = radiance + noise * torch.randn(radiance.shape, generator=rng)
    red = torch.where(bare, radiance[..., 0] * 0.9, radiance[..., 0] * 0.15)
    bands = np.concatenate([[660.0, 670.0], wavelength, [772.0, 775.0]])
    tail = radiance[..., :1]
    cube = torch.cat([red[..., None], red[..., None], radiance, tail, tail], dim=-1).numpy()
    if "irradiance" in extra:
        light = extra["irradiance"][1]
        edge = [light[..., :1]]
        extra["irradiance"] = (
            ("line", "sample", "band"), np.concatenate([*edge * 2, light, *edge * 2], axis=-1)
        )  # fmt: skip
    scene = Scene.from_arrays(
        cube.astype(np.float32),
        bands,
        np.full(bands.shape, 0.26),
        geometry=geometry,
        sensor=sensor,
        name=name,
        acquisition_time="2020-06-25T09:32:00",
        extra=extra,
    )
    return KnownScene(scene, _truth(state, shape))


SUN = 35.0  # degrees from the zenith, of a scene from space
DESIS_BANDS = 743.5 + 2.553 * np.arange(-41, 44)  # nm, those of the fit as they usually are


def space_scene(emulator: Emulator, *, lines: int = 20, samples: int = 14, seed: int = 1) -> Scene:
    """Vegetation and soil as DESIS sees them; simulated where the emulator reaches.

    Beside it, where only the shape of reflectance is read, there is no air.
    """
    sensor, rng = record_of("desis"), torch.Generator().manual_seed(seed)
    bands, fwhm = DESIS_BANDS, np.full(DESIS_BANDS.shape, sensor.fwhm)
    simulator, inside = _desis(emulator)
    bare = (torch.arange(lines)[:, None] // 3 + torch.arange(samples) // 4) % 3 == 0
    level = torch.where(bare, 0.22, 0.40) + 0.04 * torch.rand(bare.shape, generator=rng)
    slope = torch.where(bare, 0.0007, 0.0012)
    sif = torch.where(bare, 0.0, 0.5 + 2.0 * torch.rand(bare.shape, generator=rng))
    surface = Surface.sloped(level, slope, torch.full(bare.shape, 0.5), sif)
    air = {"surface_pressure": 1010.0, "temperature_offset": 2.0, "aot_550": 0.18,
           "aerosol_height": 1.5, "aerosol_type": 0.3, "o2_scale": 1.0}  # fmt: skip
    smile = torch.linspace(-1, 1, samples)[None]
    geometry = {"solar_zenith_angle": SUN, "view_zenith_angle": 6.0, "relative_azimuth_angle": 90.0,
                "sensor_height": np.inf, "sun_earth_distance": 1.0}  # fmt: skip
    at = torch.as_tensor(bands, dtype=torch.float32)
    edge = torch.where(bare[..., None], 1.0, 0.12 + 0.88 * torch.sigmoid((at - 715.0) / 8.0))
    light = torch.as_tensor(band_sun(bands, fwhm) * np.cos(np.radians(SUN)) / np.pi).float()
    radiance = level[..., None] * edge * light
    with torch.no_grad():
        radiance[..., torch.as_tensor(inside)] = simulator.radiance(
            State(
                Atmosphere.of(**{name: [[value]] for name, value in air.items()}),
                surface,
                SensorState(0.1 + 0.2 * smile**2, 0.05 * smile),
            ),
            Geometry.of(**{name: [[value]] for name, value in geometry.items()}),
        )
    noise = noise_sd(radiance, sensor.shot_noise)
    radiance = radiance + noise * torch.randn(radiance.shape, generator=rng)
    return Scene.from_arrays(
        radiance.numpy(),
        bands,
        fwhm,
        geometry=geometry | {"ground_elevation": 0.0},
        sensor=sensor,
        name="fake",
        acquisition_time="2022-06-25T10:32:00",
    )


@cache
def _desis(emulator: Emulator) -> tuple[Simulator, NDArray[np.bool_]]:
    """What simulates ``space_scene``, and in which of its bands."""
    sensor = record_of("desis")
    bands = DESIS_BANDS
    fwhm, grid = np.full(bands.shape, sensor.fwhm), emulator.grid.double().numpy()
    inside = covered(bands, fwhm, grid, sensor.shift_range, sensor.fwhm_range)
    instrument = instrument_for(sensor, bands[inside], fwhm[inside], emulator)
    return Simulator(emulator, instrument), inside


def _truth(state: State, shape: tuple[int, int]) -> xr.Dataset:
    def plane(value: torch.Tensor) -> tuple[tuple[str, str], NDArray[np.float32]]:
        return ("line", "sample"), value.expand(shape).numpy()

    labels = {"reflectance_740": state.surface.at_740()[0]}
    return xr.Dataset({name: plane(value) for name, value in (*state.items(), *labels.items())})
