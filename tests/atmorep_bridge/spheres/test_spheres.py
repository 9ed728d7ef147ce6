"""Spheres: worlds of few lines whose truth is known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from typer.testing import CliRunner

from atmorep_bridge.cli import app
from atmorep_bridge.spheres import ridge
from atmorep_bridge.spheres.forecast import forecast
from atmorep_bridge.spheres.model import Spheres, load, states_of, train
from atmorep_bridge.spheres.ridge import Choice
from atmorep_bridge.spheres.series import Variable
from sifnet.errors import SifnetError

RUN = CliRunner()
LATITUDE, LONGITUDE = np.array([-60.0, -20.0, 20.0, 60.0]), np.arange(0.0, 360.0, 60.0)
MEMBERS = {"air": ["t50"], "aerosol": ["aod"]}
STEADY = {name: [Choice(1, 0.0, 1e-3, 1.0)] * 3 for name in MEMBERS}
EFFECT = 0.5  # K in the next month for each unit of ln AOD


def months(count: int, first: str = "1980-01") -> np.ndarray:
    """Times of a monthly series."""
    return (np.datetime64(first) + np.arange(count)).astype("datetime64[ns]")


def world(count: int = 240, seed: int = 0) -> dict[str, xr.DataArray]:
    """Air over a map that aerosol, an index, warms a month later; both have a season."""
    rng = np.random.default_rng(seed)
    aerosol, air = np.zeros(count), np.zeros(count)
    for t in range(1, count):
        aerosol[t] = 0.9 * aerosol[t - 1] + 0.3 * rng.normal()
        air[t] = 0.5 * air[t - 1] + EFFECT * aerosol[t - 1] + 0.02 * rng.normal()
    season = np.cos(2 * np.pi * np.arange(count) / 12)
    pattern = np.cos(np.radians(LATITUDE))[:, None] * np.ones(LONGITUDE.size)
    field = 210 + 3 * season[:, None, None] + air[:, None, None] * pattern
    coords = {"time": months(count), "latitude": LATITUDE, "longitude": LONGITUDE}
    return {
        "t50": xr.DataArray(field, coords, tuple(coords), name="t50", attrs={"units": "K"}),
        "aod": xr.DataArray(0.1 * np.exp(0.1 * season + aerosol), {"time": coords["time"]},
                            ("time",), name="aod", attrs={"units": "1"}),
    }  # fmt: skip


def until(series: dict[str, xr.DataArray], count: int) -> dict[str, xr.DataArray]:
    return {name: values.isel(time=slice(0, count)) for name, values in series.items()}


@pytest.fixture(scope="module")
def known() -> dict[str, xr.DataArray]:
    return world()


@pytest.fixture(scope="module")
def model(known: dict[str, xr.DataArray]) -> Spheres:
    return train(MEMBERS, until(known, 200), months=3, log=["aod"], choices=STEADY)


# The regression


def test_a_ridge_that_shrinks_to_the_end_is_damped_persistence() -> None:
    rng = np.random.default_rng(0)
    x = np.zeros((600, 2))
    for t in range(1, 600):
        x[t] = 0.8 * x[t - 1] + rng.normal(size=2)
    y = ridge.ahead(x, 2)
    rows, month = ridge.rows_of(x, y), np.arange(600) % 12
    law = ridge.fit(x[rows], y[rows], month[rows], Choice(1, 0.0, 1e9), np.ones(2) / 2)
    assert law.b == pytest.approx(np.broadcast_to(0.64 * np.eye(2), law.b.shape), abs=0.08)
    assert law.b[3, 0, 1] == pytest.approx(0, abs=1e-6)


def test_without_shrinkage_and_season_it_is_least_squares() -> None:
    rng = np.random.default_rng(1)
    x, month = rng.normal(size=(400, 3)), np.arange(400) % 12
    y = x @ np.array([[1.0], [-2.0], [0.5]]) + 0.1 * rng.normal(size=(400, 1))
    choice = Choice(lags=3, sharpness=0.0, shrinkage=1e-9)
    law = ridge.fit(x, y, month, choice, np.ones(1))
    anomaly, theirs = (v - ridge.by_month(v, month)[month] for v in (x, y))
    expected = np.linalg.lstsq(anomaly, theirs, rcond=None)[0]
    assert law.b == pytest.approx(np.broadcast_to(expected, law.b.shape), abs=1e-6)


def test_lags_begin_with_this_month_and_what_lacks_is_nan() -> None:
    own, others = np.arange(5.0)[:, None], 10 + np.arange(5.0)[:, None]
    x = ridge.predictors(own, others, Choice(lags=3, coupling=1.0))
    assert x[4].tolist() == [4, 3, 2, 14, 13, 12]
    assert np.isnan(x[1]).tolist() == [False, False, True] * 2
    assert ridge.predictors(own, others, Choice(lags=3)).shape == (5, 3)


def test_held_back_parts_are_forecast_from_what_was_known_before() -> None:
    rng = np.random.default_rng(0)
    own, month = rng.normal(size=(240, 1)), np.arange(240) % 12
    before = ridge.held_back(own, own[:, :0], month, 2, Choice(), np.ones(1))
    changed = own.copy()
    changed[200:] += 100
    after = ridge.held_back(changed, own[:, :0], month, 2, Choice(), np.ones(1))
    assert np.isfinite(before).sum() == pytest.approx(119, abs=2)
    assert np.allclose(before[:180], after[:180], equal_nan=True)


def test_coupling_is_chosen_where_it_gains_and_only_there(known: dict[str, xr.DataArray]) -> None:
    short = until(known, 160)
    made = train(MEMBERS, short, months=1, log=["aod"])
    assert made.choices["air"][0].coupling > 0
    assert made.skill["air"][0] < 0.5
    alone = train(MEMBERS, short, months=1, log=["aod"], coupling="none")
    assert alone.choices["air"][0].coupling == 0
    assert made.skill["air"][0] < 0.8 * alone.skill["air"][0]


# Patterns


def test_patterns_give_a_field_back_in_its_unit(known: dict[str, xr.DataArray]) -> None:
    for name, log in (("t50", False), ("aod", True)):
        values = known[name]
        variable = Variable.of(values, log=log)
        found, rest = variable.amplitudes(values)
        month = np.arange(240)
        back = variable.field(found, month + 120, rest)
        assert back == pytest.approx(values.values.reshape(240, -1), rel=1e-9)
        assert np.square(found).mean(0) == pytest.approx(1, abs=0.01)


def test_land_is_left_out_and_stays_nan(known: dict[str, xr.DataArray]) -> None:
    values = known["t50"].copy()
    values[:, 0, 0] = np.nan
    variable = Variable.of(values)
    back = variable.field(variable.amplitudes(values)[0], np.arange(240) + 120)
    assert np.isnan(back[:, 0]).all()
    assert np.isfinite(back[:, 1:]).all()


# Ensembles


def test_a_forecast_is_nearer_than_persistence_and_as_wide_as_it_errs(
    known: dict[str, xr.DataArray], model: Spheres
) -> None:
    errors, spreads, kept = [], [], []
    for start in range(200, 236, 3):
        when = known["t50"]["time"].values[start]
        coming = forecast(model, known, str(when)[:7], members=40, seed=start)["air"]["t50"]
        truth = known["t50"].isel(time=start + 1)
        errors.append(coming.mean("member").isel(time=0) - truth)
        spreads.append(coming.std("member").isel(time=0))
        usual = 3 * (np.cos(np.pi * (start + 1) / 6) - np.cos(np.pi * start / 6))
        kept.append(known["t50"].isel(time=start) + usual - truth)
    error, spread, last = (float(np.sqrt(np.mean(np.square(v)))) for v in (errors, spreads, kept))
    assert error < 0.3 * last
    assert spread / error == pytest.approx(1, abs=0.35)


def test_the_mean_of_the_ensemble_is_the_forecast_and_the_future_is_not_looked_at(
    known: dict[str, xr.DataArray], model: Spheres
) -> None:
    one = forecast(model, known, "1998-06", members=0)["air"]["t50"][0]
    many = forecast(model, until(known, 222), "1998-06", members=400)["air"]["t50"]
    assert np.abs(many.mean("member") - one).max() < 0.1 * many.std("member").max()
    assert one.equals(forecast(model, until(known, 222), "1998-06", members=0)["air"]["t50"][0])
    again = forecast(model, known, "1998-06", members=400)["air"]["t50"]
    assert again.equals(many)


def test_without_an_eruption_the_air_is_colder_by_what_the_aerosol_warms(
    known: dict[str, xr.DataArray], model: Spheres
) -> None:
    erupted = {**known, "aod": known["aod"].copy()}
    erupted["aod"][210:] *= np.e
    runs = [
        forecast(model, erupted, "1997-06", members=0, given=["aerosol"], without=without)["air"]
        for without in (None, {"aerosol": "1997-07"})
    ]
    quiet = forecast(model, known, "1997-06", members=0, given=["aerosol"])["air"]
    effect = (runs[0] - quiet)["t50"].isel(member=0, latitude=1, longitude=0)
    assert float(effect[0]) == pytest.approx(0, abs=1e-9)  # aerosol of June warms July
    expected = EFFECT * np.cos(np.radians(20)) * np.array([1, 1.5, 1.75])
    assert effect.values[1:4] == pytest.approx(expected, rel=0.15)
    assert float(abs(runs[1]["t50"] - runs[0]["t50"]).max()) > 0.2


def test_spheres_of_other_records_are_at_their_mean_where_they_are_not_known(
    known: dict[str, xr.DataArray],
) -> None:
    short = {**known, "aod": known["aod"].isel(time=slice(60, 180))}
    made = train(MEMBERS, short, months=1, log=["aod"],
                 choices={name: STEADY[name][:1] for name in MEMBERS})  # fmt: skip
    coming = forecast(made, short, "1999-06", members=5)
    assert list(coming) == ["air"]
    axis, states = states_of(made.spheres, short)
    assert (axis.size, np.isfinite(states["aerosol"]).sum()) == (240, 120)


# The commands


def written(folder: Path, series: dict[str, xr.DataArray]) -> list[str]:
    files = []
    for name, values in series.items():
        files.append(str(folder / f"{name}.nc"))
        values.to_netcdf(files[-1], engine="h5netcdf")
    return files


def test_train_and_forecast_by_command(known: dict[str, xr.DataArray], tmp_path: Path) -> None:
    files, ckpt, out = written(tmp_path, known), str(tmp_path / "m.ckpt"), tmp_path / "season"
    spheres = ["--sphere", "air=t50", "--sphere", "aerosol=aod"]
    options = ["--log", "aod", "--until", "1988-12", "--months", "1", "--coupling", "always"]
    told = RUN.invoke(app, ["spheres", "train", *files, *spheres, *options, "-o", ckpt])
    assert told.exit_code == 0, told.output
    assert "error / damped persistence" in told.output
    made = load(ckpt)
    ask = ["spheres", "forecast", ckpt, *files, "--last", "1992-06", "-o", str(out)]
    told = RUN.invoke(app, [*ask, "--members", "5", "--given", "aerosol",
                            "--without", "aerosol=1992-07"])  # fmt: skip
    assert told.exit_code == 0, told.output
    assert [f.name for f in out.iterdir()] == ["air.nc"]
    with xr.open_dataset(out / "air.nc", engine="h5netcdf") as air:
        assert dict(air.sizes) == {"member": 5, "time": 90, "latitude": 4, "longitude": 6}
        assert air["t50"].attrs["units"] == "K"
        assert air["latitude"].attrs["units"] == "degrees_north"
        assert str(air["time"].values[0])[:7] == "1992-07"
        assert len(air.attrs["input_sha256"].split("\n")) == 3
        expected = forecast(made, known, "1992-06", members=5, given=["aerosol"],
                            without={"aerosol": "1992-07"})["air"]  # fmt: skip
        assert made.choices["aerosol"][0].coupling > 0
        assert np.allclose(air["t50"], expected["t50"])


BAD = [
    (["--sphere", "air"], r"--sphere is not understood: found air; expected ocean=sst"),
    (
        ["--sphere", "air=t51"],
        "a field of the model is missing: found none of its fields; expected also t51",
    ),
    (["--sphere", "air=t50", "--log", "rain"], "--log names no variable"),
    (["--sphere", "air=t50", "--coupling", "some"], "--coupling is not understood: found some"),
    (["--sphere", "air=t50", "--until", "June"], "this is no time: found June"),
    (["--sphere", "air=t50", "--until", "1982-12"], "record of air is too short: found 35 months"),
]


@pytest.mark.parametrize(("options", "what"), BAD)
def test_bad_requests_are_one_sentence(
    known: dict[str, xr.DataArray], tmp_path: Path, options: list[str], what: str
) -> None:
    files = written(tmp_path, known)
    told = RUN.invoke(app, ["spheres", "train", *files, *options, "-o", str(tmp_path / "m.ckpt")])
    assert told.exit_code == 2
    assert what in " ".join(told.output.split())
    assert not (tmp_path / "m.ckpt").exists()


def test_what_cannot_be_forecast_is_refused(known: dict[str, xr.DataArray], model: Spheres) -> None:
    with pytest.raises(SifnetError, match=r"not known in the last month: air, aerosol.*2005-01"):
        forecast(model, known, "2005-01")
    with pytest.raises(SifnetError, match="no such sphere: found ocean; expected air, aerosol"):
        forecast(model, known, "1998-01", given=["ocean"])
    with pytest.raises(SifnetError, match=r"usual of aerosol is not known before 1980-05"):
        forecast(model, known, "1998-01", without={"aerosol": "1980-05"})
    cold = {**known, "t50": known["t50"].assign_attrs(units="degC")}
    with pytest.raises(SifnetError, match=r"t50 is another than in training: found unit degC"):
        forecast(model, cold, "1998-01")
    with pytest.raises(SifnetError, match="cannot be forecast"):
        Variable.of(known["t50"] * 0)
    other = known["t50"].isel(latitude=slice(0, 3)).rename("u50")
    with pytest.raises(SifnetError, match="maps of different grids"):
        train({"air": ["t50", "u50"]}, {**known, "u50": other}, months=1)
