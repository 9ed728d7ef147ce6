"""Freed memory goes back to the system, so that a long line needs no more than a short one."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from contextlib import suppress

EVERY = 512  # lines


def give_back() -> None:
    """What is free between what is in use: glibc keeps it, half a GiB after 4000 lines."""
    with suppress(OSError, AttributeError):  # no glibc
        ctypes.CDLL(None).malloc_trim(0)


def giving_back(done: Callable[[int], None]) -> Callable[[int], None]:
    """``done``, told of finished lines, with memory given back after every ``EVERY`` of them."""
    passed = 0

    def told(lines: int) -> None:
        nonlocal passed
        passed += lines
        if passed >= EVERY:
            passed = 0
            give_back()
        done(lines)

    return told
