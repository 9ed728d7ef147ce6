"""Two products of the same ground: figures by hand, grids brought together or refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from typer.testing import CliRunner

import sifnet
from fakes.products import fake_maps, fake_scene, finish, write
from sifnet import cli
from sifnet.errors import SifnetError
from sifnet.evaluation.compare import compare

SIZE = (30, 20)


def _made(
    sif: np.ndarray, own: float = 0.3, shared: float = 0.0, name: str = "a", **place: object
) -> xr.Dataset:
    maps = fake_maps(*sif.shape)
    maps["sif_760"][:] = sif
    maps["sif_760_uncertainty"][:] = np.hypot(own, shared)
    maps["sif_760_uncertainty_shared"][:] = shared
    maps["quality_flag"][:] = 0
    scene = fake_scene(*sif.shape, **place)
    scene.dataset.attrs["name"] = name
    return finish(maps, scene)


def _grid(left: float, top: float, pixel: float = 2.0, crs: str = "EPSG:32632") -> dict:
    return {"crs": crs, "transform": [pixel, 0.0, left, 0.0, -pixel, top]}


def test_figures_are_those_of_drawn_errors() -> None:
    """Differences of drawn errors: their mean, spread, and share within what both state."""
    rng = np.random.default_rng(0)
    truth = 2 * rng.random((200, 100))
    own, shared = (0.3, 0.4), (0.05, 0.12)
    a, b = (
        _made(truth + o * rng.standard_normal(truth.shape) + s, o, s)
        for o, s in zip(own, shared, strict=True)
    )
    row = compare(a, b).table().loc["sif_760"]
    assert row["n"] == truth.size
    assert row["bias"] == pytest.approx(0.07, abs=0.01)
    # What pixels share is left of the mean, own errors of 20,000 pixels are not.
    assert row["bias_uncertainty"] == pytest.approx(np.hypot(*shared), rel=1e-3)
    assert row["rmse"] == pytest.approx(np.hypot(np.hypot(*own), 0.07), rel=0.02)
    assert row["within_1_sigma"] == pytest.approx(0.68, abs=0.03)
    assert row["within_2_sigma"] == pytest.approx(0.95, abs=0.02)
    spread = truth.var()
    expected = spread / np.sqrt((spread + own[0] ** 2) * (spread + own[1] ** 2))
    assert row["r"] == pytest.approx(expected, abs=0.01)
    assert list(compare(a, b).table().index) == ["sif_760"]  # of 740 these say nothing


def test_only_pixels_that_both_trust_count() -> None:
    a, b = _made(np.ones(SIZE)), _made(np.full(SIZE, 2.0))
    a["quality_flag"][:5] = 16
    b["quality_flag"][:, :5] = 16
    b["sif_760"][:, :5] = 99.0
    row = compare(a, b).table().loc["sif_760"]
    assert (row["n"], row["bias"]) == (25 * 15, 1.0)
    a["quality_flag"][:] = 16
    with pytest.raises(SifnetError, match="nothing to compare: found no pixel that both"):
        compare(a, b)


def test_another_grid_of_the_same_projection_is_met_by_its_nearest_pixel() -> None:
    """Values that are their own place: the difference is the offset of the grids, to a pixel."""

    def ramp(left: float, top: float) -> xr.Dataset:
        rows, columns = np.mgrid[: SIZE[0], : SIZE[1]] + 0.5
        return _made((left + 2 * columns) * 1e-2 + (top - 2 * rows) * 1e-3, **_grid(left, top))

    a, b = ramp(0.0, 100.0), ramp(6.6, 94.5)
    found = compare(a, b)
    inside = found.used & np.isfinite(found.b["sif_760"])
    assert inside.sum() == 27 * 17  # 5.5 m down and 6.6 m across are not seen by both
    difference = (found.b["sif_760"] - found.a["sif_760"])[inside]
    assert np.abs(difference).max() <= 1.0 * 1e-2 + 1.0 * 1e-3 + 1e-5
    assert "different grids of one projection" in found.notes[0]


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (_grid(0, 100, crs="EPSG:32633"), "WGS 84 / UTM zone 32N and WGS 84 / UTM zone 33N"),
        (_grid(0, 100, pixel=30.0), "pixels of 2 and 30"),
        (_grid(9000, 100), "no pixel in common"),
        ({}, "one lies on a map grid, the other does not"),
    ],
)
def test_what_cannot_be_compared_is_refused(other: dict, message: str) -> None:
    with pytest.raises(SifnetError, match=message):
        compare(_made(np.ones(SIZE), **_grid(0, 100)), _made(np.ones(SIZE), **other))


def test_lines_flown_at_another_place_are_refused() -> None:
    a = _made(np.ones(SIZE))
    with pytest.raises(SifnetError, match="latitudes up to 0.0001 degrees apart"):
        compare(a, a.assign_coords(latitude=a["latitude"] + 1e-4))
    with pytest.raises(SifnetError, match="30 x 20 and 20 x 20"):
        compare(a, _made(np.ones((20, 20))))


def test_the_command_prints_a_table_and_writes_a_picture(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    sif = rng.random(SIZE)
    paths = [
        write(_made(values, name=name, **_grid(0, 100)), tmp_path / f"{name}_sif.nc")
        for name, values in (("morning", sif), ("noon", sif + 0.5))
    ]
    result = CliRunner().invoke(cli.app, ["compare", *map(str, paths)])
    assert result.exit_code == 0, result.output
    for text in ("sif_760", "0.500", "A: morning", "B: noon", "noon_sif_compared.png"):
        assert text in result.output
    assert (tmp_path / "noon_sif_compared.png").stat().st_size > 10_000
    assert sifnet.compare is compare
