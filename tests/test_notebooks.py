"""The notebooks run from top to bottom, on the demo line."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from conftest import PROJECT


@pytest.mark.parametrize(
    "name",
    ["1_scene_and_simulation", pytest.param("2_fit_and_map", marks=pytest.mark.slow)],
)
def test_notebook_runs(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MPLBACKEND", raising=False)  # or figures never reach the notebook
    folder: Path = PROJECT / "notebooks"
    notebook = nbformat.read(folder / f"{name}.ipynb", as_version=4)
    place = {"metadata": {"path": str(folder)}}
    NotebookClient(notebook, timeout=600, kernel_name="python3", resources=place).execute()
    figures = [
        output
        for cell in notebook.cells
        for output in cell.get("outputs", [])
        if "image/png" in output.get("data", {})
    ]
    assert figures
