"""`make kill` itself, at its smallest: processes of a killed build end, and it goes on."""

import os
import re
import subprocess
import sys

import pytest

from conftest import PROJECT

pytest.importorskip("sasktran2", reason="needs the 'build' extra")


@pytest.mark.slow
def test_a_killed_build_leaves_no_process_and_no_half_file() -> None:
    script = PROJECT / "tests" / "benchmarks" / "kill.py"
    command = [sys.executable, "-W", "ignore", script, "--kills", "2", "--only", "build-emulator"]
    env = {**os.environ, "PYTHONPATH": str(PROJECT)}
    done = subprocess.run(
        command, cwd=PROJECT, env=env, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r" 2 of \d+ killed, .* 0 lost something", done.stdout), done.stdout
