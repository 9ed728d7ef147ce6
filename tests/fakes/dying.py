"""What workers do in tests, in a module that they load at once."""

import os
import sys
from pathlib import Path


def dies(path: Path) -> str:
    if path.name == "bad":
        os._exit(1)
    return path.name


def finds_loaded(path: Path) -> bool:
    """Whether a worker has its library before it asks for it, with the settings of a worker."""
    return path.name in sys.modules and os.environ["MALLOC_ARENA_MAX"] == "1"
