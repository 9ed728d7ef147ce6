"""How far a product may be trusted, in words: what every expert would look at first."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

import numpy as np
import xarray as xr

from sifnet.product.doubts import ATTRIBUTE
from sifnet.product.kept import IN_MEMORY, Behind, kept_spectra
from sifnet.product.netcdf import thinned, trusted
from sifnet.product.provenance import told

MOST = 1200  # pixels a side that are looked at
BARE_NDVI = 0.12  # up to which ground is bare, where the model does not say
FEWEST = 30  # pixels that a mean is taken of
# Where a figure is good, and beyond what nothing is to be believed; our judgement. Bare ground of
# lines of another code lies within 0.03 (docs/worlds.md).
CHI2 = (1.3, 2.0)
BARE = (0.1, 0.3)  # mW m-2 nm-1 sr-1
PRESSURE = (1.5, 3.0)  # standard deviations of the prior
PATTERN = (0.3, 1.0)  # rms of the mean residual by band, in noise of a pixel
TRUSTED = (0.5, 0.05)  # share of the pixels


class Level(IntEnum):
    """What a figure says."""

    GOOD = 0
    LOOK = 1
    BAD = 2


WORDS = {Level.GOOD: "good", Level.LOOK: "look closer", Level.BAD: "do not trust"}


class Remark(NamedTuple):
    """A figure in words, and what it says."""

    level: Level
    text: str


@dataclass(frozen=True)
class Verdict:
    """All remarks on a product; the worst decides."""

    remarks: tuple[Remark, ...]

    @property
    def level(self) -> Level:
        return max((remark.level for remark in self.remarks), default=Level.LOOK)

    @property
    def word(self) -> str:
        return WORDS[self.level]

    def __str__(self) -> str:
        worst_first = sorted(self.remarks, key=lambda remark: -remark.level)
        return f"{self.word}: {', '.join(remark.text for remark in worst_first)}"


def verdict(product: xr.Dataset, kept: xr.Dataset | None = None) -> Verdict:
    """The verdict on a product, in memory or open.

    Args:
        kept: by its file (``kept.kept_spectra``), where that was read already.
    """
    kept = kept_of(product) if kept is None else kept
    return Verdict(tuple(_remarks(thinned(product, MOST), kept)))


def kept_of(product: xr.Dataset) -> xr.Dataset | None:
    """Spectra and what the line shares, of a file or of a product in memory; None without."""
    if (kept := kept_spectra(product)) is not None:
        return kept
    there = product.encoding.get(IN_MEMORY)
    if not isinstance(there, Behind) or product["sif_760"].shape != there.scene.shape[:2]:
        return None
    usable = np.argwhere(np.isfinite(product["sif_760"].values))
    if not len(usable):
        return None
    mask = np.zeros(product["sif_760"].shape, bool)
    mask[tuple(usable[len(usable) // 2])] = True
    return there.spectra(mask)


def _remarks(product: xr.Dataset, kept: xr.Dataset | None) -> Iterator[Remark]:
    good = trusted(product)
    share = float(good.mean())
    if share < TRUSTED[0]:
        level = Level.BAD if share < TRUSTED[1] else Level.LOOK
        yield Remark(level, f"only {100 * share:.0f} % of the pixels are trusted")
    for doubt in str(product.attrs.get(ATTRIBUTE, "")).splitlines():
        yield Remark(Level.LOOK, doubt)
    if not good.any():
        return
    chi2 = float(np.nanmedian(product["chi2_reduced"].values[good]))
    yield Remark(_level(chi2, CHI2), f"χ² {chi2:.2f}")
    yield from _bare(product, good)
    if kept is not None:
        yield from _of_line(kept)


def _bare(product: xr.Dataset, good: np.ndarray) -> Iterator[Remark]:
    """Ground without plants does not glow; without such ground the level is half a guess."""
    if product["sif_760"].shape[1] == 1 or "ndvi_radiance" not in product:
        return
    settings = told(product).get("configuration", {})
    limit = settings.get("weights", {}).get("bare_ndvi", BARE_NDVI)
    bare = good & (product["ndvi_radiance"].values <= limit)
    if bare.sum() < FEWEST:
        yield Remark(Level.LOOK, "no bare ground, so that the level of SIF is half a guess")
        return
    mean = float(product["sif_760"].values[bare].mean())
    yield Remark(_level(abs(mean), BARE), f"bare ground {_signed(mean, 2)}")


def _of_line(kept: xr.Dataset) -> Iterator[Remark]:
    pressure = kept.isel(parameter=kept["parameter"].values.tolist().index("surface_pressure"))
    away = float((pressure["value"] - pressure["prior"]).median())
    sd = away / float(pressure["prior_sd"].median())
    text = f"pressure {abs(away):.0f} hPa {'above' if away > 0 else 'below'} its prior"
    yield Remark(_level(abs(sd), PRESSURE), f"{text} ({abs(sd):.1f} σ)")
    if "mean_residual" not in kept:
        return
    mean, pixels = kept["mean_residual"].values, int(kept["mean_residual"].attrs["pixels"])
    if pixels >= FEWEST:
        # What noise alone leaves in a mean is not a pattern.
        pattern = float(np.sqrt(max(0.0, (mean**2).mean() - 1 / pixels)))
        yield Remark(_level(pattern, PATTERN), f"residuals alike in all pixels {pattern:.2f} σ")


def _level(value: float, limits: tuple[float, float]) -> Level:
    return Level(sum(not value <= limit for limit in limits))


def _signed(value: float, digits: int) -> str:
    text = f"{value:+.{digits}f}"
    return text.replace("-", "−")
