"""A few of the bad inputs of `make hostile`, one of every kind."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

from conftest import PROJECT


@pytest.mark.slow
def test_bad_inputs_are_refused_or_make_the_map_they_should(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(PROJECT / "tests" / "benchmarks")
    hostile = importlib.import_module("hostile")
    inputs = importlib.import_module("hostile_inputs")
    with hostile._quick():
        verdicts = list(hostile.judged(inputs.Goods(tmp_path), seed=2, share=0.1))
    bad = [(c.told, v.detail) for c, v in verdicts if v.state in hostile.STATES[4:]]
    assert len(verdicts) > 40
    assert not bad, bad


def test_a_map_that_differs_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(PROJECT / "tests" / "benchmarks")
    hostile = importlib.import_module("hostile")
    from fakes.products import fake_maps, fake_scene, finish, write

    maps = fake_maps()
    usual = write(finish(maps, fake_scene()), tmp_path / "usual_sif.nc")
    other = write(finish(maps.assign(sif_760=maps["sif_760"] + 0.7), fake_scene()),
                  tmp_path / "other_sif.nc")  # fmt: skip
    assert hostile.difference(usual, usual) == 0
    assert hostile.difference(other, usual) == pytest.approx(0.7, abs=1e-3)
