"""A DESIS scene from download to map, by the command that users give."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import rasterio
import xarray as xr
from typer.testing import CliRunner

from sifnet.cli import app

pytest.importorskip("sasktran2", reason="needs the 'build' extra")
pytest.importorskip("prosail", reason="needs the 'build' extra")

from fakes.light import quick_light

SIZE = 20


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Simulated by the command, 20 x 20 pixels."""
    folder = tmp_path_factory.mktemp("desis")
    size = ["--lines", str(SIZE), "--samples", str(SIZE), "--seed", "4", "--zip"]
    with pytest.MonkeyPatch.context() as patch:
        quick_light(patch)
        run = CliRunner().invoke(app, ["simulate", "--sensor", "desis", "-o", str(folder), *size])
    assert run.exit_code == 0, run.output
    return folder


def test_from_zip_to_map(scene: Path, tmp_path: Path) -> None:
    options = ["--labels", str(next(scene.glob("*.zip"))), "--aggregate", "4", "--cog"]
    run = CliRunner().invoke(app, ["retrieve", str(scene), "-o", str(tmp_path / "out"), *options])
    assert run.exit_code == 0, run.output
    product = xr.open_dataset(next((tmp_path / "out").glob("*.nc")))
    with xr.open_dataset(scene / "truth.nc") as truth:
        error = (product.sif_740 - truth.sif_740).values
    assert np.isfinite(error).all()
    assert np.sqrt((error**2).mean()) < 0.9
    assert (abs(error) < 2 * product.sif_740_uncertainty.values).mean() > 0.85
    with xr.open_dataset(product.encoding["source"], group="aggregated") as blocks:
        assert blocks.sif_740.shape == (5, 5)
        assert (blocks.sif_740_uncertainty < 1.0).all()
    told = re.search(r"QL_QUALITY-2.*; aot_550 ([0-9.]+) ±", product.attrs["atmosphere_prior"])
    with xr.open_dataset(scene / "truth.nc") as truth:
        assert float(told[1]) == pytest.approx(truth.attrs["aot_550"], rel=0.15)
    shutil.unpack_archive(next(scene.glob("*.zip")), tmp_path / "in")
    image = rasterio.open(next((tmp_path / "in").rglob("*SPECTRAL_IMAGE.tif")))
    map_ = f"NETCDF:{next((tmp_path / 'out').glob('*.nc'))}:sif_760"
    for path in (next((tmp_path / "out").glob("*_sif.tif")), map_):
        with rasterio.open(path) as written:
            assert written.crs == image.crs
            assert written.shape == (SIZE, SIZE)
            for corner in ((0, 0), (SIZE - 1, 3)):
                assert written.xy(*corner) == pytest.approx(image.xy(*corner), abs=0.01)
