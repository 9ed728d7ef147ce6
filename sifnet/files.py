"""Files, once for everybody: what ships, writing whole or not at all, checkpoints, checksums."""

from __future__ import annotations

import hashlib
import os
import platform
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

from sifnet.errors import SifnetError

CHECKPOINT_FORMAT = 2
STALE = 24 * 3600.0  # s after which a partial file of another machine is nobody's
_SHIPPED = (Path(__file__).parent / "data", Path(__file__).parent.parent / "data")


def data_file(name: str) -> Path:
    """Path of a shipped table, emulator or model: in the wheel, or in ``data/`` of a checkout.

    Raises:
        SifnetError: the file was not shipped with this installation.
    """
    for folder in _SHIPPED:
        if (folder / name).exists():
            return folder / name
    raise SifnetError(
        f"shipped file {name!r} is missing",
        found=f"none in {' or '.join(str(folder) for folder in _SHIPPED)}",
        expected="a file that comes with sifnet",
        remedy="Reinstall sifnet, or run from a complete checkout.",
    )


@contextmanager
def whole(path: str | Path) -> Iterator[Path]:
    """A name to write to in the same folder, which becomes ``path`` only when all went well.

    Raises:
        SifnetError: the folder or the file cannot be written.
    """
    path = Path(path)
    owner = f"{platform.node()}.{os.getpid()}"
    partial = path.with_name(f".{path.stem}.{owner}.partial{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield partial
        partial.replace(path)
    except (OSError, RuntimeError) as error:
        # HDF5 that cannot flush when it closes raises no OSError.
        if isinstance(error, OSError) or re.search("write failed|flush", str(error)):
            raise _unwritable(path, error) from error
        raise
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)


def sweep(folder: Path) -> None:
    """Remove what killed processes left half written: their partial files."""
    for path in folder.glob(".*.partial*"):
        owner = re.search(r"\.([^/]*)\.(\d+)\.partial(\.\w+)?$", path.name)
        if owner is None:
            continue
        with suppress(OSError):
            here = owner[1].endswith(platform.node())
            old = time.time() - path.stat().st_mtime > STALE
            if old or (here and not _alive(int(owner[2]))):
                path.unlink()


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except OSError as error:
        return isinstance(error, PermissionError)
    return True


def writable(folder: str | Path) -> Path:
    """The folder, made if need be, before hours are spent on what goes into it.

    Raises:
        SifnetError: it cannot be written.
    """
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=folder):
            return folder
    except OSError as error:
        raise _unwritable(folder, error) from error


def _unwritable(path: Path, error: Exception) -> SifnetError:
    reason = error.strerror if isinstance(error, OSError) else None
    return SifnetError(
        "the output cannot be written",
        found=reason or str(error),
        expected="a folder with write permission and space",
        remedy="Choose another output folder with -o.",
        file=path,
    )


def save_checkpoint(path: str | Path, kind: str, content: Mapping[str, Any]) -> Path:
    """Write tensors and plain values, which a reader of the same ``kind`` understands.

    Raises:
        SifnetError: the path cannot be written.
    """
    import torch

    with whole(path) as partial:
        try:
            torch.save({"kind": kind, "format": CHECKPOINT_FORMAT, **content}, partial)
        except RuntimeError as error:
            raise OSError(str(error)) from error
    return Path(path)


@contextmanager
def checkpoint(path: str | Path, kind: str, made_by: str) -> Iterator[dict[str, Any]]:
    """What ``save_checkpoint`` wrote: only tensors and plain values are read, no code runs.

    A model is built from it within the context, so that all that may be wrong with a file ends
    in one error.

    Args:
        made_by: the command that writes such a file.

    Raises:
        SifnetError: missing, of another kind or format, damaged, or no model can be built of it.
    """
    import torch

    try:
        content = torch.load(path, weights_only=True, map_location="cpu")
        stated = {name: content.pop(name, None) for name in ("kind", "format")}
        if stated != {"kind": kind, "format": CHECKPOINT_FORMAT}:
            raise ValueError("a checkpoint of {kind}, format {format}".format(**stated))
        yield content
    except SifnetError:
        raise
    except Exception as error:
        raise SifnetError(
            "this is not a readable model",
            found=f"{type(error).__name__}: {error}".split("\n")[0],
            expected=f"a checkpoint of {kind}, format {CHECKPOINT_FORMAT}, that `{made_by}` wrote",
            remedy=f"Make it again with `{made_by}`.",
            file=path,
        ) from error


@contextmanager
def arrays(path: str | Path, problem: str, *, expected: str, remedy: str) -> Iterator[Any]:
    """Arrays of an ``npz`` file by name; no pickle is read.

    What is made of them is made within the context, so that all that may be wrong with a file
    ends in one error.

    Raises:
        SifnetError: ``problem``: missing, damaged, or nothing can be made of it.
    """
    import numpy as np

    try:
        with np.load(path, allow_pickle=False) as stored:
            yield stored
    except (OSError, ValueError, KeyError, RuntimeError, TypeError) as error:
        raise SifnetError(
            problem, found=str(error), expected=expected, remedy=remedy, file=path
        ) from error


def sha256(path: str | Path) -> str:
    """Hexadecimal SHA-256 of a file, read in pieces."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def size_and_time(path: Path) -> str:
    """Bytes and time of change in ns, which tell a file that is as it was without reading it."""
    if not path.is_file():
        return "?"
    stat = path.stat()
    return f"{stat.st_size} {stat.st_mtime_ns}"
