"""Layers against hydrostatics, published Rayleigh depths and the standard atmosphere."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.polynomial.legendre import legval

joseki = pytest.importorskip("joseki", reason="needs the 'build' extra")

from sifnet.physics.full.atmosphere import (  # noqa: E402
    BOUNDARIES_KM,
    MARITIME,
    _phase_function,
    aerosol_column,
    layer_shares,
    layers,
    optical_layers,
    rayleigh_cross_section,
    standard_temperature,
)
from sifnet.physics.full.spectroscopy import CrossSections  # noqa: E402
from sifnet.physics.state import Atmosphere  # noqa: E402

AIR = {
    "surface_pressure": 1013.25,
    "temperature_offset": 0.0,
    "aot_550": 0.2,
    "aerosol_height": 2.0,
    "aerosol_type": 0.0,
    "o2_scale": 1.0,
}


@pytest.mark.parametrize("pressure", [650.0, 1013.25, 1060.0])
@pytest.mark.parametrize("offset", [-10.0, 0.0, 10.0])
def test_o2_column_follows_surface_pressure(pressure: float, offset: float) -> None:
    """0.2095 p / (g m): here in SI from the constants themselves."""
    expected = 0.2095 * pressure * 100 / (9.80665 * 28.9644e-3 / 6.02214076e23) * 1e-4
    assert layers(pressure, offset).o2_column.sum() == pytest.approx(expected, rel=1e-3)


def test_layers_agree_with_the_standard_atmosphere() -> None:
    """Pressure by hydrostatics at the boundaries, against joseki's US Standard Atmosphere."""
    standard = joseki.make("ussa_1976").interp(z=BOUNDARIES_KM[:31])
    air = layers(1013.25)
    top_down = np.cumsum(air.air_column[::-1])[::-1][:31]
    pressure = top_down * 28.9644e-3 / 6.02214076e23 * 9.80665 * 1e4 / 100
    # Geometric against geopotential height: 0.5 % of height at 32 km.
    np.testing.assert_allclose(pressure, standard.p.values / 100, rtol=0.03)
    np.testing.assert_allclose(pressure[:15], standard.p.values[:15] / 100, rtol=1e-3)


def test_temperature_below_sea_level_goes_on_warming() -> None:
    assert standard_temperature(np.array([1060.0]))[0] == pytest.approx(290.6, abs=0.3)


def test_rayleigh_depth_is_the_published_one() -> None:
    """Bodhaine et al. (1999), table 1: 0.0973 at 550 nm, 1013.25 hPa and 360 ppm CO2."""
    depth = rayleigh_cross_section(np.array([550.0])) * layers(1013.25).air_column.sum()
    assert depth[0] == pytest.approx(0.0973, rel=0.01)


def test_aerosol_keeps_its_optical_thickness_and_moves_with_height() -> None:
    total, scattered, asymmetry = aerosol_column(Atmosphere.of(**AIR), np.array([550.0, 760.0]))
    assert total[0] == pytest.approx(0.2)
    assert total[1] == pytest.approx(0.2 * (760 / 550) ** -1.42)
    assert scattered[0] / total[0] == pytest.approx(0.925)
    assert asymmetry == pytest.approx(0.703)
    low, high = (layer_shares(BOUNDARIES_KM, height) for height in (0.5, 4.0))
    assert low.sum() == pytest.approx(1.0)
    assert high.sum() == pytest.approx(1.0)
    middle = 0.5 * (BOUNDARIES_KM[1:] + BOUNDARIES_KM[:-1])
    assert (low * middle).sum() == pytest.approx(0.5, abs=0.02)
    assert (high * middle).sum() == pytest.approx(4.0, abs=0.1)


def test_o2_scale_scales_absorption_only() -> None:
    grid = CrossSections(np.linspace(13050.0, 13060.0, 50))
    one, more = (optical_layers(Atmosphere.of(**AIR | {"o2_scale": s}), grid) for s in (1.0, 1.02))

    def scattering(optics: object) -> np.ndarray:
        return optics.optical_depth * optics.scattering_albedo  # type: ignore[attr-defined]

    np.testing.assert_allclose(scattering(one), scattering(more), rtol=1e-5)
    gain = more.optical_depth - one.optical_depth
    ozone_free = slice(0, 12)  # below 2.5 km
    absorbed = one.optical_depth * (1 - one.scattering_albedo)
    aerosol = aerosol_column(Atmosphere.of(**AIR), 1e7 / grid.wavenumber)
    soot = layer_shares(BOUNDARIES_KM, 2.0)[:, None] * (aerosol[0] - aerosol[1])
    expected = 0.02 * (absorbed - soot)[ozone_free]
    np.testing.assert_allclose(gain[ozone_free], expected, rtol=0.02, atol=1e-9)


def test_phase_function_of_maritime_haze_does_not_ring() -> None:
    """The series of its moments is the closed form of Henyey & Greenstein (1941)."""
    asymmetry = MARITIME["asymmetry"]
    moments = _phase_function(np.zeros((1, 1)), np.float64(asymmetry))[:, 0, 0]
    cosine = np.cos(np.radians(np.linspace(15.0, 180.0, 300)))
    exact = (1 - asymmetry**2) / (1 + asymmetry**2 - 2 * asymmetry * cosine) ** 1.5
    np.testing.assert_allclose(legval(cosine, moments), exact, rtol=1e-4)
