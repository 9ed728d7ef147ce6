"""QL_QUALITY-2 of DESIS L2A: masks for the flags of a scene, aerosol and water as its labels.

Bands: shadow, land, snow, haze over land and water, cloud over land and water, water, AOT at
550 nm x 100, water vapour in cm x 42. QL_QUALITY of every level has a band for each spectral
band; its codes are not public, so it is named in the notes and not used.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from sifnet.errors import SifnetError
from sifnet.scenes.formats.archive import damaged
from sifnet.scenes.formats.geotiff import Raster, open_raster
from sifnet.scenes.formats.hsi_doc import Product, find_products
from sifnet.scenes.scene import Flag

if TYPE_CHECKING:
    import xarray as xr

_SEEN = ("shadow", "land", "snow", "haze_land", "haze_water", "cloud_land", "cloud_water", "water")
BANDS = (*_SEEN, "aot_550", "water_vapour")
NUMBERS = ("uint8", "int16", "uint16")
STORED = {"aot_550": 100.0, "water_vapour": 42.0}  # number for each 1 and each g cm-2
MASKS = {
    Flag.CLOUD: ("cloud_land", "cloud_water"),
    Flag.SHADOW: ("shadow",),
    Flag.SNOW: ("snow",),
    Flag.WATER: ("water",),
    Flag.HAZE: ("haze_land", "haze_water"),
}
# Of the processor's own retrieval over clear land, beside its scatter over the scene. AOT: the
# expected error of MODIS over land, 0.05 + 15 % (Levy et al. 2013, AMT 6, 2989). Water: 10 %.
LABEL_ERROR = {"aot_550": (0.05, 0.15), "water_vapour": (0.1, 0.10)}  # (g cm-2,) share
LAYER = r"(?P<stem>DESIS-HSI-(?P<level>L\w\w)-.+)-QL_QUALITY-2(_COG)?\.tiff?"
_TAKE = re.compile(r"DT\d+_\d+-\d{8}T\d{6}", re.IGNORECASE)
_TIME = re.compile(r"(\d{4})(\d\d)(\d\dT\d\d)(\d\d)(\d\d)")


def mask_flags(product: Product, raster: Raster, notes: list[str]) -> NDArray[np.uint16]:
    """(line, sample) of Flag bits from the layer of the same take beside an image.

    0 where there is none, or where it is on another grid, which the notes say.
    """
    flags = np.zeros((raster.lines, raster.samples), np.uint16)
    if names := product.files.find(f"{re.escape(product.stem)}-QL_QUALITY(_COG)?\\.tiff?"):
        notes.append(f"{names[0]}: quality of every spectral band, its codes are not used")
    take = _TAKE.search(product.stem)
    layers = [n for n in product.files.find(LAYER) if take and take[0].lower() in n.lower()]
    if not layers:
        return flags
    layer = open_raster(product.files, layers[0])
    same = (layer.lines, layer.samples) == (raster.lines, raster.samples)
    if not (
        same
        and layer.dtype in NUMBERS
        and layer.bands == len(BANDS)
        and np.allclose(layer.transform, raster.transform)
    ):
        notes.append(
            f"QL_QUALITY-2 is on another grid than the {product.level} image, or of other numbers: "
            "not used"
        )
        return flags
    planes = _read(layer)
    for flag, bands in MASKS.items():
        for band in bands:
            flags[planes[band] > 0] |= np.uint16(flag)
    shares = [f"{str(flag.name).lower()} {100 * (flags & flag > 0).mean():.1f} %" for flag in MASKS]
    notes.append(f"masks of QL_QUALITY-2: {', '.join(shares)}")
    return flags


def labels(path: str | Path) -> xr.Dataset:
    """Aerosol and water vapour over a scene's clear land, as L2A retrieved them.

    Args:
        path: an L2A product (folder, zip or file), or a folder with its QL_QUALITY-2.

    Returns:
        Scalars ``aot_550``, ``water_vapour`` (g cm-2) and their ``*_uncertainty`` (one standard
        deviation: scatter over the scene, and the error of the processor), as an atmosphere file
        has them; attributes ``source`` and ``acquisition_time``.

    Raises:
        SifnetError: there is no such layer or there are two, it is damaged, or no land is clear.
    """
    import xarray as xr

    product, layer = _layer(Path(path))
    planes = _read(layer)
    hidden = np.any([planes[name] > 0 for names in MASKS.values() for name in names], axis=0)
    clear = (planes["land"] > 0) & ~hidden & (planes["water_vapour"] > 0)
    if not clear.any():
        raise SifnetError(
            "no land of the scene is clear",
            found="cloud, haze, shadow, snow or water everywhere",
            expected="some clear land",
            remedy="Leave the labels out.",
            file=product.path,
        )
    typical = {}
    for name, (least, share) in LABEL_ERROR.items():
        values = planes[name][clear] / STORED[name]
        median = float(np.median(values))
        scatter = 1.4826 * float(np.median(np.abs(values - median)))
        typical[name] = median
        typical[f"{name}_uncertainty"] = float(np.hypot(scatter, least + share * median))
    time = _TIME.search(product.stem)
    return xr.Dataset(
        typical,
        attrs={
            "source": f"DESIS QL_QUALITY-2 of {product.stem}, median over {100 * clear.mean():.1f} "
            "% of pixels that are clear land",
            "acquisition_time": "{}-{}-{}:{}:{}".format(*time.groups()) if time else "",
        },
    )


def _layer(path: Path) -> tuple[Product, Raster]:
    """The one quality layer that a path names."""
    if not path.exists():
        raise SifnetError("no such file or folder", found="nothing", expected="a DESIS L2A product",
                          remedy="Check the path.", file=path)  # fmt: skip
    products = find_products(path, LAYER)
    if len(products) != 1:
        raise SifnetError(
            "this is not one DESIS quality layer",
            found=", ".join(product.stem for product in products) or "no QL_QUALITY-2",
            expected="one -QL_QUALITY-2.tif, which comes with an L2A product",
            remedy="Name the file itself, or order the L2A product.",
            file=path,
        )
    product = products[0]
    layer = open_raster(product.files, product.image)
    if layer.bands != len(BANDS):
        expected = f"{len(BANDS)}: {', '.join(BANDS)}"
        raise damaged(product.path, "the quality layer has other bands", layer.bands, expected)
    if layer.dtype not in NUMBERS:
        expected = " or ".join(NUMBERS)
        raise damaged(product.path, "the quality layer has other numbers", layer.dtype, expected)
    return product, layer


def stored(layers: Mapping[str, NDArray[np.floating]], shape: tuple[int, int]) -> NDArray[np.uint8]:
    """(band, line, sample) as the layer stores them; what is not given is 0."""
    zero = np.zeros(shape)
    planes = [np.asarray(layers.get(n, zero)) * STORED.get(n, 1.0) for n in BANDS]
    return np.rint(np.clip(planes, 0, 255)).astype(np.uint8)


def _read(layer: Raster) -> dict[str, NDArray[np.uint8]]:
    lines, samples = slice(0, layer.lines), slice(0, layer.samples)
    [planes] = layer.read(list(range(len(BANDS))), [lines], samples)
    return dict(zip(BANDS, planes, strict=True))
