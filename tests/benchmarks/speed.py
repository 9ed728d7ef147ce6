"""What a map costs now and before: whole processes of both, in turn, on the same machine.

    python tests/benchmarks/speed.py [FOLDER]           (make speed, half an hour)

BEFORE is checked out into a worktree in the folder; its maps were not yet those of worlds that are
not ours, whose lines are solved as one since. A process counts with all that it does, imports,
model and reading its scene included, in seconds of one processor; their ratio holds when the
machine is busy. What two workers are worth is time by the clock, which holds only when nothing else
runs. Scenes are written before: a line and a tile, mirrored from smaller ones.
"""

from __future__ import annotations

import os
import resource
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import rasterio
from harness import ROOT, machine, put_in_results, run, table
from numpy.typing import NDArray

from sifnet.scenes.formats.envi import open_envi
from sifnet.simulation.simulate import simulate

BEFORE = "505f0ac"  # the code whose times were to become shorter by the factors asked
SCENES = 50
TURNS = 1
LINE, TILE = (1000, 384), (1024, 1024)  # lines, samples
WORK = {
    "refined HyPlant, 384 x 1000": ("maps(LINE)", 5.0),
    "not refined, 384 x 1000": ("maps(LINE, refine=False)", 2.0),
    f"{SCENES} scenes of 64 x 64, one batch": ("batch()", 8.0),
    "DESIS, 1024 x 1024": ("maps(DESIS)", 3.0),
    "fit of the demo line": ("sifnet.fit(sifnet.open_scene(DEMO))", 3.0),
}
SET_UP = """
import sys, warnings, torch
warnings.filterwarnings("ignore"); torch.set_num_threads(1)
import sifnet
DEMO, LINE, DESIS, LINES, MAPS = sys.argv[1:6]
def batch():
    from sifnet.cli import main
    sys.argv = ["sifnet", "retrieve", LINES, "-o", MAPS]
    main()
def maps(path, **options):
    sifnet.retrieve(sifnet.open_scene(path), **options)
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
    put_in_results("speed", f"{table(head, rows)}\n\n{_two_workers(scenes[1], kept)}\n\n{told}")


def _worktree(folder: Path) -> Path:
    tree = folder / BEFORE
    if not tree.is_dir():
        git = ["git", "-C", str(ROOT), "worktree"]
        subprocess.run([*git, "prune"], check=True)
        subprocess.run([*git, "add", "--detach", str(tree), BEFORE], check=True)
    return tree


def _scenes(folder: Path) -> list[Path]:
    """The demo's line, the same and a DESIS scene tiled, and a folder of SCENES small lines."""
    demo = next((ROOT / "data" / "demo").glob("*_radiance.hdr"))
    line, desis, lines = (folder / name for name in ("line", "desis", "lines"))
    if not line.is_dir():
        _write_line(demo, line)
    if not desis.is_dir():
        with TemporaryDirectory(dir=folder) as small:
            simulate("desis", Path(small), lines=64, samples=64)
            _write_desis(Path(small), desis)
    for seed in range(SCENES):
        if not (one := lines / str(seed)).is_dir():
            simulate("hyplant", one, lines=64, samples=64, seed=seed, quick=True)
    image = next(desis.glob("DESIS-*-SPECTRAL_IMAGE.tif"))
    return [demo, next(line.glob("*.hdr")), image, lines]


def _tiled(planes: NDArray[Any], lines: int, samples: int) -> NDArray[Any]:
    """``band, line, sample`` to another size, there and back, so that no seam shows."""
    for axis, size in ((1, lines), (2, samples)):
        length = planes.shape[axis]
        planes = planes.take(np.resize(np.r_[:length, length - 2 : 0 : -1], size), axis)
    return planes


def _write_line(header: Path, folder: Path) -> None:
    """An ENVI line, interleaved by lines, tiled to the size LINE."""
    file = open_envi(header)
    wide = _tiled(file.numbers().read((slice(None),) * 3).transpose(2, 0, 1), *LINE).swapaxes(0, 1)
    text = header.read_text()
    for name, old, new in zip(("lines", "samples"), file.shape, LINE, strict=False):
        text = text.replace(f"{name} = {old}\n", f"{name} = {new}\n")
    folder.mkdir()
    (folder / header.name).write_text(text)
    wide.astype(file.dtype).tofile(folder / file.data_file.name)


def _write_desis(product: Path, folder: Path) -> None:
    """A DESIS product tiled to the size TILE; its corners stay as they are."""
    folder.mkdir()
    for file in product.glob("DESIS-*"):
        if file.suffix != ".tif":
            shutil.copy(file, folder)
            continue
        with rasterio.open(file) as source:
            planes, profile = _tiled(source.read(), *TILE), source.profile
        del profile["blockxsize"], profile["blockysize"]
        profile.update(height=TILE[0], width=TILE[1])
        with rasterio.open(folder / file.name, "w", **profile) as target:
            target.write(planes)


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


def _two_workers(line: Path, folder: Path) -> str:
    """What they are worth, with all that a command does."""
    lines = _eight(line, folder / "eight")
    one, two = (_clock(lines, workers) for workers in (1, 2))
    told = (
        f"Eight lines of 384 x 1000 by the clock: {one:.0f} s with one process, {two:.0f} s with "
        f"two workers, an efficiency of {one / two / 2:.2f} (0.9 was asked)."
    )
    print(told, flush=True)
    return told


def _eight(line: Path, folder: Path) -> Path:
    """A folder of eight names for a line."""
    folder.mkdir(exist_ok=True)
    for number in range(8):
        name = line.stem.replace("-L2-", f"-L{number}-")
        for suffix in (".hdr", ".dat"):
            (folder / name).with_suffix(suffix).unlink(missing_ok=True)
            (folder / name).with_suffix(suffix).hardlink_to(line.with_suffix(suffix))
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
