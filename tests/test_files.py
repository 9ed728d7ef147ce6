"""What is no file, models without numbers, what the system refuses: each in a sentence."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from fakes.flox import PLACE, fake_flox
from sifnet import cli
from sifnet.batch import run as batch
from sifnet.batch.done import Failures
from sifnet.batch.run import Job
from sifnet.errors import SifnetError
from sifnet.files import checkpoint, data_file, regular, save_checkpoint
from sifnet.product.netcdf import read_netcdf
from sifnet.retrieval.model import load


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_model_without_numbers_is_to_blame_itself(tmp_path: Path, value: float) -> None:
    content = torch.load(data_file("model_hyplant.ckpt"), weights_only=True)
    kind = content.pop("kind")
    name = next(n for n, w in content["encoder"].items() if w.is_floating_point() and w.numel())
    content["encoder"][name].view(-1)[0] = value
    path = save_checkpoint(tmp_path / "model.ckpt", kind, content)
    with (
        pytest.raises(SifnetError, match=r"model\.ckpt: the model has weights that are not finite"),
        checkpoint(path, kind, "sifnet fit"),
    ):
        pass


def test_a_model_with_a_flipped_bit_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.ckpt"
    raw = bytearray(data_file("model_hyplant.ckpt").read_bytes())
    raw[len(raw) // 2] ^= 0x40
    path.write_bytes(raw)
    with pytest.raises(SifnetError, match=r"model\.ckpt: this is not a readable model.* not what"):
        load(path)


def test_what_nothing_is_known_of_may_be_nan(tmp_path: Path) -> None:
    part = {"statistics": {"fields": {"t2m": {"mean": torch.tensor([float("nan")])}}}}
    path = save_checkpoint(tmp_path / "core.ckpt", "core", part)
    with checkpoint(path, "core", "train") as content:
        assert "statistics" in content


def test_a_pipe_in_place_of_a_file_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(pipe := tmp_path / "pipe")
    for read in (regular, read_netcdf):
        with pytest.raises(SifnetError, match="pipe: this is no file: found a pipe"):
            read(pipe)
    with (
        pytest.raises(SifnetError, match="this is no file: found a pipe"),
        checkpoint(pipe, "", ""),
    ):
        pass
    assert regular(tmp_path / "nothing") == tmp_path / "nothing"


def test_a_name_that_is_not_utf_8_does_not_stop_a_batch(tmp_path: Path) -> None:
    odd = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9"))
    try:
        odd.mkdir()
    except OSError:
        pytest.skip("this file system has no such names")
    fake_flox(odd)
    (odd / "site.json").write_text(str(PLACE).replace("'", '"'))
    (tmp_path / "none.hdr").write_text("ENVI")
    outcomes = list(batch.run(Job(tmp_path / "out"), [odd, tmp_path / "none.hdr"]))
    told = [str(outcome.error) for outcome in outcomes]
    assert len(told) == 2
    assert r"caf\udce9: the name of the file is not UTF-8" in told[0]
    assert len(Failures.read(tmp_path / "out").entries) == 2
    result = CliRunner().invoke(cli.app, ["retrieve", str(odd), "-o", str(tmp_path / "again")])
    assert result.exit_code == 2
    assert r"caf\udce9: the name of the file is not UTF-8" in result.stderr


def test_failures_nested_without_end_are_begun_anew(tmp_path: Path) -> None:
    (tmp_path / "failures.json").write_text("[" * 100_000)
    assert Failures.read(tmp_path).entries == {}


def test_what_the_system_refuses_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", "secret.hdr")

    monkeypatch.setattr("sifnet.scenes.open_scene", refuse)
    result = CliRunner().invoke(cli.app, ["inspect", "secret.hdr"])
    assert result.exit_code == 2
    assert "secret.hdr: a file cannot be used: found Permission denied" in result.stderr
    assert result.stderr.count("\n") == 1
