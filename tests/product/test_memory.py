"""Memory that is free is given back while lines are gone through."""

import ctypes
import resource

import numpy as np
import psutil
import pytest

from sifnet.product import memory


def test_memory_is_given_back_every_few_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    given, told = [], []
    monkeypatch.setattr(memory, "give_back", lambda: given.append(sum(told)))
    done = memory.giving_back(told.append)
    for _ in range(40):
        done(64)
    assert sum(told) == 40 * 64
    assert len(given) == 40 * 64 // memory.EVERY


def test_what_lies_free_between_what_is_used_goes_back() -> None:
    if not hasattr(ctypes.CDLL(None), "malloc_trim"):
        pytest.skip("no glibc")
    pieces = [np.ones(10_000) for _ in range(2000)]  # 160 MB, each too small to be mapped itself
    del pieces[::2]
    kept = pieces[::10]
    del pieces
    before = psutil.Process().memory_info().rss
    memory.give_back()
    assert before - psutil.Process().memory_info().rss > 50e6
    assert kept[0][0] == 1.0


def test_large_arrays_that_follow_each_other_take_the_same_memory() -> None:
    if not hasattr(ctypes.CDLL(None), "mallopt"):
        pytest.skip("no glibc")
    memory.keep()

    def strip() -> None:
        _ = [np.ones(2_000_000) for _ in range(4)]  # 16 MB each, of 3,900 pages

    strip()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(5):
        strip()
    assert resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before < 3900
