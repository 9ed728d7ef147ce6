"""A physics that is not the simulation's, for scenes of FLORIS, from reference data and papers.

It shares with ours the radiative transfer (sasktran2, 4 streams scaled to 16, the closed form over
Lambertian ground), the coefficients of line mixing, and the band model of water vapour beside the
O2 A band. All else is written here from other sources, wrong on purpose as the worlds are that are
not ours:

- lines of HITRAN2012 from the reference file, 0.8 % weaker, or of a newer list of as much
  absorption and a tenth less mixing; O2 pairs of Tran & Hartmann (2008), 25 % stronger;
- AFGL midlatitude summer less 2 K; gravity of 50 degrees north that falls with height;
- Rayleigh scattering of Nicolet (1984, doi 10.1016/0032-0633(84)90089-8), ozone 330 DU, aerosol of
  Henyey and Greenstein whose albedo, asymmetry and Angstrom exponent are no mixture of ours;
- the sun of Chance & Kurucz (2010) itself. Ours was tied to it at 0.04 nm, so a residual of 0.12 %
  rms, as three suns of TCCON differ from it, is drawn and multiplied;
- canopies of SCOPE (``flex_plants``).

In the O2 B band no other list is at hand: lines and their mixing are ours, 0.8 % weaker, and ozone
and the sun's lines are ours too, the residual drawn onto these. There is water as libRadtran
has it, of which the retrieval knows nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import pandas as pd
from harness import DATA, Array
from scipy.ndimage import gaussian_filter1d
from scipy.special import wofz

from sifnet.files import data_file
from sifnet.physics.full.atmosphere import LEGENDRE_MOMENTS, OpticalLayers
from sifnet.physics.full.o2_lines import mixing_coefficients, shipped_b_lines
from sifnet.physics.full.radiative_transfer import Observer, accurate
from sifnet.physics.full.spectral_grids import SpectralGrids, interpolation_nodes
from sifnet.physics.full.spectroscopy import o3_cross_section
from sifnet.physics.windows import FAR_RED, RED, Window
from sifnet.scenes import sun
from sifnet.simulation.scenery import NOON, Settings

HEIGHTS: Array = np.concatenate([np.arange(0, 4, 0.25), np.arange(4, 12), np.arange(12, 62, 4.0)])
TOLERANCE = 1e-3  # of transmittances between wavenumbers of radiative transfer
WEAKER, PAIRS, LESS_MIXING, COLDER = 0.992, 1.25, 0.9, 2.0
KB, MASS, AVOGADRO = 1.380649e-23, 28.9647e-3, 6.02214076e23
C2 = 1.438776877  # cm K
LOSCHMIDT = 2.686780111e19  # cm-3
OXYGEN = 0.2095
AFGL = "afgl_1986-midlatitude_summer"
SUN_RESIDUAL = 1.2e-3, 0.15  # rms, and its width, nm
OZONE = 330 * 2.6868e16  # molecules cm-2
LIBRADTRAN = DATA / "real" / "libradtran_usstandard_o2_h2o_668_782nm.npz"
MOIST, CLEARLY, WATER_HEIGHT = 1.4, 0.1, 2.0  # g cm-2 there, depth of O2 at most, km


@dataclass(frozen=True)
class Physics:
    """What differs from world to world.

    Attributes:
        newer: whether lines are those of the newer list.
        albedo, asymmetry, angstrom: of the aerosol.
        layer: km, middle of an aerosol layer 0.7 km wide; None for an exponential profile of the
            settings' scale height.
    """

    newer: bool = False
    albedo: float = 0.94
    asymmetry: float = 0.68
    angstrom: float = 1.5
    layer: float | None = None


@dataclass(frozen=True)
class Air:
    """Layers: pressure hPa, temperature K, molecules of air cm-2, middle km."""

    pressure: Array
    temperature: Array
    air: Array
    middle: Array

    @classmethod
    def above(cls, surface_pressure: float) -> Air:
        """The AFGL profile over a ground of some pressure, in hydrostatic balance."""
        import joseki

        profile = joseki.make(AFGL)
        known = np.log(profile.p.values / 100), profile.t.values - COLDER
        height = np.linspace(0, HEIGHTS[-1], 6001)  # km
        log_p = np.empty_like(height)
        log_p[0] = np.log(surface_pressure)
        for i in range(1, height.size):
            warmth = np.interp(-log_p[i - 1], -known[0], known[1])
            gravity = 9.8107 * (1 + height[i] / 6371) ** -2
            step = (height[i] - height[i - 1]) * 1e3
            log_p[i] = log_p[i - 1] - MASS * gravity * step / (KB * AVOGADRO * warmth)
        at = np.exp(np.interp(HEIGHTS, height, log_p))
        edges = np.append(at[:-1], 0.0)
        middle = 0.5 * (edges[1:] + edges[:-1])
        z = np.interp(-np.log(middle), -log_p, height)
        gravity = 9.8107 * (1 + z / 6371) ** -2
        molecules = -np.diff(edges) * 100 / gravity / MASS * AVOGADRO * 1e-4
        return cls(middle, np.interp(-np.log(middle), -known[0], known[1]), molecules, z)


@cache
def lines(newer: bool, window: Window = FAR_RED) -> pd.DataFrame:
    """HITRAN2012; or 16O2 of the newer list, of as much absorption, with its rare isotopes."""
    strength = "S_296K_cm_molec"
    if window is RED:
        ours = shipped_b_lines()
        return pd.DataFrame({
            "iso": ours.isotopologue, "nu_cm1": ours.wavenumber,
            strength: WEAKER * ours.intensity, "gamma_air": ours.air_width,
            "n_air": ours.temperature_exponent, "delta_air": ours.air_shift,
            "E_lower": ours.lower_energy, "mixes": ours.branch,
        })  # fmt: skip
    table, new = (pd.read_csv(DATA / "lines" / f"o2_aband_{name}.csv")
                  for name in ("hitran2012", "hitran2020like_iso1"))  # fmt: skip
    if newer:
        new[strength] *= table[strength][table["iso"] == 1].sum() / new[strength].sum()
        table = pd.concat([new, table[table["iso"] != 1]], ignore_index=True)
    table[strength] *= WEAKER
    dipole = table["branch"].str.endswith("d") & (table["iso"] == 1)
    ground = table["upper"].str.endswith("0") & table["lower"].str.endswith("0")
    table["mixes"] = table["branch"].str[:-1].str.replace(" ", "").where(dipole & ground, "")
    return table


def o2_cross_section(
    wavenumber: Array,
    pressure: float,
    temperature: float,
    newer: bool = False,
    window: Window = FAR_RED,
) -> Array:
    """(n) cm2 per molecule: Voigt profiles, the strongest with their mixing."""
    table, atm = lines(newer, window), pressure / 1013.25
    centre = (table["nu_cm1"] + table["delta_air"] * atm).to_numpy()
    # Rotation alone: the partition sum goes as T, to 0.1 % at 220 K.
    warm = np.exp(-C2 * table["E_lower"] * (1 / temperature - 1 / 296)) * 296 / temperature
    strength = (table["S_296K_cm_molec"] * warm).to_numpy()
    width = (table["gamma_air"] * atm * (296 / temperature) ** table["n_air"]).to_numpy()
    mass = table["iso"].map({1: 31.98983, 2: 33.994076, 3: 32.994045}).to_numpy()
    doppler = 4.3014e-7 * centre * np.sqrt(temperature / mass)  # 1/e half-width
    mixing = atm * mixing_coefficients(table["mixes"].to_numpy(str), temperature)
    mixing *= LESS_MIXING if newer else 1.0
    total = np.zeros_like(wavenumber)
    for i, mixes in enumerate(table["mixes"] != ""):
        reach = 1e4 if mixes else 25.0
        a, b = np.searchsorted(wavenumber, (centre[i] - reach, centre[i] + reach))
        w = wofz((wavenumber[a:b] - centre[i] + 1j * width[i]) / doppler[i])
        total[a:b] += strength[i] / (np.sqrt(np.pi) * doppler[i]) * (w.real + mixing[i] * w.imag)
    return total.clip(0)


_grids = cache(SpectralGrids)


@cache
def water() -> tuple[Array, Array]:
    """nm, and the vertical depth of MOIST water there: libRadtran's air less what is smooth.

    Where our oxygen absorbs much, water cannot be told from it and is left out.
    """
    with np.load(LIBRADTRAN) as stored:
        at, through = stored["wavelength_nm"], stored["transmittance"].astype(float)
    inside = (at > RED.grid[0] - 0.5) & (at < RED.grid[1] + 0.5)
    at, depth = at[inside], -np.log(gaussian_filter1d(through, 1.5)[inside])
    air, wavenumber = Air.above(1013.25), 1e7 / at[::-1]
    oxygen = sum(
        OXYGEN * n * o2_cross_section(wavenumber, p, t, window=RED)
        for p, t, n in zip(air.pressure, air.temperature, air.air, strict=True)
    )[::-1]
    near = np.maximum.reduce([np.roll(oxygen, step) for step in range(-3, 4)])
    smooth = np.median(depth[near < CLEARLY / 100])
    return at, np.where(near < CLEARLY, depth - oxygen - smooth, 0.0).clip(0)


@cache
def absorption(
    surface_pressure: float, newer: bool, window: Window, moist: float
) -> tuple[Air, Array, Array]:
    """Air, wavenumbers (n) of radiative transfer, and absorption (layer, n) of its gases.

    Args:
        moist: g cm-2, water in the red.
    """
    air, fine = Air.above(surface_pressure), _grids(window).fine
    lined = np.array([o2_cross_section(fine, p, t, newer, window)
                      for p, t in zip(air.pressure, air.temperature, strict=True)])  # fmt: skip
    at, per_amagat2 = np.loadtxt(DATA / "lines" / "tccon_CIAO2.dat").T
    pairs = PAIRS * np.interp(fine, at, per_amagat2, left=0, right=0).clip(0)  # of air, cm-1
    density = air.pressure * 100 / (KB * air.temperature) * 1e-6 / LOSCHMIDT  # amagat
    path = air.air / (density * LOSCHMIDT)  # cm
    ozone = _ozone(fine, window)
    share = np.exp(-0.5 * ((air.middle - 22) / 5) ** 2) * path
    depth = OXYGEN * lined * air.air[:, None] + pairs * (density**2 * path)[:, None]
    above = np.cumsum(depth[::-1], 0)[::-1]
    curves = [above[:1] / 2, above[:1] * 3, above[::8]]
    if window is RED:
        curves.append(2 * moist / MOIST * np.interp(1e7 / fine, *water())[None])
    nodes = interpolation_nodes(fine, np.exp(-np.concatenate(curves)), TOLERANCE)
    depth = depth + OZONE * ozone * (share / share.sum())[:, None]
    if window is RED:
        low = np.exp(-air.middle / WATER_HEIGHT) * np.diff(HEIGHTS)
        depth = depth + (low / low.sum())[:, None] * moist / MOIST * np.interp(1e7 / fine, *water())
    return air, fine[nodes], depth[:, nodes]


def _ozone(wavenumber: Array, window: Window) -> Array:
    """(n) cm2 per molecule; in the red there is no other table than ours."""
    if window is RED:
        return o3_cross_section(wavenumber)
    with np.load(DATA / "xsec" / "sasktran189_o3_o2o2_740_790nm.npz") as table:
        smooth = gaussian_filter1d(table["O3DBM"], 40)
        return np.interp(1e7 / wavenumber, table["wavelength_nm"], smooth)


def optics(settings: Settings, physics: Physics, window: Window) -> tuple[Array, OpticalLayers]:
    """Wavenumbers (n), and layers that absorb and scatter there."""
    air, wavenumber, absorbed = absorption(
        settings.surface_pressure, physics.newer, window, settings.water_vapour
    )
    um = 1e3 / wavenumber * 10  # micrometres
    rayleigh = 4.02e-28 / um**4.04 * air.air[:, None]
    shape = (np.exp(-air.middle / settings.aerosol_height) if physics.layer is None
             else np.exp(-0.5 * ((air.middle - physics.layer) / 0.3) ** 2))  # fmt: skip
    shape = shape * np.diff(HEIGHTS)
    load = settings.aot_550 * (um / 0.55) ** -physics.angstrom
    particles = (shape / shape.sum())[:, None] * load
    scattered = rayleigh + physics.albedo * particles
    depth = absorbed + rayleigh + particles
    order = np.arange(LEGENDRE_MOMENTS)
    forward = ((2 * order + 1) * physics.asymmetry**order)[:, None, None]
    molecules = np.where(order == 0, 1.0, np.where(order == 2, 0.4794, 0.0))[:, None, None]
    phase = forward + (molecules - forward) * (rayleigh / scattered)
    albedo = np.minimum(scattered / depth, 1 - 1e-6)
    return wavenumber, OpticalLayers(HEIGHTS, depth, albedo, phase)


@cache
def sunlight(window: Window) -> Array:
    """On the fine grid, 1 AU, mW m-2 nm-1."""
    if window is RED:
        table = pd.read_csv(data_file("solar_red.csv"), comment="#").to_numpy()
    else:
        file = DATA / "solar" / "sao2010_700_820nm.csv"
        table = pd.read_csv(file, comment="#", header=None).to_numpy()[:, [0, 2]]
    wavelength = table[:, 0]
    size, width = SUN_RESIDUAL
    drawn = gaussian_filter1d(np.random.default_rng(2010).standard_normal(wavelength.size),
                              width / 2.355 / 0.01)  # fmt: skip
    light = table[:, 1] * (1 + size * drawn / drawn.std())
    return np.interp(1e7 / _grids(window).fine, wavelength, light)


def products_of(
    settings: Settings, zenith: float, observers: list[Observer], window: Window, physics: Physics
) -> Array:
    """As ``scenery.products_of``: (observer, 5, grid), under this physics."""
    wavenumber, layers = optics(settings, physics, window)
    light = accurate(layers, zenith, observers)
    fine = _grids(window).fine

    def even(spectra: Array) -> Array:
        return np.apply_along_axis(lambda row: np.interp(fine, wavenumber, row), -1, spectra)

    found = _grids(window).smooth(light.map(even).products(sunlight(window)))
    found[:, :3] /= sun.sun_earth_distance(NOON) ** 2
    return found
