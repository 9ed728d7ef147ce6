"""Flight lines in the emulator's own light, and the demo that is made of them."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import typer
import xarray as xr
from typer.testing import CliRunner

from conftest import PROJECT
from sifnet import cli, open_scene, terminal
from sifnet.errors import SifnetError
from sifnet.simulation.simulate import simulate


def test_quick_light_is_that_of_full_transfer(tmp_path: Path) -> None:
    """The line that ships, of the same seed by full transfer: but for its sun of shallower lines,
    which is 0.5 % of the light."""
    full = open_scene(PROJECT / "data" / "demo").radiance
    made = simulate("hyplant", tmp_path, lines=90, samples=96, seed=2, quick=True)
    ratio = open_scene(made).radiance.values / full.values
    assert ratio.shape == full.shape
    assert abs(ratio.mean() - 1) < 0.002
    assert ratio.std() < 0.006


def test_a_quick_line_says_whose_light_it_is(tmp_path: Path) -> None:
    path = simulate("hyplant", tmp_path, lines=6, samples=5, seed=3, quick=True)
    truth = xr.open_dataset(tmp_path / "truth.nc")
    assert "emulator" in truth.attrs["title"]
    assert open_scene(path).shape[:2] == truth.sif_760.shape == (6, 5)


def test_only_lines_are_quick(tmp_path: Path) -> None:
    with pytest.raises(SifnetError, match="only flight lines"):
        simulate("desis", tmp_path, lines=4, samples=4, quick=True)
    assert not list(tmp_path.iterdir())


def test_the_demo_ends_with_a_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small = lambda *a, **o: simulate(*a, **o | {"lines": 20, "samples": 16})  # noqa: E731
    monkeypatch.setattr("sifnet.simulation.simulate.simulate", small)
    result = CliRunner().invoke(cli.app, ["demo", "-o", str(tmp_path)])
    assert result.exit_code == 0, result.output
    assert "our own emulator" in result.output
    *_, last = result.output.splitlines()
    assert Path(last.removeprefix("picture: ")).read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(("terminal_there", "display", "opened"), [
    (True, ":0", 1), (True, "", 0), (False, ":0", 0),
])  # fmt: skip
def test_a_picture_is_opened_for_who_sits_before_a_screen(
    terminal_there: bool, display: str, opened: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[str] = []
    monkeypatch.setattr(typer, "launch", shown.append)
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("DISPLAY", display)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    for name in ("out", "err"):
        monkeypatch.setattr(terminal, name, SimpleNamespace(is_terminal=terminal_there))
    terminal.show(Path("x.png"))
    assert len(shown) == opened
