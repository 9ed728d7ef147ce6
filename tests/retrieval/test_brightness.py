"""Ground that is as green as other ground and half as bright is probably not lit as that is."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from fakes.worlds import world
from sifnet.physics.state import Atmosphere, AtmospherePrior, Geometry
from sifnet.product.retrieve import retrieve
from sifnet.retrieval.brightness import LIT, SHADED, SKY_ERROR, Brightness, sky_error
from sifnet.retrieval.pixels import Pixels
from sifnet.scenes.scene import Flag

SHAPE = (1, 10, 10)


@pytest.fixture
def pixels() -> Pixels:
    """A field of 100 and bare ground of 60 mW m-2 nm-1 sr-1, and one pixel of the field at 30."""
    geometry = Geometry(*(torch.full((1, 1, 10), v) for v in (60.0, 5.0, 90.0, 1.0, 1.0)))
    air = Atmosphere.usual()
    unseen = Pixels.unseen(SHAPE, geometry, AtmospherePrior(air, air))
    ndvi = torch.full(SHAPE, 0.8)
    ndvi[:, 5:] = 0.05
    level = torch.where(ndvi > 0.5, 100.0, 60.0)
    level[0, 0, 0] = 30.0
    return replace(unseen, radiance=level[..., None].expand(*SHAPE, 3), ndvi=ndvi)


def test_dim_ground_is_compared_with_what_is_as_green(pixels: Pixels) -> None:
    share = Brightness.of([pixels]).share(pixels)
    assert float(share[0, 0, 0]) == pytest.approx(0.3)
    share[0, 0, 0] = 1.0
    torch.testing.assert_close(share, torch.ones(SHAPE))  # bare ground is not dim, but bare


def test_the_error_grows_with_the_light_that_is_missing(pixels: Pixels) -> None:
    error = sky_error(pixels, Brightness.of([pixels]).share(pixels))
    assert float(error[0, 0, 0]) == pytest.approx(SKY_ERROR * 100 * (LIT - 0.3))
    assert float(error.sum()) == pytest.approx(float(error[0, 0, 0]))


def test_too_few_pixels_say_nothing_nor_do_those_whose_light_is_measured(pixels: Pixels) -> None:
    few = replace(pixels, usable=pixels.usable & (torch.arange(100).reshape(SHAPE) < 19))
    torch.testing.assert_close(Brightness.of([few]).share(pixels), torch.ones(SHAPE))
    measured = replace(pixels, irradiance=torch.ones(*SHAPE, 3))
    torch.testing.assert_close(Brightness.of([pixels]).share(measured), torch.ones(SHAPE))
    none = replace(pixels, ndvi=torch.full(SHAPE, torch.nan))
    torch.testing.assert_close(Brightness.of([none]).share(none), torch.ones(SHAPE))


def test_a_world_where_the_sun_is_partly_gone(shared_data: Path, tmp_path: Path) -> None:
    scene, truth = world("shadow", shared_data, tmp_path)
    product = retrieve(scene)
    error = product.sif_760.values - truth.sif_760.values
    dim = (product.quality_flag.values & int(Flag.DIM)) > 0
    sunlight = truth.sunlight.values
    assert (sunlight[dim] < 0.7).mean() > 0.9
    assert dim[sunlight < 0.3].mean() > 0.7
    in_sigma = np.abs(error / product.sif_760_uncertainty.values)
    assert (in_sigma < 2).mean() > 0.9
    assert SHADED < LIT
