"""Radiance in GeoTIFFs, read by windows of lines and bands."""

from __future__ import annotations

import shutil
import tempfile
import warnings
import weakref
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sifnet.errors import SifnetError
from sifnet.scenes.formats.archive import Files
from sifnet.scenes.formats.lazy import Window

if TYPE_CHECKING:
    import rasterio
    from rasterio.crs import CRS

BLOCK_LINES = 64  # the tallest blocks that are read where they lie
MOST_SAMPLES = 2**16  # no detector has as many columns


@dataclass(frozen=True)
class Raster:
    """An image file that was found whole: its size and place."""

    opens: Path  # what GDAL opens
    file: Path  # what the user knows: the same, or what it was copied from
    lines: int
    samples: int
    bands: int
    dtype: str
    crs: str | None  # WKT
    transform: tuple[float, ...]  # affine: a, b, c, d, e, f

    def read(self, bands: list[int], runs: list[slice], samples: slice) -> Iterator[NDArray[Any]]:
        """Stored numbers (band, line, sample) of each run of lines; the file is opened once.

        Bands count from 0, slices have no step.

        Raises:
            SifnetError: the file is damaged.
        """
        from rasterio.windows import Window

        numbers = [band + 1 for band in bands]
        with _opened(self.opens, self.file) as source:
            for lines in runs:
                yield source.read(numbers, window=Window.from_slices(lines, samples))


def open_raster(files: Files, name: str) -> Raster:
    """Look at an image without reading its pixels, if its pixels can be read by lines.

    One in a zip, or in blocks of many lines (a cloud-optimised copy), is first copied into a
    temporary folder, which is removed when the last user of the result is gone.

    Raises:
        SifnetError: it is no image, or shorter than its own table of contents says, or there is
            no room for the copy.
    """
    file = files.file(name)
    with ExitStack() as stack:
        scratch = Path(tempfile.mkdtemp(prefix="sifnet-"))
        stack.callback(shutil.rmtree, scratch, ignore_errors=True)
        opens = files.unpack(name, scratch) if files.zipped else file
        with _opened(opens, file) as source:
            if source.width > MOST_SAMPLES:
                raise _damaged(file, f"{source.width} samples, more than any detector has")
            if (end := _end(source)) > files.sizes[name]:
                raise _damaged(file, f"{files.sizes[name]} bytes, and pixels up to byte {end}")
            if max(height for height, _ in source.block_shapes) > BLOCK_LINES:
                opens = _by_lines(source, scratch, file)
            raster = Raster(
                opens,
                file,
                source.height,
                source.width,
                source.count,
                str(source.dtypes[0]),
                wkt_of_earth(source.crs, file),
                tuple(source.transform)[:6],
            )
        if opens != file:
            weakref.finalize(raster, stack.pop_all().close)
    return raster


def _by_lines(source: rasterio.DatasetReader, folder: Path, file: Path) -> Path:
    """The same numbers in strips of lines with all bands, not packed."""
    import rasterio
    from rasterio.errors import RasterioError
    from rasterio.windows import Window

    target = folder / "lines.tif"
    profile = {"driver": "GTiff", "dtype": source.dtypes[0], "count": source.count,
               "height": source.height, "width": source.width, "interleave": "pixel",
               "bigtiff": "if_safer"}  # fmt: skip
    tall = max(height for height, _ in source.block_shapes)
    try:
        with rasterio.open(target, "w", **profile) as copy:
            for start in range(0, source.height, tall):
                rows = slice(start, min(start + tall, source.height))
                window = Window.from_slices(rows, slice(0, source.width))
                copy.write(source.read(window=window), window=window)
    except (RasterioError, OSError) as problem:
        raise SifnetError(
            "the image cannot be copied to be read by lines",
            found=problem,
            expected=f"an undamaged image, and room in {folder.parent}",
            remedy="Set TMPDIR to a folder with room, or download the image again.",
            file=file,
        ) from problem
    return target


def wkt_of_earth(crs: CRS | None, file: Path) -> str | None:
    """WKT of a map of the earth; None for an image that lies on none.

    Raises:
        SifnetError: the coordinates are those of a building site, a depth or the earth's middle.
    """
    if not crs or crs.is_geographic or crs.is_projected:
        return crs.to_wkt() if crs else None
    raise SifnetError(
        "the image does not lie on a map of the earth",
        found=f"{crs.to_wkt()[:60]}...",
        expected="a geographic or projected coordinate reference system",
        remedy="Correct it, or remove it and state the place in site.json.",
        file=file,
    )


@contextmanager
def _opened(opens: Path, file: Path) -> Iterator[rasterio.DatasetReader]:
    """An image in sensor geometry has no place on a map, of which no one need be warned."""
    import rasterio
    from rasterio.errors import NotGeoreferencedWarning, RasterioError

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            # Of all that GDAL reads some would follow names to other files, or the network.
            with rasterio.open(opens, driver="GTiff") as source:
                yield source
    except (RasterioError, OSError) as problem:
        raise _damaged(file, problem) from problem


def _end(source: rasterio.DatasetReader) -> int:
    """The last byte of the corner blocks of every band: a truncated file ends before it."""
    end = 0
    for band in source.indexes:
        height, width = source.block_shapes[band - 1]
        last = (source.width - 1) // width, (source.height - 1) // height
        for column, row in ((0, 0), last):
            place = [source.get_tag_item(f"BLOCK_{what}_{column}_{row}", "TIFF", bidx=band)
                     for what in ("OFFSET", "SIZE")]  # fmt: skip
            if all(place):  # a block that was never written has none
                end = max(end, sum(int(value) for value in place))
    return end


def _damaged(file: Path, problem: object) -> SifnetError:
    return SifnetError(
        "the image cannot be read",
        found=problem,
        expected="a complete GeoTIFF",
        remedy="The file is probably truncated: download it again.",
        file=file,
    )


class Stored(Window):
    """Numbers (line, sample, band) of a raster.

    Attributes:
        index: for every band of the array, its number in the file, from 0.
    """

    def __init__(self, raster: Raster, index: NDArray[np.intp]) -> None:
        self.raster, self.index = raster, index
        self.shape = (raster.lines, raster.samples, index.size)
        self.dtype = np.dtype(raster.dtype)

    def read(self, key: tuple[Any, ...]) -> NDArray[Any]:
        wanted = [np.arange(size)[part] for size, part in zip(self.shape, key, strict=True)]
        lines, samples, bands = (np.atleast_1d(part) for part in wanted)
        made = np.empty((lines.size, samples.size, bands.size), self.dtype)
        if made.size:
            first, last = int(samples.min()), int(samples.max()) + 1
            # Lines far apart are read one by one, neighbours at once.
            runs = np.split(np.arange(lines.size), np.flatnonzero(np.diff(lines) != 1) + 1)
            rows = [slice(int(lines[run[0]]), int(lines[run[-1]]) + 1) for run in runs]
            read = self.raster.read(self.index[bands].tolist(), rows, slice(first, last))
            for run, stored in zip(runs, read, strict=True):
                part = np.moveaxis(stored[:, :, samples - first], 0, 2)
                made[run[0] : run[-1] + 1] = part
        return made[tuple(0 if np.ndim(part) == 0 else slice(None) for part in wanted)]
