"""The page to judge a fit by, in words and as a browser shows it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fakes.browser import DESKTOP, PHONE, browser, errors, opened, sized
from fakes.fitted import quick_fit
from fakes.products import fake_maps, fake_scene, finish, write
from sifnet.errors import SifnetError
from sifnet.product.report import write_report
from sifnet.product.retrieve import retrieve

LOG = "epoch,step,loss,residual\n0,1,5.0,4.0\n1,2,2.0,1.5\n2,3,1.0,0.8\n"


def _made(folder: Path, **attributes: str) -> Path:
    return write(finish(fake_maps(), fake_scene()).assign_attrs(attributes), folder / "q.nc")


def test_the_page_tells_and_stands_alone(tmp_path: Path) -> None:
    (tmp_path / "metrics.csv").write_text(LOG)
    told = write_report([_made(tmp_path)], tmp_path / "r.html", log=tmp_path / "metrics.csv")
    page = told.read_text()
    for text in ("sif_760", "mW m-2 nm-1 sr-1", "dead 3.33 %", "an assumption", "1 scene"):
        assert text in page
    assert "water_vapour" not in page
    assert page.count("<script src") == page.count('<link rel="stylesheet') == 0
    assert told.stat().st_size < 3_000_000


def test_two_scenes_share_a_page_and_without_a_log_there_is_no_curve(tmp_path: Path) -> None:
    made = _made(tmp_path)
    page = write_report([made, made], tmp_path / "r.html", log=tmp_path / "none.csv").read_text()
    assert "2 scenes" in page
    assert 'id="losses_card" hidden' in page
    assert page.count('class="of"') == 4


def test_text_from_files_is_escaped(tmp_path: Path) -> None:
    bad = "</script><script>alert(1)</script>"
    page = write_report([_made(tmp_path, reader_notes=bad, scene=bad)], tmp_path / "r.html")
    assert "<script>alert" not in page.read_text()


def test_a_page_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SifnetError, match="the output cannot be written"):
        write_report([_made(tmp_path)], tmp_path / "file" / "r.html")


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A report of a scene of 24 x 16 pixels and of a series, in a browser."""
    folder = tmp_path_factory.mktemp("page")
    known, model = quick_fit()
    retrieve(known.scene, model, into=folder / "line_sif.nc").close()
    series = write(finish(fake_maps(40, 1), fake_scene(40, 1)), folder / "series_sif.nc")
    (folder / "metrics.csv").write_text(LOG)
    report = write_report(
        [folder / "line_sif.nc", series], folder / "report.html", log=folder / "metrics.csv"
    )
    with browser() as chromium:
        sized(chromium, DESKTOP)
        opened(chromium, report)
        yield chromium


def _text(page: Any, name: str) -> str:
    return str(
        page.execute_script("return document.getElementById(arguments[0]).textContent", name)
    )


def _spectrum(page: Any) -> dict[str, list[float]]:
    return page.execute_script(
        "const d = Bokeh.documents[0].get_model_by_name('spectrum').data;"
        "return Object.fromEntries(Object.entries(d).map(([k, v]) => [k, Array.from(v)]))"
    )


def _click(page: Any, line: float, sample: float) -> None:
    """On the map, where that pixel is drawn."""
    x, y = page.execute_script(
        "const map = Bokeh.documents[0].get_model_by_name('map');"
        "const view = Object.values(Bokeh.index.roots || Bokeh.index).find(v => v.model === map);"
        "const box = view.el.getBoundingClientRect(), frame = view.frame;"
        "return [box.x + frame.x_scale.compute(arguments[1]),"
        "        box.y + frame.y_scale.compute(-arguments[0])]",
        line + 0.5, sample + 0.5,
    )  # fmt: skip
    for kind in ("mousePressed", "mouseReleased"):
        page.execute_cdp_cmd("Input.dispatchMouseEvent", {
            "type": kind, "x": x, "y": y, "button": "left", "clickCount": 1})  # fmt: skip
    time.sleep(0.5)


def test_a_click_shows_why(page: Any) -> None:
    known, model = quick_fit()
    made = retrieve(known.scene, model)
    _click(page, 12, 9)
    assert page.execute_script("return window.sifnet.picked()") == [12, 9]
    assert "line 12, sample 9" in _text(page, "where")
    shown = float(_text(page, "value").split(" ± ")[0].replace("−", "-"))
    assert shown == pytest.approx(float(made["sif_760"][12, 9]), abs=0.006)
    told, own = _spectrum(page), made.sif.spectrum(12, 9)
    if _text(page, "source") == "Its own spectrum.":
        np.testing.assert_allclose(told["fitted"], own["fitted"], atol=0.02)
        np.testing.assert_allclose(told["residual"], own["residual"], atol=0.02)
        np.testing.assert_allclose(told["nm"], own["wavelength"], atol=0.01)
    else:
        assert "nearest kept" in _text(page, "source")
    assert len(told["fluorescence"]) == len(own["band"])
    assert "surface pressure, hPa" in _text(page, "parameters")
    assert "± 8.0" in _text(page, "parameters")
    assert errors(page) == []


def test_keys_move_the_pixel_and_change_the_map(page: Any) -> None:
    from selenium.webdriver.common.by import By
    from selenium.webdriver.common.keys import Keys

    _click(page, 5, 5)
    box = page.find_element(By.ID, "mapbox")
    box.send_keys(Keys.ARROW_DOWN, Keys.ARROW_RIGHT, Keys.ARROW_RIGHT)
    assert page.execute_script("return window.sifnet.picked()") == [6, 7]
    for _ in range(30):
        box.send_keys(Keys.ARROW_UP)
    assert page.execute_script("return window.sifnet.picked()") == [0, 7]
    names = []
    for _ in range(len(page.find_elements(By.CSS_SELECTOR, "#layer option"))):
        names.append(page.execute_script("return document.getElementById('layer').value"))
        box.send_keys("]")
    assert {"sif_760", "chi2_reduced", "surface_pressure", "aot_550", "flags"} <= set(names)
    assert page.execute_script("return document.getElementById('layer').value") == names[0]
    assert errors(page) == []


def test_it_fits_a_phone_and_shows_a_series(page: Any) -> None:
    sized(page, PHONE)
    time.sleep(0.5)
    wide = "return document.documentElement.scrollWidth"
    assert page.execute_script(wide) <= PHONE[0]
    page.execute_script(
        "const s = document.getElementById('scene'); s.value = '1'; s.onchange({target: s})"
    )
    time.sleep(0.5)
    assert not page.execute_script("return document.getElementById('theseries').hidden")
    assert "no spectra" in _text(page, "source")
    assert page.execute_script("return performance.getEntriesByType('resource').length") == 0
    assert len(page.get_screenshot_as_png()) > 20_000
    assert errors(page) == []
