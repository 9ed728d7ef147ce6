"""What a scene says of itself against physics: each check is a function, with what it allows.

``checks`` refuses what no scene may be; here a scene is possible, and yet something in it does not
fit: then it is told, or, where the map would be wrong by more than 0.5 mW m-2 nm-1 sr-1, its pixels
are flagged (``grave``), or, beyond reason, the scene is refused.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NoReturn

import numpy as np

from sifnet.errors import SifnetError
from sifnet.scenes.light import FEWEST, Light
from sifnet.scenes.registration import REACH, SHARPEST, UNREGISTERED, WIDEST, likeness
from sifnet.scenes.scene import FIT_WINDOW, Scene
from sifnet.scenes.sun import sun_angles

# Reflectance at 750 nm of 93 green canopies of SCOPE 2 (Yang et al. 2021, GMD 14, 4697): 0.15 to
# 0.63, nine tenths of them 0.20 to 0.48. Closed spruce, the darkest forest, 0.15 to 0.2, has
# brighter plants beside it: so the median and the bright tenth must both be too dark.
GREEN_LEVEL = {"as stated": ((0.12, 0.16), (0.70, 0.85)), "unknown": ((0.20, 0.26), (0.58, 0.68))}
USUAL_GREEN = (0.26, 0.48)  # half of what is bright is dark: outside it, noise decides
# Soils at 750 nm: 0.08 to 0.55 (Baumgardner et al. 1985, Adv. Agron. 38, 1); water is darker,
# snow and clouds are brighter.
GROUND, USUAL_GROUND = (0.08, 0.58), (0.14, 0.42)
CLOUD, CLOUDY = 0.75, 0.5  # reflectance of cloud, and the share of a scene that is suspicious
NOISE = (0.8, 1.25)  # over the noise of the sensor's record; k sqrt(L) changes as sqrt(scale)
SUN_TOLD, SUN_REFUSED = 2.0, 30.0  # degrees; a line lasts minutes, an hour is up to 15 degrees
HEIGHT_TOLD, HEIGHT_GRAVE = (0.15, 0.15), (0.3, 0.3)  # km and share; 1 km of air is 0.5 of SIF
HEIGHT_REFUSED = 10.0  # times
APART = 50.0  # km, between two places that a scene states
STEP = 0.1  # km between neighbouring lines: an aircraft at 100 m/s has a second for each
MOVED, FACTOR = 0.15, (0.7, 1.4)  # nm and times, of bands that a header states
MOVED_GRAVE, FACTOR_GRAVE = 0.9 * REACH, (0.65, 1.45)  # at the ends of what is looked for
WIDTH = 2.0  # times the width of the sensor's record
SUNLIGHT = 0.9  # correlation with sunlight through oxygen of bands that resolve no lines
# Measured irradiance over sunlight above the air: 0.8 when clear, up to 1.25 beside bright clouds
# (real FloX series of 2025-06-15, and Gueymard 2017, Solar Energy 153, 755).
CLEAR = (0.35, 1.3)


@dataclass(frozen=True)
class Finding:
    """What does not fit.

    Attributes:
        check: its function.
        text: what was found and what is expected.
        grave: no pixel is to be trusted.
    """

    check: str
    text: str
    grave: bool = False

    def __str__(self) -> str:
        return f"{self.check}: {self.text}{'; no pixel is to be trusted' if self.grave else ''}"


def examine(scene: Scene) -> list[Finding]:
    """All that does not fit.

    Raises:
        SifnetError: what does not fit is beyond reason.
    """
    light = Light.of(scene)
    found = [check(scene, light) for check in CHECKS]
    return [finding for finding in found if finding is not None]


def level(scene: Scene, light: Light) -> Finding | None:
    """Ground reflects as ground does: soils, vegetation; water and snow are not ground.

    A scale that is wrong by a fifth cannot be told from darker ground. The noise of the detector,
    which grows as the root of the light, knows the scale too: where it points the same way, less
    is enough, and where it is as stated, more is needed.
    """
    values, green = light.ground()
    if values.size < FEWEST:
        return None
    middle, tenth = np.quantile(values, (0.5, 0.9))
    usual = USUAL_GREEN if green else USUAL_GROUND
    dark, bright = middle < GROUND[0], middle > GROUND[1]
    if green:
        low, high = GREEN_LEVEL["as stated" if NOISE[0] <= light.noise <= NOISE[1] else "unknown"]
        dark = middle < low[0] and tenth < low[1]
        bright = middle > high[0] or tenth > high[1]
    dark |= light.noise < NOISE[0] and middle < usual[0]
    bright |= light.noise > NOISE[1] and middle > usual[1]
    if not (dark or bright):
        return None
    what = "green ground" if green else "the ground (water and snow apart)"
    also = f", and noise is {light.noise:.2f} of the stated" if np.isfinite(light.noise) else ""
    return Finding(
        "level",
        f"{what} reflects {middle:.2f} of the sunlight in the median{also}; usual is {usual[0]:g} "
        f"to {usual[1]:g}: radiance is probably too {'small' if dark else 'large'}; check its "
        "scale",
        grave=True,
    )


def cloud(_: Scene, light: Light) -> Finding | None:
    """Most of a scene is not as bright as cloud."""
    share = float((light.reflectance > CLOUD).mean()) if light.reflectance.size else 0.0
    if share <= CLOUDY:
        return None
    text = f"{100 * share:.0f} % of pixels are as bright as cloud or snow, or the scale is wrong"
    return Finding("cloud", text, grave=True)


def noise(_: Scene, light: Light) -> Finding | None:
    """Neighbouring bands and pixels differ as much as the stated noise says."""
    if not np.isfinite(light.noise) or NOISE[0] <= light.noise <= NOISE[1]:
        return None
    return Finding(
        "noise",
        f"bands and pixels scatter {light.noise:.2f} times as much as the sensor's record says "
        f"(usual {NOISE[0]:g} to {NOISE[1]:g}): the scale of the radiance is wrong, or uncertainty "
        "and chi-square are",
    )


def sun(scene: Scene, _: Light) -> Finding | None:
    """The sun stands where it stood at that time and place."""
    data = scene.dataset
    stated = float(np.median(data["solar_zenith_angle"]))
    if "latitude" not in data or "longitude" not in data:
        if stated > np.pi / 2:
            return None
        _refuse(scene, "the sun is nearly in the zenith, and the place is not known",
                f"solar zenith angle {stated:.3f}", "degrees",
                "Give the angle in degrees, not radians, or latitude and longitude.")  # fmt: skip
    times = data["time"].values if "time" in data else [data.attrs["acquisition_time"]]
    latitude, longitude = (float(np.mean(data[n])) for n in ("latitude", "longitude"))
    if not np.isfinite([latitude, longitude]).all():
        return None
    elevation = float(np.mean(data["ground_elevation"]))
    zenith, _azimuth = sun_angles(np.array(times, "M8[ns]"), latitude, longitude, elevation)
    there = float(np.median(zenith))
    off = abs(stated - there)
    text = f"solar zenith angle {stated:.2f}, but {there:.2f} at the stated time and place"
    if stated <= np.pi / 2 and off > SUN_TOLD and abs(np.degrees(stated) - there) < off:
        _refuse(scene, "the sun is given in radians", text, "degrees", "Correct the angle.")
    if off > SUN_REFUSED:
        _refuse(scene, "the sun was elsewhere", text, f"at most {SUN_REFUSED:g} degrees apart",
                "Check the angle, the time (UTC or local?), the place and its signs.")  # fmt: skip
    return Finding("sun", text) if off > SUN_TOLD else None


def height(scene: Scene, _: Light) -> Finding | None:
    """The sensor is as high as the file's name and the navigation say."""
    used = float(np.median(scene.dataset["sensor_height"]))
    worst: Finding | None = None
    for source, other in scene.dataset.attrs.get("other_heights", {}).items():
        off = abs(used - other)
        text = f"sensor {used:.3f} km above ground, but {other:.3f} by the {source}"
        if other <= 0 or not 1 / HEIGHT_REFUSED < used / other < HEIGHT_REFUSED:
            _refuse(scene, "the height of the sensor contradicts itself", text,
                    "one height, in km above ground", "Correct the one that is wrong.")  # fmt: skip
        told, grave = (
            off > km and off > share * other for km, share in (HEIGHT_TOLD, HEIGHT_GRAVE)
        )
        if told and (worst is None or grave):
            worst = Finding("height", text, grave=grave)
    return worst


def place(scene: Scene, _: Light) -> Finding | None:
    """A scene is where its header says it began."""
    data = scene.dataset
    if "latitude" not in data or "longitude" not in data:
        return None
    for source, (latitude, longitude) in data.attrs.get("other_places", {}).items():
        here = float(np.mean(data["latitude"])), float(np.mean(data["longitude"]))
        north = np.radians(here[0] - latitude)
        east = np.radians((here[1] - longitude + 180) % 360 - 180) * np.cos(np.radians(latitude))
        if (apart := 6371.0 * float(np.hypot(north, east))) > APART:
            text = f"{here[0]:.3f}, {here[1]:.3f}, but {apart:.0f} km off by the {source}"
            return Finding("place", text)
    return None


def track(scene: Scene, _: Light) -> Finding | None:
    """An aircraft flies on: neighbouring lines are neighbours on the ground."""
    data = scene.dataset
    flown = all(n in data and data[n].dims == ("line",) for n in ("latitude", "longitude"))
    if not flown or scene.shape[0] < 2:
        return None
    latitude, longitude = np.radians([data[n].values for n in ("latitude", "longitude")])
    steps = 6371.0 * np.hypot(np.diff(latitude), np.diff(longitude) * np.cos(latitude[:-1]))
    if steps.max() <= STEP:
        return None
    line = int(np.argmax(steps))
    return Finding("track", f"{steps[line]:.3g} km from line {line} to the next")


def bands(scene: Scene, _: Light) -> Finding | None:
    """Bands are where the header says, and as wide, or the lines had to tell (registration)."""
    shift = float(scene.dataset.attrs.get("registered_shift", 0.0))
    factor = float(scene.dataset.attrs.get("registered_width", 1.0))
    if abs(shift) <= MOVED and FACTOR[0] <= factor <= FACTOR[1]:
        return None
    text = f"lines lie {shift:+.3f} nm from where the header says, {factor:.2f} times as wide"
    grave = abs(shift) > MOVED_GRAVE or not FACTOR_GRAVE[0] < factor < FACTOR_GRAVE[1]
    return Finding("bands", text, grave=grave)


def width(scene: Scene, _: Light) -> Finding | None:
    """Bands are as wide as those of the sensor, where their lines cannot tell."""
    inside = (scene.wavelength >= FIT_WINDOW[0]) & (scene.wavelength <= FIT_WINDOW[1])
    stated, usual = float(np.median(scene.fwhm[inside])), scene.sensor.fwhm
    if 1 / WIDTH < stated / usual < WIDTH:
        return None
    text = f"FWHM {stated:.3g} nm, {usual:g} nm is usual for {scene.sensor.name}"
    return Finding("width", text, grave=not SHARPEST < stated < WIDEST)


def sunlight(scene: Scene, light: Light) -> Finding | None:
    """Spectra look like sunlight through oxygen: else order of bands or of bytes is wrong.

    Bands that resolve lines were registered on them.
    """
    found = likeness(light.bands, light.spectrum)
    if found is None or found >= SUNLIGHT:
        return None
    _refuse(scene, "the spectra do not look like sunlight through oxygen",
            f"correlation {found:.2f} at best", f"at least {SUNLIGHT:g}, {UNREGISTERED:g} where "
            "bands are narrow", "Check wavelengths, order of bands and byte order.")  # fmt: skip


def irradiance(_: Scene, light: Light) -> Finding | None:
    """Measured irradiance is that of a clear sky, at least once.

    More than above the air is measured beside clouds only; much less is overcast, or its scale is
    wrong, which no spectrum can tell.
    """
    if light.irradiance.size == 0:
        return None
    bright = float(np.quantile(light.irradiance, 0.9))
    if CLEAR[0] <= bright <= CLEAR[1]:
        return None
    text = f"at most {bright:.2f} of the sunlight above the air is measured, 0.8 when clear"
    return Finding("irradiance", text)


CHECKS: tuple[Callable[[Scene, Light], Finding | None], ...] = (
    *(level, cloud, noise, sun, height, place, track),
    *(bands, width, sunlight, irradiance),
)


def _refuse(scene: Scene, what: str, found: str, expected: str, remedy: str) -> NoReturn:
    raise SifnetError(what, found=found, expected=expected, remedy=remedy, file=scene.file)
