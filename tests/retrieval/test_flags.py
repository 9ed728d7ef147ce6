"""Flags and uncertainty of the result: each raised by a scene that earns it, and by no other."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch
import xarray as xr

from conftest import PROJECT
from fakes.emulator import fake_emulator
from fakes.scenes import known_scene, space_scene
from sifnet.physics.surface import sif_740_ratio
from sifnet.product.retrieve import retrieve
from sifnet.retrieval.draws import Draws, anywhere
from sifnet.retrieval.encoder import Architecture
from sifnet.retrieval.model import Retrieval, Setup, load
from sifnet.scenes.scene import Flag, Scene

SMALL = Architecture(features=8, widths=(16, 16, 8), repeats=(1, 1, 1), head_widths=(16, 8, 8, 8),
                     head_repeats=(1, 1, 1, 1))  # fmt: skip
LEAVES = slice(3, 6), slice(0, 3)  # pixels of ``known_scene`` that are not bare
SIZE = {"lines": 12, "samples": 8, "step": 0.3}


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@cache
def clean() -> Scene:
    return known_scene(fake_emulator(), **SIZE).scene


def model_of(scene: Scene) -> Retrieval:
    """An untrained model: the steps after it do the work."""
    torch.manual_seed(0)
    model = Retrieval(Setup.of_scene(scene, fake_emulator(), architecture=SMALL), fake_emulator())
    drawn, _ = Draws(model, anywhere(model.emulator, 64), patches=16).draw()
    model.encoder.features.freeze(drawn)
    return model.eval()


@cache
def model() -> Retrieval:
    return model_of(clean())


def flagged(product: xr.Dataset, flag: Flag) -> np.ndarray:
    return (product.quality_flag.values & int(flag)) > 0


def brighter(scene: Scene, change: np.ndarray, where: tuple[slice, slice]) -> Scene:
    """The scene with radiance times a factor a band in some pixels."""
    radiance = scene.radiance.copy(deep=True)
    radiance[where] = radiance[where] * change
    return replace(scene, dataset=scene.dataset.assign(radiance=radiance))


def test_a_clean_scene_has_no_flag() -> None:
    product = retrieve(clean(), model())
    assert not (product.quality_flag.values.astype(int) & ~int(Flag.DIM)).any()
    ratio = (product.sif_740 / product.sif_760).values
    np.testing.assert_allclose(ratio, float(sif_740_ratio()[0]), rtol=1e-4)


def test_a_stripe_in_the_spectrum_is_a_poor_fit() -> None:
    """Every second band 6 % brighter: nothing that is simulated has such a spectrum."""
    bands = clean().shape[2]
    odd = 1 + 0.06 * (np.arange(bands) % 2) * (clean().wavelength > 700)
    product = retrieve(brighter(clean(), odd.astype("f4"), LEAVES), model())
    found = flagged(product, Flag.POOR_FIT)
    assert found[LEAVES].all()
    assert found.sum() == 9


def test_reflectance_steeper_than_any_ground_lies_at_its_bound() -> None:
    """Radiance five times as large at 770 nm as at 750 nm: the steepest that is believed is 0.25
    of reflectance in 10 nm, and this rises by 1.4 times that of 750 nm."""
    wavelength = clean().wavelength
    steep = np.where(wavelength > 740, 0.7 * (1 + 0.2 * (wavelength - 750.0)), 1.0)
    product = retrieve(brighter(clean(), steep.astype("f4"), LEAVES), model())
    found = flagged(product, Flag.AT_BOUND)
    assert found[LEAVES].all()
    assert found.sum() == 9


def test_a_sensor_beyond_its_range_lies_at_its_bound() -> None:
    """Bands 0.2 nm from where they are said to be, where 0.12 nm is the most that is believed."""
    scene = clean()
    dataset = scene.dataset.assign_coords(wavelength=scene.dataset["wavelength"] + 0.2)
    dataset.attrs["registered_shift"] = 0.0  # so that it is not put right before
    moved = replace(scene, dataset=dataset)
    product = retrieve(moved, model_of(moved))
    assert flagged(product, Flag.AT_BOUND).mean() > 0.9


def test_ground_unlike_any_that_was_learned_is_said_to_be() -> None:
    """A plastic sheet in a scene from space: red edge the wrong way, far beyond what is green."""
    desis = load(PROJECT / "data" / "model_desis.ckpt")
    assert desis.predictor is not None
    desis.predictor.usual *= 4  # beside the window this scene has no air, which is unusual itself
    scene = space_scene(desis.emulator, lines=8, samples=8)
    corner = slice(3), slice(3)
    wavelength = scene.wavelength
    odd = np.where(wavelength < 715, 6.0, np.where(wavelength > 785, 0.15, 1.0)).astype("f4")
    product = retrieve(brighter(scene, odd, corner), desis)
    found = flagged(product, Flag.UNUSUAL_SPECTRUM)
    assert found[corner].all()
    assert found.sum() == 9
