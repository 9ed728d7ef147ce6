from dataclasses import FrozenInstanceError
from pathlib import Path

import pytest
from pydantic import ValidationError

from sifnet.errors import SifnetError
from sifnet.training.config import Config, read_config


def _file(folder: Path, text: str) -> Path:
    path = folder / "settings.yaml"
    path.write_text(text)
    return path


def test_what_is_not_named_keeps_its_default(tmp_path: Path) -> None:
    config = read_config(
        _file(tmp_path, "training:\n  epochs: 3\n  patch: [8, 8]\n  weights: {ndvi: 2.5}\n")
    )
    default = Config().training
    assert (config.training.epochs, config.training.patch) == (3, (8, 8))
    assert config.training.weights.ndvi == 2.5
    assert config.training.learning_rate == default.learning_rate
    assert config.training.weights.residual == default.weights.residual
    assert config.training.weights.ndvi == 2.5


def test_an_empty_file_is_all_defaults(tmp_path: Path) -> None:
    assert read_config(_file(tmp_path, "# nothing yet\n")) == Config()


def test_settings_are_frozen() -> None:
    with pytest.raises(ValidationError):
        Config().training = Config().training  # type: ignore[misc]
    with pytest.raises(FrozenInstanceError):
        Config().training.epochs = 3  # type: ignore[misc]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("trainig: {}", "unknown setting trainig: expected one of training"),
        ("training: {epoch: 3}", r"unknown setting training\.epoch: expected one of epochs"),
        ("training: {weights: {ndvy: 1}}", r"unknown setting training\.weights\.ndvy"),
        ("training: {epochs: many}", r"training\.epochs cannot be used: found 'many'"),
        ("training: {batch: 0}", "batch is too small"),
        ("training: 3", r"training cannot be used: found 3"),
        ("- a\n- b", "the settings have no keys: found list"),
        ("training: {epochs: 3", "the settings cannot be read"),
    ],
)
def test_what_nobody_knows_is_refused_by_name(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(SifnetError, match=message) as refused:
        read_config(_file(tmp_path, text))
    assert "settings.yaml" in str(refused.value)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SifnetError, match="the settings cannot be read: found No such file"):
        read_config(tmp_path / "none.yaml")
