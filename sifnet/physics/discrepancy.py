"""What a sensor's bands can be wrong by, alike for all pixels of a line, and its correction.

Simulated path and ground radiance are each off by a factor 1 + e(wavelength). Its covariance is
that of physics which may as well be true (``full.discrepancy``), of the sun, and of the wings of
the response. Its principal components are parameters of the line, with standard normal
priors; what a line finds of them corrects its simulation.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from sifnet.files import arrays, data_file
from sifnet.physics.emulator import Emulator
from sifnet.physics.instrument import Instrument, sparse_response
from sifnet.physics.solar import solar_irradiance, solar_transmittance
from sifnet.physics.transfer import TransferFunctions
from sifnet.physics.windows import FAR_RED, RED, Window

if TYPE_CHECKING:
    from scipy.sparse import csr_array

Array = NDArray[np.float64]

SHIPPED = {
    (FAR_RED, False): "discrepancy_airborne.npz",
    (FAR_RED, True): "discrepancy_space.npz",
    (RED, False): "discrepancy_airborne_red.npz",
    (RED, True): "discrepancy_space_red.npz",
}
# SAO2010 (Chance & Kurucz 2010) against three suns that TCCON has measured, at 0.25 nm: 0.09 to
# 0.14 % where air does not absorb. Toon's list of lines alone is 0.4 % off.
SUN_SD, SUN_FWHM = 0.0015, 0.25
LIST_SD = 1.0  # of its difference, for below oxygen's lines none of the three could look
WINGS_SD, WINGS_WIDTH = 0.02, 5.0  # share of the response that is in wings so many times as wide
NODES_PER_FWHM = 8
NEGLIGIBLE = 1e-4  # rms of what a left out component changes
MOST = 160  # components


@dataclass(frozen=True)
class Discrepancy:
    """Components of relative error on a sensor's bands.

    Attributes:
        start, step: of the nodes, nm.
        mean: ``node, 2``, of path and of ground, what is to be expected.
        components: ``node, component, 2``, about it, one standard deviation each.
    """

    start: float
    step: float
    mean: Tensor
    components: Tensor

    @classmethod
    def of_sensor(cls, instrument: Instrument, emulator: Emulator) -> Discrepancy:
        """On nodes over the bands of an instrument, however they are shifted.

        Raises:
            SifnetError: the table that ships is missing.
        """
        grid = emulator.grid.double().cpu().numpy()
        fwhm = float(instrument.fwhm.mean())
        step = fwhm / NODES_PER_FWHM
        low, high = instrument.shift_range
        centres = instrument.wavelength.double().cpu().numpy()
        nodes = np.arange(centres.min() + low, centres.max() + high + step, step)
        sharpened = np.sqrt(fwhm**2 - emulator.presmoothing_fwhm**2)
        response, wide = (
            sparse_response(grid, nodes, np.full(len(nodes), width))
            for width in (sharpened, WINGS_WIDTH * fwhm)
        )
        light = emulator.basis[:2, 0].double().cpu().numpy()  # mean path and ground
        seen = light @ response.T
        tables = np.concatenate(_table(emulator.window, emulator.space, grid)) * light
        rows = [
            (tables.reshape(-1, len(grid)) @ response.T).reshape(*tables.shape[:2], -1) / seen,
            _alike(_sun(emulator.window, nodes, response, grid, fwhm)),
            WINGS_SD * ((light @ wide.T) / seen - 1)[None],
        ]
        mean, *about = _less_smooth(np.concatenate(rows), nodes, emulator.window)
        components = _principal(np.array(about)).transpose(2, 0, 1)
        tensors = (torch.as_tensor(x).to(instrument.wavelength) for x in (mean.T, components))
        return cls(float(nodes[0]), step, *tensors)

    @property
    def count(self) -> int:
        """Number of components."""
        return self.components.shape[1]

    def at(
        self, wavelength: Float[Tensor, "*batch band"]
    ) -> Float[Tensor, "*batch band component 2"]:
        """Components at wavelengths, nm."""
        return _between(self.components, (wavelength - self.start) / self.step)

    def errors(
        self, wavelength: Float[Tensor, "*batch band"]
    ) -> Float[Tensor, "*batch error component"]:
        """Components as errors of path in every band, then of ground in every band."""
        return self.at(wavelength).movedim(-1, -3).flatten(-3, -2)

    def correction(self, coefficients: Float[Tensor, "*patch component"]) -> Correction:
        """What coefficients of the components do to the light of a line, or of each patch."""
        found = torch.einsum("nkp,...k->...np", self.components, coefficients.to(self.components))
        return Correction(self.start, self.step, self.mean + found)


@dataclass(frozen=True)
class Correction:
    """Relative error ``node, 2`` of path and ground radiance that is common to a line.

    Where patches are of several lines, ``patch, node, 2``.
    """

    start: float
    step: float
    error: Tensor

    def factors(
        self, wavelength: Float[Tensor, "*batch band"]
    ) -> tuple[Float[Tensor, "*batch band"], Float[Tensor, "*batch band"]]:
        """1 + error of path and of ground at wavelengths, nm."""
        position = (wavelength - self.start) / self.step
        *patches, nodes, _ = self.error.shape
        if patches:  # one table below the other
            first = nodes * torch.arange(*patches, device=position.device)
            position = position.clamp(0, nodes - 1) + first[:, None, None, None]
        error = _between(self.error.flatten(0, -2), position)
        return 1.0 + error[..., 0], 1.0 + error[..., 1]

    def __call__(
        self, transfer: TransferFunctions, wavelength: Float[Tensor, "*batch band"]
    ) -> TransferFunctions:
        """Transfer functions of sunlight corrected; those of emission are hardly concerned."""
        path, ground = self.factors(wavelength)
        t = transfer
        return TransferFunctions(
            t.path * path, t.ground * ground, t.ground_bounce * ground, t.up, t.up_bounce
        )


def _between(table: Tensor, position: Tensor) -> Tensor:
    """Linear between rows of a table, ``..., column``; the outermost rows beyond them."""
    low = position.detach().floor().clamp(0, len(table) - 2).long()
    share = (position - low).clamp(0, 1)[(..., *(None,) * (table.dim() - 1))]
    return table[low] + share * (table[low + 1] - table[low])


def _table(window: Window, space: bool, grid: Array) -> tuple[Array, Array]:
    """Mean ``1, 2, wavelength`` and components that ship, on a grid, nm."""
    with arrays(
        data_file(SHIPPED[window, space]),
        "the table of what the simulation may be wrong by cannot be read",
        expected="a table that data/make_discrepancy.py wrote",
        remedy="Install sifnet again, or run `make discrepancy` in a checkout.",
    ) as stored:
        at = np.clip(grid, *stored["wavelength"][[0, -1]])
        parts = (stored[name].astype(float) for name in ("mean", "components"))
        mean, components = (_linear(stored["wavelength"], part, at) for part in parts)
        return mean[None], components


def _linear(x: Array, y: Array, at: Array) -> Array:
    """``..., at``: between values ``..., x``; for this alone ``scipy.interpolate`` takes 0.6 s."""
    after = np.searchsorted(x, at).clip(1, len(x) - 1)
    slope = (y[..., after] - y[..., after - 1]) / (x[after] - x[after - 1])
    return slope * (at - x[after - 1]) + y[..., after - 1]


def _sun(window: Window, nodes: Array, response: csr_array, grid: Array, fwhm: float) -> Array:
    """Components ``component, node``: the sun that the list of lines makes, and what is unknown.

    No such list ships of the red window.
    """
    # White on a finer scale than any band, so that wide bands average it out.
    sd = SUN_SD * np.sqrt(SUN_FWHM / fwhm)
    overlap = np.exp(-0.5 * np.subtract.outer(nodes, nodes) ** 2 / (0.6 * fwhm) ** 2)
    variance, vectors = np.linalg.eigh(sd**2 * overlap)
    unknown = (vectors * np.sqrt(variance.clip(0))).T[variance > NEGLIGIBLE**2]
    if window == RED:
        return unknown
    lines, sun = (
        response @ f(1e7 / grid[::-1])[::-1] for f in (solar_transmittance, solar_irradiance)
    )
    ratio = lines / sun
    powers = np.vander((nodes - nodes.mean()) / np.ptp(nodes), 4)
    smooth = powers @ np.linalg.lstsq(powers, ratio, rcond=None)[0]
    lines = LIST_SD * (ratio / smooth - 1)
    return np.vstack([lines, unknown])


def _alike(components: Array) -> Array:
    """The same error of path and of ground."""
    return np.stack([components, components], axis=1)


def _less_smooth(rows: Array, nodes: Array, window: Window) -> Array:
    """Less what is aerosol's or the ground's own, as it is where oxygen does not absorb: the
    level of path, a parabola of ground."""
    low, high = window.absorbed
    clear = (nodes < low) | (nodes > high)
    for part, degree in ((0, 0), (1, 2)):
        powers = np.vander((nodes - nodes.mean()) / np.ptp(nodes), degree + 1)
        fitted = np.linalg.lstsq(powers[clear], rows[:, part, clear].T, rcond=None)[0]
        rows[:, part] -= (powers @ fitted).T
    return rows


def _principal(rows: Array) -> Array:
    """Orthogonal components of the same covariance, the largest, ``component, 2, node``."""
    flat = rows.reshape(len(rows), -1)
    squares, turned = np.linalg.eigh(flat @ flat.T)  # a third of the time of flat's own svd
    sizes = np.sqrt(squares.clip(0) / flat.shape[1])
    kept = min(MOST, int((sizes > NEGLIGIBLE / 10).sum()))
    return (turned[:, ::-1][:, :kept].T @ flat).reshape(kept, *rows.shape[1:])
