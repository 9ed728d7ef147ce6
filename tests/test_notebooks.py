"""The notebooks run from top to bottom, and hold what they showed when they were last run."""

from __future__ import annotations

import inspect
import os
import sys
from importlib.util import find_spec
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from conftest import PROJECT
from sifnet import Scene

FOLDER = PROJECT / "notebooks"
LARGEST = 60_000  # bytes of a notebook with its outputs
SLOW = {"2_archive", "3_flox_series", "4_own_sensor"}  # transfer in full, or a fit
NEEDS = {  # what a notebook shows that may not be in this version
    "3_flox_series": find_spec("sifnet.retrieval.full_spectrum") is not None,
    "4_own_sensor": "time" in inspect.signature(Scene.from_arrays).parameters,
}


def _all() -> list[object]:
    names = sorted(path.stem for path in FOLDER.glob("*.ipynb"))
    return [pytest.param(n, marks=pytest.mark.slow) if n in SLOW else n for n in names]


def _needs(name: str) -> None:
    if not NEEDS.get(name, True):
        pytest.skip("not in this version")


def _figures(notebook: nbformat.NotebookNode) -> int:
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    return sum("image/png" in output.get("data", {}) for output in outputs)


@pytest.mark.parametrize("name", _all())
def test_notebook_runs(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    _needs(name)
    monkeypatch.delenv("MPLBACKEND", raising=False)  # or figures never reach the notebook
    commands = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    monkeypatch.setenv("PATH", commands)  # as where the environment is activated
    notebook = nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)
    place = {"metadata": {"path": str(FOLDER)}}
    NotebookClient(notebook, timeout=600, kernel_name="python3", resources=place).execute()
    assert _figures(notebook)


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.ipynb")), ids=lambda path: path.stem)
def test_notebook_shows_what_it_made(path: Path) -> None:
    _needs(path.stem)
    assert path.stat().st_size < LARGEST
    notebook = nbformat.read(path, as_version=4)
    assert _figures(notebook)
    ran = [cell.execution_count for cell in notebook.cells if cell.cell_type == "code"]
    assert ran == list(range(1, len(ran) + 1))
    errors = [output for cell in notebook.cells for output in cell.get("outputs", [])
              if output.output_type == "error" or output.get("name") == "stderr"]  # fmt: skip
    assert not errors
