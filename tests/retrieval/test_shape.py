"""The predicted shape of reflectance: right on what was not learned, and unsure elsewhere."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr

from conftest import PROJECT
from sifnet.physics.emulator import Emulator
from sifnet.physics.solar import COARSE_WAVELENGTH
from sifnet.product.retrieve import retrieve
from sifnet.retrieval.model import Retrieval, load
from sifnet.retrieval.shape import GRID, interpolation, sif_spread
from sifnet.retrieval.shipped import on_bands_of
from sifnet.scenes import open_scene, record_of

pytest.importorskip("sasktran2", reason="needs the 'build' extra")
pytest.importorskip("prosail", reason="needs the 'build' extra")


@pytest.fixture(scope="module")
def model() -> Retrieval:
    return load(PROJECT / "data" / "model_desis.ckpt")


@pytest.fixture(scope="module")
def seen(model: Retrieval):  # type: ignore[no-untyped-def]
    """Fresh canopies and soils under fresh skies, none of them learned from."""
    from sifnet.simulation.canopies import draw_canopies, draw_soils
    from sifnet.training.shape import Skies, lesson

    rng = np.random.default_rng(77)
    grounds = np.concatenate([draw_canopies(200, rng), draw_soils(60, rng)])
    wavelength = model.predictor.wavelength.double().numpy()
    fwhm = np.full(len(wavelength), 3.5)
    glows = np.arange(260) < 200
    return lesson(
        record_of("desis"), grounds, glows, Skies.drawn(rng, 12), wavelength, fwhm, 1800, rng
    )


def test_errors_are_as_large_as_stated(model: Retrieval, seen) -> None:  # type: ignore[no-untyped-def]
    read = model.predictor(seen.spectrum, seen.geometry)
    shape = read.shape + read.by_sif * seen.sif_760
    stated = torch.sqrt(torch.diagonal(model.predictor.covariance)) * read.unusual[:, None]
    away = GRID != 760.0
    error = ((shape - seen.shape) / stated)[:, away]
    assert 0.6 < float(error.square().mean().sqrt()) < 1.5
    assert float((shape - seen.shape)[:, away].abs().median()) < 0.005
    off = (read.sif - seen.sif_760[:, 0]) / read.sif_sd
    assert 0.7 < float(off.square().mean().sqrt()) < 1.3


def test_canopies_of_another_model(model: Retrieval, shared_data: Path) -> None:
    """SCOPE (van der Tol et al. 2009), from which nothing was learned."""
    from sifnet.training.shape import Skies, lesson

    with np.load(shared_data / "scope" / "scope_verification_100scenes_640_850nm.npz") as scope:
        wave, table = scope["wl_nm"], scope["reflectance"]
    grounds = np.array([np.interp(COARSE_WAVELENGTH, wave, row) for row in table])
    rng, wavelength = np.random.default_rng(3), model.predictor.wavelength.double().numpy()
    fwhm, glows = np.full(len(wavelength), 3.5), np.ones(len(grounds), bool)
    scope = lesson(
        record_of("desis"), grounds, glows, Skies.drawn(rng, 12), wavelength, fwhm, 1800, rng
    )
    read = model.predictor(scope.spectrum, scope.geometry)
    error = read.shape + read.by_sif * scope.sif_760 - scope.shape
    at_748, at_780 = (error[:, at == GRID].square().mean().sqrt() for at in (748.0, 780.0))
    assert float(at_748) < 0.004
    assert float(at_780) < 0.006
    off = (read.sif - scope.sif_760[:, 0]) / read.sif_sd
    assert 0.6 < float(off.square().mean().sqrt()) < 1.5


def test_spectra_unlike_any_learned_are_less_certain(model: Retrieval, seen) -> None:  # type: ignore[no-untyped-def]
    usual = model.predictor(seen.spectrum, seen.geometry).unusual
    red = torch.as_tensor((model.predictor.wavelength > 700) * 3.0)  # of blue plastic, say
    odd = model.predictor(seen.spectrum - red, seen.geometry).unusual
    snow = torch.full_like(seen.spectrum, -0.1)
    white = model.predictor(snow, seen.geometry).unusual
    assert float(odd.median()) > 3 * float(usual.median())
    assert float(white.median()) > 1.5 * float(usual.median())
    # But what stands there emits no more than canopies do.
    blue = model.predictor(seen.spectrum - red, seen.geometry)
    itself = model.predictor.read(
        (seen.spectrum - red - model.predictor.mean) / model.predictor.sd, seen.geometry
    )
    assert (blue.sif_sd <= itself.sif_sd.clamp_min(sif_spread())).all()
    assert (blue.sif_sd > itself.sif_sd).any()
    sure = replace(itself, sif_sd=0.01 * itself.sif_sd)  # nor does it tell that to 0.01
    assert (model.predictor.as_prior(sure, GRID)[0].sif_760[..., 1] >= 0.1).all()


def test_bands_too_far_apart_are_refused() -> None:
    with pytest.raises(Exception, match="too far apart to predict the shape"):
        interpolation(np.array([700.0]), np.array([690.0, 720.0]))


def test_the_emulator_for_space_goes_on_smoothly_beyond_its_grid() -> None:
    """Divided by the sun, light in the continuum bends nowhere by more than 0.05 %."""
    from sifnet.physics.full.extension import smoothed_sun

    emulator = Emulator.load(space=True)
    grid = emulator.grid.numpy()
    assert grid[0] < 734
    assert grid[-1] > 790
    smooth = emulator.basis[1, 0].numpy() / smoothed_sun(grid)
    for end in (740.0, 780.0):
        near = abs(grid - end) < 3
        line = np.polyval(np.polyfit(grid[near] - end, smooth[near], 1), grid[near] - end)
        assert abs(smooth[near] / line - 1).max() < 5e-4


@pytest.mark.slow
def test_a_scene_from_space(tmp_path: Path, model: Retrieval) -> None:
    """Full radiative transfer in, fluorescence out, as uncertain as stated."""
    from sifnet.simulation.simulate import simulate

    scene = open_scene(simulate("desis", tmp_path, lines=64, samples=64, seed=21))
    found = retrieve(scene, on_bands_of(model, scene))
    truth = xr.open_dataset(tmp_path / "truth.nc")
    error = (found["sif_740"] - truth["sif_740"]).values
    assert abs(np.nanmean(error)) < 0.3
    assert np.sqrt(np.nanmean(error**2)) < 1.0
    within = abs(error) < found["sif_740_uncertainty"].values
    assert 0.55 < within[np.isfinite(error)].mean() < 0.9
