"""Fields to a scene: bilinear in space, linear in time, at the elevation of its ground.

Pressure and profile of every corner of the grid are moved to the scene's elevation before they are
averaged: model orography differs by hundreds of metres between corners, weather by a hectopascal.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from atmorep_bridge.air.age import OLDEST
from atmorep_bridge.air.box import BEYOND, at_points, load_box, time_distance
from atmorep_bridge.air.checks import check_values
from atmorep_bridge.air.columns import (
    PROFILE_HEIGHTS,
    Column,
    model_level_pressure,
    temperature_offset,
)
from atmorep_bridge.air.footprint import Footprint
from atmorep_bridge.fields.axes import files_of
from atmorep_bridge.fields.opening import by_grid, open_fields
from atmorep_bridge.fields.quantities import QUANTITIES
from sifnet.errors import SifnetError

ALTITUDES = np.round(np.arange(-0.5, 9.01, 0.1), 1)
"""km above sea level, of the pressure table; ln p between them is linear to 3e-6."""
log = logging.getLogger(__name__)
STATE = ("pressure", "surface_pressure", "temperature", "temperature_offset", "shape")
COLUMN = {"temperature", "specific_humidity", "height", "surface_pressure", "surface_height"}


@dataclass(frozen=True)
class Colocated:
    """Fields at the points of a scene, dimensions (point) and (member) where there are any.

    Attributes:
        values: pressure (point, altitude); surface_pressure, temperature of the air at the
            ground, temperature_offset and shape (see ``columns``), and aot_550 if a file has it
            (point).
        model_height: km, of the model's ground over the scene; NaN where no file says it.
        gap: hours between the analyses that were used, 0 for a hit.
        beyond: hours from the scene to the nearest time, outside those of the files.
        lead: hours from the analysis that a forecast began from to what was used of it, at most.
        sources: files that were used; products: their services, each in the order of use.
    """

    values: xr.Dataset
    model_height: float
    gap: float
    beyond: float
    lead: float
    sources: list[str]
    products: list[str]


def colocate(sources: Sequence[str | Path], footprint: Footprint) -> Colocated:
    """Bring the fields of files to a footprint.

    Temperature, humidity and pressure come from the first grid that has them all, aerosol from
    the first that has it.

    Raises:
        SifnetError: a quantity is missing, or place or time lie outside the files.
    """
    boxes: list[xr.Dataset] = []
    outside: list[tuple[set[str], SifnetError]] = []
    for fields in open_fields(sources):
        try:
            old = OLDEST if set(fields.data_vars) & COLUMN else BEYOND
            boxes.append(load_box(fields, footprint, old))
        except SifnetError as error:
            outside.append((set(map(str, fields.data_vars)), error))
    grids = by_grid(boxes)
    air = next((grid for grid in grids if not missing(grid)), None)
    aerosol = next((grid for grid in grids if "aot_550" in grid and _fresh(grid, footprint)), None)
    for offered, problem in outside:  # what is elsewhere matters if nothing else is here
        if (air is None and offered & COLUMN) or (aerosol is None and "aot_550" in offered):
            raise problem
    if air is None:
        raise _incomplete(grids)
    used = [air] if aerosol is None or aerosol is air else [air, aerosol]
    for grid in used:
        check_values(grid)
    values = at_points(column_state(air, footprint.elevation), footprint)
    if aerosol is not None:
        depth = aerosol[["aot_550"]].dropna("time", how="all")
        values = values.merge(at_points(depth, footprint))
    gap, beyond = time_distance(air["temperature"], footprint)
    model_height = float("nan")
    if "surface_height" in air:
        model_height = float(at_points(air[["surface_height"]], footprint)["surface_height"].mean())
    return Colocated(
        values,
        model_height,
        gap,
        beyond,
        float(np.nanmax(air["lead"])),
        list(dict.fromkeys(file for grid in used for file in grid.attrs["files"])),
        list(dict.fromkeys(grid.attrs["product"] for grid in used)),
    )


def _fresh(grid: xr.Dataset, footprint: Footprint) -> bool:
    """Aerosol that came with air of long before is no longer there."""
    hours = time_distance(grid["aot_550"], footprint)[1]
    if hours <= BEYOND / np.timedelta64(1, "h"):
        return True
    log.warning("aerosol of %s is %.0f h old and is left out", files_of(grid), hours)
    return False


def missing(fields: xr.Dataset) -> list[str]:
    """Names of what a column needs and a grid does not have."""
    lacking = [n for n in ("temperature", "specific_humidity") if n not in fields]
    on_pressure = fields.attrs["level_kind"] == "pressure"
    ground = [n for n in ("surface_pressure", "surface_height") if n not in fields]
    if "height" in fields and on_pressure:
        ground = []  # the levels carry their own heights
    elif on_pressure and len(ground) == 2:
        ground = ["height"]
    return lacking + ground


def _incomplete(grids: list[xr.Dataset]) -> SifnetError:
    nothing = xr.Dataset(attrs={"files": [], "level_kind": "pressure"})
    best = min([*grids, nothing], key=lambda grid: len(missing(grid)))
    lacking = missing(best)
    return SifnetError(
        "the files do not hold what a column of air needs",
        found=", ".join(map(str, best.data_vars)) or "nothing over the scene",
        expected="also " + ", ".join(lacking),
        remedy="Download, on the same grid: "
        + "; ".join(f"{name} ({QUANTITIES[name].download})" for name in lacking),
        file=files_of(best),
    )


def column_state(fields: xr.Dataset, elevation: float) -> xr.Dataset:
    """What every column of a loaded box says for ground at ``elevation``, km.

    The variables of ``Colocated.values`` but aerosol, on (latitude, longitude, time, member).

    Raises:
        SifnetError: a profile has gaps.
    """
    fields = fields.dropna("time", how="all", subset=["temperature"])
    on_pressure = fields.attrs["level_kind"] == "pressure"
    if on_pressure or "pressure" in fields:
        pressure = fields.get("pressure", fields["level"])
    else:
        pressure = model_level_pressure(fields["level"], fields["surface_pressure"])
    absent = xr.DataArray(np.nan)
    parts = [
        pressure,
        fields["temperature"],
        fields["specific_humidity"],
        fields.get("height", absent) if on_pressure else absent,
        fields.get("surface_pressure", absent),
        fields.get("surface_height", absent),
    ]
    columns = xr.apply_ufunc(
        _state_of, *parts,
        input_core_dims=[["level"] if "level" in part.dims else [] for part in parts],
        output_core_dims=[["altitude"], [], [], [], []],
        vectorize=True, kwargs={"elevation": elevation}, output_dtypes=[float] * len(STATE),
    )  # fmt: skip
    state = xr.Dataset(dict(zip(STATE, columns, strict=True)))
    return state.assign_coords(altitude=ALTITUDES)


def _state_of(
    pressure: Any, temperature: Any, humidity: Any, height: Any, surface_pressure: float,
    surface_height: float, *, elevation: float,
) -> tuple[Any, ...]:  # fmt: skip
    grounded = np.isfinite(surface_pressure) and np.isfinite(surface_height)
    column = Column.from_levels(
        pressure,
        temperature,
        humidity,
        ground=(float(surface_pressure), float(surface_height)) if grounded else None,
        height=height if np.ndim(height) else None,
    )
    p, t = (of(elevation + PROFILE_HEIGHTS) for of in (column.pressure_at, column.temperature_at))
    return column.pressure_at(ALTITUDES), p[0], t[0], *temperature_offset(p, t)
