"""Bands against direct convolution, the interpolation in shift and width, and refusals."""

import numpy as np
import pytest
import torch

from fakes.samples import fake_samples, fitted_emulator
from sifnet.errors import SifnetError
from sifnet.physics.emulator import Emulator
from sifnet.physics.instrument import Instrument, gaussian_response
from sifnet.physics.noise import noise_sd
from sifnet.physics.state import SensorState
from sifnet.physics.transfer import TransferFunctions
from sifnet.retrieval.model import instrument_for
from sifnet.scenes import record_of, sensors


@pytest.fixture(scope="module")
def emulator():
    return fitted_emulator()


@pytest.fixture(scope="module")
def components(emulator) -> TransferFunctions:
    return components_of(emulator)


def components_of(emulator: Emulator, *, space: bool = False) -> TransferFunctions:
    samples = fake_samples(2, space=space)
    with torch.no_grad():
        as_float = (
            samples.atmosphere().map(torch.Tensor.float),
            samples.geometry().map(torch.Tensor.float),
        )
        return emulator(*as_float)


def spectra(emulator: Emulator, components: TransferFunctions) -> TransferFunctions:
    """Components to spectra on the emulator's grid, ``..., wavelength``."""
    pairs = zip(components.items(), emulator.basis, strict=True)
    return TransferFunctions(*(values @ basis for (_, values), basis in pairs))


def directly(emulator, components, centre, fwhm, shift=0.0, change=0.0) -> TransferFunctions:
    """The emulated spectra on the grid, convolved with shifted and widened Gaussians."""
    grid = emulator.grid.double().numpy()
    width = np.sqrt((np.asarray(fwhm) + change) ** 2 - emulator.presmoothing_fwhm**2)
    matrix = gaussian_response(
        grid, np.asarray(centre) + shift, np.broadcast_to(width, len(centre))
    )
    matrix = torch.as_tensor(matrix, dtype=torch.float32)
    return spectra(emulator, components).map(lambda spectrum: spectrum @ matrix.T)


@pytest.mark.parametrize("name", [n for n, s in sensors().items() if not s.inspect_only])
def test_every_nominal_instrument_interpolates_within_1e4(name, emulator, components):
    usual = record_of(name)
    if usual.window[0] < emulator.grid[0] + 5:  # wings beyond: seen from space
        emulator = Emulator.load(space=True).requires_grad_(False)
        components = components_of(emulator)
    instrument = instrument_for(usual, usual.centres(), usual.fwhm, emulator)
    assert instrument.interpolation_error <= 1e-4
    shift, change = 0.83 * usual.shift_range[0], 0.61 * usual.fwhm_range[1]
    state = SensorState.of(wavelength_shift=shift, fwhm_shift=change)
    got = instrument(components, state)
    exact = directly(emulator, components, usual.centres(), usual.fwhm, shift, change)
    for name in ("ground", "up"):
        relative = getattr(got, name) / getattr(exact, name) - 1
        assert relative.abs().max() < 2e-4, name


def test_sensor_state_broadcasts_over_columns(emulator, components):
    instrument = Instrument(np.arange(748.0, 772.0, 3.0), 3.5, emulator)
    columns = SensorState.of(wavelength_shift=[0.1, 0.2, 0.3], fwhm_shift=0.0)
    by_line = components.map(lambda t: t[:, None])
    together = instrument(by_line, columns)
    alone = instrument(components, SensorState.of(wavelength_shift=0.2, fwhm_shift=0.0))
    assert together.ground.shape == (8, 3, 8)
    assert torch.allclose(together.ground[:, 1], alone.ground, rtol=1e-5)


def test_a_measured_gaussian_response_is_the_gaussian(emulator, components):
    centre = np.arange(755.0, 766.0, 0.5)
    offset = np.linspace(-1.5, 1.5, 601)
    response = [(c + offset, np.exp(-4 * np.log(2) * (offset / 0.5) ** 2)) for c in centre]
    measured = Instrument(centre, 0.5, emulator, response=response)
    gaussian = Instrument(centre, 0.5, emulator)
    state = SensorState.of(wavelength_shift=0.05, fwhm_shift=-0.03)
    got, expected = (i(components, state).ground for i in (measured, gaussian))
    assert torch.allclose(got, expected, rtol=2e-4)


def test_a_lopsided_response_is_seen_as_measured(emulator, components):
    """A steep blue and a long red wing, against the same weights applied directly."""
    offset = np.linspace(-1.0, 2.0, 301)
    wings = np.where(offset < 0, 0.2, 0.5)
    response = np.exp(-0.5 * (offset / wings) ** 2)
    got = Instrument([760.5], [0.82], emulator, response=[(760.5 + offset, response)])
    nominal = SensorState.of(wavelength_shift=0.0, fwhm_shift=0.0)
    weights = np.interp(emulator.grid.numpy(), 760.5 + offset, response, left=0, right=0)
    weights = torch.as_tensor(weights / weights.sum(), dtype=torch.float32)
    expected = spectra(emulator, components).ground @ weights
    assert torch.allclose(got(components, nominal).ground[:, 0], expected, rtol=2e-3)


@pytest.mark.parametrize("start", [-6.0, -5.5])
def test_responses_tabulated_in_nm_steps_are_interpolated(start):
    """A Gaussian of 3.5 nm given every 1 nm, sampled at its centre and either side of it.

    Over DESIS's own shifts and widths, in its own window.
    """
    usual = record_of("desis")
    emulator = Emulator.load(space=True).requires_grad_(False)
    components = components_of(emulator, space=True)
    offset = np.arange(start, 6.5, 1.0)
    response = [
        (centre + offset, np.exp(-4 * np.log(2) * (offset / 3.5) ** 2))
        for centre in usual.centres()
    ]
    coarse = instrument_for(usual, usual.centres(), 3.5, emulator, response)
    assert coarse.interpolation_error <= 1e-3
    gaussian = instrument_for(usual, usual.centres(), 3.5, emulator)
    for shift in np.linspace(*usual.shift_range, 7):
        for change in (0.0, 0.9 * usual.fwhm_range[0], 0.9 * usual.fwhm_range[1]):
            state = SensorState.of(wavelength_shift=shift, fwhm_shift=change)
            light, expected = (
                t.path + 0.3 * t.ground for t in (i(components, state) for i in (coarse, gaussian))
            )
            relative = light / expected - 1
            assert relative.square().mean().sqrt() < 5e-4, (shift, change)
            assert relative.abs().max() < 2e-3, (shift, change)  # in the depth of O2-A


def test_gradient_in_shift_and_width(emulator, components):
    instrument = Instrument([758.0, 760.5], [0.25, 0.3], emulator).double()
    components = components.map(torch.Tensor.double)

    def bands(shift, change):
        return instrument(components, SensorState(shift, change)).ground

    at = (torch.tensor([0.03], dtype=torch.float64), torch.tensor([-0.12 / 2], dtype=torch.float64))
    assert torch.autograd.gradcheck(bands, [x.requires_grad_() for x in at], atol=1e-4)


def test_bands_beyond_the_grid_are_refused(emulator):
    with pytest.raises(SifnetError, match=r"reach beyond.*740.0 to 780.0 nm"):
        Instrument([739.0, 760.0], 0.25, emulator)


def test_widths_in_micrometres_are_refused(emulator):
    with pytest.raises(SifnetError, match=r"too narrow.*above 0.072 nm.*widths are in nm"):
        Instrument([760.0], 0.00025, emulator)


def test_ranges_too_wide_to_interpolate_are_refused(emulator):
    with pytest.raises(SifnetError, match=r"too wide to interpolate.*Narrow shift_range"):
        Instrument([760.0], 0.12, emulator, shift_range=(-4.0, 4.0), fwhm_range=(-0.01, 0.01))


def test_hyplant_noise_is_the_published_signal_to_noise():
    radiance = torch.tensor([10.0, 20.0, 50.0, 100.0])
    ratio = radiance / noise_sd(radiance, record_of("hyplant").shot_noise)
    assert torch.allclose(ratio, torch.tensor([48.0, 65.0, 101.0, 116.0]), rtol=0.25)


def test_noise_of_darkness_is_finite():
    assert noise_sd(torch.tensor([-3.0, 0.0]), 0.013).min() > 0
