"""What a FLEX product says of its own air: aerosol, water vapour, temperature."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sifnet.scenes.formats.lazy import Window
from sifnet.units import standard_pressure, standard_temperature

Array = NDArray[np.float64]

AEROSOL_NM = (550.0, 670.0, 865.0)  # of the three optical thicknesses, where the file is silent
CREDIBLE = {"aot_550": (0.0, 5.0), "water_vapour": (0.02, 10.0), "temperature": (150.0, 330.0)}
MOST_GRAMS = 20.0  # g cm-2 that no air holds: a larger number counts g m-2, whatever it is called
WEAK_SHARE = 0.14  # of the way from a mean by pressure to one by air, as O2 absorbs
WARMEST = 30.0  # K, away from the standard atmosphere


def optical_thickness(bands: NDArray[np.float32], at: Array, notes: list[str]) -> dict[str, Any]:
    """``aot_550`` (line, sample): through its bands, straight in log-log (Angstrom's law)."""
    low, high = CREDIBLE["aot_550"]
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = np.log(bands[..., 0] / bands[..., 1]) / np.log(at[1] / at[0])
        aot = bands[..., 0] * (at[0] / 550.0) ** np.nan_to_num(ratio)
    return _filled("aot_550", aot, (aot >= low) & (aot <= high), notes)


def grams_per_cm2(water: Array, notes: list[str]) -> dict[str, Any]:
    """``water_vapour`` (line, sample), g cm-2; products call the unit g m-2 and mean both."""
    known = np.isfinite(water) & (water > 0)
    if known.any() and np.median(water[known]) > MOST_GRAMS:
        water = water / 1e4
    low, high = CREDIBLE["water_vapour"]
    return _filled("water_vapour", water, (water >= low) & (water <= high), notes)


def column_warmth(
    profile: Window,
    pressure: Array,
    elevation: NDArray[np.float32],
    nodes: tuple[int, int],
    notes: list[str],
) -> dict[str, Any]:
    """``temperature_offset`` (line, sample), K: profiles above the ground less the standard one.

    Strong O2 lines absorb in proportion to pressure, weak ones to the air alone: the mean over the
    column weighs layers by both. Read at nodes, smooth in between.

    Args:
        pressure: hPa, of the levels. nodes: about how many lines and samples.
    """
    place = [
        np.unique(np.linspace(0, size - 1, count).astype(int))
        for size, count in zip(profile.shape[:2], nodes, strict=True)
    ]
    read = np.stack([profile.read((int(i), slice(None), slice(None)))[place[1]] for i in place[0]])
    ground = standard_pressure(elevation[np.ix_(*place)])[..., None]
    low, high = CREDIBLE["temperature"]
    known = (read >= low) & (read <= high) & (pressure <= ground)
    order = np.argsort(pressure)
    step = np.gradient(pressure[order])[np.argsort(order)]
    excess = np.where(known, read - standard_temperature(pressure), 0.0)
    air, by_pressure = (np.where(known, step * w, 0.0) for w in (np.ones_like(pressure), pressure))

    def mean(weight: Array) -> Array:
        return np.asarray((excess * weight).sum(-1) / weight.sum(-1).clip(1e-9))

    strong, weak = mean(by_pressure), mean(air)
    offset = strong + WEAK_SHARE * (weak - strong)
    good = (known.sum(-1) >= 3) & (np.abs(offset) <= WARMEST)
    if not good.any():
        notes.append("temperature_profile is not credible and not used")
        return {}
    offset = np.where(good, offset, np.median(offset[good]))
    across = np.array([np.interp(np.arange(profile.shape[1]), place[1], row) for row in offset])
    down = np.array([np.interp(np.arange(profile.shape[0]), place[0], c) for c in across.T]).T
    return {"temperature_offset": (("line", "sample"), down.astype(np.float32))}


def _filled(
    name: str, values: NDArray[np.floating], known: NDArray[np.bool_], notes: list[str]
) -> dict[str, Any]:
    """A plane whose gaps have its median; nothing where it is all gaps."""
    if not known.any():
        notes.append(f"{name} of the product is not credible and not used")
        return {}
    plane = np.where(known, values, np.median(values[known]))
    return {name: (("line", "sample"), plane.astype(np.float32))}
