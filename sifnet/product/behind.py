"""What stands behind a product: its scene and its model, where they are, and unchanged."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import xarray as xr

from sifnet.errors import SifnetError
from sifnet.files import data_file, sha256
from sifnet.product.kept import IN_MEMORY, Behind, kept_spectra
from sifnet.product.provenance import same_sources, sources, told

if TYPE_CHECKING:
    from sifnet.retrieval.model import Retrieval
    from sifnet.retrieval.shared import Shared
    from sifnet.scenes.scene import Scene


def behind(
    product: xr.Dataset, scene: Scene | None = None, model: Retrieval | str | Path | None = None
) -> Behind | None:
    """What stands behind a product; None where its scene or model is gone.

    Args:
        scene, model: where they are not where the product says.

    Raises:
        SifnetError: they are there, and not what the product was made of; or the product is a
            part of one.
    """
    there = product.encoding.get(IN_MEMORY)
    if isinstance(there, Behind) and scene is None and model is None:
        return _of_same_size(product, there)
    attrs = told(product)
    air_known, atmosphere = _atmosphere(attrs)
    file = _model_file(attrs) if model is None else model
    scene = _scene(attrs) if scene is None else scene
    if scene is None or file is None or not air_known:
        return None
    return _of_same_size(product, _solved(product, scene, file, atmosphere))


def _solved(
    product: xr.Dataset,
    scene: Scene,
    file: Retrieval | str | Path,
    atmosphere: xr.Dataset | None,
) -> Behind:
    """As it was mapped: on the ground that is known, bands where lines are, what a line shares as
    the file has it, or found again.
    """
    from sifnet.retrieval.prior import prepared
    from sifnet.retrieval.shared import find_shared
    from sifnet.retrieval.shipped import model_for

    scene = prepared(scene, atmosphere)
    model = model_for(scene, file)
    kept = kept_spectra(product)
    if kept is None:
        return Behind(scene, model, find_shared(scene, model, atmosphere=atmosphere), atmosphere)
    return Behind(scene, model, _shared(kept), atmosphere, bool(kept.attrs["refined"]))


def _shared(kept: xr.Dataset) -> Shared:
    """What a line shares, but for what only uncertainties need."""
    import torch

    from sifnet.physics.state import SensorState
    from sifnet.retrieval.brightness import Brightness
    from sifnet.retrieval.shared import Shared

    nothing = torch.zeros(0)
    row, column = (int(x) for x in kept.attrs["patch"])

    def part(prefix: str, **more: Any) -> Shared:
        deviation, sensor, errors = (
            torch.as_tensor(kept[f"{prefix}{name}"].values)
            for name in ("air_deviation", "sensor", "errors")
        )
        return Shared(deviation, nothing, SensorState.unstack(sensor), Brightness(nothing),
                      (row, column), errors, **more)  # fmt: skip

    return part("", said=part("encoder_"))


def _scene(attrs: Mapping[str, Any]) -> Scene | None:
    """The scene where it was, None where it is gone."""
    from sifnet.scenes import open_scene

    files = sources(attrs)
    path = Path(attrs["scene_path"]) if "scene_path" in attrs else None
    if path is None or not files or not path.exists() or not all(f.exists() for f in files):
        return None
    if not same_sources(attrs, files):
        raise SifnetError(
            "the scene is not the one that this product was made of",
            found="files of another content (SHA-256)",
            expected=str(attrs.get("source_sha256")).split("\n")[0],
            remedy="Map it anew with `sifnet retrieve`, or give the right one: "
            "product.sif.spectrum(..., scene=sifnet.open_scene(...)).",
            file=files[0],
        )
    return open_scene(path, sensor=attrs["sensor"], **json.loads(attrs.get("scene_site", "{}")))


def _model_file(attrs: Mapping[str, Any]) -> Path | None:
    """The model where it was, or as it ships; None where it is gone."""
    if "model_file" not in attrs:
        return None
    path = Path(attrs["model_file"])
    if not path.is_file():
        try:
            path = data_file(path.name)
        except SifnetError:
            return None
    if sha256(path) != attrs["model_sha256"]:
        raise SifnetError(
            "the model is not the one that made this product",
            found=f"SHA-256 {sha256(path)}",
            expected=attrs["model_sha256"],
            remedy="Map the scene anew with `sifnet retrieve`, or give the right one: "
            "product.sif.spectrum(..., model=...).",
            file=path,
        )
    return path


def _atmosphere(attrs: Mapping[str, Any]) -> tuple[bool, xr.Dataset | None]:
    """Whether what was known of the air is known still, and it."""
    from sifnet.product.retrieve import read_atmosphere

    files = [
        Path(attrs[name]) if name in attrs else None for name in ("atmosphere_file", "labels_file")
    ]
    if not any(files):
        return "atmosphere_prior" not in attrs, None
    if any(file is not None and not file.exists() for file in files):
        return False, None
    stated = json.loads(attrs.get("settings", "{}"))
    for name, file in zip(("atmosphere", "labels"), files, strict=True):
        if file is not None and file.is_file() and sha256(file) != stated.get(name):
            raise SifnetError(
                "what is known of the air is not what this product was made with",
                found=f"SHA-256 {sha256(file)}",
                expected=stated.get(name),
                remedy="Bring the file back, or map the scene anew with `sifnet retrieve`.",
                file=file,
            )
    return True, read_atmosphere(*files)


def _of_same_size(product: xr.Dataset, found: Behind) -> Behind:
    expected, shape = found.scene.shape[:2], product["sif_760"].shape
    if shape != expected:
        raise SifnetError(
            "this is a part of a product, whose pixels are not those of its scene",
            found=f"{shape[0]} lines, {shape[1]} samples",
            expected=f"{expected[0]} lines, {expected[1]} samples",
            remedy="Ask the whole product for the spectrum.",
        )
    return found
