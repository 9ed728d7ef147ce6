"""What a file does not say about its place and sensor, given by keyword or by ``site.json``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sifnet.errors import SifnetError
from sifnet.units import air_to_vacuum

SIDECAR = "site.json"


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
            value = getattr(self, field.name)
            text = field.name in ("date", "wavelength_medium")
            if value is not None and not isinstance(value, str if text else (int, float)):
                _refuse_value(field.name, value, "text" if text else "a number")
        if self.wavelength_medium not in (None, "air", "vacuum"):
            _refuse_value("wavelength_medium", self.wavelength_medium, "air or vacuum")

    @classmethod
    def read(cls, folder: Path, keywords: Mapping[str, Any]) -> Site:
        """``site.json`` of the folder if there is one; keywords win.

        Raises:
            SifnetError: the file is not JSON, or a key is unknown or of the wrong kind.
        """
        sidecar = folder / SIDECAR
        stored: dict[str, Any] = {}
        if sidecar.is_file():
            try:
                stored = dict(json.loads(sidecar.read_text()))
            except (ValueError, TypeError) as problem:
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
        return replace(cls(**stored), **keywords)

    def in_vacuum(self, wavelength: ArrayLike, medium: str) -> NDArray[np.float64]:
        """Wavelengths in vacuum, nm, of some in ``medium``, unless the site says another."""
        if (self.wavelength_medium or medium) == "air":
            return air_to_vacuum(wavelength)
        return np.asarray(wavelength, dtype=float)


def _refuse_value(name: str, value: object, expected: str) -> None:
    raise SifnetError(
        f"site key {name!r} has an impossible value",
        found=repr(value),
        expected=expected,
        remedy="Correct site.json or the given keyword.",
    )
