"""What is known of the atmosphere before a spectrum is seen."""

from __future__ import annotations

import math

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray

from sifnet.errors import SifnetError
from sifnet.physics.state import Atmosphere, AtmospherePrior
from sifnet.scene import Scene
from sifnet.units import standard_pressure

ATMOSPHERE_PRIOR: dict[str, tuple[float, float]] = {
    "temperature_offset": (0.0, 5.0),
    "aot_550": (0.15, 0.10),
    "aerosol_height": (1.5, 0.7),
    "aerosol_type": (0.3, 0.3),
    "o2_scale": (1.0, 0.005),
}
"""Mean and standard deviation where nothing else is known: clear summer days over land."""
PRESSURE_SD = 8.0  # hPa, weather around the standard atmosphere at the ground's elevation


def atmosphere_prior(
    scene: Scene, elevation: NDArray[np.float32], given: xr.Dataset | None = None
) -> AtmospherePrior:
    """Prior of every pixel, fields ``line, sample``; pressure follows the ground's elevation.

    A given pressure belongs to the mean elevation of the scene, and is moved to a pixel's own
    in proportion to the standard atmosphere.

    Args:
        elevation: ``line, sample``, km.
        given: scalars named as in Atmosphere, each with ``*_uncertainty``.

    Raises:
        SifnetError: a given value is not a number, or its uncertainty not positive.
    """
    pressure = standard_pressure(elevation)
    mean: dict[str, object] = {"surface_pressure": pressure}
    mean |= {name: value for name, (value, _) in ATMOSPHERE_PRIOR.items()}
    sd = {"surface_pressure": PRESSURE_SD} | {n: s for n, (_, s) in ATMOSPHERE_PRIOR.items()}
    for name in sd:
        if given is None or name not in given:
            continue
        value, spread = _given(given, name, sd[name])
        mean[name], sd[name] = value, spread
        if name == "surface_pressure":
            reference = standard_pressure(float(scene.dataset["ground_elevation"].mean()))
            mean[name] = value * pressure / reference

    def full(value: object) -> torch.Tensor:
        return torch.from_numpy(np.broadcast_to(np.asarray(value, np.float32), elevation.shape)
                                .copy())  # fmt: skip

    names = Atmosphere.__dataclass_fields__
    return AtmospherePrior(
        Atmosphere(**{name: full(mean[name]) for name in names}),
        Atmosphere(**{name: full(sd[name]) for name in names}),
    )


def _given(given: xr.Dataset, name: str, usual_sd: float) -> tuple[float, float]:
    uncertainty = given.get(f"{name}_uncertainty")
    mean = float(given[name])
    spread = usual_sd if uncertainty is None else float(uncertainty)
    if not (math.isfinite(mean) and spread > 0):
        raise SifnetError(
            f"the atmosphere file's {name} cannot be used",
            found=f"{mean:g} with uncertainty {spread:g}",
            expected="a number with an uncertainty above 0",
            remedy="Make the file again, or leave the variable out.",
        )
    return mean, spread
