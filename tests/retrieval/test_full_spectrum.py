"""The whole emission, against light built without a line of it: other lines, leaves and optics."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from sifnet.errors import SifnetError
from sifnet.retrieval import full_spectrum
from sifnet.retrieval.emission import Emission
from sifnet.retrieval.full_spectrum import solve
from sifnet.scenes import registration

Array = NDArray[np.float64]

BANDS = np.arange(668.0, 782.0, 0.155)
FINE = np.arange(666.5, 783.5, 0.02)
NOISE = 0.013


@dataclass(frozen=True)
class World:
    """Measurements, L and E (measurement, BANDS), with their F on whole nanometres and FINE."""

    radiance: Array
    irradiance: Array
    truth: Array
    glow: Array


@cache
def sunlight(real: bool = False) -> Array:
    """On FINE, mW m-2 nm-1: a forest of Fraunhofer lines, two oxygen bands, water.

    Args:
        real: with the true lines of sun and oxygen around 760 nm, on which scenes are registered.
    """
    rng = np.random.default_rng(5)
    depth = np.zeros_like(FINE)
    for centre in rng.uniform(660, 790, 220):
        depth += 0.25 * rng.random() * np.exp(-0.5 * ((FINE - centre) / 0.04) ** 2)
    oxygen = [*(687.0 + 0.32 * np.arange(20) + 0.015 * np.arange(20) ** 2)]
    for i, centre in enumerate(oxygen):
        depth += 2.0 * np.exp(-i / 6) * 0.03**2 / ((FINE - centre) ** 2 + 0.03**2)
    for i, centre in enumerate([*(759.8 + 0.13 * np.arange(13)), *(763.0 + 0.46 * np.arange(13))]):
        strength = 9.0 if i < 13 else 5.0 * np.exp(-(i - 13) / 5)
        depth += strength * 0.04**2 / ((FINE - centre) ** 2 + 0.04**2)
    for centre in rng.uniform(716, 733, 60):
        depth += rng.random() * 0.03**2 / ((FINE - centre) ** 2 + 0.03**2)
    if real:
        grid, (sun, _) = registration._light()
        there = (grid[0] < FINE) & (grid[-1] > FINE)
        depth[there] = -np.interp(FINE[there], grid, np.log(sun / sun.max()))
    return 1250.0 * (1 - 0.0015 * (FINE - 720)) * np.exp(-depth)


@cache
def response(shift: float = 0.0, width: float = 0.31, skew: float = 0.0) -> Array:
    """(band, fine), each band's summing to one."""
    x = (FINE - BANDS[:, None] - shift) / (width / 2.3548)
    shape = np.exp(-0.5 * x**2) * np.clip(1 + skew / 6 * (x**3 - 3 * x), 0, None)
    return shape / shape.sum(1, keepdims=True)


def emission(at: Array, red: float, far: float) -> Array:
    """Two photosystems as Gaussians of measured places and widths, and the far-red shoulder."""

    def bump(centre: float, width: float) -> Array:
        return np.exp(-0.5 * ((at - centre) / width) ** 2)

    return red * bump(686.0, 10.0) + far * (0.9 * bump(739.0, 19.0) + 0.12 * bump(765.0, 30.0))


def world(
    count: int = 24, noise: float = NOISE, skew: float = 0.0, seed: int = 1, real: bool = False
) -> World:
    """Canopies from sparse to dense under steady light, seen by two channels that differ."""
    rng = np.random.default_rng(seed)
    light, up, down = sunlight(real), response(0.004, 0.312, skew), response()
    red, far = rng.uniform(0.3, 1.5, (count, 1)), rng.uniform(0.6, 3.5, (count, 1))
    edge = rng.uniform(712, 724, (count, 1))
    low, high = rng.uniform(0.02, 0.08, (count, 1)), rng.uniform(0.25, 0.45, (count, 1))
    reflectance = low + (high - low) / (1 + np.exp(-(FINE - edge) / 11.0))
    glow = emission(FINE, red, far)
    seen = (reflectance * light / np.pi + glow) @ up.T
    lit = np.repeat((light @ down.T)[None], count, 0)
    seen = seen + noise * np.sqrt(seen) * rng.standard_normal(seen.shape)
    lit = lit + np.pi * noise * np.sqrt(lit / np.pi) * rng.standard_normal(lit.shape)
    return World(seen, lit, emission(np.arange(670.0, 781.0), red, far), glow)


@pytest.fixture(scope="module")
def steady() -> World:
    return world()


@pytest.fixture(scope="module")
def solved(steady: World) -> Emission:
    return solve(steady.radiance, steady.irradiance, BANDS, NOISE)


def test_both_oxygen_bands_and_the_whole_spectrum(steady: World, solved: Emission) -> None:
    for wavelength, tolerance in ((687.0, 0.15), (720.0, 0.2), (760.0, 0.04)):
        found, true = solved.at(wavelength), steady.truth[:, int(wavelength) - 670]
        assert np.sqrt(np.mean((found.value - true) ** 2)) < tolerance, wavelength
        assert abs((found.value - true).mean()) < 0.5 * tolerance, wavelength
        near = abs(found.value - true) / found.sd
        assert (near < 1).mean() > 0.5, wavelength
        assert (near < 3).mean() > 0.95, wavelength


def test_with_little_noise_it_is_known_to_a_few_hundredths() -> None:
    quiet = world(12, noise=NOISE / 10)
    found = solve(quiet.radiance, quiet.irradiance, BANDS, NOISE / 10)
    for wavelength in (687.0, 720.0, 760.0):  # where lines are
        error = found.at(wavelength).value - quiet.truth[:, int(wavelength) - 670]
        assert np.sqrt(np.mean(error**2)) < 0.05, wavelength


def test_peaks_and_integral(steady: World, solved: Emission) -> None:
    integral, true = solved.integral(), np.trapezoid(steady.truth, axis=1)
    assert abs(integral.value / true - 1).mean() < 0.05
    value, place = solved.peak("far_red")
    far = steady.truth[:, 55:]
    assert abs(value.value / far.max(1) - 1).mean() < 0.06
    assert abs(place.value - 725.0 - far.argmax(1)).mean() < 3.0
    red, _ = solved.peak("red")
    seen = np.isfinite(red.value)
    assert seen.any()
    below = solved.sif[seen, 10:23].max(1)  # beyond 692 nm the far red may be higher
    np.testing.assert_allclose(red.value[seen], below, rtol=0.02)


def test_noise_free_light_without_plants_has_no_fluorescence() -> None:
    still = world(4, noise=0.0)
    # The same canopies, their glow taken out: it is smooth, and the same through any response.
    glow = still.glow @ response().T
    found = solve(still.radiance - glow, still.irradiance, BANDS, NOISE)
    assert abs(found.at(760.0).value).max() < 0.05
    assert abs(found.at(687.0).value).max() < 0.1


def test_skewness_between_the_channels_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 0.35, as over Lägeren: without it chi-square is several times as large."""
    skewed = world(8, skew=0.35)
    found = solve(skewed.radiance, skewed.irradiance, BANDS, NOISE)
    monkeypatch.setattr(full_spectrum, "MOMENTS", (*full_spectrum.MOMENTS[:2], 1e-9))
    blind = solve(skewed.radiance, skewed.irradiance, BANDS, NOISE)
    assert found.chi2.mean() < 2.5 < 2 * found.chi2.mean() < blind.chi2.mean()
    assert abs(found.at(760.0).value - skewed.truth[:, 90]).mean() < 0.08


def test_what_noise_makes_of_it_shrinks_with_noise_and_the_rest_does_not(solved: Emission) -> None:
    quiet = world(noise=NOISE / 4)
    less = solve(quiet.radiance, quiet.irradiance, BANDS, NOISE / 4)
    assert less.at(687.0).own.mean() < 0.5 * solved.at(687.0).own.mean()
    number = solved.at(760.0)
    np.testing.assert_allclose(np.hypot(number.shared, number.own), number.sd)
    assert (number.shared > 0.2 * number.sd).all()


def test_emission_weakened_on_its_way_is_given_back(steady: World, solved: Emission) -> None:
    weaker = np.full_like(steady.radiance, 0.8)
    found = solve(steady.radiance, steady.irradiance, BANDS, NOISE, weaker)
    ratio = found.at(760.0).value / solved.at(760.0).value
    assert abs(ratio - 1.25).max() < 0.05


def test_a_measurement_is_solved_as_it_would_be_alone(steady: World, solved: Emission) -> None:
    one = solve(steady.radiance[[7]], steady.irradiance[[7]], BANDS, NOISE)
    np.testing.assert_allclose(one.sif[0], solved.sif[7], rtol=1e-6, atol=1e-7)


def test_a_dead_band_leaves_its_measurement_out(steady: World) -> None:
    seen, lit = steady.radiance[:3].copy(), steady.irradiance[:3].copy()
    seen[0, 300], lit[1, 300] = np.nan, 0.0
    found = solve(seen, lit, BANDS, NOISE)
    np.testing.assert_array_equal(np.isfinite(found.at(760.0).value), [False, False, True])


def test_narrower_bands_give_what_they_can_and_others_are_refused(steady: World) -> None:
    def part(low: float, high: float) -> Emission:
        inside = (low < BANDS) & (high > BANDS)
        return solve(steady.radiance[:, inside], steady.irradiance[:, inside], BANDS[inside], NOISE)

    narrow = part(745.0, 778.0)
    assert not narrow.covers(687.0, 687.0)
    truth = steady.truth[:, 90]
    assert np.sqrt(np.mean((narrow.at(760.0).value - truth) ** 2)) < 0.1
    with pytest.raises(SifnetError, match="do not cover the O2 A band"):
        part(670.0, 750.0)


def test_no_maximum_no_peak() -> None:
    wavelength = np.arange(670.0, 781.0)
    rising = 0.01 * (wavelength - 660)[None]
    unit = np.eye(len(wavelength))[None]
    spectrum = Emission(wavelength, rising, unit, unit, unit)
    value, place = spectrum.peak("red")
    assert np.isnan(value.value).all()
    assert np.isnan(place.sd).all()


@pytest.mark.parametrize("name", ["sif_760", "sif_687"])
def test_scope_canopies(shared_data: Path, name: str) -> None:
    """Canopies of SCOPE under the same light: within 0.1, and sigma holds them."""
    data = np.load(shared_data / "scope" / "scope_verification_100scenes_640_850nm.npz")
    light, grid = sunlight(), data["wl_nm"]
    reflectance, glow = (
        np.array([np.interp(FINE, grid, one) for one in data[n][::4]])
        for n in ("reflectance", "F_mW_m2_nm_sr")
    )
    rng = np.random.default_rng(3)
    seen = (reflectance * light / np.pi + glow) @ response().T
    seen = seen + NOISE * np.sqrt(seen) * rng.standard_normal(seen.shape)
    lit = np.repeat((light @ response().T)[None], len(seen), 0)
    found = solve(seen, lit, BANDS, NOISE)
    wavelength = float(name[-3:])
    number = found.at(wavelength)
    true = data["F_mW_m2_nm_sr"][::4, int(np.argmax(grid == wavelength))]
    assert np.sqrt(np.mean((number.value - true) ** 2)) < 0.1
    assert (abs(number.value - true) < 2 * number.sd).mean() > 0.85
