"""What workers do in tests, in a module that they load at once."""

import os
import sys
import time
from pathlib import Path


def dies(path: Path) -> str:
    if path.name == "bad":
        os._exit(7)
    return path.name


def grows(path: Path) -> int:
    """To as many MB as the path is called; a process that is too large is soon ended."""
    taken = b"1" * (int(path.name) * 10**6)
    time.sleep(60 if len(taken) > 10**9 else 0)
    return int(path.name)


def tells_who(_: Path) -> int:
    return os.getpid()


def waits(path: Path) -> None:
    """Say who is there, as whole, and stay."""
    partial = path.with_name(f"partial {path.name}")
    partial.write_text(str(os.getpid()))
    partial.rename(path)
    time.sleep(60)


def finds_loaded(path: Path) -> bool:
    """Whether a worker has its library before it asks for it, with the settings of a worker."""
    return path.name in sys.modules and os.environ["OMP_NUM_THREADS"] == "1"
