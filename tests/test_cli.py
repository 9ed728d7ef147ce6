"""The real commands, from file to file; the emulator is a toy fitted in a second."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import yaml
from rich.console import Console
from typer.testing import CliRunner, Result

from conftest import PROJECT
from fakes.emulator import fake_emulator
from fakes.fitted import QUICK, quick_fit, write_known
from fakes.products import write
from sifnet import __version__, cli
from sifnet.batch.run import Outcome
from sifnet.errors import SifnetError
from sifnet.files import sha256
from sifnet.physics.emulator import Emulator
from sifnet.product import netcdf as outputs
from sifnet.product import pictures
from sifnet.product.provenance import told
from sifnet.scenes import open_scene
from sifnet.simulation import simulate as simulation
from sifnet.training import fit as training

PRODUCT = "line_FLUO_radiance_sif.nc"
CONFIG = {
    "training": {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in vars(QUICK).items()
        if isinstance(value, (int, float, tuple)) and name != "window"
    }
}


@pytest.fixture(autouse=True)
def _toy_emulator(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Emulator, "load", classmethod(lambda *_, **__: fake_emulator()))


@pytest.fixture
def _no_artist(monkeypatch: pytest.MonkeyPatch) -> None:
    """The quicklook takes longer than all else; `fitted` has one."""
    monkeypatch.setattr(pictures, "write_quicklook", lambda _, path: path.write_bytes(b"PNG"))


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Path:
    known, _ = quick_fit()
    return write_known(tmp_path_factory.mktemp("scene"), known)


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("config") / "quick.yaml"
    path.write_text(yaml.safe_dump(CONFIG))
    return path


@pytest.fixture(scope="module")
def fitted(scene: Path, config: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder that `sifnet fit` filled."""
    folder = tmp_path_factory.mktemp("fitted")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Emulator, "load", classmethod(lambda *_, **__: fake_emulator()))
        result = _run("fit", scene, "-o", folder, "--config", config)
    assert result.exit_code == 0, result.output
    return folder


def _run(*arguments: object) -> Result:
    return CliRunner().invoke(cli.app, [str(argument) for argument in arguments])


def test_fit_leaves_model_map_picture_and_report(fitted: Path) -> None:
    left = {path.name for path in fitted.iterdir() if path.is_file()}
    beside = {PRODUCT.replace(".nc", suffix) for suffix in (".png", ".json")}
    assert left == {"model.ckpt", PRODUCT, *beside, "index.html", "report.html"}
    product = outputs.read(fitted / PRODUCT)
    assert product.attrs["model_sha256"] == sha256(fitted / "model.ckpt")
    assert told(product)["configuration"]["training"]["epochs"] == 1
    page = (fitted / "report.html").read_text()
    for text in ('id="losses_card"', "χ²", "Bokeh", "do not trust"):
        assert text in page


def test_a_report_can_be_had_of_any_product(fitted: Path, tmp_path: Path) -> None:
    result = _run("report", fitted / PRODUCT, "-o", tmp_path / "r.html")
    assert result.exit_code == 0, result.output
    assert 'id="losses_card" hidden' in (tmp_path / "r.html").read_text()
    assert _run("report", tmp_path / "none.nc", "-o", tmp_path / "r.html").exit_code == 2


@pytest.mark.usefixtures("_no_artist")
def test_what_a_fit_mapped_is_there_already(scene: Path, fitted: Path) -> None:
    """A fit and a retrieval with its model write the same product."""
    before = (fitted / PRODUCT).read_bytes()
    result = _run("retrieve", scene, "-m", fitted / "model.ckpt", "-o", fitted)
    assert f"{PRODUCT} is there already" in result.output
    assert (fitted / PRODUCT).read_bytes() == before
    again = _run("retrieve", scene, "-m", fitted / "model.ckpt", "-o", fitted, "--overwrite")
    assert "made again" not in again.output


@pytest.mark.usefixtures("_no_artist")
def test_retrieve_maps_the_same_and_skips_what_is_there(
    scene: Path, fitted: Path, tmp_path: Path
) -> None:
    arguments = ("retrieve", scene, "-m", fitted / "model.ckpt", "-o", tmp_path)
    first = _run(*arguments, "--cog")
    assert first.exit_code == 0, first.output
    stem = PRODUCT.removesuffix(".nc")
    sides = {f"{stem}{suffix}" for suffix in (".nc", ".png", ".json")}
    assert "no GeoTIFF: it lies on no map grid" in first.output
    assert {p.name for p in tmp_path.iterdir()} == {*sides, "thumbnails", "index.html"}
    made, before = (outputs.read(folder / PRODUCT) for folder in (tmp_path, fitted))
    np.testing.assert_allclose(made["sif_760"], before["sif_760"], atol=1e-4)
    for name in ("configuration", "settings"):
        assert told(made)[name] == told(before)[name]
    written = (tmp_path / PRODUCT).stat().st_mtime_ns
    assert "there already" in _run(*arguments).output
    assert (tmp_path / PRODUCT).stat().st_mtime_ns == written
    again = _run(*arguments, "--overwrite")
    assert "map:" in again.output
    assert "made again" not in again.output
    assert (tmp_path / PRODUCT).stat().st_mtime_ns > written


@pytest.mark.usefixtures("_no_artist")
def test_a_refused_scene_does_not_stop_the_others(
    scene: Path, fitted: Path, tmp_path: Path
) -> None:
    result = _run(
        "retrieve", tmp_path / "none.hdr", scene, "-m", fitted / "model.ckpt", "-o", tmp_path
    )
    assert result.exit_code == 2
    assert "none.hdr: no such file" in result.stderr
    assert (tmp_path / PRODUCT).exists()
    rows = [line.split() for line in result.output.splitlines() if "hdr" in line]
    assert ["none.hdr", "failed"] in [row[:2] for row in rows]
    (mapped,) = [row for row in rows if "mapped" in row]
    assert mapped[2] == "384"
    assert "none.hdr" in (tmp_path / "failures.json").read_text()
    assert "1 scene, 1 failed" in (tmp_path / "index.html").read_text()


@pytest.mark.parametrize("width", [40, 80, 120])
def test_the_table_of_a_batch_breaks_no_word(
    width: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cli, "out", Console(width=width))
    figures = {"pixels": 1024 * 1024, "trusted": 0.981, "sif_760_mean": 1.234}
    long = Path("DESIS-HSI-L1C-DT0483531420_003-20200625T101010-V0210.zip")
    cli._print_outcomes([
        Outcome(long, "mapped", "", long, seconds=43.2, statistics=figures),
        Outcome(Path("a.hdr"), "there already", "", long),
    ])  # fmt: skip
    text = capsys.readouterr().out
    for whole in (
        "trusted",
        "seconds",
        "there already",
        "1,048,576",
        "98.1%",
        "V0210.zip",
        "DESIS",
    ):
        assert whole in text
    rows = [line for line in text.splitlines() if line.strip()]
    assert len(rows) == 5


def test_a_remedy_is_one_that_its_door_offers(tmp_path: Path) -> None:
    (tmp_path / "what.xyz").touch()
    with pytest.raises(SifnetError, match="Name the sensor with sensor=") as caught:
        open_scene(tmp_path / "what.xyz")
    assert "--sensor" not in str(caught.value)
    result = _run("inspect", tmp_path / "what.xyz")
    assert "Name the sensor with --sensor" in result.stderr
    assert "sensor=" not in result.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ("retrieve", "lien.hdr", "-o", "out"),
        ("retrieve", "downlods/*.zip", "-o", "out"),
        ("retrieve", "{scene}", "-m", "modle.ckpt", "-o", "out"),
        ("retrieve", "{scene}", "--atmosphere", "air.cn", "-o", "out"),
        ("fit", "lien.hdr", "-o", "out"),
        ("fit", "{scene}", "--model", "modle.ckpt", "-o", "out"),
        ("fit", "{scene}", "--config", "set.yml", "-o", "out"),
        ("evaluate", "p_sif.nc", "--truth", "truht.nc"),
        ("compare", "a_sif.nc", "b_sif.nc"),
        ("series", "mpas", "-o", "out"),
        ("remake", "p_sif.nc", "-o", "out"),
    ],
)
def test_a_typo_in_a_path_leaves_nothing_behind(
    scene: Path, arguments: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = _run(*(argument.format(scene=scene) for argument in arguments))
    assert result.exit_code == 2, result.output
    assert result.stderr.startswith("error:")
    assert ("not a readable model" in result.stderr) == ("modle.ckpt" in arguments)
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_two_workers_map_two_scenes(scene: Path, fitted: Path, tmp_path: Path) -> None:
    other = write_known(tmp_path / "in", quick_fit()[0], name="other_FLUO_radiance")
    result = _run(
        *("retrieve", scene, other, "-m", fitted / "model.ckpt", "-o", tmp_path / "out"),
        *("--workers", 2),
    )
    assert result.exit_code == 0, result.output
    assert {p.name for p in (tmp_path / "out").glob("*.nc")} == {
        PRODUCT,
        PRODUCT.replace("line", "other"),
    }


def test_evaluate_prints_and_saves(scene: Path, fitted: Path) -> None:
    product = outputs.read(fitted / PRODUCT)
    product["quality_flag"][:] = 0  # a model of two steps fits poorly; here only figures count
    path = write(product, scene.parent / "good_sif.nc")
    result = _run("evaluate", path, "--truth", scene.parent / "truth.nc")
    assert result.exit_code == 0, result.output
    assert "rmse" in result.output
    assert path.with_name("good_sif_evaluation.csv").exists()
    assert path.with_name("good_sif_evaluation.png").exists()


def test_inspect_says_what_was_understood(scene: Path) -> None:
    result = _run("inspect", scene)
    assert result.exit_code == 0, result.output
    assert "24 lines x 16 samples" in result.output


def test_inspect_is_quick() -> None:
    """It registers the scene, and still loads little beyond xarray, and what that loads."""
    code = (
        "import sys\n"
        "from sifnet import cli\n"
        "cli.app(['inspect', sys.argv[1]], standalone_mode=False)\n"
        "assert 'scipy.ndimage' in sys.modules, 'not registered'\n"
        "heavy = {'torch', 'matplotlib', 'rasterio', 'netCDF4', 'pyproj', 'distributed'}\n"
        "heavy |= {'scipy.interpolate', 'scipy.optimize'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    )
    scene = next((PROJECT / "data" / "demo").glob("*.hdr"))
    subprocess.run([sys.executable, "-c", code, str(scene)], cwd=PROJECT, check=True)


def test_simulate_hands_its_arguments_on(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    seen: dict[str, object] = {}

    def simulate(sensor: str, output: Path, **options: object) -> Path:
        seen.update(sensor=sensor, **options)
        return output / "scene.hdr"

    monkeypatch.setattr(simulation, "simulate", simulate)
    result = _run("simulate", "--sensor", "hyplant", "-o", tmp_path, "--lines", 8, "--seed", 3)
    assert result.exit_code == 0, result.output
    product = {"level": "L1C", "zipped": False, "quick": False, "red": False}
    assert seen == {"sensor": "hyplant", "lines": 8, "samples": 96, "seed": 3, **product}
    assert "scene.hdr" in result.output


@pytest.mark.parametrize(("library", "code"), [("sasktran2", 2), ("joseki", 2), ("torch", 1)])
def test_without_the_extra_the_sentence_that_helps(
    monkeypatch: pytest.MonkeyPatch, library: str, code: int
) -> None:
    def simulate(*_: object, **__: object) -> Path:
        raise ModuleNotFoundError(f"No module named '{library}'", name=library)

    monkeypatch.setattr(simulation, "simulate", simulate)
    result = _run("simulate", "--sensor", "hyplant", "-o", "unused")
    assert result.exit_code == code
    assert ("pip install 'sifnet[build]'" in result.stderr) == (code == 2)


def test_a_database_is_not_mixed_by_accident(tmp_path: Path) -> None:
    (tmp_path / "state_00000.npz").touch()
    result = _run("build-emulator", tmp_path, "-o", tmp_path / "out")
    assert result.exit_code == 2
    assert "Go on with --resume" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("inspect", "nowhere.hdr"), "nowhere.hdr: no such file or folder"),
        (("fit", "nowhere.hdr", "-o", "out"), "nowhere.hdr: no such file or folder"),
        (("fit", "x.hdr", "-o", "out", "--config", "none.yaml"), "the settings cannot be read"),
        (("fit", "x.hdr", "-o", "o", "--atmosphere", "none.nc"), "not a readable NetCDF-4 file"),
        (("retrieve", "x.hdr", "-m", "none.ckpt", "-o", "out"), "x.hdr: no such file or folder"),
        (("evaluate", "none.nc", "--truth", "none.nc"), "not a readable NetCDF-4 file"),
    ],
)
def test_bad_input_is_one_line_and_code_2(arguments: tuple[str, ...], message: str) -> None:
    result = _run(*arguments)
    assert result.exit_code == 2
    assert result.stderr.count("\n") == 1
    assert message in result.stderr
    assert "Traceback" not in result.output


def test_an_output_that_cannot_be_written_is_refused(scene: Path, config: Path) -> None:
    result = _run("fit", scene, "-o", scene / "folder", "--config", config)
    assert result.exit_code == 2
    assert "cannot be written" in result.stderr


@pytest.mark.parametrize("limit", [400, 700])  # MB: while libraries are loaded
def test_memory_that_does_not_suffice_is_one_sentence(
    scene: Path, tmp_path: Path, limit: int
) -> None:
    """The system itself gives no more."""
    command = f"ulimit -v {limit * 1000}; exec {sys.executable} -m sifnet.cli retrieve {scene} -o"
    done = subprocess.run(
        ["sh", "-c", f"{command} {tmp_path / 'out'}"], cwd=PROJECT, capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": str(PROJECT), "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 2, done.stderr
    assert "error: memory does not suffice: found" in done.stderr
    assert "Traceback" not in done.stderr
    left = {path.name for path in (tmp_path / "out").rglob("*")}
    assert left <= {"failures.json", "index.html"}  # notes of it, and nothing of a product


def test_an_interruption_says_what_was_kept(
    monkeypatch: pytest.MonkeyPatch, scene: Path, config: Path, tmp_path: Path
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(training, "fit", interrupted)
    result = _run("fit", scene, "-o", tmp_path, "--config", config)
    assert result.exit_code == 130
    assert "goes on from them" in result.stderr
    assert not list(tmp_path.glob("*.nc"))


def test_an_interruption_that_lightning_caught_is_still_one(
    monkeypatch: pytest.MonkeyPatch, scene: Path, config: Path, tmp_path: Path
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        try:
            raise KeyboardInterrupt
        except KeyboardInterrupt:
            sys.exit(1)

    monkeypatch.setattr(training, "fit", interrupted)
    assert _run("fit", scene, "-o", tmp_path, "--config", config).exit_code == 130


def test_a_mistake_of_ours_is_not_hidden(
    monkeypatch: pytest.MonkeyPatch, scene: Path, config: Path, tmp_path: Path
) -> None:
    def wrong(*_: object, **__: object) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(training, "fit", wrong)
    result = _run("fit", scene, "-o", tmp_path, "--config", config)
    assert isinstance(result.exception, RuntimeError)
    assert not isinstance(result.exception, SifnetError)


def test_ctrl_c_on_the_real_process(tmp_path: Path) -> None:
    """The shell sees 130 and a sentence, not a traceback."""
    waiting = (
        "import time, sifnet.cli as cli, sifnet.scenes as scenes\n"
        "def wait(*_, **__):\n"
        "    print('ready', flush=True); time.sleep(60)\n"
        "scenes.open_scene = wait\n"
        "cli.app(['inspect', 'x'])\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", waiting],
        cwd=PROJECT,
        env={**os.environ, "PYTHONPATH": str(PROJECT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A test run in the background ignores the signal, and so would what it starts.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "interrupted" in told
    assert "Traceback" not in told


def test_help_teaches_and_is_quick() -> None:
    """No library that takes seconds is loaded to show the help."""
    code = (
        "import sys\n"
        "from typer.testing import CliRunner\n"
        "from sifnet import cli\n"
        "text = CliRunner().invoke(cli.app, ['--help']).output\n"
        "assert 'sifnet demo' in text and 'build-emulator' in text, text\n"
        "heavy = {'torch', 'lightning', 'xarray', 'rasterio', 'matplotlib'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", code], cwd=PROJECT, check=True)
    for command in ("demo", "fit", "retrieve", "simulate", "evaluate", "inspect", "build-emulator"):
        text = _run(command, "--help").output
        assert "Example:" in text
        assert f"sifnet {command}" in " ".join(text.split())


def test_version() -> None:
    assert __version__ in _run("--version").output
