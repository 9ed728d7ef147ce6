"""What the shape predictor learns from: spectra over 640-850 nm with everything in them.

Canopies and soils of PROSAIL under any atmosphere of a clear day, with water vapour, fluorescence
that has nothing to do with reflectance, noise, radiometric errors of single bands, and bands that
are not where they are said to be. Needs the extra ``build``.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
import torch
from numpy.typing import NDArray
from rich.progress import track
from torch import Tensor

from sifnet.physics.full import wide_range
from sifnet.physics.full.radiative_transfer import Observer
from sifnet.physics.noise import noise_sd
from sifnet.physics.solar import COARSE_WAVELENGTH
from sifnet.physics.state import Atmosphere
from sifnet.retrieval.shape import (
    EXAMPLES,
    GRID,
    REFERENCE,
    REGIONS,
    SIF_740,
    ShapePredictor,
    Sizes,
    band_sun,
    geometry_terms,
    responses,
)
from sifnet.scenes.sensor import Sensor
from sifnet.simulation.canopies import draw_canopies, draw_emission, draw_soils
from sifnet.units import standard_pressure

Array = NDArray[np.float64]

STATES, SIGHTS = 600, 4  # atmospheres, and lines of sight through each
CANOPIES, SOILS = 16_000, 4000
SAMPLES = 200_000
GLOWING_SOILS = 0.25  # share of soils that do, sparse leaves on them: so that it is not ruled out
BAND_ERROR = 8e-3  # of the radiance of a band, its sun included, standard deviation
WATER_ERROR = 0.15  # of the depth of water's bands
TYPICAL_WATER = 1.5, 2.5  # g cm-2 and air masses, at which that depth is taken
SHIFTS, CHANGES = np.linspace(-0.8, 0.8, 9), np.linspace(-0.15, 0.15, 3)  # nm, and of width
MIXED = 3  # grounds in a pixel of 30 m
ERROR = 4e-3  # of ln reflectance 20 nm from the reference, about; the unit of the loss
STEPS, BATCH, RATE = 15_000, 1024, 3e-3
WATER = (0.2, 5.0)  # g cm-2


@dataclass(frozen=True)
class Lesson:
    """Simulated spectra; sample first.

    Attributes:
        spectrum: (sample, feature) ln of apparent reflectance.
        geometry: (sample, 4).
        shape: (sample, GRID) ln reflectance relative to 760 nm.
        sif_760: (sample, 1), mW m-2 nm-1 sr-1.
    """

    spectrum: Tensor
    geometry: Tensor
    shape: Tensor
    sif_760: Tensor


def learn(sensor: Sensor, *, seed: int = 0, progress: bool = False) -> ShapePredictor:
    """A predictor from bands in ``shape.REGIONS``, sampled as is usual for a sensor.

    Four fifths of the reflectances are learned from; the rest, unseen, tell the covariance.
    """
    rng = np.random.default_rng(seed)
    torch.manual_seed(seed)
    wavelength = np.concatenate([np.arange(*region, sensor.sampling) for region in REGIONS])
    fwhm = np.full(len(wavelength), sensor.fwhm)
    grounds = np.concatenate([draw_canopies(CANOPIES, rng), draw_soils(SOILS, rng)])
    glows = (np.arange(len(grounds)) < CANOPIES) | (rng.random(len(grounds)) < GLOWING_SOILS)
    learned = rng.random(len(grounds)) < 0.8
    skies = Skies.drawn(rng, progress=progress)
    parts = [
        lesson(sensor, grounds[chosen], glows[chosen], skies, wavelength, fwhm, count, rng)
        for chosen, count in ((learned, SAMPLES), (~learned, SAMPLES // 6))
    ]
    return fitted(parts[0], parts[1], wavelength)


@dataclass(frozen=True)
class Skies:
    """Lines of sight through clear atmospheres.

    Attributes:
        products: (sight, 5, COARSE_WAVELENGTH), at 1 AU.
        angles: (sight, 4) sun, view, relative azimuth (degrees), elevation (km).
    """

    products: Array
    angles: Array

    @classmethod
    def drawn(
        cls, rng: np.random.Generator, states: int = STATES, *, progress: bool = False
    ) -> Skies:
        """Draw atmospheres over the whole range a retrieval from space meets."""
        products, angles = [], []
        for _ in track(range(states), "light", disable=not progress):
            elevation = 2.5 * rng.random() ** 3
            air = Atmosphere.usual(
                surface_pressure=float(standard_pressure(elevation)) + rng.normal(0, 8),
                aot_550=rng.uniform(0.02, 0.5),
                aerosol_height=rng.uniform(0.7, 3.0),
                aerosol_type=rng.uniform(0, 0.6),
            )
            sun, water = rng.uniform(15, 65), rng.uniform(*WATER) * np.exp(-elevation / 2)
            view, azimuth = rng.uniform(0, 28, SIGHTS), rng.uniform(0, 180, SIGHTS)
            seen = [Observer(*sight, np.inf) for sight in zip(view, azimuth, strict=True)]
            products.append(wide_range.products(air, water, sun, seen))
            angles += [(sun, v, a, elevation) for v, a in zip(view, azimuth, strict=True)]
        return cls(np.concatenate(products), np.array(angles))


def lesson(
    sensor: Sensor,
    grounds: Array,
    glows: NDArray[np.bool_],
    skies: Skies,
    wavelength: Array,
    fwhm: Array,
    count: int,
    rng: np.random.Generator,
) -> Lesson:
    """Spectra of grounds (ground, COARSE_WAVELENGTH), of which some glow, with replacement."""
    sun, width = band_sun(wavelength, fwhm), float(np.median(fwhm))
    dry = wide_range.transmittance(0.0, TYPICAL_WATER[1])
    depth = -np.log(wide_range.transmittance(*TYPICAL_WATER) / dry)
    uncertain = np.hypot(BAND_ERROR, WATER_ERROR * np.interp(wavelength, COARSE_WAVELENGTH, depth))
    errors = 1 + uncertain * rng.standard_normal((len(skies.products), len(wavelength)))
    parts = []
    for shift, change in product(SHIFTS, CHANGES):
        sight = rng.integers(len(skies.products), size=count // (len(SHIFTS) * len(CHANGES)))
        chosen = rng.integers(len(grounds), size=(len(sight), MIXED))
        shares = rng.dirichlet([1.0] * MIXED, len(sight))
        ground = np.einsum("sm,smw->sw", shares, grounds[chosen])
        sif_740 = rng.uniform(*SIF_740, len(sight)) * glows[chosen[:, 0]]
        glow = sif_740[:, None] * draw_emission(len(sight), rng)
        path, lit, bounce, up, up_bounce = skies.products[sight].transpose(1, 0, 2)
        light = path + ground * lit / (1 - ground * bounce / lit)
        light = light + glow * up / (1 - ground * up_bounce / up)
        light = (light @ responses(wavelength + shift, fwhm + change).T) * errors[sight]
        noise = noise_sd(torch.as_tensor(light), sensor.shot_noise).numpy()
        light = (light + noise * rng.standard_normal(light.shape)).clip(0.05)
        mu = np.cos(np.radians(skies.angles[sight, 0]))[:, None]
        spectrum = np.log(np.pi * light / (sun * mu))
        at = np.append(GRID, REFERENCE) + shift
        smooth = np.log(ground @ responses(at, np.full(at.size, width + change)).T)
        shape, emitted = smooth[:, :-1] - smooth[:, -1:], glow[:, COARSE_WAVELENGTH == REFERENCE]
        geometry = geometry_terms(*map(torch.as_tensor, skies.angles[sight].T)).numpy()
        parts.append((spectrum, geometry, shape, emitted))
    columns = (np.concatenate(column) for column in zip(*parts, strict=True))
    return Lesson(*(torch.as_tensor(column).float() for column in columns))


def fitted(learned: Lesson, unseen: Lesson, wavelength: Array) -> ShapePredictor:
    """Train on the known spectra; what is left of the unseen ones is the predictor's error."""
    predictor = ShapePredictor(Sizes(len(wavelength)))
    predictor.wavelength.copy_(torch.as_tensor(wavelength))
    predictor.mean.copy_(learned.spectrum.mean(0))
    predictor.sd.copy_(learned.spectrum.std(0))
    predictor.typical.copy_(learned.shape.mean(0))
    predictor.scale.copy_(learned.shape.std(0))
    chosen = torch.linspace(0, len(learned.shape) - 1, EXAMPLES).long()
    predictor.examples.copy_(learned.shape[chosen])
    standard = (learned.spectrum - predictor.mean) / predictor.sd
    components = predictor.sizes.components
    _, size, vectors = torch.linalg.svd(standard, full_matrices=False)
    predictor.projection.copy_(vectors[:components].T * (len(standard) ** 0.5 / size[:components]))
    train(predictor, standard, learned)
    with torch.no_grad():
        standard = (unseen.spectrum - predictor.mean) / predictor.sd
        seen = predictor.read(standard, unseen.geometry)
        shape = seen.shape + seen.by_sif * unseen.sif_760
        error = (unseen.shape - shape) / seen.unusual[:, None]
        predictor.covariance.copy_(error.T @ error / len(error))
        distances = predictor.distances(standard)
        predictor.usual.copy_(torch.quantile(distances, 0.99, dim=0))
    return predictor.requires_grad_(False)


def train(predictor: ShapePredictor, standard: Tensor, learned: Lesson) -> None:
    """Minimise the negative log likelihood of the shapes, in units of their usual error."""
    away = torch.as_tensor(np.abs(GRID - REFERENCE)).float()
    counted = away > 0
    usual = ERROR * away[counted] / 20
    optimiser = torch.optim.Adam(predictor.network.parameters(), RATE)
    cycle = torch.optim.lr_scheduler.OneCycleLR(optimiser, RATE, total_steps=STEPS)
    for _ in range(STEPS):
        batch = torch.randint(len(standard), (BATCH,))
        sif = learned.sif_760[batch]
        seen = predictor.read(standard[batch], learned.geometry[batch])
        shape = seen.shape + seen.by_sif * sif
        error = (shape - learned.shape[batch])[:, counted] / usual / seen.unusual[:, None]
        loss = 0.5 * (error**2).mean() + torch.log(seen.unusual).mean()
        off = (seen.sif - sif[:, 0]) / seen.sif_sd
        loss = loss + 0.5 * (off**2).mean() + torch.log(seen.sif_sd).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        cycle.step()
