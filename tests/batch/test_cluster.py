"""Scenes on a Dask cluster."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import PROJECT
from fakes.fitted import quick_fit, write_named
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


def test_a_scheduler_that_does_not_answer_is_refused(
    monkeypatch: pytest.MonkeyPatch, model: Path, tmp_path: Path
) -> None:
    monkeypatch.setattr("sifnet.batch.cluster.PATIENCE", 1)
    with pytest.raises(SifnetError, match="the Dask scheduler does not answer"):
        next(run(Job(tmp_path, model), [write_named(tmp_path)], scheduler="tcp://127.0.0.1:9"))
