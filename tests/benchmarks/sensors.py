"""How well a pixel of each sensor can tell fluorescence at 760 nm, and what is read of it.

    python tests/benchmarks/sensors.py        (make sensors)

The Cramér-Rao bound (``sifnet.evaluation.limits``) of one green pixel under the same summer sky,
of the sensor's spacing, width and noise, within its own window; of spacings beyond 6 nm within the
widest that the emulator has. Writes ``docs/sensors.md``. A minute.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from harness import UNIT, page, run, table

from sifnet.evaluation.limits import limits
from sifnet.physics.emulator import Emulator
from sifnet.physics.forward import Simulator
from sifnet.physics.instrument import covered
from sifnet.physics.state import Atmosphere, Geometry, SensorState, State
from sifnet.physics.surface import Surface
from sifnet.retrieval.model import instrument_for
from sifnet.retrieval.pixel_limit import SHAPE_KNOWN, pixel_limit, simulated_bands
from sifnet.scenes import sensors
from sifnet.scenes.scene import Scene
from sifnet.scenes.sensor import Sensor

SIZE = 16  # pixels a side that share air, and columns the sensor
WIDE = (740.0, 780.0)  # nm
SKY = {"solar_zenith_angle": 40.0, "view_zenith_angle": 3.0, "relative_azimuth_angle": 100.0,
       "sun_earth_distance": 1.0, "ground_elevation": 0.2}  # fmt: skip
HEIGHT = {"hyplant": 0.6, "flox": 0.002}  # km
FEWEST = 5  # bands, for reflectance as a parabola and fluorescence
INTRODUCTION = f"""Spacing and width in 750-770 nm, nm; limits are standard deviations of SIF at
760 nm, {UNIT}: the least that any unbiased method can reach with reflectance as a free parabola,
one pixel by itself, and one of 16 x 16 that share the air, their columns the sensor. One green
pixel (reflectance 0.35, SIF 1.5), sun at 40 degrees; noise as in each sensor's record, which
is an assumption for EMIT (signal to noise 500 at L = 100) and PRISMA (200). What is common to all
pixels adds to it: stray light, spectroscopy, shapes of reflectance.

EnMAP, EMIT and PRISMA are inspected, and a map of them is refused with the least error of a pixel:
reflectance is then as dark, steep and bent as any ground's may be, the air the usual one, and
wavelengths are known exactly; in brackets the same were slope and bend of reflectance known to
{SHAPE_KNOWN:.0%} of its level over 10 nm. A patch tells no more: what is not known there, the shape
of reflectance, is each pixel's own.

At 687 nm no limit can be computed: no emulator of the red window ships.

FLEX: SIF at 760 nm from the O2 A band is mapped. SIF at 687 nm, the peaks and the integral of the
emission would need an emulator of 670-740 nm; they are absent in its products, not filled. DESIS is
mapped with reflectance as the rest of its spectrum foretells it, which is a limit of its own
([docs/desis.md](desis.md))."""


@dataclass(frozen=True)
class Row:
    """A sensor, and what there is of it."""

    sensor: Sensor
    reader: str
    status: str


def rows() -> list[Row]:
    """Those with a reader, and spacings of others."""
    known = sensors()
    return [
        Row(known["hyplant"], "ENVI", "mapped, model ships"),
        Row(known["flox"], "CSV, npz", "mapped"),
        Row(known["flex"], "L1C, L1B", "mapped without a network; O2 A band only"),
        Row(known["desis"], "L1B, L1C", "mapped, model ships"),
        Row(known["enmap"], "L1B, L1C", "inspected; a map is refused"),
        Row(known["emit"], "L1B", "inspected; a map is refused"),
        Row(known["prisma"], "L1", "inspected; a map is refused"),
    ]


def main() -> None:
    """Compute and write the page."""
    torch.set_num_threads(1)
    with page("sensors", "Sensors, and what a pixel of each can tell", INTRODUCTION) as add:
        cells = []
        for row in rows():
            s = row.sensor
            bands, alone, patch = limit(s)
            cells.append([
                s.name, f"{s.sampling:g}", f"{s.fwhm:g}", bands, alone, patch, row.reader,
                row.status,
            ])  # fmt: skip
        add(table(["sensor", "spacing", "width", "bands in the window", "limit, a pixel",
                   "limit, a pixel of a patch", "reader", "status"], cells))  # fmt: skip


def limit(sensor: Sensor) -> tuple[int, str, str]:
    """Bands that are fitted, and the limits in words; of a sensor that is refused, why it is."""
    if sensor.inspect_only:
        scene, emulator = plain(sensor), Emulator.load(space=sensor.space)
        free, shaped = (pixel_limit(scene, emulator, shape_known=known) for known in (False, True))
        return simulated_bands(scene, emulator).size, f"{free:.2g} ({shaped:.2g})", "the same"
    window = sensor.window if sensor.sampling < 6.0 else WIDE
    scene = green(sensor, window)
    if isinstance(scene, int):
        return scene, "none: fewer bands than unknowns", "none"
    bands = scene.shape[2]
    found = limits(scene, patch=(SIZE, SIZE))
    alone, patch = (float(np.nanmedian(found[n])) for n in ("single_pixel", "patch"))
    return bands, f"{alone:.2g}", f"{patch:.2g}"


def plain(sensor: Sensor) -> Scene:
    """All bands of a sensor, one in the middle of the O2 A band; their light is of no account."""
    away = np.arange(-12, 12) * sensor.sampling
    light = np.full((1, 1, away.size), 100.0)
    fwhm = np.full(away.size, sensor.fwhm)
    return _scene(sensor, light, 760.6 + away, fwhm, {**SKY, "sensor_height": np.inf}, None)


@torch.no_grad()
def green(sensor: Sensor, window: tuple[float, float]) -> Scene | int:
    """Equal green pixels with the bands that can be simulated, or how few these are."""
    sensor = replace(sensor, window=window, inspect_only="")
    if sensor.sampling >= 6.0:  # their wings would leave no band within the emulator's wavelengths
        sensor = replace(sensor, shift_range=(-0.1, 0.1), fwhm_range=(-0.1, 0.1))
    height = np.inf if sensor.space else HEIGHT[sensor.name]
    emulator = Emulator.load(space=sensor.space).requires_grad_(False)
    first = 760.6 - sensor.sampling * np.floor((760.6 - window[0]) / sensor.sampling)
    wavelength = np.arange(first, window[1] + 1e-6, sensor.sampling)
    fwhm = np.full(wavelength.size, sensor.fwhm)
    inside = covered(wavelength, fwhm, emulator.grid.numpy(), sensor.shift_range, sensor.fwhm_range)
    wavelength, fwhm = wavelength[inside], fwhm[inside]
    sky = {**SKY, "sensor_height": height}
    if wavelength.size < FEWEST:
        return int(wavelength.size)
    simulator = Simulator(emulator, instrument_for(sensor, wavelength, fwhm, emulator))

    def value(number: float) -> torch.Tensor:
        return torch.full((1, 1, 1), number)

    usual = Atmosphere(
        surface_pressure=value(990.0), temperature_offset=value(2.0), aot_550=value(0.15),
        aerosol_height=value(1.5), aerosol_type=value(0.3), o2_scale=value(1.0),
    )  # fmt: skip
    surface = Surface(value(0.35), value(0.01), value(-0.002), value(1.5))
    state = State(usual, surface, SensorState(value(0.0), value(0.0)))
    geometry = Geometry(**{n: value(sky[n]) for n in Geometry.names()})
    irradiance = None
    if sensor.name == "flox":
        t = simulator.transfer(usual, state.sensor, geometry)
        irradiance = torch.pi * t.ground / t.up
    seen = simulator.radiance(state, geometry, irradiance).expand(1, SIZE, SIZE, -1)[0].numpy()
    measured = None if irradiance is None else irradiance.expand(1, SIZE, SIZE, -1)[0].numpy()
    return _scene(sensor, seen, wavelength, fwhm, sky, measured)


def _scene(
    sensor: Sensor, radiance: np.ndarray, wavelength: np.ndarray, fwhm: np.ndarray,
    sky: dict[str, float], irradiance: np.ndarray | None,
) -> Scene:  # fmt: skip
    extra = {} if irradiance is None else {"irradiance": (("line", "sample", "band"), irradiance)}
    return Scene.from_arrays(
        radiance, wavelength, fwhm, geometry=sky, sensor=sensor, name=sensor.name,
        acquisition_time="2024-06-20T10:00", extra=extra,
    )  # fmt: skip


if __name__ == "__main__":
    run(main)
