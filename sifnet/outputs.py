"""Products to files and back: NetCDF-4 and cloud-optimised GeoTIFF, whole or not at all."""

from __future__ import annotations

import hashlib
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

import numpy as np
import rasterio
import xarray as xr
from numpy.typing import NDArray
from rasterio.crs import CRS
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.transform import Affine

from sifnet.errors import SifnetError
from sifnet.scene import Flag

CHUNK = 256  # pixels a side


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """A name to write to in the same folder, which becomes ``path`` only when all went well.

    Raises:
        SifnetError: the folder or the file cannot be written.
    """
    partial = path.with_name(f".{path.stem}.{os.getpid()}.partial{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield partial
        partial.replace(path)
    except (OSError, RasterioError) as error:
        raise _unwritable(path, error) from error
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)


def writable(folder: Path) -> Path:
    """The folder, made if need be, before hours are spent on what goes into it.

    Raises:
        SifnetError: it cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=folder):
            return folder
    except OSError as error:
        raise _unwritable(folder, error) from error


def _unwritable(path: Path, error: Exception) -> SifnetError:
    reason = error.strerror if isinstance(error, OSError) else None
    return SifnetError(
        "the output cannot be written",
        found=reason or str(error),
        expected="a folder with write permission and space",
        remedy="Choose another output folder with -o.",
        file=path,
    )


def write(product: xr.Dataset, path: str | Path) -> Path:
    """Write NetCDF-4, chunked and compressed.

    Raises:
        SifnetError: the folder or the file cannot be written.
    """
    path = Path(path)
    maps = {str(name): v for name, v in product.data_vars.items() if v.ndim == 2}
    encoding = {name: _encoding(variable) for name, variable in maps.items()}
    with whole(path) as partial:
        product.to_netcdf(partial, engine="h5netcdf", encoding=encoding)
    return path


def _encoding(variable: xr.DataArray) -> dict[str, Any]:
    chunks = tuple(min(CHUNK, length) for length in variable.shape)
    encoding: dict[str, Any] = {"zlib": True, "complevel": 4, "shuffle": True, "chunksizes": chunks}
    if variable.dtype.kind == "f":
        encoding["_FillValue"] = np.float32(np.nan)
    return encoding


def read(path: str | Path) -> xr.Dataset:
    """A product, or a truth, from its file.

    Raises:
        SifnetError: no such file, not NetCDF-4, or no ``sif_760`` in it.
    """
    product = read_netcdf(path)
    if "sif_760" not in product:
        raise SifnetError(
            "no fluorescence in this file",
            found=", ".join(str(name) for name in product.data_vars) or "no variables",
            expected="sif_760",
            remedy="Give the file `<scene>_sif.nc` that `sifnet fit` or `sifnet retrieve` wrote.",
            file=path,
        )
    return product


def read_netcdf(path: str | Path) -> xr.Dataset:
    """A NetCDF-4 file in memory, the file closed.

    Raises:
        SifnetError: no such file, or not NetCDF-4.
    """
    path = Path(path)
    try:
        with xr.open_dataset(path, engine="h5netcdf") as file:
            return file.load()
    except (OSError, ValueError) as error:
        raise SifnetError(
            "this is not a readable NetCDF-4 file",
            found=str(error).split("\n")[0] if path.exists() else "nothing",
            expected="a file that sifnet or atmorep-bridge wrote",
            remedy="Check the path.",
            file=path,
        ) from error


def trusted(product: xr.Dataset) -> NDArray[np.bool_]:
    """(line, sample): a result, and no flag that speaks against it.

    That NDVI could not be computed does not.
    """
    against = product["quality_flag"].values.astype(int) & ~int(Flag.NO_NDVI)
    return (against == 0) & np.isfinite(product["sif_760"].values)


def flag_shares(product: xr.Dataset) -> dict[str, float]:
    """Share of the pixels that carry each flag; flags that none carries are left out."""
    flags = product["quality_flag"].values.astype(int)
    shares = {str(flag.name).lower(): float((flags & flag > 0).mean()) for flag in Flag}
    return {name: share for name, share in shares.items() if share > 0}


def to_cog(product: xr.Dataset, path: str | Path) -> Path:
    """Write the maps as a cloud-optimised GeoTIFF, float32, a band a variable.

    Bands carry name and unit; it is georeferenced where the product is.

    Raises:
        SifnetError: the file cannot be written.
    """
    path = Path(path)
    names = [name for name in map(str, product.data_vars) if product[name].ndim == 2]
    lines, samples = product["sif_760"].shape
    profile: dict[str, Any] = {
        "driver": "COG",
        "dtype": "float32",
        "nodata": float("nan"),
        "count": len(names),
        "height": lines,
        "width": samples,
        "compress": "ZSTD",
        "predictor": 3,
    }
    if "spatial_ref" in product.coords:
        reference = product["spatial_ref"].attrs
        profile["crs"] = CRS.from_wkt(reference["crs_wkt"])
        geo = [float(value) for value in reference["GeoTransform"].split()]
        profile["transform"] = Affine.from_gdal(*geo)
    with whole(path) as partial, warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)  # flight lines are not, often
        with rasterio.open(partial, "w", **profile) as file:
            for band, name in enumerate(names, start=1):
                file.write(product[name].values.astype(np.float32), band)
                file.set_band_description(band, name)
                file.set_band_unit(band, str(product[name].attrs.get("units", "")))
    return path


def sha256(path: str | Path) -> str:
    """Hexadecimal SHA-256 of a file, read in pieces."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
