from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from atmorep_bridge.core.specs import FieldSpec
from atmorep_bridge.core.windows import open_region
from atmorep_bridge.fields.opening import open_fields, open_series
from atmorep_bridge.fields.variables import monthly, open_variables
from sifnet.errors import SifnetError


def sst(times: np.ndarray, **attrs: str) -> xr.Dataset:
    """As ERSST: degrees Celsius, latitude from the north, longitude from 0, a level of one."""
    lat, lon = np.array([4.0, 2.0, 0.0]), np.array([0.0, 120.0, 240.0])
    values = 20 + lat[:, None] + lon / 100 + np.arange(times.size)[:, None, None]
    return xr.Dataset({"sst": (("time", "lat", "lon"), values, attrs)},
                      {"time": times.astype("datetime64[ns]"), "lat": lat, "lon": lon})  # fmt: skip


def test_any_cf_variable_is_read_by_its_name_or_standard_name(tmp_path: Path) -> None:
    times = np.arange(np.datetime64("2010-01"), np.datetime64("2010-07"))
    file = tmp_path / "ersst.nc"
    about = {"units": "degC", "standard_name": "sea_surface_temperature"}
    data = sst(times, **about)
    data.expand_dims(zlev=[0.0], axis=1).to_netcdf(file, engine="h5netcdf")
    for name in ("sst", "sea_surface_temperature"):
        found = open_variables([file], [name])[name]
        assert found.attrs["units"] == "degC"
        assert found["latitude"].values.tolist() == [0, 2, 4]
        assert float(found.sel(latitude=4, longitude=-120)[2]) == pytest.approx(28.4)
        field = open_series([file], [name])
        assert field[name].attrs["units"] == "degC"
        assert np.allclose(field[name], found)


def test_an_index_is_a_series_and_no_field(tmp_path: Path) -> None:
    file, when = tmp_path / "soi.nc", np.arange(np.datetime64("2010-01"), np.datetime64("2010-07"))
    soi = xr.DataArray(np.arange(6.0), {"time": when.astype("datetime64[ns]")}, ("time",))
    soi.rename("soi").assign_attrs(units="1").to_netcdf(file, engine="h5netcdf")
    assert open_variables([file], ["soi"])["soi"].values.tolist() == [0, 1, 2, 3, 4, 5]
    with pytest.raises(SifnetError, match="without rows and columns: found time of 6"):
        open_region([file], [FieldSpec("soi")])
    with pytest.raises(SifnetError, match="without rows and columns: found time of 6"):
        open_fields([file], ["soi"])


def test_daily_values_become_months_and_parts_of_months_are_left_out() -> None:
    days = np.arange(np.datetime64("2010-01-20"), np.datetime64("2010-04-03"))
    values = xr.DataArray(days.astype(float), {"time": days.astype("datetime64[ns]")}, ("time",))
    found = monthly(values)
    first = found["time"].values.astype("datetime64[M]").astype(str).tolist()
    assert first == ["2010-02", "2010-03"]
    assert float(found[0]) == pytest.approx(np.datetime64("2010-02-01").astype(float) + 13.5)
    every_other = monthly(values[::2])
    assert every_other.sizes["time"] == 2


@pytest.mark.parametrize(
    ("first", "unit", "what"),
    [("2010-04", "degC", "hold the same fields twice"), ("2010-07", "K", "sst in different units")],
)
def test_files_that_do_not_go_together_are_refused(
    tmp_path: Path, first: str, unit: str, what: str
) -> None:
    begins, files = {"2010-01": "degC", first: unit}, []
    for begin, units in begins.items():
        times = np.datetime64(begin) + np.arange(6)
        files.append(tmp_path / f"{begin}.nc")
        sst(times, units=units).to_netcdf(files[-1], engine="h5netcdf")
    with pytest.raises(SifnetError, match=what):
        open_variables(files, ["sst"])


@pytest.mark.parametrize(
    ("attrs", "name", "what"),
    [
        ({}, "sst", "sst has no unit: found no attribute `units`"),
        (
            {"units": "K"},
            "ice",
            "field of the model is missing: .* also ice. Download a file with a variable ice",
        ),
    ],
)
def test_what_cannot_be_a_variable_is_refused(
    tmp_path: Path, attrs: dict[str, str], name: str, what: str
) -> None:
    file = tmp_path / "sst.nc"
    sst(np.arange(np.datetime64("2010-01"), np.datetime64("2010-07")), **attrs).to_netcdf(
        file, engine="h5netcdf")  # fmt: skip
    with pytest.raises(SifnetError, match=what):
        open_variables([file], [name])
