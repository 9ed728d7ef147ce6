"""Products to files and back: NetCDF-4, whole or not at all, a strip of lines at a time.

Written with netCDF4, which takes a fifth of the time of h5netcdf for the forty variables of a small
scene; read with h5netcdf, whose errors say what is wrong.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import h5py
import netCDF4
import numpy as np
import xarray as xr
from numpy.typing import NDArray
from xarray.backends import NetCDF4DataStore

from sifnet.errors import SifnetError
from sifnet.files import regular
from sifnet.product.axes import axes
from sifnet.scenes.scene import Flag

LITTLE = 4096  # values: to compress fewer is not worth its time
PACKED = {"zlib": True, "complevel": 4, "shuffle": True}
CHUNK = (64, 256)  # lines and samples; a retrieval hands over 64 lines at a time
IN_MEMORY = 16 * 2**30  # bytes; a product of 20,000 lines has 1 GiB
WINDOW = 512  # lines of a file that are read at once


def write_strips(
    frame: xr.Dataset, strips: Iterable[tuple[slice, xr.Dataset]], path: Path, lines: int
) -> None:
    """Write NetCDF-4, chunked and compressed, as maps come: memory holds one strip.

    Args:
        frame: all that has no value for every pixel: coordinates, angles, provenance, attributes.
        strips: lines, and the maps on them; names, types and attributes are those of the first.
        lines: of the whole scene.
    """
    made: dict[str, netCDF4.Variable] = {}
    with NetCDF4DataStore.open(path, "w", lock=False) as store:
        values = _Values()
        frame.dump_to_store(store, writer=values)
        for window, strip in strips:
            if not made:
                made = _create(store.ds, frame, strip, lines)
                values.write()
            for name, variable in made.items():
                variable[window] = strip[name].values


class _Values:
    """Values of variables, written when all of these are there.

    HDF5 goes through a file whenever making variables and writing values take turns, which takes
    longer than the values.
    """

    def __init__(self) -> None:
        self.pairs: list[tuple[Any, Any]] = []

    def add(self, values: Any, variable: Any) -> None:
        """To be written; what xarray asks of a writer."""
        self.pairs.append((values, variable))

    def write(self) -> None:
        """All of them."""
        for values, variable in self.pairs:
            variable[...] = values
        self.pairs.clear()


def gathered(frame: xr.Dataset, strips: Iterable[tuple[slice, xr.Dataset]]) -> xr.Dataset:
    """What ``write_strips`` would write, in memory."""
    parts = [strip for _, strip in strips]
    product = xr.concat(parts, axes(parts[0])[0])
    return product.assign_coords(frame.coords).assign(frame.data_vars).assign_attrs(frame.attrs)


def _create(
    file: netCDF4.Dataset, frame: xr.Dataset, strip: xr.Dataset, lines: int
) -> dict[str, netCDF4.Variable]:
    """Empty variables, one a map; auxiliary coordinates are told as CF wants them."""
    both = axes(strip)
    shape = (lines, strip.sizes[both[1]])
    for dimension, length in zip(both, shape, strict=True):
        if dimension not in file.dimensions:
            file.createDimension(dimension, length)
    around = {**frame.coords, **strip.coords}
    # Coordinates of a dimension are known by its name. The grid mapping is no place, but whoever
    # opens the file with xarray's defaults finds it only here.
    places = [str(n) for n, c in around.items() if set(c.dims) <= set(both) and n not in both]
    made = {}
    for name, values in strip.variables.items():
        floating = values.dtype.kind == "f"
        variable = file.createVariable(
            str(name), values.dtype, both,
            fill_value=values.dtype.type(np.nan) if floating else False,
            chunksizes=tuple(min(pair) for pair in zip(CHUNK, shape, strict=True)),
            compression="zlib", complevel=4, shuffle=True,
        )  # fmt: skip
        variable.setncatts(values.attrs)
        if name not in strip.coords and places:
            variable.coordinates = " ".join(places)
        made[str(name)] = variable
    return made


def append(
    layer: xr.Dataset,
    path: Path,
    *,
    group: str | None = None,
    encoding: Mapping[str, Mapping[str, Any]] | None = None,
) -> None:
    """Add variables to a NetCDF-4 file, or to a group of it, that has none of these names."""
    if encoding is None:
        encoding = {str(name): compressed(v.variable) for name, v in layer.data_vars.items()}
    # ``to_netcdf`` less its look for a cluster of Dask, for which that is loaded: 0.5 s.
    with NetCDF4DataStore.open(path, "a", group=group, lock=False) as store:
        values = _Values()
        layer.dump_to_store(store, encoding=encoding, writer=values)
        values.write()


def compressed(values: xr.Variable) -> dict[str, Any]:
    """How a variable is compressed: as it is where there is too little to gain."""
    return PACKED if values.size > LITTLE else {}


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
            remedy="Give a product, as `sifnet.retrieve(scene, into=file)` writes it.",
            command="Give the file `<scene>_sif.nc` that `sifnet fit` or `sifnet retrieve` wrote.",
            file=path,
        )
    return product


def read_netcdf(path: str | Path, group: str | None = None) -> xr.Dataset:
    """A NetCDF-4 file in memory, or a group of it, the file closed.

    Raises:
        SifnetError: no such file, or not NetCDF-4.
    """
    with opened(path, group) as file:
        if file.nbytes > IN_MEMORY:
            raise _unreadable(path, f"{file.nbytes / 2**30:.3g} GiB to hold in memory")
        try:
            return file.load()
        except Exception as error:  # as when it is opened
            raise _unreadable(path, error) from error


def opened(path: str | Path, group: str | None = None) -> xr.Dataset:
    """A NetCDF-4 file, open, of which only what is asked for is read.

    Raises:
        SifnetError: no such file, or not NetCDF-4.
    """
    path = regular(path)
    try:
        # h5netcdf complains aloud, and too late to be heeded, of what HDF5 cannot open.
        h5py.File(path, "r").close()
        return xr.open_dataset(path, engine="h5netcdf", cache=False, group=group)
    except Exception as error:  # h5py and xarray have one for every way to be broken
        raise _unreadable(path, error if os.path.lexists(path) else "nothing") from error


def _unreadable(path: str | Path, problem: object) -> SifnetError:
    return SifnetError(
        "this is not a readable NetCDF-4 file",
        found=str(problem).split("\n")[0],
        expected="a file that sifnet or atmorep-bridge wrote",
        remedy="Check the path.",
        file=path,
    )


def windows(product: xr.Dataset, lines: int = WINDOW) -> Iterator[xr.Dataset]:
    """The product from top to bottom, some lines at a time, in memory."""
    down, _ = axes(product)
    for start in range(0, product.sizes[down], lines):
        yield product.isel({down: slice(start, start + lines)}).load()


def thinned(product: xr.Dataset, most: int) -> xr.Dataset:
    """Every n-th line and sample in memory, so that at most ``most`` are left a side."""
    every = {name: slice(None, None, -(-product.sizes[name] // most)) for name in axes(product)}
    return product.isel(every).load()


def trusted(product: xr.Dataset, name: str = "sif_760") -> NDArray[np.bool_]:
    """(down, across): a result, and no flag that speaks against it.

    That NDVI could not be computed does not. SIF at 687 nm of a map has flags of its own.
    """
    own = name.replace("sif", "quality_flag")
    flags = product[own if own in product else "quality_flag"].values.astype(int)
    return (flags & ~int(Flag.NO_NDVI) == 0) & np.isfinite(product[name].values)


def flag_shares(product: xr.Dataset) -> dict[str, float]:
    """Share of the pixels that carry each flag; flags that none carries are left out."""
    flags = product["quality_flag"].values.astype(int)
    shares = {str(flag.name).lower(): float((flags & flag > 0).mean()) for flag in Flag}
    return {name: share for name, share in shares.items() if share > 0}


def summary(product: xr.Dataset) -> dict[str, float]:
    """Pixels, share of them that is trusted, and of these mean, sd and mean uncertainty of SIF."""
    known = ("sif_760", "sif_740", "sif_687")
    names = [name for name in known if f"{name}_uncertainty" in product]
    flags = [name for name in ("quality_flag", "quality_flag_687") if name in product]
    sums, counts, count = np.zeros((len(names), 3)), np.zeros(len(names)), 0
    for part in windows(product[[*names, *(f"{name}_uncertainty" for name in names), *flags]]):
        count += int(trusted(part).sum())
        for number, name in enumerate(names):
            good = trusted(part, name)
            values = (part[n].values[good].astype(float) for n in (name, f"{name}_uncertainty"))
            sif, sd = values
            counts[number] += good.sum()
            sums[number] += sif.sum(), (sif**2).sum(), sd.sum()
    told = {"pixels": product["sif_760"].size, "trusted": count / product["sif_760"].size}
    for name, row, used in zip(names, sums, counts, strict=True):
        mean, square, uncertainty = row / used if used else np.full(3, np.nan)
        told |= {
            f"{name}_mean": mean,
            f"{name}_sd": float(np.sqrt(max(square - mean**2, 0.0))) if used else np.nan,
            f"{name}_uncertainty_mean": uncertainty,
        }
    return told
