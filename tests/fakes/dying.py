"""A scene that ends its worker, in a module that a worker loads at once."""

import os
from pathlib import Path


def dies(path: Path) -> str:
    if path.name == "bad":
        os._exit(1)
    return path.name
