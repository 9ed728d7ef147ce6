"""The database: resumable, reproducible, and true to radiative transfer on every wavenumber."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("sasktran2", reason="needs the 'build' extra")

from sifnet.errors import SifnetError  # noqa: E402
from sifnet.physics import database  # noqa: E402
from sifnet.physics.state import RANGES  # noqa: E402


def test_draws_are_reproducible_and_reach_beyond_the_ranges() -> None:
    first = [database.draw(i).table() for i in range(3)]
    again = [database.draw(i).table() for i in range(3)]
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first[0], database.draw(0, seed=1).table())
    table = np.concatenate([database.draw(i).table() for i in range(256)])
    for column, name in enumerate(database.STATE[:9]):
        low, high = RANGES[name]
        values = table[:, column]
        margin = 0.02 * (high - low)
        assert values.min() < low + margin and values.max() > high - margin, name
        assert values.min() >= max(low - margin, 0 if low == 0 else -np.inf), name
    heights = table[:, database.STATE.index("sensor_height")]
    assert np.isinf(heights).any() and 0.002 <= heights.min() < 0.01


def test_interpolation_nodes_hold_the_tolerance() -> None:
    x = np.linspace(0, 10, 2001)
    curves = np.stack([np.exp(-50 * (x - 3) ** 2), np.tanh(8 * (x - 7))])
    nodes = database.interpolation_nodes(x, curves, 1e-3)
    assert len(nodes) < 400
    for curve in curves:
        assert np.abs(np.interp(x, x[nodes], curve[nodes]) - curve).max() <= 1e-3


def test_smoothing_keeps_a_constant_and_widens_a_line() -> None:
    grids = database.SpectralGrids()
    fine = np.ones((2, len(grids.fine)))
    centre = 1e7 / 760.0
    fine[1] = np.abs(grids.fine - centre) < 0.011
    flat, line = grids.smooth(fine)
    np.testing.assert_allclose(flat, 1.0, rtol=1e-12)
    above = database.GRID[line > line.max() / 2]
    assert np.ptp(above) == pytest.approx(database.PRESMOOTHING_FWHM, abs=0.02)
    assert database.GRID[line.argmax()] == pytest.approx(760.0, abs=0.011)


@pytest.mark.slow
def test_build_resumes_and_reproduces(tmp_path: Path) -> None:
    database.build(tmp_path, states=2, workers=2)
    kept = tmp_path / "state_00000.npz"
    stamp = kept.stat().st_mtime_ns
    (tmp_path / "state_00001.npz").unlink()
    (tmp_path / "state_00001.1.partial").write_bytes(b"killed here")
    database.build(tmp_path, states=2, workers=1)
    assert kept.stat().st_mtime_ns == stamp
    state, products = database.load(tmp_path)
    count = database.AIRBORNE_OBSERVERS + database.SPACE_OBSERVERS
    assert state.shape == (2 * count, 10) and products.shape == (2 * count, 5, 2001)
    assert np.isfinite(products).all() and (products > 0).all()
    with pytest.raises(SifnetError, match="seed 0.*seed 5"):
        database.build(tmp_path, states=2, seed=5)


def test_an_unwritable_folder_is_refused(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    with pytest.raises(SifnetError, match="cannot write the database"):
        database.build(blocked, states=1)


def test_an_empty_database_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SifnetError, match="no database"):
        database.load(tmp_path)
