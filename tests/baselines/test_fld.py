from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from sifnet.baselines.fld import ThreeBands, three_fld
from sifnet.errors import SifnetError
from sifnet.units import air_to_vacuum

WAVELENGTH = np.arange(750.0, 775.0, 0.15)


def _light() -> np.ndarray:
    """Irradiance with a band at 760.5 nm and a sloping continuum."""
    depth = 0.85 * np.exp(-0.5 * ((WAVELENGTH - 760.5) / 1.0) ** 2)
    return (1200 + 2 * (WAVELENGTH - 760)) * (1 - depth)


def _read_flox(folder: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Radiance, irradiance (115, 1024) and wavelength, without the package's own reader."""
    parts: dict[str, list[np.ndarray]] = {"Incoming": [], "Reflected": []}
    for time in ("095934", "143439"):
        for kind, found in parts.items():
            table = pd.read_csv(folder / f"Py_{kind}_radiance_FLUO_{time}.csv", sep=";")
            found.append(table.iloc[:, 1:].to_numpy().T * 1e3)
    wavelength = air_to_vacuum(table["wl"].to_numpy())
    return np.vstack(parts["Reflected"]), np.vstack(parts["Incoming"]) * np.pi, wavelength


def test_flat_reflectance_and_fluorescence_are_found_exactly() -> None:
    sif = np.array([0.0, 0.7, 2.5])[:, None]
    radiance = 0.4 * _light() / np.pi + sif
    assert three_fld(radiance, _light(), WAVELENGTH) == pytest.approx(sif[:, 0], abs=1e-9)


def test_a_slope_of_reflectance_changes_little_between_two_shoulders() -> None:
    """One shoulder alone (FLD) would be off by more than 0.3 here."""
    reflectance = 0.4 + 0.003 * (WAVELENGTH - 760.5)
    radiance = reflectance * _light() / np.pi + 1.0
    assert three_fld(radiance, _light(), WAVELENGTH) == pytest.approx(1.0, abs=0.05)


def test_a_sensor_without_shoulders_is_refused() -> None:
    narrow = WAVELENGTH < 765
    with pytest.raises(SifnetError, match="a band inside O2-A and one on each side"):
        ThreeBands.choose(WAVELENGTH[narrow], _light()[narrow])


def test_real_spectra_give_what_established_algorithms_give(shared_data: Path) -> None:
    """115 measurements of 2025-06-15 beside SPECFIT and SFM of another group."""
    radiance, irradiance, wavelength = _read_flox(shared_data / "flox")
    reference = pd.read_csv(shared_data / "flox" / "reference_sif.csv")
    sif = three_fld(radiance, irradiance, wavelength)
    for name, correlation in (("specfit", 0.985), ("sfm", 0.98)):
        other = reference[f"sif_o2a_{name}_mw"].to_numpy()
        assert np.corrcoef(sif, other)[0, 1] > correlation
        assert abs(np.mean(sif - other)) < 0.1
