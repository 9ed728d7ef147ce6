"""The patches of one or more scenes, in memory, as a data set to train on."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import replace

import torch
import xarray as xr
from torch import Tensor
from torch.utils.data import Dataset

from sifnet.errors import SifnetError
from sifnet.physics.fields import Ranges
from sifnet.retrieval.pixels import Pixels, join, patch_shape, read
from sifnet.retrieval.shape import ShapePredictor
from sifnet.scenes.scene import Scene

_log = logging.getLogger(__name__)


class Patches(Dataset[Pixels]):
    """Batches of given patches, each with some of its lines and columns at random."""

    def __init__(self, pixels: Pixels, lines: int, samples: int) -> None:
        self.pixels, self.lines, self.samples = pixels, lines, samples

    def __len__(self) -> int:
        return self.pixels.patches

    def __getitems__(self, index: list[int]) -> Pixels:
        chosen = torch.as_tensor(index)
        _, lines, samples = self.pixels.usable.shape
        line, sample = _some(lines, self.lines)[:, None], _some(samples, self.samples)

        def cut(x: Tensor) -> Tensor:
            if x.dim() < 3:
                return x[chosen]
            here = line if x.shape[1] > 1 else 0, sample if x.shape[2] > 1 else [0]
            return x[chosen[:, None, None], *here]

        pixels = self.pixels.map(cut)
        return replace(pixels, column=pixels.column[:, sample])


def _some(size: int, count: int) -> Tensor:
    return torch.randperm(size)[:count].sort().values


def read_patches(
    scenes: Sequence[Scene],
    shape: tuple[int, int],
    *,
    ranges: Ranges,
    window: tuple[float, float],
    atmosphere: xr.Dataset | None = None,
    most: int = 400,
    predictor: ShapePredictor | None = None,
) -> Pixels:
    """Patches of all scenes that have a usable pixel, numbered by scene in ``line_id``.

    Args:
        shape: lines and samples of a patch.
        ranges, window, atmosphere, predictor: see ``pixels.read``.
        most: patches to hold in memory; of larger scenes rows are left out evenly.

    Raises:
        SifnetError: no pixel is usable.
    """
    kept = []
    for number, lines in _rows(scenes, shape, most):
        scene = scenes[number]
        pixels = read(
            scene,
            lines,
            patch_shape(scene, shape),
            ranges=ranges,
            window=window,
            atmosphere=atmosphere,
            line_id=number,
            predictor=predictor,
        )
        good = pixels.usable.flatten(1).any(1)
        kept.append(pixels.map(lambda x, good=good: x[good]))  # type: ignore[misc]
    pixels = join(kept)
    if not pixels.patches:
        raise SifnetError(
            "no pixel is usable",
            found="all dead, saturated, cloudy, dark, or outside the emulator's ranges",
            expected="some lit land",
            remedy="See `scene.describe()`; check radiance scale, sun and view angles, elevation.",
            command="See `sifnet inspect`; check radiance scale, sun and view angles, elevation.",
            file=scenes[0].file,
        )
    return pixels


def _rows(
    scenes: Sequence[Scene], shape: tuple[int, int], most: int
) -> Iterator[tuple[int, slice]]:
    """Rows of patches, as scene number and lines, evenly left out where there are too many."""
    rows, total = [], 0
    for number, scene in enumerate(scenes):
        height, width = patch_shape(scene, shape)
        starts = range(0, scene.shape[0], height)
        rows += [(number, slice(s, min(s + height, scene.shape[0]))) for s in starts]
        total += len(starts) * -(-scene.shape[1] // width)
    every = max(1, -(-total // most))
    if every > 1:
        _log.info("fitting on every %d. of %d rows of patches", every, len(rows))
    yield from rows[::every]
