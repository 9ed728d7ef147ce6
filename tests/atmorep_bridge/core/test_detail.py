"""Coarse fields are made fine as the fine ones say, and blocks are where they are."""

import torch

from atmorep_bridge.core.detail import (
    AROUND,
    Sums,
    blocks,
    coarsened,
    joined,
    patches,
    sharpened,
    widened,
)


def test_sharpening_keeps_a_plane_and_the_mean() -> None:
    rows, columns = torch.meshgrid(torch.arange(16.0), torch.arange(24.0), indexing="ij")
    plane = 3 + 0.5 * rows - 0.25 * columns
    smooth = sharpened(coarsened(plane), (16, 24))
    torch.testing.assert_close(smooth[2:-2, 2:-2], plane[2:-2, 2:-2])
    assert torch.equal(smooth[0], smooth[1])  # beyond the outermost middles nothing is known
    torch.testing.assert_close(smooth.mean(), plane.mean())


def test_coarse_means_of_rest_rows_are_left_out() -> None:
    assert coarsened(torch.ones(2, 3, 33, 49)).shape == (2, 3, 8, 12)
    assert sharpened(torch.ones(2, 3, 8, 12), (33, 49)).shape == (2, 3, 33, 49)


def test_blocks_come_back_and_have_the_means_of_coarse_points() -> None:
    fine = torch.randn(2, 3, 8, 12)
    assert torch.equal(joined(blocks(fine)), fine)
    torch.testing.assert_close(blocks(fine).mean(-1), coarsened(fine))


def test_patches_are_rows_then_columns_around_a_block() -> None:
    coarse = torch.arange(12.0).view(3, 4)
    around = patches(widened(coarse, 1, True), 1)
    assert around[1, 0].tolist() == [3.0, 0, 1, 7, 4, 5, 11, 8, 9]  # on the other side, of a globe
    assert patches(widened(coarse, 1, False), 1)[0, 0].tolist() == [0, 0, 1, 0, 0, 1, 4, 4, 5]


def test_a_linear_detail_is_found_and_its_error_known() -> None:
    """Fine values that follow from the block and its eastern neighbour, and noise of 0.1."""
    torch.manual_seed(0)
    coarse = torch.randn(1, 3000, 3, 4)
    east = widened(coarse, 1, False)[..., 1:-1, 2:]
    share = torch.linspace(-0.5, 0.5, 16)
    own = coarse[..., None] + share * (east - coarse)[..., None]
    noise = 0.1 * torch.randn(own.shape)
    fine = joined(own + noise - noise.mean(-1, keepdim=True))
    sums = Sums(1, 12, 16)
    sums.add(fine[:, :2400], False, held=False)
    sums.add(fine[:, 2400:], False, held=True)
    detail = sums.solved()
    columns = torch.arange(4)
    found, error = detail.fine(widened(coarsened(fine), AROUND, False), slice(0, 3), columns)
    left = (found - fine).square().mean().sqrt()
    assert 0.09 < float(left) < 0.11
    assert 0.9 < float(error.square().mean().sqrt() / left) < 1.15
    part, _ = detail.fine(widened(coarsened(fine), AROUND, False)[..., 1:, 2:-1], slice(1, 3),
                          columns[2:3])  # fmt: skip
    torch.testing.assert_close(part, found[..., 4:, 8:12])
    larger = detail.fine(3 * widened(coarsened(fine), AROUND, False), slice(0, 3), columns)[1]
    assert float((larger / error).mean()) > 2
