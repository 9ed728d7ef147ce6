"""Skill of the masked-token model on real ERA5 beside cheap forecasts.

    python tests/benchmarks/forecast.py [FOLDER]        (make forecast)

Trains on days that come before those it is tested on, two models at a time; checkpoints are kept
in FOLDER and found again. Writes ``docs/forecast_skill.md`` and ``docs/forecast.png``.
"""

from __future__ import annotations

import os
import platform
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from atmorep_bridge.core import skill
from atmorep_bridge.core.masks import Kind
from atmorep_bridge.core.model import MaskedTokenModel, parameters
from atmorep_bridge.core.specs import SIZES, FieldSpec, Setup, all_coupled
from atmorep_bridge.core.tasks import interpolate, nowcast
from atmorep_bridge.core.tokens import INFO
from atmorep_bridge.core.training import Core, Training, load, train
from atmorep_bridge.core.windows import Region, open_region

DOCS = Path(__file__).resolve().parents[2] / "docs"
ERA5 = DOCS.parents[1] / "shared" / "data" / "era5"
UK, RHINE = "era5_t2m_uk_201903_hourly.nc", "era5_ml22_quv_sp_rhine_20220831_hourly.nc"
T2M = (FieldSpec("temperature_2m", patch=(3, 4, 4)),)
LEVELS = (105, 123, 137)
WINDS = tuple(
    FieldSpec(name, levels, (1, 4, 4), normaliser="mean")
    for name, levels in (("specific_humidity", LEVELS), ("eastward_wind", LEVELS),
                         ("northward_wind", LEVELS), ("surface_pressure", ()))
)  # fmt: skip
TEST_UK, TEST_RHINE = np.datetime64("2019-03-25", "ns"), np.datetime64("2022-08-31T19", "ns")
SMALL = replace(SIZES["tiny"], width=64)
MONTH = Setup(T2M, (24, 16, 16), size=SMALL)
DAY = Setup(WINDS, (5, 16, 16), level_kind="model", size=SMALL, plans={"random": 1.0})
MODELS = {
    "almost fair CRPS": (UK, MONTH, 1000),
    "published loss": (UK, replace(MONTH, loss="published"), 1000),
    "almost fair CRPS, informed base": (UK, replace(MONTH, base="informed"), 1000),
    "published loss and zero fill": (UK, replace(MONTH, loss="published", base="zero"), 1000),
    "coupled": (RHINE, replace(DAY, fields=all_coupled(WINDS)), 400),
    "alone": (RHINE, DAY, 400),
}
TARGETS = {
    "nowcast, 1-3 h": ("informed base", "damped anomaly", 0.95),
    "nowcast, 4-6 h": ("informed base", "damped anomaly", 0.90),
    "gap of 3 h": ("informed base", "line between anomalies", 1.0),
    "downscaling x 4": ("bilinear and hourly mean detail", "bilinear and hourly mean detail", 1.0),
}


def regions(file: str) -> tuple[Region, Region]:
    """Training and test part, a window's length apart."""
    setup, test = (MONTH, TEST_UK) if file == UK else (DAY, TEST_RHINE)
    return open_region([ERA5 / file], setup.fields).split(test, setup.neighbourhood[0])


def model(name: str, folder: Path) -> Path:
    """Train one model, unless it is there."""
    file, setup, steps = MODELS[name]
    path = folder / f"{name.replace(' ', '_').replace(',', '')}.ckpt"
    if not path.exists():
        torch.set_num_threads(1)
        begun = time.time()
        config = Training(steps=steps, batch=16 if file == UK else 8)
        train(regions(file)[0], setup, path, config=config)
        print(f"{name}: {time.time() - begun:.0f} s", flush=True)
    return path


def main(folder: Path) -> None:
    """Train all, then write the page."""
    folder.mkdir(parents=True, exist_ok=True)
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        paths = list(pool.map(model, MODELS, [folder] * len(MODELS)))
    cores = {name: load(path) for name, path in zip(MODELS, paths, strict=True)}
    _, test = regions(UK)
    page = [HEAD, _machine()]
    found = {name: month(core, test) for name, core in cores.items() if MODELS[name][0] == UK}
    page += [_table(found["almost fair CRPS"]), _variants(found), _rhine(cores), _speed()]
    (DOCS / "forecast_skill.md").write_text("\n\n".join(page) + "\n", encoding="utf-8")
    print("\n\n".join(page))
    _figure(cores["almost fair CRPS"], test, DOCS / "forecast.png")


def month(core: Core, test: Region) -> dict[str, dict[str, skill.Score]]:
    """Scores of every task on the last week of the month."""
    name = "temperature_2m"
    ahead = skill.nowcast_cases(core, test, name)
    return {
        "nowcast, 1-3 h": skill.scores(ahead, slice(0, 3)),
        "nowcast, 4-6 h": skill.scores(ahead, slice(3, 6)),
        "gap of 3 h": skill.scores(skill.gap_cases(core, test, name)),
        "downscaling x 4": skill.scores(skill.downscaling_cases(core, test, name, 4)),
    }


def _table(found: dict[str, dict[str, skill.Score]]) -> str:
    lines = ["| task | cheap forecast | its RMSE, K | our base, K | model, K | model / cheap | "
             "asked | CRPS / MAE of the cheap | asked | spread/skill | asked |",
             "|---|---|---|---|---|---|---|---|---|---|---|"]  # fmt: skip
    for task, (name, label, limit) in TARGETS.items():
        s = found[task]
        own = s.get("rmse kriged base") or s["rmse the same, scaled by local spread"]
        lines.append(
            f"| {task} | {label} | {s[f'rmse {name}'].value:.3f} | {own.value:.3f} | {s['rmse']} | "
            f"{s[f'rmse / {name}']} | < {limit:.2f} | {s[f'crps / mae {name}']} | < 0.80 | "
            f"{s['spread/skill']} | 0.80-1.25 |"
        )
    return "## 2 m temperature over the United Kingdom\n\n" + "\n".join(lines)


def _variants(found: dict[str, dict[str, dict[str, skill.Score]]]) -> str:
    lines = ["| | " + " | ".join(f"{t}: RMSE, K | spread/skill" for t in TARGETS) + " |",
             "|---|" + "---|---|" * len(TARGETS)]  # fmt: skip
    for name, tasks in found.items():
        cells = [f"{s['rmse'].value:.3f} | {s['spread/skill'].value:.2f}" for s in tasks.values()]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    cheap = [f"{found['almost fair CRPS'][t][f'rmse {n}'].value:.3f} | " for t, (n, *_) in
             TARGETS.items()]  # fmt: skip
    lines.append("| *cheap forecast* | " + " | ".join(cheap) + " |")
    return "## Losses and bases, equally long training\n\n" + "\n".join(lines)


def _rhine(cores: dict[str, Core]) -> str:
    _, test = regions(RHINE)
    errors = {n: skill.masked_errors(cores[n], test) for n in ("coupled", "alone")}
    lines = ["| field | line in time | kriged base | alone | coupled | coupled / line | "
             "coupled / alone |", "|---|---|---|---|---|---|---|"]  # fmt: skip
    rng = np.random.default_rng(0)
    whole: dict[str, list[np.ndarray]] = {}
    for field in errors["coupled"]:
        e = {"line": errors["alone"][field]["informed base"],
             "own": errors["alone"][field]["own base"], "alone": errors["alone"][field]["model"],
             "coupled": errors["coupled"][field]["model"]}  # fmt: skip
        for method, values in e.items():
            whole.setdefault(method, []).append(values)
        lines.append(_row(field, e, rng))
    lines.append(_row("**all**", {m: np.mean(v, 0) for m, v in whole.items()}, rng))
    return "## q, u, v, ps over the Rhine\n\n" + "\n".join(lines)


def _row(field: str, e: dict[str, np.ndarray], rng: np.random.Generator) -> str:
    def ratio(a: str, b: str) -> str:
        drawn = rng.integers(e[a].size, size=(500, e[a].size))
        each = np.sqrt(e[a][drawn].mean(1) / e[b][drawn].mean(1))
        low, high = np.quantile(each, [0.05, 0.95])
        return f"{np.sqrt(e[a].mean() / e[b].mean()):.3f} ({low:.3f}-{high:.3f})"

    cells = [f"{np.sqrt(e[m].mean()):.4f}" for m in ("line", "own", "alone", "coupled")]
    cells += [ratio("coupled", "line"), ratio("coupled", "alone")]
    return f"| {field} | {' | '.join(cells)} |"


def _speed() -> str:
    """Tokens a second and operations of ``base``, forward and backward, a field of the surface."""
    setup = Setup(
        (FieldSpec("temperature_2m", patch=(3, 9, 9)),), (36, 54, 108), size=SIZES["base"]
    )
    network, spec = MaskedTokenModel(setup), setup.fields[0]
    n = setup.tokens(spec)

    def step() -> None:
        tokens = {spec.name: torch.randn(1, n, spec.values)}
        kinds = {spec.name: torch.randint(0, 2, (1, n))}
        chosen = {spec.name: kinds[spec.name] == Kind.HIDDEN}
        info = {spec.name: torch.randn(1, n, INFO)}
        network(tokens, tokens, kinds, info, chosen)[spec.name].square().mean().backward()

    with FlopCounterMode(display=False) as counter:
        step()
    begun, turns = time.time(), 3
    for _ in range(turns):
        step()
    taken = (time.time() - begun) / turns
    a = torch.randn(2048, 2048)
    begun = time.time()
    for _ in range(10):
        a @ a
    peak = 10 * 2 * 2048**3 / (time.time() - begun)
    rate = counter.get_total_flops() / taken
    return (
        f"## Speed of `base`\n\n{parameters(network) / 1e6:.1f} million parameters, {n} tokens "
        f"of 3 h x 9 x 9 points, float32, {torch.get_num_threads()} threads: {n / taken:.0f} tokens/s "
        f"forward and backward, {counter.get_total_flops() / 1e9:.0f} Gflop a window, "
        f"{rate / 1e9:.0f} Gflop/s, {rate / peak:.0%} of what a product of 2048 x 2048 matrices "
        "reaches here. No GPU was at hand."
    )


def _figure(core: Core, test: Region, path: Path) -> None:
    last = np.datetime64("2019-03-28T06", "ns")
    hour = np.timedelta64(1, "h")
    rows = {
        "6 h ahead": nowcast(core, test, last, 6).isel(time=5),
        "middle of a gap of 3 h": interpolate(core, test, last + 5 * hour, last + 7 * hour)
        .isel(time=1),
    }  # fmt: skip
    figure, axes = plt.subplots(2, 4, figsize=(13, 6), layout="compressed")
    for line, (label, ensemble) in zip(axes, rows.items(), strict=True):
        values = ensemble["temperature_2m"]
        truth = test.data["temperature_2m"].sel(time=ensemble["time"].values)
        mean, spread = values.mean("member"), values.std("member")
        low, high = float(truth.min()), float(truth.max())
        maps = {"ERA5": (truth, "viridis", low, high),
                "ensemble mean": (mean, "viridis", low, high),
                "spread": (spread, "magma", 0, float(spread.max())),
                "mean - ERA5": (mean - truth, "RdBu_r", -3, 3)}  # fmt: skip
        for axis, (title, (data, colours, least, most)) in zip(line, maps.items(), strict=True):
            drawn = axis.pcolormesh(data["longitude"], data["latitude"], data, cmap=colours,
                                    vmin=least, vmax=most)  # fmt: skip
            figure.colorbar(drawn, ax=axis, label="K", shrink=0.8)
            axis.set_title(f"{title}, {label}", fontsize=9)
    figure.savefig(path, dpi=110)


def _machine() -> str:
    return (f"{platform.machine()}, {os.cpu_count()} cores, torch {torch.__version__}. UK: trained "
            f"on 1 to 23 March 2019, tested on 25 to 31 March, all hours; bootstrap over "
            "days (5 to 95 %). Rhine: 31 August 2022, trained on 0 to 13 h, tested on 19 to 23 h; "
            "one day has no days to draw from: bootstrap over 96 places and masks.")  # fmt: skip


HEAD = """# Skill of the masked-token model

`make forecast` makes this page; [forecast](forecast.md) says what the model is."""

if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "forecast_models"))
