"""What noise a sensor has: one standard deviation a band, from the radiance it sees."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

DARKEST = 1.0  # mW m-2 nm-1 sr-1, below which detector noise is taken not to fall further


def noise_sd(
    radiance: Float[Tensor, "*shape"], shot_noise: float | Tensor
) -> Float[Tensor, "*shape"]:
    """Standard deviation k sqrt(L) of the noise, mW m-2 nm-1 sr-1, same shape as ``radiance``.

    Args:
        shot_noise: k, of the sensor's record, or of every band.
    """
    return radiance.clamp_min(DARKEST).mul_(shot_noise**2).sqrt_()
