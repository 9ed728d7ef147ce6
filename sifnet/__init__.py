"""Radiance in, map of sun-induced fluorescence out.

    import sifnet

    scene = sifnet.open_scene("line_FLUO_radiance.hdr")
    model = sifnet.fit(scene)
    product = sifnet.retrieve(scene, model)
    product.sif_760.plot()
    product.sif.spectrum(40, 40).sif.plot()

The nouns and verbs are loaded when they are first used, so that the import itself is quick.
"""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from sifnet.errors import SifnetError as SifnetError
    from sifnet.evaluation.compare import compare as compare
    from sifnet.evaluation.evaluate import evaluate as evaluate
    from sifnet.evaluation.series import series as series
    from sifnet.physics.emulator import Emulator as Emulator
    from sifnet.physics.instrument import Instrument as Instrument
    from sifnet.product.pictures import quicklook as quicklook
    from sifnet.product.retrieve import retrieve as retrieve
    from sifnet.retrieval.model import Retrieval as Retrieval
    from sifnet.retrieval.model import load as load
    from sifnet.scenes import open_scene as open_scene
    from sifnet.scenes.scene import Scene as Scene
    from sifnet.scenes.sensor import Sensor as Sensor
    from sifnet.simulation.simulate import simulate as simulate
    from sifnet.training.config import Config as Config
    from sifnet.training.config import read_config as read_config
    from sifnet.training.fit import Training as Training
    from sifnet.training.fit import fit as fit

_HOME = {
    "Config": "training.config",
    "Emulator": "physics.emulator",
    "Instrument": "physics.instrument",
    "Retrieval": "retrieval.model",
    "Scene": "scenes.scene",
    "Sensor": "scenes.sensor",
    "SifnetError": "errors",
    "Training": "training.fit",
    "compare": "evaluation.compare",
    "evaluate": "evaluation.evaluate",
    "fit": "training.fit",
    "load": "retrieval.model",
    "open_scene": "scenes",
    "quicklook": "product.pictures",
    "read_config": "training.config",
    "retrieve": "product.retrieve",
    "series": "evaluation.series",
    "simulate": "simulation.simulate",
}

__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'sifnet' has no attribute {name!r}")
    with import_module("sifnet.errors").extras():
        value = getattr(import_module(f"sifnet.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])


class _WithXarray:
    """Registers ``product.sif`` as soon as xarray is imported, and not before: that takes 0.5 s."""

    def find_spec(self, name: str, path: object = None, target: object = None) -> Any:
        if name != "xarray":
            return None
        sys.meta_path.remove(self)
        spec = find_spec(name)
        if spec is not None and spec.loader is not None:
            run = spec.loader.exec_module

            def exec_module(module: Any) -> None:
                run(module)
                import_module("sifnet.product.accessor").register()

            spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec


if "xarray" in sys.modules:
    import_module("sifnet.product.accessor").register()
else:
    sys.meta_path.insert(0, _WithXarray())  # type: ignore[arg-type]
