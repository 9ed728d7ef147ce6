"""Files of weather services to raw datasets: NetCDF, zarr, GRIB and AtmoRep output, all lazy.

What comes out still has the names, units and orders of its file; :mod:`opening` gives
it ours.
"""

from __future__ import annotations

import logging
import tempfile
import warnings
from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dask
import h5py
import numpy as np
import xarray as xr

from sifnet.errors import SifnetError
from sifnet.files import regular

ENGINES = {b"\x89HDF": "h5netcdf", b"CDF\x01": "scipy", b"CDF\x02": "scipy"}
ATMOREP_DIMENSIONS = ("ml", "datetime", "lat", "lon")


def open_raw(source: str) -> list[xr.Dataset]:
    """Datasets of one file, folder or address, recognised by content, in chunks of the file.

    A GRIB file gives one dataset for every kind of level, an AtmoRep store one for every sample.

    Raises:
        SifnetError: nothing there, a format we do not read, or a damaged file.
    """
    path = Path(source)
    if "://" in source or path.is_dir():
        return _zarr(source)
    if not path.exists():
        raise SifnetError(
            "no such file",
            found="nothing",
            expected="NetCDF, GRIB or zarr of a weather service",
            remedy="Check the path given with --fields.",
            file=path,
        )
    with regular(path).open("rb") as file:
        magic = file.read(4)
    if magic == b"GRIB":
        return _grib(path)
    if magic[:2] == b"PK":
        return _zip(path)
    if magic not in ENGINES:
        raise SifnetError(
            "this is no format of fields",
            found=f"a file that begins with {magic!r}",
            expected="NetCDF (3 or 4), GRIB or zarr",
            remedy="If it is compressed, unpack it first.",
            file=path,
        )
    with readable(path):
        if ENGINES[magic] == "h5netcdf":
            h5py.File(path, "r").close()  # of what it cannot open, h5netcdf complains aloud
        return [_chunked(xr.open_dataset(path, engine=ENGINES[magic]))]


def _chunked(data: xr.Dataset) -> xr.Dataset:
    """In the chunks of the file; a file without any in slabs, so that a global one fits."""
    sizes: dict[Hashable, int | str] = {}
    for variable in data.data_vars.values():
        slabs = ("auto",) * max(variable.ndim - 2, 0)
        chunks = variable.encoding.get("chunksizes") or slabs
        sizes |= dict(zip(variable.dims, chunks, strict=False))
    with dask.config.set({"array.chunk-size": "32MiB"}):
        return data.chunk(sizes)


@contextmanager
def readable(source: str | Path | None) -> Iterator[None]:
    """What a library raises where it cannot read a file to its end, in one sentence.

    Raises:
        SifnetError: the file is damaged.
    """
    try:
        yield
    except (SifnetError, ImportError):
        raise
    except Exception as error:  # each library has its own for a broken chunk or message
        raise SifnetError(
            "the file is damaged",
            found=(str(error).strip() or type(error).__name__).split("\n")[0],
            expected="a complete file",
            remedy="Download it again.",
            file=source,
        ) from error


def _grib(path: Path) -> list[xr.Dataset]:
    """All messages, grouped by kind of level; no index file is left beside the data."""
    try:
        import cfgrib
    except (ImportError, RuntimeError) as error:  # RuntimeError: no ecCodes library
        raise SifnetError(
            "GRIB cannot be read here",
            found=str(error).split("\n")[0],
            expected="the libraries of the extra `grib`",
            remedy="Install them: pip install 'sifnet[grib]'. Or download NetCDF instead.",
            file=path,
        ) from error
    log = logging.getLogger("cfgrib.messages")
    log.disabled = True  # it prints tracebacks of what is told below in a sentence
    try:
        # The index makes opening quick and is held in memory afterwards.
        with readable(path), tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # of xarray, about cfgrib's own merging
            options = {"indexpath": f"{folder}/index", "errors": "raise"}
            return list(cfgrib.open_datasets(str(path), backend_kwargs=options, chunks={}))
    finally:
        log.disabled = False


def _zip(path: Path) -> list[xr.Dataset]:
    """A zip is an AtmoRep store, or a download that was not unpacked."""
    import zipfile

    with readable(path), zipfile.ZipFile(path) as file:
        names = file.namelist()
    if any("sample=" in name for name in names):
        return _zarr(str(path))
    raise SifnetError(
        "this is a zip file",
        found=", ".join(names[:4]),
        expected="the files inside it",
        remedy="Unpack it, and give all of them: --fields *.nc",
        file=path,
    )


def _zarr(source: str) -> list[xr.Dataset]:
    import zarr

    try:
        with readable(source):
            zipped = Path(source).is_file()
            store: Any = zarr.storage.ZipStore(source, mode="r") if zipped else source
            root = zarr.open_group(store, mode="r")
            if any(name.startswith("sample=") for _, field in root.groups() for name in field):
                return list(_atmorep(root, source))
            consolidated = root.metadata.consolidated_metadata is not None
            return [xr.open_zarr(store, chunks={}, consolidated=consolidated)]
    except ImportError as error:  # gs:// and s3:// need their own file systems
        raise SifnetError(
            "this address needs another library",
            found=str(error),
            expected="gcsfs for gs://, s3fs for s3://",
            remedy="Install it, or download the hours you need.",
            file=source,
        ) from error


def _atmorep(root: Any, source: str) -> Iterator[xr.Dataset]:
    """A dataset a sample: ``<field>/sample=N/{data, ml, datetime, lat, lon}``; ``ens`` has members.

    This is how AtmoRep writes forecasts. Its scattered masked tokens are no field.
    """
    fields = dict(root.groups())
    for sample in sorted({name for field in fields.values() for name in field.group_keys()}):
        variables = {}
        for name, field in fields.items():
            if sample not in field:
                continue
            group = field[sample]
            dimensions: tuple[str, ...] = ATMOREP_DIMENSIONS
            if "data" in group and group["data"].ndim == 5:
                dimensions = ("member", *dimensions)
            if "data" not in group or group["data"].ndim != len(dimensions):
                raise SifnetError(
                    "these are tokens of AtmoRep, not fields",
                    found=f"{name}/{sample} with {', '.join(sorted(group))}",
                    expected="data on (ml, datetime, lat, lon)",
                    remedy="Let AtmoRep write its forecast (BERT_strategy 'forecast').",
                    file=source,
                )
            coordinates = {d: np.asarray(group[d]) for d in ATMOREP_DIMENSIONS}
            data = xr.DataArray(np.asarray(group["data"]), dims=dimensions, coords=coordinates)
            variables[name] = data
        yield xr.Dataset(variables, attrs={"source": "AtmoRep"})
