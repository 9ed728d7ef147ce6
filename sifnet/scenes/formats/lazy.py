"""Arrays of a file that read a window when it is asked for, and nothing before."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from xarray.backends import BackendArray
from xarray.core import indexing


class Window(BackendArray):
    """An array (line, sample, ...) in a file; it pickles, and holds nothing that it has read.

    Attributes:
        shape, dtype: of what is read.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    def read(self, key: tuple[Any, ...]) -> NDArray[Any]:
        """Values at an index for every axis: an integer, a slice, or for one of them a list."""
        raise NotImplementedError

    def __getitem__(self, key: indexing.ExplicitIndexer) -> Any:
        support = indexing.IndexingSupport.OUTER_1VECTOR
        return indexing.explicit_indexing_adapter(key, self.shape, support, self.read)

    def lazy(self) -> indexing.LazilyIndexedArray:
        """As data of a variable of xarray."""
        return indexing.LazilyIndexedArray(self)


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
