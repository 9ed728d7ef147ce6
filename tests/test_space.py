"""A DESIS scene from download to map, by the command that users give."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import rasterio
import xarray as xr
from typer.testing import CliRunner

from sifnet.cli import app
from sifnet.readers import open_scene

pytest.importorskip("sasktran2", reason="needs the 'build' extra")
pytest.importorskip("prosail", reason="needs the 'build' extra")
SIZE = 20


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Simulated by the command, 20 x 20 pixels."""
    folder = tmp_path_factory.mktemp("desis")
    size = ["--lines", str(SIZE), "--samples", str(SIZE), "--seed", "4"]
    run = CliRunner().invoke(app, ["simulate", "--sensor", "desis", "-o", str(folder), *size])
    assert run.exit_code == 0, run.output
    return folder


def labels(folder: Path) -> Path:
    """The quality layer of an L2A product: clear land, AOT 0.12, 2 cm of water."""
    folder.mkdir()
    layer = np.zeros((10, SIZE, SIZE), np.uint8)
    layer[1], layer[8], layer[9] = 1, 12, 84
    path = folder / "DESIS-HSI-L2A-DT0000000004_001-20200625T110000-V0220-QL_QUALITY-2.tif"
    with rasterio.open(path, "w", driver="GTiff", dtype="uint8", count=10, height=SIZE,
                       width=SIZE) as target:  # fmt: skip
        target.write(layer)
    return folder


def test_from_zip_to_map(scene: Path, tmp_path: Path) -> None:
    name = open_scene(scene).name
    shutil.make_archive(str(tmp_path / "in" / name), "zip", scene)
    told = ["--labels", str(labels(tmp_path / "l2a")), "--aggregate", "4", "--cog"]
    run = CliRunner().invoke(
        app, ["retrieve", str(tmp_path / "in"), "-o", str(tmp_path / "out"), *told]
    )
    assert run.exit_code == 0, run.output
    product = xr.open_dataset(next((tmp_path / "out").glob("*.nc")))
    with xr.open_dataset(scene / "truth.nc") as truth:
        error = (product.sif_740 - truth.sif_740).values
    assert np.isfinite(error).all()
    assert np.sqrt((error**2).mean()) < 0.9
    assert (abs(error) < 2 * product.sif_740_uncertainty.values).mean() > 0.85
    assert product.sif_740_aggregated.shape == (5, 5)
    assert (product.sif_740_aggregated_uncertainty < 1.0).all()
    assert "aot_550 0.12" in product.attrs["atmosphere_prior"]
    assert "QL_QUALITY-2" in product.attrs["atmosphere_prior"]
    image = rasterio.open(next(scene.glob("*SPECTRAL_IMAGE.tif")))
    map_ = f"NETCDF:{next((tmp_path / 'out').glob('*.nc'))}:sif_760"
    for path in (next((tmp_path / "out").glob("*_sif.tif")), map_):
        with rasterio.open(path) as written:
            assert written.crs == image.crs
            assert written.shape == (SIZE, SIZE)
            for corner in ((0, 0), (SIZE - 1, 3)):
                assert written.xy(*corner) == pytest.approx(image.xy(*corner), abs=0.01)
