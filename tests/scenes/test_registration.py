"""Bands are found where lines are: in our light, and in light of another code with its truth."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from conftest import PROJECT
from fakes.worlds import world
from sifnet.errors import SifnetError
from sifnet.scenes import open_scene
from sifnet.scenes import registration as lines
from sifnet.scenes.registration import registered, registration
from sifnet.scenes.scene import Scene
from sifnet.units import vacuum_to_air


@pytest.fixture(scope="module")
def demo() -> Scene:
    return open_scene(next((PROJECT / "data" / "demo").glob("*.hdr")))


def counted(scene: Scene, wavelength: np.ndarray, fwhm: np.ndarray | None = None) -> Scene:
    """The same light, with other bands in the header."""
    width = scene.fwhm if fwhm is None else fwhm
    return Scene(scene.dataset.assign_coords(wavelength=("band", wavelength), fwhm=("band", width)))


def test_what_ships_is_unpacked_once(demo: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many widths are tried: unpacking took most of the time of `sifnet inspect`."""
    unpacked, load = [], np.load
    monkeypatch.setattr(np, "load", lambda *a, **k: unpacked.append(a) or load(*a, **k))
    for cached in (lines._light, lines._lines):
        cached.cache_clear()
    assert registration(demo) is not None
    assert len(unpacked) == 1


def test_a_scene_that_is_right_is_left_as_it_is(demo: Scene) -> None:
    assert registered(demo) is demo


@pytest.mark.parametrize("shift", [-0.4, -0.1, 0.35])
def test_a_shift_is_found_and_taken_out(demo: Scene, shift: float) -> None:
    moved = registered(counted(demo, demo.wavelength - shift))
    np.testing.assert_allclose(moved.wavelength, demo.wavelength, atol=0.015)
    assert moved.dataset.attrs["registered_shift"] == pytest.approx(shift, abs=0.015)
    assert f"moved by {shift:+.1f}" in moved.dataset.attrs["notes"][-1]
    assert registered(moved) is moved


def test_wavelengths_in_air_are_recognised_and_told(demo: Scene) -> None:
    moved = registered(counted(demo, vacuum_to_air(demo.wavelength)))
    np.testing.assert_allclose(moved.wavelength, demo.wavelength, atol=1e-3)
    assert "counted in air without saying so" in moved.dataset.attrs["notes"][-1]
    assert moved.dataset.attrs["registered_shift"] == 0.0


def test_widths_wrong_by_a_third_are_mended(demo: Scene) -> None:
    for factor in (0.77, 1.3):
        moved = registered(counted(demo, demo.wavelength, demo.fwhm * factor))
        np.testing.assert_allclose(moved.fwhm, demo.fwhm, rtol=0.06)
        assert "widths multiplied" in moved.dataset.attrs["notes"][-1]


def test_bands_in_another_order_are_refused(demo: Scene) -> None:
    light = demo.radiance.isel(band=slice(None, None, -1)).values
    with pytest.raises(SifnetError, match="do not show the lines of sun and oxygen"):
        registered(Scene(demo.dataset.assign(radiance=(("line", "sample", "band"), light))))


def test_bands_that_resolve_no_lines_are_left(demo: Scene) -> None:
    assert registration(counted(demo, demo.wavelength, demo.fwhm * 3)) is None


@pytest.mark.parametrize("name", ["plain", "low", "misreg"])
def test_light_of_another_code(name: str, shared_data: Path, tmp_path: Path) -> None:
    scene, truth = world(name, shared_data, tmp_path)
    found = registration(scene)
    assert found is not None
    in_air = 0.0 if name == "plain" else 760.0 * 2.75e-4
    assert found.shift - in_air == pytest.approx(float(truth.wavelength_shift.median()), abs=0.01)
    assert found.smile == pytest.approx(float(np.ptp(truth.wavelength_shift.values)), abs=0.01)
    assert replace(found, smile=0.0).correlation > 0.99
