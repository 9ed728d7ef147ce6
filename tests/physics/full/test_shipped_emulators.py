"""The emulators that ship, against full radiative transfer on every wavenumber."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("sasktran2", reason="needs the 'build' extra")

from sifnet.files import data_file
from sifnet.physics.emulator import SHIPPED, Emulator
from sifnet.physics.full import database
from sifnet.physics.full.emulator_errors import emulator_errors
from sifnet.physics.full.samples import Samples
from sifnet.physics.full.spectral_grids import SpectralGrids
from sifnet.physics.state import RANGES
from sifnet.physics.windows import FAR_RED, RED, Window

FRESH = 50_000  # states of the sequence that no build has reached
KINDS = pytest.mark.parametrize("space", [False, True])


def fresh_samples(count: int, window: Window = FAR_RED) -> dict[bool, Samples]:
    """Full runs at states never used, by kind of sensor, within the ranges."""
    grids = SpectralGrids(window)
    draws = [database.draw(FRESH + i) for i in range(count)]
    spectra = [
        database.products(d.atmosphere, d.solar_zenith_angle, d.observers, grids) for d in draws
    ]
    state = np.concatenate([d.table() for d in draws])
    every = np.concatenate(spectra).astype(np.float32)
    in_space = np.isinf(state[:, -1])
    return {
        space: Samples(state[in_space == space], every[in_space == space], window).within_ranges()
        for space in (False, True)
    }


@KINDS
def test_the_file_tells_its_ranges_and_its_error(space: bool) -> None:
    emulator = Emulator.load(space=space)
    for name, (low, high) in emulator.ranges.items():
        assert low <= RANGES[name][0] + 1e-9, name
        assert high >= RANGES[name][1] - 1e-9, name
    assert emulator.metadata["held_out"]["atmospheres"] >= 100
    assert emulator.metadata["measured_error"]["radiance_rms_percent_0.25nm"] <= 0.1


def test_both_files_are_small() -> None:
    names = ("emulator_airborne.npz", "emulator_space.npz")
    assert sum(data_file(name).stat().st_size for name in names) <= 5e6


@pytest.mark.slow
def test_a_few_fresh_states() -> None:
    for space, samples in fresh_samples(3).items():
        errors = emulator_errors(Emulator.load(space=space), samples)
        assert errors["radiance_rms_percent_0.25nm"] <= 0.3
        assert errors["sif_equivalent_rms"] <= 0.2


@pytest.mark.slow
def test_a_hundred_fresh_atmospheres() -> None:
    """The targets, on 110 atmospheres that neither fit nor its own measurement saw."""
    for space, samples in fresh_samples(130).items():
        assert samples.atmospheres >= 100
        errors = emulator_errors(Emulator.load(space=space), samples)
        assert errors["radiance_rms_percent_0.25nm"] <= 0.1
        assert errors["radiance_p99_percent_0.25nm"] <= 0.4
        assert errors["sif_equivalent_rms"] <= 0.06
        assert errors["radiance_rms_percent_3.5nm"] <= 0.05


@KINDS
def test_the_red_file_tells_its_ranges_and_its_error(space: bool) -> None:
    emulator = Emulator.load(space=space, window=RED)
    assert emulator.window == RED
    for name, (low, high) in emulator.ranges.items():
        assert low <= RANGES[name][0] + 1e-9, name
        assert high >= RANGES[name][1] - 1e-9, name
    assert emulator.metadata["measured_error"]["radiance_rms_percent_0.25nm"] <= 0.1
    assert data_file(SHIPPED[RED, space]).stat().st_size < 400e3


@pytest.mark.slow
def test_a_few_fresh_states_of_the_red_window() -> None:
    for space, samples in fresh_samples(3, RED).items():
        errors = emulator_errors(Emulator.load(space=space, window=RED), samples)
        assert errors["radiance_rms_percent_0.25nm"] <= 0.3
        assert errors["sif_equivalent_rms"] <= 0.4
