"""Samples of full radiative transfer as the emulator needs them: one kind of sensor, grouped."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from sifnet.physics.full import database
from sifnet.physics.state import RANGES, Atmosphere, Geometry
from sifnet.physics.transfer import TransferFunctions
from sifnet.physics.windows import FAR_RED, Window


@dataclass(frozen=True)
class Samples:
    """Products of full radiative transfer at 1 AU and the states they belong to.

    Attributes:
        state: ``sample, len(database.STATE)``.
        products: ``sample, 5, wavelength`` on the grid of ``window``.
    """

    state: NDArray[np.float64]
    products: NDArray[np.float32]
    window: Window = FAR_RED

    @classmethod
    def read(cls, folder: Path, *, space: bool, full: bool, window: Window = FAR_RED) -> Samples:
        """Read a database's samples for sensors in space, or for those below 3 km.

        Args:
            folder: of ``database.build``.
            space: which sensors.
            full: the samples computed on every wavenumber, kept for tests; else those of the fit.
            window: that they were computed in.

        Raises:
            SifnetError: the folder holds none.
        """
        state, products = database.load(folder, full=full, space=space, window=window)
        return cls(state, products, window)

    def __len__(self) -> int:
        return len(self.state)

    def select(self, keep: NDArray[np.bool_]) -> Samples:
        """The samples where ``keep`` is true."""
        return Samples(self.state[keep], self.products[keep], self.window)

    @cached_property
    def atmosphere_index(self) -> NDArray[np.intp]:
        """Number of the atmosphere and sun that a sample belongs to, ``sample``."""
        _, index = np.unique(self.columns(database.SHARED), axis=0, return_inverse=True)
        return index.ravel()

    @property
    def atmospheres(self) -> int:
        """How many atmospheres (each with one sun) there are."""
        return int(self.atmosphere_index.max()) + 1

    def within_ranges(self) -> Samples:
        """The samples within the ranges of every parameter, which the database exceeds a little."""
        inside = np.ones(len(self), dtype=bool)
        for name, values in zip(database.STATE, self.state.T, strict=True):
            low, high = RANGES[name]
            inside &= ((values >= low) & (values <= high)) | np.isinf(values)
        return self.select(inside)

    def columns(self, names: Sequence[str]) -> NDArray[np.float64]:
        """Some parameters of the states, ``sample, name``."""
        return self.state[:, [database.STATE.index(name) for name in names]]

    def atmosphere(self) -> Atmosphere:
        """The atmospheres, ``sample``, in float64."""
        return Atmosphere.unstack(torch.as_tensor(self.columns(Atmosphere.names())))

    def geometry(self) -> Geometry:
        """The geometries, ``sample``, in float64; at 1 AU."""
        *angles, distance = Geometry.names()
        values = torch.as_tensor(self.columns(angles))
        return Geometry(*values.unbind(-1), **{distance: torch.ones_like(values[:, 0])})

    @property
    def cos_sza(self) -> NDArray[np.float64]:
        """Cosine of the solar zenith angle, ``sample``."""
        return np.cos(np.radians(self.columns(["solar_zenith_angle"])[:, 0]))

    def transfer(self, matrix: NDArray[np.floating]) -> TransferFunctions:
        """Transfer functions ``sample, band`` (float64) through responses ``band, wavelength``."""
        on_bands = self.products @ matrix.T.astype(np.float32)
        return TransferFunctions(*torch.as_tensor(on_bands, dtype=torch.float64).unbind(1))
