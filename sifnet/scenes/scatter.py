"""How much bands scatter: the noise of a detector, read from its own spectra."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

RESOLVED = 40  # bands of the continuum, of which noise can be told


def noise_over_root(radiance: NDArray[np.floating], lit: NDArray[np.bool_]) -> float:
    """Noise over sqrt(L): what is left of the continuum beside its column and a smooth curve.

    Not a number where bands or lines are too few.

    Args:
        radiance: (line, sample, band) of the continuum.
        lit: (line, sample), the pixels that count.
    """
    count, lines = radiance.shape[-1], lit.sum(0)
    columns = lines >= 8
    if count < RESOLVED or not columns.any():
        return float("nan")
    radiance, lit, lines = radiance[:, columns], lit[:, columns], lines[columns]
    mean = np.where(lit, radiance.mean(-1, dtype=float), 1.0)[..., None]
    share = np.where(lit[..., None], radiance / mean, 0.0)
    left = share - share.sum(0) / lines[:, None]
    smooth = np.linalg.qr(np.vander(np.linspace(-1, 1, count), 4))[0]
    left = left - (left @ smooth) @ smooth.T
    freedom = (count - 4) / count * (1 - 1 / lines)
    squares = (left**2 * mean / freedom[:, None])[lit].mean(-1)
    # The median, for an edge of a field or a line of the air is no noise.
    return float(np.sqrt(np.median(squares)))
