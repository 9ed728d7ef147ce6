"""A DESIS product with fewer bands in the window than the model that ships was taught on."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest

from sifnet.product.retrieve import retrieve
from sifnet.retrieval.shipped import model_for
from sifnet.scenes import open_scene


def test_a_product_with_a_band_less_is_mapped(shared_data: Path, tmp_path: Path) -> None:
    """It was refused: its last band has wings beyond the emulator."""
    world = shared_data.parent / "worlds" / "desis.zip"
    if not world.exists():
        pytest.skip(f"reference data absent: {world} does not exist")
    zipfile.ZipFile(world).extractall(tmp_path)
    scene = open_scene(next(tmp_path.rglob("DESIS-*METADATA.xml")).parent)
    model = model_for(scene, None)
    assert len(model.setup.wavelength) == 15
    assert model.encoder.features.projection.shape == (15, 16)
    product = retrieve(scene, model)
    assert np.isfinite(product.sif_740.values).mean() > 0.9
