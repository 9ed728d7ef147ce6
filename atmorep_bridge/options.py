"""What command lines say as text, for all commands of ``atmorep-bridge``."""

from __future__ import annotations

import math
import shlex
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from sifnet.errors import SifnetError, require_number

if TYPE_CHECKING:
    import numpy as np

Files = Annotated[
    list[str], typer.Argument(metavar="FILE...", help="NetCDF, GRIB or zarr (also gs://).")
]
Until = Annotated[
    str | None, typer.Option(metavar="TIME", help="Last time to train on; all by default.")
]
Seed = Annotated[int, typer.Option(help="The same seed gives the same result.")]


def command() -> str:
    """The command that runs, as somebody would type it again."""
    return shlex.join(["atmorep-bridge", *sys.argv[1:]])


def numbers(text: str, many: int | None, option: str, *, whole: bool = False) -> list[float]:
    """So many of them (None: some), separated by commas.

    Raises:
        SifnetError: it is something else; the message names the option.
    """
    try:
        given = [float(part) for part in text.split(",")]
        if len(given) != (many or len(given)) or not all(map(math.isfinite, given)):
            raise ValueError
        if whole and any(number % 1 for number in given):
            raise ValueError
    except ValueError as error:
        raise SifnetError(
            f"{option} is not understood", found=text,
            expected=f"{many or 'some'} {'whole ' * whole}numbers, separated by commas",
        ) from error  # fmt: skip
    return given


def place(text: str, option: str) -> tuple[float, float]:
    """Latitude and longitude, degrees.

    Raises:
        SifnetError: it is no place on Earth; the message names the option.
    """
    latitude, longitude = numbers(text, 2, option)
    require_number(f"{option}: latitude", latitude, -90, 90)
    require_number(f"{option}: longitude", longitude, -180, 360)
    return latitude, longitude


def time(text: str) -> np.datetime64:
    """UTC.

    Raises:
        SifnetError: it is no time.
    """
    import numpy as np

    try:
        # In ns alone, years that it cannot hold would come out as others.
        day, exact = np.datetime64(text, "D"), np.datetime64(text, "ns")
        if np.isnat(exact) or exact.astype(day.dtype) != day:
            raise ValueError(text)
        return exact
    except ValueError as error:
        raise SifnetError("this is no time", found=text, expected="2020-06-25T09, or 2020-06",
                          remedy="Write it in UTC.") from error  # fmt: skip
