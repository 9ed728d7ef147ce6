"""FloX CSV pairs and npz with every value known, written as the instrument's software does."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

PLACE = {"latitude": 42.859, "longitude": 11.055}
AIR_WAVELENGTH = np.round(np.arange(745.0, 772.0, 0.5), 3)
TIMES = ("150625_101500", "150625_101530", "150625_101600")


def known_incoming(measurements: int = len(TIMES)) -> NDArray[np.float64]:
    """Irradiance over pi, W m-2 nm-1 sr-1 (measurement, band)."""
    return 0.35 + 0.001 * np.arange(measurements)[:, None] + 1e-4 * np.arange(AIR_WAVELENGTH.size)


def known_reflected(measurements: int = len(TIMES)) -> NDArray[np.float64]:
    """W m-2 nm-1 sr-1 (measurement, band)."""
    return 0.4 * known_incoming(measurements) + 1e-3


def write_table(file: Path, values: NDArray[np.float64], names: tuple[str, ...] = TIMES) -> None:
    """``wl;ddmmyy_HHMMSS;...``, a row a band."""
    rows = [";".join(["wl", *names])]
    for wavelength, row in zip(AIR_WAVELENGTH, values.T, strict=True):
        rows.append(";".join(repr(float(value)) for value in (wavelength, *row)))
    file.write_text("\n".join(rows) + "\n")


def fake_flox(folder: Path, stem: str = "FLUO_101500", names: tuple[str, ...] = TIMES) -> Path:
    """A pair; returns the Incoming file."""
    folder.mkdir(parents=True, exist_ok=True)
    incoming = folder / f"Py_Incoming_radiance_{stem}.csv"
    write_table(incoming, known_incoming(len(names)), names)
    write_table(folder / f"Py_Reflected_radiance_{stem}.csv", known_reflected(len(names)), names)
    return incoming


def fake_flox_npz(folder: Path, name: str = "tower_20250615_flox.npz", **changed: object) -> Path:
    """One npz, local time one hour before UTC + 2; ``changed`` replaces arrays, None drops one."""
    arrays: dict[str, object] = {
        "wl": AIR_WAVELENGTH,
        "E": known_incoming(),
        "E2": known_incoming() * np.array([[1.0], [1.002], [1.03]]),
        "L": known_reflected(),
        "time_hhmmss": np.array(["111500", "111530", "111600"]),
        "units": np.array("W m-2 nm-1 sr-1"),
        **changed,
    }
    folder.mkdir(parents=True, exist_ok=True)
    kept = {key: value for key, value in arrays.items() if value is not None}
    np.savez(folder / name, **kept)  # type: ignore[arg-type]
    return folder / name
