"""The notebooks run from top to bottom, on the demo line."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from conftest import PROJECT


@pytest.mark.parametrize("name", ["1_scene_and_simulation", "2_fit_and_map"])
def test_notebook_runs(name: str) -> None:
    folder: Path = PROJECT / "notebooks"
    notebook = nbformat.read(folder / f"{name}.ipynb", as_version=4)
    client = NotebookClient(notebook, timeout=600, kernel_name="python3")
    client.execute(cwd=str(folder), resources={"metadata": {"path": str(folder)}})
    figures = [
        output
        for cell in notebook.cells
        for output in cell.get("outputs", [])
        if "image/png" in output.get("data", {})
    ]
    assert figures
