"""Block means: where a pixel says little, a hundred of them may say enough.

Each trusted pixel i counts with w_i = 1 / sigma_i^2, sigma_i not below the median of the block:
bare ground is more certain than plants and would else stand for more than its area. The error of
a pixel has a part s_i that neighbours share (atmosphere, sensor, expected shape of reflectance)
and a part o_i of its own, sigma^2 = s^2 + o^2. The first does not average out:

    sigma_block^2 = (sum w s / sum w)^2 + sum w^2 o^2 / (sum w)^2
"""

from __future__ import annotations

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from sifnet.errors import SifnetError
from sifnet.product.axes import axes
from sifnet.product.labels import grid, place
from sifnet.product.netcdf import WINDOW, trusted, windows
from sifnet.units import RADIANCE

NAMES = ("sif_760", "sif_740", "sif_687")  # the last where it is known
SIGMA = "_uncertainty"
SPACE = 10  # pixels a side of a block, by default, of a sensor in space
GROUP = "aggregated"  # of the file of a product
SHARED = "errors that neighbouring pixels share are not averaged out"
INDEPENDENT = "the part that pixels share is not known: all errors taken as independent, too small"


def aggregate(product: xr.Dataset, block: int = SPACE) -> xr.Dataset:
    """Weighted mean of SIF over blocks of pixels, with its own uncertainty.

    Args:
        product: in memory or open (``netcdf.opened``), on (y, x) or (line, sample).
        block: pixels a side; blocks at the lower and right edges may be smaller.

    Returns:
        sif_760, sif_740 and, where it is known, sif_687, the uncertainty of each, and
        ``trusted_pixels``, their number (at 687 nm ``trusted_pixels_687``), on the product's
        dimensions, a block a step; in the file of a product it is the group GROUP.

    Raises:
        SifnetError: a block of less than one pixel.
    """
    if block < 1:
        raise SifnetError(
            "blocks must have pixels",
            found=f"{block} pixels a side",
            expected="at least 1",
            remedy="Correct `block`.",
            command="Correct --aggregate.",
        )
    parts = (name + part for name in NAMES for part in ("", SIGMA, f"{SIGMA}_shared"))
    names = ["quality_flag", "quality_flag_687", *parts, "latitude", "longitude"]
    maps = product[[n for n in names if n in product and product[n].ndim == 2]].reset_coords()
    maps = maps.drop_vars([name for name in maps.variables if maps[name].ndim != 2])
    means, shared = [], False
    for strip in windows(maps, block * max(1, WINDOW // block)):
        means.append(_means(strip, block))
        shared |= bool(_shared(strip, "sif_760").any())
    layer = xr.concat(means, axes(product)[0])
    for name in _known(product):
        layer[name].attrs = product[name].attrs | {
            "cell_methods": "area: mean",
            "long_name": f"{name}, weighted mean of {block} x {block} pixels",
            "ancillary_variables": f"{name}{SIGMA} {_count(name)}",
        }
        layer[name + SIGMA].attrs = {
            "long_name": f"uncertainty of {name}, one standard deviation",
            "units": RADIANCE,
            "coverage_content_type": "qualityInformation",
            "comment": SHARED if shared else INDEPENDENT,
        }
        layer[_count(name)].attrs = {
            "long_name": f"trusted pixels of a block, of {name}",
            "units": "1",
            "coverage_content_type": "auxiliaryInformation",
        }
    return _on_map(layer, product, block)


def _known(product: xr.Dataset) -> list[str]:
    return [name for name in NAMES if name in product]


def _count(name: str) -> str:
    """What the number of trusted pixels is called: SIF at 687 nm has flags of its own."""
    return "trusted_pixels_687" if name == "sif_687" else "trusted_pixels"


def _means(strip: xr.Dataset, block: int) -> xr.Dataset:
    both = axes(strip)

    def total(values: xr.DataArray) -> xr.DataArray:
        blocks = values.astype(float).coarsen(dict.fromkeys(both, block), boundary="pad")
        return blocks.sum()  # type: ignore[attr-defined,no-any-return]

    means = xr.Dataset()
    for name in _known(strip):
        judged = name if name == "sif_687" else "sif_760"
        good = strip[judged].copy(data=trusted(strip, judged))
        sigma = strip.get(name + SIGMA)
        stated = sigma is not None and bool(sigma.notnull().any())
        if sigma is None or not stated:
            sigma = strip[f"sif_760{SIGMA}"]  # the weight still; of this quantity it says nothing
        used_sigma = sigma.where(good & strip[name].notnull()).astype(float)
        least = _median(used_sigma, block)
        weight = used_sigma.where(used_sigma >= least, least) ** -2.0
        weight = weight.where(used_sigma.notnull(), 0.0)
        share = _shared(strip, name).fillna(0.0).clip(0, 1)
        all_weight = total(weight).where(lambda x: x > 0)
        common = total(weight * sigma.fillna(0.0) * share) / all_weight
        own = total((weight * sigma.fillna(0.0)) ** 2 * (1 - share**2)) / all_weight**2
        means[name] = total(weight * strip[name].fillna(0.0)) / all_weight
        means[name + SIGMA] = ((common**2 + own) ** 0.5).where(stated)
        means[_count(name)] = total(good)
    counts = {_count(name) for name in _known(strip)}
    means = means.map(lambda x: x.astype(np.int32 if x.name in counts else np.float32))
    for name in ("latitude", "longitude"):
        if name in strip:
            mean = total(strip[name]) / total(xr.ones_like(strip[name]))
            means = means.assign_coords({name: mean})
    return means


def pooled(
    values: NDArray[np.floating], sigma: NDArray[np.floating], shared: NDArray[np.floating]
) -> tuple[float, float, float]:
    """The same mean of any pixels (pixel,): value, uncertainty, and the part of it they share.

    Args:
        sigma: of each pixel. shared: the part s of it, 0 where none is known.
    """
    if not values.size:
        return np.nan, np.nan, np.nan
    values, sigma, shared = (np.asarray(part, dtype=float) for part in (values, sigma, shared))
    weight = np.maximum(sigma, np.median(sigma)) ** -2.0
    weight /= weight.sum()
    common = float(weight @ np.minimum(shared, sigma))
    own = float(weight**2 @ np.maximum(sigma**2 - shared**2, 0.0))
    return float(weight @ values), float(np.sqrt(common**2 + own)), common


def _median(sigma: xr.DataArray, block: int) -> xr.DataArray:
    """(down, across) median over the block that a pixel lies in."""
    blocks = sigma.coarsen(dict.fromkeys(axes(sigma), block), boundary="pad").median()  # type: ignore[attr-defined]
    whole = blocks.values.repeat(block, axis=0).repeat(block, axis=1)
    return sigma.copy(data=whole[: sigma.shape[0], : sigma.shape[1]])


def _shared(strip: xr.Dataset, name: str) -> xr.DataArray:
    """Share of a pixel's uncertainty that its neighbours have too; that of sif_760 by default."""
    for quantity in (name, "sif_760"):
        part = strip.get(f"{quantity}{SIGMA}_shared")
        if part is not None and bool(part.notnull().any()):
            return part / strip[quantity + SIGMA]
    return xr.zeros_like(strip["sif_760"])


def _on_map(layer: xr.Dataset, product: xr.Dataset, block: int) -> xr.Dataset:
    """The layer with the coordinates of its blocks, where the product lies on a map."""
    for name in ("latitude", "longitude"):
        if name in layer.coords:
            layer[name].attrs = dict(product[name].attrs)
    if (located := place(product)) is None:
        return layer
    for variable in layer.data_vars.values():
        variable.attrs["grid_mapping"] = "spatial_ref"
    projection, affine = located
    a, b, c, d, e, f = affine[:6]
    blocks = type(affine)(a * block, b * block, c, d * block, e * block, f)
    shape = (layer.sizes["y"], layer.sizes["x"])
    return layer.assign_coords(grid(projection, blocks, shape=shape))
