"""Scenes on several processes: a local Dask cluster, or one that runs elsewhere."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing import forkserver
from pathlib import Path
from typing import Any, TypeVar

from sifnet.errors import SifnetError, extras

MEMORY = "2GiB"  # a worker; Dask ends one that takes more, and its scene is a failure
ENVIRONMENT = {f"{kind}_NUM_THREADS": "1" for kind in ("OMP", "MKL", "OPENBLAS")} | {
    # Dask's own setting has memory given back after every tensor, which halves the speed.
    "MALLOC_TRIM_THRESHOLD_": str(2**30),
    "MALLOC_MMAP_THRESHOLD_": str(2**25),
    "MALLOC_TOP_PAD_": str(2**26),
    "MALLOC_ARENA_MAX": "1",
}
METHOD = "forkserver" if sys.platform == "linux" else "spawn"
LOADED = ["distributed.nanny", "sifnet.batch.worker"]
HOME = "127.0.0.1"  # Dask's ports and pages obey whoever reaches them
PATIENCE = 20  # s to reach a scheduler
Result = TypeVar("Result")


def spread(
    function: Callable[[Path], Result],
    paths: Sequence[Path],
    *,
    workers: int,
    scheduler: str | None = None,
) -> Iterator[tuple[Path, Result | SifnetError]]:
    """``function`` of every path, as they finish; where its worker died, an error that says so.

    Whatever waited on a worker that dies is blamed with the one that killed it. So the blamed are
    tried again at the end, one after the other.

    Raises:
        SifnetError: the scheduler cannot be reached, or the extra ``batch`` is not installed.
    """
    if scheduler is None:
        _load_beside()
    with extras():
        from distributed import Future, KilledWorker, as_completed

    def result(future: Future, path: Path) -> Result | SifnetError:
        problem = future.exception()
        if problem is None:
            return future.result()  # type: ignore[no-any-return]
        return SifnetError(
            "the worker did not survive this scene",
            found=f"{type(problem).__name__}: {problem}",
            expected=f"at most {MEMORY} of memory a worker",
            remedy="Map the scene alone with one worker, and see what it says.",
            file=path,
        )

    with _client(min(workers, len(paths)), scheduler) as client:
        futures = {client.submit(function, path, pure=False): path for path in paths}
        blamed = []
        try:
            for future in as_completed(futures):
                if isinstance(future.exception(), KilledWorker):
                    blamed.append(futures[future])
                else:
                    yield futures[future], result(future, futures[future])
        finally:
            client.cancel(list(futures))
        for path in blamed:
            yield path, result(client.submit(function, path, pure=False), path)


def _load_beside() -> None:
    """Begin to load, in a process beside us, what maps scenes: workers begin as its copies.

    So this takes the time of one and not of each, while we load Dask. Elsewhere than on Linux
    libraries may not be copied, and every worker loads its own.
    """
    if METHOD != "forkserver":
        return
    os.environ.update(ENVIRONMENT)  # as Dask does, for what glibc reads when a process starts
    with _left_to_us():
        forkserver.set_forkserver_preload(LOADED)
        forkserver.ensure_running()


@contextmanager
def _client(workers: int, scheduler: str | None) -> Iterator[Any]:
    import dask
    from distributed import Client

    if scheduler is not None:
        try:
            client = Client(scheduler, timeout=PATIENCE)
        except (OSError, ValueError) as error:
            raise SifnetError(
                "the Dask scheduler does not answer",
                found=str(error).split("\n")[0] or type(error).__name__,
                expected="the address of a running scheduler, as tcp://host:8786",
                remedy="Check the address, and that both sides have the same version of Dask.",
                file=scheduler,
            ) from error
        with client:
            yield client
        return
    logging.getLogger("distributed").setLevel(logging.ERROR)
    settings = {
        # One worker that dies of a scene is enough to know that the scene is at fault.
        "distributed.scheduler.allowed-failures": 0,
        "distributed.nanny.pre-spawn-environ": ENVIRONMENT,
        "distributed.worker.multiprocessing-method": METHOD,
        "distributed.worker.profile.enabled": False,
        # What all processes look at by default fifty times a second takes 4 % of two cores.
        "distributed.admin.tick.interval": "1s",
        "distributed.admin.system-monitor.interval": "5s",
        "distributed.worker.memory.monitor-interval": "500ms",
    }
    with dask.config.set(settings), _left_to_us():
        cluster = _started(
            n_workers=workers,
            host=HOME,
            threads_per_worker=1,
            processes=True,
            memory_limit=MEMORY,
            silence_logs=logging.CRITICAL,  # one that is ended says that nobody answers it
            dashboard_address=None,  # pages that nobody looks at take longer to load than the rest
            scheduler_kwargs={"dashboard_address": f"{HOME}:0"},  # any port that is free
        )
    with cluster, Client(cluster) as client:
        yield client


def _started(**options: Any) -> Any:
    """A cluster; a worker that dies while it starts takes all along, so it is tried once more.

    Raises:
        SifnetError: again it does not start.
    """
    from distributed import LocalCluster

    try:
        return LocalCluster(**options)
    except RuntimeError:
        pass
    try:
        return LocalCluster(**options)
    except RuntimeError as error:
        raise SifnetError(
            "the processes of --workers do not start",
            found=str(error).split("\n")[0],
            expected=f"memory for {options.get('n_workers')} of them",
            remedy="Ask for fewer with --workers.",
        ) from error


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
