"""Full radiative transfer at 128 wavenumbers instead of 6,000, and the matrix that fills the rest.

Monochromatic light at any wavenumber of the O2 A band is, over all states, very nearly the same
linear combination of the light at a few representative wavenumbers (the idea of PCRTM, Liu et
al. 2006, Appl. Opt. 45, 201). The representatives are the pivots of a QR decomposition of
snapshots of full spectra, and the combinations are fitted to the products on ``GRID``, sun and
smoothing included. This leaves out 0.004 % rms of radiance, 0.04 % together with the streams being
scaled at fewer wavenumbers (``radiative_transfer.accurate``); a state costs a tenth, so ten times
as many can be learned from.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import qr

from sifnet.files import arrays
from sifnet.physics.full.radiative_transfer import MonochromaticTransfer
from sifnet.physics.full.spectral_grids import SpectralGrids
from sifnet.physics.transfer import SUNLIT

Array = NDArray[np.float64]

WAVENUMBERS = 128
PIVOT_SNAPSHOTS = 1500  # spectra that the representatives are chosen from
WEIGHT = np.array([5.0, 1.0, 5.0, 2.0, 5.0])[:, None]  # brings the products to a like size
RIDGE = 1e-9  # of the mean square of the snapshots


@dataclass(frozen=True)
class Reduction:
    """Representative wavenumbers and the way from there to the products.

    Attributes:
        wavenumber: (node) cm-1, ascending.
        sunlit: (node, GRID) matrix for path, ground and ground_bounce, the sun included.
        emitted: (node, GRID) matrix for up and up_bounce.
    """

    wavenumber: Array
    sunlit: Array
    emitted: Array

    @classmethod
    def learn(cls, snapshots: NDArray[np.float32], grids: SpectralGrids) -> Self:
        """Choose wavenumbers and fit matrices.

        Args:
            snapshots: (sample, 5, n) products per unit sun, divided by cos(SZA) if sunlit, at the
                wavenumbers of ``grids.cross_sections``.
            grids: the way from full spectra to products.
        """
        scaled = snapshots * WEIGHT
        rows = scaled.reshape(-1, scaled.shape[-1])
        chosen = np.random.default_rng(0).permutation(len(rows))[:PIVOT_SNAPSHOTS]
        _, _, pivots = qr(rows[chosen], mode="economic", pivoting=True)
        nodes = np.sort(pivots[:WAVENUMBERS])
        matrices = []
        for group in (slice(0, SUNLIT), slice(SUNLIT, 5)):
            full = grids.to_grid(snapshots[:, group], sun=group.start == 0) * WEIGHT[group]
            at_nodes = scaled[:, group][..., nodes].reshape(-1, WAVENUMBERS).astype(float)
            normal = at_nodes.T @ at_nodes
            ridge = RIDGE * np.trace(normal) / WAVENUMBERS * np.eye(WAVENUMBERS)
            side = at_nodes.T @ full.reshape(-1, full.shape[-1])
            matrices.append(np.linalg.solve(normal + ridge, side))
        return cls(grids.cross_sections.wavenumber[nodes], *matrices)

    def products(self, at_nodes: NDArray[np.floating]) -> NDArray[np.float32]:
        """(sample, 5, GRID) products of (sample, 5, node) products per unit sun."""
        sunlit = at_nodes[:, :SUNLIT] @ self.sunlit
        return np.concatenate([sunlit, at_nodes[:, SUNLIT:] @ self.emitted], axis=1).astype("f4")

    def save(self, path: Path) -> None:
        """Write to an npz file."""
        np.savez(path, **vars(self))

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read what ``save`` wrote.

        Raises:
            SifnetError: it is missing or unreadable.
        """
        with arrays(
            path,
            "the database's representative wavenumbers cannot be read",
            expected="a file that sifnet build-emulator wrote",
            remedy="Remove it; the next build makes it again.",
        ) as stored:
            return cls(**{name: stored[name] for name in cls.__dataclass_fields__})


def snapshot(light: MonochromaticTransfer, cos_sza: float) -> NDArray[np.float32]:
    """(observer, 5, n) products per unit sun, sunlit ones divided by cos(SZA)."""
    five = light.products(np.ones_like(light.irradiance))
    five[:, :SUNLIT] /= cos_sza
    return five.astype(np.float32)
