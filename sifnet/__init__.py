"""Radiance in, map of sun-induced fluorescence out.

    import sifnet

    scene = sifnet.open_scene("line_FLUO_radiance.hdr")
    model = sifnet.fit(scene)
    product = sifnet.retrieve(scene, model)
    product.sif_760.plot()

The nouns and verbs are loaded when they are first used, so that the import itself is quick.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from sifnet.config import Config, read_config
    from sifnet.errors import SifnetError
    from sifnet.evaluation import evaluate
    from sifnet.physics.emulator import Emulator
    from sifnet.physics.instrument import Instrument
    from sifnet.plots import quicklook
    from sifnet.product import retrieve
    from sifnet.readers import open_scene
    from sifnet.retrieval import Retrieval, load
    from sifnet.scene import Scene
    from sifnet.simulation import simulate
    from sifnet.training import fit

_HOME = {
    "Config": "config",
    "Emulator": "physics.emulator",
    "Instrument": "physics.instrument",
    "Retrieval": "retrieval",
    "Scene": "scene",
    "SifnetError": "errors",
    "evaluate": "evaluation",
    "fit": "training",
    "load": "retrieval",
    "open_scene": "readers",
    "quicklook": "plots",
    "read_config": "config",
    "retrieve": "product",
    "simulate": "simulation",
}

__all__ = [
    "Config",
    "Emulator",
    "Instrument",
    "Retrieval",
    "Scene",
    "SifnetError",
    "evaluate",
    "fit",
    "load",
    "open_scene",
    "quicklook",
    "read_config",
    "retrieve",
    "simulate",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'sifnet' has no attribute {name!r}")
    value = getattr(import_module(f"sifnet.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
