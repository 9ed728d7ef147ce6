"""What a file does not say about its place and sensor, given by keyword or by ``site.json``."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sifnet.errors import SifnetError
from sifnet.files import MOST_TEXT, regular
from sifnet.units import air_to_vacuum

SIDECAR = "site.json"
BOUNDS: dict[str, tuple[float, float]] = {
    "latitude": (-90.0, 90.0),
    "longitude": (-180.0, 360.0),
    "ground_elevation": (-0.5, 9.0),
    "sensor_height": (0.0, np.inf),
    "utc_offset_hours": (-14.0, 14.0),
    "fwhm": (0.0, 50.0),
    "solar_zenith_angle": (0.0, 90.0),
    "relative_azimuth_angle": (0.0, 180.0),
}


@dataclass(frozen=True)
class Site:
    """Given facts; None where the reader must find out, assume and say so, or refuse.

    latitude, longitude: degrees, east positive. ground_elevation: km above sea level.
    sensor_height: km above ground. date: YYYY-MM-DD, for files whose times carry none.
    utc_offset_hours: local time minus UTC, for files in local time.
    wavelength_medium: "air" or "vacuum". fwhm: nm.
    solar_zenith_angle, relative_azimuth_angle: degrees, in place of computed ones.
    """

    latitude: float | None = None
    longitude: float | None = None
    ground_elevation: float | None = None
    sensor_height: float | None = None
    date: str | None = None
    utc_offset_hours: float | None = None
    wavelength_medium: str | None = None
    fwhm: float | None = None
    solar_zenith_angle: float | None = None
    relative_azimuth_angle: float | None = None

    def __post_init__(self) -> None:
        for field in fields(self):
            _check(field.name, getattr(self, field.name), None)

    @classmethod
    def read(cls, folder: Path, keywords: Mapping[str, Any]) -> Site:
        """``site.json`` of the folder if there is one; keywords win.

        Raises:
            SifnetError: the file is not JSON, or a key is unknown or has an impossible value.
        """
        sidecar = folder / SIDECAR
        stored: dict[str, Any] = {}
        if os.path.lexists(sidecar):
            text = regular(sidecar, MOST_TEXT)
            try:
                stored = dict(json.loads(text.read_text(encoding="utf-8")))
            except (OSError, ValueError, TypeError, RecursionError) as problem:
                raise SifnetError(
                    "the site file cannot be read",
                    found=problem,
                    expected='JSON such as {"latitude": 50.87, "longitude": 6.45}',
                    remedy="Correct it or remove it.",
                    file=sidecar,
                ) from problem
        keys = [field.name for field in fields(cls)]
        for source, values in ((sidecar, stored), (None, keywords)):
            if unknown := sorted(set(values) - set(keys)):
                raise SifnetError(
                    "unknown site key",
                    found=", ".join(unknown),
                    expected=f"some of {', '.join(keys)}",
                    remedy="Correct the name.",
                    file=source,
                )
        for name, value in stored.items():
            _check(name, value, sidecar)
        return replace(cls(**stored), **keywords)

    def in_vacuum(self, wavelength: ArrayLike, medium: str) -> NDArray[np.float64]:
        """Wavelengths in vacuum, nm, of some in ``medium``, unless the site says another."""
        if (self.wavelength_medium or medium) == "air":
            return air_to_vacuum(wavelength)
        return np.asarray(wavelength, dtype=float)


def stated(text: str | None) -> dict[str, Any]:
    """Keywords of a ``Site`` from ``LAT,LON,METRES`` as commands take it; none of None.

    Raises:
        SifnetError: it is something else, or no place on earth.
    """
    if text is None:
        return {}
    try:
        latitude, longitude, *elevation = map(float, text.split(","))
        if len(elevation) > 1:
            raise ValueError(f"{2 + len(elevation)} numbers")
    except ValueError as problem:
        raise SifnetError(
            "the site cannot be read",
            found=f"{text!r} ({problem})",
            expected="latitude, longitude and elevation in metres, such as 42.859,11.055,10",
            remedy=f"Write --site LAT,LON,METRES, or a {SIDECAR} beside the files.",
        ) from problem
    keywords: dict[str, Any] = {"latitude": latitude, "longitude": longitude}
    if elevation:
        keywords["ground_elevation"] = elevation[0] / 1e3
    Site(**keywords)
    return keywords


def _check(name: str, value: object, file: Path | None) -> None:
    """Refuse a value that a key cannot have; None is no value.

    Raises:
        SifnetError: it is of another kind, or beyond what there is on earth.
    """
    if value is None:
        return
    if name == "wavelength_medium":
        possible, expected = value in ("air", "vacuum"), "air or vacuum"
    elif name == "date":
        possible, expected = _is_date(value), "a day, YYYY-MM-DD"
    else:
        low, high = BOUNDS[name]
        number = isinstance(value, int | float) and not isinstance(value, bool)
        possible = number and low <= value <= high  # type: ignore[operator]
        expected = f"a number, {low:g} to {high:g}"
    if not possible:
        raise SifnetError(
            f"site key {name!r} has an impossible value",
            found=repr(value)[:60],
            expected=expected,
            remedy=f"Correct {SIDECAR if file else 'the given keyword'}.",
            file=file,
        )


def _is_date(value: object) -> bool:
    try:
        return isinstance(value, str) and len(value) in (8, 10) and bool(date.fromisoformat(value))
    except ValueError:
        return False
