"""FloX field spectrometer: down- and upwelling radiance as a CSV pair, a folder, or npz.

CSV: ``*Incoming*.csv`` and ``*Reflected*.csv``, ';' between columns, first column ``wl`` (nm, air),
then one column a measurement named ddmmyy_HHMMSS (UTC), W m-2 nm-1 sr-1; incoming is irradiance
over pi. npz: ``wl``, ``E``, ``L``, optional ``E2`` (irradiance after the measurement), each
(measurement, band), ``units`` and ``time_hhmmss``. A folder is the series of all its pairs. Where
``*Incoming*FULL*.csv`` of the other spectrometer lie beside it, 400-950 nm, they tell PAR.

Neither says where the instrument stands: latitude and longitude come from ``site.json`` in the
folder or by keyword (see :class:`sifnet.scenes.site.Site`). A scene of n measurements has n
lines of one sample, looks down at nadir, and carries ``irradiance``.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sifnet.errors import SifnetError
from sifnet.scenes.formats.csv import (
    Series,
    incoming_files,
    npz_files,
    read_series,
    read_whole_light,
    whole_light_files,
)
from sifnet.scenes.scene import CONTINUUM, Flag, Scene
from sifnet.scenes.sensor import Sensor
from sifnet.scenes.site import Site
from sifnet.scenes.sun import sun_angles, sun_earth_distance
from sifnet.units import photons

# Noise: the ratio of reflected to incoming scatters by 0.14 % from band to band in 748-758 nm at
# L = 88 in real spectra of 2025-06-15, near the 0.12 % of the continuum that the FLEX L2 prior
# states; the 1 % it states inside the band is wavelength knowledge, which is fitted here.
SENSOR = Sensor(
    name="flox",
    sampling=0.153,
    fwhm=0.31,
    shot_noise=0.013,
    shift_range=(-0.25, 0.25),
    fwhm_range=(-0.06, 0.06),
    since=2016,
    medium="air",
    simulated_as="series",
)
DEFAULT_HEIGHT = 0.002  # km, the fibre on a tripod or mast above the canopy
# Largest relative change of irradiance; under a clear sky neighbours in a series differ by 0.5 %.
STEADY = {"pair": 0.01, "series": 0.02}
APART = np.timedelta64(2, "m")  # at most, between a measurement and one of the other spectrometer
VISIBLE = (400.0, 700.0)  # nm, photosynthetically active


def matches(path: Path) -> bool:
    """Whether the path is a FloX CSV or npz, or a folder that holds some."""
    return bool(incoming_files(path) or npz_files(path))


def open_scene(path: Path, sensor: Sensor = SENSOR, **site: Any) -> Scene:
    """Open a CSV pair by either of its files, a folder of pairs, or an npz.

    Args:
        sensor: that measured; another one whose files look the same.
        site: keywords of :class:`sifnet.scenes.site.Site`.

    Raises:
        SifnetError: a partner, a matching time, the place or the layout is missing.
    """
    place = Site.read(path if path.is_dir() else path.parent, site)
    notes: list[str] = []
    series = read_series(path, place, notes)
    if place.latitude is None or place.longitude is None:
        raise SifnetError(
            "the place of the instrument is not known",
            found="FloX files do not say it",
            expected="latitude and longitude",
            remedy="Give latitude=, longitude=, ground_elevation= and sensor_height= (km).",
            command="Give it with --site LAT,LON,METRES, or write "
            '{"latitude": .., "longitude": .., "ground_elevation": km, "sensor_height": km} '
            "into site.json in the folder.",
            file=path,
        )
    elevation = _assumed(place.ground_elevation, 0.0, "ground elevation", notes)
    zenith, _ = sun_angles(series.times, place.latitude, place.longitude, elevation)
    if place.solar_zenith_angle is not None:
        zenith = np.full_like(zenith, place.solar_zenith_angle)
    irradiance, flags = _light(series, zenith, notes)
    if (place.wavelength_medium or sensor.medium) == "air":
        notes.append("wavelengths stored in air, converted to vacuum")
    height = _assumed(place.sensor_height, DEFAULT_HEIGHT, "sensor height above ground", notes)
    pixel, spectrum = ("line", "sample"), ("line", "sample", "band")
    whole = whole_light_files(path)
    light = _active_light(whole, series.times, notes)
    return Scene.from_arrays(
        series.reflected.astype(np.float32)[:, None],
        place.in_vacuum(series.wavelength, sensor.medium),
        sensor.fwhm if place.fwhm is None else place.fwhm,
        geometry={
            "solar_zenith_angle": ("line", zenith),
            "view_zenith_angle": 0.0,
            "relative_azimuth_angle": 0.0,  # without meaning at nadir
            "sensor_height": height,
            "ground_elevation": elevation,
            "sun_earth_distance": sun_earth_distance(series.times[series.times.size // 2]),
        },
        sensor=sensor,
        name=path.name if path.is_dir() else re.sub("(Incoming|Reflected)_?", "", path.stem),
        acquisition_time=str(series.times[0].astype("datetime64[s]")),
        source_files=series.files + (whole if light is not None else []),
        notes=notes,
        extra={
            "irradiance": (spectrum, irradiance.astype(np.float32)[:, None]),
            "time": ("line", series.times),
            "latitude": place.latitude,
            "longitude": place.longitude,
            "reader_flags": (pixel, flags[:, None]),
            **({} if light is None else {"photosynthetic_light": ("line", light)}),
        },
    )


def _active_light(
    files: list[Path], times: NDArray[np.datetime64], notes: list[str]
) -> NDArray[np.float64] | None:
    """PAR, umol m-2 s-1, at the times of measurements, from the other spectrometer's spectra.

    Straight between two; not a number where none is near, None where there are none.
    """
    measured: list[tuple[NDArray[Any], NDArray[Any]]] = []
    for file in files:
        try:
            wavelength, incoming, when = read_whole_light(file)
        except SifnetError as problem:
            notes.append(f"PAR is taken from red light, a file is not read: {problem}")
            continue
        inside = (wavelength >= VISIBLE[0]) & (wavelength <= VISIBLE[1])
        if wavelength[0] <= VISIBLE[0] + 5.0 and wavelength[-1] >= VISIBLE[1]:
            flow = np.pi * incoming[:, inside] * photons(wavelength[inside])
            measured.append((when, np.trapezoid(flow, wavelength[inside], axis=1)))
    if not measured:
        return None
    when, value = (np.concatenate(each) for each in zip(*measured, strict=True))
    order = np.argsort(when)
    when, value = when[order], value[order]
    at, known = (x.astype("datetime64[ms]").astype(float) for x in (times, when))
    away = np.abs(at[:, None] - known).min(1)
    near = away <= APART / np.timedelta64(1, "ms")
    notes.append(
        f"PAR measured by the other spectrometer: {near.sum()} of {near.size} measurements"
    )
    return np.where(near, np.interp(at, known, value), np.nan)


def _assumed(stated: float | None, default: float, what: str, notes: list[str]) -> float:
    if stated is None:
        notes.append(f"{what} {default:g} km: assumed; state it in site.json")
        return default
    return stated


def _light(
    series: Series, zenith: NDArray[np.float64], notes: list[str]
) -> tuple[NDArray[np.float64], NDArray[np.uint16]]:
    """Irradiance (measurement, band) and flags (measurement)."""
    irradiance = np.pi * series.incoming
    if series.incoming_after is not None:
        irradiance = np.pi * (series.incoming + series.incoming_after) / 2
        notes.append("irradiance: mean of before and after each measurement")
    unsteady = _unsteady(series, zenith)
    if unsteady.any():
        notes.append(f"irradiance unsteady in {unsteady.sum()} of {unsteady.size} measurements")
    return irradiance, np.where(unsteady, Flag.UNSTABLE_LIGHT, 0).astype(np.uint16)


def _unsteady(series: Series, zenith: NDArray[np.float64]) -> NDArray[np.bool_]:
    """(measurement,) whether the light changed: before against after, or against neighbours.

    With ``E2`` the change is over 1 %; without it, irradiance over cos(SZA) differs by more than
    2 % from the median of five measurements: a cloud.
    """
    import pandas as pd

    bands = (series.wavelength > CONTINUUM[0]) & (series.wavelength < CONTINUUM[1])
    before = series.incoming[:, bands].mean(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        if series.incoming_after is not None:
            after = series.incoming_after[:, bands].mean(axis=1)
            steady = np.abs(after / before - 1) < STEADY["pair"]
            return ~np.asarray(steady, dtype=bool)
        level = pd.Series(before / np.cos(np.radians(zenith)))
        usual = level.rolling(5, center=True, min_periods=1).median()
        steady = (level / usual - 1).abs() < STEADY["series"]
    return ~np.asarray(steady, dtype=bool)
