"""What no Scene may be: the checks at its birth, each on the dataset, each naming the remedy."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sifnet.errors import SifnetError
from sifnet.scenes.sensor import FIT_WINDOW, Sensor

if TYPE_CHECKING:
    import xarray as xr

CONTINUUM = (745.0, 758.5)  # nm, the shoulder free of strong oxygen and water lines
MOST = 2**20  # pixels that are looked at for light
SUN_755 = 1283.0  # mW m-2 nm-1 at 1 AU, mean over CONTINUUM (Chance & Kurucz 2010)

GEOMETRY_BOUNDS: dict[str, tuple[float, float]] = {
    "solar_zenith_angle": (0.0, 90.0),
    "view_zenith_angle": (0.0, 90.0),
    "relative_azimuth_angle": (0.0, 180.0),
    "sensor_height": (0.0, np.inf),
    "ground_elevation": (-0.5, 9.0),
    "sun_earth_distance": (0.97, 1.03),
}
_REQUIRED_ATTRIBUTES = ("sensor", "name", "acquisition_time", "source_files", "notes")


def check(data: xr.Dataset) -> None:
    """Refuse a dataset that cannot be a Scene.

    Raises:
        SifnetError: layout, wavelengths, geometry or radiance are impossible.
    """
    _check_layout(data)
    _check_sensor(data)
    _check_wavelength(data)
    _check_geometry(data)
    _check_radiance_scale(data)


def _refuse(data: xr.Dataset, what: str, found: object, expected: object, remedy: str) -> NoReturn:
    files = data.attrs.get("source_files") or [None]
    raise SifnetError(what, found=found, expected=expected, remedy=remedy, file=files[0])


def _check_layout(data: xr.Dataset) -> None:
    dims = data["radiance"].dims if "radiance" in data else "no radiance"
    if dims != ("line", "sample", "band"):
        _refuse(
            data,
            "radiance has the wrong layout",
            dims,
            "dimensions (line, sample, band)",
            "Transpose and name the dimensions in the reader.",
        )
    if 0 in data["radiance"].shape:
        _refuse(
            data,
            "the scene is empty",
            data["radiance"].shape,
            "at least one pixel",
            "Check that the file was copied completely.",
        )
    missing = [name for name in GEOMETRY_BOUNDS if name not in data]
    missing += [name for name in _REQUIRED_ATTRIBUTES if name not in data.attrs]
    missing += [name for name in ("wavelength", "fwhm") if name not in data.coords]
    if missing:
        _refuse(
            data,
            "the scene is incomplete",
            f"no {', '.join(missing)}",
            "all of them",
            "Give the missing items to the reader.",
        )


def _check_sensor(data: xr.Dataset) -> None:
    if not isinstance(data.attrs["sensor"], Sensor):
        _refuse(
            data,
            "the sensor is not known",
            repr(data.attrs["sensor"]),
            "a sifnet.Sensor",
            "Make one: sifnet.Sensor(name, sampling, fwhm, shot_noise).",
        )


def _check_wavelength(data: xr.Dataset) -> None:
    """Wavelengths are nm, ascending, unique and reach into the fit window; FWHM is positive."""
    wavelength, fwhm = data["wavelength"].values, data["fwhm"].values
    if not np.isfinite(wavelength).all():
        _refuse(
            data,
            "wavelengths are missing",
            "values that are not finite",
            "nm for each band",
            "Complete the wavelength list of the header.",
        )
    if wavelength.max() < 100:
        _refuse(
            data,
            "wavelengths look like micrometres",
            span(wavelength),
            "nm",
            "Write `wavelength units = Micrometers` into the header, or nm.",
        )
    if (np.diff(wavelength) == 0).any():
        twice = wavelength[1:][np.diff(wavelength) == 0][0]
        _refuse(
            data,
            "a wavelength occurs twice",
            f"{twice:.4f} nm",
            "one band a wavelength",
            "Remove the duplicate band.",
        )
    if (np.diff(wavelength) < 0).any():
        _refuse(
            data,
            "bands are not sorted by wavelength",
            f"a step back after {wavelength[:-1][np.diff(wavelength) < 0][0]:.3f} nm",
            "ascending wavelengths",
            "Sort the bands together with their data.",
        )
    if not ((wavelength >= FIT_WINDOW[0]) & (wavelength <= FIT_WINDOW[1])).any():
        _refuse(
            data,
            "no band in 750-770 nm",
            f"{span(wavelength)} nm",
            "bands over the O2 A band",
            "Use the product that holds it (HyPlant: the FLUO module, not DUAL).",
        )
    if not (np.isfinite(fwhm) & (fwhm > 0) & (fwhm < 50)).all():
        _refuse(
            data,
            "impossible band width",
            span(fwhm),
            "FWHM in nm, above 0",
            "Correct `fwhm` in the header.",
        )


def _check_geometry(data: xr.Dataset) -> None:
    for name, (low, high) in GEOMETRY_BOUNDS.items():
        values = np.asarray(data[name].values, dtype=float)
        if name == "solar_zenith_angle" and (values >= 90).any():
            _refuse(
                data,
                "the sun is below the horizon",
                f"solar zenith angle {values.max():.2f}",
                "below 90 degrees",
                "Check the time (UTC or local?), the place, and the sign of the longitude.",
            )
        if not set(data[name].dims) <= {"line", "sample"}:
            _refuse(
                data,
                f"{name} has the wrong layout",
                data[name].dims,
                "a scalar, or a value for lines, samples or both",
                "Correct the reader.",
            )
        above = values > low if name == "sensor_height" else values >= low
        if not (above & (values <= high)).all():
            _refuse(
                data,
                f"{name} is impossible",
                span(values),
                f"{low:g} to {high:g}",
                "Correct the header, the navigation file or the given value.",
            )


def _check_radiance_scale(data: xr.Dataset) -> None:
    """Refuse a unit mistake: compare the continuum with the sun at that angle.

    Equivalent reflectance pi L d2 / (E0 cos SZA), or pi L / E where irradiance E is measured, and
    then E d2 / (E0 cos SZA) too. Bright pixels (90th percentile) above 1.5 do not exist. A scene
    whose brightest 1 % stays below 0.06 is darker than land under the sun, and irradiance below
    0.08 at its best is darker than a thick overcast. Only sampled lines are read, and up to 256
    if they are all empty, for a file of 100 GB may hold nothing.
    """
    radiance = continuum(data, "radiance")
    sun: NDArray[np.float64] | float = sun_on_ground(data)
    if "irradiance" in data:
        irradiance = continuum(data, "irradiance")
        _check_share(data, "irradiance", irradiance / sun, (0.08, 1.5), usual=0.8)
        sun = np.where(irradiance > 0, irradiance, np.nan)
    _check_share(data, "radiance", np.pi * radiance / sun, (0.06, 1.5), usual=0.4)


def _check_share(
    data: xr.Dataset,
    label: str,
    share: NDArray[np.float64],
    limits: tuple[float, float],
    usual: float,
) -> None:
    """Refuse a share of the sunlight outside the limits; ``usual`` tells the likely factor."""
    share = share[np.isfinite(share) & (share > 0)]
    if share.size == 0:
        _refuse(
            data,
            "every pixel is empty",
            f"no positive finite {label}",
            "a lit scene",
            "Check the file, and the data ignore value in its header.",
        )
    bright, brightest = np.quantile(share, (0.9, 0.99))
    if bright <= limits[1] and brightest >= limits[0]:
        return
    way, worst = ("bright", bright) if bright > limits[1] else ("dark", brightest)
    factor = 10.0 ** max(1, abs(round(np.log10(worst / usual))))
    _refuse(
        data,
        f"impossible {label}: too {way} for the sun at this angle",
        f"{worst:.3g} of the incoming sunlight",
        f"{limits[0]:g} to {limits[1]:g}",
        f"The scale is probably wrong by a factor {factor:g}: check the gain and the units "
        "(1 uW cm-2 sr-1 nm-1 = 10 mW m-2 nm-1 sr-1)",
    )


def sampled_lines(data: xr.Dataset, count: int = 16) -> xr.Dataset:
    """At most ``count`` lines, evenly over the scene."""
    step = -(-data.sizes["line"] // count)
    return data.isel(line=slice(step // 2, None, step))


def continuum_bands(wavelength: NDArray[np.float64]) -> slice:
    """Bands of the continuum; those of the fit window where none is there."""
    for low, high in (CONTINUUM, FIT_WINDOW):
        bands = np.flatnonzero((wavelength >= low) & (wavelength <= high))
        if bands.size:
            break
    return slice(int(bands[0]), int(bands[-1]) + 1)


def continuum(data: xr.Dataset, label: str) -> NDArray[np.float64]:
    """(line, sample) mean of the continuum bands of sampled lines, of more if those are empty."""
    # A slice, for with a list of indices every band of every line would be read.
    window = continuum_bands(data["wavelength"].values)
    more = max(16, min(256, MOST // data.sizes["sample"]))
    for part in (sampled_lines(data), sampled_lines(data, more)):
        level = part[label].isel(band=window).mean("band", skipna=False).values.astype(float)
        if (level > 0).any():
            break
    return level


def sun_on_ground(data: xr.Dataset) -> float:
    """E0 cos(SZA) / d2, mW m-2 nm-1, of the middle of the scene."""
    angle = float(np.median(data["solar_zenith_angle"]))
    distance = float(np.median(data["sun_earth_distance"]))
    return float(SUN_755 * np.cos(np.radians(angle)) / distance**2)


def span(values: ArrayLike) -> str:
    """Lowest to highest value, as text."""
    array = np.asarray(values, dtype=float)
    array = array[~np.isnan(array)]
    if array.size == 0:
        return "nan"
    low, high = array.min(), array.max()
    return f"{low:.6g}" if low == high else f"{low:.6g} to {high:.6g}"
