"""Fluorescence at 687 nm, in the O2 B band, of a scene whose O2 A band is solved.

The red window is solved as the far red is: what pixels share first (``shared``), then the surface
of every pixel (``strips``), with an emulator, a discrepancy and an instrument of its own. The
search starts from the air and the sensor that the far red found. Only the strength of oxygen is
the band's own: levels and intensities of both bands were measured apart.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray

from sifnet.physics.state import Atmosphere, SensorState
from sifnet.physics.transfer import PRODUCTS, TransferFunctions
from sifnet.physics.windows import RED
from sifnet.retrieval.model import Retrieval
from sifnet.retrieval.prior import atmosphere_prior
from sifnet.retrieval.shared import Shared, find_shared
from sifnet.retrieval.strips import solve_strips
from sifnet.retrieval.without_network import from_prior
from sifnet.scenes.registration import WIDEST
from sifnet.scenes.scene import Flag, Scene

FEWEST = 30  # bands of the window
LOOKED_AT = 24  # lines, for whether the band's lines are there
ALIKE = 0.9  # least correlation of the mean spectrum with the expected one, smooth parts apart
# Three direct suns of TCCON find 0.99 to 1.03 of our O2 in this band, libRadtran 0.975.
O2_SCALE = (1.0, 0.02)
MAPS = {
    "sif_760": "sif_687",
    "sif_760_uncertainty": "sif_687_uncertainty",
    "sif_760_uncertainty_shared": "sif_687_uncertainty_shared",
    "reflectance_at_reference": "reflectance_687",
    "quality_flag": "quality_flag_687",
}
"""What strips call what they find in the red window, and what it is."""


@dataclass(frozen=True)
class Red:
    """The red window of a scene, and what its pixels share.

    Attributes:
        model: on the bands of the window.
        air: prior of the search.
        shared: what it found.
    """

    model: Retrieval
    air: xr.Dataset
    shared: Shared


def find_red(
    scene: Scene, model: Retrieval, shared: Shared, atmosphere: xr.Dataset | None = None
) -> Red | None:
    """What the pixels of a scene share in the red window; None where its bands do not show it.

    Args:
        model, shared: of the far red, solved.
        atmosphere: outside knowledge of the atmosphere.
    """
    if not _resolved(scene):
        return None
    sensor = shared.sensor.map(lambda x: x.mean())
    options = {"patch": model.setup.patch, "weights": model.setup.weights}
    red = from_prior(scene, RED, sensor, **options)
    if not _shows_oxygen(scene, red):
        return None
    red = red.to(model.device)
    air = _air_found(scene, model, shared, atmosphere)
    return Red(red, air, find_shared(scene, red, atmosphere=air))


def beside(
    maps: Iterator[tuple[slice, xr.Dataset]], scene: Scene, red: Red, *, grave: bool = False
) -> Iterator[tuple[slice, xr.Dataset]]:
    """Maps of the far red (``solve_strips``) with those of MAPS; where light is dim, both are.

    Args:
        grave: the scene contradicts physics: no pixel of it is to be trusted.
    """
    solved = solve_strips(scene, red.model, red.shared, atmosphere=red.air, grave=grave)
    flag = MAPS["quality_flag"]
    for (lines, part), (_, found) in zip(maps, solved, strict=True):
        more = found[list(MAPS)].rename(MAPS)
        more[flag] = more[flag] | (part["quality_flag"] & np.uint16(Flag.DIM))
        yield lines, part.merge(more)


def _resolved(scene: Scene) -> bool:
    inside = _bands(scene)
    return (
        scene.irradiance is None
        and len(inside) >= FEWEST
        and float(np.median(scene.fwhm[inside])) < WIDEST
    )


def _bands(scene: Scene) -> NDArray[np.intp]:
    low, high = RED.fitted
    return np.flatnonzero((scene.wavelength >= low) & (scene.wavelength <= high))


@torch.no_grad()
def _shows_oxygen(scene: Scene, red: Retrieval) -> bool:
    """Whether the mean spectrum has the lines of sun and oxygen that it should have.

    Light that is simulated or resampled without them is no light in which to look.
    """
    part = scene.read(slice(None, None, -(-scene.shape[0] // LOOKED_AT)), _bands(scene))
    seen = np.nanmean(part.radiance.values.reshape(-1, part.shape[2]), 0)
    first = torch.nn.functional.one_hot(torch.tensor(0), red.emulator.basis.shape[1]).float()
    mean = TransferFunctions(*[first] * len(PRODUCTS))
    found = []
    for shift in np.linspace(*red.setup.sensor.shift_range, 7):
        sensor = SensorState(torch.tensor(float(shift)), torch.tensor(0.0))
        expected = red.instrument(mean, sensor).ground.numpy()
        found.append(np.corrcoef(_rough(seen), _rough(expected))[0, 1])
    return bool(np.max(found) > ALIKE)


def _rough(spectrum: NDArray[np.floating]) -> NDArray[np.float64]:
    """Logarithm less its parabola."""
    x = np.linspace(-1, 1, len(spectrum))
    y = np.log(np.maximum(spectrum, 1e-6)).astype(float)
    return np.asarray(y - np.polyval(np.polyfit(x, y, 2), x))


def _air_found(
    scene: Scene, model: Retrieval, shared: Shared, atmosphere: xr.Dataset | None
) -> xr.Dataset:
    """Air of the far red's solution over the scene, as uncertain as it was before."""
    ground = scene.dataset["ground_elevation"].variable
    whole = ground.set_dims({"line": scene.shape[0], "sample": scene.shape[1]})
    elevation = whole.transpose("line", "sample").values.astype(np.float32)
    prior = atmosphere_prior(scene, elevation, atmosphere).map(lambda x: x.nanmean())
    deviation = shared.deviation.mean((0, 1)).cpu()
    found = dict(prior.at(deviation, model.emulator.ranges).items())
    told = {name: (float(found[name]), float(sd)) for name, sd in prior.sd.items()}
    told["o2_scale"] = O2_SCALE
    air = xr.Dataset(attrs={"source": "the O2 A band of the scene"})
    for name in Atmosphere.names():
        air[name], air[f"{name}_uncertainty"] = told[name]
    return air
