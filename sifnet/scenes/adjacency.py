"""Light of the surroundings in every pixel: found on bare ground at the red edge, and taken out.

Air and optics scatter a share of what neighbours send to the sensor into a pixel's line of sight.
Soil beside vegetation then seems to glow, and vegetation beside soil to glow less. In the O2 band
that looks like haze; but from 670 to 740 nm bare ground has no edge of its own, and what it shows
of one goes with how much vegetation stands around it. Some ground that looks bare bears a little
vegetation, which adds to the edge and takes nothing away: it is told from the rest by having more.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sifnet.scenes.formats.lazy import Window
from sifnet.scenes.light import GREEN, INFRARED, RED
from sifnet.scenes.scene import Scene

Array = NDArray[np.float64]

EDGE = np.linspace(672.0, 742.0, 12)  # nm, centres of the bins in which the red edge is read
PER_BIN = 6  # bands, at most
SEEN = 8192  # pixels, or means of neighbouring ones, that are looked at
BARE = 0.15  # NDVI of radiances, up to which ground may be bare
FEWEST = 100  # pixels of either ground
ALIKE, PLACES = 12, 5  # pixels a side, within which ground errs alike, and fewest such places
NEAREST = 4.0  # pixels, the least reach: closer by, fields themselves are mixed at their borders
FARTHEST = 1 / 2  # of the shorter side of a scene
LEVELS = 2**0.5  # between reaches
COVERED = 0.1  # of the edge of green ground: scale of what ground with some vegetation has
FINEST = 0.01  # of the same, scatter of bare ground that is not believed to be less
FEW, ROUNDS, AGAIN = 10, 40, 5  # of telling bare ground; surroundings are found anew after some
MOST = 0.45  # of the light; what would be more is another thing
SURE, LEAST = 3.0, 0.03  # standard deviations, and share of the light, below which nothing is done
KERNEL_SD = 0.15  # of the share, what another shape of the kernel may change
CELLS = 20_000  # of the field of surroundings, at most


@dataclass(frozen=True)
class Adjacency:
    """Light of the surroundings in the light of every pixel.

    Attributes:
        share: of the light.
        sd: of its error, one standard deviation.
        reach: pixels, standard deviation of a Gaussian.
    """

    share: float
    sd: float
    reach: float


def find_adjacency(scene: Scene) -> Adjacency | None:
    """What bare ground shows of it; None where it shows none, or there is too little of it."""
    view = _View.of(scene)
    if view is None:
        return None
    farthest = max(NEAREST, FARTHEST * min(view.edge.shape))
    reaches = NEAREST * LEVELS ** np.arange(1 + int(np.log(farthest / NEAREST) / np.log(LEVELS)))
    seen = max(view.share(reach, FEW) for reach in reaches[::2])
    if seen[1] < LEAST / 2:
        return None
    _, share, sd, reach = max((*view.share(reach, ROUNDS), reach) for reach in reaches)
    if not max(LEAST, SURE * sd) <= share < MOST:
        return None
    return Adjacency(share, float(np.hypot(sd, KERNEL_SD * share)), float(reach * view.size))


def without_adjacency(scene: Scene) -> Scene:
    """The scene less the light of its surroundings, which its notes tell; as lazy as it was.

    Noise is then larger by 1 / (1 - share).
    """
    if "adjacency_share" in scene.dataset.attrs or scene.irradiance is not None:
        return scene
    found = find_adjacency(scene)
    if found is None:
        return scene
    data = scene.dataset
    note = (
        f"{100 * found.share:.0f} +- {100 * found.sd:.0f} % of the light of a pixel was that of "
        f"its surroundings, up to {2 * found.reach:.0f} pixels off, as bare ground shows: taken out"
    )
    told = {
        "adjacency_share": found.share,
        "adjacency_share_sd": found.sd,
        "notes": [*data.attrs["notes"], note],
    }
    radiance = data["radiance"].dims, OwnLight(scene, found).lazy(), data["radiance"].attrs
    noise = "band", scene.shot_noise / (1.0 - found.share)
    return Scene(data.assign(radiance=radiance, shot_noise=noise).assign_attrs(told))


class OwnLight(Window):
    """Radiance of pixels less that of their surroundings: (L - a M) / (1 - a), a the share.

    M, the mean of the surroundings, is smooth: it is kept in cells of half a reach.
    """

    dtype = np.dtype(np.float32)

    def __init__(self, scene: Scene, found: Adjacency) -> None:
        self.shape, self.share = scene.shape, np.float32(found.share)
        self.scene, self.reach, self.cell = scene, found.reach, max(1, int(found.reach / 2))
        while np.prod([-(-n // self.cell) for n in scene.shape[:2]]) > CELLS:
            self.cell *= 2

    @cached_property
    def around(self) -> NDArray[np.float32]:
        """``row, column, band``: M in every cell; for it the whole scene is read."""
        means = _cells(self.scene, self.cell)
        around = surroundings(means, float(self.share), self.reach / self.cell)
        return around.astype(np.float32)

    def read(self, key: tuple[Any, ...]) -> NDArray[np.float32]:
        """See ``Window``."""
        radiance = np.asarray(self.scene.radiance.variable[key].values, np.float32)
        chosen = [np.atleast_1d(np.arange(n)[k]) for n, k in zip(self.shape, key, strict=True)]
        line, sample = (
            _between(n, self.cell)[c] for n, c in zip(self.shape, chosen[:2], strict=False)
        )
        field = np.tensordot(line, self.around[..., chosen[2]], (1, 0))
        field = np.moveaxis(np.tensordot(field, sample, (1, 1)), -1, 1)
        own = radiance - self.share * field.reshape(radiance.shape)
        return np.asarray(own / (1 - self.share), np.float32)


@dataclass(frozen=True)
class _View:
    """What is looked at of a scene.

    Attributes:
        edge: ``line, sample``, edge of vegetation in the light, about 1 where ground is green.
        place: of what may be bare ground, with neighbours that may be: lines, samples.
        soil: ``pixel, 3``, level, slope and bend of its light without the edge.
        square: ``pixel``, number of that which it lies in.
        size: pixels of the scene along a side of one here.
    """

    edge: Array
    place: tuple[NDArray[np.intp], NDArray[np.intp]]
    soil: Array
    square: NDArray[np.intp]
    size: int

    @classmethod
    def of(cls, scene: Scene) -> _View | None:
        """None where bands do not cover it, or there is too little of either ground."""
        half = (EDGE[1] - EDGE[0]) / 2
        regions = [*((c - half, c + half) for c in EDGE), RED, INFRARED]
        bins = [_middle(scene.wavelength, *region) for region in regions]
        if 1 in scene.shape[:2] or not all(len(bands) for bands in bins):
            return None
        light, size = _seen(scene, bins)
        lit = np.asarray((np.isfinite(light) & (light > 0)).all(-1))
        red, infrared = np.where(lit, light[..., -2], 1.0), np.where(lit, light[..., -1], 1.0)
        ndvi: Array = np.where(lit, (infrared - red) / (infrared + red), np.nan)
        bare, green = ndvi <= BARE, ndvi >= GREEN
        inside = _inside(bare)
        line, sample = np.nonzero(inside)
        squares = line // ALIKE * light.shape[1] + sample // ALIKE
        if min(len(squares), green.sum()) < FEWEST or len(np.unique(squares)) < PLACES:
            return None
        edges = np.where(lit[..., None], light, light[lit].mean(0))[..., : len(EDGE)]
        soil = edges[ndvi <= np.quantile(ndvi[bare], 0.3)].mean(0)
        x = np.linspace(-1, 1, len(EDGE))
        parts = np.stack([soil, soil * x, soil * x**2, edges[green].mean(0)], -1)
        noise = np.sqrt(soil)
        mixed = (edges / noise) @ np.linalg.pinv(parts / noise[:, None]).T
        return cls(mixed[..., 3], (line, sample), mixed[line, sample, :3], squares, size)

    def share(self, reach: float, rounds: int) -> tuple[float, float, float]:
        """Logarithm of the likelihood of a reach, and the share that it has, with its deviation.

        What an edge is beyond colour and surroundings is noise or, besides, vegetation of its own.
        Ground of one square errs alike, of which the standard deviation takes account.
        """
        y, likelihood = self.edge[self.place], -np.inf
        b, sd, bare = np.array([np.quantile(y, 0.3), 0.0, 0.0, 0.0]), 0.03, 0.7
        for number in range(rounds):
            if number % AGAIN == 0:
                around = surroundings(self.edge[..., None], float(b[-1].clip(0, MOST)), reach)
                x = np.column_stack([self.soil, around[..., 0][self.place]])
            left = y - x @ b
            pure = bare * np.exp(-0.5 * (left / sd) ** 2) / sd / np.sqrt(2 * np.pi)
            covered = np.exp(-left.clip(0) / COVERED) / COVERED * np.where(left > 0, 1.0, 1e-4)
            heed = pure / (pure + (1 - bare) * covered)
            likelihood = float(np.log(pure + (1 - bare) * covered).sum())
            bare = float(heed.mean().clip(0.02, 0.98))
            inverse = np.linalg.inv((x.T * heed) @ x + 1e-9 * np.eye(len(b)))
            b = inverse @ (x.T @ (heed * y))
            sd = max(float(np.sqrt((heed * (y - x @ b) ** 2).sum() / heed.sum())), FINEST)
        matrix, side = (x.T * heed) @ x, x.T @ (heed * y)
        without = []  # each of the squares
        for number in np.unique(self.square):
            here = self.square == number
            some = x[here].T * heed[here]
            less = matrix - some @ x[here] + 1e-9 * np.eye(len(b))
            without.append(np.linalg.solve(less, side - some @ y[here])[-1])
        spread = float(np.std(without) * np.sqrt(len(without) - 1))
        return likelihood if b[-1] < MOST else -np.inf, float(b[-1].clip(0, MOST)), spread


def surroundings(light: Array, share: float, reach: float) -> Array:
    """``line, sample, band``: what a Gaussian of some reach makes of the ground's own light.

    Beyond its borders a scene is taken to go on as it ends.

    Args:
        light: the same shape, of which a share is that of the surroundings.
    """
    down, across = (_kernel(n, reach) for n in light.shape[:2])
    around = mixed = _both(down, across, light)
    for _ in range(4 if share else 0):  # the surroundings' light has surroundings in it, too
        around = (mixed - share * _both(down, across, around)) / (1 - share)
    return around


def _both(down: Array, across: Array, light: Array) -> Array:
    """Weights of lines and of samples applied."""
    return np.moveaxis(np.tensordot(np.tensordot(down, light, (1, 0)), across, (1, 1)), -1, 1)


def _kernel(length: int, reach: float) -> Array:
    """``length, length``: weights of a Gaussian whose ends lie on the outermost places."""
    off = np.arange(-int(4 * reach + 1), int(4 * reach + 2))
    weight = np.exp(-0.5 * (off / reach) ** 2)
    kernel, row = np.zeros((length, length)), np.arange(length)[:, None]
    np.add.at(kernel, (row, (row + off).clip(0, length - 1)), weight / weight.sum())
    return kernel


def _between(length: int, cell: int) -> NDArray[np.float32]:
    """``length, cells``: weights by which values at the centres of cells are interpolated."""
    count = -(-length // cell)
    position = ((np.arange(length) + 0.5) / cell - 0.5).clip(0, count - 1)
    weights = 1 - np.abs(position[:, None] - np.arange(count))
    return weights.clip(0).astype(np.float32)


def _middle(wavelength: Array, low: float, high: float) -> NDArray[np.intp]:
    """Some bands in the middle of a region."""
    inside = np.flatnonzero((wavelength >= low) & (wavelength <= high))
    start = max(0, (len(inside) - PER_BIN) // 2)
    return inside[start : start + PER_BIN]


def _seen(scene: Scene, bins: list[NDArray[np.intp]]) -> tuple[Array, int]:
    """``line, sample, bin`` of some lines, means of as many samples as lines are left out."""
    lines, samples, _ = scene.shape
    size = max(1, int(np.ceil(np.sqrt(lines * samples / SEEN))))
    bands = np.unique(np.concatenate(bins))
    part = scene.radiance.isel(line=slice(size // 2, None, size), band=bands).values
    part = part[:, : samples // size * size]
    part = part.reshape(len(part), samples // size, size, -1).mean(2, dtype=float)
    places = [np.searchsorted(bands, some) for some in bins]
    return np.stack([part[..., place].mean(-1) for place in places], -1), size


def _cells(scene: Scene, cell: int) -> Array:
    """``row, column, band``: mean radiance of cells, from two lines of each."""
    lines, samples, _ = scene.shape
    edges = np.arange(0, samples, cell)
    rows = []
    for start in range(0, lines, cell):
        some = slice(start, min(start + cell, lines), max(1, cell // 2))
        part = scene.radiance.isel(line=some).values.astype(float)
        there = np.isfinite(part)
        total, count = (
            np.add.reduceat(values.sum(0, dtype=float), edges, 0)
            for values in (np.where(there, part, 0.0), there)
        )
        rows.append(np.where(count > 0, total / count.clip(1), np.nan))
    means = np.stack(rows)
    return np.where(np.isfinite(means), means, np.nanmean(means, (0, 1)))


def _inside(area: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """What has no neighbour outside."""
    inside = area.copy()
    inside[1:] &= area[:-1]
    inside[:-1] &= area[1:]
    inside[:, 1:] &= area[:, :-1]
    inside[:, :-1] &= area[:, 1:]
    return inside
