"""What bands can be wrong by: as large as independent sources disagree, and a correction for it."""

import numpy as np
import pytest
import torch
from scipy.interpolate import interp1d

from sifnet.physics import discrepancy as discrepancies
from sifnet.physics.discrepancy import Correction, Discrepancy
from sifnet.physics.emulator import Emulator
from sifnet.physics.forward import Simulator
from sifnet.physics.instrument import Instrument, gaussian_response
from sifnet.physics.solar import solar_irradiance, solar_transmittance
from sifnet.physics.state import Atmosphere, Geometry, SensorState, State
from sifnet.physics.surface import Surface

BANDS = np.arange(750.0, 770.0, 0.11)
CLEAR = (BANDS > 751) & (BANDS < 758)


@pytest.fixture(scope="module")
def emulator() -> Emulator:
    return Emulator.load().requires_grad_(False)


@pytest.fixture(scope="module")
def instrument(emulator: Emulator) -> Instrument:
    return Instrument(BANDS, 0.25, emulator)


@pytest.fixture(scope="module")
def discrepancy(emulator: Emulator, instrument: Instrument) -> Discrepancy:
    return Discrepancy.of_sensor(instrument, emulator)


def spread(discrepancy: Discrepancy) -> np.ndarray:
    """Standard deviation of the error of ground radiance, ``band``."""
    at = discrepancy.at(torch.as_tensor(BANDS, dtype=torch.float32))
    return (at[..., 1] ** 2).sum(-1).sqrt().numpy()


def test_lines_as_shallow_as_the_list_has_them_are_within_what_is_allowed(
    discrepancy: Discrepancy,
) -> None:
    """The sun as it was until three suns of TCCON were looked at: 0.4 % rms from what it is."""
    grid = np.arange(745.0, 775.0, 0.005)
    sun, lines = (f(1e7 / grid[::-1])[::-1] for f in (solar_irradiance, solar_transmittance))
    response = gaussian_response(grid, BANDS, np.full(len(BANDS), 0.25))
    ratio = np.log((response @ lines) / (response @ sun))
    powers = np.vander((BANDS - 760) / 10, 3)
    ratio -= powers @ np.linalg.lstsq(powers, ratio, rcond=None)[0]
    in_sigma = ratio / spread(discrepancy)
    assert 0.4 < np.sqrt((in_sigma[CLEAR] ** 2).mean()) < 1.5
    assert np.abs(in_sigma[CLEAR]).max() < 4


def test_oxygen_is_uncertain_by_some_per_cent_and_the_continuum_hardly(
    discrepancy: Discrepancy,
) -> None:
    sd = spread(discrepancy)
    bottom = sd[(BANDS > 760.3) & (BANDS < 761.2)].mean()
    assert 0.01 < bottom < 0.06  # CIA by half, widths 1-2 %, wings: METHOD.md, 12
    assert np.median(sd[CLEAR]) < 0.01


def test_wide_bands_are_less_uncertain_of_the_sun() -> None:
    space = Emulator.load(space=True)
    centres = np.arange(745.0, 781.0, 2.55)
    wide = Discrepancy.of_sensor(Instrument(centres, 3.5, space), space)
    at = wide.at(torch.as_tensor(centres, dtype=torch.float32))[..., 1]
    sd = (at**2).sum(-1).sqrt().numpy()
    assert sd[(centres > 750) & (centres < 757)].max() < 0.004


def test_a_correction_is_its_components(
    discrepancy: Discrepancy, emulator: Emulator, instrument: Instrument
) -> None:
    coefficients = torch.zeros(discrepancy.count)
    coefficients[[0, 3]] = torch.tensor([1.0, -2.0])
    zero = torch.zeros(1)
    state = State(Atmosphere.usual(), Surface.flat(0.3, zero), SensorState(zero + 0.02, zero))
    angles = {"solar_zenith_angle": 40.0, "view_zenith_angle": 5.0, "relative_azimuth_angle": 90.0,
              "sensor_height": 1.0, "sun_earth_distance": 1.0}  # fmt: skip
    geometry = Geometry(**{name: zero + value for name, value in angles.items()})
    plain = Simulator(emulator, instrument)
    corrected = Simulator(emulator, instrument, discrepancy.correction(coefficients))
    t, changed = (s.transfer(state.atmosphere, state.sensor, geometry) for s in (plain, corrected))
    at = discrepancy.at(plain.wavelength(state.sensor))
    expected = at[..., 0, 1] - 2 * at[..., 3, 1]
    mean = discrepancy.correction(torch.zeros(discrepancy.count))
    _, usual = mean.factors(plain.wavelength(state.sensor))
    got = changed.ground / t.ground - usual
    torch.testing.assert_close(got, expected, rtol=1e-3, atol=2e-6)
    torch.testing.assert_close(changed.up, t.up)


def test_patches_of_several_lines_have_each_its_own_correction(discrepancy: Discrepancy) -> None:
    coefficients = torch.stack([torch.zeros(discrepancy.count), torch.ones(discrepancy.count)])
    wavelength = torch.tensor([700.0, 759.9, 760.6, 900.0]).expand(2, 1, 3, 4) + 0.01
    both = discrepancy.correction(coefficients).factors(wavelength)
    for patch, own in enumerate(coefficients):
        alone = discrepancy.correction(own).factors(wavelength[patch])
        for found, expected in zip(both, alone, strict=True):
            torch.testing.assert_close(found[patch], expected, rtol=0, atol=3e-6)


def test_derivatives_are_those_of_the_corrected_light(
    discrepancy: Discrepancy, emulator: Emulator, instrument: Instrument
) -> None:
    from sifnet.physics.derivatives import SHARED, jacobians

    torch.manual_seed(0)
    simulator = Simulator(
        emulator, instrument, discrepancy.correction(torch.randn(discrepancy.count))
    )
    zero = torch.zeros(1)
    angles = {"solar_zenith_angle": 40.0, "view_zenith_angle": 5.0, "relative_azimuth_angle": 90.0,
              "sensor_height": 1.0, "sun_earth_distance": 1.0}  # fmt: skip
    geometry = Geometry(**{name: zero + value for name, value in angles.items()})

    def state(pressure: float) -> State:
        air = Atmosphere.usual(surface_pressure=zero + pressure)
        return State(air, Surface.flat(0.3, zero), SensorState(zero, zero))

    _, _, shared = jacobians(simulator, state(1000.0), geometry)
    low, high = (simulator.radiance(state(p), geometry) for p in (998.0, 1002.0))
    slope = shared[..., SHARED.index("surface_pressure")]
    torch.testing.assert_close(slope, (high - low) / 4, rtol=2e-2, atol=3e-4)


def test_between_the_rows_of_a_table_it_is_as_scipy_has_it() -> None:
    """To the last bit, at the points of the table, at its ends and between."""
    x = np.linspace(740.0, 780.0, 41)
    y = np.random.default_rng(0).standard_normal((3, 2, 41))
    at = np.concatenate([x, x[:-1] + 0.3])
    np.testing.assert_array_equal(discrepancies._linear(x, y, at), interp1d(x, y)(at))


def test_a_correction_is_linear_between_its_nodes_and_ends_with_them() -> None:
    error = torch.tensor([[0.01, 0.1], [0.03, 0.5], [0.02, 0.3]])
    correction = Correction(750.0, 0.5, error)
    at = torch.tensor([749.0, 750.0, 750.25, 750.5, 750.9, 751.0, 752.0])
    path, ground = correction.factors(at)
    expected = [0.01, 0.01, 0.02, 0.03, 0.022, 0.02, 0.02]
    torch.testing.assert_close(path, 1 + torch.tensor(expected), atol=1e-5, rtol=0)
    expected = [0.1, 0.1, 0.3, 0.5, 0.34, 0.3, 0.3]
    torch.testing.assert_close(ground, 1 + torch.tensor(expected), atol=1e-4, rtol=0)
