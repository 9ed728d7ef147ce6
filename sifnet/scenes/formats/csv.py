"""FloX files as stored: CSV pairs, folders of pairs, npz, each read into a Series."""

from __future__ import annotations

import re
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sifnet.errors import SifnetError
from sifnet.files import regular
from sifnet.scenes.site import Site

if TYPE_CHECKING:
    import pandas as pd

WHOLE = "FULL"  # in the names of files of the other spectrometer of a FloX, 400-950 nm
MOST = 2**30  # bytes of a file, unpacked; a day of measurements has 1 % of that
TIME_FORMAT = "%d%m%y_%H%M%S"
UNREADABLE = (AttributeError, EOFError, IndexError, KeyError, MemoryError, NotImplementedError,
              OSError, RuntimeError, TypeError, ValueError, zipfile.BadZipFile,
              zlib.error)  # fmt: skip
"""What numpy and zipfile raise, depending on where an npz is broken."""
_MILLI = {"W m-2 nm-1 sr-1": 1e3, "mW m-2 nm-1 sr-1": 1.0}


@dataclass(frozen=True)
class Series:
    """Measurements as stored: radiances mW m-2 nm-1 sr-1, (measurement, band), UTC times."""

    wavelength: NDArray[np.float64]
    incoming: NDArray[np.float64]
    incoming_after: NDArray[np.float64] | None
    reflected: NDArray[np.float64]
    times: NDArray[np.datetime64]
    files: list[Path]


def incoming_files(path: Path) -> list[Path]:
    """The ``Incoming`` files that a folder, or either file of a pair, names.

    Of a folder with files of both spectrometers of a FloX, those that see fluorescence.
    """
    if path.is_dir():
        return sorted(file for file in path.glob("*Incoming*.csv") if WHOLE not in file.name)
    if path.suffix.lower() == ".csv" and re.search("Incoming|Reflected", path.name):
        return [path.with_name(path.name.replace("Reflected", "Incoming"))]
    return []


def npz_files(path: Path) -> list[Path]:
    """The npz files that a path names."""
    if path.is_dir():
        return sorted(path.glob("*.npz"))
    return [path] if path.suffix.lower() == ".npz" else []


def read_series(path: Path, site: Site, notes: list[str]) -> Series:
    """All measurements that a file or folder names; what was left out is said in the notes.

    Raises:
        SifnetError: no measurements, a missing partner, or files that do not fit each other.
    """
    pairs = incoming_files(path)
    if pairs:
        return _joined([_read_pair(file, notes) for file in pairs])
    arrays = npz_files(path)
    if len(arrays) == 1:
        return _read_npz(arrays[0], site, notes)
    raise SifnetError(
        "no FloX measurements",
        found=f"{len(arrays)} npz files and no *Incoming*.csv",
        expected="*Incoming*.csv with its *Reflected*.csv, or one npz",
        remedy="Name the file itself.",
        file=path,
    )


def whole_light_files(path: Path) -> list[Path]:
    """``*Incoming*FULL*.csv`` beside the measurements."""
    folder = path if path.is_dir() else path.parent
    return sorted(folder.glob(f"*Incoming*{WHOLE}*.csv"))


def read_whole_light(file: Path) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Wavelength (band) nm, irradiance over pi (measurement, band) mW m-2 nm-1 sr-1, times UTC.

    Raises:
        SifnetError: it is no table, or names no times.
    """
    table = _read_csv(file).sort_index()
    times = _times(list(table.columns), file)
    return table.index.to_numpy(float), table.to_numpy(float).T * 1e3, times


def _read_pair(incoming_file: Path, notes: list[str]) -> Series:
    """Both files of a pair; measurements that only one of them has are left out and counted."""
    reflected_file = incoming_file.with_name(incoming_file.name.replace("Incoming", "Reflected"))
    incoming, reflected = _read_csv(incoming_file), _read_csv(reflected_file)
    if incoming.shape[0] != reflected.shape[0] or (incoming.index != reflected.index).any():
        raise SifnetError(
            "the two files have different wavelengths",
            found=f"{incoming.shape[0]} and {reflected.shape[0]} bands",
            expected="the same `wl` column",
            remedy=f"Give the pair of one instrument; the partner is {reflected_file.name}.",
            file=incoming_file,
        )
    common = [column for column in incoming.columns if column in reflected.columns]
    if not common:
        raise SifnetError(
            "no measurement is in both files",
            found=f"{incoming.columns[0]} and {reflected.columns[0]}, among others",
            expected="the same column names",
            remedy=f"Give the pair of one series; the partner is {reflected_file.name}.",
            file=incoming_file,
        )
    lost = incoming.shape[1] + reflected.shape[1] - 2 * len(common)
    if lost:
        notes.append(f"{lost} measurements of {incoming_file.name} have no partner: left out")
    down, up = (table[common].to_numpy(float).T * 1e3 for table in (incoming, reflected))
    wavelength, times = incoming.index.to_numpy(float), _times(common, incoming_file)
    return Series(wavelength, down, None, up, times, [incoming_file, reflected_file])


def _read_csv(file: Path) -> pd.DataFrame:
    """Radiance W m-2 nm-1 sr-1, wavelengths as index, a column a measurement."""
    import pandas as pd

    if not file.is_file():
        raise SifnetError(
            "a FloX file is missing",
            found="no such file",
            expected="Incoming and Reflected side by side",
            remedy="Copy the partner into the same folder.",
            file=file,
        )
    regular(file, MOST)
    try:
        table = pd.read_csv(file, sep=";")
        if table.columns[0] != "wl" or table.shape[1] < 2:
            raise ValueError(f"columns {', '.join(map(str, table.columns[:3]))}")
        return table.astype(float).set_index("wl")
    except (ValueError, pd.errors.ParserError) as problem:
        raise SifnetError(
            "not a FloX table",
            found=problem,
            expected="columns wl;ddmmyy_HHMMSS;... of numbers",
            remedy="Export the file again, with ';' between columns.",
            file=file,
        ) from problem


def _times(names: list[str], file: Path) -> NDArray[np.datetime64]:
    """UTC times of the columns; pandas adds '.1' to the second of two with the same second."""
    try:
        stamps = [name.split(".")[0] for name in names]
        return np.array([datetime.strptime(s, TIME_FORMAT) for s in stamps], "datetime64[ns]")
    except ValueError as problem:
        raise SifnetError(
            "the time of a measurement cannot be read",
            found=problem,
            expected="columns named ddmmyy_HHMMSS, UTC",
            remedy="Rename the columns.",
            file=file,
        ) from problem


def _joined(parts: list[Series]) -> Series:
    """All pairs of a folder, in the order of time."""
    first = parts[0]
    for part in parts[1:]:
        if not np.array_equal(part.wavelength, first.wavelength):
            raise SifnetError(
                "the pairs of the folder have different wavelengths",
                found=f"{part.files[0].name} unlike {first.files[0].name}",
                expected="one instrument a folder",
                remedy="Name one Incoming file.",
            )
    measured = [(part.times, part.incoming, part.reflected) for part in parts]
    times, incoming, reflected = (np.concatenate(each) for each in zip(*measured, strict=True))
    order = np.argsort(times, kind="stable")
    files = [file for part in parts for file in part.files]
    return Series(first.wavelength, incoming[order], None, reflected[order], times[order], files)


def _read_npz(file: Path, site: Site, notes: list[str]) -> Series:
    _refuse_bomb(file)
    try:
        with np.load(file, allow_pickle=False) as stored:
            arrays = {key: stored[key] for key in stored.files}
        wavelength, incoming, reflected = (arrays[key] for key in ("wl", "E", "L"))
        after = arrays.get("E2")
        shapes = {a.shape for a in (incoming, reflected, after) if a is not None}
        if shapes != {(incoming.shape[0], wavelength.size)}:
            raise ValueError(f"shapes {sorted(shapes)} for {wavelength.size} wavelengths")
        milli = _MILLI[str(arrays.get("units", "W m-2 nm-1 sr-1"))]
    except UNREADABLE as problem:
        raise SifnetError(
            "not a FloX npz",
            found=problem,
            expected=f"wl, E, L, time_hhmmss, optional E2, units one of {', '.join(_MILLI)}",
            remedy="Name the arrays so.",
            file=file,
        ) from problem
    times = _npz_times(file, arrays, site, notes)
    after = None if after is None else after * milli
    return Series(wavelength, incoming * milli, after, reflected * milli, times, [file])


def _refuse_bomb(file: Path) -> None:
    """Refuse an npz that would unpack to more than any series has."""
    regular(file, MOST)
    try:
        with zipfile.ZipFile(file) as archive:
            unpacked = sum(member.file_size for member in archive.infolist())
    except (OSError, ValueError, zipfile.BadZipFile):
        return  # its reader says how it is broken
    if unpacked > MOST:
        raise SifnetError(
            "the npz unpacks to far too much",
            found=f"{unpacked} bytes",
            expected=f"at most {MOST}",
            remedy="Write the series of a day into a file of its own.",
            file=file,
        )


def _npz_times(
    file: Path, arrays: Mapping[str, Any], site: Site, notes: list[str]
) -> NDArray[np.datetime64]:
    """UTC of ``time_hhmmss`` on the given date, or on the eight digits of the file name."""
    digits = re.search(r"\d{8}", file.stem)
    date = site.date or (digits and digits[0])
    if "time_hhmmss" not in arrays or not date:
        raise SifnetError(
            "the time of the measurements is not known",
            found="no `time_hhmmss`, or no date",
            expected="time_hhmmss in the npz, and a date YYYYMMDD in its name or in site.json",
            remedy='Give date="YYYY-MM-DD".',
            command='Write {"date": "YYYY-MM-DD"} into site.json beside it.',
            file=file,
        )
    if site.utc_offset_hours is None:
        notes.append("times taken as UTC: give utc_offset_hours if they are local")
    day = date.replace("-", "")
    offset = np.timedelta64(round((site.utc_offset_hours or 0.0) * 3600), "s")
    names = [f"{day[6:8]}{day[4:6]}{day[2:4]}_{time}" for time in arrays["time_hhmmss"]]
    return _times(names, file) - offset
