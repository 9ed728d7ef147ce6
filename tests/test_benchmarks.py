"""The benchmarks' harness, and that every script still finds what it measures."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from conftest import PROJECT
from sifnet.physics.full.spectroscopy import absorption_cross_section

BENCHMARKS = PROJECT / "tests" / "benchmarks"
SCRIPTS = [path.stem for path in sorted(BENCHMARKS.glob("*.py"))]


@pytest.fixture
def harness(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ModuleType:
    """With ``docs`` of its own."""
    monkeypatch.syspath_prepend(BENCHMARKS)
    module = importlib.import_module("harness")
    monkeypatch.setattr(module, "DOCS", tmp_path / "docs")
    monkeypatch.setattr(module, "RESULTS", tmp_path / "results.md")
    return module


@pytest.mark.parametrize("name", SCRIPTS)
def test_every_script_is_imported(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(BENCHMARKS)
    script = importlib.import_module(name)
    source = (BENCHMARKS / f"{name}.py").read_text()
    assert ("\n    run(main" in source or "\n    main()\n" in source) == hasattr(script, "main")


def test_every_script_has_a_target() -> None:
    makefile = (PROJECT / "Makefile").read_text()
    for name in SCRIPTS:
        if "run(main" in (BENCHMARKS / f"{name}.py").read_text():
            assert f"make {'bench' if name == 'forward' else name} " in makefile, name


def test_table(harness: ModuleType) -> None:
    rows = [["a-b", "-0.12 ± 1.1", 3], ["0.62-0.71", "2021-11-20", "-4%"]]
    assert harness.table(["", "x", "n"], rows) == (
        "|  | x | n |\n|---|---|---|\n| a-b | −0.12 ± 1.1 | 3 |\n| 0.62-0.71 | 2021-11-20 | −4% |"
    )


def test_page_says_where_and_how_it_was_made(harness: ModuleType) -> None:
    with harness.page("toy", "A toy", "It says nothing.") as add:
        add("## First", "1.0")
        add("## Second")
    lines = (harness.DOCS / "toy.md").read_text().split("\n\n")
    assert lines[:2] == ["# A toy", "It says nothing."]
    assert lines[2].startswith("`make toy` made this page in 0 minutes: ")
    assert "torch" in lines[2]
    assert lines[3:] == ["## First", "1.0", "## Second\n"]


def test_page_is_whole_or_stays_as_it_was(harness: ModuleType) -> None:
    with harness.page("toy", "A toy", "Before."):
        pass
    with pytest.raises(RuntimeError, match="half way"), harness.page("toy", "A toy", "After."):
        raise RuntimeError("half way")
    assert "Before." in (harness.DOCS / "toy.md").read_text()
    assert [path.name for path in harness.DOCS.iterdir()] == ["toy.md"]


def test_results_change_between_its_comments_only(harness: ModuleType) -> None:
    other = "<!-- figures:y -->\n| y |\n<!-- /figures:y -->\n"
    text = "a\n<!-- figures:x -->\n{}\n<!-- /figures:x -->\nb\n" + other
    harness.RESULTS.write_text(text.format("| old |\n| 1 |"))
    harness.put_in_results("x", "| new |")
    assert harness.RESULTS.read_text() == text.format("| new |")
    with pytest.raises(ValueError, match="figures:z"):
        harness.put_in_results("z", "")


@pytest.mark.parametrize("name", ["accuracy", "desis"])
def test_results_have_the_tables_that_benchmarks_replace(harness: ModuleType, name: str) -> None:
    harness.RESULTS.write_text((PROJECT / "docs" / "results.md").read_text())
    harness.put_in_results(name, "| here |")
    assert "| here |" in harness.RESULTS.read_text()


def test_score_counts_a_line_like_another(harness: ModuleType) -> None:
    score = harness.Score()
    bare = np.array([True, False, False])
    score.add(np.array([0.1, 1.1, np.nan]), np.array([0.0, 1.0, 2.0]), bare)
    score.add(np.array([-0.3, 0.7, 1.7]), np.array([0.0, 1.0, 2.0]), bare)
    assert score.rmse == pytest.approx(np.sqrt((2 * 0.1**2 + 3 * 0.3**2) / 5))
    assert score.biases == pytest.approx([0.1, 0.3])
    assert score.cells() == ["0.241", "0.200", "0.200"]
    assert score.cells(max) == ["0.241", "0.300", "0.300"]


def test_the_physics_of_another_sums_the_same_lines(
    shared_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two sums of one list, written apart, but for what the other makes weaker on purpose."""
    monkeypatch.syspath_prepend(BENCHMARKS)
    other = importlib.import_module("flex_physics")
    wavenumber = np.arange(13000.0, 13170.0, 0.05)
    for pressure, temperature in ((950.0, 285.0), (50.0, 215.0)):
        theirs = other.o2_cross_section(wavenumber, pressure, temperature) / other.WEAKER
        ours = absorption_cross_section(wavenumber, pressure, temperature)
        seen = [np.exp(-2.5e24 * cross_section) for cross_section in (theirs, ours)]
        np.testing.assert_allclose(*seen, atol=5e-4)
        assert theirs.sum() == pytest.approx(ours.sum(), rel=1e-3)
