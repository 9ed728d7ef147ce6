"""What the README and the site say holds: their code runs, their commands and links are there."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import typer

import sifnet
from atmorep_bridge import cli as bridge
from conftest import PROJECT
from fakes.fitted import QUICK
from sifnet import cli

PAGES = [
    *(PROJECT / name for name in ("README.md", "BEWARE.md", "CONTRIBUTING.md", "CHANGELOG.md")),
    *sorted((PROJECT / "docs").rglob("*.md")),
]
BLOCK = re.compile(
    r"(?:^<!-- (illustration|needs: (?P<needs>[^\n]*)) -->\n)?"
    r"^```(?P<language>\w*)\n(?P<code>.*?)^```$",
    re.DOTALL | re.MULTILINE,
)
PROGRAMS: dict[str, Any] = {
    "sifnet": typer.main.get_command(cli.app), "atmorep-bridge": typer.main.get_command(bridge.app)
}  # fmt: skip
OTHERS = {".", "cd", "dask", "export", "git", "podman", "python", ".venv/bin/ruff"}
DEMO = "20200625-SIM-1642-741-L0-S-FLUO_radiance"  # what `sifnet demo` makes


class Block(NamedTuple):
    """Fenced code: why it is not run, or what it needs; its language and text."""

    illustration: bool
    needs: str | None
    language: str
    code: str


def _blocks(page: Path) -> list[Block]:
    found = BLOCK.finditer(page.read_text(encoding="utf-8"))
    return [Block(m[1] == "illustration", m["needs"], m["language"], m["code"]) for m in found]


def _with(language: str) -> list[Path]:
    return [page for page in PAGES if any(b.language == language for b in _blocks(page))]


def _name(page: Path) -> str:
    return page.relative_to(PROJECT).as_posix()


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files that pages name: a line of 20 x 40 pixels under each of its names, and its arrays."""
    folder = tmp_path_factory.mktemp("pages")
    made = sifnet.simulate("hyplant", folder / "first", lines=20, samples=40, quick=True)
    renamed = made.with_name(f"{DEMO}.hdr")
    for name in (renamed, folder / "line_FLUO_radiance.hdr"):
        for suffix in (".hdr", ".dat"):
            target = name.with_suffix(suffix)
            if target != made.with_suffix(suffix):
                target.write_bytes(made.with_suffix(suffix).read_bytes())
    scene = sifnet.open_scene(made)
    np.save(folder / "radiance.npy", scene.radiance.values)
    np.save(folder / "wavelength.npy", scene.wavelength)
    return folder


@pytest.mark.parametrize("page", _with("python"), ids=_name)
def test_python_runs(page: Path, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of a page one after the other, in one namespace."""
    monkeypatch.chdir(data)
    monkeypatch.setenv("MPLBACKEND", "Agg")
    monkeypatch.setattr(sifnet, "fit", partial(sifnet.fit, config=QUICK))
    names: dict[str, Any] = {}
    lacking = []
    for block in _blocks(page):
        if block.language != "python" or block.illustration:
            continue
        if block.needs and not eval(block.needs, names):
            lacking.append(block.needs)
            continue
        exec(compile(block.code, _name(page), "exec"), names)
    if lacking:
        pytest.skip(f"not here yet: {'; '.join(lacking)}")


@pytest.mark.parametrize("page", _with("sh"), ids=_name)
def test_commands_exist(page: Path) -> None:
    for block in _blocks(page):
        if block.language == "sh" and not block.illustration and _there(block):
            for words in _commands(block.code):
                _refuse_unknown(words)


def _there(block: Block) -> bool:
    """Whether what a block says it needs is in this version."""
    commands = {name for program in PROGRAMS.values() for name in program.commands}
    return not block.needs or bool(eval(block.needs, {"commands": commands}))


def _commands(code: str) -> Iterator[list[str]]:
    for line in re.sub(r"\\\n\s*", "", code).splitlines():
        for part in line.split("&&"):
            words = shlex.split(part, comments=True)
            words = words[1:] if words[:1] == ["srun"] else words
            if words:
                yield words


def _refuse_unknown(words: list[str]) -> None:
    program, arguments = words[0], words[1:]
    if program == "make":
        assert re.search(rf"^{arguments[0]}\b.*:", _makefile(), re.MULTILINE), arguments
    elif program == "pip":
        for extra in re.findall(r"\[(\w+)\]", " ".join(arguments)):
            assert extra in _extras(), extra
    elif program in PROGRAMS:
        command = PROGRAMS[program].commands[arguments[0]]
        if hasattr(command, "commands"):  # aerosol, spheres
            command, arguments = command.commands[arguments[1]], arguments[1:]
        with command.make_context(arguments[0], arguments[1:]):  # as if it were called
            pass
    else:
        assert program in OTHERS or "=" in program, f"what is {program}?"


def _makefile() -> str:
    text = (PROJECT / "Makefile").read_text()
    (pages,) = re.findall("^PAGES := (.*)", text, re.MULTILINE)
    return re.sub(r"\\\n", " ", text).replace("$(PAGES)", pages)


def _extras() -> dict[str, list[str]]:
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    extras: dict[str, list[str]] = project["optional-dependencies"]
    return extras


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_what_prose_names_exists(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for target in re.findall(r"`make ([a-z-]+)`", text):
        assert re.search(rf"^[a-z -]*\b{target}\b.*:", _makefile(), re.MULTILINE), target
    for program, command in re.findall(r"`(sifnet|atmorep-bridge) ([a-z-]+)[^`]*`", text):
        assert command in PROGRAMS[program].commands, command
    for link in re.findall(r"\]\((?!https?:|#)([^)#]+)(?:#[^)]*)?\)", text):
        inside = (page.parent / link).resolve()
        generated = {"beware.md", "commands.md", "data.md"}  # docs/hooks.py
        assert inside.exists() or inside.name in generated, link


def test_every_block_is_looked_at() -> None:
    """No fence without a language, in which nothing would be run."""
    known = {"python", "sh", "bash", "math", "yaml", "json", "toml", "text"}
    for page in PAGES:
        assert {block.language for block in _blocks(page)} <= known, page
        assert len(re.findall("^ *```", page.read_text(), re.MULTILINE)) == 2 * len(_blocks(page))


def test_the_readme_is_one_page_and_names_the_command_of_the_tests() -> None:
    text = (PROJECT / "README.md").read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 90
    commands = [words for block in _blocks(PROJECT / "README.md") if block.language == "sh"
                for words in _commands(block.code)]  # fmt: skip
    run = (PROJECT / ".ci" / "run").read_text().splitlines()[-1]
    assert shlex.split(run) in commands


def test_figures_of_the_readme_are_those_of_the_pages() -> None:
    """Ranges over the worlds that are not ours; single figures as the pages have them."""
    rows = [[cell.strip() for cell in line.strip("|").split("|")]
            for line in (PROJECT / "docs" / "worlds.md").read_text().splitlines()
            if line.startswith("| ")]  # fmt: skip
    head, worlds = rows[0], {row[0]: row for row in rows[1:]}
    desis = worlds.pop("desis")

    def extremes(column: str) -> list[str]:
        cells = [row[head.index(column)] for row in worlds.values()]
        return sorted(filter(None, cells), key=lambda cell: float(cell.replace("−", "-")))

    rmse, bias, bare = (extremes(name) for name in ("RMSE", "bias", "bare ground"))
    readme = (PROJECT / "README.md").read_text(encoding="utf-8")
    assert f"RMSE {rmse[0]} to {rmse[-1]}, bias {bias[0]} to {bias[-1]}" in readme
    assert f"{bare[0]} to {bare[-1]}" in readme
    assert f"RMSE {desis[head.index('RMSE')]}, bias {desis[head.index('bias')]}" in readme
    results = (PROJECT / "docs" / "results.md").read_text(encoding="utf-8")
    assert "| sifnet | 0.994, +0.04 | 0.934, −0.03 |" in results
    assert "| sifnet | +0.03 | 0.177 |" in results
    assert all(
        text in readme
        for text in ("correlation 0.994", "+0.04", "687 nm 0.934, −0.03", "RMSE 0.177, bias +0.03")
    )


def test_what_the_comparison_says_of_us_was_run() -> None:
    text = (PROJECT / "docs" / "comparison.md").read_text()
    tests = set(re.findall(r"`(tests/[\w/.]+)`", text))
    assert len(tests) > 5
    assert all((PROJECT / test).exists() for test in tests)


@pytest.mark.slow
def test_the_site_is_built_without_a_warning(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "-q", "-d", str(tmp_path)]
    subprocess.run(command, cwd=PROJECT, check=True)
    for page in tmp_path.rglob("*.html"):
        outside = re.findall(r'<(?:script|link|img)[^>]*(?:src|href)="https?:', page.read_text())
        assert not outside, page
    assert "<svg" in (tmp_path / "theory.html").read_text()
