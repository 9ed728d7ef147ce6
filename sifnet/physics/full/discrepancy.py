"""What the simulation may be wrong by: the same light under physics that may as well be true.

Laboratories, line lists and codes disagree (METHOD.md, 12, gathers by how much): collision-induced
absorption by half, line widths by 1-2 %, line mixing by 10 %, whether lines end 25 cm-1 from their
centres, how temperature runs with height, how much water there is, what aerosol is made of and
where it floats. Pairs of simulations, ours and one with all of these drawn anew, differ by spectra
whose principal components span what a band can be wrong by ("model discrepancy" of Kennedy &
O'Hagan 2001, doi 10.1111/1467-9868.00294). What the state knows of is not drawn: pressure,
mean temperature, aerosol load and scale height, and the strength of oxygen.

Relative differences need less accuracy than light itself: sunlight goes straight down and up, and
path radiance is scattered once.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from sifnet.files import data_file
from sifnet.physics.full.atmosphere import (
    Layers,
    layer_shares,
    layers,
    rayleigh_cross_section,
    standard_temperature,
)
from sifnet.physics.full.o2_lines import TEMPERATURES, lines_seen_at
from sifnet.physics.full.spectral_grids import SpectralGrids
from sifnet.physics.full.spectroscopy import CrossSections
from sifnet.physics.windows import FAR_RED, Window
from sifnet.units import BOLTZMANN

Array = NDArray[np.float64]

PAIRS, COMPONENTS = 400, 64
# Of the tables that are interpolated.
STEPS = {"width": 0.02, "width_slope": 0.05, "mixing": 0.1, "wings": 1.0}
MIDDLE_ROTATION = 13.0  # of the lines that make most of the band
WATER_HEIGHT = 2.0  # km, scale height
LAYER_WIDTH = 0.5  # km, of an aerosol layer aloft
PROFILES = tuple(
    f"afgl_1986-{name}"
    for name in ("tropical", "midlatitude_summer", "midlatitude_winter", "subarctic_summer",
                 "subarctic_winter")
)  # fmt: skip


@dataclass(frozen=True)
class Physics:
    """One physics; the defaults are those of the simulation.

    Attributes:
        width, mixing: relative change of line widths and of line mixing.
        width_slope: relative change of widths at twice ``MIDDLE_ROTATION``, none there, linear.
        wings: share of the wings beyond 25 cm-1 that is missing.
        cia: factor on collision-induced absorption.
        water: g cm-2.
        warmer: ``layer``, K above the simulation's profile; 0 on the mean over the air.
        scattering_albedo, asymmetry, angstrom: of the aerosol.
        aloft, height: share of the aerosol that is in a layer aloft, and where, km.
    """

    width: float = 0.0
    width_slope: float = 0.0
    mixing: float = 0.0
    wings: float = 0.0
    cia: float = 1.0
    water: float = 0.0
    warmer: Array = field(default_factory=lambda: np.zeros(1))
    scattering_albedo: float = 0.93
    asymmetry: float = 0.70
    angstrom: float = 1.2
    aloft: float = 0.0
    height: float = 3.0

    @classmethod
    def drawn(cls, rng: np.random.Generator, air: Layers) -> Physics:
        """As METHOD.md, 12, has it; oxygen as three direct suns of TCCON do (docs/anchors.md).

        Their slope of widths is firm, yet no laboratory has it: both may be true.
        """
        other = _profile(PROFILES[rng.integers(len(PROFILES))], air.pressure)
        shape = other - standard_temperature(air.pressure)
        shape = shape - np.average(shape, weights=air.air_column)
        return cls(
            width=0.015 * rng.normal(),
            width_slope=-0.03 + 0.03 * rng.normal(),
            mixing=0.1 * rng.normal(),
            wings=np.clip(0.45 + 0.25 * rng.normal(), 0.0, 1.0),
            cia=np.clip(1.35 + 0.25 * rng.normal(), 0.7, 1.9),
            water=rng.uniform(0.0, 4.0),
            warmer=rng.uniform(0.0, 1.2) * shape,
            scattering_albedo=rng.uniform(0.84, 0.98),
            asymmetry=rng.uniform(0.62, 0.75),
            angstrom=rng.uniform(0.8, 2.0),
            aloft=rng.random() if rng.random() < 0.3 else 0.0,
            height=rng.uniform(2.0, 5.0),
        )


@dataclass(frozen=True)
class Sight:
    """An atmosphere, a sun and a line of sight, at which both physics are compared."""

    air: Layers
    solar_zenith_angle: float
    view_zenith_angle: float
    sensor_height: float
    aot_550: float
    aerosol_height: float

    @classmethod
    def drawn(cls, rng: np.random.Generator, *, space: bool) -> Sight:
        """Anywhere that the emulator covers; temperatures as the prior has them."""
        air = layers(rng.uniform(750.0, 1030.0))
        temperature = np.clip(air.temperature + 4.0 * rng.normal(), *TEMPERATURES)
        return cls(
            replace(air, temperature=temperature),
            rng.uniform(15.0, 72.0),
            rng.uniform(0.0, 20.0),
            np.inf if space else float(np.exp(rng.uniform(*np.log([0.3, 3.0])))),
            rng.uniform(0.03, 0.4),
            rng.uniform(0.8, 2.5),
        )


class Light:
    """Path and ground radiance of a sight under any physics, approximately and quickly."""

    def __init__(self, window: Window = FAR_RED) -> None:
        self.grids = SpectralGrids(window)
        self.wavenumber = self.grids.cross_sections.wavenumber

    @cached_property
    def changes(self) -> dict[str, Array]:
        """What a step of each line parameter does to the tabulated cross-sections."""
        lines = lines_seen_at(self.wavenumber)
        slope = STEPS["width_slope"] * (lines.rotation / MIDDLE_ROTATION - 1)

        def wider(by: float | Array) -> CrossSections:
            return CrossSections(
                self.wavenumber, replace(lines, air_width=lines.air_width * (1 + by))
            )

        tables = {
            "width": wider(STEPS["width"]),
            "width_slope": wider(slope),
            "mixing": CrossSections(self.wavenumber, line_mixing=1 + STEPS["mixing"]),
            "wings": CrossSections(self.wavenumber, reach=25.0),
        }
        ours = self.grids.cross_sections.nodes
        return {name: (table.nodes - ours) / STEPS[name] for name, table in tables.items()}

    @cached_property
    def water(self) -> Array:
        """Coefficient of Bird & Riordan (1986, eq. 8), smoothed to 3 nm."""
        wavelength, coefficient, _ = np.loadtxt(data_file("gas_bands.csv"), delimiter=",").T
        return np.interp(1e7 / self.wavenumber, wavelength, coefficient)

    def spectra(self, sight: Sight, physics: Physics) -> Array:
        """``2, grid``: path radiance and ground radiance over white ground, E0 included."""
        extinction, scattering = self._layers(sight, physics)
        air = sight.air
        mu0, mu = np.cos(np.radians([sight.solar_zenith_angle, sight.view_zenith_angle]))
        thickness = np.diff(air.boundaries)
        below = np.clip((sight.sensor_height - air.boundaries[:-1]) / thickness, 0, 1)[:, None]
        seen = below * extinction
        ground = np.exp(-extinction.sum(0) / mu0 - seen.sum(0) / mu)
        from_sun = np.cumsum(extinction[::-1], 0)[::-1] - 0.5 * extinction
        to_sensor = seen.sum(0) - np.cumsum(seen, 0) + 0.5 * seen
        path = (below * scattering * np.exp(-from_sun / mu0 - to_sensor / mu)).sum(0)
        fine = self.grids.to_fine(np.stack([path, ground])) * self.grids.solar
        return self.grids.smooth(fine)

    def _layers(self, sight: Sight, physics: Physics) -> tuple[Array, Array]:
        """Extinction, and scattering towards the sensor, of every layer ``layer, n``."""
        air, wavelength = sight.air, 1e7 / self.wavenumber
        temperature = np.clip(air.temperature + physics.warmer, *TEMPERATURES)
        nodes = self.grids.cross_sections.nodes
        for name, change in self.changes.items():
            nodes = nodes + getattr(physics, name) * change
        lines = self.grids.cross_sections.o2(air.pressure, temperature, nodes)
        density = air.pressure * 100 / (BOLTZMANN * temperature) * 1e-6
        pairs = physics.cia * self.grids.cross_sections.cia * density[:, None]
        column = self.water * physics.water
        water = 0.2385 * column / (1 + 20.07 * 2 * column) ** 0.45
        absorbed = (lines + pairs) * air.o2_column[:, None]
        absorbed = absorbed + layer_shares(air.boundaries, WATER_HEIGHT)[:, None] * water

        middle = 0.5 * (air.boundaries[1:] + air.boundaries[:-1])
        layer = np.exp(-0.5 * ((middle - physics.height) / LAYER_WIDTH) ** 2)
        layer = layer * np.diff(air.boundaries)
        shares = (1 - physics.aloft) * layer_shares(air.boundaries, sight.aerosol_height)
        shares = shares + physics.aloft * layer / layer.sum()
        aerosol = sight.aot_550 * (wavelength / 550.0) ** -physics.angstrom * shares[:, None]
        molecules = rayleigh_cross_section(wavelength) * air.air_column[:, None]
        # Light scattered forward stays in the beam.
        kept = physics.scattering_albedo * (1 + physics.asymmetry) / 2
        extinction = absorbed + 0.5 * molecules + (1 - kept) * aerosol
        back = -np.cos(np.radians(sight.solar_zenith_angle))
        g = physics.asymmetry
        particles = (1 - g**2) / (1 + g**2 - 2 * g * back) ** 1.5
        scattering = 0.75 * (1 + back**2) * molecules
        return extinction, scattering + particles * physics.scattering_albedo * aerosol


def differences(light: Light, *, space: bool, pairs: int = PAIRS, seed: int = 0) -> Iterator[Array]:
    """Relative differences ``2, grid`` of path and ground between physics that may both be true."""
    rng = np.random.default_rng(seed)
    for _ in range(pairs):
        sight = Sight.drawn(rng, space=space)
        ours = light.spectra(sight, Physics())
        theirs = light.spectra(sight, Physics.drawn(rng, sight.air))
        # In the cores of the strongest lines nothing is left to compare.
        yield np.clip(theirs / np.maximum(ours, 1e-9 * ours.max()) - 1, -0.9, 3.0)


def principal(drawn: Float[np.ndarray, "pair 2 grid"]) -> tuple[Array, Array]:
    """Mean ``2, grid`` of differences, and their principal components ``component, 2, grid``.

    These are in units of one standard deviation: a draw is the mean and a sum of components with
    standard normal coefficients.
    """
    mean = drawn.mean(0)
    away = (drawn - mean).reshape(len(drawn), -1) / np.sqrt(len(drawn))
    _, size, vectors = np.linalg.svd(away, full_matrices=False)
    return mean, (size[:, None] * vectors)[:COMPONENTS].reshape(-1, *mean.shape)


def _profile(name: str, pressure: Array) -> Array:
    """Temperature, K, of a profile of Anderson et al. (1986) at pressures, hPa."""
    import joseki

    profile = joseki.make(name)
    height = np.log(profile.p.values[::-1] / 100)
    return np.interp(np.log(pressure), height, profile.t.values[::-1])
