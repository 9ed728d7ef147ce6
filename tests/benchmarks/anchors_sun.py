"""The direct suns of ``anchors.py``: transmittance through an interferometer's response."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property

import numpy as np
from anchors_air import Air, Oxygen, air
from anchors_fit import Fit, Unknown, fit
from anchors_spectra import WINDOW, DirectSun
from harness import Array
from scipy.fft import irfft, next_fast_len, rfft
from scipy.interpolate import CubicSpline

from sifnet.physics.solar import solar_irradiance

STEP = 0.0019  # cm-1; a seventh of the Doppler width, a quarter of a sample
MARGIN = 6.0  # cm-1 beyond the window, for the wings of the response
DEGREE = 4  # of the continuum
INDEPENDENT = 0.01  # of samples; misfit belongs to lines, and there are about as many
CONTINUUM = 1270.0  # mW m-2 nm-1, of the sun near 765 nm; what is left is smooth
SUN_WIDTH = 8e-6  # of wavenumber; the sun's shift by our motion is below 3e-6
SUN_MISFIT = 0.15  # of the depth of solar lines, as weight: they are not what is sought

SPECTROSCOPY = {
    "strength": Unknown(1.0, 0.2, 1e-3),
    "cia": Unknown(1.0, 3.0, 1e-2),
    "width": Unknown(1.0, 0.2, 1e-3),
    "mixing": Unknown(1.0, 2.0, 1e-2),
    "wings": Unknown(0.5, 0.5, 1e-2),
    "warmer": Unknown(0.0, 10.0, 0.1),
    "width_slope": Unknown(0.0, 0.2, 1e-3),
    "narrowing": Unknown(0.1, 0.05, 1e-3),
    "isotopes": Unknown(1.024, 0.015, 1e-3),
}
INSTRUMENT = {
    "zero": Unknown(0.0, 0.1, 1e-4),
    "sun": Unknown(1.0, 0.3, 1e-3),
    "sun_shift": Unknown(0.0, SUN_WIDTH, 1e-8),
    "stretch": Unknown(0.0, 3e-6, 1e-8),
    "loss": Unknown(0.0, 0.05, 1e-3),
    "phase": Unknown(0.0, 0.1, 1e-3),
}


def solar_depth(wavenumber: Array) -> Array:
    """-ln of what the sun's lines leave, at ascending wavenumbers, cm-1."""
    return -np.log(solar_irradiance(wavenumber) / CONTINUUM)


class DirectSunModel:
    """Signal of a direct sun, relative to the largest, as a function of parameters by name."""

    def __init__(self, spectrum: DirectSun) -> None:
        self.spectrum = spectrum
        self.fine = np.arange(WINDOW[0] - MARGIN, WINDOW[1] + MARGIN, STEP)
        self.x = 2 * (spectrum.wavenumber - WINDOW[0]) / (WINDOW[1] - WINDOW[0]) - 1
        self.measured = spectrum.signal / np.percentile(spectrum.signal, 99.5)

    @cached_property
    def oxygen(self) -> Oxygen:
        """Of our tables, along the ray."""
        path = self.air(0.0).slant(self.spectrum.apparent_zenith)
        return Oxygen.along(self.fine, path, self.air)

    def air(self, warmer: float) -> Air:
        """Above the site."""
        s = self.spectrum
        return air(s.pressure, s.altitude_km, s.latitude, s.profile, warmer)

    @cached_property
    def sun(self) -> CubicSpline:
        """-ln of what solar lines leave."""
        wide = np.arange(self.fine[0] - 1, self.fine[-1] + 1, 0.01)
        return CubicSpline(wide, solar_depth(wide))

    def __call__(self, p: Mapping[str, float]) -> Array:
        """``n``, on the samples of the spectrum."""
        depth = self.oxygen.depth(p) + p["sun"] * self.sun(self.fine * (1 + p["sun_shift"]))
        seen = self.through_instrument(np.exp(-depth), p["loss"], p["phase"])
        at = CubicSpline(self.fine, seen)(self.spectrum.wavenumber * (1 + p["stretch"]))
        continuum = np.polynomial.legendre.legval(self.x, [p[f"c{i}"] for i in range(DEGREE + 1)])
        return continuum * at + p["zero"]

    def through_instrument(self, fine: Array, loss: float, phase: float) -> Array:
        """Light whose interferogram ends at the largest path difference, as the aperture blurs it.

        The aperture's half angle a spreads a line over a box nu a^2 / 2 wide; modulation falls by
        ``loss`` at the end; ``phase`` (rad) makes lines lopsided.
        """
        s = self.spectrum
        count = next_fast_len(len(fine))
        padded = np.pad(1 - fine, (0, count - len(fine)))  # 0 at both ends, so no edge rings
        x = np.fft.rfftfreq(count, STEP)
        box = 0.5 * s.field**2 * np.mean(WINDOW)
        kept = np.sinc(box * x) * (1 - loss * x / s.path_difference) * (x < s.path_difference)
        turned = np.where(x > 0.5, np.exp(1j * phase), 1.0)
        return 1 - irfft(rfft(padded) * kept * turned, count)[: len(fine)]

    @property
    def sigma(self) -> Array:
        """``n``, relative weights: alike, but less where the sun has lines."""
        sun = np.exp(-self.sun(self.spectrum.wavenumber))
        return np.hypot(0.01, SUN_MISFIT * (1 - sun))

    def fit(self, **known: Unknown) -> Fit:
        """With some of the parameters known."""
        continuum = {f"c{i}": Unknown(float(i == 0), 1.0, 1e-3) for i in range(DEGREE + 1)}
        unknowns = {**SPECTROSCOPY, **INSTRUMENT, **continuum, **known}
        return fit(self, self.measured, self.sigma, unknowns, INDEPENDENT)
