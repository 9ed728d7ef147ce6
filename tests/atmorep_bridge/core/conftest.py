"""Waves that drift east over a small region, written as services write their files."""

from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr

from atmorep_bridge.core.specs import FieldSpec, Setup, Size
from atmorep_bridge.core.training import Core, Training, train
from atmorep_bridge.core.windows import Region, open_region

SMALL = Size(width=16, heads=2, encoder_layers=1, decoder_layers=1, members=3)
T2M = (FieldSpec("temperature_2m", patch=(2, 4, 4)),)
SPEED = 0.5  # grid points an hour, to the east


def drifting(hours: int = 96, rows: int = 12, columns: int = 16, west: float = 0.0) -> xr.Dataset:
    """t2m, K, and sp, Pa: a daily cycle and two waves of known speed; pressure is their mirror."""
    times = np.datetime64("2020-06-20T00", "ns") + np.arange(hours) * np.timedelta64(1, "h")
    t, y, x = np.meshgrid(np.arange(hours), np.arange(rows), np.arange(columns), indexing="ij")
    wave = np.sin(2 * np.pi * (x - SPEED * t) / 13 + 0.4 * y) + 0.5 * np.sin((x - SPEED * t) / 5)
    daily = 4 * np.sin(2 * np.pi * t / 24)
    longitude = (west + 0.25 * np.arange(columns) + 180) % 360 - 180
    return xr.Dataset(
        {
            "t2m": (("time", "latitude", "longitude"), (288 + daily + 2 * wave).astype("f4"),
                    {"units": "K"}),
            "sp": (("time", "latitude", "longitude"), (1e5 - 300 * wave).astype("f4"),
                   {"units": "Pa"}),
        },
        {"time": times, "latitude": 52.75 - 0.25 * np.arange(rows), "longitude": longitude},
    )  # fmt: skip


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def waves(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("waves") / "era5.nc"
    drifting().to_netcdf(path, engine="h5netcdf")
    return path


@pytest.fixture(scope="session")
def region(waves: Path) -> Region:
    return open_region([waves], T2M)


@pytest.fixture(scope="session")
def setup() -> Setup:
    return Setup(T2M, (8, 8, 8), size=SMALL, rings=(1, 2))


@pytest.fixture(scope="session")
def trained(region: Region, setup: Setup, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint that has seen the first three days for some seconds."""
    path = tmp_path_factory.mktemp("model") / "model.ckpt"
    part, _ = region.split(np.datetime64("2020-06-23T00"), 8)
    train(part, setup, path, config=Training(steps=30, steps_per_epoch=15, batch=4))
    return path


@pytest.fixture(scope="session")
def core(trained: Path) -> Core:
    from atmorep_bridge.core.training import load

    return load(trained)
