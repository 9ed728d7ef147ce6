"""What is usual is found where it is known, and left out where it is not."""

from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr

from atmorep_bridge.core.specs import FieldSpec, Setup
from atmorep_bridge.core.statistics import Statistics, fit
from atmorep_bridge.core.windows import Region, open_region
from sifnet.errors import SifnetError

T2M = (FieldSpec("temperature_2m", patch=(2, 4, 4)),)
SETUP = Setup(T2M, (8, 8, 8))


def red_noise(folder: Path, days: int = 40, r: float = 0.9) -> Region:
    """A daily cycle of its own at every point, and white noise in space that remembers, sd 2 K."""
    rng, hours = np.random.default_rng(0), 24 * days
    noise = [rng.normal(size=(8, 12))]
    for _ in range(hours - 1):
        noise.append(r * noise[-1] + np.sqrt(1 - r**2) * rng.normal(size=(8, 12)))
    daily = 5 * np.sin(2 * np.pi * np.arange(hours) / 24)[:, None, None] * np.arange(12) / 12
    values = (285 + daily + 2 * np.stack(noise)).astype("f4")
    times = np.datetime64("2020-06-25T00", "ns") + np.arange(hours) * np.timedelta64(1, "h")
    data = xr.Dataset({"t2m": (("time", "latitude", "longitude"), values)})
    data = data.assign_coords(time=times, latitude=np.arange(8) * 0.25, longitude=np.arange(12) / 4)
    data.to_netcdf(folder / "noise.nc", engine="h5netcdf")
    return open_region([folder / "noise.nc"], T2M)


def test_mean_sd_and_memory_are_found(tmp_path: Path) -> None:
    statistics = fit(red_noise(tmp_path), SETUP)
    usual = statistics.fields["temperature_2m"]
    assert statistics.months.tolist() == [6, 7, 8]
    assert float(statistics.days) == pytest.approx(40, abs=0.1)
    july = usual.mean[1, :, 0]
    assert float(july[6, :, 9].mean()) == pytest.approx(285 + 5 * 9 / 12, abs=0.3)
    assert float(usual.sd[0]) == pytest.approx(2.0, rel=0.06)
    expected = 0.9 ** torch.arange(8)
    torch.testing.assert_close(usual.memory[0], expected, atol=0.05, rtol=0)
    assert float(usual.detail[0]) == pytest.approx(1.0, abs=0.1)  # white in space: all is detail


def test_values_come_back(region: Region, setup: Setup) -> None:
    statistics = fit(region, setup)
    values = region.everything()["temperature_2m"]
    place = statistics.place(region)
    (anomaly,) = statistics.anomalies({"temperature_2m": values}, region.times, place).values()
    back = statistics.value("temperature_2m", anomaly[None], region.times, place)
    np.testing.assert_allclose(back[0], values, atol=1e-3)
    assert float(anomaly.std()) == pytest.approx(1, rel=0.01)


def test_a_part_of_the_region_has_its_own_mean(region: Region, setup: Setup) -> None:
    statistics = fit(region, setup)
    data = region.data.isel(latitude=slice(2, 10), longitude=slice(3, 14))
    part = Region(data, (0.25, 0.25), 1, False, "")
    whole = statistics.mean("temperature_2m", region.times, statistics.place(region))
    here = statistics.mean("temperature_2m", region.times, statistics.place(part))
    assert torch.equal(here, whole[:, :, 2:10, 3:14])


def test_another_region_is_refused(region: Region, setup: Setup) -> None:
    statistics = fit(region, setup)
    for moved in (region.latitude + 5, region.latitude + 0.1):
        other = Region(region.data.assign_coords(latitude=moved), (0.25, 0.25), 1, False, "")
        with pytest.raises(SifnetError, match="not the one the model was trained on"):
            statistics.place(other)


def test_missing_values_are_left_out(region: Region, setup: Setup) -> None:
    holes = region.data.copy(deep=True).load()
    holes["temperature_2m"][5:60:7, 2, 3] = np.nan
    usual = fit(Region(holes, (0.25, 0.25), 1, False, ""), setup).fields["temperature_2m"]
    for part in (usual.mean, usual.sd, usual.memory, usual.detail, usual.pattern):
        assert torch.isfinite(part).all()


def test_memory_is_not_taken_across_a_hole(region: Region, setup: Setup) -> None:
    """Every second run of 13 hours left out: the wave a half period later would look like one."""
    kept = (np.arange(region.times.size) // 13) % 2 == 0
    broken = Region(region.data.isel(time=kept), (0.25, 0.25), 1, False, "")
    whole, part = (fit(r, setup).fields["temperature_2m"].memory for r in (region, broken))
    torch.testing.assert_close(part[:, :4], whole[:, :4], atol=0.05, rtol=0)


def test_statistics_survive_a_checkpoint(region: Region, setup: Setup) -> None:
    statistics = fit(region, setup)
    stored = asdict(statistics)
    again = asdict(Statistics.from_dict(stored))
    for part in ("latitude", "longitude", "months", "days"):
        assert torch.equal(again[part], stored[part]), part
    for name, usual in stored["fields"].items():
        for part, value in usual.items():
            assert torch.equal(again["fields"][name][part], value), (name, part)


def test_months_never_seen_take_the_nearest(region: Region, setup: Setup) -> None:
    statistics = fit(region, setup)
    place = statistics.place(region)
    june, december = (np.array([f"2020-{m}-20T10"], dtype="datetime64[ns]") for m in ("06", "12"))
    means = [statistics.mean("temperature_2m", t, place) for t in (june, december)]
    assert torch.equal(*means)


def test_each_month_and_hour_has_the_mean_of_its_own_name(tmp_path: Path) -> None:
    """Values say when they are of, 100 times the month and the hour, over a New Year."""
    times = np.arange("2020-11-20T00", "2021-02-10T00", dtype="datetime64[h]")
    month = np.array([int(str(t)[5:7]) for t in times])
    hour = np.array([int(str(t)[11:13]) for t in times])
    drift = np.linspace(-1, 1, times.size)  # so that anomalies are not all zero
    values = (200 + 10 * month + hour + drift)[:, None, None] * np.ones((8, 8))
    data = xr.Dataset({"t2m": (("time", "latitude", "longitude"), values.astype("f4"))})
    data = data.assign_coords(time=times.astype("datetime64[ns]"), latitude=np.arange(8) * 0.25,
                              longitude=np.arange(8) / 4)  # fmt: skip
    data.to_netcdf(tmp_path / "calendar.nc", engine="h5netcdf")
    region = open_region([tmp_path / "calendar.nc"], T2M)
    statistics = fit(region, SETUP)
    place = statistics.place(region)
    assert statistics.months.tolist() == [1, 2, 11, 12]
    said = {"2020-11-25T05": 315, "2020-12-31T23": 343, "2021-01-01T00": 210, "2021-02-05T07": 227,
            "2022-01-15T12": 222, "2021-03-10T07": 227, "2021-10-10T07": 317}  # fmt: skip
    for time, expected in said.items():
        when = np.array([time], "datetime64[ns]")
        mean = float(statistics.mean("temperature_2m", when, place)[0, 0, 0, 0])
        assert mean == pytest.approx(expected, abs=1.1), time
    before = replace(region, data=region.data.sel(time=slice(None, "2020-12-31T23")))
    when = np.array(["2021-01-15T06"], "datetime64[ns]")  # December is nearer than November
    mean = float(fit(before, SETUP).mean("temperature_2m", when, place)[0, 0, 0, 0])
    assert mean == pytest.approx(200 + 120 + 6, abs=1.1)
