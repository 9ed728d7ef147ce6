"""What is known of the atmosphere before a spectrum is seen."""

from __future__ import annotations

import math

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray

from sifnet.errors import SifnetError
from sifnet.physics.state import Atmosphere, AtmospherePrior
from sifnet.scenes.scene import Scene
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
USUAL_SD = {"surface_pressure": PRESSURE_SD} | {n: s for n, (_, s) in ATMOSPHERE_PRIOR.items()}
STATED_AOT_SD, STATED_AOT_ERROR = 0.05, 0.15  # of AOT that a product states, by dark pixels
SAME_AIR = np.timedelta64(6, "h")  # lines of one morning may share an atmosphere
UNITS = {"surface_pressure": " hPa", "temperature_offset": " K", "aerosol_height": " km"}


def atmosphere_prior(
    scene: Scene, elevation: NDArray[np.float32], given: xr.Dataset | None = None
) -> AtmospherePrior:
    """Prior of every pixel, fields ``line, sample``; pressure follows the ground's elevation.

    AOT that the scene itself states is taken, unless some is given.

    Args:
        elevation: ``line, sample``, km.
        given: scalars named as in Atmosphere, each with ``*_uncertainty``. A table
            ``air_pressure`` on ``altitude`` (km) says the pressure at any elevation. Without it
            ``surface_pressure`` belongs to ``surface_altitude``, or to the mean elevation of the
            scene, and moves with the standard atmosphere.

    Raises:
        SifnetError: a given value is not a number, its uncertainty not positive, or the table of
            pressures does not reach the ground.
    """
    mean: dict[str, object] = {"surface_pressure": standard_pressure(elevation)}
    mean |= {name: value for name, (value, _) in ATMOSPHERE_PRIOR.items()}
    sd = dict(USUAL_SD)
    if "aot_550" in scene.dataset:
        mean["aot_550"] = stated = float(scene.dataset["aot_550"])
        sd["aot_550"] = STATED_AOT_SD + STATED_AOT_ERROR * stated
    for name in sd:
        if given is None or name not in given:
            continue
        mean[name], sd[name] = _given(given, name)
        if name == "surface_pressure":
            mean[name] = _pressure(scene, elevation, given)

    def full(value: object) -> torch.Tensor:
        return torch.from_numpy(np.broadcast_to(np.asarray(value, np.float32), elevation.shape)
                                .copy())  # fmt: skip

    names = Atmosphere.__dataclass_fields__
    return AtmospherePrior(
        Atmosphere(**{name: full(mean[name]) for name in names}),
        Atmosphere(**{name: full(sd[name]) for name in names}),
    )


def on_terrain(scene: Scene, given: xr.Dataset | None) -> Scene:
    """The scene on the ground that the atmosphere file knows, a DEM or a better elevation.

    The mean height of the sensor above ground is kept; relief makes it vary.

    Raises:
        SifnetError: the file is of another day, or its ground has other lines or samples.
    """
    if given is not None:
        _refuse_other_day(scene, given)
    if given is None or "ground_elevation" not in given:
        return scene
    ground, data = given["ground_elevation"].reset_coords(drop=True), scene.dataset
    sizes = {name: data.sizes[name] for name in ground.dims if name in data.sizes}
    if dict(ground.sizes) != sizes:
        raise SifnetError(
            "the atmosphere file is of another scene",
            found=f"ground elevation of {dict(ground.sizes)}",
            expected=f"{dict(data.sizes)}",
            remedy=f"Make it for this scene: atmorep-bridge state {scene.name} ...",
        )
    height = data["sensor_height"] + ground.mean() - ground
    height = height.transpose(*(name for name in ("line", "sample") if name in height.dims))
    return Scene(data.assign(ground_elevation=ground, sensor_height=height.clip(min=1e-3)))


def _refuse_other_day(scene: Scene, given: xr.Dataset) -> None:
    its, ours = (str(d.attrs.get("acquisition_time", "")) for d in (given, scene.dataset))
    if its and abs(np.datetime64(its) - np.datetime64(ours)) > SAME_AIR:
        raise SifnetError(
            "the atmosphere file is of another time",
            found=f"{its} UTC; the scene is of {ours} UTC",
            expected=f"at most {SAME_AIR} apart",
            remedy=f"Make it for this scene: atmorep-bridge state {scene.name} ...",
        )


def describe(given: xr.Dataset) -> str:
    """Source and every value with its standard deviation, for the provenance of a product."""
    values = [
        f"{name} {mean:.4g} ± {sd:.2g}{UNITS.get(name, '')}"
        for name in Atmosphere.__dataclass_fields__
        if name in given
        for mean, sd in [_given(given, name)]
    ]
    return "; ".join([str(given.attrs.get("source", "source not stated")), *values])


def _pressure(
    scene: Scene, elevation: NDArray[np.float32], given: xr.Dataset
) -> NDArray[np.float64]:
    """``line, sample`` hPa at the ground."""
    if "air_pressure" not in given:
        here = given.get("surface_altitude", scene.dataset["ground_elevation"].mean())
        scale = standard_pressure(elevation) / standard_pressure(float(here))
        return float(given["surface_pressure"]) * scale
    table = given["air_pressure"]
    altitude, pressure = table["altitude"].values.astype(float), table.values.astype(float)
    falling = (np.diff(altitude) > 0).all() and (np.diff(pressure) < 0).all()
    ground = elevation[np.isfinite(elevation)]
    reaches = ground.size == 0 or (altitude[0] <= ground.min() and ground.max() <= altitude[-1])
    if not (falling and reaches and pressure[-1] > 0):
        raise SifnetError(
            "the atmosphere file's air_pressure cannot be used",
            found=f"{pressure[0]:g} to {pressure[-1]:g} hPa at {altitude[0]:g} to "
            f"{altitude[-1]:g} km",
            expected=f"pressure falling with altitude, for ground at {np.min(ground):g} to "
            f"{np.max(ground):g} km"
            if ground.size
            else "pressure falling with altitude",
            remedy="Make the file again, or leave the variable out.",
        )
    return np.exp(np.interp(elevation, altitude, np.log(pressure)))


def _given(given: xr.Dataset, name: str) -> tuple[float, float]:
    uncertainty = given.get(f"{name}_uncertainty")
    mean = float(given[name])
    spread = USUAL_SD[name] if uncertainty is None else float(uncertainty)
    if not (math.isfinite(mean) and spread > 0):
        raise SifnetError(
            f"the atmosphere file's {name} cannot be used",
            found=f"{mean:g} with uncertainty {spread:g}",
            expected="a number with an uncertainty above 0",
            remedy="Make the file again, or leave the variable out.",
        )
    return mean, spread
