"""What the package writes as DESIS is read back, and zips that no data centre made are refused."""

from __future__ import annotations

import shutil
import zipfile
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from rasterio.warp import transform

from fakes.desis import TAKE, fake_desis
from sifnet.errors import SifnetError
from sifnet.scenes.desis import open_scene
from sifnet.scenes.formats import archive
from sifnet.scenes.scene import Flag
from sifnet.simulation.desis_product import write_desis

WAVELENGTH = np.linspace(401.0, 1000.0, 235)
GIVEN: dict[str, Any] = {
    "acquisition_time": datetime(2021, 6, 3, 10, 20, 30),
    "latitude": 50.9,
    "longitude": 6.4,
    "solar_zenith_angle": 32.0,
    "solar_azimuth_angle": 140.0,
    "view_zenith_angle": 12.0,
    "view_azimuth_angle": 100.0,
    "ground_elevation": 0.11,
}


def radiance(lines: int = 9, samples: int = 8) -> np.ndarray:
    shape = np.exp(-(((WAVELENGTH - 700) / 250) ** 2))
    texture = np.random.default_rng(2).uniform(0.7, 1.3, (lines, samples, 1))
    return (110 * shape * texture).astype(np.float32)


@pytest.mark.parametrize("level", ["L1B", "L1C"])
@pytest.mark.parametrize("zipped", [False, True])
def test_what_is_written_is_read_back(tmp_path: Path, level: str, zipped: bool) -> None:
    values = radiance()
    values[0, 0], values[1, 2, 140] = np.nan, np.inf
    points = WAVELENGTH[:, None] + np.linspace(-7, 7, 15)
    response = np.exp(-((points - WAVELENGTH[:, None]) ** 2) / 4)
    quality = {"cloud_water": np.zeros((9, 8)), "land": np.ones((9, 8))}
    quality["cloud_water"][3, 3] = 1
    path = write_desis(
        tmp_path, None, values, WAVELENGTH, 3.5, level=level, zipped=zipped, aot_550=0.3,
        water_vapour=1.8, response=(points, response), quality=quality, **GIVEN,
    )  # fmt: skip
    scene = open_scene(path)
    step = np.ptp(radiance(), axis=(0, 1)) / 64000
    seen = np.isfinite(values)
    assert (
        np.abs(scene.radiance.values - values)[seen] <= np.broadcast_to(step, values.shape)[seen]
    ).all()
    assert np.isnan(scene.radiance.values[0, 0]).all()
    flags = scene.flags().values
    assert (flags[0, 0], flags[1, 2], flags[3, 3]) == (Flag.DEAD, Flag.SATURATED, Flag.CLOUD)
    assert (flags > 0).sum() == 3
    data = scene.dataset
    for name in ("solar_zenith_angle", "view_zenith_angle", "ground_elevation"):
        assert float(data[name]) == pytest.approx(GIVEN[name])
    assert float(data["relative_azimuth_angle"]) == pytest.approx(40.0)
    assert (float(data["aot_550"]), float(data["water_vapour"])) == (0.3, 1.8)
    assert data.attrs["acquisition_time"] == "2021-06-03T10:20:30.000"
    np.testing.assert_allclose(data["response_wavelength"], points, atol=1e-4)
    np.testing.assert_allclose(data["response"], response, rtol=1e-5)
    assert float(data["latitude"].mean()) == pytest.approx(50.9, abs=1e-4)
    assert float(data["longitude"].mean()) == pytest.approx(6.4, abs=1e-4)


def test_a_step_of_the_image_is_far_below_its_noise(tmp_path: Path) -> None:
    """1/64000 of a band's range: for 0 to 300 mW m-2 nm-1 sr-1 a rounding error of 0.0014."""
    values = np.linspace(0.0, 300.0, 9 * 8 * 235, dtype=np.float32).reshape(9, 8, 235)
    got = open_scene(write_desis(tmp_path, None, values, WAVELENGTH, 3.5, **GIVEN))
    error = np.sqrt(np.mean((got.radiance.values - values) ** 2, axis=(0, 1)))
    assert error.max() < 0.002


def test_l1c_lies_in_utm_with_its_middle_where_it_was_given(tmp_path: Path) -> None:
    image = write_desis(tmp_path, None, radiance(), WAVELENGTH, 3.5, level="L1C", **GIVEN)
    with rasterio.open(image) as source:
        assert source.crs.to_epsg() == 32632
        assert source.res == (30.0, 30.0)
        x, y = source.transform @ (4, 4.5)
        (longitude,), (latitude,) = transform(source.crs, "EPSG:4326", [x], [y])
    assert (latitude, longitude) == pytest.approx((50.9, 6.4), abs=1e-5)


@pytest.mark.parametrize("name", ["scene", f"DESIS-HSI-L1C-{TAKE}-V0220", f"DESIS-HSI-L2A-{TAKE}"])
def test_a_name_outside_the_convention_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(SifnetError, match="no name of a DESIS product of that level"):
        write_desis(tmp_path, name, radiance(), WAVELENGTH, 3.5, **GIVEN)


def zipped_fake(folder: Path) -> Path:
    return fake_desis(folder, zipped=True)


def test_a_zip_without_its_end_is_refused(tmp_path: Path) -> None:
    path = zipped_fake(tmp_path)
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(SifnetError, match="this is not a zip, or its end is missing"):
        open_scene(path)
    path.write_text("<html>log in first</html>")
    with pytest.raises(SifnetError, match=r"this is not a zip.*Download the product again"):
        open_scene(path)


@pytest.mark.parametrize(("what", "message"), [("tif", "cannot be unpacked"), ("xml", "read")])
def test_damage_within_a_zip_is_refused(tmp_path: Path, what: str, message: str) -> None:
    path = zipped_fake(tmp_path)
    with zipfile.ZipFile(path) as whole:
        start = next(m.header_offset for m in whole.infolist() if m.filename.endswith(what))
    content = bytearray(path.read_bytes())
    content[start + 300 : start + 340] = bytes(40)
    path.write_bytes(content)
    with pytest.raises(SifnetError, match=f"{what} .*{message}"):
        open_scene(path)


@pytest.mark.parametrize("name", ["../DESIS-x.tif", "/etc/DESIS-x.tif", "a/../../x", "C:\\x"])
def test_a_name_that_leads_out_of_the_zip_is_refused(tmp_path: Path, name: str) -> None:
    path = zipped_fake(tmp_path)
    with zipfile.ZipFile(path, "a") as target:
        target.writestr(name, b"x")
    with pytest.raises(SifnetError, match="a name in the zip leads out of it"):
        open_scene(path)


def test_an_encrypted_zip_is_refused(tmp_path: Path) -> None:
    path = zipped_fake(tmp_path)
    content = bytearray(path.read_bytes())
    content[content.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(content)
    with pytest.raises(SifnetError, match="the zip is encrypted"):
        open_scene(path)


def test_a_bomb_is_refused_before_it_is_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive, "SMALL", 2**20)
    path = tmp_path / "DESIS-HSI-L1B-bomb.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as target:
        target.writestr(f"DESIS-HSI-L1B-{TAKE}-V0210-SPECTRAL_IMAGE.tif", bytes(2**22))
    with pytest.raises(SifnetError, match="the zip unpacks to far too much: found 0.00391 GiB"):
        open_scene(path)


def test_metadata_too_large_to_be_metadata_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive, "MOST_METADATA", 100)
    with pytest.raises(SifnetError, match="is too large for metadata"):
        open_scene(zipped_fake(tmp_path))


def test_two_products_in_a_zip_are_refused(tmp_path: Path) -> None:
    fake_desis(tmp_path / "in")
    fake_desis(tmp_path / "in", level="L1C")
    path = Path(shutil.make_archive(str(tmp_path / "both"), "zip", tmp_path / "in"))
    with pytest.raises(SifnetError, match="not one DESIS product: found DESIS-HSI-L1B.*L1C"):
        open_scene(path)


def test_a_zip_may_hold_a_folder(tmp_path: Path) -> None:
    fake_desis(tmp_path / "in" / "product")
    path = Path(shutil.make_archive(str(tmp_path / "packed"), "zip", tmp_path / "in"))
    assert open_scene(path).shape == (7, 6, 43)


def test_no_room_to_unpack_is_said_with_the_way_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    path = zipped_fake(tmp_path)
    monkeypatch.setattr(archive.shutil, "copyfileobj", full)
    with pytest.raises(SifnetError, match=r"No space left.*set TMPDIR"):
        open_scene(path)
