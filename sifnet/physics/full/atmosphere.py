"""Profile, molecules and aerosol of an atmosphere state, as homogeneous optical layers.

The vertical coordinate is pressure, so each layer holds exactly its share ``dp / (g m_air)`` of
the air column and the O2 column is ``0.2095 p_s / (g m_air)`` by construction. Sampling number
density on levels and integrating it by trapezoids misses that by up to 0.65 %, as if the ground
pressure were 6.6 hPa higher.

Temperature follows the US Standard Atmosphere 1976 as a function of *pressure*, plus an offset.
The elevation of the ground therefore acts only through surface pressure, which is an input of
its own. Gravity is constant, 9.80665 m s-2 (0.1 % less at 3 km).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from sifnet.physics.full.spectroscopy import CrossSections
from sifnet.physics.state import Atmosphere
from sifnet.units import AVOGADRO, BOLTZMANN, GRAVITY, MOLAR_MASS_AIR, O2_FRACTION

Array = NDArray[np.float64]

BOUNDARIES_KM: Array = np.concatenate(
    [
        [0, 0.05, 0.1, 0.2, 0.3, 0.45, 0.6, 0.8, 1, 1.25, 1.5, 1.8, 2.1, 2.5, 3, 3.5],
        [*range(4, 10), *range(10, 22, 2), 22, 25, 28, 32, 36, 40, 45, 50, 60],
    ]
)
"""Layer boundaries above the ground; thin where sensors fly and aerosol lies. The last layer
also holds all air above it."""

LEGENDRE_MOMENTS = 64
RAYLEIGH_DEPOLARISATION = 0.0279  # of air in the near infrared (Young 1981)
OZONE_COLUMN = 8.07e18  # molecules cm-2, 300 Dobson units
OZONE_HEIGHT_KM, OZONE_WIDTH_KM = 22.0, 5.0  # of a Gaussian layer

# Hess, Koepke & Schult (1998), OPAC, table 4: "continental average" and "maritime clean" at 80 %
# relative humidity: single scattering albedo and asymmetry at 550 nm, Angstrom exponent 500-800 nm.
CONTINENTAL = {"albedo": 0.925, "asymmetry": 0.703, "angstrom": 1.42}
MARITIME = {"albedo": 0.997, "asymmetry": 0.772, "angstrom": 0.08}


@dataclass(frozen=True)
class Layers:
    """Homogeneous layers from the ground upwards.

    Attributes:
        boundaries: (layer + 1) km above the ground.
        pressure: (layer) hPa, at the middle of the layer's mass.
        temperature: (layer) K.
        air_column: (layer) molecules cm-2.
    """

    boundaries: Array
    pressure: Array
    temperature: Array
    air_column: Array

    @property
    def o2_column(self) -> Array:
        """(layer) O2 molecules cm-2."""
        return O2_FRACTION * self.air_column


@dataclass(frozen=True)
class OpticalLayers:
    """What radiative transfer needs of an atmosphere, at ``n`` wavenumbers.

    Attributes:
        boundaries: (layer + 1) km above the ground.
        optical_depth: (layer, n) extinction of each layer.
        scattering_albedo: (layer, n).
        legendre: (moment, layer, n) phase function coefficients, (2 l + 1) normalised.
    """

    boundaries: Array
    optical_depth: Array
    scattering_albedo: Array
    legendre: Array

    def at(self, index: NDArray[np.intp]) -> OpticalLayers:
        """The same layers at some of the wavenumbers."""
        return OpticalLayers(
            boundaries=self.boundaries,
            optical_depth=self.optical_depth[:, index],
            scattering_albedo=self.scattering_albedo[:, index],
            legendre=self.legendre[:, :, index],
        )


@cache
def _standard_profile() -> tuple[Array, Array]:
    """ln pressure (hPa), ascending, and temperature (K) of the US Standard Atmosphere 1976."""
    import joseki

    profile = joseki.make("ussa_1976").sel(z=slice(0, 80))
    pressure, temperature = profile.p.values / 100, profile.t.values
    # Continue the tropospheric lapse rate below sea level, to 1100 hPa.
    low_pressure = 1100.0
    low_temperature = 288.15 * (low_pressure / 1013.25) ** (1 / 5.25588)
    pressure = np.append(low_pressure, pressure)
    temperature = np.append(low_temperature, temperature)
    return np.log(pressure[::-1]), temperature[::-1]


def standard_temperature(pressure: Array) -> Array:
    """Temperature, K, of the US Standard Atmosphere 1976 at a pressure, hPa."""
    return np.interp(np.log(pressure), *_standard_profile())


def layers(surface_pressure: float, temperature_offset: float = 0.0) -> Layers:
    """Divide the air above a surface pressure (hPa) into layers in hydrostatic balance."""
    fine = surface_pressure * np.exp(-np.linspace(0, 10.5, 4201))
    temperature = standard_temperature(fine) + temperature_offset
    scale_height = temperature * BOLTZMANN * AVOGADRO / (MOLAR_MASS_AIR * GRAVITY) / 1e3  # km
    steps = 0.5 * (scale_height[1:] + scale_height[:-1]) * np.diff(-np.log(fine))
    height = np.concatenate([[0.0], np.cumsum(steps)])
    pressure = np.exp(np.interp(BOUNDARIES_KM, height, np.log(fine)))
    top_at_zero = np.append(pressure[:-1], 0.0)  # the last layer takes all that is above
    middle = 0.5 * (top_at_zero[1:] + top_at_zero[:-1])
    grams_per_molecule = 1e3 * MOLAR_MASS_AIR / AVOGADRO
    # hPa -> Pa -> kg m-2 -> g cm-2 -> molecules cm-2
    column = -np.diff(top_at_zero) * 100 / GRAVITY * 0.1 / grams_per_molecule
    return Layers(
        boundaries=BOUNDARIES_KM,
        pressure=middle,
        temperature=standard_temperature(middle) + temperature_offset,
        air_column=column,
    )


def rayleigh_cross_section(wavelength: Array) -> Array:
    """Scattering cross-section of air, cm2, at vacuum wavelength, nm (Bodhaine et al. 1999, 29)."""
    um2 = (wavelength * 1e-3) ** 2
    numerator = 1.0455996 - 341.29061 / um2 - 0.90230850 * um2
    return 1e-28 * numerator / (1 + 0.0027059889 / um2 - 85.968563 * um2)


def aerosol_column(atmosphere: Atmosphere, wavelength: Array) -> tuple[Array, Array, float]:
    """Aerosol optical depth (n), its scattered part (n), and asymmetry at wavelengths (n), nm.

    A mixture, by extinction at 550 nm, of OPAC's continental average (``aerosol_type`` 0) and
    maritime clean (1) aerosol. Henyey-Greenstein phase functions.
    """
    share = float(atmosphere.aerosol_type)
    depth, scattered, weight = np.zeros_like(wavelength), np.zeros_like(wavelength), []
    for part, kind in ((1 - share, CONTINENTAL), (share, MARITIME)):
        aot = part * float(atmosphere.aot_550) * (wavelength / 550.0) ** -kind["angstrom"]
        depth, scattered = depth + aot, scattered + kind["albedo"] * aot
        weight.append(kind["albedo"] * aot.mean())
    kinds = CONTINENTAL["asymmetry"], MARITIME["asymmetry"]
    asymmetry = np.average(kinds, weights=weight) if any(weight) else 0.0
    return depth, scattered, float(asymmetry)


def layer_shares(boundaries: Array, scale_height: float) -> Array:
    """(layer) share of an exponential profile exp(-z / H), cut at the top, in each layer."""
    remaining = np.exp(-boundaries / scale_height)
    return -np.diff(remaining) / (1 - remaining[-1])


def optical_layers(atmosphere: Atmosphere, cross_sections: CrossSections) -> OpticalLayers:
    """Optical properties of an atmosphere (scalar fields) on the grid of ``cross_sections``."""
    air = layers(float(atmosphere.surface_pressure), float(atmosphere.temperature_offset))
    wavelength = 1e7 / cross_sections.wavenumber
    o2 = cross_sections.o2(air.pressure, air.temperature) * air.o2_column[:, None]
    density = air.pressure * 100 / (BOLTZMANN * air.temperature) * 1e-6  # molecules cm-3
    collisions = cross_sections.cia * (air.o2_column * density)[:, None]
    ozone = cross_sections.o3 * (_ozone_shares(air.boundaries) * OZONE_COLUMN)[:, None]
    absorbed = float(atmosphere.o2_scale) * (o2 + collisions) + ozone

    molecules = rayleigh_cross_section(wavelength) * air.air_column[:, None]
    shares = layer_shares(air.boundaries, float(atmosphere.aerosol_height))[:, None]
    aerosol, aerosol_scattered, asymmetry = aerosol_column(atmosphere, wavelength)
    particles = shares * aerosol_scattered
    scattered = molecules + particles
    depth = absorbed + molecules + shares * aerosol
    return OpticalLayers(
        boundaries=air.boundaries,
        optical_depth=depth,
        # The discrete ordinates are singular for a layer that absorbs nothing.
        scattering_albedo=np.minimum(scattered / depth, 1 - 1e-6),
        legendre=_phase_function(molecules / scattered, asymmetry),
    )


def _phase_function(rayleigh_share: Array, asymmetry: float) -> Array:
    """(moment, layer, n) mixture of the Rayleigh and a Henyey-Greenstein phase function."""
    order = np.arange(LEGENDRE_MOMENTS)
    particles = (2 * order + 1) * asymmetry**order
    molecules = np.zeros(LEGENDRE_MOMENTS)
    molecules[0] = 1.0
    molecules[2] = (1 - RAYLEIGH_DEPOLARISATION) / (2 + RAYLEIGH_DEPOLARISATION)
    return particles[:, None, None] + (molecules - particles)[:, None, None] * rayleigh_share


def _ozone_shares(boundaries: Array) -> Array:
    middle = 0.5 * (boundaries[1:] + boundaries[:-1])
    weight = np.exp(-0.5 * ((middle - OZONE_HEIGHT_KM) / OZONE_WIDTH_KM) ** 2)
    weight = weight * np.diff(boundaries)
    return weight / weight.sum()
