"""The little that all dataclasses of tensors in ``sifnet.physics`` share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from typing import Self

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from sifnet.errors import SifnetError


@dataclass(frozen=True)
class TensorFields:
    """Base of frozen dataclasses whose fields are tensors, or such dataclasses again."""

    def __post_init__(self) -> None:
        for name, value in self.__dict__.items():
            if not isinstance(value, Tensor | TensorFields):
                raise SifnetError(
                    f"{type(self).__name__}.{name} is not a tensor",
                    found=type(value).__name__,
                    expected="torch.Tensor",
                    remedy=f"Use {type(self).__name__}.of(...) to make one from numbers.",
                )

    @classmethod
    def of(cls, *, dtype: torch.dtype | None = None, **values: ArrayLike | Tensor) -> Self:
        """Make one from numbers, arrays or tensors; ``dtype`` defaults to torch's default."""
        dtype = dtype or torch.get_default_dtype()
        return cls(**{name: _tensor(value, dtype) for name, value in values.items()})

    def items(self) -> Iterator[tuple[str, Tensor]]:
        """Pairs (field name, tensor), those of nested parts included."""
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, TensorFields):
                yield from value.items()
            else:
                yield field.name, value

    def map(self, function: Callable[[Tensor], Tensor]) -> Self:
        """The same with ``function`` applied to every tensor."""
        mapped = {}
        for field in fields(self):
            value = getattr(self, field.name)
            nested = isinstance(value, TensorFields)
            mapped[field.name] = value.map(function) if nested else function(value)
        return type(self)(**mapped)


def _tensor(value: ArrayLike | Tensor, dtype: torch.dtype) -> Tensor:
    if isinstance(value, Tensor):
        return value.to(dtype)
    return torch.as_tensor(np.asarray(value), dtype=dtype)
