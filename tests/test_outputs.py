import hashlib
from pathlib import Path

import numpy as np
import pytest
import rasterio

from fakes.products import fake_maps, fake_scene
from sifnet import outputs, product
from sifnet.errors import SifnetError


def _product(**attributes: object) -> object:
    return product.finish(fake_maps(), fake_scene(**attributes))


def test_written_and_read_again(tmp_path: Path) -> None:
    path = outputs.write(_product(), tmp_path / "deep" / "p.nc")
    again = outputs.read(path)
    np.testing.assert_array_equal(again["sif_760"], fake_maps()["sif_760"])
    path.unlink()  # nothing holds it open


def test_an_interrupted_write_leaves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "p.nc"
    path.write_text("what was there before")
    with pytest.raises(KeyboardInterrupt), outputs.whole(path) as partial:
        partial.write_text("half")
        raise KeyboardInterrupt
    assert path.read_text() == "what was there before"
    assert list(tmp_path.iterdir()) == [path]


def test_an_output_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    blocker = tmp_path / "file"
    blocker.touch()
    for attempt in (
        lambda: outputs.write(_product(), blocker / "p.nc"),
        lambda: outputs.to_cog(_product(), blocker / "p.tif"),
        lambda: outputs.writable(blocker / "folder"),
    ):
        with pytest.raises(SifnetError, match="the output cannot be written.*Choose another"):
            attempt()


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
    with rasterio.open(outputs.to_cog(made, tmp_path / "p.tif")) as file:
        band = file.descriptions.index("sif_760") + 1
        np.testing.assert_array_equal(file.read(band), made["sif_760"])
        assert file.units[band - 1] == "mW m-2 nm-1 sr-1"
        assert (file.crs.to_epsg(), file.transform.a, file.transform.f) == (32632, 2.0, 5.6e6)
        assert np.isnan(file.nodata)
        assert file.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"


def test_sha256_is_that_of_the_content(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"x" * 100_000)
    assert outputs.sha256(path) == hashlib.sha256(b"x" * 100_000).hexdigest()
