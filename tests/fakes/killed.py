"""A database of radiative transfer that is quick to build: its spectra are those of a toy."""

from __future__ import annotations

from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from fakes.database import fake_products
from sifnet.physics.full import build, database
from sifnet.physics.full.emulator_fit import FitSettings
from sifnet.physics.full.reduction import Reduction
from sifnet.physics.windows import FAR_RED, Window

NODES = slice(None, None, 20)  # of the grid, in place of representative wavenumbers


def quick_database() -> None:
    """From now on radiative transfer is a toy's, in this process and its forks."""
    database.FULL, database.SNAPSHOTS, database.BLOCK = 8, 4, 4
    database._compute_full, database._compute_block = _full, _block
    database.get_context = lambda _: get_context("fork")
    database.build.__defaults__ = (2, 0, database.FULL, FAR_RED)
    Reduction.learn = _learn  # type: ignore[method-assign]
    build.FitSettings = partial(FitSettings, components=6, width=8, blocks=0, epochs=2)  # type: ignore[assignment,misc]


def _full(folder: Path, index: int, seed: int, _: Window) -> None:
    table = database.draw(index, seed).table()
    spectra = fake_products(table)
    arrays = {"products": spectra, "state": table}
    if index < database.SNAPSHOTS:
        arrays["snapshot"] = spectra[..., NODES]
    database._save(folder / database._name("full", index), arrays, seed)


def _block(folder: Path, block: int, seed: int, _: Window) -> None:
    first = database.FULL + block * database.BLOCK
    table = np.concatenate([database.draw(first + i, seed).table() for i in range(database.BLOCK)])
    nodes = fake_products(table)[..., NODES]
    nodes[:, :3] /= np.cos(np.radians(table[:, database.STATE.index("solar_zenith_angle")]))[
        :, None, None
    ]
    database._save(
        folder / database._name("reduced", block), {"nodes": nodes, "state": table}, seed
    )


def _learn(*_: object) -> Reduction:
    at = np.arange(database.GRID.size)
    nodes = at[NODES]
    straight = np.array([np.interp(at, nodes, row) for row in np.eye(nodes.size)])
    return Reduction(database.GRID[nodes], straight, straight)
