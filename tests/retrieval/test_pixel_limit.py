"""What a refusal says of a pixel: the Cramer-Rao bound, by finite differences and by hand."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from fakes.emit import fake_emit
from fakes.prisma import fake_prisma
from sifnet.cli import app
from sifnet.errors import SifnetError
from sifnet.physics.emulator import Emulator
from sifnet.physics.forward import Simulator
from sifnet.physics.state import Atmosphere
from sifnet.physics.surface import Surface
from sifnet.retrieval import pixel_limit as limit
from sifnet.retrieval.prior import USUAL
from sifnet.scenes import open_scene
from sifnet.scenes.scene import Scene


@pytest.fixture(scope="module")
def emulator() -> Emulator:
    return Emulator.load(space=True).double()


def wide(width: float, noise: float = 1.0) -> Scene:
    """Bands as wide as they are apart."""
    wavelength = np.arange(760.6 - 3 * width, 760.6 + 3.1 * width, width)
    geometry = {
        "solar_zenith_angle": 40.0, "view_zenith_angle": 3.0, "relative_azimuth_angle": 100.0,
        "sensor_height": np.inf, "ground_elevation": 0.2, "sun_earth_distance": 1.0,
    }  # fmt: skip
    return Scene.from_arrays(
        np.full((2, 2, wavelength.size), 100.0, np.float32), wavelength, width,
        geometry=geometry, sensor="emit", name="wide", acquisition_time="2024-06-20T10:00",
        extra={"shot_noise": ("band", np.full(wavelength.size, 0.02 * noise))},
    )  # fmt: skip


def by_differences(scene: Scene, emulator: Emulator, shape_sd: float | None) -> float:
    """The same bound from a numerical Jacobian and an inverse of numpy alone."""
    bands = limit.simulated_bands(scene, emulator)
    simulator = Simulator(emulator, limit._instrument(scene, bands, emulator))
    state, geometry = limit._green(scene, emulator.basis)
    names = [*Atmosphere.names(), "wavelength_shift", "fwhm_shift", *Surface.names()]
    start = np.array([*state.atmosphere.stack()[0], *state.sensor.stack()[0],
                      *state.surface.stack()[0]], float)  # fmt: skip
    sd = [USUAL[n][1] for n in Atmosphere.names()] + [0.2 / 12**0.5] * 2
    for name, entry in Surface.parameters().items():
        flat = (entry.range[1] - entry.range[0]) / 12**0.5
        bent = name in ("reflectance_linear", "reflectance_quadratic")
        sd.append(shape_sd if bent and shape_sd is not None else flat)

    def light(values: np.ndarray) -> np.ndarray:
        every = torch.as_tensor(values)[None]
        moved = type(state)(
            Atmosphere.unstack(every[:, :6]), Surface.unstack(every[:, 8:]),
            type(state.sensor).unstack(every[:, 6:8]),
        )  # fmt: skip
        with torch.no_grad():
            return simulator.radiance(moved, geometry)[0].numpy()

    step = 1e-4 * np.array(sd)
    moves = np.diag(step)
    jacobian = np.stack([(light(start + m) - light(start - m)) / (2 * m.sum()) for m in moves], 1)
    seen = light(start)
    weighted = jacobian / (scene.shot_noise[bands] * np.sqrt(seen))[:, None]
    prior = np.diag([0.0 if n == "sif_760" else s**-2 for n, s in zip(names, sd, strict=True)])
    return float(np.sqrt(np.linalg.inv(weighted.T @ weighted + prior)[-1, -1]))


@pytest.mark.parametrize("shape_known", [False, True])
def test_the_limit_is_that_of_a_numerical_jacobian(emulator: Emulator, shape_known: bool) -> None:
    scene = wide(6.5)
    found = limit.pixel_limit(scene, emulator, shape_known=shape_known)
    sd = limit.SHAPE_KNOWN * limit.GREEN[0] if shape_known else None
    assert found == pytest.approx(by_differences(scene, emulator, sd), rel=0.03)


def test_wider_and_noisier_bands_tell_less(emulator: Emulator) -> None:
    limits = [limit.pixel_limit(scene, emulator) for scene in (wide(5), wide(8), wide(8, 3.0))]
    assert limits[0] < limits[1] < limits[2]
    assert limits[0] > 1.0
    nothing = wide(8).dataset.isel(band=[0])
    assert np.isnan(limit.pixel_limit(_only(nothing), emulator))


def _only(dataset: object) -> Scene:
    scene = object.__new__(Scene)
    object.__setattr__(scene, "dataset", dataset)
    return scene


@pytest.mark.parametrize("make", [fake_emit, fake_prisma])
def test_a_command_says_how_large_the_limit_is(
    tmp_path: Path, make: Callable[[Path], Path]
) -> None:
    path = make(tmp_path / "in")
    with pytest.raises(SifnetError, match=r"no method can err by less than \d+ mW m-2 nm-1 sr-1"):
        raise limit.refused(open_scene(path), Emulator.load(space=True))
    shown = CliRunner().invoke(app, ["inspect", str(path)])
    assert shown.exit_code == 0, shown.output
    assert path.stem[:20] in shown.output
    run = CliRunner().invoke(app, ["retrieve", str(tmp_path / "in"), "-o", str(tmp_path / "out")])
    assert run.exit_code == 2
    assert "can be inspected only" in " ".join(run.output.split())
    assert not list((tmp_path / "out").glob("*.nc"))
