"""A scene becomes the same product in memory and in a file."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from conftest import PROJECT
from fakes.fitted import QUICK, quick_fit
from sifnet.product import retrieve as mapping
from sifnet.product.netcdf import read_netcdf
from sifnet.product.provenance import told
from sifnet.product.retrieve import retrieve
from sifnet.retrieval import prior, shipped


def test_retrieve_finishes_what_the_model_finds() -> None:
    known, model = quick_fit()
    made = retrieve(known.scene, model)
    assert made["sif_760"].shape == known.scene.shape[:2]
    assert made.attrs["source"].startswith("sifnet")
    assert np.isfinite(made["sif_760_uncertainty"]).all()
    assert told(made)["configuration"]["training"]["epochs"] == QUICK.epochs
    assert told(made)["seed"] == QUICK.seed


@pytest.mark.parametrize("held", [0, mapping.HELD])
def test_in_memory_and_in_a_file_it_is_the_same_product(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, held: int
) -> None:
    monkeypatch.setattr(mapping, "HELD", held)
    known, model = quick_fit()
    model.save(tmp_path / "model.ckpt")
    air = xr.Dataset({"surface_pressure": 1017.0, "surface_pressure_uncertainty": 2.0})
    options = {"atmosphere": air, "block": 5}
    made = retrieve(known.scene, tmp_path / "model.ckpt", **options)
    options["into"] = tmp_path / "deep" / "p.nc"
    with retrieve(known.scene, tmp_path / "model.ckpt", **options) as product:
        again = product.load()
    assert read_netcdf(options["into"], "aggregated")["sif_760"].shape == (5, 4)
    assert "surface_pressure 1017" in made.attrs["atmosphere_prior"]
    assert made.attrs["model_file"] == str(tmp_path / "model.ckpt")
    on_file = read_netcdf(options["into"])
    for each in (made, again, on_file):
        for name in ("history", "date_created"):
            each.attrs.pop(name)
    for each in (again, on_file):
        xr.testing.assert_identical(made.reset_coords(), each.reset_coords())


def test_a_model_is_loaded_once_for_like_scenes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And anew where its file has changed, or a scene has other bands."""
    known, model = quick_fit()
    model.save(tmp_path / "model.ckpt")
    loaded, load = [], mapping.load
    monkeypatch.setattr(mapping, "load", lambda path: loaded.append(path) or load(path))
    expressed, express = [], shipped._express
    monkeypatch.setattr(shipped, "_express", lambda *m: expressed.append(m) or express(*m))
    for _ in range(2):
        made = retrieve(known.scene, tmp_path / "model.ckpt", refine=False)
    assert len(loaded) == 1
    model.made_by = {**model.made_by, "seed": 7}
    model.save(tmp_path / "model.ckpt")
    made = retrieve(known.scene, tmp_path / "model.ckpt", refine=False)
    assert len(loaded) == 2
    assert told(made)["seed"] == 7
    monkeypatch.setattr(prior, "registered", lambda scene: scene)
    for shift in (1e-3, 0.05, 0.0, 0.05):
        moved = known.scene.dataset.assign_coords(wavelength=known.scene.dataset.wavelength + shift)
        retrieve(replace(known.scene, dataset=moved), tmp_path / "model.ckpt", refine=False)
    assert len(loaded) == 2
    assert len(expressed) == 1  # as 1e-3 nm make no other band


def test_what_a_retrieval_does_not_need_is_not_loaded() -> None:
    """Neither Lightning nor full radiative transfer, and nothing that only pictures need.

    Nor what takes half a second and is asked for one function: torch and xarray take two already.
    """
    code = (
        "import sys, sifnet; sifnet.retrieve\n"
        "heavy = {'lightning', 'sifnet.physics.full', 'matplotlib', 'sasktran2'}\n"
        "heavy |= {'scipy', 'dask', 'rasterio', 'bokeh', 'jinja2'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], cwd=PROJECT, check=True)
