"""Files of an ensemble: read back by the bridge, and by sifnet as its prior."""

from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from atmorep_bridge.air.columns import HYPSOMETRIC
from atmorep_bridge.air.state import atmosphere_at, write
from atmorep_bridge.core.outputs import write_fields, write_published, write_weatherbench
from atmorep_bridge.fields.opening import open_fields
from sifnet.errors import SifnetError

TIME = np.datetime64("2020-06-25T09:30", "ns")
STEP = np.timedelta64(60, "m")


def ensemble(**fields: float) -> xr.Dataset:
    """Four members that differ by -1.5 to 1.5 % and rise linearly to the east."""
    dims = ("member", "time", "latitude", "longitude")
    factor = (1 + 0.01 * np.array([-1.5, -0.5, 0.5, 1.5]))[:, None, None, None]
    east = np.arange(3) / 100
    arrays = {n: (dims, v * factor * (1 + east) * np.ones((4, 2, 3, 3))) for n, v in fields.items()}
    data = xr.Dataset(arrays).assign_coords(
        member=np.arange(4), time=np.array([TIME - STEP / 2, TIME + STEP / 2]),
        latitude=[50.0, 50.25, 50.5], longitude=[6.0, 6.25, 6.5],
    )  # fmt: skip
    return data.assign_attrs(level_kind="", source="test", title="Forecast", files=["a.nc"])


def with_levels() -> xr.Dataset:
    data = ensemble(surface_pressure=1000.0)
    level = xr.DataArray([300.0, 500.0, 700.0, 850.0, 1000.0], dims="level")
    height = 44.3308 * (1 - (level / 1013.25) ** 0.190263)
    like = data["surface_pressure"] * 0
    temperature = like + 288.15 + 5 - 6.5 * height
    return data.assign(
        temperature=temperature.transpose("member", "time", "level", ...),
        specific_humidity=(like + level / 1e5).transpose("member", "time", "level", ...),
    ).assign_coords(level=level.values).assign_attrs(level_kind="pressure")  # fmt: skip


def test_fields_are_read_back_with_members(tmp_path: Path) -> None:
    made = with_levels().assign(aot_550=ensemble(aot_550=0.2)["aot_550"])
    path = write_fields(made, tmp_path / "sub" / "forecast.nc")
    (read,) = open_fields([path])
    assert read.attrs["level_kind"] == "pressure"
    for name in ("temperature", "specific_humidity", "surface_pressure", "aot_550"):
        np.testing.assert_allclose(read[name].transpose(*made[name].dims), made[name], rtol=1e-6)


def test_a_changed_forecast_keeps_its_change(tmp_path: Path) -> None:
    made = ensemble(temperature_2m=280.0, temperature_2m_change=1.0)
    names = set(xr.open_dataset(write_fields(made, tmp_path / "c.nc")).data_vars)
    assert names == {"t2m", "t2m_change"}


def test_a_forecast_in_the_layout_of_weatherbench_is_read_back(tmp_path: Path) -> None:
    made = with_levels().assign(temperature_2m=ensemble(temperature_2m=280.0)["temperature_2m"])
    made = made.assign_attrs(reference_time=str(TIME - 2 * STEP))
    path = write_weatherbench(made, tmp_path / "forecast.zarr")
    laid = xr.open_zarr(path, consolidated=False, decode_timedelta=True)
    assert dict(laid.sizes) == {"number": 4, "time": 1, "prediction_timedelta": 2, "level": 5,
                                "latitude": 3, "longitude": 3}  # fmt: skip
    assert laid["2m_temperature"].dims[1:3] == ("time", "prediction_timedelta")
    assert (laid["prediction_timedelta"].values == np.array([3 * STEP // 2, 5 * STEP // 2])).all()
    assert float(laid["surface_pressure"].max()) > 90000  # Pa
    assert (path / "zarr.json").exists()  # format 3
    (read,) = open_fields([path], [*map(str, made.data_vars)])
    assert read.attrs["level_kind"] == "pressure"
    assert (read["time"].values == made["time"].values).all()
    assert read["lead"].values.tolist() == [1.5, 2.5]
    for name in made.data_vars:
        np.testing.assert_allclose(read[name].transpose(*made[name].dims), made[name], rtol=1e-6)
    again = write_weatherbench(made.isel(time=[0]), path)
    assert xr.open_zarr(again, consolidated=False).sizes["prediction_timedelta"] == 1
    (path / "zarr.json").unlink()
    with pytest.raises(SifnetError, match="cannot be written"):
        write_weatherbench(made, path)  # it may be anything


def test_an_analysis_in_the_layout_of_weatherbench_is_read_back(tmp_path: Path) -> None:
    made = ensemble(temperature_2m=280.0).isel(member=0, drop=True)
    path = write_weatherbench(made, tmp_path / "analysis.zarr")
    laid = xr.open_zarr(path, consolidated=False)
    assert laid["2m_temperature"].dims == ("time", "latitude", "longitude")
    (read,) = open_fields([path], ["temperature_2m"])
    np.testing.assert_allclose(read["temperature_2m"], made["temperature_2m"], rtol=1e-6)


def test_lead_times_of_weatherbench_may_be_plain_hours(tmp_path: Path) -> None:
    data = xr.Dataset(
        {"2m_temperature": (("time", "prediction_timedelta", "longitude", "latitude"),
                            np.arange(280.0, 288).reshape(2, 2, 2, 1), {"units": "K"})},
        {"time": TIME + np.arange(2) * STEP, "latitude": [50.0], "longitude": [5.0, 6.0],
         "prediction_timedelta": ("prediction_timedelta", [1, 2], {"units": "hours"})},
    )  # fmt: skip
    data.to_zarr(tmp_path / "f.zarr", zarr_format=3, consolidated=False)
    (read,) = open_fields([tmp_path / "f.zarr"], ["temperature_2m"])
    assert (read["time"].values == TIME + np.arange(1, 4) * STEP).all()
    # Of two forecasts for a time, the one that started later.
    assert read["temperature_2m"][:, 0, 0].values.tolist() == [280.0, 284.0, 286.0]


def test_published_layout_is_read_back(tmp_path: Path) -> None:
    import zarr

    made = with_levels()
    paths = write_published(tmp_path, made)
    assert [p.name for p in paths] == [f"results_idbridge_epoch00000_{part}.zarr"
                                       for part in ("pred", "ens")]  # fmt: skip
    store = zarr.open_group(zarr.storage.ZipStore(paths[1], mode="r"), mode="r")
    sample = store["temperature/sample=00000"]
    assert set(sample) == {"data", "ml", "datetime", "lat", "lon"}
    assert sample["data"].shape == (4, 5, 2, 3, 3)
    np.testing.assert_array_equal(sample["ml"], made["level"])
    assert store["sp/sample=00000/data"].shape == (4, 1, 2, 3, 3)
    assert float(store["sp/sample=00000/data"][0, 0, 0, 0, 0]) == pytest.approx(1e5, rel=0.02)
    upper = made.drop_vars("surface_pressure")
    (read,) = open_fields(write_published(tmp_path / "upper", upper)[:1])
    np.testing.assert_allclose(read["temperature"].values, made["temperature"].mean("member")
                               .values, rtol=1e-6)  # fmt: skip


def test_place_and_time_are_interpolated_and_spread_widens_the_analysis(tmp_path: Path) -> None:
    made = ensemble(aot_550=0.2, surface_pressure=1000.0)
    air = atmosphere_at(made, 50.1, 6.125, TIME)
    assert float(air["aot_550"]) == pytest.approx(0.2 * 1.005)
    spread = np.std([-1.5, -0.5, 0.5, 1.5], ddof=1) / 100
    aerosol = np.hypot(0.2 * 1.005 * spread, 0.05 + 0.2 * 0.2 * 1.005)
    assert float(air["aot_550_uncertainty"]) == pytest.approx(aerosol)
    pressure = np.hypot(1000 * 1.005 * spread, np.hypot(1.0, 0.5))
    assert float(air["surface_pressure_uncertainty"]) == pytest.approx(pressure)
    assert air["aot_550"].attrs["units"] == "1"
    read = xr.open_dataset(write(air, tmp_path / "atmosphere.nc"))
    assert float(read["surface_pressure"]) == pytest.approx(1005.0)
    assert read.attrs["acquisition_time"] == "2020-06-25T09:30:00"


def test_sifnet_takes_it_as_its_prior() -> None:
    from fakes.emulator import fake_emulator
    from fakes.scenes import known_scene
    from sifnet.retrieval.prior import atmosphere_prior

    scene = known_scene(fake_emulator(), lines=4, samples=4).scene
    air = atmosphere_at(ensemble(aot_550=0.2, surface_pressure=990.0), 50.1, 6.0, TIME)
    prior = atmosphere_prior(scene, np.zeros((4, 4), np.float32), air)
    np.testing.assert_allclose(prior.mean.aot_550, 0.2, rtol=1e-5)
    np.testing.assert_allclose(prior.sd.aot_550, float(air["aot_550_uncertainty"]), rtol=1e-5)


def test_pressure_is_moved_to_the_elevation() -> None:
    made = ensemble(surface_pressure=1000.0)
    here = atmosphere_at(made, 50.0, 6.0, TIME, elevation=0.1, model_height=0.3)
    between = 288.15 + 6.5 * 0.1
    expected = 1000 * np.exp(0.2 / (HYPSOMETRIC * between))
    assert float(here["surface_pressure"]) == pytest.approx(expected, rel=1e-6)
    assert float(here["surface_altitude"]) == 0.1


def test_levels_give_temperature() -> None:
    air = atmosphere_at(with_levels(), 50.0, 6.0, TIME)
    assert float(air["temperature_offset"]) == pytest.approx(5.0, abs=0.7)


@pytest.mark.parametrize(
    ("place", "said"),
    [((60.0, 6.0, TIME), "outside the fields: .* scene at latitude 60,"),
     ((50.0, 9.0, TIME), "outside the fields: .*, longitude 9;"),
     ((50.0, 6.0, TIME + STEP), "another time than the scene: .* scene of 2020-06-25 10:30")],
)  # fmt: skip
def test_elsewhere_is_refused(place: tuple[float, float, np.datetime64], said: str) -> None:
    with pytest.raises(SifnetError, match=said):
        atmosphere_at(ensemble(aot_550=0.2), *place)


def test_nothing_of_use_and_unwritable_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SifnetError, match="nothing in this ensemble"):
        atmosphere_at(ensemble(temperature_2m=280.0), 50.0, 6.0, TIME)
    (tmp_path / "file").touch()
    for writer in (write_fields, lambda data, path: write_published(path, data)):
        with pytest.raises(SifnetError, match="cannot be written"):
            writer(ensemble(aot_550=0.2), tmp_path / "file" / "x.nc")
