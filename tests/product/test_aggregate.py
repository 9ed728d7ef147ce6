from pathlib import Path

import numpy as np
import pytest
import rasterio
import xarray as xr

from fakes.products import fake_maps, fake_scene, finish, write
from sifnet.errors import SifnetError
from sifnet.product import netcdf as outputs
from sifnet.product.aggregate import aggregate, pooled

UTM = {"crs": "EPSG:32632", "transform": [30.0, 0.0, 4e5, 0.0, -30.0, 5.6e6]}


def _made(
    sif: np.ndarray, total: object, shared: object = None, **attributes: object
) -> xr.Dataset:
    maps = fake_maps(*sif.shape)
    maps["sif_760"][:] = sif
    maps["sif_760_uncertainty"][:] = total
    maps["quality_flag"][:] = 0
    if shared is not None:
        maps["sif_760_uncertainty_shared"] = xr.full_like(maps["sif_760"], 0) + np.float32(shared)
    return finish(maps, fake_scene(*sif.shape, **attributes))


def test_independent_errors_average_out_and_shared_ones_do_not() -> None:
    """Scatter of block means of drawn errors, against what is stated of them."""
    rng = np.random.default_rng(0)
    lines = samples = 400
    shared, own = 0.3, 0.8
    total = np.hypot(shared, own)
    alike = np.kron(rng.standard_normal((40, 40)), np.ones((10, 10))) * shared
    errors = alike + own * rng.standard_normal((lines, samples))
    blocks = aggregate(_made(errors, total, shared), 10)
    stated = float(blocks["sif_760_uncertainty"].mean())
    assert stated == pytest.approx(np.hypot(shared, own / 10), rel=1e-5)
    assert float(blocks["sif_760"].std()) == pytest.approx(stated, rel=0.06)
    assert "not averaged out" in blocks["sif_760_uncertainty"].attrs["comment"]


def test_without_a_shared_part_errors_count_as_independent_and_it_says_so() -> None:
    blocks = aggregate(_made(np.ones((20, 20)), 0.5), 10)
    np.testing.assert_allclose(blocks["sif_760_uncertainty"], 0.05, rtol=1e-5)
    assert "too small" in blocks["sif_760_uncertainty"].attrs["comment"]


def test_weights_are_the_inverse_variance_above_the_median() -> None:
    """The most certain pixel counts like the median one, here of 1: 0.5 would have counted 4."""
    sigma = np.array([[0.5, 1.0, 2.0]])
    blocks = aggregate(_made(np.array([[4.0, 3.0, 8.0]]), sigma), 3)
    assert float(blocks["sif_760"][0, 0]) == pytest.approx((4 + 3 + 8 / 4) / 2.25)
    error = np.sqrt(0.5**2 + 1 + (2 / 4) ** 2) / 2.25
    assert float(blocks["sif_760_uncertainty"][0, 0]) == pytest.approx(error)


def test_red_fluorescence_is_aggregated_by_its_own_flags() -> None:
    made = _made(np.ones((4, 4)), 0.5, 0.1)
    flags = np.zeros((4, 4), np.uint16)
    flags[:2] = 1
    red = {"sif_687": made["sif_760"].copy(data=np.arange(16.0).reshape(4, 4)),
           "sif_687_uncertainty": made["sif_760_uncertainty"],
           "quality_flag_687": made["quality_flag"].copy(data=flags)}  # fmt: skip
    blocks = aggregate(made.assign(red), 4)
    assert float(blocks["sif_687"][0, 0]) == pytest.approx(np.arange(8.0, 16.0).mean())
    assert (int(blocks["trusted_pixels"][0, 0]), int(blocks["trusted_pixels_687"][0, 0])) == (16, 8)
    told = outputs.summary(made.assign(red))
    assert told["sif_687_mean"] == pytest.approx(11.5)
    assert told["trusted"] == 1.0
    assert "sif_687" not in aggregate(made, 4)


def test_any_pixels_are_pooled_as_a_block_is() -> None:
    rng = np.random.default_rng(2)
    sif, total = rng.standard_normal((10, 10)), 0.3 + rng.random((10, 10))
    made = _made(sif, total, 0.4 * total)
    block = aggregate(made, 10)
    parts = (made[f"sif_760{part}"].values.ravel() for part in
             ("", "_uncertainty", "_uncertainty_shared"))  # fmt: skip
    value, sigma, shared = pooled(*parts)
    assert value == pytest.approx(float(block["sif_760"][0, 0]), rel=1e-5)
    assert sigma == pytest.approx(float(block["sif_760_uncertainty"][0, 0]), rel=1e-5)
    assert 0.3 * 0.4 < shared < sigma
    assert np.isnan(pooled(*np.empty((3, 0)))).all()


def test_only_trusted_pixels_count_and_edges_are_smaller_blocks() -> None:
    made = _made(np.ones((25, 12)), 0.5)
    made["quality_flag"][:10, :10] = 16
    made["sif_760"][:10, :10] = 99.0
    made["quality_flag"][10, 0] = 16
    made["sif_760"][10, 0] = 99.0
    blocks = aggregate(made, 10)
    assert blocks["trusted_pixels"].values.tolist() == [[0, 20], [99, 20], [50, 10]]
    assert np.isnan(blocks["sif_760"][0, 0])
    assert float(blocks["sif_760"][1, 0]) == 1.0


def test_windows_of_a_long_product_make_no_seam() -> None:
    rng = np.random.default_rng(1)
    made = _made(rng.standard_normal((1100, 9)), 0.1 + rng.random((1100, 9)), 0.05)
    whole, split = aggregate(made, 7), aggregate(made.isel(line=slice(490, 553)), 7)
    xr.testing.assert_allclose(whole.isel(line=slice(70, 79)).drop_vars("latitude",
                               errors="ignore"), split)  # fmt: skip


def test_without_an_uncertainty_of_sif_740_none_is_claimed() -> None:
    made = _made(np.ones((10, 10)), 0.5)
    made["sif_740"][:] = 2.0
    blocks = aggregate(made, 10)
    assert float(blocks["sif_740"][0, 0]) == 2.0
    assert np.isnan(blocks["sif_740_uncertainty"]).all()
    made["sif_740_uncertainty"][:] = 1.0
    assert float(aggregate(made)["sif_740_uncertainty"][0, 0]) == pytest.approx(0.1)


def test_in_the_same_file_at_its_own_place(tmp_path: Path) -> None:
    """GDAL finds both layers where they are; the corner of a map is that of its blocks."""
    made = _made(np.ones((25, 12)), 0.5, **UTM)
    path = write(made, tmp_path / "p.nc")
    outputs.append(aggregate(made, 10), path, group="aggregated")
    for name, size, shape in (("sif_760", 30, (25, 12)), ("/aggregated/sif_760", 300, (3, 2))):
        with rasterio.open(f"netcdf:{path}:{name}") as file:
            assert file.crs.to_epsg() == 32632
            assert file.shape == shape
            assert (file.transform.a, file.transform.e) == (size, -size)
            assert (file.bounds.left, file.bounds.top) == (4e5, 5.6e6)
            assert np.nanmax(file.read(1)) == 1.0
    again = outputs.read_netcdf(path, "aggregated")
    assert again["x"].values.tolist() == [400150.0, 400450.0]
    assert again["sif_760"].dims == ("y", "x")


def test_a_block_has_pixels() -> None:
    with pytest.raises(SifnetError, match="blocks must have pixels: found 0"):
        aggregate(_made(np.ones((2, 2)), 0.5), 0)
