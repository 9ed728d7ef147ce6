"""What a map costs now and before: whole processes of both, in turn, on the same machine.

    python tests/benchmarks/speed.py [FOLDER]           (make speed, 25 minutes)

BEFORE is checked out into a worktree in the folder; its maps were not yet those of worlds that are
not ours, whose lines are solved as one since. A process counts with all that it does,
imports and model included, in seconds of one processor; their ratio holds when the machine is busy.
"""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from harness import ROOT, machine, put_in_results, run, table

from sifnet.simulation.simulate import simulate

BEFORE = "505f0ac"  # the code whose times were to become shorter by the factors asked
SCENES = 50
TURNS = 1
WORK = {
    "refined HyPlant, 384 x 1000": ("maps(1000, 384)", 5.0),
    "not refined, 384 x 1000": ("maps(1000, 384, refine=False)", 2.0),
    f"{SCENES} scenes of 64 x 64, one batch": ("batch()", 8.0),
    "DESIS, 1024 x 1024": ("maps(1024, 1024, DESIS)", 3.0),
    "fit of the demo line": ("sifnet.fit(sifnet.open_scene(DEMO))", 3.0),
}
SET_UP = """
import sys, glob, numpy as np, xarray as xr, torch, warnings
warnings.filterwarnings("ignore"); torch.set_num_threads(1)
import sifnet
from sifnet.scenes.scene import Scene
DEMO, DESIS, LINES, MAPS = sys.argv[1:5]
def batch():
    from sifnet.cli import main
    sys.argv = ["sifnet", "retrieve", LINES, "-o", MAPS]
    main()
def tiled(values, **sizes):
    for name, size in sizes.items():
        if name in values.dims:  # there and back, so that no seam shows
            length = values.sizes[name]
            values = values.isel({name: np.resize(np.r_[:length, length - 2 : 0 : -1], size)})
    return values
def maps(lines, samples, path=DEMO, **options):
    data = sifnet.open_scene(path).dataset.load()
    parts = ({k: tiled(v, line=lines, sample=samples) for k, v in part.items()}
             for part in (data.data_vars, data.coords))
    sifnet.retrieve(Scene(xr.Dataset(*parts, attrs=data.attrs)), **options)
"""


def main(folder: str) -> None:
    """Put the table into the results."""
    kept = Path(folder).resolve()
    before, scenes = _worktree(kept), _scenes(kept)
    rows = []
    for name, (work, wanted) in WORK.items():
        pairs = [[_seconds(tree, work, scenes) for tree in (before, ROOT)] for _ in range(TURNS)]
        old, new = (statistics.median(times) for times in zip(*pairs, strict=True))
        ratio = statistics.median(a / b for a, b in pairs)
        rows.append([name, f"{old:.1f}", f"{new:.1f}", f"{ratio:.1f}", f"{wanted:g}"])
        print(*rows[-1], sep="\t", flush=True)
    head = ["work", f"{BEFORE}, s of one processor", "now", "times quicker", "asked"]
    put_in_results("speed", f"{table(head, rows)}\n\n{machine()}, one thread, turns: {TURNS}.")


def _worktree(folder: Path) -> Path:
    tree = folder / BEFORE
    if not tree.is_dir():
        git = ["git", "-C", str(ROOT), "worktree"]
        subprocess.run([*git, "prune"], check=True)
        subprocess.run([*git, "add", "--detach", str(tree), BEFORE], check=True)
    return tree


def _scenes(folder: Path) -> list[Path]:
    """The demo's line, a DESIS scene, and a folder of SCENES small lines."""
    demo = next((ROOT / "data" / "demo").glob("*_radiance.hdr"))
    desis, lines = folder / "desis", folder / "lines"
    if not desis.is_dir():
        simulate("desis", desis, lines=64, samples=64)
    for seed in range(SCENES):
        if not (line := lines / str(seed)).is_dir():
            simulate("hyplant", line, lines=64, samples=64, seed=seed, quick=True)
    return [demo, next(desis.glob("DESIS-*")), lines]


def _seconds(tree: Path, work: str, scenes: list[Path]) -> float:
    """Of a processor that a process takes in a tree, the system's part included."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    with TemporaryDirectory() as maps:
        subprocess.run(
            [sys.executable, "-c", SET_UP + work, *map(str, scenes), maps],
            env=os.environ | {"PYTHONPATH": str(tree), "OMP_NUM_THREADS": "1"},
            cwd=tree, check=True, stdout=subprocess.DEVNULL,
        )  # fmt: skip
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


if __name__ == "__main__":
    run(main, keep="benchmark_speed")
