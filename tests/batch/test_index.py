import json
import re
from pathlib import Path

import pytest

from fakes.browser import browser, errors, opened
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
    assert page.count('<tr id="s') == 200
    assert len(page) < 12_000 + 200 * 1800
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


def test_every_sensor_is_shown_by_its_own_headline_and_where_it_is(tmp_path: Path) -> None:
    scene = fake_scene()
    for stem, sensor, nm in (("a", "hyplant", "760"), ("b", "desis", "740")):
        maps = fake_maps()
        maps["sif_740"] = 2 * maps["sif_760"]
        maps["sif_740_uncertainty"] = 2 * maps["sif_760_uncertainty"]
        made = finish(maps, scene).assign_attrs(sensor=sensor)
        file = tmp_path / f"{stem}_sif.nc"
        file.touch()
        item = write_item(made, file.with_suffix(".json"), {"product": file})
        assert json.loads(item.read_text())["properties"]["sifnet:headline"] == f"sif_{nm}"
    page = write_index(tmp_path).read_text()
    means = [float(value) for value in re.findall(r'data-mean="([^"]*)"', page)]
    assert means[1] == pytest.approx(2 * means[0], rel=1e-3)
    assert page.count("data-nm") == 2
    assert page.count("<polygon") == 2
    for text in ("6.5° E", "50.1° N", '<a href="#s1"'):
        assert text in page


def test_an_index_can_be_sorted_and_filtered(tmp_path: Path) -> None:
    folder = _folder(tmp_path, 4)
    for number in range(4):
        path = folder / f"scene{number}_sif.json"
        item = json.loads(path.read_text())
        item["properties"]["sifnet:sif_760_mean"] = (number * 7) % 4
        item["id"] = f"line{item['properties']['sifnet:sif_760_mean']}"
        path.write_text(json.dumps(item))
    with browser() as page:
        opened(page, write_index(folder))
        visible = (
            "return [...document.querySelectorAll('#scenes tbody tr')].filter(r => !r.hidden)"
            ".map(r => Number(r.dataset.mean))"
        )
        page.execute_script("document.querySelector('th[data-key=mean] button').click()")
        assert page.execute_script(visible) == [0, 1, 2, 3]
        page.execute_script("document.querySelector('th[data-key=mean] button').click()")
        assert page.execute_script(visible) == [3, 2, 1, 0]
        page.execute_script(
            "const f = document.getElementById('filter'); f.value = 'LINE2'; f.oninput()"
        )
        assert page.execute_script(visible) == [2]
        shown = page.execute_script("return document.getElementById('count').textContent")
        assert shown == "1 of 4 scenes"
        # Thumbnails of a test are not there; nothing else is complained of.
        assert [text for text in errors(page) if "ERR_FILE_NOT_FOUND" not in text] == []
