"""The sun against the independent spectrum of Chance & Kurucz (2010)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.polynomial import Polynomial
from scipy.ndimage import gaussian_filter1d

from sifnet.errors import SifnetError
from sifnet.physics.solar import solar_continuum, solar_irradiance, solar_lines, solar_transmittance

STEP = 0.01  # nm
TCCON = {"pa20041222saaaab.001": 2036, "wg20090206saebab.001": 1688}  # where the spectrum begins
WAVELENGTH = np.arange(735.0, 790.0, STEP)


@pytest.fixture(scope="module")
def sao2010(shared_data: Path) -> np.ndarray:
    path = shared_data / "solar" / "sao2010_700_820nm.csv"
    table = pd.read_csv(path, comment="#", names=["wavelength", "photons", "irradiance"])
    return np.interp(WAVELENGTH, table["wavelength"], table["irradiance"])


@pytest.fixture(scope="module")
def ours() -> np.ndarray:
    wavenumber = np.arange(12640.0, 13660.0, 0.01)
    return np.interp(WAVELENGTH, 1e7 / wavenumber[::-1], solar_irradiance(wavenumber)[::-1])


def smooth(spectrum: np.ndarray, fwhm: float) -> np.ndarray:
    return gaussian_filter1d(spectrum, fwhm / np.sqrt(8 * np.log(2)) / STEP)[300:-300]


@pytest.mark.parametrize(("fwhm", "rms"), [(0.25, 5e-4), (3.5, 1e-4)])
def test_agrees_with_chance_and_kurucz(
    ours: np.ndarray, sao2010: np.ndarray, fwhm: float, rms: float
) -> None:
    sao_fwhm = 0.04
    theirs = smooth(sao2010, np.sqrt(fwhm**2 - sao_fwhm**2))
    difference = smooth(ours, fwhm) / theirs - 1
    assert difference.std() < rms
    assert abs(difference.mean()) < 0.001


@pytest.mark.parametrize(("file", "start"), TCCON.items())
def test_agrees_with_suns_that_tccon_measured(
    ours: np.ndarray, shared_data: Path, file: str, start: int
) -> None:
    """Direct suns where air does not absorb, at 0.25 nm; the list of lines alone is 0.45 % off."""
    path = shared_data / "real" / file
    if not path.exists():
        pytest.skip(f"the spectrum is not there: {path}")
    seen = np.fromfile(path, dtype="<f4", offset=start)
    wavenumber = np.linspace(10000.0, 15798.01, len(seen))
    clear = (WAVELENGTH > 745.5) & (WAVELENGTH < 758.3)
    near = (wavenumber > 13150) & (wavenumber < 13450)
    fine = np.arange(744.0, 760.0, 1e-3)
    seen = np.interp(fine, 1e7 / wavenumber[near][::-1], seen[near][::-1].astype(float))
    seen = gaussian_filter1d(seen, 0.25 / np.sqrt(8 * np.log(2)) / 1e-3)
    sun = gaussian_filter1d(ours, 0.25 / np.sqrt(8 * np.log(2)) / STEP)[clear]
    wavelength = WAVELENGTH[clear]

    def misfit(shift: float) -> np.ndarray:
        ratio = np.interp(wavelength + shift, fine, seen) / sun
        smooth = Polynomial.fit(wavelength, ratio, 4)(wavelength)
        return ratio / smooth - 1

    # The earth turns, and the interferometer is aligned, to a few parts in a million.
    assert min(misfit(shift).std() for shift in np.arange(-4e-3, 5e-3, 5e-4)) < 0.0020


def test_red_lines_are_those_of_an_independent_list() -> None:
    """At 0.25 nm, 685-699 nm, beside Toon's lines at the disc's centre (``tests/data``).

    The two kinds of list differ by 0.4 % rms in the far red, where lines are fewer.
    """
    wavenumber = np.arange(14300.0, 14602.0, 0.02)
    lines = pd.read_csv(Path(__file__).parents[1] / "data" / "solar_lines_red.csv")
    x2 = (wavenumber[:, None] - lines["wavenumber"].to_numpy()) ** 2
    wings = np.sqrt(lines["doppler"].to_numpy() ** 4 + x2 * lines["width"].to_numpy() ** 2)
    theirs = np.exp(-(lines["strength"].to_numpy() * np.exp(-x2 / wings)).sum(1))
    fine = np.arange(685.5, 698.5, STEP)
    seen = [
        gaussian_filter1d(np.interp(fine, 1e7 / wavenumber[::-1], light[::-1]), 10.6)[60:-60]
        for light in (solar_irradiance(wavenumber), theirs)
    ]
    x = fine[60:-60]
    ours, toon = (light / Polynomial.fit(x, light, 4)(x) - 1 for light in seen)
    assert np.corrcoef(ours, toon)[0, 1] > 0.95
    assert (ours - toon).std() < 0.3 * toon.std()


def test_lines_lie_where_chance_and_kurucz_have_them(ours: np.ndarray, sao2010: np.ndarray) -> None:
    a, b = (s - gaussian_filter1d(s, 100) for s in (gaussian_filter1d(ours, 1.7), sao2010))
    shifts = np.arange(-10, 11)
    match = [np.corrcoef(np.roll(a, s)[50:-50], b[50:-50])[0, 1] for s in shifts]
    assert abs(shifts[np.argmax(match)] * STEP) <= 0.01
    assert max(match) > 0.9


def test_scale_is_that_of_the_solar_constant() -> None:
    # A black body of 5772 K, the sun's effective temperature, at 760 nm and 1 AU.
    wavelength = 760e-9
    planck = 2 * 6.62607015e-34 * 2.99792458e8**2 / wavelength**5
    planck /= np.expm1(6.62607015e-34 * 2.99792458e8 / (wavelength * 1.380649e-23 * 5772))
    irradiance = np.pi * planck * (6.957e8 / 1.495978707e11) ** 2 * 1e-6  # mW m-2 nm-1
    assert solar_continuum([1e7 / 760.0])[0] == pytest.approx(irradiance, rel=0.05)


def test_one_line_has_the_documented_shape() -> None:
    line = pd.DataFrame({"wavenumber": [13000.0], "strength": [0.5], "width": [0.1]})
    line["doppler"] = 0.2
    x = np.array([-0.3, 0.0, 0.3])
    expected = np.exp(-0.5 * np.exp(-(x**2) / np.sqrt(0.2**4 + x**2 * 0.1**2)))
    np.testing.assert_allclose(solar_transmittance(13000.0 + x, line), expected)
    np.testing.assert_allclose(
        solar_irradiance(13000.0 + x, line), expected * solar_continuum(13000.0 + x)
    )


def test_lines_end_where_they_no_longer_absorb() -> None:
    # The broadest line, 25 cm-1 from its centre, takes less than 1e-4.
    table = solar_lines()
    x2 = 25.0**2
    remaining = table.strength * np.exp(-x2 / np.sqrt(table.doppler**4 + x2 * table.width**2))
    assert remaining.max() < 1e-4


@pytest.mark.parametrize("wavenumber", [[12600.0, 13000.0], [13000.0, 13690.0]])
def test_refuses_wavenumbers_without_lines(wavenumber: list[float]) -> None:
    with pytest.raises(SifnetError, match="outside the list of solar lines"):
        solar_irradiance(wavenumber)


def test_refuses_descending_wavenumbers() -> None:
    with pytest.raises(SifnetError, match="must ascend"):
        solar_irradiance([13100.0, 13000.0])
