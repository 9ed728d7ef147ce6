"""The two windows of the spectrum that are simulated and fitted, each as one: one oxygen band each.

What is counted at one wavelength of a window, fluorescence and reflectance, is counted at its
``reference``. The windows do not touch, so that a wavelength says in which it lies.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Window:
    """A stretch of the spectrum around an oxygen band; nm in vacuum.

    Attributes:
        name: in names of files and in words.
        grid: first and last wavelength that full radiative transfer computes.
        counted: of the bands in whose errors an emulator is fitted.
        fitted: of the bands that are usually fitted.
        reference: where fluorescence and reflectance are counted.
        clear: within ``grid``, where next to nothing absorbs.
        absorbed: where oxygen does most.
    """

    name: str
    grid: tuple[float, float]
    counted: tuple[float, float]
    fitted: tuple[float, float]
    reference: float
    clear: tuple[float, float]
    absorbed: tuple[float, float]

    @property
    def wavelength(self) -> NDArray[np.float64]:
        """``grid``, every ``STEP``."""
        low, high = self.grid
        return np.linspace(low, high, round((high - low) / STEP) + 1)


STEP = 0.02  # nm
FAR_RED = Window(
    "far_red",
    grid=(740.0, 780.0),
    counted=(745.0, 777.0),
    fitted=(750.0, 770.0),
    reference=760.0,
    clear=(752.0, 757.0),
    absorbed=(758.5, 770.0),
)
# Below 684.5 nm a parabola no longer follows the red edge of canopies (fluorescence wrong by 0.03
# rms over PROSAIL canopies from there on, by 0.08 from 683 nm, by 0.2 from 681.5 nm); above 692.4
# nm water vapour has lines as deep as oxygen's, and no list of them ships.
RED = Window(
    "red",
    grid=(681.0, 695.0),
    counted=(682.5, 693.6),
    fitted=(684.5, 692.4),
    reference=687.0,
    clear=(682.0, 686.0),
    absorbed=(686.5, 690.5),
)
BETWEEN = 715.0  # nm


def window_of(wavelength: float) -> Window:
    """The window in which a wavelength, nm, lies."""
    return RED if wavelength < BETWEEN else FAR_RED
