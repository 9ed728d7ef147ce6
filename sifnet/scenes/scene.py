"""Scene: one acquisition of a sensor, labelled, and refused at birth when it cannot be true.

Radiance mW m-2 nm-1 sr-1, irradiance mW m-2 nm-1, wavelength and FWHM nm in vacuum, angles
degrees, heights km. Relative azimuth: 0 = sensor and sun on the same side (backscatter),
180 = forward scattering.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntFlag
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sifnet import card
from sifnet.errors import SifnetError
from sifnet.scenes import record_of
from sifnet.scenes.arrays import derived
from sifnet.scenes.checks import (
    CONTINUUM,
    GEOMETRY_BOUNDS,
    SUN_755,
    check,
    continuum,
    sampled_lines,
    span,
)
from sifnet.scenes.possible import refuse_impossible
from sifnet.scenes.sensor import FIT_WINDOW, Sensor
from sifnet.units import RADIANCE

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["CONTINUUM", "FIT_WINDOW", "FLAGS", "GEOMETRY_BOUNDS", "SUN_755", "Flag", "Scene"]

MeasuredResponse = tuple[tuple[tuple[float, ...], tuple[float, ...]], ...]
"""Wavelengths (nm) and response of every band."""


class Flag(IntFlag):
    """Why a pixel's result is not to be trusted, one bit each (CF ``flag_masks``)."""

    DEAD = 1
    SATURATED = 2
    OUT_OF_RANGE = 4
    CLOUD_OR_DARK = 8
    POOR_FIT = 16
    AT_BOUND = 32
    NO_NDVI = 64
    UNSTABLE_LIGHT = 128
    CLOUD = 256
    SHADOW = 512
    SNOW = 1024
    WATER = 2048
    HAZE = 4096
    UNUSUAL_SPECTRUM = 8192
    UNLIKELY_AIR = 16384
    DIM = 32768


FLAGS: dict[Flag, str] = {
    Flag.DEAD: "no radiance: a band of the fit window is not finite, or all are zero or negative",
    Flag.SATURATED: "the detector was saturated in a band of the fit window",
    Flag.OUT_OF_RANGE: "geometry or atmosphere outside the ranges of the emulator",
    Flag.CLOUD_OR_DARK: "too bright (cloud) or too dark (shadow, water) for a retrieval",
    Flag.POOR_FIT: "the residual is larger than noise explains, or the result is no number",
    Flag.AT_BOUND: "a retrieved parameter lies at its bound",
    Flag.NO_NDVI: "bands do not cover 650-680 and 770-810 nm, so bare ground is not known",
    Flag.UNSTABLE_LIGHT: "irradiance before and after the measurement differ",
    Flag.CLOUD: "cloud, as the product's own mask says",
    Flag.SHADOW: "shadow of cloud or terrain, as the product's own mask says",
    Flag.SNOW: "snow, as the product's own mask says; retrieved all the same",
    Flag.WATER: "water, as the product's own mask says; retrieved all the same",
    Flag.HAZE: "haze, as the product's own mask says; retrieved all the same",
    Flag.UNUSUAL_SPECTRUM: "unlike what the shape of reflectance was learned from; the "
    "uncertainty says how much",
    Flag.UNLIKELY_AIR: "air or simulation farther than 3 standard deviations from what is known "
    "beforehand, or the scene contradicts physics (see scene_warnings)",
    Flag.DIM: "half as bright as ground that is as green: a part of the sun may be missing; "
    "the uncertainty says what that may do",
}


STATED = {"aot_550": "", "water_vapour": " g cm-2", "temperature_offset": " K",
          "surface_pressure": " hPa"}  # fmt: skip
"""What a product may say of its own air, and units."""


@dataclass(frozen=True, repr=False)
class Scene:
    """One acquisition. ``dataset`` has dimensions (line, sample, band) and

    - ``radiance`` (line, sample, band), float32, lazy: a part is read when it is used;
    - optional ``irradiance`` (line, sample, band): measured at the sensor, on the same bands;
    - coordinates ``wavelength`` (ascending, vacuum) and ``fwhm`` on band;
    - the names of GEOMETRY_BOUNDS, each a scalar or on line, sample or both;
    - optional ``latitude``, ``longitude``, ``time`` and ``reader_flags`` (line, sample);
    - optional ``aot_550``, ``water_vapour`` (g cm-2), ``temperature_offset`` (K) and
      ``surface_pressure`` (hPa) that the product itself states, scalars or (line, sample);
    - optional ``shot_noise`` (band): k of sigma = k sqrt(L) where bands differ, else the sensor's;
    - optional ``response`` and ``response_wavelength`` (band, point): measured spectral response
      of every band at vacuum wavelengths, nm, in any unit, NaN beyond a band's own points;
    - optional attributes ``other_heights`` and ``other_places``, by what states them: km above
      ground, latitude and longitude, with which ``consistency`` compares;
    - attributes sensor (its ``Sensor``), name, acquisition_time (ISO, UTC), source_files, notes.

    Raises:
        SifnetError: the scene is impossible (see :mod:`sifnet.scenes.checks` and ``possible``).
    """

    dataset: xr.Dataset

    def __post_init__(self) -> None:
        check(self.dataset)
        refuse_impossible(self.dataset)

    @classmethod
    def from_arrays(
        cls,
        radiance: Any,
        wavelength: ArrayLike,
        fwhm: ArrayLike,
        *,
        time: Any = None,
        latitude: Any = None,
        longitude: Any = None,
        sensor_height: Any = None,
        ground_elevation: Any = 0.0,
        view_zenith_angle: Any = 0.0,
        view_azimuth_angle: Any = None,
        units: str = RADIANCE,
        medium: str = "vacuum",
        sensor: Sensor | str | None = None,
        name: str = "scene",
        geometry: Mapping[str, Any] | None = None,
        acquisition_time: str | None = None,
        source_files: Sequence[str | Path] = (),
        notes: Sequence[str] = (),
        extra: Mapping[str, Any] | None = None,
        **attributes: Any,
    ) -> Scene:
        """Label plain arrays: when, where and how high is enough, the rest follows.

        Sun and its distance are computed, and noise is read from the scene's own bands where no
        sensor is given; ``notes`` says what was derived and what assumed.

        Args:
            radiance: (line, sample, band), in memory or lazy, mW m-2 nm-1 sr-1 or ``units``.
            wavelength: (band,) nm (or micrometres) in vacuum or ``medium``. fwhm: (band,) or
                scalar, the same.
            time: UTC, of the scene or of every line. latitude, longitude: degrees, a number or
                values of lines, or of every pixel.
            sensor_height, ground_elevation: km above ground, infinite in space, and above sea.
            view_zenith_angle, view_azimuth_angle: degrees, from the ground to the sensor; clockwise
                from north.
            units: of radiance, see ``arrays.UNITS``. medium: air or vacuum.
            sensor: its record, or the name of one that is known.
            geometry: in place of the facts above, what readers know: value, or (dimensions,
                values), of every name in GEOMETRY_BOUNDS; with it ``acquisition_time`` and sensor.
            extra: further variables in the same notation (irradiance, reader_flags, ...).
            attributes: of the dataset, as ``crs`` and ``transform`` of a map grid.

        Raises:
            SifnetError: a fact is missing, or the scene is impossible.
        """
        if geometry is None:
            facts = {"time": time, "latitude": latitude, "longitude": longitude,
                     "sensor_height": sensor_height}  # fmt: skip
            if absent := [fact for fact, value in facts.items() if value is None]:
                raise SifnetError(
                    "too little is known of the scene",
                    found=f"no {', '.join(absent)}",
                    expected="when (UTC), where (degrees), and how high above ground (km)",
                    remedy=f"Give {'=, '.join(absent)}=.",
                )
            record = None if sensor is None else record_of(sensor)
            radiance, wavelength, fwhm, known = derived(
                radiance, wavelength, fwhm, **facts, ground_elevation=ground_elevation,
                view_zenith_angle=view_zenith_angle, view_azimuth_angle=view_azimuth_angle,
                units=units, medium=medium, sensor=record,
            )  # fmt: skip
            geometry, sensor = known["geometry"], known["sensor"]
            acquisition_time = known["acquisition_time"]
            notes, extra = [*notes, *known["notes"]], {**known["extra"], **(extra or {})}
        import xarray as xr

        bands = np.asarray(wavelength, dtype=float)
        widths = np.broadcast_to(np.asarray(fwhm, dtype=float), bands.shape)
        variables = {"radiance": (("line", "sample", "band"), radiance), **(extra or {})}
        dataset = xr.Dataset(
            {**variables, **(geometry or {})},
            coords={"wavelength": ("band", bands), "fwhm": ("band", widths.copy())},
            attrs={
                "sensor": sensor if sensor is None else record_of(sensor),
                "name": name,
                "acquisition_time": acquisition_time,
                "source_files": [str(file) for file in source_files],
                "notes": list(notes),
                **attributes,
            },
        )
        return cls(dataset)

    @property
    def name(self) -> str:
        return str(self.dataset.attrs["name"])

    @property
    def sensor(self) -> Sensor:
        sensor: Sensor = self.dataset.attrs["sensor"]
        return sensor

    @property
    def wavelength(self) -> NDArray[np.float64]:
        """(band,) nm in vacuum."""
        return self.dataset["wavelength"].values

    @property
    def fwhm(self) -> NDArray[np.float64]:
        """(band,) nm."""
        return self.dataset["fwhm"].values

    @property
    def radiance(self) -> xr.DataArray:
        """(line, sample, band), lazy."""
        return self.dataset["radiance"]

    @property
    def irradiance(self) -> xr.DataArray | None:
        """Measured irradiance (line, sample, band), or None."""
        return self.dataset.get("irradiance")

    @property
    def shot_noise(self) -> NDArray[np.float64]:
        """(band,) k of sigma = k sqrt(L)."""
        if "shot_noise" in self.dataset:
            return np.asarray(self.dataset["shot_noise"].values, dtype=float)
        return np.full(self.shape[2], self.sensor.shot_noise)

    @property
    def space(self) -> bool:
        """Whether the sensor is in space."""
        return bool(np.isposinf(self.dataset["sensor_height"]).all())

    @property
    def file(self) -> str | None:
        """What an error about the scene names: its first source, None without one."""
        files = self.dataset.attrs["source_files"]
        return str(files[0]) if files else None

    @property
    def shape(self) -> tuple[int, int, int]:
        """Lines, samples, bands."""
        lines, samples, bands = self.radiance.shape
        return lines, samples, bands

    def response(self, bands: NDArray[np.intp]) -> MeasuredResponse | None:
        """Measured spectral response of some bands, (wavelength nm, response) each, or None."""
        if "response" not in self.dataset:
            return None
        rows = zip(
            self.dataset["response_wavelength"].values[bands],
            self.dataset["response"].values[bands],
            strict=True,
        )
        points = [np.stack(row)[:, np.isfinite(row).all(axis=0)].tolist() for row in rows]
        return tuple((tuple(wavelength), tuple(response)) for wavelength, response in points)

    def window(self, lines: slice) -> Scene:
        """The same scene, fewer lines; nothing is read and nothing is checked again."""
        return _unchecked(_cut(self.dataset, lines))

    def read(
        self, lines: slice, bands: NDArray[np.intp], samples: slice | NDArray[np.intp] = slice(None)
    ) -> Scene:
        """Some lines, bands and columns of the scene, in memory: one pass over its file.

        Args:
            bands: ascending.
        """
        runs = [
            slice(int(run[0]), int(run[-1]) + 1)
            for run in np.split(bands, np.flatnonzero(np.diff(bands) > 1) + 1)
            if len(run)
        ]
        if len(runs) <= 1:
            run = runs[0] if runs else slice(0)
            return _unchecked(_cut(self.dataset, lines).isel(sample=samples, band=run).load())
        on_bands = {n: v for n, v in self.dataset.variables.items() if "band" in v.dims}
        part = _cut(self.dataset.drop_vars(on_bands), lines)
        part = part.isel(sample=samples, missing_dims="ignore").load()
        found = {}
        for name, variable in on_bands.items():
            # Slices are copied ten times as fast as bands are gathered one by one.
            some = variable.isel(line=lines, sample=samples, missing_dims="ignore")
            read = [some.isel(band=run).values for run in runs]
            axis = variable.dims.index("band")
            found[name] = variable.dims, np.concatenate(read, axis)
        coordinates = {name: value for name, value in found.items() if name in self.dataset.coords}
        return _unchecked(part.assign(found).assign_coords(coordinates))

    def flags(self) -> xr.DataArray:
        """(line, sample) uint16: what the reader knew, and DEAD where nothing was seen."""
        low = np.searchsorted(self.wavelength, FIT_WINDOW[0], "left")
        high = np.searchsorted(self.wavelength, FIT_WINDOW[1], "right")
        seen = self.radiance.isel(band=slice(low, high))
        import xarray as xr

        alive = seen.values.max(-1, initial=-np.inf) > 0  # the largest is NaN where a band is
        dead = xr.DataArray(~alive * np.uint16(Flag.DEAD), dims=("line", "sample"))
        from_reader = self.dataset.get("reader_flags")
        return dead if from_reader is None else dead | from_reader.astype(np.uint16)

    def _card(self) -> list[tuple[str, str]]:
        """What it is, without reading a value of its radiance."""
        lines, samples, bands = self.shape
        data = self.dataset
        sun, view = (span(data[f"{name}_zenith_angle"].values) for name in ("solar", "view"))
        height, ground = (span(data[n].values) for n in ("sensor_height", "ground_elevation"))
        rows = [
            ("time", f"{data.attrs['acquisition_time']} UTC"),
            ("size", f"{lines} lines x {samples} samples x {bands} bands"),
            ("wavelength", f"{span(self.wavelength)} nm (vacuum), FWHM {span(self.fwhm)} nm"),
            ("sun, view", f"{sun}, {view} deg from the zenith"),
            ("sensor", "in space" if self.space else f"{height} km above ground"),
            ("ground", f"{ground} km above the sea"),
        ]
        if "latitude" in data and "longitude" in data:
            place = ", ".join(span(data[name].values) for name in ("latitude", "longitude"))
            rows.append(("place", f"{place} deg"))
        rows.append(("irradiance", "modelled" if self.irradiance is None else "measured"))
        return [*rows, ("file", self.file)] if self.file else rows

    def __repr__(self) -> str:
        return card.text(f"sifnet.Scene {self.name}, {self.sensor.name}", self._card())

    def _repr_html_(self) -> str:
        return card.html(f"Scene {self.name}, {self.sensor.name}", self._card())

    def describe(self) -> list[tuple[str, str]]:
        """(label, text) rows: all that the reader understood, for ``sifnet inspect``."""
        lines, samples, bands = self.shape
        step = np.median(np.diff(self.wavelength)) if bands > 1 else np.nan
        rows = [
            ("name", self.name),
            ("sensor", self.sensor.name),
            ("time", f"{self.dataset.attrs['acquisition_time']} UTC"),
            ("size", f"{lines} lines x {samples} samples x {bands} bands"),
            ("wavelength", f"{span(self.wavelength)} nm (vacuum), step {step:.3f} nm"),
            ("fwhm", f"{span(self.fwhm)} nm"),
            ("continuum radiance", f"{span(continuum(self.dataset, 'radiance'))} mW m-2 nm-1 sr-1"),
            ("measured irradiance", "yes" if self.irradiance is not None else "no"),
        ]
        units = {"sensor_height": "km", "ground_elevation": "km", "sun_earth_distance": "AU"}
        places = [name for name in ("latitude", "longitude") if name in self.dataset]
        for label in (*GEOMETRY_BOUNDS, *places):
            value = span(self.dataset[label].values)
            rows.append((label.replace("_", " "), f"{value} {units.get(label, 'deg')}"))
        rows += [
            (f"{name.replace('_', ' ')} of the product", f"{span(self.dataset[name])}{unit}")
            for name, unit in STATED.items()
            if name in self.dataset
        ]
        if "response" in self.dataset:
            points = self.dataset.sizes["point"]
            rows.append(("measured response", f"of every band, up to {points} points"))
        rows.append(("flags, sampled lines", _flag_summary(self)))
        rows += [("file", str(file)) for file in self.dataset.attrs["source_files"]]
        return rows + [("note", str(note)) for note in self.dataset.attrs["notes"]]


def _cut(dataset: xr.Dataset, lines: slice) -> xr.Dataset:
    """Some lines; the transform of a map is then that of the first of them, and of the step."""
    part = dataset.isel(line=lines, missing_dims="ignore")
    if (transform := dataset.attrs.get("transform")) is not None:
        a, b, c, d, e, f = list(transform)[:6]
        first, _, step = lines.indices(dataset.sizes["line"])
        moved = [a, b * step, c + b * first, d, e * step, f + e * first]
        part.attrs = {**dataset.attrs, "transform": moved}
    return part


def _unchecked(dataset: xr.Dataset) -> Scene:
    """A part of a scene that was checked as a whole (a part alone may well be dark)."""
    part = object.__new__(Scene)
    object.__setattr__(part, "dataset", dataset)
    return part


def _flag_summary(scene: Scene) -> str:
    flags = _unchecked(sampled_lines(scene.dataset, 64)).flags().values
    counts = {flag.name.lower(): int((flags & flag > 0).sum()) for flag in Flag if flag.name}
    raised = [f"{name} {number}" for name, number in counts.items() if number]
    return f"{', '.join(raised) or 'none'} of {flags.size} pixels"
