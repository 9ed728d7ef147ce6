"""How well a pixel of few, wide bands can tell fluorescence: what a refusal says.

The least error of any unbiased method (Cramer and Rao, ``information``) for one green pixel under
the sun of a scene, with its bands and their noise. It errs on the kind side: air, and how dark or
steep any ground is, are known beforehand, wavelengths exactly, and stray light, spectroscopy and
what is beside the pixel do no harm.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from sifnet.errors import SifnetError
from sifnet.physics.emulator import Emulator
from sifnet.physics.forward import Simulator
from sifnet.physics.instrument import Instrument
from sifnet.physics.state import Atmosphere, Geometry, SensorState, State
from sifnet.physics.surface import SIF, Surface
from sifnet.retrieval.information import normal_blocks, posterior_sd
from sifnet.retrieval.prior import USUAL
from sifnet.scenes.scene import Scene
from sifnet.units import standard_pressure

REACH = 1.2  # widths on either side of a band that are looked at, all but 0.5 % of it
STEADY = (-0.1, 0.1)  # nm, that wavelengths and widths are known to
SHAPE_KNOWN = 0.01  # of its level, sd of slope and bend of reflectance over 10 nm where it is known
GREEN = (0.35, 0.01, -0.002, 1.5)  # a surface: level, slope, bend, fluorescence


def simulated_bands(scene: Scene, emulator: Emulator) -> NDArray[np.intp]:
    """Indices of the bands that the emulator can simulate."""
    grid = emulator.grid.cpu().numpy()
    reach = REACH * (scene.fwhm + STEADY[1]) + STEADY[1]
    inside = (scene.wavelength - reach >= grid[0]) & (scene.wavelength + reach <= grid[-1])
    return np.flatnonzero(inside)


@torch.no_grad()
def pixel_limit(scene: Scene, emulator: Emulator, *, shape_known: bool = False) -> float:
    """Least standard deviation of sif_760, mW m-2 nm-1 sr-1, of one pixel by itself.

    Args:
        emulator: of the scene's side of the air.
        shape_known: whether slope and bend of reflectance are known to SHAPE_KNOWN, as from bands
            beside; else they are as any ground's, flat over the ranges of ``Surface``, as its
            level is in any case.

    Returns:
        NaN where no band can be simulated.
    """
    bands = simulated_bands(scene, emulator)
    if not bands.size:
        return float("nan")
    simulator = Simulator(emulator, _instrument(scene, bands, emulator))
    state, geometry = _green(scene, emulator.basis)
    radiance = simulator.radiance(state, geometry)
    noise = torch.as_tensor(scene.shot_noise[bands], dtype=radiance.dtype)
    noise = noise * radiance.sqrt()
    air = [USUAL[name][1] for name in Atmosphere.names()]
    sensor = [(STEADY[1] - STEADY[0]) / 12**0.5] * 2
    units = radiance.new_tensor([air + sensor])
    blocks = normal_blocks(radiance, noise, state, geometry, units, simulator)
    known = radiance.new_zeros(len(Surface.names()))
    for place, (name, entry) in enumerate(Surface.parameters().items()):
        low, high = entry.range
        sd = (high - low) / 12**0.5
        if shape_known and name in ("reflectance_linear", "reflectance_quadratic"):
            sd = SHAPE_KNOWN * GREEN[0]
        known[place] = sd**-2
    known[SIF] = 0.0
    blocks = replace(blocks, a=blocks.a + torch.diag(known))
    return float(posterior_sd(blocks, torch.ones(blocks.c.shape[-1])))


def refused(scene: Scene, emulator: Emulator) -> SifnetError:
    """That a scene of a sensor that can be inspected only is not mapped, and why."""
    free, shaped = (pixel_limit(scene, emulator, shape_known=known) for known in (False, True))
    limit = (
        ""
        if np.isnan(free)
        else f": no method can err by less than {free:.2g} mW m-2 nm-1 sr-1 in a pixel of this "
        f"scene, {shaped:.2g} were the shape of its reflectance known to {SHAPE_KNOWN:.0%}, and "
        "plants emit 0 to 3"
    )
    return SifnetError(
        f"{scene.sensor.name} can be inspected only",
        found=f"{scene.sensor.inspect_only}{limit}",
        expected="a sensor that resolves the O2 A band (docs/sensors.md)",
        remedy="`scene.describe()` shows what the scene holds.",
        command="`sifnet inspect` shows what the scene holds.",
        file=scene.file,
    )


def _instrument(scene: Scene, bands: NDArray[np.intp], emulator: Emulator) -> Instrument:
    """Gaussian bands, cut at REACH: the whole wings of such wide ones reach too far."""
    centre, fwhm = scene.wavelength[bands], scene.fwhm[bands]
    offset = np.linspace(-REACH, REACH, 97)
    response = np.exp(-4 * np.log(2) * offset**2)
    responses = [(c + offset * w, response) for c, w in zip(centre, fwhm, strict=True)]
    return Instrument(centre, fwhm, emulator, response=responses,
                      shift_range=STEADY, fwhm_range=STEADY)  # fmt: skip


def _green(scene: Scene, like: torch.Tensor) -> tuple[State, Geometry]:
    """A green pixel of the scene's median geometry, under the usual air."""

    def value(number: float) -> torch.Tensor:
        return like.new_full((1,), float(number))

    median = {name: float(np.median(scene.dataset[name])) for name in Geometry.names()}
    air = {name: mean for name, (mean, _) in USUAL.items()}
    ground = float(np.median(scene.dataset["ground_elevation"]))
    air["surface_pressure"] = float(standard_pressure(ground))
    state = State(
        Atmosphere(**{name: value(air[name]) for name in Atmosphere.names()}),
        Surface(*map(value, GREEN)),
        SensorState(value(0.0), value(0.0)),
    )
    return state, Geometry(**{name: value(number) for name, number in median.items()})
