"""Rows of the tables of ``docs/flex.md``: a map beside its truth and beside the least errors."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import xarray as xr
from harness import Array, rms, within
from numpy.typing import NDArray

import sifnet
from sifnet.evaluation.limits import limits
from sifnet.physics.emulator import Emulator
from sifnet.physics.windows import RED
from sifnet.product.emission import peaks_and_integral
from sifnet.retrieval import whole_emission
from sifnet.retrieval.emission import Emission, Measured

PEAKS = "sif_far_red_peak", "sif_far_red_peak_wavelength", "sif_red_peak"
INTEGRAL = "total_integrated_sif"
PLANTS = {
    "fapar_chlorophyll": 1.0,
    "fluorescence_escape_probability": 1.0,
    "fluorescence_quantum_efficiency": 100.0,
    "integrated_par": 1.0,
}
"""Numbers of physiology, and the factor that they are told with."""
SQUARE, PATCH = 3, 16  # pixels of means
GREEN_ENOUGH = 0.5  # share of a patch that is vegetation


@dataclass(frozen=True)
class Mapped:
    """A map (line, sample), its truth, and the least errors of a pixel.

    Attributes:
        plants: the truth of physiology, where the canopies have one.
        far, near: least sd of SIF at 760 nm, and at 687 nm of its lines alone.
        least: the whole emission with these errors.
    """

    product: xr.Dataset
    truth: xr.Dataset
    plants: dict[str, Array]
    far: Array
    near: Array
    least: Emission

    @property
    def bare(self) -> NDArray[np.bool_]:
        return self.truth["bare_soil"].values > 0

    @property
    def green(self) -> NDArray[np.bool_]:
        """Vegetation of which there is SIF at 687 nm."""
        return np.isfinite(self.product["sif_687"].values) & ~self.bare

    def map(self, name: str) -> tuple[Array, Array]:
        """Values and sigma of a variable."""
        return self.product[name].values, self.product[f"{name}_uncertainty"].values

    def true(self, name: str) -> Array:
        return self.truth[name].values


def least_errors(scene: sifnet.Scene, truth: xr.Dataset) -> tuple[Array, Array, Emission]:
    """``far``, ``near`` and ``least`` of a map, by Cramer and Rao and by what canopies emit."""
    red = Emulator.load(space=True, window=RED)
    far = limits(scene)["patch"].values.astype(float)
    near = limits(scene, emulator=red, window=RED.fitted)["patch"].values.astype(float)
    both = [Measured(truth[name].values.ravel().astype(float), sd.ravel(), sd.ravel())
            for name, sd in (("sif_760", far), ("sif_687", near))]  # fmt: skip
    return far, near, whole_emission.whole_emission(*both)


def far_red(m: Mapped) -> list[str]:
    """SIF at 760 and 740 nm."""
    value, sigma = m.map("sif_760")
    error = value - m.true("sif_760")
    at_740 = m.product["sif_740"].values - m.true("sif_740")
    seen = np.isfinite(error)
    plants, ground = seen & ~m.bare, seen & m.bare
    return [
        f"{rms(error[plants]):.3f}", f"{error[plants].mean():+.3f}",
        f"{error[ground].mean():+.2f}" if ground.any() else "",
        " / ".join(within((error / sigma)[seen])), f"{sigma[seen].mean():.2f}",
        f"{rms(m.far[plants]):.3f}", f"{rms(at_740[plants]):.3f}",
        f"{(m.product['quality_flag'] == 0).mean().item():.0%}",
    ]  # fmt: skip


def red(m: Mapped) -> list[str]:
    """SIF at 687 nm: of the lines alone, and given what canopies emit."""
    alone, spread = m.map("sif_687")
    alone = alone - m.true("sif_687")
    at = int(np.flatnonzero(m.truth["emission_wavelength"].values == RED.reference)[0])
    given, sigma = (v[..., at] for v in m.map("sif_emission_spectrum"))
    error, plants = given - m.true("sif_687"), m.green
    soils = np.isfinite(alone) & m.bare
    return [
        f"{rms(alone[plants]):.3f}", f"{alone[plants].mean():+.3f}",
        " / ".join(within((alone / spread)[plants])), f"{rms(m.near[plants]):.3f}",
        f"{rms(error[plants]):.3f}", f"{error[plants].mean():+.3f}",
        " / ".join(within((error / sigma)[plants])),
        f"{rms(m.least.at(RED.reference).sd.reshape(plants.shape)[plants]):.3f}",
        f"{rms(means(error, plants, SQUARE)):.3f}",
        f"{error[soils].mean():+.2f}" if soils.any() else "",
    ]  # fmt: skip


def emission(m: Mapped) -> list[str]:
    """The integral, of pixels and of means, as shares of its mean; the spectrum and its peaks."""
    plants, true = m.green, m.true("sif_emission_spectrum")
    exact = peaks_of(true)
    value, sigma = m.map(INTEGRAL)
    total, usual = value - exact[INTEGRAL], exact[INTEGRAL][plants].mean()
    level = m.true("sif_760")[plants]
    far_red = m.product["sif_760"].values[plants] - level
    least = m.least.integral()
    noise = (least.own**2).reshape(plants.shape)[plants]
    whole = (least.sd**2).reshape(plants.shape)[plants]
    square = np.sqrt((whole - noise * (1 - SQUARE**-2)).mean())
    far, place, near = (m.product[n].values - exact[n] for n in PEAKS)
    both = plants & np.isfinite(near)
    there = plants & np.isfinite(exact["sif_red_peak"])
    return [
        f"{rms(total[plants]) / usual:.0%}", f"{np.sqrt(whole.mean()) / usual:.0%}",
        f"{total[plants].mean() / usual:+.0%}", f"{far_red.mean() / level.mean():+.0%}",
        " / ".join(within((total / sigma)[plants])),
        f"{rms(means(total, plants, SQUARE)) / usual:.0%}", f"{square / usual:.0%}",
        f"{rms(means(total, plants, PATCH)) / usual:.0%}",
        f"{rms((m.product['sif_emission_spectrum'].values - true)[plants]):.3f}",
        f"{rms(far[plants]):.3f}", f"{rms(place[plants]):.1f}",
        f"{rms(near[both]):.3f}" if both.any() else "",
        f"{both.sum() / plants.sum():.0%} / {there.sum() / plants.sum():.0%}",
    ]  # fmt: skip


def physiology(m: Mapped) -> list[str]:
    """Each number beside SCOPE's own; nothing where canopies have no physiology or no map."""
    row: list[str] = []
    for name, factor in PLANTS.items() if m.plants else ():
        (value, sigma), true = m.map(name), m.plants[name]
        seen = np.isfinite(value) & np.isfinite(true)
        if not seen.any():
            return []
        error = (value - true)[seen]
        digits = 0 if name == "integrated_par" else 2
        row += [f"{factor * true[seen].mean():.{digits}f}",
                f"{100 * error.mean() / true[seen].mean():+.0f}%",
                f"{100 * rms(error) / true[seen].mean():.0f}%",
                " / ".join(within(error / sigma[seen]))]  # fmt: skip
        share = seen.sum() / m.green.sum()
    return [*row, f"{share:.0%}"] if row else []


def means(error: Array, plants: NDArray[np.bool_], size: int) -> Array:
    """Means over the plants of squares of ``size`` pixels; small squares are all plants."""
    lines, samples = (size * (n // size) for n in error.shape)
    blocks = np.where(plants, error, 0.0)[:lines, :samples].reshape(lines // size, size, -1, size)
    share = plants[:lines, :samples].reshape(blocks.shape).mean((1, 3))
    enough = share == 1.0 if size == SQUARE else share >= GREEN_ENOUGH
    return np.asarray(blocks.mean((1, 3))[enough] / share[enough])


def peaks_of(spectra: Array) -> dict[str, Array]:
    """Peaks and integral (line, sample) of true spectra (line, sample, wavelength)."""
    flat = spectra.reshape(-1, spectra.shape[-1]).astype(float)
    sure = np.zeros((len(flat), 1, 1))
    shape = np.zeros((flat.shape[1], 1))
    exact = Emission(whole_emission.WAVELENGTH, flat, shape, sure, sure)
    return {
        number.name: number.value.value.reshape(spectra.shape[:2])
        for number in peaks_and_integral(exact)
    }


WITHIN = "within σ / 2σ"
TABLES: dict[str, tuple[tuple[str, ...], Callable[[Mapped], list[str]]]] = {
    "worlds": (("vegetation: RMSE", "bias", "bare ground", WITHIN, "mean σ", "limit of a pixel",
                "at 740 nm: RMSE", "trusted"), far_red),
    "red": (("its lines alone: RMSE", "bias", WITHIN, "limit of a pixel", "with canopies: RMSE",
             "bias", WITHIN, "limit of a pixel", "3 x 3: RMSE", "bare ground"), red),
    "emission": (("integral: RMSE", "limit of a pixel", "bias", "bias of SIF at 760 nm", WITHIN,
                  "3 x 3: RMSE", "limit", "16 x 16: RMSE", "670-780 nm: RMSE",
                  "far-red peak: RMSE", "its place, nm", "red peak: RMSE", "found / there"),
                 emission),
    "physiology": (("fAPAR of chlorophyll", "bias", "RMSE", WITHIN, "escape at 760 nm", "bias",
                    "RMSE", WITHIN, "quantum efficiency, %", "bias", "RMSE", WITHIN,
                    "PAR, μmol m⁻² s⁻¹", "bias", "RMSE", WITHIN, "scored"), physiology),
}  # fmt: skip
"""Of each table what heads it after world and seed, and what makes a row."""
