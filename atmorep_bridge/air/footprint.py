"""Where, when and how high a scene is: what colocation needs to know of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import rasterio
import xarray as xr
from numpy.typing import NDArray
from pyproj import CRS, Transformer
from rasterio import Affine
from rasterio.errors import RasterioIOError
from rasterio.warp import transform_bounds
from rasterio.windows import Window
from scipy.ndimage import map_coordinates

from atmorep_bridge.fields.axes import turned
from sifnet.errors import SifnetError, require_number
from sifnet.files import regular
from sifnet.scenes.scene import Scene

Array = NDArray[np.float64]

POINTS = 8  # lines, and samples, at which the air is looked up
ELEVATIONS = (-0.5, 9.0)  # km, of ground


@dataclass(frozen=True)
class Footprint:
    """Points of a scene, and its ground.

    Attributes:
        latitude, longitude: (point) degrees, longitude -180 to 180.
        time: (point) UTC.
        elevation: mean of the ground, km above sea level; NaN where it is not known.
        relief: (line, sample), (line) or scalar, km, where it was given; else None.
        source: of the elevation, in words.
    """

    latitude: Array
    longitude: Array
    time: NDArray[np.datetime64]
    elevation: float
    relief: xr.DataArray | None
    source: str

    @classmethod
    def of(cls, scene: Scene, elevation: float | str | Path | None = None) -> Footprint:
        """Take place and time from a scene; elevation from a DEM, a number in metres, or the scene.

        Raises:
            SifnetError: place or elevation of the scene are not known, or the DEM does not suit.
        """
        latitude, longitude = places(scene)
        if elevation is None:
            _refuse_assumed(scene)
            relief, source = None, "the scene"
        else:
            relief, source = _elevation(elevation, latitude, longitude)
        ground = scene.dataset["ground_elevation"] if relief is None else relief
        stamp = np.datetime64(str(scene.dataset.attrs["acquisition_time"]), "ns")
        time = scene.dataset.get("time", xr.DataArray(stamp))
        points = xr.broadcast(*(_thinned(values) for values in (latitude, longitude, time)))
        north, east, when = (values.values.ravel() for values in points)
        return cls(
            north.astype(float),
            turned(east.astype(float)),
            when.astype("datetime64[ns]"),
            float(ground.mean()),
            relief,
            source,
        )

    @classmethod
    def at(
        cls, latitude: float, longitude: float, time: str | np.datetime64, elevation: float = np.nan
    ) -> Footprint:
        """A single place and time."""
        when = np.array([np.datetime64(str(time), "ns")])
        return cls(np.array([latitude]), turned(np.array([longitude])), when, elevation, None, "")

    @property
    def middle(self) -> dict[str, Any]:
        """Latitude, longitude and time in the middle, to the second."""
        first, last = pd.Timestamp(self.time.min()), pd.Timestamp(self.time.max())
        west = self.longitude[0]
        return {
            "latitude": float(self.latitude.mean()),
            "longitude": float(west + turned(self.longitude, west).mean()),
            "time": (first + (last - first) / 2).floor("s").to_datetime64(),
        }


def places(scene: Scene) -> tuple[xr.DataArray, xr.DataArray]:
    """Latitude and longitude of pixels (line, sample), of lines, or of the scene as a whole.

    Raises:
        SifnetError: nothing says where the scene is.
    """
    data = scene.dataset
    wkt, transform = data.attrs.get("crs"), data.attrs.get("transform")
    if "latitude" in data and (data["latitude"].ndim or wkt is None or transform is None):
        latitude, longitude = (data[name].reset_coords(drop=True).reset_index(
            list(data[name].indexes), drop=True) for name in ("latitude", "longitude"))  # fmt: skip
        return latitude, longitude
    if wkt is not None and transform is not None:
        lines, samples, _ = scene.shape
        column, row = np.meshgrid(np.arange(samples) + 0.5, np.arange(lines) + 0.5)
        x, y = Affine(*transform[:6]) * (column, row)
        east, north = Transformer.from_crs(wkt, "EPSG:4326", always_xy=True).transform(x, y)
        dims = ("line", "sample")
        return xr.DataArray(north, dims=dims), xr.DataArray(east, dims=dims)
    raise SifnetError(
        "the place of the scene is not known",
        found="neither latitude and longitude nor a map projection",
        expected="a place",
        remedy='Write {"latitude": .., "longitude": ..} into site.json beside the scene.',
        file=scene.file or scene.name,
    )


def _refuse_assumed(scene: Scene) -> None:
    """A reader that knew nothing took sea level: 100 m of error are 12 hPa."""
    assumed = [n for n in scene.dataset.attrs["notes"] if "ground" in n and "elevation 0 km" in n]
    if assumed:
        raise SifnetError(
            "the elevation of the ground is not known",
            found=assumed[0],
            expected="a DEM, or metres above sea level: 8 m are 1 hPa",
            remedy="Give --elevation DEM.tif or --elevation METRES.",
            file=scene.file or scene.name,
        )


def _thinned(values: xr.DataArray) -> xr.DataArray:
    """At most POINTS along each dimension, both ends among them."""
    return values.isel({
        name: np.unique(np.linspace(0, size - 1, min(size, POINTS)).round().astype(int))
        for name, size in values.sizes.items()
    })  # fmt: skip


def _elevation(
    stated: float | str | Path, latitude: xr.DataArray, longitude: xr.DataArray
) -> tuple[xr.DataArray, str]:
    """Elevation, km, where latitude and longitude are, and its source: metres as text, or a DEM."""
    try:
        metres = float(str(stated))
    except ValueError:
        path = Path(str(stated))
        return dem_elevation(path, latitude, longitude), f"DEM {path.name}"
    require_number("the elevation in metres", metres, *(1e3 * limit for limit in ELEVATIONS))
    return xr.DataArray(metres / 1e3), f"{stated} m, given"


def dem_elevation(path: Path, latitude: xr.DataArray, longitude: xr.DataArray) -> xr.DataArray:
    """Elevation, km, of a DEM in metres, bilinear at places; the shape of ``latitude``.

    Raises:
        SifnetError: the DEM cannot be read, has no CRS, or does not cover the places.
    """
    try:
        with rasterio.open(regular(path), driver="GTiff") as source:
            if source.crs is None:
                raise _unsuited(path, "no coordinate reference system", "a georeferenced DEM")
            to_dem = Transformer.from_crs("EPSG:4326", CRS.from_wkt(source.crs.to_wkt()),
                                          always_xy=True)  # fmt: skip
            x, y = to_dem.transform(longitude.values, latitude.values)
            # Of a single place they come as plain numbers.
            column, row = (np.asarray(v) for v in ~source.transform * (x, y))
            inside = (column >= 0) & (column <= source.width) & (row >= 0) & (row <= source.height)
            if not np.all(inside):
                west, south, east, north = transform_bounds(source.crs, "EPSG:4326", *source.bounds)
                raise _unsuited(
                    path, f"latitude {span((south, north))}, longitude {span((west, east))}",
                    f"the scene inside: latitude {span(latitude)}, longitude {span(longitude)}",
                )  # fmt: skip
            left, top = (max(int(v.min()) - 2, 0) for v in (column, row))
            right, bottom = int(column.max()) + 3, int(row.max()) + 3
            window = Window.from_slices((top, min(bottom, source.height)),
                                        (left, min(right, source.width)))  # fmt: skip
            metres = source.read(1, window=window, masked=True).astype(float).filled(np.nan)
    except RasterioIOError as error:
        raise _unsuited(path, str(error), "a GeoTIFF of elevations") from error
    centres = [np.atleast_1d(row - top - 0.5), np.atleast_1d(column - left - 0.5)]
    ground = map_coordinates(metres, centres, order=1, mode="nearest", prefilter=False)
    low, high = (1e3 * limit for limit in ELEVATIONS)
    if not ((ground >= low) & (ground <= high)).all():
        finite = ground[np.isfinite(ground)]
        gaps = f"{ground.size - finite.size} of {ground.size} without a number"
        there = span(finite) if finite.size else "none"
        raise _unsuited(path, f"{there} m, {gaps}", f"{low:g} to {high:g} m everywhere")
    return latitude.copy(data=ground.reshape(latitude.shape) / 1e3)


def _unsuited(path: Path, reason: str, expected: str) -> SifnetError:
    return SifnetError(
        "the elevation model cannot be used",
        found=reason,
        expected=expected,
        remedy="Give another DEM, or metres: --elevation 120",
        file=path,
    )


def span(values: Any) -> str:
    """The range of values, as an error states it."""
    low, high = np.min(np.asarray(values)), np.max(np.asarray(values))
    if isinstance(low, np.datetime64):
        low, high = (pd.Timestamp(v).strftime("%Y-%m-%d %H:%M") for v in (low, high))
        return f"{low} UTC" if low == high else f"{low} to {high} UTC"
    return f"{low:.6g}" if low == high else f"{low:.6g} to {high:.6g}"
