"""The deserts of ``anchors.py``: reflected sunlight through full radiative transfer and 0.25 nm.

Light straight down and up is computed line by line. What scattering makes of it is a smooth
function of absorption (``radiative_transfer.accurate`` rests on the same), so full radiative
transfer is run at wavenumbers that span the absorption, and interpolated in it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from anchors_air import UNCHANGED, Air, Oxygen, air, layer_depths
from anchors_fit import Fit, Unknown, fit
from anchors_spectra import Desert
from anchors_sun import CONTINUUM, solar_depth
from harness import Array
from numpy.typing import NDArray
from scipy.fft import irfft, next_fast_len, rfft
from scipy.interpolate import CubicSpline

from sifnet.physics.full.atmosphere import (
    CONTINENTAL,
    OpticalLayers,
    _phase_function,
    layer_shares,
    rayleigh_cross_section,
)
from sifnet.physics.full.radiative_transfer import Observer, transfer_functions

STEP = 0.0004  # nm; half of a Doppler half-width
MARGIN = 1.2  # nm
COMPARED_FWHM = 0.25  # nm, of HyPlant's bands, at which all is compared
SPACING = 0.08  # nm, between the bands that are compared
NODES, STREAMS = 96, 16
DEEPEST = 12.0  # vertical absorption, beyond which light is a rounding error
MISFIT = 2e-3  # of the continuum, expected of the model
AOT_STEP, HEIGHT_STEP = 0.05, 2.0
NEAR, FAR = 0.13, 0.6  # nm, full and half width of wings sought beside the maker's response


@dataclass(frozen=True)
class Scattering:
    """Scattering as a function of the vertical optical depth of absorption.

    Attributes:
        coordinate: ``node``, ln(1e-3 + absorption), ascending.
        ground, up: ``node``, factor on light straight down and up, and up.
        path: ``node``, path radiance per unit sun.
        albedo: ``node``, spherical.
    """

    coordinate: Array
    ground: Array
    up: Array
    path: Array
    albedo: Array

    def at(self, absorption: Array) -> tuple[Array, Array, Array, Array]:
        """Ground, up, path and spherical albedo at absorption ``n``."""
        x = np.log(1e-3 + absorption)
        rows = self.ground, self.up, self.path, self.albedo
        ground, up, path, albedo = (np.interp(x, self.coordinate, row) for row in rows)
        return ground, up, path, albedo


class DesertModel:
    """Radiance of a desert at 0.25 nm as a function of parameters by name."""

    def __init__(self, spectrum: Desert, compared_fwhm: float = COMPARED_FWHM) -> None:
        self.spectrum, self.compared_fwhm = spectrum, compared_fwhm
        low, high = spectrum.wavelength.min(), spectrum.wavelength.max()
        self.fine = np.arange(low - MARGIN, high + MARGIN, STEP)
        self.wavenumber = 1e7 / self.fine[::-1]
        self.cos_sun, self.cos_view = np.cos(
            np.radians([spectrum.solar_zenith, spectrum.view_zenith])
        )
        self.smoothing = self._smoothing()
        self.bands = self.smoothing @ spectrum.wavelength
        self.measured = self.smoothing @ spectrum.radiance

    def _smoothing(self) -> Array:
        """``band, n`` from samples to the bands compared; every sample if they are 0 wide."""
        at, fwhm = self.spectrum.wavelength, self.compared_fwhm
        if not fwhm:
            return np.eye(len(at))
        bands = np.arange(at.min() + 0.75 * fwhm, at.max() - 0.75 * fwhm, SPACING)
        weight = np.exp(-4 * np.log(2) * ((bands[:, None] - at) / fwhm) ** 2) * np.gradient(at)
        return weight / weight.sum(1, keepdims=True)

    def air(self, warmer: float) -> Air:
        """Above the desert."""
        s = self.spectrum
        return air(s.pressure, s.altitude_km, s.latitude, s.profile, warmer)

    @cached_property
    def oxygen(self) -> Oxygen:
        """Vertical, on ascending wavelength."""
        return Oxygen.along(
            self.wavenumber, np.ones(len(self.air(0).pressure)), self.air
        ).reversed()

    @cached_property
    def scattering(self) -> tuple[Scattering, Scattering, Scattering]:
        """As expected; with more aerosol; and with it higher up."""
        aot = self.spectrum.aot_550
        cases = ((aot, 2.0), (aot + AOT_STEP, 2.0), (aot, 2.0 + HEIGHT_STEP))
        one, more, higher = (self._scattering(*case) for case in cases)
        return one, more, higher

    def _scattering(self, aot_550: float, height_km: float) -> Scattering:
        above, s = self.air(0.0), self.spectrum
        total = self.oxygen.lines + self.oxygen.cia
        x = np.log(1e-3 + total)
        order = np.argsort(x)
        inside = (self.fine > s.wavelength.min()) & (self.fine < s.wavelength.max())
        order = order[inside[order]]
        order = order[total[order] < DEEPEST]
        wanted = np.linspace(x[order[0]], x[order[-1]], NODES)
        nodes = np.unique(order[np.searchsorted(x[order], wanted).clip(0, len(order) - 1)])
        optics, absorbed = self._layers(above, nodes, aot_550, height_km)
        observer = Observer(s.view_zenith, 90.0, np.inf)
        light = transfer_functions(optics, s.solar_zenith, [observer], STREAMS)
        down, up = (np.exp(-absorbed / mu) for mu in (self.cos_sun, self.cos_view))
        at = np.argsort(absorbed)
        return Scattering(
            np.log(1e-3 + absorbed[at]),
            (light.irradiance * light.transmittance[0] / (down * up))[at],
            (light.transmittance[0] / up)[at],
            light.path[0][at],
            light.spherical_albedo[at],
        )

    def _layers(self, above: Air, nodes: Array, aot_550: float,
                height_km: float) -> tuple[OpticalLayers, Array]:  # fmt: skip
        """Optical layers at some of the fine wavelengths, and their vertical absorption."""
        wavelength = self.fine[nodes]
        gas = layer_depths(1e7 / wavelength[::-1], above)[:, ::-1]
        gas = gas + self.oxygen.cia[nodes] * _pairs(above)[:, None]
        boundaries = above.height - above.height[0]
        molecules = rayleigh_cross_section(wavelength) * (above.o2_column / 0.2095)[:, None]
        aerosol = aot_550 * (wavelength / 550) ** -CONTINENTAL["angstrom"]
        particles = layer_shares(boundaries, height_km)[:, None] * aerosol
        scattered = molecules + CONTINENTAL["albedo"] * particles
        depth = gas + molecules + particles
        legendre = _phase_function(molecules / scattered, CONTINENTAL["asymmetry"])
        return OpticalLayers(boundaries, depth, scattered / depth, legendre), gas.sum(0)

    def __call__(self, p: Mapping[str, float]) -> Array:
        """``band`` of 0.25 nm."""
        return self.smoothing @ self.on_samples(p)

    def on_samples(self, p: Mapping[str, float]) -> Array:
        """``n``, mW m-2 nm-1 sr-1, on the samples of the spectrum."""
        s = self.spectrum
        lines = {**UNCHANGED, **p}
        if "product" in p:  # of strength and width, known better than either
            lines["width"] = p["product"] / p["strength"]
        absorbed = self.oxygen.depth(lines)
        ground, up, path, albedo = self._scattered(absorbed, p)
        x = 2 * (self.fine - s.wavelength.min()) / np.ptp(s.wavelength) - 1
        reflectance = np.polynomial.legendre.legval(x, [p["c0"], p["c1"], p["c2"]])
        sun = np.exp(-p["sun"] * self.sun(self.fine * (1 + p["sun_shift"]))) * CONTINUUM
        twice = np.exp(-absorbed * (1 / self.cos_sun + 1 / self.cos_view)) * ground
        mirror = 1 - albedo * reflectance
        light = sun * (twice * reflectance / np.pi / mirror + path)
        light += p["sif"] * np.exp(-absorbed / self.cos_view) * up / mirror
        seen = self.through_instrument(light, p)
        at = CubicSpline(self.fine, seen)(s.wavelength + p["shift"])
        return at + p["zero"] * self.measured.max()

    def _scattered(self, absorbed: Array, p: Mapping[str, float]) -> list[Array]:
        base, more, higher = (s.at(absorbed) for s in self.scattering)
        aot, height = p["aot"] / AOT_STEP, p["height"] / HEIGHT_STEP
        return [b + aot * (m - b) + height * (h - b)
                for b, m, h in zip(base, more, higher, strict=True)]  # fmt: skip

    @cached_property
    def sun(self) -> CubicSpline:
        """-ln of what solar lines leave, over wavelength."""
        wavelength = np.arange(self.fine[0] - 0.1, self.fine[-1] + 0.1, 0.0005)
        return CubicSpline(wavelength, solar_depth(1e7 / wavelength[::-1])[::-1])

    def through_instrument(self, light: Array, p: Mapping[str, float]) -> Array:
        """By the maker's response, a little wider, with some light in near and in far wings."""
        count = next_fast_len(len(light))
        padded = np.concatenate([light, np.linspace(light[-1], light[0], count - len(light))])
        x = np.fft.rfftfreq(count, STEP)
        near = np.exp(-((np.pi * NEAR * x) ** 2) / (4 * np.log(2)))
        far = np.exp(-2 * np.pi * FAR * x)
        response = self.response(x * p["width_of_response"])
        kept = (1 - p["near"] - p["far"]) * response + p["near"] * near + p["far"] * far
        return irfft(rfft(padded) * kept, count)[: len(light)]

    def response(self, x: Array) -> Array:
        """Transform of the maker's response at x, per nm."""
        known = self.spectrum.response
        if isinstance(known, float):
            return np.exp(-((np.pi * known * x) ** 2) / (4 * np.log(2)))
        return np.interp(x, *self.tabulated, right=0.0)

    @cached_property
    def tabulated(self) -> tuple[Array, NDArray[np.complex128]]:
        """A response that is given as a table: x, per nm, and its transform."""
        assert not isinstance(self.spectrum.response, float)
        offset, value = self.spectrum.response
        nm = -offset * self.fine.mean() ** 2 / 1e7  # wavelength falls as wavenumber rises
        x = np.arange(0, 60, 0.1)  # an interferogram of 2.5 cm ends at 43 per nm
        transform = np.exp(-2j * np.pi * np.outer(x, nm)) @ value
        return x, transform / transform[0].real

    def fit(self, **known: Unknown) -> Fit:
        """With what is said of the parameters; those of the spectroscopy stay ours if not."""
        level = float(self.measured.max() * np.pi / (CONTINUUM * self.cos_sun))
        unknowns = {
            "sif": Unknown(0.0, 20.0, 0.1),
            "zero": Unknown(0.0, 0.001, 1e-4),
            "near": Unknown(0.0, 0.03, 1e-3),
            "far": Unknown(0.0, 0.002, 1e-3),  # 0.06 % beyond 0.3 nm, OCO-2's calibration says
            "width_of_response": Unknown(1.0, 0.05, 1e-3),
            "shift": Unknown(0.0, 0.02, 1e-5),
            "sun": Unknown(1.0, 0.2, 1e-3),
            "sun_shift": Unknown(0.0, 2e-6, 1e-8),
            "warmer": Unknown(0.0, 6.0, 0.1),
            "aot": Unknown(0.0, 0.03, 0.01),
            "height": Unknown(0.0, 1.5, 0.1),
            "c0": Unknown(level, 0.2, 1e-3),
            "c1": Unknown(0.0, 0.1, 1e-3),
            "c2": Unknown(0.0, 0.02, 1e-3),
        }
        noise = self.spectrum.noise * np.sqrt((self.smoothing**2).sum(1))
        sigma = np.hypot(noise, MISFIT * self.measured.max())
        return fit(self, self.measured, sigma, {**unknowns, **known}, SPACING / COMPARED_FWHM)


def _pairs(above: Air) -> Array:
    """``layer`` share of all pairs of molecules."""
    pairs = above.o2_column * above.density
    return pairs / pairs.sum()
