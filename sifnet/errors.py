"""The one error a user meets: it names the file, what was found, what was expected, the remedy."""

from __future__ import annotations

from pathlib import Path


class SifnetError(ValueError):
    """Bad input, told in one sentence shape: ``file: what: found ...; expected .... Remedy``.

    Every input that sifnet refuses is refused with this error, so that the command line can
    print it without a traceback and a script can catch it by one name.
    """

    def __init__(
        self,
        what: str,
        *,
        found: object = None,
        expected: object = None,
        remedy: str | None = None,
        file: str | Path | None = None,
    ) -> None:
        message = f"{file}: {what}" if file is not None else what
        details = [
            f"{label} {value}"
            for label, value in (("found", found), ("expected", expected))
            if value is not None
        ]
        if details:
            message += ": " + "; ".join(details)
        if remedy:
            message += f". {remedy}"
        super().__init__(message)
        self.remedy = remedy
