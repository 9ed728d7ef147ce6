"""What both command lines say to a terminal, and how they end."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import typer
from rich.console import Console
from rich.markup import escape
from typer.core import TyperGroup

from sifnet.errors import SifnetError, shown, told_by_system

out, err = Console(), Console(stderr=True)


class Commands(TyperGroup):
    """Bad input is one line and exit code 2, an interruption a sentence and exit code 130."""

    def invoke(self, ctx: Any) -> object:
        """Run a command."""
        try:
            return super().invoke(ctx)
        except SifnetError as error:
            complain(error)
            raise typer.Exit(2) from error
        except (KeyboardInterrupt, SystemExit) as stop:
            # Lightning turns an interruption into an exit of its own.
            if isinstance(stop, SystemExit) and not isinstance(stop.__context__, KeyboardInterrupt):
                raise
            err.print(
                "\ninterrupted: every file that is there is whole. A training keeps its finished "
                "epochs, a database its finished states; the same command goes on from them.",
                soft_wrap=True,
            )
            raise typer.Exit(130) from stop
        except (MemoryError, RuntimeError, OSError, ImportError) as error:
            if (told := told_by_system(error)) is None:
                raise
            sys.stderr.write(f"error: {told.at_terminal}\n")  # colours would take more memory
            raise typer.Exit(2) from None


def complain(error: SifnetError) -> None:
    """Say what is wrong."""
    err.print(f"[bold red]error:[/] {escape(error.at_terminal)}", highlight=False, soft_wrap=True)


def say(text: str) -> None:
    """On one line however narrow the terminal is, so that paths can be copied."""
    out.print(escape(shown(text)), highlight=False, soft_wrap=True)


def show(picture: Path) -> None:
    """Open a picture in the viewer of the desktop, if somebody sits before one."""
    desktop = sys.platform in ("darwin", "win32") or any(
        os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY")
    )
    if out.is_terminal and err.is_terminal and desktop:
        typer.launch(str(picture))
