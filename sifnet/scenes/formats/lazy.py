"""Arrays of a file that read a window when it is asked for."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import dask.array as da


def lazy(window: Any, file: Path, lines: int) -> da.Array:
    """Chunks of whole lines; a name that changes with the file and with what is made of it.

    Args:
        window: array-like whose first axis is line, which reads what it is indexed with.
        lines: of a chunk.
    """
    import dask.array as da
    from dask.base import tokenize

    array: da.Array = da.from_array(  # type: ignore[no-untyped-call]
        window,
        chunks=(lines, *(-1,) * (window.ndim - 1)),
        name=f"{file.name}-{tokenize(window.__dict__, file.stat().st_mtime_ns)}",
        asarray=False,
        meta=np.empty((0,) * window.ndim, dtype=window.dtype),
    )
    return array
