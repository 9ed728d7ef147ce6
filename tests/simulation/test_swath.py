"""A simulated swath of FLEX by full radiative transfer, from the command to a score."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import xarray as xr

pytest.importorskip("sasktran2", reason="needs the 'build' extra")
pytest.importorskip("prosail", reason="needs the 'build' extra")

from fakes.light import quick_light
from sifnet.scenes import open_scene
from sifnet.simulation.flex_product import channels
from sifnet.simulation.simulate import simulate


def test_channels_are_those_of_the_mission() -> None:
    wavelength, fwhm, arm = channels()
    assert (np.diff(wavelength) > 0).all()
    assert wavelength[[0, -1]] == pytest.approx([499.4, 780.0026])
    inside = (wavelength > 749) & (wavelength < 769)
    np.testing.assert_allclose(np.diff(wavelength[inside]), 0.09325, atol=2e-4)
    np.testing.assert_allclose(fwhm[inside], 0.2869)
    assert (arm == 3).sum() == 269


@pytest.mark.slow  # three atmospheres by full radiative transfer
def test_a_swath_is_read_back_with_its_truth(tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        quick_light(patch)
        product = simulate("flex", tmp_path, lines=8, samples=6, seed=2)
    scene, truth = open_scene(product), xr.open_dataset(tmp_path / "truth.nc")
    assert scene.shape[:2] == truth.sif_760.shape == (8, 6)
    assert (scene.flags().values == 0).all()
    noise = 0.0275 * np.ones(scene.shape[2])[scene.wavelength > 750][:100]
    np.testing.assert_allclose(scene.shot_noise[scene.wavelength > 750][:100], noise, rtol=0.02)
    offset = float(scene.dataset["temperature_offset"].mean()) - truth.attrs["temperature_offset"]
    assert abs(offset) < 3.0
    red, infrared = (
        scene.radiance.values[..., (scene.wavelength > low) & (scene.wavelength < high)].mean(-1)
        for low, high in ((650, 680), (770, 780))
    )
    ndvi = (infrared - red) / (infrared + red)
    soil = truth.bare_soil.values.astype(bool)
    assert ndvi[~soil].min() > 0.12 > ndvi[soil].max()
