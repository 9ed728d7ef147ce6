"""How well a pixel of each sensor can tell fluorescence at 760 and 687 nm, and what is read of it.

    python tests/benchmarks/sensors.py        (make sensors)

The Cramér-Rao bound (``sifnet.evaluation.limits``) of one green pixel under the same summer sky,
of the sensor's spacing, width and noise, within its own window and, of those that resolve its
lines, in the red one. Writes ``docs/sensors.md``. A minute.
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
from sifnet.physics.windows import FAR_RED, RED, Window
from sifnet.retrieval.model import instrument_for
from sifnet.retrieval.pixel_limit import SHAPE_KNOWN, pixel_limit, simulated_bands
from sifnet.scenes import sensors
from sifnet.scenes.registration import WIDEST
from sifnet.scenes.scene import Scene
from sifnet.scenes.sensor import Sensor

SIZE = 16  # pixels a side that share air, and columns the sensor
SKY = {"solar_zenith_angle": 40.0, "view_zenith_angle": 3.0, "relative_azimuth_angle": 100.0,
       "sun_earth_distance": 1.0, "ground_elevation": 0.2}  # fmt: skip
HEIGHT = {"hyplant": 0.6, "flox": 0.002}  # km
GROUND = {FAR_RED: (0.35, 0.01, -0.002, 1.5), RED: (0.04, 0.02, 0.02, 0.6)}  # of ``Surface``
FEWEST = 5  # bands, for reflectance as a parabola and fluorescence
INTRODUCTION = f"""Spacing and width, nm; limits are standard deviations of SIF, {UNIT}: the
least that any unbiased method can reach with reflectance as a free parabola, one pixel by itself,
and one of 16 x 16 that share the air, their columns the sensor. At 760 nm from the bands of
750-770 nm, at 687 nm from those of {RED.fitted[0]:g}-{RED.fitted[1]:g} nm: above, water vapour has
lines of which no list ships; below, a parabola no longer follows the red edge. One green pixel
(reflectance 0.35 and SIF 1.5 at 760 nm, 0.04 and 0.6 at 687 nm), sun at 40 degrees; noise as in
each sensor's record, which is an assumption for EMIT (signal to noise 500 at L = 100) and PRISMA
(200). What is common to all pixels adds to it: stray light, spectroscopy, shapes of reflectance.

EnMAP, EMIT and PRISMA are inspected, and a map of them is refused with the least error of a pixel:
reflectance is then as dark, steep and bent as any ground's may be, the air the usual one, and
wavelengths are known exactly; in brackets the same were slope and bend of reflectance known to
{SHAPE_KNOWN:.0%} of its level over 10 nm. A patch tells no more: what is not known there, the shape
of reflectance, is each pixel's own.

FloX is mapped under measured irradiance over 670-780 nm at once, which tells more at 687 nm than
the window here. The peaks and the integral of the emission follow from SIF in both oxygen bands and
from what canopies emit in products of FLEX and HyPlant ([FLEX](flex.md)), whose 697-740 nm are not
fitted. DESIS is mapped with reflectance as the rest of its spectrum foretells it, which is a limit
of its own ([docs/desis.md](desis.md))."""


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
        Row(known["flex"], "L1C, L1B", "mapped without a network"),
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
            cells.append([
                s.name, f"{s.sampling:g}", f"{s.fwhm:g}", *limit(s, FAR_RED), *limit(s, RED),
                row.reader, row.status,
            ])  # fmt: skip
        add(table(["sensor", "spacing", "width", "bands around 760", "limit, a pixel",
                   "limit, a pixel of a patch", "bands around 687", "limit at 687, a pixel",
                   "limit at 687, a pixel of a patch", "reader", "status"], cells))  # fmt: skip


def limit(sensor: Sensor, window: Window) -> tuple[int, str, str]:
    """Bands that are fitted, and the limits in words; of a sensor that is refused, why it is."""
    if window == RED and sensor.fwhm >= WIDEST:
        return 0, "none: lines are not resolved", "none"
    emulator = Emulator.load(space=sensor.space, window=window).requires_grad_(False)
    if sensor.inspect_only:
        scene = plain(sensor)
        free, shaped = (pixel_limit(scene, emulator, shape_known=known) for known in (False, True))
        return simulated_bands(scene, emulator).size, f"{free:.2g} ({shaped:.2g})", "the same"
    scene = green(sensor, sensor.window if window == FAR_RED else window.fitted, emulator)
    if isinstance(scene, int):
        return scene, "none: fewer bands than unknowns", "none"
    found = limits(scene, emulator=emulator, patch=(SIZE, SIZE))
    alone, patch = (float(np.nanmedian(found[n])) for n in ("single_pixel", "patch"))
    low, high = scene.sensor.window
    bands = int(((scene.wavelength >= low) & (scene.wavelength <= high)).sum())
    return bands, f"{alone:.2g}", f"{patch:.2g}"


def plain(sensor: Sensor) -> Scene:
    """All bands of a sensor, one in the middle of the O2 A band; their light is of no account."""
    away = np.arange(-12, 12) * sensor.sampling
    light = np.full((1, 1, away.size), 100.0)
    fwhm = np.full(away.size, sensor.fwhm)
    return _scene(sensor, light, 760.6 + away, fwhm, {**SKY, "sensor_height": np.inf}, None)


@torch.no_grad()
def green(sensor: Sensor, fitted: tuple[float, float], emulator: Emulator) -> Scene | int:
    """Equal green pixels with the bands that can be simulated, or how few these are.

    Bands of the far red are there beside red ones: they show that there is light.
    """
    sensor = replace(sensor, window=fitted, inspect_only="")
    parts = [_seen(sensor, fitted, emulator)]
    if parts[0] is not None and emulator.window == RED:
        usual = Emulator.load(space=sensor.space).requires_grad_(False)
        parts.append(_seen(sensor, FAR_RED.fitted, usual))
    lit = [part for part in parts if part is not None]
    if not lit or lit[0][0].size < FEWEST:
        return int(lit[0][0].size) if lit else 0
    wavelength, seen, irradiance = (np.concatenate(x, -1) for x in zip(*lit, strict=True))
    flox = sensor.name == "flox"
    sky = SKY | {"sensor_height": _height(sensor)}
    fwhm = np.full(wavelength.size, sensor.fwhm)
    return _scene(sensor, seen, wavelength, fwhm, sky, irradiance if flox else None)


def _height(sensor: Sensor) -> float:
    return np.inf if sensor.space else HEIGHT[sensor.name]


def _seen(
    sensor: Sensor, fitted: tuple[float, float], emulator: Emulator
) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
    """Wavelengths, radiance and irradiance (line, sample, band) of equal pixels; None of none."""
    middle = emulator.window.reference + 0.6
    first = middle - sensor.sampling * np.floor((middle - fitted[0]) / sensor.sampling)
    wavelength = np.arange(first, fitted[1] + 1e-6, sensor.sampling)
    fwhm = np.full(wavelength.size, sensor.fwhm)
    inside = covered(wavelength, fwhm, emulator.grid.numpy(), sensor.shift_range, sensor.fwhm_range)
    wavelength, fwhm = wavelength[inside], fwhm[inside]
    if wavelength.size < FEWEST:
        return None if not wavelength.size else (wavelength, *[np.zeros((SIZE, SIZE, 0))] * 2)
    simulator = Simulator(emulator, instrument_for(sensor, wavelength, fwhm, emulator))
    sky = {**SKY, "sensor_height": _height(sensor)}

    def value(number: float) -> torch.Tensor:
        return torch.full((1, 1, 1), number)

    usual = Atmosphere(
        surface_pressure=value(990.0), temperature_offset=value(2.0), aot_550=value(0.15),
        aerosol_height=value(1.5), aerosol_type=value(0.3), o2_scale=value(1.0),
    )  # fmt: skip
    surface = Surface(*(value(x) for x in GROUND[emulator.window]))
    state = State(usual, surface, SensorState(value(0.0), value(0.0)))
    geometry = Geometry(**{n: value(sky[n]) for n in Geometry.names()})
    t = simulator.transfer(usual, state.sensor, geometry)
    irradiance = torch.pi * t.ground / t.up
    measured = irradiance if sensor.name == "flox" else None
    light = simulator.radiance(state, geometry, measured), irradiance
    seen, lit = (x.expand(1, SIZE, SIZE, -1)[0].numpy() for x in light)
    return wavelength, seen, lit


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
