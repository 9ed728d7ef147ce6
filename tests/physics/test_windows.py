"""The two windows: apart from each other, each counted from its own reference."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sifnet.files import data_file
from sifnet.physics.surface import Surface, powers_of, sif_shape
from sifnet.physics.windows import BETWEEN, FAR_RED, RED, Window, window_of

BOTH = pytest.mark.parametrize("window", [FAR_RED, RED], ids=lambda window: window.name)


@BOTH
def test_all_of_a_window_lies_in_it(window: Window) -> None:
    for low, high in (window.counted, window.fitted, window.clear, window.absorbed):
        assert window.grid[0] <= low < high <= window.grid[1]
    assert {window_of(float(w)).name for w in window.wavelength} == {window.name}
    np.testing.assert_allclose(np.diff(window.wavelength), 0.02, atol=1e-9)
    assert RED.grid[1] < BETWEEN < FAR_RED.grid[0]


@BOTH
def test_ground_is_counted_at_the_reference(window: Window) -> None:
    at = torch.tensor([window.reference], dtype=torch.double)
    assert float(sif_shape(at)) == pytest.approx(1.0)
    assert powers_of(at, 3).tolist() == [[1.0, 0.0, 0.0]]
    level, linear, bent, sif = (torch.tensor([x]).double() for x in (0.3, 0.02, 0.01, 1.2))
    around = at + torch.tensor([-5.0, 0.0, 5.0]).double()
    reflectance, emitted = Surface(level, linear, bent, sif).spectra(around)
    np.testing.assert_allclose(reflectance[0], [0.2925, 0.3, 0.3125], atol=1e-12)
    assert float(emitted[0, 1]) == pytest.approx(1.2)


def test_emission_is_one_curve_but_for_its_scale() -> None:
    """F687 / F760 of canopies is 0.43 (``data/emission.csv``), and the table of both is one."""
    table = np.loadtxt(data_file("emission.csv"), delimiter=",", comments="#")
    for low, high, at in ((682, 695, RED.reference), (741, 779, FAR_RED.reference)):
        some = table[(table[:, 0] >= low) & (table[:, 0] <= high)]
        expected = some[:, 1] / np.interp(at, some[:, 0], some[:, 1])
        np.testing.assert_allclose(sif_shape(torch.tensor(some[:, 0])), expected, rtol=2e-4)
