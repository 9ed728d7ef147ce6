"""EMIT: its radiance to the last digit, its angles, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fakes.emit import LINES, SAMPLES, SUN, VIEW, WAVELENGTH, fake_emit, known_radiance
from sifnet.errors import SifnetError
from sifnet.scenes.emit import open_scene
from sifnet.scenes.scene import Flag
from sifnet.scenes.sun import sun_angles


def test_radiance_and_angles_to_the_last_digit(tmp_path: Path) -> None:
    file = fake_emit(tmp_path)
    for path in (file, tmp_path, next(tmp_path.glob("*OBS*"))):
        scene = open_scene(path)
        assert scene.name == file.stem
        seen, known = scene.radiance.values, 10 * known_radiance()[..., WAVELENGTH <= 1000]
        np.testing.assert_allclose(seen.reshape(-1, 84)[1:], known.reshape(-1, 84)[1:], rtol=1e-6)
        assert np.isnan(seen[0, 0]).all()
    np.testing.assert_allclose(scene.wavelength, WAVELENGTH[WAVELENGTH <= 1000], rtol=1e-6)
    data = scene.dataset
    for name, value in (("solar_zenith_angle", SUN[0]), ("view_zenith_angle", VIEW[0]),
                        ("relative_azimuth_angle", SUN[1] - VIEW[1]),
                        ("ground_elevation", 0.64), ("sun_earth_distance", 1.0133)):  # fmt: skip
        np.testing.assert_allclose(data[name], value, rtol=1e-6)
    expected = np.zeros((LINES, SAMPLES), np.uint16)
    expected[0, 0] = expected[2, 1] = Flag.DEAD
    np.testing.assert_array_equal(scene.flags(), expected)
    assert data.attrs["acquisition_time"].startswith("2022-08-11T13:00:27")


def test_without_its_angles_the_sun_is_computed_and_it_is_said(tmp_path: Path) -> None:
    scene = open_scene(fake_emit(tmp_path, obs=False))
    zenith, _ = sun_angles(np.array(["2022-08-11T13:00:27"], "M8[s]"), 39.5, -4.2)
    np.testing.assert_allclose(scene.dataset["solar_zenith_angle"], zenith[0], rtol=1e-5)
    assert "view taken as nadir" in scene.dataset.attrs["notes"][0]


def test_reflectance_and_two_scenes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SifnetError, match="the product has no radiance.*Order the L1B product"):
        open_scene(fake_emit(tmp_path, obs=False, level="L2A_RFL"))
    file = fake_emit(tmp_path / "two", obs=False)
    file.with_name(file.name.replace("2222309", "2222310")).write_bytes(file.read_bytes())
    with pytest.raises(SifnetError, match="this is not one EMIT product: found EMIT_L1B_RAD"):
        open_scene(tmp_path / "two")
