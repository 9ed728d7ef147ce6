"""From what is known of a HyPlant flight line to the angles and heights of a Scene."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from sifnet.errors import SifnetError
from sifnet.scenes import hyplant_metadata as metadata
from sifnet.scenes.footprint import middle
from sifnet.scenes.formats.envi import EnviFile
from sifnet.scenes.site import Site
from sifnet.scenes.sun import relative_azimuth, sun_angles, sun_earth_distance

HALF_SWATH_DEG = 16.08  # degrees from nadir to the outermost column
DEFAULT_RELATIVE_AZIMUTH = 90.0  # sun across the line of sight, when no heading is known


@dataclass(frozen=True)
class _Sources:
    """All that says something of a flight line, and the list that records what was assumed."""

    file: EnviFile
    site: Site
    name: metadata.Name | None
    navigation: metadata.Navigation | None
    grid: tuple[str, list[float]] | None
    notes: list[str]

    def number(self, fact: str) -> float | None:
        """What the site says, else what the header says, else None."""
        stated: float | None = getattr(self.site, fact, None)
        return self.file.number(metadata.HEADER_KEYS[fact]) if stated is None else stated

    def refuse(self, what: str, found: str, expected: str, remedy: str) -> NoReturn:
        raise SifnetError(
            what, found=found, expected=expected, remedy=remedy, file=self.file.header_file
        )


def acquire(file: EnviFile, site: Site, notes: list[str]) -> dict[str, Any]:
    """Time, place, angles and heights of a flight line: keywords of ``Scene.from_arrays``.

    Args:
        notes: every assumption is appended to it.

    Raises:
        SifnetError: the time, or the solar angle, cannot be known.
    """
    grid = metadata.map_grid(file.data_file, file.header)
    navigation = None if grid else metadata.find_navigation(file.header_file, file.shape[0])
    line = _Sources(file, site, metadata.parse_name(file.header_file.stem), navigation, grid, notes)
    time = _time(line)
    elevation, height = _heights(line)
    view_zenith, to_sensor = _view(line)
    place = _place(line)
    solar_zenith, to_sun = _sun(line, time, place, elevation)
    geometry = {
        "solar_zenith_angle": solar_zenith,
        "view_zenith_angle": view_zenith,
        "relative_azimuth_angle": _relative_azimuth(line, to_sensor, to_sun),
        "sensor_height": height,
        "ground_elevation": elevation,
        "sun_earth_distance": sun_earth_distance(time),
    }
    located: dict[str, Any] = {}
    if navigation is not None:
        located = {n: ("line", getattr(navigation, n)) for n in ("latitude", "longitude")}
    elif place is not None:
        located = {"latitude": place[0], "longitude": place[1]}
    files = [file.data_file, file.header_file, *([navigation.file] if navigation else [])]
    return {
        "acquisition_time": time.isoformat(),
        "geometry": geometry,
        "extra": located,
        "source_files": files,
        **_otherwise(line, elevation),
        **({} if grid is None else {"crs": grid[0], "transform": grid[1]}),
    }


def _otherwise(line: _Sources, elevation: float) -> dict[str, dict[str, Any]]:
    """Heights above ground, km, and places by every source, for ``consistency`` to compare."""
    heights, places = {}, {}
    if line.name is not None:
        heights["file name"] = line.name.height_km
    if line.navigation is not None:
        heights["navigation file"] = float(line.navigation.altitude_km.mean()) - elevation
    start = metadata.header_position(line.file.header, line.file.header_file)
    if start is not None and _place(line) is not None:
        places["header"] = start
    return {"other_heights": heights, "other_places": places}


def _time(line: _Sources) -> datetime:
    """UTC: the header's GPS time, else date and local clock of the name."""
    if (time := metadata.start_time(line.file.header, line.file.header_file)) is not None:
        return time
    if line.name is None:
        line.refuse(
            "the time of the flight is not known",
            "neither `acquisition date` and `GPS Start Time` in the header nor a dated name",
            "a name such as 20200625-OEN-1132-1800-L1-S-FLUO_radiance",
            "Add `acquisition date` and `GPS Start Time` to the header, or rename the file.",
        )
    if line.site.utc_offset_hours is not None:
        return line.name.local_time - timedelta(hours=line.site.utc_offset_hours)
    line.notes.append("time from the file name, taken as Central European (summer) time")
    return line.name.utc


def _place(line: _Sources) -> tuple[float, float] | None:
    """Latitude and longitude of the scene: given, flown, mapped, or where the line started."""
    site, navigation = line.site, line.navigation
    if site.latitude is not None and site.longitude is not None:
        return site.latitude, site.longitude
    if navigation is not None:
        return float(navigation.latitude.mean()), float(navigation.longitude.mean())
    if line.grid is not None:
        return middle(*line.grid, *line.file.shape[:2])
    return metadata.header_position(line.file.header, line.file.header_file)


def _sun(
    line: _Sources, time: datetime, place: tuple[float, float] | None, elevation: float
) -> tuple[float, float | None]:
    """Solar zenith, and azimuth where it can be known."""
    stated = line.number("solar_zenith_angle")
    azimuth = line.number("solar_azimuth_angle")
    if place is None:
        if stated is None:
            line.refuse(
                "the solar zenith angle cannot be known",
                "no navigation file, no `GPS Starting point`, no `solar zenith angle`",
                "a place, or the angle itself",
                "Put the _syncedNAV.txt beside the image, or write "
                '{"latitude": .., "longitude": ..} into site.json beside it.',
            )
        return stated, azimuth
    computed_zenith, computed_azimuth = sun_angles(np.datetime64(time), *place, elevation)
    zenith = float(computed_zenith[0]) if stated is None else stated
    return zenith, float(computed_azimuth[0]) if azimuth is None else azimuth


def _heights(line: _Sources) -> tuple[float, Any]:
    """Ground elevation and sensor height above ground, km; the latter by line when flown."""
    name_height = line.name.height_km if line.name else None
    navigation, notes = line.navigation, line.notes
    elevation = line.number("ground_elevation")
    if elevation is None and navigation is not None and name_height is not None:
        elevation = float(navigation.altitude_km.mean()) - name_height
        notes.append(f"ground elevation {elevation:.3f} km: navigation altitude less name height")
    elif elevation is None:
        elevation = 0.0
        notes.append("ground elevation 0 km: nothing says it; give ground_elevation")
    stated = line.number("sensor_height")
    if stated is None and navigation is not None:
        return elevation, ("line", navigation.altitude_km - elevation)
    if stated is None and name_height is None:
        line.refuse(
            "the flight height is not known",
            "no navigation file, no `sensor height km`, no height in the name",
            "km above ground",
            'Write {"sensor_height": ..} into site.json beside the image.',
        )
    return elevation, name_height if stated is None else stated


def _view(line: _Sources) -> tuple[Any, NDArray[np.float64] | None]:
    """View zenith angle and azimuth from ground to sensor, (sample) or (line, sample).

    The look vector of column x degrees right of the keel, rolled by r (right wing down) and
    pitched by p (nose up), is forward sin(p) cos(x-r), right sin(x-r), down cos(p) cos(x-r).
    Column 0 is taken to be on the left.
    """
    if line.grid is not None:
        line.notes.append("rectified product: columns are not detector columns, nadir view taken")
        return 0.0, None
    across = np.linspace(-HALF_SWATH_DEG, HALF_SWATH_DEG, line.file.shape[1])
    navigation, roll, pitch = line.navigation, np.zeros(1), np.zeros(1)
    heading = navigation.heading if navigation else None
    if heading is None and line.name is not None:
        heading = line.name.heading
    if navigation is not None:
        roll, pitch = navigation.roll[:, None], np.radians(navigation.pitch[:, None])
    across_rad = np.radians(across - roll)
    down = np.cos(pitch) * np.cos(across_rad)
    zenith = np.degrees(np.arccos(np.clip(down, -1, 1)))
    dims = ("sample",) if navigation is None else ("line", "sample")
    if heading is None:
        return (dims, zenith), None
    forward = np.sin(pitch) * np.cos(across_rad)
    looking = heading + np.degrees(np.arctan2(np.sin(across_rad), forward))
    return (dims, zenith), looking + 180.0


def _relative_azimuth(
    line: _Sources, to_sensor: NDArray[np.float64] | None, to_sun: float | None
) -> Any:
    stated = line.number("relative_azimuth_angle")
    if stated is not None:
        return stated
    if to_sensor is None or to_sun is None:
        line.notes.append(f"relative azimuth {DEFAULT_RELATIVE_AZIMUTH:g}: heading or sun unknown")
        return DEFAULT_RELATIVE_AZIMUTH
    dims = ("sample",) if to_sensor.ndim == 1 else ("line", "sample")
    return dims, relative_azimuth(to_sensor, to_sun)
