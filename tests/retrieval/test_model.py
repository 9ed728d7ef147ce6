"""The module: its step learns, its checkpoint carries everything and runs no code."""

import pickle
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import xarray as xr

from conftest import PROJECT
from fakes.emulator import fake_emulator
from fakes.scenes import KnownScene, known_scene
from sifnet.errors import SifnetError
from sifnet.files import CHECKPOINT_FORMAT
from sifnet.physics.state import SensorState, State
from sifnet.product.retrieve import retrieve
from sifnet.retrieval.encoder import Architecture, Encoder
from sifnet.retrieval.losses import LossWeights
from sifnet.retrieval.model import KIND, Retrieval, Setup, line_key, load
from sifnet.retrieval.pixels import Pixels, read
from sifnet.retrieval.refinement import STRAY_SD
from sifnet.retrieval.shared import find_shared, interpolated
from sifnet.scenes.scene import Flag

SMALL = Architecture(features=8, widths=(16, 16, 8), repeats=(1, 1, 1), head_widths=(16, 8, 8, 8),
                     head_repeats=(1, 1, 1, 1))  # fmt: skip


@pytest.fixture(scope="module")
def known() -> KnownScene:
    return known_scene(fake_emulator(), lines=20, samples=10, step=0.4)


@pytest.fixture(scope="module")
def model(known: KnownScene) -> Retrieval:
    torch.manual_seed(0)
    setup = Setup.of_scene(known.scene, fake_emulator(), patch=(8, 5),
                           lines=(line_key(known.scene),), architecture=SMALL)  # fmt: skip
    model = Retrieval(setup, fake_emulator())
    model.encoder.features.freeze(read(known.scene, slice(0, 20), (8, 5)))
    model.encoder.add_lines(torch.zeros(1, 10, 2))
    return model.eval()


def test_perturbation_adds_the_simulated_radiance(
    known: KnownScene, model: Retrieval, monkeypatch: pytest.MonkeyPatch
) -> None:
    pixels = read(known.scene, slice(0, 8), (8, 10))
    state = model.encoder(pixels)
    light = model.simulator.light(state, pixels.geometry)
    seen, encoded = [], type(model.encoder).forward

    def watched(self: Encoder, given: Pixels, sensor: SensorState) -> State:
        seen.append(given.radiance)
        return encoded(self, given, sensor)

    monkeypatch.setattr(type(model.encoder), "forward", watched)
    perturbed = model.perturb(pixels, state, light)
    assert perturbed is not None
    surface = replace(state.surface, sif_760=state.surface.sif_760 + perturbed.added)
    more = model.simulator.radiance(replace(state, surface=surface), pixels.geometry)
    torch.testing.assert_close(seen[0] - pixels.radiance, more - light.value, rtol=0, atol=2e-5)
    low, high = model.encoder.ranges["sif_760"]
    assert float(perturbed.added.min()) >= -1.0
    assert float(perturbed.added.max()) <= min(1.5, high - low)
    without = replace(model.setup, weights=LossWeights(perturbation=0.0))
    other = Retrieval(without, model.emulator)
    assert other.perturb(pixels, state, light) is None


def test_the_loss_knows_what_the_simulation_of_a_line_is_wrong_by(
    known: KnownScene, model: Retrieval, monkeypatch: pytest.MonkeyPatch
) -> None:
    pixels = read(known.scene, slice(0, 8), (8, 10), line_id=0)
    state = model.encoder(pixels)
    monkeypatch.setattr(type(model.encoder), "forward", lambda *_: state)
    errors = model.errors_of(torch.tensor([-1]))
    errors[0, :3] = torch.tensor([2.0, -1.0, 1.0])
    simulator = replace(model.simulator, correction=model.correction(errors[0]))
    light = simulator.radiance(state, pixels.geometry)
    stray = STRAY_SD * 2.0 * pixels.stray[..., None]
    seen = replace(pixels, radiance=light + stray)
    told = Retrieval(model.setup, model.emulator)
    told.add_lines(model.encoder.columns, errors)
    assert float(told.loss_terms(seen)["residual"].detach()) < 1e-4
    another = replace(seen, line_id=torch.tensor([-1]))
    assert float(told.loss_terms(another)["residual"].detach()) > 0.1


def test_only_the_encoder_learns_and_batch_norm_stays(model: Retrieval) -> None:
    learning = {n.split(".")[0] for n, p in model.named_parameters() if p.requires_grad}
    assert learning == {"encoder"}
    assert not model.train().encoder.training


def test_maps_have_all_variables_and_hide_unusable_pixels(
    known: KnownScene, model: Retrieval
) -> None:
    radiance = known.scene.radiance.copy(deep=True)
    radiance[3, 4] = 0.0
    scene = replace(known.scene, dataset=known.scene.dataset.assign(radiance=radiance))
    maps = retrieve(scene, model)
    assert dict(maps.sizes) == {"line": 20, "sample": 10}
    assert int(maps.quality_flag[3, 4]) & Flag.DEAD
    assert maps.sif_760.isnull().sum() == 1
    assert bool((maps.sif_760_uncertainty.values[maps.sif_760.notnull().values] > 0).all())


def test_interpolation_is_exact_at_patch_centres_and_has_no_seams() -> None:
    field = torch.tensor([[0.0, 1.0], [2.0, 3.0]])[..., None]
    line, sample = torch.arange(16) + 0.5, torch.arange(16) + 0.5
    found = interpolated(field, (8, 8), torch.tensor([4.0, 12.0]), torch.tensor([4.0, 12.0]))
    torch.testing.assert_close(found, field)
    whole = interpolated(field, (8, 8), line, sample)[..., 0]
    assert float(whole.diff(dim=0).abs().max()) <= 2.0 / 8 + 1e-6
    assert float(whole.min()) == 0.0
    assert float(whole.max()) == 3.0
    one = interpolated(field[:1, :1], (8, 8), line, sample)
    assert float(one.abs().max()) == 0.0


def test_checkpoint_carries_everything(known: KnownScene, model: Retrieval, tmp_path: Path) -> None:
    model.save(tmp_path / "new" / "model.ckpt")
    again = load(tmp_path / "new" / "model.ckpt")
    assert again.setup == model.setup
    maps, same = (retrieve(known.scene, each) for each in (model, again))
    for product in (maps, same):
        for name in ("history", "date_created"):  # say when
            del product.attrs[name]
    xr.testing.assert_identical(same, maps)
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["model.ckpt"]


def test_a_checkpoint_keeps_its_predictor(tmp_path: Path) -> None:
    """Of the shape of reflectance, every tensor of it: the model that ships has one."""
    first = load(PROJECT / "data" / "model_desis.ckpt")
    first.save(tmp_path / "model.ckpt")
    again = load(tmp_path / "model.ckpt")
    assert first.predictor is not None
    assert again.predictor is not None
    stored = torch.load(PROJECT / "data" / "model_desis.ckpt", weights_only=True)["predictor"]
    assert stored
    for name, value in again.predictor.state_dict().items():
        assert torch.equal(value, stored[name]), name
        assert torch.equal(value, first.predictor.state_dict()[name]), name


def test_checkpoint_runs_no_code(tmp_path: Path) -> None:
    class Harmful:
        def __reduce__(self):  # type: ignore[no-untyped-def]
            return (Path.touch, (tmp_path / "harm",))

    path = tmp_path / "model.ckpt"
    torch.save({"kind": KIND, "format": CHECKPOINT_FORMAT, "setup": Harmful()}, path)
    with pytest.raises(SifnetError, match="not a readable model"):
        load(path)
    path.write_bytes(pickle.dumps(Harmful()))
    with pytest.raises(SifnetError, match="not a readable model"):
        load(path)
    assert not (tmp_path / "harm").exists()


@pytest.mark.parametrize("content", [b"", b"nonsense", None])
def test_unreadable_checkpoint_is_refused(content: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / "model.ckpt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SifnetError, match="not a readable model"):
        load(path)


def test_checkpoint_of_a_later_format_is_refused(tmp_path: Path) -> None:
    torch.save({"kind": KIND, "format": 99}, tmp_path / "model.ckpt")
    with pytest.raises(SifnetError, match="format 99"):
        load(tmp_path / "model.ckpt")


def test_unwritable_checkpoint_is_refused(model: Retrieval, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SifnetError, match="cannot be written"):
        model.save(tmp_path / "file" / "model.ckpt")


def test_scene_of_other_bands_is_refused(known: KnownScene, model: Retrieval) -> None:
    other = known_scene(fake_emulator(), lines=8, samples=4, step=0.5).scene
    with pytest.raises(SifnetError, match="not made for this scene"):
        find_shared(other, model)


def test_lines_are_known_by_name_time_and_width(known: KnownScene, model: Retrieval) -> None:
    assert model.line_id(known.scene) == 0
    other = known_scene(fake_emulator(), lines=8, samples=4, step=0.4, name="other").scene
    assert model.line_id(other) == -1
    assert retrieve(other, model).sif_760.shape == (8, 4)
