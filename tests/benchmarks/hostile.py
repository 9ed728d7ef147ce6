"""Bad inputs, made by a seed: each must be refused with a sentence, or make the map it should.

    python tests/benchmarks/hostile.py              (make hostile, ten minutes on one core)

More than 400 inputs over all readers and commands, in this process. Told are tracebacks (also
those that a batch keeps), refusals without a sentence, what takes longer than a minute, and maps
that differ in silence: by a median of more than 0.5 over the pixels that they themselves trust,
from the map of the good input. Where only physics can tell (another scale, sun, height or place),
the case is listed apart: it awaits the consistency checks of a scene. Exit code 1 if anything else
is told.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from harness import run
from hostile_inputs import Case, Good, Goods, cases
from typer.testing import CliRunner, Result

import atmorep_bridge.cli
import sifnet.cli
from sifnet.product import pictures
from sifnet.product.netcdf import read, trusted

APPS = {"sifnet": sifnet.cli.app, "bridge": atmorep_bridge.cli.app}
SEED, WRONG, LONGEST = 1, 0.5, 60  # mW m-2 nm-1 sr-1, s
State = Literal["refused", "done", "map", "awaits the checks", "traceback", "silent wrong map"]
STATES: tuple[State, ...] = ("refused", "done", "map", "awaits the checks", "traceback",
                             "silent wrong map")  # fmt: skip


@dataclass(frozen=True)
class Verdict:
    """What became of a case."""

    state: State
    detail: str


class TooLong(Exception):
    """Of its own kind, for what waits on the system would be told as the system's refusal."""


def main() -> None:
    warnings.simplefilter("ignore")
    verdicts: list[tuple[Case, Verdict]] = []
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="sifnet-hostile-") as root, _quick():
        for case, verdict in judged(Goods(Path(root)), SEED):
            verdicts.append((case, verdict))
            if verdict.state in STATES[3:]:
                print(f"{verdict.state}: {case.good.name}: {case.told}\n    {verdict.detail}",
                      flush=True)  # fmt: skip
    print(_table(verdicts), f"\n{len(verdicts)} inputs in {time.monotonic() - began:.0f} s")
    sys.exit(any(verdict.state in STATES[4:] for _, verdict in verdicts))


def judged(goods: Goods, seed: int, share: float = 1.0) -> Iterator[tuple[Case, Verdict]]:
    """Every case with what became of it; ``share`` of them all."""
    checked: set[str] = set()
    for case in cases(goods, seed, share):
        if case.good.folder.name not in checked:
            checked.add(case.good.folder.name)
            _check(goods, case.good)
        yield case, judge(goods, case)


def judge(goods: Goods, case: Case) -> Verdict:
    """Run a case."""
    result = _run(case.good.app, case.arguments)
    told = " ".join(result.stderr.split())
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        where = traceback.extract_tb(result.exception.__traceback__)[-1]
        return Verdict("traceback", f"{result.exception!r:.200} in {where.filename}:{where.lineno}")
    if "nobody foresaw" in told or "Traceback" in told:
        return Verdict("traceback", told[:400])
    if result.exit_code:
        sentence = "error:" in told or "Usage:" in told
        state: State = "refused" if sentence else "traceback"
        return Verdict(state, told[:400] or f"exit code {result.exit_code} without a word")
    made = sorted(case.folder.glob(case.good.product)) if case.good.product else []
    if not made:
        return Verdict("done", "")
    apart = difference(made[0], goods.map(case.good))
    if not apart > WRONG:
        return Verdict("map", f"{apart:.3f}")
    return Verdict("awaits the checks" if case.awaited else "silent wrong map",
                   f"median difference {apart:.2f}")  # fmt: skip


def difference(made: Path, usual: Path) -> float:
    """Median |difference| of two maps over what the first trusts; NaN if that is nothing.

    Of maps of different sizes only the medians are compared.
    """
    ours, theirs = read(made), read(usual)
    good = trusted(ours)
    here, there = ours["sif_760"].values, theirs["sif_760"].values
    if not good.any():
        return float("nan")
    if here.shape != there.shape:
        return float(abs(np.median(here[good]) - np.nanmedian(there)))
    return float(np.nanmedian(np.abs(here - there)[good]))


def _check(goods: Goods, good: Good) -> None:
    """The good input is one, and its map is kept."""
    case = goods.as_it_is(good)
    result = _run(good.app, case.arguments, 10 * LONGEST)
    if result.exit_code:
        raise SystemExit(f"{good.name} is no good input: {result.output} {result.exception!r}")
    if good.product:
        made = next(case.folder.glob(good.product))
        goods.map(good).parent.mkdir(exist_ok=True)
        made.rename(goods.map(good))
        if not trusted(read(goods.map(good))).any():
            raise SystemExit(f"{good.name}: nothing of its map is trusted")


def _run(app: str, arguments: list[str], limit: int = LONGEST) -> Result:
    """A command, ended after a while, s."""

    def late(*_: object) -> None:
        raise TooLong(f"longer than {limit} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(limit)
    try:
        return CliRunner().invoke(APPS[app], arguments)
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


@contextmanager
def _quick() -> Iterator[None]:
    """Without pictures, which take longer than a map, and without what libraries print."""
    drawn: dict[str, Callable[..., object]] = {}
    logging.disable(logging.CRITICAL)
    for name in ("quicklook", "thumbnail"):
        drawn[name] = getattr(pictures, name)
        setattr(pictures, name, _no_picture)
    silent, errors = os.open(os.devnull, os.O_WRONLY), os.dup(2)
    os.dup2(silent, 2)  # GDAL and HDF5 print there themselves
    try:
        yield
    finally:
        os.dup2(errors, 2)
        os.close(silent)
        logging.disable(logging.NOTSET)
        for name, function in drawn.items():
            setattr(pictures, name, function)


def _no_picture(_: object, path: Path) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"PNG")
    return path


def _table(verdicts: list[tuple[Case, Verdict]]) -> str:
    counts: dict[str, Counter[str]] = {}
    for case, verdict in verdicts:
        for name in (case.good.name, "all"):
            counts.setdefault(name, Counter())[verdict.state] += 1
    counts["all"] = counts.pop("all")
    rows = [f"{'':22}" + "".join(f"{state:>19}" for state in STATES)]
    rows += [f"{name:22}" + "".join(f"{count[state]:19}" for state in STATES)
             for name, count in counts.items()]  # fmt: skip
    return "\n".join(rows)


if __name__ == "__main__":
    run(main)
