"""What a line's red edge says of its fluorescence, and what it does to a pixel's own answer."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch

from fakes.emulator import fake_emulator
from fakes.fitted import QUICK, quick_fit
from fakes.scenes import known_scene
from sifnet.product.provenance import told as origin
from sifnet.product.retrieve import retrieve
from sifnet.retrieval.expected import COMPONENTS, EDGES, ExpectedSif, read, readable
from sifnet.retrieval.model import load
from sifnet.retrieval.shared import find_shared
from sifnet.retrieval.strips import solve_strips
from sifnet.scenes.scene import Scene
from sifnet.training.fit import fit

SPREAD, NOISE = 0.15, 0.25


def drawn(
    pixels: int = 4000, spread: float = SPREAD, relative: float = 0.0
) -> tuple[torch.Tensor, ...]:
    """Red edges of three degrees of freedom, fluorescence that goes with one, and noisy answers."""
    rng = torch.Generator().manual_seed(1)
    shapes = torch.randn(3, len(EDGES) - 1, generator=rng) * torch.tensor([[0.3], [0.1], [0.03]])
    kind = torch.randn(pixels, 3, generator=rng)
    red_edge = 4.0 + kind @ shapes + 1e-3 * torch.randn(pixels, len(EDGES) - 1, generator=rng)
    level = 1.2 + 0.4 * kind[:, 2]
    scatter = torch.sqrt(spread**2 + (relative * level) ** 2)
    truth = level + scatter * torch.randn(pixels, generator=rng)
    return red_edge, truth, truth + NOISE * torch.randn(pixels, generator=rng)


@pytest.mark.parametrize("spread", [0.05, SPREAD, 0.5])
@pytest.mark.parametrize("relative", [0.0, 0.3])
def test_the_scatter_that_noise_does_not_explain_is_found(spread: float, relative: float) -> None:
    red_edge, _, seen = drawn(spread=spread, relative=relative)
    found = ExpectedSif.learned(red_edge, seen, torch.full((len(seen),), NOISE**2))
    for level in (0.4, 1.2, 2.0):
        said = np.hypot(float(found.spread), level * float(found.relative))
        assert abs(said - np.hypot(spread, level * relative)) < 0.03 + 0.06 * said


def test_expectation_and_own_answer_are_better_than_either_and_sigma_knows() -> None:
    red_edge, truth, seen = drawn()
    found = ExpectedSif.learned(red_edge, seen, torch.full((len(seen),), NOISE**2))
    scores = (red_edge - found.mean) @ found.components
    torch.testing.assert_close(scores.std(0), torch.ones(COMPONENTS), rtol=1e-3, atol=1e-3)
    said = torch.cat([torch.ones(len(seen), 1), scores], 1) @ found.weight
    share = SPREAD**2 / (SPREAD**2 + NOISE**2)
    both = said + share * (seen - said)
    expected = SPREAD * NOISE / np.hypot(SPREAD, NOISE)  # two independent pieces of knowledge
    np.testing.assert_allclose(float((both - truth).std()), expected, rtol=0.05)
    assert float((both - truth).std()) < 0.9 * min(SPREAD, NOISE)


@cache
def with_red_edge() -> Scene:
    """A known scene whose red edge shows its fluorescence but for a spread."""
    known = known_scene(fake_emulator(), lines=24, samples=16)
    rng = np.random.default_rng(0)
    wavelength = np.arange(672.0, 743.0, 1.0)
    bend = np.linspace(-1, 1, len(wavelength)) ** 2
    sif = known.truth["sif_760"].values + SPREAD * rng.standard_normal(known.scene.shape[:2])
    level = 3.0 + 0.3 * rng.standard_normal(sif.shape)
    light = np.exp(level[..., None] + 0.1 * sif[..., None] * bend)
    data = known.scene.dataset
    wavelength = np.append(wavelength, data["wavelength"].values)
    radiance = np.concatenate([light, data["radiance"].values], -1).astype(np.float32)
    order = np.argsort(wavelength)
    source = np.append(np.zeros(light.shape[-1], int), np.arange(data.sizes["band"]))
    more = data.isel(band=source).assign(radiance=(("line", "sample", "band"), radiance))
    more = more.assign_coords(wavelength=more["wavelength"].copy(data=wavelength))
    return Scene(more.isel(band=order))


def test_a_fit_expects_on_its_own_line_only_and_keeps_it(tmp_path: Path) -> None:
    scene = with_red_edge()
    fit(scene, tmp_path, config=replace(QUICK, epochs=0), emulator=fake_emulator())
    model = load(tmp_path / "model.ckpt")
    assert model.expected is not None
    assert 0.5 * SPREAD < float(model.expected.spread) < 2 * SPREAD
    assert model.expected_on(scene) is model.expected
    other = Scene(scene.dataset.assign_attrs(name="another line"))
    assert model.expected_on(other) is None

    told, alone = retrieve(scene, model), retrieve(other, model)
    assert "expected_sif_spread" in origin(told)["configuration"]
    assert "expected_sif_spread" not in origin(alone)["configuration"]
    expected = model.expected.on(scene).double()
    noise, less = (
        m["sif_760_uncertainty"].values ** 2 - m["sif_760_uncertainty_shared"].values ** 2
        for m in (alone, told)
    )
    mean, sd = expected.numpy().transpose(2, 0, 1)
    both = (alone["sif_760"] / noise + mean / sd**2) / (1 / noise + 1 / sd**2)
    # Where noise does not explain the misfit sigma says more than the weight of the spectrum.
    assert float(np.abs(told["sif_760"] - both).quantile(0.9)) < 0.01
    assert (less < noise).all()
    # Told twice, it would move the air; from another start the search ends 0.1 hPa away.
    np.testing.assert_allclose(told["surface_pressure"], alone["surface_pressure"], atol=0.2)


def test_where_light_is_measured_or_bands_are_missing_nothing_is_expected() -> None:
    known, model = quick_fit()  # its bands begin at 750 nm
    assert not readable(known.scene)
    assert model.expected is None
    scene = with_red_edge()
    assert readable(scene)
    assert read(scene).shape == (*scene.shape[:2], len(EDGES) - 1)
    lit = scene.dataset.assign(irradiance=10 * scene.dataset["radiance"])
    assert not readable(Scene(lit))


def test_a_thinned_map_is_a_map_of_those_lines() -> None:
    known, model = known_scene(fake_emulator(), lines=40, samples=12), quick_fit()[1]
    shared = find_shared(known.scene, model)
    whole, thin = (
        np.concatenate([part["sif_760"].values for _, part in strips])
        for strips in (solve_strips(known.scene, model, shared, every=n) for n in (1, 3))
    )
    assert thin.shape == (14, 12)
    np.testing.assert_allclose(thin, whole[::3], atol=0.03)  # air of fewer, larger blocks
