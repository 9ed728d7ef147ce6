"""Hourly means of a series of measurements, each with its uncertainty."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from sifnet.files import whole
from sifnet.product.axes import HOURS
from sifnet.product.labels import TIME_ON_FILE
from sifnet.product.netcdf import trusted
from sifnet.product.physiology import NAMES as PHYSIOLOGY

NAMES = ("sif_687", "sif_740", "sif_760", "sif_red_peak", "sif_far_red_peak",
         "total_integrated_sif", *PHYSIOLOGY)  # fmt: skip
COUNT, SIGMA = "hourly_measurements", "_uncertainty"
SUN = "solar_zenith_angle"


def hourly(maps: xr.Dataset, around: xr.Dataset) -> xr.Dataset:
    """Means of the trusted measurements of every hour (UTC); empty where it is no series.

    The mean is over measurements, unweighted, for it stands for the hour. Of its uncertainty noise
    becomes less with their number n, and what they share does not:

        sigma^2 = (mean of shared)^2 + (sum of own^2) / n^2

    Args:
        maps: (line, 1). around: time and angle of the sun of every line.
    """
    if maps.sizes["sample"] != 1 or around["time"].dims != ("line",):
        return xr.Dataset()
    good = trusted(maps)[:, 0]
    start = around["time"].values.astype("datetime64[h]")
    hours, inverse = np.unique(start[good], return_inverse=True)
    if not hours.size:
        return xr.Dataset()

    def mean(values: np.ndarray) -> np.ndarray:
        table = pd.Series(values[good].astype(float)).groupby(inverse)
        return table.mean().to_numpy(dtype=np.float32)

    when = xr.Variable(HOURS, hours.astype("datetime64[ns]"),
                       {"standard_name": "time", "long_name": "start of the hour"},
                       dict(TIME_ON_FILE))  # fmt: skip
    layer = xr.Dataset(coords={HOURS: when})
    for name in (name for name in NAMES if name in maps):
        values, sigma, common = (
            maps[n].values[:, 0] for n in (name, name + SIGMA, f"{name}{SIGMA}_shared")
        )
        own = np.maximum(sigma.astype(float) ** 2 - common.astype(float) ** 2, 0.0)
        number = mean(np.isfinite(values).astype(float)) * np.bincount(inverse)
        with np.errstate(divide="ignore", invalid="ignore"):
            spread = np.sqrt(mean(common).astype(float) ** 2 + mean(own) / number)
        described = {"units": maps[name].attrs["units"], "cell_methods": f"{HOURS}: mean"}
        layer[f"{name}_hourly"] = HOURS, mean(values), described | {
            "long_name": f"{name}, mean of the trusted measurements of the hour",
            "ancillary_variables": f"{name}_hourly{SIGMA} {COUNT}",
        }  # fmt: skip
        layer[f"{name}_hourly{SIGMA}"] = HOURS, spread.astype(np.float32), {
            "long_name": f"uncertainty of {name}_hourly, one standard deviation",
            "units": maps[name].attrs["units"],
            "comment": "how much light changed within the hour is not part of it",
        }  # fmt: skip
    sun = np.broadcast_to(around[SUN].values, good.shape)
    layer[f"{SUN}_hourly"] = HOURS, mean(sun), {
        "long_name": "mean angle of the sun from the zenith", "units": "degree",
    }  # fmt: skip
    layer[COUNT] = HOURS, np.bincount(inverse).astype(np.int32), {
        "long_name": "trusted measurements of the hour", "units": "1",
    }  # fmt: skip
    return layer


def write_table(product: xr.Dataset, path: str | Path) -> Path:
    """The hourly means of a product as CSV, a row an hour; units stand in the product.

    Raises:
        SifnetError: the file cannot be written.
    """
    names = [str(name) for name, v in product.data_vars.items() if v.dims == (HOURS,)]
    path = Path(path)
    with whole(path) as partial:
        product[names].to_dataframe().to_csv(partial, float_format="%.4f")
    return path
