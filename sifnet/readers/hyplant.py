"""HyPlant FLUO (airborne, Juelich): at-sensor radiance as ENVI, with or without navigation file.

Name ``YYYYMMDD-SITE-HHMM-ALT-Lx-DIR-FLUO_radiance[_deconv_i1].{dat,bsq,bil}``, HHMM local time.
What wins, in this order: a given keyword or ``site.json``, header keys (``solar zenith angle``,
``relative azimuth angle``, ``ground elevation km``, ``sensor height km``, ``wavelength medium``),
the navigation file, the header's GPS keys, the file name. Whatever is assumed is said in the
scene's notes.

Wavelengths are taken as vacuum unless the header or the user says ``air``: the band shifts that
published retrievals with a vacuum forward model fit are below 0.08 nm, and air would need 0.21.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from spectral.io import envi as spectral_envi

from sifnet.errors import SifnetError
from sifnet.readers import envi
from sifnet.readers.hyplant_geometry import HALF_SWATH_DEG, acquire
from sifnet.readers.hyplant_metadata import parse_name
from sifnet.readers.site import Site
from sifnet.scene import Flag, Scene
from sifnet.units import air_to_vacuum, vacuum_to_air

__all__ = ["HALF_SWATH_DEG", "matches", "open_scene", "write_hyplant"]

DN_PER_RADIANCE = 100.0  # stored number per mW m-2 nm-1 sr-1
DEFAULT_FWHM = 0.25  # nm
SATURATED = 65535  # the largest uint16


def matches(path: Path) -> bool:
    """Whether the path is a FLUO product, or a folder that holds one."""
    return bool(_candidates(path))


def open_scene(path: Path, **site: Any) -> Scene:
    """Open a FLUO product by its header, its binary or the folder it lies in alone.

    Args:
        site: keywords of :class:`sifnet.readers.site.Site`.

    Raises:
        SifnetError: the product is incomplete or contradicts itself, or the sun angle cannot be
            known from header, name, navigation file or keywords.
    """
    file = envi.open_envi(_one_header(path))
    given = Site.read(file.header_file.parent, site)
    notes: list[str] = []
    wavelength, fwhm, order = _bands(file, given, notes)
    gain, offset = _scale(file, notes)
    radiance = file.radiance(gain, offset)[:, :, order]
    flight = acquire(file, given, notes)
    return Scene.from_arrays(
        radiance,
        wavelength,
        fwhm,
        geometry=flight.geometry,
        sensor="hyplant",
        name=file.header_file.stem,
        acquisition_time=flight.time.isoformat(),
        source_files=flight.source_files,
        notes=notes,
        extra={**flight.extra, **_saturation(file)},
        **flight.grid,
    )


def write_hyplant(
    folder: str | Path,
    name: str,
    radiance: ArrayLike,
    wavelength: ArrayLike,
    fwhm: ArrayLike,
    *,
    acquisition_time: datetime | None = None,
    latitude: float | None = None,
    longitude: float | None = None,
    ground_elevation: float | None = None,
    sensor_height: float | None = None,
    solar_zenith_angle: float | None = None,
    relative_azimuth_angle: float | None = None,
    wavelength_medium: str = "vacuum",
    navigation: ArrayLike | None = None,
    interleave: str = "bil",
) -> Path:
    """Write radiance in the sensor's own format: uint16, 100 per mW m-2 nm-1 sr-1.

    Args:
        name: file name without ending, in the convention above.
        radiance: (line, sample, band) mW m-2 nm-1 sr-1; NaN is stored as 0.
        wavelength: (band,) nm in vacuum, in the order of the bands. fwhm: (band,) or scalar, nm.
        acquisition_time: UTC. ground_elevation, sensor_height: km. Angles: degrees.
        wavelength_medium: "vacuum" or "air", in which the wavelengths are stored.
        navigation: (line, 6) latitude, longitude, altitude m, yaw, roll, pitch degrees.

    Returns:
        The header file.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    centre = np.asarray(wavelength, dtype=float)
    stored = vacuum_to_air(centre) if wavelength_medium == "air" else centre
    widths = np.broadcast_to(np.asarray(fwhm, dtype=float), stored.shape)
    place = None if latitude is None or longitude is None else f"{latitude:.6f}, {longitude:.6f}"
    clock = acquisition_time
    metadata = {
        "acquisition date": clock and f"DATE(dd-mm-yyyy): {clock:%d-%m-%Y}",
        "GPS Start Time": clock and f"UTC TIME: {clock:%H:%M:%S}",
        "GPS Starting point": place,
        "solar zenith angle": solar_zenith_angle,
        "relative azimuth angle": relative_azimuth_angle,
        "ground elevation km": ground_elevation,
        "sensor height km": sensor_height,
        "wavelength medium": wavelength_medium,
        "wavelength units": "Nanometers",
        "wavelength": [f"{value:.6f}" for value in stored],
        "fwhm": [f"{value:.6f}" for value in widths],
    }
    numbers = np.clip(np.nan_to_num(np.asarray(radiance)) * DN_PER_RADIANCE, 0, SATURATED)
    target = folder / f"{name}.hdr"
    spectral_envi.save_image(
        str(target),
        np.rint(numbers).astype(np.uint16),
        dtype=np.uint16,
        ext=".dat",
        interleave=interleave,
        metadata={key: value for key, value in metadata.items() if value is not None},
        force=True,
    )
    if navigation is not None:
        _write_navigation(folder / f"{name}_syncedNAV.txt", np.asarray(navigation, dtype=float))
    return target


def _write_navigation(file: Path, rows: NDArray[np.float64]) -> None:
    lines = ["Frame\tTime\tLatitude\tLongitude\tAltitude\tYaw\tRoll\tPitch"]
    lines += [
        "\t".join([str(line), f"{line * 0.01:.2f}", *(f"{value:.8f}" for value in row)])
        for line, row in enumerate(rows)
    ]
    file.write_text("\n".join(lines) + "\n")


def _candidates(path: Path) -> list[Path]:
    """Headers of FLUO products that the path names."""
    if path.is_dir():
        headers = sorted(file for file in path.iterdir() if file.suffix.lower() == ".hdr")
    else:
        header = envi.find_header(path)
        headers = [header] if header else []
    return [file for file in headers if parse_name(file.stem) or "FLUO" in file.stem.upper()]


def _one_header(path: Path) -> Path:
    if not path.is_dir():
        return path
    headers = _candidates(path)
    if len(headers) != 1:
        raise SifnetError(
            "the folder does not hold one FLUO product",
            found=", ".join(file.name for file in headers) or "none",
            expected="one header",
            remedy="Name the header file itself.",
            file=path,
        )
    return headers[0]


def _bands(
    file: envi.EnviFile, site: Site, notes: list[str]
) -> tuple[NDArray[np.float64], NDArray[np.float64], slice]:
    """Vacuum wavelength and FWHM, ascending, and the slice that puts bands in that order."""
    centre, fwhm = envi.wavelengths(file)
    if site.fwhm is not None or fwhm is None:
        width = DEFAULT_FWHM if site.fwhm is None else site.fwhm
        fwhm = np.full_like(centre, width)
        notes.append(
            f"FWHM {width} nm for every band: {'given' if site.fwhm else 'none in header'}"
        )
    medium = site.wavelength_medium or file.header.get("wavelength medium")
    if medium is None:
        notes.append("wavelengths taken as vacuum: the header does not say air or vacuum")
    elif str(medium).lower() not in ("air", "vacuum"):
        raise SifnetError(
            "`wavelength medium` not understood",
            found=medium,
            expected="air or vacuum",
            remedy="Correct the header.",
            file=file.header_file,
        )
    elif str(medium).lower() == "air":
        centre = air_to_vacuum(centre)
    order = slice(None)
    if centre.size > 1 and (np.diff(centre) < 0).all():
        order = slice(None, None, -1)
        notes.append("bands were stored from red to blue and were turned round")
    return centre[order], fwhm[order], order


def _scale(file: envi.EnviFile, notes: list[str]) -> tuple[Any, Any]:
    stated = envi.scale(file)
    if stated is not None:
        notes.append(stated[2])
        return stated[0], stated[1]
    if file.dtype.kind == "f":
        notes.append("radiance scale: 1, stored as floats without a scale in the header")
        return 1.0, 0.0
    notes.append("radiance scale: 1/100, the default; the header states none")
    return 1.0 / DN_PER_RADIANCE, 0.0


def _saturation(file: envi.EnviFile) -> dict[str, Any]:
    """Lazy flag of pixels that reached the largest uint16."""
    if file.dtype.kind != "u" or file.dtype.itemsize != 2:
        return {}
    ignored = str(file.header.get("data ignore value", "")).strip()
    if ignored in (str(SATURATED), f"{SATURATED}.0"):
        return {}
    full = (file.numbers() == SATURATED).any(axis=2)
    return {"reader_flags": (("line", "sample"), full.astype(np.uint16) * int(Flag.SATURATED))}
