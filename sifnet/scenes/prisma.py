"""PRISMA (ASI): at-sensor radiance L1 of the visible and near infrared, to inspect.

``PRS_L1_STD_<...>.he5``, or a folder with one. ``VNIR_Cube`` (across track, band, along track) of
the swath ``PRS_L1_HCO``: L = offset + number / scale, W m-2 sr-1 um-1 (mW m-2 nm-1 sr-1); the
wavelengths of its 66 bands descend, and those that are 0 are not used. Of the sun the file states
one pair of angles, of the view and of the ground's elevation nothing: nadir and 0 km are assumed
and said. After the product specification (ASI, issue 2.3, 2020).

Bands every 10 nm are 12 nm wide: the scene is for inspection and for NDVI, and a map is refused
with the limit of a pixel (``retrieval.pixel_limit``). Wavelengths are taken as vacuum, as the file
says nothing.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sifnet.errors import SifnetError
from sifnet.scenes.sensor import FIT_WINDOW, Sensor
from sifnet.scenes.sun import sun_earth_distance

if TYPE_CHECKING:
    from sifnet.scenes.formats.hdf import Contents
    from sifnet.scenes.scene import Scene

__all__ = ["SENSOR", "matches", "open_scene"]

# Noise: the mission's requirement, a signal to noise of 200 where L is about 100.
SENSOR = Sensor(
    name="prisma",
    sampling=10.0,
    fwhm=12.0,
    shot_noise=0.05,
    since=2019,
    space=True,
    inspect_only="bands every 10 nm, 12 nm wide, put one into the O2 A band, too few to tell "
    "fluorescence from reflectance",
)
NAME = re.compile(r"PRS_L(?P<level>\d[A-D]?)_.+\.he5", re.IGNORECASE)
AXES = (2, 0, 1)  # of the cube: lines, samples, bands
CLOUDY, WATER, SNOW = 1, 0, 1  # of Cloud_Mask and LandCover_Mask
DEFECT, SATURATED, NO_NUMBER = 1, 2, 4  # of VNIR_PIXEL_SAT_ERR_MATRIX


def matches(path: Path) -> bool:
    """Whether the path is a file of PRISMA, or a folder that holds one."""
    if path.is_dir():
        return any(matches(child) for child in path.iterdir() if not child.is_dir())
    return NAME.fullmatch(path.name) is not None


def open_scene(path: Path, sensor: Sensor = SENSOR, **site: Any) -> Scene:
    """Open an L1 product.

    Args:
        site: keywords of :class:`sifnet.scenes.site.Site`, in place of what the product says.

    Raises:
        SifnetError: the product is damaged, of level 2, not there, or there are two.
    """
    # Loads h5py, for which a command that opens no product need not wait.
    from sifnet.scenes.formats.hdf import Contents, Cube
    from sifnet.scenes.formats.lazy import Scaled
    from sifnet.scenes.scene import Scene
    from sifnet.scenes.site import Site

    file = _one_product(path)
    # The swath HCO, whose bands lie on each other, comes before HRC, which has the same names.
    product, place = Contents.of([file]), Site.read(file.parent, site)
    wavelength, fwhm = (
        np.ravel(product.stated(f"List_{name}_Vnir")).astype(float) for name in ("Cw", "Fwhm")
    )
    order = np.argsort(wavelength, kind="stable")
    order = order[(wavelength[order] > 0) & (fwhm[order] > 0)]
    cube = product.needed("VNIR_Cube")
    if len(cube.shape) != 3 or cube.shape[AXES[2]] != wavelength.size:
        raise SifnetError(
            "VNIR_Cube has another layout",
            found=f"{cube.shape} beside {wavelength.size} wavelengths",
            expected="across track, band, along track",
            remedy="The product is damaged, or of a version that is not known.",
            file=file,
        )
    scale, offset = (float(product.stated(f"{n}_Vnir")) for n in ("ScaleFactor", "Offset"))
    start, stop = (
        np.datetime64(str(product.stated(f"Product_{n}Time"))[:23], "ms") for n in ("Start", "Stop")
    )
    time = start + (stop - start) // 2
    zenith, elevation = place.solar_zenith_angle, place.ground_elevation
    notes = ["view taken as nadir: the product does not state it"]
    if elevation is None:
        notes.append("ground elevation 0 km: the product states none; give ground_elevation")
    geometry = {
        "solar_zenith_angle": float(product.stated("Sun_zenith_angle"))
        if zenith is None
        else zenith,
        "view_zenith_angle": 0.0,
        "relative_azimuth_angle": place.relative_azimuth_angle or 0.0,
        "sensor_height": np.inf,
        "ground_elevation": elevation or 0.0,
        "sun_earth_distance": sun_earth_distance(time),
    }
    bands = order[(wavelength[order] >= FIT_WINDOW[0]) & (wavelength[order] <= FIT_WINDOW[1])]
    return Scene.from_arrays(
        Scaled(Cube(cube, AXES, order, None), 1.0 / scale, offset, None).lazy(),
        place.in_vacuum(wavelength[order], sensor.medium),
        fwhm[order],
        geometry=geometry,
        sensor=sensor,
        name=file.stem,
        acquisition_time=str(time),
        source_files=[file],
        notes=notes,
        extra={
            "latitude": (("line", "sample"), product.needed("Latitude_VNIR").values().T),
            "longitude": (("line", "sample"), product.needed("Longitude_VNIR").values().T),
            "reader_flags": (("line", "sample"), _flags(product, cube.shape, bands)),
        },
    )


def _one_product(path: Path) -> Path:
    """The file of radiance that a path names."""
    found = (
        [path] if not path.is_dir() else sorted(c for c in path.iterdir() if NAME.fullmatch(c.name))
    )
    levels = {file: match["level"] for file in found if (match := NAME.fullmatch(file.name))}
    light = [file for file in found if levels.get(file, "1") == "1"]
    if len(light) == 1:
        return light[0]
    if not light and levels:
        raise SifnetError(
            f"PRISMA L{next(iter(levels.values())).upper()} has no radiance",
            found=", ".join(file.name for file in levels),
            expected="PRS_L1_..., at-sensor radiance",
            remedy="Order the L1 product of the same scene.",
            file=path,
        )
    raise SifnetError(
        "this is not one PRISMA product",
        found=", ".join(file.name for file in light) or "none",
        expected="one file PRS_L1_....he5, with the name of the download",
        remedy="Name the file itself.",
        file=path,
    )


def _flags(
    product: Contents, shape: tuple[int, ...], bands: NDArray[np.intp]
) -> NDArray[np.uint16]:
    """(line, sample) of the product's masks, and of its errors in bands of the fit window."""
    from sifnet.scenes.scene import Flag

    flags = np.zeros((shape[AXES[1]], shape[AXES[0]]), np.uint16)
    for name, value, flag in (
        ("Cloud_Mask", CLOUDY, Flag.CLOUD),
        ("LandCover_Mask", WATER, Flag.WATER),
        ("LandCover_Mask", SNOW, Flag.SNOW),
    ):
        if (mask := product.get(name)) is not None and mask.shape == flags.shape:
            flags |= (mask.numbers() == value) * np.uint16(flag)
    errors = product.get("VNIR_PIXEL_SAT_ERR_MATRIX")
    if errors is not None and errors.shape == shape:
        for band in bands:
            met = errors.numbers((slice(None), int(band), slice(None)))
            flags |= np.isin(met, (DEFECT, NO_NUMBER)) * np.uint16(Flag.DEAD)
            flags |= (met == SATURATED) * np.uint16(Flag.SATURATED)
    return flags.T
