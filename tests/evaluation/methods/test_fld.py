from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr

from fakes.emulator import fake_emulator
from sifnet.errors import SifnetError
from sifnet.evaluation.methods.fld import Method, Shoulders, fld_scene, ifld, three_fld
from sifnet.physics.forward import Simulator
from sifnet.physics.instrument import Instrument
from sifnet.physics.state import Atmosphere, Geometry, SensorState, State
from sifnet.physics.surface import Surface
from sifnet.retrieval.pixels import read
from sifnet.scenes.scene import Flag, Scene
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


def test_curved_reflectance_misleads_3fld_but_not_ifld() -> None:
    x = WAVELENGTH - 760.5
    reflectance = 0.4 + 0.003 * x - 0.0005 * x**2
    radiance = reflectance * _light() / np.pi + 1.0 - 0.02 * x
    error = three_fld(radiance, _light(), WAVELENGTH) - 1.0
    assert abs(error) > 0.3
    assert abs(ifld(radiance, _light(), WAVELENGTH) - 1.0) < 0.02


def test_ifld_is_the_published_formula() -> None:
    """Alonso et al. (2008) with correction factors written out, of one band out and one in."""
    x = WAVELENGTH - 760.5
    light, sif = _light() / np.pi, 1.3
    radiance = (0.35 + 0.004 * x - 0.0002 * x**2) * light + sif
    shoulder = ((WAVELENGTH >= 752) & (WAVELENGTH <= 758.7)) | (
        (WAVELENGTH >= 770.2) & (WAVELENGTH <= 774)
    )
    apparent = np.polynomial.Polynomial.fit(x[shoulder], (radiance / light)[shoulder], 2)(x)
    smooth = 1 / np.polynomial.Polynomial.fit(x[shoulder], 1 / light[shoulder], 2)(x)
    out, at = np.argmin(abs(WAVELENGTH - 758)), np.argmin(light)
    alpha_r = apparent[out] / apparent[at]
    alpha_f = alpha_r * smooth[out] / smooth[at]
    e_out, l_out = smooth[out], apparent[out] * smooth[out]
    expected = (alpha_r * e_out * radiance[at] - light[at] * l_out) / (
        alpha_r * e_out - alpha_f * light[at]
    )
    found = ifld(radiance, light * np.pi, WAVELENGTH)
    assert found == pytest.approx(expected, rel=1e-9)
    assert found == pytest.approx(sif, abs=0.02)


def test_a_sensor_without_shoulders_is_refused() -> None:
    narrow = WAVELENGTH < 765
    with pytest.raises(SifnetError, match="a band inside O2-A and one on each side"):
        Shoulders.choose(WAVELENGTH[narrow], _light()[narrow])


@pytest.mark.parametrize(("method", "allowed"), [(three_fld, 0.1), (ifld, 0.2)])
def test_real_spectra_give_what_established_algorithms_give(
    method: Callable[..., np.ndarray], allowed: float, shared_data: Path
) -> None:
    """115 measurements of 2025-06-15 beside SPECFIT and SFM of another group, 0.1 apart."""
    radiance, irradiance, wavelength = _read_flox(shared_data / "flox")
    reference = pd.read_csv(shared_data / "flox" / "reference_sif.csv")
    sif = method(radiance, irradiance, wavelength)
    for name, correlation in (("specfit", 0.985), ("sfm", 0.98)):
        other = reference[f"sif_o2a_{name}_mw"].to_numpy()
        assert np.corrcoef(sif, other)[0, 1] > correlation
        assert abs(np.mean(sif - other)) < allowed


LINES, SAMPLES = 40, 12
GEOMETRY = {
    "solar_zenith_angle": 40.0,
    "view_zenith_angle": 0.0,
    "relative_azimuth_angle": 90.0,
    "sensor_height": 1.0,
    "ground_elevation": 0.0,
    "sun_earth_distance": 1.0,
}


def _scene(radiance: np.ndarray, bands: np.ndarray, **extra: object) -> Scene:
    return Scene.from_arrays(
        radiance.astype(np.float32),
        bands,
        0.26,
        geometry=GEOMETRY,
        sensor="hyplant",
        name="fake",
        acquisition_time="2020-06-25T11:00:00",
        extra=extra,
    )


def _airborne(pressure_error: float) -> tuple[Scene, np.ndarray, np.ndarray]:
    """Flat reflectance over the prior's atmosphere, or one of more pressure; SIF and soil."""
    bands = np.concatenate([[660.0, 670.0], np.arange(750.0, 776.0, 0.11)])
    nothing = np.full((LINES, SAMPLES, bands.size), 80.0)
    prior = read(_scene(nothing, bands), slice(0, LINES), (LINES, SAMPLES)).prior.mean
    soil = np.broadcast_to((np.arange(LINES) % 3 == 0)[:, None], (LINES, SAMPLES))
    sif = np.where(soil, 0.0, np.linspace(0.3, 2.5, SAMPLES))
    level = torch.as_tensor(np.where(soil, 0.2, 0.4), dtype=torch.float32)
    zero = torch.zeros(1)
    state = State(
        Atmosphere(
            **{
                name: value[0] + pressure_error * (name == "surface_pressure")
                for name, value in prior.items()
            }
        ),
        Surface(level, 0 * level, 0 * level, torch.as_tensor(sif, dtype=torch.float32)),
        SensorState(zero, zero),
    )
    seen = Geometry(**{n: torch.tensor([GEOMETRY[n]]) for n in Geometry.__dataclass_fields__})
    instrument = Instrument(bands[2:], np.full(bands.size - 2, 0.26), fake_emulator())
    with torch.no_grad():
        light = Simulator(fake_emulator(), instrument).radiance(state, seen).numpy()
    red = light[..., :1] * np.where(soil, 0.9, 0.15)[..., None]
    return _scene(np.concatenate([red, red, light], axis=-1), bands), sif, soil


@pytest.mark.parametrize("method", ["3FLD", "iFLD"])
def test_from_the_air_it_is_right_where_the_prior_is_right(method: Method) -> None:
    scene, sif, _ = _airborne(pressure_error=0.0)
    found = fld_scene(scene, method, emulator=fake_emulator())
    assert found == pytest.approx(sif, abs=0.15)


def test_an_atmosphere_from_outside_is_believed() -> None:
    scene, sif, _ = _airborne(pressure_error=-40.0)
    pressure = read(scene, slice(0, 1), (1, SAMPLES)).prior.mean.surface_pressure.mean() - 40.0
    known = xr.Dataset({"surface_pressure": float(pressure), "surface_pressure_uncertainty": 1.0})
    found = fld_scene(scene, emulator=fake_emulator(), atmosphere=known)
    assert found == pytest.approx(sif, abs=0.15)


@pytest.mark.parametrize("method", ["3FLD", "iFLD"])
def test_bare_ground_absorbs_a_wrong_pressure(method: Method) -> None:
    scene, sif, soil = _airborne(pressure_error=-40.0)
    plain = fld_scene(scene, method, emulator=fake_emulator())
    anchored = fld_scene(scene, method, emulator=fake_emulator(), bare_ground=True)
    assert abs(plain[soil].mean()) > 3 * abs(anchored[soil].mean())
    assert abs(anchored[soil].mean()) < 0.05
    assert np.abs(anchored - sif).mean() < 0.5 * np.abs(plain - sif).mean()


def test_without_bare_ground_there_is_no_anchor() -> None:
    scene, *_ = _airborne(pressure_error=0.0)
    green = Scene(scene.dataset.isel(line=[1, 2, 4, 5]))
    with pytest.raises(SifnetError, match="no bare ground to anchor to: found 0 pixels"):
        fld_scene(green, emulator=fake_emulator(), bare_ground=True)


def test_a_scene_with_measured_irradiance_needs_no_simulation() -> None:
    light = np.broadcast_to(_light(), (4, 1, WAVELENGTH.size)).copy()
    flags = np.zeros((4, 1), np.uint16)
    flags[1] = Flag.SATURATED
    scene = _scene(
        0.4 * light / np.pi + 1.0,
        WAVELENGTH,
        irradiance=(("line", "sample", "band"), light),
        reader_flags=(("line", "sample"), flags),
    )
    found = fld_scene(scene)
    assert np.isnan(found[1, 0])
    assert found[[0, 2, 3], 0] == pytest.approx(1.0, abs=1e-3)
