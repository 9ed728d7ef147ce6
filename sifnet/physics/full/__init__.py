"""Full radiative transfer, line by line: what only the extra ``build`` needs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sifnet.errors import SifnetError


@contextmanager
def installed() -> Iterator[None]:
    """Turn a missing library of the extra into the sentence that helps.

    Raises:
        SifnetError: it is missing.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name not in ("sasktran2", "joseki"):
            raise
        raise SifnetError(
            "full radiative transfer is not installed",
            found=f"no {error.name}",
            expected="the libraries of the extra `build`",
            remedy="Install them: pip install 'sifnet[build]'",
        ) from error
