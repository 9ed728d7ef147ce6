"""ENVI: exact numbers in every layout, windows only, and contradictions refused."""

from __future__ import annotations

import pickle
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from fakes.hyplant import NAME, SAMPLES, WAVELENGTH, fake_hyplant, known_radiance, listed
from sifnet.errors import SifnetError
from sifnet.scenes.formats.envi import find_header, open_envi, scale, wavelengths
from sifnet.scenes.formats.lazy import Scaled

ALL = (slice(None),) * 3


@pytest.mark.parametrize("interleave", ["bil", "bsq", "bip", "BIL"])
@pytest.mark.parametrize("byte_order", [0, 1])
def test_every_number_is_where_it_belongs(tmp_path: Path, interleave: str, byte_order: int) -> None:
    file = open_envi(fake_hyplant(tmp_path, interleave=interleave, byte_order=byte_order))
    expected = np.rint(known_radiance() * 100)
    numbers = file.numbers()
    np.testing.assert_array_equal(numbers.read(ALL), expected)
    part = numbers.read((slice(2, 4), 1, slice(5, 9)))
    np.testing.assert_array_equal(part, expected[2:4, 1, 5:9])
    assert numbers.dtype == np.uint16


def test_header_offset_and_floats(tmp_path: Path) -> None:
    header = fake_hyplant(tmp_path, dtype="f4", scale=1.0, header={"header offset": 16})
    binary = header.with_suffix(".dat")
    binary.write_bytes(b"x" * 16 + binary.read_bytes())
    values = open_envi(header).numbers().read(ALL)
    np.testing.assert_array_equal(values, known_radiance().astype(np.float32))


def test_the_data_ignore_value_becomes_nan(tmp_path: Path) -> None:
    values = known_radiance()
    values[1, 2] = 0.0
    file = open_envi(fake_hyplant(tmp_path, radiance=values, header={"data ignore value": 0}))
    radiance = file.radiance(0.01, 0.0).read(ALL)
    assert radiance.dtype == np.float32
    assert np.isnan(radiance[1, 2]).all()
    np.testing.assert_allclose(radiance[0], values[0], rtol=1e-6)


def test_a_file_larger_than_memory_is_read_by_windows(tmp_path: Path) -> None:
    """A sparse file of 7.9 GB: one line is read, and no more than 16 MB are ever held."""
    lines, samples, bands = 10_000, 384, 1024
    header = fake_hyplant(
        tmp_path,
        header={
            "lines": lines,
            "samples": samples,
            "bands": bands,
            "wavelength": listed(np.linspace(670, 780, bands)),
            "fwhm": listed(np.full(bands, 0.25)),
        },
    )
    line = (np.arange(samples * bands) % 50_000).astype("<u2").reshape(bands, samples)
    with header.with_suffix(".dat").open("wb") as binary:
        binary.truncate(2 * lines * samples * bands)
        binary.seek(2 * 7777 * samples * bands)
        binary.write(line.tobytes())
    file = open_envi(header)
    tracemalloc.start()
    try:
        got = file.radiance(0.01, 0.0).read((7777, *ALL[1:]))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
        header.with_suffix(".dat").unlink()
    np.testing.assert_allclose(got, line.T * np.float32(0.01), rtol=1e-6)
    assert peak < 16 * 2**20


def test_only_the_asked_window_is_touched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file, asked = open_envi(fake_hyplant(tmp_path)), []
    read = Scaled.read

    def spy(window: Scaled, key: Any) -> Any:
        part = read(window, key)
        asked.append(part.shape)
        return part

    monkeypatch.setattr(Scaled, "read", spy)
    dims = ("line", "sample", "band")
    got = xr.Variable(dims, file.radiance(0.01, 0.0).lazy())[2:4, :, 10:13].values
    np.testing.assert_allclose(got, known_radiance()[2:4, :, 10:13], rtol=1e-6)
    assert asked == [(2, SAMPLES, 3)]


def test_a_gain_for_each_band(tmp_path: Path) -> None:
    gain = np.linspace(0.01, 0.02, WAVELENGTH.size)
    got = open_envi(fake_hyplant(tmp_path)).radiance(gain, 0.5).read((*ALL[:2], slice(3, 9)))
    expected = known_radiance() * 100 * gain + 0.5
    np.testing.assert_allclose(got, expected[:, :, 3:9], rtol=1e-6)


def test_a_window_travels_to_a_worker_without_its_pixels(tmp_path: Path) -> None:
    numbers = open_envi(fake_hyplant(tmp_path)).numbers()
    again = pickle.loads(pickle.dumps(numbers))
    np.testing.assert_array_equal(again.read(ALL), np.rint(known_radiance() * 100))


@pytest.mark.parametrize("ending", [".dat", ".bil", ".bsq", ""])
def test_header_binary_and_stem_name_the_same_product(tmp_path: Path, ending: str) -> None:
    header = fake_hyplant(tmp_path, ending=ending)
    for path in (header, tmp_path / f"{NAME}{ending}", tmp_path / NAME):
        assert open_envi(path).data_file == tmp_path / f"{NAME}{ending}"
    assert find_header(tmp_path / "other.dat") is None
    assert find_header(tmp_path / "other.hdr") is None


@pytest.mark.parametrize(("unit", "factor"), [("Micrometers", 1e3), ("Nanometers", 1.0)])
def test_declared_units_are_converted(tmp_path: Path, unit: str, factor: float) -> None:
    header = {"wavelength units": unit, "fwhm": listed(np.full(WAVELENGTH.size, 0.26 / factor))}
    header["wavelength"] = "{" + ",".join(repr(float(v / factor)) for v in WAVELENGTH) + "}"
    centre, fwhm = wavelengths(open_envi(fake_hyplant(tmp_path, header=header)))
    np.testing.assert_allclose(centre, WAVELENGTH, atol=1e-9)
    np.testing.assert_allclose(fwhm, 0.26, atol=1e-9)


def test_the_headers_own_scale(tmp_path: Path) -> None:
    assert scale(open_envi(fake_hyplant(tmp_path))) is None
    gains = listed(np.full(WAVELENGTH.size, 0.02))
    offsets = listed(np.full(WAVELENGTH.size, 0.5))
    header = {"data gain values": gains, "data offset values": offsets}
    gain, offset, _ = scale(open_envi(fake_hyplant(tmp_path, header=header)))
    np.testing.assert_array_equal(gain, 0.02)
    np.testing.assert_array_equal(offset, 0.5)
    for key in ("radiance scale factor", "reflectance scale factor"):
        gain, offset, note = scale(open_envi(fake_hyplant(tmp_path, header={key: 1000})))
        assert (gain, offset) == (0.001, 0.0)
        assert key in note


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ({"lines": 7}, "the binary is truncated"),
        ({"lines": 5}, "header and binary contradict: found .* expected"),
        ({"lines": "many"}, "`lines` is not a size"),
        ({"samples": 0}, "`samples` is not a size"),
        ({"bands": None}, "the ENVI header cannot be read"),
        ({"interleave": "bis"}, "unknown interleave"),
        ({"data type": 6}, "the stored data cannot be read"),
        ({"file compression": 1}, "the stored data cannot be read"),
    ],
)
def test_contradictions_are_refused(
    tmp_path: Path, header: dict[str, object], message: str
) -> None:
    with pytest.raises(SifnetError, match=message):
        open_envi(fake_hyplant(tmp_path, header=header))


def test_missing_and_truncated_files_are_refused(tmp_path: Path) -> None:
    header = fake_hyplant(tmp_path)
    binary = header.with_suffix(".dat")
    binary.write_bytes(binary.read_bytes()[:-100])
    with pytest.raises(SifnetError, match=r"truncated: found .* bytes; expected"):
        open_envi(header)
    binary.unlink()
    with pytest.raises(SifnetError, match="the binary is missing"):
        open_envi(header)
    header.unlink()
    with pytest.raises(SifnetError, match="no ENVI header"):
        open_envi(binary)
    header.write_bytes(b"\x00\xff\xfe" * 50)
    with pytest.raises(SifnetError, match="the ENVI header cannot be read"):
        open_envi(header)


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ({"wavelength": None}, "no wavelengths in the header"),
        ({"wavelength": "{760.0, 761.0}"}, "`wavelength` does not match the bands: found 2 values"),
        ({"wavelength": "{red}"}, "`wavelength` is not numeric"),
        ({"wavelength units": "Wavenumber"}, "wavelength units not understood"),
        ({"fwhm": "{0.25}"}, "`fwhm` does not match the bands"),
    ],
)
def test_wrong_wavelength_lists_are_refused(
    tmp_path: Path, header: dict[str, object], message: str
) -> None:
    with pytest.raises(SifnetError, match=message):
        wavelengths(open_envi(fake_hyplant(tmp_path, header=header)))


@pytest.mark.parametrize("value", ["0", "-1", "nan"])
@pytest.mark.parametrize("key", ["radiance scale factor", "data gain values"])
def test_impossible_scales_are_refused(tmp_path: Path, key: str, value: str) -> None:
    text = value if "factor" in key else "{" + ",".join([value] * WAVELENGTH.size) + "}"
    with pytest.raises(SifnetError, match=f"`{key}` is impossible"):
        scale(open_envi(fake_hyplant(tmp_path, header={key: text})))


def test_offsets_without_a_gain_are_not_dropped(tmp_path: Path) -> None:
    """Floats have no other gain than 1; of integers it is not known what the offsets are in."""
    offsets = {"data offset values": listed(np.full(WAVELENGTH.size, 0.5))}
    file = open_envi(fake_hyplant(tmp_path / "f", dtype="f4", scale=1.0, header=offsets))
    told = scale(file)
    assert told is not None
    assert told[0] == 1.0
    np.testing.assert_array_equal(told[1], 0.5)
    with pytest.raises(SifnetError, match="`data offset values` without the gain they belong to"):
        scale(open_envi(fake_hyplant(tmp_path / "i", header=offsets)))
    none = {"data offset values": listed(np.zeros(WAVELENGTH.size))}
    assert scale(open_envi(fake_hyplant(tmp_path / "z", header=none))) is None
    bad = {"data offset values": listed(np.full(WAVELENGTH.size, np.nan))}
    with pytest.raises(SifnetError, match="`data offset values` is impossible"):
        scale(open_envi(fake_hyplant(tmp_path / "n", header=bad)))
