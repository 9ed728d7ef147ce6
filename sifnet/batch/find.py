"""Which scenes are meant by files, folders of downloads, zips and patterns."""

from __future__ import annotations

import glob
import re
from collections.abc import Sequence
from pathlib import Path

from sifnet.errors import SifnetError
from sifnet.scenes import flex, flox, readers

# What names of one product have beside its own, in products of DLR.
LAYERS = re.compile(r"-(SPECTRAL_IMAGE|METADATA|QL_|HISTORY|ABSTRACT)", re.IGNORECASE)
FIRST = (".hdr", ".tif", ".tiff", ".zip")  # of several files of a product, which is named


def find(named: Sequence[Path]) -> tuple[list[Path], dict[Path, SifnetError]]:
    """Scenes that paths stand for, and the paths that stand for none.

    Two scenes of one name would have one product: the first is taken, the other refused.

    Args:
        named: products, folders with products in them at any depth, or patterns (``*``, ``**``).
    """
    names: dict[str, Path] = {}
    refused: dict[Path, SifnetError] = {}
    for path in named:
        matching = [path]
        if not path.exists() and glob.has_magic(str(path)):  # absolute, as pathlib's may not be
            matching = sorted(map(Path, glob.glob(str(path), recursive=True)))  # noqa: PTH207
        scenes = [scene for match in matching for scene in _scenes(match)]
        if not scenes:
            refused[path] = SifnetError(
                "no scene is here",
                found="no product in this folder" if path.exists() else "nothing that matches",
                expected=f"products of {', '.join(readers())}",
                remedy="Check the path.",
                file=path,
            )
        for scene in scenes:
            first = names.setdefault(name_of(scene).lower(), scene)
            if first.absolute() != scene.absolute():
                refused[scene] = SifnetError(
                    "two scenes of one name",
                    found=f"the same name as {first}",
                    expected="different names, because products are named like their scenes",
                    remedy="Map this one by itself into another folder with -o.",
                    file=scene,
                )
    return list(names.values()), refused


def name_of(scene: Path) -> str:
    """What readers call a scene, as far as its path tells."""
    path = scene.absolute()
    return path.name if path.is_dir() else LAYERS.split(path.stem)[0]


def _scenes(path: Path) -> list[Path]:
    # A folder of FloX is one series, one of FLEX one product.
    if not path.is_dir() or flox.matches(path) or flex.is_product(path):
        return [path]
    products: dict[str, list[Path]] = {}
    deeper: list[Path] = []
    for child in sorted(path.iterdir()):
        if child.is_dir():
            deeper += _scenes(child)
        elif _is_scene(child):
            products.setdefault(name_of(child), []).append(child)
    return [min(files, key=_rank) for files in products.values()] + deeper


def _is_scene(path: Path) -> bool:
    try:
        return any(reader.matches(path) for reader in readers().values())
    except (SifnetError, OSError):
        return True  # damaged: its reader will say how


def _rank(path: Path) -> tuple[bool, int, str]:
    suffix = path.suffix.lower()
    place = FIRST.index(suffix) if suffix in FIRST else len(FIRST)
    return "SPECTRAL_IMAGE" not in path.name.upper(), place, path.name
