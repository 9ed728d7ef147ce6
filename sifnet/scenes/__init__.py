"""Sensors and their files: one module a sensor, one line in READERS."""

from __future__ import annotations

from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType
from typing import Any

from sifnet.errors import SifnetError
from sifnet.scenes import desis, enmap, flox, hyplant
from sifnet.scenes.scene import Scene
from sifnet.scenes.sensor import Sensor

# Each module has SENSOR, matches(path) -> bool and open_scene(path, **site) -> Scene.
READERS: dict[str, ModuleType] = {
    "hyplant": hyplant,
    "flox": flox,
    "desis": desis,
    "enmap": enmap,
}


@cache
def sensors() -> dict[str, Sensor]:
    """All that are known by name: those with a reader here, and those of installed packages.

    A package offers a sensor as an entry point of the group ``sifnet.sensors``.
    """
    plugged = [point.load() for point in entry_points(group="sifnet.sensors")]
    return {sensor.name: sensor for sensor in (*(r.SENSOR for r in READERS.values()), *plugged)}


def record_of(sensor: Sensor | str) -> Sensor:
    """A sensor itself, or the one of that name.

    Raises:
        SifnetError: no sensor has that name.
    """
    if isinstance(sensor, Sensor):
        return sensor
    if sensor not in sensors():
        raise SifnetError(
            "unknown sensor",
            found=repr(sensor),
            expected=f"one of {', '.join(sensors())}",
            remedy="Correct the name, or make a sifnet.Sensor for any other spectrometer.",
        )
    return sensors()[sensor]


def open_scene(path: str | Path, sensor: Sensor | str | None = None, **site: Any) -> Scene:
    """Open an acquisition of any known sensor.

    Args:
        path: file or folder of the product.
        sensor: its record or name; None recognises the product by its name and layout. A sensor
            without a reader of its own is read as a flight line (ENVI, see ``scenes.hyplant``).
        site: facts the files do not state, see :class:`sifnet.scenes.site.Site`.

    Raises:
        SifnetError: no such path, unknown sensor, unrecognised product, or what the reader finds.
    """
    path = Path(path)
    offered = ", ".join(READERS)
    wanted = None if sensor is None else record_of(sensor)
    if not path.exists():
        raise SifnetError(
            "no such file or folder",
            found="nothing",
            expected=f"a product of {offered}",
            remedy="Check the path.",
            file=path,
        )
    if wanted is not None:
        reader = READERS.get(wanted.name)
        scene: Scene = (
            hyplant.open_scene(path, wanted, **site)
            if reader is None
            else reader.open_scene(path, **site)
        )
        return scene
    matching = [name for name, reader in READERS.items() if reader.matches(path)]
    if len(matching) != 1:
        raise SifnetError(
            "the sensor cannot be told from the files",
            found=" and ".join(matching) or "no known product",
            expected=f"a product of one of {offered}",
            remedy="Name the sensor (--sensor), or the file itself instead of its folder.",
            file=path,
        )
    return open_scene(path, matching[0], **site)
