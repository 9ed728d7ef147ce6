"""``atmosphere.nc``: what it says, where that came from, and that sifnet takes it as its prior."""

from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from typer.testing import CliRunner, Result

from atmorep_bridge import cli
from atmorep_bridge.air.columns import PROFILE_HEIGHTS, temperature_offset
from atmorep_bridge.air.state import checksum, state, write
from fakes.fields import (
    AOT,
    cams,
    ensemble,
    pressure_at,
    pressure_levels,
    scene_at,
    single_levels,
    temperature_at,
    write_dem,
)
from fakes.fields import write as write_fields
from fakes.hyplant import PLACE, fake_hyplant
from sifnet.errors import SifnetError
from sifnet.product.retrieve import read_atmosphere
from sifnet.retrieval.pixels import read
from sifnet.retrieval.prior import describe, on_terrain

HOUR = 9 + 20 / 60


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("fields")
    return [
        write_fields(pressure_levels(), folder / "era5.nc"),
        write_fields(single_levels(), folder / "era5_sfc.nc"),
        write_fields(cams(), folder / "cams.nc"),
    ]


def test_values_are_those_of_the_known_air(files: list[Path]) -> None:
    found = state(scene_at(), files)
    truth = float(pressure_at(0.1, 51.1, 6.4, HOUR))
    assert float(found["surface_pressure"]) == pytest.approx(truth, abs=0.02)
    assert float(found["aot_550"]) == pytest.approx(AOT)
    assert float(found["surface_altitude"]) == pytest.approx(0.1)
    p = pressure_at(0.1 + PROFILE_HEIGHTS, 51.1, 6.4, HOUR)
    offset, _ = temperature_offset(p, temperature_at(p, 51.1, 6.4, HOUR))
    assert float(found["temperature_offset"]) == pytest.approx(float(offset), abs=0.02)
    table = found["air_pressure"].sel(altitude=[0.0, 1.0])
    np.testing.assert_allclose(table, pressure_at([0.0, 1.0], 51.1, 6.4, HOUR), atol=0.02)


def test_the_file_holds_what_is_read_and_no_more(files: list[Path]) -> None:
    scalars = {"surface_pressure", "temperature_offset", "aot_550"}
    uncertain = {f"{name}_uncertainty" for name in scalars}
    held = set(state(scene_at(), files, elevation=100.0).data_vars)
    assert held == scalars | uncertain | {"air_pressure", "surface_altitude", "ground_elevation"}


def test_uncertainty_is_stated_with_its_parts(files: list[Path]) -> None:
    found = state(scene_at(), files)
    sd = found["surface_pressure_uncertainty"]
    assert 1.1 < float(sd) < 1.2  # 1 hPa of analysis, 0.5 of elevation, little else
    for part in ("analysis 1", "elevation 0.5", "1 h between analyses 0.08", "from model ground"):
        assert part in sd.attrs["comment"]
    assert float(found["aot_550_uncertainty"]) == pytest.approx(0.05 + 0.2 * AOT)
    assert 1.0 <= float(found["temperature_offset_uncertainty"]) < 1.5


def test_members_replace_the_default(tmp_path: Path) -> None:
    found = state(scene_at(), [write_fields(ensemble(1.6), tmp_path / "eda.nc")])
    sd = found["surface_pressure_uncertainty"]
    assert float(sd) == pytest.approx(np.hypot(1.6, 0.5), rel=0.03)
    assert "spread of 10 members 1." in sd.attrs["comment"]


def test_the_spread_over_a_long_line_counts(files: list[Path]) -> None:
    track = np.linspace(50.1, 51.9, 6)
    found = state(scene_at(("line", track), ("line", np.full(6, 6.4))), files)
    spread = float(pressure_at(0.1, track, 6.4, HOUR).std())
    sd = found["surface_pressure_uncertainty"]
    assert float(sd) > spread
    stated = sd.attrs["comment"].rpartition("spread over the footprint ")[2]
    assert float(stated) == pytest.approx(spread, rel=0.01)


def test_far_from_the_model_s_ground_the_uncertainty_grows(files: list[Path]) -> None:
    near, far = (float(state(scene_at(elevation=z), files)["surface_pressure_uncertainty"])
                 for z in (0.3, 2.0))  # fmt: skip
    assert far > near + 0.2


def test_without_aerosol_there_is_none(files: list[Path]) -> None:
    found = state(scene_at(), files[:1])
    assert "aot_550" not in found
    assert found.attrs["source"] == "ERA5; elevation of the scene"


def test_the_file_is_cf_and_says_where_it_came_from(files: list[Path], tmp_path: Path) -> None:
    made = state(scene_at(), files, command="atmorep-bridge state line.hdr")
    stored = read_atmosphere(write(made, tmp_path / "atmosphere.nc"))
    assert stored is not None
    xr.testing.assert_identical(stored.drop_attrs(), made.drop_attrs())
    assert stored.attrs["Conventions"] == "CF-1.11"
    assert stored.attrs["source"] == "ERA5 and CAMS; elevation of the scene"
    assert "atmorep-bridge state line.hdr" in stored.attrs["history"]
    assert stored.attrs["input_files"].split("\n") == [str(file) for file in files]
    assert stored.attrs["input_sha256"].split("\n") == [checksum(str(file)) for file in files]
    for name, variable in stored.data_vars.items():
        assert "units" in variable.attrs, name
        assert {"long_name", "standard_name"} & set(variable.attrs), name
    assert stored["time"].values == np.datetime64("2020-06-25T09:20:00")
    for name in ("surface_pressure", "temperature_offset", "aot_550"):
        assert stored[name].attrs["ancillary_variables"] == f"{name}_uncertainty"


def test_the_same_input_gives_the_same_bytes(files: list[Path], tmp_path: Path) -> None:
    one, other = (
        write(state(scene_at(), files), tmp_path / name).read_bytes() for name in ("a.nc", "b.nc")
    )
    assert one == other


def test_checksums_of_folders_and_addresses(tmp_path: Path) -> None:
    (tmp_path / "zarr.json").write_text("{}")
    first = checksum(str(tmp_path))
    (tmp_path / "zarr.json").write_text("{ }")
    assert checksum(str(tmp_path)) != first
    assert checksum("gs://bucket/era5.zarr") == "?"


def test_an_output_that_cannot_be_written_is_refused(files: list[Path], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SifnetError, match="the output cannot be written"):
        write(state(scene_at(), files), tmp_path / "file" / "atmosphere.nc")


def test_sifnet_takes_it_as_its_prior(files: list[Path], tmp_path: Path) -> None:
    scene = scene_at(elevation=0.1)
    given = read_atmosphere(write(state(scene, files), tmp_path / "atmosphere.nc"))
    assert given is not None
    prior = read(scene, slice(0, 6), (6, 5), atmosphere=given).prior
    for name in ("surface_pressure", "temperature_offset", "aot_550"):
        assert float(getattr(prior.mean, name).mean()) == pytest.approx(
            float(given[name]), abs=0.02
        )
        assert float(getattr(prior.sd, name).mean()) == pytest.approx(
            float(given[f"{name}_uncertainty"])
        )
    assert "surface_pressure" in describe(given)


def test_relief_makes_pressure_vary_by_pixel(files: list[Path], tmp_path: Path) -> None:
    """300 m of relief: every pixel's pressure is that of its own elevation."""
    lines = samples = 16
    scene = scene_at(None, None, lines=lines, samples=samples, crs="EPSG:4326",
                     transform=[1e-3, 0, 6.4, 0, -1e-3, 51.1])  # fmt: skip
    metres = 100 + 300 * np.linspace(0, 1, 40)[None] * np.ones((40, 1))
    dem = write_dem(tmp_path / "dem.tif", metres, 6.39, 51.11, 1e-3)
    found = state(scene, files, elevation=dem)
    assert found.attrs["source"].endswith("elevation of DEM dem.tif")
    given = read_atmosphere(write(found, tmp_path / "atmosphere.nc"))
    on_ground = on_terrain(scene, given)
    ground = on_ground.dataset["ground_elevation"]
    assert ground.dims == ("line", "sample")
    prior = read(on_ground, slice(0, lines), (1, 1), atmosphere=given).prior
    pressure = prior.mean.surface_pressure.reshape(lines, samples).numpy()
    east = 6.4 + 1e-3 * (np.arange(samples) + 0.5)
    truth = pressure_at(ground.values, 51.092, east, HOUR)
    assert pressure.max() - pressure.min() > 12
    # The footprint's mean air is used at every elevation: 0.016 degrees of it are 0.02 hPa.
    np.testing.assert_allclose(pressure, truth, atol=0.05)
    height = on_ground.dataset["sensor_height"] + ground  # the aircraft flies level
    assert float(height.max() - height.min()) == pytest.approx(0, abs=1e-6)


# The command line.


def bridge(*arguments: object) -> Result:
    return CliRunner().invoke(cli.app, [str(argument) for argument in arguments])


def test_the_command_writes_and_shows_the_state(files: list[Path], tmp_path: Path) -> None:
    scene = fake_hyplant(tmp_path)
    output = tmp_path / "atmosphere.nc"
    result = bridge("state", scene, "--fields", *files, "--elevation", 92, "-o", output)
    assert result.exit_code == 0, result.output
    stored = xr.open_dataset(output, engine="h5netcdf")
    truth = pressure_at(0.092, *PLACE, 9 + (32 + 10 / 60) / 60)
    assert float(stored["surface_pressure"]) == pytest.approx(float(truth), abs=0.03)
    assert float(stored["ground_elevation"]) == pytest.approx(0.092)
    assert stored.attrs["source"] == "ERA5 and CAMS; elevation of 92 m, given"
    for text in ("surface_pressure", "hPa", "aot_550", "analysis 1", str(output)):
        assert text in result.output.replace("\n", "")


@pytest.mark.parametrize("repeated", [False, True])
def test_fields_may_follow_or_repeat_the_option(
    repeated: bool, files: list[Path], tmp_path: Path
) -> None:
    given = [x for f in files for x in ("--fields", f)] if repeated else ["--fields", *files]
    scene = fake_hyplant(tmp_path)
    result = bridge("state", scene, *given, "--elevation", 92, "-o", tmp_path / "a.nc")
    assert result.exit_code == 0, result.output
    stored = xr.open_dataset(tmp_path / "a.nc", engine="h5netcdf")
    assert len(stored.attrs["input_files"].split("\n")) == 3


@pytest.mark.parametrize(
    ("elevation", "fields", "message"),
    [
        (None, "era5.nc", "the elevation of the ground is not known"),
        ("92", "absent.nc", "no such file"),
        ("92", "cams.nc", "do not hold what a column of air needs"),
        ("nowhere.tif", "era5.nc", "the elevation model cannot be used"),
    ],
)
def test_bad_input_is_one_line_and_code_2(
    elevation: str | None, fields: str, message: str, files: list[Path], tmp_path: Path
) -> None:
    scene = fake_hyplant(tmp_path)
    height = [] if elevation is None else ["--elevation", elevation]
    file = files[0].parent / fields
    result = bridge("state", scene, "--fields", file, *height, "-o", tmp_path / "a.nc")
    assert result.exit_code == 2
    assert message in " ".join(result.output.split())
    assert "Traceback" not in result.output
    assert not (tmp_path / "a.nc").exists()


def test_help_teaches() -> None:
    text = " ".join(bridge("state", "--help").output.replace("│", " ").split())
    for word in ("ERA5", "geopotential", "CAMS", "--elevation", "DEM.tif", "Example"):
        assert word in text
    assert "atmorep-bridge state" in " ".join(bridge("--help").output.split())
