"""Scene to tensors: patches, flags, NDVI, prior; nothing usable is lost, nothing broken is used."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr

from fakes.emulator import fake_emulator
from fakes.enmap import fake_enmap
from fakes.scenes import known_scene
from sifnet.errors import SifnetError
from sifnet.physics.emulator import Emulator
from sifnet.physics.instrument import Instrument
from sifnet.physics.state import RANGES
from sifnet.retrieval.model import Setup
from sifnet.retrieval.pixels import BRIGHT, DARK, join, patch_shape, read, strips
from sifnet.retrieval.window import fit_bands, fit_window
from sifnet.scenes import open_scene
from sifnet.scenes.scene import FIT_WINDOW, SUN_755, Flag, Scene, _unchecked
from sifnet.training.patches import Patches, read_patches


@pytest.fixture(scope="module")
def scene() -> Scene:
    return known_scene(fake_emulator(), lines=20, samples=14).scene


def changed(scene: Scene, **variables: object) -> Scene:
    return replace(scene, dataset=scene.dataset.assign(variables))


def test_patches_hold_every_pixel_once(scene: Scene) -> None:
    pixels = read(scene, slice(0, 20), (8, 4))
    assert pixels.radiance.shape[:3] == (3 * 4, 8, 4)
    assert int(pixels.usable.sum()) == 20 * 14  # what fills incomplete patches is not usable
    cube = scene.radiance.values[..., fit_bands(scene.wavelength, FIT_WINDOW)]
    torch.testing.assert_close(pixels.radiance[5], torch.from_numpy(cube[8:16, 4:8]))
    assert pixels.column[5].tolist() == [4, 5, 6, 7]


def test_strips_say_the_same_as_the_whole(scene: Scene) -> None:
    whole = read(scene, slice(0, 20), (8, 4))
    parts = join([pixels for _, pixels in strips(scene, (8, 4))])
    for name in ("radiance", "usable", "column"):
        assert torch.equal(getattr(whole, name), getattr(parts, name))


@pytest.mark.parametrize("first", [0, 1, 2])
def test_some_columns_of_patches_are_those_of_the_whole(scene: Scene, first: int) -> None:
    """Of 14 columns the last patch of 4 has two: beyond them there is none that is usable."""
    some = slice(first, None, 3)
    whole = read(scene, slice(0, 20), (8, 4)).samples(torch.arange(4)[some])
    part = read(scene, slice(0, 20), (8, 4), columns=some)
    for name in ("radiance", "usable", "column", "flags"):
        assert torch.equal(getattr(whole, name), getattr(part, name)), name


def test_field_spectrometers_have_patches_of_one_measurement(scene: Scene) -> None:
    assert patch_shape(scene.window(slice(None)), (8, 8)) == (8, 8)
    point = replace(scene, dataset=scene.dataset.isel(sample=slice(0, 1)))
    assert patch_shape(point, (8, 8)) == (1, 1)


def test_flags_say_why_a_pixel_is_not_used(scene: Scene) -> None:
    radiance = scene.radiance.copy(deep=True)
    radiance[0, 0] = np.nan
    radiance[0, 1] = 0.0
    radiance[0, 2] *= 5.0
    radiance[0, 3] *= 0.01
    reader = xr.zeros_like(radiance[..., 0], dtype=np.uint16)
    reader[0, 4] = int(Flag.SATURATED)
    view = scene.dataset["view_zenith_angle"].copy(deep=True)
    view[5] = 45.0
    broken = changed(scene, radiance=radiance, reader_flags=reader, view_zenith_angle=view)
    pixels = read(broken, slice(0, 4), (4, 14))
    flags = pixels.flags[0, 0]
    expected = [Flag.DEAD, Flag.DEAD, Flag.CLOUD_OR_DARK, Flag.CLOUD_OR_DARK, Flag.SATURATED]
    for sample, flag in enumerate([*expected, Flag.OUT_OF_RANGE]):
        assert int(flags[sample]) & flag, flag
        assert not pixels.usable[0, 0, sample]
    assert pixels.usable[0, 0, 6:].all()
    assert torch.isfinite(pixels.radiance).all()
    assert torch.isfinite(pixels.noise).all()
    assert float(pixels.geometry.view_zenith_angle.max()) <= RANGES["view_zenith_angle"][1]


@pytest.mark.parametrize("zenith", [0.0, 40.0, 60.0])
@pytest.mark.parametrize("distance", [0.983, 1.017])
def test_cloud_and_shadow_are_told_by_reflectance_under_this_sun(
    scene: Scene, zenith: float, distance: float
) -> None:
    reflectance = np.array([0.9 * DARK, 1.1 * DARK, 0.97 * BRIGHT, 1.03 * BRIGHT], np.float32)
    light = SUN_755 * np.cos(np.radians(zenith)) / distance**2
    radiance = scene.radiance.copy(deep=True)
    radiance[0, :4] = (reflectance * light / np.pi)[:, None]
    sun = {"solar_zenith_angle": zenith, "sun_earth_distance": distance}
    flags = read(changed(scene, radiance=radiance, **sun), slice(0, 4), (4, 14)).flags[0, 0, :4]
    strange = (flags & int(Flag.CLOUD_OR_DARK)).bool()
    assert strange.tolist() == [True, False, False, True]


@pytest.mark.parametrize(("name", "value"), [("temperature_offset", 11.5), ("aot_550", 1.2)])
def test_air_that_the_simulation_does_not_know_is_flagged(
    scene: Scene, name: str, value: float
) -> None:
    """A tropical profile, a dust storm: never clamped into range in silence."""
    air = xr.Dataset({name: value, f"{name}_uncertainty": 0.1})
    pixels = read(scene, slice(0, 8), (8, 14), atmosphere=air)
    assert not pixels.usable.any()
    assert (pixels.flags & int(Flag.OUT_OF_RANGE) > 0).all()


def test_ndvi_of_radiances_tells_soil_from_vegetation() -> None:
    known = known_scene(fake_emulator(), lines=12, samples=12)
    ndvi = read(known.scene, slice(0, 12), (12, 12)).ndvi[0].numpy()
    bare = known.truth.sif_760.values == 0
    assert ndvi[bare].max() < 0.1 < 0.5 < ndvi[~bare].min()


def test_without_red_bands_there_is_no_ndvi_but_pixels_are_used(scene: Scene) -> None:
    narrow = replace(scene, dataset=scene.dataset.isel(band=slice(2, None)))
    pixels = read(narrow, slice(0, 4), (4, 4))
    assert torch.isnan(pixels.ndvi).all()
    assert (pixels.flags & int(Flag.NO_NDVI)).bool().all()
    assert pixels.usable[0].all()


def test_pressure_prior_follows_the_ground(scene: Scene) -> None:
    height = xr.zeros_like(scene.radiance[..., 0]) + np.linspace(0, 1, 20)[:, None]
    pixels = read(changed(scene, ground_elevation=height), slice(0, 20), (4, 14))
    pressure = pixels.prior.mean.surface_pressure.flatten()
    # 842 m apart, 8.75 m to the hPa
    assert float(pressure[0] - pressure[-1]) == pytest.approx(842 / 8.75, rel=0.02)


def test_given_atmosphere_replaces_the_default(scene: Scene) -> None:
    given = xr.Dataset({"surface_pressure": 990.0, "surface_pressure_uncertainty": 1.5,
                        "aot_550": 0.3})  # fmt: skip
    prior = read(scene, slice(0, 4), (4, 14), atmosphere=given).prior
    assert float(prior.mean.surface_pressure.mean()) == pytest.approx(990.0)
    assert float(prior.sd.surface_pressure.mean()) == pytest.approx(1.5)
    assert float(prior.mean.aot_550.mean()) == pytest.approx(0.3)


def test_atmosphere_without_a_number_is_refused(scene: Scene) -> None:
    with pytest.raises(SifnetError, match="aot_550 cannot be used"):
        read(scene, slice(0, 4), (4, 14), atmosphere=xr.Dataset({"aot_550": np.nan}))


def test_too_few_bands_are_refused(scene: Scene) -> None:
    with pytest.raises(SifnetError, match="too few bands"):
        fit_bands(scene.wavelength, (760.0, 760.5))


def test_errors_of_the_window_name_their_file(scene: Scene) -> None:
    named = Scene(scene.dataset.assign_attrs(source_files=["line.dat"]))
    with pytest.raises(SifnetError, match=r"line\.dat: too few bands in the fit window"):
        fit_window(named, fake_emulator(), (760.0, 760.1))


def test_patches_are_numbered_by_scene_and_thinned_evenly(scene: Scene) -> None:
    options = {"ranges": RANGES, "window": FIT_WINDOW}
    both = read_patches([scene, scene], (4, 7), **options)  # type: ignore[arg-type]
    assert both.line_id.tolist() == [0] * 10 + [1] * 10
    some = read_patches([scene, scene], (4, 7), most=10, **options)  # type: ignore[arg-type]
    assert some.patches == 10
    assert set(some.line_id.tolist()) == {0, 1}
    batch = Patches(both, lines=2, samples=3).__getitems__([0, 12])
    assert batch.radiance.shape[:3] == (2, 2, 3)
    assert batch.column.shape == (2, 3)


def test_a_scene_without_usable_pixels_is_refused(scene: Scene) -> None:
    dark = changed(scene, view_zenith_angle=60.0)
    with pytest.raises(SifnetError, match="no pixel is usable"):
        read_patches([dark], (4, 7), ranges=RANGES, window=FIT_WINDOW)


def reaching(low: float, high: float) -> Emulator:
    """The fake emulator, of some wavelengths only."""
    whole = fake_emulator()
    inside = (whole.grid >= low) & (whole.grid <= high)
    return Emulator(whole.grid[inside], whole.basis[..., inside], whole.network, whole.metadata)


def fitted(scene: Scene, emulator: Emulator) -> np.ndarray:
    return fit_bands(scene.wavelength, fit_window(scene, emulator))


def test_a_window_that_can_be_simulated_is_fitted_as_asked_for(scene: Scene) -> None:
    assert fit_window(scene, fake_emulator()) == FIT_WINDOW
    assert fit_window(scene, fake_emulator(), (752.0, 768.0)) == (752.0, 768.0)


@pytest.mark.parametrize(
    ("low", "high"), [(752.0, 768.0), (752.0, 780.0), (740.0, 768.0)], ids=["both", "blue", "red"]
)
def test_bands_whose_wings_are_not_simulated_are_left_out(
    scene: Scene, low: float, high: float
) -> None:
    """The widest window there is: with another band at an end it could not be simulated."""
    emulator = reaching(low, high)
    wanted, bands = fitted(scene, fake_emulator()), fitted(scene, emulator)
    assert (np.diff(bands) == 1).all()
    assert (bands[0] == wanted[0]) == (low < 750)
    assert (bands[-1] == wanted[-1]) == (high > 770)
    window = fit_window(scene, emulator)
    assert (window[0] == FIT_WINDOW[0], window[1] == FIT_WINDOW[1]) == (low < 750, high > 770)
    ranges = {"shift_range": scene.sensor.shift_range, "fwhm_range": scene.sensor.fwhm_range}
    Instrument(scene.wavelength[bands], scene.fwhm[bands], emulator, **ranges)
    more = [np.arange(bands[0] - 1, bands[-1] + 1)] * (low > 750)
    more += [np.arange(bands[0], bands[-1] + 2)] * (high < 770)
    for wider in more:
        with pytest.raises(SifnetError, match="reach beyond"):
            Instrument(scene.wavelength[wider], scene.fwhm[wider], emulator, **ranges)


def test_no_band_within_a_window_is_left_out(scene: Scene) -> None:
    """One as wide as the window, which no scene is born with, is not dropped in silence either."""
    fwhm = scene.dataset["fwhm"].copy(deep=True)
    fwhm[40] = 15.0
    with pytest.raises(SifnetError, match="impossible band width"):
        changed(scene, fwhm=fwhm)
    odd = _unchecked(scene.dataset.assign_coords(fwhm=fwhm))
    assert fit_window(odd, fake_emulator()) == FIT_WINDOW
    bands = fitted(odd, fake_emulator())
    with pytest.raises(SifnetError, match="reach beyond"):
        Instrument(odd.wavelength[bands], odd.fwhm[bands], fake_emulator())


def test_a_window_with_too_few_bands_left_is_refused(scene: Scene) -> None:
    with pytest.raises(SifnetError, match="too few bands"):
        fit_window(scene, reaching(750.0, 751.9))


def test_a_model_is_set_up_for_the_bands_that_can_be_simulated(scene: Scene) -> None:
    emulator = reaching(752.0, 768.0)
    setup = Setup.of_scene(scene, emulator)
    assert setup.window == fit_window(scene, emulator)
    np.testing.assert_array_equal(setup.wavelength, scene.wavelength[fitted(scene, emulator)])
    assert len(setup.fwhm) == len(setup.wavelength)


def test_a_sensor_that_can_only_be_inspected_is_refused_with_its_reason(tmp_path: Path) -> None:
    scene = open_scene(fake_enmap(tmp_path))
    with pytest.raises(SifnetError, match="enmap can be inspected only") as refused:
        Setup.of_scene(scene, fake_emulator())
    assert scene.sensor.inspect_only in str(refused.value)
    assert "too few to tell fluorescence from reflectance" in str(refused.value)
