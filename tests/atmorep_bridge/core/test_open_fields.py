"""Fields that no table knows, of days and of months, on real data."""

from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr
from typer.testing import CliRunner

from atmorep_bridge.cli import app
from atmorep_bridge.core import tasks
from atmorep_bridge.core.outputs import write_fields
from atmorep_bridge.core.specs import MONTH, FieldSpec, Setup, Size, all_coupled
from atmorep_bridge.core.training import Core, Training, load, train
from atmorep_bridge.core.windows import Region, open_region
from sifnet.errors import SifnetError

SMALL = Size(width=16, heads=2, encoder_layers=1, decoder_layers=1, members=3)
SST = (FieldSpec("sst", patch=(1, 4, 4)),)
QUICK = Training(steps=2, steps_per_epoch=2, batch=2)
LAST = np.datetime64("2018-12-01", "ns")


@pytest.fixture(scope="module")
def pacific(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """ERSSTv5 by the month, 2010-2020, of the tropics of the Pacific and the land around."""
    file = shared_data / "climate" / "ersstv5_sst.mnmean.nc"
    with xr.open_dataset(file, engine="h5netcdf") as whole:
        part = whole[["sst"]].sel(lat=slice(22, -24), lon=slice(180, 298)).load().drop_encoding()
    path = tmp_path_factory.mktemp("ersst") / "pacific.nc"
    part.to_netcdf(path, engine="h5netcdf")
    return path


@pytest.fixture(scope="module")
def ocean(pacific: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Core, Region]:
    region = open_region([pacific], SST)
    setup = Setup(SST, (8, 12, 12), region.hours, size=SMALL, rings=(1, 3))
    past = region.between(region.times[0], LAST)
    return train(past, setup, tmp_path_factory.mktemp("m") / "m.ckpt", config=QUICK), region


def test_months_of_the_ocean_are_forecast(ocean: tuple[Core, Region]) -> None:
    """Sea-surface temperature in the file's unit, nothing over land; two months ahead nearer to
    what came than the mean of the month. Harmonics are of the year alone."""
    core, region = ocean
    assert (region.hours, region.units, core.setup.hours) == (MONTH, {"sst": "degC"}, MONTH)
    assert core.statistics.fields["sst"].cycles == (3, 0)
    found = tasks.nowcast(core, region, LAST, 2 * MONTH)["sst"]
    assert [str(t)[:10] for t in found["time"].values] == ["2019-01-01", "2019-02-01"]
    assert found.attrs["units"] == "degC"
    truth = region.data["sst"].sel(time=found["time"].values).compute()
    assert (np.isnan(found).all("member").values == np.isnan(truth.values)).all()
    usual = core.statistics.mean("sst", found["time"].values, core.statistics.place(region))[0]
    error, off = (float(((a - truth.values) ** 2).mean()) for a in (found.mean("member"),
                  xr.zeros_like(truth) + usual.numpy()))  # fmt: skip
    assert error < 0.7 * off


def test_a_month_that_is_missing_is_a_hole(tmp_path: Path) -> None:
    months = np.delete(np.arange("2010-01", "2012-01", dtype="datetime64[M]"), 10)
    times = months.astype("datetime64[ns]") + np.timedelta64(15, "D")  # as means often are
    values = ("time", "latitude", "longitude"), np.ones((23, 4, 4), "f4"), {"units": "degC"}
    coordinates = {"time": times, "latitude": np.arange(4.0), "longitude": np.arange(4.0)}
    data = xr.Dataset({"sst": values}, coordinates)
    data.to_netcdf(tmp_path / "hole.nc", engine="h5netcdf")
    region = open_region([tmp_path / "hole.nc"], SST)
    assert str(region.times[0])[:10] == "2010-01-01"
    assert region.starts(10).tolist() == [0, *range(10, 14)]
    learnt, test = region.split(np.datetime64("2011-06-01"), 3)
    assert [str(t)[:7] for t in (learnt.times[-1], test.times[0])] == ["2011-02", "2011-06"]


def test_another_unit_is_refused(ocean: tuple[Core, Region], pacific: Path, tmp_path: Path) -> None:
    data = xr.load_dataset(pacific, engine="h5netcdf")
    data["sst"] = (data["sst"] + 273.15).assign_attrs(units="K")
    data.to_netcdf(tmp_path / "kelvin.nc", engine="h5netcdf")
    kelvin = open_region([tmp_path / "kelvin.nc"], SST)
    with pytest.raises(SifnetError, match=r"other units .* sst in K; expected sst in degC"):
        tasks.nowcast(ocean[0], kelvin, LAST, MONTH)


def test_days_of_any_fields_are_forecast(shared_data: Path, tmp_path: Path) -> None:
    """Extremes and rain beside the temperature; rain, of which the file tells no unit, is refused
    until it does."""
    file = shared_data / "climate" / "ncep_ncar_daily_horn_of_africa_2008-2016.nc"
    specs = all_coupled([FieldSpec(name, patch=(1, 5, 6))
                         for name in ("temperature_2m", "tmax", "prate")])  # fmt: skip
    with pytest.raises(SifnetError, match="prate has no unit"):
        open_region([file], specs)
    with xr.open_dataset(file, engine="h5netcdf") as whole:
        data = whole.isel(time=slice(0, 200)).load().drop_encoding()
    data["prate"].attrs["units"] = "kg m-2 s-1"
    data.to_netcdf(tmp_path / "horn.nc", engine="h5netcdf")
    command = ["train", tmp_path / "horn.nc", "--field", "t2m", "--field", "tmax", "--field",
               "prate", "--neighbourhood", "4,10,12", "--patch", "1,5,6", "--steps", "1",
               "--batch", "1", "-o", tmp_path / "m.ckpt"]  # fmt: skip
    result = CliRunner().invoke(app, list(map(str, command)))
    assert result.exit_code == 0, result.output
    core, region = load(tmp_path / "m.ckpt"), open_region([tmp_path / "horn.nc"], specs)
    assert (core.setup.hours, core.setup.fields) == (24, specs)
    last = np.datetime64("2008-06-20", "ns")
    ensemble = tasks.nowcast(core, region, last, 24)
    units = {name: ensemble[name].attrs["units"] for name in core.setup.names}
    assert units == {"temperature_2m": "K", "tmax": "K", "prate": "kg m-2 s-1"}
    truth = region.data.sel(time=last + np.timedelta64(1, "D"))
    for name in core.setup.names:
        assert np.isfinite(ensemble[name]).all()
        held = region.data[name].sel(time=last)
        off = (ensemble[name].mean("member").isel(time=0) - truth[name]).std()
        assert float(off) < 1.5 * float((held - truth[name]).std())
    with xr.open_dataset(write_fields(ensemble, tmp_path / "f.nc")) as written:
        assert written["prate"].attrs["units"] == "kg m-2 s-1"


def test_levels_are_those_of_the_file(tmp_path: Path) -> None:
    """Of a field that no table knows; asked for by what the file holds."""
    times = np.datetime64("2020-06-20", "ns") + np.arange(4) * np.timedelta64(1, "h")
    level = xr.DataArray([500.0, 850.0], dims="level", attrs={"units": "hPa"})
    values = xr.DataArray(np.ones((4, 3, 3)), dims=("time", "latitude", "longitude"))
    data = xr.Dataset(
        {
            "o3": (values * level / 1e9).assign_attrs(units="kg kg-1"),
            "ice": (values * xr.DataArray([0.5], dims="height")).assign_attrs(units="1"),
        }
    )
    data = data.assign_coords(time=times, level=level, latitude=[50.0, 51, 52],
                              longitude=[5.0, 6, 7])  # fmt: skip
    data.drop_vars("ice").to_netcdf(tmp_path / "o3.nc", engine="h5netcdf")
    region = open_region([tmp_path / "o3.nc"], (FieldSpec("o3", (850,), (1, 1, 1)),))
    assert (region.level_kind, region.units) == ("pressure", {"o3": "kg kg-1"})
    np.testing.assert_allclose(region.everything()["o3"], 850e-9, rtol=1e-6)
    with pytest.raises(
        SifnetError, match="o3: levels do not suit .* found levels 500, 850; expected levels none"
    ):
        open_region([tmp_path / "o3.nc"], (FieldSpec("o3", (), (1, 1, 1)),))
    data = data.drop_vars("o3").squeeze("height").drop_vars("level")
    data["t2m"] = (data["ice"] + 280).assign_attrs(units="K")
    data.to_netcdf(tmp_path / "ice.nc", engine="h5netcdf")
    with pytest.raises(
        SifnetError, match="temperature_2m: levels do not suit .* found levels none"
    ):
        open_region([tmp_path / "ice.nc"], (FieldSpec("temperature_2m", (850,), (1, 1, 1)),))


def test_an_ocean_without_a_value_teaches_nothing(ocean: tuple[Core, Region]) -> None:
    """Land is not learnt as a constant: there is no climate of it, and all else is finite."""
    usual = ocean[0].statistics.fields["sst"]
    land = torch.from_numpy(np.isnan(ocean[1].data["sst"].values).all(0))
    assert 0.05 < float(land.float().mean()) < 0.5
    assert torch.equal(torch.isnan(usual.climate[0, 0]), land)
    for part in (usual.sd, ocean[0].statistics.covariance, ocean[0].statistics.nuggets):
        assert torch.isfinite(part).all()
