"""The limit against published figures, against itself in the limit of one pixel, and on scenes."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import xarray as xr

from fakes.emulator import fake_emulator
from fakes.scenes import known_scene
from sifnet.evaluation.limits import Problem, limits
from sifnet.physics.emulator import Emulator
from sifnet.physics.forward import Simulator
from sifnet.physics.instrument import Instrument
from sifnet.physics.state import Atmosphere, Geometry, SensorState, State
from sifnet.physics.surface import Surface
from sifnet.retrieval.information import (
    Blocks,
    normal_blocks,
    posterior_sd,
    shared_equations,
    sif_sd,
    solve_shared,
)
from sifnet.retrieval.pixels import read
from sifnet.retrieval.prior import USUAL
from sifnet.scenes import record_of

SIZE = {"lines": 12, "samples": 10, "step": 0.44}

# Information content of a probe with a forward simulation of its own: sun 45 degrees, reflectance
# 0.3, SIF at 740 nm 1.5 = SIF at 760 nm / 0.635, quadratic reflectance; posterior sd of SIF at
# 740 nm for pressure known to 2, 10 and 50 hPa. By (sensor height in km, signal to noise).
PUBLISHED = {
    (0.7, 200): (0.39, 0.53, 0.63),
    (0.7, 400): (0.23, 0.34, 0.40),
    (2.0, 200): (0.53, 0.74, 0.87),
    (2.0, 400): (0.31, 0.48, 0.55),
}
AT_760 = 0.635
PRESSURES = (2.0, 10.0, 50.0)
SOIL = (False, False, False, True)


@pytest.fixture(scope="module")
def airborne() -> Emulator:
    return Emulator.load().requires_grad_(False)


def blocks_of(simulator: Simulator, height: float, snr: float, pressure: float) -> Blocks:
    """Three pixels of vegetation and one of soil, under the table's sun.

    Signal to noise is that of the continuum of vegetation, and noise goes with the root of
    radiance; priors are those of ``priors``, but for pressure, and of ``limits``.
    """
    like = torch.ones(len(SOIL))
    soil = torch.tensor(SOIL)
    air = {name: mean for name, (mean, _) in USUAL.items()} | {"surface_pressure": 1013.25}
    angles = {"solar_zenith_angle": 45.0, "view_zenith_angle": 0.0, "relative_azimuth_angle": 90.0,
              "sensor_height": height, "sun_earth_distance": 1.0}  # fmt: skip
    surface = Surface.sloped(torch.where(soil, 0.2, 0.3), 0 * like, like,
                             torch.where(soil, 0.0, 1.5 * AT_760))  # fmt: skip
    state = State(Atmosphere(**{n: air[n] * like for n in Atmosphere.names()}),
                  surface, SensorState(0 * like, 0 * like))  # fmt: skip
    geometry = Geometry(**{name: value * like for name, value in angles.items()})
    sensor = [np.ptp(limits) / 12**0.5 for limits in simulator.instrument.ranges.values()]
    spread = {name: sd for name, (_, sd) in USUAL.items()} | {"surface_pressure": pressure}
    spread["o2_scale"] = 0.005  # as when the table was made
    sd = [*(spread[name] for name in Atmosphere.names()), *sensor]
    radiance = simulator.radiance(state, geometry)
    continuum = radiance[0].max()
    sigma = continuum / snr * torch.sqrt(radiance / continuum)
    units = torch.tensor(sd, dtype=torch.float32)
    return normal_blocks(radiance, sigma, state, geometry, units, simulator)


@pytest.mark.parametrize(("height", "snr"), PUBLISHED)
def test_a_hyplant_pixel_is_as_published(airborne: Emulator, height: float, snr: int) -> None:
    """All twelve figures, within 4 % when written, with the library's own window and priors.

    Two things the table does not say decide: bands are counted one a FWHM (0.25 nm; at HyPlant's
    sampling of 0.11 nm, if noise of neighbours is independent, the limit is 0.74 times as high),
    and noise is shot noise of that signal to noise in the continuum. The same in all bands it
    would be twice as high at 0.11 nm; in proportion to radiance, half.
    """
    simulator = Simulator(airborne, Instrument(np.arange(750.0, 770.0, 0.25), 0.25, airborne))
    for pressure, expected in zip(PRESSURES, PUBLISHED[height, snr], strict=True):
        blocks = blocks_of(simulator, height, snr, pressure)
        sd = float(posterior_sd(blocks, torch.ones(8))[0]) / AT_760
        assert sd == pytest.approx(expected, rel=0.06), pressure


def test_a_hyplant_patch_is_as_published(airborne: Emulator) -> None:
    """0.22 for 8 x 8 pixels, signal to noise 300, pressure to 2 hPa; from 2 km, it turns out.

    From 0.7 km it is 0.16. That soil does not glow is not used: known, it would be 0.17.
    """
    simulator = Simulator(airborne, Instrument(np.arange(750.0, 770.0, 0.25), 0.25, airborne))
    blocks = blocks_of(simulator, 2.0, 300, 2.0)
    matrix, _ = shared_equations(blocks)
    column = (matrix.sum(0) * 8 / len(SOIL)).expand(8, 8, 8)
    nothing = torch.zeros(8, 8, dtype=torch.float64)
    shared = solve_shared(column, nothing, nothing, nothing + 1)
    sd = sif_sd(blocks, shared.covariance[0]) / AT_760
    assert float(sd[0]) == pytest.approx(0.22, rel=0.06)


@pytest.mark.parametrize(("pressure", "expected"), [(2.0, 5.1), (50.0, 6.4)])
def test_a_desis_pixel_is_as_published(pressure: float, expected: float) -> None:
    """Bands from 741 to 779 nm, whose wings see beyond the 740 to 780 nm that were simulated.

    Light there is taken as that at the edge; with the sun's lines beyond it, which the shipped
    emulator has, the second figure is 7.0. The figures hang on the window: a quadratic needs both
    shoulders. Bands from 747 to 773 nm give 6.0 and 13.
    """
    shipped = Emulator.load(space=True).requires_grad_(False)
    inside = (shipped.grid >= 740.0) & (shipped.grid <= 780.0)
    grid, basis = shipped.grid[inside], shipped.basis[..., inside]
    step, more = 0.02, 500
    before = grid[0] - step * torch.arange(more, 0, -1)
    after = grid[-1] + step * torch.arange(1, more + 1)
    basis = torch.nn.functional.pad(basis, (more, more), mode="replicate")
    grid = torch.cat([before, grid, after])
    wide = Emulator(grid, basis, shipped.network, shipped.metadata)
    usual = record_of("desis")
    instrument = Instrument(np.arange(741.0, 779.1, usual.sampling), usual.fwhm, wide,
                            shift_range=usual.shift_range,
                            fwhm_range=usual.fwhm_range)  # fmt: skip
    blocks = blocks_of(Simulator(wide, instrument), float("inf"), 200, pressure)
    sd = float(posterior_sd(blocks, torch.ones(8))[0]) / AT_760
    assert sd == pytest.approx(expected, rel=0.10)


def test_the_patch_knows_more_than_its_pixels() -> None:
    known = known_scene(fake_emulator(), **SIZE)
    found = limits(known.scene, emulator=fake_emulator(), patch=(8, 5))
    usable = np.isfinite(found["single_pixel"].values)
    assert found["single_pixel"].dims == ("line", "sample")
    assert usable.mean() > 0.95
    assert (np.isfinite(found["patch"].values) == usable).all()
    ratio = found["patch"].values[usable] / found["single_pixel"].values[usable]
    assert ratio.min() > 0.2
    assert ratio.max() < 1.0
    # Lines 8 to 11 are half a patch, whose other half counts for nothing.
    assert ratio[-30:].mean() > ratio[:30].mean()


def test_a_patch_of_one_pixel_is_a_pixel_by_itself() -> None:
    known = known_scene(fake_emulator(), **SIZE)
    found = limits(known.scene, emulator=fake_emulator(), patch=(1, 1))
    xr.testing.assert_allclose(
        found["patch"], found["single_pixel"].rename("patch"), rtol=1e-4, atol=0
    )


def test_knowing_pressure_helps_where_it_is_not_known() -> None:
    known = known_scene(fake_emulator(), **SIZE)
    given = xr.Dataset({"surface_pressure": 1017.0, "surface_pressure_uncertainty": 0.5})
    options = {"emulator": fake_emulator(), "patch": (8, 5)}
    better = limits(known.scene, atmosphere=given, **options)
    assert bool((better < limits(known.scene, **options)).to_array().all())


def test_a_sensor_is_known_to_be_within_its_range_and_no_better() -> None:
    """The unit of its parameters is the scatter of draws from the range, 0.29 of its width."""
    emulator = fake_emulator()
    pixels = read(known_scene(emulator, **SIZE).scene, slice(0, 12), (12, 10))
    instrument = Instrument(np.arange(750.0, 770.0, 0.44), 0.26, emulator,
                            shift_range=(-0.1, 0.5), fwhm_range=(-0.06, 0.06))  # fmt: skip
    units = Problem(pixels, Simulator(emulator, instrument)).units
    drawn = np.random.default_rng(0).uniform((-0.1, -0.06), (0.5, 0.06), (100_000, 2)).std(0)
    np.testing.assert_allclose(units[0, 0, 0, 6:], drawn, rtol=0.01)
    assert torch.equal(units[..., :6], pixels.prior.sd.stack())


def test_measured_irradiance_is_used() -> None:
    known = known_scene(fake_emulator(), **SIZE, measured_irradiance=True, sensor="flox")
    found = limits(known.scene, emulator=fake_emulator(), patch=(8, 5))
    assert np.isfinite(found.to_array()).mean() > 0.95
    assert float(found["single_pixel"].mean()) < 0.5  # next to no air between ground and sensor


def test_a_patch_knows_its_sensor_a_column_at_a_time() -> None:
    """More columns are more unknown sensors; more lines are more knowledge of each."""
    emulator = fake_emulator()
    known = known_scene(emulator, **SIZE)
    pixels = read(known.scene, slice(0, 12), (12, 10), ranges=emulator.ranges)
    bands = known.scene.wavelength[(known.scene.wavelength >= 750) & (known.scene.wavelength < 770)]
    simulator = Simulator(emulator.requires_grad_(False), Instrument(bands, 0.26, emulator))
    problem = Problem(pixels, simulator)
    point = problem.prior()
    whole = problem.uncertainty(point)
    half = replace(pixels, usable=pixels.usable & (torch.arange(12) < 6)[None, :, None])
    assert bool((replace(problem, pixels=half).uncertainty(point) > whole).all())
