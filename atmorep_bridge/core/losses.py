"""Losses of ensembles, one number a sample.

Members are dimension 0. Whatever a sample weighs, each counts once: two processes with half a
batch each then take the same step as one with the whole.
"""

from __future__ import annotations

import torch
from torch import Tensor


def crps(members: Tensor, truth: Tensor, alpha: float = 0.0) -> Tensor:
    """Almost fair kernel CRPS (Lang et al. 2024, arXiv:2412.15832, eq. 4), of every value.

    E|x - y| - (1 - ε)/2 E|x - x'|, the pairs of different members, ε = (1 - α)/M. α = 0 is the
    CRPS of the ensemble as it stands, α = 1 is fair to few members drawn by chance.

    Where each member has a tail of its own, not chance, that of rank k is best at the quantile
    ½ + (1 - ε)(2k - M - 1) / (2(M - 1)) of what may come true: α = 0 spreads as much as the truth
    of the training days, and so too little on others; α = 1 has no bound; 0.95 of 8 members is 1.6
    times as wide as 0.

    Args:
        members: ``member, ...``, at least two. truth: ``...``.
    """
    m = members.shape[0]
    error = (members - truth).abs().mean(0)
    ranked = members.sort(0).values
    # Σ_{i<j} (x_j - x_i) of ranked members: x_k is added k times and subtracted m - 1 - k times.
    weight = torch.arange(1 - m, m, 2, device=members.device, dtype=members.dtype)
    pairs = (ranked * weight.view(-1, *[1] * truth.ndim)).sum(0) * 2 / (m * (m - 1))
    return error - 0.5 * (1 - (1 - alpha) / m) * pairs


def quantiles(members: int, alpha: float) -> Tensor:
    """Of a standard normal, those at which ``crps`` is least on average, in their order."""
    rank = torch.arange(1, members + 1)
    share = (1 - (1 - alpha) / members) * (2 * rank - members - 1) / (2 * (members - 1))
    return torch.special.ndtri(0.5 + share)


def of_samples(each: Tensor, counts: Tensor, sample: Tensor, samples: int) -> Tensor:
    """Mean of a loss over the values that count, of every sample.

    Args:
        each: ``token, value``, loss. counts: of the same shape, weights, 0 where none is known.
        sample: (token) index of the sample that a token belongs to.

    Returns:
        ``samples``; 0 for a sample without a value.
    """
    zero = torch.zeros(samples, device=each.device, dtype=each.dtype)
    total = zero.index_add(0, sample, (torch.where(counts > 0, each, 0.0) * counts).sum(-1))
    number = zero.index_add(0, sample, counts.sum(-1).to(each.dtype))
    return torch.where(number > 0, total / number.clamp(min=1e-9), 0.0)
