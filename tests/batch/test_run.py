"""Batches from files to files; what goes wrong with one scene stays with it."""

import errno
import json
import os
import resource
import signal
import subprocess
import sys
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import h5netcdf
import numpy as np
import pytest
import xarray as xr

from conftest import PROJECT
from fakes.emulator import fake_emulator
from fakes.fitted import quick_fit, write_named
from fakes.products import fake_maps, fake_scene
from sifnet import files, scenes
from sifnet.batch import done as finished
from sifnet.batch import run as batch
from sifnet.batch.index import write_index
from sifnet.batch.run import Job, Outcome
from sifnet.errors import SifnetError
from sifnet.physics.emulator import Emulator
from sifnet.product import netcdf as outputs
from sifnet.product import pictures
from sifnet.product import retrieve as mapping
from sifnet.product.cog import NOWHERE
from sifnet.retrieval import prior
from sifnet.scenes import record_of

SIDES = {".nc", ".png", ".json"}


@pytest.fixture(autouse=True)
def _toy_emulator(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Emulator, "load", classmethod(lambda *_, **__: fake_emulator()))


@pytest.fixture(autouse=True)
def _no_artist(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The quicklook takes longer than all else; test_pictures looks at it."""
    if "beside" not in request.node.name:
        monkeypatch.setattr(pictures, "quicklook", lambda _, path: path.write_bytes(b"PNG"))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "model.ckpt"
    quick_fit()[1].save(path)
    return path


def _run(job: Job, *scenes: Path, **options: object) -> list[Outcome]:
    return list(batch.run(job, scenes, **options))


def _states(outcomes: list[Outcome]) -> dict[str, str]:
    return {outcome.scene.name.split("_")[0]: outcome.state for outcome in outcomes}


# --- one bad scene ---


def test_two_scenes_of_one_name_are_not_one_product(model: Path, tmp_path: Path) -> None:
    first, second = write_named(tmp_path / "x"), write_named(tmp_path / "y")
    refused, mapped = _run(Job(tmp_path / "out", model), first, second)
    assert refused.scene == second
    assert f"two scenes of one name: found the same name as {first}" in str(refused.error)
    assert mapped.state == "mapped"
    # By itself, later: what is there is still that of the first, also with --overwrite.
    (second.parent / "a_FLUO_radiance.dat").write_bytes(
        (second.parent / "a_FLUO_radiance.dat").read_bytes()[::-1]
    )
    before = files.sha256(tmp_path / "out" / "a_FLUO_radiance_sif.nc")
    (again,) = _run(Job(tmp_path / "out", model, overwrite=True), second)
    assert "another scene of the same name has its product here" in str(again.error)
    assert files.sha256(tmp_path / "out" / "a_FLUO_radiance_sif.nc") == before


def test_a_bad_scene_is_named_and_the_others_are_mapped(
    monkeypatch: pytest.MonkeyPatch, model: Path, tmp_path: Path
) -> None:
    good, broken, strange = (write_named(tmp_path / "in", name) for name in "abc")
    data = broken.with_suffix(".dat")
    whole = data.read_bytes()
    data.write_bytes(whole[:1000])
    opens = scenes.open_scene

    def surprising(path: Path, *sensor: str, **options: object) -> object:
        if path == strange:
            raise ZeroDivisionError("of nothing")
        return opens(path, *sensor, **options)

    monkeypatch.setattr(scenes, "open_scene", surprising)
    job = Job(tmp_path / "out", model)
    outcomes = _run(job, broken, strange, good)
    assert _states(outcomes) == {"b": "failed", "c": "failed", "a": "mapped"}
    told = json.loads((tmp_path / "out" / "failures.json").read_text())
    assert [Path(entry["scene"]) for entry in told] == [broken, strange]
    assert all(entry["reason"] and entry["time"] for entry in told)
    assert "ZeroDivisionError: of nothing, in run.py, line" in told[1]["reason"]
    assert "Traceback" in told[1]["detail"]
    page = write_index(tmp_path / "out").read_text()
    assert "1 scene, 2 failed" in page
    assert "ZeroDivisionError" in page

    data.write_bytes(whole)
    monkeypatch.setattr(scenes, "open_scene", opens)
    outcomes = _run(job, broken, strange, good)
    assert _states(outcomes) == {"b": "mapped", "c": "mapped", "a": "there already"}
    assert not (tmp_path / "out" / "failures.json").exists()


def test_what_a_map_has_beside_it(model: Path, tmp_path: Path) -> None:
    job = Job(tmp_path / "out", model, cog=True, aggregate=4)
    (outcome,) = _run(job, write_named(tmp_path))
    product = tmp_path / "out" / "a_FLUO_radiance_sif.nc"
    assert {p.suffix for p in product.parent.glob("a_*")} == set(SIDES)
    assert outcome.note == f"{product}; {NOWHERE}"
    item = json.loads(product.with_suffix(".json").read_text())
    for asset in item["assets"].values():
        assert (product.parent / asset["href"]).is_file()
    assert set(item["assets"]) == {"product", "quicklook", "thumbnail"}
    made = outputs.read(product)
    assert outputs.read_netcdf(product, "aggregated")["sif_760"].shape == (6, 4)
    assert outcome.statistics is not None
    assert outcome.statistics["pixels"] == 24 * 16
    assert outcome.statistics["trusted"] == pytest.approx(outputs.trusted(made).mean())
    page = write_index(product.parent).read_text()
    assert 'src="thumbnails/a_FLUO_radiance_sif.png"' in page.replace("./", "")
    # A side file that is lost is made again, and nothing else.
    written = product.stat().st_mtime_ns
    product.with_suffix(".png").unlink()
    assert _run(job, tmp_path / "a_FLUO_radiance.hdr")[0].state == "there already"
    assert product.with_suffix(".png").exists()
    assert product.stat().st_mtime_ns == written


def test_what_is_far_too_large_to_tell_of_the_air_is_not_read(model: Path, tmp_path: Path) -> None:
    air = tmp_path / "atmosphere.nc"
    air.touch()
    os.truncate(air, 10**11)  # of zeros that take no place, and minutes to read
    with pytest.raises(SifnetError, match="atmosphere.nc: the file is far too large"):
        _run(Job(tmp_path / "out", model, atmosphere=air), write_named(tmp_path))
    with pytest.raises(SifnetError, match="atmosphere.nc: the file is far too large"):
        Job(tmp_path / "out", model, labels=air).settings()


# --- done is done ---


def test_what_is_done_is_not_even_opened(
    monkeypatch: pytest.MonkeyPatch, model: Path, tmp_path: Path
) -> None:
    scene, job = write_named(tmp_path), Job(tmp_path / "out", model)
    _run(job, scene)
    os.utime(scene.with_suffix(".dat"))  # another time, the same content
    monkeypatch.delattr(scenes, "open_scene")
    assert _run(job, scene)[0].state == "there already"


def test_that_all_is_done_is_said_at_once(model: Path, tmp_path: Path) -> None:
    """No library that takes seconds is loaded to see it."""
    scene, output = write_named(tmp_path), tmp_path / "out"
    _run(Job(output, model), scene)
    text = (
        "import sys; from pathlib import Path; from sifnet import cli\n"
        "arguments = ['retrieve', sys.argv[1], '-m', sys.argv[2], '-o', sys.argv[3]]\n"
        "cli.app(arguments, standalone_mode=False)\n"
        "heavy = {'torch', 'xarray', 'matplotlib', 'distributed', 'sifnet.retrieval', 'pyproj'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    )
    command = [sys.executable, "-c", text, str(scene), str(model), str(output)]
    told = subprocess.run(command, cwd=PROJECT, check=True, capture_output=True, text=True)
    assert "a_FLUO_radiance_sif.nc is there already" in told.stdout
    assert "1 scene" in (output / "index.html").read_text()


def test_a_moved_archive_is_the_samewrite_named(model: Path, tmp_path: Path) -> None:
    job = Job(tmp_path / "out", model)
    scene = write_named(tmp_path / "in")
    _run(job, scene)
    (tmp_path / "in").rename(tmp_path / "archive")
    (outcome,) = _run(job, tmp_path / "archive" / scene.name)
    assert outcome.state == "there already"


def test_what_is_of_another_make_is_made_again(
    monkeypatch: pytest.MonkeyPatch, model: Path, tmp_path: Path
) -> None:
    scene, job = write_named(tmp_path), Job(tmp_path / "out", model)
    _run(job, scene)
    with monkeypatch.context() as patch:
        patch.setattr(finished, "__version__", "99.0")
        assert "made again: it was made by sifnet" in _run(job, scene)[0].note
    assert _run(job, scene)[0].state == "there already"
    other = Job(job.output, model, aggregate=3)
    assert "made again: it was made with other settings" in _run(other, scene)[0].note
    with h5netcdf.File(job.output / "a_FLUO_radiance_sif.nc", "a") as file:
        file.attrs["model_sha256"] = "of another model"
    assert "made again: it was made with another model" in _run(other, scene)[0].note
    data = scene.with_suffix(".dat")
    values = np.fromfile(data, np.uint16)
    (values - 1).tofile(data)
    assert "made again: its scene has changed" in _run(other, scene)[0].note
    (job.output / "a_FLUO_radiance_sif.nc").write_bytes(b"half")
    assert "made again: the product could not be read" in _run(other, scene)[0].note
    assert _run(other, scene)[0].state == "there already"


# --- killed, full, forbidden ---


def _script(text: str, *arguments: object, limit: int | None = None) -> subprocess.Popen[str]:
    start = (
        "import sys; from pathlib import Path; from fakes.emulator import fake_emulator\n"
        "from sifnet.physics.emulator import Emulator\n"
        "from sifnet import cli; from sifnet.batch import run as batch; Job = batch.Job\n"
        "from sifnet.product import retrieve as mapping\n"
        "Emulator.load = classmethod(lambda *_, **__: fake_emulator())\n"
    )

    def before() -> None:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        if limit is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    return subprocess.Popen(
        [sys.executable, "-c", start + text, *map(str, arguments)],
        cwd=PROJECT,
        env={**os.environ, "PYTHONPATH": f"{PROJECT}:{PROJECT / 'tests'}"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=before,
    )


WAITING = (
    "import time; strips = mapping.solve_strips\n"
    "def slow(*a, **k):\n"
    "    for window, maps in strips(*a, **k):\n"
    "        yield window, maps\n"
    "        print('a strip is written', flush=True); time.sleep(60)\n"
    "mapping.solve_strips = slow\n"
    "cli.app(['retrieve', sys.argv[1], '-m', sys.argv[2], '-o', sys.argv[3]])\n"
)


@pytest.mark.parametrize(
    "blow", [signal.SIGKILL, pytest.param(signal.SIGINT, marks=pytest.mark.slow)]
)
def test_a_killed_batch_leaves_no_half_product_and_goes_on(
    model: Path, tmp_path: Path, blow: signal.Signals
) -> None:
    scene, output = write_named(tmp_path), tmp_path / "out"
    process = _script(WAITING, scene, model, output)
    assert process.stdout is not None
    assert process.stdout.readline() == "a strip is written\n"
    process.send_signal(blow)
    _, told = process.communicate(timeout=60)
    assert not list(output.glob("a_*"))
    assert len(list(output.glob(".*.partial.nc"))) == (blow == signal.SIGKILL)
    if blow == signal.SIGINT:
        assert process.returncode == 130
        assert "interrupted" in told
        assert "Traceback" not in told
    (outcome,) = _run(Job(output, model), scene)
    assert outcome.state == "mapped"
    assert not list(output.glob(".*"))


def test_a_full_disk_is_said_and_loses_nothing(model: Path, tmp_path: Path) -> None:
    """No file may grow beyond what the product needs: the system itself refuses to write."""
    scene, output = write_named(tmp_path), tmp_path / "out"
    _run(Job(output, model), scene)
    product = output / "a_FLUO_radiance_sif.nc"
    before = product.read_bytes()
    text = (
        "job = Job(Path(sys.argv[3]), Path(sys.argv[2]), overwrite=True)\n"
        "for outcome in batch.run(job, [Path(sys.argv[1])]): print(outcome.state, outcome.error)\n"
    )
    told, err = _script(text, scene, model, output, limit=30_000).communicate(timeout=120)
    assert "failed" in told, err
    assert "the output cannot be written" in told
    assert product.read_bytes() == before
    assert not list(output.glob(".*"))
    assert "cannot be written" in (output / "failures.json").read_text()


def test_a_disk_that_fills_while_a_strip_is_written(
    monkeypatch: pytest.MonkeyPatch, model: Path, tmp_path: Path
) -> None:
    class Full:
        def __setitem__(self, *_: object) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

    scene = write_named(tmp_path)
    monkeypatch.setattr(outputs, "_create", lambda *_: {"sif_760": Full()})
    (outcome,) = _run(Job(tmp_path / "out", model), scene)
    assert "cannot be written: found No space left on device" in str(outcome.error)
    assert {p.name for p in (tmp_path / "out").iterdir()} == {"failures.json"}


def test_a_folder_that_cannot_be_written_is_refused_before_work(
    monkeypatch: pytest.MonkeyPatch, model: Path, tmp_path: Path
) -> None:
    def forbidden(*_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    scene = write_named(tmp_path)
    monkeypatch.setattr(files, "TemporaryFile", forbidden)
    with pytest.raises(SifnetError, match="cannot be written: found Permission denied.*another"):
        _run(Job(tmp_path / "out", model), scene)


def test_leftovers_of_others_that_may_be_alive_are_kept(tmp_path: Path) -> None:
    node = files.platform.node()
    mine = tmp_path / f".a_sif.{node}.{os.getpid()}.partial.nc"
    theirs = tmp_path / f".a_sif.elsewhere.{os.getpid()}.partial.nc"
    old = tmp_path / ".b_sif.elsewhere.1.partial.nc"
    dead = tmp_path / f".a_sif.{node}.{2**22 + 1}.partial.nc"
    for path in (mine, theirs, old, dead):
        path.touch()
    os.utime(old, (0, 0))
    files.sweep(tmp_path)
    assert {mine, theirs} == set(tmp_path.iterdir())


# --- memory ---


def test_memory_does_not_grow_with_lines(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Eight times the lines: a map in memory would need 8 times the 8 MB of the short one."""

    def strips(scene: object, *_: object, **__: object) -> Iterator[tuple[slice, xr.Dataset]]:
        for start in range(0, scene.shape[0], 64):
            window = slice(start, min(start + 64, scene.shape[0]))
            yield window, fake_maps(window.stop - window.start, 250)

    monkeypatch.setattr(mapping, "solve_strips", strips)
    monkeypatch.setattr(mapping, "find_shared", lambda *_, **__: None)
    monkeypatch.setattr(prior, "registered", lambda scene: scene)
    monkeypatch.setattr(mapping, "examine", lambda _: [])
    monkeypatch.setattr(mapping.doubts, "of_line", lambda _: [])
    monkeypatch.setattr(mapping, "Sample", lambda *_, **__: SimpleNamespace(see=None))
    monkeypatch.setattr(mapping.kept, "of_line", lambda *_, **__: xr.Dataset())
    monkeypatch.setattr(mapping.kept, "within_packing", lambda told: told)
    fitted = quick_fit()[1]
    monkeypatch.setattr(mapping, "model_for", lambda *_: fitted)

    def peak(lines: int) -> float:
        scene = fake_scene(1, 250)
        long = scene.dataset.isel(line=np.zeros(lines, int)).drop_vars(["radiance", "latitude"])
        long.attrs["adjacency_share"] = 0.0  # looked for already
        fake = type("Long", (), {})()
        fake.dataset, fake.shape, fake.name, fake.sensor = (
            long,
            (lines, 250),
            "fake",
            record_of("hyplant"),
        )
        fake.window, fake.irradiance, fake.file = (lambda lines: fake), None, None
        fake.wavelength = scene.wavelength
        path = tmp_path / f"{lines}.nc"
        tracemalloc.start()
        try:
            with mapping.retrieve(fake, fitted, into=path, block=10) as product:
                outputs.summary(product)
                assert product["sif_760"].shape == (lines, 250)
            assert outputs.read_netcdf(path, "aggregated")["sif_760"].shape == (-(-lines // 10), 25)
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak(64)  # what is imported on the way counts once
    short, long = peak(500), peak(4000)
    assert long < 1.3 * short
