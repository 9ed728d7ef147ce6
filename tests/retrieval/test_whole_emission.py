"""The whole emission from SIF in the oxygen bands, against Bayes by numbers and other canopies."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from sifnet.retrieval import whole_emission as module
from sifnet.retrieval.emission import Measured
from sifnet.retrieval.whole_emission import WAVELENGTH, whole_emission

Array = NDArray[np.float64]


def measured(value: Array, sd: float, own: float | None = None) -> Measured:
    flat = np.full_like(value, sd)
    return Measured(value, flat, flat if own is None else np.full_like(value, own))


@pytest.fixture
def others(shared_data: Path, monkeypatch: pytest.MonkeyPatch) -> Array:
    """Half of SCOPE's canopies, while the shapes are those of the other half."""
    data = np.load(shared_data / "scope" / "scope_verification_100scenes_640_850nm.npz")
    grid, emission = data["wlF_nm"], data["F_mW_m2_nm_sr"]
    emission = emission[emission[:, grid == 760.0][:, 0] > 0.05]
    level = emission[::2][:, grid == 760.0]
    taught, share = emission[::2] / level, np.sqrt(level / level.sum())
    mean = (share**2 * taught).sum(0)
    _, size, components = np.linalg.svd(share * (taught - mean), full_matrices=False)
    usual = np.column_stack([mean, (components[:3] * size[:3, None]).T])
    monkeypatch.setattr(module, "usual_canopies", lambda: (grid, usual))
    module.shapes.cache_clear()
    yield np.array([np.interp(WAVELENGTH, grid, one) for one in emission[1::2]])
    module.shapes.cache_clear()


def test_it_is_the_mean_of_all_emissions_weighed_by_how_well_they_fit() -> None:
    """Importance sampling of the stated prior, for a level as large as its sigma is small."""
    far, near = (2.0, 0.05), (1.2, 0.15)
    rng = np.random.default_rng(1)
    shapes = module.shapes()
    level = far[0] + far[1] * rng.standard_normal(200_000)
    scores = rng.standard_normal((200_000, shapes.shape[1] - 1))
    drawn = level[:, None] * (shapes[:, 0] + scores @ shapes[:, 1:].T)
    weight = np.exp(-0.5 * ((drawn[:, 17] - near[0]) / near[1]) ** 2)
    weight /= weight.sum()
    found = whole_emission(*(measured(np.array([v]), sd) for v, sd in (far, near)))
    mean = weight @ drawn
    np.testing.assert_allclose(found.sif[0], mean, atol=0.02)
    np.testing.assert_allclose(found.sd()[0], np.sqrt(weight @ (drawn - mean) ** 2), rtol=0.05)
    integrals = np.trapezoid(drawn, dx=1.0)
    total = found.integral()
    assert total.value[0] == pytest.approx(weight @ integrals, rel=0.01)
    spread = np.sqrt(weight @ (integrals - weight @ integrals) ** 2)
    assert total.sd[0] == pytest.approx(spread, rel=0.05)


def test_the_integral_is_that_of_numpy_and_one_band_alone_says_the_mean_shape() -> None:
    found = whole_emission(measured(np.array([0.5, 1.0, np.nan]), 0.1))
    np.testing.assert_allclose(found.integral().value, np.trapezoid(found.sif, dx=1.0))
    np.testing.assert_allclose(found.at(760.0).value[:2], [0.5, 1.0], rtol=1e-9)
    np.testing.assert_allclose(found.at(760.0).sd[:2], 0.1, rtol=1e-6)
    np.testing.assert_allclose(found.sif[1], 2 * found.sif[0])
    assert np.isnan(found.sif[2]).all()


def test_noise_is_what_repeated_measurements_scatter_by() -> None:
    rng, many = np.random.default_rng(2), 4000
    far = 1.0 + 0.1 * rng.standard_normal(many)
    near = 0.5 + 0.3 * rng.standard_normal(many)
    found = whole_emission(measured(far, 0.3, 0.1), measured(near, 0.4, 0.3)).integral()
    assert found.value.std() == pytest.approx(np.median(found.own), rel=0.1)
    assert (found.sd > 1.5 * found.own).all()


@pytest.mark.parametrize(("far_sd", "near_sd"), [(0.1, 0.4), (0.1, None), (0.03, 0.03)])
def test_sigma_holds_canopies_that_made_no_shape(
    others: Array, far_sd: float, near_sd: float | None
) -> None:
    rng = np.random.default_rng(3)
    truth = np.repeat(others, 40, axis=0)
    far = measured(truth[:, 90] + far_sd * rng.standard_normal(len(truth)), far_sd)
    near = None
    if near_sd is not None:
        near = measured(truth[:, 17] + near_sd * rng.standard_normal(len(truth)), near_sd)
    found = whole_emission(far, near)
    for number, true in (
        (found.integral(), np.trapezoid(truth, dx=1.0)),
        (found.at(687.0), truth[:, 17]),
        (found.at(740.0), truth[:, 70]),
    ):
        z = np.abs(number.value - true) / number.sd
        assert 0.6 < (z < 1).mean() < 0.93
        assert (z < 2).mean() > 0.9
    if near_sd == 0.4:  # canopies tell more of 687 nm than its lines do
        error = found.at(687.0).value - truth[:, 17]
        assert np.sqrt((error**2).mean()) < 0.2


def test_scores_are_those_of_canopies_weighed_by_what_they_emit(shared_data: Path) -> None:
    """The stated constants, by the moments of SCOPE's own spectra."""
    data = np.load(shared_data / "scope" / "scope_verification_100scenes_640_850nm.npz")
    grid, emission = data["wlF_nm"], data["F_mW_m2_nm_sr"]
    level = emission[:, grid == 760.0][:, 0]
    emission, level = emission[level > 0.05], level[level > 0.05]
    at, usual = module.usual_canopies()
    seen = np.isin(grid, at)
    np.testing.assert_allclose(usual[:, 0], emission.sum(0)[seen] / level.sum(), atol=0.004)
    spread = np.sqrt(np.cov((emission / level[:, None]).T, aweights=level, ddof=0).diagonal())
    np.testing.assert_allclose(np.linalg.norm(usual[:, 1:], axis=1), spread[seen], atol=0.004)
