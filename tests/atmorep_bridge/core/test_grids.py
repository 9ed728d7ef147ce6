"""Points without rows and columns: where they are, what they count, who is near, and a forecast."""

from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr
from typer.testing import CliRunner

from atmorep_bridge.air.state import atmosphere_at
from atmorep_bridge.cli import app
from atmorep_bridge.core import skill, tasks
from atmorep_bridge.core.cells import Cells, in_tokens
from atmorep_bridge.core.grids import Regular
from atmorep_bridge.core.outputs import write_fields, write_published
from atmorep_bridge.core.samples import Samples
from atmorep_bridge.core.specs import FieldSpec, Setup, Size
from atmorep_bridge.core.training import Core, Training, load, train
from atmorep_bridge.core.windows import Region, open_region
from fakes import grids as fakes
from sifnet.errors import SifnetError

pytest.importorskip("astropy_healpix", reason="the extra `bridge` is not installed")
NAME, SIDE = "temperature_2m", 8
SPEC = (FieldSpec(NAME, patch=(2, 4, 4)),)
SMALL = Size(width=16, heads=2, encoder_layers=1, decoder_layers=1, members=3)
SETUP = Setup(SPEC, (8, 12, 12), rings=(1, 2), size=SMALL)
LAST = np.datetime64("2020-06-23T12", "ns")


def cells(places: tuple[np.ndarray, ...], most: int = 16) -> tuple[Cells, np.ndarray]:
    index = in_tokens(places[0], places[1], most)
    return Cells(*(np.where(index >= 0, axis[index], np.nan) for axis in places[:2])), index


def vectors(grid: Cells) -> np.ndarray:
    y, x = (np.deg2rad(axis.ravel()) for axis in grid.points)
    return np.stack([np.cos(y) * np.cos(x), np.cos(y) * np.sin(x), np.sin(y)], -1)


def sphere(order: str) -> xr.Dataset:
    """Waves that drift around the Earth, on all pixels; in rings, one file in easy.gems' layout."""
    north, east = fakes.healpix(SIDE, order)
    hours = np.arange(96)[:, None]
    angle, narrow = np.deg2rad(east), np.cos(np.deg2rad(north))
    wave = narrow**2 * np.sin(2 * angle - hours / 5) + narrow * np.cos(angle - hours / 3)
    values = ("time", "cell"), (288 + 3 * wave).astype("f4"), {"units": "K"}
    about = {"grid_mapping_name": "healpix", "healpix_nside": SIDE, "healpix_order": order}
    times = np.datetime64("2020-06-20", "ns") + hours[:, 0] * np.timedelta64(1, "h")
    return xr.Dataset({"t2m": values, "crs": ((), 0, about)}, {"time": times})


@pytest.fixture(scope="module")
def rings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("healpix") / "era5.nc"
    sphere("ring").to_netcdf(path, engine="h5netcdf")
    return path


@pytest.fixture(scope="module")
def globe(rings: Path) -> Region:
    return open_region([rings], SPEC)


@pytest.fixture(scope="module")
def core(globe: Region, tmp_path_factory: pytest.TempPathFactory) -> Core:
    past = globe.between(globe.times[0], LAST)
    config = Training(steps=4, steps_per_epoch=2, batch=2)
    return train(past, SETUP, tmp_path_factory.mktemp("model") / "m.ckpt", config=config)


def test_areas_are_those_of_the_sphere() -> None:
    """Of HEALPix all the same; of a Gaussian grid its weights, but for the polar caps."""
    grid, index = cells(fakes.healpix(16))
    assert float(grid.area.double().sum()) == pytest.approx(4 * np.pi, rel=1e-6)
    assert torch.equal(grid.area, grid.area[:1, :1].expand_as(grid.area))
    *places, weights = fakes.gaussian(32)
    assert weights.sum() == pytest.approx(4 * np.pi)
    grid, index = cells(tuple(places), 36)
    there = index >= 0
    area = grid.area.double().numpy()[there]
    assert area.sum() == pytest.approx(4 * np.pi, rel=1e-6)
    inner = np.abs(places[0][index[there]]) < 85
    np.testing.assert_allclose(area[inner], weights[index[there]][inner], rtol=2e-3)
    np.testing.assert_allclose(area, weights[index[there]], rtol=0.06)


def test_pixels_of_a_token_are_the_children_of_one() -> None:
    """In nested order four, sixteen, ... in a row; and the same places where a file has rings."""
    from astropy_healpix import healpy

    assert np.array_equal(in_tokens(*fakes.healpix(16), 16), np.arange(12 * 256).reshape(-1, 16))
    in_rings = in_tokens(*fakes.healpix(16, "ring"), 16)
    assert np.array_equal(healpy.ring2nest(16, in_rings), np.arange(12 * 256).reshape(-1, 16))


@pytest.mark.parametrize("most", [16, 36, 100])
def test_every_point_is_in_one_token_of_its_surroundings(most: int) -> None:
    """Few slots are empty; asked with the number that came out, tokens are the same."""
    north, east, _ = fakes.gaussian(32)
    grid, index = cells((north, east), most)
    assert np.array_equal(np.sort(index[index >= 0]), np.arange(north.size))
    assert (index >= 0).mean() > 0.9
    assert np.array_equal(in_tokens(north, east, index.shape[1]), index)
    there = vectors(grid).reshape(*grid.shape, 3)
    middle = np.nanmean(there, 1, keepdims=True)
    apart = np.nanmax(np.linalg.norm(there - middle, axis=-1), 1)
    assert np.median(apart) < 2.5 * np.sqrt(4 * np.pi / grid.shape[0] / np.pi)


def test_neighbours_are_those_of_a_library() -> None:
    """Eight compass directions hit most of the eight pixels that touch one, of every pixel."""
    from astropy_healpix import neighbours

    grid, _ = cells(fakes.healpix(16))
    pixels = np.arange(12 * 256)
    with np.errstate(invalid="ignore"):  # where but seven touch
        theirs = neighbours(pixels, 16, order="nested").T
    found = grid.neighbours(pixels, (1,))
    assert np.array_equal(found[:, 0], pixels)
    hit = [len(set(a[1:]) & set(b)) for a, b in zip(found, theirs, strict=True)]
    assert min(hit) >= 6
    assert np.mean(hit) > 7


@pytest.mark.parametrize("places", [fakes.healpix(16), fakes.gaussian(32)])
def test_neither_the_date_line_nor_a_pole_is_an_edge(places: tuple[np.ndarray, ...]) -> None:
    grid, _ = cells(places)
    where, side = vectors(grid), np.deg2rad(grid.step[0])
    there = np.flatnonzero(np.isfinite(where[:, 0]))
    near = grid.neighbours(there, (1, 3))
    apart = 2 * np.arcsin(np.linalg.norm(where[near] - where[there][:, None], axis=-1) / 2)
    assert apart[:, 1:9].max() < 2.5 * side
    assert apart[:, 9:].max() < 5.5 * side
    north, east = (axis.ravel() for axis in grid.points)
    seam = (np.abs(east[there]) > 178) & (np.abs(north[there]) < 60)
    assert all(len(set(np.sign(east[row]))) == 2 for row in near[seam])
    pole = there[north[there] > 90 - 1.5 * grid.step[0]]
    turned = np.abs((east[grid.neighbours(pole, (3,))] - east[pole][:, None] + 180) % 360 - 180)
    assert turned.max(1).min() > 90


def test_windows_are_patches_and_tiles_leave_nothing_out() -> None:
    grid, _ = cells(fakes.gaussian(32), 36)
    shape = (12, grid.shape[1])
    rng = np.random.default_rng(0)
    count = np.zeros(grid.shape[0])
    for _ in range(200):
        (wide, columns), more = grid.around(grid.draw(rng, shape), shape, (1, 2))
        rows = wide[: wide.size - more[1]]
        assert rows.size == 12
        assert len(set(wide)) == wide.size
        near = grid.neighbours(rows[:, None] * columns.size + columns, (1, 2))
        assert set(np.unique(near // columns.size)) <= set(wide)
        count[rows] += 1
    assert (count > 0).mean() > 0.99
    covered = np.zeros(grid.shape[0])
    for (rows, _), weight in grid.tiles(shape, 1):
        assert float(weight.min()) > 0
        covered[rows] += 1
    assert covered.min() >= 1
    assert covered.mean() > 2


def test_a_window_is_told_where_its_tokens_are(globe: Region, core: Core) -> None:
    """Offsets on the plane are distances on the sphere, over the pole too."""
    grid = globe.grid
    _, columns = place = grid.window((0, 0), core.setup.neighbourhood[1:])
    told = grid.tokens(place, (1, columns.size))
    y, x = (np.deg2rad(axis[:, 0]) for axis in (told.latitude, told.longitude))
    where = np.stack([np.cos(y) * np.cos(x), np.cos(y) * np.sin(x), np.sin(y)], -1)
    plane = np.stack([told.north[:, 0], told.east[:, 0]], -1) * np.deg2rad(grid.step[0])
    true, flat = (np.linalg.norm(p[:, None] - p, axis=-1) for p in (where, plane))
    np.testing.assert_allclose(flat, true, atol=0.15)
    np.testing.assert_allclose(told.area, 1.0, rtol=1e-6)


def test_a_globe_of_pixels_is_forecast_in_its_own_order(
    globe: Region, core: Core, tmp_path: Path
) -> None:
    """Pixels in rings, cut into nested tokens, come back in rings; twice nearer than persistence.
    The file that is written is opened like the one that was given."""
    assert core.setup.neighbourhood == (8, 9, 16)
    assert set(core.setup.plans) == {"causal", "gap", "random", "block", "field"}
    found = tasks.nowcast(core, globe, LAST, 4)
    truth = sphere("ring").sel(time=found["time"].values)["t2m"].values
    now = sphere("ring").sel(time=LAST)["t2m"].values
    error, held = (float(np.sqrt(np.mean((v - truth) ** 2)))
                   for v in (found[NAME].mean("member").values, now))  # fmt: skip
    assert error < 0.5 * held
    assert found[NAME].dims == ("member", "time", "cell")
    north, east = fakes.healpix(SIDE, "ring")
    np.testing.assert_allclose(found["latitude"], north, atol=1e-4)
    np.testing.assert_allclose((found["longitude"] - east + 180) % 360, 180, atol=1e-4)
    write_fields(found, tmp_path / "f.nc")
    with xr.open_dataset(tmp_path / "f.nc", engine="h5netcdf") as written:
        assert written["crs"].attrs["healpix_order"] == "ring"
        assert written["cell"].values.tolist() == list(range(12 * SIDE**2))
        mean = written["t2m"].mean("member")
        mean = mean.assign_attrs(units="K").to_dataset()
        mean.to_netcdf(tmp_path / "mean.nc", engine="h5netcdf")
    again = open_region([tmp_path / "mean.nc"], SPEC)
    assert core.statistics.place(again)[0].size == globe.grid.shape[0]


def test_members_gaps_scores_and_stations_need_no_rows(globe: Region, core: Core) -> None:
    test = globe.part(globe.times.size - 40, globe.times.size)
    scores = skill.scores(skill.gap_cases(core, test, NAME, 8, 2))
    assert scores["rmse"].value < 0.5 * scores["rmse linear in time"].value + 0.1
    index, weight, inside = globe.grid.between(np.array([10.0, 89.9]), np.array([179.99, 0.0]))
    assert inside.all()
    np.testing.assert_allclose(weight.sum(1), 1.0)
    assert (np.abs(globe.longitude.ravel()[index[0]]) > 160).all()


def test_hidden_cells_do_not_show_through(globe: Region, core: Core) -> None:
    samples = Samples(globe, core.setup, core.statistics, seed=0)
    sample = samples[3]
    assert sample["truth"][NAME].shape == (1, 8, 9, 16)
    assert torch.isfinite(sample["input"][NAME]).all()


def test_a_constant_stays_constant(tmp_path: Path) -> None:
    data = sphere("nested")
    data["t2m"] = (0 * data["t2m"] + 280).assign_attrs(units="K")
    data.to_netcdf(tmp_path / "flat.nc", engine="h5netcdf")
    region = open_region([tmp_path / "flat.nc"], SPEC)
    config = Training(steps=1, steps_per_epoch=1, batch=1)
    flat = train(region, SETUP, tmp_path / "m.ckpt", config=config)
    ahead = tasks.nowcast(flat, region, LAST, 4)[NAME]
    np.testing.assert_allclose(ahead, 280.0, atol=1e-4)


def test_what_needs_rows_and_columns_is_refused(globe: Region, core: Core, tmp_path: Path) -> None:
    for task in (tasks.downscale, tasks.correct):
        with pytest.raises(
            SifnetError, match="without rows and columns: found time of .* token of"
        ):
            task(core, globe, globe.times[0])
    ensemble = tasks.nowcast(core, globe, LAST, 2)
    with pytest.raises(SifnetError, match="without rows and columns"):
        write_published(tmp_path, ensemble)
    with pytest.raises(SifnetError, match="without rows and columns"):
        atmosphere_at(ensemble, 50.0, 6.0, ensemble["time"].values[0])
    mixed = Setup((*SPEC, FieldSpec("surface_pressure", patch=(2, 6, 6))), (8, 12, 12))
    with pytest.raises(SifnetError, match="tokens of as many points"):
        globe.grid.setup(mixed)
    other, _ = cells(fakes.healpix(16))
    assert core.statistics.grid.place(other) is None
    assert Regular(np.arange(3.0), np.arange(3.0), False).place(other) is None


def test_days_of_era5_on_a_gaussian_grid_from_the_command_line(
    shared_data: Path, tmp_path: Path
) -> None:
    """Over the United Kingdom, interpolated to O320: trained, forecast and written as it came."""
    file = shared_data / "era5" / "era5_t2m_uk_201903_hourly.nc"
    with xr.open_dataset(file, engine="h5netcdf") as whole:
        part = whole[["t2m"]].isel(time=slice(0, 120)).load().drop_encoding()
    data = fakes.on_gaussian(part, 320)
    data["t2m"].attrs["units"] = "K"
    data.to_netcdf(tmp_path / "o320.nc", engine="h5netcdf")
    command = ["train", tmp_path / "o320.nc", "--field", "t2m", "--neighbourhood", "12,12,12",
               "--patch", "3,4,4", "--steps", "2", "--batch", "2", "--until", "2019-03-04T23",
               "-o", tmp_path / "m.ckpt"]  # fmt: skip
    ask = ["nowcast", tmp_path / "m.ckpt", tmp_path / "o320.nc", "--last", "2019-03-05T06",
           "--hours", "3", "-o", tmp_path / "f.nc"]  # fmt: skip
    for each in (command, ask):
        result = CliRunner().invoke(app, list(map(str, each)))
        assert result.exit_code == 0, result.output
    assert load(tmp_path / "m.ckpt").setup.fields[0].patch[:2] == (3, 1)
    with xr.open_dataset(tmp_path / "f.nc", engine="h5netcdf") as found:
        assert (
            found["t2m"].dims == ("number", "time", "values") or found["t2m"].dims[-1] == "values"
        )
        np.testing.assert_allclose(found["latitude"], data["latitude"], atol=1e-4)
        truth = data["t2m"].sel(time=found["time"].values).values
        now = data["t2m"].sel(time="2019-03-05T06").values
        error = found["t2m"].mean("member").values - truth
        assert np.std(error) < 0.8 * np.std(now - truth)
