"""The emulator against toy samples it never saw, its file, its refusals, its gradient."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from fakes.samples import fake_samples, fitted_emulator
from sifnet.errors import SifnetError
from sifnet.physics.emulator import Emulator
from sifnet.physics.features import state_features
from sifnet.physics.full.emulator_errors import emulator_errors
from sifnet.physics.full.emulator_fit import FitSettings, compress, covered_ranges, fit_emulator
from sifnet.physics.state import RANGES, Geometry

QUICK = FitSettings(components=6, width=16, blocks=1, epochs=3)


@pytest.mark.parametrize("space", [False, True])
def test_unseen_toy_atmospheres_are_predicted(space):
    """A fit of a second on 120 atmospheres, over all ranges; the shipped one has 1000."""
    errors = emulator_errors(fitted_emulator(space=space), fake_samples(30, space=space, seed=77))
    assert errors["radiance_rms_percent_0.25nm"] < 2.0
    assert errors["radiance_rms_percent_3.5nm"] < 2.0


def test_principal_components_converge():
    """What 10 components leave of the spectra is a tenth of what 4 leave."""
    samples = fake_samples(60)
    left = []
    for count in (4, 10):
        basis, coefficients = compress(samples, count)
        again = basis[:, 0] + np.einsum("spc,pcw->spw", coefficients, basis[:, 1:])
        scale = np.where(np.arange(5) < 3, samples.cos_sza[:, None], 1.0)[..., None]
        left.append(np.sqrt(np.mean((again * scale - samples.products)[:, 1] ** 2)))
    assert left[1] < 0.1 * left[0]


def test_fit_is_deterministic_and_reports():
    seen, unseen = fake_samples(20, space=True), fake_samples(4, space=True, seed=9)
    told = []
    fits = [fit_emulator(seen, unseen, QUICK, progress=lambda *a: told.append(a)) for _ in range(2)]
    (first, report), (second, _) = fits
    assert all(map(torch.equal, first.network.parameters(), second.network.parameters()))
    assert report == first.metadata["measured_error"]
    assert len(told) == 2 * QUICK.epochs
    assert first.metadata["held_out"] == {"samples": 16, "atmospheres": 4}
    assert "sensor_height" not in first.ranges
    described = json.loads(json.dumps(first.metadata))
    assert described["measured_error"]["sif_equivalent_rms"] > 0


def test_saved_and_loaded_is_the_same(tmp_path):
    emulator = fitted_emulator()
    emulator.save(tmp_path / "e.npz")
    loaded = Emulator.load(tmp_path / "e.npz")
    samples = fake_samples(3)
    inputs = [part.map(torch.Tensor.float) for part in (samples.atmosphere(), samples.geometry())]
    for (_, a), (_, b) in zip(emulator(*inputs).items(), loaded(*inputs).items(), strict=True):
        assert torch.equal(a, b)
    assert loaded.metadata == json.loads(json.dumps(emulator.metadata))


def test_sun_further_away_dims_only_sunlit_products():
    samples, emulator = fake_samples(2), fitted_emulator()
    atmosphere, near = (
        p.map(torch.Tensor.float) for p in (samples.atmosphere(), samples.geometry())
    )
    far = replace(near, sun_earth_distance=near.sun_earth_distance * 1.02)
    at_one, at_far = emulator(atmosphere, near), emulator(atmosphere, far)
    assert torch.allclose(at_far.ground * 1.02**2, at_one.ground, rtol=1e-5)
    assert torch.equal(at_far.up, at_one.up)


@pytest.mark.parametrize("space", [False, True])
def test_gradient_in_every_input(space):
    emulator = fitted_emulator(space=space).double()
    samples = fake_samples(1, space=space)
    inputs = [
        t[:2].clone().requires_grad_(not torch.isinf(t).any())
        for part in (samples.atmosphere(), samples.geometry())
        for _, t in part.items()
    ]

    def ground(*values):
        atmosphere = type(samples.atmosphere())(*values[:6])
        t = emulator(atmosphere, Geometry(*values[6:]))
        return t.ground, t.up_bounce

    assert torch.autograd.gradcheck(ground, inputs, atol=1e-4, rtol=1e-3)
    emulator.float()


@pytest.mark.parametrize("space", [False, True])
def test_slopes_are_those_that_torch_derives(space):
    """Of air that varies by line, seen at angles that vary by column."""
    emulator, samples = fitted_emulator(space=space).double(), fake_samples(2, space=space)
    air = samples.atmosphere().map(lambda x: x[:2, None].double())
    sight = samples.geometry().map(lambda x: x[:3].double())
    values, found = emulator.linearised(air, sight)
    for (name, value), (_, plain) in zip(values.items(), emulator(air, sight).items(), strict=True):
        torch.testing.assert_close(value, plain, rtol=1e-9, atol=0, msg=name)
    derived = torch.autograd.functional.jacobian(
        lambda *x: tuple(v for _, v in emulator(type(air)(*x), sight).items()),
        tuple(v for _, v in air.items()),
    )
    for (name, slopes), by_air in zip(found.items(), derived, strict=True):
        for slope, whole in zip(slopes, by_air, strict=True):  # line, column, component, line, 1
            own = torch.stack([whole[i, ..., i, 0] for i in range(2)])
            torch.testing.assert_close(slope, own, rtol=1e-6, atol=1e-9, msg=name)
    emulator.float()


def test_features_know_backscatter_from_forward_scatter():
    """Relative azimuth 0 with equal zenith angles is the hot spot: cosine of scattering -1."""
    samples = fake_samples(1)
    same_side = samples.geometry().map(torch.zeros_like)
    same_side = replace(
        same_side,
        solar_zenith_angle=torch.full((4,), 30.0),
        view_zenith_angle=torch.full((4,), 30.0),
        sensor_height=torch.ones(4),
    )
    features = state_features(samples.atmosphere(), same_side, space=False)
    assert torch.isclose(features, torch.tensor(-1.0).to(features)).any(dim=-1).all()


def test_states_outside_the_database_are_refused():
    samples, emulator = fake_samples(1), fitted_emulator()
    atmosphere, geometry = samples.atmosphere(), samples.geometry()
    emulator.check(atmosphere, geometry)
    with pytest.raises(SifnetError, match=r"aot_550 is out of range: found 0.9"):
        emulator.check(replace(atmosphere, aot_550=torch.tensor(0.9)), geometry)
    with pytest.raises(SifnetError, match=r"solar_zenith_angle is out of range"):
        emulator.check(atmosphere, replace(geometry, solar_zenith_angle=torch.tensor(76.0)))


@pytest.mark.parametrize("space", [False, True])
def test_the_other_kind_of_sensor_is_refused(space):
    samples = fake_samples(1, space=not space)
    with pytest.raises(SifnetError, match=rf"does not fit.*Emulator.load\(space={not space}\)"):
        fitted_emulator(space=space).check(samples.atmosphere(), samples.geometry())


def test_uncovered_ranges_are_told_as_they_are():
    samples = fake_samples(40)
    low_sun = samples.select(samples.state[:, 6] < 40.0)
    ranges = covered_ranges(low_sun)
    assert ranges["solar_zenith_angle"][1] < 40.0
    assert ranges["view_zenith_angle"] == RANGES["view_zenith_angle"]


def test_what_is_no_emulator_is_refused(tmp_path):
    path = tmp_path / "no.npz"
    np.savez(path, grid=np.arange(3))
    with pytest.raises(SifnetError, match=r"no.npz: this is not a readable emulator"):
        Emulator.load(path)
    with pytest.raises(SifnetError, match=r"absent.npz"):
        Emulator.load(tmp_path / "absent.npz")


@pytest.mark.parametrize("index", [3, 11])
def test_transmittance_outside_absorption_is_that_of_full_radiative_transfer(index):
    """Of fluorescence on its way up, with 16 streams, to sensors in the air and in space."""
    pytest.importorskip("sasktran2")
    from sifnet.physics.full.atmosphere import optical_layers
    from sifnet.physics.full.database import draw
    from sifnet.physics.full.radiative_transfer import transfer_functions
    from sifnet.physics.full.spectroscopy import CrossSections

    state = draw(index)
    optics = optical_layers(state.atmosphere, CrossSections([1e7 / 755.0]))
    light = transfer_functions(optics, state.solar_zenith_angle, state.observers, streams=16)
    for space in (False, True):
        seen = [np.isinf(observer.sensor_height) == space for observer in state.observers]
        table = torch.as_tensor(state.table()[seen]).float()
        names = [*state.atmosphere.names(), "solar_zenith_angle"]
        atmosphere = state.atmosphere.map(lambda x: torch.as_tensor(x).float())
        zenith, view, azimuth, height = table[:, len(names) - 1 :].unbind(-1)
        geometry = Geometry(zenith, view, azimuth, height, torch.ones_like(height))
        emulator = Emulator.load(space=space)
        found = emulator(atmosphere, geometry).up @ emulator.basis[3].float()
        clear = (emulator.grid >= 752) & (emulator.grid <= 757)
        expected = light.transmittance[seen, 0]
        np.testing.assert_allclose(found[:, clear].mean(-1).detach(), expected, rtol=4e-3)
        assert float(found.detach().max()) < 1.005  # beside the band the network leaves 0.5 %
