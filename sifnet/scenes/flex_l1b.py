"""FLEX L1B: the arm HRE2 of FLORIS, 740-780 nm, on its own grid; a variable a channel.

``FLORIS_HR2B_<n>_radiance`` and ``FLORIS_HR2U_<n>_radiance``, uint16 with scale and offset each;
n counts the channels of the arm. The other arms lie on other grids: no NDVI, so that bare ground is
not known. L1B has no aerosol; temperature and sea level pressure of its weather model are used.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sifnet.errors import SifnetError
from sifnet.scenes.flex_air import column_warmth, grams_per_cm2
from sifnet.scenes.formats.hdf import Contents, Planes, Variable
from sifnet.scenes.formats.lazy import Window
from sifnet.scenes.scene import FIT_WINDOW, Flag, Scene
from sifnet.scenes.sensor import Sensor
from sifnet.scenes.site import Site
from sifnet.scenes.sun import relative_azimuth, sun_earth_distance
from sifnet.units import standard_pressure

Array = NDArray[np.float64]

RADIANCE = re.compile(r"FLORIS_HR2[BU]_(?P<number>\d+)_radiance", re.IGNORECASE)
INVALID, INLAND_WATER = 1, 4  # of common_quality_flags
BAD, DEAD, SATURATED = 1, 2, 4  # of channel_quality_flags
EPOCH = np.datetime64("2000-01-01", "us")
SEA_LEVEL = (870.0, 1085.0)  # hPa, lowest and highest ever


class ChannelFlags(Window):
    """(line, sample): flags of a plane, and those of the channels of the fit window."""

    dtype = np.dtype(np.uint16)

    def __init__(self, plane: NDArray[np.uint16], channels: Variable, window: slice) -> None:
        self.plane, self.channels, self.window = plane, channels, window
        self.shape = plane.shape

    def read(self, key: tuple[Any, ...]) -> NDArray[Any]:
        numbers = self.channels.numbers((*key, self.window))
        flags = self.plane[key]
        for bits, flag in ((BAD | DEAD, Flag.DEAD), (SATURATED, Flag.SATURATED)):
            flags = flags | ((numbers & bits) > 0).any(-1) * np.uint16(flag)
        return np.asarray(flags, np.uint16)


def read(product: Contents, name: str, sensor: Sensor, site: Site) -> Scene:
    """The scene of the arm HRE2.

    Raises:
        SifnetError: the arm, or what belongs to it, is not in the product.
    """
    product, channels = _arm(product)
    notes = ["arm HRE2 only: without the red bands of an NDVI bare ground is not known"]
    numbers = [int(RADIANCE.fullmatch(c.path.rsplit("/", 1)[-1])["number"]) for c in channels]  # type: ignore[index]
    wavelength, fwhm = (
        _of_channels(product.needed(name), numbers)
        for name in ("spectral_channel_centre_wavelength", "FWHM")
    )
    order = np.argsort(wavelength, kind="stable")
    times = EPOCH + np.ravel(product.needed("time_stamp").numbers()).astype("timedelta64[us]")
    planes = {n: product.needed(n).values() for n in ("SZA", "SAA", "OZA", "OAA", "altitude")}
    lost = ~np.all([np.isfinite(v) for v in planes.values()], axis=0) | ~(planes["SZA"] < 90)
    if lost.all():
        raise SifnetError(
            "the angles of the product are missing", found="no number in any pixel",
            expected="SZA, SAA, OZA, OAA and altitude of HRE2",
            remedy="The product is damaged: download it again.", file=product.files[0],
        )  # fmt: skip
    planes = {n: np.where(lost, np.median(v[~lost]), v) for n, v in planes.items()}
    ground = (planes["altitude"] / 1e3).clip(-0.5, 9.0).astype(np.float32)
    if site.ground_elevation is not None:
        ground[:] = site.ground_elevation
    geometry = {
        "solar_zenith_angle": planes["SZA"],
        "view_zenith_angle": planes["OZA"],
        "relative_azimuth_angle": relative_azimuth(planes["OAA"], planes["SAA"]),
        "ground_elevation": ground,
    }
    middle = times[times.size // 2].astype("datetime64[ms]")
    extra: dict[str, Any] = {
        n: (("line", "sample"), product.needed(n).values()) for n in ("latitude", "longitude")
    }
    extra["reader_flags"] = (("line", "sample"), _flags(product, lost, wavelength, numbers))
    extra["shot_noise"] = ("band", _assumed_noise(wavelength[order], sensor, notes))
    return Scene.from_arrays(
        Planes([channels[i] for i in order]).lazy(),
        site.in_vacuum(wavelength[order], sensor.medium),
        fwhm[order],
        geometry={
            **{n: (("line", "sample"), np.asarray(v, np.float32)) for n, v in geometry.items()},
            "sensor_height": np.inf,
            "sun_earth_distance": float(sun_earth_distance(middle)),
        },
        sensor=sensor,
        name=name,
        acquisition_time=str(middle),
        source_files=product.files,
        notes=notes,
        extra={**extra, **_air(product, ground, notes)},
    )


def _arm(product: Contents) -> tuple[Contents, list[Variable]]:
    """The file of HRE2 alone, for other arms have variables of the same names, and its channels."""
    channels = [v for n, v in product.variables.items() if RADIANCE.fullmatch(n)]
    if not channels:
        raise SifnetError(
            "the product has no arm HRE2",
            found=f"{len(product.files)} files without FLORIS_HR2B_1_radiance",
            expected="the file of 740-780 nm",
            remedy="Put all files of the product into its folder.",
            file=product.files[0] if product.files else None,
        )
    return Contents.of([channels[0].file]), channels


def _of_channels(variable: Variable, numbers: list[int]) -> Array:
    """Values of the channels: means over columns where they are given for each."""
    values = variable.values()
    if values.ndim > 1:
        longest = int(np.argmin([abs(size - max(numbers)) for size in values.shape]))
        values = np.nanmean(np.moveaxis(values, longest, 0).reshape(values.shape[longest], -1), 1)
    if values.size < max(numbers):
        raise SifnetError(
            f"{variable.path} is not that of the radiance", found=f"{variable.shape}",
            expected=f"{max(numbers)} channels",
            remedy="The product is damaged: download it again.", file=variable.file,
        )  # fmt: skip
    return np.asarray(values[np.array(numbers) - 1])


def _flags(
    product: Contents, lost: NDArray[np.bool_], wavelength: Array, numbers: list[int]
) -> Any:
    common = product.needed("common_quality_flags").numbers()
    plane = np.where(lost | ((common & INVALID) > 0), np.uint16(Flag.DEAD), np.uint16(0))
    plane |= ((common & INLAND_WATER) > 0) * np.uint16(Flag.WATER)
    channels = product.get("channel_quality_flags")
    if channels is None or channels.shape[:2] != plane.shape:
        return plane
    inside = (wavelength >= FIT_WINDOW[0]) & (wavelength <= FIT_WINDOW[1])
    fitted = np.array(numbers)[inside] - 1
    return ChannelFlags(plane, channels, slice(int(fitted.min()), int(fitted.max()) + 1)).lazy()


def _assumed_noise(wavelength: Array, sensor: Sensor, notes: list[str]) -> Array:
    """Of L1B the uncertainty includes what is no noise: it is not used."""
    notes.append(f"noise assumed: {sensor.shot_noise:g} sqrt(L) of channels {sensor.sampling:g} nm "
                 "apart, less for wider ones")  # fmt: skip
    spacing = np.gradient(wavelength)
    return sensor.shot_noise * np.sqrt(sensor.sampling / spacing.clip(min=sensor.sampling))


def _air(product: Contents, ground: NDArray[np.float32], notes: list[str]) -> dict[str, Any]:
    """Temperature, pressure and water of the weather model, given at few points of a line."""
    found: dict[str, Any] = {}
    sea = product.get("sea_level_pressure")
    if sea is not None:
        pressure = sea.values()
        known = (pressure > SEA_LEVEL[0]) & (pressure < SEA_LEVEL[1])
        if known.any():
            share = float(np.median(pressure[known])) / 1013.25
            found["surface_pressure"] = (("line", "sample"), share * standard_pressure(ground))
    water = product.get("total_columnar_water_vapour")
    if water is not None and np.isfinite(mean := np.nanmedian(water.values())):
        told = grams_per_cm2(np.full((1, 1), 0.1 * mean), notes)  # of kg m-2
        found |= {n: float(v[1][0, 0]) for n, v in told.items()}
    profile = product.get("atmospheric_temperature_profile")
    levels = product.get("reference_pressure_level")
    if profile is not None and levels is not None:
        found |= _warmth(profile, np.ravel(levels.values()), ground, notes)
    return found


def _warmth(
    profile: Variable, pressure: Array, ground: NDArray[np.float32], notes: list[str]
) -> dict[str, Any]:
    """One offset for the scene, from the mean profile over its points."""
    axes = [axis for axis, size in enumerate(profile.shape) if size == pressure.size]
    if not axes:
        notes.append("the temperature profile has other levels than its pressures: not used")
        return {}
    values = np.moveaxis(profile.values(), axes[-1], -1).reshape(1, -1, pressure.size)
    mean = _Mean(np.nanmean(values, axis=1, keepdims=True))
    told = column_warmth(mean, pressure, np.full((1, 1), np.median(ground)), (1, 1), notes)
    return {name: float(v[1][0, 0]) for name, v in told.items()}


class _Mean(Window):
    """A profile in memory, (1, 1, level)."""

    def __init__(self, values: Array) -> None:
        self.values, self.shape = values, values.shape

    def read(self, key: tuple[Any, ...]) -> Array:
        return np.asarray(self.values[key])
