"""How bright the ground of a scene usually is, to tell where a part of the sun is missing.

Under a thin cloud or in half a shadow, a larger share of the light is the sky's, which has gone a
longer way through oxygen: taken for sunlight, it looks like ground that glows less than nothing.
The radiance of one pixel cannot tell; but ground that is as green as other ground and half as
bright is probably not lit as that is.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from sifnet.retrieval.pixels import Pixels

NDVI_STEP = 0.15  # within which ground is alike
BINS = 2 + int(2 / NDVI_STEP)
FEWEST = 20  # pixels that say what is usual
LIT = 0.8  # of the usual brightness, above which ground is as it is
SHADED = 0.5  # of the usual brightness, below which a part of the sun is probably missing
# The sky's light is a tenth of clear sunlight, and a twentieth of it is missing in the band beyond
# what sunlight lacks (full transfer, sun at 35 degrees): 0.005 of the radiance that is missing.
# Little is missing of ground that is merely dark, hence LIT.
SKY_ERROR = 0.007


@dataclass(frozen=True)
class Brightness:
    """Usual brightness, radiance over the cosine of the sun's zenith, by NDVI.

    Attributes:
        usual: ``bin``, median of like pixels; 0 where there are too few.
    """

    usual: Tensor

    @classmethod
    def of(cls, parts: Iterable[Pixels]) -> Brightness:
        """From pixels of a scene."""
        seen = [(_bins(p)[p.usable], _brightness(p)[p.usable]) for p in parts]
        bins, bright = (torch.cat(values) for values in zip(*seen, strict=True))
        usual = torch.zeros(BINS)
        for number in torch.unique(bins):
            alike = bright[bins == number]
            usual[number] = alike.median() if len(alike) >= FEWEST else 0.0
        return cls(usual)

    @classmethod
    def unknown(cls) -> Brightness:
        """Of ground whose brightness does not tell how it is lit."""
        return cls(torch.zeros(BINS))

    def share(self, pixels: Pixels) -> Float[Tensor, "patch line sample"]:
        """Brightness over the usual one; 1 where that is not known, or the light is measured."""
        usual, bright = self.usual[_bins(pixels)], _brightness(pixels)
        known = (usual > 0) & torch.isfinite(pixels.ndvi) & (pixels.irradiance is None)
        return torch.where(known, bright / usual.clamp(min=1e-6), 1.0)


def sky_error(pixels: Pixels, share: Tensor) -> Float[Tensor, "patch line sample"]:
    """What missing sun may change of fluorescence, mW m-2 nm-1 sr-1, at a share of brightness."""
    usual = pixels.radiance.amax(-1) / share.clamp(min=0.05)
    return SKY_ERROR * usual * (LIT - share).clamp(min=0)


def _bins(pixels: Pixels) -> Tensor:
    return ((torch.nan_to_num(pixels.ndvi) + 1) / NDVI_STEP).long().clamp(min=0)


def _brightness(pixels: Pixels) -> Tensor:
    sun = torch.cos(torch.deg2rad(pixels.geometry.solar_zenith_angle))
    return pixels.radiance.amax(-1) / sun
