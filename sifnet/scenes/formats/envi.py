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
from sifnet.scenes.formats.lazy import Window

_BINARY_ENDINGS = ("", ".dat", ".bil", ".bsq", ".bip", ".img", ".raw")
_AXES = {  # order of (line, sample, band) in the file
    "bil": ("line", "band", "sample"),
    "bsq": ("band", "line", "sample"),
    "bip": ("line", "sample", "band"),
}


@dataclass(frozen=True)
class EnviFile:
    """A header and its binary, checked against each other."""

    header_file: Path
    data_file: Path
    header: dict[str, Any]
    lines: int
    samples: int
    bands: int
    interleave: str
    dtype: np.dtype[Any]
    offset: int

    @property
    def shape(self) -> tuple[int, int, int]:
        """Lines, samples, bands."""
        return self.lines, self.samples, self.bands

    def numbers(self, order: slice = slice(None)) -> Window:
        """The stored numbers (line, sample, band), the bands in an order."""
        return _Numbers(self, order)

    def radiance(self, gain: Any, offset: Any, order: slice = slice(None)) -> Window:
        """gain x number + offset as float32 (line, sample, band); NaN at the data ignore value.

        Args:
            gain, offset: a number, or one a band in the order of the file.
            order: of the bands of what is returned.
        """
        return _Radiance(self, order, gain, offset, self.number("data ignore value"))

    def number(self, key: str) -> float | None:
        """A number of the header, None when the key is missing.

        Raises:
            SifnetError: it is there and no number.
        """
        return float(_numbers(self, key)[0]) if key in self.header else None


class _Numbers(Window):
    """Maps the file anew for each window: nothing else is read."""

    def __init__(self, file: EnviFile, order: slice) -> None:
        self.file, self.order, self.shape = file, order, file.shape
        self.dtype = file.dtype.newbyteorder("=")

    def read(self, key: tuple[Any, ...]) -> NDArray[Any]:
        file, axes = self.file, _AXES[self.file.interleave]
        sizes = {"line": file.lines, "sample": file.samples, "band": file.bands}
        stored = np.memmap(
            file.data_file, file.dtype, "r", file.offset, tuple(sizes[axis] for axis in axes)
        )
        view = stored.transpose([axes.index(axis) for axis in ("line", "sample", "band")])
        return np.array(view[:, :, self.order][key], dtype=file.dtype.newbyteorder("="))


class _Radiance(_Numbers):
    """The same, scaled: so that of a window of bands, too, only those are read and converted."""

    def __init__(
        self, file: EnviFile, order: slice, gain: Any, offset: Any, ignore: float | None
    ) -> None:
        super().__init__(file, order)
        self.gain, self.offset, self.ignore = np.float32(gain), np.float32(offset), ignore
        self.dtype = np.dtype(np.float32)

    def read(self, key: tuple[Any, ...]) -> NDArray[Any]:
        numbers = super().read(key)
        gain, offset = (
            np.broadcast_to(v, self.shape)[:, :, self.order][key] for v in (self.gain, self.offset)
        )
        radiance = numbers * gain + offset
        if self.ignore is not None:
            radiance[numbers == self.ignore] = np.nan
        return np.asarray(radiance, dtype=np.float32)


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
    lines, samples, bands, offset = _sizes(header_file, header)
    interleave = str(header["interleave"]).lower()
    if interleave not in _AXES:
        _refuse(header_file, "unknown interleave", interleave, "bil, bsq or bip")
    file = EnviFile(
        header_file,
        _find_binary(header_file),
        header,
        lines,
        samples,
        bands,
        interleave,
        _dtype(header_file, header),
        offset,
    )
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
        SifnetError: a scale that is not a number for each band, or zero, or negative.
    """
    offset = _per_band(file, "data offset values") if "data offset values" in file.header else 0.0
    if "data gain values" in file.header:
        gain = _per_band(file, "data gain values")
        _check_positive(file, "data gain values", gain)
        return gain, offset, "radiance scale: `data gain values` of the header"
    for key in ("radiance scale factor", "reflectance scale factor"):
        if key in file.header:
            factor = _numbers(file, key)
            _check_positive(file, key, factor)
            return 1 / factor[0], offset, f"radiance scale: 1/{factor[0]:g}, `{key}` of the header"
    return None


def _read_header(file: Path) -> dict[str, Any]:
    from spectral.io import envi

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # spectral warns of every key that is not lower case
            header = dict(envi.read_envi_header(str(file)))
        envi.check_compatibility(header)
    except (envi.EnviException, UnicodeDecodeError, ValueError) as problem:
        _refuse(file, "the ENVI header cannot be read", problem, "a complete ENVI header")
    return header


def _sizes(file: Path, header: dict[str, Any]) -> tuple[int, int, int, int]:
    """Lines, samples, bands and header offset, whole and positive."""
    sizes = []
    for key, least in (("lines", 1), ("samples", 1), ("bands", 1), ("header offset", 0)):
        text = str(header.get(key, 0)).strip()
        if not re.fullmatch(r"\d+", text) or int(text) < least:
            _refuse(file, f"`{key}` is not a size", text, f"a whole number, {least} or more")
        sizes.append(int(text))
    return sizes[0], sizes[1], sizes[2], sizes[3]


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
    order: Literal["<", ">"] = ">" if str(header["byte order"]).strip() == "1" else "<"
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
    needed = file.offset + file.lines * file.samples * file.bands * file.dtype.itemsize
    there = file.data_file.stat().st_size
    if there == needed:
        return
    what = "the binary is truncated" if there < needed else "header and binary contradict"
    raise SifnetError(
        what,
        found=f"{there} bytes",
        expected=f"{needed} bytes ({file.lines} lines x {file.samples} samples x "
        f"{file.bands} bands x {file.dtype.itemsize} bytes + {file.offset})",
        remedy="Copy the file again, or correct lines, samples, bands and data type in the header.",
        file=file.data_file,
    )


def _per_band(file: EnviFile, key: str) -> NDArray[np.float64]:
    values = _numbers(file, key)
    if values.size != file.bands:
        _refuse(
            file.header_file,
            f"`{key}` does not match the bands",
            f"{values.size} values",
            f"{file.bands}",
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
