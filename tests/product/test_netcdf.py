import hashlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import rasterio
import xarray as xr

from conftest import PROJECT
from fakes.products import fake_maps, fake_scene, finish, write
from sifnet import files
from sifnet.errors import SifnetError
from sifnet.product import cog, labels
from sifnet.product import netcdf as outputs


def _product(**attributes: object) -> object:
    return finish(fake_maps(), fake_scene(**attributes))


def test_written_and_read_again(tmp_path: Path) -> None:
    path = write(_product(), tmp_path / "deep" / "p.nc")
    again = outputs.read(path)
    np.testing.assert_array_equal(again["sif_760"], fake_maps()["sif_760"])
    path.unlink()  # nothing holds it open


def test_an_interrupted_write_leaves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "p.nc"
    path.write_text("what was there before")
    with pytest.raises(KeyboardInterrupt), files.whole(path) as partial:
        partial.write_text("half")
        raise KeyboardInterrupt
    assert path.read_text() == "what was there before"
    assert list(tmp_path.iterdir()) == [path]


def test_an_output_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    blocker = tmp_path / "file"
    blocker.touch()
    for attempt in (
        lambda: write(_product(), blocker / "p.nc"),
        lambda: cog.to_cog(_product(), blocker / "p.tif"),
        lambda: files.writable(blocker / "folder"),
    ):
        with pytest.raises(SifnetError, match="the output cannot be written.*Choose another"):
            attempt()


def test_nothing_looks_for_a_cluster_to_write(tmp_path: Path) -> None:
    """As ``Dataset.to_netcdf`` does, which loads ``distributed`` for it."""
    code = (
        "import sys, xarray as xr; from pathlib import Path; from sifnet.product import netcdf\n"
        "path, strip = Path(sys.argv[1]), xr.Dataset({'x': (('line', 'sample'), [[1.0]])})\n"
        "netcdf.write_strips(xr.Dataset({'y': 2.0}), [(slice(None), strip)], path, 1)\n"
        "netcdf.append(xr.Dataset({'z': ('block', [3.0])}), path, group='group')\n"
        "with netcdf.opened(path) as file, netcdf.opened(path, 'group') as group:\n"
        "    assert (file['x'] + file['y'] + group['z']).item() == 6.0\n"
        "assert 'distributed' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "p.nc")], cwd=PROJECT, check=True)


def test_only_netcdf_with_fluorescence_is_read(tmp_path: Path) -> None:
    with pytest.raises(SifnetError, match="not a readable NetCDF-4 file: found nothing"):
        outputs.read(tmp_path / "none.nc")
    text = tmp_path / "text.nc"
    text.write_text("not NetCDF")
    with pytest.raises(SifnetError, match="not a readable NetCDF-4 file"):
        outputs.read(text)
    other = tmp_path / "other.nc"
    fake_maps()[["aot_550"]].to_netcdf(other, engine="h5netcdf")
    with pytest.raises(SifnetError, match="no fluorescence in this file: found aot_550"):
        outputs.read(other)


def test_flagged_pixels_are_not_trusted() -> None:
    made = _product()
    good = outputs.trusted(made)
    assert not good[0, 0]
    assert not good[-1, -1]
    assert good.sum() == good.size - 2
    assert outputs.flag_shares(made) == {"dead": 1 / 30, "poor_fit": 1 / 30}


def test_geotiff_has_names_units_and_place(tmp_path: Path) -> None:
    made = _product(crs="EPSG:32632", transform=[2.0, 0.0, 4e5, 0.0, -2.0, 5.6e6])
    with rasterio.open(cog.to_cog(made, tmp_path / "p.tif")) as file:
        band = file.descriptions.index("sif_760") + 1
        np.testing.assert_array_equal(file.read(band), made["sif_760"])
        assert file.units[band - 1] == "mW m-2 nm-1 sr-1"
        assert (file.crs.to_epsg(), file.transform.a, file.transform.f) == (32632, 2.0, 5.6e6)
        assert np.isnan(file.nodata)
        assert file.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"


def test_geotiff_of_more_lines_than_are_written_at_once(tmp_path: Path) -> None:
    """Windows of 512 lines: three of them, each at its place."""
    scene = fake_scene(1100, 3, crs="EPSG:32632", transform=[2.0, 0.0, 4e5, 0.0, -2.0, 5.6e6])
    made = finish(fake_maps(1100, 3), scene)
    with rasterio.open(cog.to_cog(made, tmp_path / "p.tif")) as file:
        assert file.shape == (1100, 3)
        for name in ("sif_760", "aot_550"):
            band = file.descriptions.index(name) + 1
            np.testing.assert_array_equal(file.read(band), made[name])


def test_sha256_is_that_of_the_content(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"x" * 100_000)
    assert files.sha256(path) == hashlib.sha256(b"x" * 100_000).hexdigest()


def test_strips_make_the_same_file_as_the_whole(tmp_path: Path) -> None:
    """Also of places that change from pixel to pixel, and of times along the line."""
    scene = fake_scene(150, 5)
    scene.dataset["latitude"] = scene.dataset["latitude"] + 0.001 * scene.dataset["sample"]
    start = np.datetime64("2020-06-25T09:32", "ns")
    scene.dataset["time"] = ("line", start + np.arange(150) * np.timedelta64(20, "ms"))
    maps = fake_maps(150, 5)
    made = finish(maps, scene)
    path = write(made, tmp_path / "whole.nc")
    windows = (slice(0, 64), slice(64, 128), slice(128, 150))
    strips = ((w, labels.label(maps.isel(line=w), scene.window(w))) for w in windows)
    outputs.write_strips(labels.frame(scene), strips, tmp_path / "strips.nc", 150)
    whole, built = outputs.read(path), outputs.read(tmp_path / "strips.nc")
    for each in (whole, built):
        for name in ("history", "date_created"):
            each.attrs.pop(name)
    xr.testing.assert_identical(whole, built)
    xr.testing.assert_allclose(built, made.drop_attrs())
    assert built["latitude"].dims == ("line", "sample")


def test_what_is_opened_is_read_as_it_is_asked_for(tmp_path: Path) -> None:
    path = write(finish(fake_maps(30, 20), fake_scene(30, 20)), tmp_path / "p.nc")
    with outputs.opened(path) as file:
        few = outputs.thinned(file, 10)
        parts = list(outputs.windows(file[["sif_760"]], 7))
    assert dict(few.sizes) == {"line": 10, "sample": 10}
    np.testing.assert_array_equal(few["sif_760"], fake_maps(30, 20)["sif_760"][::3, ::2])
    assert [part.sizes["line"] for part in parts] == [7, 7, 7, 7, 2]


def test_gdal_finds_a_map_at_its_place(tmp_path: Path) -> None:
    made = _product(crs="EPSG:32632", transform=[30.0, 0.0, 4e5, 0.0, -30.0, 5.6e6])
    path = write(made, tmp_path / "p.nc")
    with rasterio.open(f"netcdf:{path}:sif_760") as file:
        assert file.crs.to_epsg() == 32632
        assert file.bounds == (4e5, 5.6e6 - 6 * 30, 4e5 + 5 * 30, 5.6e6)
        np.testing.assert_array_equal(file.read(1), made["sif_760"])
        assert file.units == ("mW m-2 nm-1 sr-1",)
