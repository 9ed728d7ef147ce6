"""What an interrupted training goes on from, and what it must not go on from."""

import errno
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import lightning
import pytest
import torch

from conftest import PROJECT
from sifnet import files
from sifnet.errors import SifnetError
from sifnet.files import alone, checkpoint, whole
from sifnet.training.resume import Apart, Asked, Whole
from sifnet.training.trainer import run


def _epoch(folder: Path) -> Path:
    Whole().save_checkpoint({"chance": {"random": torch.get_rng_state()}}, folder / "last.ckpt")
    return folder / "last.ckpt"


def test_only_the_same_goes_on(tmp_path: Path) -> None:
    asked = Asked(tmp_path / "fit.json", seed=1)
    last = _epoch(tmp_path)
    assert asked.interrupted() is None  # of nobody knows what
    assert not last.exists()
    assert asked.interrupted() is None
    _epoch(tmp_path)
    assert asked.interrupted() == last
    other = Asked(tmp_path / "fit.json", seed=2)
    assert other.interrupted() is None
    assert not last.exists()
    assert asked.interrupted() is None


def test_an_epoch_that_cannot_be_read_is_begun_again(tmp_path: Path) -> None:
    asked = Asked(tmp_path / "fit.json", seed=1)
    asked.interrupted()
    last = _epoch(tmp_path)
    last.write_bytes(last.read_bytes()[:100])
    assert asked.interrupted() is None
    assert not last.exists()


def test_a_model_is_known_by_its_checksum(tmp_path: Path) -> None:
    asked, model = Asked(tmp_path / "fit.json", seed=1), tmp_path / "model.ckpt"
    model.write_bytes(b"model")
    assert not asked.made(model)
    asked.finish(model)
    assert asked.made(model)
    assert not Asked(tmp_path / "fit.json", seed=2).made(model)
    model.write_bytes(b"another")
    assert not asked.made(model)
    (tmp_path / "fit.json").write_text("[]")
    assert not asked.made(model)


def test_an_epoch_is_written_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = _epoch(tmp_path).read_bytes()

    def full(_: object, file: object) -> None:
        file.write(b"half")  # type: ignore[attr-defined]
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(SifnetError, match="cannot be written: found No space left on device"):
        _epoch(tmp_path)
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == {"last.ckpt": before}


def test_what_a_killed_process_left_of_a_file_goes_when_it_is_written(tmp_path: Path) -> None:
    node, dead = files.platform.node(), 2**22 + 1
    gone = tmp_path / f".model.{node}.{dead}.partial.ckpt"
    alive = tmp_path / f".model.{node}.{os.getppid()}.partial.ckpt"
    other = tmp_path / f".other.{node}.{dead}.partial.ckpt"
    for path in (gone, alive, other):
        path.touch()
    with whole(tmp_path / "model.ckpt") as partial:
        partial.touch()
    assert {p.name for p in tmp_path.iterdir()} == {"model.ckpt", alive.name, other.name}


def test_a_second_process_in_a_folder_is_told(tmp_path: Path) -> None:
    text = (
        "import sys, time; from pathlib import Path; from sifnet.files import alone\n"
        "with alone(Path(sys.argv[1])): print('in', flush=True); time.sleep(60)\n"
    )
    first = subprocess.Popen(
        [sys.executable, "-c", text, str(tmp_path)],
        cwd=PROJECT,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert first.stdout is not None
    assert first.stdout.readline() == "in\n"
    told = f"another process is at work in this folder: found process {first.pid} on"
    with pytest.raises(SifnetError, match=told), alone(tmp_path):
        pass
    first.kill()
    first.communicate()
    with alone(tmp_path):  # the dead hold nothing
        pass
    assert not list(tmp_path.iterdir())


def test_a_log_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    class Full:
        log_dir = str(tmp_path / "log")

        def fit(self, *_: object, **__: object) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(SifnetError, match="log: the output cannot be written: found No space left"):
        run(Full(), lightning.LightningModule(), None)  # type: ignore[arg-type]


def test_a_model_is_not_blamed_for_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def scarce(*_: object, **__: object) -> None:
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried 9 bytes")

    torch.save({}, tmp_path / "model.ckpt")
    monkeypatch.setattr(torch, "load", scarce)
    with (
        pytest.raises(SifnetError, match="^memory does not suffice: found RuntimeError"),
        checkpoint(tmp_path / "model.ckpt", "a model", "sifnet fit"),
    ):
        pass


def test_processes_draw_apart_and_go_on_as_they_were(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PL_GLOBAL_SEED", "7")

    def drawn(rank: int, epoch: int) -> float:
        torch.manual_seed(7)
        trainer = SimpleNamespace(global_rank=rank, current_epoch=epoch)
        Apart().on_train_epoch_start(trainer, None)  # type: ignore[arg-type]
        return float(torch.rand(()))

    torch.manual_seed(7)
    assert drawn(0, 0) == drawn(0, 1) == float(torch.manual_seed(7) and torch.rand(()))
    others = {drawn(rank, epoch) for rank in (1, 2) for epoch in (0, 1)}
    assert len(others | {drawn(0, 0)}) == 5
    assert drawn(1, 1) in others
