"""Light of the surroundings: mixed in by us, or by another code, found and taken out."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from fakes.worlds import world
from sifnet.scenes import adjacency
from sifnet.scenes.adjacency import find_adjacency, surroundings, without_adjacency
from sifnet.scenes.registration import registered
from sifnet.scenes.scene import Scene

WAVELENGTH = np.arange(660.0, 780.0, 1.0)
FIELD, SHAPE = 12, (84, 60)
SHARE, REACH = 0.2, 7.0


def fields(weeds: float = 0.0, seed: int = 3) -> NDArray[np.float64]:
    """Light of square fields: soils of many colours, and vegetation of many densities.

    Args:
        weeds: cover of a third of the soils.
    """
    rng = np.random.default_rng(seed)
    x = (WAVELENGTH - 715.0) / 60.0
    leaf = 0.03 + 0.42 / (1 + np.exp(-(WAVELENGTH - 717.0) / 8.0))
    rows, columns = (n // FIELD for n in SHAPE)
    ground = np.empty((rows, columns, len(WAVELENGTH)))
    for row in range(rows):
        for column in range(columns):
            level, slope, bend = rng.uniform((0.1, 0.0, -0.03), (0.25, 0.15, 0.03))
            soil = level * (1 + slope * x + bend * x**2)
            covered = rng.uniform(0.6, 1.0) if rng.random() < 0.55 else weeds * (rng.random() < 0.3)
            ground[row, column] = (1 - covered) * soil + covered * leaf
    sun = 300.0 * (1 - 0.12 * x)
    return sun * ground.repeat(FIELD, 0).repeat(FIELD, 1)


def mixed(light: NDArray[np.float64], share: float = SHARE) -> Scene:
    """What is seen of it, noise included."""
    around = surroundings(light, 0.0, REACH)
    seen = (1 - share) * light + share * around
    seen = seen + 0.07 * np.sqrt(seen) * np.random.default_rng(4).standard_normal(seen.shape)
    geometry = {"solar_zenith_angle": 35.0, "view_zenith_angle": 5.0, "sensor_height": 1.0,
                "relative_azimuth_angle": 90.0, "sun_earth_distance": 1.0,
                "ground_elevation": 0.1}  # fmt: skip
    return Scene.from_arrays(
        seen.astype(np.float32), WAVELENGTH, 1.0, geometry=geometry, sensor="hyplant",
        acquisition_time="2020-06-25T09:32:00",
    )  # fmt: skip


@pytest.mark.parametrize("share", [0.1, 0.3])
def test_the_share_is_found_as_surely_as_it_says(share: float) -> None:
    found = find_adjacency(mixed(fields(), share))
    assert found is not None
    assert abs(found.share - share) < 2 * found.sd < 0.15
    assert REACH / 1.5 < found.reach < REACH * 1.5


def test_own_light_is_given_back() -> None:
    light = fields()
    scene = mixed(light)
    own = without_adjacency(scene)
    left, before = (s.radiance.values - light for s in (own, scene))
    bands = (WAVELENGTH > 750) & (WAVELENGTH < 770)
    error = [np.sqrt((e[..., bands].mean(-1) ** 2).mean()) for e in (left, before)]
    assert error[0] < 0.25 * error[1]
    np.testing.assert_allclose(own.shot_noise, scene.shot_noise / (1 - SHARE), rtol=0.06)
    assert "of its surroundings" in own.dataset.attrs["notes"][-1]
    assert without_adjacency(own) is own


def test_any_part_is_read_as_the_whole() -> None:
    own = without_adjacency(mixed(fields())).radiance
    whole = own.values
    for part in (np.s_[3:40, 5:9, 7], np.s_[11, :, 4:90:3], np.s_[::7, 2, 60:], np.s_[80:, 3, 5]):
        np.testing.assert_allclose(own[part].values, whole[part], rtol=1e-5)
    some = [2, 5, 80]
    np.testing.assert_allclose(own.isel(band=some).values, whole[..., some], rtol=1e-5)


@pytest.mark.parametrize("weeds", [0.0, 0.08])
def test_ground_with_some_vegetation_is_none(weeds: float) -> None:
    scene = mixed(fields(weeds), 0.0)
    assert without_adjacency(scene) is scene


def test_nothing_is_said_where_there_is_too_little() -> None:
    scene = mixed(fields())
    forest = mixed(np.broadcast_to(fields().max((0, 1)), (*SHAPE, len(WAVELENGTH))))
    narrow = Scene(scene.dataset.isel(band=WAVELENGTH > 740))
    assert find_adjacency(forest) is find_adjacency(narrow) is None
    lit = scene.radiance.copy(data=np.full(scene.shape, 900.0, np.float32))
    measured = Scene(scene.dataset.assign(irradiance=lit))
    assert without_adjacency(measured) is measured


def test_dead_pixels_do_not_spread() -> None:
    scene = mixed(fields())
    light = scene.radiance.values.copy()
    light[30:32, 20] = np.nan
    own = without_adjacency(Scene(scene.dataset.assign(radiance=(scene.radiance.dims, light))))
    assert np.isnan(own.radiance.values).any(-1).sum() == 2


def test_cells_of_a_large_scene_are_few(monkeypatch: pytest.MonkeyPatch) -> None:
    scene = mixed(fields())
    fine = without_adjacency(scene).radiance.values
    monkeypatch.setattr(adjacency, "CELLS", 150)
    coarse = without_adjacency(scene).radiance.values
    assert np.abs(coarse / fine - 1).mean() < 0.01


@pytest.mark.parametrize(("name", "share"), [("adjacency", 0.2), ("smoke", 0.0), ("desis", 0.0)])
def test_light_of_another_code(name: str, share: float, shared_data: Path, tmp_path: Path) -> None:
    scene, _ = world(name, shared_data, tmp_path)
    found = find_adjacency(registered(scene))
    if share == 0.0:
        assert found is None
    else:
        assert found is not None
        assert abs(found.share - share) < 2 * found.sd < 0.15
