"""The closed form against its limits, its gradient, and Verhoef's four-stream equations."""

import numpy as np
import pytest
import torch

from sifnet.physics.transfer import (
    PRODUCTS,
    TransferFunctions,
    at_sensor_radiance,
    linearised,
    straightened,
    to_transfer,
)


def random_transfer(bands: int = 5) -> TransferFunctions:
    generator = torch.Generator().manual_seed(3)

    def draw(low: float, high: float) -> torch.Tensor:
        x = torch.rand(bands, generator=generator, dtype=torch.float64)
        return low + (high - low) * x

    ground, up = draw(50.0, 300.0), draw(0.4, 0.95)
    return TransferFunctions(draw(1, 10), ground, ground * draw(0.02, 0.1), up, up * draw(0, 0.1))


ZERO = torch.zeros(5, dtype=torch.float64)


def test_black_ground_shows_the_path_and_the_bare_emission():
    t = random_transfer()
    assert torch.equal(at_sensor_radiance(ZERO, ZERO, t), t.path)
    assert torch.allclose(at_sensor_radiance(ZERO, ZERO + 2.0, t), t.path + 2.0 * t.up)


def test_bounces_sum_as_a_geometric_series():
    t = random_transfer()
    reflectance, s = 0.4, t.ground_bounce / t.ground
    series = sum(t.ground * reflectance * (reflectance * s) ** n for n in range(60))
    assert torch.allclose(at_sensor_radiance(ZERO + reflectance, ZERO, t), t.path + series)


def test_gradient():
    t = random_transfer()
    inputs = [ZERO + 0.3, ZERO + 1.0, *(value for _, value in t.items())]
    inputs = [x.clone().requires_grad_() for x in inputs]
    assert torch.autograd.gradcheck(
        lambda r, f, *p: at_sensor_radiance(r, f, TransferFunctions(*p)), inputs
    )


def ground_of(
    reflectance: float = 0.3, sif: float = 1.4
) -> tuple[torch.Tensor, torch.Tensor, TransferFunctions]:
    """A ground that differs from band to band, and the air above it."""
    tilt = torch.linspace(-0.1, 0.1, 5, dtype=torch.float64)
    return reflectance + tilt, sif - tilt, random_transfer()


def test_the_linearised_radiance_is_the_radiance():
    ground = ground_of()
    assert torch.equal(linearised(*ground).value, at_sensor_radiance(*ground))


@pytest.mark.parametrize("away", [0.0, 0.1])
def test_measured_light_is_linear_in_the_ground(away):
    """Exactly at its reflectance; 0.1 from it emission is off by how bounces differ."""
    r, f, t = ground_of()
    sigma = torch.linspace(0.5, 2.0, 5, dtype=torch.float64)
    seen = straightened(at_sensor_radiance(r, f, t), r + away, t, sigma)
    left = (seen.value - r * seen.to_reflectance - f * seen.to_sif) * sigma
    differ = t.ground_bounce / t.ground - t.up_bounce / t.up
    assert bool((left.abs() <= 1.2 * away * (differ * f * t.up).abs() + 1e-12).all())


@pytest.mark.parametrize("sif", [0.0, -0.4, 1.4])
@pytest.mark.parametrize("reflectance", [0.1, 0.5])
def test_derivatives_to_the_ground_are_those_of_autograd(reflectance, sif):
    r, f, t = ground_of(reflectance, sif)
    r, f = r.requires_grad_(), f.requires_grad_()
    radiance = at_sensor_radiance(r, f, t)
    by_reflectance, by_sif = torch.autograd.grad(radiance.sum(), (r, f))
    closed = linearised(r, f, t)
    torch.testing.assert_close(closed.to_reflectance, by_reflectance, rtol=1e-12, atol=0.0)
    torch.testing.assert_close(closed.to_sif, by_sif, rtol=1e-12, atol=0.0)


@pytest.mark.parametrize("sif", [0.0, -0.4, 1.4])
@pytest.mark.parametrize("reflectance", [0.1, 0.5])
def test_derivatives_to_the_air_are_those_of_autograd(reflectance, sif):
    r, f, t = ground_of(reflectance, sif)
    t = t.map(lambda x: x.requires_grad_())
    automatic = torch.autograd.grad(at_sensor_radiance(r, f, t).sum(), [x for _, x in t.items()])
    closed = to_transfer(r, f, t)
    for name, expected in zip(PRODUCTS, automatic, strict=True):
        torch.testing.assert_close(
            getattr(closed, name), expected, rtol=1e-12, atol=1e-14, msg=name
        )


def test_the_derivatives_have_gradients_of_their_own():
    """Refinement is trained through nowhere, but a derivative that detaches would not be seen."""
    r, f, t = ground_of()
    inputs = [x.clone().requires_grad_() for x in (r, f, *(value for _, value in t.items()))]

    def all_derivatives(r, f, *products):
        t = TransferFunctions(*products)
        return (*linearised(r, f, t), *(value for _, value in to_transfer(r, f, t).items()))

    assert torch.autograd.gradcheck(all_derivatives, inputs, atol=1e-6)


def test_the_closed_form_is_the_same_arithmetic_on_one_batch_and_many():
    r, f, t = ground_of()
    many = linearised(r.expand(3, 2, 5), f.expand(3, 1, 5), t.map(lambda x: x.expand(1, 2, 5)))
    for together, alone in zip(many, linearised(r, f, t), strict=True):
        assert together.shape == (3, 2, 5)
        assert torch.equal(together, alone.expand(3, 2, 5))


def four_stream(t: dict[str, np.ndarray], reflectance: float, sif: float) -> np.ndarray:
    """Verhoef et al. 2018, radiance at the sensor, pixel and surroundings the same."""
    bounces = 1.0 - reflectance * t["rdd"]
    sunlit = (
        t["rso"]
        + t["tsstoo"] * reflectance
        + (t["tsdtoo"] + t["tssrddtoo"] * reflectance) * reflectance / bounces
        + (t["tsdtdo"] + t["tsstdo"]) * reflectance / bounces
    )
    emitted = sif * (t["too"] + (t["tdo"] + t["too"] * t["rdd"] * reflectance) / bounces)
    return t["toasun"] * sunlit + emitted


@pytest.fixture(scope="module")
def t18(shared_data) -> dict[str, np.ndarray]:
    """MODTRAN's T-18 system, 1 cm-1."""
    path = shared_data / "modtran" / "FLEX-S3_std_O2A_12979_13190.csv"
    names = path.read_text().splitlines()[1].lstrip("# ").split(",")
    return dict(zip(names, np.loadtxt(path, delimiter=",").T, strict=True))


def monochromatic(t18: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The system with its products of transmittances replaced by those of its own factors."""
    t = dict(t18)
    for name in ("tsstoo", "tsdtoo", "tsstdo", "tsdtdo"):
        t[name] = t[name[:3]] * t[name[3:]]
    t["tssrddtoo"] = t["tsstoo"] * t["rdd"]
    return t


def five_products(t: dict[str, np.ndarray]) -> TransferFunctions:
    """Our products from T-18; s is what direct light sees, tssrddtoo / tsstoo."""
    ground = t["toasun"] * (t["tsstoo"] + t["tsdtoo"] + t["tsstdo"] + t["tsdtdo"])
    up, s = t["too"] + t["tdo"], t["tssrddtoo"] / t["tsstoo"]
    spectra = t["toasun"] * t["rso"], ground, ground * s, up, up * t["rdd"]
    return TransferFunctions(*map(torch.as_tensor, spectra))


def closed_form(t: dict[str, np.ndarray], reflectance: float, sif: float) -> np.ndarray:
    spectrum = torch.full((len(t["rso"]),), reflectance, dtype=torch.float64)
    radiance = at_sensor_radiance(spectrum, torch.full_like(spectrum, sif), five_products(t))
    return radiance.numpy()


@pytest.mark.parametrize("reflectance", [0.0, 0.1, 0.3, 0.5])
@pytest.mark.parametrize("sif", [0.0, 2.0])
def test_four_stream_form_agrees(reflectance, sif, t18):
    """The general form, with one reflectance and emission all around, is the closed form."""
    t = monochromatic(t18)
    expected = four_stream(t, reflectance, sif)
    assert np.allclose(closed_form(t, reflectance, sif), expected, rtol=1e-12)


@pytest.mark.parametrize("reflectance", [0.1, 0.3, 0.5])
def test_products_hold_after_convolution(reflectance, t18):
    """MODTRAN's products, formed on its fine grid, in either form."""
    expected = four_stream(t18, reflectance, 2.0)
    relative = closed_form(t18, reflectance, 2.0) / expected - 1
    assert np.sqrt(np.mean(relative**2)) < 5e-6
    assert np.abs(relative).max() < 2e-5


def test_products_of_means_do_not(t18):
    """The same with products of band means, which is what must not be done, is 40 % wrong."""
    wrong = closed_form(monochromatic(t18), 0.3, 2.0)
    assert np.abs(wrong / four_stream(t18, 0.3, 2.0) - 1).max() > 0.4
