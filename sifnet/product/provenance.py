"""Where a product came from: written into it, and read to know what need not be done again."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py

from sifnet import __version__
from sifnet.errors import SifnetError, shown
from sifnet.files import sha256, size_and_time

if TYPE_CHECKING:
    import xarray as xr

    from sifnet.scenes.scene import Scene


@dataclass(frozen=True)
class Provenance:
    """Where a product came from, beside its scene.

    Attributes:
        command: as it was typed.
        model_file: the checkpoint, None if the model was never saved.
        configuration: of the model and of the fit that made it.
        seed: of the fit.
        atmosphere_source: what was known of the atmosphere beforehand.
        atmosphere_file, labels_file: the files that knew it.
        settings: of the retrieval, by which a batch knows what it made.
        scene_path: what the user named to open the scene.
    """

    command: str = "sifnet from Python"
    model_file: Path | None = None
    configuration: Mapping[str, Any] = field(default_factory=dict)
    seed: int | None = None
    atmosphere_source: str = "standard atmosphere and climatological prior of sifnet"
    atmosphere_file: Path | None = None
    labels_file: Path | None = None
    settings: str = ""
    scene_path: Path | None = None


RECORD = "provenance"  # the variable of a product that holds all of it, as JSON


def attributes(scene: Scene, provenance: Provenance) -> tuple[dict[str, Any], dict[str, Any]]:
    """What a product says of its origin in its attributes, and the rest, which is for its record.

    The record has the settings, wavelengths and checksums, hundreds of numbers that nobody wants
    to see in a header.
    """
    import torch  # takes seconds, for which reading attributes need not wait

    now = datetime.now(UTC).isoformat(timespec="seconds")
    data = scene.dataset
    files = source_files(scene)
    told: dict[str, Any] = {
        "source": f"sifnet {__version__}, self-supervised retrieval, {scene.sensor.name} radiance",
        "history": f"{now} sifnet {__version__}: {provenance.command}",
        "scene": scene.name,
        "sensor": scene.sensor.name,
        "acquisition_time": str(data.attrs["acquisition_time"]),
        "sifnet_version": __version__,
        "source_files": "\n".join(str(file.absolute()) for file in files),
        "model_file": provenance.model_file and str(provenance.model_file.absolute()),
        "model_sha256": provenance.model_file and sha256(provenance.model_file),
    }
    record: dict[str, Any] = {
        "command": provenance.command,
        "source_sha256": "\n".join(sha256(file) if file.is_file() else "?" for file in files),
        "source_size_and_time": "\n".join(map(size_and_time, files)),
        "reader_notes": "\n".join(str(note) for note in data.attrs["notes"]),
        "configuration": dict(provenance.configuration),
        "atmosphere_source": provenance.atmosphere_source,
        "made_with": made_with(),
        "threads": torch.get_num_threads(),
        "pixels_placed_by": placed_by(scene),
        "settings": provenance.settings or None,
        "seed": provenance.seed,
    }
    for name in ("scene_path", "atmosphere_file", "labels_file"):
        path = getattr(provenance, name)
        record[name] = path and str(path.absolute())
    record["scene_path"] = record["scene_path"] or data.attrs.get("opened")
    record["scene_site"] = json.dumps(data.attrs["site"]) if data.attrs.get("site") else None
    return _stated(told), _stated(record)


def placed_by(scene: Scene) -> str:
    """What says where every pixel lies; nothing where nothing does."""
    if {"crs", "transform"} <= scene.dataset.attrs.keys():
        return "map grid"
    both = {"line", "sample"}
    own = all(n in scene.dataset and set(scene.dataset[n].dims) == both for n in _DEGREES)
    return "latitude and longitude" if own and min(scene.shape[:2]) > 1 else ""


_DEGREES = ("latitude", "longitude")


def _stated(items: Mapping[str, Any]) -> dict[str, Any]:
    known = {name: value for name, value in items.items() if value is not None}
    return {name: shown(v) if isinstance(v, str) else v for name, v in known.items()}


def written(record: Mapping[str, Any]) -> xr.Variable:
    """A record as the variable of a product."""
    import numpy as np
    import xarray as xr

    text = json.dumps(record, default=str, sort_keys=True)
    about = {"long_name": "settings, wavelengths, files and versions this was made with, JSON"}
    return xr.Variable((), np.array(text, dtype=object), about)


def told(product: xr.Dataset) -> dict[str, Any]:
    """All that a product says of its origin: its attributes and its record."""
    text = product[RECORD].item() if RECORD in product else "{}"
    return json.loads(text) | dict(product.attrs)


def made_with() -> str:
    """What decides on the last digits, beside the number of threads."""
    import numpy
    import torch

    kind = torch.backends.cpu.get_cpu_capability()
    return f"torch {torch.__version__}, numpy {numpy.__version__}, {platform.machine()} {kind}"


def source_files(scene: Scene) -> list[Path]:
    """The files that a scene is made of."""
    return [Path(file) for file in scene.dataset.attrs["source_files"]]


def record(product: Path) -> dict[str, Any]:
    """As ``told``, of a file; empty where there is none that can be read."""
    try:
        with h5py.File(product, "r") as file:
            text = file[RECORD][()] if RECORD in file else b"{}"
            return json.loads(text) | {name: _plain(v) for name, v in file.attrs.items()}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _plain(value: Any) -> Any:
    """A number or text by itself, as NetCDF-4 has arrays of one, and text of ASCII as bytes."""
    value = value.item() if getattr(value, "size", 0) == 1 else value
    return value.decode() if isinstance(value, bytes) else value


def sources(attrs: Mapping[str, Any]) -> list[Path]:
    """The files that a product was made of."""
    return [Path(name) for name in str(attrs.get("source_files", "")).split("\n") if name]


def same_sources(attrs: Mapping[str, Any], files: Sequence[Path]) -> bool:
    """Whether files hold what a product was made of.

    Those of the same place, size and time are not read; others are compared by their checksum.
    """
    if not files or "source_size_and_time" not in attrs:
        return False
    seen = [size_and_time(file) for file in files]
    in_place = [file.absolute() for file in files] == sources(attrs)
    if "?" not in seen and in_place and seen == str(attrs["source_size_and_time"]).split("\n"):
        return True
    checksums = [sha256(file) if file.is_file() else "?" for file in files]
    return "?" not in checksums and checksums == str(attrs.get("source_sha256")).split("\n")


def refuse_foreign(attrs: Mapping[str, Any], files: Sequence[Path], product: Path) -> None:
    """Refuse to replace the product of another scene of the same name.

    Raises:
        SifnetError: the product was made of other files, with other content.
    """
    theirs = sources(attrs)
    if not theirs or [file.absolute() for file in files] == theirs or same_sources(attrs, files):
        return
    raise SifnetError(
        "another scene of the same name has its product here",
        found=f"a product of {theirs[0]}",
        expected=f"none, or one of {files[0].absolute() if files else 'the same scene'}",
        remedy="Map one of the two into another file, or remove the product.",
        command="Map one of the two into another folder with -o, or remove the product.",
        file=product,
    )
