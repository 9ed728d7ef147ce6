"""Products of DLR's imaging spectrometers: image, XML ``hsi_doc`` and what lies beside them.

A folder, a zip as downloaded, or any file of a product. What differs between two sensors is a
``Layout``; all else is here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sifnet.errors import SifnetError
from sifnet.scenes.footprint import place
from sifnet.scenes.formats.archive import damaged
from sifnet.scenes.formats.geotiff import Raster, Stored, open_raster
from sifnet.scenes.formats.hsi_doc import Document, Product, find_products
from sifnet.scenes.formats.lazy import Scaled
from sifnet.scenes.scene import Scene
from sifnet.scenes.sensor import Sensor
from sifnet.scenes.site import Site
from sifnet.scenes.sun import relative_azimuth, sun_earth_distance

RADIANCE = ("L1B", "L1C")  # levels; only the second lies on a map
CREDIBLE = {"aot_550": 5.0, "water_vapour": 10.0}  # the largest; g cm-2


@dataclass(frozen=True)
class Layout:
    """In what the products of a sensor differ from those of another.

    Attributes:
        title: the sensor as its users write it.
        image: pattern of the name of an image, with groups ``stem`` and ``level``.
        band: element of a band.
        fields: number, wavelength, fwhm, gain and offset, as elements or attributes of a band.
        unit: mW m-2 nm-1 sr-1 for each unit of gain x number + offset.
        stored: kinds of the numbers of an image; others would be radiance on another scale.
        fill: number of a pixel without radiance, where the XML says none.
        elevation, sun_azimuth: elements, m and degrees.
        stated: aerosol and water vapour, each as element and number for each 1 or g cm-2.
        solar_zenith, view_zenith, azimuth_to_sensor: degrees, at the ground.
        first_bands: how many to take; None for all.
        extra: further variables of the scene.
        instead: what the reflectance product can still be used for.
    """

    title: str
    image: str
    band: str
    fields: Mapping[str, str]
    unit: float
    stored: tuple[str, ...]
    fill: int
    elevation: str
    sun_azimuth: str
    stated: Mapping[str, tuple[str, float]]
    solar_zenith: Callable[[Document], float]
    view_zenith: Callable[[Document], float]
    azimuth_to_sensor: Callable[[Download], float]
    first_bands: Callable[[Document], int | None] = lambda _: None
    extra: Callable[[Download], dict[str, Any]] = lambda _: {}
    instead: str = ""


@dataclass(frozen=True)
class Download:
    """A product, open: all but its pixels was read.

    Attributes:
        table: of the layout's fields, ascending in wavelength.
        index: of the table's bands, their number in the image, from 0.
        medium: of the wavelengths.
        notes: whatever is assumed is said here.
    """

    product: Product
    document: Document
    raster: Raster
    table: dict[str, NDArray[np.float64]]
    index: NDArray[np.intp]
    site: Site
    medium: str
    notes: list[str]

    def in_vacuum(self, wavelength: NDArray[np.float64]) -> NDArray[np.float64]:
        return self.site.in_vacuum(wavelength, self.medium)


def open_product(path: Path, layout: Layout, sensor: Sensor, site: Mapping[str, Any]) -> Scene:
    """The scene of a product.

    Args:
        site: keywords of :class:`sifnet.scenes.site.Site`.

    Raises:
        SifnetError: the product is incomplete, damaged or contradicts itself, there are two, or
            it has no radiance.
    """
    product = _one_product(path, layout)
    document, raster = product.metadata(), open_raster(product.files, product.image)
    if raster.dtype not in layout.stored:
        expected = " or ".join(layout.stored)
        raise damaged(raster.file, "the image has other numbers", raster.dtype, expected)
    table, index = _bands(product, document, raster, layout)
    folder = product.files.path.parent if product.files.zipped else product.files.path
    download = Download(
        product, document, raster, table, index, Site.read(folder, site), sensor.medium, []
    )
    background = document.number("specific/backgroundValue")
    fill = layout.fill if background is None else int(background)
    gain, offset = layout.unit * table["gain"], layout.unit * table["offset"]
    time = document.time()
    # L1B may carry a fit to its corners as if it were a map.
    mapped = raster if product.level == "L1C" else replace(raster, crs=None)
    located, grid = place(mapped, document.corners())
    return Scene.from_arrays(
        Scaled(Stored(raster, index), gain, offset, fill).lazy(),
        download.in_vacuum(table["wavelength"]),
        table["fwhm"],
        geometry=_geometry(download, layout, time),
        sensor=sensor,
        name=product.stem,
        acquisition_time=time,
        source_files=list(dict.fromkeys([product.path, document.file])),
        extra={**located, **_stated(download, layout), **layout.extra(download)},
        notes=download.notes,
        **grid,
    )


def _one_product(path: Path, layout: Layout) -> Product:
    """The one radiance product that a path names."""
    products = find_products(path, layout.image)
    usable = [product for product in products if product.level in RADIANCE]
    if len(usable) == 1:
        return usable[0]
    wanted = " or ".join(RADIANCE)
    if products and not usable:
        level = products[0].level
        lost = "surface reflectance, its radiance is lost" if level == "L2A" else f"level {level}"
        raise SifnetError(
            f"{layout.title} {level} has no radiance",
            found=lost,
            expected=f"{wanted}, at-sensor radiance",
            remedy=f"Order the {wanted} product of the same scene{layout.instead}.",
            file=products[0].path,
        )
    raise SifnetError(
        f"this is not one {layout.title} product",
        found=", ".join(product.stem for product in usable) or "none",
        expected=f"one {wanted} product, with the names of the download",
        remedy="Name the image itself, or give every product a folder or zip of its own.",
        file=path,
    )


def _bands(
    product: Product, document: Document, raster: Raster, layout: Layout
) -> tuple[dict[str, NDArray[np.float64]], NDArray[np.intp]]:
    """The table of bands that are taken, ascending in wavelength, and their place in the image."""
    table = document.bands(layout.band, layout.fields)
    first = layout.first_bands(document)
    if "_VNIR" in product.image.upper():  # each spectrometer has an image of its own
        table = {field: values[:first] for field, values in table.items()}
    if table["number"].size != raster.bands:
        counted = f"{table['number'].size} bands in {document.file.name}"
        expected = f"{raster.bands}, as in the image"
        raise damaged(raster.file, "metadata and image have different bands", counted, expected)
    if not (table["gain"] > 0).all():
        worst = int(np.argmin(table["gain"]))
        gain = f"{table['gain'][worst]:g} of band {table['number'][worst]:g}"
        raise damaged(document.file, "a gain is impossible", gain, "gains above 0")
    index = np.argsort(table["wavelength"][:first], kind="stable")
    return {field: values[index] for field, values in table.items()}, index


def _geometry(download: Download, layout: Layout, time: str) -> dict[str, Any]:
    """The scalars of a Scene's geometry: a scene of 30 km has one sun and one line of sight."""
    site, document, notes = download.site, download.document, download.notes
    zenith, elevation = site.solar_zenith_angle, site.ground_elevation
    if elevation is None:
        metres = document.number(layout.elevation)
        elevation = 0.0 if metres is None else metres / 1e3
        if metres is None:
            notes.append("ground elevation 0 km: the XML states none; give ground_elevation")
    azimuth = site.relative_azimuth_angle
    if azimuth is None:
        to_sun = document.needed(layout.sun_azimuth)
        azimuth = float(relative_azimuth(layout.azimuth_to_sensor(download), to_sun))
    return {
        "solar_zenith_angle": layout.solar_zenith(document) if zenith is None else zenith,
        "view_zenith_angle": layout.view_zenith(document),
        "relative_azimuth_angle": azimuth,
        "sensor_height": np.inf,
        "ground_elevation": elevation,
        "sun_earth_distance": sun_earth_distance(np.datetime64(time)),
    }


def _stated(download: Download, layout: Layout) -> dict[str, float]:
    """Aerosol and water vapour as the product states them; what is not credible is left out."""
    credible = {}
    for name, (element, unit) in layout.stated.items():
        number = download.document.number(f"specific/{element}")
        if number is None:
            continue
        if 0 < (amount := number / unit) <= CREDIBLE[name]:
            credible[name] = amount
        else:
            download.notes.append(f"{name} {amount:g} of the XML is not credible and not used")
    return credible
