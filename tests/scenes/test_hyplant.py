"""HyPlant: values through the stored rounding, geometry by hand, and what is refused."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rasterio.crs import CRS

from fakes.hyplant import (
    LINES,
    NAME,
    PLACE,
    SAMPLES,
    WAVELENGTH,
    fake_hyplant,
    known_radiance,
    listed,
    southward,
)
from sifnet.errors import SifnetError
from sifnet.scenes.hyplant import matches, open_scene
from sifnet.scenes.hyplant_metadata import header_position, heading_of, parse_name
from sifnet.scenes.scene import Flag, Scene
from sifnet.scenes.sun import relative_azimuth, solar_course, sun_angles
from sifnet.simulation.hyplant_product import write_hyplant
from sifnet.units import air_to_vacuum

TIME = np.datetime64("2020-06-25T09:32:10")


def angles(scene: Scene, name: str) -> np.ndarray:
    return np.asarray(scene.dataset[name].values, dtype=float)


def notes(scene: Scene) -> str:
    return " | ".join(scene.dataset.attrs["notes"])


def test_the_whole_product_without_navigation(tmp_path: Path) -> None:
    scene = open_scene(fake_hyplant(tmp_path))
    np.testing.assert_allclose(scene.radiance.values, known_radiance(), rtol=1e-6)
    np.testing.assert_array_equal(scene.wavelength, WAVELENGTH)
    np.testing.assert_allclose(scene.fwhm, 0.26)
    assert scene.name == NAME
    assert scene.dataset.attrs["acquisition_time"] == "2020-06-25T09:32:10"
    assert angles(scene, "sensor_height") == 0.6
    zenith, azimuth = sun_angles(TIME, *PLACE)
    assert angles(scene, "solar_zenith_angle") == pytest.approx(zenith[0])
    view = [16.08, 8.04, 0.0, 8.04, 16.08]
    np.testing.assert_allclose(angles(scene, "view_zenith_angle"), view, atol=1e-9)
    # Flying south, column 0 (left) looks east: the sensor stands in the west of that pixel.
    sides = relative_azimuth([270.0, 270.0, 90.0, 90.0], azimuth[0])
    np.testing.assert_allclose(angles(scene, "relative_azimuth_angle")[[0, 1, 3, 4]], sides)
    for word in ("1/100", "vacuum", "ground elevation 0 km"):
        assert word in notes(scene)


def test_the_sun_stands_where_the_almanac_says() -> None:
    """Juelich at the summer solstice, local noon: zenith = latitude - 23.44 degrees, due south."""
    zenith, azimuth = sun_angles(np.datetime64("2020-06-21T11:36:00"), *PLACE)
    assert zenith[0] == pytest.approx(PLACE[0] - 23.436, abs=0.02)
    assert azimuth[0] == pytest.approx(180.0, abs=1.0)


def test_the_course_of_a_day_is_the_lit_part_evenly() -> None:
    times, zenith = solar_course(datetime(2020, 6, 25, tzinfo=UTC), 9, -35.0, 149.0)
    assert np.ptp(np.diff(times).astype(int)) <= 1
    assert zenith[0] == pytest.approx(70.0, abs=0.3)
    assert zenith[-1] == pytest.approx(70.0, abs=0.3)
    assert zenith.argmin() == 4
    with pytest.raises(SifnetError, match="the sun stays too low on that day"):
        solar_course(datetime(2020, 12, 21, tzinfo=UTC), 9, 60.0, 10.0)


def test_relative_azimuth_is_zero_with_the_sun_behind_the_sensor() -> None:
    np.testing.assert_allclose(
        relative_azimuth([10.0, 190.0, 350.0, 280.0], [10.0, 10.0, 10.0, 10.0]), [0, 180, 20, 90]
    )


def test_navigation_gives_track_height_and_attitude(tmp_path: Path) -> None:
    header = fake_hyplant(tmp_path, navigation=southward(), header={"ground elevation km": 0.1})
    scene = open_scene(header)
    np.testing.assert_allclose(
        angles(scene, "sensor_height"), 0.6 + 1e-3 * np.arange(LINES), atol=1e-12
    )
    np.testing.assert_allclose(angles(scene, "latitude"), southward()[:, 0])
    level = open_scene(fake_hyplant(tmp_path / "b"))
    for name in ("view_zenith_angle", "relative_azimuth_angle"):
        both = np.broadcast_to(angles(level, name), (LINES, SAMPLES))
        # The middle column looks straight down and has no azimuth of its own.
        np.testing.assert_allclose(
            angles(scene, name)[:, [0, 1, 3, 4]], both[:, [0, 1, 3, 4]], atol=0.01
        )
    assert any("syncedNav" in file for file in scene.dataset.attrs["source_files"])


def test_roll_and_pitch_tilt_the_view(tmp_path: Path) -> None:
    rolled = open_scene(fake_hyplant(tmp_path / "roll", navigation=southward(roll=2.0)))
    expected = np.abs(np.linspace(-16.08, 16.08, SAMPLES) - 2.0)
    np.testing.assert_allclose(angles(rolled, "view_zenith_angle")[0], expected, atol=1e-9)
    pitched = open_scene(fake_hyplant(tmp_path / "pitch", navigation=southward(pitch=5.0)))
    cosines = np.cos(np.radians(5.0)) * np.cos(np.radians(np.linspace(-16.08, 16.08, SAMPLES)))
    np.testing.assert_allclose(
        np.cos(np.radians(angles(pitched, "view_zenith_angle")[0])), cosines, atol=1e-12
    )
    # Nose up: the middle column looks ahead, to the south, and the sensor stands north of it.
    sun = sun_angles(TIME, PLACE[0] - 2.5e-4, PLACE[1])[1]
    middle = angles(pitched, "relative_azimuth_angle")[0, 2]
    assert middle == pytest.approx(relative_azimuth(0.0, sun)[0], abs=0.01)


def test_elevation_from_navigation_and_name(tmp_path: Path) -> None:
    scene = open_scene(fake_hyplant(tmp_path, navigation=southward()))
    assert angles(scene, "ground_elevation") == pytest.approx(0.1025)
    assert "navigation altitude less name height" in notes(scene)


def test_header_extras_stand_in_for_a_place(tmp_path: Path) -> None:
    header = {
        "GPS Starting point": None,
        "solar zenith angle": 33.5,
        "relative azimuth angle": 70,
        "ground elevation km": 0.25,
        "sensor height km": 1.5,
    }
    scene = open_scene(fake_hyplant(tmp_path, header=header))
    expected = {
        "solar_zenith_angle": 33.5,
        "relative_azimuth_angle": 70.0,
        "ground_elevation": 0.25,
        "sensor_height": 1.5,
    }
    for name, value in expected.items():
        assert angles(scene, name) == value
    assert "latitude" not in scene.dataset


def test_an_unknown_heading_is_assumed_and_said(tmp_path: Path) -> None:
    header = {"GPS Starting point": None, "solar zenith angle": 33.5}
    scene = open_scene(fake_hyplant(tmp_path, header=header))
    assert angles(scene, "relative_azimuth_angle") == 90.0
    assert "relative azimuth 90" in notes(scene)


def test_keywords_and_site_file_win_in_that_order(tmp_path: Path) -> None:
    header = fake_hyplant(tmp_path, header={"ground elevation km": 0.25})
    (tmp_path / "site.json").write_text('{"ground_elevation": 0.3, "latitude": 40, "longitude": 7}')
    assert angles(open_scene(header), "ground_elevation") == 0.3
    scene = open_scene(header, ground_elevation=0.4, solar_zenith_angle=50.0, fwhm=0.3)
    assert angles(scene, "ground_elevation") == 0.4
    assert angles(scene, "latitude") == 40.0
    assert angles(scene, "solar_zenith_angle") == 50.0
    np.testing.assert_array_equal(scene.fwhm, 0.3)


def test_time_from_the_name_is_summer_or_winter_time(tmp_path: Path) -> None:
    gone = {"GPS Start Time": None}
    summer = open_scene(fake_hyplant(tmp_path / "s", header=gone))
    assert summer.dataset.attrs["acquisition_time"] == "2020-06-25T09:32:00"
    assert "taken as Central European" in notes(summer)
    given = open_scene(fake_hyplant(tmp_path / "g", header=gone), utc_offset_hours=3)
    assert given.dataset.attrs["acquisition_time"] == "2020-06-25T08:32:00"
    winter = parse_name("20200115-OEN-1132-0600-L1-NW-FLUO_radiance_deconv_i1")
    assert winter is not None
    assert (winter.utc.hour, winter.heading, winter.height_km) == (10, 315.0, 0.6)
    assert parse_name("20201315-OEN-1132-0600-L1-S-FLUO_radiance") is None
    assert heading_of("XX") is None


@pytest.mark.parametrize("where", ["header", "keyword"])
def test_air_wavelengths_become_vacuum(tmp_path: Path, where: str) -> None:
    header = fake_hyplant(
        tmp_path, header={"wavelength medium": "air"} if where == "header" else None
    )
    site = {"wavelength_medium": "air"} if where == "keyword" else {}
    scene = open_scene(header, **site)
    np.testing.assert_allclose(scene.wavelength, air_to_vacuum(WAVELENGTH))
    assert scene.wavelength[0] - WAVELENGTH[0] == pytest.approx(0.2055, abs=1e-3)


def test_bands_from_red_to_blue_are_turned_with_their_data(tmp_path: Path) -> None:
    scene = open_scene(fake_hyplant(tmp_path, wavelength=WAVELENGTH[::-1]))
    np.testing.assert_array_equal(scene.wavelength, WAVELENGTH)
    np.testing.assert_allclose(scene.radiance.values, known_radiance()[:, :, ::-1], rtol=1e-6)
    assert "turned round" in notes(scene)


def test_missing_fwhm_and_float_data_are_said(tmp_path: Path) -> None:
    scene = open_scene(fake_hyplant(tmp_path, dtype="f4", scale=1.0, header={"fwhm": None}))
    np.testing.assert_array_equal(scene.fwhm, 0.25)
    assert "FWHM 0.25 nm for every band: none in header" in notes(scene)
    assert "radiance scale: 1, stored as floats" in notes(scene)
    assert "reader_flags" not in scene.dataset


def test_the_headers_scale_wins(tmp_path: Path) -> None:
    scene = open_scene(fake_hyplant(tmp_path, scale=500.0, header={"radiance scale factor": 500}))
    np.testing.assert_allclose(scene.radiance.values, known_radiance(), rtol=1e-6)


def test_saturated_pixels_are_flagged(tmp_path: Path) -> None:
    values = known_radiance()
    values[3, 2, 10] = 655.35
    flags = open_scene(fake_hyplant(tmp_path / "a", radiance=values)).flags().values
    assert flags[3, 2] == Flag.SATURATED
    assert flags.sum() == Flag.SATURATED
    ignored = fake_hyplant(tmp_path / "b", radiance=values, header={"data ignore value": 65535})
    assert open_scene(ignored).flags().values[3, 2] == Flag.DEAD


def test_zero_and_ignored_lines_are_dead_not_errors(tmp_path: Path) -> None:
    values = known_radiance()
    values[[1, 4]] = 0.0
    flags = open_scene(fake_hyplant(tmp_path, radiance=values)).flags().values
    assert (flags[[1, 4]] == Flag.DEAD).all()
    assert flags.sum() == 2 * SAMPLES * int(Flag.DEAD)


def test_a_rectified_product_keeps_its_grid(tmp_path: Path) -> None:
    grid = "{UTM, 1, 1, 320000, 5640000, 1, 1, 32, North, WGS-84, units=Meters}"
    scene = open_scene(
        fake_hyplant(tmp_path, header={"map info": grid, "GPS Starting point": None})
    )
    assert CRS.from_wkt(scene.dataset.attrs["crs"]).to_dict()["zone"] == 32
    assert scene.dataset.attrs["transform"][2] == 320000
    assert angles(scene, "latitude") == pytest.approx(50.88, abs=0.02)
    assert angles(scene, "longitude") == pytest.approx(6.44, abs=0.02)
    assert angles(scene, "view_zenith_angle") == 0.0
    assert "rectified" in notes(scene)


@pytest.mark.parametrize("interleave", ["bil", "bsq", "bip"])
@pytest.mark.parametrize("medium", ["vacuum", "air"])
def test_what_is_written_is_read_back(tmp_path: Path, interleave: str, medium: str) -> None:
    rng = np.random.default_rng(1)
    radiance = rng.uniform(5, 150, (7, SAMPLES, WAVELENGTH.size))
    radiance[0, 0] = np.nan
    header = write_hyplant(
        tmp_path,
        NAME,
        radiance,
        WAVELENGTH,
        0.25,
        interleave=interleave,
        wavelength_medium=medium,
        acquisition_time=datetime(2020, 6, 25, 9, 32, 10, tzinfo=UTC),
        latitude=PLACE[0],
        longitude=PLACE[1],
        ground_elevation=0.1,
        sensor_height=0.6,
        solar_zenith_angle=40.0,
        relative_azimuth_angle=90.0,
        navigation=southward(7),
    )
    scene = open_scene(header)
    np.testing.assert_allclose(scene.wavelength, WAVELENGTH, atol=2e-6)
    got = scene.radiance.values
    assert np.abs(got - radiance)[~np.isnan(radiance)].max() <= 0.005 + 1e-5
    assert scene.flags().values[0, 0] == Flag.DEAD
    given = {
        "solar_zenith_angle": 40.0,
        "relative_azimuth_angle": 90.0,
        "ground_elevation": 0.1,
        "sensor_height": 0.6,
    }
    for label, value in given.items():
        assert angles(scene, label) == value
    assert scene.dataset.attrs["acquisition_time"] == "2020-06-25T09:32:10"
    np.testing.assert_allclose(angles(scene, "latitude"), southward(7)[:, 0], atol=1e-7)


def test_a_folder_names_its_only_product(tmp_path: Path) -> None:
    fake_hyplant(tmp_path)
    assert matches(tmp_path)
    assert open_scene(tmp_path).name == NAME
    fake_hyplant(tmp_path, name=NAME.replace("L1", "L2"))
    with pytest.raises(SifnetError, match=r"the folder does not hold one FLUO product: found .*L2"):
        open_scene(tmp_path)


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ({"GPS Starting point": None}, "the solar zenith angle cannot be known.*_syncedNAV"),
        ({"GPS Start Time": "UTC TIME: 23:10:00"}, "the sun is below the horizon"),
        ({"wavelength medium": "water"}, "`wavelength medium` not understood"),
        ({"wavelength": listed(WAVELENGTH / 1000)}, "wavelengths look like micrometres"),
        ({"wavelength": listed(np.roll(WAVELENGTH, 7))}, "bands are not sorted"),
        ({"wavelength": listed(WAVELENGTH - 95)}, "no band in 750-770 nm"),
        ({"radiance scale factor": 10}, "too bright .* a factor 10"),
        ({"radiance scale factor": 1000}, "too dark .* a factor 10"),
        ({"solar zenith angle": "noon"}, "`solar zenith angle` is not a number"),
    ],
)
def test_bad_headers_are_refused(tmp_path: Path, header: dict[str, Any], message: str) -> None:
    with pytest.raises(SifnetError, match=message):
        open_scene(fake_hyplant(tmp_path, header=header))


def test_a_nameless_product_must_say_time_and_height(tmp_path: Path) -> None:
    header = fake_hyplant(tmp_path / "a", name="line1")
    with pytest.raises(SifnetError, match="the flight height is not known"):
        open_scene(header)
    assert angles(open_scene(header, sensor_height=0.7), "sensor_height") == 0.7
    header = fake_hyplant(tmp_path / "b", name="line1", header={"acquisition date": None})
    with pytest.raises(SifnetError, match="the time of the flight is not known"):
        open_scene(header)


@pytest.mark.parametrize("rows", [southward(LINES - 1), southward()[:, :4]])
def test_a_navigation_file_of_another_line_is_refused(tmp_path: Path, rows: np.ndarray) -> None:
    with pytest.raises(SifnetError, match="the navigation file does not fit the image"):
        open_scene(fake_hyplant(tmp_path, navigation=rows))


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("50.62, 6.99", (50.62, 6.99)),
        ("50 37 12 N, 6 59 24 E", (50.62, 6.99)),
        ("50 37 12 S, 6 59 24 W", (-50.62, -6.99)),
        ("N 50 37 12 W 6 59 24", (50.62, -6.99)),
        ("6.99 E 50.62 N", (50.62, 6.99)),
        ("50.62S 6.99w", None),
        ("50\N{DEGREE SIGN} 37' 12\" N, 6\N{DEGREE SIGN} 59' 24\" E", (50.62, 6.99)),
        ("50 37 12, 6 59 24", (50.62, 6.99)),
        ("Latitude: 50.62, Longitude: -6.99", (50.62, -6.99)),
        ("-0 30 0, 6 0 0", (-0.5, 6.0)),
        ("50,62; 6,99", None),
        ("50 37 12 6 59 24", None),
        ("5037.2 N, 659.4 E", None),
        ("50.62 N, 6.99 O", None),
        ("-50.62 N, 6.99 E", None),
        ("50.62 N, 6.99 N", None),
        ("50 61 0 N, 6 0 0 E", None),
        ("95.0, 6.99", None),
        ("unknown", None),
    ],
)
def test_a_position_is_read_as_written_or_refused(
    tmp_path: Path, text: str, place: tuple[float, float] | None
) -> None:
    header = {"GPS Starting point": text}
    if place is None:
        with pytest.raises(SifnetError, match="is no place on earth, or not understood"):
            header_position({"gps starting point": text}, tmp_path)
        return
    assert header_position({"gps starting point": text}, tmp_path) == pytest.approx(place)
    if place[0] > 0 and place[1] > 0:
        scene = open_scene(fake_hyplant(tmp_path, header=header))
        assert angles(scene, "latitude") == pytest.approx(place[0])
