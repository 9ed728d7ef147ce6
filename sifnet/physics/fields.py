"""The little that all dataclasses of tensors share, and what is known of each of their fields."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import Field, dataclass, field, fields
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from sifnet.errors import SifnetError

Ranges = Mapping[str, tuple[float, float]]


@dataclass(frozen=True)
class Parameter:
    """All that is known of a parameter beforehand, once: in the unit of its field.

    Attributes:
        range: lowest and highest value.
        unit, long_name: as a product states them.
        step: a change that matters, about what a pixel or column can tell.
        prior: mean and standard deviation where nothing else is known; None for none.
        flagged: whether a result at an end of the range is not to be trusted.
    """

    range: tuple[float, float]
    unit: str
    long_name: str
    step: float = 1.0
    prior: tuple[float, float] | None = None
    flagged: bool = True


def parameter(low: float, high: float, unit: str, long_name: str, **facts: Any) -> Any:
    """A field of a dataclass of tensors that is a parameter (see ``Parameter`` for ``facts``)."""
    return field(metadata={"parameter": Parameter((low, high), unit, long_name, **facts)})


@dataclass(frozen=True)
class TensorFields:
    """Base of frozen dataclasses whose fields are tensors, such dataclasses again, or None."""

    def __post_init__(self) -> None:
        for name, value in self.__dict__.items():
            if not isinstance(value, Tensor | TensorFields | None):
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

    @classmethod
    def names(cls) -> tuple[str, ...]:
        """Names of the fields, in their order."""
        return tuple(entry.name for entry in fields(cls))

    @classmethod
    def parameters(cls) -> dict[str, Parameter]:
        """What is known of every field that is a parameter."""
        entries: tuple[Field[Any], ...] = fields(cls)
        return {e.name: e.metadata["parameter"] for e in entries if "parameter" in e.metadata}

    @classmethod
    def steps(cls, like: Tensor) -> Tensor:
        """``field``: the step of every parameter."""
        return like.new_tensor([entry.step for entry in cls.parameters().values()])

    @classmethod
    def unstack(cls, values: Tensor) -> Self:
        """Make one from ``..., field``, the inverse of ``stack``."""
        return cls(*values.unbind(-1))

    def stack(self) -> Tensor:
        """All fields, those of nested parts included, broadcast and stacked: ``..., field``."""
        return torch.stack(torch.broadcast_tensors(*(value for _, value in self.items())), dim=-1)

    def items(self) -> Iterator[tuple[str, Tensor]]:
        """Pairs (field name, tensor), those of nested parts included, None left out."""
        for name in self.names():
            value = getattr(self, name)
            if isinstance(value, TensorFields):
                yield from value.items()
            elif value is not None:
                yield name, value

    def map(self, function: Callable[[Tensor], Tensor]) -> Self:
        """The same with ``function`` applied to every tensor."""
        return type(self).combine(lambda values: function(values[0]), [self])

    @classmethod
    def combine(cls, function: Callable[[list[Tensor]], Tensor], parts: Sequence[Self]) -> Self:
        """One whose tensors are made from the corresponding ones of ``parts``."""
        made: dict[str, Any] = {}
        for name in cls.names():
            values = [getattr(part, name) for part in parts]
            if isinstance(values[0], TensorFields):
                made[name] = type(values[0]).combine(function, values)
            else:
                made[name] = None if values[0] is None else function(values)
        return cls(**made)


def _tensor(value: ArrayLike | Tensor, dtype: torch.dtype) -> Tensor:
    if isinstance(value, Tensor):
        return value.to(dtype)
    return torch.as_tensor(np.asarray(value), dtype=dtype)
