"""Checks the shapes that signatures state (jaxtyping), and nothing else, in the test run."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from jaxtyping import AbstractArray


def checked(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function that refuses arrays of other shapes than it states, as arguments or result."""
    try:
        hints = get_type_hints(function)
    except NameError:  # a name that only a type checker sees
        return function
    stated = {name: arrays for name, hint in hints.items() if (arrays := _arrays(hint))}
    if not stated:
        return function
    signature = inspect.signature(function)

    @wraps(function)
    def checking(*args: Any, **kwargs: Any) -> Any:
        for name, value in signature.bind(*args, **kwargs).arguments.items():
            _check(function, name, value, stated.get(name))
        result = function(*args, **kwargs)
        _check(function, "the result", result, stated.get("return"))
        return result

    return checking


def _arrays(hint: Any) -> Any:
    """What is an array in a hint: the hint, a tuple of such for each element, None for none.

    A list holds what it may be instead, as of a union of tensor and array.
    """
    if get_origin(hint) in (Union, UnionType):
        parts = [part for part in map(_arrays, get_args(hint)) if part]
        return parts if len(parts) > 1 else next(iter(parts), None)
    if get_origin(hint) is tuple:
        parts = tuple(_arrays(part) for part in get_args(hint))
        return parts if any(parts) else None
    return hint if isinstance(hint, type) and issubclass(hint, AbstractArray) else None


def _check(function: Callable[..., Any], what: str, value: Any, stated: Any) -> None:
    if stated is None or value is None:
        return
    if isinstance(stated, tuple):
        for part, hint in zip(value, stated, strict=True):
            _check(function, what, part, hint)
        return
    hints = stated if isinstance(stated, list) else [stated]
    if not any(isinstance(value, hint) for hint in hints):
        shape, names = tuple(getattr(value, "shape", ())), " or ".join(h.__name__ for h in hints)
        raise TypeError(f"{function.__qualname__}: {what} is {shape}, not {names}")
