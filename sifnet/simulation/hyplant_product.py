"""HyPlant FLUO products: ENVI with the header keys that the reader knows."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray
from spectral.io import envi as spectral_envi

from sifnet.scenes.hyplant import DN_PER_RADIANCE, SATURATED
from sifnet.scenes.hyplant_metadata import HEADER_KEYS
from sifnet.units import vacuum_to_air


def write_hyplant(
    folder: str | Path,
    name: str,
    radiance: ArrayLike,
    wavelength: ArrayLike,
    fwhm: ArrayLike,
    *,
    acquisition_time: datetime | None = None,
    latitude: float | None = None,
    longitude: float | None = None,
    wavelength_medium: str = "vacuum",
    navigation: ArrayLike | None = None,
    interleave: str = "bil",
    **facts: float | None,
) -> Path:
    """Write radiance in the sensor's own format: uint16, 100 per mW m-2 nm-1 sr-1.

    Args:
        name: file name without ending, in the convention above.
        radiance: (line, sample, band) mW m-2 nm-1 sr-1; NaN is stored as 0.
        wavelength: (band,) nm in vacuum, in the order of the bands. fwhm: (band,) or scalar, nm.
        acquisition_time: UTC. latitude, longitude: degrees, where the line starts.
        wavelength_medium: "vacuum" or "air", in which the wavelengths are stored.
        navigation: (line, 6) latitude, longitude, altitude m, yaw, roll, pitch degrees.
        facts: of ``hyplant_metadata.HEADER_KEYS``: angles in degrees, heights in km.

    Returns:
        The header file.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    stored = np.asarray(wavelength, dtype=float)
    stored = vacuum_to_air(stored) if wavelength_medium == "air" else stored
    widths = np.broadcast_to(np.asarray(fwhm, dtype=float), stored.shape)
    metadata: dict[str, object] = {HEADER_KEYS[fact]: value for fact, value in facts.items()}
    if acquisition_time is not None:
        metadata["acquisition date"] = f"DATE(dd-mm-yyyy): {acquisition_time:%d-%m-%Y}"
        metadata["GPS Start Time"] = f"UTC TIME: {acquisition_time:%H:%M:%S}"
    if latitude is not None and longitude is not None:
        metadata["GPS Starting point"] = f"{latitude:.6f}, {longitude:.6f}"
    metadata |= {
        "wavelength medium": wavelength_medium,
        "wavelength units": "Nanometers",
        "wavelength": [f"{value:.6f}" for value in stored],
        "fwhm": [f"{value:.6f}" for value in widths],
    }
    numbers = np.clip(np.nan_to_num(np.asarray(radiance)) * DN_PER_RADIANCE, 0, SATURATED)
    target = folder / f"{name}.hdr"
    spectral_envi.save_image(
        str(target),
        np.rint(numbers).astype(np.uint16),
        dtype=np.uint16,
        ext=".dat",
        interleave=interleave,
        metadata={key: value for key, value in metadata.items() if value is not None},
        force=True,
    )
    if navigation is not None:
        _write_navigation(folder / f"{name}_syncedNAV.txt", np.asarray(navigation, dtype=float))
    return target


def _write_navigation(file: Path, rows: NDArray[np.float64]) -> None:
    lines = ["Frame\tTime\tLatitude\tLongitude\tAltitude\tYaw\tRoll\tPitch"]
    lines += [
        "\t".join([str(line), f"{line * 0.01:.2f}", *(f"{value:.8f}" for value in row)])
        for line, row in enumerate(rows)
    ]
    file.write_text("\n".join(lines) + "\n")
