"""EMIT (NASA, on the ISS): at-sensor radiance L1B, to inspect.

``EMIT_L1B_RAD_<version>_<time>_<orbit>_<scene>.nc`` or a folder with one, and beside it the
``EMIT_L1B_OBS_...`` of the same scene with its angles; without that the sun is computed and the
view taken as nadir, which is said. ``radiance`` (downtrack, crosstrack, bands), uW cm-2 sr-1 nm-1,
fill -9999; ``sensor_band_parameters`` with wavelengths and widths, ``location`` with latitude,
longitude and elevation (m). After the product's user guide and L1B ATBD (LP DAAC, 2022 and later).

Bands every 7.4 nm are 8.5 nm wide: the scene is for inspection and for NDVI, and a map is refused
with the limit of a pixel (``retrieval.pixel_limit``). Bands beyond 1000 nm are left out, and
wavelengths taken as vacuum, as the file says nothing.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sifnet.errors import SifnetError
from sifnet.scenes.sensor import Sensor
from sifnet.scenes.sun import relative_azimuth, sun_angles, sun_earth_distance

if TYPE_CHECKING:
    from sifnet.scenes.formats.hdf import Contents
    from sifnet.scenes.scene import Scene
    from sifnet.scenes.site import Site

__all__ = ["SENSOR", "matches", "open_scene"]

# Noise is an assumption: a signal to noise of 500 at L = 100, about what is measured in orbit.
SENSOR = Sensor(
    name="emit",
    sampling=7.4,
    fwhm=8.5,
    shot_noise=0.02,
    since=2022,
    space=True,
    inspect_only="bands every 7.4 nm, 8.5 nm wide, put one or two into the O2 A band, too few "
    "to tell fluorescence from reflectance",
)
NAME = re.compile(r"EMIT_L(?P<level>\d[AB])_(?P<kind>[A-Z]+)_(?P<rest>.+)\.nc", re.IGNORECASE)
LAST = 1000.0  # nm
UNIT = 10.0  # mW m-2 nm-1 sr-1 of 1 uW cm-2 sr-1 nm-1
FILL = -9999.0
OBS = {"view_azimuth": 1, "view_zenith": 2, "sun_azimuth": 3, "sun_zenith": 4, "distance": 10}
"""Places of some of the eleven planes of ``obs``, degrees clockwise from north, and AU."""


def matches(path: Path) -> bool:
    """Whether the path is a file of EMIT, or a folder that holds one; angles alone are none."""
    if path.is_dir():
        return any(matches(child) for child in path.iterdir() if not child.is_dir())
    named = NAME.fullmatch(path.name)
    return named is not None and named["kind"].upper() != "OBS"


def open_scene(path: Path, sensor: Sensor = SENSOR, **site: Any) -> Scene:
    """Open an L1B product.

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

    radiance_file, files = _one_product(path)
    product = Contents.of(files)
    place, notes = Site.read(radiance_file.parent, site), list[str]()
    wavelength, fwhm = (product.needed(name).values() for name in ("wavelengths", "fwhm"))
    order = np.argsort(wavelength, kind="stable")
    order = order[(wavelength[order] <= LAST) & (fwhm[order] > 0)]
    radiance = product.needed("radiance")
    if len(radiance.shape) != 3 or radiance.shape[2] != wavelength.size:
        raise SifnetError(
            "radiance has another layout",
            found=f"{radiance.shape} beside {wavelength.size} wavelengths",
            expected="downtrack, crosstrack, bands",
            remedy="The product is damaged, or of a version that is not known.",
            file=radiance_file,
        )
    time = np.datetime64(str(product.stated("time_coverage_start"))[:19], "ms")
    geometry, places, lost = _geometry(product, place, time, notes)
    return Scene.from_arrays(
        Scaled(Cube(radiance, (0, 1, 2), order, FILL), UNIT, 0.0, None).lazy(),
        place.in_vacuum(wavelength[order], sensor.medium),
        fwhm[order],
        geometry=geometry,
        sensor=sensor,
        name=radiance_file.stem,
        acquisition_time=str(time),
        source_files=files,
        notes=notes,
        extra={**places, "reader_flags": (("line", "sample"), lost.astype(np.uint16))},
    )


def _one_product(path: Path) -> tuple[Path, list[Path]]:
    """The file of radiance, and with it that of angles, if it is there."""
    folder = path if path.is_dir() else path.absolute().parent
    named = [(c, m) for c in sorted(folder.iterdir()) if (m := NAME.fullmatch(c.name))]
    if not path.is_dir():
        own = NAME.fullmatch(path.name)
        named = [(c, m) for c, m in named if own is not None and m["rest"] == own["rest"]]

    def of_kind(level: str, kind: str) -> list[tuple[Path, re.Match[str]]]:
        wanted = level, kind
        return [(c, m) for c, m in named if (m["level"].upper(), m["kind"].upper()) == wanted]

    light = of_kind("1B", "RAD")
    if len(light) == 1:
        file, match = light[0]
        return file, [file, *(c for c, m in of_kind("1B", "OBS") if m["rest"] == match["rest"])]
    if named and not light:
        raise SifnetError(
            "the product has no radiance",
            found=", ".join(child.name for child, _ in named),
            expected="EMIT_L1B_RAD_..., at-sensor radiance",
            remedy="Order the L1B product of the same scene, and its EMIT_L1B_OBS_...",
            file=path,
        )
    raise SifnetError(
        "this is not one EMIT product",
        found=", ".join(child.name for child, _ in light) or "none",
        expected="one file EMIT_L1B_RAD_..., with the name of the download",
        remedy="Name the file itself.",
        file=path,
    )


def _geometry(
    product: Contents, site: Site, time: np.datetime64, notes: list[str]
) -> tuple[dict[str, Any], dict[str, Any], NDArray[np.bool_]]:
    """Angles and ground (line, sample), places, and where these are not known."""
    planes = {name: product.needed(name).values(fill=FILL) for name in ("lat", "lon", "elev")}
    told = product.get("obs")
    if told is not None and told.shape[:2] == planes["lat"].shape:
        planes |= {n: told.values((..., i), fill=FILL) for n, i in OBS.items() if n != "distance"}
        distance = float(np.nanmedian(told.values((..., OBS["distance"]), fill=FILL)))
    else:
        notes.append("no EMIT_L1B_OBS file beside the radiance: view taken as nadir, sun computed")
        middle = [float(np.nanmedian(planes[n])) for n in ("lat", "lon")]
        zenith, azimuth = sun_angles(np.array([time]), *middle)
        nadir = np.zeros_like(planes["lat"])
        planes |= {"view_zenith": nadir, "view_azimuth": nadir,
                   "sun_zenith": nadir + zenith[0], "sun_azimuth": nadir + azimuth[0]}  # fmt: skip
        distance = sun_earth_distance(time)
    known = np.all([np.isfinite(plane) for plane in planes.values()], axis=0)
    if not known.any():
        raise SifnetError(
            "place or angles of the product are missing",
            found="no pixel in which all are numbers",
            expected="latitude, longitude, elevation and angles",
            remedy="The product is damaged: download it again.",
            file=product.files[0],
        )
    planes = {n: np.where(known, v, np.median(v[known])) for n, v in planes.items()}
    ground = (planes["elev"] / 1e3).clip(-0.5, 9.0)
    if site.ground_elevation is not None:
        ground[:] = site.ground_elevation
    azimuth = relative_azimuth(planes["view_azimuth"], planes["sun_azimuth"])
    geometry = {
        "solar_zenith_angle": planes["sun_zenith"],
        "view_zenith_angle": planes["view_zenith"],
        "relative_azimuth_angle": azimuth,
        "ground_elevation": ground,
    }
    full: dict[str, Any] = {
        n: (("line", "sample"), np.asarray(v, np.float32)) for n, v in geometry.items()
    }
    places = {
        name: (("line", "sample"), planes[short])
        for name, short in (("latitude", "lat"), ("longitude", "lon"))
    }
    return {**full, "sensor_height": np.inf, "sun_earth_distance": distance}, places, ~known
