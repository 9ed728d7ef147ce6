"""What in a product does not fit physics: of its scene, and of what the retrieval had to assume."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence

from sifnet.retrieval.refinement import STRAY_SD
from sifnet.retrieval.shared import Shared
from sifnet.scenes.consistency import Finding
from sifnet.scenes.scene import Scene

ATTRIBUTE = "scene_warnings"
# Standard deviations of the prior, of pressure and of the strength of oxygen together. Nine worlds
# of another code stay below 1.2; sun or height that are wrong by 7 degrees or 1 km come to 3 and 4.
OXYGEN_TOLD, OXYGEN_GRAVE = 2.5, 3.5

# Of what is known of stray light, 0.15 % of the mean radiance: a world with 0.3 % comes to 1.6. An
# offset of 1 mW m-2 nm-1 sr-1, as is left where one is lost, comes to 3 to 4, and SIF is 0.5 off.
STRAY_TOLD, STRAY_GRAVE = 2.2, 2.8

_log = logging.getLogger(__name__)


def oxygen(shared: Shared) -> Finding | None:
    """As much oxygen is above and below the sensor as elevation, heights and sun say."""
    air = shared.air_deviation()
    pressure, strength = (float(air[n].median()) for n in ("surface_pressure", "o2_scale"))
    together = math.hypot(pressure, strength)
    if together <= OXYGEN_TOLD:
        return None
    return Finding(
        "oxygen",
        f"pressure is {pressure:+.1f} and the strength of oxygen "
        f"{strength:+.1f} standard deviations from what elevation and weather make "
        "likely: check heights, sun, wavelengths and the elevation of the ground",
        grave=together > OXYGEN_GRAVE,
    )


def stray(shared: Shared) -> Finding | None:
    """No more is added to every band, or missing, than detectors scatter."""
    deviation = shared.stray / STRAY_SD
    if abs(deviation) <= STRAY_TOLD:
        return None
    return Finding(
        "stray",
        f"{100 * shared.stray:+.2f} % of the mean radiance lies in every band alike, "
        f"{100 * STRAY_SD:g} % is usual: stray light, dark signal, or a lost offset",
        grave=abs(deviation) > STRAY_GRAVE,
    )


def of_line(shared: Shared) -> list[Finding]:
    """All that a retrieval had to assume and nobody expects."""
    return [found for found in (oxygen(shared), stray(shared)) if found is not None]


def attributes(scene: Scene, findings: Sequence[Finding]) -> dict[str, str]:
    """What a product says of them, nothing where there are none; they are logged, too."""
    for finding in findings:
        _log.warning("%s: %s", scene.name, finding)
    return {ATTRIBUTE: "\n".join(map(str, findings))} if findings else {}
