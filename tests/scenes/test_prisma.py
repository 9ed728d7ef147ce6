"""PRISMA: its radiance to the last digit, its masks, and what is refused."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

from fakes.prisma import LINES, SAMPLES, WAVELENGTH, fake_prisma, known_radiance
from sifnet.errors import SifnetError
from sifnet.scenes.prisma import open_scene
from sifnet.scenes.scene import Flag


def test_radiance_and_angles_to_the_last_digit(tmp_path: Path) -> None:
    file = fake_prisma(tmp_path)
    for path in (file, tmp_path):
        scene = open_scene(path)
        np.testing.assert_allclose(scene.radiance.values, known_radiance(), rtol=1e-6)
    np.testing.assert_allclose(scene.wavelength, np.sort(WAVELENGTH)[3:], rtol=1e-6)
    data = scene.dataset
    assert float(data["solar_zenith_angle"]) == 25.0
    assert float(data["latitude"].mean()) == pytest.approx(42.8)
    assert data.attrs["acquisition_time"] == "2021-06-11T10:50:02.200"
    assert "ground elevation 0 km" in "\n".join(data.attrs["notes"])
    assert float(open_scene(file, ground_elevation=0.4).dataset["ground_elevation"]) == 0.4


def test_masks_become_flags(tmp_path: Path) -> None:
    expected = np.zeros((LINES, SAMPLES), np.uint16)
    expected[2, 1], expected[3, 2], expected[3, 3] = Flag.CLOUD, Flag.WATER, Flag.SNOW
    expected[1, 0] = Flag.SATURATED
    np.testing.assert_array_equal(open_scene(fake_prisma(tmp_path)).flags(), expected)


def test_reflectance_and_damage_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SifnetError, match="PRISMA L2D has no radiance.*Order the L1 product"):
        open_scene(fake_prisma(tmp_path, level="2D"))
    file = fake_prisma(tmp_path / "b")
    with h5py.File(file, "a") as opened:
        del opened.attrs["ScaleFactor_Vnir"]
    with pytest.raises(SifnetError, match="the product does not state ScaleFactor_Vnir"):
        open_scene(file)
