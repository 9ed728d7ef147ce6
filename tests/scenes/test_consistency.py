"""A scene that contradicts physics is told, flagged or refused; one that does not is left alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from conftest import PROJECT
from fakes.desis import WAVELENGTH as DESIS
from fakes.desis import fake_desis, gains
from fakes.hyplant import PLACE, fake_hyplant, southward
from fakes.worlds import world
from sifnet.cli import app
from sifnet.errors import SifnetError
from sifnet.scenes import open_scene
from sifnet.scenes.consistency import Finding, examine
from sifnet.scenes.light import Light
from sifnet.scenes.registration import registered
from sifnet.scenes.scene import Scene


@pytest.fixture(scope="module")
def demo() -> Scene:
    return open_scene(next((PROJECT / "data" / "demo").glob("*.hdr")))


def scaled(scene: Scene, factor: float, **changed: Any) -> Scene:
    """Another radiance and geometry, the same light."""
    radiance = scene.radiance.astype(np.float32) * np.float32(factor)
    return Scene(scene.dataset.assign(radiance=radiance, **changed))


def told(scene: Scene) -> dict[str, Finding]:
    return {finding.check: finding for finding in examine(scene)}


def test_the_demo_is_consistent(demo: Scene) -> None:
    assert examine(registered(demo)) == []


@pytest.mark.parametrize("factor", [0.2, 0.5, 2.0, 3.0])
def test_a_wrong_scale_is_told_by_level_and_noise(demo: Scene, factor: float) -> None:
    found = told(scaled(demo, factor))
    assert found["level"].grave
    way = "small" if factor < 1 else "large"
    assert f"radiance is probably too {way}" in found["level"].text
    assert Light.of(scaled(demo, factor)).noise == pytest.approx(np.sqrt(factor), rel=0.02)
    assert not found["noise"].grave
    assert ("cloud" in found) == (factor == 3.0)


def test_a_fifth_of_the_scale_cannot_be_told(demo: Scene) -> None:
    """It is what BEWARE says of it: darker ground looks the same."""
    assert told(scaled(demo, 0.8)) == {}


def test_level_alone_tells_where_noise_cannot(demo: Scene) -> None:
    coarse = Scene(demo.dataset.isel(band=np.r_[0:12, 13:276:4]))
    assert not np.isfinite(Light.of(coarse).noise)
    assert told(scaled(coarse, 0.5))["level"].grave
    assert told(scaled(coarse, 2.0))["level"].grave
    assert told(coarse) == {}


@pytest.mark.parametrize(("reflectance", "kind"), [(0.07, "level"), (0.3, None), (0.9, "level")])
def test_ground_without_green(demo: Scene, reflectance: float, kind: str | None) -> None:
    """Soil passes; what is as dark as water or as bright as snow is not to be trusted as soil."""
    bare = demo.dataset.isel(band=demo.wavelength > 700)
    now = float(np.median(Light.of(Scene(bare)).reflectance))
    scene = scaled(Scene(bare), reflectance / now)
    assert (kind in told(scene)) if kind else ("level" not in told(scene))


def test_the_sun_stands_where_time_and_place_say(demo: Scene) -> None:
    assert "sun" not in told(scaled(demo, 1, solar_zenith_angle=36.5))
    found = told(scaled(demo, 1, solar_zenith_angle=28.08))["sun"]
    assert "28.08, but 35.06 at the stated time and place" in found.text
    with pytest.raises(SifnetError, match=r"the sun was elsewhere.*at most 30 degrees"):
        examine(scaled(demo, 1, solar_zenith_angle=66.0))
    with pytest.raises(SifnetError, match="the sun is given in radians"):
        examine(scaled(demo, 1, solar_zenith_angle=float(np.radians(35.06))))
    nowhere = Scene(demo.dataset.drop_vars(["latitude", "longitude"]))
    assert examine(nowhere) == []
    with pytest.raises(SifnetError, match=r"the place is not known.*not radians"):
        examine(scaled(nowhere, 1, solar_zenith_angle=0.612))


def test_height_is_that_of_name_and_navigation(tmp_path: Path, demo: Scene) -> None:
    assert demo.dataset.attrs["other_heights"] == {"file name": 0.783}
    found = told(scaled(demo, 1, sensor_height=1.8))["height"]
    assert found.grave
    assert "1.800 km above ground, but 0.783 by the file name" in found.text
    assert not told(scaled(demo, 1, sensor_height=1.0))["height"].grave
    assert "height" not in told(scaled(demo, 1, sensor_height=0.85))
    with pytest.raises(SifnetError, match="the height of the sensor contradicts itself"):
        examine(scaled(demo, 1, sensor_height=783.0))
    header = {"ground elevation km": 0.1, "sensor height km": 1.1}
    flown = open_scene(fake_hyplant(tmp_path, navigation=southward(), header=header))
    heights = flown.dataset.attrs["other_heights"]
    assert heights == {"file name": 0.6, "navigation file": pytest.approx(0.6025)}


def test_places_and_tracks_agree(tmp_path: Path, demo: Scene) -> None:
    aside = open_scene(fake_hyplant(tmp_path / "a", navigation=southward()))
    assert aside.dataset.attrs["other_places"] == {"header": PLACE}
    there = demo.dataset.assign_attrs(other_places={"header": (50.62, 8.9)})
    assert "135 km off by the header" in told(Scene(there))["place"].text
    latitude = 50.62 + 1e-5 * np.arange(demo.shape[0])
    longitude = np.full(demo.shape[0], 6.99)
    flown = {"latitude": ("line", latitude), "longitude": ("line", longitude)}
    assert told(Scene(demo.dataset.assign(flown))) == {}
    latitude[40:] += 0.01
    jump = told(Scene(demo.dataset.assign(flown)))["track"]
    assert "1.11 km from line 39 to the next" in jump.text


def test_bands_that_had_to_be_moved_far_are_told(demo: Scene) -> None:
    def counted(shift: float, factor: float = 1.0) -> Scene:
        bands = {"wavelength": ("band", demo.wavelength - shift),
                 "fwhm": ("band", demo.fwhm / factor)}  # fmt: skip
        return registered(Scene(demo.dataset.assign_coords(bands)))

    assert told(counted(0.08)) == {}
    assert "-0.3" in told(counted(-0.3))["bands"].text
    assert not told(counted(-0.3))["bands"].grave
    assert told(counted(-0.49))["bands"].grave
    assert told(counted(0.0, 1.52))["bands"].grave
    wide = Scene(demo.dataset.assign_coords(fwhm=("band", demo.fwhm * 4)))
    assert told(wide)["width"].grave


def test_swapped_bytes_are_refused(tmp_path: Path, demo: Scene) -> None:
    header = next((PROJECT / "data" / "demo").glob("*.hdr"))
    for file in (header, header.with_suffix(".dat")):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    text = header.read_text().replace("byte order = 0", "byte order = 1")
    (tmp_path / header.name).write_text(text)
    with pytest.raises(SifnetError):
        examine(registered(open_scene(tmp_path)))


def test_wide_bands_must_look_like_sunlight_too(demo: Scene) -> None:
    """Nothing of 3.5 nm can be registered; the band of oxygen is there all the same."""
    centre = np.r_[660.0, 670.0, np.arange(748.5, 772.0, 1.2)]
    narrow = demo.radiance.values
    response = np.exp(-0.5 * ((demo.wavelength - centre[:, None]) / (2.4 / 2.3548)) ** 2)
    response[:2], response[:2, :12] = 0.0, 1.0
    response /= response.sum(-1, keepdims=True)
    seen = (narrow @ response.T).astype(np.float32)
    bands = demo.dataset.drop_vars(["radiance", "wavelength", "fwhm", "reader_flags"])

    def scene(values: np.ndarray) -> Scene:
        return Scene(bands.assign(radiance=(("line", "sample", "band"), values)).assign_coords(
            wavelength=("band", centre), fwhm=("band", np.full(centre.size, 2.4))))  # fmt: skip

    assert "level" not in told(scene(seen))
    with pytest.raises(SifnetError, match="do not look like sunlight through oxygen"):
        examine(scene(np.concatenate([seen[..., :2], seen[..., :1:-1]], -1)))


@pytest.mark.parametrize(
    ("share", "told_of"), [(0.8, False), (1.2, False), (1.4, True), (0.2, True)]
)
def test_measured_light_is_that_of_a_sky(demo: Scene, share: float, told_of: bool) -> None:
    sun = 1283.0 * np.cos(np.radians(35.06)) / 1.0165**2
    light = np.full(demo.shape, share * sun, np.float32)
    light_and_radiance = {
        "irradiance": (demo.radiance.dims, light),
        "radiance": demo.radiance * np.float32(share),
    }
    scene = Scene(demo.dataset.assign(light_and_radiance))
    assert ("irradiance" in told(scene)) == told_of


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ({"latitude": 95.0}, "latitude is impossible: found 95; expected -90 to 90"),
        ({"longitude": 361.0}, "longitude is impossible"),
        ({"latitude": 0.0, "longitude": 0.0}, "the place was never filled in"),
    ],
)
def test_a_place_that_is_none_is_refused(
    demo: Scene, place: dict[str, float], message: str
) -> None:
    with pytest.raises(SifnetError, match=message):
        Scene(demo.dataset.assign(place))


def test_inspect_tells(tmp_path: Path) -> None:
    header = next((PROJECT / "data" / "demo").glob("*.hdr"))
    for file in (header, header.with_suffix(".dat")):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    file = tmp_path / header.name
    assert "warning" not in CliRunner().invoke(app, ["inspect", str(file)]).output
    text = header.read_text().replace("solar zenith angle = 35", "solar zenith angle = 42")
    file.write_text(text)
    assert "warning: sun: solar zenith" in CliRunner().invoke(app, ["inspect", str(file)]).output


def test_half_a_gain_of_desis_is_told(tmp_path: Path) -> None:
    """Plants of 0.33, with oxygen in a few bands, and the sun where the product says."""
    gain, offset = gains()
    sun = 1283.0 * np.cos(np.radians(35.0)) / np.pi
    plants = np.where(DESIS < 700, 0.05, 0.33) * sun
    plants *= 1 - 0.45 * np.exp(-0.5 * ((DESIS - 763.0) / 2.5) ** 2)
    light = plants[:, None, None] * np.linspace(0.95, 1.05, 42).reshape(1, 7, 6)
    numbers = np.rint((light / 10 - offset[:, None, None]) / gain[:, None, None]).astype(np.int16)
    for factor in (1.0, 0.5):
        image = fake_desis(
            tmp_path / f"{factor}",
            numbers=numbers,
            bands={"gainOfBand": factor * gain, "offsetOfBand": factor * offset},
            facts={"sunZenithAngle": 35.0},
        )
        found = told(open_scene(image))
        assert ("level" in found) == (factor == 0.5), found
    assert found["level"].grave


WORLDS = ("desis", "forest", "low", "shadow")
MORE = ("adjacency", "misreg", "plain", "relief", "smoke", "stray", "stress")


@pytest.mark.parametrize(
    "name", [*WORLDS, *(pytest.param(n, marks=pytest.mark.slow) for n in MORE)]
)
def test_worlds_of_another_code_raise_no_false_alarm(
    name: str, shared_data: Path, tmp_path: Path
) -> None:
    scene = registered(world(name, shared_data, tmp_path)[0])
    assert examine(scene) == []
    for factor in (0.5, 2.0):
        assert told(scaled(scene, factor))["level"].grave
