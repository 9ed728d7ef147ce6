"""Fields of SCOPE's canopies, for scenes of FLORIS: what they reflect, emit and do.

Each canopy reflects and emits as that model says of one and the same leaves, and SCOPE's own
account of its physiology (``tests/data/scope_canopies.csv``) is the truth of a scene. The shapes
that the retrieval knows are made of the canopies that stand in no field.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
from harness import DATA, Array
from numpy.typing import NDArray

from sifnet.retrieval.whole_emission import WAVELENGTH as SEEN
from sifnet.simulation.canopies import WAVELENGTH, draw_soils
from sifnet.simulation.ground import Mosaic, draw_fields, smooth_pattern
from sifnet.units import photons

SCOPE = DATA / "scope" / "scope_verification_100scenes_640_850nm.npz"
PLANTS = Path(__file__).resolve().parents[1] / "data" / "scope_canopies.csv"
COUNT = 100  # of SCOPE's canopies


@dataclass(frozen=True)
class Stand(Mosaic):
    """Fields of two canopies, each of which emits by a shape of its own.

    Attributes:
        emitted: (field, 2, WAVELENGTH) mW m-2 nm-1 sr-1, of full cover.
    """

    emitted: Array

    def sif(self, wavelength: Array) -> Array:
        """(line, sample, wavelength) emission at the surface, mW m-2 nm-1 sr-1."""
        each = on_grid(self.emitted, WAVELENGTH, wavelength)
        found: Array = np.einsum("lsm,lsmw->lsw", self.shares[..., :2], each[self.field])
        return found

    def column(self, sample: int) -> Stand:
        """One column, (line, 1)."""
        met = np.unique(self.field[:, sample])
        return Stand(**vars(super().column(sample)), emitted=self.emitted[met])


@dataclass
class Canopies:
    """Stands in for ``Mosaic``: fields of two of SCOPE's hundred canopies each, and of soil.

    Attributes:
        sunlight: at 755 nm on the ground, mW m-2 nm-1. SCOPE's canopies stand in light from dusk
            to noon; what they emit is scaled with it, for a scene has one sun.
        sky: whether they reflect as under SCOPE's own sky; see ``smooth_reflectance``.
        pick: (field, 2) which of the hundred were drawn, counted from 0.
        ground: what was made of them.
    """

    sunlight: float
    sky: bool = False
    pick: NDArray[np.intp] = field(default_factory=lambda: np.zeros((0, 2), np.intp))
    ground: Stand | None = None

    def of_others(self) -> tuple[Array, Array]:
        """As ``whole_emission.usual_canopies``, of the canopies that were not drawn."""
        return shapes_of(np.setdiff1d(np.arange(COUNT), self.pick))

    def drawn(
        self,
        shape: tuple[int, int],
        bare_soil: float,
        rng: np.random.Generator,
        least_ndvi: float = -1.0,
    ) -> Stand:
        """As ``Mosaic.drawn``; how green and how bright in SIF go together as SCOPE says."""
        field, soil = draw_fields(shape, bare_soil, rng)
        count = soil.size
        wavelength, reflectance = seen_reflectance() if self.sky else smooth_reflectance()
        emission = scope()["F_mW_m2_nm_sr"] / brighter(self.sunlight)[:, None]
        self.pick = pick = rng.integers(COUNT, size=(count, 2))
        soils = draw_soils(2 * count, rng)
        green = on_grid(reflectance, wavelength, WAVELENGTH)[pick]
        bare = soils[:count, None] * np.array([1.0, 0.85])[:, None]
        spectra = np.where(soil[:, None, None], bare, green)
        spectra = np.concatenate([spectra, soils[count:, None]], axis=1)
        second = smooth_pattern(shape, rng)
        cover = 0.7 + 0.3 * rng.random(count)[field] * rng.random(shape)
        shares = np.stack([cover * (1 - second), cover * second, 1 - cover], axis=-1)
        emitted = np.where(soil[:, None, None], 0.0,
                           on_grid(emission, wavelength, WAVELENGTH)[pick])  # fmt: skip
        at_740 = emitted[..., WAVELENGTH == 740.0][..., 0]
        sif = (shares[..., :2] * at_740[field]).sum(-1)
        self.ground = Stand(field, spectra, shares, emitted[:, 0], sif, soil[field], emitted)
        return self.ground

    def physiology(self) -> dict[str, Array]:
        """(line, sample) the truth of ``product.physiology`` by its names; NaN over bare ground and
        where SCOPE says nothing of a canopy."""
        assert self.ground is not None
        ours, met = self.ground, self.pick[self.ground.field]
        shares = np.where(ours.bare_soil[..., None], np.nan, ours.shares[..., :2])
        light, absorbed, efficiency = (plants()[name][met] for name in ("ipar", "fapar_chl", "fqe"))
        light = light / brighter(self.sunlight)[met]
        each = shares * light * absorbed
        glowing = (each * efficiency).sum(-1)
        left = np.pi * photons(760.0) * ours.sif_760 * photosystems()
        return {
            "fapar_chlorophyll": (shares * absorbed).sum(-1),
            "fluorescence_escape_probability": left / glowing,
            "fluorescence_quantum_efficiency": glowing / each.sum(-1),
            "integrated_par": (shares * light).sum(-1) / shares.sum(-1),
        }


@cache
def scope() -> dict[str, Array]:
    """What SCOPE says of light, by its names: (canopy, wavelength)."""
    with np.load(SCOPE) as file:
        return dict(file)


def seen_reflectance() -> tuple[Array, Array]:
    """nm, and (canopy, wavelength) reflectance as SCOPE has it."""
    return scope()["wl_nm"], scope()["reflectance"]


def smooth_reflectance() -> tuple[Array, Array]:
    """nm, and (canopy, wavelength) reflectance under as much light of the sky as at 755 nm.

    SCOPE's own weighs what it reflects of sun and of sky by either's light, whose shares change
    within the oxygen bands, by 0.001 (rms) at 760 nm and as its air has them. A Lambertian ground
    has no such lines of its own: under the light of a scene they would be fluorescence.
    """
    wavelength, sun, sky = (scope()[name] for name in ("wl_nm", "Esun", "Esky"))
    share = (sky / (sun + sky))[:, wavelength == 755.0]
    return wavelength, (1 - share) * scope()["rso"] + share * scope()["rdo"]


def brighter(sunlight: float) -> Array:
    """(canopy) how much more light than this, at 755 nm, each of the hundred stands in."""
    light = (scope()["Esun"] + scope()["Esky"])[:, scope()["wl_nm"] == 755.0]
    return np.asarray(light[:, 0] / sunlight)


def under_one_sun(sunlight: float) -> Array:
    """(canopy, ``whole_emission.WAVELENGTH``) what each of the hundred emits in this light."""
    emission = scope()["F_mW_m2_nm_sr"] / brighter(sunlight)[:, None]
    return on_grid(emission, scope()["wlF_nm"], SEEN)


def shapes_of(canopies: NDArray[np.intp]) -> tuple[Array, Array]:
    """As ``whole_emission.usual_canopies``, of some of the hundred."""
    wavelength, emission = scope()["wlF_nm"], scope()["F_mW_m2_nm_sr"][canopies]
    level = emission[:, wavelength == 760.0]
    keep = level[:, 0] > 0.05
    shapes, share = emission[keep] / level[keep], level[keep] / level[keep].sum()
    mean = (share * shapes).sum(0)
    _, size, parts = np.linalg.svd(np.sqrt(share) * (shapes - mean), full_matrices=False)
    return wavelength, np.column_stack([mean, (parts[:3] * size[:3, None]).T])


@cache
def plants() -> dict[str, Array]:
    """(canopy) what SCOPE says of each of the hundred; NaN where it says nothing."""
    table = pd.read_csv(PLANTS, comment="#").set_index("scene").reindex(np.arange(1, COUNT + 1))
    return {str(name): values.to_numpy(float) for name, values in table.items()}


def photosystems() -> float:
    """nm, all photons that photosystems emit over those of the nanometre at 760 nm.

    Of the five canopies of which SCOPE tells what escapes there.
    """
    p = plants()
    emitted = p["fqe"] * p["ipar"] * p["fapar_chl"] * p["sigma_f_760"]
    return float(np.nanmean(emitted / (np.pi * photons(760.0) * p["sif_760"])))


def on_grid(spectra: Array, wavelength: Array, grid: Array) -> Array:
    """Spectra (..., wavelength) on a grid, the last values beyond."""
    return np.apply_along_axis(lambda s: np.interp(grid, wavelength, s), -1, spectra)
