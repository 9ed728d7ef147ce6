"""The whole emission under measured irradiance, 670-780 nm: every spectrum solved at once.

Where the light that falls on plants is measured through the same spectrometer, no simulation of the
air is needed. With irradiance E and radiance L of the same bands,

    L = (R / pi) (E + d1 E' + d2 E'' + d3 E''') + F + s (mean L - R mean E / pi)

R is a smooth curve (splines), F the emission: a level times the mean emission of canopies, their
principal components (``data/emission.csv``), and what real leaves may differ from these by. Both
oxygen bands, water and Fraunhofer lines tell F from R, for fluorescence fills them all. The fitting
of a whole spectrum is Cogliati et al. (2015, doi 10.1016/j.rse.2015.08.022; 2019, doi
10.1016/j.rse.2019.05.001); here it is linear but for the products with R, and solved as optimal
estimation (Rodgers 2000), so that every number has a posterior standard deviation.

The two channels of an instrument see through the same slit by two fibres that fill it differently:
d1, d2, d3 are what the response of one is shifted, broadened and skewed against that of the other
(its moments), found from the lines themselves. Their fibres make fringes, which a gain of narrow
splines takes. s is stray light, the same share of the mean light in both channels.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import BSpline, CubicSpline

from sifnet.errors import SifnetError
from sifnet.retrieval.emission import FullSpectrum, canopies

Array = NDArray[np.float64]

WINDOW = (670.0, 780.0)  # nm, for which emission is given
BEYOND = 1.0  # nm either side, of which bands are fitted too
ANCHOR = 760.0  # nm, where the level of emission is counted
NEEDED = (757.0, 771.0)  # nm, the O2 A band with its shoulders: without it there is no level
LEAST = (
    0.2  # mW m-2 nm-1 sr-1 at 760 nm, of which the shape may deviate as of that, where F is less
)

# Priors, one standard deviation.
ROUGHNESS = 0.0026  # third differences of R at 5 nm: 93 canopies of SCOPE (data/make_emission.py)
SCORES = 10.0  # of the components, flat: a hypercube of SCOPE's inputs is no climate of canopies
LEAF = 0.07  # share of F by which a measured leaf lies beside them (data/make_emission.py)
FRINGES = 7e-4  # of the gain: real spectra of 2025 have fringes of 8 nm and 0.001 to either side
STRAY = 0.0008  # of the mean light: data sheet of the QE Pro, the spectrometer of a FloX, at 600 nm
MOMENTS = (0.02, 0.001, 2e-4)  # nm, nm2, nm3: shift, width and skewness between two channels
SHIFT_SLOPE = 0.02  # nm over 55 nm, change of the shift
READING = 5e-4  # of L, what a band scatters by beside photons
SPACING = {"reflectance": 5.0, "leaf": 20.0, "fringes": 2.5}  # nm between knots
STEPS = 4  # of the iteration over products with R
CHUNK = 64  # spectra at a time


@dataclass(frozen=True)
class _Unknowns:
    """What is the same for all spectra: splines on the bands, and where each unknown stands.

    ``prior`` is the inverse variance of each unknown, emission's relative to its level.
    """

    wavelength: Array
    output: Array
    reflectance: Array
    emission: Array
    leaf: Array
    fringes: Array
    at_output: dict[str, Array]
    parts: dict[str, slice]
    prior: Array
    rough: Array

    def glowing(self) -> int:
        """How many unknowns are of emission."""
        return self.parts["leaf"].stop - self.parts["emission"].start


class _Light(NamedTuple):
    """Of some measurements: L, E / pi and its derivatives (3, ...), transmittance for emission."""

    seen: Array
    light: Array
    slopes: Array
    up: Array


def solve(
    radiance: Array,
    irradiance: Array,
    wavelength: Array,
    shot_noise: float,
    risen: Array | None = None,
    file: str | None = None,
) -> FullSpectrum:
    """Emission and reflectance of every spectrum; NaN where a band of the window reads nothing.

    Args:
        radiance: (measurement, band) mW m-2 nm-1 sr-1.
        irradiance: (measurement, band) mW m-2 nm-1, through the same spectrometer.
        wavelength: (band) nm in vacuum, ascending.
        shot_noise: k of sigma = k sqrt(L), of both channels.
        risen: (measurement, band) transmittance of the air between, for emission; 1 by default.
        file: that an error names.

    Raises:
        SifnetError: bands do not cover the O2 A band.
    """
    inside = (wavelength >= WINDOW[0] - BEYOND) & (wavelength <= WINDOW[1] + BEYOND)
    if wavelength[0] > NEEDED[0] or wavelength[-1] < NEEDED[1] or inside.sum() < 40:
        raise SifnetError(
            "the bands do not cover the O2 A band",
            found=f"{wavelength[0]:.1f} to {wavelength[-1]:.1f} nm, {inside.sum()} bands in "
            f"{WINDOW[0]:g}-{WINDOW[1]:g} nm",
            expected=f"{NEEDED[0]:g} to {NEEDED[1]:g} nm, better {WINDOW[0]:g} to {WINDOW[1]:g} nm",
            remedy="Give the fluorescence channel of the instrument.",
            file=file,
        )
    unknowns = _unknowns(wavelength[inside])
    slopes = _slopes(wavelength, irradiance / np.pi)[..., inside]
    light, seen = irradiance[:, inside] / np.pi, radiance[:, inside]
    up = np.ones_like(seen) if risen is None else risen[:, inside]
    alive = (light > 0).all(1) & (seen > 0).all(1) & np.isfinite(slopes).all((0, 2))
    alive &= np.isfinite(light).all(1) & np.isfinite(seen).all(1)
    found = FullSpectrum.unknown(len(seen), unknowns.output, unknowns.glowing())
    for part in np.array_split(np.flatnonzero(alive), max(1, -(-int(alive.sum()) // CHUNK))):
        if part.size:
            measured = _Light(seen[part], light[part], slopes[:, part], up[part])
            solved = _solve(measured, unknowns, shot_noise)
            for name, values in solved.items():
                getattr(found, name)[part] = values
    return found


def _solve(measured: _Light, unknowns: _Unknowns, shot_noise: float) -> dict[str, Array]:
    """Gauss-Newton over the products with R: the arrays of ``FullSpectrum`` but its wavelengths."""
    seen, light = measured.seen, measured.light
    reflectance = _smooth(seen / light, unknowns)
    sif = LEAST * np.ones_like(seen)
    at, parts = int(np.argmin(abs(unknowns.wavelength - ANCHOR))), unknowns.parts
    for _ in range(STEPS):
        level = np.maximum(sif[:, at], LEAST)
        forward = _forward(reflectance, sif, level, measured, unknowns)
        prior = _prior(level, unknowns)
        variance = shot_noise**2 * (seen + reflectance**2 * light) + (READING * seen) ** 2
        weighed = forward / variance[..., None]
        information = np.matmul(weighed.transpose(0, 2, 1), forward)
        right = np.matmul(weighed.transpose(0, 2, 1), seen[..., None])
        state = np.linalg.solve(information + prior, right)[..., 0]
        reflectance = state[:, parts["reflectance"]] @ unknowns.reflectance.T
        glow = slice(parts["emission"].start, parts["leaf"].stop)
        before = sif, level
        shapes = _shapes(*before, unknowns, None)
        sif = np.matmul(shapes, state[:, glow, None])[..., 0]
    residual = seen - np.matmul(forward, state[..., None])[..., 0]
    chi2 = (residual**2 / variance).mean(1)
    posterior = np.linalg.inv(information + prior)
    noise = posterior @ information @ posterior
    excess = np.maximum(chi2, 1.0)[:, None, None] - 1.0
    shown = _shapes(*before, unknowns, unknowns.at_output)
    return {
        "sif": np.matmul(shown, state[:, glow, None])[..., 0],
        "shapes": shown,
        "noise": (1 + excess) * noise[:, glow, glow],
        "covariance": (posterior + excess * noise)[:, glow, glow],
        "reflectance": state[:, parts["reflectance"]] @ unknowns.at_output["reflectance"].T,
        "shift": state[:, parts["moments"].start],
        "stray": state[:, parts["stray"].start],
        "residual_rms": np.sqrt((residual**2).mean(1)),
        "chi2": chi2,
    }


def _forward(
    reflectance: Array,
    sif: Array,
    level: Array,
    measured: _Light,
    unknowns: _Unknowns,
) -> Array:
    """(measurement, band, unknown) what a unit of each unknown adds to L."""
    seen, light, slopes, up = measured
    lit, away = reflectance * light, (unknowns.wavelength - 725.0) / 55.0
    first = reflectance * slopes[0]
    common = seen.mean(1, keepdims=True) - reflectance * light.mean(1, keepdims=True)
    return np.concatenate(
        [
            unknowns.reflectance * light[..., None],
            _shapes(sif, level, unknowns, None) * up[..., None],
            unknowns.fringes * lit[..., None],
            np.stack([*(reflectance * slopes), first * away], -1),
            common[..., None],
        ],
        axis=-1,
    )


def _shapes(sif: Array, level: Array, unknowns: _Unknowns, there: dict[str, Array] | None) -> Array:
    """(measurement, wavelength, unknown) of emission, on the bands or the output wavelengths.

    What real leaves differ by is a share of the emission found before, ``sif`` on the bands.
    """
    emission = unknowns.emission if there is None else there["emission"]
    leaf = unknowns.leaf if there is None else there["leaf"]
    usual = np.maximum(sif, 0.02 * level[:, None])
    if there is not None:
        usual = np.array([np.interp(unknowns.output, unknowns.wavelength, one) for one in usual])
    known = np.broadcast_to(emission, (len(sif), *emission.shape))
    return np.concatenate([known, leaf * usual[..., None]], axis=-1)


def _prior(level: Array, unknowns: _Unknowns) -> Array:
    """(measurement, unknown, unknown) inverse covariance."""
    prior = np.zeros((len(level), len(unknowns.prior), len(unknowns.prior)))
    every = np.arange(len(unknowns.prior))
    prior[:, every, every] = unknowns.prior
    emission, curve = unknowns.parts["emission"], unknowns.parts["reflectance"]
    scores = every[emission.start + 1 : emission.stop]
    prior[:, scores, scores] /= level[:, None] ** 2
    prior[:, curve, curve] += unknowns.rough
    return prior


def _smooth(ratio: Array, unknowns: _Unknowns) -> Array:
    coefficients = np.linalg.lstsq(unknowns.reflectance, ratio.T, rcond=None)[0]
    return np.asarray((unknowns.reflectance @ coefficients).T)


def _slopes(wavelength: Array, light: Array) -> Array:
    """(3, measurement, band) the first derivatives of light, of a cubic spline through all bands.

    Differences of neighbours would miss a third of the slope of lines that are two bands wide.
    """
    alive = np.isfinite(light).all(1)
    slopes = np.full((3, *light.shape), np.nan)
    if alive.any():
        through = CubicSpline(wavelength, light[alive], axis=1)
        second = through(wavelength, 2)
        third = np.gradient(second, wavelength, axis=1)
        slopes[:, alive] = through(wavelength, 1), second, third
    return slopes


def _unknowns(wavelength: Array) -> _Unknowns:
    whole = np.arange(WINDOW[0], WINDOW[1] + 1.0)
    output = whole[(whole >= wavelength[0]) & (whole <= wavelength[-1])]
    splines = {name: b_splines(wavelength[0], wavelength[-1], s) for name, s in SPACING.items()}
    on_bands = {name: spline(wavelength) for name, spline in splines.items()}
    table, scores = canopies(), canopies().shape[1] - 2
    emission, at_output = (
        np.stack([CubicSpline(table[:, 0], column)(x) for column in table[:, 1:].T], -1)
        for x in (wavelength, output)
    )
    priors = {
        "reflectance": np.full(on_bands["reflectance"].shape[1], 1e-10),
        "emission": np.array([1e-6, *[1 / SCORES**2] * scores]),
        "leaf": np.full(on_bands["leaf"].shape[1], 1 / LEAF**2),
        "fringes": np.full(on_bands["fringes"].shape[1], 1 / FRINGES**2),
        "moments": 1 / np.array([*MOMENTS, SHIFT_SLOPE]) ** 2,
        "stray": np.array([1 / STRAY**2]),
    }
    ends = np.cumsum([0, *(len(prior) for prior in priors.values())])
    third = np.diff(np.eye(len(priors["reflectance"])), n=3, axis=0)
    return _Unknowns(
        wavelength=wavelength,
        output=output,
        reflectance=on_bands["reflectance"],
        emission=emission,
        leaf=on_bands["leaf"],
        fringes=on_bands["fringes"],
        at_output={
            "emission": at_output,
            "leaf": splines["leaf"](output),
            "reflectance": splines["reflectance"](output),
        },
        parts={n: slice(*ends[i : i + 2]) for i, n in enumerate(priors)},
        prior=np.concatenate(list(priors.values())),
        rough=third.T @ third / ROUGHNESS**2,
    )


def b_splines(low: float, high: float, spacing: float) -> Callable[[Array], Array]:
    """Cubic B-splines from ``low`` to ``high``, about ``spacing`` apart, as (x, spline)."""
    knots = np.linspace(low, high, max(2, round((high - low) / spacing) + 1))
    padded = np.concatenate([[low] * 3, knots, [high] * 3])

    def at(x: Array) -> Array:
        inside = np.clip(x, low, high)
        return np.asarray(BSpline.design_matrix(inside, padded, 3).toarray())

    return at
