from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from fakes.products import fake_maps, fake_scene
from sifnet import evaluation, outputs, product
from sifnet.errors import SifnetError

SHAPE = (40, 30)


def _pair(bias: float = 0.0, sigma: float = 0.2) -> tuple[xr.Dataset, xr.Dataset]:
    """A product with Gaussian errors of known size, and its truth with a third of bare soil."""
    rng = np.random.default_rng(3)
    bare = np.zeros(SHAPE, np.int8)
    bare[:, :10] = 1
    true = np.where(bare, 0.0, 0.5 + rng.random(SHAPE))
    maps = fake_maps(*SHAPE)
    maps["quality_flag"][:] = 0
    maps["sif_760"][:] = true + bias + sigma * rng.standard_normal(SHAPE)
    maps["sif_760_uncertainty"][:] = sigma
    dims = ("line", "sample")
    truth = xr.Dataset({"sif_760": (dims, true), "bare_soil": (dims, bare)})
    return product.finish(maps, fake_scene(*SHAPE)), truth


def test_known_errors_are_found() -> None:
    row = evaluation.evaluate(*_pair(bias=0.3, sigma=0.2)).loc["sifnet"]
    assert row["n"] == 1200
    assert row["flagged"] == 0
    assert row["bias"] == pytest.approx(0.3, abs=0.02)
    assert row["rmse"] == pytest.approx(np.hypot(0.3, 0.2), abs=0.02)
    assert row["rmse_vegetation"] == pytest.approx(np.hypot(0.3, 0.2), abs=0.02)
    assert row["soil_mean"] == pytest.approx(0.3, abs=0.03)


def test_an_honest_uncertainty_is_seen_to_be_honest() -> None:
    row = evaluation.evaluate(*_pair()).loc["sifnet"]
    assert row["within_1_sigma"] == pytest.approx(0.683, abs=0.04)
    assert row["within_2_sigma"] == pytest.approx(0.954, abs=0.02)
    assert row["rmse_over_sigma"] == pytest.approx(1.0, abs=0.05)


def test_flagged_pixels_do_not_count() -> None:
    made, truth = _pair()
    made["sif_760"][0] = 50.0
    made["quality_flag"][0] = 16
    row = evaluation.evaluate(made, truth).loc["sifnet"]
    assert row["n"] == 1170
    assert row["flagged"] == pytest.approx(1 / 40)
    assert abs(row["bias"]) < 0.02


def test_truth_without_bare_soil_has_no_soil_mean() -> None:
    made, truth = _pair()
    row = evaluation.evaluate(made, truth.drop_vars("bare_soil")).loc["sifnet"]
    assert np.isnan(row["soil_mean"])
    assert row["rmse_vegetation"] == pytest.approx(0.2, abs=0.02)


def test_table_and_picture_are_saved_beside_the_product(tmp_path: Path) -> None:
    made, truth = _pair()
    path = outputs.write(made, tmp_path / "line_sif.nc")
    truth.to_netcdf(tmp_path / "truth.nc", engine="h5netcdf")
    comparison = evaluation.compare(path, tmp_path / "truth.nc")
    csv, png = comparison.save(path)
    assert (csv.name, png.name) == ("line_sif_evaluation.csv", "line_sif_evaluation.png")
    again = pd.read_csv(csv, index_col="method")
    assert again.loc["sifnet", "rmse"] == pytest.approx(comparison.table()["rmse"]["sifnet"], 1e-4)
    assert list(again.columns) == list(evaluation.COLUMNS)


def test_maps_of_different_size_are_refused(tmp_path: Path) -> None:
    made, truth = _pair()
    path = tmp_path / "truth.nc"
    truth.isel(line=slice(0, 7)).to_netcdf(path, engine="h5netcdf")
    with pytest.raises(SifnetError, match="do not belong together: found truth of 7 x 30"):
        evaluation.evaluate(made, path)


def test_nothing_in_common_is_refused() -> None:
    made, truth = _pair()
    made["quality_flag"][:] = 1
    with pytest.raises(SifnetError, match="nothing to evaluate"):
        evaluation.evaluate(made, truth)


def test_baselines_are_scored_on_the_same_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    made, truth = _pair()
    solved = truth["sif_760"].values + 1.0
    solved[:5] = np.nan

    def three_fld(scene: object, *, bare_ground: bool = False) -> np.ndarray:
        if bare_ground:
            raise SifnetError("no bare ground")
        return solved

    monkeypatch.setattr(evaluation, "three_fld_scene", three_fld)
    table = evaluation.evaluate(made, truth, baselines=True, scene=fake_scene(*SHAPE))
    assert list(table.index) == ["sifnet", "3FLD"]
    assert table["n"].tolist() == [35 * 30, 35 * 30]
    assert table.loc["3FLD", "bias"] == pytest.approx(1.0)
    assert np.isnan(table.loc["3FLD", "within_1_sigma"])


def test_baselines_need_the_scene_of_the_product() -> None:
    made, truth = _pair()
    with pytest.raises(SifnetError, match="does not say which scene"):
        evaluation.evaluate(made, truth, baselines=True)
    with pytest.raises(SifnetError, match="scene has changed: found 6 lines x 5 samples"):
        evaluation.evaluate(made, truth, baselines=True, scene=fake_scene())
