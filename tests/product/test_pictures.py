from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from matplotlib.figure import Figure
from matplotlib.image import imread
from matplotlib.ticker import MaxNLocator

from fakes.products import fake_maps, fake_scene, finish
from sifnet.product import pictures as plots
from sifnet.product.maps_picture import TICKS
from sifnet.product.painted import box, numbers, painting


def _product(lines: int, samples: int) -> xr.Dataset:
    return finish(fake_maps(lines, samples), fake_scene(lines, samples))


def _texts(figure: Figure) -> str:
    return " ".join(t.get_text() for t in figure.findobj(lambda a: hasattr(a, "get_text")))


@pytest.mark.parametrize(("lines", "samples"), [(30, 30), (200, 20), (20, 200), (2, 2)])
def test_quicklook_of_any_shape_is_written(tmp_path: Path, lines: int, samples: int) -> None:
    figure = plots.quicklook(_product(lines, samples), tmp_path / "q.png")
    picture = imread(tmp_path / "q.png")
    assert 300 < picture.shape[0] < 2500
    assert picture[..., :3].std() > 0.05
    told = _texts(figure)
    for text in ("fake", "2020-06-25 09:32:00 UTC", "SIF at 760 nm", "poor fit", "not trusted"):
        assert text in told


def test_flagged_pixels_are_not_drawn() -> None:
    figure = plots.quicklook(_product(30, 30))
    shown = figure.axes[0].images[0].get_array()
    assert shown.mask[0, 0]
    assert shown.mask[-1, -1]
    assert shown.mask.sum() == 2


def test_a_long_scene_lies_on_its_side() -> None:
    figure = plots.quicklook(_product(200, 20))
    assert figure.axes[0].images[0].get_array().shape == (20, 200)
    assert figure.axes[-2].get_xlabel() == "line"  # of the lowest map, for all


@pytest.mark.parametrize("shape", [(30, 30), (200, 20)])
def test_a_painted_picture_is_that_of_matplotlib(tmp_path: Path, shape: tuple[int, int]) -> None:
    """On ground that was drawn for another scene: letters differ at their edges, and units stand
    beside numbers of other widths."""
    other = _product(*shape)
    other["sif_760"] = 3 * other["sif_760"] - 1
    other["quality_flag"][:5] = 1
    other.attrs["scene"] = "another"
    plots.write_quicklook(_product(*shape), tmp_path / "first.png")
    plots.write_quicklook(other, tmp_path / "painted.png")
    plots.quicklook(other, tmp_path / "own.png")
    painted, own = (imread(tmp_path / f"{name}.png") for name in ("painted", "own"))
    assert painted.shape == own.shape
    assert (np.abs(painted - own).max(-1) > 0.1).mean() < 0.05
    across, down = sorted(shape, reverse=True)  # a long scene lies on its side
    for image, _ in painting(shape, plots.panels_of(other)).maps:
        left, upper, right, lower = box(image.axes)
        column = left + (np.arange(across) + 0.5) * (right - left) / across
        row = upper + (np.arange(down) + 0.5) * (lower - upper) / down
        middles = np.ix_(row.astype(int), column.astype(int))
        assert np.abs(painted[middles] - own[middles]).max() < 0.02


@pytest.mark.parametrize("limits", [(-0.3, 2.4), (0.0, 1.0), (0.151, 0.1512), (3e-6, 8e-6)])
def test_numbers_beside_a_bar_are_those_of_matplotlib(limits: tuple[float, float]) -> None:
    figure = Figure()
    image = figure.add_subplot().imshow(np.zeros((2, 2)), vmin=limits[0], vmax=limits[1])
    bar = figure.colorbar(image, ticks=MaxNLocator(TICKS))
    figure.draw_without_rendering()
    axis = bar.ax.yaxis
    low, high = np.array(limits) + np.ptp(limits) * np.array([-1e-9, 1e-9])
    inside = [n for n in axis.get_ticklabels() if low <= n.get_position()[1] <= high]
    shown = [label.get_text() for label in inside]
    _, texts, common = numbers(limits)
    assert (texts, common) == (shown, axis.get_offset_text().get_text())


def test_a_large_scene_is_thinned() -> None:
    figure = plots.quicklook(_product(3000, 3))
    assert max(figure.axes[0].images[0].get_array().shape) <= plots.MOST


@pytest.mark.parametrize(("shape", "size"), [((30, 30), 60), ((500, 20), 120), ((40, 1), 80)])
def test_a_thumbnail_is_small(tmp_path: Path, shape: tuple[int, int], size: int) -> None:
    path = plots.thumbnail(_product(*shape), tmp_path / "t.png")
    picture = imread(path)
    assert size <= max(picture.shape[:2]) <= 160
    assert path.stat().st_size < 40_000
    assert picture[..., :3].std() > 0.05


@pytest.mark.parametrize("times", [True, False])
def test_a_single_column_is_a_series(tmp_path: Path, times: bool) -> None:
    series = _product(40, 1)
    if times:
        start = np.datetime64("2025-06-15T08:00", "s")
        series = series.assign_coords(time=("line", start + np.arange(40)))
    figure = plots.quicklook(series, tmp_path / "s.png")
    assert (tmp_path / "s.png").stat().st_size > 10_000
    assert len(figure.axes) == 3


def test_a_product_without_a_good_pixel_still_has_a_picture(tmp_path: Path) -> None:
    for shape in ((6, 5), (6, 1)):
        blind = _product(*shape)
        blind["quality_flag"][:] = 1
        blind["sif_760"][:] = np.nan
        plots.quicklook(blind, tmp_path / "b.png")


@pytest.mark.parametrize("shape", [(60, 60), (200, 20), (40, 1)])
def test_evaluation_shows_bias_and_scatter(tmp_path: Path, shape: tuple[int, int]) -> None:
    truth = np.random.default_rng(0).random(shape)
    figure = plots.evaluation_figure(
        truth + 0.25, truth, np.ones(shape, bool), path=tmp_path / "e.png"
    )
    assert (tmp_path / "e.png").exists()
    assert "mean difference +0.250" in _texts(figure)
    assert "r = 1.000" in _texts(figure)


def test_gaps_are_left_out_and_nothing_in_common_is_an_empty_panel() -> None:
    truth = np.array([[0.1, np.nan], [0.7, 1.0]])
    used = np.ones((2, 2), bool)
    assert "n = 3" in _texts(plots.evaluation_figure(truth + 0.1, truth, used))
    assert "n = 0" in _texts(plots.evaluation_figure(truth, truth, ~used))
