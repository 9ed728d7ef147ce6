import os
from dataclasses import FrozenInstanceError
from pathlib import Path

import pytest
import torch
from pydantic import ValidationError

from sifnet.errors import SifnetError
from sifnet.training.config import Config, read_config
from sifnet.training.trainer import make_trainer


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
        ("training: {batch: 0}", "training: batch is impossible: found 0; expected at least 1"),
        ("training: {epochs: -1}", "training: epochs is impossible: found -1"),
        ("training: {patch: [0, 8]}", "training: patch is impossible: found 0"),
        ("training: {patch: [8]}", r"training\.patch.* cannot be used"),
        ("training: {device: abacus}", "device is not known: found 'abacus'; expected one of auto"),
        ("training: {precision: 33-true}", "precision is not known: .* one of 32-true"),
        ("training: {strategy: luck}", "strategy is not known: .* one of auto, ddp"),
        ("training: {seed: 99999999999999999999}", "training: seed is impossible"),
        ("training: {seed: -1}", "training: seed is impossible: .* at least 0, at most 4.29"),
        ("training: {learning_rate: .nan}", "learning_rate is impossible: found nan"),
        ("training: {learning_rate: .inf}", "learning_rate is impossible: found inf"),
        ("training: {learning_rate: 0}", "learning_rate is impossible: found 0"),
        ("training: {devices: 0}", "training: devices is impossible"),
        ("training: {window: [770, 750]}", "window, its upper end is impossible: found 750"),
        ("training: {window: [.nan, 770]}", "window, its lower end is impossible: found nan"),
        ("training: {weights: {ndvi: .inf}}", "weights: ndvi is impossible: found inf"),
        ("training: {weights: {bare_ndvi: 3}}", "weights: bare_ndvi is impossible"),
        ("training: {architecture: {widths: [0, 1, 1]}}", "architecture: widths is impossible"),
        ("training: {architecture: {features: 0}}", "architecture: features is impossible"),
        ("training: {architecture: {dropout: [2, 0, 0]}}", "architecture: dropout is impossible"),
        ("training: {architecture: {widths: []}}", "the blocks do not fit each other"),
        ("training: {architecture: {head_widths: [8]}}", "the blocks do not fit each other"),
        ("[" * 5000, "the settings cannot be read: found maximum recursion depth"),
        ("training: 3", r"training cannot be used: found 3"),
        ("- a\n- b", "the settings have no keys: found list"),
        ("training: {epochs: 3", "the settings cannot be read"),
    ],
)
def test_what_nobody_knows_is_refused_by_name(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(SifnetError, match=message) as refused:
        read_config(_file(tmp_path, text))
    assert "settings.yaml" in str(refused.value)


def test_a_machine_that_cannot_do_it_says_so() -> None:
    with pytest.raises(SifnetError, match="nothing can be trained in this way .*device tpu"):
        make_trainer(epochs=1, steps_per_epoch=1, device="tpu")


def test_settings_that_are_no_file_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SifnetError, match="this is no file: found a folder"):
        read_config(tmp_path)
    os.mkfifo(tmp_path / "pipe.yaml")
    with pytest.raises(SifnetError, match="this is no file: found a pipe"):
        read_config(tmp_path / "pipe.yaml")


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SifnetError, match="the settings cannot be read: found No such file"):
        read_config(tmp_path / "none.yaml")


def test_errors_of_a_start_model_count_in_units_of_what_is_known() -> None:
    """Of one parameter by two of its prior's standard deviations: 4, whatever its unit."""
    from sifnet.physics.state import Atmosphere, AtmospherePrior
    from sifnet.training.pretrain import atmosphere_error

    one = torch.ones(2, 1, 1)
    sd = Atmosphere(8 * one, 5 * one, 0.1 * one, 0.7 * one, 0.3 * one, 0.005 * one)
    truth = Atmosphere(1000 * one, 0 * one, 0.15 * one, 1.5 * one, 0.3 * one, one)
    for name in Atmosphere.names():
        off = {n: v + 2 * getattr(sd, n) * (n == name) for n, v in truth.items()}
        error = atmosphere_error(Atmosphere(**off), truth, AtmospherePrior(truth, sd))
        assert float(error) == pytest.approx(4.0, rel=1e-2), name
