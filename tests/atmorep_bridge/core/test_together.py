"""Fields of other grids and steps in one model: what each step is told, and where."""

from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from atmorep_bridge.core import tasks
from atmorep_bridge.core.specs import MONTH, FieldSpec, Setup, Size
from atmorep_bridge.core.statistics import fit
from atmorep_bridge.core.times import told
from atmorep_bridge.core.together import open_together
from atmorep_bridge.core.training import Core
from atmorep_bridge.core.windows import open_region
from fakes import grids
from sifnet.errors import SifnetError

NAMES = ("temperature_2m", "sst")
SPECS = tuple(FieldSpec(name, patch=(1, 2, 2)) for name in NAMES)
DAYS = np.arange("2010-01-01", "2010-05-01", dtype="datetime64[D]").astype("datetime64[ns]")
MONTHS = np.arange("2009-12", "2010-05", dtype="datetime64[M]").astype("datetime64[ns]")


def field(
    name: str, times: np.ndarray, north: np.ndarray, east: np.ndarray, unit: str = "K"
) -> xr.Dataset:
    """A plane in space, which changes with its own number in time."""
    t, y, x = np.meshgrid(np.arange(times.size), north, east, indexing="ij")
    values = ("time", "latitude", "longitude"), 280 + t + y / 10 + x / 100, {"units": unit}
    return xr.Dataset({name: values}, {"time": times, "latitude": north, "longitude": east})


def stored(data: xr.Dataset, path: Path) -> Path:
    data.to_netcdf(path, engine="h5netcdf")
    return path


@pytest.fixture
def air(tmp_path: Path) -> Path:
    return stored(field("t2m", DAYS, np.arange(50.0, 54), np.arange(4.0, 8)), tmp_path / "air.nc")


def sea(tmp_path: Path, **changed: object) -> Path:
    about = {"times": MONTHS, "north": np.arange(47.5, 58, 2), "east": np.arange(1.5, 12, 2)}
    return stored(field("sst", **(about | changed)), tmp_path / "sea.nc")  # type: ignore[arg-type]


def test_a_coarser_grid_is_interpolated_and_says_where_from(air: Path, tmp_path: Path) -> None:
    """A plane stays a plane; each day is told the last month that had ended."""
    data = open_together([air, sea(tmp_path)], NAMES)
    assert data["sst"].dims == data["temperature_2m"].dims
    month = data["time"].dt.month
    truth = 280 + month - 1 + data["latitude"] / 10 + data["longitude"] / 100
    np.testing.assert_allclose(data["sst"], truth.broadcast_like(data["sst"]), rtol=1e-6)
    said = data["sst"].attrs
    assert said["units"] == "K"
    assert "step 2, which covers 100% of the points" in said["comment"]
    assert "the last that had ended of every month" in said["comment"]


def test_nothing_of_the_future_is_told(air: Path, tmp_path: Path) -> None:
    """Whatever comes true after a day, the fields of that day are the same."""
    until = np.datetime64("2010-03-31", "ns")
    before = open_together([air, sea(tmp_path)], NAMES).sel(time=slice(None, until)).load()
    data = field("sst", MONTHS, np.arange(47.5, 58, 2), np.arange(1.5, 12, 2))
    other = data.where(data["time"] < np.datetime64("2010-03-01"), -99.0)
    other["sst"].attrs["units"] = "K"
    after = open_together([air, stored(other, tmp_path / "other.nc")], NAMES)
    xr.testing.assert_equal(after.sel(time=slice(None, until)).load(), before)
    assert float(after["sst"].sel(time="2010-04-01").max()) == -99.0


@pytest.mark.parametrize(
    ("hours", "own_hours", "first", "last"),
    [
        (1, 24, -48, -24),  # of the day before: it began at least a day ago
        (1, MONTH, -62 * 24, -28 * 24),
        (6, 1, -6, -1),  # of hours, what came since the step before
        (24, 1, 0, 23),  # of a day all of its hours
        (1, 6, -12, -6),
    ],
)
def test_which_times_a_step_is_told(hours: int, own_hours: int, first: int, last: int) -> None:
    """Of every step of a year, against what it may know of a series with a hole."""
    hour = np.timedelta64(1, "h")
    start = np.datetime64("2010-01-01", "ns")
    own = start + np.arange(0, 8760, own_hours) * hour
    own = MONTHS if own_hours == MONTH else np.delete(own, [own.size // 2])
    times = start + np.arange(0, 120 * 24, hours) * hour
    index = told(times, hours, own, own_hours)
    known = (index >= 0).any(1)
    assert known.mean() > 0.9
    apart = (own[index] - times[:, None]) / hour
    apart = apart[index >= 0]
    assert apart.min() >= first
    assert apart.max() <= last
    assert ((index >= 0).sum(1)[known] == max(hours // own_hours, 1)).all()


def test_months_have_all_their_days_and_an_incomplete_one_is_left_out(tmp_path: Path) -> None:
    days = field("sst", DAYS[20:], np.arange(50.0, 54), np.arange(4.0, 8))
    months = field("t2m", MONTHS + np.timedelta64(15, "D"), np.arange(50.0, 54), np.arange(4.0, 8))
    files = [stored(months, tmp_path / "air.nc"), stored(days, tmp_path / "sea.nc")]
    region = open_region(files, SPECS)
    assert region.times.astype("datetime64[M]").astype(str).tolist() == [
        "2010-02", "2010-03", "2010-04"]  # fmt: skip
    found = region.everything()["sst"][0, :, 0, 0] - 280 - 5 - 0.04
    np.testing.assert_allclose(found, [11 + 13.5, 39 + 15, 70 + 14.5], atol=1e-3)


def test_a_finer_grid_is_averaged(air: Path, tmp_path: Path) -> None:
    """Squares of 4 x 4 points that differ within: a point is told their mean, not one of them."""
    north, east = np.arange(49.625, 53.5, 0.25), np.arange(3.625, 7.5, 0.25)
    data = field("sst", DAYS, north, east)
    data["sst"] = data["sst"] + 5 * (-1) ** np.arange(16)  # column by column
    data["sst"].attrs["units"] = "K"
    found = open_together([air, stored(data, tmp_path / "sea.nc")], NAMES)["sst"]
    truth = 280 + np.arange(DAYS.size)[:, None, None] + found.latitude.values[:, None] / 10
    inner = (found - truth - found.longitude.values / 100)[:, 1:-1, 1:-1]
    assert float(abs(inner).max()) < 0.7


def test_beyond_its_area_and_on_land_nothing_is_said(air: Path, tmp_path: Path) -> None:
    data = field("sst", DAYS, np.arange(47.5, 53, 2), np.arange(1.5, 12, 2))  # to 51.5 N
    data["sst"] = data["sst"].where(data["longitude"] < 6).assign_attrs(units="K")
    found = open_together([air, stored(data, tmp_path / "sea.nc")], NAMES)["sst"].load()
    assert "covers 50%" in found.attrs["comment"]
    assert np.isnan(found.sel(latitude=slice(52, None))).all()
    assert np.isnan(found.sel(longitude=7)).all()
    here = found.sel(latitude=slice(None, 51), longitude=slice(None, 5))
    assert np.isfinite(here).all()
    elsewhere = sea(tmp_path, times=DAYS, north=np.arange(-20.0, -10))
    with pytest.raises(SifnetError, match=r"sea.nc.*sst is never where .* found -20 to -11 N"):
        open_together([air, elsewhere], NAMES)
    past = sea(tmp_path, times=MONTHS - np.timedelta64(3650, "D"))
    with pytest.raises(
        SifnetError, match="sst is never where .* found .* every month from 1999-12"
    ):
        open_together([air, past], NAMES)


def test_points_of_a_list_and_rows_serve_each_other(tmp_path: Path) -> None:
    """HEALPix over a plane of the globe, and the globe's seam."""
    pytest.importorskip("astropy_healpix", reason="the extra `bridge` is not installed")
    north, east = np.arange(-88.0, 89, 4), np.arange(0.0, 360, 4)
    whole = field("sst", DAYS[:3], north, east)
    whole["sst"] = (whole["sst"] * 0 + whole["latitude"]).assign_attrs(units="K")
    cells = grids.on_healpix(whole.rename(sst="t2m"), 8)
    cells["t2m"].attrs["units"] = "K"
    files = [stored(cells, tmp_path / "cells.nc"), stored(whole, tmp_path / "rows.nc")]
    found = open_together(files, NAMES)
    assert found["sst"].dims == ("time", "cell")
    np.testing.assert_allclose(found["sst"], found["temperature_2m"], atol=0.5)
    found = open_together(files[::-1], NAMES[::-1])
    inner = abs(found["temperature_2m"] - found["sst"]).sel(latitude=slice(-75, 75))
    assert float(inner.max()) < 3
    assert np.isfinite(inner).all()


def test_another_reanalysis_says_nearly_the_same(shared_data: Path, tmp_path: Path) -> None:
    """Hourly means of MERRA-2, dated to half past, on 0.5 x 0.625 degrees, beside ERA5 on 0.25:
    what xarray interpolates, of the hour that just ended, and nearest to ERA5 of all lags."""
    folder = shared_data / "era5" / "reskit"
    with xr.open_dataset(
        folder / "MERRA_tavg1_2d.2015.Europe.T2M.nc4", engine="h5netcdf"
    ) as opened:
        merra = opened[["T2M"]].load().drop_encoding().rename(T2M="merra")
    files = [folder / "2m_temperature.nc", stored(merra, tmp_path / "merra.nc")]
    data = open_together(files, ("temperature_2m", "merra")).load()
    places = {"lat": data["latitude"], "lon": data["longitude"]}
    theirs = (
        merra["merra"].interp(places).assign_coords(time=merra["time"] + np.timedelta64(30, "m"))
    )
    theirs = theirs.sel(time=data["time"]).transpose(*data["merra"].dims)
    np.testing.assert_allclose(data["merra"], theirs, atol=1e-3)
    apart = [
        float((data["merra"].shift(time=n) - data["temperature_2m"]).std()) for n in (-1, 0, 1)
    ]
    assert apart[1] == min(apart) < 1.2


def test_what_another_grid_tells_of_tomorrow_is_used_and_another_unit_refused(
    tmp_path: Path,
) -> None:
    """Today's air is yesterday's sea, which changes from day to day without any memory."""
    (tmp_path / "other").mkdir()
    noise = xr.DataArray(np.random.default_rng(0).normal(size=DAYS.size), {"time": DAYS}, ("time",))
    now = field("t2m", DAYS, np.arange(50.0, 54), np.arange(4.0, 8))
    now["t2m"] = (0 * now["t2m"] + 280 + noise.shift(time=1, fill_value=0)).assign_attrs(units="K")
    before = field("sst", DAYS, np.arange(47.5, 58, 2), np.arange(1.5, 12, 2))
    before["sst"] = (0 * before["sst"] + noise).assign_attrs(units="degC")
    air, sea = stored(now, tmp_path / "air.nc"), stored(before, tmp_path / "sea.nc")
    size = Size(width=8, heads=2, encoder_layers=1, decoder_layers=1, members=3)
    setup = Setup(SPECS, (6, 4, 4), 24, size=size, rings=(1,))
    region = open_region([air, sea], SPECS)
    core = Core(setup, fit(region, setup)).silent()
    found = tasks.nowcast(core, region, DAYS[100], 24)["temperature_2m"].mean("member")
    assert abs(float(noise[100])) > 0.5
    np.testing.assert_allclose(found - 280, noise[100], atol=0.2)
    before["sst"].attrs["units"] = "K"
    kelvin = open_region([air, stored(before, tmp_path / "other" / "sea.nc")], SPECS)
    with pytest.raises(SifnetError, match="other units .* sst in K; expected sst in degC"):
        tasks.nowcast(core, kelvin, DAYS[100], 24)
