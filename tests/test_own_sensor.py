"""A sensor that nobody foresaw is simulated, opened, fitted and mapped; plain arrays are enough."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from conftest import PROJECT
from fakes.light import quick_light
from sifnet import Sensor
from sifnet.product.retrieve import retrieve
from sifnet.retrieval.encoder import Architecture
from sifnet.scenes import open_scene
from sifnet.scenes.scene import Scene
from sifnet.simulation.simulate import simulate
from sifnet.training.fit import Training, fit

TOY = Sensor(name="toy", sampling=0.2, fwhm=0.5, shot_noise=0.05, simulated_as="line")
SMALL = Architecture(features=12, widths=(16, 16, 16), repeats=(1, 1, 1), dropout=(0.0, 0.0, 0.0),
                     head_widths=(16, 16, 16, 16), head_repeats=(1, 1, 1, 1))  # fmt: skip
TINY = Training(
    epochs=1, steps_per_epoch=2, pretrain_steps=2, patch=(8, 8), architecture=SMALL, batch=1
)


@pytest.mark.slow
def test_a_sensor_made_at_run_time_is_simulated_fitted_and_mapped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick_light(monkeypatch)
    scene = open_scene(simulate(TOY, tmp_path, lines=8, samples=8, seed=4), sensor=TOY)
    truth = xr.open_dataset(tmp_path / "truth.nc")
    _is_of_the_sensor(scene, truth)
    model = fit(scene, tmp_path / "fit", config=TINY)
    product = retrieve(scene, tmp_path / "fit" / "model.ckpt")
    assert product.attrs["sensor"] == "toy"
    assert model.setup.sensor == TOY
    good = product.quality_flag.values == 0
    assert good.mean() > 0.5
    error = (product.sif_760 - truth.sif_760).values[good]
    # The record says all that a Gauss-Newton step needs: the encoder has learned next to nothing.
    assert np.sqrt((error**2).mean()) < 3 * float(product.sif_760_uncertainty.where(good).mean())
    assert np.abs(error).max() < 2.0


def _is_of_the_sensor(scene: Scene, truth: xr.Dataset) -> None:
    assert scene.sensor == TOY
    assert scene.shape[:2] == (8, 8)
    window = scene.wavelength[(scene.wavelength >= 750) & (scene.wavelength <= 770)]
    np.testing.assert_allclose(np.diff(window), 0.2)
    assert (scene.fwhm == 0.5).all()
    assert truth.attrs["noise"] == 0.05
    assert np.abs(truth.fwhm_shift).max() < 0.125
    radiance = scene.radiance.values
    bottom = radiance[..., np.abs(scene.wavelength - 760.8) < 0.15].mean(axis=-1)
    shoulder = radiance[..., np.abs(scene.wavelength - 757.8) < 0.3].mean(axis=-1)
    assert 0.05 < np.median(bottom / shoulder) < 0.35


@pytest.mark.slow
def test_the_how_to_maps_a_line_from_plain_arrays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The code of the page, on the demo line seen by another spectrometer: bands of 0.28 nm."""
    demo = open_scene(next((PROJECT / "data" / "demo").glob("*.hdr")))
    part = (slice(None, None, 3), slice(None, 32))
    pairs = demo.radiance.values[part][..., :276].reshape(30, 32, 138, 2).mean(-1)
    # A Gaussian of 0.25 nm at two places 0.11 nm apart, as wide as the root of both variances says.
    width = np.hypot(0.25, 2 * np.sqrt(2 * np.log(2)) * 0.11 / 2)
    centre = demo.wavelength[:276].reshape(138, 2).mean(-1)
    np.savez(tmp_path / "line.npz", radiance=pairs, wavelength=centre, fwhm=width)
    monkeypatch.chdir(tmp_path)
    page = (PROJECT / "docs" / "howto" / "array.md").read_text(encoding="utf-8")
    code = re.search(r"```python\n(.*?)```", page, re.DOTALL)
    assert code is not None
    assert len([text for text in code[1].splitlines() if text.strip()]) <= 17
    exec(code[1], told := {})
    assert told["scene"].sensor.shot_noise == pytest.approx(0.07 / np.sqrt(2), rel=0.05)
    assert (tmp_path / "my_line_sif.png").stat().st_size > 10_000
    with xr.open_dataset(PROJECT / "data" / "demo" / "truth.nc") as truth:
        error = told["product"].sif_760.values - truth.sif_760.values[part]
    assert abs(error.mean()) < 0.1
    assert np.sqrt((error**2).mean()) < 0.24
    assert 0.6 < (np.abs(error) < told["product"].sif_760_uncertainty.values).mean() < 0.85
