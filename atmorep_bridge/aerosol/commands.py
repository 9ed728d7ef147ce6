"""``atmorep-bridge aerosol train|forecast``: few lines over the functions behind them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from atmorep_bridge import options
from atmorep_bridge.options import Files, Until, command, time
from sifnet.errors import SifnetError, require_number
from sifnet.terminal import say

if TYPE_CHECKING:
    import xarray as xr

    from atmorep_bridge.fields.opening import Join

app = typer.Typer(
    no_args_is_help=True,
    help="Aerosol where no analysis exists yet: the last maps of AOT, carried on by the weather."
    "\n\n    atmorep-bridge aerosol train cams.nc era5.nc --weather u@850 --weather v@850 "
    "-o aot.ckpt"
    "\n\n    atmorep-bridge aerosol forecast aot.ckpt cams.nc era5.nc --start 2020-06-25T06 "
    "-o aot.nc",
)  # fmt: skip
GAP = 2  # steps between what is fitted on and what tells the uncertainty


@app.command()
def train(
    files: Files,
    output: Annotated[Path, typer.Option("--output", "-o", help="model.ckpt")],
    weather: Annotated[
        list[str] | None,
        typer.Option(metavar="FIELD[@LEVEL]", help="What moves, makes or washes out aerosol: u v q "
                     "t ps tcwv t2m, or any CF variable with a unit; the level (hPa or number) "
                     "after @. Repeatable; without any, aerosol alone says what comes."),
    ] = None,
    until: Until = None,
    steps: Annotated[int, typer.Option(min=1, help="Steps ahead that it can forecast.")] = 4,
    held_back: Annotated[
        float, typer.Option(help="Share of the series, its end, that tells the uncertainty.")
    ] = 0.2,
) -> None:  # fmt: skip
    """Train on a series of maps of AOT at 550 nm and of weather on one grid; hours, days or months
    apart.

    AOT is CAMS' total_aerosol_optical_depth_550nm or MERRA-2's TOTEXTTAU. A ridge regression on all
    products of aerosol around a point with its weather; held-back steps choose how strongly it
    shrinks to persistence and whether weather helps. The end of the series is not fitted on: its
    errors are the uncertainty at each step ahead.

    Example: `atmorep-bridge aerosol train cams.nc era5.nc --weather u@850 --weather v@850 --weather
    q@850 --until 2020-06-20T18 -o aot.ckpt`
    """
    from atmorep_bridge.aerosol.forecast import calibrated, fit
    from atmorep_bridge.aerosol.ridge import LEAST

    require_number("--held-back", held_back, 0.0, 0.9, below=True)
    names = tuple(weather or ())
    series = _series(files, names, "inner")
    if until is not None:
        series = series.isel(time=series["time"].values <= time(until))
    last = series.sizes["time"] - max(round(held_back * series.sizes["time"]), steps + 2)
    if last - GAP < LEAST:
        raise SifnetError(
            "the series has too few time steps",
            found=series.sizes["time"],
            expected=f"some hundred; {LEAST + GAP + steps + 2} are the least",
            remedy="Give a longer series, or fewer --steps.",
        )
    model = fit(series.isel(time=slice(0, last - GAP)), weather=names)
    model = calibrated(model, series.isel(time=slice(last, None)), steps)
    model.save(output)
    looks = f"weight {model.ridge.choice.coupling:g}" if names else "none"
    say(f"weather: {looks}, as held-back steps chose")
    say(f"model: {output}")


@app.command()
def forecast(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="Of `aerosol train`.")],
    files: Files,
    start: Annotated[
        str, typer.Option(metavar="TIME", help="UTC, of the last analysis of aerosol; one a step "
                          "before it is needed too."),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="AOT and its uncertainty.")],
    steps: Annotated[int, typer.Option(min=1, help="Of the model, ahead.")] = 4,
    atmosphere: Annotated[
        Path | None, typer.Option(help="atmosphere.nc for `sifnet fit`, of --at.")
    ] = None,
    at: Annotated[
        str | None, typer.Option(metavar="LAT,LON,TIME", help="Place and time of it.")
    ] = None,
) -> None:  # fmt: skip
    """Forecast maps of AOT from the last analysis on, with the weather that is forecast.

    The first map is the analysis; weather must reach the last step.

    Example: `atmorep-bridge aerosol forecast aot.ckpt cams.nc weather.nc --start 2020-06-25T06
    --steps 4 -o aot.nc --atmosphere atmosphere.nc --at 50.9,6.4,2020-06-25T16:42`
    """
    from atmorep_bridge.aerosol.forecast import forecast as coming
    from atmorep_bridge.aerosol.forecast import load
    from atmorep_bridge.air.state import atmosphere_at, provenance, write
    from atmorep_bridge.fields.axes import with_units

    made = load(model)
    series = _series(files, made.scaling.weather, "outer")  # weather goes on after the analysis
    fields = coming(made, series, time(start), steps)
    fields = fields.assign_attrs(
        Conventions="CF-1.11",
        title=f"AOT at 550 nm from {start} on",
        **provenance(command(), [str(model), *files]),
    )
    say(f"aerosol: {write(with_units(fields), output)}")
    if atmosphere is not None:
        place, _, when = (at or "").rpartition(",")
        if not place:
            raise SifnetError("an atmosphere.nc is of a place and a time", found=at or "no --at",
                              expected="--at LAT,LON,TIME")  # fmt: skip
        air = atmosphere_at(fields, *options.place(place, "--at"), time(when))
        say(f"atmosphere: {write(air, atmosphere)}")


def _series(files: list[str], weather: Sequence[str], join: Join) -> xr.Dataset:
    """AOT and each ``FIELD@LEVEL`` on (time, latitude, longitude), under the name it was given."""
    from atmorep_bridge.aerosol.series import AEROSOL
    from atmorep_bridge.core.specs import SHORT
    from atmorep_bridge.core.windows import on_levels
    from atmorep_bridge.fields.formats import readable
    from atmorep_bridge.fields.opening import open_series

    wanted = {text: text.partition("@")[::2] for text in weather}
    names = {text: SHORT.get(name, name) for text, (name, _) in wanted.items()}
    data = open_series(files, list(dict.fromkeys([AEROSOL, *names.values()])), join)
    series = data[[AEROSOL]]
    for text, (_, level) in wanted.items():
        own = data[[names[text]]]
        if level:
            one = on_levels(own, options.numbers(level, 1, "--weather"), ", ".join(files))
            own = one.isel(level=0, drop=True)
        series = series.assign({text: own[names[text]]})
    with readable(", ".join(files)):
        return series.load()
