"""Encoder: bounds, what is shared, what is frozen."""

import pytest
import torch

from fakes.emulator import fake_emulator
from fakes.scenes import known_scene
from sifnet.retrieval.encoder import (
    Architecture,
    Encoder,
    ResidualBlock,
    around_prior,
    bounded,
    unbounded,
)
from sifnet.retrieval.pixels import Pixels, read

SMALL = Architecture(features=8, widths=(16, 16, 8), repeats=(2, 1, 1), head_widths=(16, 8, 8, 8),
                     head_repeats=(1, 1, 1, 1))  # fmt: skip


@pytest.fixture(scope="module")
def pixels() -> Pixels:
    return read(known_scene(fake_emulator(), lines=16, samples=8).scene, slice(0, 16), (8, 4))


@pytest.fixture
def encoder(pixels: Pixels) -> Encoder:
    torch.manual_seed(0)
    encoder = Encoder(pixels.radiance.shape[-1], architecture=SMALL)
    encoder.features.freeze(pixels)
    return encoder.eval()


def test_published_sizes_are_the_default() -> None:
    encoder = Encoder(182)
    widths = [block.layers[0].out_features for block in encoder.backbone]
    assert widths == [100, 100, 50]
    assert 1e5 < sum(p.numel() for p in encoder.parameters()) < 3e5


def test_block_without_change_of_width_adds_its_input_unchanged() -> None:
    block = ResidualBlock(4, 4, 2)
    torch.nn.init.zeros_(block.layers[3].weight)
    torch.nn.init.zeros_(block.layers[3].bias)
    x = torch.randn(5, 4)
    torch.testing.assert_close(block(x), x)
    assert ResidualBlock(4, 3, 1)(x).shape == (5, 3)


def test_state_has_shared_shapes_and_stays_within_bounds(encoder: Encoder, pixels: Pixels) -> None:
    for parameter in encoder.parameters():
        torch.nn.init.normal_(parameter, std=3.0)  # also an absurd network stays in bounds
    state = encoder(pixels)
    assert state.atmosphere.aot_550.shape == (4, 1, 1)
    assert state.sensor.wavelength_shift.shape == (4, 1, 4)
    assert state.surface.sif_760.shape == (4, 8, 4)
    for name, value in state.items():
        low, high = encoder.ranges[name]
        assert bool(((value >= low - 1e-3) & (value <= high + 1e-3)).all()), name


def test_untrained_atmosphere_is_the_prior(encoder: Encoder, pixels: Pixels) -> None:
    state = encoder(pixels)
    off = (state.atmosphere.surface_pressure - pixels.prior.mean.surface_pressure).abs()
    assert float(off.detach().max()) < 0.5 * float(pixels.prior.sd.surface_pressure.max())


def test_step_of_one_is_about_one_prior_sd() -> None:
    mean, sd = torch.tensor(1000.0), torch.tensor(8.0)
    moved = around_prior(torch.tensor(1.0), mean, sd, *torch.tensor([650.0, 1060.0]))
    assert float(moved - mean) == pytest.approx(8.0, rel=0.1)


def test_bounded_and_its_inverse() -> None:
    x = torch.tensor([-0.11, 0.0, 0.05])
    low, high = torch.tensor([-0.12, 0.12])
    torch.testing.assert_close(bounded(unbounded(x, low, high), low, high), x)


def test_unusable_pixels_do_not_change_the_others(encoder: Encoder, pixels: Pixels) -> None:
    usable = pixels.usable.clone()
    usable[:, 0] = False
    masked = Pixels(**{**vars(pixels), "usable": usable})
    broken = Pixels(**{**vars(masked), "radiance": pixels.radiance.clone()})
    broken.radiance[:, 0] = 1e4
    for (name, a), (_, b) in zip(encoder(masked).items(), encoder(broken).items(), strict=True):
        if a.dim() == 3 and a.shape[1] == 8:
            a, b = a[:, 1:], b[:, 1:]
        torch.testing.assert_close(a, b, msg=name)


def test_no_usable_pixel_is_no_error(encoder: Encoder, pixels: Pixels) -> None:
    nothing = Pixels(**{**vars(pixels), "usable": torch.zeros_like(pixels.usable)})
    assert all(torch.isfinite(value).all() for _, value in encoder(nothing).items())


def test_fitted_lines_have_their_own_columns(encoder: Encoder, pixels: Pixels) -> None:
    own = torch.zeros(1, 8, 2)
    shifts = torch.tensor(encoder.ranges["wavelength_shift"])
    own[0, 3] = unbounded(torch.tensor(0.05), *shifts)
    encoder.add_lines(own)
    known = Pixels(**{**vars(pixels), "line_id": torch.zeros_like(pixels.line_id)})
    shift = encoder(known).sensor.wavelength_shift
    shift = shift.detach()
    assert float(shift[0, 0, 3]) == pytest.approx(0.05, abs=1e-4)
    assert float(shift[1, 0, 3]) == pytest.approx(0.0, abs=1e-4)  # column 7
    other = encoder(pixels).sensor.wavelength_shift
    assert not torch.allclose(other, shift)


def test_features_are_white_and_frozen(encoder: Encoder, pixels: Pixels) -> None:
    x = encoder.features(pixels)[pixels.usable]
    covariance = torch.cov(x.double().T)
    torch.testing.assert_close(torch.diag(covariance), torch.ones(8).double(), rtol=0.05, atol=0.0)
    names = dict(encoder.features.named_buffers())
    assert set(names) == {"mean", "projection"}  # travel in the checkpoint, do not learn


def test_what_is_folded_once_is_the_same_to_its_gradients(encoder: Encoder, pixels: Pixels) -> None:
    learning = [*encoder.backbone.parameters(), *encoder.pixel_head.parameters()]

    def gradients() -> tuple[torch.Tensor, ...]:
        twice = encoder(pixels).surface.sif_760 + encoder(pixels).surface.sif_760
        return torch.autograd.grad(twice.sum(), learning)

    usual = gradients()
    with encoder.folded():
        once = gradients()
        assert encoder.backbone[0].folded
    assert encoder.backbone[0].folded is None
    for a, b in zip(once, usual, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)
