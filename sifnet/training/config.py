"""Settings of a fit from a YAML file: the frozen dataclasses of what they build, read together.

    training:
      epochs: 20
      seed: 7
      weights:
        ndvi: 10.0

What a file does not name keeps its default; what nobody knows is refused by name.
"""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, get_type_hints

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from sifnet.errors import SifnetError
from sifnet.files import MOST_TEXT, regular
from sifnet.training.fit import Training


class Config(BaseModel):
    """All that can be set in a file.

    Attributes:
        training: how a model is fitted, see ``training.Training``.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)

    training: Training = Training()


def read_config(path: str | Path) -> Config:
    """Read settings from YAML.

    Raises:
        SifnetError: not readable, not YAML, an unknown key, or a value of the wrong kind; the
            message names the file, the key and what would do.
    """
    path = Path(path)
    plain = _plain(path)
    _refuse_unknown(plain, Config, "", path)
    try:
        return Config.model_validate(plain)
    except ValidationError as error:
        first = error.errors()[0]
        if isinstance(ours := first.get("ctx", {}).get("error"), SifnetError):
            raise SifnetError(str(ours), file=path) from error
        key = ".".join(str(part) for part in first["loc"])
        raise SifnetError(
            f"{key} cannot be used",
            found=repr(first["input"])[:60],
            expected=first["msg"],
            remedy="Correct this value in the file.",
            file=path,
        ) from error


def _plain(path: Path) -> dict[str, Any]:
    try:
        content = yaml.safe_load(regular(path, MOST_TEXT).read_text(encoding="utf-8"))
    except SifnetError:
        raise
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error).replace("\n", " ")
        raise SifnetError(
            "the settings cannot be read",
            found=reason,
            expected="a YAML file",
            remedy="Check the path and the indentation.",
            file=path,
        ) from error
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise SifnetError(
            "the settings have no keys",
            found=type(content).__name__,
            expected=f"the sections {', '.join(Config.model_fields)}",
            remedy="Write for example `training: {epochs: 20}`.",
            file=path,
        )
    return content


def _refuse_unknown(plain: Any, kind: Any, above: str, path: Path) -> None:
    """Walk the sections, because pydantic lets unknown keys of plain dataclasses pass."""
    hints = get_type_hints(kind)
    offered = list(Config.model_fields) if kind is Config else [f.name for f in fields(kind)]
    for key, value in plain.items():
        if key not in offered:
            raise SifnetError(
                f"unknown setting {above}{key}",
                expected=f"one of {', '.join(offered)}",
                remedy="Correct or remove this key.",
                file=path,
            )
        if isinstance(value, dict) and is_dataclass(hints[key]):
            _refuse_unknown(value, hints[key], f"{above}{key}.", path)
