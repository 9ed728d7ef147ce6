"""``atmorep-bridge spheres train|forecast``: few lines over the functions of the same names."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from atmorep_bridge.options import Files, Seed, Until, command
from sifnet.errors import SifnetError
from sifnet.terminal import out, say

app = typer.Typer(
    no_args_is_help=True,
    help="Seasons ahead: ocean, ice, aerosol, air as monthly variables of any grid, forecast "
    "together.\n\n"
    "    atmorep-bridge spheres train sst.nc ice.nc --sphere ocean=sst --sphere ice=extent,volume "
    "--until 2015-12 -o spheres.ckpt\n\n"
    "    atmorep-bridge spheres forecast spheres.ckpt sst.nc ice.nc --last 2020-05 -o season",
)


@app.command()
def train(
    files: Files,
    sphere: Annotated[
        list[str],
        typer.Option(metavar="NAME=VARIABLE,...", help="A sphere and what is forecast of it: names "
                     "or standard_names of CF variables with a unit, indices or maps of one grid. "
                     "Repeatable."),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="spheres.ckpt")],
    until: Until = None,
    months: Annotated[int, typer.Option(min=1, max=36, help="How far ahead.")] = 6,
    log: Annotated[
        list[str] | None,
        typer.Option(metavar="VARIABLE", help="Forecast its logarithm: positive with a long tail, "
                     "as AOD and rain are. Repeatable."),
    ] = None,
    coupling: Annotated[
        str,
        typer.Option(help="Whether a sphere looks at others: if that gains on held-back years "
                     "(chosen), none, or always, which `forecast --without` needs."),
    ] = "chosen",
) -> None:  # fmt: skip
    """Train on monthly series; daily and hourly ones are averaged.

    Each sphere becomes a few patterns, each month ahead a ridge regression on the months before,
    whose coefficients change through the year. Held-back years choose how far it looks back, how
    strongly it shrinks to damped persistence, and whether the other spheres help. How long their
    records are and where their grids lie may differ. The table is of the later half of each record,
    every part forecast from what was known before; below 100 % is better than damped persistence.

    Example: `atmorep-bridge spheres train nino.nc aerosol.nc --sphere ocean=nino34 --sphere
    aerosol=aod --log aod --until 2015-12 -o spheres.ckpt`
    """
    from typing import get_args

    from atmorep_bridge.fields.variables import open_variables
    from atmorep_bridge.spheres import model as spheres
    from atmorep_bridge.spheres.ridge import Coupling
    from atmorep_bridge.spheres.series import month_of, months_of

    if coupling not in get_args(Coupling):
        raise SifnetError("--coupling is not understood", found=coupling,
                          expected=", ".join(get_args(Coupling)))  # fmt: skip
    named = dict(_pair(text, "--sphere", "ocean=sst") for text in sphere)
    members = {name: variables.split(",") for name, variables in named.items()}
    names = [v for variables in members.values() for v in variables]
    if unknown := sorted(set(log or ()) - set(names)):
        raise SifnetError("--log names no variable of a sphere", found=", ".join(unknown),
                          expected=", ".join(names))  # fmt: skip
    series = open_variables(files, names)
    if until is not None:
        series = {n: v.isel(time=months_of(v) <= month_of(until)) for n, v in series.items()}
    made = spheres.train(members, series, months=months, log=log or (), coupling=coupling)  # type: ignore[arg-type]
    made.save(output)
    table = Table(title="error / damped persistence", title_justify="left")
    for heading in ("sphere", "looks at others", *(f"{n + 1} mo." for n in range(months))):
        table.add_column(heading)
    for name, skill in made.skill.items():
        looks = sum(choice.coupling > 0 for choice in made.choices[name])
        table.add_row(name, f"{looks} of {months}", *(f"{s:.0%}" for s in skill))
    out.print(table, highlight=False)
    say(f"model: {output}")


@app.command()
def forecast(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="Of `spheres train`.")],
    files: Files,
    last: Annotated[str, typer.Option(metavar="MONTH", help="The last that is known, 2020-05.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder; SPHERE.nc of each.")],
    members: Annotated[int, typer.Option(min=2, help="Of the ensemble.")] = 50,
    given: Annotated[
        list[str] | None,
        typer.Option(metavar="SPHERE", help="Known after the last month too; the others follow it. "
                     "Repeatable."),
    ] = None,
    without: Annotated[
        list[str] | None,
        typer.Option(metavar="SPHERE=MONTH", help="As if this sphere had been as usual from this "
                     "month on. Repeatable."),
    ] = None,
    seed: Seed = 0,
) -> None:  # fmt: skip
    """Forecast the months after the last one that is known, as an ensemble.

    Members are the forecast less errors of held-back years, of all spheres at one date.

    What if Pinatubo had not erupted (the model trained with `--coupling always`)?
    `atmorep-bridge spheres forecast spheres.ckpt merra2.nc --last 1991-05 --given aerosol --without
    aerosol=1991-06 -o quiet`
    """
    from atmorep_bridge.air.state import provenance, write
    from atmorep_bridge.fields.axes import with_units
    from atmorep_bridge.fields.variables import open_variables
    from atmorep_bridge.spheres.forecast import forecast as ensembles
    from atmorep_bridge.spheres.model import load

    made = load(model)
    names = [v.name for sphere in made.spheres.values() for v in sphere.variables]
    rules = dict(_pair(text, "--without", "aerosol=1991-06") for text in without or ())
    coming = ensembles(made, open_variables(files, names), last, members=members,
                              given=given or (), without=rules, seed=seed)  # fmt: skip
    about = provenance(command(), [str(model), *files])
    for name, ensemble in coming.items():
        ensemble = with_units(ensemble).assign_attrs(
            Conventions="CF-1.11",
            title=f"{name} after {last}",
            source="seasonal ridge of atmorep_bridge.spheres",
            **about,
        )
        say(f"{name}: {write(ensemble, output / f'{name}.nc')}")


def _pair(text: str, option: str, example: str) -> tuple[str, str]:
    name, _, value = text.partition("=")
    if not name or not value:
        raise SifnetError(f"{option} is not understood", found=text, expected=example)
    return name, value
