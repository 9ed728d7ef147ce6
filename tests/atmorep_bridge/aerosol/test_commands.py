"""The door of the aerosol model: files in, files out."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from typer.testing import CliRunner

from atmorep_bridge.aerosol.forecast import fit, forecast, load
from atmorep_bridge.aerosol.series import Scaling, checked
from atmorep_bridge.cli import app
from atmorep_bridge.core.specs import MONTH
from fakes.advection import uniform_wind

RUN = CliRunner()
WEATHER = ["--weather", "u@850", "--weather", "fire"]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Aerosol as CAMS has it, a wind on levels, and a field of no service: any CF variable."""
    folder, series = tmp_path_factory.mktemp("aerosol"), uniform_wind(40).astype("float32")
    aod = series[["aot_550"]].rename(aot_550="aod550")
    aod["aod550"].attrs["units"] = "~"
    wind = series[["u"]].expand_dims(pressure_level=[850.0, 1000.0]).copy(deep=True)
    wind["u"][1] += 5
    wind["u"].attrs["units"] = "m s**-1"
    wind["pressure_level"].attrs["units"] = "hPa"
    fire = xr.Dataset({"fire": series["v"].assign_attrs(units="W m-2")})
    names = []
    for name, data in {"cams": aod, "era5": wind, "fire": fire}.items():
        names.append(str(folder / f"{name}.nc"))
        data.drop_attrs(deep=False).to_netcdf(names[-1], engine="h5netcdf")
    return names


@pytest.fixture(scope="module")
def model(files: list[str]) -> str:
    path = str(Path(files[0]).with_name("aot.ckpt"))
    told = RUN.invoke(app, ["aerosol", "train", *files, *WEATHER, "--steps", "2", "-o", path])
    assert told.exit_code == 0, told.output
    return path


def test_train_and_forecast_are_the_functions_of_these_names(
    files: list[str], model: str, tmp_path: Path
) -> None:
    series = uniform_wind(40).astype("float32")
    series = series.rename({"u": "u@850", "v": "fire"})
    made = load(model)
    assert made.scaling == Scaling.of(series.isel(time=slice(0, 30)), ("u@850", "fire"))
    assert len(made.errors) == 2
    start, here = str(series["time"].values[34])[:13], tmp_path / "atmosphere.nc"
    told = RUN.invoke(app, ["aerosol", "forecast", model, *files, "--start", start, "--steps", "2",
                            "-o", str(tmp_path / "aot.nc"), "--atmosphere", str(here), "--at",
                            f"10,20,{start}"])  # fmt: skip
    assert told.exit_code == 0, told.output
    expected = forecast(made, series, start, 2)
    with xr.open_dataset(tmp_path / "aot.nc", engine="h5netcdf") as found:
        for name in ("aot_550", "aot_550_uncertainty"):
            assert np.allclose(found[name], expected[name], atol=1e-6)
            assert found[name].attrs["units"] == "1"
        assert found["longitude"].attrs["units"] == "degrees_east"
        assert len(found.attrs["input_sha256"].split("\n")) == 4
        assert found.attrs["history"].startswith("sifnet ")
    with xr.open_dataset(here, engine="h5netcdf") as air:
        assert float(air["aot_550_uncertainty"]) > 0.05


def test_no_analysis_is_needed_after_the_start(
    files: list[str], model: str, tmp_path: Path
) -> None:
    made, start, paths = load(model), "2023-01-08T12", []
    cut = str(tmp_path / "analyses.nc")
    with xr.open_dataset(files[0], engine="h5netcdf") as cams:
        cams.sel(time=slice(None, start)).to_netcdf(cut, engine="h5netcdf")
    for some in (files, [cut, *files[1:]]):
        paths.append(str(tmp_path / f"{len(paths)}.nc"))
        told = RUN.invoke(app, ["aerosol", "forecast", model, *some, "--start", start,
                                "--steps", str(len(made.errors)), "-o", paths[-1]])  # fmt: skip
        assert told.exit_code == 0, told.output
    whole, short = (xr.load_dataset(path, engine="h5netcdf") for path in paths)
    assert short["time"].size == 1 + len(made.errors)
    xr.testing.assert_equal(short, whole)


BAD = [
    (
        ["train", "--weather", "u@500"],
        "eastward_wind: levels do not suit the field: found levels 850, 1000; expected levels 500",
    ),
    (["train", "--weather", "rain"], "a field of the model is missing: found aot_550"),
    (["train", "--weather", "fire@500"], "found levels none; expected levels 500"),
    (["train", "--held-back", "0"], "--held-back is impossible: found 0"),
    (["train", "--until", "2023-01-02"], "the series has too few time steps"),
    (["forecast", "--start", "2023-01-09", "--steps", "3"], "Train again with more --steps."),
    (["forecast", "--start", "2023-01-09", "--steps", "1", "--atmosphere", "a.nc"], "--at LAT,LON"),
]


@pytest.mark.parametrize(("words", "what"), BAD)
def test_bad_requests_are_one_sentence(
    files: list[str], model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    words: list[str], what: str,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    asked = [model] if words[0] == "forecast" else []
    told = RUN.invoke(app, ["aerosol", words[0], *asked, *files, *words[1:], "-o", "out"])
    assert told.exit_code == 2, told.output
    assert what in " ".join(told.output.split())


def test_a_step_may_be_a_month() -> None:
    months = np.arange(np.datetime64("1991-11"), np.datetime64("1993-03")).astype("datetime64[ns]")
    middle = months + np.timedelta64(14, "D")  # as MERRA-2 has them
    series = uniform_wind(16).assign_coords(time=middle)
    assert Scaling.of(series, ()).step == MONTH
    assert (checked(series, ["aot_550"])["time"].values == months).all()
    model = replace(fit(series, weather=("u",)), errors=(0.1, 0.2))
    coming = forecast(model, series, "1992-11-15", 2)
    assert coming["time"].values.tolist() == months[12:15].tolist()
