"""The recipes of docs/batch.md, run as they stand there on a Slurm of one node."""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from conftest import PROJECT
from sifnet.product.netcdf import read
from sifnet.retrieval.model import load
from sifnet.simulation.simulate import simulate

SCRIPT = PROJECT / "tests" / "slurm_one_node.sh"
PAGE = (PROJECT / "docs" / "batch.md").read_text()
# What a page says for a cluster, and what this node has room for.
SMALLER = {
    "/path/to/venv": sys.prefix,
    "cores=8": "cores=2",
    "processes=8": "processes=2",
    '"16GiB"': '"4GiB"',
    "minimum_jobs=5, maximum_jobs=5": "minimum_jobs=1, maximum_jobs=1",
}
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The environment of a command that knows of the node."""
    if os.geteuid():
        pytest.skip("only root can start a Slurm")
    folder = tmp_path_factory.mktemp("slurm")
    folder.parent.chmod(0o755)
    started = subprocess.run([SCRIPT, "start", folder], capture_output=True, text=True)
    if started.returncode == 3:
        pytest.skip(f"sbatch cannot be had: {started.stderr.strip()[-200:]}")
    assert started.returncode == 0, started.stderr
    try:
        yield {**os.environ, "PYTHONPATH": str(PROJECT), "SLURM_CONF": started.stdout.strip()}
    finally:
        subprocess.run([SCRIPT, "stop", folder], check=True)


@pytest.fixture
def downloads(tmp_path: Path) -> Path:
    for seed in range(2):
        folder = tmp_path / "downloads" / str(seed)
        simulate("hyplant", folder, lines=32, samples=16, seed=seed, quick=True)
    return tmp_path / "downloads"


def test_a_batch_on_workers_that_slurm_starts(slurm: dict[str, str], downloads: Path) -> None:
    pytest.importorskip("dask_jobqueue", reason="dask-jobqueue is not installed")
    found = re.search(r"```python\n(from pathlib.*?SLURMCluster.*?)```", PAGE, re.DOTALL)
    assert found is not None
    recipe = found[1]
    for said, here in SMALLER.items():
        assert said in recipe
        recipe = recipe.replace(said, here)
    script = downloads.parent / "batch.py"
    script.write_text(recipe)
    run = subprocess.run([sys.executable, script], cwd=script.parent, env=slurm, timeout=600,
                         capture_output=True, text=True)  # fmt: skip
    assert run.returncode == 0, run.stderr
    assert [line.split()[0] for line in run.stdout.splitlines()] == ["mapped", "mapped"]
    products = sorted((script.parent / "maps").glob("*_sif.nc"))
    assert len(products) == 2
    assert (script.parent / "maps" / "index.html").exists()
    queue = subprocess.run(["squeue", "-h", "-t", "running"], env=slurm, capture_output=True)
    assert not queue.stdout.strip()  # no worker is left
    assert "worker" in (script.parent / next(script.parent.glob("slurm-*.out"))).read_text()


@pytest.mark.parametrize("command", ["fit", "pretrain"])
def test_training_by_srun(slurm: dict[str, str], downloads: Path, command: str) -> None:
    (line,) = re.findall(rf"^srun .* sifnet {command} .*$", PAGE, re.MULTILINE)
    words = shlex.split(line.replace(" sifnet ", f" {sys.executable} -m sifnet "))
    quick = downloads.parent / "quick.yaml"
    quick.write_text("training: {epochs: 1, steps_per_epoch: 2, batch: 2}\n")
    words += ["--config", "quick.yaml"] if command == "fit" else ["--steps", "2"]
    run = subprocess.run(words, cwd=quick.parent, env=slurm, timeout=900,
                         capture_output=True, text=True)  # fmt: skip
    assert run.returncode == 0, run.stderr
    told = run.stdout
    if command == "pretrain":
        assert told == "model: model.ckpt\n"  # said, and written, once
        load(quick.parent / "model.ckpt")
        return
    out = quick.parent / "out"
    assert told.count("report: ") == 1
    assert len(list(out.glob("*_sif.nc"))) == 2
    assert all("sif_760" in read(product) for product in out.glob("*_sif.nc"))
    assert load(out / "model.ckpt").made_by["devices"] == 2
    assert not (out / "fit.json").exists()
