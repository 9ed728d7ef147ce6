"""Arrays of a file that read, and scale, a window when it is asked for, and nothing before."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from xarray.core.indexing import LazilyIndexedArray


class Window:
    """An array (line, sample, ...) in a file; it pickles, and holds nothing that it has read.

    Attributes:
        shape, dtype: of what is read.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    def read(self, key: tuple[Any, ...]) -> NDArray[Any]:
        """Values at an index for every axis: an integer, a slice, or for one of them a list."""
        raise NotImplementedError

    def lazy(self, last: slice = slice(None)) -> LazilyIndexedArray:
        """As data of a variable of xarray; of its last axis a part, in an order."""
        # Loads xarray: a command that has nothing left to do asks readers for names alone.
        from sifnet.scenes.formats.indexed import Indexed

        part = (slice(None),) * (len(self.shape) - 1) + (last,)
        return Indexed(self.shape, self.dtype, self.read).lazy(part)


class Scaled(Window):
    """gain x number + offset as float32; NaN where the number is ``ignore``."""

    dtype = np.dtype(np.float32)

    def __init__(self, numbers: Window, gain: Any, offset: Any, ignore: float | None) -> None:
        self.numbers, self.shape = numbers, numbers.shape
        self.gain, self.offset, self.ignore = np.float32(gain), np.float32(offset), ignore

    def read(self, key: tuple[Any, ...]) -> NDArray[np.float32]:
        numbers = self.numbers.read(key)
        bands = self.shape[-1:]
        gain, offset = (np.broadcast_to(v, bands)[key[-1]] for v in (self.gain, self.offset))
        radiance = numbers * gain
        radiance += offset
        if self.ignore is not None:
            radiance[numbers == self.ignore] = np.nan
        return np.asarray(radiance, dtype=np.float32)


class Saturation(Window):
    """(line, sample): flags of masks, and one where a band holds the largest number."""

    dtype = np.dtype(np.uint16)

    def __init__(self, numbers: Window, largest: int, flag: int, masks: Any = np.uint16(0)) -> None:
        self.numbers, self.largest, self.flag = numbers, largest, np.uint16(flag)
        self.shape = numbers.shape[:2]
        self.masks = np.broadcast_to(masks, self.shape)

    def read(self, key: tuple[Any, ...]) -> NDArray[Any]:
        full = (self.numbers.read((*key, slice(None))) >= self.largest).any(axis=-1)
        return np.asarray(self.masks[key] | full * self.flag)
