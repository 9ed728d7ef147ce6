"""The one error a user meets: it names the file, what was found, what was expected, the remedy."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def shown(text: str) -> str:
    """Text that can be printed and written: bytes of a file's name that are no UTF-8, as codes."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


class SifnetError(ValueError):
    """Bad input, told in one sentence shape: ``file: what: found ...; expected .... Remedy``.

    Every input that sifnet refuses is refused with this error, so that the command line can
    print it without a traceback and a script can catch it by one name. The remedy is one that
    Python offers; where the command line has another, ``at_terminal`` tells that.
    """

    def __init__(
        self,
        what: str,
        *,
        found: object = None,
        expected: object = None,
        remedy: str | None = None,
        command: str | None = None,
        file: str | Path | None = None,
    ) -> None:
        """State what is wrong.

        Args:
            remedy: what to do, in Python. command: the same at the command line, if it differs.
        """
        message = f"{file}: {what}" if file is not None else what
        details = [
            f"{label} {value}"
            for label, value in (("found", found), ("expected", expected))
            if value is not None
        ]
        if details:
            message += ": " + "; ".join(details)
        command = command or remedy
        super().__init__(shown(f"{message}. {remedy}" if remedy else message))
        self.remedy = command
        self.at_terminal = shown(f"{message}. {command}" if command else message)


MOST_SEED = 2**32 - 1  # that all generators of random numbers take


def require_number(
    what: str, value: float, least: float, most: float = math.inf, *, below: bool = False
) -> None:
    """Refuse a setting that is not finite, or beyond its limits; ``below``: least is too little.

    Raises:
        SifnetError: it is.
    """
    if math.isfinite(value) and (least < value if below else least <= value) and value <= most:
        return
    low = f"above {least:g}" if below else f"at least {least:g}"
    raise SifnetError(
        f"{what} is impossible",
        found=value,
        expected=low if math.isinf(most) else f"{low}, at most {most:g}",
        remedy="Correct this value.",
    )


EXTRAS = {
    "lightning": "train", "yaml": "train", "distributed": "batch", "dask": "bridge",
    "zarr": "bridge", "astropy_healpix": "bridge", "sasktran2": "build", "joseki": "build",
    "prosail": "build", "cfgrib": "grib", "eccodes": "grib", "geopandas": "fields",
}  # fmt: skip
"""Libraries that not everybody needs, and the extra of sifnet that installs each."""


def not_installed(error: BaseException) -> SifnetError | None:
    """The sentence for a library of an extra that is missing; None for any other error."""
    library = (getattr(error, "name", None) or "").split(".")[0]
    if not isinstance(error, ModuleNotFoundError) or library not in EXTRAS:
        return None
    told = SifnetError(
        "a library that this needs is not installed",
        found=f"no {library}",
        expected=f"the libraries of the extra `{EXTRAS[library]}`",
        remedy=f"Install them: pip install 'sifnet[{EXTRAS[library]}]'",
    )
    told.__cause__ = error
    return told


@contextmanager
def extras() -> Iterator[None]:
    """Turn a missing library of an extra into the sentence that names it.

    Raises:
        SifnetError: one is missing.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if (told := not_installed(error)) is None:
            raise
        raise told from error


_MEMORY = "allocate memory|Unable to allocate|not enough memory|bad_alloc|failed to map segment"


def out_of_memory(error: BaseException) -> SifnetError | None:
    """The sentence for an error that says that memory did not suffice; None for any other."""
    if not isinstance(error, MemoryError) and not re.search(_MEMORY, str(error)):
        return None
    told = SifnetError(
        "memory does not suffice",
        found=f"{type(error).__name__}: {error}".split("\n")[0].removesuffix(": "),
        expected="about 2 GiB for each process",
        remedy="End other programs, or allow more (`ulimit -v`).",
        command="End other programs, allow more (`ulimit -v`), or use fewer --workers; the same "
        "command goes on.",
    )
    told.__cause__ = error
    return told


def told_by_system(error: BaseException, file: Path | None = None) -> SifnetError | None:
    """What the system does not give or let us do, in our words; None for any other error.

    Args:
        file: that was worked on, where the error names none.
    """
    told = out_of_memory(error) or not_installed(error)
    if told is None and isinstance(error, OSError):
        named = error.filename or file
        told = SifnetError(
            "a file cannot be used",
            found=error.strerror or str(error) or type(error).__name__,
            expected="files that may be read, and folders that may be written",
            remedy="Check its name, its permissions and the room on the disk.",
            file=None if named is None else str(named)[:200],
        )
        told.__cause__ = error
    return told
