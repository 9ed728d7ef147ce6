"""The emulators that ship, from full radiative transfer to their files."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from rich.progress import Progress, TaskID

from sifnet.errors import SifnetError
from sifnet.files import alone, whole, writable
from sifnet.physics.emulator import SHIPPED
from sifnet.physics.full import database as runs
from sifnet.physics.full.emulator_fit import FitSettings, fit_emulator
from sifnet.physics.full.samples import Samples
from sifnet.physics.windows import FAR_RED, RED, Window

SIZE: dict[Window, dict[str, int]] = {
    FAR_RED: {},
    RED: {"components": 14, "width": 96, "blocks": 2, "epochs": 300},
}
"""Settings of the fit that differ from the usual."""


def build_emulator(
    database: Path,
    output: Path,
    states: int,
    workers: int,
    seed: int,
    *,
    resume: bool,
    window: Window = FAR_RED,
) -> Iterator[str]:
    """Run full radiative transfer, fit each emulator and write it: its file and its error.

    Args:
        database: folder of the runs, one file a state. output: folder of the emulators.
        resume: go on with the states that are there.
        window: of which the emulators are.

    Raises:
        SifnetError: there are states already and it is not to go on, or a folder cannot be written.
    """
    if not resume and any(database.glob("*.npz")):
        raise SifnetError(
            "the database is there already",
            found=f"{sum(1 for _ in database.glob('*.npz'))} files",
            expected="an empty folder",
            remedy="Go on with --resume, or choose another folder.",
            file=database,
        )
    writable(output)
    with alone(writable(database)):
        full = runs.RED_FULL if window == RED else runs.FULL
        runs.build(database, states, workers, seed, full, window)
    for space in (False, True):
        name = SHIPPED[window, space]
        seen, unseen = (
            Samples.read(database, space=space, full=full, window=window) for full in (False, True)
        )
        with Progress(transient=True) as bar:
            show = partial(_show, bar, bar.add_task(name))
            emulator, report = fit_emulator(
                seen, unseen, FitSettings(seed=seed, **SIZE[window]), show
            )
        with whole(output / name) as partial_file:
            emulator.save(partial_file)
        yield f"{output / name}: error {report}"


def _show(bar: Progress, task: TaskID, epoch: int, epochs: int, _: float) -> None:
    bar.update(task, completed=epoch, total=epochs)
