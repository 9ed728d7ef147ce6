"""QL_QUALITY-2: masks become flags, and aerosol and water labels of the scene."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from fakes.desis import LINES, SAMPLES, fake_desis, known_numbers, pack
from sifnet.errors import SifnetError
from sifnet.retrieval.pixels import UNUSABLE
from sifnet.retrieval.prior import describe
from sifnet.scenes.desis import labels, open_scene
from sifnet.scenes.scene import Flag


def layer() -> NDArray[np.uint8]:
    """Land with AOT 0.2 and 2 cm of water; one pixel each of what a band stands for."""
    planes = np.zeros((10, LINES, SAMPLES), np.uint8)
    planes[1], planes[8], planes[9] = 1, 20, 84
    for line, band in enumerate((0, 2, 3, 4, 5, 6, 7)):
        planes[band, line, 0] = 1
    planes[8:, :, 0] = 250  # nonsense under what is not clear land
    return planes


def test_masks_become_flags(tmp_path: Path) -> None:
    for zipped in (False, True):
        scene = open_scene(
            fake_desis(tmp_path / str(zipped), level="L1C", layer=layer(), zipped=zipped)
        )
        found = scene.flags().values
        assert found[:, 0].tolist() == [
            Flag.SHADOW, Flag.SNOW, Flag.HAZE, Flag.HAZE, Flag.CLOUD, Flag.CLOUD, Flag.WATER,
        ]  # fmt: skip
        assert (found[:, 1:] == 0).all()
        assert "masks of QL_QUALITY-2: cloud 4.8 %, shadow 2.4 %" in str(scene.describe())


def test_cloud_and_shadow_are_not_used_snow_water_and_haze_are() -> None:
    assert {Flag.CLOUD, Flag.SHADOW} <= set(UNUSABLE)
    assert not {Flag.SNOW, Flag.WATER, Flag.HAZE} & set(UNUSABLE)


def test_masks_of_another_grid_are_not_used(tmp_path: Path) -> None:
    scene = open_scene(fake_desis(tmp_path, level="L1C", layer=layer()[:, :-1]))
    assert (scene.flags() == 0).all()
    assert "QL_QUALITY-2 is on another grid" in str(scene.dataset.attrs["notes"])
    (tmp_path / "b").mkdir()
    image = fake_desis(tmp_path / "b")
    other = fake_desis(tmp_path / "c", level="L1C", layer=layer())
    for file in other.parent.glob("*QUALITY-2*"):
        file.rename(image.parent / file.name)
    assert "another grid" in str(open_scene(image).dataset.attrs["notes"])


def test_the_quality_of_every_spectral_band_is_only_named(tmp_path: Path) -> None:
    image = fake_desis(tmp_path)
    fake_desis(tmp_path, image="-QL_QUALITY.tif", numbers=known_numbers())
    assert "QL_QUALITY.tif: quality of every spectral band" in str(
        open_scene(image).dataset.attrs["notes"]
    )


@pytest.mark.parametrize("way", ["folder", "file", "zip"])
def test_labels_are_those_of_clear_land(tmp_path: Path, way: str) -> None:
    fake_desis(tmp_path, level="L2A", layer=layer())
    file = next(tmp_path.glob("*QUALITY-2*"))
    path = {"folder": tmp_path, "file": file}.get(way)
    found = labels(path or pack(tmp_path / "L2A.zip", [file]))
    assert float(found["aot_550"]) == pytest.approx(0.2)
    assert float(found["water_vapour"]) == pytest.approx(2.0)
    # No scatter here: what is left is the error of the processor.
    assert float(found["aot_550_uncertainty"]) == pytest.approx(0.05 + 0.15 * 0.2)
    assert float(found["water_vapour_uncertainty"]) == pytest.approx(0.1 + 0.1 * 2.0)
    assert found.attrs["acquisition_time"] == "2020-08-18T14:19:10"
    assert "83.3 % of pixels" in found.attrs["source"]
    assert "aot_550 0.2 ± 0.08" in describe(found)


def test_scatter_over_the_scene_widens_the_labels(tmp_path: Path) -> None:
    planes = layer()
    planes[8, :, 1:] = np.array([10, 15, 20, 25, 30])
    fake_desis(tmp_path, level="L2A", layer=planes)
    found = labels(tmp_path)
    assert float(found["aot_550"]) == pytest.approx(0.2)
    assert float(found["aot_550_uncertainty"]) == pytest.approx(np.hypot(1.4826 * 0.05, 0.08))


def test_labels_that_cannot_be_had_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SifnetError, match="no such file or folder"):
        labels(tmp_path / "nothing")
    with pytest.raises(SifnetError, match="not one DESIS quality layer: found no QL_QUALITY-2"):
        labels(tmp_path)
    planes = layer()
    planes[5] = 1
    fake_desis(tmp_path / "cloudy", level="L2A", layer=planes)
    with pytest.raises(SifnetError, match="no land of the scene is clear"):
        labels(tmp_path / "cloudy")
    fake_desis(tmp_path / "short", level="L2A", layer=layer()[:8])
    with pytest.raises(SifnetError, match="the quality layer has other bands: found 8"):
        labels(tmp_path / "short")
    bad = tmp_path / "DESIS-HSI-L2A-x.zip"
    with zipfile.ZipFile(bad, "w") as archive:
        archive.writestr(next((tmp_path / "short").glob("*QUALITY-2*")).name, b"no image")
    with pytest.raises(SifnetError, match="the image cannot be read"):
        labels(bad)
