"""FLEX (ESA): radiance of its spectrometer FLORIS above the air, L1C or L1B, in NetCDF-4.

A folder ``FLX_L1C_FLXSYN_<start>_<stop>_...`` or ``FLX_L1B_OBS____...`` with its ``.nc`` files, or
the one ``.nc`` of an L1C product. L1C has 580 channels on one grid, 500-780 nm; L1B an arm a file,
of which ``HRE2`` (740-780 nm) is read, on its own grid, without the red bands of an NDVI. Names and
units follow the product descriptions of 2023 to 2026, of simulated products; what is assumed where
they are silent is in the notes of the scene.

SIF is retrieved in 755-770 nm, from the O2 A band. FLORIS also sees the O2 B band and the whole
emission from 670 nm: no emulator of that range ships, so nothing is said of them.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sifnet.errors import SifnetError
from sifnet.scenes.sensor import Sensor

if TYPE_CHECKING:
    from sifnet.scenes.scene import Scene

# Sampling and width inside the O2 A band, as simulated products state them; the flanks beside it
# have channels of five such pixels, 0.466 nm apart and 0.47 nm wide. Noise is used where a product
# states none: shot noise with a signal to noise of 115 at L = 10, 360 at L = 100, an assumption
# near the requirement for the bottom of the band. The window begins where reflectance of PROSAIL
# canopies and soils is a parabola to 0.007 of SIF (from 750 nm: 0.05), which costs a tenth of the
# noise. Ranges: a third of the width, an assumption.
# Simulated products are of 2020 and later; launch is planned for 2026.
SENSOR = Sensor(
    name="flex",
    sampling=0.0932,
    fwhm=0.287,
    shot_noise=0.0275,
    window=(755.0, 770.0),
    shift_range=(-0.1, 0.1),
    fwhm_range=(-0.03, 0.03),
    detectors=((676.5, 697.3), (739.7, 780.5)),  # its arms HR1 and HR2
    since=2020,
    space=True,
    simulated_as="swath",
)
NAME = re.compile(r"FLX_L(?P<level>1B|1C|2)_", re.IGNORECASE)


def matches(path: Path) -> bool:
    """Whether the path is a FLEX product: its folder, a folder that holds one, or its file."""
    if path.is_dir():
        return bool(_products(path))
    named = NAME.match(path.name) or NAME.match(path.absolute().parent.name)
    return path.suffix.lower() == ".nc" and named is not None


def is_product(path: Path) -> bool:
    """Whether a folder is itself a product."""
    return path.is_dir() and NAME.match(path.absolute().name) is not None and bool(_netcdf(path))


def open_scene(path: Path, sensor: Sensor = SENSOR, **site: Any) -> Scene:
    """Open a product.

    Args:
        site: keywords of :class:`sifnet.scenes.site.Site`, in place of what the product says.

    Raises:
        SifnetError: the product is incomplete, damaged, of level 2, or there are two.
    """
    # Loads h5py, for which a command that opens no product need not wait.
    from sifnet.scenes import flex_l1b, flex_l1c
    from sifnet.scenes.formats.hdf import Contents
    from sifnet.scenes.site import Site

    product, files = _one_product(path)
    contents = Contents.of(files)
    place = Site.read(product if product.is_dir() else product.parent, site)
    level = "L1C" if "floris_toa_radiance" in contents else _level(product)
    name = product.name if product.is_dir() else product.stem
    if level == "L2":
        raise SifnetError(
            "FLEX L2 has no radiance",
            found=f"level 2, {product.name}",
            expected="L1C or L1B, radiance above the air",
            remedy="Order the L1C product of the same orbit.",
            file=product,
        )
    reader = flex_l1b if level == "L1B" else flex_l1c
    return reader.read(contents, name, sensor, place)


def _one_product(path: Path) -> tuple[Path, list[Path]]:
    """The product that a path names, and its NetCDF files."""
    if not path.is_dir():
        folder = path.absolute().parent
        whole = is_product(folder) and not NAME.match(path.name)  # one of the product's files
        return (folder, _netcdf(folder)) if whole else (path, [path])
    products = _products(path)
    if len(products) != 1:
        raise SifnetError(
            "this is not one FLEX product",
            found=", ".join(product.name for product in products) or "none",
            expected="one folder FLX_L1C_FLXSYN_... or FLX_L1B_OBS____... with .nc files",
            remedy="Name the folder of the product.",
            file=path,
        )
    return products[0], _netcdf(products[0]) if products[0].is_dir() else [products[0]]


def _products(folder: Path) -> list[Path]:
    """The folder itself, or the products in it: folders, and files that are named as products."""
    if is_product(folder) or not folder.is_dir():
        return [folder] if is_product(folder) else []
    return sorted(
        child
        for child in folder.iterdir()
        if is_product(child) or (child in _netcdf(folder) and NAME.match(child.name))
    )


def _netcdf(folder: Path) -> list[Path]:
    return sorted(child for child in folder.iterdir() if child.suffix.lower() == ".nc")


def _level(path: Path) -> str:
    named = NAME.match(path.name)
    return f"L{named['level'].upper()}" if named else ""
