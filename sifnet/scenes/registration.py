"""Where the bands of a scene really are: measured on its own solar and oxygen lines.

What a header states of wavelengths is compared with what the light says, before anything is
fitted. Lines counted in air without saying so lie 0.21 nm off; such a scene is converted, and told.
Whatever else is off is taken out too, so that the search for every column starts close by.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, lru_cache

import numpy as np
from numpy.typing import NDArray

from sifnet.errors import SifnetError
from sifnet.files import arrays, data_file
from sifnet.scenes.scene import FIT_WINDOW, Scene
from sifnet.units import air_to_vacuum

Array = NDArray[np.float64]

SHARPEST, WIDEST = 0.1, 0.6  # nm FWHM, of sensors whose bands resolve the lines
REACH = 0.5  # nm, largest shift looked for
FWHM_FACTORS = np.linspace(0.6, 1.6, 21)  # width over what is stated
PLACES, LINES = 12, 48  # groups of columns, and lines that are looked at
SMOOTH = 3  # degree of the continuum
WINGS = 1.0  # of a width, within which light must be known of bands that resolve no lines
BELIEVED = 0.03  # nm, within which a shift is left to the retrieval
WIDTH_BELIEVED = 0.12  # share of the width, within which it is
UNREGISTERED = 0.97  # correlation with the lines, below which nothing is believed
AIR = (0.12, 0.33)  # nm, shifts that counting in air explains better than a shift


@dataclass(frozen=True)
class Registration:
    """What the lines of a scene say of its bands.

    Attributes:
        shift: nm, of band centres from where they are stated, median over the detector.
        smile: nm, its spread over the detector, largest less smallest.
        fwhm_factor: width over what is stated.
        correlation: of the spectra with the lines.
    """

    shift: float
    smile: float
    fwhm_factor: float
    correlation: float


def registration(scene: Scene) -> Registration | None:
    """Register a scene; None where its bands do not resolve lines, or too little is bright."""
    wavelength, fwhm = scene.wavelength, scene.fwhm
    low, high = FIT_WINDOW
    bands = np.flatnonzero((wavelength >= low) & (wavelength <= high))
    if len(bands) < 40 or not SHARPEST < float(np.median(fwhm[bands])) < WIDEST:
        return None
    spectra = _spectra(scene, bands)
    if len(spectra) == 0:
        return None
    x, width = wavelength[bands], float(np.median(fwhm[bands]))
    together = np.log(spectra.mean(0))
    scores = [_fits(together, x, width * factor)[1].max() for factor in FWHM_FACTORS]
    factor = _peak(FWHM_FACTORS, np.array(scores))
    shifts, (quality, *each) = _fits(np.vstack([together, np.log(spectra)]), x, width * factor)
    found = [_peak(shifts, one) for one in each]
    return Registration(
        float(np.median(found)), float(np.ptp(found)), factor, float(np.sqrt(max(quality)))
    )


def registered(scene: Scene) -> Scene:
    """The scene with its bands where its lines say they are; what was changed is in its notes.

    Raises:
        SifnetError: the spectra do not look like sunlight through oxygen.
    """
    if "registered_shift" in scene.dataset.attrs:
        return scene
    found = registration(scene)
    if found is None:
        return scene
    if found.correlation < UNREGISTERED:
        raise SifnetError(
            "the spectra do not show the lines of sun and oxygen",
            found=f"correlation {found.correlation:.2f} at best, within {REACH:g} nm",
            expected=f"at least {UNREGISTERED:g}",
            remedy="Check wavelengths, order of bands and byte order in its header.",
            file=scene.file,
        )
    wavelength, notes, shift = scene.wavelength.copy(), [], found.shift
    if AIR[0] < shift < AIR[1]:
        wavelength = air_to_vacuum(wavelength)
        shift -= float(np.median(wavelength - scene.wavelength))
        notes.append(
            f"wavelengths were counted in air without saying so (lines {found.shift:+.3f} nm off): "
            "converted to vacuum"
        )
    taken = shift if abs(shift) > BELIEVED else 0.0
    if taken:
        notes.append(f"band centres moved by {taken:+.3f} nm, to where the scene's lines are")
    fwhm = scene.fwhm
    if abs(found.fwhm_factor - 1) > WIDTH_BELIEVED:
        fwhm = fwhm * found.fwhm_factor
        notes.append(f"band widths multiplied by {found.fwhm_factor:.2f}, as its lines are wide")
    if not notes:
        return scene
    dataset = scene.dataset.assign_coords(
        wavelength=("band", wavelength + taken), fwhm=("band", fwhm)
    )
    factor = float(np.median(fwhm / scene.fwhm))
    told = {
        "registered_shift": taken,
        "registered_width": factor,
        "notes": [*scene.dataset.attrs["notes"], *notes],
    }
    return Scene(dataset.assign_attrs(told))


def likeness(scene: Scene, spectrum: Array) -> float | None:
    """Correlation of a scene's mean spectrum with sunlight through oxygen, in wide bands.

    None where bands resolve the lines, and so are registered on them, or are too few.
    """
    wavelength, fwhm = scene.wavelength, scene.fwhm
    grid, _ = _light()
    wide = WINGS * float(np.median(fwhm))
    bands = np.flatnonzero((wavelength >= grid[0] + wide) & (wavelength <= grid[-1] - wide))
    width = float(np.median(fwhm[bands])) if bands.size else 0.0
    if len(bands) < SMOOTH + 5 or width < WIDEST or not (spectrum[bands] > 0).all():
        return None
    _, scores = _fits(np.log(spectrum[bands]), wavelength[bands], width, width / 2)
    return float(np.sqrt(max(scores.max(), 0.0)))


def _spectra(scene: Scene, bands: NDArray[np.intp]) -> Array:
    """``place, band``: mean radiance of groups of neighbouring columns, where there is light."""
    lines = np.unique(np.linspace(0, scene.shape[0] - 1, LINES).astype(int))
    part = scene.radiance.isel(band=bands, line=lines).values.astype(float)
    lit = np.isfinite(part).all(-1) & (part > 0).all(-1)
    means = []
    for columns in np.array_split(np.arange(scene.shape[1]), min(PLACES, scene.shape[1])):
        chosen = part[:, columns][lit[:, columns]]
        if len(chosen):
            means.append(chosen.mean(0))
    return np.array(means)


@cache
def _light() -> tuple[Array, Array]:
    """Wavelengths, nm, and ``2, wavelength``: mean sunlight on the ground, and emission's way up.

    Read once, for it takes longer to unpack than to look at.
    """
    with arrays(
        data_file("emulator_airborne.npz"),
        "this is not a readable emulator",
        expected="the one that ships",
        remedy="Install sifnet again.",
    ) as stored:
        mean = stored["basis"][:, 0].astype(float)
        return stored["grid"].astype(float), mean[[1, 3]]


@cache
def _lines(fwhm: float) -> tuple[Array, Array]:
    """Wavelengths, nm, and logarithms of sunlight on the ground and of what oxygen leaves of it."""
    # Takes 0.3 s, for which sensors that do not resolve lines need not wait.
    from scipy.ndimage import gaussian_filter1d

    grid, light = _light()
    step = grid[1] - grid[0]
    return grid, np.log([gaussian_filter1d(x, fwhm / 2.3548 / step) for x in light])


def _fits(
    spectra: Array, wavelength: Array, fwhm: float, reach: float = REACH
) -> tuple[Array, Array]:
    """Shifts within ``reach``, and the share of a log spectrum's lines that each explains.

    That is r squared. The depth of solar and of oxygen lines is free, and so is the continuum.

    Args:
        spectra: ``..., band``.

    Returns:
        ``shift`` and ``..., shift``.
    """
    shifts, smooth, lines, inverse = _shifted(tuple(wavelength), round(fwhm, 4), reach)
    flat = spectra - (spectra @ smooth) @ smooth.T
    # (shift, line, band) and (..., band): normal equations of two depths, F'L (L'L)^-1 L'F
    along = np.einsum("slb,...b->...sl", lines, flat)
    depths = np.einsum("slm,...sm->...sl", inverse, along)
    return shifts, (along * depths).sum(-1) / (flat**2).sum(-1, keepdims=True)


@lru_cache(maxsize=2 * len(FWHM_FACTORS))
def _shifted(
    wavelength: tuple[float, ...], fwhm: float, reach: float
) -> tuple[Array, Array, Array, Array]:
    """Of bands, which other scenes may have as well: shifts; what spans the continuum, ``band,
    power``; lines less that, ``shift, line, band``; and the inverse of their squares."""
    grid, logs = _lines(fwhm)
    bands = np.array(wavelength)
    x = (bands - bands.mean()) / np.ptp(bands)
    smooth = np.linalg.qr(np.vander(x, SMOOTH + 1))[0]
    shifts = np.arange(-reach, reach + 1e-9, 0.02)
    lines = np.stack([np.interp(bands + shifts[:, None], grid, log) for log in logs], axis=1)
    lines = lines - (lines @ smooth) @ smooth.T
    return shifts, smooth, lines, np.linalg.pinv(lines @ lines.swapaxes(1, 2), hermitian=True)


def _peak(x: Array, y: Array) -> float:
    """Place of the maximum, between the points by a parabola."""
    i = int(np.clip(np.argmax(y), 1, len(x) - 2))
    before, top, after = y[i - 1 : i + 2]
    bend = before - 2 * top + after
    offset = 0.0 if bend == 0 else 0.5 * (before - after) / bend
    return float(x[i] + np.clip(offset, -1, 1) * (x[1] - x[0]))
