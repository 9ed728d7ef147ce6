"""A column of air against closed forms, the simulation's own profile and full spectra."""

import numpy as np
import pytest
import xarray as xr
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

from atmorep_bridge.air.columns import (
    PROFILE_HEIGHTS,
    TOP,
    Column,
    half_levels,
    model_level_pressure,
    temperature_offset,
)
from fakes.fields import (
    KM_PER_K,
    LEVELS,
    height_at,
    humidity_at,
    pressure_at,
    temperature_at,
    water_above,
)
from sifnet.errors import SifnetError
from sifnet.physics.full.atmosphere import BOUNDARIES_KM
from sifnet.physics.full.atmosphere import standard_temperature as simulated_temperature
from sifnet.physics.full.spectroscopy import CrossSections
from sifnet.units import (
    AVOGADRO,
    GRAVITY,
    MOLAR_MASS_AIR,
    O2_FRACTION,
    standard_height,
    standard_temperature,
)

PLACE = (50.3, 7.1, 9.2)
P = np.array(LEVELS, dtype=float)
ELEVATIONS = np.array([-0.4, 0.0, 0.3, 0.7, 1.5, 3.0, 5.0])


def column(ground: float | None = None, levels: NDArray[np.float64] = P) -> Column:
    """The known air, on its ground at a height, or on the heights of its levels."""
    base = None if ground is None else (float(pressure_at(ground, *PLACE)), ground)
    height = height_at(levels, *PLACE) if base is None else None
    return Column.from_levels(
        levels, temperature_at(levels, *PLACE), humidity_at(levels), ground=base, height=height
    )


@pytest.mark.parametrize("ground", [None, 0.0, 0.2, 0.9, 2.5])
def test_pressure_at_any_elevation_from_any_ground(ground: float | None) -> None:
    """Above the model's ground and below it, where air is taken 6.5 K warmer a kilometre."""
    error = column(ground).pressure_at(ELEVATIONS) - pressure_at(ELEVATIONS, *PLACE)
    assert np.abs(error).max() < 0.03  # hPa
    below = (ground or 0.0) > ELEVATIONS
    assert np.abs(error[below]).max(initial=0) < 0.03


def test_heights_follow_from_balance() -> None:
    found = column(0.2)
    low = found.pressure > 300
    np.testing.assert_allclose(found.height[low], height_at(found.pressure[low], *PLACE), atol=2e-3)


def test_an_isothermal_dry_column_is_exponential() -> None:
    air = Column.from_levels(P, np.full(P.size, 250.0), 0 * P, ground=(1010.0, 0.0))
    heights = np.array([0.5, 2.0, 8.0])
    expected = 1010 * np.exp(-heights / (KM_PER_K * 250))
    np.testing.assert_allclose(air.pressure_at(heights), expected, rtol=2e-5)


def test_levels_below_ground_do_not_matter() -> None:
    """ERA5 extrapolates there, MERRA-2 has no number."""
    t, q, ground = temperature_at(P, *PLACE), humidity_at(P), (float(pressure_at(1.0, *PLACE)), 1.0)
    buried = ground[0] < P
    assert buried.sum() >= 3
    plain = Column.from_levels(P, t, q, ground=ground)
    for nonsense in (np.nan, 400.0):
        strange = Column.from_levels(P, np.where(buried, nonsense, t), q, ground=ground)
        np.testing.assert_array_equal(strange.pressure, plain.pressure)
    hung = Column.from_levels(P, np.where(buried, np.nan, t), q, height=height_at(P, *PLACE))
    assert hung.pressure_at(1.0) == pytest.approx(ground[0], abs=0.1)


def test_gaps_above_the_ground_are_refused() -> None:
    t = temperature_at(P, *PLACE)
    t[20] = np.nan
    with pytest.raises(SifnetError, match=r"gaps above the ground: found no number at 450\.0 hPa"):
        Column.from_levels(P, t, humidity_at(P), ground=(1000.0, 0.1))
    with pytest.raises(SifnetError, match="gaps above the ground: found 1 levels"):
        Column.from_levels(P[:1], t[:1], t[:1], ground=(1000.0, 0.1))


def test_water_is_the_integral_of_humidity() -> None:
    ground = 0.4
    p = float(pressure_at(ground, *PLACE))
    dry = 3e-6  # what the known humidity does not fall below
    edge = 1013.25 * (dry / 8e-3) ** (1 / 3)
    exact = 8e-3 / 1013.25**3 * (p**4 - edge**4) / 4 + dry * edge  # hPa
    assert water_above(column(ground), ground) == pytest.approx(exact * 10 / GRAVITY, rel=2e-3)


@pytest.mark.parametrize("highest", [1.0, 10.0, 500.0])
def test_the_top_goes_over_into_the_standard_atmosphere_smoothly(highest: float) -> None:
    air = column(0.1, P[highest <= P])
    assert air.pressure[0] <= TOP
    added = air.pressure < highest
    steps = np.abs(np.diff(air.temperature - standard_temperature(air.pressure))[added[1:]])
    assert steps.max() < 0.35 * abs(air.temperature[added.sum()]
                                    - standard_temperature(highest)) + 0.01  # fmt: skip
    assert air.temperature[0] == pytest.approx(standard_temperature(air.pressure[0]), abs=0.5)
    assert (np.diff(air.pressure) > 0).all()
    assert (np.diff(air.height) < 0).all()


def test_the_profile_is_on_the_levels_of_the_simulation() -> None:
    np.testing.assert_array_equal(PROFILE_HEIGHTS, BOUNDARIES_KM)


def test_the_standard_atmosphere_is_that_of_the_simulation() -> None:
    p = np.geomspace(1090, 0.05, 200)
    np.testing.assert_allclose(standard_temperature(p), simulated_temperature(p), atol=0.2)
    heights = [0, 1.4573, 5.5744, 11.0, 16.180, 31.055]  # NOAA 1976, geopotential km
    np.testing.assert_allclose(standard_height([1013.25, 850, 500, 226.32, 100, 10]), heights,
                               atol=0.6)  # fmt: skip


@pytest.mark.parametrize("levels", [60, 137])
def test_model_levels_lie_between_their_half_levels(levels: int) -> None:
    a, b = half_levels(levels)
    assert a.size == levels + 1
    surface = xr.DataArray([1013.25, 700.0], dims="place")
    number = xr.DataArray(np.arange(1, levels + 1), dims="level").rename("level")
    p = model_level_pressure(number.assign_coords(level=number), surface)
    half = a[:, None] + b[:, None] * surface.values
    assert (half[0] < 0.03).all()
    np.testing.assert_allclose(half[-1], surface)
    assert ((p.transpose("level", "place") > half[:-1]) & (p < half[1:])).all()


def test_pressures_of_the_levels_that_atmorep_knows() -> None:
    level = xr.DataArray([96, 105, 114, 123, 137], dims="level")
    p = model_level_pressure(level.assign_coords(level=level), xr.DataArray(1013.25))
    np.testing.assert_allclose(p, [507, 693, 850, 947, 1012], atol=1.0)


def test_unknown_model_levels_are_refused() -> None:
    number = xr.DataArray(np.arange(1, 92), dims="level")
    with pytest.raises(SifnetError, match="unknown model levels: found 91 levels; expected 60"):
        model_level_pressure(number.assign_coords(level=number), xr.DataArray(1000.0))


def test_a_shift_of_the_standard_profile_is_found_exactly() -> None:
    p = np.geomspace(0.1, 1000, 60)
    offset, shape = temperature_offset(p, standard_temperature(p) + 3.0)
    assert offset == pytest.approx(3.0, abs=1e-9)
    assert shape < 1e-9


@pytest.fixture(scope="module")
def grid() -> CrossSections:
    return CrossSections(np.arange(13060.0, 13130.0, 0.02))


@pytest.mark.parametrize("name", ["tropical", "midlatitude_summer", "subarctic_winter"])
def test_the_offset_is_what_full_spectra_ask_for(name: str, grid: CrossSections) -> None:
    """Transmittance of the A band at 0.25 nm, line by line, of AFGL profiles."""
    joseki = pytest.importorskip("joseki")
    profile = joseki.make(f"afgl_1986-{name}").sel(z=slice(0, 80))
    edges = np.concatenate([[0.05], np.linspace(0, 1, 61)[1:] * float(profile.p[0]) / 100])
    p = (edges[1:] + edges[:-1]) / 2
    known = np.log(profile.p.values[::-1] / 100)
    temperature = np.interp(np.log(p), known, profile.t.values[::-1])
    offset, shape = temperature_offset(p, temperature)

    column = np.diff(edges) * 10 / GRAVITY / (1e3 * MOLAR_MASS_AIR / AVOGADRO) * O2_FRACTION
    centres = np.arange(761.9, 765.4, 0.11)
    band = np.exp(-0.5 * ((centres[:, None] - 1e7 / grid.wavenumber) * 2.3548 / 0.25) ** 2)
    band /= band.sum(1, keepdims=True)

    def seen(t: NDArray[np.float64]) -> NDArray[np.float64]:
        return band @ np.exp(-2.5 * (grid.o2(p, t) * column[:, None]).sum(0))

    truth = seen(temperature)
    best = minimize_scalar(
        lambda x: float(((seen(standard_temperature(p) + x) - truth) ** 2).sum()),
        bounds=(-25, 25), method="bounded", options={"xatol": 0.05},
    )  # fmt: skip
    assert offset == pytest.approx(best.x, abs=max(2 * float(shape), 0.15))
