"""What is usual is found where it is known, and left out where it is not."""

from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr

from atmorep_bridge.core import climate
from atmorep_bridge.core.covariance import BYTES, POINTS
from atmorep_bridge.core.detail import AROUND, FACTOR
from atmorep_bridge.core.specs import FieldSpec, Setup
from atmorep_bridge.core.statistics import AT_ONCE, Statistics, fit
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


def test_climate_sd_memory_and_detail_are_found(tmp_path: Path) -> None:
    statistics = fit(red_noise(tmp_path), SETUP)
    usual = statistics.fields["temperature_2m"]
    assert usual.cycles == (0, 4)  # forty days teach no season
    assert statistics.days == pytest.approx(40, abs=0.1)
    when = np.array(["2020-07-20T06"], "datetime64[ns]")
    mean = statistics.mean("temperature_2m", when, (np.arange(8), np.arange(12)))
    assert float(mean[0, 0, :, 9].mean()) == pytest.approx(285 + 5 * 9 / 12, abs=0.3)
    assert float(usual.sd.mean()) == pytest.approx(2.0, rel=0.06)
    own = statistics.covariance[-1, :, 0, 0]
    torch.testing.assert_close(own, 0.9 ** torch.arange(8), atol=0.05, rtol=0)
    # White in space: of sixteen values of a block only the mean is known.
    assert usual.detail is not None
    assert float(usual.detail.error.mean()) == pytest.approx(2 * (15 / 16) ** 0.5, rel=0.06)


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
    part = Region(data, 1, False, "")
    whole = statistics.mean("temperature_2m", region.times, statistics.place(region))
    here = statistics.mean("temperature_2m", region.times, statistics.place(part))
    assert torch.equal(here, whole[:, :, 2:10, 3:14])


def test_another_region_is_refused(region: Region, setup: Setup) -> None:
    statistics = fit(region, setup)
    for moved in (region.latitude + 5, region.latitude + 0.1):
        other = Region(region.data.assign_coords(latitude=moved), 1, False, "")
        with pytest.raises(SifnetError, match="not the one the model was trained on"):
            statistics.place(other)
    coarse = replace(region, data=region.data.isel(latitude=slice(None, None, 2),
                     longitude=slice(None, None, 2)))  # fmt: skip
    with pytest.raises(SifnetError, match="not the one the model was trained on"):
        statistics.place(coarse)


def test_missing_values_are_left_out(region: Region, setup: Setup) -> None:
    holes = region.data.copy(deep=True).load()
    holes["temperature_2m"][5:60:7, 2, 3] = np.nan
    statistics = fit(Region(holes, 1, False, ""), setup)
    usual = statistics.fields["temperature_2m"]
    assert usual.detail is not None
    for part in (usual.climate, usual.sd, statistics.covariance, *vars(usual.detail).values()):
        assert torch.isfinite(part).all()
    whole = fit(region, setup).fields["temperature_2m"]
    torch.testing.assert_close(usual.sd, whole.sd, rtol=0.1, atol=0)  # a tenth is missing


def test_memory_is_not_taken_across_a_hole(region: Region, setup: Setup) -> None:
    """Every second run of 13 hours left out: the wave a half period later would look like one. Runs
    begin and end by and by, so that later hours seem a little less alike."""
    kept = (np.arange(region.times.size) // 13) % 2 == 0
    broken = Region(region.data.isel(time=kept), 1, False, "")
    whole, part = (fit(r, setup).covariance[-1, :, 0, 0] for r in (region, broken))
    torch.testing.assert_close(part[:4], whole[:4], atol=0.2, rtol=0)


def test_statistics_survive_a_checkpoint(region: Region, setup: Setup, tmp_path: Path) -> None:
    statistics = fit(region, setup)
    torch.save(asdict(statistics), tmp_path / "kept")
    again = Statistics.from_dict(torch.load(tmp_path / "kept", weights_only=True))
    assert (again.wraps, again.rings, again.days) == (False, setup.rings, statistics.days)
    here = np.arange(12), np.arange(16)
    for name in statistics.fields:
        mine, theirs = (s.mean(name, region.times[:9], here) for s in (statistics, again))
        assert torch.equal(mine, theirs)
        kept, found = (vars(s.fields[name].detail) for s in (statistics, again))
        assert all(torch.equal(kept[part], found[part]) for part in kept)


def test_the_year_goes_on_without_steps(tmp_path: Path) -> None:
    """Two years of two harmonics and a daily cycle that is larger in summer; no step at any hour
    between months, and the third year is known."""
    times = np.arange("2019-01-01T00", "2021-01-01T00", 6, dtype="datetime64[h]")

    def true(when: np.ndarray) -> np.ndarray:
        days = when.astype("datetime64[s]").astype(float) / 86400
        year, day = (2 * np.pi * (x % 1) for x in (days / 365.2425, days))
        season = 10 * np.cos(year - 3.4) + 2 * np.sin(2 * year)
        return 285 + season + (3 - 2 * np.cos(year)) * np.cos(day - 4)

    noise = np.random.default_rng(0).normal(size=(times.size, 4, 4))
    values = (true(times)[:, None, None] + noise).astype("f4")
    data = xr.Dataset({"t2m": (("time", "latitude", "longitude"), values)})
    data = data.assign_coords(time=times.astype("datetime64[ns]"), latitude=np.arange(4) / 4,
                              longitude=np.arange(4) / 4)  # fmt: skip
    data.to_netcdf(tmp_path / "years.nc", engine="h5netcdf")
    region = open_region([tmp_path / "years.nc"], T2M)
    statistics = fit(region, Setup(T2M, (4, 4, 4), hours=6, rings=(1,)))
    later = np.arange("2022-01-01T00", "2023-01-01T00", 6, dtype="datetime64[h]")
    place = statistics.place(region)
    found = statistics.mean("temperature_2m", later.astype("datetime64[ns]"), place)
    assert statistics.fields["temperature_2m"].cycles == (2, 1)
    np.testing.assert_allclose(found[0].mean((1, 2)), true(later), atol=0.25)
    assert float(statistics.fields["temperature_2m"].sd.mean()) == pytest.approx(1, rel=0.03)


def test_statistics_of_the_globe_fit_in_four_gigabytes() -> None:
    """Eleven levels of fields at 0.25 degrees and ten years, and what the last is made from."""
    rows, columns, hours = 721, 1440, 36
    times = np.array(["2020-01-01T00"], "datetime64[h]")
    waves = climate.harmonics(times, *climate.cycles(3650, 1, daily=True)).shape[1]
    points, blocks = rows * columns, (rows // FACTOR) * (columns // FACTOR)
    asked, fine = (2 * AROUND + 1) ** 2, FACTOR**2
    kept = 4 * points * (waves + 2) + blocks * (2 * asked * fine + 4)
    once = max(AT_ONCE // points, 1)
    chunk = 4 * points * once * 3  # values, climate, anomalies
    detail = 4 * blocks * (asked**2 + asked * fine + fine) + chunk
    solved = 8 * points * waves * 4  # in double, before there are sums
    neighbours = 11 * 25
    joint = 5 * BYTES  # of two parts and their counts, and their means
    told = BYTES / hours / neighbours * POINTS * (once + hours)  # of all channels, in zones
    joint += 4 * points * (once + hours) * 3 + 3 * told
    assert 11 * kept + max(detail, solved, joint) < 4e9
