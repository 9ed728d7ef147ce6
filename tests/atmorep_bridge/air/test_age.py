"""Old analyses and forecasts: uncertainty by age and lead time, and where climate is worth more."""

from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from typer.testing import CliRunner

from atmorep_bridge import cli
from atmorep_bridge.air.age import AGES, CLIMATE_SD, PERSISTENCE, forecast_sd, persistence_sd
from atmorep_bridge.air.state import state
from atmorep_bridge.fields.opening import open_fields
from fakes.fields import cams, open_data, pressure_at, pressure_levels, scene_at, write, write_grib
from fakes.hyplant import fake_hyplant
from sifnet.errors import SifnetError
from sifnet.units import standard_pressure

SD = "surface_pressure_uncertainty"


def at(time: str, *files: Path) -> xr.Dataset:
    scene = scene_at()
    scene.dataset.attrs["acquisition_time"] = time
    return state(scene, files)


def test_growth_is_that_of_a_year_over_berlin(shared_data: Path) -> None:
    """Differences of hours apart, of pressure and of the last 24 h of 2 m temperature."""
    file = shared_data / "climate" / "ERA5_berlin_2017_hourly.nc"
    if not file.exists():
        pytest.skip(f"reference data absent: {file} does not exist")
    with xr.open_dataset(file, engine="scipy") as opened:
        here = opened[["sp", "t2m"]].interp(latitude=52.52, longitude=13.40).load()
    pressure = here["sp"].values / 100
    day = np.convolve(here["t2m"].values, np.ones(24) / 24, "valid")
    for series, name in ((pressure, "surface_pressure"), (16.9 / 22 * day, "temperature_offset")):
        for age, stated in zip(AGES[1:], PERSISTENCE[name][1:], strict=True):
            since = np.sqrt(np.mean((series[age:] - series[:-age]) ** 2))
            assert stated == pytest.approx(since, rel=0.06), (name, age)
    spread = np.sqrt(np.mean((pressure - standard_pressure(0.04)) ** 2))
    assert spread == pytest.approx(CLIMATE_SD, abs=0.05)


def test_an_analysis_grows_old_and_is_then_worth_less_than_climate(tmp_path: Path) -> None:
    file = write(pressure_levels(), tmp_path / "era5.nc")
    fresh, old, older = (at(f"2020-06-{time}", file) for time in ("25T10", "25T16", "26T10"))
    for later, hours in ((old, 6), (older, 24)):
        assert float(later["surface_pressure"]) == pytest.approx(float(fresh["surface_pressure"]))
        for name in ("surface_pressure", "temperature_offset"):
            sd = f"{name}_uncertainty"
            grown = np.hypot(float(fresh[sd]), persistence_sd(name, hours))
            assert float(later[sd]) == pytest.approx(grown)
            assert f"{hours} h old" in later[sd].attrs["comment"]
    oldest = at("2020-06-30T10", file)
    assert float(oldest["surface_pressure"]) == float(standard_pressure(0.1))
    assert float(oldest[SD]) == CLIMATE_SD
    comment = oldest[SD].attrs["comment"]
    assert "the last analysis is 120 h old, as it is it would err by 13.2" in comment
    assert float(oldest["air_pressure"].sel(altitude=0.0)) == pytest.approx(1013.25)
    assert float(oldest["temperature_offset"]) == pytest.approx(float(fresh["temperature_offset"]))
    with pytest.raises(SifnetError, match="of another time than the scene"):
        at("2020-07-05T11", file)
    with pytest.raises(SifnetError, match="of another time than the scene"):
        at("2020-06-25T07", file)  # what is not yet is no persistence


def test_the_command_says_that_climate_is_taken(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    days_ago = pressure_levels()
    days_ago["valid_time"] = days_ago["valid_time"] - np.timedelta64(5, "D")
    file = write(days_ago, tmp_path / "era5.nc")
    arguments = ["state", fake_hyplant(tmp_path), "--fields", file, "--elevation", 92,
                 "-o", tmp_path / "atmosphere.nc"]  # fmt: skip
    result = CliRunner().invoke(cli.app, list(map(str, arguments)))
    assert result.exit_code == 0, result.output
    assert "surface pressure: climate 9.5 around the standard atmosphere" in caplog.text
    assert "climate" in result.output


def test_aerosol_of_days_ago_is_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    both = xr.merge([pressure_levels(), cams()], compat="override", join="inner")
    found = at("2020-06-26T10", write(both, tmp_path / "cams.nc"))
    assert "aot_550" not in found
    assert "is 24 h old and is left out" in caplog.text


def test_steps_of_an_open_forecast_know_their_lead(tmp_path: Path) -> None:
    pytest.importorskip("cfgrib")
    times = ("2020-06-25T09", "2020-06-25T12")
    began, names = "2020-06-23T00", (f"20200623000000-{h}h-oper-fc.grib2" for h in (57, 60))
    files = [
        write_grib(open_data((time,)), tmp_path / name, began)
        for time, name in zip(times, names, strict=True)
    ]
    (fields,) = open_fields(files)
    assert fields["lead"].values.tolist() == [57, 60]
    assert fields.attrs["product"] == "IFS"
    found = at("2020-06-25T09:20", *files)
    truth = float(pressure_at(0.1, 51.1, 6.4, 9 + 1 / 3))
    assert float(found["surface_pressure"]) == pytest.approx(truth, abs=0.05)
    now = at("2020-06-25T09:20", write_grib(open_data(times), tmp_path / "analyses.grib2"))
    for name in ("surface_pressure", "temperature_offset"):
        sd = f"{name}_uncertainty"
        grown = np.hypot(float(now[sd]), forecast_sd(name, 60))
        assert float(found[sd]) == pytest.approx(grown)
        assert "60 h ahead" in found[sd].attrs["comment"]


def test_the_later_forecast_of_a_time_is_taken(tmp_path: Path) -> None:
    """As CAMS forecasts come from ADS: reference and lead time, and a table of valid times."""
    began = np.array(["2020-06-25T00", "2020-06-25T12"], "datetime64[ns]")
    ahead = np.array([12, 24], "timedelta64[h]").astype("timedelta64[ns]")
    data = cams(("2020-06-25T00", "2020-06-25T12")).rename(valid_time="forecast_reference_time")
    data = data.expand_dims(forecast_period=ahead).assign_coords(
        valid_time=(("forecast_reference_time", "forecast_period"), began[:, None] + ahead)
    )
    (fields,) = open_fields([write(data, tmp_path / "cams.nc")])
    assert fields["lead"].values.tolist() == [12, 12, 24]
