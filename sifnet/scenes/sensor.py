"""Sensor: one record of what a spectrometer is; nothing else asks which sensor it has.

A sensor is made by a file in this room, by a user at run time, or by a package that names one under
the entry point ``sifnet.sensors``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from sifnet import card
from sifnet.errors import SifnetError

FIT_WINDOW = (750.0, 770.0)  # nm, the O2 A band and its shoulders
NOISE_AT = (0.07, 0.11)  # shot noise of HyPlant FLUO, and the sampling that it is of, nm
Medium = Literal["air", "vacuum"]
Form = Literal["line", "series", "orbit", "swath"]
_MEDIA, _FORMS = get_args(Medium), get_args(Form)


@dataclass(frozen=True, repr=False)
class Sensor:
    """What is usual for a sensor, used where a scene does not say better; nm.

    Attributes:
        name: by which files, products and the command line call it.
        sampling: distance of band centres.
        fwhm: full width at half maximum of the response.
        shot_noise: k of sigma = k sqrt(L), L and sigma in mW m-2 nm-1 sr-1; ``usual_noise`` by
            default, an assumption.
        window: that is fitted; wider where bands are, so that there are enough of them.
        shift_range: lowest and highest wavelength shift worth looking for; half a width by
            default.
        fwhm_range: lowest and highest change of width; a quarter of it by default.
        detectors: first and last wavelength of each spectrometer, where there are several: the
            light that strays in one is its own. One that sees all that was read by default.
        medium: in which its wavelengths are counted where a file does not say.
        since: year of its first light; scenes of earlier years are refused.
        space: whether it is in space.
        predicts_shape: whether the sensor sees enough beside the window to predict the shape of
            reflectance in it, and needs to.
        simulated_as: a flight ``line`` (written and read as HyPlant's), a ``series`` of a field
            spectrometer (as FloX's), a scene from ``orbit`` (as DESIS's), a ``swath`` of it (as
            FLEX's); None for none.
        start_model: file of the model that ships for its bands, and serves like ones too.
        inspect_only: why a retrieval is refused; empty where it is not.

    Raises:
        SifnetError: a value that no spectrometer has.
    """

    name: str
    sampling: float
    fwhm: float
    shot_noise: float = None  # type: ignore[assignment]
    window: tuple[float, float] = FIT_WINDOW
    shift_range: tuple[float, float] = ()  # type: ignore[assignment]
    fwhm_range: tuple[float, float] = ()  # type: ignore[assignment]
    detectors: tuple[tuple[float, float], ...] = ()
    medium: Medium = "vacuum"
    since: int = 1970
    space: bool = False
    predicts_shape: bool = False
    simulated_as: Form | None = None
    start_model: str | None = None
    inspect_only: str = ""

    def __post_init__(self) -> None:
        if vars(self)["shot_noise"] is None and self.sampling > 0:
            object.__setattr__(self, "shot_noise", usual_noise(self.sampling))
        for label, share in (("shift_range", 0.5), ("fwhm_range", 0.25)):
            if not getattr(self, label):
                object.__setattr__(self, label, (-share * self.fwhm, share * self.fwhm))
        for label in ("sampling", "fwhm", "shot_noise"):
            value = getattr(self, label)
            if not 0 < value < np.inf:
                self._refuse(label, f"{value:g}", "above 0")
        ends = [(label, getattr(self, label)) for label in ("window", "shift_range", "fwhm_range")]
        for label, (low, high) in (*ends, *(("detectors", ends_) for ends_ in self.detectors)):
            if not low < high:
                self._refuse(label, f"{low:g} to {high:g}", "the lower end first")
        if not self.shift_range[0] <= 0 <= self.shift_range[1]:
            self._refuse("shift_range", str(self.shift_range), "a range around 0")
        for label, choices in (("medium", _MEDIA), ("simulated_as", (*_FORMS, None))):
            value = getattr(self, label)
            if value not in choices:
                self._refuse(label, repr(value), " or ".join(map(str, choices)))

    def _card(self) -> list[tuple[str, str]]:
        low, high = self.window
        rows = [
            ("bands", f"every {self.sampling:g} nm, FWHM {self.fwhm:g} nm"),
            ("fitted", f"{low:g}-{high:g} nm"),
            ("noise", f"{self.shot_noise:g} sqrt(L), L in mW m-2 nm-1 sr-1"),
            ("wavelength shift", "{:+g} to {:+g} nm".format(*self.shift_range)),
            ("width", "{:+g} to {:+g} nm".format(*self.fwhm_range)),
            ("counted in", self.medium),
            ("place", "in space" if self.space else "in the air, or above a canopy"),
            ("start model", self.start_model or "none"),
        ]
        return [*rows, ("inspect only", self.inspect_only)] if self.inspect_only else rows

    def __repr__(self) -> str:
        return card.text(f"sifnet.Sensor {self.name}", self._card())

    def _repr_html_(self) -> str:
        return card.html(f"Sensor {self.name}", self._card())

    def _refuse(self, label: str, value: str, expected: str) -> None:
        raise SifnetError(
            f"the sensor {self.name!r} has an impossible {label}",
            found=value,
            expected=expected,
            remedy="Correct the record of the sensor.",
        )

    def centres(self) -> NDArray[np.float64]:
        """Band centres within the window, nm."""
        return np.arange(self.window[0], self.window[1] + 1e-6, self.sampling)


def usual_noise(sampling: float) -> float:
    """Shot noise k of a spectrometer of which nothing is known: HyPlant's, for as much light.

    Noise of photons over their number falls as the root of what a band collects: k goes as
    1 / sqrt(sampling), sampling in nm.
    """
    k, at = NOISE_AT
    return float(k * np.sqrt(at / sampling))
