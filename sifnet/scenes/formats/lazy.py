"""Arrays of a file that read, and scale, a window when it is asked for."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import dask.array as da


class Scaled:
    """gain x number + offset of an array-like, of a window only; NaN where it is ``ignore``."""

    dtype = np.dtype(np.float32)

    def __init__(self, numbers: Any, gain: Any, offset: Any, ignore: float | None) -> None:
        self.numbers, self.shape, self.ndim = numbers, numbers.shape, numbers.ndim
        self.gain, self.offset, self.ignore = np.float32(gain), np.float32(offset), ignore

    def __getitem__(self, key: Any) -> NDArray[np.float32]:
        numbers = self.numbers[key]
        gain, offset = (np.broadcast_to(v, self.shape)[key] for v in (self.gain, self.offset))
        radiance = numbers * gain
        radiance += offset
        if self.ignore is not None:
            radiance[numbers == self.ignore] = np.nan
        return np.asarray(radiance, dtype=np.float32)


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
