"""A Scene is refused at birth when it cannot be true, and flags what is merely dead."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import xarray as xr

from sifnet.errors import SifnetError
from sifnet.scenes.formats.lazy import Window
from sifnet.scenes.scene import FLAGS, SUN_755, Flag, Scene

WAVELENGTH = np.arange(745.0, 772.0, 0.5)
GEOMETRY = {
    "solar_zenith_angle": 40.0,
    "view_zenith_angle": ("sample", np.linspace(0, 16, 4)),
    "relative_azimuth_angle": 90.0,
    "sensor_height": 0.6,
    "ground_elevation": 0.1,
    "sun_earth_distance": 1.01,
}


class Lines(Window):
    """Remembers the lines that were read."""

    def __init__(self, values: np.ndarray) -> None:
        self.values, self.shape, self.dtype = values, values.shape, values.dtype
        self.asked: set[int] = set()

    def read(self, key: tuple[Any, ...]) -> np.ndarray:
        self.asked |= set(np.atleast_1d(np.arange(self.shape[0])[key[0]]).tolist())
        return self.values[key]


def radiance(reflectance: float = 0.35, lines: int = 5) -> np.ndarray:
    level = reflectance * SUN_755 * np.cos(np.radians(40.0)) / np.pi / 1.01**2
    return np.full((lines, 4, WAVELENGTH.size), level, dtype=np.float32)


def scene(values: Any = None, wavelength: Any = WAVELENGTH, **changed: Any) -> Scene:
    geometry = {**GEOMETRY, **changed.pop("geometry", {})}
    return Scene.from_arrays(
        radiance() if values is None else values,
        wavelength,
        changed.pop("fwhm", 0.25),
        geometry=geometry,
        sensor="hyplant",
        name="field",
        acquisition_time="2020-06-25T09:32:10",
        source_files=["field.dat"],
        notes=["a note"],
        **changed,
    )


def test_a_scene_knows_its_parts() -> None:
    field = scene()
    assert (field.name, field.sensor.name, field.shape) == ("field", "hyplant", (5, 4, 54))
    np.testing.assert_array_equal(field.wavelength, WAVELENGTH)
    np.testing.assert_array_equal(field.fwhm, np.full(54, 0.25))
    assert field.irradiance is None
    text = dict(field.describe())
    assert text["size"] == "5 lines x 4 samples x 54 bands"
    assert text["solar zenith angle"] == "40 deg"
    assert text["view zenith angle"] == "0 to 16 deg"
    assert text["file"] == "field.dat"
    assert text["note"] == "a note"


def test_every_flag_is_one_bit_of_uint16_with_a_meaning() -> None:
    assert set(FLAGS) == set(Flag)
    assert all(int(flag).bit_count() == 1 and int(flag) < 2**16 for flag in Flag)


def test_a_window_shares_pixels_and_checks_nothing() -> None:
    values = radiance()
    values[3:] = 0.0
    part = scene(values).window(slice(3, 5))
    assert part.shape == (2, 4, 54)
    assert (part.flags() == int(Flag.DEAD)).all()


def test_some_lines_and_bands_are_read_as_they_are() -> None:
    values = radiance() * np.linspace(0.9, 1.1, WAVELENGTH.size, dtype=np.float32)
    values *= np.arange(1, 6, dtype=np.float32)[:, None, None] / 3
    response = np.arange(2.0 * WAVELENGTH.size).reshape(-1, 2)
    extra = {
        "irradiance": (("line", "sample", "band"), values * 8),
        "reader_flags": (("line", "sample"), np.arange(20, dtype=np.uint16).reshape(5, 4)),
        "response": (("band", "point"), response),
    }
    whole = scene(Lines(values).lazy(), extra=extra)
    for bands in ([3], [3, 4, 5], [0, 7, 8, 20, 53], list(range(54))):
        part = whole.read(slice(1, 5, 2), np.array(bands))
        np.testing.assert_array_equal(part.radiance, values[1:5:2][:, :, bands])
        np.testing.assert_array_equal(part.irradiance, 8 * values[1:5:2][:, :, bands])
        np.testing.assert_array_equal(part.dataset["response"], response[bands])
        np.testing.assert_array_equal(part.wavelength, WAVELENGTH[bands])
        np.testing.assert_array_equal(part.dataset["reader_flags"][:, 0], [4, 12])
        assert float(part.dataset["solar_zenith_angle"]) == 40.0
        assert part.name == "field"


def test_what_a_product_states_is_shown() -> None:
    extra = {
        "aot_550": 0.214,
        "water_vapour": 2.5,
        "response": (("band", "point"), np.ones((54, 7))),
    }
    told = dict(scene(extra=extra).describe())
    assert told["aot 550 of the product"] == "0.214"
    assert told["water vapour of the product"] == "2.5 g cm-2"
    assert told["measured response"] == "of every band, up to 7 points"


def test_nan_and_zero_lines_are_flagged_not_refused() -> None:
    values = radiance()
    values[0], values[2], values[4, 1, 20] = np.nan, 0.0, np.nan
    expected = np.zeros((5, 4), np.uint16)
    expected[[0, 2]] = Flag.DEAD
    expected[4, 1] = Flag.DEAD
    flags = scene(values).flags()
    assert flags.dtype == np.uint16
    np.testing.assert_array_equal(flags, expected)


def test_flags_add_what_the_reader_knew() -> None:
    known = np.zeros((5, 4), np.uint16)
    known[1, 1] = Flag.SATURATED
    values = radiance()
    values[1, 1] = np.nan
    field = scene(values, extra={"reader_flags": (("line", "sample"), known)})
    assert field.flags().values[1, 1] == Flag.SATURATED | Flag.DEAD
    assert dict(field.describe())["flags, sampled lines"] == "dead 1, saturated 1 of 20 pixels"


def test_the_scale_check_reads_sampled_lines_only() -> None:
    lines = Lines(radiance(lines=1000))
    scene(lines.lazy())
    assert 0 < len(lines.asked) <= 16


def test_a_scene_whose_sampled_lines_are_dead_is_searched_further() -> None:
    values = np.zeros((100, 4, 54), np.float32)
    values[1] = radiance(lines=1)[0]
    assert scene(values).shape[0] == 100


@pytest.mark.parametrize(
    ("wavelength", "message"),
    [
        (WAVELENGTH / 1000, "micrometres"),
        (np.where(WAVELENGTH == 750, np.nan, WAVELENGTH), "wavelengths are missing"),
        (WAVELENGTH[::-1], "bands are not sorted"),
        (np.where(WAVELENGTH == 750, 749.5, WAVELENGTH), "a wavelength occurs twice: found 749.5"),
        (WAVELENGTH - 100, "no band in 750-770 nm"),
    ],
)
def test_wrong_wavelengths_are_refused(wavelength: np.ndarray, message: str) -> None:
    with pytest.raises(SifnetError, match=message) as error:
        scene(wavelength=wavelength)
    assert str(error.value).startswith("field.dat: ")


@pytest.mark.parametrize("fwhm", [0.0, np.nan, 250.0])
def test_wrong_widths_are_refused(fwhm: float) -> None:
    with pytest.raises(SifnetError, match="impossible band width"):
        scene(fwhm=fwhm)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"solar_zenith_angle": 90.5}, "the sun is below the horizon: found .* 90.50"),
        ({"solar_zenith_angle": -1.0}, "solar_zenith_angle is impossible"),
        ({"solar_zenith_angle": np.nan}, "solar_zenith_angle is impossible"),
        ({"view_zenith_angle": ("band", np.zeros(54))}, "view_zenith_angle has the wrong layout"),
        ({"relative_azimuth_angle": 200.0}, "relative_azimuth_angle is impossible"),
        ({"sensor_height": 0.0}, "sensor_height is impossible"),
        ({"ground_elevation": 120.0}, "ground_elevation is impossible"),
        ({"sun_earth_distance": 1.5e8}, "sun_earth_distance is impossible"),
    ],
)
def test_impossible_geometry_is_refused(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(SifnetError, match=message):
        scene(geometry=changed)


def test_the_sensor_may_be_in_space() -> None:
    assert dict(scene(geometry={"sensor_height": np.inf}).describe())["sensor height"] == "inf km"


@pytest.mark.parametrize(("factor", "way"), [(10, "bright"), (0.1, "dark"), (1000, "bright")])
def test_a_wrong_radiance_scale_is_refused_with_its_factor(factor: float, way: str) -> None:
    likely = max(factor, 1 / factor)
    with pytest.raises(SifnetError, match=f"too {way} .* by a factor {likely:g}:"):
        scene(radiance() * factor)


@pytest.mark.parametrize("reflectance", [0.08, 0.2, 0.5, 0.95])
def test_soil_canopy_and_snow_are_possible(reflectance: float) -> None:
    assert scene(radiance(reflectance)).shape == (5, 4, 54)


def test_measured_irradiance_is_checked_too_and_overcast_passes() -> None:
    sun = SUN_755 * np.cos(np.radians(40.0))
    irradiance = np.full_like(radiance(), 0.2 * sun)  # under a cloud
    layout = ("line", "sample", "band")
    scene(radiance() * 0.2, extra={"irradiance": (layout, irradiance)})
    with pytest.raises(SifnetError, match="impossible irradiance: too bright"):
        scene(radiance(), extra={"irradiance": (layout, irradiance * 50)})
    with pytest.raises(SifnetError, match="impossible radiance: too bright"):
        scene(radiance(), extra={"irradiance": (layout, irradiance)})


@pytest.mark.parametrize("value", [0.0, np.nan])
def test_a_scene_without_any_pixel_is_refused(value: float) -> None:
    with pytest.raises(SifnetError, match="every pixel is empty"):
        scene(radiance() * 0 + value)


def test_wrong_layouts_are_refused() -> None:
    dataset = scene().dataset
    with pytest.raises(SifnetError, match="radiance has the wrong layout"):
        Scene(dataset.transpose("band", "line", "sample"))
    with pytest.raises(SifnetError, match="radiance has the wrong layout: found no radiance"):
        Scene(xr.Dataset())
    with pytest.raises(SifnetError, match="the scene is empty"):
        Scene(dataset.isel(line=slice(0, 0)))
    with pytest.raises(SifnetError, match="the scene is incomplete: found no sensor_height"):
        Scene(dataset.drop_vars("sensor_height"))
