"""What the fit punishes: every term a pure function, all in units of negative log likelihood.

The residual is a mean over pixels and bands. Terms that concern a whole patch are divided by the
number of independent pixels and of bands, so that a prior weighs against the spectra as in Bayes'
rule; a weight of 1 is then that rule, and other weights are departures from it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from sifnet.errors import require_number
from sifnet.physics.state import Atmosphere, State
from sifnet.physics.surface import Surface
from sifnet.retrieval.pixels import Pixels

BARE_SD = 0.05  # mW m-2 nm-1 sr-1, how nearly zero the mean fluorescence of bare ground is


@dataclass(frozen=True)
class LossWeights:
    """Weights of the terms, and what they need to know.

    Attributes:
        ndvi: above 1, because by Bayes' rule the few hundred steps of a fit would not see it.
        bare_ndvi: NDVI of radiances at or below which ground is bare.
        model_error: of the simulation, relative to radiance, added to the noise in quadrature.
        independent_pixels: of a patch. Errors of the simulation are common to all its pixels, so
            1,000 pixels do not know the atmosphere 30 times better than one: with noise of 1 %
            and a common error of 0.08 %, they count as (1 / 0.08)^2 = 150. In refinement, of
            a line: what its discrepancy does not hold, as of the shapes of reflectance and
            emission, is common to it.
    """

    residual: float = 1.0
    ndvi: float = 30.0
    prior: float = 1.0
    perturbation: float = 0.1
    bare_ndvi: float = 0.12
    model_error: float = 1e-3
    independent_pixels: float = 150.0

    def __post_init__(self) -> None:
        for name in ("residual", "ndvi", "prior", "perturbation", "model_error"):
            require_number(f"weights: {name}", getattr(self, name), 0)
        require_number("weights: bare_ndvi", self.bare_ndvi, -1, 1)
        require_number("weights: independent_pixels", self.independent_pixels, 0, below=True)


@dataclass(frozen=True)
class Perturbed:
    """The state found when radiance of a known extra fluorescence is added to the pixels.

    Attributes:
        state: found with it.
        added: mW m-2 nm-1 sr-1 at 760 nm, ``patch, line, sample``.
    """

    state: State
    added: Tensor


def terms(
    pixels: Pixels,
    simulated: Tensor,
    state: State,
    perturbed: Perturbed | None = None,
    weights: LossWeights = LossWeights(),
    errors: Tensor | None = None,
) -> dict[str, Tensor]:
    """All weighted terms by name; their sum is the loss.

    Args:
        errors: ``patch, error``, of the simulation, in standard deviations; see ``Retrieval``.
    """
    w = weights
    sigma = total_sd(pixels, w.model_error)
    share = 1.0 / (min(w.independent_pixels, pixels.usable[0].numel()) * sigma.shape[-1])
    weighted = {
        "residual": w.residual * residual(pixels, simulated, sigma),
        "ndvi": w.ndvi * share * ndvi(pixels, state, w.bare_ndvi),
        "prior": w.prior * share * prior(pixels, state.atmosphere),
    }
    if errors is not None:
        weighted["errors"] = w.prior * share * 0.5 * (errors**2).sum(-1).mean()
    if perturbed is not None:
        weighted["perturbation"] = w.perturbation * perturbation(pixels, state, perturbed)
    return weighted


def total_sd(pixels: Pixels, model_error: float) -> Float[Tensor, "patch line sample band"]:
    """sqrt(noise^2 + (model_error L)^2), ``patch, line, sample, band``."""
    return torch.sqrt(pixels.noise**2 + (model_error * pixels.radiance) ** 2)


def residual(
    pixels: Pixels,
    radiance: Float[Tensor, "patch line sample band"],
    sigma: Float[Tensor, "patch line sample band"],
) -> Float[Tensor, ""]:
    """1/2 mean [(L - L_sim) / sigma]^2 over usable pixels and bands.

    Not the plain mean square: noise is shot noise, so bright pixels and the bright bands outside
    the absorption would rule, and fluorescence shows in the dark bands inside.
    """
    misfit = ((pixels.radiance - radiance) / sigma) ** 2
    return 0.5 * _mean(misfit.mean(-1), pixels.usable)


def ndvi(pixels: Pixels, state: State, bare_ndvi: float) -> Float[Tensor, ""]:
    """1/2 mean over patches of [mean F of bare ground / BARE_SD]^2: bare ground does not glow.

    The mean, not every pixel: noise of single pixels over soil is rightly positive and negative,
    and a pixel head made to hide it would have learned to read greenness. Zero where no NDVI or
    no bare ground is seen.
    """
    bare = pixels.usable & (torch.nan_to_num(pixels.ndvi, nan=1.0) <= bare_ndvi)
    count = bare.sum((1, 2))
    mean = (state.surface.sif_760 * bare).sum((1, 2)) / count.clamp(min=1)
    return 0.5 * _mean((mean / BARE_SD) ** 2, count > 0)


def prior(pixels: Pixels, atmosphere: Atmosphere) -> Float[Tensor, ""]:
    """1/2 mean over patches of sum_k [(x_k - prior mean_k) / prior sd_k]^2."""
    total = (pixels.prior.deviation(atmosphere) ** 2).sum(-1)
    return 0.5 * _mean(total.mean((1, 2)), pixels.usable.flatten(1).any(1))


def perturbation(pixels: Pixels, state: State, perturbed: Perturbed) -> Float[Tensor, ""]:
    """1/2 mean {[(F' - F - added) / step]^2 + sum_k [(x_k' - x_k) / step_k]^2}.

    Fluorescence must follow what was added to the radiance, and everything else stay: what
    absorbs added fluorescence into reflectance, or reads it from greenness, is punished.
    """
    followed = replace(state.surface, sif_760=state.surface.sif_760 + perturbed.added)
    surface = perturbed.state.surface.stack() - followed.stack()
    surface = (surface / Surface.steps(surface)) ** 2
    moved = perturbed.state.atmosphere.stack() - state.atmosphere.stack()
    atmosphere = (moved / pixels.prior.sd.stack()) ** 2
    return 0.5 * _mean(surface.sum(-1) + atmosphere.sum(-1), pixels.usable)


def _mean(value: Tensor, where: Tensor) -> Tensor:
    """Mean where true, 0 if nowhere; what is left out carries no gradient and no NaN."""
    chosen = torch.where(where, value, torch.zeros_like(value))
    return chosen.sum() / where.sum().clamp(min=1)
