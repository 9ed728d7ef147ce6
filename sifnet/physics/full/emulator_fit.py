"""Fitting the emulator to a database of full radiative transfer.

1. Every product is compressed to its mean and leading principal components, in a metric that
   counts errors relative to the radiance they end in.
2. A small network is fitted to the coefficients through the radiances they make: the loss is the
   relative error of band radiance over grounds of all reflectances.

The error is measured on atmospheres computed on every wavenumber, unseen by the fit, and stored.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib.metadata import version

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.linalg import qr
from scipy.sparse.linalg import svds
from torch import Tensor
from torch.optim.lr_scheduler import LambdaLR

from sifnet.physics.emulator import CoefficientNetwork, Emulator
from sifnet.physics.features import state_features
from sifnet.physics.full import database
from sifnet.physics.full.emulator_errors import emulator_errors
from sifnet.physics.full.extension import extended
from sifnet.physics.full.samples import Samples
from sifnet.physics.instrument import gaussian_response
from sifnet.physics.state import RANGES
from sifnet.physics.transfer import PRODUCTS, SUNLIT, TransferFunctions, linearised, to_transfer
from sifnet.physics.windows import RED, STEP

_Array = NDArray[np.floating]

POINTS_PER_COMPONENT = 3  # wavelengths at which the network knows logarithms
LOSS_SAMPLING = 0.2  # nm
LOSS_FWHM = 0.25  # nm, of the sharpest imaging sensor
MEAN_REFLECTANCE = 0.3  # of the radiance that errors are counted relative to


@dataclass(frozen=True)
class FitSettings:
    """How an emulator is fitted; a file keeps those it was fitted with.

    Attributes:
        components: of each product, the mean included.
        width: of the network.
        blocks: hidden layers after the first.
        epochs: passes over the samples.
        batch: samples a step.
        learning_rate: of the weight matrices, at its highest; it rises for 3 % of the steps,
            then falls to zero. Biases and the linear map learn at 0.4 of it.
        weight_decay: of the weight matrices.
        fine_weight: of the error on the fine grid beside that of band radiance.
        seed: of network and order.
    """

    components: int = 24
    width: int = 192
    blocks: int = 3
    epochs: int = 120
    batch: int = 256
    learning_rate: float = 5e-3
    weight_decay: float = 0.1
    fine_weight: float = 0.1
    seed: int = 0


Progress = Callable[[int, int, float], None]
"""Told after each epoch: epoch, epochs, rms relative error of radiance in that epoch."""


def fit_emulator(
    seen: Samples,
    unseen: Samples,
    settings: FitSettings | None = None,
    progress: Progress | None = None,
) -> tuple[Emulator, dict[str, float]]:
    """Fit an emulator to samples, and measure it on others, within its ranges.

    The same seed and number of threads give the same emulator.

    Returns:
        The emulator, and the report that is also its ``metadata["measured_error"]``.
    """
    unseen = unseen.within_ranges()
    with torch.random.fork_rng():
        emulator = fit_samples(seen, settings or FitSettings(), progress)
    report = emulator_errors(emulator, unseen)
    emulator.metadata["measured_error"] = report
    emulator.metadata["held_out"] = {"samples": len(unseen), "atmospheres": unseen.atmospheres}
    # Sensors in space have wide bands, whose wings reach beyond what was computed; those that see
    # the lines of the red window have none.
    wide = emulator.space and seen.window != RED
    return extended(emulator) if wide else emulator, report


def fit_samples(
    samples: Samples, settings: FitSettings, progress: Progress | None = None
) -> Emulator:
    """Fit an emulator to samples; its metadata tells ranges, counts, settings and versions."""
    torch.manual_seed(settings.seed)
    space = bool(np.isinf(samples.columns(["sensor_height"])).all())
    basis, coefficients = compress(samples, settings.components)
    features = state_features(samples.atmosphere(), samples.geometry(), space=space)
    size = {
        "features": features.shape[1],
        "latents": min(settings.components, len(samples) - 1),
        "points": POINTS_PER_COMPONENT * (settings.components - 1),
        "coefficients": settings.components - 1,
        "width": settings.width,
        "blocks": settings.blocks,
    }
    network = CoefficientNetwork(**size)
    initialise(network, features, samples, basis, coefficients)
    train(network, features, coefficients, samples, basis, settings, progress)
    metadata = {
        "space": space,
        "presmoothing_fwhm": database.PRESMOOTHING_FWHM,
        "network": size,
        "ranges": covered_ranges(samples),
        "fitted": {"samples": len(samples), "atmospheres": samples.atmospheres},
        "settings": asdict(settings),
        "versions": {name: version(name) for name in ("torch", "numpy")},
    }
    return Emulator(
        torch.as_tensor(samples.window.wavelength),
        torch.as_tensor(basis).float(),
        network.eval(),
        metadata,
    )


def compress(samples: Samples, components: int) -> tuple[_Array, _Array]:
    """Principal components of every product.

    Errors are weighted by wavelength with 1 / mean radiance (smoothed to 0.25 nm, because no
    sensor sees a single line core) and by sample with 1 / its continuum. In that metric the
    components are orthonormal, and the sum of squared errors of coefficients is that of spectra.

    Returns:
        Basis ``product, component, wavelength``, whose component 0 is the mean spectrum, and
        coefficients ``sample, product, component - 1``.
    """
    weight, sample_weight = _metric(samples)
    basis, coefficients = [], []
    for i, cos_sza in enumerate(_sunlit_divisors(samples)):
        spectra = samples.products[:, i] / cos_sza[:, None]
        mean = spectra.mean(axis=0, dtype=np.float64)
        weighted = (spectra - mean) * weight
        scaled = weighted * sample_weight[:, None]
        _, _, vectors = svds(scaled, k=components - 1, v0=np.ones(min(scaled.shape)))
        leading = vectors[::-1].T
        basis.append(np.vstack([mean, leading.T / weight]))
        coefficients.append(weighted @ leading)
    return np.array(basis), np.stack(coefficients, axis=1)


def _sunlit_divisors(samples: Samples) -> _Array:
    """``product, sample`` to divide by before compression: cos(SZA) if sunlit, else 1."""
    return np.where(np.arange(len(PRODUCTS))[:, None] < SUNLIT, samples.cos_sza, 1.0)


def _metric(samples: Samples) -> tuple[_Array, _Array]:
    """Weights ``wavelength`` and ``sample`` that make an error relative to radiance / cos(SZA)."""
    path, ground, bounce = (samples.products[:, i] for i in range(SUNLIT))
    radiance = path + MEAN_REFLECTANCE * (ground + MEAN_REFLECTANCE * bounce)
    radiance = radiance / samples.cos_sza[:, None]
    offset = np.arange(-25, 26) * STEP
    kernel = gaussian_response(offset, np.zeros(1), np.full(1, LOSS_FWHM))[0]
    mean = radiance.mean(axis=0, dtype=np.float64)
    smooth = np.convolve(np.pad(mean, 25, mode="edge"), kernel, mode="valid")
    continuum = np.quantile(radiance[:, ::20], 0.9, axis=1)
    return 1.0 / smooth, continuum.mean() / continuum


def initialise(
    network: CoefficientNetwork, features: Tensor, samples: Samples, basis: _Array, target: _Array
) -> None:
    """Set the constants of the network, and its linear map to the least-squares fit of latents."""
    x = (features - features.mean(0)) / features.std(0)
    network.feature_mean.copy_(features.mean(0))
    network.feature_sd.copy_(features.std(0))
    latents = []
    count, points = network.to_points.shape[1:]
    weight, _ = _metric(samples)
    for i, divisor in enumerate(_sunlit_divisors(samples)):
        chosen = informative_points(basis[i, 1:] * weight, points)
        at_points = samples.products[:, i, chosen] / divisor[:, None]
        logarithm = np.log(at_points)
        middle = logarithm.mean(0)
        _, _, vectors = np.linalg.svd((logarithm - middle) * at_points.mean(0), full_matrices=False)
        directions = vectors[:count] / at_points.mean(0)
        scores = (logarithm - middle) @ np.linalg.pinv(directions)
        latents.append(torch.as_tensor(scores))
        network.to_points[i].copy_(torch.as_tensor(directions))
        inputs = np.column_stack([np.ones(len(samples)), at_points / np.exp(middle)])
        back = _ridge(inputs, target[:, i], 1e-10)
        network.from_points[i].copy_(torch.as_tensor(back))
    y = torch.stack(latents)
    network.latent_mean.copy_(y.mean(1, keepdim=True))
    network.latent_sd.copy_(y.std(1, keepdim=True))
    y = ((y - y.mean(1, keepdim=True)) / y.std(1, keepdim=True)).movedim(0, 1).flatten(1)
    with torch.no_grad():
        network.linear.weight.copy_(torch.as_tensor(_ridge(x.numpy(), y.numpy(), 1e-6).T))
        network.leave.weight.zero_()
        network.leave.bias.zero_()


def _ridge(inputs: _Array, outputs: _Array, strength: float) -> _Array:
    """Least-squares map ``input, output``; the ridge is relative to the inputs' mean square."""
    square = inputs.T @ inputs
    square += strength * np.trace(square) / len(square) * np.eye(len(square))
    return np.linalg.solve(square, inputs.T @ outputs)


def informative_points(vectors: _Array, count: int) -> NDArray[np.intp]:
    """Indices of ``count`` wavelengths that tell coefficients of ``vectors`` best.

    Pivoted QR decomposition, repeated on what is left until there are enough (the points of
    empirical interpolation, oversampled).
    """
    left = np.arange(vectors.shape[1])
    chosen: list[int] = []
    while len(chosen) < count:
        _, _, order = qr(vectors[:, left], mode="economic", pivoting=True)
        best = left[order[: min(len(vectors), count - len(chosen))]]
        chosen.extend(best)
        left = np.setdiff1d(left, best)
    return np.sort(chosen)


def train(
    network: CoefficientNetwork,
    features: Tensor,
    target: _Array,
    samples: Samples,
    basis: _Array,
    settings: FitSettings,
    progress: Progress | None,
) -> None:
    """Fit the network in place, by mini-batches and one cycle of the learning rate.

    Weight matrices by Muon (Jordan et al. 2024), whose orthogonal steps are at the same error as
    Adam's after a seventh of the passes; the rest by Adam.
    """
    features = features.float()
    loss_of = _Loss(samples, basis, target, settings.fine_weight)
    steps = max(settings.epochs * math.ceil(len(features) / settings.batch), 1)
    optimisers = _optimisers(network, settings)
    schedules = [LambdaLR(o, lambda step: _cycle(step / steps)) for o in optimisers]
    for epoch in range(settings.epochs):
        total = 0.0
        for batch in torch.randperm(len(features)).split(settings.batch):
            loss, radiance_error = loss_of(network(features[batch]), batch)
            for optimiser in optimisers:
                optimiser.zero_grad()
            loss.backward()
            for optimiser, schedule in zip(optimisers, schedules, strict=True):
                optimiser.step()
                schedule.step()
            total += radiance_error * len(batch)
        if progress:
            progress(epoch + 1, settings.epochs, math.sqrt(total / len(features)))


def _optimisers(
    network: CoefficientNetwork, settings: FitSettings
) -> tuple[torch.optim.Optimizer, torch.optim.Optimizer]:
    """Muon for the matrices of the network, Adam for biases and for the linear map beside it."""
    linear, rate = network.linear.weight, settings.learning_rate
    matrices = [p for p in network.parameters() if p.ndim == 2 and p is not linear]
    others = [p for p in network.parameters() if p.ndim != 2 or p is linear]
    muon = torch.optim.Muon(matrices, rate, settings.weight_decay, adjust_lr_fn="match_rms_adamw")
    return muon, torch.optim.Adam(others, 0.4 * rate)


def _cycle(share: float) -> float:
    """Learning rate relative to its highest, after a share of the steps."""
    return min(1.0, share / 0.03) * 0.5 * (1.0 + math.cos(math.pi * min(share, 1.0)))


class _Loss:
    """Mean squared relative error of radiance, for predicted coefficients of a batch."""

    def __init__(self, samples: Samples, basis: _Array, target: _Array, fine_weight: float) -> None:
        window = samples.window
        bands = np.arange(*window.counted, LOSS_SAMPLING)
        response = gaussian_response(window.wavelength, bands, np.full(len(bands), LOSS_FWHM))
        divisors = _sunlit_divisors(samples).T[..., None]
        exact = samples.products @ response.T.astype(np.float32) / divisors
        self.exact = torch.as_tensor(exact, dtype=torch.float32)
        self.basis = torch.as_tensor(basis @ response.T, dtype=torch.float32)
        self.target = torch.as_tensor(target, dtype=torch.float32)
        self.fine_weight = fine_weight
        weight, sample_weight = _metric(samples)
        self.sample_weight = torch.as_tensor(sample_weight, dtype=torch.float32)
        self.wavelengths = len(weight)

    def __call__(self, coefficients: Tensor, batch: Tensor) -> tuple[Tensor, float]:
        products = self.basis.shape[0]
        predicted = self.basis[:, 0] + torch.einsum("spc,pcb->spb", coefficients, self.basis[:, 1:])
        exact = self.exact[batch]
        # Any ground may be met, dark ones too; products are per cos(SZA), hence the 2.
        reflectance = 0.03 * (0.7 / 0.03) ** torch.rand(len(batch), 1)
        sif, transfer = torch.full_like(reflectance, 2.0), TransferFunctions(*exact.unbind(1))
        # In these derivatives the loss is quadratic in the coefficients; the closed form itself
        # has poles where an unfinished fit predicts no ground signal at all.
        derivatives = to_transfer(reflectance, sif, transfer).stack().movedim(-1, 1)
        radiance = linearised(reflectance, sif, transfer).value
        error = ((predicted - exact) * derivatives).sum(1) / radiance
        relative = error.square().mean()
        fine = (coefficients - self.target[batch]) * self.sample_weight[batch, None, None]
        fine_error = fine.square().sum() / (len(batch) * products * self.wavelengths)
        return relative + self.fine_weight * fine_error, float(relative.detach())


def covered_ranges(samples: Samples) -> dict[str, tuple[float, float]]:
    """Range of each parameter: the intended one where samples cover it to 3 % of its span.

    Where they do not, the range of the samples. Space has no range of height.
    """
    ranges = {"sun_earth_distance": RANGES["sun_earth_distance"]}
    for name, values in zip(database.STATE, samples.state.T, strict=True):
        if np.isinf(values).any():
            continue
        low, high = RANGES[name]
        margin, lowest, highest = 0.03 * (high - low), float(values.min()), float(values.max())
        low = low if lowest <= low + margin else lowest
        ranges[name] = low, high if highest >= high - margin else highest
    return ranges
