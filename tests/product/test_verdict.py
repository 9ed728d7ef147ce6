"""What a product is worth, in words."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from fakes.fitted import quick_fit
from fakes.products import fake_maps, fake_scene, finish
from sifnet.product.retrieve import retrieve
from sifnet.product.verdict import verdict


def _product(chi2: float = 1.0, bare: float = 0.0, ndvi: float = 0.05) -> xr.Dataset:
    maps = fake_maps(20, 20)
    flags = np.zeros((20, 20), np.uint16)
    maps["quality_flag"] = ("line", "sample"), flags
    maps["sif_760"] = ("line", "sample"), np.full((20, 20), bare, np.float32)
    maps["chi2_reduced"] = ("line", "sample"), np.full((20, 20), chi2, np.float32)
    maps["ndvi_radiance"] = ("line", "sample"), np.full((20, 20), ndvi, np.float32)
    return finish(maps, fake_scene(20, 20))


@pytest.mark.parametrize(
    ("made", "words"),
    [
        ({}, "good: χ² 1.00, bare ground +0.00"),
        ({"chi2": 1.5}, "look closer: χ² 1.50, bare ground"),
        ({"chi2": 2.5}, "do not trust: χ² 2.50"),
        ({"bare": -0.2}, "look closer: bare ground −0.20, χ²"),
        ({"bare": 0.5}, "do not trust: bare ground +0.50"),
        ({"ndvi": 0.7}, "look closer: no bare ground, so that the level of SIF is half a guess"),
    ],
)
def test_the_worst_figure_decides_and_comes_first(made: dict[str, float], words: str) -> None:
    assert _product(**made).sif.verdict().startswith(words)


def test_a_scene_that_is_not_trusted_is_not() -> None:
    made = _product()
    made["quality_flag"][:] = 16384
    assert made.sif.verdict().startswith("do not trust: only 0 %")
    told = _product().assign_attrs(scene_warnings="sun: elsewhere")
    assert told.sif.verdict().startswith("look closer: sun: elsewhere")


def test_a_retrieval_tells_how_far_its_pressure_is() -> None:
    known, model = quick_fit()
    text = str(verdict(retrieve(known.scene, model)))
    assert "hPa" in text
    assert "its prior (" in text


def test_a_product_says_what_it_is_in_a_few_lines() -> None:
    made = _product(bare=0.5)
    for told in (repr(made.sif), made.sif._repr_html_()):
        for text in (
            "20 line x 20 sample",
            "100.0% of the pixels",
            "0.50, sd 0.00",
            "do not trust",
        ):
            assert text in told
    assert "no scene" in repr(xr.Dataset().sif)
