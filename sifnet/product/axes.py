"""What the two dimensions of a map are called.

``y`` and ``x`` where a scene lies on a map grid, as all that works with maps expects it; ``line``
and ``sample`` where it does not, for a detector's rows and columns are no places.
"""

from __future__ import annotations

import xarray as xr

MAP, SWATH = ("y", "x"), ("line", "sample")
HOURS = "hour"  # of a series of measurements, which has means of each


def axes(product: xr.Dataset | xr.DataArray) -> tuple[str, str]:
    """The dimension along track, or down the map, and the one across."""
    return MAP if set(MAP) <= set(product.dims) else SWATH


def maps(product: xr.Dataset) -> list[str]:
    """Names of the variables that have a value for every pixel."""
    both = axes(product)
    return [str(name) for name, variable in product.data_vars.items() if variable.dims == both]


def renamed(data: xr.Dataset, names: tuple[str, str]) -> xr.Dataset:
    """Maps of a scene, (line, sample), under other names of their dimensions."""
    pairs = zip(SWATH, names, strict=True)
    return data.rename({old: new for old, new in pairs if old != new and old in data.dims})
