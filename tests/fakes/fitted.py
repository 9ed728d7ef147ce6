"""A model fitted for a moment only: everything that follows a fit, without the wait."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cache
from pathlib import Path

import numpy as np

from fakes.emulator import fake_emulator
from fakes.scenes import KnownScene, known_scene
from sifnet.retrieval.model import Retrieval
from sifnet.simulation.hyplant_product import write_hyplant
from sifnet.training.fit import Training, fit

QUICK = Training(
    epochs=1, steps_per_epoch=2, batch=2, lines_per_step=4, pretrain_steps=5, patch=(12, 8)
)


@cache
def quick_fit() -> tuple[KnownScene, Retrieval]:
    """A scene of 24 x 16 pixels and a model of it that has learned next to nothing."""
    known = known_scene(fake_emulator())
    return known, fit(known.scene, config=QUICK, emulator=fake_emulator())


def write_known(folder: Path, known: KnownScene, name: str = "line_FLUO_radiance") -> Path:
    """The scene as a HyPlant product with ``truth.nc``; the header file."""
    scene = known.scene
    radiance = np.asarray(scene.radiance)
    header = write_hyplant(
        folder,
        name,
        radiance,
        scene.wavelength,
        scene.fwhm,
        acquisition_time=datetime(2020, 6, 25, 9, 32, tzinfo=UTC),
        latitude=50.87,
        longitude=6.45,
        ground_elevation=0.0,
        sensor_height=1.0,
        solar_zenith_angle=40.0,
        relative_azimuth_angle=90.0,
    )
    known.truth.to_netcdf(folder / "truth.nc", engine="h5netcdf")
    return header


def write_named(folder: Path, name: str = "a") -> Path:
    """The scene of ``quick_fit`` as a product of that name."""
    return write_known(folder, quick_fit()[0], name=f"{name}_FLUO_radiance")
