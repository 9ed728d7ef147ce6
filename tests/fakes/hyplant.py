"""HyPlant FLUO products written byte by byte, independently of the package: every pixel known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

NAME = "20200625-OEN-1132-0600-L1-S-FLUO_radiance"
PLACE = (50.87, 6.45)
LINES, SAMPLES = 6, 5
WAVELENGTH = np.round(np.arange(745.0, 772.0, 0.5), 3)
_AXES = {"bil": (0, 2, 1), "bsq": (2, 0, 1), "bip": (0, 1, 2)}


def known_radiance(
    lines: int = LINES, samples: int = SAMPLES, bands: int = WAVELENGTH.size
) -> NDArray[np.float64]:
    """80 + line + sample/10 + band/100: no two neighbours alike, all exact in hundredths."""
    line, sample, band = np.ogrid[:lines, :samples, :bands]
    return 80.0 + line + sample / 10 + band / 100


def fake_hyplant(
    folder: Path,
    *,
    name: str = NAME,
    interleave: str = "bil",
    byte_order: int = 0,
    dtype: str = "u2",
    radiance: NDArray[np.float64] | None = None,
    scale: float = 100.0,
    wavelength: Any = WAVELENGTH,
    header: dict[str, Any] | None = None,
    navigation: NDArray[np.float64] | None = None,
    ending: str = ".dat",
) -> Path:
    """Write a product and return its header; ``header`` replaces keys, None removes one."""
    values = known_radiance() if radiance is None else radiance
    numbers = np.rint(values * scale) if dtype == "u2" else values
    order = ">" if byte_order else "<"
    stored = np.ascontiguousarray(numbers.transpose(_AXES[interleave.lower()]))
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}{ending}").write_bytes(stored.astype(order + dtype).tobytes())
    keys: dict[str, Any] = {
        "description": "{fake}",
        "samples": values.shape[1],
        "lines": values.shape[0],
        "bands": values.shape[2],
        "header offset": 0,
        "data type": {"u2": 12, "f4": 4}[dtype],
        "interleave": interleave,
        "byte order": byte_order,
        "acquisition date": "DATE(dd-mm-yyyy): 25-06-2020",
        "GPS Start Time": "UTC TIME: 09:32:10",
        "GPS Starting point": f"{PLACE[0]}, {PLACE[1]}",
        "wavelength units": "Nanometers",
        "wavelength": listed(wavelength),
        "fwhm": listed(np.full(len(wavelength), 0.26)),
    }
    keys.update(header or {})
    text = "\n".join(f"{key} = {value}" for key, value in keys.items() if value is not None)
    (folder / f"{name}.hdr").write_text(f"ENVI\n{text}\n")
    if navigation is not None:
        write_navigation(folder / f"{name.split('-FLUO')[0]}-FLUO_syncedNav.txt", navigation)
    return folder / f"{name}.hdr"


def listed(values: Any) -> str:
    """Values as an ENVI list, broken over lines as real headers are."""
    return "{\n " + ",\n ".join(f"{value:.6f}" for value in values) + "}"


def southward(lines: int = LINES, roll: float = 0.0, pitch: float = 0.0) -> NDArray[np.float64]:
    """Rows latitude, longitude, altitude m, yaw, roll, pitch of a straight flight to the south."""
    latitude = PLACE[0] - 1e-4 * np.arange(lines)
    columns = (latitude, PLACE[1], 700.0 + np.arange(lines), 180.0, roll, pitch)
    return np.stack(np.broadcast_arrays(*columns), axis=1)


def write_navigation(file: Path, rows: NDArray[np.float64]) -> None:
    """Header row, then frame, time and the six columns, tab-separated."""
    text = ["Frame\tUTC\tLat\tLon\tAlt\tYaw\tRoll\tPitch"]
    text += ["\t".join([str(i), "34330.5", *map(repr, map(float, r))]) for i, r in enumerate(rows)]
    file.write_text("\n".join(text) + "\n")
