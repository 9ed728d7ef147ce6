"""An L1C product of FLORIS whose fit window a given emulator made, so that its SIF is known."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import torch
import xarray as xr

from sifnet.physics.emulator import Emulator
from sifnet.physics.forward import Simulator
from sifnet.physics.state import Atmosphere, Geometry, SensorState, State
from sifnet.physics.surface import Surface
from sifnet.retrieval.model import instrument_for
from sifnet.scenes.flex import SENSOR
from sifnet.scenes.sun import sun_angles, sun_earth_distance
from sifnet.simulation.flex_product import channels, write_flex
from sifnet.units import standard_pressure

TIME, PLACE = datetime(2023, 7, 12, 10, 40, tzinfo=UTC), (45.0, 3.0)
ELEVATION = 0.2  # km


def emulated_flex(
    folder: Path, *, shape: tuple[int, int] = (16, 12), seed: int = 3, relief: float = 0.0
) -> tuple[Path, xr.Dataset]:
    """Stripes of vegetation and bare soil; the product's folder and its truth."""
    rng = np.random.default_rng(seed)
    emulator = Emulator.load(space=True).requires_grad_(False)
    wavelength, fwhm, _ = channels()
    window = (wavelength > 748.0) & (wavelength < 772.0)
    instrument = instrument_for(SENSOR, wavelength[window], fwhm[window], emulator)
    line, sample = np.indices(shape)
    bare = (line // 3 + sample // 3) % 3 == 0
    sif = np.where(bare, 0.0, rng.uniform(0.2, 2.0, shape))
    level = np.where(bare, rng.uniform(0.15, 0.25, shape), rng.uniform(0.25, 0.45, shape))
    ground = ELEVATION + relief * line / shape[0]
    time = np.datetime64(TIME.replace(tzinfo=None), "s")
    zenith, _ = sun_angles(np.array([time]), *PLACE, ELEVATION)
    angles = {"solar_zenith_angle": float(zenith[0]), "view_zenith_angle": 4.0,
              "relative_azimuth_angle": 100.0, "sensor_height": np.inf,
              "sun_earth_distance": float(sun_earth_distance(time))}  # fmt: skip

    def plane(values: object) -> torch.Tensor:
        return torch.as_tensor(np.broadcast_to(values, shape).copy(), dtype=torch.float32)[None]

    smile = 0.01 * np.linspace(-1, 1, shape[1]) ** 2 + 0.004
    state = State(
        Atmosphere(
            surface_pressure=plane(standard_pressure(ground) + 3.0),
            temperature_offset=plane(2.0), aot_550=plane(0.15), aerosol_height=plane(1.6),
            aerosol_type=plane(0.35), o2_scale=plane(1.0),
        ),
        Surface(plane(level), plane(0.01), plane(-0.002), plane(sif)),
        SensorState(wavelength_shift=plane(smile), fwhm_shift=plane(0.002)),
    )  # fmt: skip
    geometry = Geometry(**{n: plane(angles[n]) for n in Geometry.names()})
    with torch.no_grad():
        seen = Simulator(emulator, instrument).radiance(state, geometry)[0].numpy()
    flat = seen[..., :40].mean(-1, keepdims=True)
    radiance = np.where(wavelength < 700.0, np.where(bare[..., None], 0.85, 0.15), 1.0) * flat
    radiance[..., window] = seen
    pixels = (np.gradient(wavelength) / SENSOR.sampling).clip(min=1.0)
    noise = SENSOR.shot_noise / np.sqrt(pixels) * np.sqrt(radiance.clip(1.0))
    radiance = radiance + noise * rng.standard_normal(radiance.shape)
    full = np.ones(shape)
    product = write_flex(
        folder, radiance.astype(np.float32), noise.astype(np.float32),
        wavelength + (smile - smile.mean())[:, None],
        np.broadcast_to(fwhm, (shape[1], fwhm.size)).copy(),
        acquisition_time=TIME,
        planes={
            "latitude": PLACE[0] - 0.0027 * line, "longitude": PLACE[1] + 0.004 * sample,
            "surface_elevation": 1e3 * ground, "aerosol": 0.17 * full, "water": 1.8 * full,
            "sun_zenith_angle": angles["solar_zenith_angle"] * full,
            "sun_azimuth_angle": 150.0 * full, "viewing_zenith_angle": 4.0 * full,
            "relative_azimuth_angle": 100.0 * full,
            "pixel_classification": np.where(bare, 1, 2),
        },
        temperature_offset=2.3, seed=seed,
    )  # fmt: skip
    truth = {"sif_760": (("line", "sample"), sif), "wavelength_shift": ("sample", smile)}
    return product, xr.Dataset(truth)
