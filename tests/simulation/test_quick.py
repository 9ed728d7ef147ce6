"""Flight lines in the emulator's own light, and the demo that is made of them."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
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


def test_red_bands_come_beside_the_same_far_red(tmp_path: Path) -> None:
    far, both = (
        open_scene(simulate("hyplant", tmp_path / str(red), lines=6, samples=5, seed=3, quick=True,
                            red=red))
        for red in (False, True)
    )  # fmt: skip
    common = np.isin(both.wavelength, far.wavelength)
    np.testing.assert_array_equal(both.radiance.values[..., common], far.radiance.values)
    one, two = (xr.open_dataset(tmp_path / str(red) / "truth.nc") for red in (False, True))
    xr.testing.assert_equal(one, two[list(one)])
    green = two.sif_760.values > 0
    ratio = (two.sif_687 / two.sif_760).values[green]
    # SCOPE's canopies, nine of ten: 0.27 to 0.58; the formula's far-red peak is up to 1.2 times
    # theirs at 740 nm, and the red peak is up to 0.7 lower.
    assert ((ratio > 0.08) & (ratio < 0.7)).all()
    spectrum = two.sif_emission_spectrum.values[green]
    assert np.abs(np.diff(spectrum, axis=1)).max() < 0.1 * spectrum.max()  # no step at 740 nm


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
