"""A FLEX product to a map, by the command that users give, and its names of L2."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest
import xarray as xr
from typer.testing import CliRunner

from fakes.floris import emulated_flex
from sifnet.cli import app
from sifnet.physics.surface import emission_spread, sif_740_ratio
from sifnet.product.flex_l2 import write_l2
from sifnet.product.physiology import EFFICIENCY
from sifnet.product.provenance import told
from sifnet.scenes.scene import Flag

SHAPE = (24, 16)  # of fewer pixels the level of stray light is hardly found


@pytest.fixture(scope="module")
def mapped(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, xr.Dataset]:
    folder = tmp_path_factory.mktemp("flex")
    product, truth = emulated_flex(folder / "in", shape=SHAPE)
    run = CliRunner().invoke(app, ["retrieve", str(product), "-o", str(folder / "out")])
    assert run.exit_code == 0, run.output
    return folder / "out" / f"{product.name}_sif.nc", truth


def test_flex_is_mapped_without_a_network(mapped: tuple[Path, xr.Dataset]) -> None:
    file, truth = mapped
    with xr.open_dataset(file) as product:
        error = (product.sif_760 - truth.sif_760).values
        z = error / product.sif_760_uncertainty.values
        shift = (product.wavelength_shift - truth.wavelength_shift).values
        assert "the search starts from the prior" in str(told(product)["configuration"])
        assert product.attrs["atmosphere_prior"].startswith("the product itself; temperature")
        assert (product.quality_flag == 0).all()
    assert np.sqrt((error**2).mean()) < 0.2
    assert 0.55 < (abs(z) < 1).mean() < 0.95
    assert np.abs(shift).max() < 2e-3


def test_names_of_the_mission(mapped: tuple[Path, xr.Dataset]) -> None:
    file, _ = mapped
    with (
        h5py.File(file.with_name(f"{file.stem}_flex_l2.nc")) as written,
        xr.open_dataset(file) as product,
    ):
        group = written["L2_Fluorescence"]
        assert set(group) == {
            "sif_O2_bands_value", "sif_O2_bands_value_uncertainty", "sif_O2_bands_wavelength",
            "sif_emission_spectrum", "sif_emission_spectrum_uncertainty", "sif_wavelength_grid",
            "sif_peak_values", "sif_peak_values_uncertainty", "sif_peak_positions",
            "sif_peak_positions_uncertainty", "total_integrated_sif",
            "total_integrated_sif_uncertainty",
        }  # fmt: skip
        band = group["sif_O2_bands_value"][..., 0]
        np.testing.assert_array_equal(band, product.sif_760.values)
        np.testing.assert_array_equal(
            group["sif_O2_bands_value_uncertainty"][..., 0], product.sif_760_uncertainty
        )
        assert list(group["sif_O2_bands_wavelength"]) == [760.0]
        spectrum, sd = (group[f"sif_emission_spectrum{n}"][:] for n in ("", "_uncertainty"))
        assert spectrum.shape == (*SHAPE, 111)
        assert group["sif_wavelength_grid"][[0, -1]].tolist() == [670.0, 780.0]
        # Of one band alone it is that times a mean shape of the same canopies, differently weighed.
        np.testing.assert_allclose(spectrum[..., 90], band, rtol=1e-6)
        np.testing.assert_allclose(spectrum[..., 70], product.sif_740, rtol=0.02)
        np.testing.assert_allclose(sd[..., 70], product.sif_740_uncertainty, rtol=0.15)
        whole = np.trapezoid(spectrum.astype(float), dx=1.0)
        np.testing.assert_allclose(group["total_integrated_sif"], whole, rtol=1e-5)
        assert group["sif_peak_values"].shape == (*SHAPE, 1)
        assert group["sif_peak_values"].attrs["peaks"] == "far_red"
        assert abs(np.nanmedian(group["sif_peak_positions"]) - 740) < 4
        np.testing.assert_array_equal(written["Quality/quality_flags"], product.quality_flag)
        assert not any("escape" in name or "fapar" in name for name in group)


def test_the_spread_of_emission_is_that_of_its_table() -> None:
    assert emission_spread(np.array([760.0]))[0] == pytest.approx(0.0, abs=1e-9)
    assert emission_spread(np.array([740.0]))[0] == pytest.approx(abs(sif_740_ratio()[1]))


def test_both_oxygen_bands_where_both_are_solved(
    mapped: tuple[Path, xr.Dataset], tmp_path: Path
) -> None:
    with xr.open_dataset(mapped[0]) as product:
        red = product.assign(
            sif_687=0.4 * product.sif_760,
            sif_687_uncertainty=2 * product.sif_760_uncertainty,
            quality_flag_687=product.quality_flag,
        )
        with h5py.File(write_l2(red, tmp_path / "l2.nc")) as written:
            group = written["L2_Fluorescence"]
            assert list(group["sif_O2_bands_wavelength"]) == [687.0, 760.0]
            bands = group["sif_O2_bands_value"][:]
            np.testing.assert_allclose(bands[..., 0], 0.4 * bands[..., 1], rtol=1e-6)
            assert "quality_flags_O2_B" in written["Quality"]
            assert group["sif_peak_values"].attrs["peaks"] == "red far_red"
            shown = red.isel(line=slice(0, 8)).sif.emission()
            for end in ("", "_uncertainty"):
                np.testing.assert_array_equal(
                    group[f"sif_emission_spectrum{end}"][:8], shown[f"sif_emission_spectrum{end}"]
                )
            assert (shown.sif_emission_spectrum_uncertainty.sel(emission_wavelength=687)
                    < red.sif_687_uncertainty[:8]).all()  # fmt: skip


def test_red_that_is_not_trusted_tells_nothing(mapped: tuple[Path, xr.Dataset]) -> None:
    with xr.open_dataset(mapped[0]) as product:
        alone = product.sif.emission()
        red = product.assign(
            sif_687=2 * product.sif_760,
            sif_687_uncertainty=0.1 * product.sif_760_uncertainty,
            quality_flag_687=product.quality_flag + np.uint16(1),
        ).sif.emission()
        assert "sif_red_peak" not in alone
        assert red.sif_red_peak.isnull().all()
        np.testing.assert_array_equal(red.total_integrated_sif, alone.total_integrated_sif)


def test_physiology_where_red_reflectance_is_known(
    mapped: tuple[Path, xr.Dataset], tmp_path: Path
) -> None:
    """By hand, of canopies whose red reflectance is a tenth of the far red; soil has no number."""
    with xr.open_dataset(mapped[0]) as product:
        assert not product.sif.physiology().data_vars
        near = product.reflectance_740 + 20 * product.reflectance_slope
        sparse = product.sif_760 < 0.1
        red = product.assign(
            sif_687=0.4 * product.sif_760, quality_flag_687=product.quality_flag,
            sif_687_uncertainty=2 * product.sif_760_uncertainty,
            reflectance_687=xr.where(sparse, near, 0.1 * near),
        )  # fmt: skip
        told = red.sif.physiology()
        for flag in (Flag.UNLIKELY_AIR, Flag.POOR_FIT):
            flagged = red.assign(quality_flag_687=red.quality_flag_687 | np.uint16(flag))
            seen = flagged.sif.physiology()[EFFICIENCY].notnull().values
            np.testing.assert_array_equal(
                seen, told[EFFICIENCY].notnull().values & (flag != Flag.POOR_FIT)
            )
        with h5py.File(write_l2(red, tmp_path / "l2.nc")) as written:
            group = written["L2_Fluorescence"]
            for name in told.data_vars:
                if not name.endswith("_shared"):
                    np.testing.assert_array_equal(group[name], told[name])
        plants = ~sparse.values
        ndvi = 0.9 / 1.1
        fapar = 1.1638 * ndvi - 0.1426
        escape = told.fluorescence_escape_probability.values[plants]
        np.testing.assert_allclose(escape, (ndvi * near / fapar).values[plants], rtol=1e-4)
        photon = 1e3 / (6.62607015e-34 * 2.99792458e8 * 6.02214076e23 / 760e-9)
        emitted = np.pi * red.sif_760.values[plants] * photon * 184.5 / escape
        absorbed = (told.integrated_par * told.fapar_chlorophyll).values[plants]
        found = told.fluorescence_quantum_efficiency.values
        np.testing.assert_allclose(found[plants], emitted / absorbed, rtol=1e-3)
        assert np.isnan(found[~plants]).all()
        assert 1000 < told.integrated_par.mean() < 2000
