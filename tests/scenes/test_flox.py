"""FloX: fakes to the last digit, and the real spectra where they are at hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from fakes.flox import (
    AIR_WAVELENGTH,
    PLACE,
    TIMES,
    fake_flox,
    fake_flox_npz,
    known_incoming,
    known_reflected,
    write_table,
)
from sifnet.errors import SifnetError
from sifnet.scenes.flox import matches, open_scene
from sifnet.scenes.scene import Flag
from sifnet.simulation.flox_product import write_flox
from sifnet.units import air_to_vacuum

TOWER = {"latitude": 47.478, "longitude": 8.364}


def partner(incoming: Path) -> Path:
    return incoming.with_name(incoming.name.replace("Incoming", "Reflected"))


def test_a_pair_to_the_last_digit(tmp_path: Path) -> None:
    incoming = fake_flox(tmp_path)
    for path in (incoming, partner(incoming), tmp_path):
        scene = open_scene(path, **PLACE)
        assert scene.shape == (3, 1, AIR_WAVELENGTH.size)
        np.testing.assert_allclose(scene.radiance.values[:, 0], 1e3 * known_reflected(), rtol=1e-6)
        np.testing.assert_allclose(
            scene.irradiance.values[:, 0], 1e3 * np.pi * known_incoming(), rtol=1e-6
        )
        np.testing.assert_allclose(scene.wavelength, air_to_vacuum(AIR_WAVELENGTH))
        np.testing.assert_array_equal(scene.fwhm, 0.31)
        assert scene.dataset.attrs["acquisition_time"] == "2025-06-15T10:15:00"
        assert float(scene.dataset["sensor_height"]) == 0.002
        assert (scene.flags() == 0).all()
        assert len(scene.dataset.attrs["notes"]) == 3  # height, elevation and air are assumed
    assert open_scene(incoming, **PLACE).name == "Py_radiance_FLUO_101500"


def test_measurements_are_matched_by_name(tmp_path: Path) -> None:
    incoming = fake_flox(tmp_path)
    names = (TIMES[2], TIMES[0], "150625_120000")
    write_table(partner(incoming), known_reflected()[[2, 0, 1]], names)
    scene = open_scene(incoming, **PLACE)
    np.testing.assert_allclose(
        scene.radiance.values[:, 0], 1e3 * known_reflected()[[0, 2]], rtol=1e-6
    )
    assert any(n.startswith("2 measurements") for n in scene.dataset.attrs["notes"])


def test_two_measurements_of_the_same_second_are_both_kept(tmp_path: Path) -> None:
    names = (TIMES[0], TIMES[1], TIMES[1])
    scene = open_scene(fake_flox(tmp_path, names=names), **PLACE)
    assert scene.shape[0] == 3
    np.testing.assert_allclose(scene.radiance.values[:, 0], 1e3 * known_reflected(), rtol=1e-6)


def test_a_folder_is_its_pairs_in_the_order_of_time(tmp_path: Path) -> None:
    fake_flox(tmp_path, "FLUO_a", names=("150625_140000",))
    fake_flox(tmp_path, "FLUO_b")
    scene = open_scene(tmp_path, **PLACE)
    assert scene.shape[0] == 4
    assert (np.diff(scene.dataset["time"].values) > np.timedelta64(0)).all()


def test_npz_means_irradiance_of_before_and_after(tmp_path: Path) -> None:
    scene = open_scene(fake_flox_npz(tmp_path), utc_offset_hours=1, **PLACE)
    mean = known_incoming() * np.array([[1.0], [1.001], [1.015]])
    np.testing.assert_allclose(scene.irradiance.values[:, 0], 1e3 * np.pi * mean, rtol=1e-6)
    assert scene.dataset.attrs["acquisition_time"] == "2025-06-15T10:15:00"
    np.testing.assert_array_equal(scene.flags().values[:, 0], [0, 0, Flag.UNSTABLE_LIGHT])
    milli = fake_flox_npz(
        tmp_path / "milli", E=known_incoming() * 1e3, E2=None, L=known_reflected() * 1e3,
        units=np.array("mW m-2 nm-1 sr-1"),
    )  # fmt: skip
    scene = open_scene(milli, **PLACE)
    np.testing.assert_allclose(
        scene.irradiance.values[:, 0], 1e3 * np.pi * known_incoming(), rtol=1e-6
    )
    assert any("taken as UTC" in note for note in scene.dataset.attrs["notes"])


def test_a_passing_cloud_is_flagged(tmp_path: Path) -> None:
    names = tuple(f"150625_10{minute}00" for minute in range(15, 24))
    incoming = fake_flox(tmp_path, names=names)
    dimmed = np.ones((len(names), 1))
    dimmed[4] = 0.6
    write_table(incoming, known_incoming(len(names)) * dimmed, names)
    write_table(partner(incoming), known_reflected(len(names)) * dimmed, names)
    flags = open_scene(incoming, **PLACE).flags().values[:, 0]
    np.testing.assert_array_equal(np.flatnonzero(flags == Flag.UNSTABLE_LIGHT), [4])


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    times = np.datetime64("2025-06-15T10:15:00") + np.arange(3) * np.timedelta64(30, "s")
    site = {**PLACE, "ground_elevation": 0.2, "sensor_height": 0.005}
    wavelength = air_to_vacuum(AIR_WAVELENGTH)
    incoming, reflected = 1e3 * known_incoming(), 1e3 * known_reflected()
    written = write_flox(
        tmp_path,
        incoming=incoming,
        reflected=reflected,
        wavelength=wavelength,
        times=times,
        **site,
    )
    for path in (written, tmp_path):
        scene = open_scene(path)
        np.testing.assert_allclose(scene.wavelength, wavelength, atol=1e-8)
        np.testing.assert_allclose(scene.radiance.values[:, 0], reflected, rtol=1e-6)
        np.testing.assert_allclose(scene.irradiance.values[:, 0], np.pi * incoming, rtol=1e-6)
        np.testing.assert_array_equal(scene.dataset["time"].values, times)
        assert float(scene.dataset["ground_elevation"]) == 0.2
        assert float(scene.dataset["sensor_height"]) == 0.005


def test_given_angle_medium_and_width_win(tmp_path: Path) -> None:
    given = {"solar_zenith_angle": 30.0, "wavelength_medium": "vacuum", "fwhm": 0.4}
    scene = open_scene(fake_flox(tmp_path), **PLACE, **given)
    np.testing.assert_array_equal(scene.dataset["solar_zenith_angle"], 30.0)
    np.testing.assert_array_equal(scene.wavelength, AIR_WAVELENGTH)
    np.testing.assert_array_equal(scene.fwhm, 0.4)


def test_the_place_must_be_given(tmp_path: Path) -> None:
    with pytest.raises(
        SifnetError, match=r"the place of the instrument is not known.*Give latitude=, longitude="
    ):
        open_scene(fake_flox(tmp_path))


def test_a_missing_partner_is_refused(tmp_path: Path) -> None:
    incoming = fake_flox(tmp_path)
    partner(incoming).unlink()
    with pytest.raises(SifnetError, match=r"Reflected.*a FloX file is missing"):
        open_scene(incoming, **PLACE)


def test_files_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    incoming = fake_flox(tmp_path)
    text = partner(incoming).read_text()
    partner(incoming).write_text(text.replace("\n745.0;", "\n744.0;"))
    with pytest.raises(SifnetError, match="the two files have different wavelengths"):
        open_scene(incoming, **PLACE)
    partner(incoming).write_text(text.replace("150625", "160625"))
    with pytest.raises(SifnetError, match="no measurement is in both files"):
        open_scene(incoming, **PLACE)
    for broken in (text.replace(";", ","), text.replace("745.0", "violet"), ""):
        partner(incoming).write_text(broken)
        with pytest.raises(SifnetError, match="not a FloX table"):
            open_scene(incoming, **PLACE)


def test_unreadable_times_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SifnetError, match="the time of a measurement cannot be read"):
        open_scene(fake_flox(tmp_path, names=("first", "second", "third")), **PLACE)


def test_pairs_of_two_instruments_are_not_one_scene(tmp_path: Path) -> None:
    other = fake_flox(tmp_path, "FLUO_a")
    fake_flox(tmp_path, "FLUO_b")
    for file in (other, partner(other)):
        file.write_text(file.read_text().replace("\n745.0;", "\n744.0;"))
    with pytest.raises(SifnetError, match=r"different wavelengths: found .*FLUO_b"):
        open_scene(tmp_path, **PLACE)


def test_an_empty_or_ambiguous_folder_is_refused(tmp_path: Path) -> None:
    assert not matches(tmp_path)
    with pytest.raises(SifnetError, match="no FloX measurements: found 0 npz"):
        open_scene(tmp_path, **PLACE)
    fake_flox_npz(tmp_path, "a.npz")
    fake_flox_npz(tmp_path, "b.npz")
    with pytest.raises(SifnetError, match="no FloX measurements: found 2 npz"):
        open_scene(tmp_path, **PLACE)


@pytest.mark.parametrize(
    "changed", [{"L": None}, {"L": known_reflected()[:2]}, {"units": np.array("counts")}]
)
def test_a_wrong_npz_is_refused(tmp_path: Path, changed: dict[str, object]) -> None:
    with pytest.raises(SifnetError, match="not a FloX npz"):
        open_scene(fake_flox_npz(tmp_path, **changed), **PLACE)


def test_a_truncated_npz_is_refused(tmp_path: Path) -> None:
    file = fake_flox_npz(tmp_path)
    file.write_bytes(file.read_bytes()[:500])
    with pytest.raises(SifnetError, match="not a FloX npz"):
        open_scene(file, **PLACE)


def test_npz_needs_a_date(tmp_path: Path) -> None:
    file = fake_flox_npz(tmp_path, "tower.npz")
    with pytest.raises(SifnetError, match="the time of the measurements is not known"):
        open_scene(file, **PLACE)
    scene = open_scene(file, date="2025-06-15", **PLACE)
    assert scene.dataset.attrs["acquisition_time"] == "2025-06-15T11:15:00"


def test_real_measurements(shared_data: Path) -> None:
    """All 115, also the eight pairs of the same second; sun within 0.03 deg of the reference."""
    scene = open_scene(shared_data / "flox", **PLACE)
    reference = pd.read_csv(shared_data / "flox" / "reference_sif.csv")
    times = pd.DatetimeIndex(scene.dataset["time"].values)
    assert (times == pd.DatetimeIndex(pd.to_datetime(reference["time_utc"]))).all()
    difference = scene.dataset["solar_zenith_angle"] - reference["solar_zenith_angle_deg"].values
    assert float(np.abs(difference).max()) < 0.03
    unsteady = int((scene.flags() == int(Flag.UNSTABLE_LIGHT)).sum())
    assert 1 <= unsteady <= 10  # passing clouds near the end


def test_real_low_sun_series(shared_data: Path) -> None:
    file = shared_data / "flox" / "laegeren_20180611_flox_radiance.npz"
    scene = open_scene(file, utc_offset_hours=1, ground_elevation=0.69, **TOWER)
    assert scene.shape == (10, 1, 1024)
    assert scene.dataset.attrs["acquisition_time"] == "2018-06-11T17:05:42"
    zenith = scene.dataset["solar_zenith_angle"].values
    assert zenith.min() > 69
    assert zenith.max() < 72
    assert (scene.flags() == 0).all()
