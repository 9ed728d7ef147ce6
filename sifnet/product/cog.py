"""Maps as a cloud-optimised GeoTIFF, made in windows."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import rasterio.shutil
import xarray as xr
from rasterio.errors import NotGeoreferencedWarning
from rasterio.windows import Window

from sifnet.files import scratch, whole
from sifnet.product.labels import place
from sifnet.product.netcdf import WINDOW, windows


def to_cog(product: xr.Dataset, path: str | Path) -> Path:
    """Write the maps as a cloud-optimised GeoTIFF, float32, a band a variable.

    Bands carry name and unit; it is georeferenced where the product is. A file that is open
    (``netcdf.opened``) is never in memory as a whole.

    Raises:
        SifnetError: the file cannot be written.
    """
    path = Path(path)
    names = [str(n) for n, v in product.data_vars.items() if v.dims == ("line", "sample")]
    lines, samples = product["sif_760"].shape
    profile: dict[str, Any] = {
        "dtype": "float32", "nodata": float("nan"), "count": len(names), "height": lines,
        "width": samples, "tiled": True, "BIGTIFF": "IF_SAFER",
    }  # fmt: skip
    if (located := place(product)) is not None:
        profile["crs"], profile["transform"] = located[0].to_wkt(), located[1]
    # The driver of this format only copies: what it copies is a plain GeoTIFF beside it.
    beside = path.with_name(f"{path.stem}.plain.tif")
    with warnings.catch_warnings(), whole(path) as partial, scratch(beside) as plain:
        warnings.simplefilter("ignore", NotGeoreferencedWarning)  # flight lines are not, often
        with rasterio.open(plain, "w", driver="GTiff", **profile) as file:
            for number, part in enumerate(windows(product[names])):
                at = Window(0, number * WINDOW, samples, part.sizes["line"])
                for band, name in enumerate(names, start=1):
                    file.write(part[name].values.astype(np.float32), band, window=at)
            for band, name in enumerate(names, start=1):
                file.set_band_description(band, name)
                file.set_band_unit(band, str(product[name].attrs.get("units", "")))
        rasterio.shutil.copy(plain, partial, driver="COG", compress="ZSTD", predictor="YES")
    return path
