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

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sifnet.errors import SifnetError
from sifnet.scenes.formats import envi
from sifnet.scenes.formats.lazy import Saturation
from sifnet.scenes.hyplant_geometry import HALF_SWATH_DEG, acquire
from sifnet.scenes.hyplant_metadata import parse_name
from sifnet.scenes.scene import Flag, Scene
from sifnet.scenes.sensor import Sensor
from sifnet.scenes.site import Site

__all__ = ["HALF_SWATH_DEG", "matches", "open_scene"]

# Sampling and width: Siegmann et al. 2019; noise: fit to the published signal to noise of 48, 65,
# 101 and 116 at 10, 20, 50 and 100; ranges: the published simulations, widened.
SENSOR = Sensor(
    name="hyplant",
    sampling=0.11,
    fwhm=0.25,
    shot_noise=0.07,
    shift_range=(-0.12, 0.12),
    since=2012,
    fwhm_range=(-0.06, 0.06),
    simulated_as="line",
    start_model="model_hyplant.ckpt",
)
DN_PER_RADIANCE = 100.0  # stored number per mW m-2 nm-1 sr-1
SATURATED = 65535  # the largest uint16


def matches(path: Path) -> bool:
    """Whether the path is a FLUO product, or a folder that holds one."""
    return bool(_candidates(path))


def open_scene(path: Path, sensor: Sensor = SENSOR, **site: Any) -> Scene:
    """Open a FLUO product by its header, its binary or the folder it lies in alone.

    Args:
        sensor: that flew; another one whose files have the same header keys.
        site: keywords of :class:`sifnet.scenes.site.Site`.

    Raises:
        SifnetError: the product is incomplete or contradicts itself, or the sun angle cannot be
            known from header, name, navigation file or keywords.
    """
    file = envi.open_envi(_one_header(path))
    facts = Site.read(file.header_file.parent, site)
    notes: list[str] = []
    wavelength, fwhm, order = _bands(file, facts, sensor, notes)
    gain, offset = _scale(file, notes)
    radiance = file.radiance(gain, offset).lazy(order)
    flight = acquire(file, facts, notes)
    return Scene.from_arrays(
        radiance,
        wavelength,
        fwhm,
        sensor=sensor,
        name=file.header_file.stem,
        notes=notes,
        **{**flight, "extra": {**flight["extra"], **_saturation(file)}},
    )


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
    file: envi.EnviFile, site: Site, sensor: Sensor, notes: list[str]
) -> tuple[NDArray[np.float64], NDArray[np.float64], slice]:
    """Vacuum wavelength and FWHM, ascending, and the slice that puts bands in that order."""
    centre, fwhm = envi.wavelengths(file)
    if site.fwhm is not None or fwhm is None:
        width = sensor.fwhm if site.fwhm is None else site.fwhm
        why = "none in header" if site.fwhm is None else "given"
        fwhm = np.full_like(centre, width)
        notes.append(f"FWHM {width} nm for every band: {why}")
    medium = str(file.header.get("wavelength medium", sensor.medium)).lower()
    if site.wavelength_medium is None and "wavelength medium" not in file.header:
        notes.append(f"wavelengths taken as {medium}: the header does not say air or vacuum")
    if site.wavelength_medium is None and medium not in ("air", "vacuum"):
        raise SifnetError(
            "`wavelength medium` not understood",
            found=medium,
            expected="air or vacuum",
            remedy="Correct the header.",
            file=file.header_file,
        )
    centre = site.in_vacuum(centre, medium)
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
    ignored = file.number("data ignore value") == SATURATED
    if ignored or file.dtype.newbyteorder("=") != np.uint16:
        return {}
    full = Saturation(file.numbers(), SATURATED, int(Flag.SATURATED))
    return {"reader_flags": (("line", "sample"), full.lazy())}
