"""Real fields on grids that are no rows and columns, as services write them: interpolated there."""

from pathlib import Path

import numpy as np
import xarray as xr
from numpy.typing import NDArray

Places = tuple[NDArray[np.float64], NDArray[np.float64]]
"""Latitudes and longitudes, -180 to 180."""
EASY_GEMS = {"grid_mapping_name": "healpix", "healpix_order": "nest"}


def gaussian(number: int) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Points of an octahedral reduced Gaussian grid, O32 of 32, and their areas, steradian.

    Rows are roots of a Legendre polynomial; the first has 20 points, the next 24, ... (Malardel et
    al. 2016, ECMWF Newsletter 146).
    """
    roots, weights = np.polynomial.legendre.leggauss(2 * number)
    points = 20 + 4 * np.arange(number)
    points = np.append(points, points[::-1])
    east = np.concatenate([np.arange(n) * 360 / n for n in points])
    north = np.repeat(np.rad2deg(np.arcsin(roots[::-1])), points)
    return north, (east + 180) % 360 - 180, np.repeat(2 * np.pi * weights[::-1] / points, points)


def healpix(side: int, order: str = "nested") -> Places:
    """Middles of all pixels."""
    from astropy_healpix import healpy

    pixels = np.arange(12 * side**2)
    east, north = healpy.pix2ang(side, pixels, nest=order == "nested", lonlat=True)
    return north, (east + 180) % 360 - 180


def interpolated(data: xr.Dataset, places: Places, dimension: str) -> xr.Dataset:
    """Fields on ``latitude, longitude``, bilinear, at the places that are inside."""
    if data["longitude"].size * float(data["longitude"].diff("longitude").median()) > 359:
        data = xr.concat([data.assign_coords(longitude=data["longitude"] + turn)
                          for turn in (-360, 0, 360)], "longitude")  # fmt: skip
    inside = np.logical_and.reduce([
        (place >= float(axis.min())) & (place <= float(axis.max()))
        for place, axis in zip(places, (data["latitude"], data["longitude"]), strict=True)
    ])  # fmt: skip
    there = np.flatnonzero(inside)
    north, east = (xr.DataArray(place[there], dims=dimension) for place in places)
    found = data.interp(latitude=north, longitude=east).transpose("time", dimension)
    return found.assign_coords(latitude=north, longitude=east, there=(dimension, there))


def on_healpix(data: xr.Dataset, side: int) -> xr.Dataset:
    """In easy.gems' layout where all pixels are there, else in that of CF 1.13."""
    found = interpolated(data, healpix(side), "cell").drop_vars(["latitude", "longitude"])
    there = found["there"].values
    found = found.drop_vars("there")
    if there.size == 12 * side**2:
        return found.assign(crs=((), 0, EASY_GEMS | {"healpix_nside": side}))
    about = {"grid_mapping_name": "healpix", "indexing_scheme": "nested",
             "refinement_level": side.bit_length() - 1}  # fmt: skip
    found = found.rename(cell="pixel").assign(healpix=((), 0, about))
    return found.assign_coords(pixel=("pixel", there, {"standard_name": "healpix_index"}))


def on_gaussian(data: xr.Dataset, number: int) -> xr.Dataset:
    """As cfgrib opens a reduced Gaussian grid."""
    return interpolated(data, gaussian(number)[:2], "values").drop_vars("there")


def write_reduced_grib(
    fields: NDArray[np.float64], times: NDArray[np.datetime64], path: Path
) -> Path:
    """2 m temperature, K, on the N32 grid of ecCodes' sample, ``time, 6114``."""
    import eccodes

    with path.open("wb") as file:
        for values, time in zip(fields, times, strict=True):
            message = eccodes.codes_grib_new_from_samples("reduced_gg_sfc_grib2")
            stamp = str(time.astype("datetime64[m]"))
            keys = {"shortName": "2t", "dataDate": int(stamp[:10].replace("-", "")),
                    "dataTime": int(stamp[11:16].replace(":", "")), "bitsPerValue": 24}  # fmt: skip
            for key, value in keys.items():
                eccodes.codes_set(message, key, value)
            eccodes.codes_set_values(message, values)
            eccodes.codes_write(message, file)
            eccodes.codes_release(message)
    return path
