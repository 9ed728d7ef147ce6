"""What command lines say as text, for all commands of ``atmorep-bridge``."""

from __future__ import annotations

import math
import shlex
import sys
from typing import TYPE_CHECKING

from sifnet.errors import SifnetError

if TYPE_CHECKING:
    import numpy as np


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
        raise SifnetError("this is no time", found=text, expected="2020-06-25T09",
                          remedy="Write it in UTC.") from error  # fmt: skip
