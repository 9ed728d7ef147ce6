"""The command line: every command is a few lines over the functions of the same name."""

from __future__ import annotations

import logging
import shlex
import sys
from dataclasses import replace
from pathlib import Path
from textwrap import wrap
from typing import TYPE_CHECKING, Annotated

import typer
from rich.box import SIMPLE
from rich.console import Console
from rich.logging import RichHandler
from rich.markup import escape
from rich.progress import Progress
from rich.table import Table

from sifnet import __version__
from sifnet.errors import MOST_SEED, shown
from sifnet.terminal import Commands, complain, err, out, say, show

# Libraries that take seconds to load are imported in the commands that use them, so that
# `--help` and `sifnet inspect` answer at once.
if TYPE_CHECKING:
    import pandas as pd

    from sifnet.batch.run import Job, Outcome


app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Radiance in, map of sun-induced fluorescence out.\n\n"
    "Try it on a small flight line, made and mapped in seconds:\n\n"
    "    sifnet demo\n\n"
    "Then on a line of your own:\n\n"
    "    sifnet inspect line.hdr\n\n"
    "    sifnet retrieve line.hdr -o maps",
)

ScenePaths = Annotated[
    list[Path],
    typer.Argument(
        metavar="SCENE...",
        help="HyPlant: ENVI header or its folder. DESIS: folder, zip or GeoTIFF as downloaded. "
        "FloX: CSV, npz or folder of a series. Or a folder of these, or a quoted pattern.",
    ),
]
Output = Annotated[Path, typer.Option("--output", "-o", help="Folder, made if need be.")]
Sensor = Annotated[
    str | None,
    typer.Option(help="hyplant, flox, desis, flex or enmap; recognised from the files by default."),
]
Place = Annotated[
    str | None,
    typer.Option(metavar="LAT,LON,METRES", help="Where a FloX stands; else `site.json` says it."),
]
Air = Annotated[
    Path | None,
    typer.Option(help="atmosphere.nc of the scene, as `atmorep-bridge state` makes it."),
]
Device = Annotated[str, typer.Option(help="cpu, cuda, or auto: what is there.")]


def _version(wanted: bool) -> None:
    if wanted:
        out.print(f"sifnet {__version__}", highlight=False)
        raise typer.Exit


@app.callback()
def _all(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Say more.")] = False,
) -> None:
    level, quiet = (logging.INFO, logging.WARNING) if verbose else (logging.WARNING, logging.ERROR)
    handler = RichHandler(console=err, show_path=False, show_time=False)
    logging.basicConfig(level=level, format="%(message)s", handlers=[handler])
    for library in ("lightning.pytorch", "lightning.fabric", "rasterio"):
        logging.getLogger(library).setLevel(quiet)


@app.command()
def demo(
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder, made if need be.")] = Path(
        "sifnet_demo"
    ),
) -> None:
    """Make a small flight line with known truth, map it, and show the picture: a first try.

    Its light is made by the same emulator that the map is sought with, plus sensor noise, smile and
    varying aerosol: enough to see what comes out, and no proof of accuracy.

    Example: `sifnet demo -o first_try`
    """
    from sifnet.batch.run import Job
    from sifnet.evaluation.evaluate import evaluate
    from sifnet.simulation.simulate import simulate

    scene = simulate("hyplant", output, lines=64, samples=64, quick=True)
    say(f"scene: {scene}, truth: {output / 'truth.nc'}")
    (product,) = _map(Job(output, command=_command()), [scene])
    score = evaluate(product, output / "truth.nc").iloc[0]
    say(
        f"against its truth: bias {score.bias:+.2f}, RMSE {score.rmse:.2f}, bare soil "
        f"{score.soil_mean:+.2f} mW m-2 nm-1 sr-1. The light is our own emulator's: expect more "
        "error from real light."
    )
    say(f"picture: {product.with_suffix('.png')}")
    show(product.with_suffix(".png"))


@app.command()
def fit(
    scenes: ScenePaths,
    output: Output,
    sensor: Sensor = None,
    atmosphere: Air = None,
    model: Annotated[
        Path | None,
        typer.Option("--model", "-m", help="Checkpoint to start from; else the one that ships."),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(help="YAML; `sifnet.Training` has all."),
    ] = None,
    device: Annotated[str | None, typer.Option(help="cpu, cuda or auto; else as set.")] = None,
    devices: Annotated[int | None, typer.Option(min=1, help="How many, on each node.")] = None,
    precision: Annotated[str | None, typer.Option(help="32-true, bf16-mixed, ...")] = None,
    strategy: Annotated[str | None, typer.Option(help="auto, ddp, fsdp, ...")] = None,
) -> None:
    """Adapt a model to scenes of one sensor, by their own radiance, and map them.

    Writes `model.ckpt`, `report.html`, and for every scene what `sifnet retrieve` writes. An
    interrupted fit goes on from its last epoch when called again.

    Example: `sifnet fit 20200625-OEN-1132-0600-L1-S-FLUO_radiance.hdr -o out`
    """
    from sifnet.batch.find import find
    from sifnet.batch.run import Job, load

    load()
    from sifnet.product.report import write_report
    from sifnet.product.retrieve import read_atmosphere
    from sifnet.scenes import open_scene
    from sifnet.training import fit as training
    from sifnet.training.config import Config, read_config
    from sifnet.training.resume import is_first_process

    settings = (read_config(config) if config else Config()).training
    options = {"device": device, "devices": devices, "precision": precision, "strategy": strategy}
    settings = replace(settings, **{n: v for n, v in options.items() if v is not None})  # type: ignore[arg-type]
    air = read_atmosphere(atmosphere)
    paths, refused = find(scenes)
    if refused:
        raise next(iter(refused.values()))
    training.fit(
        [open_scene(path, sensor=sensor) for path in paths],
        output,
        config=settings,
        start_model=model,
        atmosphere=air,
        progress=err.is_terminal,
        keep_note=True,
    )
    if is_first_process():
        job = Job(output, output / "model.ckpt", sensor, atmosphere, _command(),
                  device="cpu" if settings.device == "cpu" else "auto")  # fmt: skip
        products = _map(job, paths)
        report = write_report(products, output / "report.html", log=output / "log" / "metrics.csv")
        (output / training.NOTE).unlink(missing_ok=True)
        say(f"report: {report}")


@app.command()
def retrieve(
    scenes: ScenePaths,
    output: Output,
    model: Annotated[
        Path | None,
        typer.Option("--model", "-m", help="Checkpoint of `sifnet fit`; else the one that ships."),
    ] = None,
    sensor: Sensor = None,
    site: Place = None,
    atmosphere: Air = None,
    labels: Annotated[
        Path | None, typer.Option(help="DESIS L2A product whose quality layer knows the air.")
    ] = None,
    workers: Annotated[int, typer.Option(min=1, help="Scenes at the same time, 2 GiB each.")] = 1,
    scheduler: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="Dask cluster that does the work.")
    ] = None,
    aggregate: Annotated[
        int | None,
        typer.Option(min=0, help="Pixels a side of block means; else 10 from space, 0: none."),
    ] = None,
    overwrite: Annotated[bool, typer.Option(help="Also what is there already.")] = False,
    cog: Annotated[bool, typer.Option(help="Also GeoTIFFs, cloud-optimised.")] = False,
    device: Device = "auto",
) -> None:
    """Map scenes with a model, pre-trained or fitted; what is there already is skipped.

    A FloX series needs no model: its whole emission comes with both oxygen bands, peaks, integral
    quantum efficiency and hourly means, each with its uncertainty.

    A scene is a file, a folder, a zip as it was downloaded, a folder of these or a quoted pattern.
    One that is refused does not stop the others: `failures.json` names it, and the exit code is 2.
    Kill it at any time: the same command goes on. `index.html` shows all that the folder holds.

    Example: `sifnet retrieve line1.hdr -o maps`

    Example: `sifnet retrieve downloads -m out/model.ckpt -o maps --workers 2`
    """
    from sifnet.batch.run import Job

    job = Job(output, model, sensor, atmosphere, _command(), overwrite=overwrite, cog=cog,
              labels=labels, aggregate=aggregate, site=site, device=device)  # fmt: skip
    _map(job, scenes, workers, scheduler)


@app.command()
def report(
    products: Annotated[
        list[Path], typer.Argument(metavar="PRODUCT.nc...", help="`<scene>_sif.nc`")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="Page to write.")] = Path(
        "report.html"
    ),
) -> None:
    """Write the page to judge maps by: why every value is what it is, without any network.

    Example: `sifnet report maps/line1_sif.nc -o line1.html`
    """
    from sifnet.product.report import write_report

    say(f"report: {write_report(products, output)}")


@app.command()
def remake(
    product: Annotated[Path, typer.Argument(metavar="PRODUCT.nc", help="`<scene>_sif.nc`")],
    output: Output,
) -> None:
    """Make a product once more from its own attributes, and compare the two bit for bit.

    Scene, model and atmosphere must be where they were, unchanged: their checksums are compared.
    The exit code is 1 if a value differs.

    Example: `sifnet remake maps/line1_sif.nc -o again`
    """
    from sifnet.batch.remake import differences, other_machine
    from sifnet.batch.remake import remake as make

    made = make(product, output, _command())
    differ = differences(product, made)
    say(f"map: {made}, {'not ' if differ else ''}the same as {product} in all its values")
    if differ:
        other = other_machine(product)
        say(f"other values: {', '.join(differ)}" + (f"; it was made with {other}" if other else ""))
        raise typer.Exit(1)


@app.command()
def simulate(
    sensor: Annotated[str, typer.Option(help="hyplant, flox, desis or flex.")],
    output: Output,
    lines: Annotated[int, typer.Option(min=1, help="Lines, or measurements of FloX.")] = 96,
    samples: Annotated[int, typer.Option(min=1, help="Pixels across track.")] = 96,
    seed: Annotated[
        int, typer.Option(min=0, max=MOST_SEED, help="The same seed gives the same scene.")
    ] = 0,
    level: Annotated[str, typer.Option(help="Of a DESIS product: L1B or L1C.")] = "L1C",
    zipped: Annotated[bool, typer.Option("--zip", help="A DESIS product as downloaded.")] = False,
    quick: Annotated[
        bool, typer.Option(help="A flight line by the emulator, in a second, without the extra.")
    ] = False,
    red: Annotated[
        bool, typer.Option(help="The O2 B band of hyplant or flex too, at twice the time.")
    ] = False,
) -> None:
    """Simulate a scene in its sensor's own format, by full radiative transfer, with `truth.nc`.

    Needs the extra: `pip install 'sifnet[build]'`, but for --quick, whose light is the
    retrieval's own.

    Example: `sifnet simulate --sensor hyplant -o sim --lines 64 --samples 64 --seed 3`
    """
    from sifnet.simulation import simulate as simulation

    scene = simulation.simulate(
        sensor, output, lines=lines, samples=samples, seed=seed, level=level, zipped=zipped,
        quick=quick, red=red,
    )  # fmt: skip
    say(f"scene: {scene}\ntruth: {output / 'truth.nc'}")


@app.command()
def evaluate(
    product: Annotated[Path, typer.Argument(metavar="PRODUCT.nc", help="`<scene>_sif.nc`")],
    truth: Annotated[Path, typer.Option(help="`truth.nc` with sif_760, on the same grid.")],
    baselines: Annotated[
        bool,
        typer.Option(help="Also NDVI, 3FLD, iFLD, SFM, optimal estimation, and the limits."),
    ] = False,
) -> None:
    """Score a product against the truth: bias, RMSE, r2, bare soil, calibration.

    With --baselines also other methods on the same pixels, how close each comes to the least
    possible error, and its speed: some minutes for a flight line.

    Writes `<product>_evaluation.csv` and `.png` beside the product.

    Example: `sifnet evaluate out/line_sif.nc --truth sim/truth.nc --baselines`
    """
    from sifnet.evaluation.evaluate import COLUMNS, compare

    comparison = compare(product, truth, baselines=baselines, progress=err.is_terminal)
    _print_figures(comparison.table(), COLUMNS, "SIF at 760 nm against truth, mW m-2 nm-1 sr-1",
                   "method", ("n", "spectra_per_second"))  # fmt: skip
    for path in comparison.save(product):
        say(str(path))


@app.command()
def compare(
    first: Annotated[Path, typer.Argument(metavar="A.nc", help="`<scene>_sif.nc`")],
    second: Annotated[Path, typer.Argument(metavar="B.nc", help="Another of the same ground.")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Picture, PNG; else beside B.")
    ] = None,
) -> None:
    """Compare two products pixel by pixel: bias, RMSE, r, and within what both state of themselves.

    Products on different grids of one map projection are compared by the nearest pixel. Writes a
    picture: both maps, their difference, one against the other.

    Example: `sifnet compare line_0930_sif.nc line_1130_sif.nc`
    """
    from sifnet.evaluation.compare import COLUMNS, compare

    difference = compare(first, second)
    table = difference.table()
    title = "SIF, B minus A, mW m-2 nm-1 sr-1"
    _print_figures(table, COLUMNS, title, "quantity", ("n",))
    for letter, name in zip("AB", difference.names, strict=True):
        say(f"{letter}: {name}")
    for note in difference.notes:
        say(f"note: {note}")
    path = output or second.with_name(f"{second.stem}_compared.png")
    say(str(difference.save(path, str(table.index[0]))))


@app.command()
def series(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of products.")],
    fields: Annotated[
        Path | None, typer.Option(help="Polygons: GeoJSON, GeoPackage or Shapefile.")
    ] = None,
    quantity: Annotated[str, typer.Option(help="sif_760 or sif_740.")] = "sif_760",
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Folder of table and picture; else DIR.")
    ] = None,
) -> None:
    """Fluorescence of fields over repeated lines, each mean with its uncertainty.

    The error of a mean counts what all pixels of a line share: no number of pixels reduces it.
    Without polygons the whole of every product is one field. Needs the extra for polygons:
    `pip install 'sifnet[fields]'`. Writes `series.csv` and `series.png`.

    Example: `sifnet series maps --fields fields.geojson -o series`
    """
    from sifnet.evaluation.series import QUANTITIES, save_series, series

    if quantity not in QUANTITIES:
        raise typer.BadParameter(f"one of {', '.join(QUANTITIES)}", param_hint="--quantity")
    found = series(folder, fields, quantity=quantity)
    table = Table(title=f"{quantity}, mW m-2 nm-1 sr-1", title_justify="left", box=SIMPLE,
                  padding=(0, 1, 0, 0))  # fmt: skip
    for name in ("field", "time", "scene"):
        table.add_column(name, overflow="fold")
    for name in ("pixels", "trusted", "SIF", "± 1 σ", "of it shared"):
        table.add_column(name, justify="right", no_wrap=True)
    for row in found.to_dict("records"):
        when, means = f"{row['time']:%Y-%m-%d %H:%M}", [str(name) for name in found][-3:]
        table.add_row(escape(row["field"]), when, escape(row["scene"]), f"{row['pixels']:,}",
                      f"{row['trusted']:.0%}", *(f"{row[name]:.3f}" for name in means))  # fmt: skip
    out.print(table, highlight=False)
    for note in found.attrs["notes"]:
        say(f"note: {note}")
    for path in save_series(found, output or folder, quantity):
        say(str(path))


@app.command()
def inspect(
    scene: Annotated[Path, typer.Argument(metavar="SCENE", help="As for `sifnet fit`, and more.")],
    sensor: Sensor = None,
    site: Place = None,
) -> None:
    """Show what the reader understood and assumed, where the lines are, and what does not fit.

    Example: `sifnet inspect 20200625-OEN-1132-0600-L1-S-FLUO_radiance.hdr`
    """
    from sifnet.scenes import open_scene
    from sifnet.scenes.adjacency import without_adjacency
    from sifnet.scenes.consistency import examine
    from sifnet.scenes.registration import registered
    from sifnet.scenes.site import stated

    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    acquisition = without_adjacency(registered(open_scene(scene, sensor=sensor, **stated(site))))
    for label, value in acquisition.describe():
        table.add_row(label, value)
    out.print(table, highlight=False)
    for finding in examine(acquisition):
        out.print(f"[bold yellow]warning:[/] {escape(str(finding))}", highlight=False,
                  soft_wrap=True)  # fmt: skip


@app.command()
def pretrain(
    output: Annotated[Path, typer.Option("--output", "-o", help="Checkpoint to write.")],
    sensor: Annotated[str, typer.Option(help="Whose nominal bands are simulated.")] = "hyplant",
    steps: Annotated[int, typer.Option(min=1, help="Of the optimiser; 9 a second.")] = 12_000,
    seed: Annotated[
        int, typer.Option(min=0, max=MOST_SEED, help="Of weights and simulations.")
    ] = 0,
    device: Device = "cpu",
    devices: Annotated[int, typer.Option(min=1, help="How many, on each node.")] = 1,
    strategy: Annotated[str, typer.Option(help="auto, ddp, ...")] = "auto",
) -> None:
    """Train a start model on simulations over the whole range of the emulator.

    Kill it at any time: the same command goes on from the last 250 steps. This made the model
    that ships: `sifnet pretrain -o model_hyplant.ckpt`
    """
    from sifnet.training.pretrain import pretrain as train
    from sifnet.training.resume import is_first_process

    written = train(sensor, output, steps=steps, seed=seed, device=device, devices=devices,
                    strategy=strategy, progress=err.is_terminal)  # fmt: skip
    if is_first_process():
        say(f"model: {written}")


@app.command()
def build_emulator(
    database: Annotated[Path, typer.Argument(help="Folder of full radiative transfer runs.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of the emulators.")],
    states: Annotated[int, typer.Option(min=16, help="Atmospheres, about 1 s each.")] = 2000,
    workers: Annotated[int, typer.Option(min=1, help="Processes.")] = 2,
    seed: Annotated[int, typer.Option(min=0, max=MOST_SEED, help="Of the sequence of states.")] = 0,
    resume: Annotated[bool, typer.Option(help="Go on with the states that are there.")] = False,
    red: Annotated[bool, typer.Option(help="Of the O2 B band, in place of the A band.")] = False,
) -> None:
    """Rebuild the emulators from full radiative transfer.

    Needs the extra: `pip install 'sifnet[build]'`. Kill it at any time: with --resume it goes on.

    Example: `sifnet build-emulator database -o data --states 2000 --workers 8 --resume`
    """
    from sifnet.physics.full import build
    from sifnet.physics.windows import FAR_RED, RED

    for text in build.build_emulator(database, output, states, workers, seed, resume=resume,
                                     window=RED if red else FAR_RED):  # fmt: skip
        say(text)


def main() -> None:
    """Entry point of the ``sifnet`` command."""
    app()


def _map(job: Job, scenes: list[Path], workers: int = 1, address: str | None = None) -> list[Path]:
    """Map scenes, say what became of each, and write the index; exit code 2 if one failed."""
    from sifnet.batch.index import write_index
    from sifnet.batch.run import run

    outcomes: list[Outcome] = []
    # Lines that go into a file or a pipe are not the progress bar's to show.
    with Progress(console=err, transient=True, disable=not err.is_terminal,
                  redirect_stdout=out.is_terminal) as bar:  # fmt: skip
        for outcome in run(job, scenes, workers, scheduler=address, progress=bar):
            outcomes.append(outcome)
            if outcome.error is not None:
                complain(outcome.error)
            else:
                say(f"map: {outcome.note}" if outcome.statistics else outcome.note)
    if len(outcomes) > 1:
        _print_outcomes(outcomes)
    say(f"index: {write_index(job.output)}")
    if any(outcome.error is not None for outcome in outcomes):
        raise typer.Exit(2)
    return [outcome.product for outcome in outcomes if outcome.product is not None]


def _print_figures(
    table: pd.DataFrame, columns: dict[str, str], title: str, rows: str, whole: tuple[str, ...]
) -> None:
    """Rows whole even where a terminal is narrow, and what their columns mean.

    Args:
        columns: what each means. rows: what they are. whole: columns of whole numbers.
    """
    shown = Table(title=title, title_justify="left", box=SIMPLE, padding=(0, 1, 0, 0))
    table = table.dropna(axis="columns", how="all")
    meanings = Table(show_header=False, box=None, style="dim", padding=(0, 1, 0, 0))
    shown.add_column(rows, no_wrap=True)
    for name in table.columns:
        header = str(name).replace("_", " ").replace(" over ", " / ")
        shown.add_column("\n".join(wrap(header, 12)), justify="right", vertical="bottom")
        meanings.add_row(header, columns[str(name)])
    for method, row in table.iterrows():
        cells = [f"{v:,.0f}" if name in whole else f"{v:.3f}" for name, v in row.items()]
        shown.add_row(str(method), *("" if cell == "nan" else cell for cell in cells))
    Console(width=max(out.width, 160)).print(shown, meanings, highlight=False)


def _print_outcomes(outcomes: list[Outcome]) -> None:
    """A row a scene, the figures of those mapped now."""
    table = Table(title="SIF at 760 nm of trusted pixels, mW m-2 nm-1 sr-1", box=SIMPLE,
                  title_justify="left", padding=(0, 1, 0, 0))  # fmt: skip
    wide = max(out.width, 80)  # with which all other columns are whole
    # A name is cut in its middle, where names of products are alike, and never broken.
    table.add_column("scene", no_wrap=True)
    table.add_column("outcome", no_wrap=True)
    for name in ("pixels", "trusted", "mean", "seconds"):
        table.add_column(name, justify="right", no_wrap=True)
    for outcome in outcomes:
        forms = {"pixels": "{:,.0f}", "trusted": "{:.1%}", "sif_760_mean": "{:.3f}"}
        figures = outcome.statistics
        cells = [form.format(figures[name]) if figures else "" for name, form in forms.items()]
        state = f"[bold red]{outcome.state}[/]" if outcome.error else outcome.state
        took = f"{outcome.seconds:.1f}" if outcome.seconds else ""
        name = shown(outcome.scene.name)
        table.add_row(escape(_shortened(name, wide - 55)), state, *cells, took)
    Console(width=wide).print(table, highlight=False)


def _shortened(name: str, most: int) -> str:
    """A name of at most as many characters (12 at least), the middle left out."""
    most = max(most, 12)
    half = (most - 1) // 2
    return name if len(name) <= most else f"{name[: most - half - 1]}…{name[-half:]}"


def _command() -> str:
    return shlex.join(["sifnet", *sys.argv[1:]])


if __name__ == "__main__":
    main()
