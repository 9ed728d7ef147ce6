"""The B band's table against microwave lines, published constants and sum rules; and its place."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from sifnet.physics.full import spectroscopy
from sifnet.physics.full.o2_lines import (
    REFERENCE_TEMPERATURE,
    line_intensity,
    lines_seen_at,
    mixing_coefficients,
    shipped_b_lines,
    shipped_lines,
)
from sifnet.physics.full.spectroscopy import CrossSections, absorption_cross_section

DATA = Path(__file__).resolve().parents[3] / "data"
BAND = np.arange(14_300.0, 14_600.0, 0.02)
A_PART = np.arange(13_000.0, 13_060.0, 0.02)
GHZ = 29.9792458  # per cm-1
BELOW = {3: 62.4863, 5: 60.3061, 7: 59.1642, 9: 58.3239, 11: 57.6125, 13: 56.9682,
         15: 56.3634, 17: 55.7838, 19: 55.2214, 21: 54.6712}  # fmt: skip
ABOVE = {1: 56.2648, 3: 58.4466, 5: 59.5910, 7: 60.4348, 9: 61.1506, 11: 61.8002, 13: 62.4112,
         15: 62.9980, 17: 63.5685, 19: 64.1278, 21: 64.6789}  # fmt: skip
"""GHz, of the microwave lines N- and N+ of 16O2, J = N to N - 1 and N + 1 (Liebe 1989, Int. J.
Infrared Millim. Waves 10, 631; Rosenkranz 1998): measured, not of the table's source."""


@pytest.fixture(scope="module")
def branches() -> pd.DataFrame:
    """Lines of 16O2 by their branch, ``P29Q28``; N and J of the lower level beside."""
    lines = shipped_b_lines()
    names = [str(b).removeprefix("B:") for b in lines.branch if b]
    at = lines.branch != ""
    quanta = [re.fullmatch(r"[PR](\d+)[PQR](\d+)", name).groups() for name in names]
    return pd.DataFrame(
        {"nu": lines.wavenumber[at], "s": lines.intensity[at], "lower": lines.lower_energy[at],
         "n": [int(n) for n, _ in quanta], "j": [int(j) for _, j in quanta]}, index=names,
    )  # fmt: skip


def test_doublets_are_as_wide_as_microwave_lines(branches: pd.DataFrame) -> None:
    nu = branches.nu
    for n, ghz in BELOW.items():
        assert nu[f"P{n}Q{n - 1}"] - nu[f"P{n}P{n}"] == pytest.approx(ghz / GHZ, abs=3e-4)
    for n, ghz in ABOVE.items():
        assert nu[f"R{n}Q{n + 1}"] - nu[f"R{n}R{n}"] == pytest.approx(ghz / GHZ, abs=3e-4)


def test_upper_levels_have_the_published_constants(branches: pd.DataFrame) -> None:
    """Huber & Herzberg (1979): B1 = B_e - 1.5 alpha_e, origin nu00 + omega_e - 2 omega_e x_e."""
    nu = branches.nu
    n = np.arange(3, 30, 2)
    twice = np.array([nu[f"R{m}R{m}"] - nu[f"P{m}P{m}"] for m in n])  # E'(N + 1) - E'(N - 1)
    design = np.column_stack([4 * n + 2, (n + 1) ** 2 * (n + 2) ** 2 - (n - 1) ** 2 * n**2])
    rotation, distortion = np.linalg.lstsq(design, twice, rcond=None)[0]
    assert rotation == pytest.approx(1.40037 - 1.5 * 0.01820, abs=2e-4)
    assert -distortion == pytest.approx(5.4e-6, rel=0.02)
    origins = []
    for band, names in ((shipped_lines(), "{}"), (shipped_b_lines(), "B:{}")):
        place = {str(b): i for i, b in enumerate(band.branch) if b}
        origins.append(band.wavenumber[place[names.format("P1P1")]])  # both end in J' = 0
    assert origins[1] - origins[0] == pytest.approx(1432.77 - 2 * 14.00, abs=0.05)


def test_spin_zero_nuclei_leave_odd_n_and_two_lines_a_branch(branches: pd.DataFrame) -> None:
    assert np.all(branches.n % 2 == 1)
    assert set(branches.index.str[0]) == {"P", "R"}
    for n in range(3, 25, 2):
        found = set(branches.index[branches.n == n])
        assert found == {f"P{n}P{n}", f"P{n}Q{n - 1}", f"R{n}R{n}", f"R{n}Q{n + 1}"}
    rare = shipped_b_lines().isotopologue == 2
    assert {round(n) % 2 for n in shipped_b_lines().rotation[rare] if n < 20} == {0, 1}


def test_the_head_is_where_the_constants_put_it(branches: pd.DataFrame) -> None:
    head = branches.nu[branches.index.str.match(r"R\d+Q")]
    assert 14_555 < head.max() < 14_562  # 686.7-687.0 nm, Fraunhofer's B
    assert branches.n[head.idxmax()] in range(15, 24)


def test_intensities_add_up_to_the_band_and_follow_the_levels(branches: pd.DataFrame) -> None:
    lines = shipped_b_lines()
    main = lines.intensity[lines.isotopologue == 1].sum()
    assert main / 1.52e-23 == pytest.approx(1.0, rel=1e-3)  # of so small numbers, approx sees none
    # 16O18O: its abundance, 3.99e-3, over twice as many levels.
    share = lines.intensity[lines.isotopologue == 2].sum() / 1.52e-23
    assert share == pytest.approx(3.99e-3, rel=0.03)
    # Population and line strength alone: S / (nu exp(-E / kT)) of the branch P_N P_N goes as N + 1
    # (Watson 1968); HITRAN's A band has another 2 % from N = 3 to 29, vibration and rotation mixed.
    p = branches[branches.index.str.match(r"P\d+P") & (branches.n > 2) & (branches.n < 30)]
    strength = p.s / (p.nu * np.exp(-1.4387769 * p.lower / REFERENCE_TEMPERATURE)) / (p.n + 1)
    assert np.abs(strength / strength.mean() - 1).max() < 0.015


@pytest.mark.parametrize("pressure", [100.0, 1013.25])
def test_mixing_keeps_the_band(pressure: float) -> None:
    wide = np.arange(14_100.0, 14_800.0, 0.02)
    mixed = absorption_cross_section(wide, pressure, 250.0)
    assert mixed.min() >= 0
    voigt = absorption_cross_section(wide, pressure, 250.0, line_mixing=0.0)
    total = line_intensity(shipped_b_lines(), 250.0).sum()
    assert np.trapezoid(voigt, wide) / total == pytest.approx(1.0, rel=2e-3)
    assert np.trapezoid(mixed, wide) / total == pytest.approx(1.0, rel=5e-3)
    above = (wide > 14_560) & (wide < 14_575)  # mixing takes from beyond the head
    assert mixed[above].sum() < 0.7 * voigt[above].sum()


def test_mixing_couples_lines_without_creating_absorption() -> None:
    lines = shipped_b_lines()
    coupled = line_intensity(lines, 250.0) * mixing_coefficients(lines.branch, 250.0)
    assert np.count_nonzero(coupled) == 70
    assert abs(coupled.sum()) < 0.02 * np.abs(coupled).sum()


def test_the_a_band_is_that_of_its_lines_alone() -> None:
    for reach in (A_PART, np.arange(12_800.0, 13_520.0, 5.0)):
        assert lines_seen_at(reach) is shipped_lines()
    alone = absorption_cross_section(A_PART, 500.0, 250.0, shipped_lines())
    np.testing.assert_array_equal(absorption_cross_section(A_PART, 500.0, 250.0), alone)
    both = absorption_cross_section(np.concatenate([A_PART, BAND]), 500.0, 250.0)
    np.testing.assert_allclose(both[: len(A_PART)], alone, rtol=1e-4, atol=1e-29)
    there = absorption_cross_section(BAND, 500.0, 250.0)
    np.testing.assert_allclose(both[len(A_PART) :], there, rtol=1e-4, atol=1e-29)


def test_tabulated_cross_sections_reach_the_b_band(monkeypatch: pytest.MonkeyPatch) -> None:
    # A few nodes of the table, as near to each other as its own: the whole of it takes 5 s.
    monkeypatch.setattr(spectroscopy, "PRESSURE_NODES", spectroscopy.PRESSURE_NODES[35:39])
    monkeypatch.setattr(spectroscopy, "TEMPERATURE_NODES", spectroscopy.TEMPERATURE_NODES[4:8])
    grid = np.arange(14_540.0, 14_546.0, 0.05)
    seen = CrossSections(grid).o2([700.0], [265.0])[0]
    exact = absorption_cross_section(grid, 700.0, 265.0)
    np.testing.assert_allclose(seen, exact, atol=5e-4 * exact.max())
    assert exact.max() > 1e-24


def test_shipped_tables_are_reproduced(shared_data: Path, tmp_path: Path) -> None:
    command = [sys.executable, str(DATA / "make_o2_b_lines.py"), str(shared_data)]
    environment = {"PYTHONPATH": str(DATA.parent), "OMP_NUM_THREADS": "1"}
    subprocess.run([*command, "--output", str(tmp_path)], env=environment, check=True)
    for name in ("o2_b_lines.csv", "o2_b_line_mixing.csv"):
        assert (tmp_path / name).read_text() == (DATA / name).read_text(), name
        assert (DATA / name).stat().st_size < 40e3
