"""The fit behind a pixel is the fit of the map."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from fakes.fitted import quick_fit
from sifnet.physics.surface import sif_shape
from sifnet.retrieval.explained import ON_BANDS, PARAMETERS, Sample, explain
from sifnet.retrieval.refinement import STRAY_SD
from sifnet.retrieval.shared import find_shared
from sifnet.retrieval.strips import solve_strips
from sifnet.scenes.scene import Flag


@pytest.fixture(scope="module")
def mapped():
    known, model = quick_fit()
    scene = replace(known.scene, dataset=known.scene.dataset.copy(deep=True))
    scene.dataset.radiance.values[5, 3] = np.nan
    shared = find_shared(scene, model)
    shared.errors[0] = 0.002 / STRAY_SD  # as a line may well have
    sample = Sample(scene, model, shared)
    ((_, maps),) = solve_strips(scene, model, shared, see=sample.see)
    return scene, model, shared, maps, sample.kept()


def test_any_pixel_is_fitted_as_in_the_map(mapped) -> None:
    scene, model, shared, maps, _ = mapped
    mask = np.zeros(scene.shape[:2], bool)
    for at in ((0, 0), (7, 5), (8, 15), (23, 9), (5, 3)):
        mask[at] = True
    told = list(explain(scene, model, shared, mask))
    assert sum(one.sizes["pixel"] for one in told) == 4  # a dead one is left out
    for one in told:
        at = {name: one[name] for name in ("line", "sample")}
        values = one["value"].values
        for name in ("sif_760", "reflectance_740", "aot_550", "wavelength_shift"):
            found = values[:, PARAMETERS.index(name)]
            np.testing.assert_allclose(found, maps[name].isel(at), rtol=1e-3, atol=1e-4)
        np.testing.assert_allclose(one["chi2_reduced"], maps["chi2_reduced"].isel(at), rtol=1e-3)
        rms = np.sqrt(((one["measured"] - one["fitted"]) ** 2).mean("band"))
        np.testing.assert_allclose(rms, maps["residual_rms"].isel(at), rtol=1e-3)


def test_parts_are_what_they_say(mapped) -> None:
    """Residual is measured less fitted over noise; fluorescence is that of the ground, dimmed."""
    scene, _, _, _, kept = mapped
    assert set(ON_BANDS) < set(kept)
    residual = (kept["measured"] - kept["fitted"]) / kept["noise"]
    np.testing.assert_allclose(kept["residual"], residual, atol=1e-4)
    wavelength = torch.as_tensor(kept["wavelength"].values)
    emitted = kept["value"].values[:, :1] * sif_shape(wavelength).numpy()
    share = (kept["fluorescence"].values / emitted)[abs(emitted[:, 0]) > 0.1]
    assert 0.1 < share.min() < share.max() < 1.05
    low = share[:, np.argmin(abs(wavelength[0].numpy() - 760.6))]
    assert (low < share[:, 0] - 0.1).all()  # oxygen takes a part of it
    assert np.isfinite(kept["prior"].values[:, PARAMETERS.index("surface_pressure")]).all()
    number = kept["line"].values * scene.shape[1] + kept["sample"].values
    assert len(np.unique(number)) == len(number) == 255  # of 384, and one is dead
    pixels = kept["mean_residual"].attrs["pixels"]
    assert 200 < pixels <= 384
    assert float(abs(kept["mean_residual"]).max()) < 6 / np.sqrt(pixels) + 1


def test_what_is_kept_does_not_change_the_map(mapped) -> None:
    scene, model, shared, maps, _ = mapped
    ((_, alone),) = solve_strips(scene, model, shared)
    for name in maps:
        np.testing.assert_array_equal(alone[name], maps[name])
    assert alone["quality_flag"].values[5, 3] & int(Flag.DEAD)
