"""A FloX folder from files to product: numbers with their uncertainty, hours, refusals."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from typer.testing import CliRunner

import sifnet
from sifnet.batch.remake import differences, remake
from sifnet.cli import app
from sifnet.errors import SifnetError
from sifnet.scenes.scene import Flag
from sifnet.simulation.flox_product import write_flox

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "retrieval"))
from test_full_spectrum import BANDS, NOISE, World, world

HOURS = 3
PLACE = "42.859,11.055,10"


@pytest.fixture(scope="module")
def seen() -> World:
    return world(count=12, real=True)


@pytest.fixture(scope="module")
def folder(seen: World, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve measurements over three hours; the fifth under a cloud, without a place."""
    place = tmp_path_factory.mktemp("tower")
    start = np.datetime64("2025-06-15T10:05:00")
    times = start + 15 * np.arange(12) * np.timedelta64(1, "m")
    return write_flox(
        place,
        incoming=seen.irradiance / np.pi,
        reflected=seen.radiance,
        wavelength=BANDS,
        times=times,
    ).parent


@pytest.fixture(scope="module")
def mapped(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("maps")
    command = ["retrieve", str(folder), "-o", str(out), "--site", PLACE]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.output
    return next(out.glob("*_sif.nc"))


def test_every_number_has_its_uncertainty_and_units(mapped: Path, seen: World) -> None:
    with xr.open_dataset(mapped) as product:
        for name in ("sif_687", "sif_760", "sif_far_red_peak", "sif_far_red_peak_wavelength",
                     "total_integrated_sif"):  # fmt: skip
            for variable in (name, f"{name}_uncertainty", f"{name}_uncertainty_shared"):
                assert np.isfinite(product[variable]).all(), variable
                assert product[variable].attrs["units"], variable
            assert (product[f"{name}_uncertainty"] >= product[f"{name}_uncertainty_shared"]).all()
        spectrum = product["sif_emission_spectrum"]
        assert spectrum.dims == ("line", "sample", "emission_wavelength")
        assert spectrum.shape == (12, 1, 111)
        np.testing.assert_allclose(
            spectrum.sel(emission_wavelength=760.0), product["sif_760"], rtol=1e-5
        )
        error = product["sif_760"].values[:, 0] - seen.truth[:, 90]
        assert np.sqrt(np.mean(error**2)) < 0.06
        assert np.allclose(product["solar_zenith_angle"], 20, atol=12)
        # No NDVI: bands end at 782 nm.
        assert set(np.unique(product["quality_flag"])) <= {0, int(Flag.NO_NDVI)}


def test_hourly_means_count_shared_errors_once(mapped: Path) -> None:
    with xr.open_dataset(mapped) as product:
        column = product.isel(sample=0)
        hour = column["time"].values.astype("datetime64[h]")
        assert product["hourly_measurements"].values.tolist() == [4, 4, 4]
        for i, start in enumerate(np.unique(hour)):
            chosen = hour == start
            values, sigma, shared = (
                column[f"sif_760{end}"].values[chosen].astype(float)
                for end in ("", "_uncertainty", "_uncertainty_shared")
            )
            own = sigma**2 - shared**2
            expected = np.sqrt(shared.mean() ** 2 + own.sum() / chosen.sum() ** 2)
            np.testing.assert_allclose(product["sif_760_hourly"][i], values.mean(), rtol=1e-5)
            np.testing.assert_allclose(
                product["sif_760_hourly_uncertainty"][i], expected, rtol=1e-4
            )
    table = pd.read_csv(mapped.with_name(f"{mapped.stem}_hourly.csv"))
    assert len(table) == HOURS
    assert {"hour", "sif_760_hourly", "sif_760_hourly_uncertainty"} <= set(table.columns)
    assert mapped.with_suffix(".png").stat().st_size > 20_000


def test_it_is_done_once_and_can_be_remade(mapped: Path, folder: Path, tmp_path: Path) -> None:
    command = ["retrieve", str(folder), "-o", str(mapped.parent), "--site", PLACE]
    assert "there already" in CliRunner().invoke(app, command).output
    assert differences(mapped, remake(mapped, tmp_path)) == []


def test_without_a_place_the_error_says_both_ways(folder: Path, tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["retrieve", str(folder), "-o", str(tmp_path)])
    assert result.exit_code == 2
    told = " ".join(result.output.split())
    assert "--site LAT,LON,METRES" in told
    assert "site.json" in told


@pytest.mark.parametrize("text", ["rome", "42.8", "1,2,3,4", "95,11"])
def test_a_place_that_is_none_is_refused(text: str, folder: Path, tmp_path: Path) -> None:
    command = ["retrieve", str(folder), "-o", str(tmp_path), "--site", text]
    result = CliRunner().invoke(app, command)
    assert result.exit_code != 0
    assert not list(tmp_path.glob("*.nc"))


def test_no_fit_and_no_model_is_needed(folder: Path) -> None:
    scene = sifnet.open_scene(folder, latitude=42.859, longitude=11.055)
    with pytest.raises(SifnetError, match=r"needs no model and no fit.*without --model"):
        sifnet.fit(scene)
    with pytest.raises(SifnetError, match="needs no model"):
        sifnet.retrieve(scene, "some.ckpt")


def test_a_broken_spectrum_and_a_dead_one_are_flagged(folder: Path, seen: World) -> None:
    scene = sifnet.open_scene(folder, latitude=42.859, longitude=11.055)
    radiance = scene.radiance.values.copy()
    lines = 1 + 0.02 * np.sin(np.arange(len(BANDS)))
    radiance[2, 0] *= lines.astype(np.float32)
    radiance[5, 0, 300] = np.nan
    data = scene.dataset.assign(radiance=(("line", "sample", "band"), radiance))
    product = sifnet.retrieve(sifnet.Scene(data))
    flags = product["quality_flag"].values[:, 0]
    assert flags[2] & Flag.POOR_FIT
    assert flags[5] & Flag.DEAD
    assert not np.isfinite(product["sif_760"].values[5, 0])
    assert not (np.delete(flags, [2, 5]) & (Flag.POOR_FIT | Flag.DEAD)).any()
    assert scene.sensor.shot_noise == NOISE


def test_physiology_of_every_measurement(mapped: Path) -> None:
    with xr.open_dataset(mapped) as product:
        for name in ("fapar_chlorophyll", "fluorescence_escape_probability", "integrated_par",
                     "fluorescence_quantum_efficiency"):  # fmt: skip
            assert (product[f"{name}_uncertainty"] >= product[f"{name}_uncertainty_shared"]).all()
            assert np.isfinite(product[f"{name}_hourly"]).all()
            assert product[name].attrs["units"]
        assert product["fluorescence_escape_probability"].max() < 1
        # Noise of SIF alone becomes less in a mean; what the formula errs by does not.
        single = product["fluorescence_quantum_efficiency_uncertainty_shared"].mean()
        assert product["fluorescence_quantum_efficiency_hourly_uncertainty"].min() > 0.5 * single


def test_light_of_the_other_spectrometer_is_par(folder: Path, tmp_path: Path) -> None:
    """1 W m-2 nm-1 over 400-700 nm are 300 W m-2 of photons, in the mean of 550 nm."""
    for file in folder.glob("*.csv"):
        (tmp_path / file.name).symlink_to(file)
    pair = pd.read_csv(next(tmp_path.glob("*Incoming*FLUO*.csv")), sep=";", nrows=1)
    wavelength = np.arange(395.0, 950.0, 1.0)
    full = pd.DataFrame({n: np.full(wavelength.size, 1 / np.pi) for n in pair.columns[1:9]})
    full.insert(0, "wl", wavelength)
    full.to_csv(tmp_path / "Py_Incoming_radiance_FULL_F100500.csv", sep=";", index=False)
    scene = sifnet.open_scene(tmp_path, latitude=42.859, longitude=11.055)
    product = sifnet.retrieve(scene)
    light = product["integrated_par"].values[:, 0]
    joules = 6.62607015e-34 * 2.99792458e8 * 6.02214076e23 / 550e-9
    np.testing.assert_allclose(light[:8], 300 / joules * 1e6, rtol=1e-4)
    assert np.isnan(light[9:]).all()  # half an hour later, none is near
    assert any("other spectrometer" in note for note in scene.dataset.attrs["notes"])
    full_file = tmp_path / "Py_Incoming_radiance_FULL_F100500.csv"
    assert full_file in [Path(file) for file in scene.dataset.attrs["source_files"]]
    full_file.write_text("no table")
    scene = sifnet.open_scene(tmp_path, latitude=42.859, longitude=11.055)
    assert any("not a FloX table" in note for note in scene.dataset.attrs["notes"])
    assert "photosynthetic_light" not in scene.dataset
