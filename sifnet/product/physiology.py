"""What a product says of physiology: light absorbed, escape of emission, quantum efficiency.

Of a field spectrometer they lie in the product, of its whole reflectance and its measured light. Of
maps they are computed when asked for, ``product.sif.physiology()``, where SIF at 687 nm was solved
and with it the red reflectance: light is then that of a clear sky. What cannot be told is absent.
"""

from __future__ import annotations

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from sifnet.product.axes import axes
from sifnet.product.emission import Number, as_maps, measured
from sifnet.product.netcdf import trusted
from sifnet.retrieval.emission import Measured
from sifnet.retrieval.physiology import FAR_RED, Greenness, clear_sky_light, quantum_efficiency
from sifnet.scenes.scene import Flag

ESCAPE, EFFICIENCY = "fluorescence_escape_probability", "fluorescence_quantum_efficiency"
ABSORBED, LIGHT = "fapar_chlorophyll", "integrated_par"
NAMES = (ABSORBED, ESCAPE, EFFICIENCY, LIGHT)
SHARED = "of the formula; no mean reduces it, and courses of one canopy hardly see it"
NEEDED = ("reflectance_687", "reflectance_740", "reflectance_slope", "solar_zenith_angle")


def numbers_of(sif: Measured, green: Greenness, light: Measured | None) -> list[Number]:
    """Each number with its error (``retrieval.physiology``); those that need light, with light.

    Args:
        sif: at 760 nm. light: PAR, umol m-2 s-1.
    """
    by_edge = "red-edge" if green.edges is not None else "usual share of"
    found = [
        Number(ABSORBED, green.fapar_chlorophyll(), "share of PAR that chlorophyll absorbs", "1",
               f"{by_edge} NDVI, a line through canopies of PROSAIL"),
        Number(ESCAPE, green.escape_probability(), "share of emission at 760 nm that leaves the "
               "canopy", "1", "NIRv / fAPAR (Zeng et al. 2019), fAPAR by NDVI"),
    ]  # fmt: skip
    if light is None:
        return found
    return [
        *found,
        Number(LIGHT, light, "photosynthetically active radiation", "umol m-2 s-1",
               "photons of 400-700 nm on a horizontal plane"),
        Number(EFFICIENCY, quantum_efficiency(sif, green, light), "photons emitted by the whole "
               "canopy over photons that its chlorophyll absorbs", "1",
               "of SIF at 760 nm, escape probability, fAPAR of chlorophyll and PAR"),
    ]  # fmt: skip


def physiology_of(product: xr.Dataset) -> xr.Dataset:
    """All that can be told of a product, or of a window of it; empty where it is nothing.

    Returns:
        On the product's dimensions ``fapar_chlorophyll``, ``fluorescence_escape_probability``,
        ``integrated_par`` and ``fluorescence_quantum_efficiency``, each with its ``_uncertainty``
        and the part of that which pixels share; NaN where plants are sparse, or a pixel is not
        to be trusted at 760 nm, or at 687 nm for another reason than its air.
    """
    if EFFICIENCY in product or ESCAPE in product:
        return product[[n for n in product.data_vars if str(n).startswith(NAMES)
                        and product[n].dims[:2] == axes(product)]]  # fmt: skip
    if any(name not in product for name in NEEDED):
        return xr.Dataset()
    red, level, slope = (product[n].values.astype(float).ravel() for n in NEEDED[:3])
    zenith = product["solar_zenith_angle"].broadcast_like(product["sif_760"])
    light = clear_sky_light(zenith.transpose(*axes(product)).values.ravel())
    green = Greenness(red, level + (FAR_RED - 740.0) * slope)
    found = numbers_of(measured(product, "sif_760"), green, light)
    maps = as_maps(found, axes(product), product["sif_760"].shape, SHARED)
    return maps.where(xr.DataArray(_known(product), dims=axes(product)))


def _known(product: xr.Dataset) -> NDArray[np.bool_]:
    """Where SIF at 760 nm is trusted, and reflectance at 687 nm, which an unlikely air in the red
    window moves by 0.05 of itself (docs/flex.md), but not SIF there."""
    harmless = int(Flag.NO_NDVI | Flag.UNLIKELY_AIR)
    red = product["quality_flag_687"].values.astype(int) & ~harmless == 0
    return np.asarray(trusted(product) & red)
