"""How well the photons of a scene determine fluorescence: the limit every method is held against.

The Cramer-Rao bound of sif_760 with priors on what is not sought (Rodgers 2000, eq. 2.27): noise
of ``pixels.noise`` only, a perfect simulation, the priors of ``priors`` on the atmosphere, a flat
range of shift and width for the sensor, and none on the surface. Once for a pixel by itself, and
once for a patch whose pixels share an atmosphere and whose columns share a sensor.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from sifnet.evaluation.methods import simulator_of
from sifnet.physics.derivatives import SHARED
from sifnet.physics.emulator import Emulator
from sifnet.physics.fields import TensorFields
from sifnet.physics.forward import Simulator
from sifnet.physics.state import Atmosphere, SensorState, State
from sifnet.physics.surface import Surface
from sifnet.retrieval.information import (
    AIR,
    SENSOR,
    Blocks,
    normal_blocks,
    posterior_sd,
    shared_equations,
    sif_sd,
    solve_shared,
)
from sifnet.retrieval.pixels import Pixels, patch_shape, strips
from sifnet.retrieval.refinement import refine_surface
from sifnet.retrieval.shape import ShapePredictor
from sifnet.retrieval.window import fit_window
from sifnet.scenes.scene import Scene

AT_ONCE = 1024  # pixels; what is computed of them stays in the processor's cache
LEVEL = 0.3  # reflectance of the ground that a search begins with
Maps = tuple[Tensor, ...]


@dataclass(frozen=True)
class Point(TensorFields):
    """A state of the pixels of some patches, and the normal equations around it.

    Attributes:
        deviation: ``patch, sample, 8``, of atmosphere and sensor from their priors, in prior sd;
            the atmosphere's part is the same in all columns.
        surface: fields ``patch, line, sample``.
        blocks: normal equations, ``patch, line, sample``.
    """

    deviation: Tensor
    surface: Surface
    blocks: Blocks


@dataclass(frozen=True)
class Problem:
    """Pixels, and the simulation that is to explain them."""

    pixels: Pixels
    simulator: Simulator

    @property
    def units(self) -> Tensor:
        """Prior standard deviations of SHARED, ``patch, 1, 1, 8``.

        That of the sensor is a flat distribution's over the instrument's range, width / sqrt 12.
        """
        atmosphere = self.pixels.prior.sd.stack()
        ranges = self.simulator.instrument.ranges.values()
        sensor = atmosphere.new_tensor([(high - low) / 12**0.5 for low, high in ranges])
        return torch.cat([atmosphere, sensor.expand(*atmosphere.shape[:-1], -1)], dim=-1)

    def state(self, deviation: Tensor, surface: Surface | None = None) -> State:
        """Atmosphere ``patch, 1, 1`` and nominal sensor ``patch, 1, sample``, moved; bare level
        ground as a surface to start from."""
        change = deviation[:, None].to(self.units) * self.units
        atmosphere = self.pixels.prior.mean.stack() + change[:, :, :1, AIR]
        if surface is None:
            surface = Surface.flat(LEVEL, self.pixels.ndvi)
        sensor = SensorState.unstack(change[..., SENSOR])
        return State(Atmosphere.unstack(atmosphere), surface, sensor)

    def around(self, deviation: Tensor, surface: Surface) -> Point:
        """Normal equations around a state, given as in ``Point``."""
        pixels = self.pixels
        blocks = normal_blocks(
            pixels.radiance,
            pixels.noise,
            self.state(deviation, surface),
            pixels.geometry,
            self.units,
            self.simulator,
            pixels.irradiance,
            pixels.shape_prior,
        )
        return Point(deviation, surface, blocks)

    def prior(self) -> Point:
        """The prior's atmosphere and sensor, with the surfaces that suit them best."""
        usable = self.pixels.usable
        deviation = usable.new_zeros(usable.shape[0], usable.shape[2], len(SHARED)).double()
        state, sigma = self.state(deviation), self.pixels.noise
        fit = refine_surface(self.pixels, sigma, state, self.simulator)
        return self.around(deviation, fit.state.surface)

    def columns(self, point: Point) -> tuple[Tensor, Tensor]:
        """Matrix ``patch, sample, 8, 8`` and right side of every column's usable pixels."""
        matrix, side = shared_equations(point.blocks)
        usable = self.pixels.usable[..., None]
        side = torch.where(usable, side, 0.0).sum(1)
        return torch.where(usable[..., None], matrix, 0.0).sum(1), side

    def uncertainty(self, point: Point) -> Tensor:
        """Posterior sd of sif_760 with atmosphere and sensor shared, ``patch, line, sample``."""
        matrix, side = self.columns(point)
        shared = solve_shared(matrix, side, point.deviation, torch.ones_like(side))
        return sif_sd(point.blocks, shared.covariance[:, None])


def limits(
    scene: Scene,
    *,
    emulator: Emulator | None = None,
    atmosphere: xr.Dataset | None = None,
    patch: tuple[int, int] = (32, 32),
    predictor: ShapePredictor | None = None,
    window: tuple[float, float] | None = None,
) -> xr.Dataset:
    """Smallest possible standard deviation of sif_760, mW m-2 nm-1 sr-1, (line, sample).

    Of sif_687 where emulator and window are those of the red.

    ``single_pixel``: all is found from one pixel; ``patch``: the usable pixels of a patch share
    the atmosphere, those of its columns the sensor. Linearised at the prior's atmosphere, the
    nominal sensor and the surface that fits best there, which the limit hardly depends on. NaN
    where a pixel is not usable.

    Args:
        emulator: the shipped one by default.
        atmosphere: outside knowledge of the atmosphere (see ``pixels.read``).
        patch: lines and samples.
        predictor: of the shape of reflectance, which then counts as known as well as it says.
        window: nm, of the bands; the sensor's by default.

    Raises:
        SifnetError: fewer than 5 bands in the fit window.
    """

    def solve(problem: Problem) -> Maps:
        point = problem.prior()
        alone = posterior_sd(point.blocks, torch.ones(len(SHARED)))
        return alone, problem.uncertainty(point)

    return over_patches(
        scene, solve, ("single_pixel", "patch"), emulator=emulator, atmosphere=atmosphere,
        patch=patch, predictor=predictor, window=window,
    )  # fmt: skip


@torch.no_grad()
def over_patches(
    scene: Scene,
    solve: Callable[[Problem], Maps],
    names: tuple[str, ...],
    *,
    emulator: Emulator | None,
    atmosphere: xr.Dataset | None,
    patch: tuple[int, int],
    predictor: ShapePredictor | None = None,
    window: tuple[float, float] | None = None,
) -> xr.Dataset:
    """Maps (line, sample) of what ``solve`` makes of patches, NaN where pixels are not usable.

    One row of patches is read at a time.
    """
    simulator = simulator_of(scene, emulator, window)
    shape = patch_shape(scene, patch)
    maps = {name: np.full(scene.shape[:2], np.nan, np.float32) for name in names}
    many = max(1, AT_ONCE // (shape[0] * shape[1]))
    for lines, pixels in strips(
        scene,
        shape,
        strip=max(shape[0], patch[0]),
        ranges=simulator.emulator.ranges,
        window=fit_window(scene, simulator.emulator, window),
        atmosphere=atmosphere,
        terrain=True,
        predictor=predictor,
    ):
        groups = torch.arange(pixels.patches).split(many)
        solved = [
            solve(Problem(pixels.map(lambda x, i=group: x[i]), simulator))  # type: ignore[misc]
            for group in groups
        ]
        for name, parts in zip(names, zip(*solved, strict=True), strict=True):
            values = torch.cat(parts).masked_fill(~pixels.usable, torch.nan)
            maps[name][lines] = _whole(values, maps[name][lines].shape).numpy()
    return xr.Dataset({name: (("line", "sample"), values) for name, values in maps.items()})


def _whole(values: Tensor, size: tuple[int, ...]) -> Tensor:
    """``line, sample`` of values ``patch, line, sample``, less what only fills patches."""
    across = -(-size[1] // values.shape[2])
    rows = values.unflatten(0, (-1, across)).transpose(1, 2)
    return rows.flatten(2, 3).flatten(0, 1)[: size[0], : size[1]]
