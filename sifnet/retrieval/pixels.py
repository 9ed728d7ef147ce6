"""From a labelled scene to tensors: the only bridge between xarray outside and torch inside.

A strip of lines is read once, cut into patches, and every pixel learns whether it is usable.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from operator import itemgetter

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray
from torch import Tensor

from sifnet.physics.fields import Ranges, TensorFields
from sifnet.physics.noise import noise_sd
from sifnet.physics.state import RANGES, AtmospherePrior, Geometry, outside
from sifnet.physics.surface import ShapePrior
from sifnet.retrieval.expected import RED_EDGE, ExpectedSif
from sifnet.retrieval.prior import atmosphere_prior
from sifnet.retrieval.shape import READ, ShapePredictor
from sifnet.retrieval.window import fit_bands
from sifnet.scenes.light import INFRARED, RED
from sifnet.scenes.scene import CONTINUUM, FIT_WINDOW, SUN_755, Flag, Scene

UNUSABLE = (
    Flag.DEAD | Flag.SATURATED | Flag.OUT_OF_RANGE | Flag.CLOUD_OR_DARK | Flag.CLOUD | Flag.SHADOW
)
UNUSUAL = 3.0  # times the usual uncertainty of the shape of reflectance, beyond which it is said
DARK, BRIGHT = 0.02, 0.75  # continuum reflectance of water or shadow, and of cloud


@dataclass(frozen=True)
class Pixels(TensorFields):
    """Pixels of one or more patches, ready for encoder and simulation; the first axis is patch.

    Attributes:
        radiance: ``patch, line, sample, band``, mW m-2 nm-1 sr-1; 1 where it was not finite.
        noise: the same shape, standard deviation of radiance.
        irradiance: the same shape, mW m-2 nm-1, measured; None where the sensor has none.
        stray: ``patch, line, sample``, mean radiance over all that was read of the detector, of
            which some may be scattered into every band; 0 beside measured irradiance, which is as
            much brightened.
        geometry: fields ``patch, 1, sample``; where terrain was asked for, sensor_height is
            ``patch, line, sample``.
        prior: fields ``patch, 1, 1``; over terrain the mean surface_pressure is
            ``patch, line, sample``.
        usable: ``patch, line, sample``, bool.
        flags: ``patch, line, sample``, int32 of ``scene.Flag``.
        ndvi: ``patch, line, sample``, of radiances; NaN where the bands do not cover it.
        column: ``patch, sample``, number of the detector column in the scene.
        line_id: ``patch``, number of the flight line among those fitted, -1 if none.
        shape_prior: what the rest of the spectrum says of the shape of reflectance, ``patch, line,
            sample``; None where none is asked for.
        expected: ``patch, line, sample, 2``, of sif_760, and its standard deviation, or None.
    """

    radiance: Tensor
    noise: Tensor
    irradiance: Tensor | None
    stray: Tensor
    geometry: Geometry
    prior: AtmospherePrior
    usable: Tensor
    flags: Tensor
    ndvi: Tensor
    column: Tensor
    line_id: Tensor
    shape_prior: ShapePrior | None = None
    expected: Tensor | None = None

    @classmethod
    def unseen(
        cls,
        shape: tuple[int, int, int],
        geometry: Geometry,
        prior: AtmospherePrior,
    ) -> Pixels:
        """Usable pixels ``patch, line, sample`` whose radiance is not there yet."""
        patches, _, samples = shape
        return cls(
            radiance=torch.empty(patches, 0),
            noise=torch.empty(patches, 0),
            irradiance=None,
            stray=torch.zeros(shape),
            geometry=geometry,
            prior=prior,
            usable=torch.ones(shape, dtype=torch.bool),
            flags=torch.zeros(shape, dtype=torch.int32),
            ndvi=torch.full(shape, torch.nan),
            column=torch.zeros(patches, samples, dtype=torch.long),
            line_id=torch.full((patches,), -1),
        )

    def lines(self, index: Tensor) -> Pixels:
        """The same patches with some of their lines only."""
        return self._thinned(lambda x: x if x.shape[1] == 1 else x[:, index])

    def samples(self, index: Tensor | slice) -> Pixels:
        """The same patches with some of their columns only."""
        part = self._thinned(lambda x: columns_of(x, index))
        return replace(part, column=self.column[:, index])

    def _thinned(self, thin: Callable[[Tensor], Tensor]) -> Pixels:
        return self.map(lambda x: thin(x) if x.dim() > 2 else x)

    def split(self, count: int) -> list[Pixels]:
        """At most ``count`` patches at a time."""
        starts = range(0, self.patches, count)
        return [self.map(itemgetter(slice(start, start + count))) for start in starts]

    def without_stray(self, share: float | Tensor) -> Pixels:
        """The same pixels less light that is scattered from all bands into every band."""
        return replace(self, radiance=self.radiance - (share * self.stray)[..., None])

    @property
    def patches(self) -> int:
        return self.usable.shape[0]


def columns_of(values: Tensor, index: Tensor | slice) -> Tensor:
    """Some columns of ``patch, line, sample, ...``; one that is of all stays."""
    return values if values.shape[2] == 1 else values[:, :, index]


def join(parts: list[Pixels]) -> Pixels:
    """Patches of several reads, one after the other; all must have the same patch shape."""
    return Pixels.combine(torch.cat, parts)


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
    apart: int = 1,
    **options: object,
) -> Iterator[tuple[slice, Pixels]]:
    """Windows of at most ``strip`` lines (default: one row of patches) from top to bottom.

    Args:
        every: read only each ``every``-th line of a window.
        apart: and only each ``apart``-th column of a patch, in the next window the next of them.
    """
    height = strip or shape[0] * every
    for number, start in enumerate(range(0, scene.shape[0], height)):
        window = slice(start, min(start + height, scene.shape[0]))
        lines, some = slice(window.start, window.stop, every), slice(number % apart, None, apart)
        yield window, read(scene, lines, shape, columns=some, **options)  # type: ignore[arg-type]


def read(
    scene: Scene,
    lines: slice,
    shape: tuple[int, int],
    *,
    columns: slice = slice(None),
    ranges: Ranges = RANGES,
    window: tuple[float, float] = FIT_WINDOW,
    atmosphere: xr.Dataset | None = None,
    line_id: int = -1,
    terrain: bool = False,
    predictor: ShapePredictor | None = None,
    expected: ExpectedSif | None = None,
) -> Pixels:
    """Read some lines and cut them into patches, row by row.

    Incomplete patches at the right and lower edges are filled by repeating the last pixel, which
    is then not usable.

    Args:
        shape: lines and samples of a patch.
        columns: of each patch; of others nothing is read.
        ranges: those of the emulator; pixels whose geometry or prior is outside are flagged.
        atmosphere: per-scene ``surface_pressure``, ``aot_550``, ... with ``*_uncertainty``.
        terrain: let pressure and sensor height vary within patches.
        predictor: of the shape of reflectance in the window, from bands beside it.
        expected: what they say of fluorescence.
    """
    regions = (window, *(READ if predictor else ()), *([RED_EDGE] if expected else ()))
    width, inside = scene.shape[1], np.arange(shape[1])[columns]
    column: NDArray[np.intp] = np.arange(width)
    samples: slice | NDArray[np.intp] = slice(None)
    if len(inside) < shape[1]:
        column = (np.arange(0, width, shape[1])[:, None] + inside).flatten()
        samples, shape = column.clip(max=width - 1), (shape[0], len(inside))
    part = scene.read(lines, _wanted_bands(scene.wavelength, regions), samples)
    bands = fit_bands(part.wavelength, window, scene.file)
    planes = _planes(part, bands, ranges, atmosphere, line_id)
    planes = replace(planes, column=torch.from_numpy(column).expand(part.shape[:2]))
    if predictor is not None:
        planes = _with_shape_prior(planes, part, bands, predictor)
    if expected is not None:
        planes = replace(planes, expected=expected.on(part))
    cut = planes.map(lambda plane: _cut(plane, shape))
    return replace(
        _levelled(cut, ranges, terrain=terrain),
        usable=cut.usable & ~_padding(planes.usable.shape, shape) & (cut.column < width),
        column=cut.column[:, 0].clamp(max=width - 1),
        line_id=cut.line_id[:, 0, 0],
    )


def _planes(
    scene: Scene,
    bands: NDArray[np.intp],
    ranges: Ranges,
    atmosphere: xr.Dataset | None,
    line_id: int,
) -> Pixels:
    """Pixels in the layout of the scene, every field ``line, sample, ...``, not in patches yet."""
    radiance = _values(scene.radiance, bands)
    irradiance = None if scene.irradiance is None else _values(scene.irradiance, bands)
    geometry = Geometry(**{name: _plane(scene, name) for name in Geometry.names()})
    prior = atmosphere_prior(scene, _plane(scene, "ground_elevation").numpy(), atmosphere)
    flags = _flags(scene, radiance, irradiance, geometry, prior, bands, ranges)
    ndvi = _ndvi(scene)
    flags[~torch.isfinite(ndvi)] |= int(Flag.NO_NDVI)
    # What is not finite is dead.
    radiance.masked_fill_((flags & int(Flag.DEAD) > 0)[..., None], 1.0)
    return Pixels(
        radiance=radiance,
        noise=noise_sd(radiance, _shot_noise(scene, bands)),
        irradiance=None if irradiance is None else torch.nan_to_num(irradiance, nan=1.0),
        stray=_mean_radiance(scene, bands) if irradiance is None else torch.zeros(flags.shape),
        geometry=geometry,
        prior=prior,
        usable=(flags & int(UNUSABLE)) == 0,
        flags=flags,
        ndvi=ndvi,
        column=torch.arange(flags.shape[1]).expand(flags.shape),
        line_id=torch.full_like(flags, line_id, dtype=torch.long),
    )


def _with_shape_prior(
    planes: Pixels, scene: Scene, bands: NDArray[np.intp], predictor: ShapePredictor
) -> Pixels:
    """What the whole spectrum says of the shape of reflectance, and what it leaves as noise."""
    shape_prior, unexplained = predictor.shape_prior(
        _values(scene.radiance, np.arange(scene.shape[2])),
        scene.wavelength,
        scene.fwhm,
        bands,
        planes.geometry,
        _plane(scene, "ground_elevation"),
    )
    noise = torch.hypot(planes.noise, planes.radiance * unexplained)
    unusual = (shape_prior.unusual > UNUSUAL) * int(Flag.UNUSUAL_SPECTRUM)
    return replace(planes, noise=noise, flags=planes.flags | unusual, shape_prior=shape_prior)


def _levelled(cut: Pixels, ranges: Ranges, *, terrain: bool) -> Pixels:
    """One air and line of sight a patch or column; over terrain a pressure and height a pixel."""
    geometry = {
        name: _inside(
            name,
            plane if terrain and name == "sensor_height" else plane.mean(1, keepdim=True),
            ranges,
        )
        for name, plane in cut.geometry.items()
    }
    prior = cut.prior.map(lambda plane: plane.mean((1, 2), keepdim=True))
    if terrain:
        pressure = cut.prior.mean.surface_pressure
        prior = replace(prior, mean=replace(prior.mean, surface_pressure=pressure))
    return replace(cut, geometry=Geometry(**geometry), prior=prior)


def _wanted_bands(
    wavelength: NDArray[np.float64], regions: tuple[tuple[float, float], ...]
) -> NDArray[np.intp]:
    """Indices of the bands in regions, and of those that flags and NDVI need, in their order."""
    wanted = (*regions, FIT_WINDOW, INFRARED, RED)
    inside = [(wavelength >= low) & (wavelength <= high) for low, high in wanted]
    return np.flatnonzero(np.any(inside, axis=0))


def _values(data: xr.DataArray, bands: NDArray[np.intp]) -> Tensor:
    """(line, sample, band), one pixel's bands beside each other: files have them otherwise."""
    first, last = int(bands[0]), int(bands[-1]) + 1
    some = slice(first, last) if last - first == len(bands) else bands
    return torch.from_numpy(np.array(data.values[..., some], dtype=np.float32, order="C"))


def _plane(scene: Scene, name: str) -> Tensor:
    """(line, sample) of a quantity that may be given for lines, for samples or once."""
    values = scene.dataset[name].variable
    whole = values.set_dims({"line": scene.shape[0], "sample": scene.shape[1]})
    return torch.from_numpy(np.array(whole.transpose("line", "sample").values, np.float32))


def _shot_noise(scene: Scene, bands: NDArray[np.intp]) -> float | Tensor:
    """k of the sensor, or of each of the bands where they differ."""
    if "shot_noise" not in scene.dataset:
        return scene.sensor.shot_noise
    return torch.as_tensor(scene.shot_noise[bands], dtype=torch.float32)


def _mean_radiance(scene: Scene, bands: NDArray[np.intp]) -> Tensor:
    """(line, sample) of the detector's bands, over wavelength; what gaps hide is between."""
    start, end = scene.wavelength[bands[[0, -1]]]
    seeing = (d for d in scene.sensor.detectors if d[0] <= start and end <= d[1])
    low, high = next(seeing, (0.0, np.inf))
    first = np.searchsorted(scene.wavelength, low, "left")
    last = np.searchsorted(scene.wavelength, high, "right")
    wavelength = scene.wavelength[first:last]
    apart = np.diff(wavelength, prepend=wavelength[0], append=wavelength[-1])
    share = (apart[:-1] + apart[1:]) / 2 / np.ptp(wavelength)  # of the trapezoids' areas
    mean = np.asarray(scene.radiance.values[..., first:last], np.float32) @ share.astype(np.float32)
    return torch.nan_to_num(torch.from_numpy(mean))


def _ndvi(scene: Scene) -> Tensor:
    """(line, sample): (I - R) / (I + R) of mean radiances in INFRARED and RED."""
    means = []
    for low, high in (INFRARED, RED):
        first = np.searchsorted(scene.wavelength, low, "left")
        last = np.searchsorted(scene.wavelength, high, "right")
        if first == last:
            return torch.full(scene.shape[:2], torch.nan)
        means.append(_mean(scene.radiance.values[..., first:last]))
    infrared, red = means
    return torch.where(infrared + red > 0, (infrared - red) / (infrared + red), torch.nan)


def _mean(radiance: NDArray[np.float32]) -> Tensor:
    """Over bands that are not missing; few pixels have such."""
    mean = radiance.mean(-1, dtype=np.float32)
    some = np.isnan(mean)
    if some.any():
        part = radiance[some]
        there = ~np.isnan(part)
        with np.errstate(invalid="ignore"):
            mean[some] = np.where(there, part, 0).sum(-1) / there.sum(-1)
    return torch.from_numpy(mean)


def _flags(
    scene: Scene,
    radiance: Tensor,
    irradiance: Tensor | None,
    geometry: Geometry,
    prior: AtmospherePrior,
    bands: NDArray[np.intp],
    ranges: Ranges,
) -> Tensor:
    """(line, sample) of Flag bits: the reader's, and what is out of range, too bright or dark."""
    flags = torch.from_numpy(scene.flags().values.astype(np.int32))
    flags[~torch.isfinite(radiance.sum(-1))] |= int(Flag.DEAD)
    if irradiance is not None:
        flags[~(torch.isfinite(irradiance) & (irradiance > 0)).all(-1)] |= int(Flag.DEAD)
    for name, plane in (*geometry.items(), *prior.mean.items()):
        if name in ranges:
            flags[outside(name, plane, *ranges[name])] |= int(Flag.OUT_OF_RANGE)
    wavelength = scene.wavelength[bands]
    inside = (wavelength >= CONTINUUM[0]) & (wavelength <= CONTINUUM[1])
    # Bands ascend: those of the continuum are beside each other.
    clear = slice(inside.argmax(), inside.argmax() + inside.sum()) if inside.any() else slice(None)
    sun = SUN_755 * torch.cos(torch.deg2rad(geometry.solar_zenith_angle))
    sun = sun / geometry.sun_earth_distance**2
    light = sun if irradiance is None else irradiance[..., clear].mean(-1)
    reflectance = torch.pi * radiance[..., clear].mean(-1) / light
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
    if rows * shape[0] != plane.shape[0]:
        plane = plane[torch.arange(rows * shape[0]).clamp(max=plane.shape[0] - 1)]
    if columns * shape[1] != plane.shape[1]:
        plane = plane[:, torch.arange(columns * shape[1]).clamp(max=plane.shape[1] - 1)]
    whole = plane.unflatten(1, (columns, shape[1])).unflatten(0, (rows, shape[0]))
    return whole.transpose(1, 2).flatten(0, 1).contiguous()


def _padding(size: tuple[int, ...], shape: tuple[int, int]) -> Tensor:
    """``patch, line, sample``, bool: pixels that only fill an incomplete patch."""
    rows, columns = _grid(size, shape)
    whole = torch.ones(rows * shape[0], columns * shape[1], dtype=torch.bool)
    whole[: size[0], : size[1]] = False
    return _cut(whole, shape)
