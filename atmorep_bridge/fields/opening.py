"""Fields of ERA5, CAMS, MERRA-2, WeatherBench and AtmoRep, labelled alike: our names and units.

Dimensions (member, time, level, latitude, longitude), of which member and level may be absent.
Latitude and longitude ascend, longitude from -180; level runs from the top to the ground and is
pressure in hPa (``level_kind`` "pressure") or the number of a model level ("model"). ``lead`` is
hours from the analysis a forecast began from to its time, 0 of an analysis. Pressure hPa,
temperature K, humidity kg/kg, heights km above sea level (geopotential over 9.80665 m s-2), water
g cm-2. Nothing is read before it is asked for.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal

import dask
import numpy as np
import xarray as xr

from atmorep_bridge.fields.axes import DIMENSIONS, on_axes, with_level, with_place, with_time
from atmorep_bridge.fields.formats import open_raw
from atmorep_bridge.fields.quantities import AIR, ON_LEVELS, QUANTITIES, quantity
from sifnet.errors import SifnetError

KEPT = (*DIMENSIONS, "lead", "crs")
PLACES = ("latitude", "longitude")
Join = Literal["outer", "inner"]
log = logging.getLogger(__name__)


def open_fields(sources: Sequence[str | Path], names: Sequence[str] = AIR) -> list[xr.Dataset]:
    """Open files, folders and addresses, lazily: one labelled dataset for each grid they are on.

    Files of one grid become one dataset, whether they hold different quantities or other times.

    Args:
        names: of quantities, or any CF variable's name or standard_name, whose unit stays as it
            is; all others are left out.

    Raises:
        SifnetError: a file cannot be read, what it holds cannot be understood, or none of the
            quantities is in any.
    """
    labelled, useless = [], []
    for source in map(str, sources):
        parts = _labelled(source, names)
        if not parts:
            log.warning("%s holds nothing of use and is left out", source)
            useless.append(source)
        labelled += parts
    if not labelled:
        raise SifnetError(
            "nothing in these files is of use",
            found=", ".join(useless) or "no file",
            expected="some of " + ", ".join(quantity(name).names[0] for name in names),
            remedy="Give files of temperature, humidity, geopotential, pressure or aerosol.",
        )
    for part in labelled:
        on_axes(part)
    return by_grid(labelled)


def open_series(
    sources: Sequence[str | Path], names: Sequence[str], join: Join = "inner"
) -> xr.Dataset:
    """As ``open_fields``: all of the quantities on one grid; series of indices on none.

    Args:
        join: see ``one_grid``.

    Raises:
        SifnetError: as there; or a quantity is in no file, or they are on different grids.
    """
    return one_grid(parts_of(sources, names), join)


def parts_of(sources: Sequence[str | Path], names: Sequence[str]) -> list[xr.Dataset]:
    """What the files hold of the quantities, labelled, each part by itself.

    Raises:
        SifnetError: a quantity is in no file; or see ``open_fields``.
    """
    parts = [part for source in sources for part in _labelled(str(source), names)]
    present = {name for part in parts for name in part.data_vars}
    if missing := [name for name in names if name not in present]:
        raise SifnetError(
            "a field of the model is missing",
            found=", ".join(name for name in names if name in present) or "none of its fields",
            expected="also " + ", ".join(missing),
            remedy="Download " + "; ".join(quantity(name).download for name in missing),
            file=", ".join(map(str, sources)),
        )
    return parts


def one_grid(parts: Sequence[xr.Dataset], join: Join = "inner") -> xr.Dataset:
    """Parts as one.

    Args:
        join: at the times that all of the quantities have, or that any has.

    Raises:
        SifnetError: they are on different grids.
    """
    grids = by_grid(parts, join)
    if len(grids) > 1:
        raise SifnetError(
            "the fields are on different grids",
            found="; ".join(", ".join(map(str, grid.data_vars)) for grid in grids),
            expected="one grid of places and levels",
            remedy="Download them on the same grid and area.",
            file=", ".join(file for grid in grids for file in grid.attrs["files"]),
        )
    return grids[0].drop_vars("lead", errors="ignore")


def by_grid(datasets: Iterable[xr.Dataset], join: Join = "outer") -> list[xr.Dataset]:
    """Datasets of the same latitudes, longitudes and kind of levels as one, in their order.

    What has no levels joins every profile of its grid.

    Args:
        join: keep all times, or only those of all quantities.

    Raises:
        SifnetError: two files hold the same quantity at the same time.
    """
    grids: dict[bytes, list[xr.Dataset]] = {}
    for dataset in datasets:
        place = b"|".join(dataset[n].values.tobytes() for n in PLACES if n in dataset.coords)
        grids.setdefault(place, []).append(dataset)
    return [
        _joined([part for part in parts if part.attrs["level_kind"] in ("", kind)], join)
        for parts in grids.values()
        for kind in dict.fromkeys(p.attrs["level_kind"] for p in parts if p.attrs["level_kind"])
        or {"": None}
    ]


def _joined(parts: list[xr.Dataset], join: Join) -> xr.Dataset:
    files = list(dict.fromkeys(file for part in parts for file in part.attrs["files"]))
    try:
        with dask.config.set({"array.slicing.split_large_chunks": False}):
            whole = xr.combine_by_coords(
                parts,
                join=join,
                compat="override",
                coords="minimal",
                data_vars="minimal",
                combine_attrs="drop_conflicts",  # units of what is not ours
            )
    except ValueError as error:
        raise SifnetError(
            "files hold the same fields twice",
            found=", ".join(files),
            expected="each quantity and time once",
            remedy="Leave out the file that repeats another.",
        ) from error
    assert isinstance(whole, xr.Dataset)
    if several := [str(name) for name, v in whole.data_vars.items() if "units" not in v.attrs]:
        raise SifnetError(
            f"files hold {', '.join(several)} in different units",
            found=", ".join(files),
            expected="one unit of each quantity",
            remedy="Leave out the file that differs.",
        )
    return whole.assign_attrs(
        files=files,
        product=" and ".join(dict.fromkeys(part.attrs["product"] for part in parts)),
        level_kind=max(part.attrs["level_kind"] for part in parts),  # "" where there are no levels
    )


def _labelled(source: str, names: Sequence[str]) -> list[xr.Dataset]:
    """What a file holds of the quantities, with our names, dimensions, orders and units."""
    theirs = {name for ours in names for name in quantity(ours).names}
    others = set(names) - set(QUANTITIES)
    theirs |= {"lnsp"} if "surface_pressure" in names else set()
    datasets = []
    for raw in open_raw(source):
        standard = {n: str(v.attrs.get("standard_name", "")) for n, v in raw.data_vars.items()}
        raw = raw.rename({n: s for n, s in standard.items() if s in others and s not in raw})
        raw = raw.set_coords([n for n, v in raw.items() if "grid_mapping_name" in v.attrs])
        data = raw.drop_vars([name for name in raw.data_vars if name not in theirs])
        if not data.data_vars:
            continue
        data, kind = with_level(data, source)
        if any(values.ndim > 1 for values in data.values()):  # else series of indices
            data = with_place(data, source)
        data = with_time(data, source)
        labelled = xr.Dataset({
            ours: _converted(ours, values, source)
            for name, array in data.data_vars.items()
            for ours, values in [
                (str(name), array) if name in others else _named(str(name), array, kind)
            ]
        })  # fmt: skip
        datasets.append(
            labelled.squeeze([d for d, n in labelled.sizes.items() if n == 1 and d not in KEPT])
            .drop_vars([n for n in labelled.coords if n not in KEPT])
            .transpose(*DIMENSIONS, ..., missing_dims="ignore")
            .assign_coords({n: data[n].variable for n in ("cell", "crs") if n in data.coords})
            .assign_attrs(
                files=[source],
                product=product(raw, source),
                level_kind=kind if "level" in labelled.dims else "",
            )
        )
    return datasets


def product(raw: xr.Dataset, source: str) -> str:
    """The name of the service or model a dataset says it is from."""
    says = " ".join(
        str(raw.attrs.get(key, ""))
        for key in ("source", "title", "Title", "institution", "Institution", "history", "LongName")
    )
    text = f"{says} {Path(source).name}".lower()
    names = {
        "AtmoRep": ("atmorep",),
        "MERRA-2": ("merra", "gmao", "m2t1", "m2i"),
        "CAMS": ("cams", "eac4", "copernicus atmosphere"),
        "ERA5": ("era5", "era-5"),
        "AIFS": ("aifs",),
        "IFS": ("-oper-fc", "-scda-fc", "-enfo-ef"),  # files of ECMWF's open data
    }
    for name, signs in names.items():
        if any(sign in text for sign in signs):
            return name
    if {"TOTEXTTAU", "PS", "QV", "PHIS"} & set(raw.data_vars):
        return "MERRA-2"
    return "CAMS" if {"aod550", "go3"} & set(raw.data_vars) else "reanalysis"


def _named(name: str, values: xr.DataArray, kind: str) -> tuple[str, xr.DataArray]:
    """Our name of a variable. Surface fields lose time or level that they only carry along."""
    if name == "lnsp":  # natural logarithm of Pa, stored at level 1
        values = xr.apply_ufunc(np.exp, values, dask="allowed").assign_attrs(units="Pa")
        name = "surface_pressure"
    ours = next(key for key, quantity in QUANTITIES.items() if name in quantity.names)
    if ours == "height" and (kind != "pressure" or "level" not in values.dims):
        ours = "surface_height"
    if ours not in ON_LEVELS and "level" in values.dims:
        values = values.isel(level=0, drop=True)
    if ours == "surface_height" and values.sizes.get("time") == 1:
        values = values.isel(time=0, drop=True)  # downloaded once, good for ever
    if "member" in values.dims and "member" not in values.coords:
        values = values.assign_coords(member=np.arange(values.sizes["member"]))
    return ours, values


def _converted(ours: str, values: xr.DataArray, source: str) -> xr.DataArray:
    if ours not in QUANTITIES:
        return values.rename(ours).drop_attrs().assign_attrs(units=unit_of(values, source))
    units = QUANTITIES[ours].units
    stated = values.attrs.get("units")
    unit = next(iter(units)) if stated is None else plain_units(str(stated))
    if unit not in units:
        raise SifnetError(
            f"the unit of {values.name} ({ours}) is not understood",
            found=stated,
            expected=" or ".join(unit for unit in units if unit),
            remedy="Correct the attribute `units`.",
            file=source,
        )
    if "time" not in values.dims and ours != "surface_height":
        raise SifnetError(
            f"{values.name} ({ours}) has no time",
            found=f"dimensions {', '.join(map(str, values.dims))}",
            expected="a coordinate time or valid_time",
            remedy="Download it with its time.",
            file=source,
        )
    factor = units[unit]
    plain = (values if factor == 1.0 else values * factor).rename(ours).drop_attrs()
    return plain.assign_attrs(units=QUANTITIES[ours].unit)


def unit_of(values: xr.DataArray, source: str) -> str:
    """What the file says the numbers are in.

    Raises:
        SifnetError: it does not say.
    """
    if "units" not in values.attrs:
        raise SifnetError(
            f"{values.name} has no unit",
            found="no attribute `units`",
            expected="a CF unit, 1 for a pure number",
            remedy="Add it to the file.",
            file=source,
        )
    return str(values.attrs["units"])


def plain_units(units: str) -> str:
    """``kg kg**-1`` and ``kg kg^-1`` as ``kg kg-1``: one way to write a unit."""
    plain = units.strip().replace("**", "").replace("^", "").replace("(0 - 1)", "1")
    return {"m2/s2": "m2 s-2", "m+2 s-2": "m2 s-2", "kg kg-1 ": "kg kg-1"}.get(plain, plain)
