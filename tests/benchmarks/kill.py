"""`make kill`: processes that are killed with signal 9 leave no half file and lose nothing.

Each command runs once undisturbed. Then it is killed at random moments (the same on every run with
the same seed); what it has left is opened, the same command is called again, and what it ends with
must be what the undisturbed one ended with, bit for bit in its values, with nothing left over.

Commands run in forks of this process, which has loaded all libraries: a kill takes a second, not
ten. The emulator is a toy, and so is the radiative transfer of `build-emulator`.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))
os.environ["OMP_NUM_THREADS"] = "1"  # a fork of a process with threads may wait for ever

import numpy as np
import psutil
import rasterio
import torch
import xarray as xr
import yaml
from matplotlib.image import imread

from fakes import fields
from fakes.emulator import fake_emulator
from fakes.fitted import QUICK, quick_fit, write_named
from fakes.killed import quick_database
from forks import ended
from sifnet.product.provenance import RECORD

LIMIT = 300.0  # s after which a command hangs
ORPHANED = 20.0  # s that processes may live on after the one that started them
Digest = dict[str, Any]


@dataclass(frozen=True)
class Case:
    """A command that is killed.

    Attributes:
        arguments: of the command, from a folder for its output.
        worker: whether one of its processes is killed, in place of the first of them.
    """

    name: str
    program: Callable[[], Any]
    arguments: Callable[[Path], list[str]]
    worker: bool = False


def cases(inputs: Path) -> list[Case]:
    """All commands, on inputs made here."""
    from atmorep_bridge import cli as bridge
    from sifnet import cli

    scenes = [str(write_named(inputs / "scenes", name)) for name in "abc"]
    model, config = inputs / "model.ckpt", inputs / "config.yaml"
    quick_fit()[1].save(model)
    settings = {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in vars(QUICK).items()
        if isinstance(value, (int, float, tuple)) and name != "window"
    }
    config.write_text(yaml.safe_dump({"training": settings | {"epochs": 4}}))
    air = [fields.write(fields.pressure_levels(), inputs / "era5.nc"),
           fields.write(fields.cams(), inputs / "cams.nc")]  # fmt: skip
    waves = inputs / "waves.nc"
    drifting().to_netcdf(waves, engine="h5netcdf")
    sifnet, bridged = (lambda: cli.app), (lambda: bridge.app)

    def batch(out: Path) -> list[str]:
        return ["retrieve", *scenes, "-m", str(model), "-o", str(out), "--workers", "2"]

    return [
        Case("fit", sifnet, lambda out: ["fit", scenes[0], "-o", str(out), "--config",
                                         str(config)]),
        Case("retrieve", sifnet, lambda out: ["retrieve", *scenes[:2], "-m", str(model), "-o",
                                              str(out), "--cog"]),
        Case("retrieve --workers 2", sifnet, batch),
        Case("retrieve --workers 2: a worker", sifnet, batch, worker=True),
        Case("pretrain", sifnet, lambda out: ["pretrain", "-o", str(out / "model.ckpt"),
                                              "--steps", "12"]),
        Case("build-emulator", sifnet, lambda out: ["build-emulator", str(out / "database"), "-o",
                                                    str(out), "--states", "16", "--resume"]),
        Case("atmorep-bridge train", bridged, lambda out: [
            "train", str(waves), "--field", "t2m", "--neighbourhood", "8,8,8", "--patch", "2,4,4",
            "--steps", "200", "--batch", "2", "-o", str(out / "model.ckpt")]),
        Case("atmorep-bridge state", bridged, lambda out: [
            "state", scenes[0], "--fields", *map(str, air), "-o", str(out / "atmosphere.nc")]),
    ]  # fmt: skip


def drifting() -> xr.Dataset:
    """Two days of a wave that drifts east, as ERA5 has t2m."""
    hours, rows, columns = 48, 12, 16
    t, y, x = np.meshgrid(np.arange(hours), np.arange(rows), np.arange(columns), indexing="ij")
    wave = np.sin(2 * np.pi * (x - 0.5 * t) / 13 + 0.4 * y)
    start = np.datetime64("2020-06-20T00", "ns")
    return xr.Dataset(
        {"t2m": (("time", "latitude", "longitude"), (288 + 2 * wave).astype("f4"), {"units": "K"})},
        {"time": start + np.arange(hours) * np.timedelta64(1, "h"),
         "latitude": 52.75 - 0.25 * np.arange(rows), "longitude": 0.25 * np.arange(columns)},
    )  # fmt: skip


def toys() -> None:
    """What is slow is a toy, in this process and all its forks."""
    from sifnet.physics.emulator import Emulator
    from sifnet.product import pictures
    from sifnet.training import pretrain

    emulator = fake_emulator()
    Emulator.load = classmethod(lambda *_, **__: emulator)  # type: ignore[method-assign,assignment]
    pictures.quicklook = pictures.thumbnail
    pretrain.EPOCH = 3
    quick_database()


def start(case: Case, out: Path, log: Path) -> int:
    """The command in a fork: its process id."""
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        os.setsid()
        told = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(told, 1)
        os.dup2(told, 2)
        sys.argv = [case.name.split()[0], *case.arguments(out)]
        code = case.program()(case.arguments(out), standalone_mode=False) or 0
    except BaseException as error:
        code = getattr(error, "exit_code", 1)
        print(repr(error))
    finally:
        sys.stdout.flush()
        os._exit(int(code))


def end(pid: int, within: float = LIMIT) -> int:
    """Exit status of a command: -9 if it was killed."""
    status = ended(pid, within)
    if status is None:
        raise TimeoutError(f"ran for more than {within:.0f} s")
    return status


def kill(pid: int, delay: float, *, worker: bool) -> bool:
    """Kill the command, or one of its processes, after a while; whether it was still there."""
    until = time.monotonic() + delay
    while time.monotonic() < until:
        if os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT):
            return False
        time.sleep(0.002)
    victim = pid
    if worker:
        children = psutil.Process(pid).children()
        if not children:
            return False
        victim = children[int(delay * 1000) % len(children)].pid
    with contextlib.suppress(ProcessLookupError):
        os.kill(victim, signal.SIGKILL)
        return True
    return False


def orphans(pid: int) -> list[psutil.Process]:
    """Processes of a command's session that are alive, after they had time to end."""
    until = time.monotonic() + ORPHANED
    while left := list(_session(pid)):
        if time.monotonic() > until:
            return left
        time.sleep(0.05)
    return []


def _session(pid: int) -> Iterator[psutil.Process]:
    for process in psutil.process_iter():
        with contextlib.suppress(ProcessLookupError, psutil.Error):
            if os.getsid(process.pid) == pid and process.status() != psutil.STATUS_ZOMBIE:
                yield process


def read(folder: Path) -> Digest:
    """The values of all products in a folder; fails where one is not whole."""
    found: Digest = {}
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        name = path.relative_to(folder).as_posix()
        if path.name.startswith(".") or path.parent.name == "log":
            continue  # partial files and locks, which the next run sweeps; a log of losses
        found[name] = _content(path)
    return found


def _content(path: Path) -> Any:
    if path.suffix == ".nc":
        with xr.open_dataset(path, engine="h5netcdf") as data:
            values = {str(n): _bytes(v.values) for n, v in data.load().variables.items()}
            values.pop(RECORD, None)  # which names command and folder
            return values
    if path.suffix == ".ckpt":
        return _tensors(torch.load(path, weights_only=True))
    if path.suffix == ".npz":
        with np.load(path) as data:
            return {name: _bytes(data[name]) for name in data.files}
    if path.suffix == ".json":
        return bool(json.loads(path.read_text()))
    if path.suffix == ".html":
        text = path.read_text()
        assert text.rstrip().endswith("</html>"), f"half a page: {path}"
        return True
    if path.suffix == ".tif":
        with rasterio.open(path) as file:
            return _bytes(file.read())
    return _bytes(imread(path))


def _tensors(content: Any) -> Any:
    if isinstance(content, torch.Tensor):
        return _bytes(content.numpy())
    if isinstance(content, dict):
        return {str(key): _tensors(value) for key, value in content.items()}
    return None


def _bytes(values: Any) -> bytes:
    values = np.asarray(values)
    return str(values.tolist()).encode() if values.dtype == object else values.tobytes()


def same(found: Digest, wanted: Digest) -> str | None:
    """In what two folders differ."""
    if found.keys() != wanted.keys():
        return f"files {sorted(found.keys() ^ wanted.keys())}"
    return next((name for name in wanted if found[name] != wanted[name]), None)


def attack(case: Case, kills: int, seed: int, work: Path) -> tuple[int, int, int, list[str]]:
    """Kill a command again and again, until as many kills met it (or thrice as many were tried).

    Returns:
        Kills that met it, kills that were tried, files found after them, complaints.
    """
    log = work / "log"
    begun = time.monotonic()
    assert end(start(case, work / "wanted", log)) == 0, f"{case.name}: {log.read_text()[-2000:]}"
    took = time.monotonic() - begun
    wanted = read(work / "wanted")
    rng, met, tried, files, complaints = np.random.default_rng(seed), 0, 0, 0, []
    while met < kills and tried < 3 * kills:
        delay, out, tried = took * rng.uniform(0.02, 1.0), work / f"killed {tried}", tried + 1
        try:
            pid = start(case, out, log)
            met += kill(pid, delay, worker=case.worker)
            code = end(pid)
            if case.worker:
                assert code == 0, f"exit code {code}: {log.read_text()[-1000:]}"
            left = orphans(pid)
            for process in left:
                process.kill()
            assert not left, f"{len(left)} of its processes live on"
            files += len(read(out)) if out.exists() else 0
            code = end(start(case, out, log))
            assert code == 0, f"does not go on: {log.read_text()[-1000:]}"
            differs = same(read(out), wanted)
            assert differs is None, f"ends otherwise: {differs}"
            over = [p.name for p in out.rglob(".*")]
            assert not over, f"left over: {over}"
        except Exception as error:
            complaints.append(f"after {delay:.2f} s: {type(error).__name__}: {error}")
        shutil.rmtree(out, ignore_errors=True)
    return met, tried, files, complaints


def main() -> None:
    """Print a line a command; exit code 1 if one of them lost anything."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=25, help="of each command, that meet it")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help="part of a command's name")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    begun, broken = time.monotonic(), 0
    with TemporaryDirectory(prefix="kill") as folder:
        every = cases(Path(folder) / "inputs")
        toys()
        for case in [case for case in every if asked.only in case.name]:
            work = Path(folder) / case.name.replace(" ", "_").replace(":", "")
            work.mkdir()
            since = time.monotonic()
            met, tried, files, complaints = attack(case, asked.kills, asked.seed, work)
            broken += len(complaints)
            print(f"{case.name:32} {met:3} of {tried} killed, {files:4} files whole after it,"
                  f" {tried - len(complaints):3} survived, {len(complaints)} lost something"
                  f" ({time.monotonic() - since:.0f} s)", flush=True)  # fmt: skip
            for text in complaints:
                print(f"    {text}", flush=True)
    print(f"{broken} lost something ({timedelta(seconds=round(time.monotonic() - begun))})")
    sys.exit(broken > 0)


if __name__ == "__main__":
    main()
