"""Inputs that were once mapped, or ended in a traceback, each refused with a sentence."""

from __future__ import annotations

import json
import os
import struct
import tracemalloc
import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rasterio.shutil import copy

from fakes import desis, products
from fakes.desis import fake_desis, known_numbers
from fakes.enmap import fake_enmap
from fakes.flox import PLACE, fake_flox, fake_flox_npz
from fakes.hyplant import NAME, WAVELENGTH, fake_hyplant, listed, southward
from sifnet.errors import SifnetError
from sifnet.scenes import open_scene
from sifnet.scenes.desis_quality import labels
from sifnet.scenes.scene import Scene
from sifnet.scenes.site import Site

LOCAL = 'LOCAL_CS["site",UNIT["metre",1]]'


def refused(path: Path, sentence: str, **site: Any) -> None:
    with pytest.raises(SifnetError, match=sentence):
        open_scene(path, **site)


@pytest.mark.parametrize("kind", ["float32", "uint8", "complex64", "uint16", "int32"])
def test_a_desis_image_of_other_numbers_is_refused(tmp_path: Path, kind: str) -> None:
    stored = (known_numbers() / (64 if kind == "uint8" else 1)).astype(kind)
    image = fake_desis(tmp_path, numbers=stored, profile={"nodata": None})
    refused(image, f"the image has other numbers: found {kind}; expected int16")


def test_a_quality_layer_of_floats_is_not_used(tmp_path: Path) -> None:
    layer = np.ones((10, desis.LINES, desis.SAMPLES), np.float32)
    scene = open_scene(fake_desis(tmp_path, layer=layer))
    assert "of other numbers: not used" in str(scene.dataset.attrs["notes"])
    assert (scene.flags() == 0).all()
    with pytest.raises(SifnetError, match="the quality layer has other numbers: found float32"):
        labels(next(tmp_path.glob("*QL_QUALITY-2*")))


def test_an_image_that_only_names_others_is_refused(tmp_path: Path) -> None:
    image = fake_desis(tmp_path)
    image.rename(other := tmp_path / "other.tif")
    copy(other, str(image), driver="VRT")
    refused(image, "the image cannot be read: found .*not recognized")


def test_a_flight_line_is_read_as_envi_alone(tmp_path: Path) -> None:
    """The map of a binary that is a VRT would be whatever that names."""
    placed = {"map info": "{UTM, 1, 1, 300000, 5600000, 1, 1, 32, North, WGS-84}"}
    header = fake_hyplant(tmp_path, header={**placed, "header offset": 512})
    binary = header.with_suffix(".dat")
    vrt = b'<VRTDataset rasterXSize="5" rasterYSize="6"><SRS>EPSG:32633</SRS></VRTDataset>'
    binary.write_bytes(vrt.ljust(512) + binary.read_bytes())
    assert 'AUTHORITY["EPSG","32633"]' not in open_scene(header).dataset.attrs.get("crs", "")


@pytest.mark.parametrize("inner", ["{}", "again/{}"])
def test_a_zip_with_a_file_twice_is_refused(tmp_path: Path, inner: str) -> None:
    """The second was mapped, whatever it held."""
    path = fake_desis(tmp_path, zipped=True)
    with zipfile.ZipFile(path) as archive:
        name = next(name for name in archive.namelist() if name.endswith(".tif"))
        content = archive.read(name)
    with warnings.catch_warnings(), zipfile.ZipFile(path, "a") as archive:
        warnings.simplefilter("ignore")
        archive.writestr(inner.format(name), content)
    refused(path, "two files of one name")


def test_what_is_read_of_a_zip_is_capped_not_what_it_states(tmp_path: Path) -> None:
    path = fake_desis(tmp_path, zipped=True)
    large = 2**26
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, b" " * large if name.endswith(".xml") else content)
    raw = bytearray(path.read_bytes())
    at = raw.find(struct.pack("<I", large), raw.find(b"PK\x01\x02"))
    raw[at : at + 4] = struct.pack("<I", 5000)
    path.write_bytes(raw)
    del raw
    tracemalloc.start()
    refused(path, "cannot be read: found Bad CRC-32")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**24


def test_a_zip_that_unpacks_without_a_limit_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "DESIS-HSI-L1B-DT1_1-20200818T141910-V0210.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_BZIP2) as archive:
        archive.writestr("a.tif", b"")
    refused(path, "packed in a way that downloads are not: found method 12; expected deflate")


def test_a_byte_order_that_is_none_is_refused(tmp_path: Path) -> None:
    refused(fake_hyplant(tmp_path, header={"byte order": 7}), "`byte order` is none: found 7")


@pytest.mark.parametrize(
    ("key", "size"), [("samples", "9" * 5000), ("samples", 10**6), ("bands", 10**6)]
)
def test_sizes_that_no_detector_has_are_refused(tmp_path: Path, key: str, size: Any) -> None:
    refused(fake_hyplant(tmp_path, header={key: size}), f"`{key}` is (not a size|impossible)")


@pytest.mark.parametrize(
    ("day", "clock", "sentence"),
    [
        ("31-02-2020", "09:32:10", "hdr: the time of the flight does not exist: found 31-02-2020"),
        ("25-06-2020", "25:32:10", "the time of the flight does not exist"),
        ("25-06-1820", "09:32:10", "older than its sensor: found 1820.*; expected 2012 or later"),
        ("25-06-2009", "09:32:10", "older than its sensor: found 2009"),
        ("25-06-2920", "09:32:10", "of a time to come: found 2920"),
    ],
)
def test_times_that_were_never_flown_are_refused(
    tmp_path: Path, day: str, clock: str, sentence: str
) -> None:
    stated = {"acquisition date": f"DATE(dd-mm-yyyy): {day}", "GPS Start Time": f"UTC: {clock}"}
    refused(fake_hyplant(tmp_path, header=stated), sentence)


def test_a_name_of_another_age_is_refused(tmp_path: Path) -> None:
    nothing = {"acquisition date": None}
    for name, sentence in (("10660625", "older than its sensor"), ("20200231", "is not known")):
        path = fake_hyplant(tmp_path / name, name=NAME.replace("20200625", name), header=nothing)
        refused(path, sentence)


@pytest.mark.parametrize(
    ("time", "sentence"),
    [("0001-01-01T00:00:00Z", "older than its sensor: found 0001"),
     ("2017-06-25T10:00:00Z", "expected 2018 or later, for desis"),
     ("9999-12-31T23:59:59Z", "of a time to come")],
)  # fmt: skip
def test_a_time_without_the_station_is_refused(tmp_path: Path, time: str, sentence: str) -> None:
    image = fake_desis(tmp_path)
    xml = next(tmp_path.glob("*.xml"))
    xml.write_text(xml.read_text().replace("2020-08-18T14:19:10.250Z", time))
    refused(image, sentence)


def test_measurements_before_the_instrument_are_refused(tmp_path: Path) -> None:
    path = fake_flox(tmp_path, names=("150605_101500", "150605_101530"))
    refused(path, "older than its sensor: found 2005", **PLACE)


@pytest.mark.parametrize("stated", ["yesterday", "NaT"])
def test_a_scene_whose_time_is_none_is_refused(stated: str) -> None:
    dataset = products.fake_scene().dataset.assign_attrs(acquisition_time=stated)
    with pytest.raises(SifnetError, match=f"the time of the scene is none: found {stated}"):
        Scene(dataset)


@pytest.mark.parametrize("width", [0.2, 5.1, 40.0])
def test_widths_that_do_not_fit_the_bands_are_refused(tmp_path: Path, width: float) -> None:
    widths = {"fwhm": listed(np.full(WAVELENGTH.size, width))}
    refused(fake_hyplant(tmp_path, header=widths), "impossible band width: .* 0.25 to 5 nm")


@pytest.mark.parametrize(
    ("site", "sentence"),
    [
        ('{"latitude": NaN, "longitude": 6}', "'latitude' has an impossible value: found nan"),
        ('{"latitude": true, "longitude": 6}', "'latitude' .* found True; expected a number"),
        ('{"latitude": 95, "longitude": 6}', "found 95; expected a number, -90 to 90"),
        ('{"latitude": "50", "longitude": 6}', "'latitude' has an impossible value: found '50'"),
        ('{"longitude": 1e999}', "'longitude' has an impossible value: found inf"),
        ('{"utc_offset_hours": 1e300}', "'utc_offset_hours' has an impossible value"),
        ('{"date": "2020-02-31"}', "'date' has an impossible value: .* expected a day"),
        ('{"fwhm": -1}', "'fwhm' has an impossible value"),
        ('{"sensor_height": NaN}', "'sensor_height' has an impossible value"),
        ("[" * 100_000, "the site file cannot be read: found maximum recursion depth"),
        ('{"a":' * 100_000, "the site file cannot be read: found maximum recursion depth"),
    ],
)
def test_an_impossible_site_file_is_refused_by_name(
    tmp_path: Path, site: str, sentence: str
) -> None:
    header = fake_hyplant(tmp_path)
    (tmp_path / "site.json").write_text(site)
    refused(header, rf"site\.json: .*{sentence}")


def test_a_site_file_that_is_none_is_refused(tmp_path: Path) -> None:
    header = fake_hyplant(tmp_path)
    (tmp_path / "site.json").mkdir()
    refused(header, r"site\.json: this is no file: found a folder")
    with pytest.raises(SifnetError, match="^site key 'latitude' .* Correct the given keyword"):
        Site(latitude=95.0)


@pytest.mark.parametrize("crs", [LOCAL, 'GEOCCS["x",DATUM["d",SPHEROID["s",6378137,298.25]]]'])
def test_a_map_of_no_part_of_the_earth_is_refused(
    tmp_path: Path, crs: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if crs == LOCAL:
        arbitrary = "{Arbitrary, 1, 1, 0, 0, 1, 1, 0, North}"
        header = fake_hyplant(tmp_path, header={"map info": arbitrary})
        refused(header, "dat: the image does not lie on a map of the earth: found LOCAL_CS")
    monkeypatch.setattr(desis, "UTM", {**desis.UTM, "crs": crs})
    refused(fake_desis(tmp_path / "l1c", level="L1C"), "does not lie on a map of the earth")


def test_a_place_beyond_its_map_is_refused(tmp_path: Path) -> None:
    far = {"map info": "{UTM, 1, 1, 3e30, 5600000, 1, 1, 32, North, WGS-84}"}
    refused(fake_hyplant(tmp_path, header=far), "(latitude|zenith_angle) is impossible")


@pytest.mark.parametrize("column", [0, 1])
def test_a_flight_off_the_earth_is_refused(tmp_path: Path, column: int) -> None:
    rows = southward()
    rows[:, column] += 400.0
    refused(fake_hyplant(tmp_path, navigation=rows), "tude is impossible: found 4")


def test_a_file_of_100_gb_that_holds_nothing_is_soon_refused(tmp_path: Path) -> None:
    lines = 10**11 // (5 * WAVELENGTH.size * 2)
    header = fake_hyplant(tmp_path, header={"lines": lines})
    os.truncate(header.with_suffix(".dat"), lines * 5 * WAVELENGTH.size * 2)
    tracemalloc.start()
    refused(header, "every pixel is empty")
    assert tracemalloc.get_traced_memory()[1] < 2**28
    tracemalloc.stop()


@pytest.mark.parametrize("name", ["site.json", "FLUO_syncedNav.txt", ".hdr", "Incoming", "npz"])
def test_a_text_of_100_gb_is_not_read(tmp_path: Path, name: str) -> None:
    flown = fake_hyplant(tmp_path, navigation=southward())
    files = {"Incoming": fake_flox(tmp_path), "npz": fake_flox_npz(tmp_path), ".hdr": flown,
             "site.json": tmp_path / "site.json",
             "FLUO_syncedNav.txt": next(tmp_path.glob("*Nav.txt"))}  # fmt: skip
    files[name].touch()
    os.truncate(files[name], 10**11)
    scene, site = (files[name], PLACE) if name in ("Incoming", "npz") else (flown, {})
    refused(scene, f"{name.replace('.', '[.]')}.*: the file is far too large", **site)


def test_a_series_that_unpacks_to_100_gb_is_refused(tmp_path: Path) -> None:
    path = fake_flox_npz(tmp_path)
    raw = bytearray(path.read_bytes())
    at = raw.find(b"PK\x01\x02")
    raw[at + 24 : at + 28] = struct.pack("<I", 2**32 - 2)
    path.write_bytes(raw)
    refused(path, "the npz unpacks to far too much", **PLACE)


def test_what_has_no_end_is_not_read(tmp_path: Path) -> None:
    for name, kind in (("a_20200625.npz", "pipe"), ("b_20200625.npz", "device")):
        path = tmp_path / name
        os.mkfifo(path) if kind == "pipe" else path.symlink_to("/dev/zero")
        refused(path, f"this is no file: found a {kind}", **PLACE)
    refused(tmp_path / ("x" * 5000), "no such file or folder")


@pytest.mark.parametrize("make", [fake_hyplant, fake_desis, fake_enmap, fake_flox])
def test_a_name_that_no_product_can_hold_is_refused(tmp_path: Path, make: Any) -> None:
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9"))
    try:
        folder.mkdir()
    except OSError:
        pytest.skip("this file system has no such names")
    made = make(tmp_path / "good")
    for file in made.parent.iterdir():
        file.rename(folder / file.name)
    for path in (folder, folder / made.name):
        refused(path, r"caf\\udce9.*: the name of the file is not UTF-8", **PLACE)


def test_good_sites_are_as_good_as_before(tmp_path: Path) -> None:
    given = {**PLACE, "date": "20250615", "utc_offset_hours": -9.5, "longitude": 200}
    (tmp_path / "site.json").write_text(json.dumps(given))
    assert Site.read(tmp_path, {"date": "2025-06-16"}).date == "2025-06-16"
