"""One contract for every sensor, and the door through which users come."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fakes.desis import fake_desis
from fakes.emit import fake_emit
from fakes.enmap import fake_enmap
from fakes.flex import fake_flex
from fakes.flox import PLACE, fake_flox
from fakes.hyplant import fake_hyplant
from fakes.prisma import fake_prisma
from sifnet.errors import SifnetError
from sifnet.scenes import open_scene, readers
from sifnet.scenes.scene import GEOMETRY_BOUNDS, Scene
from sifnet.scenes.site import Site

FAKES: dict[str, tuple[Any, dict[str, float]]] = {
    "hyplant": (fake_hyplant, {}),
    "flox": (fake_flox, PLACE),
    "desis": (fake_desis, {}),
    "enmap": (fake_enmap, {}),
    "emit": (fake_emit, {}),
    "prisma": (fake_prisma, {}),
    "flex": (fake_flex, {}),
}


@pytest.mark.parametrize("sensor", readers())
def test_every_reader_keeps_the_contract(tmp_path: Path, sensor: str) -> None:
    make, site = FAKES[sensor]
    path = make(tmp_path)
    scene = open_scene(path, **site)
    assert isinstance(scene, Scene)
    assert scene.sensor.name == sensor
    assert scene.radiance.dtype == np.float32
    assert set(GEOMETRY_BOUNDS) <= set(scene.dataset.data_vars)
    np.datetime64(scene.dataset.attrs["acquisition_time"])
    assert all(Path(file).is_file() for file in scene.dataset.attrs["source_files"])
    assert all(isinstance(text, str) for row in scene.describe() for text in row)
    again = open_scene(str(tmp_path), sensor=sensor, **site)
    assert again.shape == scene.shape
    for known in (path, tmp_path):
        assert [key for key, reader in readers().items() if reader.matches(known)] == [sensor]


def test_an_unknown_sensor_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SifnetError, match=r"unknown sensor: found 'landsat'; expected .*hyplant"):
        open_scene(tmp_path, sensor="landsat")


def test_a_missing_path_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SifnetError, match="no such file or folder"):
        open_scene(tmp_path / "nothing.hdr")


def test_an_unrecognised_product_is_refused_until_the_sensor_is_named(tmp_path: Path) -> None:
    header = fake_hyplant(tmp_path, name="image")
    with pytest.raises(SifnetError, match="the sensor cannot be told from the files"):
        open_scene(header)
    assert open_scene(header, sensor="hyplant", sensor_height=0.6).sensor.name == "hyplant"


def test_two_products_in_a_folder_are_refused(tmp_path: Path) -> None:
    fake_hyplant(tmp_path)
    fake_flox(tmp_path)
    with pytest.raises(SifnetError, match="found hyplant and flox"):
        open_scene(tmp_path)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"lat": 50.0}, "unknown site key: found lat"),
        ({"latitude": "north"}, "site key 'latitude' has an impossible value"),
        ({"wavelength_medium": "water"}, "site key 'wavelength_medium' has an impossible value"),
        ({"date": 20250615}, "site key 'date' has an impossible value"),
    ],
)
def test_wrong_site_keys_are_refused(tmp_path: Path, given: dict[str, Any], message: str) -> None:
    with pytest.raises(SifnetError, match=message):
        Site.read(tmp_path, given)


@pytest.mark.parametrize("text", ["{latitude: 50}", "[1, 2]", ""])
def test_a_broken_site_file_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "site.json").write_text(text)
    with pytest.raises(SifnetError, match=r"site\.json: the site file cannot be read"):
        Site.read(tmp_path, {})
