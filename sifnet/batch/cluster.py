"""Scenes on a Dask cluster that runs already."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

from sifnet.errors import SifnetError, extras

PATIENCE = 20  # s to reach a scheduler
Result = TypeVar("Result")


def spread(
    function: Callable[[Path], Result], paths: Sequence[Path], scheduler: str
) -> Iterator[tuple[Path, Result | SifnetError]]:
    """``function`` of every path, as they finish; where its worker died, an error that says so.

    Whatever waited on a worker that dies is blamed with the one that killed it. So the blamed are
    tried again at the end, one after the other.

    Args:
        scheduler: its address.

    Raises:
        SifnetError: the scheduler cannot be reached, or the extra ``batch`` is not installed.
    """
    with extras():
        from distributed import Future, KilledWorker, as_completed

    def result(future: Future, path: Path) -> Result | SifnetError:
        problem = future.exception()
        if problem is None:
            return future.result()  # type: ignore[no-any-return]
        return SifnetError(
            "the worker did not survive this scene",
            found=f"{type(problem).__name__}: {problem}",
            expected="about 2 GiB of memory a worker",
            remedy="Map the scene alone with one worker, and see what it says.",
            file=path,
        )

    with _client(scheduler) as client:
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


def _client(scheduler: str) -> Any:
    from distributed import Client

    try:
        return Client(scheduler, timeout=PATIENCE)
    except (OSError, ValueError) as error:
        raise SifnetError(
            "the Dask scheduler does not answer",
            found=str(error).split("\n")[0] or type(error).__name__,
            expected="the address of a running scheduler, as tcp://host:8786",
            remedy="Check the address, and that both sides have the same version of Dask.",
            file=scheduler,
        ) from error
