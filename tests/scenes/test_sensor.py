"""A sensor is one record: refused at birth, made at run time, or offered by a package."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import sifnet
from fakes.desis import fake_desis
from fakes.flox import AIR_WAVELENGTH, PLACE, fake_flox
from fakes.hyplant import WAVELENGTH, fake_hyplant
from sifnet.errors import SifnetError
from sifnet.scenes import MODULES, open_scene, readers, record_of, sensors
from sifnet.scenes.scene import Scene
from sifnet.scenes.sensor import Sensor

TOY = Sensor(name="toy", sampling=0.2, fwhm=0.5, shot_noise=0.05, simulated_as="line")
GEOMETRY = {
    "solar_zenith_angle": 30.0,
    "view_zenith_angle": 0.0,
    "relative_azimuth_angle": 0.0,
    "sensor_height": 1.0,
    "ground_elevation": 0.0,
    "sun_earth_distance": 1.0,
}


def test_ranges_follow_from_the_width_unless_they_are_stated() -> None:
    assert TOY.shift_range == (-0.25, 0.25)
    assert TOY.fwhm_range == (-0.125, 0.125)
    assert replace(TOY, shift_range=(-0.1, 0.2)).shift_range == (-0.1, 0.2)
    np.testing.assert_allclose(np.diff(TOY.centres()), 0.2)
    assert (TOY.centres()[0], TOY.centres()[-1]) == pytest.approx((750.0, 770.0))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"sampling": 0.0}, "impossible sampling: found 0; expected above 0"),
        ({"fwhm": -0.5}, "impossible fwhm: found -0.5"),
        ({"shot_noise": np.nan}, "impossible shot_noise: found nan"),
        ({"window": (770.0, 750.0)}, "impossible window: found 770 to 750"),
        ({"fwhm_range": (0.1, 0.1)}, "impossible fwhm_range"),
        ({"shift_range": (0.1, 0.2)}, "impossible shift_range: .* expected a range around 0"),
        ({"medium": "water"}, "impossible medium: found 'water'; expected air or vacuum"),
        (
            {"simulated_as": "drone"},
            "impossible simulated_as: .* orbit or swath or None",
        ),
    ],
)
def test_what_no_spectrometer_has_is_refused(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(SifnetError, match=f"the sensor 'toy' has an {message}"):
        replace(TOY, **changed)


def test_every_module_names_its_sensor() -> None:
    assert list(readers()) == [reader.SENSOR.name for reader in readers().values()]
    assert len(readers()) == len(MODULES)
    assert all(record_of(name) is reader.SENSOR for name, reader in readers().items())


def test_a_scene_from_arrays_has_the_record_that_was_given() -> None:
    radiance = np.full((2, 3, 101), 80.0, np.float32)
    scene = Scene.from_arrays(
        radiance, TOY.centres(), TOY.fwhm, geometry=GEOMETRY, sensor=TOY, name="toy scene",
        acquisition_time="2020-06-25T09:32:00",
    )  # fmt: skip
    assert scene.sensor is TOY
    assert dict(scene.describe())["sensor"] == "toy"
    with pytest.raises(SifnetError, match="unknown sensor: found 'toy'.*make a sifnet.Sensor"):
        Scene.from_arrays(
            radiance, TOY.centres(), TOY.fwhm, geometry=GEOMETRY, sensor="toy", name="n",
            acquisition_time="2020-06-25T09:32:00",
        )  # fmt: skip


def test_a_file_is_read_as_what_its_sensor_is_simulated_as(tmp_path: Path) -> None:
    line = open_scene(fake_hyplant(tmp_path / "line"), sensor=TOY)
    np.testing.assert_allclose(line.wavelength, WAVELENGTH)
    series = open_scene(
        fake_flox(tmp_path / "series"), sensor=replace(TOY, simulated_as="series"), **PLACE
    )
    np.testing.assert_allclose(series.wavelength, AIR_WAVELENGTH)  # vacuum, as the record says
    assert (series.fwhm == 0.5).all()
    seen = replace(TOY, simulated_as="orbit")
    assert open_scene(fake_desis(tmp_path / "orbit"), sensor=seen).sensor is seen
    assert line.sensor is TOY


def test_the_medium_of_a_line_is_that_of_its_sensor(tmp_path: Path) -> None:
    scene = open_scene(fake_hyplant(tmp_path), sensor=replace(TOY, medium="air"))
    np.testing.assert_allclose(scene.wavelength - WAVELENGTH, 0.21, atol=0.01)
    assert any("wavelengths taken as air" in note for note in scene.dataset.attrs["notes"])


class Point:
    """An entry point of an installed package."""

    name = "toy"

    def __init__(self, target: object, group: str = "sifnet.sensors") -> None:
        self.target, self.group = target, group

    def load(self) -> object:
        return self.target


@pytest.fixture
def plugged(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Point]]:
    points: list[Point] = []

    def entry_points(*, group: str) -> list[Point]:
        return [point for point in points if point.group == group]

    monkeypatch.setattr(importlib.metadata, "entry_points", entry_points)
    for known in (sensors, readers):
        known.cache_clear()
    yield points
    for known in (sensors, readers):
        known.cache_clear()


def test_a_package_s_sensor_is_known_by_name(tmp_path: Path, plugged: list[Point]) -> None:
    plugged.append(Point(TOY))
    assert record_of("toy") is TOY
    assert list(sensors())[-1] == "toy"
    assert open_scene(fake_hyplant(tmp_path), sensor="toy").sensor is TOY


def test_an_entry_point_that_is_no_sensor_is_refused(plugged: list[Point]) -> None:
    plugged.append(Point("toy"))
    with pytest.raises(SifnetError, match="entry point 'toy' of sifnet.sensors names no sensor"):
        record_of("toy")


def test_a_package_s_reader_opens_its_files(tmp_path: Path, plugged: list[Point]) -> None:
    def open_toy(path: Path, sensor: Sensor = TOY, **site: Any) -> Scene:
        return Scene.from_arrays(
            np.full((2, 3, 101), 80.0, np.float32), TOY.centres(), TOY.fwhm, geometry=GEOMETRY,
            sensor=sensor, name=path.stem, acquisition_time="2020-06-25T09:32:00",
        )  # fmt: skip

    reader = SimpleNamespace(
        SENSOR=TOY, matches=lambda path: path.suffix == ".toy", open_scene=open_toy
    )
    plugged.append(Point(reader, "sifnet.readers"))
    (tmp_path / "line.toy").touch()
    scene = open_scene(tmp_path / "line.toy")
    assert (scene.name, scene.sensor) == ("line", TOY)
    assert record_of("toy") is TOY


def test_an_entry_point_that_cannot_read_is_refused(plugged: list[Point]) -> None:
    plugged.append(Point(SimpleNamespace(SENSOR=TOY), "sifnet.readers"))
    with pytest.raises(SifnetError, match="names no reader: found no matches, open_scene"):
        readers()


def test_the_record_has_one_public_name() -> None:
    assert sifnet.Sensor is Sensor
