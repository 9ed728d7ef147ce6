"""What noise the sensors have: one standard deviation a band, from the radiance it sees."""

from __future__ import annotations

import torch
from torch import Tensor

from sifnet.errors import SifnetError

SHOT_NOISE: dict[str, float] = {"hyplant": 0.07, "flox": 0.013, "desis": 0.05}
"""k of sigma = k sqrt(L), L and sigma in mW m-2 nm-1 sr-1.

- hyplant: signal to noise 48 / 65 / 101 / 116 at 10 / 20 / 50 / 100 (fit to published figures).
- flox: the ratio of reflected to incoming scatters by 0.14 % from band to band in 748-758 nm at
  L = 88 in real spectra of 2025-06-15, near the 0.12 % of the continuum that the FLEX L2 prior
  states; the 1 % it states inside the band is wavelength knowledge, which is fitted here.
- desis: an assumption. The published signal to noise is about 200 near 550 nm and lower in the
  near infrared; 200 is taken at L = 100.
"""
COMMON_ERROR: dict[str, float] = {"flox": 0.007}
"""Error of the radiance at the bottom of the O2-A band that all bands there share, relative to it.

Stray light, dark signal and linearity fill or deepen the band as fluorescence does, and no fit can
tell. For FloX 1.35 % is published there (FLEX mission: FloX uncertainty table, version 2, at
760.5 nm); half of it is taken, because the table includes what the wavelengths are uncertain by,
which is fitted here. For other sensors nothing is published that could be used: 0.
"""
DARKEST = 1.0  # mW m-2 nm-1 sr-1, below which detector noise is taken not to fall further


def noise_sd(radiance: Tensor, sensor: str) -> Tensor:
    """Standard deviation of the noise, mW m-2 nm-1 sr-1, same shape as ``radiance``.

    Raises:
        SifnetError: the sensor is not known.
    """
    if sensor not in SHOT_NOISE:
        raise SifnetError(
            "no noise model for this sensor",
            found=repr(sensor),
            expected=f"one of {', '.join(SHOT_NOISE)}",
        )
    return SHOT_NOISE[sensor] * torch.sqrt(radiance.clamp_min(DARKEST))
