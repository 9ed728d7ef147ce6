"""From what is known of a HyPlant flight line to the angles and heights of a Scene."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sifnet.errors import SifnetError
from sifnet.scenes.formats.envi import EnviFile
from sifnet.scenes.hyplant_metadata import (
    Name,
    Navigation,
    find_navigation,
    header_number,
    header_position,
    map_grid,
    map_place,
    parse_name,
    start_time,
)
from sifnet.scenes.site import Site
from sifnet.scenes.sun import relative_azimuth, sun_angles, sun_earth_distance

HALF_SWATH_DEG = 16.08  # degrees from nadir to the outermost column
DEFAULT_RELATIVE_AZIMUTH = 90.0  # sun across the line of sight, when no heading is known


@dataclass(frozen=True)
class Acquisition:
    """Arguments of ``Scene.from_arrays`` that are not spectra."""

    time: datetime  # UTC
    geometry: dict[str, Any]
    extra: dict[str, Any]  # latitude and longitude
    grid: dict[str, Any]  # crs and transform of a rectified product
    source_files: list[str]


@dataclass(frozen=True)
class _Known:
    """All sources of facts about one flight line, and the list that records what was assumed."""

    file: EnviFile
    site: Site
    name: Name | None
    navigation: Navigation | None
    grid: tuple[str, list[float]] | None
    notes: list[str]

    def number(self, keyword: str, key: str) -> float | None:
        """A given keyword, else a header key, else None."""
        given: float | None = getattr(self.site, keyword)
        if given is not None:
            return given
        return header_number(self.file.header, key, self.file.header_file)


def acquire(file: EnviFile, site: Site, notes: list[str]) -> Acquisition:
    """Gather time, place, angles and heights of a flight line.

    Args:
        notes: every assumption is appended to it.

    Raises:
        SifnetError: the time, or the solar angle, cannot be known.
    """
    grid = map_grid(file.data_file, file.header)
    navigation = None if grid else find_navigation(file.header_file, file.lines)
    known = _Known(file, site, parse_name(file.header_file.stem), navigation, grid, notes)
    time = _time(known)
    elevation, height = _heights(known)
    view_zenith, to_sensor = _view(known)
    place = _place(known)
    solar_zenith, to_sun = _sun(known, time, place, elevation)
    geometry = {
        "solar_zenith_angle": solar_zenith,
        "view_zenith_angle": view_zenith,
        "relative_azimuth_angle": _relative_azimuth(known, to_sensor, to_sun),
        "sensor_height": height,
        "ground_elevation": elevation,
        "sun_earth_distance": sun_earth_distance(time),
    }
    files: list[Path] = [file.data_file, file.header_file]
    return Acquisition(
        time,
        geometry,
        _track(navigation, place),
        {} if grid is None else {"crs": grid[0], "transform": grid[1]},
        [str(path) for path in files + ([navigation.file] if navigation else [])],
    )


def _time(known: _Known) -> datetime:
    """UTC: the header's GPS time, else date and local clock of the name."""
    if (time := start_time(known.file.header)) is not None:
        return time
    if known.name is None:
        raise SifnetError(
            "the time of the flight is not known",
            found="neither `acquisition date` and `GPS Start Time` in the header nor a dated name",
            expected="a name such as 20200625-OEN-1132-1800-L1-S-FLUO_radiance",
            remedy="Add `acquisition date` and `GPS Start Time` to the header, or rename the file.",
            file=known.file.header_file,
        )
    if known.site.utc_offset_hours is not None:
        return known.name.local_time - timedelta(hours=known.site.utc_offset_hours)
    known.notes.append("time from the file name, taken as Central European (summer) time")
    return known.name.utc


def _place(known: _Known) -> tuple[float, float] | None:
    """Latitude and longitude of the scene: given, flown, mapped, or where the line started."""
    site, navigation = known.site, known.navigation
    if site.latitude is not None and site.longitude is not None:
        return site.latitude, site.longitude
    if navigation is not None:
        return float(navigation.latitude.mean()), float(navigation.longitude.mean())
    if known.grid is not None:
        return map_place(known.grid, known.file.lines, known.file.samples)
    return header_position(known.file.header)


def _sun(
    known: _Known, time: datetime, place: tuple[float, float] | None, elevation: float
) -> tuple[float, float | None]:
    """Solar zenith, and azimuth where it can be known."""
    stated = known.number("solar_zenith_angle", "solar zenith angle")
    azimuth = header_number(known.file.header, "solar azimuth angle", known.file.header_file)
    if place is None:
        if stated is None:
            raise SifnetError(
                "the solar zenith angle cannot be known",
                found="no navigation file, no `GPS Starting point`, no `solar zenith angle`",
                expected="a place, or the angle itself",
                remedy="Put the _syncedNAV.txt beside the image, or write "
                '{"latitude": .., "longitude": ..} into site.json beside it.',
                file=known.file.header_file,
            )
        return stated, azimuth
    computed_zenith, computed_azimuth = sun_angles(np.datetime64(time), *place, elevation)
    zenith = float(computed_zenith[0]) if stated is None else stated
    return zenith, float(computed_azimuth[0]) if azimuth is None else azimuth


def _heights(known: _Known) -> tuple[float, Any]:
    """Ground elevation and sensor height above ground, km; the latter by line when flown."""
    name_height = known.name.height_km if known.name else None
    navigation, notes = known.navigation, known.notes
    elevation = known.number("ground_elevation", "ground elevation km")
    if elevation is None and navigation is not None and name_height is not None:
        elevation = float(navigation.altitude_km.mean()) - name_height
        notes.append(f"ground elevation {elevation:.3f} km: navigation altitude less name height")
    elif elevation is None:
        elevation = 0.0
        notes.append("ground elevation 0 km: nothing says it; give ground_elevation")
    stated = known.number("sensor_height", "sensor height km")
    if stated is None and navigation is not None:
        return elevation, ("line", navigation.altitude_km - elevation)
    if stated is None and name_height is None:
        raise SifnetError(
            "the flight height is not known",
            found="no navigation file, no `sensor height km`, no height in the name",
            expected="km above ground",
            remedy='Write {"sensor_height": ..} into site.json beside the image.',
            file=known.file.header_file,
        )
    return elevation, name_height if stated is None else stated


def _view(known: _Known) -> tuple[Any, NDArray[np.float64] | None]:
    """View zenith angle and azimuth from ground to sensor, (sample) or (line, sample).

    The look vector of column x degrees right of the keel, rolled by r (right wing down) and
    pitched by p (nose up), is forward sin(p) cos(x-r), right sin(x-r), down cos(p) cos(x-r).
    Column 0 is taken to be on the left.
    """
    if known.grid is not None:
        known.notes.append("rectified product: columns are not detector columns, nadir view taken")
        return 0.0, None
    across = np.linspace(-HALF_SWATH_DEG, HALF_SWATH_DEG, known.file.samples)
    navigation = known.navigation
    if navigation is None:
        heading = known.name.heading if known.name else None
        across_rad, pitch = np.radians(across), np.zeros(1)
    else:
        heading = navigation.heading
        if heading is None and known.name is not None:
            heading = known.name.heading
        across_rad = np.radians(across - navigation.roll[:, None])
        pitch = np.radians(navigation.pitch[:, None])
    down = np.cos(pitch) * np.cos(across_rad)
    zenith = np.degrees(np.arccos(np.clip(down, -1, 1)))
    dims = ("sample",) if navigation is None else ("line", "sample")
    if heading is None:
        return (dims, zenith), None
    forward = np.sin(pitch) * np.cos(across_rad)
    looking = heading + np.degrees(np.arctan2(np.sin(across_rad), forward))
    return (dims, zenith), looking + 180.0


def _relative_azimuth(
    known: _Known, to_sensor: NDArray[np.float64] | None, to_sun: float | None
) -> Any:
    stated = known.number("relative_azimuth_angle", "relative azimuth angle")
    if stated is not None:
        return stated
    if to_sensor is None or to_sun is None:
        known.notes.append(f"relative azimuth {DEFAULT_RELATIVE_AZIMUTH:g}: heading or sun unknown")
        return DEFAULT_RELATIVE_AZIMUTH
    dims = ("sample",) if to_sensor.ndim == 1 else ("line", "sample")
    return dims, relative_azimuth(to_sensor, to_sun)


def _track(navigation: Navigation | None, place: tuple[float, float] | None) -> dict[str, Any]:
    if navigation is not None:
        return {
            "latitude": ("line", navigation.latitude),
            "longitude": ("line", navigation.longitude),
        }
    return {} if place is None else {"latitude": place[0], "longitude": place[1]}
