"""From fluorescence to physiology: light absorbed, what escapes of emission, quantum efficiency.

Of what chlorophyll absorbs, PAR x fAPAR_chl, a share Phi is emitted again, a few per cent of the
photons. At 760 nm a share f_esc of that leaves the canopy towards the sensor:

    pi F(760) n(760) W = Phi PAR fAPAR_chl f_esc,        f_esc = NIRv / fAPAR,  NIRv = NDVI R(760)

n turns mW into micromoles of photons a second, and W is all that photosystems emit over what they
emit in the nanometre at 760 nm. f_esc is that of Zeng et al. (2019, doi 10.1016/j.rse.2019.05.028),
after Yang & van der Tol (2018, doi 10.1016/j.rse.2018.05.029), R / (i0 omega): fAPAR stands for
what leaves intercept, their albedo is taken as one, and NDVI takes out the soil. It holds where
leaves hardly absorb; red light is absorbed again on its way, so that SIF at 760 nm tells Phi
better than the integral of the emission does (docs/field.md).

Every formula errs by more than its inputs are uncertain by. Each error below is the root mean
square over canopies of SCOPE 2, or what its sources disagree by, and is one that neighbours in time
share: ``Measured.own`` is only what the noise of SIF makes of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from sifnet.retrieval.emission import Measured
from sifnet.units import photons

Array = NDArray[np.float64]

FAR_RED = 760.0  # nm
SPARSE = 0.3  # of NDVI, below which soil and not plants makes the far red: no number is given
RED, RED_EDGE, PLATEAU = (670.0, 680.0), 705.0, 750.0  # nm

FAPAR = (1.1638, -0.1426)  # of NDVI: Myneni & Williams (1994), doi 10.1016/0034-4257(94)90016-7
FAPAR_ERROR = 0.10  # 600 canopies of PROSAIL 0.10 (data/make_fapar.py), 92 of SCOPE 0.09
CHLOROPHYLL = (1.114, -0.013)  # of the red-edge NDVI: 600 canopies of PROSAIL (data/make_fapar.py)
CHLOROPHYLL_ERROR = 0.09  # those 0.08; SCOPE's, which had no part in it, 0.085
SHARE = (0.745, 0.10)  # chlorophyll's in fAPAR, where no red edge is seen: PROSAIL's; SCOPE's 0.72
ESCAPE_ERROR = 0.06  # with fAPAR from NDVI; 0.015 by Zeng et al. (2019), who knew fAPAR
SPECTRUM = (184.5, 15.0)  # nm, W: of the photosystems of SCOPE 2; its error is an assumption
EFFICIENCY_ERROR = 0.24  # share of Phi: too high by 0.2 in SCOPE with a red edge, by 0.1 without

LIGHT_675 = (1.48, 0.09)  # umol s-1 mW-1 nm, of PAR: see ``light_from_red``
CALIBRATION = 0.05  # share of measured PAR, of the calibration of field spectrometers: assumed
CLEAR_SKY = (1098.0, 0.059)  # W m-2 and optical thickness: Haurwitz (1945), J. Meteorol. 2, 154-166
PHOTONS = (2.0, 0.10)  # umol J-1 of global radiation (ASTM G173: 1.98); relative error of both


@dataclass(frozen=True)
class Greenness:
    """Reflectance of the surface, without fluorescence, that tells how plants absorb.

    Attributes:
        red: near 675 nm, or at 687 nm where that is what is known.
        near_infrared: at 760 nm.
        edges: at 705 and 750 nm, where both are known.
    """

    red: Array
    near_infrared: Array
    edges: tuple[Array, Array] | None = None

    @classmethod
    def of_spectrum(cls, reflectance: Array, wavelength: Array) -> Self | None:
        """Of ``..., wavelength`` (nm); None where it does not reach from 675 to 760 nm."""
        inside = (wavelength >= RED[0]) & (wavelength <= RED[1])
        if not inside.any() or wavelength[-1] < FAR_RED:
            return None
        at = [reflectance[..., int(np.argmin(abs(wavelength - x)))] for x in (FAR_RED, RED_EDGE,
                                                                             PLATEAU)]  # fmt: skip
        return cls(reflectance[..., inside].mean(-1), at[0], (at[1], at[2]))

    @property
    def ndvi(self) -> Array:
        """(near infrared - red) / (near infrared + red); not a number where plants are sparse."""
        index = _normalised(self.near_infrared, self.red)
        return np.where(index >= SPARSE, index, np.nan)

    @property
    def red_edge(self) -> Array | None:
        """The same of 750 and 705 nm (Gitelson & Merzlyak 1994)."""
        if self.edges is None:
            return None
        edge, plateau = self.edges
        return np.where(np.isfinite(self.ndvi), _normalised(plateau, edge), np.nan)

    def fapar(self) -> Measured:
        """Share of PAR that leaves absorb, 0 to 1: 1.1638 NDVI - 0.1426, of Myneni & Williams."""
        slope, offset = FAPAR
        return _alike(np.clip(slope * self.ndvi + offset, 0.05, 1.0), FAPAR_ERROR)

    def fapar_chlorophyll(self) -> Measured:
        """Share of PAR that chlorophyll absorbs, 0 to 1.

        A line of the red-edge NDVI, to which the fAPAR of green plants is linear (Vina & Gitelson
        2005, doi 10.1029/2005GL023647); where no red edge is seen, the usual share of ``fapar``.
        """
        index = self.red_edge
        if index is None:
            share, error = SHARE
            return _alike(share * self.fapar().value, error)
        slope, offset = CHLOROPHYLL
        return _alike(np.clip(slope * index + offset, 0.05, 1.0), CHLOROPHYLL_ERROR)

    def escape_probability(self) -> Measured:
        """Share of what photosystems emit at 760 nm that leaves the canopy, NIRv / fAPAR.

        Seen from above, as if the same left in every direction (hence pi times a radiance).
        """
        escaped = self.ndvi * self.near_infrared / self.fapar().value
        return _alike(np.clip(escaped, 0.0, 1.0), ESCAPE_ERROR)


def quantum_efficiency(sif: Measured, green: Greenness, light: Measured) -> Measured:
    """Photons that the whole canopy emits over those that its chlorophyll absorbs.

    Args:
        sif: at 760 nm, mW m-2 nm-1 sr-1.
        light: PAR, umol m-2 s-1.

    Returns:
        1; its error is ``EFFICIENCY_ERROR``, measured for the formula as a whole, with those of
        SIF, of PAR and of the photosystems' spectrum.
    """
    whole, spread = SPECTRUM
    absorbed = light.value * green.fapar_chlorophyll().value
    emitted = np.pi * photons(FAR_RED) * whole / green.escape_probability().value
    with np.errstate(divide="ignore", invalid="ignore"):
        a_unit = np.where(absorbed > 0, emitted / absorbed, np.nan)  # of SIF
        relative = np.sqrt(EFFICIENCY_ERROR**2 + (spread / whole) ** 2
                           + (light.sd / light.value) ** 2)  # fmt: skip
    value = a_unit * sif.value
    return Measured(value, np.hypot(a_unit * sif.sd, relative * value), a_unit * sif.own)


def light_from_red(irradiance: Array, wavelength: Array) -> Measured | None:
    """PAR, umol m-2 s-1, of spectra that do not reach 400 nm; None where no band is near 675 nm.

    1.48 times the irradiance at 670-680 nm. Under a clear sky that is 1.41 by ASTM G173 (air mass
    1.5), 1.49 by MODTRAN in SCOPE 2, 1.56 to 1.43 from 20 to 75 degrees of the sun by Bird and
    Riordan (1986, of pvlib). Light of clouds is bluer.

    Args:
        irradiance: (measurement, band) mW m-2 nm-1. wavelength: (band) nm.
    """
    inside = (wavelength >= RED[0]) & (wavelength <= RED[1])
    if not inside.any():
        return None
    level = irradiance[:, inside].mean(1)
    return Measured(LIGHT_675[0] * level, LIGHT_675[1] * level, np.zeros_like(level))


def clear_sky_light(solar_zenith_angle: Array) -> Measured:
    """PAR under a clear sky, umol m-2 s-1: global radiation by Haurwitz (1945), and its photons.

    Args:
        solar_zenith_angle: degrees.
    """
    cosine = np.cos(np.radians(np.asarray(solar_zenith_angle, float)))
    level, thickness = CLEAR_SKY
    sun = level * cosine * np.exp(-thickness / np.maximum(cosine, 1e-3))
    value = PHOTONS[0] * np.where(cosine > 0, sun, 0.0)
    return Measured(value, PHOTONS[1] * value, np.zeros_like(value))


def _normalised(more: Array, less: Array) -> Array:
    total = more + less
    return np.asarray((more - less) / np.where(total > 0, total, np.nan))


def _alike(value: Array, error: float) -> Measured:
    """A number whose error all measurements share."""
    return Measured(value, np.where(np.isfinite(value), error, np.nan), np.zeros_like(value))
