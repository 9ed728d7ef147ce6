"""Scenes on several processes of this machine."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing import forkserver, get_context, parent_process
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, TypeVar

from sifnet.errors import SifnetError

MEMORY = 2 * 2**30  # bytes of a worker; one that takes more is ended, and its scene is a failure
LOOK = 0.5  # s between two looks at what they take
ENDING = 5.0  # s that one that ends may take to say how
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

    It may have died because others took the memory. So the path is tried again at the end, alone.

    Raises:
        SifnetError: no process starts.
    """
    prepare()
    died = []
    for path, result in _handed_out(function, paths, workers):
        if isinstance(result, SifnetError):
            died.append(path)
        else:
            yield path, result
    for path in died:
        yield from _handed_out(function, [path], 1)


def _handed_out(
    function: Callable[[Path], Result], paths: Sequence[Path], workers: int
) -> Iterator[tuple[Path, Result | SifnetError]]:
    """Every path to the worker that is free first."""
    waiting = deque(paths)
    busy: dict[Any, _Worker] = {}

    def give(worker: _Worker) -> None:
        worker.give(waiting.popleft())
        busy[worker.connection] = worker

    try:
        for _ in range(min(workers, len(paths))):
            give(_started(function))
        while busy:
            for connection in wait(list(busy), LOOK):
                worker = busy.pop(connection)
                path, result = worker.path, worker.result()
                died = isinstance(result, SifnetError)
                if died or not waiting:
                    worker.end()
                if waiting:
                    give(_started(function) if died else worker)
                yield path, result
            for worker in busy.values():
                worker.end_if_large()
    finally:
        for worker in busy.values():
            worker.end()


def _started(function: Callable[[Path], Any]) -> _Worker:
    """A worker; if what it should be a copy of has died, once more.

    Raises:
        SifnetError: again it does not start.
    """
    with suppress(OSError, EOFError):
        return _Worker(function)
    try:
        return _Worker(function)
    except (OSError, EOFError) as error:
        raise SifnetError(
            "the processes of --workers do not start",
            found=str(error) or type(error).__name__,
            expected="memory for all of them",
            remedy="Ask for fewer with --workers.",
        ) from error


class _Worker:
    """A process that answers one path after the other.

    Attributes:
        connection: ready when an answer is there, or the process has ended.
        path: that it is at.
        why: it was ended, if we did so.
    """

    path: Path
    why = ""

    def __init__(self, function: Callable[[Path], Any]) -> None:
        context: Any = get_context(METHOD)
        self.connection, its = context.Pipe()
        self.process = context.Process(target=_serve, args=(function, its), daemon=True)
        with _left_to_us():
            self.process.start()
        its.close()  # so that the process has the only one, which is closed when it ends

    def give(self, path: Path) -> None:
        self.path = path
        with suppress(OSError):  # it has died, as the answer will say
            self.connection.send(path)

    def result(self) -> Any:
        try:
            return self.connection.recv()
        except (OSError, EOFError):
            self.process.join(ENDING)
            return SifnetError(
                "the worker did not survive this scene",
                found=self.why or f"it ended with exit code {self.process.exitcode}",
                expected=f"at most {MEMORY / 2**30:.0f} GiB of memory a worker",
                remedy="Map the scene alone with one worker, and see what it says.",
                file=self.path,
            )

    def end_if_large(self) -> None:
        import psutil  # here, so that a batch that is done need not load it

        with suppress(psutil.Error):
            taken = psutil.Process(self.process.pid).memory_info().rss
            if taken > MEMORY:
                self.why = f"{taken / 2**30:.1f} GiB"
                self.process.kill()

    def end(self) -> None:
        self.process.kill()
        self.process.join()
        self.connection.close()


def _serve(function: Callable[[Path], Any], connection: Connection) -> None:
    """What a worker does: it ends with the process that started it, also where that is killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_follow, daemon=True).start()
    while True:
        connection.send(function(connection.recv()))


def _follow() -> None:
    above = parent_process()
    assert above is not None
    above.join()
    os._exit(1)


@contextmanager
def _left_to_us() -> Iterator[None]:
    """Ctrl-C reaches all processes of a terminal; those started meanwhile ignore it, and are ended.

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
