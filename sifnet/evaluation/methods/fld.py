"""3FLD and iFLD: fluorescence from how much one band inside O2-A is filled.

Plascyk & Gabriel (1975) compare a band inside an absorption line with one outside. Maier et al.
(2003) interpolate the outside linearly between two shoulders (3FLD); Alonso et al. (2008) let
reflectance curve across the band (iFLD). Both are quick, need no training, and are the yardsticks
everybody has at hand. On the ground they want measured irradiance; in the air they stand or fall
with the light the simulation assumes, so there they may be anchored to bare ground.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, Self

import numpy as np
import torch
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from sifnet.errors import SifnetError
from sifnet.evaluation.methods import simulator_of
from sifnet.physics.emulator import Emulator
from sifnet.physics.forward import Simulator
from sifnet.physics.state import SensorState
from sifnet.retrieval.pixels import Pixels, strips
from sifnet.retrieval.window import fit_bands, fit_window
from sifnet.scenes.scene import Flag, Scene

Array = NDArray[np.float64]
Method = Literal["3FLD", "iFLD"]

INSIDE = (760.2, 761.7)  # nm, vacuum
SHOULDERS: dict[str, tuple[tuple[float, float], tuple[float, float]]] = {
    "3FLD": ((757.7, 758.7), (770.2, 771.2)),
    "iFLD": ((752.0, 758.7), (770.2, 774.0)),
}
"""Left and right of the band, nm: narrow where they are joined by a line, wide for a parabola."""
WINDOW = (752.0, 774.0)  # nm, what is read of a scene
STRIP = 32  # lines that share an atmosphere and are read together
BARE_NDVI = 0.15  # of radiances, below which ground is taken not to glow
FEW = 10  # bare pixels a column needs for an anchor of its own


@dataclass(frozen=True)
class Shoulders:
    """The darkest band inside O2-A, and what the shoulders say of it had it no absorption.

    Attributes:
        inside: index of the band.
        weights: (band,), which interpolate from the shoulders to it.
        ratio_first: interpolate the ratio of two spectra (iFLD), not each by itself (3FLD).
    """

    inside: int
    weights: Array
    ratio_first: bool

    @classmethod
    def choose(cls, wavelength: ArrayLike, light: ArrayLike, method: Method = "3FLD") -> Self:
        """Shoulders for ``light`` (..., band), whose mean is darkest at the inside band.

        Raises:
            SifnetError: a shoulder or the inside has no band.
        """
        wavelength, mean = np.asarray(wavelength, float), np.asarray(light, float)
        limits = (SHOULDERS[method][0], INSIDE, SHOULDERS[method][1])
        parts = [np.flatnonzero((wavelength >= a) & (wavelength <= b)) for a, b in limits]
        if not all(part.size for part in parts):
            raise SifnetError(
                f"{method} needs a band inside O2-A and one on each side",
                found=f"{len(wavelength)} bands, {wavelength.min():.2f}-{wavelength.max():.2f} nm",
                expected="bands in each of {}, {} and {} nm".format(*limits),
                remedy="Leave this baseline out for this sensor.",
            )
        left, inside, right = parts
        darkest = int(inside[np.argmin(mean.reshape(-1, mean.shape[-1]).mean(0)[inside])])
        weights, away = np.zeros(wavelength.size), wavelength - wavelength[darkest]
        if method == "3FLD":
            at_left, at_right = away[left].mean(), away[right].mean()
            weights[left] = at_right / (at_right - at_left) / left.size
            weights[right] = -at_left / (at_right - at_left) / right.size
        else:  # the constant of the least-squares parabola around the inside band
            outside = np.concatenate([left, right])
            weights[outside] = np.linalg.pinv(np.vander(away[outside], 3, increasing=True))[0]
        return cls(darkest, weights, method == "iFLD")

    def across(self, spectra: Array, light: Array) -> Array:
        """(...) ratio of two spectra (..., band), interpolated to the inside band."""
        if self.ratio_first:
            used = self.weights != 0
            return (spectra[..., used] / light[..., used]) @ self.weights[used]
        return (spectra @ self.weights) / (light @ self.weights)


def filling(inside: Array, ground: Array, up: Array, apparent: Array, k: Array) -> Array:
    """F of L = r ground + F up, all ``...``, by the filling of the inside band.

    The shoulders interpolated to the inside give the apparent reflectance r* = L / ground
    = r + F k with k = up / ground, as they were without absorption; the inside band itself has
    L = r ground + F up. Without r:

    F = (L - ground r*) / (up - ground k)

    With shoulders joined by lines this is Maier et al. (2003), eq. 8. With r* interpolated by a
    polynomial it is Alonso et al. (2008), whose correction factors are alpha_R = r*_out / r* and
    alpha_F = alpha_R k / k_out.

    Args:
        inside, ground, up: L, light and transmittance at the inside band.
        apparent, k: r* and k from the shoulders.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        return (inside - ground * apparent) / (up - ground * k)


def three_fld(radiance: ArrayLike, irradiance: ArrayLike, wavelength: ArrayLike) -> Array:
    """Fluorescence near 760 nm, mW m-2 nm-1 sr-1, from light measured beside the target.

    Maier et al. (2003): shoulders of radiance and irradiance are each joined by a line.

    Args:
        radiance: (..., band) mW m-2 nm-1 sr-1.
        irradiance: (..., band) mW m-2 nm-1.
        wavelength: (band,) nm in vacuum.

    Returns:
        (...) array.

    Raises:
        SifnetError: a shoulder or the inside of the band has no band of the sensor.
    """
    return _measured(radiance, irradiance, wavelength, "3FLD")


def ifld(radiance: ArrayLike, irradiance: ArrayLike, wavelength: ArrayLike) -> Array:
    """The same as ``three_fld``, with reflectance that may curve across the band.

    Alonso et al. (2008), IEEE Geosci. Remote Sens. Lett. 5(4), 620-624: a parabola through the
    apparent reflectance of both shoulders.
    """
    return _measured(radiance, irradiance, wavelength, "iFLD")


def _measured(
    radiance: ArrayLike, irradiance: ArrayLike, wavelength: ArrayLike, method: Method
) -> Array:
    light = np.asarray(irradiance, float)
    shoulders = Shoulders.choose(wavelength, light, method)
    seen, up = np.asarray(radiance, float), np.ones_like(light)
    with np.errstate(divide="ignore", invalid="ignore"):
        across = shoulders.across(seen, light), shoulders.across(up, light)
    inside, ground, unity = (x[..., shoulders.inside] for x in (seen, light, up))
    return filling(inside, ground, unity, *across)


def fld_scene(
    scene: Scene,
    method: Method = "3FLD",
    *,
    emulator: Emulator | None = None,
    atmosphere: xr.Dataset | None = None,
    bare_ground: bool = False,
) -> Array:
    """(line, sample) fluorescence of a scene; NaN where a pixel is not usable.

    With measured irradiance it is ``three_fld`` or ``ifld``. Without, light and transmittance
    come from the simulation at the prior atmosphere and the nominal sensor (``filling``
    of radiance less path radiance, by ground and up multiplied by their bounces).

    Args:
        emulator: the shipped one by default.
        atmosphere: outside knowledge of the atmosphere (see ``pixels.read``).
        bare_ground: multiply the light inside the band by what makes pixels of NDVI below 0.15
            not glow, in each column where there are enough of them: absorbs errors of pressure,
            aerosol and shift.

    Raises:
        SifnetError: bands do not suit the method, or no bare ground to anchor to.
    """
    if scene.irradiance is not None:
        return _from_measured(scene, method)
    simulator = simulator_of(scene, emulator, WINDOW)
    options: dict[str, Any] = {"ranges": simulator.emulator.ranges, "atmosphere": atmosphere}
    window = fit_window(scene, simulator.emulator, WINDOW)
    rows = []
    for lines, pixels in strips(scene, (STRIP, scene.shape[1]), window=window, **options):
        terms = _terms(pixels, method, simulator)
        rows.append(terms[:, : lines.stop - lines.start])
    inside, ground, up, apparent, k, ndvi = np.concatenate(rows, axis=1)
    if bare_ground:
        ground = ground * _anchor(inside / (ground * apparent), ndvi)
    return filling(inside, ground, up, apparent, k)


def _from_measured(scene: Scene, method: Method) -> Array:
    bands = fit_bands(scene.wavelength, WINDOW, scene.file)
    part = scene.dataset.isel(band=bands)
    light = part["irradiance"].values
    sif = _measured(part["radiance"].values, light, scene.wavelength[bands], method)
    blind = (scene.flags().values & int(Flag.DEAD | Flag.SATURATED)) > 0
    return np.where(blind, np.nan, sif)


@torch.no_grad()
def _terms(pixels: Pixels, method: Method, simulator: Simulator) -> Array:
    """(6, line, sample) of one patch: L, ground, up inside; r*, k of ``filling``; NDVI."""
    nominal = torch.zeros_like(pixels.geometry.solar_zenith_angle)
    sensor = SensorState(nominal, nominal)
    t = simulator.transfer(pixels.prior.mean, sensor, pixels.geometry)
    t = t.map(lambda x: x.double())
    shoulders = Shoulders.choose(simulator.instrument.wavelength.numpy(), t.ground.numpy(), method)
    radiance = pixels.radiance.double() - t.path
    # Bounces are second order: the reflectance they need is taken without them.
    level = torch.as_tensor(shoulders.across(radiance.numpy(), t.ground.numpy()))[..., None]
    ground = (t.ground / (1 - level * t.ground_bounce / t.ground)).numpy()
    up = (t.up / (1 - level * t.up_bounce / t.up)).numpy()
    measured, at = radiance.numpy(), shoulders.inside
    terms = (
        *(x[..., at] for x in (measured, ground, up)),
        shoulders.across(measured, ground),
        shoulders.across(up, ground),
        pixels.ndvi.double().numpy(),
    )
    stacked = np.stack(np.broadcast_arrays(*terms))
    return np.where(pixels.usable.numpy(), stacked, np.nan)[:, 0]


def _anchor(ratio: Array, ndvi: Array) -> Array:
    """(1, sample) median of ``ratio`` (line, sample) over bare ground; of all, if few in a column.

    Raises:
        SifnetError: no bare ground in the scene.
    """
    bare = np.where(ndvi < BARE_NDVI, ratio, np.nan)
    if np.isfinite(bare).sum() < FEW:
        raise SifnetError(
            "no bare ground to anchor to",
            found=f"{np.isfinite(bare).sum()} pixels with NDVI below {BARE_NDVI}",
            expected=f"at least {FEW}, in a scene whose bands cover 650-680 and 770-810 nm",
            remedy="Leave the anchor out.",
        )
    anchor = np.full(bare.shape[1], np.nanmedian(bare))
    enough = np.isfinite(bare).sum(0) >= FEW
    anchor[enough] = np.nanmedian(bare[:, enough], axis=0)
    return anchor[None]
