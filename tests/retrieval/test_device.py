"""Where a map is computed: nothing is left behind on the processor, and nothing is rounded."""

from __future__ import annotations

from contextlib import nullcontext
from copy import deepcopy
from dataclasses import replace

import numpy as np
import pytest
import torch
import xarray as xr

from fakes.emulator import fake_emulator
from fakes.scenes import known_scene
from sifnet.errors import SifnetError
from sifnet.physics.state import SensorState
from sifnet.product.retrieve import retrieve
from sifnet.retrieval.brightness import Brightness
from sifnet.retrieval.device import device_of, made_on
from sifnet.retrieval.draws import Draws, anywhere
from sifnet.retrieval.encoder import Architecture
from sifnet.retrieval.line import Guess, System, Unknowns
from sifnet.retrieval.model import Retrieval, Setup
from sifnet.retrieval.pixels import Pixels
from sifnet.retrieval.refinement import refine_surface, row_equations
from sifnet.retrieval.shared import Shared, pixel_strips
from sifnet.retrieval.strips import _solve
from sifnet.scenes.scene import Scene
from sifnet.training.fit import Fitting
from sifnet.training.pretrain import Pretraining

SMALL = Architecture(features=8, widths=(16, 16, 8), repeats=(1, 1, 1), head_widths=(16, 8, 8, 8),
                     head_repeats=(1, 1, 1, 1))  # fmt: skip
PATCH = (8, 8)
META = torch.device("meta")


@pytest.fixture(scope="module")
def scene() -> Scene:
    return known_scene(fake_emulator(), lines=8, samples=16, step=0.3, aot=0.3).scene


@pytest.fixture(scope="module")
def model(scene: Scene) -> Retrieval:
    torch.manual_seed(0)
    setup = Setup.of_scene(scene, fake_emulator(), patch=PATCH, architecture=SMALL)
    model = Retrieval(setup, fake_emulator())
    model.encoder.features.freeze(Draws(model, anywhere(model.emulator, 64), patches=16).draw()[0])
    return model.eval()


@pytest.fixture
def pixels(scene: Scene, model: Retrieval) -> Pixels:
    return next(iter(pixel_strips(scene, model, PATCH, None, PATCH[0])))[1]


def test_devices_are_those_of_this_machine() -> None:
    assert device_of("cpu").type == "cpu"
    assert device_of("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")
    with pytest.raises(SifnetError, match="no such device"):
        device_of("gpu0")


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a CUDA device")
def test_a_device_that_is_not_there_is_refused(scene: Scene, model: Retrieval) -> None:
    with pytest.raises(SifnetError, match="no such device"):
        retrieve(scene, model, device="cuda")


def cut(scene: Scene, model: Retrieval) -> Pixels:
    """A block over the whole swath, as it is solved, there."""
    _, pixels = next(iter(pixel_strips(scene, model, (8, 16), None, 8)))
    return pixels.map(lambda x: x.to(META))


def test_nothing_of_a_map_stays_on_the_processor(
    scene: Scene, model: Retrieval, pixels: Pixels
) -> None:
    """On a device that has shapes and no values, what comes from another is an error."""
    assert model.discrepancy is not None
    there = deepcopy(model).to(META)
    assert there.device == META
    assert there.discrepancy is not None
    assert there.discrepancy.components.device == META
    seen, whole_swath = pixels.map(lambda x: x.to(META)), cut(scene, model)
    with torch.no_grad(), made_on(META):
        state = there.encoder(seen)
        correction = there.discrepancy.correction(torch.zeros(there.discrepancy.count))
        wrong = replace(there.simulator, correction=correction)
        simulator = wrong.settled(state.sensor, slopes=True)
        fit = refine_surface(seen, seen.noise, state, simulator)
        assert fit.chi2.device == META
        assert fit.chi2.shape == pixels.usable.shape
        known = torch.zeros(seen.usable.shape)
        _, equations, gain = row_equations(seen, state, simulator, known)
        assert gain.device == META
        unknowns = Unknowns(there.discrepancy.count, (1, 2), 16)
        system = System(unknowns, there.discrepancy, simulator.wavelength(state.sensor))
        system.add(0, equations, seen.column)
        whole = system._whole(torch.eye(unknowns.columns.stop, dtype=torch.double))
        assert whole.device == META
        guess = Guess(torch.zeros(1, 2, 6), torch.zeros(16, 2), torch.zeros(()),
                      torch.zeros(there.discrepancy.count))  # fmt: skip
        moved = guess.moved(unknowns, guess.stacked(guess), guess)
        assert moved.sensors(seen.column, there.encoder.ranges).fwhm_shift.device == META
        usual = Brightness(torch.ones(42))
        found = Shared(
            guess.deviation,
            torch.zeros(1, 2, 2, 2),
            SensorState.unstack(torch.zeros(16, 2)),
            usual,
            PATCH,
            torch.zeros(1, device="cpu"),
        )
        line = torch.arange(whole_swath.patches) + 0.5
        settled = wrong.settled(found.sensor)
        maps, flags = _solve(there, settled, whole_swath, found, line, True)
        assert {values.device for values in maps.values()} | {flags.device} == {META}


def test_a_training_waits_for_nothing_and_draws_where_it_learns(
    model: Retrieval, pixels: Pixels
) -> None:
    """A choice by values, or a simulation from elsewhere, is an error where there are no values."""
    fitted = deepcopy(model)
    fitted.add_lines(torch.zeros(1, 16, 2), torch.zeros(1, 1 + model.discrepancy.count))
    there = fitted.to(META)
    drawn, state = Draws(there, anywhere(model.emulator, 16), patches=4).draw()
    assert {x.device for _, x in (*drawn.items(), *state.items())} == {META}
    fitting = Fitting(there, 1e-3)
    fitting.on_train_start()
    seen = replace(pixels, line_id=torch.zeros_like(pixels.line_id)).map(lambda x: x.to(META))
    with made_on(META):  # as nothing is there that Lightning would have moved
        pretraining = Pretraining(there, 1e-3)
        losses = pretraining.training_step((drawn, state), 0), fitting.training_step(seen, 0)
    for loss in losses:
        assert loss.device == META
        loss.backward()


def test_simulations_are_not_rounded(model: Retrieval) -> None:
    draws, drawn = Draws(model, anywhere(model.emulator, 16), patches=4), []
    for context in (nullcontext, rounded):
        torch.manual_seed(0)
        with context():
            drawn.append(draws.draw()[0].radiance)
    torch.testing.assert_close(*drawn, rtol=0, atol=0)


def rounded() -> torch.autocast:
    return torch.autocast("cpu", dtype=torch.bfloat16)


def test_a_map_is_the_same_under_autocast(scene: Scene, model: Retrieval) -> None:
    plain = retrieve(scene, model, device="cpu")
    with rounded():
        cast = retrieve(scene, model, device="cpu")
    xr.testing.assert_equal(plain, cast)


def test_only_networks_are_rounded_in_training(
    model: Retrieval, pixels: Pixels, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Autocast changes what the encoder says a little, and nothing of what follows from it."""
    exact_features, exact_state = model.encoder.features(pixels), model.encoder(pixels)
    with rounded():
        features, state = model.encoder.features(pixels), model.encoder(pixels)
    torch.testing.assert_close(features, exact_features, rtol=0, atol=0)
    assert all(value.dtype == torch.float32 for _, value in state.items())
    difference = (state.surface.sif_760 - exact_state.surface.sif_760).abs().max()
    assert 0 < float(difference) < 0.1
    fixed = exact_state.map(torch.Tensor.detach)
    monkeypatch.setattr(model.encoder, "forward", lambda *_: fixed)
    terms = []
    for context in (torch.no_grad, rounded):
        torch.manual_seed(0)
        with context():
            terms.append(model.loss_terms(pixels))
    assert terms[0].keys() == terms[1].keys()
    for name, value in terms[0].items():
        assert float(value) == float(terms[1][name]), name


def test_a_step_of_training_in_bf16(model: Retrieval, pixels: Pixels) -> None:
    learner = deepcopy(model)
    with rounded():
        loss = torch.stack(list(learner.loss_terms(pixels).values())).sum()
    loss.backward()
    gradients = [p.grad for p in learner.encoder.parameters() if p.grad is not None]
    assert gradients
    assert all(bool(torch.isfinite(gradient).all()) for gradient in gradients)


def test_the_folded_norm_is_the_norm(model: Retrieval) -> None:
    """Statistics as training leaves them, not those of the start."""
    block = deepcopy(model.encoder.backbone[0])
    for _, norm in block.normed:
        torch.nn.init.uniform_(norm.get_buffer("running_mean"), -1, 1)
        torch.nn.init.uniform_(norm.get_buffer("running_var"), 0.3, 3)
        torch.nn.init.uniform_(norm.weight, 0.5, 2)
        torch.nn.init.uniform_(norm.bias, -1, 1)
    x = torch.randn(64, block.layers[0].in_features)
    torch.testing.assert_close(block(x), block.around(x) + block.layers(x), rtol=1e-5, atol=1e-5)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="this machine has no CUDA device")
def test_a_map_of_a_device_is_that_of_the_processor(scene: Scene, model: Retrieval) -> None:
    here, there = (retrieve(scene, deepcopy(model), device=kind) for kind in ("cpu", "cuda"))
    sigma = here.sif_760_uncertainty.values
    assert np.nanmax(np.abs(here.sif_760.values - there.sif_760.values) / sigma) < 0.02
    np.testing.assert_array_equal(here.quality_flag.values, there.quality_flag.values)
