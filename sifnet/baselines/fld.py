"""3FLD: fluorescence from how much one band inside O2-A is filled, with a shoulder on each side.

Plascyk & Gabriel (1975) compare a band inside an absorption line with one outside; Maier et al.
(2003) interpolate the outside linearly between two shoulders. It is quick, needs no training, and
is the yardstick everybody has at hand. On the ground it wants measured irradiance; in the air it
stands or falls with the light the simulation assumes, so there it may be anchored to bare ground.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from sifnet.errors import SifnetError
from sifnet.physics.emulator import Emulator
from sifnet.physics.forward import transfer_on_bands
from sifnet.physics.instrument import INSTRUMENTS, Instrument
from sifnet.physics.state import SensorState
from sifnet.pixels import Pixels, fit_bands, strips
from sifnet.scene import Flag, Scene

Array = NDArray[np.float64]

LEFT, INSIDE, RIGHT = (757.7, 758.7), (760.2, 761.7), (770.2, 771.2)  # nm, vacuum
WINDOW = (757.0, 772.0)  # nm, what is read of a scene
STRIP = 32  # lines that share an atmosphere and are read together
BARE_NDVI = 0.15  # of radiances, below which ground is taken not to glow
FEW = 10  # bare pixels a column needs for an anchor of its own


@dataclass(frozen=True)
class ThreeBands:
    """The bands of 3FLD: shoulders, the darkest band between, and the weight of the left one."""

    left: NDArray[np.intp]
    inside: int
    right: NDArray[np.intp]
    weight: float

    @classmethod
    def choose(cls, wavelength: ArrayLike, light: ArrayLike) -> Self:
        """Bands for ``light`` (..., band), whose mean is darkest at the inside band.

        Raises:
            SifnetError: a shoulder or the inside has no band.
        """
        wavelength, mean = np.asarray(wavelength, float), np.asarray(light, float)
        parts = [np.flatnonzero((wavelength >= a) & (wavelength <= b)) for a, b in
                 (LEFT, INSIDE, RIGHT)]  # fmt: skip
        if not all(part.size for part in parts):
            raise SifnetError(
                "3FLD needs a band inside O2-A and one on each side",
                found=f"{len(wavelength)} bands, {wavelength.min():.2f}-{wavelength.max():.2f} nm",
                expected=f"bands in each of {LEFT}, {INSIDE} and {RIGHT} nm",
                remedy="Leave this baseline out for this sensor.",
            )
        left, inside, right = parts
        darkest = int(inside[np.argmin(mean.reshape(-1, mean.shape[-1]).mean(0)[inside])])
        at_left, at_right = wavelength[left].mean(), wavelength[right].mean()
        weight = (at_right - wavelength[darkest]) / (at_right - at_left)
        return cls(left, darkest, right, float(weight))

    def __call__(self, spectra: Array) -> tuple[Array, Array]:
        """(...) inside, and outside interpolated to the same wavelength, of (..., band)."""
        left, right = spectra[..., self.left].mean(-1), spectra[..., self.right].mean(-1)
        return spectra[..., self.inside], self.weight * left + (1 - self.weight) * right


def three_fld(radiance: ArrayLike, irradiance: ArrayLike, wavelength: ArrayLike) -> Array:
    """Fluorescence near 760 nm, mW m-2 nm-1 sr-1, from light measured beside the target.

    F = (E_out L_in - E_in L_out) / (E_out - E_in), with E_out and L_out the shoulders
    interpolated to the inside band (Maier et al. 2003, eq. 8).

    Args:
        radiance: (..., band) mW m-2 nm-1 sr-1.
        irradiance: (..., band) mW m-2 nm-1.
        wavelength: (band,) nm in vacuum.

    Returns:
        (...) array.

    Raises:
        SifnetError: a shoulder or the inside of the band has no band of the sensor.
    """
    light = np.asarray(irradiance, float)
    bands = ThreeBands.choose(wavelength, light)
    e_in, e_out = bands(light)
    l_in, l_out = bands(np.asarray(radiance, float))
    with np.errstate(divide="ignore", invalid="ignore"):
        return (e_out * l_in - e_in * l_out) / (e_out - e_in)


def three_fld_scene(
    scene: Scene, *, emulator: Emulator | None = None, bare_ground: bool = False
) -> Array:
    """(line, sample) fluorescence of a scene; NaN where a pixel is not usable.

    With measured irradiance it is ``three_fld``. Without, light and transmittance come from the
    simulation at the prior atmosphere and the nominal sensor, and

    F = (g_out l_in - g_in l_out) / (g_out u_in - g_in u_out)

    with l = L - path, g = ground / (1 - R s), u = up / (1 - R s').

    Args:
        emulator: the shipped one by default.
        bare_ground: multiply g_in by what makes pixels of NDVI below 0.15 not glow, in each
            column where there are enough of them: absorbs errors of pressure, aerosol and shift.

    Raises:
        SifnetError: bands do not suit 3FLD, or no bare ground to anchor to.
    """
    if scene.irradiance is not None:
        return _from_measured(scene)
    if emulator is None:
        emulator = Emulator.load(space=bool(np.isposinf(scene.dataset["sensor_height"]).all()))
    simulated = _Simulated.of(scene, emulator)
    shape = (STRIP, scene.shape[1])
    rows = []
    for lines, pixels in strips(scene, shape, window=WINDOW):
        row = simulated.terms(pixels)[:, : lines.stop - lines.start]
        rows.append(row)
    l_in, l_out, g_in, g_out, u_in, u_out, ndvi = np.concatenate(rows, axis=1)
    if bare_ground:
        g_in = g_in * _anchor(l_in * g_out / (l_out * g_in), ndvi)
    return (g_out * l_in - g_in * l_out) / (g_out * u_in - g_in * u_out)


def _from_measured(scene: Scene) -> Array:
    bands = fit_bands(scene.wavelength, WINDOW)
    part = scene.dataset.isel(band=bands)
    sif = three_fld(part["radiance"].values, part["irradiance"].values, scene.wavelength[bands])
    blind = (scene.flags().values & int(Flag.DEAD | Flag.SATURATED)) > 0
    return np.where(blind, np.nan, sif)


@dataclass(frozen=True)
class _Simulated:
    """The light that the simulation assumes, on the bands of a scene."""

    emulator: Emulator
    instrument: Instrument
    wavelength: Array

    @classmethod
    def of(cls, scene: Scene, emulator: Emulator) -> Self:
        bands = fit_bands(scene.wavelength, WINDOW)
        wavelength, fwhm = scene.wavelength[bands], scene.fwhm[bands]
        usual = INSTRUMENTS.get(scene.sensor, INSTRUMENTS["hyplant"])
        instrument = Instrument(
            wavelength,
            fwhm,
            emulator,
            shift_range=usual.shift_range,
            fwhm_range=usual.fwhm_range,
        )
        return cls(emulator, instrument, wavelength)

    @torch.no_grad()
    def terms(self, pixels: Pixels) -> Array:
        """(7, line, sample) of one patch: l, g and u inside and outside, NDVI."""
        nominal = torch.zeros_like(pixels.geometry.solar_zenith_angle)
        t = transfer_on_bands(
            pixels.prior.mean,
            SensorState(nominal, nominal),
            pixels.geometry,
            self.emulator,
            self.instrument,
        ).map(lambda x: x.double())
        bands = ThreeBands.choose(self.wavelength, t.ground.numpy())
        radiance = pixels.radiance.double() - t.path
        # Bounces are second order: the reflectance they need is taken without them.
        reflectance = bands((radiance / t.ground).numpy())[1]
        level = torch.as_tensor(reflectance)[..., None]
        ground = t.ground / (1 - level * t.ground_bounce / t.ground)
        up = t.up / (1 - level * t.up_bounce / t.up)
        terms = [x for part in (radiance, ground, up) for x in bands(part.numpy())]
        stacked = np.stack(np.broadcast_arrays(*terms, pixels.ndvi.double().numpy()))
        return np.where(pixels.usable.numpy(), stacked, np.nan)[:, 0]


def _anchor(ratio: Array, ndvi: Array) -> Array:
    """(1, sample) median of ``ratio`` (line, sample) over bare ground; of all, if few in a column.

    Raises:
        SifnetError: no bare ground in the scene.
    """
    bare = np.where(ndvi < BARE_NDVI, ratio, np.nan)
    if np.isfinite(bare).sum() < FEW:
        raise SifnetError(
            "no bare ground to anchor 3FLD to",
            found=f"{np.isfinite(bare).sum()} pixels with NDVI below {BARE_NDVI}",
            expected=f"at least {FEW}, in a scene whose bands cover 650-680 and 770-810 nm",
            remedy="Use 3FLD without the anchor.",
        )
    anchor = np.full(bare.shape[1], np.nanmedian(bare))
    enough = np.isfinite(bare).sum(0) >= FEW
    anchor[enough] = np.nanmedian(bare[:, enough], axis=0)
    return anchor[None]
