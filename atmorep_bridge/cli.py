"""The command line of the bridge: a few lines over the functions of the same name."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.logging import RichHandler
from rich.markup import escape
from rich.table import Table

from atmorep_bridge import options
from atmorep_bridge.aerosol import commands as aerosol
from atmorep_bridge.core.commands import COMMANDS
from atmorep_bridge.spheres import commands as spheres
from sifnet.errors import shown
from sifnet.terminal import Commands, err, out

if TYPE_CHECKING:
    import xarray as xr


app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="The atmosphere of a scene from reanalysis and forecast, for `sifnet --atmosphere`.\n\n"
    "    atmorep-bridge state line.hdr --fields era5.nc cams.nc --elevation 92 -o atmosphere.nc\n\n"
    "    sifnet fit line.hdr --atmosphere atmosphere.nc -o out\n\n"
    "Where no analysis is there yet, a model forecasts it:\n\n"
    "    atmorep-bridge train era5.nc --field t2m -o model.ckpt\n\n"
    "    atmorep-bridge nowcast model.ckpt today.nc --last 2020-06-25T06 -o forecast.nc",
)
for command in COMMANDS:
    app.command()(command)
app.add_typer(aerosol.app, name="aerosol")
app.add_typer(spheres.app, name="spheres")


@app.callback()
def _all(
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Say more.")] = False,
) -> None:
    handler = RichHandler(console=err, show_path=False, show_time=False)
    level = logging.INFO if verbose else logging.WARNING
    logging.basicConfig(level=level, format="%(message)s", handlers=[handler])


@app.command()
def state(
    scene: Annotated[Path, typer.Argument(metavar="SCENE", help="As for `sifnet fit`.")],
    fields: Annotated[
        list[str],
        typer.Option(
            metavar="FILE...",
            help="NetCDF, GRIB or zarr (also gs://): temperature and humidity on pressure or model "
            "levels with geopotential, or surface pressure and geopotential; aerosol.",
        ),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="atmosphere.nc")],
    more: Annotated[list[str] | None, typer.Argument(hidden=True, metavar="")] = None,
    elevation: Annotated[
        str | None,
        typer.Option(
            metavar="DEM.tif|METRES",
            help="Ground above sea level; 8 m are 1 hPa. By default the scene's own.",
        ),
    ] = None,
) -> None:
    """Bring reanalysis fields to the time, place and elevation of a scene.

    Give the hours before and after the scene, on an area with a margin of one grid length. What
    is needed, and where to get it:

    - ERA5 (cds.climate.copernicus.eu), *pressure levels*: temperature, specific humidity,
      geopotential, at all levels from 1000 to 1 hPa;

    - for aerosol, CAMS (ads.atmosphere.copernicus.eu): total aerosol optical depth at 550 nm, or
      MERRA-2 M2T1NXAER: TOTEXTTAU. Without it sifnet keeps its own prior.

    - where no analysis is there yet, ECMWF's open data as GRIB (data.ecmwf.int), IFS or AIFS, the
      steps around the scene: t, q, gh (AIFS: z) on pressure levels, sp. Uncertainty grows with the
      lead time.

    Model levels, single levels, WeatherBench 2 and ARCO zarr, MERRA-2 and AtmoRep forecasts are
    understood as well. The first file that has a quantity gives it. An analysis that ends before
    the scene is taken as it is, with an uncertainty that grows with its age, up to ten days; of
    pressure two days old, climate is worth more, and is taken.

    Example: `atmorep-bridge state line.hdr --fields era5.nc cams.nc --elevation dem.tif -o
    atmosphere.nc`
    """
    import sifnet
    from atmorep_bridge.air.state import state as state_of
    from atmorep_bridge.air.state import write

    opened = sifnet.open_scene(scene)
    air = state_of(opened, [*fields, *(more or [])], elevation=elevation, command=options.command())
    write(air, output)
    out.print(_table(air), highlight=False)
    out.print(escape(shown(f"atmosphere: {output}")), highlight=False, soft_wrap=True)


def _table(atmosphere: xr.Dataset) -> Table:
    """Each quantity with its uncertainty and how that comes about."""
    from atmorep_bridge.air.state import SCALARS
    from atmorep_bridge.fields.quantities import QUANTITIES

    table = Table(title=f"{atmosphere.attrs['title']}: {atmosphere.attrs['source']}",
                  title_justify="left")  # fmt: skip
    for heading in ("", "value", "± 1 sd", "unit", "from"):
        table.add_column(heading, justify="right" if heading in ("value", "± 1 sd") else "left")
    for name in SCALARS:
        if name not in atmosphere:
            table.add_row(name, "", "", "", f"in no file: {QUANTITIES[name].download}")
            continue
        sd = atmosphere[f"{name}_uncertainty"]
        table.add_row(name, f"{float(atmosphere[name]):.2f}", f"{float(sd):.2f}",
                      atmosphere[name].attrs["units"], sd.attrs["comment"])  # fmt: skip
    return table


def main() -> None:
    """Entry point of the ``atmorep-bridge`` command."""
    app()


if __name__ == "__main__":
    main()
