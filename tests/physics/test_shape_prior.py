"""What is known of a surface beforehand, against the sum of squares that it stands for."""

from __future__ import annotations

import torch

from sifnet.physics.surface import ShapePrior

DOUBLE = torch.float64


def shape_prior() -> ShapePrior:
    covariance = torch.tensor([[4e-6, 1e-6], [1e-6, 2e-6]], dtype=DOUBLE)
    p = torch.linalg.inv(covariance)
    return ShapePrior(
        gain=torch.ones(5, dtype=DOUBLE),
        by_sif=torch.tensor([-3e-3, 1e-3], dtype=DOUBLE),
        precision=torch.stack([p[0, 0], p[0, 1], p[1, 1]]),
        sif_760=torch.tensor([1.1, 0.4], dtype=DOUBLE),
        at_740=torch.tensor([0.9, 0.0], dtype=DOUBLE),
        unusual=torch.tensor(1.0, dtype=DOUBLE),
    )


def test_the_prior_is_the_sum_of_squares_it_stands_for() -> None:
    k, c0 = shape_prior(), torch.tensor(0.4, dtype=DOUBLE)
    for c1, c2, sif in ((0.0, 0.0, 0.0), (0.01, -0.02, 1.1), (-0.003, 0.004, 2.5)):
        surface = torch.tensor([0.4, c1, c2, sif], dtype=DOUBLE)
        away = surface - k.mean(c0)
        off = torch.tensor([c1, c2], dtype=DOUBLE) / c0 - k.by_sif * sif
        p = k.precision[[0, 1, 1, 2]].reshape(2, 2)
        expected = off @ p @ off + ((sif - 1.1) / 0.4) ** 2
        torch.testing.assert_close(away @ k.matrix(c0) @ away, expected)


def test_nothing_is_known_of_the_level() -> None:
    k, c0 = shape_prior(), torch.tensor(0.4, dtype=DOUBLE)
    assert (k.matrix(c0)[0] == 0).all()
    assert k.mean(c0)[0] == 0


def test_what_is_known_of_a_shape_pulls_towards_it() -> None:
    """One step with nothing else known ends where the prior expects the surface."""
    prior = ShapePrior(
        gain=torch.ones(5),
        by_sif=torch.tensor([0.002, -0.001]),
        precision=torch.tensor([1e4, 2e3, 3e4]),
        sif_760=torch.tensor([1.2, 0.5]),
        at_740=torch.tensor([1.0, 0.0]),
        unusual=torch.tensor(1.0),
    )
    surface = torch.tensor([0.3, 0.02, 0.01, 0.4])
    precision, pull = prior.equations(surface)
    level = torch.diag(torch.tensor([1.0, 0.0, 0.0, 0.0]))  # of which the prior says nothing
    moved = surface + torch.linalg.solve(precision + level, pull)
    expected = torch.tensor([0.3, 0.3 * 0.002 * 1.2, -0.3 * 0.001 * 1.2, 1.2])
    torch.testing.assert_close(moved, expected, atol=1e-5, rtol=1e-3)
