"""From a labelled scene to tensors: the only bridge between xarray outside and torch inside.

A strip of lines is read once, cut into patches, and every pixel learns whether it is usable.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields, replace
from functools import partial
from typing import Any

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray
from torch import Tensor

from sifnet.errors import SifnetError
from sifnet.physics.fields import TensorFields
from sifnet.physics.noise import noise_sd
from sifnet.physics.state import RANGES, AtmospherePrior, Geometry, outside
from sifnet.physics.surface import KnownShape
from sifnet.retrieval.prior import atmosphere_prior
from sifnet.retrieval.shape import READ, ShapePredictor
from sifnet.scenes.scene import CONTINUUM, FIT_WINDOW, SUN_755, Flag, Scene

Ranges = Mapping[str, tuple[float, float]]
Array = NDArray[np.float32]

UNUSABLE = (
    Flag.DEAD | Flag.SATURATED | Flag.OUT_OF_RANGE | Flag.CLOUD_OR_DARK | Flag.CLOUD | Flag.SHADOW
)
EVEN = 0.5  # hPa, 4 m of terrain: pressure varies no more within a patch that is taken for level
UNUSUAL = 3.0  # times the usual uncertainty of the shape of reflectance, beyond which it is said
DARK, BRIGHT = 0.02, 0.75  # continuum reflectance of water or shadow, and of cloud
RED, INFRARED = (650.0, 680.0), (770.0, 810.0)  # nm, the bands of the NDVI of radiances


@dataclass(frozen=True)
class Pixels:
    """Pixels of one or more patches, ready for encoder and simulation.

    Attributes:
        radiance: ``patch, line, sample, band``, mW m-2 nm-1 sr-1; 1 where it was not finite.
        noise: the same shape, standard deviation of radiance.
        irradiance: the same shape, mW m-2 nm-1, measured; None where the sensor has none.
        geometry: fields ``patch, 1, sample``; where terrain was asked for and there is some,
            sensor_height is ``patch, line, sample``.
        prior: fields ``patch, 1, 1``; over terrain the mean surface_pressure is
            ``patch, line, sample``.
        usable: ``patch, line, sample``, bool.
        flags: ``patch, line, sample``, int32 of ``scene.Flag``.
        ndvi: ``patch, line, sample``, of radiances; NaN where the bands do not cover it.
        column: ``patch, sample``, number of the detector column in the scene.
        line_id: ``patch``, number of the flight line among those fitted, -1 if none.
        known: shape of reflectance that the rest of the spectrum predicts, ``patch, line, sample``;
            None where none is asked for.
    """

    radiance: Tensor
    noise: Tensor
    irradiance: Tensor | None
    geometry: Geometry
    prior: AtmospherePrior
    usable: Tensor
    flags: Tensor
    ndvi: Tensor
    column: Tensor
    line_id: Tensor
    known: KnownShape | None = None

    def map(self, function: Callable[[Tensor], Tensor]) -> Pixels:
        """The same with ``function`` applied to every tensor; its first axis is patch."""
        return _each(lambda values: function(values[0]), [self])

    def lines(self, index: Tensor) -> Pixels:
        """The same patches with some of their lines only."""
        return self._thinned(lambda x: x if x.shape[1] == 1 else x[:, index])

    def samples(self, index: Tensor) -> Pixels:
        """The same patches with some of their columns only."""
        part = self._thinned(lambda x: x if x.shape[2] == 1 else x[:, :, index])
        return replace(part, column=self.column[:, index])

    def _thinned(self, thin: Callable[[Tensor], Tensor]) -> Pixels:
        whole = {
            n: thin(getattr(self, n)) for n in ("radiance", "noise", "usable", "flags", "ndvi")
        }
        irradiance = None if self.irradiance is None else thin(self.irradiance)
        known = None if self.known is None else self.known.map(thin)
        return replace(self, irradiance=irradiance, geometry=self.geometry.map(thin),
                       prior=self.prior.map(thin), known=known, **whole)  # fmt: skip

    @property
    def patches(self) -> int:
        return self.radiance.shape[0]


def join(parts: list[Pixels]) -> Pixels:
    """Patches of several reads, one after the other; all must have the same patch shape."""
    return _each(torch.cat, parts)


def _each(function: Callable[[list[Tensor]], Tensor], parts: list[Pixels]) -> Pixels:
    """Pixels whose tensors are made from the corresponding ones of ``parts``."""
    made: dict[str, Any] = {}
    for field in fields(Pixels):
        values = [getattr(part, field.name) for part in parts]
        if values[0] is None:
            made[field.name] = None
        elif isinstance(values[0], TensorFields):
            columns = zip(*([x for _, x in value.items()] for value in values), strict=True)
            tensors = iter([function(list(column)) for column in columns])
            made[field.name] = values[0].map(partial(_next, tensors))
        else:
            made[field.name] = function(values)
    return Pixels(**made)


def _next(tensors: Iterator[Tensor], _: Tensor) -> Tensor:
    return next(tensors)


def fit_bands(wavelength: NDArray[np.float64], window: tuple[float, float]) -> NDArray[np.intp]:
    """Indices of the bands within a window, nm.

    Raises:
        SifnetError: fewer than 5 bands, with which four surface parameters cannot be told apart.
    """
    bands = np.flatnonzero((wavelength >= window[0]) & (wavelength <= window[1]))
    if bands.size < 5:
        raise SifnetError(
            "too few bands in the fit window",
            found=f"{bands.size} bands in {window[0]:g}-{window[1]:g} nm",
            expected="at least 5",
            remedy="Widen `window`, or check the wavelengths with `sifnet inspect`.",
        )
    return bands


def patch_shape(scene: Scene, wanted: tuple[int, int]) -> tuple[int, int]:
    """Lines and samples of a patch: one measurement each where a scene has a single column.

    A field spectrometer's measurements are minutes apart, so they do not share an atmosphere.
    """
    return (1, 1) if scene.shape[1] == 1 else wanted


def strips(
    scene: Scene,
    shape: tuple[int, int],
    *,
    strip: int | None = None,
    every: int = 1,
    **options: object,
) -> Iterator[tuple[slice, Pixels]]:
    """Windows of at most ``strip`` lines (default: one row of patches) from top to bottom.

    Args:
        every: read only each ``every``-th line of a window.
    """
    height = strip or shape[0] * every
    for start in range(0, scene.shape[0], height):
        window = slice(start, min(start + height, scene.shape[0]))
        lines = slice(window.start, window.stop, every)
        yield window, read(scene, lines, shape, **options)  # type: ignore[arg-type]


def read(
    scene: Scene,
    lines: slice,
    shape: tuple[int, int],
    *,
    ranges: Ranges = RANGES,
    window: tuple[float, float] = FIT_WINDOW,
    atmosphere: xr.Dataset | None = None,
    line_id: int = -1,
    terrain: bool = False,
    predictor: ShapePredictor | None = None,
) -> Pixels:
    """Read some lines and cut them into patches, row by row.

    Incomplete patches at the right and lower edges are filled by repeating the last pixel, which
    is then not usable.

    Args:
        shape: lines and samples of a patch.
        ranges: those of the emulator; pixels whose geometry or prior is outside are flagged.
        atmosphere: per-scene ``surface_pressure``, ``aot_550``, ... with ``*_uncertainty``.
        terrain: let pressure and sensor height vary within patches, where they do.
        predictor: of the shape of reflectance in the window, from bands beside it.
    """
    part = scene.read(lines, _wanted_bands(scene.wavelength, window, predictor))
    bands = fit_bands(part.wavelength, window)
    radiance = _values(part.radiance, bands)
    irradiance = None if part.irradiance is None else _values(part.irradiance, bands)
    geometry = {name: _plane(part, name) for name in Geometry.__dataclass_fields__}
    prior = atmosphere_prior(scene, _plane(part, "ground_elevation"), atmosphere)
    flags = _flags(part, radiance, irradiance, geometry, prior, bands, ranges)
    ndvi = _ndvi(part)
    flags[~np.isfinite(ndvi)] |= int(Flag.NO_NDVI)
    known, left = (None, None) if predictor is None else _known(part, geometry, bands, predictor)
    if known is not None:
        flags[(known.unusual > UNUSUAL).numpy()] |= int(Flag.UNUSUAL_SPECTRUM)

    def cut(plane: NDArray) -> Tensor:
        return _cut(torch.from_numpy(np.array(plane)), shape)

    flagged = cut(flags)
    usable = ((flagged & int(UNUSABLE)) == 0) & ~_padding(flags.shape, shape)
    filled = torch.nan_to_num(cut(radiance), nan=1.0, posinf=1.0, neginf=1.0)
    filled = torch.where((flagged & int(Flag.DEAD) > 0)[..., None], 1.0, filled)
    measured = None if irradiance is None else torch.nan_to_num(cut(irradiance), nan=1.0)
    columns = np.broadcast_to(np.arange(flags.shape[1]), flags.shape)
    angles = {name: cut(plane) for name, plane in geometry.items()}
    pressure = cut(prior.mean.surface_pressure.numpy())
    noise = noise_sd(filled.clamp(min=0.1), scene.sensor.shot_noise)
    if known is not None and left is not None:
        known = known.map(lambda plane: _cut(plane, shape))
        noise = torch.hypot(noise, filled * _cut(left, shape))
    uneven = terrain and bool((pressure.amax((1, 2)) - pressure.amin((1, 2)) > EVEN).any())
    common = prior.map(lambda plane: _cut(plane, shape).mean((1, 2), keepdim=True))
    if uneven:
        common = replace(common, mean=replace(common.mean, surface_pressure=pressure))
    return Pixels(
        radiance=filled,
        noise=noise,
        irradiance=measured,
        geometry=Geometry(
            **{
                name: _inside(
                    name,
                    plane if uneven and name == "sensor_height" else plane.mean(1, keepdim=True),
                    ranges,
                )
                for name, plane in angles.items()
            }
        ),
        prior=common,
        usable=usable,
        flags=flagged,
        ndvi=cut(ndvi),
        column=cut(columns)[:, 0],
        line_id=torch.full((len(flagged),), line_id),
        known=known,
    )


def _known(
    part: Scene, geometry: dict[str, Array], bands: NDArray[np.intp], predictor: ShapePredictor
) -> tuple[KnownShape, Tensor]:
    """What the whole spectrum says of the shape of reflectance in the fit window."""
    planes = {name: torch.as_tensor(plane) for name, plane in geometry.items()}
    elevation = torch.as_tensor(_plane(part, "ground_elevation"))
    radiance = torch.as_tensor(np.asarray(part.radiance.values, dtype=np.float32))
    return predictor.known(
        radiance, part.wavelength, part.fwhm, bands, Geometry(**planes), elevation
    )


def _wanted_bands(
    wavelength: NDArray[np.float64],
    window: tuple[float, float],
    predictor: ShapePredictor | None,
) -> NDArray[np.intp]:
    """Indices of the bands that fit, flags, NDVI or predictor need, in their order."""
    wanted = (window, FIT_WINDOW, INFRARED, RED, *(READ if predictor is not None else ()))
    inside = [(wavelength >= low) & (wavelength <= high) for low, high in wanted]
    return np.flatnonzero(np.any(inside, axis=0))


def _values(data: xr.DataArray, bands: NDArray[np.intp]) -> Array:
    return np.asarray(data.isel(band=bands).values, dtype=np.float32)


def _plane(scene: Scene, name: str) -> Array:
    """(line, sample) of a quantity that may be given for lines, for samples or once."""
    template = xr.DataArray(np.zeros(scene.shape[:2], np.float32), dims=("line", "sample"))
    full = (template + scene.dataset[name].astype(np.float32).drop_vars(
        list(scene.dataset[name].coords)))  # fmt: skip
    return full.transpose("line", "sample").values.astype(np.float32)


def _ndvi(scene: Scene) -> Array:
    """(line, sample): (I - R) / (I + R) of mean radiances in INFRARED and RED."""
    means = []
    for low, high in (INFRARED, RED):
        bands = np.flatnonzero((scene.wavelength >= low) & (scene.wavelength <= high))
        if bands.size == 0:
            return np.full(scene.shape[:2], np.nan, dtype=np.float32)
        means.append(np.asarray(scene.radiance.isel(band=bands).mean("band"), dtype=np.float32))
    infrared, red = means
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(infrared + red > 0, (infrared - red) / (infrared + red), np.nan)


def _flags(
    scene: Scene,
    radiance: Array,
    irradiance: Array | None,
    geometry: dict[str, Array],
    prior: AtmospherePrior,
    bands: NDArray[np.intp],
    ranges: Ranges,
) -> NDArray[np.int32]:
    """(line, sample) of Flag bits: the reader's, and what is out of range, too bright or dark."""
    flags = scene.flags().values.astype(np.int32)
    flags[~np.isfinite(radiance).all(-1)] |= int(Flag.DEAD)
    if irradiance is not None:
        flags[~(np.isfinite(irradiance).all(-1) & (irradiance > 0).all(-1))] |= int(Flag.DEAD)
    planes = {n: torch.as_tensor(v) for n, v in geometry.items()}
    planes |= dict(prior.mean.items())
    for name, plane in planes.items():
        if name in ranges:
            flags[outside(name, plane, *ranges[name]).numpy()] |= int(Flag.OUT_OF_RANGE)
    wavelength = scene.wavelength[bands]
    clear = (wavelength >= CONTINUUM[0]) & (wavelength <= CONTINUUM[1])
    clear = clear if clear.any() else np.ones_like(clear)
    sun = SUN_755 * np.cos(np.radians(geometry["solar_zenith_angle"]))
    sun = sun / geometry["sun_earth_distance"] ** 2
    light = sun if irradiance is None else irradiance[..., clear].mean(-1)
    with np.errstate(invalid="ignore", divide="ignore"):
        reflectance = np.pi * radiance[..., clear].mean(-1) / light
    strange = ~((reflectance >= DARK) & (reflectance <= BRIGHT))
    flags[strange & (flags & int(Flag.DEAD) == 0)] |= int(Flag.CLOUD_OR_DARK)
    return flags


def _inside(name: str, value: Tensor, ranges: Ranges) -> Tensor:
    """Bring flagged geometry into range: its pixels are not used, but must not spread NaN."""
    if name not in ranges:
        return torch.nan_to_num(value, nan=1.0)
    low, high = ranges[name]
    if name == "sensor_height" and bool(torch.isposinf(value).all()):
        return value
    return torch.nan_to_num(value, nan=low, posinf=high).clamp(low, high)


def _grid(size: tuple[int, ...], shape: tuple[int, int]) -> tuple[int, int]:
    return math.ceil(size[0] / shape[0]), math.ceil(size[1] / shape[1])


def _cut(plane: Tensor, shape: tuple[int, int]) -> Tensor:
    """``line, sample, ...`` to ``patch, line, sample, ...``, edges repeated."""
    rows, columns = _grid(plane.shape, shape)
    line = torch.arange(rows * shape[0]).clamp(max=plane.shape[0] - 1)
    sample = torch.arange(columns * shape[1]).clamp(max=plane.shape[1] - 1)
    whole = plane[line][:, sample].unflatten(1, (columns, shape[1])).unflatten(0, (rows, shape[0]))
    return whole.transpose(1, 2).flatten(0, 1).contiguous()


def _padding(size: tuple[int, ...], shape: tuple[int, int]) -> Tensor:
    """``patch, line, sample``, bool: pixels that only fill an incomplete patch."""
    rows, columns = _grid(size, shape)
    whole = torch.ones(rows * shape[0], columns * shape[1], dtype=torch.bool)
    whole[: size[0], : size[1]] = False
    return _cut(whole, shape)
