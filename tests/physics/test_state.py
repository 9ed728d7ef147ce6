"""States refuse what is impossible, and surfaces are the quadratic and the shape they state."""

import numpy as np
import pytest
import torch

from sifnet.errors import SifnetError
from sifnet.physics.state import (
    RANGES,
    Atmosphere,
    AtmospherePrior,
    Geometry,
    SensorState,
    State,
    check_ranges,
    outside,
)
from sifnet.physics.surface import Surface, sif_740_ratio, sif_shape

ATMOSPHERE = Atmosphere.of(
    surface_pressure=[1000.0, 950.0],
    temperature_offset=0.0,
    aot_550=0.1,
    aerosol_height=2.0,
    aerosol_type=0.0,
    o2_scale=1.0,
)
LEVEL, SLOPE, RATIO = torch.tensor([0.3, 0.4]), torch.tensor(0.004), torch.tensor(0.5)
SURFACE = Surface.sloped(LEVEL, SLOPE, RATIO, torch.tensor([1.0, -0.5]))


def test_items_name_every_tensor_of_the_parts():
    state = State(ATMOSPHERE, SURFACE, SensorState.of(wavelength_shift=0.0, fwhm_shift=0.0))
    names = [name for name, _ in state.items()]
    assert names[0] == "surface_pressure"
    assert names[-1] == "fwhm_shift"
    assert len(names) == 12


def test_map_reaches_nested_parts():
    prior = AtmospherePrior(ATMOSPHERE, ATMOSPHERE).map(lambda t: 2.0 * t)
    assert prior.sd.surface_pressure.tolist() == [2000.0, 1900.0]


def test_of_takes_the_dtype_asked_for():
    sensor = SensorState.of(wavelength_shift=np.zeros(3), fwhm_shift=0, dtype=torch.float64)
    assert sensor.wavelength_shift.dtype == sensor.fwhm_shift.dtype == torch.float64


def test_a_number_is_not_a_tensor():
    with pytest.raises(SifnetError, match=r"SensorState.wavelength_shift is not a tensor.*of\("):
        SensorState(0.0, torch.zeros(()))


@pytest.mark.parametrize("value", [649.0, 1061.0, float("nan")])
def test_a_pressure_outside_its_range_is_refused(value):
    atmosphere = ATMOSPHERE.map(lambda t: t)
    object.__setattr__(atmosphere, "surface_pressure", torch.tensor([1000.0, value]))
    with pytest.raises(SifnetError, match=r"surface_pressure is out of range.*1 of 2.*650 to 1060"):
        check_ranges(atmosphere)


def geometry(height: float) -> Geometry:
    return Geometry.of(
        solar_zenith_angle=30.0,
        view_zenith_angle=0.0,
        relative_azimuth_angle=0.0,
        sensor_height=height,
        sun_earth_distance=1.0,
    )


def test_space_is_a_height_and_ten_km_is_not():
    check_ranges(geometry(float("inf")))
    with pytest.raises(SifnetError, match=r"0.002 to 3 or inf"):
        check_ranges(geometry(10.0))


def test_limits_survive_float32():
    for name, (low, high) in RANGES.items():
        limits = torch.tensor([low, high], dtype=torch.float32)
        assert not outside(name, limits, low, high).any()


def test_reflectance_slope_changes_linearly_to_its_ratio():
    wavelength = torch.linspace(740.0, 780.0, 401, dtype=torch.float64)
    reflectance, _ = SURFACE.map(torch.Tensor.double).spectra(wavelength)
    slope = torch.gradient(reflectance[0], spacing=0.1)[0]
    assert reflectance[0, 0] == pytest.approx(0.3)
    assert slope[1].item() == pytest.approx(0.004, rel=2e-3)
    assert slope[-2].item() == pytest.approx(0.002, rel=4e-3)


def test_a_sloped_surface_is_the_published_parabola():
    """rho740 + s y + (e - 1) s y^2 / 80, y = wavelength - 740 nm (Scharr et al. 2021-24)."""
    rng = torch.Generator().manual_seed(2)
    level, slope, ratio, sif = torch.rand(4, 50, generator=rng, dtype=torch.float64)
    slope = 0.01 * (slope - 0.2)
    surface = Surface.sloped(level, slope, ratio, sif)
    y = torch.linspace(0.0, 40.0, 9, dtype=torch.float64)
    s, e = slope[:, None], ratio[:, None]
    expected = level[:, None] + s * y + (e - 1.0) * s * y**2 / 80.0
    torch.testing.assert_close(surface.spectra(740.0 + y)[0], expected)
    torch.testing.assert_close(surface.at_740(), (level, slope))
    torch.testing.assert_close(surface.sif_760, sif)


def test_level_ground_has_no_slope_at_740_nm():
    level = Surface.sloped(LEVEL, torch.zeros(2), torch.ones(2), torch.zeros(2))
    assert torch.equal(level.at_740()[1], torch.zeros(2))
    torch.testing.assert_close(level.at_740()[0], LEVEL)


def test_a_stacked_surface_is_unstacked_to_itself():
    stacked = SURFACE.stack()
    assert stacked.shape == (2, 4)
    for (name, a), (_, b) in zip(Surface.unstack(stacked).items(), SURFACE.items(), strict=True):
        assert torch.equal(a, b.expand(2)), name


def test_a_shifted_surface_is_read_beside_itself():
    at = torch.linspace(750.0, 770.0, 7)
    shifted = SURFACE.shifted(torch.tensor(0.4)).spectra(at)[0]
    torch.testing.assert_close(shifted, SURFACE.spectra(at + 0.4)[0])


def test_emission_is_proportional_to_sif_760():
    wavelength = torch.tensor([740.0, 760.0])
    _, sif = SURFACE.spectra(wavelength)
    assert sif[:, 1].tolist() == pytest.approx([1.0, -0.5])
    assert sif[:, 0].tolist() == pytest.approx((sif_740_ratio()[0] * SURFACE.sif_760).tolist())


def test_shape_is_the_mean_of_scope_canopies(shared_data):
    scope = np.load(shared_data / "scope" / "scope_verification_100scenes_640_850nm.npz")
    wavelength, emission = scope["wlF_nm"], scope["F_mW_m2_nm_sr"]
    mean = emission.mean(axis=0) / emission.mean(axis=0)[wavelength == 760.0]
    window = (wavelength >= 748) & (wavelength <= 775)
    shape = sif_shape(torch.as_tensor(wavelength[window])).numpy()
    # The mean canopy and the mean of shapes weigh dim canopies differently.
    assert np.abs(shape / mean[window] - 1).max() < 0.02
