"""The loop closes: a forecast of the core is the air that sifnet retrieves fluorescence with."""

from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from numpy.typing import NDArray

import sifnet
from atmorep_bridge.air.state import atmosphere_at, write
from atmorep_bridge.core.specs import FieldSpec, Setup, Size
from atmorep_bridge.core.tasks import nowcast
from atmorep_bridge.core.times import HOUR
from atmorep_bridge.core.training import Training, train
from atmorep_bridge.core.windows import open_region
from fakes.emulator import fake_emulator
from fakes.fitted import quick_fit
from fakes.scenes import known_scene
from sifnet.evaluation.methods.optimal_estimation import optimal_estimation_scene
from sifnet.scenes.scene import Scene

LAST = np.datetime64("2020-06-23T12", "ns")
PLACE = 51.5, 1.5  # degrees north and east


def test_a_forecast_feeds_a_retrieval(waves: Path, tmp_path: Path) -> None:
    """Trained, forecast, written and retrieved with; true pressure is 14 hPa off the standard."""
    specs = (FieldSpec("surface_pressure", patch=(2, 4, 4), normaliser="mean"),)
    region = open_region([waves], specs)
    known = region.between(region.times[0], LAST)
    setup = Setup(specs, (8, 8, 8), size=Size(16, 2, 1, 1, 3))
    config = Training(steps=20, steps_per_epoch=10, batch=4)
    core = train(known, setup, tmp_path / "model.ckpt", config=config)
    ahead = LAST + 4 * HOUR
    air = atmosphere_at(nowcast(core, known, LAST, 4), *PLACE, ahead)
    path = write(air, tmp_path / "atmosphere.nc")
    true = float(region.data["surface_pressure"].interp(
        latitude=PLACE[0], longitude=PLACE[1]).sel(time=ahead))  # fmt: skip

    made = known_scene(fake_emulator(), lines=16, pressure_offset=true - 1013.25)
    scene = Scene(made.scene.dataset.assign_attrs(acquisition_time=str(ahead)[:19]))
    with xr.open_dataset(path) as told:
        told = told.load()
    error = abs(float(told["surface_pressure"]) - true)
    assert error < 3 * float(told["surface_pressure_uncertainty"])
    assert error < abs(true - 1013.25) / 4

    def alone(given: xr.Dataset | None) -> NDArray[np.float64]:
        found = optimal_estimation_scene(scene, shared=False, emulator=fake_emulator(),
                                         atmosphere=given)  # fmt: skip
        return np.asarray(found["sif_760"] - made.truth["sif_760"])

    with_it, without = (np.sqrt(np.nanmean(alone(given) ** 2)) for given in (told, None))
    assert with_it < 0.9 * without

    product = sifnet.retrieve(scene, quick_fit()[1], atmosphere=told)
    assert np.isfinite(product["sif_760"]).all()
    pressure = float(told["surface_pressure"])
    assert product.attrs["atmosphere_prior"].startswith("AtmoRep-style masked-token model")
    assert f"surface_pressure {pressure:.4g} ±" in product.attrs["atmosphere_prior"]
    with pytest.raises(sifnet.SifnetError, match="of another time"):
        sifnet.retrieve(made.scene, quick_fit()[1], atmosphere=told)
