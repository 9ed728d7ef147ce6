"""Sensors and their files: one module a sensor, one name in MODULES.

A package adds to both by entry points: ``sifnet.sensors`` names a ``Sensor``, ``sifnet.readers`` a
module (or any object) with what a module here has.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from sifnet.errors import SifnetError
from sifnet.files import regular
from sifnet.scenes.possible import refuse_unwritable
from sifnet.scenes.sensor import Sensor

if TYPE_CHECKING:
    from sifnet.scenes.scene import Scene

MODULES = ("hyplant", "flox", "desis", "enmap", "emit", "prisma", "flex")
"""Each has SENSOR, matches(path) -> bool and open_scene(path, sensor=SENSOR, **site) -> Scene."""
PLUGINS = "sifnet.sensors"  # group of entry points, each of which names a Sensor
READERS = "sifnet.readers"  # each of which names what has the three


@cache
def readers() -> dict[str, ModuleType]:
    """What opens the files of each sensor, by the sensor's name; a package's own comes last.

    Raises:
        SifnetError: an entry point names what cannot read.
    """
    from importlib.metadata import entry_points

    modules = [import_module(f"{__name__}.{module}") for module in MODULES]
    for point in entry_points(group=READERS):
        module = point.load()
        lacking = [n for n in ("matches", "open_scene") if not callable(getattr(module, n, None))]
        if not isinstance(getattr(module, "SENSOR", None), Sensor):
            lacking.insert(0, "SENSOR")
        if lacking:
            raise SifnetError(
                f"the entry point {point.name!r} of {READERS} names no reader",
                found=f"no {', '.join(lacking)}",
                expected="SENSOR, matches(path) and open_scene(path, sensor, **site)",
                remedy="Correct or remove the package that has it.",
            )
        modules.append(module)
    return {module.SENSOR.name: module for module in modules}


@cache
def sensors() -> dict[str, Sensor]:
    """All that have a name: those with a reader here, and those of installed packages.

    A package offers a sensor as an entry point of the group ``sifnet.sensors``.

    Raises:
        SifnetError: an entry point names something else.
    """
    from importlib.metadata import entry_points

    named = {name: reader.SENSOR for name, reader in readers().items()}
    for point in entry_points(group=PLUGINS):
        sensor = point.load()
        if not isinstance(sensor, Sensor):
            raise SifnetError(
                f"the entry point {point.name!r} of {PLUGINS} names no sensor",
                found=type(sensor).__name__,
                expected="a sifnet.Sensor",
                remedy="Correct or remove the package that has it.",
            )
        named[sensor.name] = sensor
    return named


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
            command="Correct the name; any other spectrometer is for `sifnet.Sensor` in Python.",
        )
    return sensors()[sensor]


def open_scene(path: str | Path, sensor: Sensor | str | None = None, **site: Any) -> Scene:
    """Open an acquisition of any sensor.

    Args:
        path: file or folder of the product.
        sensor: its record or name; None recognises the product by its name and layout. A sensor
            without a reader of its own is read as what it is simulated as: as a flight line
            (ENVI, see ``scenes.hyplant``) where its record does not say.
        site: facts the files do not state, see :class:`sifnet.scenes.site.Site`.

    Raises:
        SifnetError: no such path, unknown sensor, unrecognised product, or what the reader finds.
    """
    path = Path(path)
    record = None if sensor is None else record_of(sensor)
    offered = ", ".join(readers())
    if not _is_there(path):
        raise SifnetError(
            "no such file or folder",
            found="nothing",
            expected=f"a product of {offered}",
            remedy="Check the path.",
            file=path,
        )
    refuse_unwritable(path.absolute())
    if not path.is_dir():
        regular(path)
    if record is not None:
        scene: Scene = _reader(record).open_scene(path, record, **site)
        scene.dataset.attrs |= {"opened": str(path.absolute()), "site": site}
        return scene
    matching = [name for name, reader in readers().items() if reader.matches(path)]
    if len(matching) != 1:
        raise SifnetError(
            "the sensor cannot be told from the files",
            found=" and ".join(matching) or "no known product",
            expected=f"a product of one of {offered}",
            remedy="Name the sensor with sensor=, or the file itself instead of its folder.",
            command="Name the sensor with --sensor, or the file itself instead of its folder.",
            file=path,
        )
    return open_scene(path, matching[0], **site)


def _is_there(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # a name that no file can have
        return False


def _reader(sensor: Sensor) -> ModuleType:
    form = sensor.simulated_as or "line"
    alike = next(r for r in readers().values() if r.SENSOR.simulated_as == form)
    return readers().get(sensor.name, alike)
