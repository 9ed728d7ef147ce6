"""What a file is read by, as xarray indexes it; apart, for to load xarray takes half a second."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from xarray.backends import BackendArray
from xarray.core import indexing


class Indexed(BackendArray):
    """An array that xarray may ask for any part of; see ``lazy.Window`` for what reads it."""

    def __init__(
        self,
        shape: tuple[int, ...],
        dtype: np.dtype[Any],
        read: Callable[[tuple[Any, ...]], NDArray[Any]],
    ) -> None:
        self.shape, self.dtype, self.read = shape, dtype, read

    def __getitem__(self, key: indexing.ExplicitIndexer) -> Any:
        support = indexing.IndexingSupport.OUTER_1VECTOR
        return indexing.explicit_indexing_adapter(key, self.shape, support, self.read)

    def lazy(self, key: tuple[slice, ...]) -> indexing.LazilyIndexedArray:
        """A part, of which nothing is read yet."""
        return indexing.LazilyIndexedArray(self, indexing.BasicIndexer(key))
