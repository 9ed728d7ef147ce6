"""What a batch need not do again: products that another run made of the same, by the same."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import h5netcdf

from sifnet import __version__
from sifnet.errors import SifnetError
from sifnet.outputs import sha256, size_and_time, whole

FAILURES = "failures.json"


def record(product: Path) -> dict[str, Any]:
    """Attributes of a product; empty where there is none that can be read."""
    try:
        with h5netcdf.File(product, "r") as file:
            return dict(file.attrs)
    except (OSError, ValueError, KeyError):
        return {}


def of_path(folder: Path) -> dict[str, Path]:
    """The products of a folder by what the user named to make them."""
    products = sorted(folder.glob("*_sif.nc"))
    return {str(record(product).get("scene_path", "")): product for product in products}


def outdated(known: Mapping[str, Any], model_sha256: str | None, settings: str) -> str | None:
    """Why a product must be made again; None if need not."""
    if not known:
        return "the product could not be read"
    if known.get("sifnet_version") != __version__:
        return f"it was made by sifnet {known.get('sifnet_version')}"
    if known.get("model_sha256") != model_sha256:
        return "it was made with another model"
    if known.get("settings") != settings:
        return "it was made with other settings"
    return None


def sources(known: Mapping[str, Any]) -> list[Path]:
    """The files that a product was made of."""
    return [Path(name) for name in str(known.get("source_files", "")).split("\n") if name]


def same_sources(known: Mapping[str, Any], files: Sequence[Path]) -> bool:
    """Whether files hold what a product was made of.

    Those of the same place, size and time are not read; others are compared by their checksum.
    """
    if not files or "source_size_and_time" not in known:
        return False
    seen = [size_and_time(file) for file in files]
    in_place = [file.absolute() for file in files] == sources(known)
    if "?" not in seen and in_place and seen == str(known["source_size_and_time"]).split("\n"):
        return True
    checksums = [sha256(file) if file.is_file() else "?" for file in files]
    return "?" not in checksums and checksums == str(known.get("source_sha256")).split("\n")


def refuse_foreign(known: Mapping[str, Any], files: Sequence[Path], product: Path) -> None:
    """Refuse to replace the product of another scene of the same name.

    Raises:
        SifnetError: the product was made of other files, with other content.
    """
    theirs = sources(known)
    if not theirs or [file.absolute() for file in files] == theirs or same_sources(known, files):
        return
    raise SifnetError(
        "another scene of the same name has its product here",
        found=f"a product of {theirs[0]}",
        expected=f"none, or one of {files[0].absolute() if files else 'the same scene'}",
        remedy="Map one of the two into another folder with -o, or remove the product.",
        file=product,
    )


@dataclass
class Failures:
    """``failures.json``: the scenes of a folder that could not be mapped, each until it is."""

    path: Path
    entries: dict[str, dict[str, str]]

    @classmethod
    def read(cls, folder: Path) -> Failures:
        """Those of earlier runs; a file that cannot be understood is begun anew."""
        path = folder / FAILURES
        try:
            known = json.loads(path.read_text(encoding="utf-8"))
            return cls(path, {entry["scene"]: entry for entry in known})
        except (OSError, ValueError, KeyError, TypeError):
            return cls(path, {})

    def add(self, scene: Path, reason: str, remedy: str, detail: str = "") -> None:
        """Note a failure at once, so that a batch that is killed has told of it."""
        now = datetime.now(UTC).isoformat(timespec="seconds")
        entry = {"scene": str(scene.absolute()), "reason": reason, "remedy": remedy, "time": now}
        self.entries[entry["scene"]] = entry | ({"detail": detail} if detail else {})
        self._save()

    def remove(self, scene: Path) -> None:
        """The scene was mapped after all."""
        if self.entries.pop(str(scene.absolute()), None) is not None:
            self._save()

    def _save(self) -> None:
        if not self.entries:
            self.path.unlink(missing_ok=True)
            return
        with whole(self.path) as partial:
            text = json.dumps(list(self.entries.values()), indent=1, ensure_ascii=False)
            partial.write_text(text + "\n", encoding="utf-8")
