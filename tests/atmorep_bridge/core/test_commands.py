"""The command line, end to end, on files of a drifting wave."""

from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from typer.testing import CliRunner

from atmorep_bridge.cli import app
from atmorep_bridge.core.training import load
from sifnet.errors import SifnetError

RUN = CliRunner()
LAST = "2020-06-23T12"


def run(*arguments: object, code: int = 0) -> str:
    result = RUN.invoke(app, [str(a) for a in arguments])
    assert result.exit_code == code, result.output
    return result.output


def test_train_then_ask_everything(waves: Path, tmp_path: Path) -> None:
    model = tmp_path / "model.ckpt"
    run("train", waves, "--field", "t2m", "--field", "ps", "--until", "2020-06-22T12",
        "--neighbourhood", "8,8,8", "--patch", "2,4,4", "--steps", "2", "--batch", "2",
        "-o", model)  # fmt: skip
    setup = load(model).setup
    assert setup.names == ("temperature_2m", "surface_pressure")
    assert setup.fields[0].coupled == ("surface_pressure",)
    run("nowcast", model, waves, "--last", LAST, "--hours", "6", "-o", tmp_path / "f.nc",
        "--published", tmp_path / "zarr", "--atmosphere", tmp_path / "atmosphere.nc",
        "--place", "51.2,1.7", "--elevation", "92", "--model-height", "120")  # fmt: skip
    assert xr.open_dataset(tmp_path / "f.nc").sizes["time"] == 6
    air = xr.open_dataset(tmp_path / "atmosphere.nc")
    assert 980 < float(air["surface_pressure"]) < 1020
    assert len(list((tmp_path / "zarr").glob("*.zarr"))) == 2
    with xr.open_dataset(waves) as data:
        seen = float(data["t2m"].sel(time="2020-06-23T14", latitude=51.25, longitude=1.75))
    (tmp_path / "s.csv").write_text(
        f"time,latitude,longitude,field,value,sigma\n2020-06-23T14,51.25,1.75,t2m,{seen},0.2\n"
    )
    run("nowcast", model, waves, "--last", LAST, "--stations", tmp_path / "s.csv",
        "-o", tmp_path / "s.zarr")  # fmt: skip
    told = xr.open_zarr(tmp_path / "s.zarr", consolidated=False)["2m_temperature"]
    differ = abs(told[:, 0].values - xr.open_dataset(tmp_path / "f.nc")["t2m"].values)
    assert differ[:, 1].max() > 0
    run("interpolate", model, waves, "--first", LAST, "--last", LAST, "-o", tmp_path / "i.nc")
    run("correct", model, waves, "--first", LAST, "-o", tmp_path / "c.nc")
    run("counterfactual", model, waves, "--last", LAST, "--change", "t2m+2", "--change", "ps*1.01",
        "-o", tmp_path / "x.nc")  # fmt: skip
    assert "t2m_change" in xr.open_dataset(tmp_path / "x.nc")
    fine = xr.open_dataset(waves).sortby("latitude")
    coarse = fine.coarsen(latitude=4, longitude=4).mean()
    for name in ("t2m", "sp"):
        coarse[name].attrs = fine[name].attrs
    coarse.to_netcdf(tmp_path / "coarse.nc", engine="h5netcdf")
    run("downscale", model, tmp_path / "coarse.nc", "--first", LAST, "-o", tmp_path / "d.nc")
    assert xr.open_dataset(tmp_path / "d.nc").sizes["latitude"] == 12
    shown = run("evaluate", model, waves, "--from", "2020-06-23", "--every", "4")
    for word in ("nowcast", "gap", "downscaling"):
        assert word in shown.replace("\n", "")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["train", "F", "--field", "cloud", "-o", "m"], "field of the model is missing"),
        (["train", "F", "--field", "t2m", "--size", "huge", "-o", "m"], "unknown size"),
        (["train", "F", "--field", "t2m", "--patch", "3,6", "-o", "m"], "--patch is not"),
        (["train", "F", "--field", "t2m", "--until", "noon", "-o", "m"], "this is no time"),
        (["train", "F", "--field", "tcwv", "-o", "m"], "field of the model is missing"),
        (["nowcast", "M", "F", "--last", LAST, "--atmosphere", "a.nc", "-o", "f.nc"], "--place"),
        (["counterfactual", "M", "F", "--last", LAST, "--change", "t2m", "-o", "f.nc"], "change"),
        (["train", "F", "--field", "t2m", "--patch", "0,6,6", "-o", "m"], "patch is impossible"),
        (["train", "F", "--field", "t2m", "--patch", "3,6,5.5", "-o", "m"], "--patch is not"),
        (["train", "F", "--field", "t2m", "--patch", "nan,6,6", "-o", "m"], "--patch is not"),
        (
            ["train", "F", "--field", "t2m", "--neighbourhood", "0,24,24", "-o", "m"],
            "neighbourhood is impossible",
        ),
        (["train", "F", "--field", "q@1e400", "-o", "m"], "--field is not"),
        (["train", "F", "--field", "t2m", "--until", "NaT", "-o", "m"], "this is no time"),
        (["train", "F", "--field", "t2m", "--until", "3000-01-01", "-o", "m"], "this is no time"),
        (["train", "F", "--field", "t2m", "--seed", "-1", "-o", "m"], "seed is impossible"),
        (
            ["train", "F", "--field", "t2m", "--precision", "33", "-o", "m"],
            "precision is not known",
        ),
        (["train", "F", "--field", "t2m", "--device", "abacus", "-o", "m"], "device is not known"),
        (["train", "F", "--field", "t2m", "--strategy", "luck", "-o", "m"], "is not known"),
        (
            [
                "nowcast",
                "M",
                "F",
                "--last",
                LAST,
                "--atmosphere",
                "a.nc",
                "-o",
                "f.nc",
                "--place",
                "95,6",
            ],
            "--place: latitude is impossible",
        ),
    ],
)
def test_bad_requests_are_one_sentence(
    arguments: list[str], said: str, waves: Path, trained: Path, tmp_path: Path
) -> None:
    names = {"F": str(waves), "M": str(trained), "m": str(tmp_path / "m"),
             "f.nc": str(tmp_path / "f.nc"), "a.nc": str(tmp_path / "a.nc")}  # fmt: skip
    output = run(*(names.get(a, a) for a in arguments), code=2)
    assert said in " ".join(output.split())


def test_levels_and_changes_are_read() -> None:
    from atmorep_bridge.core.commands import _change, _field

    spec = _field("q@105,137", (3, 6, 6))
    assert (spec.name, spec.levels) == ("specific_humidity", (105, 137))
    name, rule = _change("q*1.1")
    assert name == "specific_humidity"
    np.testing.assert_allclose(rule(np.array([2.0])), 2.2)
    with pytest.raises(SifnetError, match="numbers"):
        _field("q@low", (3, 6, 6))
