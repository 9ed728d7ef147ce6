"""Where the shipped tables, emulators and models lie: ``data/`` in a checkout, inside the wheel."""

from __future__ import annotations

from pathlib import Path

from sifnet.errors import SifnetError

_FOLDERS = (Path(__file__).parent / "data", Path(__file__).parent.parent / "data")


def data_file(name: str) -> Path:
    """Path of a shipped file.

    Raises:
        SifnetError: the file was not shipped with this installation.
    """
    for folder in _FOLDERS:
        if (folder / name).exists():
            return folder / name
    raise SifnetError(
        f"shipped file {name!r} is missing",
        found=f"none in {' or '.join(str(f) for f in _FOLDERS)}",
        expected="a file that comes with sifnet",
        remedy="Reinstall sifnet, or run from a complete checkout.",
    )
