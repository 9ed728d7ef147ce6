"""A wheel built from the tree and installed elsewhere is whole: code, tables, emulators."""

import os
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

from conftest import PROJECT

DATA = PROJECT / "data"
STAYS_BEHIND = ("demo",)  # folders of data/ that are not part of an installation


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    _pip("wheel", PROJECT, "--no-deps", "--no-build-isolation", "--wheel-dir", folder)
    (built,) = folder.glob("sifnet-*.whl")
    return built


def _pip(*arguments: object) -> None:
    command = [sys.executable, "-m", "pip", "--quiet", *map(str, arguments)]
    subprocess.run(command, check=True, capture_output=True, text=True)


def _shipped() -> list[str]:
    """Files of data/ that a wheel must hold."""
    files = (p.relative_to(DATA) for p in DATA.rglob("*") if p.is_file())
    return sorted(
        f.as_posix() for f in files
        if f.suffix != ".py" and f.parts[0] not in STAYS_BEHIND and "__pycache__" not in f.parts
    )  # fmt: skip


def test_it_holds_both_packages_and_the_data(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {"sifnet/__init__.py", "sifnet/physics/state.py", "atmorep_bridge/__init__.py"} <= names
    in_data = {n.removeprefix("sifnet/data/") for n in names if n.startswith("sifnet/data/")}
    assert in_data == set(_shipped())
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert not [n for n in names if n.startswith(("tests/", "data/"))]


def test_installed_elsewhere_it_finds_what_it_shipped(wheel: Path, tmp_path: Path) -> None:
    target = tmp_path / "elsewhere"
    _pip("install", wheel, "--no-deps", "--no-index", "--target", target)
    code = (
        "import sifnet, sys, zipfile\n"
        "from pathlib import Path\n"
        "from sifnet.physics.state import RANGES, Atmosphere, Geometry\n"
        "from sifnet.files import data_file\n"
        f"target = Path({str(target)!r})\n"
        "assert Path(sifnet.__file__).is_relative_to(target), sifnet.__file__\n"
        f"for name in {_shipped()!r}:\n"
        "    found = data_file(name)\n"
        "    assert found.is_relative_to(target) and found.stat().st_size, found\n"
        "for name, space in (('airborne', False), ('space', True)):\n"
        f"    if 'emulator_' + name + '.npz' in {_shipped()!r}:\n"
        "        emulator = sifnet.Emulator.load(space=space)\n"
        "        middle = {n: (a + b) / 2 for n, (a, b) in RANGES.items()}\n"
        "        middle['sensor_height'] = float('inf') if space else 1.0\n"
        "        air, seen = (kind.of(**{n: [middle[n]] for n in kind.__dataclass_fields__})\n"
        "                     for kind in (Atmosphere, Geometry))\n"
        "        assert bool(emulator(air, seen).ground.isfinite().all())\n"
        "import sifnet.cli, sifnet.training, sifnet.evaluation\n"
    )
    run = subprocess.run(
        # -P and an empty folder: the checkout must not be found by accident.
        [sys.executable, "-P", "-c", code],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(target)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr


def test_every_dependency_says_why() -> None:
    """A bound without a reason is a riddle to whoever has to lift it."""
    lines = (PROJECT / "pyproject.toml").read_text().splitlines()
    project = tomllib.loads("\n".join(lines))["project"]
    wanted = [*project["dependencies"], *project["optional-dependencies"]["build"]]
    for requirement in wanted:
        (line,) = [text for text in lines if f'"{requirement}"' in text]
        assert "#" in line, f"{requirement} has no reason"
