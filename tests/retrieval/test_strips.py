"""Scenes of any size to maps that do not show how they were cut, near the ground and from space."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import torch
import xarray as xr

from conftest import PROJECT
from fakes.emulator import fake_emulator
from fakes.scenes import known_scene, space_scene
from sifnet.product.retrieve import retrieve
from sifnet.retrieval import strips
from sifnet.retrieval.draws import Draws, anywhere
from sifnet.retrieval.encoder import Architecture
from sifnet.retrieval.model import Retrieval, Setup, load
from sifnet.retrieval.shared import SCAN_LINES, find_shared, pixel_strips
from sifnet.scenes.scene import Scene

SMALL = Architecture(features=8, widths=(16, 16, 8), repeats=(1, 1, 1), head_widths=(16, 8, 8, 8),
                     head_repeats=(1, 1, 1, 1))  # fmt: skip
SIZES = [(1, 1), (3, 5), (33, 31), (65, 40)]
PATCH = 32


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@cache
def airborne() -> Retrieval:
    """An untrained model: the steps after it do the work."""
    scene = known_scene(fake_emulator(), lines=8, samples=8, step=0.44).scene
    torch.manual_seed(0)
    setup = Setup.of_scene(scene, fake_emulator(), architecture=SMALL)
    model = Retrieval(setup, fake_emulator())
    draws = Draws(model, anywhere(model.emulator, 64), patches=16)
    model.encoder.features.freeze(draws.draw()[0])
    return model.eval()


@cache
def from_space() -> Retrieval:
    """The model that ships for DESIS, which predicts shapes and scans few lines of a patch."""
    return load(PROJECT / "data" / "model_desis.ckpt")


def scene_of(lines: int, samples: int, *, space: bool = False, relief: float = 0.0) -> Scene:
    if space:
        return space_scene(from_space().emulator, lines=lines, samples=samples)
    known = known_scene(fake_emulator(), lines=lines, samples=samples, step=0.44, relief=relief)
    return known.scene


def model_of(*, space: bool) -> Retrieval:
    return from_space() if space else airborne()


def usable(scene: Scene, model: Retrieval) -> np.ndarray:
    """(line, sample) whether a pixel can be used, read at one go."""
    shape = scene.shape[:2]
    [(_, pixels)] = pixel_strips(scene, model, shape, None, shape[0])
    return pixels.usable[0].numpy()


@pytest.mark.parametrize("space", [False, True])
@pytest.mark.parametrize("size", SIZES)
def test_a_scene_of_any_size_is_mapped(size: tuple[int, int], space: bool) -> None:
    scene, model = scene_of(*size, space=space), model_of(space=space)
    maps = retrieve(scene, model)
    expected = usable(scene, model)
    assert maps.sif_760.shape == size
    assert expected.mean() > 0.95
    for name in ("sif_760", "sif_760_uncertainty", "reflectance_740", "surface_pressure"):
        assert np.array_equal(np.isfinite(maps[name].values), expected), name


@pytest.mark.parametrize("size", [(1, 1), (33, 31)])
def test_a_scene_of_any_size_is_mapped_by_the_encoder_alone(size: tuple[int, int]) -> None:
    scene = scene_of(*size)
    maps = retrieve(scene, airborne(), refine=False)
    assert np.array_equal(np.isfinite(maps.sif_760.values), usable(scene, airborne()))


def cut(scene: Scene, model: Retrieval, lines: int, patch: pytest.MonkeyPatch) -> xr.Dataset:
    with patch.context() as there:
        there.setattr(strips, "AT_ONCE", lines * scene.shape[1])
        return retrieve(scene, model)


@pytest.mark.parametrize(
    ("space", "relief"), [(False, 0.0), (False, 0.3), (True, 0.0)], ids=["level", "relief", "space"]
)
def test_the_map_does_not_depend_on_how_the_scene_was_cut(
    space: bool, relief: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """70 lines: strips of 8 lines end within a row of patches, strips of 64 beyond two."""
    scene, model = scene_of(70, 12, space=space, relief=relief), model_of(space=space)
    whole, maps = (cut(scene, model, lines, monkeypatch) for lines in (64, 8))
    for name, plane in whole.data_vars.items():
        if plane.dims == ("line", "sample"):
            np.testing.assert_allclose(
                maps[name].values, plane.values, rtol=1e-5, atol=5e-5, err_msg=str(name)
            )


@pytest.mark.parametrize(("lines", "rows"), [(1, 1), (3, 1), (31, 1), (32, 1), (33, 2), (65, 3)])
@pytest.mark.parametrize("space", [False, True])
def test_every_row_of_patches_is_scanned_once(lines: int, rows: int, space: bool) -> None:
    """From space 3 lines of 32 are wanted, every tenth: 4 are read, the last beyond a short row."""
    scene, model = scene_of(lines, 40, space=space), model_of(space=space)
    told: list[int] = []
    shared = find_shared(scene, model, done=told.append)
    assert shared.deviation.shape == (rows, 2, 6)
    assert shared.carried.shape == (rows, 2, 2, 2)
    assert shared.sensor.wavelength_shift.shape == (40,)
    assert sum(told) == lines
    assert len(told) == rows
    assert all(torch.isfinite(value).all() for _, value in shared.sensor.items())
    assert torch.isfinite(shared.deviation).all()


def test_a_step_that_does_not_divide_the_patch_is_among_those_tested() -> None:
    weights, (fewest, _) = from_space().setup.weights, SCAN_LINES
    assert weights.independent_pixels == 10.0
    assert PATCH % (PATCH // fewest) != 0


def test_what_is_not_known_of_surroundings_is_in_the_uncertainty() -> None:
    scene, model = scene_of(16, 12), airborne()
    unsure = Scene(scene.dataset.assign_attrs(adjacency_share=0.2, adjacency_share_sd=0.1))
    sure, more = (
        next(strips.solve_strips(s, model, find_shared(s, model)))[1] for s in (scene, unsure)
    )
    sif = sure["sif_760"].values
    added = [
        m[f"sif_760_uncertainty{of}"].values ** 2 for of in ("", "_shared") for m in (sure, more)
    ]
    expected = (0.1 * (sif - np.nanmean(sif))) ** 2
    np.testing.assert_allclose(added[1] - added[0], expected, atol=1e-3)
    np.testing.assert_allclose(added[3] - added[2], expected, atol=1e-3)
    xr.testing.assert_equal(sure["sif_760"], more["sif_760"])
