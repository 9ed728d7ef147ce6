"""Air above a site and oxygen in it, line by line, for ``anchors.py``.

Unlike ``physics.full.atmosphere``, which the emulator is made with, gravity falls with height and
follows latitude, water vapour is not dry air, temperature is a climatology's, and rays are bent:
together 0.3 % of the oxygen, a quarter of what is sought.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from harness import Array
from scipy.special import wofz

from sifnet.physics.full.discrepancy import MIDDLE_ROTATION
from sifnet.physics.full.o2_lines import (
    REFERENCE_TEMPERATURE,
    line_intensity,
    shipped_lines,
)
from sifnet.physics.full.spectroscopy import (
    MOLAR_MASS,
    STANDARD_ATMOSPHERE,
    absorption_cross_section,
    collision_induced_absorption,
)
from sifnet.units import AVOGADRO, BOLTZMANN, MOLAR_MASS_AIR, O2_FRACTION, SPEED_OF_LIGHT

LAYERS = 30
EARTH_KM = 6371.0
MOLAR_MASS_WATER = 18.0153e-3  # kg mol-1
REFRACTIVITY = 2.75e-4  # of air at 763 nm, 15 C and 1013.25 hPa (Edlen 1966)
MEAN_TEMPERATURE = 260.0  # K, of pairs of molecules
CORE = 2.5  # cm-1 about a line's centre, beyond which its shape is Lorentz's
NEGLIGIBLE = 1e-5  # cm-1, of a layer's column times a line's intensity
STEPS = {"width": 0.02, "width_slope": 0.02, "mixing": 0.10, "wings": 1.0, "narrowing": 0.1,
         "isotopes": 0.05, "temperature": 5.0}  # fmt: skip
UNCHANGED = {"strength": 1.0, "cia": 1.0, "width": 1.0, "width_slope": 0.0, "mixing": 1.0,
             "wings": 0.0, "narrowing": 0.0, "isotopes": 1.0, "warmer": 0.0}  # fmt: skip
"""Our tables: factors; the slope of widths, relative, in N / 13 - 1; the share of wings beyond
25 cm-1 that is missing; the quadratic speed dependence of widths, relative; the factor on lines
of 16O18O and 16O17O beside 16O2, 1.024 in air if a list is for sea water (Dole effect); K."""


@dataclass(frozen=True)
class Air:
    """Homogeneous layers from the ground upwards; every field is ``layer``.

    Attributes:
        height: km above sea level, of the boundaries (layer + 1).
        pressure, temperature: hPa and K, at the middle of a layer's mass.
        o2_column: molecules cm-2, of dry air's 20.95 %.
        density: of air, molecules cm-3.
    """

    height: Array
    pressure: Array
    temperature: Array
    o2_column: Array
    density: Array

    def slant(self, apparent_zenith: float) -> Array:
        """Path through every layer over its thickness, of a ray bent as n r sin(zenith) = const."""
        middle = EARTH_KM + 0.5 * (self.height[1:] + self.height[:-1])
        index = 1 + REFRACTIVITY * self.pressure / 1013.25 * 288.15 / self.temperature
        ground = EARTH_KM + self.height[0]
        # The first layer's density is that of its middle; at the ground it is a little more.
        at_ground = 1 + (index[0] - 1) * (1 + 0.5 * np.diff(self.height)[0] / 9.5)
        sine = at_ground * ground * np.sin(np.radians(apparent_zenith)) / (index * middle)
        return 1 / np.sqrt(1 - sine**2)


def gravity(latitude: float, height_km: Array) -> Array:
    """Normal gravity, m s-2, of the ellipsoid (WGS 84), falling with height."""
    sine2 = np.sin(np.radians(latitude)) ** 2
    at_sea = 9.7803253 * (1 + 0.00193185 * sine2) / np.sqrt(1 - 0.00669438 * sine2)
    return at_sea * (EARTH_KM / (EARTH_KM + height_km)) ** 2


def air(surface_pressure: float, altitude_km: float, latitude: float, profile: str,
        warmer: float = 0.0) -> Air:  # fmt: skip
    """Air above a surface pressure, hPa, with the temperature and water of an AFGL profile.

    Args:
        profile: of Anderson et al. (1986), as joseki names it: ``midlatitude_summer``.
        warmer: K, all heights alike.
    """
    import joseki

    table = joseki.make(f"afgl_1986-{profile}")
    at = np.log(table.p.values[::-1] / 100)
    edges = surface_pressure * np.linspace(1, 0, LAYERS + 1) ** 1.5
    middle = 0.5 * (edges[1:] + edges[:-1])
    temperature = np.interp(np.log(middle), at, table.t.values[::-1]) + warmer
    water = np.interp(np.log(middle), at, table["x_H2O"].values[::-1])
    top = np.append(edges[:-1], 0.05)  # where the last boundary would have no height
    mass = (1 - water) * MOLAR_MASS_AIR + water * MOLAR_MASS_WATER  # kg mol-1
    height = np.full(LAYERS + 1, altitude_km)
    for _ in range(2):  # gravity depends on height, and height on gravity
        g = gravity(latitude, 0.5 * (height[1:] + height[:-1]))
        scale = temperature * BOLTZMANN * AVOGADRO / (mass * g) / 1e3
        ratio = np.append(edges[:-2] / edges[1:-1], edges[-2] / top[-1])
        height = altitude_km + np.concatenate([[0.0], np.cumsum(scale * np.log(ratio))])
    molecules = -np.diff(edges) * 100 / g * AVOGADRO / mass * 1e-4
    density = middle * 100 / (BOLTZMANN * temperature) * 1e-6
    return Air(height, middle, temperature, O2_FRACTION * (1 - water) * molecules, density)


@dataclass(frozen=True)
class Oxygen:
    """Optical depth of O2 along a path, and what a step of the spectroscopy does to it.

    Attributes:
        lines: ``n``, of our tables.
        steps: ``n`` by name, change of it at one step of ``STEPS``.
        curvature: ``n``, second difference at a step of temperature.
        cia: ``n``, collision-induced.
    """

    lines: Array
    steps: dict[str, Array]
    curvature: Array
    cia: Array

    @classmethod
    def along(cls, wavenumber: Array, path: Array, above: Callable[[float], Air]) -> Oxygen:
        """Of a path, in units of every layer's vertical one, through air that is warmer by K."""
        base, step = above(0.0), STEPS["temperature"]
        lines = path @ layer_depths(wavenumber, base)
        steps = {
            name: path @ layer_depths(wavenumber, base, **changed) - lines
            for name, changed in _changed().items()
        }
        steps["narrowing"] = path @ _narrowed(wavenumber, base)
        warm, cold = (path @ layer_depths(wavenumber, above(t)) for t in (step, -step))
        steps["temperature"] = 0.5 * (warm - cold)
        pairs = float(path @ (base.o2_column * base.density))
        cia = pairs * collision_induced_absorption(wavenumber)
        return cls(lines, steps, warm - 2 * lines + cold, cia)

    def reversed(self) -> Oxygen:
        """On ascending wavelength."""
        steps = {name: step[::-1] for name, step in self.steps.items()}
        return Oxygen(self.lines[::-1], steps, self.curvature[::-1], self.cia[::-1])

    def depth(self, p: Mapping[str, float]) -> Array:
        """``n``, under parameters by name, as ``UNCHANGED`` has them for our tables."""
        t = p["warmer"] / STEPS["temperature"]
        moved = {
            "width": p["width"] - 1,
            "width_slope": p["width_slope"],
            "mixing": p["mixing"] - 1,
            "wings": p["wings"],
            "narrowing": p["narrowing"],
            "isotopes": p["isotopes"] - 1,
        }
        lines = self.lines + t * self.steps["temperature"] + 0.5 * t**2 * self.curvature
        for name, by in moved.items():
            lines = lines + by / STEPS[name] * self.steps[name]
        pairs = 1 - p["warmer"] / MEAN_TEMPERATURE  # their density
        return np.maximum(p["strength"] * lines, 0.0) + p["cia"] * pairs * self.cia


def layer_depths(wavenumber: Array, above: Air, **spectroscopy: Any) -> Array:
    """``layer, n`` vertical optical depth of O2 lines; options of ``absorption_cross_section``."""
    each = zip(above.pressure, above.temperature, above.o2_column, strict=True)
    return np.array([n * absorption_cross_section(wavenumber, p, t, **spectroscopy)
                     for p, t, n in each])  # fmt: skip


def _changed() -> dict[str, dict[str, Any]]:
    """Options of the cross-section that take one step of each name."""
    ours = shipped_lines()
    slope = 1 + STEPS["width_slope"] * (ours.rotation / MIDDLE_ROTATION - 1)
    rare = np.where(ours.isotopologue == 1, 1.0, 1 + STEPS["isotopes"])
    return {
        "isotopes": {"lines": replace(ours, intensity=ours.intensity * rare)},
        "width": {"lines": replace(ours, air_width=ours.air_width * (1 + STEPS["width"]))},
        "width_slope": {"lines": replace(ours, air_width=ours.air_width * slope)},
        "mixing": {"line_mixing": 1 + STEPS["mixing"]},
        "wings": {"reach": 25.0},
    }


def _narrowed(wavenumber: Array, above: Air) -> Array:
    """``layer, n`` change of optical depth by a speed dependence of a step, near line centres.

    Boone, Walker & Bernath (2007, doi 10.1016/j.jqsrt.2006.11.015): with a width quadratic in
    speed, Re [w(i z-) - w(i z+)] / (sqrt(pi) a), z = sqrt(X + Y) -+ sqrt(Y),
    X = (gamma - 3/2 gamma2 + i x) / gamma2, Y = (a / (2 gamma2))^2, takes the place of Voigt's.
    """
    lines = shipped_lines()
    changes = np.zeros((len(above.pressure), len(wavenumber)))
    mass = np.array([MOLAR_MASS[i] for i in lines.isotopologue]) / AVOGADRO
    for change, pressure, t, column in zip(
        changes, above.pressure, above.temperature, above.o2_column, strict=True
    ):
        atm = pressure / STANDARD_ATMOSPHERE
        centre = lines.wavenumber + lines.air_shift * atm
        doppler = centre * np.sqrt(2 * BOLTZMANN * t / mass) / SPEED_OF_LIGHT
        warmth = (REFERENCE_TEMPERATURE / t) ** lines.temperature_exponent
        width = lines.air_width * atm * warmth
        intensity = column * line_intensity(lines, t)
        first, last = (np.searchsorted(wavenumber, centre + e) for e in (-CORE, CORE))
        for i in np.flatnonzero(intensity > NEGLIGIBLE):
            x = wavenumber[first[i] : last[i]] - centre[i]
            a, narrow = doppler[i], STEPS["narrowing"] * width[i]
            big, far = (width[i] - 1.5 * narrow + 1j * x) / narrow, 0.5 * a / narrow
            root = np.sqrt(big + far**2)
            shape = wofz(1j * big / (root + far)) - wofz(1j * (root + far))
            voigt = wofz((x + 1j * width[i]) / a)
            both = (shape.real - voigt.real) / (np.sqrt(np.pi) * a)
            change[first[i] : last[i]] += intensity[i] * both
    return changes
