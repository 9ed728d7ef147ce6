"""Commands of ``atmorep-bridge`` that train a model and ask it; few lines each."""

from __future__ import annotations

import re
from collections.abc import Callable
from operator import methodcaller
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from atmorep_bridge import options
from atmorep_bridge.options import Files, Seed, Until, numbers, time
from sifnet.errors import SifnetError, require_number
from sifnet.terminal import err, out, say

# Libraries that take seconds to load are imported in the commands that use them.
if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

    from atmorep_bridge.core.specs import FieldSpec
    from atmorep_bridge.core.training import Core
    from atmorep_bridge.core.windows import Region

FIELD_HELP = (
    "u v w t q ps tcwv t2m aod550, or any CF variable that states its unit; "
    "levels after @: q@105,123,137."
)
OPERATIONS = {"+": "__add__", "-": "__sub__", "*": "__mul__"}

Model = Annotated[Path, typer.Argument(metavar="MODEL", help="Of `atmorep-bridge train`.")]
Output = Annotated[
    Path,
    typer.Option("--output", "-o", help="Ensemble, NetCDF, or WeatherBench 2's zarr if .zarr."),
]
Published = Annotated[
    Path | None, typer.Option(help="Folder for the same in AtmoRep's zarr layout.")
]
Observed = Annotated[
    Path | None,
    typer.Option(
        "--stations", help="Observations of the hidden hours, CSV: time, latitude, longitude, "
        "field, value, sigma."
    ),
]  # fmt: skip
Hours = Annotated[
    int, typer.Option(min=1, help="How far ahead; 730 are a month of monthly fields.")
]
Time = Annotated[str, typer.Option(metavar="TIME", help="UTC, such as 2020-06-25T09.")]


def train(
    files: Files,
    output: Annotated[Path, typer.Option("--output", "-o", help="model.ckpt")],
    field: Annotated[list[str], typer.Option(help=f"{FIELD_HELP} May be repeated.")],
    until: Until = None,
    size: Annotated[str, typer.Option(help="tiny, base or full.")] = "tiny",
    neighbourhood: Annotated[
        str, typer.Option(help="Steps in time, rows and columns of points of a window.")
    ] = "24,24,24",
    patch: Annotated[
        str, typer.Option(help="The same of a token; without rows, as many points at most.")
    ] = "3,6,6",
    coupled: Annotated[bool, typer.Option(help="Whether fields look at each other.")] = True,
    steps: Annotated[int, typer.Option(min=1)] = 3000,
    batch: Annotated[int, typer.Option(min=1, help="Windows in a step and process.")] = 16,
    seed: Seed = 0,
    workers: Annotated[int, typer.Option(min=0, help="Processes that read.")] = 0,
    device: Annotated[str, typer.Option(help="cpu, gpu or auto.")] = "cpu",
    devices: Annotated[int, typer.Option(min=1, help="How many, on each node.")] = 1,
    precision: Annotated[str, typer.Option(help="32-true, bf16-mixed, ...")] = "32-true",
    strategy: Annotated[str, typer.Option(help="auto, ddp, fsdp, ...")] = "auto",
) -> None:
    """Train a masked-token model on fields of a grid: regular, reduced Gaussian or HEALPix.

    The first `--field` says which; others of another grid or step are brought to its points and
    steps, and told nothing of what comes after. Without rows and columns a token is points that are
    near each other, rows x columns of `--patch` at most: 4,4 and 8,8 are pixels of a coarser
    HEALPix grid. Such models forecast, fill gaps and take stations; they know no `downscale` and
    `correct`.

    An interrupted training goes on from its last epoch when called again.

    Example: `atmorep-bridge train era5.nc --field t2m --until 2019-03-23T23 -o model.ckpt`
    """
    from atmorep_bridge.core import training
    from atmorep_bridge.core.specs import SIZES, Setup, all_coupled
    from atmorep_bridge.core.windows import open_region

    if size not in SIZES:
        raise SifnetError("unknown size", found=size, expected=", ".join(SIZES))
    specs = tuple(_field(text, _three(patch, "--patch")) for text in field)
    specs = all_coupled(specs) if coupled else specs
    region = open_region(files, specs)
    for name, values in region.data.items():
        if "comment" in values.attrs:
            say(f"{name}: {values.attrs['comment']}")
    if until is not None:
        region = region.between(region.times[0], time(until))
    window = _three(neighbourhood, "--neighbourhood")
    setup = Setup(specs, window, region.hours, region.level_kind, SIZES[size])
    config = training.Training(
        steps=steps, steps_per_epoch=min(100, steps), batch=batch, seed=seed, workers=workers,
        device=device, devices=devices, precision=precision, strategy=strategy,
    )  # fmt: skip
    training.train(region, setup, output, config=config, progress=err.is_terminal)
    say(f"model: {output}")


def nowcast(
    model: Model,
    files: Files,
    last: Time,
    output: Output,
    hours: Hours = 6,
    stations: Observed = None,
    published: Published = None,
    atmosphere: Annotated[
        Path | None, typer.Option(help="atmosphere.nc for `sifnet fit`, of the last hour.")
    ] = None,
    place: Annotated[
        str | None, typer.Option(metavar="LAT,LON", help="Of the atmosphere.nc.")
    ] = None,
    elevation: Annotated[float | None, typer.Option(help="Of its ground, m.")] = None,
    model_height: Annotated[float | None, typer.Option(help="Of the model's ground, m.")] = None,
) -> None:
    """Forecast the hours after the last one that is known, as an ensemble.

    Example: `atmorep-bridge nowcast model.ckpt era5.nc --last 2019-03-28T06 -o forecast.nc`
    """
    from atmorep_bridge.air.state import atmosphere_at, write

    ensemble = _ask("nowcast", model, files, output, published, time(last), hours,
                    _observed(stations))  # fmt: skip
    if atmosphere is not None:
        if place is None:
            raise SifnetError("an atmosphere.nc is of a place", found="no --place",
                              expected="--place LAT,LON")  # fmt: skip
        where = options.place(place, "--place")
        for metres in (elevation, model_height):
            require_number("--elevation or --model-height", metres or 0.0, -500, 9000)
        kilometres = [None if x is None else x / 1e3 for x in (elevation, model_height)]
        air = atmosphere_at(
            ensemble, *where, ensemble["time"].values[-1],
            elevation=kilometres[0], model_height=kilometres[1],
        )  # fmt: skip
        say(f"atmosphere: {write(air, atmosphere)}")


def interpolate(
    model: Model, files: Files, first: Time, last: Time, output: Output,
    stations: Observed = None, published: Published = None,
) -> None:  # fmt: skip
    """Fill the times from `--first` to `--last` from those before and after, as an ensemble.

    Example: `atmorep-bridge interpolate model.ckpt era5.nc --first 2019-03-28T06 --last
    2019-03-28T08 -o filled.nc`
    """
    _ask("interpolate", model, files, output, published, time(first), time(last),
         _observed(stations))  # fmt: skip


def downscale(
    model: Model, files: Files, first: Time, output: Output, published: Published = None
) -> None:
    """Sharpen a window of coarse fields, means of 4 x 4 points, to the resolution of the model.

    Example: `atmorep-bridge downscale model.ckpt coarse.nc --first 2019-03-28T00 -o fine.nc`
    """
    _ask("downscale", model, files, output, published, time(first))


def correct(
    model: Model, files: Files, first: Time, output: Output, published: Published = None
) -> None:
    """Correct a window of another model's analysis towards the data the model was trained on.

    Example: `atmorep-bridge correct model.ckpt other.nc --first 2019-03-28T00 -o corrected.nc`
    """
    _ask("correct", model, files, output, published, time(first))


def counterfactual(
    model: Model,
    files: Files,
    last: Time,
    change: Annotated[
        list[str], typer.Option(help="Of a field before `--last`: t2m+2, q*1.1. Repeatable.")
    ],
    output: Output,
    hours: Hours = 6,
    published: Published = None,
) -> None:
    """Forecast from a changed past, and say how that differs from the forecast as it was.

    Example: `atmorep-bridge counterfactual model.ckpt era5.nc --last 2019-03-28T06 --change t2m+2
    -o warmer.nc`
    """
    rules = dict(_change(text) for text in change)
    _ask("counterfactual", model, files, output, published, rules, time(last), hours)


def evaluate(
    model: Model,
    files: Files,
    first: Annotated[
        str, typer.Option("--from", metavar="TIME", help="First time that was not trained on.")
    ],
    every: Annotated[int, typer.Option(min=1, help="Take every n-th window only.")] = 1,
) -> None:
    """Skill on times the model has not seen, beside cheap forecasts; ranges are 5 to 95 %.

    Example: `atmorep-bridge evaluate model.ckpt era5.nc --from 2019-03-25`
    """
    from atmorep_bridge.core import skill

    core, region = _opened(model, files)
    region = region.between(time(first), region.times[-1])
    table = Table(title=f"{model}: from {first} on", title_justify="left")
    for heading in ("field", "task", "rmse", "best baseline", "rmse / its", "spread/skill",
                    "crps / its mae"):  # fmt: skip
        table.add_column(heading, no_wrap=heading in ("field", "task"))
    for name in core.setup.names:
        tasks = {
            "nowcast": skill.nowcast_cases(core, region, name, every),
            "gap": skill.gap_cases(core, region, name, every),
        }
        if core.statistics.fields[name].detail is not None:
            tasks["downscaling"] = skill.downscaling_cases(core, region, name, every)
        for task, cases in tasks.items():
            scores = skill.scores(cases)
            best = skill.best_baseline(scores, cases)
            table.add_row(name, task, f"{scores['rmse'].value:.3g}", best,
                          str(scores[f"rmse / {best}"]), f"{scores['spread/skill'].value:.2f}",
                          str(scores[f"crps / mae {best}"]))  # fmt: skip
    out.print(table, highlight=False)


COMMANDS = (train, nowcast, interpolate, downscale, correct, counterfactual, evaluate)


def _opened(model: Path, files: list[str]) -> tuple[Core, Region]:
    from atmorep_bridge.core.training import load
    from atmorep_bridge.core.windows import open_region

    core = load(model)
    return core, open_region(files, core.setup.fields)


def _observed(path: Path | None) -> pd.DataFrame | None:
    from atmorep_bridge.core.stations import read_stations

    return None if path is None else read_stations(path)


def _ask(
    task: str, model: Path, files: list[str], output: Path, published: Path | None, *about: Any
) -> xr.Dataset:
    """The ensemble of one of ``tasks``, written."""
    from atmorep_bridge.core import tasks
    from atmorep_bridge.core.outputs import write_fields, write_published, write_weatherbench

    ensemble: xr.Dataset = getattr(tasks, task)(*_opened(model, files), *about)
    write = write_weatherbench if output.suffix == ".zarr" else write_fields
    say(f"ensemble: {write(ensemble, output)}")
    for path in write_published(published, ensemble) if published is not None else ():
        say(f"AtmoRep layout: {path}")
    return ensemble


def _field(text: str, patch: tuple[int, int, int]) -> FieldSpec:
    from atmorep_bridge.core.specs import SHORT, FieldSpec

    name, _, levels = text.partition("@")
    given = [int(x) for x in numbers(levels, None, "--field", whole=True)] if levels else []
    return FieldSpec(SHORT.get(name, name), tuple(given), patch)


def _change(text: str) -> tuple[str, Callable[[Any], Any]]:
    from atmorep_bridge.core.specs import SHORT

    found = re.fullmatch(r"(\w+)([-+*])(.+)", text)
    if found is None:
        raise SifnetError("this change is not understood", found=text,
                          expected="a field, + - or *, and a number: t2m+2, q*1.1")  # fmt: skip
    name, sign, number = found.groups()
    (value,) = numbers(number, 1, "--change")
    return SHORT.get(name, name), methodcaller(OPERATIONS[sign], value)


def _three(text: str, option: str) -> tuple[int, int, int]:
    a, b, c = (int(x) for x in numbers(text, 3, option, whole=True))
    return a, b, c
