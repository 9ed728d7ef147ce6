"""The window that is fitted: which of a scene's bands are."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sifnet.errors import SifnetError
from sifnet.physics.emulator import Emulator
from sifnet.physics.instrument import covered
from sifnet.scenes.scene import Scene


def fit_bands(
    wavelength: NDArray[np.float64], window: tuple[float, float], file: str | None = None
) -> NDArray[np.intp]:
    """Indices of the bands within a window, nm.

    Args:
        file: that an error names.

    Raises:
        SifnetError: fewer than 5 bands, with which four surface parameters cannot be told apart.
    """
    bands = np.flatnonzero((wavelength >= window[0]) & (wavelength <= window[1]))
    if bands.size < 5:
        raise SifnetError(
            "too few bands in the fit window",
            found=f"{bands.size} bands in {window[0]:g}-{window[1]:g} nm",
            expected="at least 5",
            remedy="Widen `window`, or check the wavelengths with `scene.describe()`.",
            command="Widen `window`, or check the wavelengths with `sifnet inspect`.",
            file=file,
        )
    return bands


def fit_window(
    scene: Scene, emulator: Emulator, window: tuple[float, float] | None = None
) -> tuple[float, float]:
    """The window that is fitted, nm: as wide as asked for, less bands that cannot be simulated.

    A band is left out at either end where its wings reach beyond the emulator's wavelengths.

    Args:
        window: that is asked for; the one usual for the sensor by default.

    Raises:
        SifnetError: fewer than 5 bands are left.
    """
    sensor, wanted = scene.sensor, window or scene.sensor.window
    bands = fit_bands(scene.wavelength, wanted, scene.file)
    centre, grid = scene.wavelength[bands], emulator.grid.cpu().numpy()
    inside = covered(centre, scene.fwhm[bands], grid, sensor.shift_range, sensor.fwhm_range)
    if inside.all() or not inside.any():
        return wanted
    low, high = float(centre[inside][0]), float(centre[inside][-1])
    narrowed = wanted[0] if inside[0] else low, wanted[1] if inside[-1] else high
    fit_bands(scene.wavelength, narrowed, scene.file)
    return narrowed
