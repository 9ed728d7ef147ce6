"""What a map costs now and before: whole processes of both, in turn, on the same machine.

    python tests/benchmarks/speed.py [FOLDER]           (make speed, half an hour)

BEFORE is checked out into a worktree in the folder; its maps were not yet those of worlds that are
not ours, whose lines are solved as one since. A process counts with all that it does,
imports and model included, in seconds of one processor; their ratio holds when the machine is busy.
What two workers are worth is time by the clock, which holds only when nothing else runs.
"""

from __future__ import annotations

import os
import re
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
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
    told = f"{machine()}, one thread, turns: {TURNS}."
    put_in_results("speed", f"{table(head, rows)}\n\n{_two_workers(scenes[0], kept)}\n\n{told}")


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


def _two_workers(demo: Path, folder: Path) -> str:
    """What they are worth, with all that a command does."""
    lines = _long_lines(demo, folder / "long")
    one, two = (_clock(lines, workers) for workers in (1, 2))
    told = (
        f"Eight lines of 384 x 1000 by the clock: {one:.0f} s with one process, {two:.0f} s with "
        f"two workers, an efficiency of {one / two / 2:.2f} (0.9 was asked)."
    )
    print(told, flush=True)
    return told


def _long_lines(demo: Path, folder: Path, lines: int = 1000, samples: int = 384) -> Path:
    """A folder of eight headers over the demo's line, there and back until it is as long."""
    header = demo.read_text()
    size = [
        int(re.search(rf"{name}\s*= (\d+)", header)[1]) for name in ("lines", "bands", "samples")
    ]
    values = np.fromfile(demo.with_suffix(".dat"), "<u2").reshape(size)
    for axis, length in ((0, lines), (2, samples)):
        there = np.arange(values.shape[axis])
        values = values.take(np.resize(np.r_[there, there[-2:0:-1]], length), axis)
    header = re.sub(r"(lines\s*= )\d+", rf"\g<1>{lines}", header)
    header = re.sub(r"(samples\s*= )\d+", rf"\g<1>{samples}", header)
    folder.mkdir(exist_ok=True)
    values.tofile(folder / "values")
    for number in range(8):
        name = demo.stem.replace("-L2-", f"-L{number}-")
        (folder / f"{name}.hdr").write_text(header)
        (folder / f"{name}.dat").unlink(missing_ok=True)
        (folder / f"{name}.dat").hardlink_to(folder / "values")
    (folder / "values").unlink()
    return folder


def _clock(lines: Path, workers: int) -> float:
    """Seconds of a whole command."""
    command = [sys.executable, "-m", "sifnet", "retrieve", lines, "--workers", str(workers)]
    start = time.perf_counter()
    with TemporaryDirectory() as maps:
        subprocess.run(
            [*command, "-o", maps],
            env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
            check=True, stdout=subprocess.DEVNULL,
        )  # fmt: skip
    return time.perf_counter() - start


if __name__ == "__main__":
    run(main, keep="benchmark_speed")
