"""A scene from plain numbers: sun, distance, units and noise follow from them, and it is said how.

What nobody states is assumed and told in the scene's notes.
"""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sifnet.errors import SifnetError
from sifnet.scenes.checks import continuum_bands
from sifnet.scenes.scatter import noise_over_root
from sifnet.scenes.sensor import FIT_WINDOW, Sensor
from sifnet.scenes.sun import relative_azimuth, sun_angles, sun_earth_distance
from sifnet.units import RADIANCE, air_to_vacuum

Array = NDArray[np.float64]

UNITS = {  # of radiance, what of ours one is
    RADIANCE: 1.0,
    "W m-2 nm-1 sr-1": 1e3,
    "W m-2 um-1 sr-1": 1.0,
    "uW cm-2 nm-1 sr-1": 10.0,
    "mW cm-2 um-1 sr-1": 10.0,
}
LINES = 48  # of a scene, that noise is read from
MICROMETRES = 10.0  # wavelengths below are in um


def derived(
    radiance: Any,
    wavelength: ArrayLike,
    fwhm: ArrayLike,
    *,
    time: Any,
    latitude: Any,
    longitude: Any,
    sensor_height: Any,
    ground_elevation: Any = 0.0,
    view_zenith_angle: Any = 0.0,
    view_azimuth_angle: Any = None,
    units: str = RADIANCE,
    medium: str = "vacuum",
    sensor: Sensor | None = None,
) -> tuple[Any, Array, Array, dict[str, Any]]:
    """Radiance, vacuum wavelength and width in our units, and keywords of a labelled scene.

    See ``Scene.from_arrays`` for the arguments.

    Raises:
        SifnetError: units that are not known, times without meaning, or values that belong to
            neither lines nor samples.
    """
    notes: list[str] = []
    shape = tuple(radiance.shape[:2])
    bands, widths = _bands(wavelength, fwhm, medium, notes)
    factor = _factor(units)
    if factor != 1.0:
        notes.append(f"radiance {units}, times {factor:g}")
        radiance = radiance * np.float32(factor)
    times = _times(time)
    places = {
        name: _laid(name, value, shape)
        for name, value in {"latitude": latitude, "longitude": longitude}.items()
    }
    geometry = {
        name: _laid(name, value, shape)
        for name, value in {
            "sensor_height": sensor_height,
            "ground_elevation": ground_elevation,
            "view_zenith_angle": view_zenith_angle,
        }.items()
    }
    north, east = (float(np.nanmean(_values(place))) for place in places.values())
    elevation = float(np.nanmean(_values(geometry["ground_elevation"])))
    zenith, azimuth = sun_angles(times, north, east, elevation)
    along = times.size > 1
    geometry["solar_zenith_angle"] = ("line", zenith) if along else float(zenith[0])
    geometry["sun_earth_distance"] = sun_earth_distance(times[times.size // 2])
    geometry["relative_azimuth_angle"] = _relative(view_azimuth_angle, azimuth, shape, notes)
    notes.append(f"sun computed: zenith {zenith.mean():.2f}, azimuth {azimuth.mean():.1f} degrees")
    if sensor is None:
        sensor = _sensor(radiance, bands, widths, geometry["sensor_height"], notes)
    extra: dict[str, Any] = dict(places)
    if along:
        extra["time"] = ("line", times)
    return radiance, bands, widths, {
        "geometry": geometry,
        "sensor": sensor,
        "acquisition_time": str(times[0].astype("datetime64[ms]")),
        "notes": notes,
        "extra": extra,
    }  # fmt: skip


def _bands(
    wavelength: ArrayLike, fwhm: ArrayLike, medium: str, notes: list[str]
) -> tuple[Array, Array]:
    bands = np.asarray(wavelength, dtype=float)
    widths = np.broadcast_to(np.asarray(fwhm, dtype=float), bands.shape)
    if bands.size and np.nanmax(bands) < MICROMETRES:
        notes.append("wavelengths in micrometres, times 1000")
        bands, widths = 1e3 * bands, 1e3 * widths
    if medium not in ("air", "vacuum"):
        raise SifnetError(
            "the medium of the wavelengths is not known",
            found=repr(medium),
            expected="air or vacuum",
            remedy="Correct medium=.",
        )
    if medium == "air":
        notes.append("wavelengths in air, converted to vacuum")
        bands = air_to_vacuum(bands)
    return bands, widths


def _factor(units: str) -> float:
    spelled = re.sub(r"\s+|\*\*|\^|⋅|·|\.|−", "", units).replace("µ", "u").replace("μ", "u")
    known = {name.replace(" ", ""): factor for name, factor in UNITS.items()}
    for name, factor in known.items():
        if sorted(re.findall(r"[a-zA-Z]+-?\d*", spelled)) == sorted(
            re.findall(r"[a-zA-Z]+-?\d*", name)
        ):
            return factor
    raise SifnetError(
        "the unit of the radiance is not known",
        found=repr(units),
        expected=f"one of {', '.join(UNITS)}",
        remedy="Convert the radiance, and correct units=.",
    )


def _times(time: Any) -> NDArray[np.datetime64]:
    """UTC, of the scene or of every line."""
    if isinstance(time, datetime):
        time = time.astimezone(UTC).replace(tzinfo=None) if time.tzinfo else time
    elif isinstance(time, str):
        time = re.sub(r"(Z|\+00:?00)$", "", time)
    try:
        times = np.atleast_1d(np.asarray(time, "datetime64[ns]"))
    except (ValueError, TypeError) as error:
        raise SifnetError(
            "the time of the scene is none",
            found=repr(time)[:60],
            expected="UTC: a datetime, or text such as 2020-06-25T09:32:10",
            remedy="Correct time=.",
        ) from error
    return times


def _laid(name: str, value: Any, shape: tuple[int, ...]) -> Any:
    """A value as a Scene wants it: for all, or on the dimensions that its shape fits."""
    if isinstance(value, tuple):
        return value
    array = np.asarray(value, dtype=float)
    fitting = {(): None, shape: ("line", "sample"), shape[:1]: "line", shape[1:]: "sample"}
    if array.shape not in fitting or (array.ndim == 1 and shape[0] == shape[1]):
        raise SifnetError(
            f"{name} fits neither lines nor samples, or both",
            found=f"shape {array.shape}",
            expected=f"a number, or values for {shape[0]} lines, {shape[1]} samples or both",
            remedy='Say which: ("line", values) or ("sample", values).',
        )
    dimensions = fitting[array.shape]
    return float(array) if dimensions is None else (dimensions, array)


def _values(laid: Any) -> Array:
    return np.asarray(laid[1] if isinstance(laid, tuple) else laid, dtype=float)


def _relative(azimuth: Any, to_sun: Array, shape: tuple[int, ...], notes: list[str]) -> Any:
    if azimuth is None:
        notes.append("relative azimuth 90 degrees: assumed; it matters away from nadir only")
        return 90.0
    laid, sun = _laid("view_azimuth_angle", azimuth, shape), float(to_sun.mean())
    if isinstance(laid, tuple):
        return laid[0], relative_azimuth(laid[1], sun)
    return float(relative_azimuth(laid, sun))


def _sensor(radiance: Any, bands: Array, widths: Array, height: Any, notes: list[str]) -> Sensor:
    """A record of what the bands are, with the noise that the spectra show."""
    inside = (bands >= FIT_WINDOW[0]) & (bands <= FIT_WINDOW[1])
    if inside.sum() < 2:
        return Sensor("own", 1.0, 1.0)  # the checks of a scene say what is missing
    sampling, fwhm = (float(np.median(v)) for v in (np.abs(np.diff(bands[inside])), widths[inside]))
    sensor = Sensor("own", sampling, fwhm, space=bool(np.isinf(_values(height)).all()))
    step = -(-radiance.shape[0] // LINES)
    window = continuum_bands(bands)
    seen = np.asarray(radiance[step // 2 :: step, :, window], dtype=float)
    level = seen.mean(-1)
    lit = np.isfinite(level) & (level > 0)
    noise = noise_over_root(np.where(lit[..., None], seen, 1.0), lit)
    if np.isfinite(noise) and noise > 0:
        notes.append(f"noise {noise:.3g} sqrt(L): read from the scatter of the scene's own bands")
        return replace(sensor, shot_noise=noise)
    notes.append(
        f"noise {sensor.shot_noise:.3g} sqrt(L): assumed, that of HyPlant for this sampling; "
        "state it with sensor=sifnet.Sensor(name, sampling, fwhm, shot_noise)"
    )
    return sensor
