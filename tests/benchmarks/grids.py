"""The masked-token model on grids without rows and columns beside a regular one, the same days.

Hourly ERA5 of March 2019 over the United Kingdom (reference data), on its own grid of 0.25° and
interpolated, bilinear, to HEALPix of side 256 (0.23°) and to the octahedral reduced Gaussian grid
O320 (0.28°). Trained and asked alike on all three.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np
import torch
import xarray as xr
from harness import ERA5, needed, page, run, table

from atmorep_bridge.core import skill
from atmorep_bridge.core.specs import SIZES, FieldSpec, Setup
from atmorep_bridge.core.training import Training, train
from atmorep_bridge.core.windows import open_region

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from fakes.grids import on_gaussian, on_healpix

UK = ERA5 / "era5_t2m_uk_201903_hourly.nc"
NAME = "temperature_2m"
TEST = np.datetime64("2019-03-25", "ns")
SETUP = Setup((FieldSpec(NAME, patch=(3, 4, 4)),), (24, 16, 16), size=SIZES["tiny"],
              rings=(2, 5, 12), plans={"causal": 0.6, "gap": 0.4})  # fmt: skip
CONFIG = Training(steps=100, steps_per_epoch=50, batch=8)
EVERY = 3  # hours between forecasts that are scored
INTRODUCTION = """Hourly 2 m temperature of ERA5 over the United Kingdom, trained on 1 to 23 March
2019 and tested on 25 to 31 March, as in [forecast.md](forecast.md), on three grids: its own of
0.25°, HEALPix of side 256 (0.23°) and the octahedral reduced Gaussian grid O320 (0.28°), the latter
two interpolated, bilinear, from the first and cut to its area. Tokens hold up to 16 points, windows
256; all else is the same. Bilinear fields are smoother, so figures compare by their ratio to
persistence, too. RMSE in K; points count by their area. The network is trained for 100 steps only:
what is compared here are grids."""


def main(folder: Path) -> None:
    """Train on each grid, then write the page."""
    needed(ERA5)
    torch.set_num_threads(1)
    with page("grids", "Grids without rows and columns", INTRODUCTION) as add:
        rows = [row for name, data in fields().items() for row in scored(name, data, folder)]
        head = ["grid", "points", "task", "persistence", "our base (ridge)", "with the network",
                "network / persistence", "spread/skill"]  # fmt: skip
        add(table(head, rows))


def fields() -> dict[str, xr.Dataset]:
    """On each grid."""
    with xr.open_dataset(UK, engine="h5netcdf") as own:
        data = own[["t2m"]].load().drop_encoding()
    data = data.rename({k: v for k, v in {"valid_time": "time"}.items() if k in data.dims})
    found = {"0.25°": data, "HEALPix 256": on_healpix(data, 256),
             "O320": on_gaussian(data, 320)}  # fmt: skip
    for each in found.values():
        each["t2m"].attrs["units"] = "K"
    return found


def scored(name: str, data: xr.Dataset, folder: Path) -> list[list[object]]:
    """Rows of the table of one grid."""
    path = folder / f"{name.replace('°', '').replace(' ', '_')}.nc"
    data.to_netcdf(path, engine="h5netcdf")
    begun = time.time()
    learnt, test = open_region([path], SETUP.fields).split(TEST, SETUP.neighbourhood[0])
    core = train(learnt, SETUP, path.with_suffix(".ckpt"), config=CONFIG)
    points = int(np.isfinite(test.grid.points[0]).sum()) if test.latitude.ndim > 1 else (
        test.latitude.size * test.longitude.size)  # fmt: skip
    ahead = skill.nowcast_cases(core, test, NAME, EVERY)
    tasks = {
        "1-3 h ahead": skill.scores(ahead, slice(0, 3)),
        "4-6 h ahead": skill.scores(ahead, slice(3, 6)),
        "gap of 3 h": skill.scores(skill.gap_cases(core, test, NAME, EVERY)),
    }
    print(f"{name}: {time.time() - begun:.0f} s", flush=True)
    rows: list[list[object]] = []
    for task, s in tasks.items():
        simple = "persistence" if "rmse persistence" in s else "linear in time"
        rows.append([name, points, task, f"{s[f'rmse {simple}'].value:.3f}",
                     f"{s[f'rmse {skill.OURS}'].value:.3f}", s["rmse"], s[f"rmse / {simple}"],
                     f"{s['spread/skill'].value:.2f}"])  # fmt: skip
    return rows


if __name__ == "__main__":
    run(main, "grids_models")
