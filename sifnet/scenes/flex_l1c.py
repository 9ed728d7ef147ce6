"""FLEX L1C: FLORIS on one grid, with the angles, air, ground and flags of every pixel.

``floris_toa_radiance`` (line, sample, channel), in whatever order of axes; wavelength and width of
every channel and column. The scene has the mean wavelengths over columns: how each column differs,
its smile, is left to the retrieval, which finds a shift for each. Of angles given for four
instruments the first is FLORIS. Classes are those of the file's own ``flag_meanings``, else the
numbers 0 to 9 of version 3.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sifnet.errors import SifnetError
from sifnet.scenes.flex_air import AEROSOL_NM, column_warmth, grams_per_cm2, optical_thickness
from sifnet.scenes.formats.hdf import Contents, Cube, Variable
from sifnet.scenes.scene import Flag, Scene
from sifnet.scenes.sensor import Sensor
from sifnet.scenes.site import Site
from sifnet.scenes.sun import sun_earth_distance

Array = NDArray[np.float64]

FILL = -1.0  # of radiance, angles and air, where the file states none
NO_PLACE = -999.0
CLASSES = ("not_valid", "land", "land_vegetation", "water", "cloud", "cloud_shadow", "snow_ice",
           "urban", "desert", "fire_burned")  # fmt: skip
MEANING = {"not_valid": Flag.DEAD, "water": Flag.WATER, "cloud": Flag.CLOUD,
           "cloud_shadow": Flag.SHADOW, "snow_ice": Flag.SNOW}  # fmt: skip
NOT_VALID_L1C = 1  # of quality_flags; the others are of level 2
EPOCH = np.datetime64("2000-01-01", "us")
NOISE_LINES = 4  # from which the noise of every channel is taken
NODES = (24, 12)  # lines and samples at which profiles of temperature are read
SMILE = 1e-3  # nm, below which none is told


def read(product: Contents, name: str, sensor: Sensor, site: Site) -> Scene:
    """The scene of a product's variables.

    Raises:
        SifnetError: a variable without which there is no scene is missing, or has another layout.
    """
    notes: list[str] = []
    plane, radiance = product.needed("latitude"), product.needed("floris_toa_radiance")
    axes = axes_of(radiance, plane)
    channels = radiance.shape[axes[2]]
    wavelength, order = _wavelengths(product, channels, notes)
    fwhm = _by_channel(product.needed("floris_spectral_channel_fwhm"), channels)[:, order].mean(0)
    time = product.needed("time_stamp")
    times = EPOCH + np.ravel(time.numbers()).astype("timedelta64[us]")
    geometry, invalid = _geometry(product, plane, site, notes)
    flags = _flags(product, notes) | np.where(invalid, np.uint16(Flag.DEAD), np.uint16(0))
    places, unknown = _places(product)
    extra: dict[str, Any] = {
        **places,
        "reader_flags": (("line", "sample"), flags | unknown * np.uint16(Flag.DEAD)),
        "shot_noise": ("band", _noise(product, radiance, axes, order, sensor, notes)),
        **_air(product, geometry["ground_elevation"][1], notes),
    }
    if times.size == plane.shape[0]:
        extra["time"] = ("line", times.astype("datetime64[ns]"))
    middle = times[times.size // 2].astype("datetime64[ms]")
    return Scene.from_arrays(
        Cube(radiance, axes, order, FILL).lazy(),
        site.in_vacuum(wavelength, sensor.medium),
        fwhm,
        geometry={**geometry, "sun_earth_distance": float(sun_earth_distance(middle))},
        sensor=sensor,
        name=name,
        acquisition_time=str(middle),
        source_files=product.files,
        notes=notes,
        extra=extra,
    )


def axes_of(cube: Variable, plane: Variable) -> tuple[int, int, int]:
    """Axes of a cube that are line, sample and channel, by those of a plane (line, sample).

    Raises:
        SifnetError: they cannot be told.
    """
    if cube.dimensions and set(plane.dimensions) < set(cube.dimensions):
        line, sample = (cube.dimensions.index(name) for name in plane.dimensions)
        return line, sample, 3 - line - sample
    for axes in ((0, 1, 2), (1, 2, 0), (0, 2, 1)):
        if len(cube.shape) == 3 and tuple(cube.shape[a] for a in axes[:2]) == plane.shape:
            return axes
    raise SifnetError(
        f"{cube.path} has another layout",
        found=f"{cube.shape} beside {plane.shape} of {plane.path}",
        expected="lines, samples and channels",
        remedy="The product is damaged, or of a version that is not known.",
        file=cube.file,
    )


def _by_channel(variable: Variable, channels: int) -> Array:
    """(column, channel) of what is given for both, or for channels alone.

    Raises:
        SifnetError: it has as many as none of both.
    """
    values = np.atleast_2d(variable.values())
    if values.shape[-1] != channels:
        values = values.T
    if values.ndim != 2 or values.shape[-1] != channels:
        raise SifnetError(
            f"{variable.path} is not that of the radiance",
            found=f"{variable.shape}",
            expected=f"{channels} channels",
            remedy="The product is damaged: download it again.",
            file=variable.file,
        )
    return values[np.isfinite(values).all(1)]


def _wavelengths(
    product: Contents, channels: int, notes: list[str]
) -> tuple[Array, NDArray[np.intp]]:
    """Mean wavelengths over columns, ascending, and which channels these are."""
    variable = product.needed("floris_spectral_channel_central_wavelengths")
    each = _by_channel(variable, channels)
    if not len(each):
        raise SifnetError(
            "wavelengths are missing",
            found="no column in which all are numbers",
            expected="nm for every channel and column",
            remedy="The product is damaged: download it again.",
            file=variable.file,
        )
    mean = each.mean(0)
    order = np.argsort(mean, kind="stable")
    fitted = (mean >= 750.0) & (mean <= 770.0)
    if fitted.any():
        off = (each - mean)[:, fitted]
        smile, left = off.mean(1), np.abs(off - off.mean(1, keepdims=True)).max()
        if np.ptp(smile) > SMILE:
            notes.append(
                f"columns lie {smile.min():+.3f} to {smile.max():+.3f} nm from their mean "
                f"(to {left:.3f} nm alike in all channels): found again by the retrieval"
            )
    return mean[order], order


def _geometry(
    product: Contents, plane: Variable, site: Site, notes: list[str]
) -> tuple[dict[str, Any], NDArray[np.bool_]]:
    """Angles of FLORIS and the ground, (line, sample), and where they are not known."""

    def angle(name: str) -> NDArray[np.float32]:
        variable = product.needed(name)
        if len(variable.shape) == 2:
            return variable.values(fill=FILL).astype(np.float32)
        axes = axes_of(variable, plane)
        return Cube(variable, axes, np.arange(1), FILL).read((slice(None), slice(None), 0))

    planes = {
        "solar_zenith_angle": angle("sun_zenith_angle"),
        "view_zenith_angle": np.abs(angle("viewing_zenith_angle")),
        "relative_azimuth_angle": np.abs((angle("relative_azimuth_angle") + 180) % 360 - 180),
        "ground_elevation": product.needed("surface_elevation").values().astype(np.float32) / 1e3,
    }  # fmt: skip
    notes.append("relative azimuth taken as that of the sun from the sensor, seen from the ground")
    if site.ground_elevation is not None:
        planes["ground_elevation"][:] = site.ground_elevation
    invalid = np.zeros(plane.shape, bool)
    for name, values in planes.items():
        low, high = (-0.5, 9.0) if name == "ground_elevation" else (0.0, 180.0)
        known = np.isfinite(values) & (values >= low) & (values <= high)
        if not known.any():
            raise SifnetError(
                f"{name.replace('_', ' ')} is missing",
                found="no credible value in any pixel",
                expected=f"{low:g} to {high:g}",
                remedy="The product is damaged: download it again.",
                file=plane.file,
            )
        values[~known] = np.median(values[known])
        invalid |= ~known
    geometry: dict[str, Any] = {n: (("line", "sample"), v) for n, v in planes.items()}
    return {**geometry, "sensor_height": np.inf}, invalid


def _places(product: Contents) -> tuple[dict[str, Any], NDArray[np.bool_]]:
    """Latitude and longitude, those of neighbours where there are none, and where that is."""
    places, unknown = {}, np.array(False)
    for name, most in (("latitude", 90.0), ("longitude", 360.0)):
        values = product.needed(name).values(fill=NO_PLACE)
        lost = ~(np.abs(values) <= most)
        values[lost] = np.median(values[~lost]) if (~lost).any() else 0.0
        places[name] = (("line", "sample"), values)
        unknown = unknown | lost
    return places, unknown


def _flags(product: Contents, notes: list[str]) -> NDArray[np.uint16]:
    """Our flags of the product's classes and quality."""
    classes = product.needed("pixel_classification")
    numbers = classes.numbers()
    flags = np.zeros(numbers.shape, np.uint16)
    met = np.zeros(numbers.shape, bool)
    for meaning, there in decoded(numbers, classes.attributes).items():
        flags[there] |= np.uint16(MEANING.get(meaning, 0))
        met |= there
    if (strange := int((~met).sum())) and strange:
        first = numbers[~met].flat[0]
        notes.append(f"{strange} pixels have a class that is not known ({first}): not flagged")
    quality = product.get("quality_flags")
    if quality is not None:
        flags[quality.numbers() == NOT_VALID_L1C] |= np.uint16(Flag.DEAD)
    return flags


def decoded(numbers: NDArray[Any], attributes: Mapping[str, Any]) -> dict[str, NDArray[np.bool_]]:
    """Where each class is, by CF's ``flag_meanings`` with masks or values, else by CLASSES."""
    meanings = attributes.get("flag_meanings", " ".join(CLASSES))
    names = (meanings.decode() if isinstance(meanings, bytes) else str(meanings)).split()
    masks = np.ravel(attributes.get("flag_masks", ()))
    values = np.ravel(attributes.get("flag_values", np.arange(len(names))))
    if masks.size == len(names):
        alone = values if "flag_values" in attributes and values.size == len(names) else masks
        pairs = zip(names, masks, alone, strict=True)
        return {name: (numbers & mask) == value for name, mask, value in pairs}
    return {name: numbers == value for name, value in zip(names, values, strict=False)}


def _noise(
    product: Contents, radiance: Variable, axes: tuple[int, int, int], order: NDArray[np.intp],
    sensor: Sensor, notes: list[str],
) -> Array:  # fmt: skip
    """k of sigma = k sqrt(L) of every channel, from some lines of the product's own noise."""
    stated = product.get("floris_toa_radiance_noise_uncertainty")
    lines = radiance.shape[axes[0]]
    step = slice(lines // (2 * NOISE_LINES), None, max(1, lines // NOISE_LINES))
    key = (step, slice(None), slice(None))
    if stated is not None and stated.shape == radiance.shape:
        light, noise = (Cube(v, axes, order, FILL).read(key) for v in (radiance, stated))
        share = np.where((light > 1.0) & (noise > 0), noise / np.sqrt(light.clip(1.0)), np.nan)
        known = np.isfinite(share).any((0, 1))
        if known.all():
            return np.nanmedian(share.astype(float), axis=(0, 1))
    notes.append(f"noise is not stated for every channel: {sensor.shot_noise:g} sqrt(L) assumed "
                 f"for channels {sensor.sampling:g} nm apart, less for wider ones")  # fmt: skip
    wavelength = _by_channel(
        product.needed("floris_spectral_channel_central_wavelengths"), len(order)
    )
    spacing = np.gradient(wavelength.mean(0)[order])
    return sensor.shot_noise * np.sqrt(sensor.sampling / spacing.clip(min=sensor.sampling))


def _air(product: Contents, elevation: NDArray[np.float32], notes: list[str]) -> dict[str, Any]:
    """What the product says of aerosol, water and temperature, as far as it is credible."""
    found: dict[str, Any] = {}
    aerosol, plane = product.get("aerosol_optical_thickness"), product.needed("latitude")
    if aerosol is not None:
        bands = Cube(aerosol, axes_of(aerosol, plane), np.arange(3), FILL)
        at = np.ravel(aerosol.attributes.get("wavelength", AEROSOL_NM)).astype(float)
        if "wavelength" not in aerosol.attributes:
            told = ", ".join(f"{x:g}" for x in AEROSOL_NM)
            notes.append(f"aerosol optical thickness taken to be at {told} nm: the file is silent")
        found |= optical_thickness(bands.read((slice(None),) * 3), at, notes)
    if (water := product.get("total_columnar_water_vapor")) is not None:
        found |= grams_per_cm2(water.values(fill=FILL), notes)
    profile, levels = product.get("temperature_profile"), product.get("tie_pressure_levels")
    if profile is not None and levels is not None:
        found |= column_warmth(
            Cube(profile, axes_of(profile, plane), np.arange(np.size(levels.numbers())), FILL),
            np.ravel(levels.values()), elevation, NODES, notes,
        )  # fmt: skip
    return found
