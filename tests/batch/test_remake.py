"""A product is made again, bit for bit, from its attributes; else what is missing is said."""

import json
from pathlib import Path

import h5netcdf
import pytest
import xarray as xr
from typer.testing import CliRunner, Result

from fakes.emulator import fake_emulator
from fakes.fitted import quick_fit, write_named
from sifnet import cli
from sifnet.batch.run import Job, run
from sifnet.physics.emulator import Emulator
from sifnet.product import pictures
from sifnet.product.netcdf import read
from sifnet.product.provenance import RECORD, told


@pytest.fixture(autouse=True)
def _toys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Emulator, "load", classmethod(lambda *_, **__: fake_emulator()))
    monkeypatch.setattr(pictures, "quicklook", lambda _, path: path.write_bytes(b"PNG"))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A product with all that its attributes must tell: model, atmosphere, blocks."""
    folder = tmp_path_factory.mktemp("made")
    quick_fit()[1].save(folder / "model.ckpt")
    known = {"surface_pressure": 1010.0, "surface_pressure_uncertainty": 3.0}
    air = xr.Dataset(known)
    for name in known:
        air[name].attrs["units"] = "hPa"
    air.to_netcdf(folder / "air.nc", engine="h5netcdf")
    job = Job(folder / "maps", folder / "model.ckpt", atmosphere=folder / "air.nc", aggregate=4)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pictures, "quicklook", lambda _, path: path.write_bytes(b"PNG"))
        (outcome,) = run(job, [write_named(folder)])
    assert outcome.product is not None, outcome.error
    return outcome.product


def _remake(product: Path, output: Path) -> Result:
    return CliRunner().invoke(cli.app, ["remake", str(product), "-o", str(output)])


def test_a_product_is_remade_bit_for_bit(made: Path, tmp_path: Path) -> None:
    result = _remake(made, tmp_path)
    assert result.exit_code == 0, result.output
    assert f"the same as {made} in all its values" in result.output
    # And is itself one that can be remade; a value that differs is told.
    with h5netcdf.File(tmp_path / made.name, "a") as file:
        file["sif_760"][3, 4] = 9.0
        file.attrs["made_with"] = "another torch"
    result = _remake(tmp_path / made.name, tmp_path / "again")
    assert result.exit_code == 1
    assert "other values: sif_760; it was made with another torch" in result.output


@pytest.mark.parametrize("name", ["a_FLUO_radiance.dat", "model.ckpt", "air.nc"])
def test_what_is_missing_or_changed_is_named(made: Path, tmp_path: Path, name: str) -> None:
    file = made.parent.parent / name
    before = file.read_bytes()
    try:
        file.write_bytes(before[:-1] + b"?")
        changed = _remake(made, tmp_path)
        file.unlink()
        gone = _remake(made, tmp_path)
    finally:
        file.write_bytes(before)
    for result, missing in ((changed, f"found {file}: "), (gone, f"found {file}: no such file")):
        assert result.exit_code == 2
        assert "what this product was made of is not there as it was" in result.output
        assert missing in result.output
    assert not list(tmp_path.iterdir())


def test_what_cannot_be_remade_is_refused(made: Path, tmp_path: Path) -> None:
    assert "is not remade in its own place" in _remake(made, made.parent).output
    assert "found no attributes" in _remake(tmp_path / "none.nc", tmp_path).output
    copy = tmp_path / made.name
    copy.write_bytes(made.read_bytes())
    with h5netcdf.File(copy, "a") as file:
        file.attrs["sifnet_version"] = "0.0.1"
    assert "found sifnet" in _remake(copy, tmp_path / "out").output
    record = told(read(copy))
    assert json.loads(record.pop("settings"))["aggregate"] == 4
    with h5netcdf.File(copy, "a") as file:
        file.variables[RECORD][...] = json.dumps(
            {n: record[n] for n in record if n != "scene_path"}
        )
    assert (
        "cannot be remade from its attributes: found no settings, scene_path"
        in _remake(copy, tmp_path / "out").output
    )
