"""What a batch need not do again: products that another run made of the same, by the same."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sifnet import __version__
from sifnet.files import whole
from sifnet.product.provenance import record

FAILURES = "failures.json"


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
