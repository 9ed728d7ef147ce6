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
from sifnet.files import MOST_TEXT, regular
from sifnet.scenes.footprint import heading
from sifnet.scenes.formats.geotiff import wkt_of_earth

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
_HEMISPHERE = r"(?<![^\W\d_])[NSEW](?![^\W\d_])|(?<=\s)[nsew](?![^\W\d_])"
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


def start_time(header: Mapping[str, Any], file: Path) -> datetime | None:
    """UTC of the first line from ``acquisition date`` and ``GPS Start Time``; None without them.

    Raises:
        SifnetError: they are there, and of no day or hour.
    """
    date = re.search(r"\d{1,2}-\d{1,2}-\d{4}", _text(header, "acquisition date"))
    time = re.search(r"\d{1,2}:\d{2}:\d{2}", _text(header, "gps start time"))
    if date is None or time is None:
        return None
    try:
        return datetime.strptime(f"{date[0]} {time[0]}", "%d-%m-%Y %H:%M:%S")
    except ValueError as problem:
        raise SifnetError(
            "the time of the flight does not exist",
            found=f"{date[0]} {time[0]}",
            expected="`acquisition date` dd-mm-yyyy and `GPS Start Time` hh:mm:ss",
            remedy="Correct the header.",
            file=file,
        ) from problem


def header_position(header: Mapping[str, Any], file: Path) -> tuple[float, float] | None:
    """Latitude and longitude of ``GPS Starting point``, degrees; None when it is missing.

    Two numbers, or degrees, minutes and seconds of both; letters N, S, E, W before or after each,
    in either order. Without letters the first is the latitude.

    Raises:
        SifnetError: it is there and not understood, or no place on earth.
    """
    text = _text(header, "gps starting point").strip()
    if not text:
        return None
    latitude, longitude = _coordinates(text)
    if not (abs(latitude) <= 90 and abs(longitude) <= 180):
        raise SifnetError(
            "`GPS Starting point` is no place on earth, or not understood",
            found=text,
            expected="latitude and longitude, such as `50.62, 6.99` or `50 37 12 N, 6 59 24 E`",
            remedy="Correct the header, or give latitude= and longitude=.",
            command="Correct the header, or give latitude and longitude in site.json beside it.",
            file=file,
        )
    return latitude, longitude


def _coordinates(text: str) -> tuple[float, float]:
    """Latitude and longitude as written, not a number where they are not understood."""
    nowhere = np.nan, np.nan
    rest = re.sub(rf"{_NUMBER}|[^\W\d_]{{2,}}|{_HEMISPHERE}", " ", text)
    if re.sub(r"[\s,;:=()°º'′\"″dms]", "", rest):
        return nowhere
    letters = [m.group().upper() for m in re.finditer(_HEMISPHERE, text)]
    if not letters:
        groups = re.split(r"[,;]", text)
        if len(groups) == 1:
            groups = re.findall(_NUMBER, text)
        values = [_degrees(group, "") for group in groups]
        return (values[0], values[1]) if len(values) == 2 else nowhere
    if len(letters) != 2 or {letter in "NS" for letter in letters} != {True, False}:
        return nowhere
    before, between, after = re.split(_HEMISPHERE, text)
    groups = [between, after] if not re.search(r"\d", before) else [before, between]
    one, other = (_degrees(g, letter) for g, letter in zip(groups, letters, strict=True))
    return (one, other) if letters[0] in "NS" else (other, one)


def _degrees(text: str, letter: str) -> float:
    """Degrees of one coordinate, north and east positive, not a number if it is none."""
    numbers = re.findall(_NUMBER, text)
    size = [abs(float(number)) for number in numbers]
    signs = [number.startswith("-") for number in numbers]
    if not 1 <= len(size) <= 3 or any(signs[1:]) or max([0.0, *size[1:]]) >= 60:
        return np.nan
    if letter and signs[0]:
        return np.nan
    degrees = sum(value / 60.0**power for power, value in enumerate(size))
    return -degrees if signs[0] or letter in ("S", "W") else degrees


def map_grid(data_file: Path, header: Mapping[str, Any]) -> tuple[str, list[float]] | None:
    """CRS (WKT) and affine transform of a rectified product; None for sensor geometry.

    Raises:
        SifnetError: the CRS is of no map of the earth.
    """
    if "map info" not in header:
        return None
    import rasterio
    from rasterio.errors import RasterioError

    try:
        with rasterio.open(data_file, driver="ENVI") as source:
            wkt = wkt_of_earth(source.crs, data_file)
            return (wkt, [float(v) for v in source.transform[:6]]) if wkt else None
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
    try:
        text = regular(file, MOST_TEXT).read_text()
        rows = [re.split(r"[\s,;]+", row.strip()) for row in text.splitlines()[1:]]
        table = np.array([[float(value) for value in row[2:8]] for row in rows if len(row) > 1])
        if table.shape != (lines, 6) or not np.isfinite(table).all():
            raise ValueError(f"{len(table)} rows of columns 2 to 7")
    except SifnetError:
        raise
    except (OSError, ValueError) as problem:
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
