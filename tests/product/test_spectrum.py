"""product.sif.spectrum: why a value is what it is, from the scene and without it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from matplotlib.figure import Figure

import sifnet
from conftest import PROJECT
from fakes.emulator import fake_emulator
from fakes.fitted import quick_fit, write_named
from fakes.products import fake_maps, fake_scene, finish
from sifnet.errors import SifnetError
from sifnet.physics.emulator import Emulator
from sifnet.product import accessor
from sifnet.product.kept import kept_spectra
from sifnet.product.retrieve import retrieve
from sifnet.retrieval.explained import ON_BANDS
from sifnet.scenes import open_scene

SQUARE = {"type": "Polygon", "coordinates": [[(2, 3), (6, 3), (6, 8), (2, 8), (2, 3)]]}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A scene, a model, and the product that they make."""
    path = tmp_path_factory.mktemp("why")
    quick_fit()[1].save(path / "model.ckpt")
    scene = open_scene(write_named(path))
    retrieve(scene, path / "model.ckpt", into=path / "p_sif.nc").close()
    return path


@pytest.fixture
def product(folder: Path) -> xr.Dataset:
    with xr.open_dataset(folder / "p_sif.nc", engine="h5netcdf") as file:
        return file.load()


def test_of_a_file_the_scene_is_opened_again(product: xr.Dataset) -> None:
    told = product.sif.spectrum(7, 5)
    assert set(ON_BANDS) < set(told)
    assert told["fitted"].dims == ("band",)
    assert told.attrs["source"] == "the scene"
    assert (int(told["line"]), int(told["sample"])) == (7, 5)
    sif = float(told["value"].sel(parameter="sif_760"))
    assert sif == pytest.approx(float(product["sif_760"][7, 5]), abs=1e-3)
    assert float(told["chi2_reduced"]) == pytest.approx(float(product["chi2_reduced"][7, 5]), 1e-2)


def test_in_memory_nothing_is_opened(folder: Path) -> None:
    known, model = quick_fit()
    made = retrieve(known.scene, model)
    told = made.assign_attrs(more=1).sif.spectrum(7, 5)
    np.testing.assert_allclose(
        told["value"].sel(parameter="sif_760"), made["sif_760"][7, 5], atol=1e-4
    )
    with pytest.raises(SifnetError, match="part of a product"):
        made.isel(line=slice(3, 9)).sif.spectrum(2, 2)


def test_of_a_mask_or_polygon_it_is_the_mean(product: xr.Dataset) -> None:
    mask = np.zeros(product["sif_760"].shape, bool)
    mask[3:8, 2:6] = True
    one, other = product.sif.spectrum(mask=mask), product.sif.spectrum(polygon=SQUARE)
    xr.testing.assert_equal(one, other)
    assert one.attrs["pixels"] == 20
    mean = product["sif_760"].values[mask].mean()
    assert float(one["value"].sel(parameter="sif_760")) == pytest.approx(mean, abs=1e-3)
    assert "line" not in one.coords


def test_on_a_grid_a_polygon_is_in_its_projection() -> None:
    scene = fake_scene(crs="EPSG:32632", transform=(2.0, 0.0, 4e5, 0.0, -2.0, 5e6))
    made = finish(fake_maps(), scene)
    x, y = 4e5 + 2.0 * 1, 5e6 - 2.0 * 4
    ring = [(x, y), (x + 4, y), (x + 4, y + 4), (x, y + 4), (x, y)]
    inside = made.sif._mask(None, None, None, {"type": "Polygon", "coordinates": [ring]})
    assert np.argwhere(inside).tolist() == [[2, 1], [2, 2], [3, 1], [3, 2]]


def test_without_its_scene_the_nearest_kept_is_given_and_told(
    folder: Path, product: xr.Dataset, tmp_path: Path
) -> None:
    whole = product.sif.spectrum(7, 5)
    gone = product.assign_attrs(scene_path=str(tmp_path / "gone.hdr"))
    kept = kept_spectra(product)
    assert kept is not None
    at = int(kept["line"][40]), int(kept["sample"][40])
    same, there = gone.sif.spectrum(*at), product.sif.spectrum(*at)
    assert "the spectra that the product keeps" in same.attrs["source"]
    for name in ("measured", "fitted", "fluorescence", "residual", "encoder"):
        np.testing.assert_allclose(same[name], there[name], atol=0.06)  # a tenth of noise
    gone_too = gone.sif.spectrum(7, 5)
    taken = {(int(a), int(b)) for a, b in zip(kept["line"], kept["sample"], strict=True)}
    if (7, 5) not in taken:
        assert "the nearest that the product keeps" in gone_too.attrs["source"]
    assert gone_too["fitted"].shape == whole["fitted"].shape
    bare = gone.copy()
    bare.encoding.clear()
    with pytest.raises(SifnetError, match="Give them"):
        bare.sif.spectrum(7, 5)
    given = bare.sif.spectrum(7, 5, scene=open_scene(folder / "a_FLUO_radiance.hdr"))
    np.testing.assert_allclose(given["residual"], whole["residual"], atol=0.05)


@pytest.mark.parametrize("what", ["scene", "model"])
def test_another_scene_or_model_is_refused(product: xr.Dataset, what: str) -> None:
    wrong = {"scene": {"source_sha256": "0\n0", "source_size_and_time": "0 0\n0 0"},
             "model": {"model_sha256": "0"}}[what]  # fmt: skip
    with pytest.raises(SifnetError, match=f"the {what} is not the one") as told:
        product.assign_attrs(wrong).sif.spectrum(7, 5)
    assert told.value.remedy


@pytest.mark.parametrize(
    ("asked", "match"),
    [
        ({}, "of a pixel, of a mask or of a polygon"),
        ({"line": 3}, "half a pixel"),
        ({"line": 3, "sample": 99}, "no such pixel"),
        ({"line": -1, "sample": 0}, "no such pixel"),
        ({"mask": np.ones((2, 2), bool)}, "mask is not one of this product"),
        ({"polygon": {**SQUARE, "coordinates": [[(90, 90), (99, 90), (99, 99), (90, 90)]]}},
         "covers no pixel"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused(product: xr.Dataset, asked: dict, match: str) -> None:
    with pytest.raises(SifnetError, match=match):
        product.sif.spectrum(**asked)
    with pytest.raises(SifnetError, match="this is no product"):
        xr.Dataset({"a": 1}).sif.spectrum(0, 0)


def test_it_draws_itself(product: xr.Dataset) -> None:
    figure = product.sif.spectrum(7, 5).plot()
    assert isinstance(figure, Figure)
    assert len(figure.axes) == 3
    words = " ".join(text.get_text() for text in figure.findobj(lambda a: hasattr(a, "get_text")))
    for text in ("line 7, sample 5", "measured", "the encoder alone", "residual", "χ²"):
        assert text in words
    with pytest.raises(SifnetError, match="no whole spectrum"):
        product.sif.spectrum(7, 5).drop_vars("fitted").plot()


def test_it_is_there_as_soon_as_xarray_is_and_costs_nothing_before() -> None:
    code = (
        "import sys, sifnet\n"
        "assert 'xarray' not in sys.modules and 'numpy' not in sys.modules\n"
        "import xarray as xr\n"
        "assert xr.Dataset.sif is not None\n"
        "assert not {'torch', 'matplotlib', 'bokeh', 'jinja2'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], cwd=PROJECT, check=True)
    accessor.register()  # twice does no harm
    assert sifnet.__version__


@pytest.fixture(autouse=True)
def _toy_emulator(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Emulator, "load", classmethod(lambda *_, **__: fake_emulator()))
