"""Files of one download: those of a folder, or of a zip."""

from __future__ import annotations

import re
import shutil
import zipfile
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from sifnet.errors import SifnetError

MOST_METADATA = 64 * 2**20  # bytes of an XML file; real ones have 1 or 2 MB
MOST_UNPACKED = 64 * 2**30  # bytes of a zip's files together; real ones have 1 or 2 GB
MOST_RATIO = 200.0  # of unpacked to packed, where more than SMALL is unpacked; real ones reach 10
SMALL = 2**30
PACKINGS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # others unpack without a limit a step


@dataclass(frozen=True)
class Files:
    """Names and sizes of the files in a folder (not below it) or in a zip."""

    path: Path
    sizes: dict[str, int]

    @property
    def zipped(self) -> bool:
        return self.path.is_file()

    def file(self, name: str) -> Path:
        """What a user can point at: the file itself, or the zip that holds it."""
        return self.path if self.zipped else self.path / name

    def unpack(self, name: str, folder: Path) -> Path:
        """A copy of a zipped file. Many bands cannot be read by windows from within a zip: for
        each band of each window, all that lies before it would be inflated again.

        Raises:
            SifnetError: the zip is damaged, or there is no room.
        """
        target = folder / PurePosixPath(name).name
        try:
            with (
                zipfile.ZipFile(self.path) as archive,
                archive.open(name) as packed,
                target.open("wb") as copy,
            ):
                shutil.copyfileobj(packed, copy, 2**20)
        except (zipfile.BadZipFile, zlib.error, RuntimeError, EOFError, OSError) as problem:
            raise SifnetError(
                f"{name} cannot be unpacked",
                found=problem,
                expected=f"an undamaged zip, and {self.sizes[name] / 2**20:.0f} MiB of room in "
                f"{folder.parent}",
                remedy="Download the zip again, or set TMPDIR to a folder with room.",
                file=self.path,
            ) from problem
        return target

    def read(self, name: str) -> bytes:
        """A whole small file.

        Raises:
            SifnetError: it is too large for metadata, or the zip is damaged.
        """
        if self.sizes[name] > MOST_METADATA:
            size = f"{self.sizes[name]} bytes"
            expected = f"at most {MOST_METADATA}"
            raise damaged(self.path, f"{name} is too large for metadata", size, expected)
        try:
            if not self.zipped:
                return self.file(name).read_bytes()
            # Without a number all is unpacked before it is compared with the size that is stated.
            with zipfile.ZipFile(self.path) as archive, archive.open(name) as packed:
                return packed.read(self.sizes[name])
        except (zipfile.BadZipFile, zlib.error, RuntimeError, EOFError, OSError) as problem:
            what = f"{name} cannot be read"
            expected = "an undamaged zip" if self.zipped else "a file that may be read"
            raise damaged(self.path, what, problem, expected) from problem

    def find(self, pattern: str) -> list[str]:
        """Names whose last part matches in full, whatever their case.

        Raises:
            SifnetError: two of them have the same last part.
        """
        wanted = re.compile(pattern, re.IGNORECASE)
        last = {name: PurePosixPath(name).name for name in self.sizes}
        named = [name for name in self.sizes if wanted.fullmatch(last[name])]
        if len({last[name].lower() for name in named}) < len(named):
            raise damaged(self.path, "two files of one name", ", ".join(named), "each file once")
        return named


def is_zip(path: Path) -> bool:
    """Whether a path is meant as a zip."""
    return path.is_file() and path.suffix.lower() == ".zip"


def list_files(path: Path) -> Files:
    """The files of a folder, of the folder around a file, or of a zip.

    Raises:
        SifnetError: not a zip, or one that no data centre made: encrypted, with names that lead
            out of it or occur twice, or a bomb.
    """
    if not is_zip(path):
        folder = path if path.is_dir() else path.parent
        return Files(folder, {f.name: f.stat().st_size for f in sorted(folder.iterdir())
                              if f.is_file()})  # fmt: skip
    try:
        with zipfile.ZipFile(path) as archive:
            members = [member for member in archive.infolist() if not member.is_dir()]
    except (zipfile.BadZipFile, OSError, ValueError) as problem:
        what = "this is not a zip, or its end is missing"
        raise damaged(path, what, problem, "a complete zip") from problem
    _check(path, members)
    return Files(path, {member.filename: member.file_size for member in members})


def _check(path: Path, members: Iterable[zipfile.ZipInfo]) -> None:
    unpacked, packed, names = 0, 0, set()
    for member in members:
        name = member.filename
        parts = PurePosixPath(name.replace("\\", "/"))
        if parts.is_absolute() or ".." in parts.parts or ":" in name:
            raise damaged(path, "a name in the zip leads out of it", name, "names below the zip")
        if member.flag_bits & 1:
            raise damaged(path, "the zip is encrypted", name, "a zip without a password")
        if member.compress_type not in PACKINGS:
            raise damaged(path, f"{name} is packed in a way that downloads are not",
                          f"method {member.compress_type}", "deflate")  # fmt: skip
        if name.lower() in names:
            raise damaged(path, "the zip holds two files of one name", name, "each file once")
        names.add(name.lower())
        unpacked, packed = unpacked + member.file_size, packed + max(1, member.compress_size)
    if unpacked > MOST_UNPACKED or (unpacked > SMALL and unpacked > MOST_RATIO * packed):
        sizes = f"{unpacked / 2**30:.3g} GiB from {packed / 2**30:.3g} GiB"
        most = f"at most {MOST_UNPACKED / 2**30:g} GiB, and {MOST_RATIO:g} times its size"
        raise damaged(path, "the zip unpacks to far too much", sizes, most)


def damaged(file: Path, what: str, found: object, expected: object) -> SifnetError:
    """The refusal of a file as no data centre delivers it."""
    remedy = "Download the product again."
    return SifnetError(what, found=found, expected=expected, remedy=remedy, file=file)
