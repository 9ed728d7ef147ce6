"""Fluorescence at 687 nm beside that at 760 nm, where light has the lines of the O2 B band."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

import sifnet
from sifnet.scenes.scene import Scene
from sifnet.simulation.simulate import simulate


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory) -> tuple[Scene, xr.Dataset]:
    """A line with red bands and its truth, in the light of the emulators."""
    folder = tmp_path_factory.mktemp("line")
    path = simulate("hyplant", folder, lines=40, samples=32, seed=3, quick=True, red=True)
    return sifnet.open_scene(path), xr.open_dataset(folder / "truth.nc")


@pytest.fixture(scope="module")
def product(line: tuple[Scene, xr.Dataset]) -> xr.Dataset:
    return sifnet.retrieve(line[0])


def without_lines(scene: Scene) -> Scene:
    """The same with smooth light below 700 nm, as where no line was simulated."""
    radiance, red = scene.radiance.values.copy(), scene.wavelength < 700
    x = scene.wavelength[red] - 685
    level = np.polynomial.polynomial.polyfit(x, radiance[..., red].reshape(-1, x.size).T, 2)
    smooth = np.polynomial.polynomial.polyval(x, level)
    radiance[..., red] = smooth.reshape(*radiance.shape[:2], x.size)
    return Scene(scene.dataset.assign(radiance=(("line", "sample", "band"), radiance)))


def test_red_fluorescence_is_found_as_well_as_is_said(
    line: tuple[Scene, xr.Dataset], product: xr.Dataset
) -> None:
    soil = line[1].bare_soil.values.astype(bool)
    assert (product.quality_flag_687 == 0).values.mean() > 0.98
    error = (product.sif_687 - line[1].sif_687).values
    sigma, shared = (product[f"sif_687_uncertainty{n}"].values for n in ("", "_shared"))
    z = np.abs(error / sigma)
    assert 0.6 < (z < 1).mean() < 0.85
    assert (z < 3).mean() > 0.98
    assert (shared < sigma).all()
    for ground in (soil, ~soil):  # the one does not glow, the other does
        spread = np.hypot(sigma[ground].mean() / np.sqrt(ground.sum()), shared[ground].mean())
        assert abs(error[ground].mean()) < 2.5 * spread
    assert product.sif_687.attrs["units"] == "mW m-2 nm-1 sr-1"


def test_light_without_lines_gives_no_red_and_the_same_far_red(
    line: tuple[Scene, xr.Dataset], product: xr.Dataset
) -> None:
    grey = sifnet.retrieve(without_lines(line[0]))
    assert not [name for name in grey if "687" in str(name)]
    np.testing.assert_allclose(grey.sif_760, product.sif_760, atol=0.01)
