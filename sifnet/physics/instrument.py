"""How a sensor turns a fine spectrum into bands: centres, responses, shift, width change.

The emulator's basis is convolved with every band's response once, at Chebyshev nodes of
wavelength shift and width change; afterwards a sensor is one small matrix product, differentiable
in both.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import product
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Bool, Float
from numpy.polynomial import chebyshev
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

from sifnet.errors import SifnetError
from sifnet.physics.emulator import Emulator
from sifnet.physics.fields import TensorFields
from sifnet.physics.state import RANGES, SensorState
from sifnet.physics.transfer import TransferFunctions

if TYPE_CHECKING:
    from scipy.interpolate import CubicSpline
    from scipy.sparse import csr_array

_Array = NDArray[np.floating]
Response = Sequence[tuple[Sequence[float] | _Array, Sequence[float] | _Array]]

_SIGMA_PER_FWHM = 1.0 / np.sqrt(8.0 * np.log(2.0))
_REACH = 1.8  # FWHM on either side over which a response is summed: 4.2 sigma, 2e-5 of its area
_NODES = ((5, 3), (7, 4), (9, 5), (11, 6), (14, 8))  # of shift and width change
_WANTED, _ALLOWED = 1e-4, 1e-3  # relative error of radiance by the interpolation


class Instrument(nn.Module):
    """Applies the band responses of a sensor to transfer functions in components.

    Attributes:
        wavelength: nominal centres, nm, ``band``.
        fwhm: nominal widths, nm, ``band``.
        interpolation_error: largest relative error of radiance, at reflectance 0.3, that the
            interpolation in shift and width makes, measured when it is built.
    """

    wavelength: Tensor
    fwhm: Tensor
    matrices: Tensor

    def __init__(
        self,
        centre: ArrayLike,
        fwhm: ArrayLike,
        emulator: Emulator,
        *,
        response: Response | None = None,
        shift_range: tuple[float, float] = RANGES["wavelength_shift"],
        fwhm_range: tuple[float, float] = RANGES["fwhm_shift"],
        fewest: tuple[int, int] = _NODES[0],
    ) -> None:
        """Build the matrices of a sensor.

        Args:
            centre: band centres, nm in vacuum, ``band``.
            fwhm: full widths at half maximum, nm, ``band`` or one for all.
            emulator: whose basis is convolved.
            response: measured responses, one pair (wavelength nm, response) a band; Gaussians
                when absent.
            shift_range: lowest and highest wavelength shift, nm.
            fwhm_range: lowest and highest change of FWHM, nm.
            fewest: nodes of an instrument with like bands: fewer need not be tried.

        Raises:
            SifnetError: widths not above the emulator's smoothing, bands that reach beyond its
                grid, or ranges too wide for the interpolation.
        """
        super().__init__()
        centres = np.atleast_1d(np.asarray(centre, dtype=float))
        widths = np.broadcast_to(np.asarray(fwhm, dtype=float), centres.shape).copy()
        self.shift_range, self.fwhm_range = shift_range, fwhm_range
        grid = emulator.grid.double().cpu().numpy()
        ranges = shift_range, fwhm_range
        bands = _Bands(grid, emulator.presmoothing_fwhm, centres, widths, response, *ranges)
        bands.refuse_impossible()
        basis = emulator.basis.double().cpu().numpy()
        light = basis[0, 0] + 0.3 * basis[1, 0]  # mean radiance at reflectance 0.3
        exact = _between_nodes(bands, light)
        for nodes in _NODES[_NODES.index(fewest) :]:
            responses = _at_nodes(bands, nodes)
            error = _interpolation_error(_series(responses, light[None, None], nodes), exact)
            if error <= _WANTED:
                break
        # Measured responses with sharp edges end between the two.
        if error > _ALLOWED:
            raise SifnetError(
                "the instrument's shift and width ranges are too wide to interpolate",
                found=f"relative error {error:.1e} with {nodes} nodes",
                expected=f"at most {_ALLOWED:.0e}",
                remedy="Narrow shift_range or fwhm_range.",
            )
        self.nodes, self.interpolation_error = nodes, error
        fitted = _series(responses, basis, nodes)
        like = emulator.basis
        self.register_buffer("wavelength", torch.as_tensor(centres).to(like))
        self.register_buffer("fwhm", torch.as_tensor(widths).to(like))
        # (product, node, component, band): nodes are summed first, once for a sensor state.
        merged = torch.as_tensor(fitted).permute(2, 0, 1, 3, 4).flatten(1, 2)
        self.register_buffer("matrices", merged.contiguous().to(like))

    @property
    def ranges(self) -> dict[str, tuple[float, float]]:
        """Ranges of the sensor state within which the interpolation holds."""
        return {"wavelength_shift": self.shift_range, "fwhm_shift": self.fwhm_range}

    def forward(self, transfer: TransferFunctions, sensor: SensorState) -> TransferFunctions:
        """Transfer functions ``..., component`` to ``..., band`` under a sensor state ``...``."""
        return self.at(sensor)(transfer)

    def at(self, sensor: SensorState, *, slopes: bool = False) -> Responses:
        """What bands see under a sensor state ``...``; ``slopes``: and how that goes with it."""
        parts = tuple(
            zip(
                (sensor.wavelength_shift, sensor.fwhm_shift),
                (self.shift_range, self.fwhm_range),
                self.nodes,
                strict=True,
            )
        )
        shift, width = (_polynomials(*part) for part in parts)
        pairs = [(shift, width)]
        if slopes:
            by_shift, by_width = (_polynomial_slopes(*part) for part in parts)
            pairs += [(by_shift, width), (shift, by_width)]
        weights = torch.stack([(x[..., :, None] * y[..., None, :]).flatten(-2) for x, y in pairs])
        # Of all at once: to put them beside each other later takes as long as to sum them.
        seen = weights.reshape(-1, weights.shape[-1]) @ self.matrices.flatten(2)
        seen = seen.reshape(-1, *weights.shape[:-1], *self.matrices.shape[2:])
        return Responses(seen[:, 0], seen[:, 1:].movedim(1, 0) if slopes else None)


@dataclass(frozen=True)
class Responses(TensorFields):
    """An instrument whose sensor state ``...`` is settled.

    Attributes:
        bands: ``product, ..., component, band``, what a band sees of a component.
        slopes: ``2, product, ..., component, band``, its derivatives to shift and width, nm-1.
    """

    bands: Tensor
    slopes: Tensor | None = None

    def __call__(self, transfer: TransferFunctions) -> TransferFunctions:
        """Transfer functions ``..., component`` to ``..., band``."""
        return _on_bands(transfer, self.bands, "...k,...kb->...b")

    def of_rows(self, transfer: TransferFunctions) -> TransferFunctions:
        """The same of many at once under each sensor state: ``..., row, component``."""
        return _on_bands(transfer, self.bands, "...rk,...kb->...rb")

    def corrected(self, path: Float[Tensor, "*batch band"], ground: Tensor) -> Responses:
        """With factors on the sunlight that bands see, ``..., band`` (``Correction.factors``)."""
        ones = torch.ones_like(path)
        factors = torch.stack([path, ground, ground, ones, ones])[..., None, :]
        slopes = None if self.slopes is None else self.slopes * factors
        return Responses(self.bands * factors, slopes)

    def by_sensor(self, transfer: TransferFunctions) -> TransferFunctions:
        """Derivatives ``..., 2, band`` of the transfer functions to shift and width, nm-1."""
        if self.slopes is None:
            raise ValueError("these responses were made without their slopes")
        parts = (_on_bands(transfer, slopes, "...k,...kb->...b") for slopes in self.slopes)
        return TransferFunctions.combine(partial(torch.stack, dim=-2), list(parts))


def _on_bands(transfer: TransferFunctions, bands: Tensor, sums: str) -> TransferFunctions:
    pairs = zip(transfer.items(), bands, strict=True)
    return TransferFunctions(*(torch.einsum(sums, values, part) for (_, values), part in pairs))


def gaussian_response(
    grid: Float[np.ndarray, wavelength],
    centre: Float[np.ndarray, band],
    fwhm: Float[np.ndarray, band],
) -> Float[np.ndarray, "band wavelength"]:
    """Gaussian responses ``band, wavelength`` that sum to one on the grid; widths are FWHM.

    The grid ascends. Beyond 5 FWHM, where a double holds nothing beside 1, they are 0.
    """
    return np.asarray(sparse_response(grid, centre, fwhm).toarray())


def sparse_response(
    grid: Float[np.ndarray, wavelength],
    centre: Float[np.ndarray, band],
    fwhm: Float[np.ndarray, band],
) -> csr_array:
    """``gaussian_response`` as a sparse matrix: a band sees a few of the grid's wavelengths."""
    from scipy.sparse import csr_array  # takes 0.3 s, for which an import need not wait

    near, weights = _gaussians(grid, centre, fwhm)
    rows = np.arange(len(near) + 1) * near.shape[1]
    return csr_array((weights.ravel(), near.ravel(), rows), shape=(len(near), len(grid)))


def _gaussians(grid: _Array, centre: _Array, fwhm: _Array) -> tuple[NDArray[np.intp], _Array]:
    """Places ``band, near`` on the grid and responses there, 0 where the grid has ended."""
    ends = centre[:, None] + 5.0 * fwhm[:, None] * np.array([-1.0, 1.0])
    first, last = np.searchsorted(grid, ends.clip(grid[0], grid[-1])).T
    wanted = first[:, None] + np.arange((last - first).max() + 1)
    near = wanted.clip(max=len(grid) - 1)
    x = (grid[near] - centre[:, None]) / (fwhm[:, None] * _SIGMA_PER_FWHM)
    weights = np.exp(-0.5 * np.asarray(x, np.float64) ** 2) * (wanted == near)
    return near, weights / weights.sum(axis=1, keepdims=True)


@dataclass(frozen=True)
class _Bands:
    """Nominal bands on the emulator's grid, before shift and width change."""

    grid: _Array
    presmoothing: float
    centre: _Array
    fwhm: _Array
    response: Response | None
    shift_range: tuple[float, float]
    fwhm_range: tuple[float, float]

    def matrix(self, shift: float, width: float) -> csr_array:
        """Responses ``band, wavelength`` with shift and width change (nm) applied.

        The grid is smoothed already, so that a response of FWHM w becomes one of
        sqrt(w^2 - presmoothing^2): exact for Gaussians; measured responses are stretched about
        their centre by the same factor.
        """
        from scipy.sparse import csr_array  # takes 0.3 s, for which an import need not wait

        narrowed = np.sqrt((self.fwhm + width) ** 2 - self.presmoothing**2)
        if self.response is None:
            return sparse_response(self.grid, self.centre + shift, narrowed)
        offset = self.grid - (self.centre[:, None] + shift)
        nominal = self.centre[:, None] + offset * (self.fwhm / narrowed)[:, None]
        weights = np.zeros_like(nominal)
        for row, x, spline in zip(weights, nominal, self._splines, strict=True):
            inside = (x >= spline.x[0]) & (x <= spline.x[-1])
            row[inside] = spline(x[inside])
        return csr_array(weights / weights.sum(axis=1, keepdims=True))

    @cached_property
    def _splines(self) -> list[CubicSpline]:
        """Measured responses: a polygon's kinks could not be followed while it is shifted."""
        from scipy.interpolate import CubicSpline  # takes 0.4 s, for which Gaussians need not wait

        return [CubicSpline(*band) for band in self.response or ()]

    def _ends_inside(self) -> NDArray[np.bool_]:
        """(band) whether a response that is given ends within the grid, however it is shifted."""
        if self.response is None:
            return np.zeros(self.centre.shape, bool)
        ends = np.array([(wavelength[0], wavelength[-1]) for wavelength, _ in self.response])
        stretched = self.centre[:, None] + (ends - self.centre[:, None]) * (
            1 + self.fwhm_range[1] / self.fwhm[:, None]
        )
        low, high = stretched.T + np.array(self.shift_range)[:, None]
        return np.asarray((low >= self.grid[0]) & (high <= self.grid[-1]))

    def refuse_impossible(self) -> None:
        """Raise SifnetError for bands narrower than the grid's smoothing or beyond its ends."""
        narrowest = self.fwhm.min() + self.fwhm_range[0]
        if not narrowest > self.presmoothing * 1.2:
            raise SifnetError(
                "a band is too narrow for the emulator",
                found=f"FWHM down to {narrowest:.3g} nm",
                expected=f"above {1.2 * self.presmoothing:.3g} nm",
                remedy="Check that widths are in nm, or narrow fwhm_range.",
            )
        inside = covered(self.centre, self.fwhm, self.grid, self.shift_range, self.fwhm_range)
        inside = inside | self._ends_inside()
        if not inside.all():
            beyond = self.centre[~inside]
            raise SifnetError(
                "bands reach beyond the emulator's wavelengths",
                found=f"bands at {', '.join(f'{centre:.2f}' for centre in beyond)} nm",
                expected=f"wings within {self.grid[0]:.1f} to {self.grid[-1]:.1f} nm (vacuum)",
                remedy="Narrow the window of the fit.",
            )


def covered(
    centre: Float[np.ndarray, band],
    fwhm: Float[np.ndarray, band],
    grid: Float[np.ndarray, wavelength],
    shift_range: tuple[float, float],
    fwhm_range: tuple[float, float],
) -> Bool[np.ndarray, band]:
    """(band) whether bands lie on a grid with their wings, however they are shifted and widened."""
    reach = _REACH * (fwhm + fwhm_range[1])
    low, high = centre - reach + shift_range[0], centre + reach + shift_range[1]
    return (low >= grid[0]) & (high <= grid[-1])


def _polynomials(value: Tensor, limits: tuple[float, float], count: int) -> Tensor:
    """Chebyshev polynomials T_0..T_(count-1), ``..., count``, of a value scaled to -1..1.

    By the recurrence T_k = 2 x T_(k-1) - T_(k-2), whose gradient is finite at the ends too.
    """
    x = (2.0 * value - (limits[0] + limits[1])) / (limits[1] - limits[0])
    terms = [torch.ones_like(x), x]
    for _ in range(count - 2):
        terms.append(2.0 * x * terms[-1] - terms[-2])
    return torch.stack(terms, dim=-1)


def _polynomial_slopes(value: Tensor, limits: tuple[float, float], count: int) -> Tensor:
    """Derivatives of ``_polynomials`` to the value: T_k' = 2 T_(k-1) + 2 x T_(k-1)' - T_(k-2)'."""
    terms, scale = _polynomials(value, limits, count), 2.0 / (limits[1] - limits[0])
    slopes = [torch.zeros_like(value), torch.ones_like(value)]
    for k in range(2, count):
        bent = 2.0 * terms[..., k - 1] + 2.0 * terms[..., 1] * slopes[-1]
        slopes.append(bent - slopes[-2])
    return scale * torch.stack(slopes, dim=-1)


def _at_nodes(bands: _Bands, nodes: tuple[int, int]) -> list[csr_array]:
    """Responses at Chebyshev points of shift and width change."""
    shifts, widths = _points(bands.shift_range, nodes[0]), _points(bands.fwhm_range, nodes[1])
    return [bands.matrix(*node) for node in product(shifts, widths)]


def _series(responses: list[csr_array], basis: _Array, nodes: tuple[int, int]) -> _Array:
    """Chebyshev coefficients ``shift, width, product, component, band`` of the convolved basis."""
    columns = np.ascontiguousarray(basis.reshape(-1, basis.shape[-1]).T)
    seen = [response @ columns for response in responses]
    samples = np.stack(seen).mT.reshape(*nodes, *basis.shape[:2], -1)
    by_shift = np.tensordot(_transform(nodes[0]), samples, 1)
    return np.moveaxis(np.tensordot(_transform(nodes[1]), by_shift, (1, 1)), 0, 1)


def _points(limits: tuple[float, float], count: int) -> _Array:
    """Chebyshev points of the first kind within limits."""
    middle, half = (limits[0] + limits[1]) / 2, (limits[1] - limits[0]) / 2
    return middle + half * chebyshev.chebpts1(count)


def _transform(count: int) -> _Array:
    """Matrix from values at the Chebyshev points to coefficients of the polynomials."""
    return np.linalg.inv(chebyshev.chebvander(chebyshev.chebpts1(count), count - 1))


def _between_nodes(bands: _Bands, light: _Array) -> dict[tuple[float, float], _Array]:
    """What bands see of a spectrum on the grid, by shift and width change scaled to -1..1.

    The corners of the ranges, where interpolation is worst, are among the points.
    """
    seen = {}
    for x, y in product(np.linspace(-1.0, 1.0, 8), (-1.0, -0.4, 0.3, 1.0)):
        shift = np.mean(bands.shift_range) + x * np.ptp(bands.shift_range) / 2
        width = np.mean(bands.fwhm_range) + y * np.ptp(bands.fwhm_range) / 2
        seen[x, y] = bands.matrix(float(shift), float(width)) @ light
    return seen


def _interpolation_error(series: _Array, exact: dict[tuple[float, float], _Array]) -> float:
    """Largest relative error of the series ``shift, width, 1, 1, band`` of a spectrum."""
    errors = (
        np.abs(chebyshev.chebval2d(*place, series[:, :, 0, 0]) / seen - 1).max()
        for place, seen in exact.items()
    )
    return float(max(errors))
