"""ENVI rasters: header through ``spectral``, pixels read by windows of lines, never whole.

What an ENVI header may say and what is done about it: interleave BIL, BSQ or BIP; either byte
order; ``header offset``; ``wavelength units`` (nm unless it says micrometres); ``data gain
values`` and ``data offset values`` (L = gain DN + offset); ``radiance scale factor`` and
``reflectance scale factor`` (L = DN / factor); ``data ignore value`` (becomes NaN).
"""

from __future__ import annotations

import re
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NoReturn

import numpy as np
from numpy.typing import NDArray

from sifnet.errors import SifnetError
from sifnet.files import MOST_TEXT, regular
from sifnet.scenes.formats.lazy import Scaled, Window

MOST = {"samples": 2**16, "bands": 2**14}  # no detector has as many
_BINARY_ENDINGS = ("", ".dat", ".bil", ".bsq", ".bip", ".img", ".raw")
_BYTE_ORDERS: dict[str, Literal["<", ">"]] = {"0": "<", "1": ">"}
_ORDER = {"bil": (0, 2, 1), "bsq": (2, 0, 1), "bip": (0, 1, 2)}  # of line 0, sample 1, band 2


@dataclass(frozen=True)
class EnviFile:
    """A header and its binary, checked against each other; shape is lines, samples, bands."""

    header_file: Path
    data_file: Path
    header: dict[str, Any]
    shape: tuple[int, int, int]
    interleave: str
    dtype: np.dtype[Any]
    offset: int

    def numbers(self) -> Window:
        """The stored numbers (line, sample, band)."""
        return _Numbers(self)

    def radiance(self, gain: Any, offset: Any) -> Window:
        """gain x number + offset as float32 (line, sample, band); NaN at the data ignore value."""
        return Scaled(self.numbers(), gain, offset, self.number("data ignore value"))

    def number(self, key: str) -> float | None:
        """A number of the header, None when the key is missing.

        Raises:
            SifnetError: it is there and no number.
        """
        return float(_numbers(self, key)[0]) if key in self.header else None


class _Numbers(Window):
    """Maps the file anew for each window: nothing else is read."""

    def __init__(self, file: EnviFile) -> None:
        self.file, self.shape = file, file.shape
        self.dtype = file.dtype.newbyteorder("=")

    def read(self, key: tuple[Any, ...]) -> NDArray[Any]:
        file, order = self.file, _ORDER[self.file.interleave]
        sizes = tuple(file.shape[axis] for axis in order)
        stored = np.memmap(file.data_file, file.dtype, "r", file.offset, sizes)
        return np.array(stored.transpose(np.argsort(order))[key], dtype=self.dtype)


def open_envi(path: str | Path) -> EnviFile:
    """Open an ENVI product by its header, its binary, or their common stem.

    Raises:
        SifnetError: header or binary is missing, unreadable, or they contradict each other.
    """
    header_file = find_header(Path(path))
    if header_file is None:
        raise SifnetError(
            "no ENVI header",
            found="no .hdr beside it",
            expected="NAME.hdr and NAME.dat (or .bil)",
            remedy="Copy the header beside the binary.",
            file=path,
        )
    header = _read_header(header_file)
    keys = ("lines", "samples", "bands", "header offset")
    lines, samples, bands, offset = (_size(header_file, header, key) for key in keys)
    interleave = str(header["interleave"]).lower()
    if interleave not in _ORDER:
        _refuse(header_file, "unknown interleave", interleave, "bil, bsq or bip")
    binary, dtype = _find_binary(header_file), _dtype(header_file, header)
    shape = (lines, samples, bands)
    file = EnviFile(header_file, binary, header, shape, interleave, dtype, offset)
    _check_size(file)
    return file


def find_header(path: Path) -> Path | None:
    """The header that belongs to a header, binary or stem; None when there is none."""
    if path.suffix.lower() == ".hdr":
        return path if path.is_file() else None
    stems = (path, path.with_suffix("")) if path.suffix.lower() in _BINARY_ENDINGS else (path,)
    named = [Path(f"{stem}{ending}") for stem in stems for ending in (".hdr", ".HDR")]
    return next((file for file in named if file.is_file()), None)


def wavelengths(file: EnviFile) -> tuple[NDArray[np.float64], NDArray[np.float64] | None]:
    """Band centres and FWHM (None when the header has none), nm, in the order of the file.

    Raises:
        SifnetError: no wavelengths, a count that is not ``bands``, or micrometres undeclared.
    """
    if "wavelength" not in file.header:
        _refuse(
            file.header_file,
            "no wavelengths in the header",
            "no `wavelength` list",
            "one wavelength in nm for each band",
            "Add `wavelength = {...}` to the header.",
        )
    centre = _per_band(file, "wavelength")
    fwhm = _per_band(file, "fwhm") if "fwhm" in file.header else None
    units = str(file.header.get("wavelength units", "")).lower()
    if units in ("micrometers", "micrometer", "micrometres", "microns", "um", "µm"):
        return centre * 1e3, None if fwhm is None else fwhm * 1e3
    if units not in ("nanometers", "nanometer", "nanometres", "nm", "unknown", ""):
        _refuse(
            file.header_file,
            "wavelength units not understood",
            units,
            "Nanometers or Micrometers",
            "Correct `wavelength units` in the header.",
        )
    return centre, fwhm


def scale(file: EnviFile) -> tuple[Any, Any, str] | None:
    """(gain, offset, sentence) of the header's own scale, None when it states none.

    Raises:
        SifnetError: a scale that is not a number for each band, or zero, or negative; or offsets
            of integers without a gain, which may be in stored numbers or in radiance.
    """
    stated = "data offset values" in file.header
    offset = _per_band(file, "data offset values") if stated else np.zeros(1)
    if not np.isfinite(offset).all():
        _refuse(file.header_file, "`data offset values` is impossible", "not finite", "numbers")
    if "data gain values" in file.header:
        gain = _per_band(file, "data gain values")
        _check_positive(file, "data gain values", gain)
        return gain, offset, "radiance scale: `data gain values` of the header"
    for key in ("radiance scale factor", "reflectance scale factor"):
        if key in file.header:
            factor = _numbers(file, key)
            _check_positive(file, key, factor)
            return 1 / factor[0], offset, f"radiance scale: 1/{factor[0]:g}, `{key}` of the header"
    if not offset.any():
        return None
    if file.dtype.kind != "f":
        _refuse(
            file.header_file,
            "`data offset values` without the gain they belong to",
            f"offsets up to {np.abs(offset).max():g} and no gain",
            "`data gain values` or `radiance scale factor` beside them",
            "Add the gain to the header, 0.01 in every band where the default scale holds.",
        )
    return 1.0, offset, "radiance scale: 1 and `data offset values` of the header"


def _read_header(file: Path) -> dict[str, Any]:
    from spectral.io import envi

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # spectral warns of every key that is not lower case
            header = dict(envi.read_envi_header(str(regular(file, MOST_TEXT))))
        envi.check_compatibility(header)
    except SifnetError:
        raise
    except (envi.EnviException, OSError, ValueError) as problem:
        _refuse(file, "the ENVI header cannot be read", problem, "a complete ENVI header")
    return header


def _size(file: Path, header: dict[str, Any], key: str) -> int:
    """Lines, samples, bands or header offset: a whole number, and only the last may be 0."""
    text, least = str(header.get(key, 0)).strip(), 0 if key == "header offset" else 1
    if not re.fullmatch(r"\d{1,18}", text) or int(text) < least:
        _refuse(file, f"`{key}` is not a size", text[:40], f"a whole number, {least} or more")
    if int(text) > MOST.get(key, int(text)):
        _refuse(file, f"`{key}` is impossible", text, f"at most {MOST[key]}, as detectors have")
    return int(text)


def _dtype(file: Path, header: dict[str, Any]) -> np.dtype[Any]:
    from spectral.io import envi

    code = str(header["data type"]).strip()
    dtype = np.dtype(envi.envi_to_dtype.get(code, "complex64"))
    if dtype.kind not in "iuf" or str(header.get("file compression", "0")).strip() != "0":
        _refuse(
            file,
            "the stored data cannot be read",
            f"data type {code}",
            "uncompressed integers or floats (data type 1-5 or 12-15)",
        )
    stated = str(header["byte order"]).strip()
    if stated not in _BYTE_ORDERS:
        _refuse(file, "`byte order` is none", stated, "0 (least byte first) or 1")
    order = _BYTE_ORDERS[stated]
    ordered: np.dtype[Any] = dtype.newbyteorder(order)
    return ordered


def _find_binary(header_file: Path) -> Path:
    stem = header_file.with_suffix("")
    names = [f"{stem}{ending}" for end in _BINARY_ENDINGS for ending in (end, end.upper())]
    binaries = [Path(name) for name in names if Path(name).is_file()]
    if not binaries:
        _refuse(
            header_file,
            "the binary is missing",
            f"only the header {header_file.name}",
            f"{stem.name} with one of {', '.join(_BINARY_ENDINGS[1:])} beside it",
            "Copy the binary beside its header.",
        )
    return binaries[0]


def _check_size(file: EnviFile) -> None:
    lines, samples, bands = file.shape
    needed = file.offset + lines * samples * bands * file.dtype.itemsize
    there = file.data_file.stat().st_size
    if there == needed:
        return
    what = "the binary is truncated" if there < needed else "header and binary contradict"
    raise SifnetError(
        what,
        found=f"{there} bytes",
        expected=f"{needed} bytes ({lines} lines x {samples} samples x "
        f"{bands} bands x {file.dtype.itemsize} bytes + {file.offset})",
        remedy="Copy the file again, or correct lines, samples, bands and data type in the header.",
        file=file.data_file,
    )


def _per_band(file: EnviFile, key: str) -> NDArray[np.float64]:
    values = _numbers(file, key)
    bands = file.shape[2]
    if values.size != bands:
        _refuse(
            file.header_file,
            f"`{key}` does not match the bands",
            f"{values.size} values",
            bands,
            "Correct the list in the header.",
        )
    return values


def _numbers(file: EnviFile, key: str) -> NDArray[np.float64]:
    stated = file.header[key]
    texts = stated if isinstance(stated, list) else [stated]
    try:
        return np.array([float(text) for text in texts])
    except ValueError:
        what = "numeric" if isinstance(stated, list) else "a number"
        _refuse(file.header_file, f"`{key}` is not {what}", ", ".join(texts[:3]), "numbers")


def _check_positive(file: EnviFile, key: str, values: NDArray[np.float64]) -> None:
    if not (np.isfinite(values) & (values > 0)).all():
        _refuse(file.header_file, f"`{key}` is impossible", values.min(), "values above 0")


def _refuse(
    file: Path, what: str, found: object, expected: object, remedy: str = "Correct the header."
) -> NoReturn:
    raise SifnetError(what, found=found, expected=expected, remedy=remedy, file=file)
