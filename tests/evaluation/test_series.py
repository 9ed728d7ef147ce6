"""Fields over repeated lines: the pixels of polygons, their mean, and the error that stays."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pyproj import Transformer
from typer.testing import CliRunner

from fakes.products import fake_maps, fake_scene, finish, write
from sifnet import cli
from sifnet.errors import SifnetError
from sifnet.evaluation.series import COLUMNS, series
from sifnet.scenes.scene import Scene

geopandas = pytest.importorskip("geopandas", reason="geopandas is absent")
shapely = pytest.importorskip("shapely", reason="shapely is absent")

UTM = "EPSG:32632"
LEFT, TOP = 4e5, 5.6e6
OWN, SHARED = 0.4, 0.1


def _line(folder: Path, hour: int, level: float, *, placed: str = "map") -> Path:
    """A line of 60 x 40 pixels of 2 m; the left half glows with ``level``, the right with 0."""
    rng = np.random.default_rng(hour)
    maps = fake_maps(60, 40)
    glow = np.where(np.arange(40) < 20, level, 0.0) + OWN * rng.standard_normal((60, 40))
    maps["sif_760"][:] = glow
    maps["sif_760_uncertainty"][:] = np.hypot(OWN, SHARED)
    maps["sif_760_uncertainty_shared"][:] = SHARED
    maps["quality_flag"][:] = 0
    grid = {"crs": UTM, "transform": [2.0, 0.0, LEFT, 0.0, -2.0, TOP]} if placed == "map" else {}
    scene = fake_scene(60, 40, **grid)
    if placed == "pixels":
        rows, columns = np.mgrid[:60, :40] + 0.5
        to_degrees = Transformer.from_crs(UTM, "EPSG:4326", always_xy=True)
        east, north = to_degrees.transform(LEFT + 2 * columns, TOP - 2 * rows)
        both = ("line", "sample")
        scene = Scene(scene.dataset.assign(latitude=(both, north), longitude=(both, east)))
    scene.dataset.attrs |= {"acquisition_time": f"2020-06-25T{hour:02}:00:00", "name": f"l{hour}"}
    return write(finish(maps, scene), folder / f"l{hour}_sif.nc")


def _fields(folder: Path, ending: str = "geojson") -> Path:
    """Two fields of 30 m x 100 m, and one far away; in degrees, as files come."""
    boxes = [shapely.box(LEFT + x, TOP - 110, LEFT + x + 30, TOP - 10) for x in (4.0, 44.0, 9000.0)]
    table = geopandas.GeoDataFrame({"name": ["beet", "soil", "away"]}, geometry=boxes, crs=UTM)
    path = folder / f"fields.{ending}"
    table.to_crs("EPSG:4326").to_file(path)
    return path


@pytest.mark.parametrize(
    ("placed", "ending"),
    [("map", "geojson"), pytest.param("pixels", "gpkg", marks=pytest.mark.slow)],
)
def test_fields_are_means_of_their_pixels(tmp_path: Path, placed: str, ending: str) -> None:
    for hour, level in ((9, 1.0), (11, 1.6), (13, 1.3)):
        _line(tmp_path, hour, level, placed=placed)
    table = series(tmp_path, _fields(tmp_path, ending))
    assert list(table.columns) == list(COLUMNS)
    assert list(table["field"]) == ["beet"] * 3 + ["soil"] * 3
    assert list(table["time"].dt.hour) == [9, 11, 13] * 2
    # Middles of 15 x 50 pixels; a polygon in degrees has edges that are bent by less than one.
    assert table["pixels"].between(740, 760).all()
    sigma = table["sif_uncertainty"]
    np.testing.assert_allclose(sigma, np.hypot(SHARED, OWN / np.sqrt(table["pixels"])), rtol=1e-3)
    np.testing.assert_allclose(table["sif_uncertainty_shared"], SHARED, rtol=1e-5)
    truth = np.array([1.0, 1.6, 1.3, 0, 0, 0])
    assert (abs(table["sif"] - truth) < 4 * OWN / np.sqrt(table["pixels"])).all()
    assert table.attrs["notes"] == ["away: in no product"]
    if placed == "map":
        assert table["covered"].between(0.98, 1.0).all()


def test_flagged_pixels_and_lines_without_a_place_are_left_out_and_told(tmp_path: Path) -> None:
    path = _line(tmp_path, 9, 1.0)
    import h5netcdf

    with h5netcdf.File(path, "a") as file:
        file["quality_flag"][:30] = 16
        file["sif_760"][:30] = 99.0
    _line(tmp_path, 11, 1.0, placed="nowhere")
    table = series(tmp_path, _fields(tmp_path))
    assert list(table["scene"]) == ["l9", "l9"]
    assert table["trusted"].between(0.45, 0.55).all()
    assert table["sif"].max() < 1.1
    assert "l11_sif.nc: its pixels have no place, so no polygon finds them" in table.attrs["notes"]


def test_without_polygons_the_whole_line_counts(tmp_path: Path) -> None:
    _line(tmp_path, 9, 1.0, placed="nowhere")
    table = series(tmp_path)
    assert (table["field"][0], table["pixels"][0]) == ("all", 2400)
    assert table["sif"][0] == pytest.approx(0.5, abs=0.05)


def test_what_has_no_products_or_no_polygons_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SifnetError, match="no product is here: found no \\*_sif.nc"):
        series(tmp_path)
    _line(tmp_path, 9, 1.0)
    with pytest.raises(SifnetError, match="these are no polygons on a map"):
        series(tmp_path, tmp_path / "none.geojson")
    points = geopandas.GeoDataFrame(geometry=[shapely.Point(7, 50)], crs="EPSG:4326")
    with pytest.raises(SifnetError, match="no polygons on a map: found Point"):
        series(tmp_path, points)
    nowhere = geopandas.GeoDataFrame(geometry=[shapely.box(0, 0, 1, 1)])
    with pytest.raises(SifnetError, match="found no projection"):
        series(tmp_path, nowhere)


def test_the_command_writes_table_and_picture(tmp_path: Path) -> None:
    maps = tmp_path / "maps"
    for hour, level in ((9, 1.0), (13, 1.3)):
        _line(maps, hour, level)
    arguments = ["series", str(maps), "--fields", str(_fields(tmp_path)), "-o", str(tmp_path / "s")]
    result = CliRunner().invoke(cli.app, arguments)
    assert result.exit_code == 0, result.output
    for text in ("beet", "note: away: in no product", "series.csv", "series.png"):
        assert text in result.output
    table = pd.read_csv(tmp_path / "s" / "series.csv")
    assert len(table) == 4
    assert (tmp_path / "s" / "series.png").stat().st_size > 10_000
    assert CliRunner().invoke(cli.app, [*arguments, "--quantity", "ndvi"]).exit_code == 2
