"""What a batch need not do again: products that another run made of the same, by the same."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from sifnet import __version__
from sifnet.errors import SifnetError, shown
from sifnet.files import MOST_TEXT, in_turn, regular, sha256, size_and_time, whole
from sifnet.product.provenance import same_sources

FAILURES = "failures.json"


def outdated(
    attrs: Mapping[str, Any], model: Path | None, settings: str, files: Sequence[Path]
) -> str | None:
    """Why a product must be made again; None if it need not.

    Args:
        attrs: of the product, see ``provenance.record``.
        model: the checkpoint that it would be made with, settings: of ``run.Job``, files: of its
            scene.
    """
    if not attrs:
        return "the product could not be read"
    if attrs.get("sifnet_version") != __version__:
        return f"it was made by sifnet {attrs.get('sifnet_version')}"
    if model is None or attrs.get("model_sha256") != _checksum(model, size_and_time(model)):
        return "it was made with another model"
    if attrs.get("settings") != settings:
        return "it was made with other settings"
    return None if same_sources(attrs, files) else "its scene has changed"


@cache
def _checksum(file: Path, state: str) -> str | None:
    """SHA-256 of a file, which is read again only if its size or time changes."""
    return None if state == "?" else sha256(file)


@dataclass
class Failures:
    """``failures.json``: the scenes of a folder that could not be mapped, each until it is.

    Attributes:
        state: size and time of the file when it was read.
    """

    path: Path
    entries: dict[str, dict[str, str]]
    state: str = ""

    @classmethod
    def read(cls, folder: Path) -> Failures:
        """Those of earlier runs; a file that cannot be understood is begun anew."""
        failures = cls(folder / FAILURES, {})
        failures._reread()
        return failures

    def _reread(self) -> None:
        """What another batch in the same folder may have noted meanwhile."""
        self.state = size_and_time(self.path)
        try:
            entries = json.loads(regular(self.path, MOST_TEXT).read_text(encoding="utf-8"))
            self.entries = {entry["scene"]: entry for entry in entries}
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            self.entries = {}

    def add(self, scene: Path, error: SifnetError, detail: str) -> None:
        """Note a failure at once, so that a batch that is killed has told of it."""
        path, now = shown(str(scene.absolute())), datetime.now(UTC).isoformat(timespec="seconds")
        entry = {
            "scene": path,
            "reason": error.at_terminal,
            "remedy": error.remedy or "",
            "time": now,
        }
        with in_turn(self.path.parent):
            self._reread()
            self.entries[path] = entry | ({"detail": detail} if detail else {})
            self._save()

    def remove(self, scene: Path) -> None:
        """The scene was mapped after all."""
        path = shown(str(scene.absolute()))
        if path not in self.entries and size_and_time(self.path) == self.state:
            return
        with in_turn(self.path.parent):
            self._reread()
            if self.entries.pop(path, None) is not None:
                self._save()

    def _save(self) -> None:
        if self.entries:
            with whole(self.path) as partial:
                text = json.dumps(list(self.entries.values()), indent=1, ensure_ascii=False)
                partial.write_text(text + "\n", encoding="utf-8")
        else:
            self.path.unlink(missing_ok=True)
        self.state = size_and_time(self.path)
