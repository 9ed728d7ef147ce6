"""Scenes with known truth, in a sensor's own format: full radiative transfer, never the emulator.

So that nobody grades their own homework, the light of a simulated scene is computed by
sasktran2 at nodes over the scene (aerosol load or elevation, view angle, sun), interpolated between
nodes and convolved with each column's own response.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import numpy as np

from sifnet.errors import SifnetError, extras
from sifnet.files import writable
from sifnet.scenes import record_of, sensors
from sifnet.scenes.sensor import Sensor
from sifnet.simulation.ground import Ground, Mosaic
from sifnet.simulation.line import Relief, simulate_line
from sifnet.simulation.orbit import simulate_orbit
from sifnet.simulation.scenery import Order, Settings
from sifnet.simulation.series import simulate_series
from sifnet.simulation.swath import simulate_swath

__all__ = ["Relief", "simulate"]


def simulate(
    sensor: Sensor | str,
    output: str | Path,
    *,
    lines: int = 96,
    samples: int = 96,
    seed: int = 0,
    settings: Settings | None = None,
    ground: Ground | Mosaic | None = None,
    relief: Relief | None = None,
    level: str = "L1C",
    zipped: bool = False,
    quick: bool = False,
    red: bool = False,
) -> Path:
    """Write a simulated scene in its sensor's format, and ``truth.nc`` beside it.

    Args:
        sensor: its record or name. What is simulated follows from ``simulated_as``: a flight line,
            a scene or a swath from orbit (lines x samples pixels), a series of ``lines``
            measurements.
        output: folder, made if need be.
        lines: lines along track, or measurements in time.
        samples: columns across track; a series has one.
        seed: of everything drawn; the same seed gives the same bytes.
        settings: sun, air and sensor; drawn from the seed by default.
        ground: of flight lines, (lines, samples); drawn from the seed by default.
        relief: of flight lines; level by default. The file states the settings' mean elevation
            and height only, as real ones do.
        level: of products from orbit, L1B or L1C, with masks, aerosol and water beside it.
        zipped: products from orbit, as they are downloaded.
        red: the O2 B band of flight lines and of swaths too, at twice the time. All else is as it
            is without.
        quick: the light of a flight line by the emulator that retrievals use, in a second and
            without the extra ``build``: their own light, in which they look better than they are.

    Returns:
        Path of the scene, for ``sifnet.open_scene``.

    Raises:
        SifnetError: no such sensor, none that can be simulated, the extra ``build`` is not
            installed, or the folder cannot be written.
    """
    record = record_of(sensor)
    if record.simulated_as is None:
        able = [name for name, other in sensors().items() if other.simulated_as]
        raise SifnetError(
            "cannot simulate this sensor",
            found=f"{record.name!r}, whose record has no simulated_as",
            expected=f"one of {', '.join(able)}, or a sifnet.Sensor with simulated_as",
            remedy="Choose one of these, or state simulated_as in the record.",
            command="Choose one of these with --sensor.",
        )
    rng = np.random.default_rng(seed)
    settings = settings or Settings.drawn(rng, record)
    if quick and record.simulated_as != "line":
        raise SifnetError(
            "only flight lines can be simulated by the emulator",
            found=f"{record.name!r}, a {record.simulated_as}",
            expected="a sensor such as hyplant",
            remedy="Leave quick out: full radiative transfer simulates it.",
        )
    if red and record.simulated_as not in ("line", "swath"):
        raise SifnetError(
            "the O2 B band is simulated of flight lines and of swaths only",
            found=f"{record.name!r}, a {record.simulated_as}",
            expected="a sensor such as hyplant or flex",
            remedy="Leave red out.",
        )
    order = Order(record, writable(output), (lines, samples), seed, settings, rng, quick, red)
    with extras():
        if not quick:
            import_module("sasktran2")  # what is not there is missed before a bar is drawn
        if record.simulated_as == "line":
            return simulate_line(order, ground, relief)
        if record.simulated_as == "series":
            return simulate_series(order)
        if record.simulated_as == "swath":
            return simulate_swath(order)
        return simulate_orbit(order, level, zipped)
