from pathlib import Path

import pytest

from fakes.products import fake_maps, fake_scene, finish
from sifnet.batch.done import Failures
from sifnet.batch.index import write_index
from sifnet.errors import SifnetError
from sifnet.product.stac import write_item


def _folder(tmp_path: Path, scenes: int) -> Path:
    made = finish(fake_maps(), fake_scene())
    for number in range(scenes):
        made.attrs["scene"] = f"scene {number} <b>"
        stem = f"scene{number}_sif"
        (tmp_path / f"{stem}.nc").touch()
        files = {"product": f"{stem}.nc", "thumbnail": f"thumbnails/{stem} #.png"}
        there = {what: tmp_path / file for what, file in files.items()}
        write_item(made, tmp_path / f"{stem}.json", there)
    return tmp_path


def test_an_index_of_many_scenes_is_light_and_links_to_them(tmp_path: Path) -> None:
    page = write_index(_folder(tmp_path, 200)).read_text()
    assert page.count("<tr>") == 201
    assert len(page) < 200 * 1200
    assert "base64" not in page
    assert page.count('loading="lazy"') == 200
    assert 'src="./thumbnails/scene0_sif%20%23.png"' in page
    assert "scene 0 &lt;b&gt;" in page
    for text in ("93.3%", "2020-06-25 09:32:00", "dead 3.3%", "poor fit 3.3%"):
        assert text in page


def test_an_index_shows_only_what_is_there(tmp_path: Path) -> None:
    _folder(tmp_path, 3)
    (tmp_path / "scene1_sif.nc").unlink()
    (tmp_path / "scene2_sif.json").write_text("half")
    (tmp_path / "other_sif.json").write_text("[]")
    error = SifnetError("damaged", remedy="Download it again.")
    Failures.read(tmp_path).add(Path("/in/<x>.zip"), error, "")
    page = write_index(tmp_path).read_text()
    assert "1 scene, 1 failed" in page
    assert "/in/&lt;x&gt;.zip" in page
    assert page.count("<img") == 1


def test_an_index_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SifnetError, match="the output cannot be written"):
        write_index(tmp_path / "file")
