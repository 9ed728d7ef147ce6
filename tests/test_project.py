"""What a project has beside its code agrees with it: citation, recipe, workflow, container."""

from __future__ import annotations

import re
import tomllib
from typing import Any

import yaml

from conftest import PROJECT
from sifnet import __version__

CONDA = {
    "torch": "pytorch",
    "pvlib": "pvlib-python",
    "matplotlib": "matplotlib-base",
    "netCDF4": "netcdf4",
}


def _yaml(name: str) -> Any:
    return yaml.safe_load((PROJECT / name).read_text(encoding="utf-8"))


def _project() -> Any:
    return tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]


def test_the_version_is_the_same_everywhere() -> None:
    assert _yaml("CITATION.cff")["version"] == __version__
    assert _yaml("conda/recipe.yaml")["context"]["version"] == __version__
    assert f"## {__version__}" in (PROJECT / "CHANGELOG.md").read_text()


def test_the_citation_has_what_its_format_asks_for() -> None:
    """CFF 1.2.0: these keys, and authors with a name each."""
    citation = _yaml("CITATION.cff")
    assert {"cff-version", "message", "title", "authors"} <= set(citation)
    assert citation["cff-version"] == "1.2.0"
    assert citation["license"] == _project()["license"]
    assert all(author.get("name") or author.get("family-names") for author in citation["authors"])


def test_the_recipe_installs_what_the_project_needs() -> None:
    run = dict(line.split() for line in _yaml("conda/recipe.yaml")["requirements"]["run"])
    assert run.pop("python") == _project()["requires-python"]
    wanted = {}
    for requirement in _project()["dependencies"]:
        name, bound = re.fullmatch(r"([\w-]+)(?:\[\w+\])?(>=.+)", requirement).groups()  # type: ignore[union-attr]
        wanted[CONDA.get(name, name)] = bound
    assert wanted.items() <= run.items()
    points = _yaml("conda/recipe.yaml")["build"]["python"]["entry_points"]
    assert dict(point.split(" = ") for point in points) == _project()["scripts"]


def test_the_workflow_and_the_hook_call_make() -> None:
    makefile = (PROJECT / "Makefile").read_text()
    jobs = _yaml(".github/workflows/test.yml")["jobs"]
    commands = [step["run"] for job in jobs.values() for step in job["steps"] if "run" in step]
    (hooks,) = (repo["hooks"] for repo in _yaml(".pre-commit-config.yaml")["repos"])
    commands += [hook["entry"] for hook in hooks]
    assert sorted(commands) == ["make docs", "make style", "make test"]
    for command in commands:
        assert re.search(rf"^{command.removeprefix('make ')}:", makefile, re.MULTILINE), command


def test_the_container_has_the_torch_of_the_makefile() -> None:
    (pinned,) = re.findall(r"^TORCH := (\S+)", (PROJECT / "Makefile").read_text(), re.MULTILINE)
    text = (PROJECT / "Containerfile").read_text()
    assert f"pip install --no-cache-dir {pinned} " in text
    (extras,) = re.findall(r"whl\)\[([\w,]+)\]", text)
    assert set(extras.split(",")) <= set(_project()["optional-dependencies"])


def test_packages_are_typed() -> None:
    assert all((PROJECT / name / "py.typed").is_file() for name in ("sifnet", "atmorep_bridge"))
