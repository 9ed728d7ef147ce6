"""Scenes on several processes of this machine."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import Pipe, forkserver, get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TypeVar

from sifnet.errors import SifnetError

MEMORY = 2 * 2**30  # bytes of a worker; one that takes more ends, and its scene is a failure
LOOK = 0.5  # s between two looks at what it takes
ENVIRONMENT = {f"{kind}_NUM_THREADS": "1" for kind in ("OMP", "MKL", "OPENBLAS")}
METHOD = "forkserver" if sys.platform == "linux" else "spawn"
LOADED = ["sifnet.batch.worker"]
Result = TypeVar("Result")


def prepare() -> None:
    """Begin to load, in a process beside us, what maps scenes: workers begin as its copies.

    Elsewhere than on Linux libraries may not be copied, and every worker loads its own.
    """
    os.environ.update(ENVIRONMENT)
    if METHOD == "forkserver":
        with _left_to_us():
            forkserver.set_forkserver_preload(LOADED)
            forkserver.ensure_running()


def spread(
    function: Callable[[Path], Result], paths: Sequence[Path], *, workers: int
) -> Iterator[tuple[Path, Result | SifnetError]]:
    """``function`` of every path, as they finish; where its worker died, an error that says so.

    A worker that dies takes all others along, and what they were at is blamed with its path. So
    the blamed are tried again at the end, one after the other.

    Raises:
        SifnetError: no process starts.
    """
    prepare()
    waiting, blamed = deque(paths), []
    while waiting:
        for path, result in _until_one_dies(function, waiting, workers):
            if isinstance(result, SifnetError):
                blamed.append(path)
            else:
                yield path, result
    for path in blamed:
        yield from _until_one_dies(function, deque([path]), 1)


def _until_one_dies(
    function: Callable[[Path], Result], waiting: deque[Path], workers: int
) -> Iterator[tuple[Path, Result | SifnetError]]:
    """Results of those that wait, until none does or a worker dies: then errors of all under way.

    Only what a worker is at is handed out, so that no other path is blamed.
    """
    ours, theirs = Pipe()
    executor = ProcessPoolExecutor(
        min(workers, len(waiting)), get_context(METHOD), _begin, (theirs, MEMORY, LOOK)
    )
    running: dict[Future[Result], Path] = {}
    broken = False
    try:
        while running or (waiting and not broken):
            while waiting and len(running) < workers and not broken:
                path = waiting.popleft()
                running[_submitted(executor, function, path)] = path
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                path = running.pop(future)
                try:
                    yield path, future.result()
                except BrokenProcessPool:
                    broken = True
                    yield path, _death(path, ours)
    finally:
        ours.close()  # which ends those that still work
        executor.shutdown(cancel_futures=True)
        theirs.close()


def _submitted(
    executor: ProcessPoolExecutor, function: Callable[[Path], Result], path: Path
) -> Future[Result]:
    try:
        return executor.submit(function, path)
    except BrokenProcessPool as error:  # since the last look
        future: Future[Result] = Future()
        future.set_exception(error)
        return future
    except (OSError, EOFError) as error:
        raise SifnetError(
            "the processes of --workers do not start",
            found=str(error) or type(error).__name__,
            expected="memory for all of them",
            remedy="Ask for fewer with --workers.",
        ) from error


def _death(path: Path, said: Connection) -> SifnetError:
    return SifnetError(
        "the worker did not survive this scene",
        found=said.recv() if said.poll() else "it ended without a word",
        expected=f"at most {MEMORY / 2**30:.0f} GiB of memory a worker",
        remedy="Map the scene alone with one worker, and see what it says.",
        file=path,
    )


def _begin(above: Connection, memory: int, look: float) -> None:
    """What a worker does first. Ctrl-C reaches all processes of a terminal: it is left to ours."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_watch, args=(above, memory, look), daemon=True).start()


def _watch(above: Connection, memory: int, look: float) -> None:
    """End a worker that takes too much, or that nobody waits for: the other end is closed."""
    import psutil  # here, so that a batch that is done need not load it

    own = psutil.Process()
    while not above.poll(look):
        if (taken := own.memory_info().rss) > memory:
            above.send(f"{taken / 2**30:.1f} GiB")
            break
    os._exit(1)


@contextmanager
def _left_to_us() -> Iterator[None]:
    """What is started meanwhile ignores Ctrl-C.

    Only the main thread may say so; elsewhere nothing changes.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    usual = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, usual)
