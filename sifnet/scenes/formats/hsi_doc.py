"""DLR's XML ``hsi_doc``, and the names of the files around it."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path, PurePosixPath
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

from sifnet.errors import SifnetError
from sifnet.scenes.formats.archive import Files, damaged, is_zip, list_files

# Frames of the bounding polygon in the image: first line first sample, first last, last last,
# last first. DESIS counts round the other way.
_CORNERS = (
    ("upper_left", "point_1"),
    ("upper_right", "point_4"),
    ("lower_right", "point_3"),
    ("lower_left", "point_2"),
)


@dataclass(frozen=True)
class Product:
    """The files of one product: all have its name ``stem`` in common."""

    files: Files
    stem: str
    level: str
    image: str

    @property
    def path(self) -> Path:
        return self.files.file(self.image)

    def metadata(self) -> Document:
        """The XML beside the image.

        Raises:
            SifnetError: there is none, or it is not whole.
        """
        names = self.files.find(f"{re.escape(self.stem)}-METADATA.*\\.xml")
        if len(names) != 1:
            raise SifnetError(
                "the metadata of the product are missing",
                found=", ".join(names) or "only the image",
                expected=f"{self.stem}-METADATA.xml beside it",
                remedy="Keep the files of a download together.",
                file=self.path,
            )
        file = self.files.file(names[0])
        try:
            root = ElementTree.fromstring(self.files.read(names[0]))
        except (ElementTree.ParseError, LookupError, ValueError) as problem:
            raise SifnetError(
                "the metadata cannot be read",
                found=problem,
                expected="XML",
                remedy="The file is probably truncated: download the product again.",
                file=file,
            ) from problem
        return Document(file, root)


@dataclass(frozen=True)
class Document:
    """An ``hsi_doc``: what is asked for by path is there and a number, or refused."""

    file: Path
    root: ElementTree.Element

    def text(self, path: str) -> str | None:
        """Text of an element, None when it is missing or empty."""
        return (self.root.findtext(path) or "").strip() or None

    def number(self, path: str) -> float | None:
        """A number, None when the element is missing or empty.

        Raises:
            SifnetError: it is there and not a finite number.
        """
        text = self.text(path)
        return None if text is None else _number(text, path, self.file)

    def needed(self, path: str) -> float:
        """A number that must be there.

        Raises:
            SifnetError: it is not.
        """
        value = self.number(path)
        if value is None:
            raise _missing(path, self.file)
        return value

    def time(self) -> str:
        """Start of the acquisition, ISO, UTC, without zone.

        Raises:
            SifnetError: missing or not a time.
        """
        path = "base/temporalCoverage/startTime"
        text = self.text(path)
        if text is None:
            raise _missing(path, self.file)
        try:
            time = datetime.fromisoformat(text).replace(tzinfo=None)  # the field is UTC
        except ValueError as problem:
            raise SifnetError(f"{path} is not a time", found=text, expected="2020-08-18T14:19:10Z",
                              remedy="Correct the XML.", file=self.file) from problem  # fmt: skip
        return time.isoformat(timespec="milliseconds")

    def bands(self, tag: str, fields: Mapping[str, str]) -> dict[str, NDArray[np.float64]]:
        """Numbers of every band of ``specific/bandCharacterisation``, in the order of the image.

        Args:
            tag: element of a band; ``interiorOrientation`` has others of the same name.
            fields: key of the result to element of a band; "number" is the element or attribute
                that numbers the bands.

        Raises:
            SifnetError: no bands, a missing field, or numbers that are not one after the other.
        """
        path = f"specific/bandCharacterisation/{tag}"
        elements = self.root.findall(path)
        if not elements:
            raise _missing(path, self.file)
        table = {
            key: np.array([self._field(band, field) for band in elements])
            for key, field in fields.items()
        }
        order = np.argsort(table["number"], kind="stable")
        numbers = table["number"][order]
        if (np.diff(numbers) != 1).any():
            after = numbers[:-1][np.diff(numbers) != 1][0]
            counted = f"{len(elements)} bands, and not one band {after + 1:g} after {after:g}"
            what = "bands of the metadata are missing or repeated"
            raise damaged(self.file, what, counted, "one entry a band")
        return {key: values[order] for key, values in table.items()}

    def lists(self, tag: str, number: str, field: str) -> list[NDArray[np.float64]] | None:
        """A list of numbers for every band in the order of the image; None if any has none."""
        elements = self.root.findall(f"specific/bandCharacterisation/{tag}")
        elements.sort(key=lambda band: self._field(band, number))
        texts = [band.findtext(field) or "" for band in elements]
        try:
            values = [np.array([float(v) for v in re.split(r"[,;\s]+", t.strip(", ;\n\t"))])
                      for t in texts]  # fmt: skip
        except ValueError:
            return None
        return values if all(np.isfinite(v).all() for v in values) else None

    def corners(self) -> NDArray[np.float64] | None:
        """(corner, 2) latitude and longitude: first line first and last sample, last line last
        and first; None when the polygon does not name its corners."""
        frames = {}
        for point in self.root.findall("base/spatialCoverage/boundingPolygon/point"):
            texts = [point.findtext(name) for name in ("latitude", "longitude")]
            if all(texts):
                frame = (point.findtext("frame") or "").strip().lower()
                frames[frame] = [_number(str(text), "boundingPolygon", self.file) for text in texts]
        corners = [next((frames[n] for n in names if n in frames), None) for names in _CORNERS]
        return None if None in corners else np.array(corners)

    def _field(self, band: ElementTree.Element, field: str) -> float:
        text = band.get(field) or band.findtext(field)
        if text is None:
            raise _missing(f"bandCharacterisation/{band.tag}/{field}", self.file)
        return _number(text, field, self.file)


def find_products(path: Path, image: str) -> list[Product]:
    """Products that a folder, a zip or a file of a product names.

    Args:
        image: pattern of the name of an image, with groups ``stem`` and ``level``.

    Raises:
        SifnetError: a zip that cannot be listed.
    """
    files = list_files(path)
    products: dict[str, Product] = {}
    for name in files.find(image):
        parts = re.fullmatch(image, PurePosixPath(name).name, re.IGNORECASE)
        assert parts is not None
        product = Product(files, parts["stem"], parts["level"].upper(), name)
        if path.is_dir() or files.zipped or path.name.startswith(f"{product.stem}-"):
            # Of a plain image and its cloud-optimised copy, the first is enough.
            products.setdefault(product.stem, product)
    return list(products.values())


def is_product(path: Path, image: str, name: str) -> bool:
    """Whether a path names a product: by its own name (``name``) or by what lies in it."""
    if not path.is_dir():
        if re.match(name, path.name, re.IGNORECASE):
            return True
        if not is_zip(path):
            return False
    try:
        return bool(find_products(path, image))
    except SifnetError:
        return False  # a zip of something else


def _number(text: str, what: str, file: Path) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise damaged(file, f"{what} is not a number", text.strip() or "nothing", "a number")
    return value


def _missing(path: str, file: Path) -> SifnetError:
    what = "the metadata are incomplete"
    return damaged(file, what, f"no {path}", "the XML of the product, whole")
