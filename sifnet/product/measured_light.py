"""The product of a scene with measured irradiance: its whole emission, no model and no fit."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from sifnet import __version__
from sifnet.product.labels import SIF_COMMENT, described, flag_attributes
from sifnet.retrieval.air_below import air_below
from sifnet.retrieval.emission import PEAKS, Emission, Measured
from sifnet.retrieval.full_spectrum import solve
from sifnet.retrieval.pixels import BRIGHT, DARK
from sifnet.retrieval.strips import POOR_FIT
from sifnet.scenes.light import ndvi
from sifnet.scenes.scene import CONTINUUM, Flag, Scene
from sifnet.units import RADIANCE

Array = NDArray[np.float64]

AXIS = "emission_wavelength"
SOURCE = f"sifnet {__version__}, whole emission under measured irradiance, {{}} radiance"
BANDS = {687: "the O2 B band", 740: "the far-red peak", 760: "the O2 A band"}  # nm
GRAZING = 75.0  # degrees of the sun from the zenith, beyond which a cosine receptor is no judge


def solve_scene(scene: Scene) -> Emission:
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


def emission_maps(scene: Scene, emission: Emission, *, grave: bool = False) -> xr.Dataset:
    """Maps (line, sample) of all numbers that the bands allow; what they do not is absent.

    Args:
        grave: the scene contradicts physics: no measurement of it is to be trusted.
    """
    shape = scene.shape[:2]
    maps = xr.Dataset()

    def put(name: str, values: Array, long_name: str, units: str, **more: str) -> None:
        stored = np.asarray(values, np.float32).reshape(shape)
        maps[name] = ("line", "sample"), stored, described(long_name, units, **more)

    def put_number(name: str, number: Measured, long_name: str, units: str) -> None:
        sigma = f"{name}_uncertainty"
        put(name, number.value, long_name, units, comment=SIF_COMMENT,
            ancillary_variables=f"{sigma} quality_flag")  # fmt: skip
        put(sigma, number.sd, f"uncertainty of {name}, one standard deviation", units)
        put(f"{sigma}_shared", number.shared, f"part of the uncertainty of {name} that the "
            "measurements of an instrument share", units,
            comment="stray light, shape of emission, fringes; no mean reduces it")  # fmt: skip

    for band, where in BANDS.items():
        if emission.covers(band, band):
            what = f"sun-induced chlorophyll fluorescence at {band} nm, {where}"
            put_number(f"sif_{band}", emission.at(band), what, RADIANCE)
    for name, (low, high) in PEAKS.items():
        if emission.covers(low, high):
            value, place = emission.peak(name)
            what = f"largest fluorescence of the {name.replace('_', '-')} peak"
            put_number(f"sif_{name}_peak", value, what, RADIANCE)
            put_number(f"sif_{name}_peak_wavelength", place, f"place of it ({name})", "nm")
    if emission.covers(670.0, 780.0):
        put_number("total_integrated_sif", emission.integral(),
                   "fluorescence from 670 to 780 nm", "mW m-2 sr-1")  # fmt: skip
    _put_rest(scene, emission, put)
    maps["quality_flag"] = ("line", "sample"), _flags(scene, emission, maps, grave)
    maps["quality_flag"].attrs = flag_attributes()
    return maps


def spectrum_layer(scene: Scene, emission: Emission) -> xr.Dataset:
    """The emission spectra and their standard deviations, (line, sample, emission_wavelength)."""
    shape = (*scene.shape[:2], len(emission.wavelength))
    dimensions, name = ("line", "sample", AXIS), "sif_emission_spectrum"
    sd = emission.sd()
    layer = xr.Dataset(
        {
            name: (dimensions, emission.sif.astype(np.float32).reshape(shape)),
            f"{name}_uncertainty": (dimensions, sd.astype(np.float32).reshape(shape)),
        },
        coords={AXIS: (AXIS, emission.wavelength, {"units": "nm", "long_name": "in vacuum"})},
    )
    layer[name].attrs = described("fluorescence leaving the surface", RADIANCE,
                                  ancillary_variables=f"{name}_uncertainty")  # fmt: skip
    layer[f"{name}_uncertainty"].attrs = described(f"uncertainty of {name}, one standard deviation",
                                                   RADIANCE)  # fmt: skip
    return layer


def _put_rest(scene: Scene, emission: Emission, put: Callable[..., None]) -> None:
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


def _flags(scene: Scene, emission: Emission, maps: xr.Dataset, grave: bool) -> NDArray[np.uint16]:
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
