from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr

from fakes.fitted import quick_fit
from fakes.products import fake_maps, fake_scene, finish, write
from sifnet.errors import SifnetError
from sifnet.evaluation import evaluate as evaluation
from sifnet.evaluation.methods import all as every
from sifnet.evaluation.methods.all import Estimate, all_estimates, evenly
from sifnet.product.provenance import Provenance
from sifnet.product.retrieve import retrieve
from sifnet.scenes.scene import Scene

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
    return finish(maps, fake_scene(*SHAPE)), truth


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


def test_flagged_pixels_do_not_count() -> None:
    made, truth = _pair()
    made["sif_760"][0] = 50.0
    made["quality_flag"][0] = 16
    row = evaluation.evaluate(made, truth).loc["sifnet"]
    assert row["n"] == 1170
    assert row["flagged"] == pytest.approx(1 / 40)
    assert abs(row["bias"]) < 0.02


def test_r2_is_the_squared_correlation() -> None:
    """Of a truth of variance 1 and errors of variance 0.5: 1 / 1.5; its root would be 0.82."""
    rng = np.random.default_rng(5)
    made, truth = _pair()
    truth["sif_760"][:] = true = 1 + rng.standard_normal(SHAPE)
    made["sif_760"][:] = true + 0.5**0.5 * rng.standard_normal(SHAPE)
    assert evaluation.evaluate(made, truth).loc["sifnet", "r2"] == pytest.approx(2 / 3, abs=0.03)
    made["sif_760"][:] = -true
    assert evaluation.evaluate(made, truth).loc["sifnet", "r2"] == pytest.approx(1.0)


def test_truth_without_bare_soil_has_no_soil_mean() -> None:
    made, truth = _pair()
    row = evaluation.evaluate(made, truth.drop_vars("bare_soil")).loc["sifnet"]
    assert np.isnan(row["soil_mean"])
    assert row["rmse_vegetation"] == pytest.approx(0.2, abs=0.02)


def test_table_and_picture_are_saved_beside_the_product(tmp_path: Path) -> None:
    made, truth = _pair()
    path = write(made, tmp_path / "line_sif.nc")
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


def _others(truth: xr.Dataset) -> dict[str, Estimate]:
    """3FLD off by 1 and blind in five lines; SFM, tried on two lines only, with uncertainty."""
    true = truth["sif_760"].values
    blind, some = true + 1.0, np.full(SHAPE, np.nan)
    blind[:5] = np.nan
    some[4:6] = true[4:6] - 0.5
    return {
        "3FLD": Estimate(blind, spectra_per_second=5e4),
        "SFM": Estimate(some, np.full(SHAPE, 0.3), 900.0, everywhere=False),
    }


@pytest.fixture
def compared(monkeypatch: pytest.MonkeyPatch) -> pd.DataFrame:
    made, truth = _pair()
    bound = xr.Dataset({"single_pixel": (("line", "sample"), np.full(SHAPE, 0.4)),
                        "patch": (("line", "sample"), np.full(SHAPE, 0.1))})  # fmt: skip
    monkeypatch.setattr(evaluation, "all_estimates", lambda *_, **__: _others(truth))
    monkeypatch.setattr(evaluation, "limits", lambda *_, **__: bound)
    made["ndvi_radiance"] = truth["sif_760"] * 0.3 + 0.1
    return evaluation.evaluate(made, truth, baselines=True, scene=fake_scene(*SHAPE))


def test_baselines_are_scored_on_the_same_pixels(compared: pd.DataFrame) -> None:
    assert list(compared.index) == ["sifnet", "NDVI only", "3FLD", "SFM"]
    assert compared["n"].tolist() == [35 * 30, 35 * 30, 35 * 30, 30]
    assert compared.loc["3FLD", "bias"] == pytest.approx(1.0)
    assert compared.loc["SFM", "bias"] == pytest.approx(-0.5)
    assert np.isnan(compared.loc["SFM", "flagged"])
    assert compared.loc["3FLD", "flagged"] == pytest.approx(5 / 40)


def test_uncertainty_is_scored_where_a_method_states_one(compared: pd.DataFrame) -> None:
    assert np.isnan(compared.loc["3FLD", "within_1_sigma"])
    assert compared.loc["SFM", "within_1_sigma"] == 0
    assert compared.loc["SFM", "within_2_sigma"] == 1


def test_errors_are_told_in_units_of_the_limits(compared: pd.DataFrame) -> None:
    assert compared.loc["3FLD", "rmse_over_single_pixel_limit"] == pytest.approx(2.5)
    assert compared.loc["3FLD", "rmse_over_patch_limit"] == pytest.approx(10.0)
    assert compared.loc["3FLD", "spectra_per_second"] == 5e4
    assert np.isnan(compared.loc["sifnet", "spectra_per_second"])


def test_limits_that_differ_count_by_their_mean_square(monkeypatch: pytest.MonkeyPatch) -> None:
    """Limits of 0.1 and 0.7, rms 0.5, over the pixels that count: flagged lines have 9."""
    made, truth = _pair()
    single = np.where(np.arange(SHAPE[1]) % 2, 0.1, 0.7) * np.ones(SHAPE)
    made["quality_flag"][:5] = 16
    single[:5] = 9.0
    bound = xr.Dataset({"single_pixel": (("line", "sample"), single),
                        "patch": (("line", "sample"), single / 2)})  # fmt: skip
    monkeypatch.setattr(evaluation, "all_estimates", lambda *_, **__: {})
    monkeypatch.setattr(evaluation, "limits", lambda *_, **__: bound)
    made["sif_760"][:] = truth["sif_760"] + 1.5
    made["ndvi_radiance"] = truth["sif_760"] * 0.3
    row = evaluation.evaluate(made, truth, baselines=True, scene=fake_scene(*SHAPE)).loc["sifnet"]
    assert row["rmse_over_single_pixel_limit"] == pytest.approx(3.0, rel=1e-4)
    assert row["rmse_over_patch_limit"] == pytest.approx(6.0, rel=1e-4)


def test_ndvi_only_is_the_best_line_through_the_truth() -> None:
    rng = np.random.default_rng(0)
    ndvi = rng.random(SHAPE)
    truth = 0.2 + 1.5 * ndvi + 0.1 * rng.standard_normal(SHAPE)
    used = np.ones(SHAPE, bool)
    found = evaluation.ndvi_only(ndvi, truth, used)["NDVI only"].sif_760
    assert (found - truth).mean() == pytest.approx(0, abs=1e-12)
    assert np.polyfit(ndvi.ravel(), found.ravel(), 1) == pytest.approx([1.5, 0.2], abs=0.03)
    assert evaluation.ndvi_only(np.full(SHAPE, np.nan), truth, used) == {}


def test_every_method_that_suits_a_scene_runs_and_is_timed(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The scene has no band in the right shoulder of 3FLD."""
    known, model = quick_fit()
    made = retrieve(known.scene, model)["sif_760"].values
    threads = torch.get_num_threads()
    found = all_estimates(known.scene, model=model)
    assert torch.get_num_threads() == threads
    assert list(found) == [
        *("sifnet", "sifnet, encoder only", "iFLD", "iFLD, bare ground"),
        *("SFM", "optimal estimation", "optimal estimation, shared"),
    ]
    assert "3FLD is left out: 3FLD needs a band inside O2-A" in caplog.text
    assert found["sifnet"].sif_760 == pytest.approx(made, nan_ok=True)
    for name, estimate in found.items():
        assert estimate.spectra_per_second > 0
        assert (estimate.uncertainty is None) == ("FLD" in name or name == "SFM")
        assert estimate.everywhere


def test_slow_methods_are_tried_on_some_pixels_only(monkeypatch: pytest.MonkeyPatch) -> None:
    known, model = quick_fit()
    scene = Scene(known.scene.dataset.isel(line=slice(0, 12)))
    everywhere = all_estimates(scene, model=model)
    monkeypatch.setattr(every, "AT_MOST", {"SFM": 20, "optimal estimation": 60})
    found = all_estimates(scene, model=model)
    assert not found["SFM"].everywhere
    assert not found["optimal estimation"].everywhere
    assert found["optimal estimation, shared"].everywhere
    for name, most in (("SFM", 20), ("optimal estimation", 60)):
        both = found[name].sif_760, everywhere[name].sif_760
        solved = np.isfinite(both[0])
        assert 0.8 * most <= solved.sum() <= most
        assert both[0][solved] == pytest.approx(both[1][solved], abs=0.05)


@pytest.mark.parametrize("shape", [(128, 96), (1000, 384), (2000, 3), (115, 1), (5, 5)])
def test_pixels_are_spread_evenly_and_not_more_than_wanted(shape: tuple[int, int]) -> None:
    chosen = evenly(shape, 1000)
    assert chosen.shape == shape
    assert min(shape[0] * shape[1], 900) <= chosen.sum() <= 1000
    assert chosen[0, 0]
    assert chosen[-1].any()


def test_model_and_atmosphere_of_the_product_are_used_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known, model = quick_fit()
    model.save(tmp_path / "model.ckpt")
    air = xr.Dataset({"surface_pressure": 1017.0, "surface_pressure_uncertainty": 2.0})
    air.to_netcdf(tmp_path / "atmosphere.nc", engine="h5netcdf")
    source = Provenance(
        model_file=tmp_path / "model.ckpt", atmosphere_source=str(tmp_path / "atmosphere.nc")
    )
    made = retrieve(known.scene, model, atmosphere=air, provenance=source)
    made["quality_flag"][:] = 0
    given = {}

    def all_estimates(scene: object, **options: object) -> dict[str, Estimate]:
        given.update(options)
        return {"sifnet": Estimate(np.zeros(made["sif_760"].shape), spectra_per_second=7.0)}

    monkeypatch.setattr(evaluation, "all_estimates", all_estimates)
    table = evaluation.evaluate(made, known.truth, baselines=True, scene=known.scene)
    assert float(given["atmosphere"]["surface_pressure"]) == 1017.0
    assert given["model"].setup == model.setup
    assert table.loc["sifnet", "spectra_per_second"] == 7.0
    truth = np.where(np.isfinite(made["sif_760"]), known.truth["sif_760"], np.nan)
    assert table.loc["sifnet", "bias"] != pytest.approx(-np.nanmean(truth), abs=1e-3)
    (tmp_path / "model.ckpt").write_bytes(b"another")
    evaluation.evaluate(made, known.truth, baselines=True, scene=known.scene)
    assert given["model"] is None


def test_baselines_need_the_scene_of_the_product() -> None:
    made, truth = _pair()
    with pytest.raises(SifnetError, match="does not say which scene"):
        evaluation.evaluate(made, truth, baselines=True)
    with pytest.raises(SifnetError, match="scene has changed: found 6 lines x 5 samples"):
        evaluation.evaluate(made, truth, baselines=True, scene=fake_scene())
