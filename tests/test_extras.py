"""What not everybody needs is not needed by the core, and where it is missing, says so."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from conftest import PROJECT
from sifnet.errors import EXTRAS, not_installed

HIDE = f"import sys\nsys.modules.update(dict.fromkeys({sorted(EXTRAS)!r}))\n"
LAZY = {"scipy", "matplotlib", "rasterio", "pvlib", "spectral", "bokeh", "jinja2"}


def _without_extras(code: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", HIDE + code, *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": str(PROJECT), "OMP_NUM_THREADS": "1"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_the_core_maps_a_scene_and_names_what_is_missing(tmp_path: Path) -> None:
    done = _without_extras(
        "import sifnet\n"
        "scene = sifnet.simulate('hyplant', sys.argv[1], lines=20, samples=16, quick=True)\n"
        "sifnet.retrieve(sifnet.open_scene(scene), into=sys.argv[1] + '/map_sif.nc').close()\n"
        "for call in (lambda: sifnet.fit, lambda: sifnet.Config,\n"
        "             lambda: sifnet.simulate('hyplant', sys.argv[1], lines=2, samples=2)):\n"
        "    try:\n"
        "        call()\n"
        "    except sifnet.SifnetError as error:\n"
        "        print(error.remedy)\n"
        "from sifnet import cli\n"
        "cli.app(['fit', str(scene), '-o', sys.argv[1]])\n",
        tmp_path,
    )
    assert (tmp_path / "map_sif.nc").stat().st_size > 1000, done.stderr
    assert [line[-7:] for line in done.stdout.splitlines()[:3]] == ["train]'", "train]'", "build]'"]
    assert done.returncode == 2
    assert "pip install 'sifnet[train]'" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_core_imports_little() -> None:
    """Its floor is torch and xarray."""
    code = (
        "from sifnet import Scene, Sensor, load, open_scene, retrieve\n"
        f"print(sorted({LAZY!r} & {{name.split('.')[0] for name in sys.modules}}))\n"
    )
    assert _without_extras(code).stdout.strip() == "[]"


def test_every_extra_is_in_the_project() -> None:
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    offered = project["optional-dependencies"]
    names = {"yaml": "pyyaml", "astropy_healpix": "astropy-healpix"}
    for library, extra in EXTRAS.items():
        wanted = [r for r in offered[extra] if names.get(library, library) in r]
        assert wanted, f"{library} is not in the extra {extra}"
        assert not [r for r in project["dependencies"] if r.startswith(library)], library


@pytest.mark.parametrize("error", [ModuleNotFoundError("no torch", name="torch"), ValueError("x")])
def test_other_errors_are_not_about_extras(error: Exception) -> None:
    assert not_installed(error) is None


@pytest.mark.parametrize("module", ["sifnet", "atmorep_bridge"])
def test_packages_are_commands(module: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", module, "--help"], cwd=PROJECT, capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": str(PROJECT)}, check=True,
    )  # fmt: skip
    assert f"python -m {module}" in done.stdout
