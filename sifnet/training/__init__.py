"""Fitting and pre-training; the only room that knows Lightning."""

import gc

# Out of sight of the collector of garbage, which would walk through it again and again.
_collects = gc.isenabled()
gc.disable()
try:
    import lightning  # noqa: F401
finally:
    if _collects:
        gc.enable()
