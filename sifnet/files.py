"""Files, once for everybody: what ships, writing whole or not at all, checkpoints, checksums."""

from __future__ import annotations

import glob
import hashlib
import os
import platform
import re
import stat
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any
from zipfile import BadZipFile, ZipFile

from sifnet.errors import SifnetError, out_of_memory

CHECKPOINT_FORMAT = 2
MOST_TEXT = 64 * 2**20  # bytes of a file of words that is read whole; real ones have 1 or 2 MB
STATISTICS = "statistics"  # of a checkpoint, where NaN says that nothing is known
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


def regular(path: str | Path, most: int | None = None) -> Path:
    """The path, unless what is there has no end, or is too large to be read whole.

    Where nothing is there, whoever opens it says so.

    Args:
        most: bytes.

    Raises:
        SifnetError: a pipe, device, socket or folder in place of a file; more bytes than that.
    """
    path = Path(path)
    try:
        there = path.stat()
    except (OSError, ValueError):
        return path
    if not stat.S_ISREG(there.st_mode):
        kinds = {stat.S_IFDIR: "a folder", stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket"}
        raise SifnetError(
            "this is no file",
            found=kinds.get(stat.S_IFMT(there.st_mode), "a device"),
            expected="a regular file",
            remedy="Copy its content into a file.",
            file=path,
        )
    if most is not None and there.st_size > most:
        raise SifnetError(
            "the file is far too large for what it should be",
            found=f"{there.st_size} bytes",
            expected=f"at most {most}",
            remedy="Check that it is the right file.",
            file=path,
        )
    return path


@contextmanager
def whole(path: str | Path) -> Iterator[Path]:
    """A name to write to in the same folder, which becomes ``path`` only when all went well.

    Raises:
        SifnetError: the folder or the file cannot be written.
    """
    path = Path(path)
    with scratch(path) as partial:
        yield partial
        partial.replace(path)


@contextmanager
def scratch(path: str | Path) -> Iterator[Path]:
    """A name beside ``path`` that is this process's own; what is left there is removed.

    So is what killed processes left of the same.

    Raises:
        SifnetError: the folder or the file cannot be written.
    """
    path = Path(path)
    owner = f"{platform.node()}.{os.getpid()}"
    partial = path.with_name(f".{path.stem}.{owner}.partial{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _sweep(path.parent, f".{glob.escape(path.stem)}.*.partial{path.suffix}")
        yield partial
    except (OSError, RuntimeError) as error:
        # HDF5 that cannot write raises no OSError.
        if isinstance(error, OSError) or re.search("write failed|flush|HDF error", str(error)):
            raise unwritable(path, error) from error
        raise
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)


def sweep(folder: Path) -> None:
    """Remove what killed processes left half written: their partial files."""
    for inside in (folder, folder / "thumbnails"):
        _sweep(inside, ".*.partial*")


def _sweep(folder: Path, pattern: str) -> None:
    for path in folder.glob(pattern):
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


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Keep other processes from training or computing in the same folder at the same time.

    Raises:
        SifnetError: another process is at it.
    """
    with _locked(folder / ".lock", wait=False) as owner:
        if owner is not None:
            raise SifnetError(
                "another process is at work in this folder",
                found=owner or "its lock",
                expected="one at a time",
                remedy="Wait until it has finished, or choose another output.",
                file=folder,
            )
        yield


@contextmanager
def in_turn(folder: Path) -> Iterator[None]:
    """Wait while another process changes a file of the folder that both keep."""
    with _locked(folder / ".turn", wait=True):
        yield


@contextmanager
def _locked(path: Path, *, wait: bool) -> Iterator[str | None]:
    """Hold a lock; who does, if somebody else and it is not waited for.

    A process that is killed holds nothing. Where a file system knows no locks, there is none.
    """
    try:
        import fcntl
    except ImportError:  # on Windows
        yield None
        return
    while True:
        with path.open("a+", encoding="utf-8") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            except BlockingIOError:
                file.seek(0)
                yield file.read()
                return
            except OSError:
                yield None
                return
            if not path.exists() or path.stat().st_ino != os.fstat(file.fileno()).st_ino:
                continue  # the one before has removed it: nobody else will see this one
            file.truncate(0)
            file.write(f"process {os.getpid()} on {platform.node()}")
            file.flush()
            try:
                yield None
            finally:
                path.unlink(missing_ok=True)
            return


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
        raise unwritable(folder, error) from error


def unwritable(path: Path, error: Exception) -> SifnetError:
    """The sentence for what the system says of a file or folder."""
    reason = error.strerror if isinstance(error, OSError) else None
    return SifnetError(
        "the output cannot be written",
        found=reason or str(error),
        expected="a folder with write permission and space",
        remedy="Choose another output folder.",
        command="Choose another output folder with -o.",
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
        _refuse_damaged(regular(path))
        content = torch.load(path, weights_only=True, map_location="cpu")
        stated = {name: content.pop(name, None) for name in ("kind", "format")}
        if stated != {"kind": kind, "format": CHECKPOINT_FORMAT}:
            raise ValueError("a checkpoint of {kind}, format {format}".format(**stated))
        _refuse_unfinite(content, path, made_by)
        yield content
    except SifnetError:
        raise
    except Exception as error:
        if (told := out_of_memory(error)) is not None:
            raise told from error
        raise SifnetError(
            "this is not a readable model",
            found=f"{type(error).__name__}: {error}".split("\n")[0],
            expected=f"a checkpoint of {kind}, format {CHECKPOINT_FORMAT}, that `{made_by}` wrote",
            remedy=f"Make it again with `{made_by}`.",
            file=path,
        ) from error


def _refuse_damaged(path: Path) -> None:
    """Torch does not look at the checksums that it writes: flipped bits would become weights."""
    with ZipFile(path) as archive:
        if damaged := archive.testzip():
            raise ValueError(f"{damaged} is not what was written")


def _refuse_unfinite(content: object, path: str | Path, made_by: str) -> None:
    """With such weights every scene would seem to be at fault."""
    import torch

    def tensors(part: Any, name: str) -> Iterator[tuple[str, torch.Tensor]]:
        if isinstance(part, torch.Tensor):
            yield name, part
        elif isinstance(part, Mapping):
            for key, value in part.items():
                yield from tensors(value, f"{name}.{key}".strip("."))

    for name, values in tensors(content, ""):
        if name.startswith(STATISTICS) or torch.isfinite(values).all():
            continue
        raise SifnetError(
            "the model has weights that are not finite",
            found=f"{int((~torch.isfinite(values)).sum())} of {values.numel()} in {name}",
            expected="numbers",
            remedy=f"Make it again with `{made_by}`; its training failed, or the file is damaged.",
            file=path,
        )


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
        with np.load(regular(path), allow_pickle=False) as stored:
            yield stored
    except SifnetError:
        raise
    except (OSError, EOFError, ValueError, KeyError, RuntimeError, TypeError, BadZipFile) as error:
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
