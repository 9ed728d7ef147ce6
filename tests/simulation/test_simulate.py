"""Simulated scenes: true to format, reproducible, and free of greenness in disguise."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

pytest.importorskip("sasktran2", reason="needs the 'build' extra")

from fakes.light import quick_light
from sifnet.errors import SifnetError
from sifnet.scenes import open_scene
from sifnet.scenes.sensor import Sensor
from sifnet.simulation.ground import Ground
from sifnet.simulation.scenery import Settings, column_radiance
from sifnet.simulation.simulate import Relief, simulate
from sifnet.units import standard_pressure


@pytest.fixture(scope="module", autouse=True)
def _quick_light() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        quick_light(patch)
        yield


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("line")
    simulate("hyplant", folder, lines=24, samples=12, seed=3)
    return folder


def test_a_line_is_read_back_with_its_truth(line: Path) -> None:
    scene = open_scene(line)
    truth = xr.open_dataset(line / "truth.nc")
    assert scene.sensor.name == "hyplant"
    assert scene.shape[:2] == (24, 12)
    assert truth.sif_760.shape == (24, 12)
    assert truth.sif_760.units == "mW m-2 nm-1 sr-1"
    soil = truth.bare_soil.values.astype(bool)
    assert soil.any()
    assert not soil.all()
    assert (truth.sif_760.values[soil] == 0).all()
    assert (truth.sif_760.values[~soil] > 0).all()
    assert float(scene.dataset.solar_zenith_angle) == pytest.approx(
        truth.attrs["solar_zenith_angle"], abs=1e-3
    )
    radiance = scene.radiance.values
    red = radiance[..., scene.wavelength < 680].mean(axis=-1)
    infrared = radiance[..., scene.wavelength > 772].mean(axis=-1)
    ndvi = (infrared - red) / (infrared + red)
    assert ndvi[~soil].min() > 0.5 > 0.35 > ndvi[soil].max()


def test_the_band_is_as_deep_as_oxygen_makes_it(line: Path) -> None:
    """At 0.25 nm the O2-A band leaves 5-35 % of the continuum over all airmasses in use."""
    scene = open_scene(line)
    radiance = scene.radiance.values
    bottom = radiance[..., np.abs(scene.wavelength - 760.7) < 0.1].mean(axis=-1)
    shoulder = radiance[..., np.abs(scene.wavelength - 757.8) < 0.3].mean(axis=-1)
    assert 0.05 < np.median(bottom / shoulder) < 0.35


def test_noise_is_the_sensor_s(line: Path) -> None:
    """Second differences between lines of one field, where nothing but noise changes fast."""
    scene = open_scene(line)
    bands = (scene.wavelength > 750) & (scene.wavelength < 757)
    radiance = scene.radiance.values[..., bands]
    relative = radiance / radiance.mean(axis=-1, keepdims=True)
    residual = relative[1:] - relative[:-1]
    expected = 0.07 / np.sqrt(np.median(radiance)) * np.sqrt(2)
    assert np.median(residual.std(axis=-1)) == pytest.approx(expected, rel=0.25)


def test_the_same_seed_gives_the_same_bytes(line: Path, tmp_path: Path) -> None:
    """In the same light, if the same is asked for (``test_database`` has it computed twice)."""
    again = simulate("hyplant", tmp_path, lines=24, samples=12, seed=3)
    first = next(line.glob("*.dat")).read_bytes()
    assert again.with_suffix(".dat").read_bytes() == first


@pytest.mark.slow
def test_hills_rise_out_of_the_oxygen(tmp_path: Path) -> None:
    """Strong lines absorb by their wings, as pressure squared times path: depth falls as p."""
    high, low = 0.5, 0.2
    level = Settings.drawn(np.random.default_rng(5), ground_elevation=0.35, sensor_height=1.0)
    over = {z: replace(level, ground_elevation=z, sensor_height=1.35 - z) for z in (low, high)}
    ground = Ground.drawn((2, 3), 0.0, np.random.default_rng(5))
    ground = Ground(**{n: v[:1].repeat(2, 0) for n, v in vars(ground).items()})
    ground.sif_760[:] = 0.0
    relief = Relief(np.array([[low] * 3, [high] * 3]), over)
    scene = open_scene(simulate("hyplant", tmp_path, settings=replace(level, noise=0.0),
                                ground=ground, relief=relief))  # fmt: skip
    assert float(scene.dataset.ground_elevation.mean()) == pytest.approx(0.35)
    radiance, wavelength = scene.radiance.values, scene.wavelength
    band = radiance[..., (wavelength > 759.5) & (wavelength < 769.0)].mean(axis=-1)
    depth = 1 - band / radiance[..., np.abs(wavelength - 757.8) < 0.3].mean(axis=-1)
    expected = float(standard_pressure(high) / standard_pressure(low))
    assert depth[1] / depth[0] == pytest.approx(expected, abs=0.015)
    truth = xr.open_dataset(tmp_path / "truth.nc")
    np.testing.assert_allclose(truth.ground_elevation, relief.elevation)


def test_fluorescence_does_not_follow_greenness() -> None:
    ground = Ground.drawn((200, 200), 0.25, np.random.default_rng(0))
    green = ~ground.bare_soil
    ndvi = (ground.infrared - ground.red) / (ground.infrared + ground.red)
    assert abs(np.corrcoef(ndvi[green], ground.sif_760[green])[0, 1]) < 0.25


@pytest.mark.slow
def test_a_flox_day_has_its_irradiance(tmp_path: Path) -> None:
    settings = Settings.drawn(np.random.default_rng(1), pressure_offset=0.0)
    scene = open_scene(simulate("flox", tmp_path, lines=4, seed=1, settings=settings))
    assert scene.irradiance is not None
    assert scene.shape[:2] == (4, 1)
    bands = (scene.wavelength > 752) & (scene.wavelength < 757)
    ratio = np.pi * scene.radiance.values / scene.irradiance.values
    assert (ratio[..., bands] > 0.2).all()
    assert (ratio[..., bands] < 0.6).all()
    truth = xr.open_dataset(tmp_path / "truth.nc")
    np.testing.assert_allclose(
        scene.dataset.solar_zenith_angle, truth.solar_zenith_angle, atol=0.05
    )


def test_unknown_sensors_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SifnetError, match="unknown sensor: found 'camera'.*hyplant, flox, desis"):
        simulate("camera", tmp_path)
    with pytest.raises(SifnetError, match="cannot simulate this sensor: found 'enmap'.*desis"):
        simulate("enmap", tmp_path)
    toy = Sensor(name="toy", sampling=0.2, fwhm=0.5, shot_noise=0.05)
    with pytest.raises(SifnetError, match="'toy', whose record has no simulated_as.*in the record"):
        simulate(toy, tmp_path)


@pytest.mark.parametrize("shape", [(1, 1), (5, 3)])
def test_the_light_at_all_nodes_has_weights_that_sum_to_one(shape: tuple[int, int]) -> None:
    """In a scene of one pixel all nodes are one: it must not be counted three times."""
    settings = Settings.drawn(np.random.default_rng(2))
    aot, nodes = settings.aot(shape, np.random.default_rng(3))
    grid = np.linspace(750.0, 770.0, 40)
    dark = {n: np.stack([np.full(40, 7.0), *np.ones((4, 40)) * 1e-12]) for n in nodes}
    column = Ground.drawn(shape, 0.0, np.random.default_rng(4)).column(0)
    light = column_radiance(column, aot[:, 0], dark, grid, np.eye(40))
    np.testing.assert_allclose(light, 7.0, rtol=1e-9)


def test_an_unwritable_folder_is_refused(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    with pytest.raises(SifnetError, match="the output cannot be written"):
        simulate("hyplant", blocked)
