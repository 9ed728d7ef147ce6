"""Processes that are forked, and how they end."""

from __future__ import annotations

import os
import signal
import time


def ended(pid: int, within: float) -> int | None:
    """Exit status of a fork that leads a session: below 0 where a signal ended it.

    None where it takes longer, s; the session is then killed.
    """
    until = time.monotonic() + within
    while time.monotonic() < until:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.005)
    os.killpg(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return None
