"""Transfer functions against analytic limits, direct sasktran2 runs, more streams and MODTRAN."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.io import loadmat

pytest.importorskip("sasktran2", reason="needs the 'build' extra")

from sifnet.physics.full.atmosphere import OpticalLayers, optical_layers
from sifnet.physics.full.radiative_transfer import (
    STREAMS,
    Observer,
    _run,
    accurate,
    transfer_functions,
)
from sifnet.physics.full.spectroscopy import CrossSections
from sifnet.physics.solar import solar_irradiance
from sifnet.physics.state import Atmosphere
from sifnet.physics.transfer import TransferFunctions, at_sensor_radiance
from sifnet.units import air_to_vacuum

OBSERVERS = [Observer(0.0, 0.0, 0.7), Observer(25.0, 60.0, 0.002), Observer(12.0, 150.0, np.inf)]
SUN = 45.0


def air(**changed: float) -> Atmosphere:
    values = {
        "surface_pressure": 990.0,
        "temperature_offset": 3.0,
        "aot_550": 0.15,
        "aerosol_height": 1.5,
        "aerosol_type": 0.3,
        "o2_scale": 1.0,
    }
    return Atmosphere.of(**values | changed)


def direct_radiance(optics: OpticalLayers, reflectance: float, emission: float = 0.0) -> np.ndarray:
    """(observer, n) radiance per unit sun over ground that reflects and emits: the check."""
    ways = (0.0, emission) if emission else (0.0,)
    runs = [
        _run(optics, np.cos(np.radians(SUN)), OBSERVERS, STREAMS, reflectance, way) for way in ways
    ]
    return np.sum([radiance for radiance, _ in runs], axis=0)


@pytest.fixture(scope="module")
def grid() -> CrossSections:
    """Wavenumbers from continuum to line centre."""
    return CrossSections(np.concatenate([[12950.0], np.arange(13080, 13090, 0.2), [13400.0]]))


@pytest.fixture(scope="module")
def optics(grid: CrossSections) -> OpticalLayers:
    return optical_layers(air(), grid)


@pytest.mark.parametrize("emission", [0.0, 0.02])
@pytest.mark.parametrize("reflectance", [0.0, 0.1, 0.3, 0.5])
def test_closed_form_equals_direct_runs(
    optics: OpticalLayers, reflectance: float, emission: float
) -> None:
    transfer = transfer_functions(optics, SUN, OBSERVERS)
    five = transfer.products(np.ones(optics.optical_depth.shape[1]))
    products = TransferFunctions(*map(torch.as_tensor, five.transpose(1, 0, 2).copy()))
    full = torch.full_like(products.path, reflectance)
    closed = at_sensor_radiance(full, emission * torch.ones_like(full), products).numpy()
    direct = direct_radiance(optics, reflectance, emission)
    lit = transfer.irradiance > 1e-100  # in the cores of lines no light at all reaches the ground
    np.testing.assert_allclose(closed[:, lit], direct[:, lit], rtol=1e-6)


def test_without_scattering_it_is_beer_lambert(optics: OpticalLayers) -> None:
    clear = replace(optics, scattering_albedo=np.zeros_like(optics.scattering_albedo))
    transfer = transfer_functions(clear, SUN, OBSERVERS)
    depth = clear.optical_depth.sum(axis=0)
    mu0 = np.cos(np.radians(SUN))
    np.testing.assert_allclose(transfer.irradiance, mu0 * np.exp(-depth / mu0), rtol=1e-6)
    mu = np.cos(np.radians(12.0))
    np.testing.assert_allclose(transfer.transmittance[2], np.exp(-depth / mu), rtol=1e-6)
    assert np.abs(transfer.spherical_albedo).max() < 1e-12
    assert np.abs(transfer.path).max() < 1e-12


def test_reciprocity_gives_the_irradiance_of_a_direct_run(optics: OpticalLayers) -> None:
    """E is inferred from emission; a run over dark and bright ground measures it instead."""
    transfer = transfer_functions(optics, SUN, OBSERVERS)
    dark, bright = (direct_radiance(optics, r)[0] for r in (0.0, 1e-3))
    measured = (bright - dark) * np.pi / 1e-3 / transfer.transmittance[0]
    lit = transfer.irradiance > 1e-3
    np.testing.assert_allclose(measured[lit], transfer.irradiance[lit], rtol=1e-3)


def test_a_nearly_empty_atmosphere_lets_all_light_through(optics: OpticalLayers) -> None:
    thin = replace(optics, optical_depth=optics.optical_depth * 1e-9)
    transfer = transfer_functions(thin, SUN, OBSERVERS)
    np.testing.assert_allclose(transfer.transmittance, 1.0, atol=1e-6)
    np.testing.assert_allclose(transfer.irradiance, np.cos(np.radians(SUN)), atol=1e-6)


def radiance(transfer: object, reflectance: float = 0.3) -> np.ndarray:
    path, ground, bounce, _, _ = transfer.products(1.0).transpose(1, 0, 2)  # type: ignore[attr-defined]
    ground = np.maximum(ground, 1e-100)
    return path + reflectance * ground / (1 - reflectance * bounce / ground)


@pytest.mark.parametrize(
    ("aot_550", "sun", "four", "scaled"),
    [(0.05, 35.0, 2e-3, 3e-4), (0.15, 45.0, 5e-3, 5e-4), (0.6, 60.0, 2.5e-2, 1e-3)],
)
def test_streams(
    grid: CrossSections, aot_550: float, sun: float, four: float, scaled: float
) -> None:
    """Four streams differ from 16 by up to 2 %; scaled at two dozen nodes they hardly do.

    Errors are shares of the continuum.
    """
    optics = optical_layers(air(aot_550=aot_550), grid)
    best = radiance(transfer_functions(optics, sun, OBSERVERS, streams=16))

    def error(transfer: object) -> float:
        return float(np.abs(radiance(transfer) - best).max() / best.max())

    assert error(transfer_functions(optics, sun, OBSERVERS)) < four
    assert error(accurate(optics, sun, OBSERVERS)) < scaled
    assert error(transfer_functions(optics, sun, OBSERVERS, streams=8)) < four / 4


def test_forward_scattering_is_brighter_than_backward(optics: OpticalLayers) -> None:
    """The azimuth convention: 0 has sun and sensor on one side, 180 looks towards the sun."""
    sides = [Observer(30.0, azimuth, np.inf) for azimuth in (0.0, 180.0)]
    low_sun = transfer_functions(optics, 65.0, sides)
    lit = low_sun.irradiance > 0.25  # in lines only high air is seen, which Rayleigh rules
    assert (low_sun.path[1] > low_sun.path[0])[lit].all()


@pytest.mark.slow  # a fifth of its bands are in tests/test_references.py
def test_modtran_t18(shared_data: Path) -> None:
    """MODTRAN's T-18 system of one atmosphere, 1 cm-1, SZA 45, nadir, rural aerosol.

    Its aerosol and profile are not ours, nor known; its bands are squares of 1 cm-1. Shape and
    depth must agree: correlation >= 0.99, rms <= 0.025 of transmittances (measured 0.998-0.999
    and 0.020-0.024; spherical albedo 0.990 and 0.017, path reflectance 0.998 and 0.005).
    """
    table = pd.read_csv(shared_data / "modtran/FLEX-S3_std_O2A_12979_13190.csv", skiprows=1)
    table = table.rename(columns=lambda name: name.strip("# "))
    wavenumber = np.arange(12978.0, 13191.0, 0.05)
    optics = optical_layers(
        air(surface_pressure=1013.25, aot_550=0.3, temperature_offset=0, aerosol_type=0),
        CrossSections(wavenumber),
    )
    transfer = transfer_functions(optics, SUN, [Observer(0.0, 0.0, np.inf)])
    mu0 = np.cos(np.radians(SUN))
    two_way = transfer.irradiance * transfer.transmittance[0] / mu0
    ours = {
        "path": (transfer.path[0] * np.pi / mu0, table.rso, 0.006),
        "ground": (two_way, table.tsstoo + table.tsdtoo + table.tsstdo + table.tsdtdo, 0.025),
        "ground_bounce": (two_way * transfer.spherical_albedo, None, 0.012),
        "up": (transfer.transmittance[0], table.too + table.tdo, 0.025),
        "irradiance": (transfer.irradiance / mu0, table.tss + table.tsd, 0.025),
        "spherical_albedo": (transfer.spherical_albedo, table.rdd, 0.018),
    }
    for name, (fine, theirs, rms) in ours.items():
        if theirs is None:
            # T-18 holds only its direct part; the diffuse part follows in proportion.
            theirs = table.tssrddtoo * (two_way_of(table) / table.tsstoo)
        band = [fine[np.abs(wavenumber - centre) <= 0.5].mean() for centre in table.wn_cm1]
        assert np.corrcoef(band, theirs)[0, 1] > 0.985, name
        assert np.sqrt(np.mean((np.array(band) - theirs) ** 2)) < rms, name


def two_way_of(table: pd.DataFrame) -> pd.Series:
    return table.tsstoo + table.tsdtoo + table.tsstdo + table.tsdtdo


@pytest.mark.slow  # transmittances of MODTRAN are in tests/test_references.py
@pytest.mark.parametrize(("column", "sun"), [(1, 60.0), (2, 45.0), (3, 30.0)])
def test_modtran_irradiance(shared_data: Path, column: int, sun: float) -> None:
    """MODTRAN's global irradiance (direct + sky), 1 cm-1, at 0.25 nm, over its own continuum.

    Its aerosol and sun are not ours: what oxygen leaves must agree, correlation >= 0.999 and rms
    <= 0.012 of the continuum (measured 0.9995-0.9997 and 0.0094-0.0098).
    """
    table = loadmat(shared_data / "modtran/MODTRAN.mat", squeeze_me=True, struct_as_record=False)[
        "MODTRAN"
    ]
    assert table.SZA[column] == sun
    wavelength = air_to_vacuum(table.wl[:, column])
    near = (wavelength > 755) & (wavelength < 775)
    order = np.argsort(wavelength[near])
    theirs = (table.Esun + table.Esky)[near, column][order]
    wavenumber = np.arange(12900.0, 13250.0, 0.05)
    optics = optical_layers(
        air(surface_pressure=1013.25, temperature_offset=0, aerosol_type=0),
        CrossSections(wavenumber),
    )
    transfer = transfer_functions(optics, sun, [Observer(0.0, 0.0, np.inf)])
    ours = transfer.irradiance * solar_irradiance(wavenumber)
    bands = np.arange(757.5, 771.5, 0.1)

    def on_bands(at: np.ndarray, spectrum: np.ndarray) -> np.ndarray:
        weight = np.exp(-0.5 * ((bands[:, None] - at) * 2.3548 / 0.25) ** 2) * np.gradient(at)
        smooth = (weight * spectrum).sum(axis=1) / weight.sum(axis=1)
        ends = [smooth[:8].mean(), smooth[-5:].mean()]
        return smooth / np.interp(bands, bands[[0, -1]], ends)

    left = on_bands(wavelength[near][order], theirs)
    right = on_bands(1e7 / wavenumber[::-1], ours[::-1])
    assert np.corrcoef(left, right)[0, 1] > 0.999
    assert np.sqrt(np.mean((left - right) ** 2)) < 0.012
