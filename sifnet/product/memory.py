"""Freed memory is kept while strips follow each other, and goes back to the system in between.

A page that the system takes back and gives anew costs as much as computing a hundred of its bands.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from contextlib import suppress

EVERY = 512  # lines
LARGEST, KEPT = 1 << 26, 1 << 28  # bytes: of an array of a strip, and of what is free at the end
TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3  # of glibc's malloc.h


def keep() -> None:
    """Do not give back every large array as soon as it is freed, as glibc would."""
    with suppress(OSError, AttributeError):  # no glibc
        libc = ctypes.CDLL(None)
        libc.mallopt(MMAP_THRESHOLD, LARGEST)
        libc.mallopt(TRIM_THRESHOLD, KEPT)


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
