"""Fit end to end where the truth is known; seeds, resume, interruption."""

import io
import re
from dataclasses import replace
from pathlib import Path

import lightning
import numpy as np
import pytest
import torch
from lightning.pytorch.callbacks import EarlyStopping
from rich.console import Console

from fakes.emulator import fake_emulator
from fakes.scenes import KnownScene, known_scene
from sifnet import terminal
from sifnet.errors import SifnetError
from sifnet.product.retrieve import retrieve
from sifnet.retrieval.draws import Draws
from sifnet.retrieval.encoder import Architecture
from sifnet.retrieval.losses import LossWeights
from sifnet.retrieval.model import Retrieval, Setup, load
from sifnet.retrieval.pixels import read
from sifnet.retrieval.shared import find_shared
from sifnet.scenes.scene import Scene
from sifnet.training import fit as training
from sifnet.training.fit import Fitting, Training, fit
from sifnet.training.patches import Patches
from sifnet.training.pretrain import atmosphere_error, sensor_error, surface_error

SMALL = Architecture(features=12, widths=(32, 32, 16), repeats=(1, 1, 1), dropout=(0.0, 0.0, 0.0),
                     head_widths=(32, 16, 16, 16), head_repeats=(1, 1, 1, 1))  # fmt: skip
QUICK = Training(epochs=2, steps_per_epoch=8, patch=(12, 8), pretrain_steps=60,
                 architecture=SMALL)  # fmt: skip
TINY = replace(QUICK, pretrain_steps=2, steps_per_epoch=1)


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def known() -> KnownScene:
    return known_scene(fake_emulator(), lines=36, samples=16)


@pytest.fixture(scope="module")
def small() -> KnownScene:
    """For what does not ask how good a fit is."""
    return known_scene(fake_emulator(), lines=12, samples=8, step=0.44)


def test_fit_finds_the_truth_better_than_any_constant(known: KnownScene, tmp_path: Path) -> None:
    model = fit(known.scene, tmp_path, config=QUICK, emulator=fake_emulator())
    maps, truth = retrieve(known.scene, model), known.truth.sif_760.values
    error = maps.sif_760.values - truth
    assert np.corrcoef(maps.sif_760.values.ravel(), truth.ravel())[0, 1] > 0.9
    assert np.sqrt((error**2).mean()) < 0.5 * truth.std()  # the best constant has an error of std
    assert abs(error[truth == 0].mean()) < 0.15
    within = (np.abs(error) < maps.sif_760_uncertainty.values).mean()
    assert 0.5 < within < 0.85
    shift = maps.wavelength_shift - known.truth.wavelength_shift
    assert float(np.abs(shift).max()) < 0.01
    # Fluorescence was drawn independently of reflectance: it must not be read from it.
    glowing = truth > 0
    reflectance = known.truth.reflectance_740.values
    assert abs(np.corrcoef(error[glowing], reflectance[glowing])[0, 1]) < 0.35
    assert sorted(p.name for p in tmp_path.iterdir()) == ["log", "model.ckpt"]
    again = retrieve(known.scene, load(tmp_path / "model.ckpt"))
    np.testing.assert_array_equal(again.sif_760.values, maps.sif_760.values)


def test_same_seed_same_result(small: KnownScene) -> None:
    models = [fit(small.scene, config=replace(TINY, seed=seed), emulator=fake_emulator())
              for seed in (3, 3, 4)]  # fmt: skip
    first, same, other = (m.encoder.pixel_head.leave.weight for m in models)
    assert torch.equal(first, same)
    assert not torch.equal(first, other)


def test_mixed_precision_clips_its_gradients_too(small: KnownScene) -> None:
    """Which Lightning refuses where all weights are one kernel's."""
    model = fit(small.scene, config=replace(TINY, precision="bf16-mixed"), emulator=fake_emulator())
    assert all(torch.isfinite(p).all() for p in model.encoder.parameters())


def test_start_model_replaces_pretraining(small: KnownScene, tmp_path: Path) -> None:
    start = fit(small.scene, config=replace(TINY, epochs=0), emulator=fake_emulator())
    start.save(tmp_path / "start.ckpt")
    other = known_scene(fake_emulator(), lines=12, samples=8, step=0.44, name="other", seed=2).scene
    model = fit([other], config=replace(TINY, epochs=0), start_model=tmp_path / "start.ckpt")
    for name in ("backbone", "pixel_head", "patch_head", "column_head", "features"):
        parts = (getattr(model.encoder, name).state_dict(), getattr(start.encoder, name)
                 .state_dict())  # fmt: skip
        assert all(torch.equal(parts[0][k], parts[1][k]) for k in parts[0])
    assert model.line_id(other) == 0
    assert model.line_id(small.scene) == -1


def test_a_fit_knows_what_the_simulation_of_its_line_is_wrong_by(
    small: KnownScene, tmp_path: Path
) -> None:
    """Else the encoder learns a spectrum that is common to the line as air and fluorescence."""
    model = fit(small.scene, tmp_path, config=replace(TINY, epochs=0), emulator=fake_emulator())
    errors = find_shared(small.scene, model).errors
    assert float((model.errors.detach() - errors).norm()) < 0.3 * float(errors.norm())
    assert torch.equal(load(tmp_path / "model.ckpt").errors, model.errors)


def test_how_far_pixels_err_alike_comes_with_the_start_model(small: KnownScene) -> None:
    """Unless it is asked otherwise: the 10 of a scene from space became the usual 150."""
    start = fit(small.scene, config=replace(TINY, epochs=0), emulator=fake_emulator())
    start.setup = replace(start.setup, weights=LossWeights(independent_pixels=10.0))
    for asked, got in ((LossWeights(ndvi=3.0), 10.0), (LossWeights(independent_pixels=7.0), 7.0)):
        config = replace(TINY, epochs=0, weights=asked)
        model = fit(small.scene, config=config, start_model=start)
        assert model.setup.weights == replace(asked, independent_pixels=got)


def test_interrupted_fit_leaves_no_model_and_goes_on(
    small: KnownScene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(self: Fitting) -> None:
        if self.current_epoch == 1:
            raise RuntimeError("power cut")

    config = replace(TINY, epochs=3, steps_per_epoch=2)
    never = fit(small.scene, tmp_path / "never", config=config, emulator=fake_emulator())
    with monkeypatch.context() as patch:
        patch.setattr(Fitting, "on_train_epoch_start", stop)
        with pytest.raises(RuntimeError, match="power cut"):
            fit(small.scene, tmp_path, config=config, emulator=fake_emulator())
    assert not (tmp_path / "model.ckpt").exists()
    assert (tmp_path / "last.ckpt").exists()

    epochs: list[int] = []
    monkeypatch.setattr(Fitting, "on_train_epoch_start",
                        lambda self: epochs.append(self.current_epoch))  # fmt: skip
    monkeypatch.setattr(training, "learn_simulations", lambda *_, **__: pytest.fail("began again"))
    again = fit(small.scene, tmp_path, config=config, emulator=fake_emulator())
    assert epochs == [1, 2]
    for name, weights in never.encoder.state_dict().items():
        assert torch.equal(weights, again.encoder.state_dict()[name]), name
    maps = (retrieve(small.scene, model)["sif_760"] for model in (never, again))
    np.testing.assert_array_equal(*maps)
    assert (tmp_path / "model.ckpt").exists()
    assert not (tmp_path / "last.ckpt").exists()


def test_a_fit_that_had_stopped_early_does_not_go_on(
    small: KnownScene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed between its last epoch and its model."""
    config = replace(TINY, epochs=4, patience=1, learning_rate=1e-12)
    epochs: list[int] = []
    monkeypatch.setattr(Fitting, "on_train_epoch_start",
                        lambda self: epochs.append(self.current_epoch))  # fmt: skip
    with monkeypatch.context() as patch, pytest.raises(RuntimeError, match="power cut"):
        patch.setattr(EarlyStopping, "_evaluate_stopping_criteria", lambda *_: (True, None))
        patch.setattr(Retrieval, "save", _power_cut)
        fit(small.scene, tmp_path, config=config, emulator=fake_emulator())
    assert epochs == [0]
    fit(small.scene, tmp_path, config=config, emulator=fake_emulator())
    assert epochs == [0]


def _power_cut(*_: object) -> None:
    raise RuntimeError("power cut")


def test_a_fit_that_is_done_is_known_while_its_note_is_kept(
    small: KnownScene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed while mapping: the model is there, and is not made again unless asked otherwise."""
    options = {"emulator": fake_emulator(), "keep_note": True}
    made = fit(small.scene, tmp_path, config=TINY, **options)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["fit.json", "log", "model.ckpt"]
    with monkeypatch.context() as patch:
        patch.setattr(training, "_adapt", lambda *_: pytest.fail("began again"))
        same = fit(small.scene, tmp_path, config=TINY, **options)
        assert torch.equal(same.encoder.columns, made.encoder.columns)
        other = small.scene.dataset.assign(radiance=small.scene.dataset.radiance * 1.01)
        for change in (
            {"scenes": Scene(other)},
            {"config": replace(TINY, seed=9)},
            {"start_model": made},
        ):
            given = {"scenes": small.scene, "config": TINY, **options, **change}
            with pytest.raises(pytest.fail.Exception, match="began again"):
                fit(given.pop("scenes"), tmp_path, **given)


def test_unwritable_output_is_refused_before_any_work(known: KnownScene, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SifnetError, match="output cannot be written"):
        fit(known.scene, tmp_path / "file", config=TINY, emulator=fake_emulator())


def test_scenes_of_different_bands_are_refused(known: KnownScene) -> None:
    other = known_scene(fake_emulator(), lines=8, samples=4, step=0.5).scene
    with pytest.raises(SifnetError, match="not made for this scene"):
        fit([known.scene, other], config=TINY, emulator=fake_emulator())


@pytest.mark.parametrize("name", ["steps_per_epoch", "batch", "lines_per_step", "samples_per_step",
                                  "most_patches"])  # fmt: skip
def test_sizes_below_one_are_refused(name: str) -> None:
    with pytest.raises(SifnetError, match=name):
        Training(**{name: 0})  # type: ignore[arg-type]


def test_trainer_stops_early_and_is_deterministic(tmp_path: Path) -> None:
    trainer = training.make_trainer(epochs=3, steps_per_epoch=2, folder=tmp_path, patience=1)
    kinds = [type(callback).__name__ for callback in trainer.callbacks]  # type: ignore[attr-defined]
    assert "EarlyStopping" in kinds
    assert "ModelCheckpoint" in kinds
    assert isinstance(trainer, lightning.Trainer)
    assert torch.are_deterministic_algorithms_enabled()


def test_a_fit_shows_one_line_with_loss_and_time_left(
    small: KnownScene, monkeypatch: pytest.MonkeyPatch
) -> None:
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=100)
    monkeypatch.setattr(terminal, "err", console)
    fit(small.scene, config=TINY, emulator=fake_emulator(), progress=True)
    text = screen.getvalue()
    assert re.search(r"fit .*loss [\d.e+-]+.*\d:\d\d:\d\d", text)
    assert f"/{TINY.pretrain_steps + TINY.epochs * TINY.steps_per_epoch}" in text
    assert text.count("\n") <= 1


def test_a_step_looks_at_some_columns_and_what_they_see(small: KnownScene) -> None:
    """Of radiance, angles and number the same ones; an angle of another column misled nobody."""
    source = read(small.scene, slice(0, 12), (6, 4))
    angle = torch.arange(source.patches * 4.0).view(-1, 1, 4)
    source = replace(source, geometry=replace(source.geometry, view_zenith_angle=angle))
    batch = Patches(source, lines=3, samples=2).__getitems__([3, 0])
    assert batch.radiance.shape == (2, 3, 2, source.radiance.shape[-1])
    for seen, patch in zip(range(2), (3, 0), strict=True):
        sample = batch.column[seen] - source.column[patch, 0]
        assert torch.equal(batch.geometry.view_zenith_angle[seen], angle[patch][:, sample])
        there = source.radiance[patch][:, sample]
        assert all(any(torch.equal(row, line) for line in there) for row in batch.radiance[seen])


def test_simulated_pixels_are_what_the_scene_could_hold(known: KnownScene) -> None:
    torch.manual_seed(0)
    model = Retrieval(
        Setup.of_scene(known.scene, fake_emulator(), architecture=SMALL), fake_emulator()
    )
    source = read(known.scene, slice(0, 36), (12, 8))
    pixels, state = Draws(model, source, patches=32).draw()
    assert pixels.radiance.shape == (32, 8, 8, source.radiance.shape[-1])
    for name, value in state.items():
        low, high = model.encoder.ranges[name]
        assert bool(((value >= low) & (value <= high)).all()), name
    surface = state.surface
    together = torch.stack([surface.sif_760.flatten(), surface.at_740()[0].flatten()])
    assert abs(float(torch.corrcoef(together)[0, 1])) < 0.1  # no greenness to read from
    assert surface_error(surface, surface) == 0
    assert atmosphere_error(state.atmosphere, state.atmosphere, pixels.prior) == 0
    assert sensor_error(state.sensor, state.sensor) == 0
