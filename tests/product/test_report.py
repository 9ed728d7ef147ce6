from pathlib import Path

import pytest

from fakes.products import fake_maps, fake_scene, finish, write
from sifnet.errors import SifnetError
from sifnet.product import pictures as plots
from sifnet.product.report import write_report


@pytest.fixture(scope="module")
def picture(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("picture") / "q.png"
    plots.quicklook(finish(fake_maps(), fake_scene()), path)
    return path.read_bytes()


def _made(folder: Path, picture: bytes, **attributes: str) -> Path:
    made = finish(fake_maps(), fake_scene()).assign_attrs(attributes)
    (folder / "q.png").write_bytes(picture)
    return write(made, folder / "q.nc")


def test_the_page_holds_everything_it_shows(picture: bytes, tmp_path: Path) -> None:
    log = tmp_path / "metrics.csv"
    log.write_text("epoch,step,loss,residual\n0,1,5.0,4.0\n1,2,2.0,1.5\n2,3,1.0,0.8\n")
    page = write_report([_made(tmp_path, picture)], tmp_path / "r.html", log=log).read_text()
    assert page.count("data:image/png;base64") == 2
    for text in ("sif_760", "mW m-2 nm-1 sr-1", "dead 3.33 %", "an assumption", "1 scene"):
        assert text in page
    assert "water_vapour" not in page
    assert "http" not in page.replace("https://", "").split("</style>")[1]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["metrics.csv", "q.nc", "q.png", "r.html"]


def test_without_a_log_there_is_no_curve(picture: bytes, tmp_path: Path) -> None:
    made = _made(tmp_path, picture)
    page = write_report([made, made], tmp_path / "r.html", log=tmp_path / "none.csv").read_text()
    assert page.count("data:image/png;base64") == 2
    assert "2 scenes" in page


def test_text_from_files_is_escaped(picture: bytes, tmp_path: Path) -> None:
    made = _made(tmp_path, picture, reader_notes="<script>alert(1)</script>")
    page = write_report([made], tmp_path / "r.html").read_text()
    assert "<script>" not in page


def test_a_page_that_cannot_be_written_is_refused(picture: bytes, tmp_path: Path) -> None:
    made = _made(tmp_path, picture)
    (tmp_path / "file").touch()
    with pytest.raises(SifnetError, match="the output cannot be written"):
        write_report([made], tmp_path / "file" / "r.html")
