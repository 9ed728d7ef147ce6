"""A line solved as one: the system, and maps of worlds that our code did not make."""

from pathlib import Path

import numpy as np
import pytest
import torch

from fakes.worlds import world
from sifnet.physics.derivatives import SHARED
from sifnet.physics.discrepancy import Discrepancy
from sifnet.product.retrieve import retrieve
from sifnet.retrieval.line import COMMON, FIELD, LINE, Guess, System, Unknowns, _weighted
from sifnet.retrieval.refinement import PAIRS, RowEquations
from sifnet.scenes.scene import Flag

UNKNOWNS = Unknowns(components=3, grid=(2, 2), samples=5)


EVERY = torch.arange(UNKNOWNS.columns.stop)


def test_values_are_stacked_and_taken_apart() -> None:
    torch.manual_seed(0)
    start = Guess(torch.zeros(2, 2, 6), torch.zeros(5, 2), torch.zeros(()), torch.zeros(3))
    values = torch.randn(UNKNOWNS.columns.stop).double()
    guess = start.moved(UNKNOWNS, values, start)
    torch.testing.assert_close(guess.stacked(start), values, rtol=1e-5, atol=1e-5)
    assert bool((guess.deviation[..., COMMON] == guess.deviation[:1, :1, COMMON]).all())


def test_without_pixels_all_is_as_it_was_known() -> None:
    system = System(UNKNOWNS)
    prior = UNKNOWNS.prior(torch.tensor(0.1))
    assert bool((torch.linalg.eigvalsh(prior) > 0).all())
    nothing = torch.zeros(len(prior), dtype=torch.double)
    free = torch.full_like(nothing, torch.inf)
    values, covariance = system.solve(prior, nothing, -free, free), system.covariance(prior, EVERY)
    torch.testing.assert_close(values, nothing)
    line = covariance[: UNKNOWNS.line, : UNKNOWNS.line]
    torch.testing.assert_close(line, torch.eye(UNKNOWNS.line).double())


def test_neighbours_are_tied() -> None:
    """What one patch is told, its neighbours nearly believe."""
    system = System(UNKNOWNS)
    patch = UNKNOWNS.patches.start
    system.matrix[patch, patch], system.side[patch] = 1e6, 1e6
    prior = UNKNOWNS.prior(torch.tensor(0.1))
    nothing = torch.zeros(len(prior), dtype=torch.double)
    free = torch.full_like(nothing, torch.inf)
    values = system.solve(prior, nothing, -free, free)
    assert float(values[patch]) == pytest.approx(1.0, abs=1e-3)
    assert 0.8 < float(values[patch + 1 : UNKNOWNS.patches.stop].min()) < 1.0


def test_a_mean_is_as_expected_and_no_pixel_is_told() -> None:
    system = System(UNKNOWNS)
    prior = UNKNOWNS.prior(torch.tensor(0.1))
    gain = torch.zeros(len(prior))
    gain[:2] = 0.5  # the mean is half the sum of two unknowns, each known to 1
    system.expect_mean(gain, excess=1.0, sd=1e-4)
    nothing = torch.zeros(len(prior), dtype=torch.double)
    free = torch.full_like(nothing, torch.inf)
    values = system.solve(prior, nothing, -free, free)
    torch.testing.assert_close(values[:2], torch.tensor([-1.0, -1.0]).double(), atol=1e-5, rtol=0)
    covariance = system.covariance(prior, EVERY)
    assert float(covariance[0, 0] - covariance[0, 1]) == pytest.approx(
        1.0
    )  # the difference is free


def test_gains_are_gathered_where_the_unknowns_stand() -> None:
    own = UNKNOWNS.of(0, torch.tensor([[0]])).shape[-1]
    column = torch.tensor([[0, 1, 2], [3, 4, 4]])
    total = UNKNOWNS.gathered(2, column, torch.ones(2, 3, own))
    assert total[: UNKNOWNS.line].tolist() == [6.0] * UNKNOWNS.line
    assert total[UNKNOWNS.patches].tolist() == [0, 0, 3, 3]
    assert total[UNKNOWNS.columns].tolist() == [1, 1, 1, 1, 1, 1, 1, 1, 2, 2]


def test_what_bands_say_is_the_sum_of_their_squares() -> None:
    """Of errors of path and of ground, patch by patch, in any units."""
    torch.manual_seed(0)
    errors, light = torch.randn(2, 2 * 7, 3).double(), torch.randn(2, 5, 2, 7).double()
    strength = torch.stack([(light[:, :, i] * light[:, :, j]).sum(1) for i, j in PAIRS], 1)
    rows = _weighted(strength, errors)
    path, ground = errors.chunk(2, 1)
    changed = light[:, :, 0, :, None] * path[:, None] + light[:, :, 1, :, None] * ground[:, None]
    torch.testing.assert_close(rows.T @ rows, torch.einsum("plbi,plbj->ij", changed, changed))


def test_rows_of_patches_may_be_added_together() -> None:
    """Two rows at once say what they say one after the other."""
    torch.manual_seed(0)
    bands = 6
    discrepancy = Discrepancy(0.0, 1.0, torch.zeros(9, 2), torch.randn(9, 3, 2))
    wavelength = 1.0 + torch.arange(bands) + 0.1 * torch.arange(4).reshape(2, 1, 2, 1)
    column, s = torch.tensor([[0, 1], [3, 4]]), len(SHARED) + 1
    shapes = (s, s), (s,), (s, 2 * bands), (3, bands), (8, 2 * bands), (2 * bands,)
    rows = ([torch.rand(2, 2, *shape) for shape in shapes] for _ in range(2))
    parts = [RowEquations(own.double(), side.double(), *rest) for own, side, *rest in rows]
    both = RowEquations.combine(torch.cat, parts)
    one, other = (System(UNKNOWNS, discrepancy, wavelength) for _ in range(2))
    for first, part in zip((0, 2), parts, strict=True):
        one.add(first, part, column)
    other.add(0, both, column.repeat(2, 1))
    prior = UNKNOWNS.prior(torch.tensor(0.1))
    torch.testing.assert_close(one._whole(prior), other._whole(prior), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(one.side, other.side)


def test_a_column_that_fills_an_incomplete_patch_takes_nothing_away() -> None:
    """It comes a second time, with nothing to say."""
    torch.manual_seed(0)
    unknowns, shared = Unknowns(components=0, grid=(2, 2), samples=5), len(SHARED) + 1
    system = System(unknowns)
    own, side = torch.randn(1, 3, shared, shared).double(), torch.randn(1, 3, shared).double()
    own[:, 2], side[:, 2] = 0.0, 0.0
    nothing = torch.zeros(1, 3, 0)
    system.add(0, RowEquations(own, side, *[nothing] * 4), torch.tensor([[3, 4, 4]]))
    place = unknowns.columns.start + 2 * 4
    shift = SHARED.index("wavelength_shift")
    line, patch = system.matrix[place, : len(LINE)], system.matrix[place, unknowns.patches.start]
    torch.testing.assert_close(line, own[0, 1, shift, LINE])
    assert float(patch) == float(own[0, 1, shift, FIELD])
    assert float(system.matrix[place, place]) == float(own[0, 1, shift, shift])
    assert float(system.side[place]) == float(side[0, 1, shift])


def test_what_would_leave_its_range_stays_at_its_end() -> None:
    system = System(UNKNOWNS)
    system.matrix[0, 0], system.side[0] = 100.0, 300.0
    system.matrix[1, 0], system.matrix[1, 1], system.side[1] = 50.0, 100.0, 100.0
    prior = UNKNOWNS.prior(torch.tensor(0.1))
    nothing = torch.zeros(len(prior), dtype=torch.double)
    free = torch.full_like(nothing, torch.inf)
    high = free.clone()
    high[0] = 1.0
    values = system.solve(prior, nothing, -free, high)
    assert float(values[0]) == pytest.approx(1.0, abs=1e-6)
    assert float(values[1]) == pytest.approx((100 - 50) / 101, rel=1e-6)  # the others follow


@pytest.mark.parametrize("name", [pytest.param("plain", marks=pytest.mark.slow), "misreg", "stray"])
def test_a_world_of_another_physics(name: str, shared_data: Path, tmp_path: Path) -> None:
    """The model that ships, no fit; wavelengths of the second are in air, and do not say so."""
    scene, truth = world(name, shared_data, tmp_path)
    product = retrieve(scene)
    error = product.sif_760.values - truth.sif_760.values
    plants, bare = truth.surface_class.values == 2, truth.surface_class.values < 2
    assert np.sqrt((error[plants] ** 2).mean()) < 0.30
    assert abs(error[plants].mean()) < 0.15
    assert abs(error[bare].mean()) < 0.10
    in_sigma = np.abs(error) / product.sif_760_uncertainty.values
    assert 0.55 < (in_sigma < 1).mean() < 0.85
    assert (in_sigma < 2).mean() > 0.88
    assert (product.quality_flag.values == 0).mean() > 0.9
    shift = product.wavelength_shift.values - truth.wavelength_shift.values
    assert np.abs(shift).max() < 0.01


def test_air_that_nobody_believes_is_flagged(shared_data: Path, tmp_path: Path) -> None:
    """A pressure known to be 60 hPa from the true one."""
    import xarray as xr

    scene, truth = world("plain", shared_data, tmp_path)
    wrong = truth.attrs["surface_pressure_hpa"] - 60.0
    known = xr.Dataset({"surface_pressure": wrong, "surface_pressure_uncertainty": 2.0})
    flags = retrieve(scene, atmosphere=known).quality_flag.values
    assert ((flags & int(Flag.UNLIKELY_AIR)) > 0).mean() > 0.9
