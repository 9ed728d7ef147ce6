"""What a HyPlant file name, header and navigation file say about time, place and attitude."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sifnet.errors import SifnetError
from sifnet.scenes.footprint import heading

_NAME = re.compile(
    r"(?P<date>\d{8})-(?P<site>[^-]+)-(?P<hhmm>\d{4})-(?P<altitude>\d+)-(?P<line>L[^-]*)"
    r"-(?P<direction>[NESW]{1,3})-FLUO",
    re.IGNORECASE,
)
_COMPASS = (
    *("N", "NNE", "NE", "ENE", "E", "ESE", "SE", "SSE"),
    *("S", "SSW", "SW", "WSW", "W", "WNW", "NW", "NNW"),
)
_NUMBER = r"[-+]?\d+(?:\.\d*)?(?:[eE][-+]?\d+)?"
HEADER_KEYS = {
    "solar_zenith_angle": "solar zenith angle",
    "solar_azimuth_angle": "solar azimuth angle",
    "relative_azimuth_angle": "relative azimuth angle",
    "ground_elevation": "ground elevation km",
    "sensor_height": "sensor height km",
}
"""Facts of a flight line by the header keys that state them: degrees, km."""


@dataclass(frozen=True)
class Name:
    """The parts of a file name; ``local_time`` on the clock of the campaign."""

    local_time: datetime
    height_km: float  # of the flight above ground
    heading: float | None  # degrees clockwise from north

    @property
    def utc(self) -> datetime:
        """Central European time to UTC: 2 h in summer (April to October), 1 h in winter."""
        return self.local_time - timedelta(hours=2 if 4 <= self.local_time.month <= 10 else 1)


@dataclass(frozen=True)
class Navigation:
    """Rows of ``_syncedNAV.txt``, one a line: degrees, and altitude in km above sea level."""

    file: Path
    latitude: NDArray[np.float64]
    longitude: NDArray[np.float64]
    altitude_km: NDArray[np.float64]
    roll: NDArray[np.float64]
    pitch: NDArray[np.float64]

    @property
    def heading(self) -> float | None:
        """Course over ground from the first to the last row; None when it did not move."""
        track = np.stack([self.latitude, self.longitude], axis=1)
        return heading(track[0], track[-1])


def parse_name(stem: str) -> Name | None:
    """The parts of a FLUO file name, or None when it does not follow the convention."""
    parts = _NAME.search(stem)
    if parts is None:
        return None
    try:
        local = datetime.strptime(parts["date"] + parts["hhmm"], "%Y%m%d%H%M")
    except ValueError:
        return None
    return Name(local, float(parts["altitude"]) / 1e3, heading_of(parts["direction"]))


def heading_of(direction: str) -> float | None:
    """Degrees clockwise from north of a compass letter; None for what is none."""
    upper = direction.upper()
    return 22.5 * _COMPASS.index(upper) if upper in _COMPASS else None


def start_time(header: Mapping[str, Any]) -> datetime | None:
    """UTC of the first line from ``acquisition date`` and ``GPS Start Time``; None without them."""
    date = re.search(r"\d{1,2}-\d{1,2}-\d{4}", _text(header, "acquisition date"))
    time = re.search(r"\d{1,2}:\d{2}:\d{2}", _text(header, "gps start time"))
    if date is None or time is None:
        return None
    try:
        return datetime.strptime(f"{date[0]} {time[0]}", "%d-%m-%Y %H:%M:%S")
    except ValueError:
        return None


def header_position(header: Mapping[str, Any]) -> tuple[float, float] | None:
    """Latitude and longitude of ``GPS Starting point``; None when it is missing."""
    numbers = re.findall(_NUMBER, _text(header, "gps starting point"))
    if len(numbers) < 2:
        return None
    return float(numbers[0]), float(numbers[1])


def map_grid(data_file: Path, header: Mapping[str, Any]) -> tuple[str, list[float]] | None:
    """CRS (WKT) and affine transform of a rectified product; None for sensor geometry."""
    if "map info" not in header:
        return None
    import rasterio
    from rasterio.errors import RasterioError

    try:
        with rasterio.open(data_file) as source:
            crs = source.crs
            return (crs.to_wkt(), [float(v) for v in source.transform[:6]]) if crs else None
    except RasterioError:
        return None


def find_navigation(header_file: Path, lines: int) -> Navigation | None:
    """The navigation file beside a header; None when there is none.

    Raises:
        SifnetError: it has another number of rows than the image has lines, or is no table.
    """
    stem = re.split(r"[-_]FLUO", header_file.stem, flags=re.IGNORECASE)[0].lower()
    files = [
        file
        for file in sorted(header_file.parent.iterdir())
        if file.name.lower().endswith("_syncednav.txt") and file.name.lower().startswith(stem)
    ]
    return _read_navigation(files[0], lines) if files else None


def _read_navigation(file: Path, lines: int) -> Navigation:
    rows = [re.split(r"[\s,;]+", row.strip()) for row in file.read_text().splitlines()[1:]]
    try:
        table = np.array([[float(value) for value in row[2:8]] for row in rows if len(row) > 1])
        if table.shape != (lines, 6) or not np.isfinite(table).all():
            raise ValueError(f"{len(table)} rows of columns 2 to 7")
    except ValueError as problem:
        raise SifnetError(
            "the navigation file does not fit the image",
            found=problem,
            expected=f"a header row and {lines} rows with numbers in columns 2 to 7",
            remedy="Give the file of this flight line, or move it away to go without.",
            file=file,
        ) from problem
    latitude, longitude, altitude, _, roll, pitch = table.T
    return Navigation(file, latitude, longitude, altitude / 1e3, roll, pitch)


def _text(header: Mapping[str, Any], key: str) -> str:
    value = header.get(key, "")
    return ", ".join(value) if isinstance(value, list) else str(value)
