"""Physics against numbers of others that come with the tests (``tests/data/README.md``)."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

from conftest import PROJECT
from sifnet.physics.noise import noise_sd
from sifnet.physics.solar import solar_continuum, solar_irradiance
from sifnet.physics.surface import sif_740_ratio
from sifnet.physics.transfer import TransferFunctions, at_sensor_radiance
from sifnet.units import air_to_vacuum, standard_pressure, vacuum_to_air

DATA = PROJECT / "tests" / "data"
# NIST Atomic Spectra Database: wavenumber, cm-1, and wavelength in air, nm, of potassium's D1, D2.
POTASSIUM = (12985.185724, 769.896456), (13042.896027, 766.489913)


@pytest.fixture(scope="module")
def modtran() -> pd.DataFrame:
    return pd.read_csv(DATA / "modtran.csv")


def test_the_sun_in_bands_is_that_of_chance_and_kurucz() -> None:
    table = pd.read_csv(DATA / "sun.csv")
    bands = table.wavelength_nm.to_numpy()
    wavelength = np.arange(741.0, 783.2, 0.005)
    ours = solar_irradiance(1e7 / wavelength[::-1])[::-1]
    sigma = 0.25 / np.sqrt(8 * np.log(2))
    weight = np.exp(-0.5 * ((bands[:, None] - wavelength) / sigma) ** 2)
    ratio = (weight @ ours / weight.sum(1)) / table.irradiance.to_numpy()
    assert abs(ratio.mean() - 1) < 0.001
    assert ratio.std() < 6e-4


def test_potassium_absorbs_in_the_sun_where_it_does_in_the_laboratory() -> None:
    """But for what the sun's gravity adds, 636 m/s, and its granulation takes."""
    vacuum = 1e7 / POTASSIUM[0][0]
    near = vacuum + np.arange(-0.08, 0.08, 0.0005)
    wavenumber = 1e7 / near[::-1]
    light = (solar_irradiance(wavenumber) / solar_continuum(wavenumber))[::-1]
    assert near[light.argmin()] == pytest.approx(vacuum * (1 + 636 / 2.998e8), abs=0.003)
    assert light.min() < 0.4


@pytest.mark.parametrize(("wavenumber", "air"), POTASSIUM)
def test_air_and_vacuum_are_those_of_nist(wavenumber: float, air: float) -> None:
    assert float(air_to_vacuum(air)) == pytest.approx(1e7 / wavenumber, abs=2e-5)
    assert float(vacuum_to_air(1e7 / wavenumber)) == pytest.approx(air, abs=2e-5)


@pytest.mark.parametrize(
    ("height", "pressure"),
    [(-0.5, 1074.78), (0.0, 1013.25), (1.0, 898.745), (2.0, 794.952), (5.0, 540.199),
     (10.0, 264.363)],
)  # fmt: skip
def test_standard_pressure_is_that_of_the_table(height: float, pressure: float) -> None:
    """US Standard Atmosphere 1976, table I, by geopotential height, km."""
    assert float(standard_pressure(height)) == pytest.approx(pressure, rel=2e-4)


def test_noise_is_that_of_counted_photons() -> None:
    """Of n counts √n: drawn, at 100 and 25 of radiance, with 200 to one at the first."""
    rng, gain = np.random.default_rng(0), 400.0  # counts a unit of radiance
    for radiance in (100.0, 25.0):
        drawn = rng.poisson(gain * radiance, 200_000).std() / gain
        stated = float(noise_sd(torch.tensor(radiance), 0.05))
        assert stated == pytest.approx(drawn, rel=0.01)


def test_plants_emit_more_at_740_nm_than_at_760_nm() -> None:
    """1.4 to 1.9 times as much in every canopy of SCOPE (van der Tol et al. 2009)."""
    ratio, spread = (float(x) for x in sif_740_ratio())
    assert 1.4 < ratio < 1.9
    assert 0 < spread < 0.3


def test_the_closed_form_is_modtrans_four_stream_system(modtran: pd.DataFrame) -> None:
    """Ground of 0.3 that emits nothing, and black ground that emits 1 (Verhoef et al. 2018)."""
    t = {n: torch.as_tensor(modtran[n].to_numpy().copy()) for n in modtran}
    made = TransferFunctions(
        t["path"], t["two_way"], t["two_way"] * t["spherical_albedo"], t["up"],
        t["up"] * t["spherical_albedo"],
    )  # fmt: skip
    nothing = torch.zeros_like(t["path"])
    lit = at_sensor_radiance(nothing + 0.3, nothing, made)
    layers = sum(
        t["two_way"] * 0.3 * (0.3 * t["spherical_albedo"]) ** bounce for bounce in range(40)
    )
    torch.testing.assert_close(lit, t["path"] + layers)
    torch.testing.assert_close(
        at_sensor_radiance(nothing, nothing + 1.0, made), t["path"] + t["up"]
    )


def test_our_radiative_transfer_is_near_modtrans(modtran: pd.DataFrame) -> None:
    """Aerosol and profile are not quite ours, nor known: shape and depth must agree."""
    pytest.importorskip("sasktran2", reason="needs the 'build' extra")
    from sifnet.physics.full.atmosphere import optical_layers
    from sifnet.physics.full.radiative_transfer import Observer, transfer_functions
    from sifnet.physics.full.spectroscopy import CrossSections
    from sifnet.physics.state import Atmosphere

    within = np.linspace(-0.5, 0.5, 21)  # of a square band of 1 cm-1
    wavenumber = (modtran.wavenumber.to_numpy()[:, None] + within).ravel()
    air = Atmosphere.usual(
        surface_pressure=1013.25, temperature_offset=0.0, aot_550=0.3, aerosol_type=0.0
    )
    optics = optical_layers(air, CrossSections(wavenumber))
    light = transfer_functions(optics, 45.0, [Observer(0.0, 0.0, np.inf)])
    mu0 = np.cos(np.radians(45.0))
    ours = {
        "path": (light.path[0] * np.pi / mu0, 0.007),
        "two_way": (light.irradiance * light.transmittance[0] / mu0, 0.027),
        "up": (light.transmittance[0], 0.027),
        "down": (light.irradiance / mu0, 0.027),
        "spherical_albedo": (light.spherical_albedo, 0.02),
    }
    for name, (fine, rms) in ours.items():
        band = fine.reshape(len(modtran), -1).mean(1)
        assert np.corrcoef(band, modtran[name])[0, 1] > 0.985, name
        assert np.sqrt(np.mean((band - modtran[name]) ** 2)) < rms, name


def test_line_mixing_takes_from_the_wings() -> None:
    """Beyond the head of the R branch lines that mix absorb less than lines that do not, by half
    and more at ground pressure, and more where they lie close (Tran and Hartmann 2008, figure 4).
    """
    from sifnet.physics.full.spectroscopy import absorption_cross_section

    beyond = np.arange(13172.0, 13190.0, 1.0)
    mixed, voigt = (absorption_cross_section(beyond, 1013.25, 296.0, line_mixing=mixing)
                    for mixing in (1.0, 0.0))  # fmt: skip
    assert (mixed < 0.7 * voigt).mean() > 0.8
