"""Fluorescence that a line itself leads one to expect, from the red edge of each pixel.

The O2 A band tells a pixel's fluorescence with the noise of one pixel. The red edge, seen a hundred
times better, tells which leaves stand there; how fluorescence goes with it on this line, all its
pixels tell together. The relation is linear in a few principal components of the logarithm of
radiance, and what it leaves is the scatter that noise does not explain (Paule & Mandel 1982, doi
10.6028/jres.087.022): one alike for all pixels, and one in proportion to what a pixel emits, for
leaves emit more or less of the light they absorb, and bare ground has none to differ in. It is a
prior of the line's pixels, no more: a difference that the red edge does not show is damped by
spread^2 / (spread^2 + noise^2).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from sifnet.physics.fields import TensorFields
from sifnet.scenes.scene import Scene

RED_EDGE = (671.0, 743.0)  # nm, beside the window of the fit: its noise is not that of the fit
EDGES = np.linspace(*RED_EDGE, 25)  # nm, of the bins whose mean radiances are read
COMPONENTS = 8  # the chlorophyll that moves the edge is the fifth or sixth
WEIGHT_SD = 1.0  # mW m-2 nm-1 sr-1 by a standard deviation of a component, beforehand
ITERATIONS = 12  # for the spread
SMALLEST = 0.02  # mW m-2 nm-1 sr-1, a spread that no line of a few thousand pixels tells from none


@dataclass(frozen=True)
class ExpectedSif(TensorFields):
    """What the red edge says of sif_760 on a line.

    Attributes:
        mean: ``bin``, of ln radiance.
        components: ``bin, component``, that make it scores of variance 1.
        weight: ``1 + component``, of 1 and the scores, mW m-2 nm-1 sr-1.
        covariance: ``1 + component, 1 + component``, of its error.
        spread: scalar, standard deviation of sif_760 about the relation, mW m-2 nm-1 sr-1.
        relative: scalar, the same as a share of what is expected.
    """

    mean: Tensor
    components: Tensor
    weight: Tensor
    covariance: Tensor
    spread: Tensor
    relative: Tensor

    @classmethod
    def learned(
        cls,
        red_edge: Float[Tensor, "pixel bin"],
        sif_760: Float[Tensor, pixel],
        variance: Float[Tensor, pixel],
    ) -> ExpectedSif:
        """The relation that pixels show.

        Args:
            red_edge: ``read``.
            sif_760: retrieved from each pixel alone, mW m-2 nm-1 sr-1.
            variance: of its own noise.
        """
        red_edge, sif_760, variance = (x.double() for x in (red_edge, sif_760, variance))
        mean = red_edge.mean(0)
        _, size, vectors = torch.linalg.svd(red_edge - mean, full_matrices=False)
        size, vectors = size[:COMPONENTS], vectors[:COMPONENTS]
        components = vectors.T * (len(red_edge) ** 0.5 / size.clamp_min(1e-9))
        terms = _terms((red_edge - mean) @ components)
        beforehand = torch.full((terms.shape[-1],), WEIGHT_SD**-2).to(terms)
        beforehand[0] = 0.0
        kinds = torch.ones(len(terms), 2).to(terms)  # of scatter: alike for all, and relative
        spread = torch.zeros(2).to(terms)  # squared, until it is kept
        for _ in range(ITERATIONS):
            heed = 1.0 / (variance + kinds @ spread)
            covariance = torch.linalg.inv((terms.T * heed) @ terms + torch.diag(beforehand))
            weight = covariance @ (terms.T @ (heed * sif_760))
            said = terms @ weight
            kinds[:, 1] = said.clamp_min(0.0) ** 2
            left = (sif_760 - said) ** 2 * (len(terms) / (len(terms) - terms.shape[-1]))
            spread = _shares(kinds, left - variance, heed)
        found = (mean, components, weight, covariance, *torch.sqrt(spread))
        return cls(*(x.float() for x in found))

    def on(self, scene: Scene) -> Float[Tensor, "line sample 2"]:
        """Expected sif_760 of pixels, and its standard deviation, mW m-2 nm-1 sr-1."""
        terms = _terms((read(scene) - self.mean) @ self.components)
        said = terms @ self.weight
        spread = self.spread**2 + (self.relative * said.clamp_min(0.0)) ** 2
        variance = spread + _variance(terms, self.covariance)
        return torch.stack([said, torch.sqrt(variance)], -1)


def read(scene: Scene) -> Float[Tensor, "line sample bin"]:
    """Logarithm of mean radiance in bins of the red edge; that of 1 where there is none."""
    place = np.digitize(scene.wavelength, EDGES) - 1
    bins = [np.flatnonzero(place == i) for i in range(len(EDGES) - 1)]
    radiance = torch.from_numpy(np.array(scene.radiance.values, dtype=np.float32))
    light = torch.stack([radiance[..., bands].mean(-1) for bands in bins], -1)
    return torch.log(torch.nan_to_num(light, nan=1.0, posinf=1.0).clamp_min(1e-3))


def readable(scene: Scene) -> bool:
    """Whether the light of a scene is the sun's alone, and its bands fill the red edge."""
    filled = np.histogram(scene.wavelength, EDGES)[0].all()
    return scene.irradiance is None and bool(filled)


def _terms(scores: Tensor) -> Tensor:
    return torch.cat([torch.ones_like(scores[..., :1]), scores], -1)


def _shares(kinds: Tensor, surplus: Tensor, heed: Tensor) -> Tensor:
    """What each kind of scatter has of a squared surplus; none is below its least."""
    matrix, side = (kinds.T * heed**2) @ kinds, kinds.T @ (heed**2 * surplus)
    least = torch.tensor([SMALLEST**2, 0.0]).to(side)
    shares = torch.linalg.solve(matrix, side)
    for one, other in ((0, 1), (1, 0)):
        if shares[one] < least[one]:
            rest = (side[other] - matrix[other, one] * least[one]) / matrix[other, other]
            shares = shares.clone()
            shares[one], shares[other] = least[one], rest.clamp_min(least[other])
    return shares


def _variance(terms: Tensor, covariance: Tensor) -> Tensor:
    return ((terms @ covariance) * terms).sum(-1)
