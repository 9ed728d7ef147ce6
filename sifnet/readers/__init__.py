"""Files of sensors to Scenes: one module a sensor, one line in READERS."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

from sifnet.errors import SifnetError
from sifnet.readers import desis, enmap, flox, hyplant
from sifnet.scene import Scene

# Each module has matches(path) -> bool and open_scene(path, **site) -> Scene.
READERS: dict[str, ModuleType] = {
    "hyplant": hyplant,
    "flox": flox,
    "desis": desis,
    "enmap": enmap,
}


def open_scene(path: str | Path, sensor: str | None = None, **site: Any) -> Scene:
    """Open an acquisition of any known sensor.

    Args:
        path: file or folder of the product.
        sensor: key of READERS; None recognises the product by its name and layout.
        site: facts the files do not state, see :class:`sifnet.readers.site.Site`.

    Raises:
        SifnetError: no such path, unknown sensor, unrecognised product, or what the reader finds.
    """
    path = Path(path)
    known = ", ".join(READERS)
    if sensor is not None and sensor not in READERS:
        raise SifnetError(
            "unknown sensor", found=sensor, expected=f"one of {known}", remedy="Correct --sensor."
        )
    if not path.exists():
        raise SifnetError(
            "no such file or folder",
            found="nothing",
            expected=f"a product of {known}",
            remedy="Check the path.",
            file=path,
        )
    chosen = (
        [sensor] if sensor else [key for key, reader in READERS.items() if reader.matches(path)]
    )
    if len(chosen) != 1:
        raise SifnetError(
            "the sensor cannot be told from the files",
            found=" and ".join(chosen) or "no known product",
            expected=f"a product of one of {known}",
            remedy="Name the sensor (--sensor), or the file itself instead of its folder.",
            file=path,
        )
    scene: Scene = READERS[chosen[0]].open_scene(path, **site)
    return scene
