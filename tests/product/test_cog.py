"""GeoTIFFs: cloud-optimised, SIF first, flags with their meaning, and pixels at their place."""

from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import rasterio
import rasterio.shutil
import xarray as xr
from pyproj import Transformer

from fakes.products import fake_maps, fake_scene, finish
from sifnet.product import cog
from sifnet.product.onto_map import map_of
from sifnet.scenes.scene import FLAGS, Flag, Scene

UTM = {"crs": "EPSG:32632", "transform": [2.0, 0.0, 4e5, 0.0, -2.0, 5.6e6]}
BOTH = ("line", "sample")


def _product() -> xr.Dataset:
    return finish(fake_maps(), fake_scene(**UTM))


def _turned(lines: int = 40, samples: int = 30) -> tuple[xr.Dataset, np.ndarray, np.ndarray]:
    """A line flown to the north-east, 3 m along and 2 m across, and where its pixels are."""
    down, across = np.mgrid[:lines, :samples].astype(float)
    course = np.radians(35.0)
    x = 4e5 + 3 * down * np.sin(course) + 2 * across * np.cos(course)
    y = 5.6e6 + 3 * down * np.cos(course) - 2 * across * np.sin(course)
    to_degrees = Transformer.from_crs("EPSG:32632", "EPSG:4326", always_xy=True)
    longitude, latitude = to_degrees.transform(x, y)
    scene = fake_scene(lines, samples)
    placed = scene.dataset.assign(latitude=(BOTH, latitude), longitude=(BOTH, longitude))
    return finish(fake_maps(lines, samples), Scene(placed)), x, y


def test_both_files_are_cloud_optimised(tmp_path: Path) -> None:
    validate = pytest.importorskip("rio_cogeo.cogeo", reason="rio-cogeo is absent").cog_validate
    cog.write_cogs(_product(), tmp_path / "p.tif", tmp_path / "p_flags.tif")
    for name in ("p.tif", "p_flags.tif"):
        valid, errors, warnings = validate(tmp_path / name)
        assert (valid, errors, warnings) == (True, [], [])


def test_sif_and_its_uncertainty_come_first_and_tags_tell_the_rest(tmp_path: Path) -> None:
    made = _product()
    with rasterio.open(cog.to_cog(made, tmp_path / "p.tif")) as file:
        assert file.descriptions[:2] == ("sif_760", "sif_760_uncertainty")
        assert "quality_flag" not in file.descriptions
        np.testing.assert_array_equal(file.read(1), made["sif_760"])
        tags = file.tags()
    assert tags["TIFFTAG_DATETIME"] == "2020:06:25 09:32:00"
    assert tags["acquisition_time"] == "2020-06-25T09:32:00Z"
    assert tags["TIFFTAG_SOFTWARE"] == f"sifnet {tags['sifnet_version']}"
    assert (tags["sensor"], tags["scene"]) == ("hyplant", "fake")


def test_flags_are_whole_numbers_with_a_table(tmp_path: Path) -> None:
    made = _product()
    made["quality_flag"][2, 2] = Flag.DEAD | Flag.SNOW
    path = cog.flags_to_cog(made, tmp_path / "f.tif")
    with rasterio.open(path) as file:
        assert (file.dtypes, file.nodata) == (("uint16",), cog.NO_FLAGS)
        np.testing.assert_array_equal(file.read(1), made["quality_flag"])
        tags = file.tags(1)
    assert tags["flag_masks"].split() == [str(int(flag)) for flag in FLAGS]
    assert tags["flag_1"] == f"dead: {FLAGS[Flag.DEAD]}"
    # GDAL itself reads the table, and hands it on to a copy.
    rasterio.shutil.copy(path, tmp_path / "copy.tif", driver="GTiff")
    table = ElementTree.parse(tmp_path / "copy.tif.aux.xml").find(".//GDALRasterAttributeTable")
    rows = [[cell.text for cell in row.findall("F")] for row in table.findall("Row")]
    assert rows[0][:3] == ["0", "27", "good"]
    assert ["1025", "1", "dead, snow"] in [row[:3] for row in rows]
    assert len(rows) == 4


def test_red_fluorescence_and_its_flags_are_bands_where_there_are_such(tmp_path: Path) -> None:
    maps = fake_maps()
    for end in ("", "_uncertainty", "_uncertainty_shared"):
        maps[f"sif_687{end}"] = 0.4 * maps[f"sif_760{end}"]
    maps["quality_flag_687"] = xr.zeros_like(maps["quality_flag"]) + np.uint16(Flag.POOR_FIT)
    made = finish(maps, fake_scene(**UTM))
    cog.write_cogs(made, tmp_path / "p.tif", tmp_path / "f.tif")
    with rasterio.open(tmp_path / "p.tif") as file:
        band = file.descriptions.index("sif_687") + 1
        np.testing.assert_array_equal(file.read(band), made["sif_687"])
        assert "sif_687_uncertainty_shared" in file.descriptions
    with rasterio.open(tmp_path / "f.tif") as file:
        assert file.descriptions == ("quality_flag", "quality_flag_687")
        np.testing.assert_array_equal(file.read(2), made["quality_flag_687"])
        assert file.tags(2)["flag_1"] == file.tags(1)["flag_1"]
    tables = ElementTree.parse(tmp_path / "f.tif.aux.xml").findall("PAMRasterBand")
    assert [table.get("band") for table in tables] == ["1", "2"]
    assert [row.findall("F")[2].text for row in tables[1].iter("Row")] == ["poor_fit"]


def test_pixels_with_a_place_of_their_own_are_laid_onto_a_map(tmp_path: Path) -> None:
    """Every cell shows the pixel that is nearest by brute force, none where none is near."""
    made, x, y = _turned()
    told = cog.write_cogs(made, tmp_path / "p.tif", tmp_path / "f.tif")
    with rasterio.open(tmp_path / "p.tif") as file, rasterio.open(tmp_path / "f.tif") as flags:
        assert file.crs.to_epsg() == 32632
        assert (file.transform.a, file.transform.b) == (2.0, 0.0)
        sif, why = file.read(1), flags.read(1)
        furthest = float(file.tags()["furthest_pixel_m"])
        rows, columns = np.mgrid[: file.height, : file.width]
        middle = file.transform.c + 2 * (columns + 0.5), file.transform.f - 2 * (rows + 0.5)
    apart = np.hypot(x.ravel() - middle[0][..., None], y.ravel() - middle[1][..., None])
    near = apart.min(-1) < 0.75 * np.hypot(2, 3)
    expected = made["sif_760"].values.ravel()[apart.argmin(-1)]
    np.testing.assert_array_equal(sif, np.where(near, expected, np.nan))
    assert ((why == cog.NO_FLAGS) == ~near).all()
    assert furthest == pytest.approx(apart.min(-1)[near].max(), abs=2e-3)
    assert f"at most {furthest:.3g} m away" in told
    assert set(np.unique(expected[near])) >= set(np.unique(made["sif_760"].values[1:-1]))


def test_the_zone_follows_the_place() -> None:
    def code(latitude: float, longitude: float) -> int | None:
        made, _, _ = _turned(4, 4)
        shift = {"latitude": latitude - 50.5, "longitude": longitude - 7.6}
        moved = {n: (made[n].dims, made[n].values + by) for n, by in shift.items()}
        found = map_of(made.assign_coords(moved))
        assert found is not None
        return found.crs.to_epsg()

    assert code(50.5, 7.6) == 32632
    assert code(-33.0, 151.2) == 32756
    assert code(-17.0, 179.99999) == 32760
    assert code(86.0, 10.0) == 32661
