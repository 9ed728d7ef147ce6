"""The shipped tables are what their script makes of the published files."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

DATA = Path(__file__).resolve().parents[3] / "data"
SCRIPT = DATA / "make_tables.py"


def make(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(SCRIPT), *arguments]
    # From the project's root, so that it runs in a checkout that is not installed.
    environment = {"PYTHONPATH": str(DATA.parent), "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)


def test_shipped_tables_are_reproduced(shared_data: Path, tmp_path: Path) -> None:
    run = make(str(shared_data), "--output", str(tmp_path))
    assert run.returncode == 0, run.stderr
    made = sorted(path.name for path in tmp_path.iterdir())
    assert len(made) == 6
    for name in made:
        assert (tmp_path / name).read_text() == (DATA / name).read_text(), name
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) < 400e3


def test_missing_files_are_named(tmp_path: Path) -> None:
    run = make(str(tmp_path))
    assert run.returncode == 2
    assert "lacks lines/o2_aband_hitran2012.csv" in run.stderr
    assert "--help" in run.stderr
