"""What is known of the atmosphere before a spectrum is seen."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from sifnet.errors import SifnetError
from sifnet.physics.state import Atmosphere, AtmospherePrior
from sifnet.scenes.adjacency import without_adjacency
from sifnet.scenes.registration import registered
from sifnet.scenes.scene import Scene
from sifnet.units import standard_pressure

Values = NDArray[np.float64] | float  # of every pixel, or one for all
USUAL = {name: entry.prior for name, entry in Atmosphere.parameters().items() if entry.prior}
# What is on earth, though perhaps beyond the emulator, which is flagged and not refused.
CREDIBLE = {"surface_pressure": (300.0, 1100.0), "temperature_offset": (-80.0, 80.0),
            "aot_550": (0.0, 10.0), "aerosol_height": (0.0, 30.0), "aerosol_type": (0.0, 1.0),
            "o2_scale": (0.5, 2.0)}  # fmt: skip
# Of what a product states of its own air, standard deviation and share: AOT by dark pixels,
# temperature and pressure of a weather model, with what its grid and a profile's shape add.
STATED = {"aot_550": (0.05, 0.15), "temperature_offset": (1.0, 0.0), "surface_pressure": (2.0, 0.0)}
# Latitude, and how much warmer than the US standard atmosphere air is in summer and winter, K:
# Anderson et al. (1986), means over the column weighted with pressure, as absorption is.
SEASONS = np.array([(15.0, 11.4, 11.4), (45.0, 8.8, -8.1), (60.0, 2.2, -16.8)])
WARMEST = 8.0  # K, farther from the standard the emulator would leave no room
MIDSUMMER = 197  # day of the year, in the north
SAME_AIR = np.timedelta64(6, "h")  # lines of one morning may share an atmosphere


def atmosphere_prior(
    scene: Scene, elevation: NDArray[np.float32], atmosphere: xr.Dataset | None = None
) -> AtmospherePrior:
    """Prior of every pixel, fields ``line, sample``; pressure follows the ground's elevation,
    temperature the season and latitude.

    What the scene itself states is taken (``own_air``), unless the atmosphere says better.

    Args:
        elevation: ``line, sample``, km.
        atmosphere: scalars named as in Atmosphere, each with ``*_uncertainty``. A table
            ``air_pressure`` on ``altitude`` (km) says the pressure at any elevation. Without it
            ``surface_pressure`` belongs to ``surface_altitude``, or to the mean elevation of the
            scene, and moves with the standard atmosphere.

    Raises:
        SifnetError: a given value is not a number, its uncertainty not positive, or the table of
            pressures does not reach the ground.
    """
    mean: dict[str, Any] = {name: value for name, (value, _) in USUAL.items()}
    sd: dict[str, Any] = {name: spread for name, (_, spread) in USUAL.items()}
    mean["surface_pressure"] = standard_pressure(elevation)
    mean["temperature_offset"] = usual_warmth(scene)
    for source in (own_air(scene), atmosphere):
        for name in sd:
            if source is None or name not in source:
                continue
            mean[name], sd[name] = _stated(source, name)
            if name == "surface_pressure" and source[name].ndim == 0:
                mean[name] = _pressure(scene, elevation, source)

    def full(values: Mapping[str, Any]) -> Atmosphere:
        plane = np.ones_like(elevation)
        return Atmosphere.of(**{name: plane * value for name, value in values.items()})

    return AtmospherePrior(full(mean), full(sd))


def own_air(scene: Scene) -> xr.Dataset:
    """What the product itself says of its air, as an atmosphere file does; may be empty.

    Each a scalar, or ``line, sample``, with its ``*_uncertainty``.
    """
    data, told = scene.dataset, xr.Dataset(attrs={"source": "the product itself"})
    for name, (least, share) in STATED.items():
        if name in data:
            told[name] = data[name].reset_coords(drop=True)
            told[f"{name}_uncertainty"] = least + share * told[name]
    told.encoding["source"] = scene.file
    return told


def usual_warmth(scene: Scene) -> float:
    """Usual temperature of latitude and season less that of the standard atmosphere, K.

    0 where the scene does not say where it is.
    """
    if "latitude" not in scene.dataset:
        return 0.0
    latitude = float(scene.dataset["latitude"].mean())
    time = np.datetime64(scene.dataset.attrs["acquisition_time"])
    day = float((time - time.astype("M8[Y]")) / np.timedelta64(1, "D"))
    season = np.cos(2 * np.pi * (day - MIDSUMMER) / 365.25) * (1 if latitude >= 0 else -1)
    summer, winter = (np.interp(abs(latitude), SEASONS[:, 0], SEASONS[:, i]) for i in (1, 2))
    usual = (summer + winter) / 2 + season * (summer - winter) / 2
    return float(np.clip(np.nan_to_num(usual), -WARMEST, WARMEST))


def prepared(scene: Scene, atmosphere: xr.Dataset | None) -> Scene:
    """The scene that is retrieved: on the ground that is known, bands where lines are, and without
    the light of its surroundings.

    Raises:
        SifnetError: see ``on_terrain`` and ``registered``.
    """
    return without_adjacency(registered(on_terrain(scene, atmosphere)))


def on_terrain(scene: Scene, atmosphere: xr.Dataset | None) -> Scene:
    """The scene on the ground that the atmosphere file knows, a DEM or a better elevation.

    The mean height of the sensor above ground is kept; relief makes it vary.

    Raises:
        SifnetError: the file is of another day, or its ground has other lines or samples.
    """
    if atmosphere is not None:
        _refuse_other_day(scene, atmosphere)
    if atmosphere is None or "ground_elevation" not in atmosphere:
        return scene
    ground, data = atmosphere["ground_elevation"].reset_coords(drop=True), scene.dataset
    sizes = {name: data.sizes[name] for name in ground.dims if name in data.sizes}
    if dict(ground.sizes) != sizes:
        raise SifnetError(
            "the atmosphere file is of another scene",
            found=f"ground elevation of {dict(ground.sizes)}",
            expected=f"{dict(data.sizes)}",
            remedy=f"Make it for this scene: atmorep-bridge state {scene.name} ...",
            file=_file(atmosphere),
        )
    height = data["sensor_height"] + ground.mean() - ground
    height = height.transpose(*(name for name in ("line", "sample") if name in height.dims))
    return Scene(data.assign(ground_elevation=ground, sensor_height=height.clip(min=1e-3)))


def _refuse_other_day(scene: Scene, atmosphere: xr.Dataset) -> None:
    its, ours = (str(d.attrs.get("acquisition_time", "")) for d in (atmosphere, scene.dataset))
    try:
        # NaT is not near to anything.
        near = not its or bool(abs(np.datetime64(its) - np.datetime64(ours)) <= SAME_AIR)
    except ValueError:
        near = False
    if not near:
        raise SifnetError(
            "the atmosphere file is of another time",
            found=f"{its} UTC; the scene is of {ours} UTC",
            expected=f"at most {SAME_AIR} apart",
            remedy=f"Make it for this scene: atmorep-bridge state {scene.name} ...",
            file=_file(atmosphere),
        )


def describe(atmosphere: xr.Dataset) -> str:
    """Source and every value with its standard deviation, for the provenance of a product."""
    values = [
        f"{name} {mean:.4g} ± {sd:.2g} {Atmosphere.parameters()[name].unit}".removesuffix(" 1")
        for name in Atmosphere.names()
        if name in atmosphere
        for mean, sd in [map(np.mean, _stated(atmosphere, name))]
    ]
    return "; ".join([str(atmosphere.attrs.get("source", "source not stated")), *values])


def _pressure(
    scene: Scene, elevation: NDArray[np.float32], atmosphere: xr.Dataset
) -> NDArray[np.float64]:
    """``line, sample`` hPa at the ground."""
    if "air_pressure" not in atmosphere:
        here = atmosphere.get("surface_altitude", scene.dataset["ground_elevation"].mean())
        scale = standard_pressure(elevation) / standard_pressure(float(here))
        return float(atmosphere["surface_pressure"]) * scale
    table = atmosphere["air_pressure"]
    altitude, pressure = table["altitude"].values.astype(float), table.values.astype(float)
    credible = np.isfinite(pressure).all() and 0 < pressure.min() <= pressure.max() <= 1200.0
    falling = (np.diff(altitude) > 0).all() and (np.diff(pressure) < 0).all()
    ground = elevation[np.isfinite(elevation)]
    reaches = ground.size == 0 or (altitude[0] <= ground.min() and ground.max() <= altitude[-1])
    if not (falling and reaches and credible):
        raise SifnetError(
            "the atmosphere file's air_pressure cannot be used",
            found=f"{pressure[0]:g} to {pressure[-1]:g} hPa at {altitude[0]:g} to "
            f"{altitude[-1]:g} km",
            expected=f"pressure falling with altitude, for ground at {np.min(ground):g} to "
            f"{np.max(ground):g} km"
            if ground.size
            else "pressure falling with altitude",
            remedy="Make the file again, or leave the variable out.",
            file=_file(atmosphere),
        )
    return np.exp(np.interp(elevation, altitude, np.log(pressure)))


def _stated(atmosphere: xr.Dataset, name: str) -> tuple[Values, Values]:
    uncertainty = atmosphere.get(f"{name}_uncertainty")
    try:
        mean = _values(atmosphere[name])
        spread = USUAL[name][1] if uncertainty is None else _values(uncertainty)
    except (TypeError, ValueError):
        mean = spread = math.nan
    low, high = CREDIBLE[name]
    credible = low <= np.min(mean) and np.max(mean) <= high
    if not (credible and np.min(spread) > 0 and np.max(spread) < math.inf):
        raise SifnetError(
            f"the atmosphere file's {name} cannot be used",
            found=f"{np.mean(mean):g} with uncertainty {np.mean(spread):g}",
            expected=f"{low:g} to {high:g}, with an uncertainty above 0",
            remedy="Make the file again, or leave the variable out.",
            file=_file(atmosphere),
        )
    return mean, spread


def _values(variable: xr.DataArray) -> Values:
    """A number, or one for every pixel, which only a product itself may say."""
    if variable.dims == ("line", "sample"):
        return variable.values.astype(float)
    return float(variable)


def _file(atmosphere: xr.Dataset) -> str | None:
    """The file that an atmosphere was read from, as xarray remembers."""
    return atmosphere.encoding.get("source")
