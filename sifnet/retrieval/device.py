"""Where a map is computed: scenes are read on the processor, all else may be on a device."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch

from sifnet.errors import SifnetError

KINDS = ("auto", "cpu", "cuda")


def device_of(kind: str) -> torch.device:
    """The device of a kind; ``auto`` is a graphics card where there is one.

    Raises:
        SifnetError: no such kind, or this machine has none.
    """
    there = torch.cuda.is_available()
    if kind not in KINDS or (kind == "cuda" and not there):
        raise SifnetError(
            "there is no such device",
            found=repr(kind),
            expected="auto, cpu" + (" or cuda" if there else "; this machine has no CUDA device"),
            remedy="Leave `--device` out: auto takes what is there.",
        )
    return torch.device("cuda" if kind == "cuda" or (kind == "auto" and there) else "cpu")


def made_on(device: torch.device) -> AbstractContextManager[object]:
    """Tensors that are made within are made there."""
    return nullcontext() if device.type == "cpu" else device
