from pathlib import Path

import pytest

from fakes.products import fake_maps, fake_scene
from sifnet.batch.done import Failures
from sifnet.batch.index import write_index
from sifnet.errors import SifnetError
from sifnet.product import labels as product
from sifnet.product import pictures as plots
from sifnet.product.report import write_report
from sifnet.product.stac import write_item


def _made(folder: Path) -> tuple:
    made = product.finish(fake_maps(), fake_scene())
    plots.quicklook(made, folder / "q.png")
    return made, folder / "q.png"


def test_the_page_holds_everything_it_shows(tmp_path: Path) -> None:
    log = tmp_path / "metrics.csv"
    log.write_text("epoch,step,loss,residual\n0,1,5.0,4.0\n1,2,2.0,1.5\n2,3,1.0,0.8\n")
    page = write_report([_made(tmp_path)], tmp_path / "r.html", log=log).read_text()
    assert page.count("data:image/png;base64") == 2
    for text in ("sif_760", "mW m-2 nm-1 sr-1", "dead 3.33 %", "an assumption", "1 scene"):
        assert text in page
    assert "water_vapour" not in page
    assert "http" not in page.replace("https://", "").split("</style>")[1]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["metrics.csv", "q.png", "r.html"]


def test_without_a_log_there_is_no_curve(tmp_path: Path) -> None:
    made = _made(tmp_path)
    page = write_report([made, made], tmp_path / "r.html", log=tmp_path / "none.csv").read_text()
    assert page.count("data:image/png;base64") == 2
    assert "2 scenes" in page


def test_text_from_files_is_escaped(tmp_path: Path) -> None:
    made, picture = _made(tmp_path)
    made.attrs["reader_notes"] = "<script>alert(1)</script>"
    page = write_report([(made, picture)], tmp_path / "r.html").read_text()
    assert "<script>" not in page


def test_a_page_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    made = _made(tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(SifnetError, match="the output cannot be written"):
        write_report([made], tmp_path / "file" / "r.html")


def _folder(tmp_path: Path, scenes: int) -> Path:
    made = product.finish(fake_maps(), fake_scene())
    for number in range(scenes):
        made.attrs["scene"] = f"scene {number} <b>"
        stem = f"scene{number}_sif"
        (tmp_path / f"{stem}.nc").touch()
        files = {"product": f"{stem}.nc", "thumbnail": f"thumbnails/{stem} #.png"}
        write_item(made, tmp_path / f"{stem}.json", files)
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
    Failures.read(tmp_path).add(Path("/in/<x>.zip"), "damaged", "Download it again.")
    page = write_index(tmp_path).read_text()
    assert "1 scene, 1 failed" in page
    assert "/in/&lt;x&gt;.zip" in page
    assert page.count("<img") == 1


def test_an_index_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SifnetError, match="the output cannot be written"):
        write_index(tmp_path / "file")
