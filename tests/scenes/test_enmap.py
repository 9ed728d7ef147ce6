"""EnMAP: two levels to the last digit, and what a retrieval says of its few bands."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from fakes.enmap import MAP, VNIR, WAVELENGTH, fake_enmap, known_radiance
from sifnet.errors import SifnetError
from sifnet.retrieval.window import fit_bands
from sifnet.scenes import readers
from sifnet.scenes.enmap import open_scene
from sifnet.scenes.scene import FIT_WINDOW, Flag


@pytest.mark.parametrize("level", ["L1B", "L1C"])
def test_both_levels_to_the_last_digit(tmp_path: Path, level: str) -> None:
    image = fake_enmap(tmp_path, level=level)
    for path in (image, tmp_path, next(tmp_path.glob("*.XML"))):
        scene = open_scene(path)
        np.testing.assert_allclose(scene.radiance.values, known_radiance(), rtol=2e-6)
        np.testing.assert_array_equal(scene.wavelength, WAVELENGTH[:VNIR])
        assert scene.flags().values[0, 0] == Flag.DEAD
        assert (scene.flags().values[1:] == 0).all()
    data = scene.dataset
    assert float(data["solar_zenith_angle"]) == 32.0
    assert float(data["ground_elevation"]) == 0.04
    assert float(data["relative_azimuth_angle"]) == 50.0
    assert (float(data["aot_550"]), float(data["water_vapour"])) == (0.18, 2.1)
    assert data.attrs["acquisition_time"] == "2022-07-24T10:45:26.012"


def test_a_zip_is_read_as_it_was_downloaded(tmp_path: Path) -> None:
    fake_enmap(tmp_path / "in" / "product")
    path = Path(shutil.make_archive(str(tmp_path / "EnMAP"), "zip", tmp_path / "in"))
    assert [key for key, reader in readers().items() if reader.matches(path)] == ["enmap"]
    np.testing.assert_allclose(open_scene(path).radiance.values, known_radiance(), rtol=2e-6)


def test_the_view_angle_is_that_at_the_ground(tmp_path: Path) -> None:
    """Tilted by 10 degrees 653 km up, the line of sight meets a round earth at 11.04 degrees."""
    assert float(open_scene(fake_enmap(tmp_path)).dataset["view_zenith_angle"]) == pytest.approx(
        11.04, abs=0.01
    )
    stated = {
        "viewingZenithAngle": "<center>12.5</center>",
        "viewingAzimuthAngle": "<center>280</center>",
    }
    data = open_scene(fake_enmap(tmp_path, facts=stated)).dataset
    assert float(data["view_zenith_angle"]) == 12.5
    assert float(data["relative_azimuth_angle"]) == 128.0


def test_only_l1c_lies_on_a_map(tmp_path: Path) -> None:
    plain = open_scene(fake_enmap(tmp_path / "b")).dataset
    assert "crs" not in plain.attrs
    assert plain["latitude"].dims == ("line", "sample")
    assert float(plain["latitude"].mean()) == pytest.approx(52.35)
    mapped = open_scene(fake_enmap(tmp_path / "c", level="L1C")).dataset
    assert mapped.attrs["transform"] == list(MAP["transform"])[:6]


def test_a_retrieval_says_that_its_bands_are_too_few(tmp_path: Path) -> None:
    scene = open_scene(fake_enmap(tmp_path))
    with pytest.raises(SifnetError, match="too few bands in the fit window: found 3 bands"):
        fit_bands(scene.wavelength, FIT_WINDOW)


def test_what_is_not_stated_is_assumed_and_said(tmp_path: Path) -> None:
    scene = open_scene(fake_enmap(tmp_path, facts={"meanGroundElevation": None}))
    assert "ground elevation 0 km" in "\n".join(scene.dataset.attrs["notes"])
    given = open_scene(tmp_path, ground_elevation=0.3, relative_azimuth_angle=20.0)
    assert float(given.dataset["ground_elevation"]) == 0.3
    assert float(given.dataset["relative_azimuth_angle"]) == 20.0


def test_surface_reflectance_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SifnetError, match=r"EnMAP L2A has no radiance.*Order the L1B or L1C"):
        open_scene(fake_enmap(tmp_path, level="L2A"))
