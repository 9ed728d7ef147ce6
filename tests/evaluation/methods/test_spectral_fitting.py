from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr

from fakes.emulator import fake_emulator
from fakes.scenes import known_scene
from sifnet.evaluation.methods.spectral_fitting import (
    UNITS,
    ShiftedLight,
    _Misfit,
    _shifted,
    spectral_fitting,
    spectral_fitting_scene,
)
from sifnet.physics.forward import Simulator
from sifnet.physics.instrument import Instrument
from sifnet.physics.state import Atmosphere, Geometry, SensorState, State
from sifnet.physics.surface import Surface, sif_shape
from sifnet.retrieval.pixels import read
from sifnet.scenes import open_scene
from sifnet.scenes.scene import Flag, Scene

LINES, SAMPLES = 20, 6
BANDS = np.arange(750.0, 770.0, 0.2)
GEOMETRY = {
    "solar_zenith_angle": 40.0,
    "view_zenith_angle": (("sample",), np.linspace(0.0, 10.0, SAMPLES)),
    "relative_azimuth_angle": 90.0,
    "sensor_height": 1.0,
    "ground_elevation": 0.0,
    "sun_earth_distance": 1.0,
}
AIR = {
    "surface_pressure": 1001.0,
    "temperature_offset": 3.0,
    "aot_550": 0.25,
    "aerosol_height": 1.2,
    "aerosol_type": 0.6,
    "o2_scale": 1.01,
}


def _scene(radiance: np.ndarray, **extra: object) -> Scene:
    return Scene.from_arrays(
        radiance.astype(np.float32),
        BANDS,
        0.26,
        geometry=GEOMETRY,
        sensor="hyplant",
        name="fake",
        acquisition_time="2020-06-25T11:00:00",
        extra=extra,
    )


def _known() -> tuple[Scene, State, Simulator]:
    """A scene without noise over the atmosphere of AIR, each column with a shift of its own."""
    rng = torch.Generator().manual_seed(5)
    uniform = lambda: torch.rand(LINES, SAMPLES, generator=rng)  # noqa: E731
    shift = torch.linspace(-0.06, 0.08, SAMPLES)[None]
    state = State(
        Atmosphere(**{name: torch.tensor([value]) for name, value in AIR.items()}),
        Surface.sloped(
            reflectance_740=0.1 + 0.4 * uniform(),
            slope=0.001 + 0.005 * uniform(),
            ratio=uniform(),
            sif_760=0.3 + 3.0 * uniform(),
        ),
        SensorState(shift, torch.zeros_like(shift)),
    )
    full = xr.Dataset({name: GEOMETRY[name] for name in Geometry.__dataclass_fields__})
    seen = Geometry(**{n: torch.as_tensor(v.values).float().expand(SAMPLES)[None]
                       for n, v in full.data_vars.items()})  # fmt: skip
    emulator = fake_emulator()
    simulator = Simulator(emulator, Instrument(BANDS, np.full(BANDS.size, 0.26), emulator))
    with torch.no_grad():
        radiance = simulator.radiance(state, seen).numpy()
    return _scene(radiance), state, simulator


def _light(scene: Scene, simulator: Simulator, sample: int) -> ShiftedLight:
    pixels = read(scene, slice(0, LINES), (LINES, SAMPLES), atmosphere=xr.Dataset(AIR))
    around = [sif_shape(torch.as_tensor(BANDS + d)).numpy() for d in (-0.5, 0.0, 0.5)]
    table = _shifted(pixels, simulator)[0, sample]
    return ShiftedLight(BANDS, around[1], around[2] - around[0], table, 0.0, 0.12)


def test_a_spectrum_gives_back_its_state() -> None:
    scene, state, simulator = _known()
    light = _light(scene, simulator, sample=5)
    radiance = scene.radiance.values[3, 5].astype(float)
    found = spectral_fitting(radiance, 0.07 * np.sqrt(radiance), light)
    c0, c1, c2, sif = state.surface.stack()[3, 5].tolist()
    assert found[0] == pytest.approx(c0, rel=0.01)
    assert found[1:3] == pytest.approx([c1, c2], abs=2e-4)
    assert found[3] == pytest.approx(sif, rel=0.01)
    assert found[4] == pytest.approx(0.08, abs=5e-4)


def test_the_jacobian_is_that_of_the_misfit() -> None:
    scene, _, simulator = _known()
    light = _light(scene, simulator, sample=0)
    radiance = scene.radiance.values[0, 0].astype(float)
    misfit = _Misfit(radiance, np.ones_like(radiance), light)
    at = np.array([0.3, 0.02, -0.01, 1.0, 0.04]) / UNITS
    jacobian = misfit.jacobian(at)
    for i, step in enumerate(1e-4 * np.eye(5)):
        difference = (misfit(at + step) - misfit(at - step)) / 2e-4
        assert jacobian[:, i] == pytest.approx(difference, abs=2e-4 * abs(difference).max())


def test_a_scene_gives_back_its_fluorescence_and_nothing_where_blind() -> None:
    scene, state, _ = _known()
    flags = np.zeros((LINES, SAMPLES), np.uint16)
    flags[2, 1] = Flag.SATURATED
    radiance = scene.radiance.values.copy()
    radiance[17, 4] = np.nan
    blind = _scene(radiance, reader_flags=(("line", "sample"), flags))
    found = spectral_fitting_scene(blind, emulator=fake_emulator(), atmosphere=xr.Dataset(AIR))
    assert np.argwhere(np.isnan(found)).tolist() == [[2, 1], [17, 4]]
    seen = np.isfinite(found)
    assert found[seen] == pytest.approx(state.surface.sif_760.numpy()[seen], rel=0.01)


def test_only_the_pixels_asked_for_are_fitted() -> None:
    scene, state, _ = _known()
    at = np.zeros((LINES, SAMPLES), bool)
    at[4, 0] = at[18, 3] = True
    found = spectral_fitting_scene(
        scene, emulator=fake_emulator(), atmosphere=xr.Dataset(AIR), at=at
    )
    assert np.array_equal(np.isfinite(found), at)
    assert found[at] == pytest.approx(state.surface.sif_760.numpy()[at], rel=0.01)
    nothing = spectral_fitting_scene(scene, emulator=fake_emulator(), at=np.zeros_like(at))
    assert np.isnan(nothing).all()


def test_a_spectrum_that_cannot_be_explained_is_nan() -> None:
    scene, _, simulator = _known()
    light = _light(scene, simulator, sample=0)
    broken = np.full(BANDS.size, np.nan)
    assert np.isnan(spectral_fitting(broken, np.ones(BANDS.size), light)).all()
    elsewhere = np.roll(scene.radiance.values[0, 0].astype(float), 3)  # 0.6 nm off
    assert np.isnan(spectral_fitting(elsewhere, 0.07 * np.sqrt(elsewhere), light)).all()


def test_a_wrong_pressure_is_paid_for() -> None:
    """The atmosphere is taken as known: where it is not, fluorescence is off."""
    scene, state, _ = _known()
    wrong = xr.Dataset(AIR | {"surface_pressure": AIR["surface_pressure"] + 20.0})
    found = spectral_fitting_scene(scene, emulator=fake_emulator(), atmosphere=wrong)
    assert np.nanmean(found - state.surface.sif_760.numpy()) > 0.3


def test_measured_irradiance_needs_no_prior_atmosphere() -> None:
    known = known_scene(fake_emulator(), measured_irradiance=True)
    found = spectral_fitting_scene(known.scene, emulator=fake_emulator())
    error = found - known.truth["sif_760"].values
    assert np.isfinite(found).mean() > 0.98
    assert abs(np.nanmean(error)) < 0.1
    assert np.nanstd(error) < 0.5


def test_real_spectra_give_what_established_algorithms_give(shared_data: Path) -> None:
    """115 measurements of 2025-06-15 beside SPECFIT and SFM of another group, 0.1 apart."""
    scene = open_scene(shared_data / "flox", sensor="flox", latitude=42.859, longitude=11.055)
    found = spectral_fitting_scene(scene)[:, 0]
    reference = pd.read_csv(shared_data / "flox" / "reference_sif.csv")
    for name in ("specfit", "sfm"):
        theirs = reference[f"sif_o2a_{name}_mw"].to_numpy()
        assert np.corrcoef(found, theirs)[0, 1] > 0.99
        assert abs(np.mean(found - theirs)) < 0.15
