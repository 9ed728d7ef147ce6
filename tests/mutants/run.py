"""Put bugs in by hand, one at a time, in a copy of the project: which of them do the tests see?

    python tests/mutants/run.py [part of a name or file ...]

``table.toml`` has the bugs: a file, a text in it that is there once, what replaces it, and the
tests that are to fail then. Reference data beside the project is not copied: what is seen is seen
by everybody. Prints the bugs that survive; exits with 1 where fewer than 92 % were caught.
"""

from __future__ import annotations

import importlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
from forks import ended

PROJECT = Path(__file__).resolve().parents[2]
TABLE = Path(__file__).with_name("table.toml")
ENOUGH = 0.92  # share of bugs that are to be caught
LONGEST = 600  # s, of the tests of one bug; what takes longer hangs and was not seen
WARM = ("torch", "torch._dynamo", "lightning", "xarray", "pandas", "scipy.signal", "distributed",
        "dask.array", "rasterio", "h5netcdf", "netCDF4", "zarr", "matplotlib.pyplot", "pydantic",
        "typer", "pyproj", "spectral", "pytest", "jaxtyping")  # fmt: skip
"""Libraries that are loaded once."""


@dataclass(frozen=True)
class Bug:
    """A line of the table.

    Attributes:
        what: in words, what is wrong.
        file: of the project. old, new: text in it, and what stands there instead.
        tests: files, or tests in them, one of which is to fail.
    """

    what: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]


def bugs() -> list[Bug]:
    """All bugs of the table."""
    rows = tomllib.loads(TABLE.read_text())["bug"]
    return [Bug(**row | {"tests": tuple(row["tests"])}) for row in rows]


def copied(folder: Path) -> Path:
    """The project as git knows it, changes included."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=PROJECT, check=True, capture_output=True, text=True)
    for name in listed.stdout.splitlines():
        if (PROJECT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(PROJECT / name, folder / name)
    return folder


def tested(copy: Path, tests: tuple[str, ...]) -> int:
    """Exit status of pytest on the copy, 1 where a test failed.

    In a process of its own, which has the libraries already (``WARM``) and nothing of ours.
    """
    child = os.fork()
    if child == 0:
        os.setsid()
        os.chdir(copy)
        sys.path.insert(0, str(copy))
        output = os.open(copy / "output.txt", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(output, 1)
        os.dup2(output, 2)
        import pytest

        options = ["-x", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", "--tb=line"]
        if not all("::" in test for test in tests):  # one that is named may be slow
            options += ["-m", "not slow"]
        status = pytest.main([*options, *tests])
        own = Path(sys.modules["sifnet"].__file__ or "")
        os._exit(status if own.is_relative_to(copy) else 70)
    status = ended(child, LONGEST)
    return 124 if status is None else status


def last_words(copy: Path) -> str:
    """What the tests said at last."""
    return ((copy / "output.txt").read_text().strip().splitlines() or ["nothing"])[-1]


def tried(copy: Path, bug: Bug) -> int:
    """``tested`` with the bug in its place."""
    path, sound = copy / bug.file, PROJECT / bug.file
    path.write_text(sound.read_text().replace(bug.old, bug.new, 1))
    try:
        return tested(copy, bug.tests)
    finally:
        shutil.copy2(sound, path)


def main(wanted: list[str]) -> int:
    """Try the bugs asked for, all by default."""
    table = [b for b in bugs() if not wanted or any(w in b.what or w in b.file for w in wanted)]
    survived: list[str] = []
    os.environ |= {"OMP_NUM_THREADS": "1", "MPLBACKEND": "Agg"}
    sys.dont_write_bytecode = True  # what is compiled of a bug would outlive it
    for library in WARM:
        importlib.import_module(library)
    with tempfile.TemporaryDirectory() as folder:
        copy = copied(Path(folder).resolve())
        os.environ["PYTHONPATH"] = str(copy)  # of what tests start
        names = tuple(dict.fromkeys(test for bug in table for test in bug.tests))
        if tested(copy, names) != 0:
            print(f"the tests fail without any bug: {last_words(copy)}")
            return 2
        print(f"without a bug: {last_words(copy)}", flush=True)
        for number, bug in enumerate(table, 1):
            start = time.monotonic()
            status = tried(copy, bug)
            if status != 1:
                survived.append(f"{bug.file}: {bug.what} ({status}: {last_words(copy)})")
            said = "caught  " if status == 1 else "SURVIVED"
            print(f"{number:3d}/{len(table)} {said} {time.monotonic() - start:4.0f} s  "
                  f"{bug.file}: {bug.what}", flush=True)  # fmt: skip
    share = 1 - len(survived) / max(1, len(table))
    print(f"{len(table) - len(survived)} of {len(table)} bugs caught, {share:.1%}")
    for line in survived:
        print(f"survived: {line}")
    return int(share < ENOUGH)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
