"""Scenes on several processes of this machine."""

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from conftest import PROJECT
from fakes.dying import dies, finds_loaded, grows, tells_who
from sifnet.batch import pool
from sifnet.batch.pool import spread
from sifnet.errors import SifnetError


def test_a_worker_that_dies_takes_only_its_scene_along() -> None:
    found = dict(spread(dies, [Path("bad"), Path("good"), Path("fine")], workers=2))
    assert found[Path("good")] == "good"
    assert found[Path("fine")] == "fine"
    told = str(found[Path("bad")])
    assert "bad: the worker did not survive this scene: found it ended without a word" in told


def test_a_worker_that_takes_too_much_memory_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "MEMORY", 10**9)
    monkeypatch.setattr(pool, "LOOK", 0.05)
    found = dict(spread(grows, [Path("1500"), Path("100")], workers=2))
    assert found[Path("100")] == 100
    assert "the worker did not survive this scene: found 1." in str(found[Path("1500")])


def test_one_that_is_killed_is_made_up_for(tmp_path: Path) -> None:
    """By a new process; its scene is tried once more."""
    paths = [tmp_path / str(number) for number in range(8)]
    results = spread(tells_who, paths, workers=2)
    _, first = next(results)
    assert isinstance(first, int)
    psutil.Process(first).kill()
    found = dict(results)
    assert len(found) == 7
    assert all(isinstance(who, int) for who in found.values())
    assert not any(psutil.pid_exists(who) for who in {first, *found.values()})


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere workers load their libraries")
def test_a_worker_begins_with_its_libraries() -> None:
    assert list(spread(finds_loaded, [Path("torch")], workers=1)) == [(Path("torch"), True)]


def test_processes_that_do_not_start(monkeypatch: pytest.MonkeyPatch) -> None:
    def starts(_: object) -> None:
        raise EOFError

    monkeypatch.setattr(pool.get_context(pool.METHOD).Process, "start", starts)
    with pytest.raises(SifnetError, match="--workers do not start: found EOFError"):
        list(spread(dies, [Path("good")], workers=2))


@pytest.mark.parametrize("blow", [signal.SIGKILL, signal.SIGINT])
def test_no_worker_outlives_the_command(tmp_path: Path, blow: signal.Signals) -> None:
    """Neither where it is killed nor after Ctrl-C, which workers leave to it."""
    text = (
        "import sys; from pathlib import Path; from fakes.dying import waits\n"
        "from sifnet.batch import pool; pool.LOADED = []\n"
        "if __name__ == '__main__':\n"
        "    list(pool.spread(waits, [Path(sys.argv[1]) / name for name in 'ab'], workers=2))\n"
    )
    script = tmp_path / "script.py"
    script.write_text(text)
    command = subprocess.Popen(
        [sys.executable, script, tmp_path], stderr=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": f"{PROJECT}:{PROJECT / 'tests'}"}, start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )  # fmt: skip
    until = time.monotonic() + 60
    while len(started := list(tmp_path.glob("[ab]"))) < 2:
        assert time.monotonic() < until
        time.sleep(0.02)
    workers = [psutil.Process(int(path.read_text())) for path in started]
    try:
        os.killpg(command.pid, blow) if blow == signal.SIGINT else command.kill()
        _, told = command.communicate(timeout=30)
        assert told.count("Traceback") == (blow == signal.SIGINT)  # that of the command
        assert not psutil.wait_procs(workers, 30)[1]
    finally:
        for worker in workers:
            with suppress(psutil.NoSuchProcess):
                worker.kill()


def test_nobody_can_reach_the_processes(tmp_path: Path) -> None:
    results = spread(tells_who, [tmp_path / name for name in "abc"], workers=2)
    next(results)
    processes = psutil.Process().children(recursive=True)
    assert len(processes) >= 2
    assert not [c for p in processes for c in p.net_connections("inet")]
    results.close()
