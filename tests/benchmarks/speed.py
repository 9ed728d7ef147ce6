"""What a map costs now and before: whole processes of both, in turn, on the same machine.

    python tests/benchmarks/speed.py [FOLDER]           (make speed, a quarter hour)

BEFORE is checked out into a worktree in the folder. A process counts with all that it does,
imports and model included, in seconds of one processor; their ratio holds when the machine is busy.
"""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
from pathlib import Path

from harness import ROOT, machine, put_in_results, run, table
from worlds import WORLDS, unpacked

BEFORE = "a17a502"  # the last commit before maps were made quicker
TURNS = 1
WORK = {
    "refined HyPlant, 384 x 1000": ("maps(1000, 384)", 5.0),
    "not refined, 384 x 1000": ("maps(1000, 384, refine=False)", 2.0),
    "8 scenes of 64 x 64, one process": ("for _ in range(8): maps(64, 64)", 8.0),
    "DESIS, 1024 x 512": ("maps(1024, 512, DESIS)", 3.0),
    "fit of the demo line": ("sifnet.fit(sifnet.open_scene(DEMO))", 3.0),
}
SET_UP = """
import sys, glob, numpy as np, xarray as xr, torch, warnings
warnings.filterwarnings("ignore"); torch.set_num_threads(1)
import sifnet
from sifnet.scenes.scene import Scene
DEMO, DESIS = sys.argv[1:3]
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
    before, desis = _worktree(kept), _desis(kept)
    demo = next((ROOT / "data" / "demo").glob("*_radiance.hdr"))
    rows = []
    for name, (work, wanted) in WORK.items():
        if "DESIS" in work and desis is None:
            rows.append([name, "", "", "no scene at hand", f"{wanted:g}"])
            continue
        pairs = [
            [_seconds(tree, work, demo, desis) for tree in (before, ROOT)] for _ in range(TURNS)
        ]
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


def _desis(folder: Path) -> Path | None:
    """A DESIS scene of another physics, where it is beside the project."""
    if not WORLDS.is_dir():
        return None
    return next(unpacked("desis", folder).glob("DESIS-*"))


def _seconds(tree: Path, work: str, demo: Path, desis: Path | None) -> float:
    """Of a processor that a process takes in a tree, the system's part included."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(
        [sys.executable, "-c", SET_UP + work, str(demo), str(desis)],
        env=os.environ | {"PYTHONPATH": str(tree), "OMP_NUM_THREADS": "1"},
        cwd=tree, check=True, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


if __name__ == "__main__":
    run(main, keep="benchmark_speed")
