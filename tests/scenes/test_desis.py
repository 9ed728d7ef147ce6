"""DESIS: handwritten products to the last digit, in every spelling, and bad ones refused."""

from __future__ import annotations

import gc
import pickle
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from pyproj import Transformer

from fakes.desis import (
    CENTRE,
    COURSE,
    LINES,
    SAMPLES,
    UTM,
    WAVELENGTH,
    fake_desis,
    known_numbers,
    known_radiance,
)
from sifnet.errors import SifnetError
from sifnet.scenes import readers
from sifnet.scenes.desis import matches, open_scene
from sifnet.scenes.formats.geotiff import Raster
from sifnet.scenes.scene import Flag, Scene
from sifnet.units import air_to_vacuum

TILED = {"tiled": True, "blockxsize": 16, "blockysize": 16, "compress": "deflate"}
TALL = {**TILED, "blockysize": 128}


def notes(scene: Scene) -> str:
    return "\n".join(scene.dataset.attrs["notes"])


@pytest.mark.parametrize(
    "image",
    [f"-SPECTRAL_IMAGE{ending}" for ending in (".tif", ".TIF", "_COG.TIF", "_COG.tif")],
)
@pytest.mark.parametrize("xml", ["-METADATA.xml", "-METADATA.XML"])
@pytest.mark.parametrize("level", ["L1B", "L1C"])
def test_every_spelling_to_the_last_digit(tmp_path: Path, image: str, xml: str, level: str) -> None:
    plain = fake_desis(tmp_path / "plain", level=level, image=image, xml=xml)
    zipped = fake_desis(tmp_path / "zip", level=level, image=image, xml=xml, zipped=True)
    for path in (plain, plain.parent, next(plain.parent.glob("*METADATA*")), zipped):
        assert matches(path)
        scene = open_scene(path)
        np.testing.assert_allclose(scene.radiance.values, known_radiance(), rtol=1e-6)
        np.testing.assert_array_equal(scene.wavelength, WAVELENGTH)
        assert scene.name == f"DESIS-HSI-{level}-DT0488344520_005-20200818T141910-V0210"
        assert (scene.flags() == 0).all()


@pytest.mark.parametrize("profile", [{"interleave": "pixel"}, {"interleave": "band"},
                                     TILED, {**TILED, "interleave": "pixel"}, TALL])  # fmt: skip
def test_every_layout_of_the_image(tmp_path: Path, profile: dict[str, Any]) -> None:
    scene = open_scene(fake_desis(tmp_path, profile=profile))
    np.testing.assert_allclose(scene.radiance.values, known_radiance(), rtol=1e-6)
    part = scene.read(slice(1, 6, 2), np.array([2, 3, 7, 8, 20]))
    expected = known_radiance()[1:6:2][:, :, [2, 3, 7, 8, 20]]
    np.testing.assert_allclose(part.radiance.values, expected, rtol=1e-6)
    np.testing.assert_array_equal(part.wavelength, WAVELENGTH[[2, 3, 7, 8, 20]])


def test_only_the_asked_window_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scene, asked = open_scene(fake_desis(tmp_path)), []
    read = Raster.read

    def spy(raster: Raster, bands: list[int], runs: list[slice], samples: slice) -> Any:
        asked.extend((bands, lines.start, lines.stop) for lines in runs)
        return read(raster, bands, runs, samples)

    monkeypatch.setattr(Raster, "read", spy)
    scene.read(slice(2, 4), np.array([3, 4, 9]))
    fit = [int(band) for band in np.flatnonzero((WAVELENGTH >= 743) & (WAVELENGTH <= 784))]
    assert sorted(asked) == sorted([([3, 4], 2, 4), ([9], 2, 4), (fit, 2, 4)])


def test_geometry_time_and_what_the_product_states(tmp_path: Path) -> None:
    data = open_scene(fake_desis(tmp_path)).dataset
    assert float(data["solar_zenith_angle"]) == 30.0
    assert float(data["view_zenith_angle"]) == 8.0
    assert float(data["sensor_height"]) == np.inf
    assert float(data["ground_elevation"]) == 0.212
    assert float(data["sun_earth_distance"]) == pytest.approx(1.0122, abs=2e-4)  # an almanac
    assert data.attrs["acquisition_time"] == "2020-08-18T14:19:10.250"
    assert (float(data["aot_550"]), float(data["water_vapour"])) == (0.21, 2.4)
    told = dict(open_scene(tmp_path).describe())
    assert told["aot 550 of the product"] == "0.21"
    assert told["water vapour of the product"] == "2.4 g cm-2"


@pytest.mark.parametrize("level", ["L1B", "L1C"])
def test_both_meanings_of_the_azimuth_are_one_direction(tmp_path: Path, level: str) -> None:
    """Flying to 36 degrees and looking to port: the station stands at 126, the sun at 150."""
    scene = open_scene(fake_desis(tmp_path, level=level))
    assert float(scene.dataset["relative_azimuth_angle"]) == pytest.approx(24.0)
    assert "by the course 36.0 of the corners" in notes(scene)


@pytest.mark.parametrize(("level", "expected"), [("L1B", 24.0), ("L1C", 66.0)])
def test_without_corners_the_level_decides_the_azimuth(
    tmp_path: Path, level: str, expected: float
) -> None:
    path = fake_desis(tmp_path, level=level, facts={"sceneAzimuthAngle": COURSE})
    xml = next(tmp_path.glob("*.xml"))
    xml.write_text(xml.read_text().replace("point_", "vertex_"))
    scene = open_scene(path)
    assert float(scene.dataset["relative_azimuth_angle"]) == pytest.approx(expected)
    assert f"by the level {level}" in notes(scene)
    assert ("latitude" in scene.dataset) == (level == "L1C")


def test_an_azimuth_that_is_neither_is_taken_as_it_is(tmp_path: Path) -> None:
    scene = open_scene(fake_desis(tmp_path, facts={"sceneAzimuthAngle": COURSE + 45}))
    assert float(scene.dataset["relative_azimuth_angle"]) == pytest.approx(69.0)
    assert "neither along nor across" in notes(scene)


def test_l1b_pixels_lie_between_the_corners(tmp_path: Path) -> None:
    data = open_scene(fake_desis(tmp_path)).dataset
    latitude, longitude = data["latitude"], data["longitude"]
    assert latitude.dims == ("line", "sample")
    assert (float(latitude.mean()), float(longitude.mean())) == pytest.approx(CENTRE)
    # Flown to the north-east: the last line lies there, and the last sample in the south-east.
    assert latitude[-1, 0] > latitude[0, 0]
    assert longitude[-1, 0] > longitude[0, 0]
    assert latitude[0, -1] < latitude[0, 0]
    assert longitude[0, -1] > longitude[0, 0]


def test_l1c_lies_on_its_map(tmp_path: Path) -> None:
    data = open_scene(fake_desis(tmp_path, level="L1C")).dataset
    assert data.attrs["transform"] == list(UTM["transform"])[:6]
    middle = UTM["transform"] @ (SAMPLES / 2, LINES / 2)
    to_degrees = Transformer.from_crs(UTM["crs"], "EPSG:4326", always_xy=True)
    assert (float(data["longitude"]), float(data["latitude"])) == pytest.approx(
        to_degrees.transform(*middle), abs=1e-9
    )
    assert rasterio.crs.CRS.from_wkt(data.attrs["crs"]).to_epsg() == 32616


def test_fill_is_dead_and_the_largest_number_saturated(tmp_path: Path) -> None:
    numbers = known_numbers()
    numbers[:, 0, 0] = -32768
    numbers[np.argmin(abs(WAVELENGTH - 760)), 2, 3] = 32767
    numbers[0, 4, 4] = 32767  # at 640 nm it does no harm
    scene = open_scene(fake_desis(tmp_path, numbers=numbers))
    expected = np.zeros((LINES, SAMPLES), np.uint16)
    expected[0, 0], expected[2, 3] = Flag.DEAD, Flag.SATURATED
    np.testing.assert_array_equal(scene.flags(), expected)
    assert np.isnan(scene.radiance.values[0, 0]).all()
    np.testing.assert_array_equal(scene.window(slice(2, 4)).flags(), expected[2:4])


def test_another_fill_value_is_that_of_the_xml(tmp_path: Path) -> None:
    numbers = known_numbers()
    numbers[:, 0, 0] = -9999
    scene = open_scene(fake_desis(tmp_path, numbers=numbers, facts={"backgroundValue": -9999}))
    assert np.isnan(scene.radiance.values[0, 0]).all()


def test_the_measured_response_is_kept(tmp_path: Path) -> None:
    points = [f"{w - 2},{w},{w + 2.5}" for w in WAVELENGTH]
    points[4] += f",{WAVELENGTH[4] + 5}"
    response = ["0.2, 1.0, 0.4"] * WAVELENGTH.size
    response[4] += ", 0.1"
    columns = {"response": response, "wavelengths": points}
    data = open_scene(fake_desis(tmp_path, bands=columns)).dataset
    assert data["response"].dims == ("band", "point")
    np.testing.assert_array_equal(data["response"][3], [0.2, 1.0, 0.4, np.nan])
    np.testing.assert_array_equal(data["response"][4], [0.2, 1.0, 0.4, 0.1])
    np.testing.assert_allclose(data["response_wavelength"][3, :3] - WAVELENGTH[3], [-2, 0, 2.5])
    part = open_scene(tmp_path).read(slice(0, 1), np.array([3, 4, 8]))
    np.testing.assert_array_equal(part.dataset["response"][1], [0.2, 1.0, 0.4, 0.1])
    assert "measured response" in dict(open_scene(tmp_path).describe())
    response[7] = "0.2"
    scene = open_scene(fake_desis(tmp_path, bands=columns))
    assert "response" not in scene.dataset
    assert "Gaussians are used" in notes(scene)


def test_the_order_of_the_xml_does_not_matter(tmp_path: Path) -> None:
    order = np.random.default_rng(1).permutation(WAVELENGTH.size)
    scene = open_scene(fake_desis(tmp_path, order=order))
    np.testing.assert_allclose(scene.radiance.values, known_radiance(), rtol=1e-6)
    red_first = {"wavelengthCenterOfBand": WAVELENGTH[::-1]}
    scene = open_scene(fake_desis(tmp_path, bands=red_first))
    np.testing.assert_array_equal(scene.wavelength, WAVELENGTH)
    np.testing.assert_allclose(scene.radiance.values, known_radiance()[..., ::-1], rtol=1e-6)


def test_what_is_assumed_is_said(tmp_path: Path) -> None:
    dead = np.zeros(WAVELENGTH.size, int)
    dead[[0, np.argmin(abs(WAVELENGTH - 760))]] = 5, 2
    facts = {"terrain": None, "waterVapour": "<meanWaterVapour>-1</meanWaterVapour>"}
    scene = open_scene(fake_desis(tmp_path, facts=facts, bands={"deadPixels": dead}))
    assert "water_vapour" not in scene.dataset
    assert "ground elevation 0 km" in notes(scene)
    assert "water_vapour -1 of the XML is not credible" in notes(scene)
    assert "2 dead detector pixels in 743-784 nm" in notes(scene)


def test_given_facts_win(tmp_path: Path) -> None:
    path = fake_desis(tmp_path)
    given = {"ground_elevation": 0.5, "solar_zenith_angle": 35.0, "relative_azimuth_angle": 10.0}
    scene = open_scene(path, **given, wavelength_medium="air")
    for name, value in given.items():
        assert float(scene.dataset[name]) == value
    np.testing.assert_allclose(scene.wavelength, air_to_vacuum(WAVELENGTH))


@pytest.mark.parametrize(
    "way", [{"zipped": True}, {"profile": TALL}, {"zipped": True, "profile": TALL}]
)
def test_a_copied_image_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: dict[str, Any]
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    scene = open_scene(fake_desis(tmp_path / "in", **way))
    again = pickle.loads(pickle.dumps(scene.radiance))
    assert len(list(tmp_path.glob("sifnet-*"))) == 1
    np.testing.assert_allclose(again, known_radiance(), rtol=1e-6)
    del scene, again
    gc.collect()
    assert list(tmp_path.glob("sifnet-*")) == []


def test_no_room_for_a_copy_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = fake_desis(tmp_path, profile=TALL)
    monkeypatch.setattr(tempfile, "mkdtemp", lambda **_: str(tmp_path / "gone"))
    with pytest.raises(SifnetError, match="cannot be copied to be read by lines.*TMPDIR"):
        open_scene(path)


def test_names_of_other_sensors_do_not_match(tmp_path: Path) -> None:
    for name in ("20200625-OEN-FLUO_radiance.hdr", "ENMAP01-____L1B-x.zip", "notes.zip", "a.tif"):
        (tmp_path / name).write_bytes(b"")
        assert not matches(tmp_path / name)
    assert not matches(tmp_path)
    broken = tmp_path / "DESIS-HSI-L1B-DT1_1-20200818T141910-V0210.zip"
    broken.write_bytes(b"")
    assert [key for key, reader in readers().items() if reader.matches(broken)] == ["desis"]


def test_surface_reflectance_is_refused_with_the_product_to_order(tmp_path: Path) -> None:
    path = fake_desis(tmp_path, level="L2A")
    with pytest.raises(SifnetError, match=r"L2A has no radiance.*Order the L1B or L1C .*labels"):
        open_scene(path)


def test_two_products_and_none_are_refused(tmp_path: Path) -> None:
    fake_desis(tmp_path)
    image = fake_desis(tmp_path, level="L1C")
    with pytest.raises(
        SifnetError, match="not one DESIS product: found DESIS-HSI-L1B.*, DESIS-HSI-L1C"
    ):
        open_scene(tmp_path)
    assert open_scene(image).name.startswith("DESIS-HSI-L1C")
    with pytest.raises(SifnetError, match="not one DESIS product: found none"):
        open_scene(tmp_path / "nothing.tif")


def test_an_l2a_beside_it_does_no_harm(tmp_path: Path) -> None:
    fake_desis(tmp_path)
    fake_desis(tmp_path, level="L2A")
    assert open_scene(tmp_path).name.startswith("DESIS-HSI-L1B")


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize("share", [0.3, 0.9])
def test_a_truncated_image_is_refused(tmp_path: Path, zipped: bool, share: float) -> None:
    image = fake_desis(tmp_path)
    whole = image.read_bytes()
    image.write_bytes(whole[: int(share * len(whole))])
    path = image
    if zipped:
        path = Path(shutil.make_archive(str(tmp_path / "DESIS-HSI-L1B-x"), "zip", tmp_path))
        image.unlink()
    with pytest.raises(SifnetError, match=r"the image cannot be read.*truncated"):
        open_scene(path)


def test_damage_in_the_middle_is_refused_when_it_is_read(tmp_path: Path) -> None:
    noise = np.random.default_rng(1).integers(7900, 8100, known_numbers().shape, np.int16)
    image = fake_desis(tmp_path, numbers=noise, profile={"compress": "deflate"})
    scene = open_scene(image)
    image.write_bytes(image.read_bytes()[:1500])
    with pytest.raises(SifnetError, match="the image cannot be read"):
        scene.radiance.values  # noqa: B018


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"order": range(WAVELENGTH.size - 1)}, "different bands: found 42 bands .* expected 43"),
        ({"order": [*range(5), *range(6, 43)]}, "missing or repeated: .* not one band 6 after 5"),
        ({"order": [0, *range(43)]}, "missing or repeated"),
        ({"order": []}, "metadata are incomplete: found no .*bandNumber"),
        ({"numbers": known_numbers(40)}, "different bands: found 43 bands .* expected 40"),
        ({"bands": {"gainOfBand": np.zeros(43)}}, "a gain is impossible: found 0 of band 1"),
        ({"bands": {"gainOfBand": None}}, "metadata are incomplete: found no .*gainOfBand"),
        ({"bands": {"offsetOfBand": ["-"] * 43}}, "offsetOfBand is not a number: found -"),
        ({"facts": {"sunZenithAngle": None}}, "metadata are incomplete: .*sunZenithAngle"),
        ({"facts": {"sunZenithAngle": "nan"}}, "sunZenithAngle is not a number: found nan"),
        ({"facts": {"sunZenithAngle": 95}}, "the sun is below the horizon"),
        ({"facts": {"sceneAzimuthAngle": ""}}, "metadata are incomplete: .*sceneAzimuthAngle"),
        ({"bands": {"gainOfBand": np.full(43, 1e-2)}}, "too bright .* by a factor 10"),
        ({"bands": {"gainOfBand": np.full(43, 1e-4), "offsetOfBand": np.full(43, 0.05)}},
         "too dark .* by a factor 10"),
    ],
)  # fmt: skip
def test_contradictions_are_refused(tmp_path: Path, changed: dict[str, Any], message: str) -> None:
    with pytest.raises(SifnetError, match=message):
        open_scene(fake_desis(tmp_path, **changed))


def test_missing_and_broken_metadata_are_refused(tmp_path: Path) -> None:
    image = fake_desis(tmp_path)
    xml = next(tmp_path.glob("*.xml"))
    xml.write_text(xml.read_text()[:500])
    with pytest.raises(SifnetError, match="the metadata cannot be read"):
        open_scene(image)
    bomb = "".join(f'<!ENTITY a{i} "{f"&a{i - 1};" * 10}">' for i in range(1, 12))
    xml.write_text(f'<!DOCTYPE h [<!ENTITY a0 "x">{bomb}]><h>&a11;</h>')
    with pytest.raises(SifnetError, match="the metadata cannot be read"):
        open_scene(image)
    xml.unlink()
    with pytest.raises(SifnetError, match="the metadata of the product are missing"):
        open_scene(image)


@pytest.mark.parametrize(
    ("time", "message"), [("", "no base/temporalCoverage/startTime"), ("noon", "is not a time")]
)
def test_a_time_that_is_none_is_refused(tmp_path: Path, time: str, message: str) -> None:
    image = fake_desis(tmp_path)
    xml = next(tmp_path.glob("*.xml"))
    xml.write_text(xml.read_text().replace("2020-08-18T14:19:10.250Z", time))
    with pytest.raises(SifnetError, match=message):
        open_scene(image)
