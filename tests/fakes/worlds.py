"""Worlds of another physics, where they are beside the project."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest
import xarray as xr

from sifnet.scenes import open_scene
from sifnet.scenes.scene import Scene


def world(name: str, shared_data: Path, folder: Path) -> tuple[Scene, xr.Dataset]:
    """A scene and its truth (``../shared/worlds/README.md``); skips where they are absent."""
    packed = shared_data.parent / "worlds" / f"{name}.zip"
    if not packed.exists():
        pytest.skip(f"the world is not there: {packed}")
    with zipfile.ZipFile(packed) as archive:
        archive.extractall(folder)
    here = folder / name
    scene = open_scene([*here.glob("*.hdr"), *here.glob("DESIS*")][0])
    return scene, xr.load_dataset(here / "truth.nc", engine="h5netcdf")
