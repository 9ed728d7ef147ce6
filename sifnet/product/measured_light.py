"""The product of a scene with measured irradiance: its whole emission, no model and no fit."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from sifnet import __version__
from sifnet.product.axes import SWATH
from sifnet.product.emission import Number, as_maps, peaks_and_integral
from sifnet.product.labels import described, flag_attributes
from sifnet.product.physiology import SHARED as FORMULA
from sifnet.product.physiology import numbers_of
from sifnet.retrieval.air_below import air_below
from sifnet.retrieval.emission import FullSpectrum, Measured
from sifnet.retrieval.full_spectrum import solve
from sifnet.retrieval.physiology import CALIBRATION, Greenness, light_from_red
from sifnet.retrieval.pixels import BRIGHT, DARK
from sifnet.retrieval.strips import POOR_FIT
from sifnet.scenes.light import ndvi
from sifnet.scenes.scene import CONTINUUM, Flag, Scene
from sifnet.units import RADIANCE

Array = NDArray[np.float64]

SIF_AT = "sun-induced chlorophyll fluorescence at"
SHARED = "stray light, shape of emission, fringes; no mean reduces it"
SOURCE = f"sifnet {__version__}, whole emission under measured irradiance, {{}} radiance"
BANDS = {687: "the O2 B band", 740: "the far-red peak", 760: "the O2 A band"}  # nm
GRAZING = 75.0  # degrees of the sun from the zenith, beyond which a cosine receptor is no judge


def solve_scene(scene: Scene) -> FullSpectrum:
    """Emission of every measurement of a scene, in the order of lines and samples.

    Raises:
        SifnetError: bands do not cover the O2 A band.
    """
    light = scene.irradiance
    assert light is not None
    bands = scene.shape[2]
    seen, lit = (x.values.astype(float).reshape(-1, bands) for x in (scene.radiance, light))
    air = air_below(scene)
    through, risen = (1.0, None) if air is None else air
    return solve(seen, lit * through, scene.wavelength, scene.sensor.shot_noise, risen, scene.file)


def emission_maps(scene: Scene, emission: FullSpectrum, *, grave: bool = False) -> xr.Dataset:
    """Maps (line, sample) of all numbers that the bands allow; what they do not is absent.

    Args:
        grave: the scene contradicts physics: no measurement of it is to be trusted.
    """
    shape = scene.shape[:2]
    bands = [
        Number(f"sif_{band}", emission.at(band), f"{SIF_AT} {band} nm, {where}", RADIANCE)
        for band, where in BANDS.items()
        if emission.covers(band, band)
    ]
    maps = as_maps([*bands, *peaks_and_integral(emission)], SWATH, shape, SHARED)
    green = Greenness.of_spectrum(emission.reflectance, emission.wavelength)
    if green is not None:
        told = numbers_of(emission.at(760.0), green, _light(scene))
        maps = maps.merge(as_maps(told, SWATH, shape, FORMULA))

    def put(name: str, values: Array, long_name: str, units: str, **more: str) -> None:
        stored = np.asarray(values, np.float32).reshape(shape)
        maps[name] = ("line", "sample"), stored, described(long_name, units, **more)

    _put_rest(scene, emission, put)
    maps["quality_flag"] = ("line", "sample"), _flags(scene, emission, maps, grave)
    maps["quality_flag"].attrs = flag_attributes()
    return maps


def _light(scene: Scene) -> Measured | None:
    """PAR of every measurement: measured beside it, else from its own red light, if it has that."""
    if "photosynthetic_light" in scene.dataset:
        value = scene.dataset["photosynthetic_light"].values.repeat(scene.shape[1])
        return Measured(value, CALIBRATION * value, np.zeros_like(value))
    irradiance = scene.irradiance
    assert irradiance is not None
    spectra = irradiance.values.astype(float).reshape(-1, scene.shape[2])
    return light_from_red(spectra, scene.wavelength)


def _put_rest(scene: Scene, emission: FullSpectrum, put: Callable[..., None]) -> None:
    """Reflectance, and how well a spectrum is explained."""
    bands = scene.shape[2]
    reflectance = emission.reflectance
    if emission.covers(738.0, 742.0):
        at = int(np.flatnonzero(emission.wavelength == 740.0)[0])
        put("reflectance_740", reflectance[:, at], "reflectance of the surface at 740 nm", "1")
        slope = (reflectance[:, at + 1] - reflectance[:, at - 1]) / 2
        put("reflectance_slope", slope, "slope of the reflectance at 740 nm", "nm-1")
    green = ndvi(scene.radiance.values.reshape(-1, bands), scene.wavelength)
    put("ndvi_radiance", green,
        "normalised difference of mean radiances 770-810 and 650-680 nm", "1")  # fmt: skip
    put("channel_shift", emission.shift,
        "shift of the channel that looks down against the one that looks up", "nm")  # fmt: skip
    put("stray_light", emission.stray, "share of the mean light in every band", "1")
    put("residual_rms", emission.residual_rms,
        "root mean square of measured minus explained radiance", RADIANCE)  # fmt: skip
    put("chi2_reduced", emission.chi2, "residual over noise, squared, a band", "1")


def _flags(
    scene: Scene, emission: FullSpectrum, maps: xr.Dataset, grave: bool
) -> NDArray[np.uint16]:
    """(line, sample): the reader's, no result, too bright or dark, poor fit, no NDVI."""
    flags = scene.flags().values.astype(np.uint16)
    chi2 = emission.chi2.reshape(flags.shape)
    flags[~np.isfinite(maps["sif_760"].values)] |= np.uint16(Flag.DEAD)
    flags[chi2 > POOR_FIT] |= np.uint16(Flag.POOR_FIT)
    flags[~np.isfinite(maps["ndvi_radiance"].values)] |= np.uint16(Flag.NO_NDVI)
    clear = (scene.wavelength >= CONTINUUM[0]) & (scene.wavelength <= CONTINUUM[1])
    light = scene.irradiance
    assert light is not None
    with np.errstate(divide="ignore", invalid="ignore"):
        level = (
            np.pi * scene.radiance.values[..., clear].mean(-1) / light.values[..., clear].mean(-1)
        )
    strange = np.isfinite(level) & ~((level >= DARK) & (level <= BRIGHT))
    flags[strange] |= np.uint16(Flag.CLOUD_OR_DARK)
    sun = scene.dataset["solar_zenith_angle"]
    low = (sun > GRAZING).broadcast_like(scene.radiance.isel(band=0, drop=True))
    flags[low.transpose("line", "sample").values] |= np.uint16(Flag.OUT_OF_RANGE)
    if grave:
        flags |= np.uint16(Flag.UNLIKELY_AIR)
    return flags
