"""One line that shows a training: steps, loss, time left."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

import lightning
from lightning.pytorch.callbacks import Callback
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from sifnet import terminal
from sifnet.training.resume import is_first_process


class Loss(ProgressColumn):
    """The last loss, read when the line is drawn, so that no step waits for its device."""

    def render(self, task: Task) -> Text:
        """Nothing before the first step."""
        loss = task.fields["loss"]
        return Text("" if loss is None else f"loss {float(loss):.3g}")


class Line(Callback):
    """What Lightning tells it, on one line; several trainings one after the other may share it.

    Attributes:
        shared: whether others show and end it (``shown``), not its only training.
    """

    def __init__(self, what: str, steps: int, *, shared: bool = False) -> None:
        self.shared = shared
        self.bar = Progress(
            TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(),
            MofNCompleteColumn(), Loss(), TimeRemainingColumn(),
            console=terminal.err, transient=True,
        )  # fmt: skip
        self.task = self.bar.add_task(what, total=steps, loss=None)

    def on_train_start(self, trainer: lightning.Trainer, _: lightning.LightningModule) -> None:
        """Count the steps that an interrupted training has made before."""
        if trainer.is_global_zero:
            self.bar.start()
        self.bar.advance(self.task, trainer.global_step)

    def on_train_batch_end(
        self, trainer: lightning.Trainer, _: lightning.LightningModule, outputs: Any, *__: Any
    ) -> None:
        """One more step, and its loss."""
        self.bar.update(self.task, advance=1, loss=outputs["loss"])

    def on_train_end(self, *_: Any) -> None:
        """Nothing is left of a line of its own."""
        if not self.shared:
            self.bar.stop()

    def on_exception(self, *_: Any) -> None:
        """The same after an error or an interruption."""
        self.on_train_end()


@contextmanager
def shown(progress: bool, what: str, steps: int) -> Iterator[Line | Literal[False]]:
    """A line for several trainings, while the context lasts; none on devices but the first.

    Args:
        progress: whether to show one.
    """
    if not progress or not is_first_process():
        yield False
        return
    line = Line(what, steps, shared=True)
    with line.bar:
        yield line
