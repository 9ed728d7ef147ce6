"""The model that ships, and models on bands that they were not trained on."""

from dataclasses import replace
from pathlib import Path

import lightning
import numpy as np
import pytest
import torch
import xarray as xr

from conftest import PROJECT
from fakes.emulator import fake_emulator
from fakes.scenes import known_scene
from sifnet.errors import SifnetError
from sifnet.files import data_file
from sifnet.physics.emulator import Emulator
from sifnet.physics.state import SensorState, check_ranges
from sifnet.product.retrieve import retrieve
from sifnet.retrieval.draws import Draws, anywhere
from sifnet.retrieval.encoder import Architecture
from sifnet.retrieval.model import Retrieval, load
from sifnet.retrieval.shipped import model_for, on_bands_of, shipped_file
from sifnet.scenes import open_scene, record_of
from sifnet.scenes.scene import Scene
from sifnet.scenes.sensor import Sensor
from sifnet.training import pretrain as pretraining
from sifnet.training.pretrain import Pretraining, pretrain, untrained
from sifnet.units import standard_pressure

SMALL = Architecture(features=12, widths=(32, 32, 16), repeats=(1, 1, 1), dropout=(0.0, 0.0, 0.0),
                     head_widths=(32, 16, 16, 16), head_repeats=(1, 1, 1, 1))  # fmt: skip

TOY = Sensor(name="toy", sampling=0.5, fwhm=0.5, shot_noise=0.05)


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def quick(tmp_path_factory: pytest.TempPathFactory) -> Retrieval:
    path = tmp_path_factory.mktemp("pretrain") / "model.ckpt"
    assert pretrain("hyplant", path, steps=60, architecture=SMALL, emulator=fake_emulator()) == path
    assert [p.name for p in path.parent.iterdir()] == ["model.ckpt"]
    return load(path)


def test_simulations_cover_the_ranges_of_the_emulator() -> None:
    emulator = fake_emulator()
    pixels = anywhere(emulator, 500)
    check_ranges(pixels.geometry, emulator.ranges)
    check_ranges(pixels.prior.mean, emulator.ranges)
    for name in ("solar_zenith_angle", "view_zenith_angle", "relative_azimuth_angle"):
        low, high = emulator.ranges[name]
        assert float(getattr(pixels.geometry, name).max()) > high - 0.05 * (high - low)
    _, state = Draws(untrained(record_of("hyplant"), emulator), pixels, patches=256).draw()
    check_ranges(state.atmosphere, emulator.ranges)
    assert float(state.atmosphere.aot_550.max()) > 0.6
    reflectance, sif = (x.flatten() for x in (state.surface.at_740()[0], state.surface.sif_760))
    glowing = sif != 0
    assert abs(np.corrcoef(reflectance[glowing], sif[glowing])[0, 1]) < 0.05


def test_every_number_of_steps_has_its_cycle() -> None:
    weight = torch.nn.Parameter(torch.zeros(1))
    for steps in range(2, 60):  # of which a training of `steps - 1` takes all but the last
        optimizer = torch.optim.Adam([weight])
        cycle, rates = pretraining.one_cycle(optimizer, 4e-3, steps), []
        for _ in range(steps - 1):
            rates.append(cycle.get_last_lr()[0])
            optimizer.step()
            cycle.step()
        assert min(rates) > 0
        assert max(rates) <= 4e-3
        assert abs(int(np.argmax(rates)) - max(1, steps / 5 - 1)) <= 1
        assert cycle.get_last_lr()[0] < 1e-6 or steps == 2


def test_no_step_that_is_asked_for_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those beyond the last whole epoch were."""
    made, step = [], Pretraining.training_step
    monkeypatch.setattr(pretraining, "EPOCH", 3)
    monkeypatch.setattr(
        Pretraining, "training_step", lambda *asked: (made.append(asked[2]), step(*asked))[1]
    )
    pretrain(TOY, tmp_path / "model.ckpt", steps=4, architecture=SMALL, emulator=fake_emulator())
    assert made == [0, 1, 0, 1]


def test_interrupted_pretraining_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pretraining, "EPOCH", 2)
    path, seen = tmp_path / "model.ckpt", []

    class Dies(lightning.Callback):
        def on_train_epoch_start(self, trainer: lightning.Trainer, *_: object) -> None:
            seen.append(trainer.current_epoch)
            if len(seen) == 2:
                raise KeyboardInterrupt

    real = pretraining.make_trainer

    def trainer(**options) -> lightning.Trainer:  # type: ignore[no-untyped-def]
        made = real(**options)
        made.callbacks.append(Dies())
        return made

    options = {"steps": 6, "architecture": SMALL, "emulator": fake_emulator()}
    never = load(pretrain(TOY, tmp_path / "never" / "model.ckpt", **options))
    monkeypatch.setattr(pretraining, "make_trainer", trainer)
    with pytest.raises((KeyboardInterrupt, SystemExit)):
        pretrain(TOY, path, **options)
    assert not path.exists()
    again = load(pretrain(TOY, path, **options))
    assert seen == [0, 1, 1, 2]
    for name, weights in never.encoder.state_dict().items():
        assert torch.equal(weights, again.encoder.state_dict()[name]), name
    assert sorted(p.name for p in tmp_path.iterdir()) == ["model.ckpt", "never"]


def test_a_pretraining_of_another_seed_is_not_gone_on_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pretraining, "EPOCH", 2)
    options = {"steps": 6, "architecture": SMALL, "emulator": fake_emulator()}
    path = tmp_path / "model.ckpt"
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Retrieval, "save", _interrupted)
        pretrain(TOY, path, seed=1, **options)
    wanted = load(pretrain(TOY, tmp_path / "alone.ckpt", seed=2, **options))
    found = load(pretrain(TOY, path, seed=2, **options))
    weights = (model.encoder.pixel_head.leave.weight for model in (wanted, found))
    assert torch.equal(*weights)


def _interrupted(*_: object) -> None:
    raise KeyboardInterrupt


def test_a_model_keeps_its_bands_and_reads_others(quick: Retrieval) -> None:
    nominal = quick.setup
    scene = known_scene(fake_emulator(), step=0.22).scene
    other = on_bands_of(quick, scene)
    assert other is not quick
    assert len(other.setup.wavelength) < len(nominal.wavelength)
    assert on_bands_of(other, scene) is other
    # The same light read through both sets of bands is the same to the network, but for noise.
    with torch.no_grad():
        pixels, state = Draws(quick, anywhere(quick.emulator), patches=32).draw()
        mine = quick.encoder.features(_seen(quick, pixels, state))
        theirs = other.encoder.features(_seen(other, pixels, state))
    assert np.corrcoef(mine[..., 0].flatten(), theirs[..., 0].flatten())[0, 1] > 0.99
    assert float((mine - theirs).var(dim=(0, 1, 2)).max()) < 0.5


def _seen(model: Retrieval, pixels, state):  # type: ignore[no-untyped-def]
    from sifnet.retrieval.shipped import _lit

    return _lit(model, pixels, state)


def test_a_model_on_other_bands_maps_without_a_fit(quick: Retrieval) -> None:
    known = known_scene(fake_emulator(), step=0.22, lines=32, samples=16)
    maps = retrieve(known.scene, on_bands_of(quick, known.scene))
    error = maps.sif_760.values - known.truth.sif_760.values
    assert np.sqrt((error**2).mean()) < 0.5 * known.truth.sif_760.values.std()


def test_pressure_follows_terrain_within_a_patch(quick: Retrieval) -> None:
    """300 m across the swath: 35 hPa, that a patch of one pressure would have to explain."""
    known = known_scene(fake_emulator(), step=0.22, lines=32, samples=32, relief=0.3)
    model = on_bands_of(quick, known.scene)
    truth, high = known.truth.sif_760.values, known.scene.dataset.ground_elevation.values

    def imprint(scene: Scene) -> float:
        """Slope of the error of SIF over elevation, mW m-2 nm-1 sr-1 a 100 m."""
        maps = retrieve(scene, model)
        if scene is known.scene:
            error = maps.surface_pressure - known.truth.surface_pressure
            assert float(error.max() - error.min()) < 3.0
        return float(np.polyfit(high.ravel(), (maps.sif_760.values - truth).ravel(), 1)[0]) / 10

    level = known.scene.dataset.assign(ground_elevation=0.15, sensor_height=0.85)
    assert abs(imprint(known.scene)) < 0.03
    assert abs(imprint(Scene(level))) > 3 * abs(imprint(known.scene))


def test_the_measured_response_of_bands_is_used(quick: Retrieval) -> None:
    """Gaussians given as measured change nothing; wider ones do."""
    scene = known_scene(fake_emulator(), lines=2, samples=2).scene
    pixels = anywhere(quick.emulator, 8)
    light = quick.emulator(pixels.prior.mean, pixels.geometry)
    offset = np.linspace(-0.6, 0.6, 121)
    points = scene.wavelength[:, None] + offset

    def ground(given: Scene) -> torch.Tensor:
        model = on_bands_of(quick, given)
        assert (model.setup.response is None) == (given is scene)
        return model.instrument(light, SensorState.of(wavelength_shift=0.0, fwhm_shift=0.0)).ground

    def measured(width: float) -> Scene:
        response = np.exp(-4 * np.log(2) * (offset / (width * scene.fwhm[:, None])) ** 2)
        rows = {"response_wavelength": points, "response": response}
        return Scene(scene.dataset.assign({n: (("band", "point"), v) for n, v in rows.items()}))

    plain = ground(scene)
    assert (ground(measured(1.0)) / plain - 1).abs().max() < 1e-3
    assert (ground(measured(1.3)) / plain - 1).abs().max() > 1e-2


def test_bands_too_wide_to_tell_are_refused(quick: Retrieval) -> None:
    data = known_scene(fake_emulator()).scene.dataset.isel(band=slice(None, None, 12))
    wide = Scene(data.assign_coords(fwhm=data["fwhm"] + 2.0))
    with pytest.raises(SifnetError, match=r"cannot read these bands.*sifnet.fit"):
        on_bands_of(quick, wide)


def test_another_sensor_with_like_bands_is_read(quick: Retrieval) -> None:
    """By what it resolves, not by its name; its own noise and ranges count."""
    scene = known_scene(fake_emulator(), sensor="flox").scene
    assert on_bands_of(quick, scene).setup.sensor is scene.sensor


def test_measured_light_and_the_other_side_of_the_air_are_refused(quick: Retrieval) -> None:
    lit = known_scene(fake_emulator(), sensor="flox", measured_irradiance=True).scene
    above = known_scene(fake_emulator()).scene.dataset.assign(sensor_height=np.inf)
    for scene, reason in ((lit, "needs no model"), (Scene(above), "was not made for this scene")):
        with pytest.raises(SifnetError, match=reason):
            model_for(scene, quick)


def test_the_start_model_follows_from_bands_and_place() -> None:
    known = known_scene(fake_emulator()).scene.dataset

    def chosen(sensor: Sensor, **changed: float) -> str | None:
        file = shipped_file(Scene(known.assign(**changed).assign_attrs(sensor=sensor)))
        return None if file is None else file.name

    assert chosen(TOY) == "model_hyplant.ckpt"
    assert chosen(replace(TOY, start_model="model_desis.ckpt")) == "model_desis.ckpt"
    assert chosen(TOY, sensor_height=np.inf) is None  # whose bands end before DESIS's window
    short = Scene(known.isel(band=known.wavelength < 765).assign_attrs(sensor=TOY))
    assert shipped_file(short) is None
    expected = r"toy, 0.26 nm over 660-765 nm from below; expected bands like 0.25 nm over 750-770"
    with pytest.raises(SifnetError, match=rf"{expected} nm from below \(hyplant\)"):
        model_for(short)


def test_where_no_model_ships_the_message_says_what_to_do() -> None:
    scene = known_scene(fake_emulator(), sensor="flox", measured_irradiance=True).scene
    with pytest.raises(SifnetError, match=r"flox with measured irradiance.*without --model"):
        model_for(scene)
    with pytest.raises(SifnetError, match="camera"):
        untrained(record_of("camera"), fake_emulator())


def test_the_shipped_model_is_small_and_of_the_shipped_emulator() -> None:
    path = data_file("model_hyplant.ckpt")
    assert path.stat().st_size <= 5e6
    model = load(path)
    shipped = Emulator.load()
    assert model.emulator.metadata == shipped.metadata, "train it again: `make model`"
    torch.testing.assert_close(model.emulator.basis, shipped.basis)


def test_the_shipped_model_maps_a_line_it_never_saw() -> None:
    """The embedded line, by full radiative transfer, without a fit."""
    scene = open_scene(next((PROJECT / "data" / "demo").glob("*.hdr")))
    with xr.open_dataset(PROJECT / "data" / "demo" / "truth.nc") as known:
        truth, bare = known.sif_760.values, known.bare_soil.values.astype(bool)
    model = model_for(scene)
    maps = retrieve(scene, model)
    error = maps.sif_760.values - truth
    assert np.sqrt(np.nanmean(error**2)) < 0.21
    assert abs(np.nanmean(error)) < 0.08
    assert abs(np.nanmean(error[bare])) < 0.08
    for kind in (bare, ~bare):
        within = np.abs(error)[kind] < maps.sif_760_uncertainty.values[kind]
        assert 0.6 < within.mean() < 0.8
    # The encoder alone expects the mean of many worlds, of which ours is one; its sigma says so.
    alone = retrieve(scene, model, refine=False)
    error = np.abs(alone.sif_760.values - truth)
    assert (error < 2 * alone.sif_760_uncertainty.values).mean() > 0.75


def test_uncertainty_grows_with_what_is_not_known() -> None:
    """Where no bare ground is known, which would tell the air."""
    scene = open_scene(next((PROJECT / "data" / "demo").glob("*.hdr")))
    some = slice(None, None, 3)
    scene = Scene(scene.dataset.isel(band=scene.wavelength > 700, line=some, sample=some))
    model = model_for(scene)
    pressure = float(standard_pressure(scene.dataset.ground_elevation.values.mean()))

    def mean_sd(**known: float) -> float:
        air = xr.Dataset({f"surface_pressure{k}": v for k, v in known.items()})
        return float(retrieve(scene, model, atmosphere=air).sif_760_uncertainty.mean())

    certain, doubtful = (mean_sd(**{"": pressure, "_uncertainty": sd}) for sd in (1.0, 50.0))
    assert doubtful > 1.02 * certain
