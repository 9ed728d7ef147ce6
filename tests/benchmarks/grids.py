"""The masked-token model on grids without rows and columns, and told of a field of another grid.

Hourly ERA5 of March 2019 over the United Kingdom, and sea-surface temperature of the globe by the
month, 2010-2020 (reference data), on their own grids and interpolated, bilinear, to HEALPix and to
octahedral reduced Gaussian grids. Trained and asked alike on all three. Then days of air over the
Horn of Africa (NCEP/NCAR, 1.9°) told of months of the sea (ERSSTv5, 2°), and the other way round.
"""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
import xarray as xr
from harness import DATA, needed, page, run, table

from atmorep_bridge.core import skill
from atmorep_bridge.core.specs import MONTH, FieldSpec, Setup, Size
from atmorep_bridge.core.statistics import fit
from atmorep_bridge.core.times import later
from atmorep_bridge.core.training import Core, Training, train
from atmorep_bridge.core.windows import open_region

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from fakes.grids import on_gaussian, on_healpix

PLANS = {"causal": 0.6, "gap": 0.4}
INTRODUCTION = """First, a model of points without rows and columns ([core.md](core.md)) beside
one of a regular grid, on the same days and with the same settings: on the fields' own grid, and on
HEALPix and octahedral reduced Gaussian grids to which they are interpolated, bilinear. Tokens hold
up to 16 points, windows 256. Bilinear fields are smoother, so that figures compare by their ratio
to persistence, too (of a gap, to a line in time). RMSE; points count by their area, ranges are 5 to
95 % of a bootstrap over days. Networks are trained for 100 steps only: what is compared here are
grids. Last, what a field of another grid and step adds to a model."""


@dataclass(frozen=True)
class Case:
    """Fields of one file, and what is forecast.

    Attributes:
        file: of the reference data. variable: in it. unit: its.
        test: first time that is not learnt from. side, number: of the HEALPix and Gaussian grids.
        ahead: slices of the forecast that are scored. every: n-th window is scored.
    """

    title: str
    file: str
    variable: str
    unit: str
    setup: Setup
    test: np.datetime64
    side: int
    number: int
    ahead: dict[str, slice]
    every: int


CASES = (
    Case(
        "## 2 m temperature over the United Kingdom, K\n\nHourly ERA5 of March 2019, tested on 25 "
        "to 31 March as in [forecast.md](forecast.md): 0.25°, HEALPix of side 256 (0.23°), O320 "
        "(0.28° at the equator), cut to its area. From every third hour, not from all: of all, the "
        "regular grid's base has 0.665 and 1.301 K ahead.",
        "era5/era5_t2m_uk_201903_hourly.nc", "t2m", "K",
        Setup((FieldSpec("temperature_2m", patch=(3, 4, 4)),), (24, 16, 16), rings=(2, 5, 12),
              plans=PLANS),
        np.datetime64("2019-03-25", "ns"), 256, 320,
        {"1-3 h ahead": slice(0, 3), "4-6 h ahead": slice(3, 6)}, 3,
    ),
    Case(
        "## Sea-surface temperature of the globe, °C\n\nERSSTv5 by the month, learnt from 2010 to "
        "2018, less a window's length, tested on 2019 and 2020, the ice of the poles and the date "
        "line within: 2°, HEALPix of side 32 (1.8°), O48 (1.9°). Nothing is said of land.",
        "climate/ersstv5_sst.mnmean.nc", "sst", "degC",
        Setup((FieldSpec("sst", patch=(1, 4, 4)),), (8, 16, 16), MONTH, rings=(1, 3), plans=PLANS),
        np.datetime64("2019-01-01", "ns"), 32, 48,
        {"1 month ahead": slice(0, 1), "2 months ahead": slice(1, 2)}, 1,
    ),
)  # fmt: skip
CONFIG = Training(steps=100, steps_per_epoch=50, batch=8)
AIR = DATA / "climate" / "ncep_ncar_daily_horn_of_africa_2008-2016.nc"
SEA = DATA / CASES[1].file
BOTH = tuple(FieldSpec(name, patch=(1, 5, 4)) for name in ("temperature_2m", "sst"))
SILENT = Size(width=8, heads=2, encoder_layers=1, decoder_layers=1, members=8)  # says nothing
TOLD = {
    "temperature of the air, K, a day": Setup(BOTH, (8, 10, 12), 24, size=SILENT, rings=(1, 2, 3)),
    "sea-surface temperature, °C, a month": Setup(
        BOTH[::-1], (6, 10, 12), MONTH, size=SILENT, rings=(1, 2)
    ),
}
CHEAP = "persistence", "damped anomaly"
COUPLED = """## A field of another grid and another step

Temperature of the air over the Horn of Africa by the day (NCEP/NCAR, 10 x 12 points of 1.9°), told
of sea-surface temperature (ERSSTv5, by the month, 2°) besides; and the latter, of that area, told
of the former. The first field's points and steps are the model's: the sea is interpolated to the
points of the air, and a day is told the last month that had ended; a month is told the mean of its
days. Learnt from 2010 to 2014; 2015 was looked at first, 2016 is for the report. The base alone,
one covariance of all fields; how much the other field counts it chooses on the last fifth of the
years it learns from. RMSE over all points that have a value, by area; ranges are of a bootstrap
over days or months."""


def main(folder: Path) -> None:
    """Train on each grid, then write the page."""
    needed(DATA)
    torch.set_num_threads(1)
    head = ["grid", "points", "task", "persistence", "our base (ridge)", "with the network",
            "network / persistence", "spread/skill"]  # fmt: skip
    with page("grids", "Grids: without rows and columns, and of other fields", INTRODUCTION) as add:
        for case in CASES:
            rows = [row for name, data in fields(case).items()
                    for row in scored(case, name, data, folder)]  # fmt: skip
            add(case.title, table(head, rows))
        add(COUPLED, coupled(folder))


def fields(case: Case) -> dict[str, xr.Dataset]:
    """On each grid."""
    with xr.open_dataset(DATA / case.file, engine="h5netcdf") as own:
        data = own[[case.variable]].load().drop_encoding()
    names = {"valid_time": "time", "lat": "latitude", "lon": "longitude"}
    data = data.rename({k: v for k, v in names.items() if k in data.dims})
    found = {"regular": data, f"HEALPix {case.side}": on_healpix(data, case.side),
             f"O{case.number}": on_gaussian(data, case.number)}  # fmt: skip
    for each in found.values():
        each[case.variable].attrs["units"] = case.unit
    return found


def scored(case: Case, name: str, data: xr.Dataset, folder: Path) -> list[list[object]]:
    """Rows of the table of one grid."""
    path, begun = folder / f"{case.variable}_{name.replace(' ', '_')}.nc", time.time()
    data.to_netcdf(path, engine="h5netcdf")
    region = open_region([path], case.setup.fields)
    learnt, test = region.split(case.test, case.setup.neighbourhood[0])
    core = train(learnt, case.setup, path.with_suffix(".ckpt"), config=CONFIG)
    field = core.setup.names[0]
    known = int(torch.isfinite(core.statistics.fields[field].climate[0]).sum())
    ahead = skill.nowcast_cases(core, test, field, case.every)
    tasks = {task: skill.scores(ahead, part) for task, part in case.ahead.items()}
    if case.every > 1:
        tasks["gap of 3 h"] = skill.scores(skill.gap_cases(core, test, field, case.every))
    print(f"{name}: {time.time() - begun:.0f} s", flush=True)
    rows: list[list[object]] = []
    for task, s in tasks.items():
        simple = "persistence" if "rmse persistence" in s else "linear in time"
        rows.append([name, known, task, f"{s[f'rmse {simple}'].value:.3f}",
                     f"{s[f'rmse {skill.OURS}'].value:.3f}", s["rmse"], s[f"rmse / {simple}"],
                     f"{s['spread/skill'].value:.2f}"])  # fmt: skip
    return rows


def coupled(folder: Path) -> str:
    """What a field of another grid and step adds to the base, and in words."""
    with xr.open_dataset(SEA, engine="h5netcdf") as whole:
        near = whole[["sst"]].sel(lat=slice(22, 4), lon=slice(30, 52)).load().drop_encoding()
    near.to_netcdf(folder / "sea.nc", engine="h5netcdf")
    rows, better, worse = [], 0, 0
    for title, setup in TOLD.items():
        whole = open_region([AIR, folder / "sea.nc"], setup.fields).loaded()
        name, history = setup.names[0], setup.neighbourhood[0] - setup.lead
        made = []
        for own in (replace(setup, fields=setup.fields[:1]), setup):
            region = replace(whole, data=whole.data[list(own.names)])
            learnt = region.between(region.times[0], np.datetime64("2014-12-31", "ns"))
            made.append((Core(own, fit(learnt, own)).silent(), region))
        for year in ("2015", "2016"):
            first = later(np.datetime64(f"{year}-01-01", "ns"), -history, setup.hours)
            last = np.datetime64(f"{year}-12-31", "ns")
            alone, told = (skill.nowcast_cases(core, region.between(first, last), name)
                           for core, region in made)  # fmt: skip
            ours = told.baselines[skill.OURS].expand(2, *told.truth.shape)
            both = replace(told, members=ours, baselines=alone.baselines)
            for ahead in range(setup.lead):
                s = skill.scores(both, slice(ahead, ahead + 1))
                ratio = s[f"rmse / {skill.OURS}"]
                better, worse = better + (ratio.high < 1), worse + (ratio.low > 1)
                cheap = (f"{s[f'rmse {n}'].value:.3f}" for n in CHEAP)
                rows.append([f"{title} ({ahead + 1} ahead)", year, *cheap,
                             f"{s[f'rmse {skill.OURS}'].value:.3f}", s["rmse"], ratio])  # fmt: skip
    head = ["forecast", "year", *CHEAP, "base, not told", "told", "told / not told"]
    return (f"{table(head, rows)}\n\nOf these {len(rows)} forecasts, {better} are better with the "
            f"other field by more than chance, {worse} are worse.")  # fmt: skip


if __name__ == "__main__":
    run(main, "grids_models")
