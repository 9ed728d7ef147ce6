"""Scenes on several processes."""

import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from conftest import PROJECT
from fakes.dying import dies, finds_loaded
from fakes.fitted import quick_fit, write_named
from sifnet.batch.cluster import _client, _started, spread
from sifnet.batch.run import Job, run
from sifnet.errors import SifnetError


@pytest.fixture
def model(tmp_path: Path) -> Path:
    quick_fit()[1].save(tmp_path / "model.ckpt")
    return tmp_path / "model.ckpt"


@pytest.mark.slow
def test_an_existing_cluster_does_the_work(model: Path, tmp_path: Path) -> None:
    """A Dask cluster of another process, found by its address."""
    serving = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "from distributed import LocalCluster\n"
            "if __name__ == '__main__':\n"
            "    with LocalCluster(n_workers=1, threads_per_worker=1) as cluster:\n"
            "        print(cluster.scheduler_address, flush=True); input()\n",
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=PROJECT,
        env={**os.environ, "PYTHONPATH": str(PROJECT)},
    )
    try:
        assert serving.stdout is not None
        address = serving.stdout.readline().strip()
        bad, good = tmp_path / "none.hdr", write_named(tmp_path)
        job = Job(tmp_path / "out", model)
        outcomes = {o.scene: o for o in run(job, [bad, good], scheduler=address)}
        assert {p: o.state for p, o in outcomes.items()} == {bad: "failed", good: "mapped"}
        assert "no such file" in str(outcomes[bad].error)
        assert (tmp_path / "out" / "a_FLUO_radiance_sif.json").exists()
    finally:
        serving.communicate("\n", timeout=60)


def test_a_worker_that_dies_takes_only_its_scene_along() -> None:
    found = dict(spread(dies, [Path("bad"), Path("good"), Path("fine")], workers=2))
    assert found[Path("good")] == "good"
    assert found[Path("fine")] == "fine"
    assert "the worker did not survive this scene: found KilledWorker" in str(found[Path("bad")])


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere workers load their libraries")
def test_a_worker_begins_with_its_libraries() -> None:
    assert list(spread(finds_loaded, [Path("torch")], workers=1)) == [(Path("torch"), True)]


@pytest.mark.parametrize("failures", [0, 1, 2])
def test_a_worker_that_dies_while_it_starts(monkeypatch: pytest.MonkeyPatch, failures: int) -> None:
    outcomes = [RuntimeError("Nanny failed to start.")] * failures + ["a cluster"]

    def start(**_: object) -> object:
        if isinstance(outcome := outcomes.pop(0), Exception):
            raise outcome
        return outcome

    monkeypatch.setattr("distributed.LocalCluster", start)
    if failures < 2:
        assert _started(n_workers=2) == "a cluster"
    else:
        with pytest.raises(SifnetError, match="do not start: found Nanny failed"):
            _started(n_workers=2)


def test_nobody_else_can_reach_the_processes() -> None:
    """Scheduler, nannies, workers and their pages listen to this machine only."""
    with _client(2, None) as client:
        assert len(client.scheduler_info()["workers"]) == 2
        processes = [psutil.Process(), *psutil.Process().children(recursive=True)]
        sockets = [c for p in processes for c in p.net_connections("inet")]
        listening = {c.laddr.ip for c in sockets if c.status == psutil.CONN_LISTEN}
    assert listening == {"127.0.0.1"}


def test_a_scheduler_that_does_not_answer_is_refused(
    monkeypatch: pytest.MonkeyPatch, model: Path, tmp_path: Path
) -> None:
    monkeypatch.setattr("sifnet.batch.cluster.PATIENCE", 1)
    with pytest.raises(SifnetError, match="the Dask scheduler does not answer"):
        next(run(Job(tmp_path, model), [write_named(tmp_path)], scheduler="tcp://127.0.0.1:9"))
