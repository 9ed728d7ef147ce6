"""Tasks of one model on waves whose truth is known."""

from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr

from atmorep_bridge.core import tasks
from atmorep_bridge.core.masks import Kind, everything, from_time
from atmorep_bridge.core.predict import base, predict
from atmorep_bridge.core.samples import info
from atmorep_bridge.core.specs import FieldSpec, Setup, Size
from atmorep_bridge.core.statistics import fit
from atmorep_bridge.core.tokens import from_tokens
from atmorep_bridge.core.training import Core
from atmorep_bridge.core.windows import Region, open_region
from sifnet.errors import SifnetError

T2M = (FieldSpec("temperature_2m", patch=(2, 4, 4)),)
LAST = np.datetime64("2020-06-23T12", "ns")
HOUR = np.timedelta64(1, "h")


def truth(region: Region, forecast: xr.Dataset) -> xr.DataArray:
    return region.data["temperature_2m"].sel(time=forecast["time"].values).load()


def test_nowcast_is_an_ensemble_in_our_names(core: Core, region: Region) -> None:
    found = tasks.nowcast(core, region, LAST, 3)
    values = found["temperature_2m"]
    assert values.dims == ("member", "time", "latitude", "longitude")
    assert dict(values.sizes) == {"member": 3, "time": 3, "latitude": 12, "longitude": 16}
    assert (found["time"].values == LAST + np.arange(1, 4) * HOUR).all()
    assert values.attrs["units"] == "K"
    assert np.isfinite(values).all()
    error = values.mean("member") - truth(region, found)
    assert float(np.sqrt((error**2).mean())) < 1.5  # waves have a standard deviation of 1.6
    assert float(values.std("member").mean()) > 0


def test_forecasts_do_not_see_the_future(core: Core, region: Region) -> None:
    other = region.data.copy(deep=True).load()
    other["temperature_2m"].loc[{"time": slice(LAST + HOUR, None)}] += 30
    changed = replace(region, data=other)
    xr.testing.assert_equal(*(tasks.nowcast(core, r, LAST, 9) for r in (region, changed)))


def test_rollout_goes_on_member_by_member(core: Core, region: Region) -> None:
    """The longest lead is 4 h: 9 h take three turns; the first turn is the forecast of 4 h."""
    assert core.setup.lead == 4
    short, far = (tasks.nowcast(core, region, LAST, hours) for hours in (4, 9))
    assert far.sizes["time"] == 9
    np.testing.assert_array_equal(far["temperature_2m"][:, :4], short["temperature_2m"])
    again = tasks.nowcast(core, region, LAST, 8)
    np.testing.assert_array_equal(far["temperature_2m"][:, :8], again["temperature_2m"])
    assert np.isfinite(far["temperature_2m"]).all()


def test_interpolation_fills_what_is_missing(core: Core, region: Region) -> None:
    gone = region.data.copy(deep=True).load()
    gone["temperature_2m"].loc[{"time": slice(LAST, LAST + HOUR)}] = np.nan
    found = tasks.interpolate(core, replace(region, data=gone), LAST, LAST + HOUR)
    error = found["temperature_2m"].mean("member") - truth(region, found)
    assert found.sizes["time"] == 2
    assert float(np.sqrt((error**2).mean())) < 0.5
    with pytest.raises(SifnetError, match="gap is too long"):
        tasks.interpolate(core, region, LAST, LAST + 7 * HOUR)


def test_downscaling_brings_back_the_fine_grid(core: Core, region: Region) -> None:
    coarse = region.data.coarsen(latitude=4, longitude=4).mean()
    found = tasks.downscale(core, replace(region, data=coarse), LAST)
    assert found.sizes["latitude"] == 12
    np.testing.assert_allclose(found["latitude"], region.latitude)
    np.testing.assert_allclose(found["longitude"], region.longitude)
    fine = truth(region, found)
    error = found["temperature_2m"].mean("member") - fine
    plain = coarse["temperature_2m"].interp(
        latitude=fine["latitude"], longitude=fine["longitude"],
        kwargs={"fill_value": "extrapolate"}).sel(time=fine["time"])  # fmt: skip
    assert float((error**2).mean()) < 1.6 * float(((plain - fine) ** 2).mean())
    moved = coarse.assign_coords(latitude=coarse["latitude"] + 0.1)
    with pytest.raises(SifnetError, match="does not lie on that of the model"):
        tasks.downscale(core, replace(region, data=moved), LAST)


def test_correction_stays_near_what_is_good(core: Core, region: Region) -> None:
    found = tasks.correct(core, region, LAST)
    error = found["temperature_2m"].mean("member") - truth(region, found)
    assert found.sizes["time"] == 8
    assert float(np.sqrt((error**2).mean())) < 1.0


def test_counterfactual_says_what_a_change_does(core: Core, region: Region) -> None:
    found = tasks.counterfactual(core, region, {"temperature_2m": lambda t: t + 3}, LAST, 2)
    usual = tasks.nowcast(core, region, LAST, 2)
    np.testing.assert_allclose(
        found["temperature_2m_change"], found["temperature_2m"] - usual["temperature_2m"]
    )
    assert 0.5 < float(found["temperature_2m_change"].mean()) < 4  # it stays warmer
    with pytest.raises(SifnetError, match="field to change"):
        tasks.counterfactual(core, region, {"aot_550": lambda t: t}, LAST, 2)


def test_tiles_cover_a_globe_across_its_seam(tmp_path: Path) -> None:
    """Predictions do not depend on where a globe's longitudes begin."""
    hours, columns = 30, 32
    times = LAST + np.arange(hours) * HOUR
    x = 2 * np.pi * np.arange(columns) / columns
    values = 280 + 3 * np.cos(x - 0.2 * np.arange(hours)[:, None, None]) + np.zeros((1, 8, 1))
    data = xr.Dataset({"t2m": (("time", "latitude", "longitude"), values.astype("f4"))})
    data = data.assign_coords(time=times, latitude=np.arange(8) * 11.25 - 40,
                              longitude=np.arange(columns) * 11.25)  # fmt: skip
    data.to_netcdf(tmp_path / "globe.nc", engine="h5netcdf")
    globe = open_region([tmp_path / "globe.nc"], T2M)
    assert globe.wraps
    setup = Setup(T2M, (8, 8, 8), size=Size(16, 2, 1, 1, 3))
    torch.manual_seed(0)
    core = Core(setup, fit(globe, setup)).eval()
    found = tasks.nowcast(core, globe, times[20], 4)["temperature_2m"]
    assert np.isfinite(found).all()
    turned = replace(globe, data=globe.data.roll(longitude=8, roll_coords=True))
    again = tasks.nowcast(core, turned, times[20], 4)["temperature_2m"]
    np.testing.assert_allclose(again.sel(longitude=found["longitude"]), found, atol=2e-3)


def test_what_is_seen_comes_back(core: Core, region: Region) -> None:
    given = {"temperature_2m": torch.randn(2, 1, 8, 12, 16)}
    times = np.stack([region.times[:8], region.times[5:13]])
    found = predict(core, region, given, times, everything(core.setup, Kind.SEEN))
    for member in found["temperature_2m"]:
        assert torch.equal(member, given["temperature_2m"])


def test_of_one_tile_the_answer_is_the_models_own(core: Core, region: Region) -> None:
    """Hidden hours are the ranked members, token by token where it stands; others were given."""
    core = deepcopy(core)
    torch.nn.init.normal_(core.model.part("temperature_2m").tails.bias)  # in no order
    tile = replace(region, data=region.data.isel(latitude=slice(8), longitude=slice(8)))
    place, times = core.statistics.place(tile), tile.times[:8]
    values = {n: v[:, :8] for n, v in tile.everything().items()}
    anomaly = {n: a[None] for n, a in core.statistics.anomalies(values, times, place).items()}
    kinds = from_time(core.setup, 4)
    found = predict(core, tile, anomaly, times[None], kinds)["temperature_2m"]
    flat = {n: torch.from_numpy(k).reshape(1, -1) for n, k in kinds.items()}
    told = {n: info(core.setup, core.statistics, T2M[0], times, place)[None] for n in flat}
    pattern = {n: core.statistics.pattern(n, place)[None] for n in flat}
    with torch.no_grad():
        members = (
            core(*base(core, tile, anomaly, kinds), pattern, flat, told)["temperature_2m"][0]
            .sort(0)
            .values
        )
    tokens = torch.zeros(3, 16, 32)
    tokens[:, 8:] = members  # of 4 times of 2 x 2 tokens the later half
    for member, own in zip(found, tokens, strict=True):
        hidden = from_tokens(own[None], (2, 4, 4), (1, 4, 2, 2))[0, 0, 4:]
        torch.testing.assert_close(member[0, 0, 4:], hidden, atol=1e-5, rtol=1e-5)
        assert torch.equal(member[0, 0, :4], anomaly["temperature_2m"][0, 0, :4])


def test_times_that_are_not_there_are_refused(core: Core, region: Region) -> None:
    with pytest.raises(SifnetError, match="do not hold this time"):
        tasks.nowcast(core, region, np.datetime64("2021-01-01T00", "ns"), 3)
    with pytest.raises(SifnetError, match="too few time steps"):
        tasks.nowcast(core, region, region.times[1], 3)
    short = replace(region, data=region.data.isel(time=slice(0, 5)))
    with pytest.raises(SifnetError, match="too few time steps"):
        tasks.correct(core, short, region.times[0])


def test_checkpoints_of_other_data_are_refused(core: Core, waves: Path, region: Region) -> None:
    pressure = open_region([waves], (FieldSpec("surface_pressure", patch=(2, 4, 4)),))
    with pytest.raises(SifnetError, match="another set of fields"):
        tasks.nowcast(core, pressure, LAST, 3)
    slower = replace(region, data=region.data.isel(time=slice(None, None, 3)), hours=3)
    with pytest.raises(SifnetError, match="not of the kind"):
        tasks.nowcast(core, slower, LAST, 3)
    with pytest.raises(SifnetError, match="smaller than the model's neighbourhood"):
        tasks.nowcast(core, replace(region, data=region.data.isel(latitude=slice(6))), LAST, 3)
