"""What a wrong assumption does to SIF: the pictures of BEWARE.md.

    python tests/benchmarks/failures.py                 (make failures, two minutes)

A patch of 16 x 16 pixels without noise, a quarter bare soil, is simulated with one thing that the
retrieval does not know, and retrieved as ever. Writes ``docs/failures.png``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import matplotlib.pyplot as plt
import numpy as np
import torch
from harness import UNIT, run, save
from numpy.typing import NDArray
from torch import Tensor

from sifnet.files import data_file
from sifnet.physics.forward import Simulator
from sifnet.physics.instrument import Instrument
from sifnet.physics.noise import noise_sd
from sifnet.physics.state import Atmosphere, AtmospherePrior, Geometry, SensorState, State
from sifnet.physics.surface import Surface
from sifnet.physics.transfer import at_sensor_radiance
from sifnet.retrieval.model import Retrieval, load
from sifnet.retrieval.pixels import Pixels
from sifnet.retrieval.prior import USUAL
from sifnet.retrieval.refinement import refine_surface
from sifnet.retrieval.shared import Line, Row
from sifnet.scenes.hyplant import SENSOR as HYPLANT

SHAPE = (1, 16, 16)
HEIGHTS = (0.6, 3.0)  # km, of the sensor
PRESSURE = 1000.0  # hPa


@dataclass(frozen=True)
class Patch:
    """What is retrieved: a patch seen from a height, and what it is made of."""

    model: Retrieval
    geometry: Geometry
    surface: Surface
    prior: AtmospherePrior

    @classmethod
    def at(cls, height: float, model: Retrieval) -> Patch:
        rng = torch.Generator().manual_seed(0)
        random = torch.rand(3, *SHAPE, generator=rng)
        soil = random[0] < 0.25
        surface = Surface.sloped(
            torch.where(soil, 0.15 + 0.1 * random[1], 0.3 + 0.2 * random[1]),
            torch.where(soil, 5e-4 * torch.ones(SHAPE), 3e-3 * torch.ones(SHAPE)),
            torch.full(SHAPE, 0.5),
            torch.where(soil, torch.zeros(SHAPE), 0.5 + 2.0 * random[2]),
        )
        angles = {"solar_zenith_angle": 40.0, "view_zenith_angle": 5.0, "sensor_height": height,
                  "relative_azimuth_angle": 90.0, "sun_earth_distance": 1.0}  # fmt: skip
        geometry = Geometry(**{n: torch.full((1, 1, 16), v) for n, v in angles.items()})
        patch = torch.ones(1, 1, 1)
        usual = USUAL | {"surface_pressure": (PRESSURE, USUAL["surface_pressure"][1])}
        prior = AtmospherePrior(
            Atmosphere(**{n: patch * mean for n, (mean, _) in usual.items()}),
            Atmosphere(**{n: patch * sd for n, (_, sd) in usual.items()}),
        )
        return cls(model, geometry, surface, prior)

    @property
    def soil(self) -> Tensor:
        return self.surface.sif_760 == 0

    def state(self, **air: float) -> State:
        """The true state, with some of the atmosphere away from the prior's mean."""
        moved = {n: torch.full((1, 1, 1), v) for n, v in air.items()}
        nominal = torch.zeros(1, 1, 16)
        return State(replace(self.prior.mean, **moved), self.surface, SensorState(nominal, nominal))

    def radiance(
        self, state: State, shape: Tensor | None = None, instrument: Instrument | None = None
    ) -> Tensor:
        """At the sensor, by another shape of emission or another instrument if given."""
        sensor = instrument or self.model.instrument
        simulator = Simulator(self.model.emulator, sensor)
        t = simulator.transfer(state.atmosphere, state.sensor, self.geometry)
        reflectance, sif = state.surface.spectra(sensor.wavelength)
        if shape is not None:
            sif = state.surface.sif_760[..., None] * shape
        return at_sensor_radiance(reflectance, sif, t)

    def error(self, radiance: Tensor) -> tuple[float, float]:
        """Mean error of sif_760 over vegetation and over soil."""
        noise = noise_sd(radiance, HYPLANT.shot_noise)
        pixels = replace(
            Pixels.unseen(SHAPE, self.geometry, self.prior),
            radiance=radiance,
            noise=noise,
            ndvi=torch.where(self.soil, 0.1, 0.8),
        )
        line = Line(self.model, [Row(pixels, self.model.encoder(pixels))], SHAPE[2])
        shared = line.refined(SHAPE[1:])
        air = self.prior.at(shared.deviation[0, :, None, None], line.ranges)
        simulator = replace(self.model.simulator, correction=self.model.correction(shared.errors))
        start = State(air, self.surface, shared.sensor.map(lambda x: x[None, None]))
        fit = refine_surface(pixels, noise, start, simulator)
        sif = fit.state.surface.sif_760
        error = sif - self.surface.sif_760
        return float(error[~self.soil].mean()), float(error[self.soil].mean())


def pressure(patch: Patch, offset: float) -> Tensor:
    """The ground lies elsewhere than its elevation says."""
    return patch.radiance(patch.state(surface_pressure=PRESSURE + offset))


def aerosol_height(patch: Patch, height: float) -> Tensor:
    """A scale height of the aerosol, at a load of 0.25, that the prior does not hold."""
    return patch.radiance(patch.state(aerosol_height=height, aot_550=0.25))


def adjacency(patch: Patch, share: float) -> Tensor:
    """A share of the light comes from the mean of the surroundings."""
    light = patch.radiance(patch.state())
    return (1 - share) * light + share * light.mean((1, 2), keepdim=True)


def wings(patch: Patch, share: float) -> Tensor:
    """A share of each band's response lies in wings five times as wide."""
    grid = np.linspace(-3.0, 3.0, 601)
    fwhm = HYPLANT.fwhm

    def gaussian(width: float) -> NDArray:
        y = np.exp(-4 * np.log(2) * (grid / width) ** 2)
        return y / y.sum()

    values = (1 - share) * gaussian(fwhm) + share * gaussian(5 * fwhm)
    centres = patch.model.instrument.wavelength.numpy()
    response = [(centre + grid, values) for centre in centres]
    real = Instrument(centres, fwhm, patch.model.emulator, response=response)
    return patch.radiance(patch.state(), instrument=real)


def emission_shape(patch: Patch, width: float) -> Tensor:
    """Emission falls off as a Gaussian around 737 nm of this width (SCOPE: 21 to 26 nm)."""
    x = patch.model.instrument.wavelength
    shape = torch.exp(-0.5 * ((x - 737) ** 2 - (760 - 737) ** 2) / width**2)
    return patch.radiance(patch.state(), shape=shape)


def red_edge(patch: Patch, centre: float) -> Tensor:
    """Canopies with a logistic red edge 12 nm wide, whose tail a parabola does not follow."""
    state, x = patch.state(), patch.model.instrument.wavelength
    simulator = Simulator(patch.model.emulator, patch.model.instrument)
    t = simulator.transfer(state.atmosphere, state.sensor, patch.geometry)
    plain, sif = patch.surface.spectra(x)

    def edge(wavelength: Tensor) -> Tensor:
        return torch.sigmoid((wavelength - centre) / 12.0)

    level = (patch.surface.at_740()[0] - 0.04) / edge(torch.tensor(740.0))
    canopy = 0.04 + level[..., None] * edge(x)
    return at_sensor_radiance(torch.where(patch.soil[..., None], plain, canopy), sif, t)


def glowing_soil(patch: Patch, sif: float) -> Tensor:
    """What NDVI calls bare ground does fluoresce."""
    glow = torch.where(patch.soil, torch.full(SHAPE, sif), patch.surface.sif_760)
    state = patch.state()
    return patch.radiance(replace(state, surface=replace(state.surface, sif_760=glow)))


def stray_light(patch: Patch, level: float) -> Tensor:
    """Light that every band sees alike, as a share of the mean radiance."""
    light = patch.radiance(patch.state())
    return light + level * light.mean(-1, keepdim=True)


CASES: dict[str, tuple[Callable[[Patch, float], Tensor], NDArray]] = {
    "surface pressure − prior's, hPa (prior ± 8)": (pressure, np.linspace(-30, 30, 9)),
    "aerosol scale height, km, AOT 0.25 (prior 1.5 ± 0.7)": (
        aerosol_height, np.linspace(0.6, 3.8, 9)),
    "share of light from the surroundings (adjacency)": (adjacency, np.linspace(0, 0.3, 7)),
    "share of the response in wide wings": (wings, np.linspace(0, 0.04, 5)),
    "width of the emission's fall, nm": (emission_shape, np.linspace(18, 30, 7)),
    "stray light, share of mean radiance": (stray_light, np.linspace(0, 0.01, 6)),
    "centre of the canopies' red edge, nm": (red_edge, np.linspace(706, 726, 6)),
    "SIF of what is taken for bare ground": (glowing_soil, np.linspace(0, 0.3, 5)),
}  # fmt: skip


@torch.no_grad()
def main() -> None:
    """Draw all cases."""
    model = load(data_file(str(HYPLANT.start_model)))
    figure, axes = plt.subplots(2, 4, figsize=(14, 6.5), layout="compressed", sharey=True)
    for axis, (label, (case, values)) in zip(axes.flat, CASES.items(), strict=True):
        for height, style in zip(HEIGHTS, ("-", "--"), strict=True):
            patch = Patch.at(height, model)
            errors = np.array([patch.error(case(patch, float(v))) for v in values])
            if case is glowing_soil:  # its truth is not the patch's
                errors[:, 1] -= values
            for i, (kind, colour) in enumerate((("vegetation", "C2"), ("bare soil", "C5"))):
                axis.plot(values, errors[:, i], style, color=colour, label=f"{kind}, {height} km")
            print(label, height, np.array2string(errors.T, precision=3), flush=True)
        axis.axhline(0, color="grey", linewidth=0.5)
        axis.set_xlabel(label, fontsize=8)
    axes[0, 0].legend()
    axes[0, 0].set_ylim(-0.55, 0.75)
    figure.supylabel(f"mean error of SIF at 760 nm, {UNIT}")
    save(figure, "failures", colours=32)


if __name__ == "__main__":
    run(main)
