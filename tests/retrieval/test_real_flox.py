"""Real FloX spectra against what established algorithms made of them, and a forest at low sun."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import sifnet

TOWER = {"latitude": 47.478, "longitude": 8.364, "utc_offset_hours": 1.0,
         "wavelength_medium": "vacuum"}  # fmt: skip


@pytest.fixture(scope="module")
def product(shared_data: Path) -> xr.Dataset:
    place = {"latitude": 42.859, "longitude": 11.055}
    return sifnet.retrieve(sifnet.open_scene(shared_data / "flox", sensor="flox", **place))


@pytest.mark.parametrize(
    ("ours", "theirs", "correlation", "share"),
    [
        ("sif_760", "specfit_o2a", 0.99, 0.056),
        ("sif_760", "sfm_o2a", 0.99, 0.056),  # 0.1 of the mean
        ("sif_687", "specfit_o2b", 0.93, 0.06),
        ("sif_687", "sfm_o2b", 0.96, 0.08),
        ("sif_far_red_peak", "specfit_far_red_peak", 0.98, 0.05),
        ("total_integrated_sif", "specfit_integral_mw_m2_sr", 0.98, 0.05),
    ],
)
def test_115_real_measurements(
    product: xr.Dataset, shared_data: Path, ours: str, theirs: str, correlation: float, share: float
) -> None:
    """Correlation, and mean difference as a share of the mean (measured: docs/field.md)."""
    reference = pd.read_csv(shared_data / "flox/reference_sif_full.csv")[theirs].to_numpy()
    found = product[ours].values[:, 0].astype(float)
    assert np.corrcoef(found, reference)[0, 1] >= correlation
    assert abs((found - reference).mean()) <= share * reference.mean()


def test_the_peak_lies_where_it_lies(product: xr.Dataset, shared_data: Path) -> None:
    reference = pd.read_csv(shared_data / "flox/reference_sif_full.csv")
    place = product["sif_far_red_peak_wavelength"].values[:, 0]
    assert abs((place - reference["specfit_far_red_peak_nm"]).mean()) <= 2.0


def test_a_spectrum_that_broke_is_flagged_and_others_are_explained(product: xr.Dataset) -> None:
    chi2 = product["chi2_reduced"].values[:, 0]
    assert np.flatnonzero(chi2 > 4).tolist() == [17]
    assert 0.7 < np.median(chi2) < 1.2
    assert (product["quality_flag"].values[:, 0] == 0).sum() >= 100


def test_a_forest_at_low_sun(shared_data: Path) -> None:
    """Lägeren: explained (chi-square was 11), unflagged, and on a tower of 20 m a tenth more."""
    file = shared_data / "flox" / "laegeren_20180611_flox_radiance.npz"
    near, far = (
        sifnet.retrieve(sifnet.open_scene(file, sensor="flox", sensor_height=height, **TOWER))
        for height in (0.002, 0.02)
    )
    assert (near["chi2_reduced"] < 1.6).all()
    assert (near["quality_flag"] == 0).all()
    assert 0.4 < near["sif_760"].mean() < 0.6
    gained = (far["sif_760"] / near["sif_760"]).values
    assert (gained > 1.05).all()
    assert (gained < 1.2).all()
    np.testing.assert_allclose(far["sif_687"], near["sif_687"], rtol=0.03)
