from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr

from atmorep_bridge.aerosol.forecast import calibrate, forecast
from atmorep_bridge.aerosol.model import AerosolModel, AerosolTraining, fit, load
from atmorep_bridge.aerosol.net import AerosolNet, Pool, normalised, padded
from atmorep_bridge.aerosol.series import Scaling, windows
from atmorep_bridge.air.state import atmosphere_at, write
from atmorep_bridge.fields.opening import open_fields
from fakes import advection
from fakes.advection import COLUMNS, PIXEL, ROWS, STEP, labelled, moved, plume, uniform_wind
from sifnet.errors import SifnetError
from sifnet.retrieval.prior import describe

BLOWING = AerosolTraining(steps=300, batch=4, width=8, rank=16, unroll=1)
TINY = AerosolTraining(steps=2, width=4, rank=4, unroll=2)
PIXEL_A_STEP = PIXEL / (STEP * 3600)  # m s-1


@pytest.fixture(scope="module")
def blown() -> AerosolModel:
    """Has learned what a wind does, from plumes in winds of up to 15 m/s."""
    return fit(uniform_wind(240), weather=("u", "v"), config=BLOWING)


@pytest.fixture(scope="module")
def tiny() -> AerosolModel:
    series = uniform_wind(24)
    model = fit(series, weather=("u", "v"), config=TINY)
    calibrate(model, series, steps=3)
    return model


def plume_in_wind(u: float, v: float, steps: int = 4) -> xr.Dataset:
    """A plume at rest, twice, in a wind in pixels a step that begins at the second time."""
    still = np.repeat(plume(7.5, 30.0)[None], steps + 2, axis=0)
    one = np.ones_like(still) * PIXEL_A_STEP
    return labelled(still, u * one, v * one, 0.004 * np.ones_like(still))


def centre(aot: xr.DataArray) -> tuple[float, float]:
    """Row and column of the middle of a plume."""
    excess = np.maximum(aot.values - 2 * advection.BACKGROUND, 0)
    y, x = np.mgrid[:ROWS, :COLUMNS]
    return float((excess * y).sum() / excess.sum()), float((excess * x).sum() / excess.sum())


# The truth of the tests


def test_the_truth_carries_a_plume_as_far_as_the_wind_blows_and_widens_it_as_diffusion_does() -> (
    None
):
    state = plume(7.5, 20.0, width=1.5)
    wind = np.ones_like(state) * PIXEL_A_STEP
    for _ in range(6):
        state = moved(state, 0.7 * wind, 0.0 * wind, STEP)
    x = np.arange(COLUMNS)
    excess = state - advection.BACKGROUND
    middle = (excess * x).sum() / excess.sum()
    assert middle == pytest.approx(20 + 6 * 0.7, abs=0.02)
    width = (excess * (x - middle) ** 2).sum() / excess.sum()
    spread = 2 * advection.DIFFUSION * 6 * STEP * 3600 / PIXEL**2
    assert width == pytest.approx(1.5**2 + spread, rel=0.05)
    assert excess.sum() == pytest.approx((plume(7.5, 20.0, 1.5) - advection.BACKGROUND).sum(), 0.01)


def test_the_truths_winds_have_no_divergence() -> None:
    world = advection.world(5)
    u, v = world["u"].values.astype(float), world["v"].values.astype(float)
    along = (np.roll(u, -1, 2) - np.roll(u, 1, 2))[:, 1:-1] / 2
    across = (v[:, 2:] - v[:, :-2]) / 2
    assert np.sqrt(((along + across) ** 2).mean()) < 0.1 * np.sqrt((along**2).mean())


# What the network is


def test_bilinear_pooling_is_its_formula() -> None:
    torch.manual_seed(0)
    pool = Pool(5, 7, weather=True).double()
    p, m = torch.randn(2, 5, 3, 4).double(), torch.randn(2, 5, 3, 4).double()
    v, w, u = (part.weight[:, :, 0, 0] for part in (pool.v, pool.w, pool.u))
    theirs = torch.einsum("rf,bfyx->bryx", w, m) + pool.w.bias[:, None, None]
    tensor = torch.einsum("gr,rf->grf", u, v)  # every pair of features through rank r
    z = torch.einsum("grf,bfyx,bryx->bgyx", tensor, p, theirs)
    z = z + torch.einsum("gr,r,bryx->bgyx", u, pool.v.bias, theirs) + pool.u.bias[:, None, None]
    root = torch.sign(z) * z.abs().sqrt()
    expected = root / root.norm(dim=1, keepdim=True)
    assert torch.allclose(pool(p, m), expected, atol=5e-3)


def test_root_and_norm_fade_out_at_zero() -> None:
    z = torch.zeros(1, 3, 1, 1, requires_grad=True)
    normalised(z).sum().backward()
    assert torch.isfinite(z.grad).all()
    large = normalised(torch.tensor([4.0, -9.0, 0.0]).reshape(1, 3, 1, 1)).flatten()
    assert large.tolist() == pytest.approx([2 / 13**0.5, -3 / 13**0.5, 0.0], abs=1e-3)


def test_the_world_is_round_in_longitude_and_ends_in_latitude() -> None:
    maps = torch.arange(12.0).reshape(1, 1, 3, 4)
    round_, flat = padded(maps, True)[0, 0], padded(maps, False)[0, 0]
    assert round_[1].tolist() == [3, 0, 1, 2, 3, 0]
    assert flat[1].tolist() == [0, 0, 1, 2, 3, 3]
    assert torch.equal(round_[0], round_[1])
    torch.manual_seed(0)
    net = AerosolNet(2, width=4, rank=4, mean=torch.zeros(5, 8), change=0.1, periodic=True)
    past, weather = torch.randn(1, 2, 5, 8), torch.randn(1, 3, 2, 5, 8)
    turned = net.rollout(past.roll(3, -1), weather.roll(3, -1))
    assert torch.allclose(turned, net.rollout(past, weather).roll(3, -1), atol=1e-6)


# What it learns


@pytest.mark.parametrize("wind", [(0.5, 0.0), (-0.5, 0.0), (0.0, 0.4), (0.0, -0.4)])
def test_a_plume_goes_where_the_wind_blows(blown: AerosolModel, wind: tuple[float, float]) -> None:
    fields = plume_in_wind(*wind)
    blown.errors = (0.1,) * 4
    coming = forecast(blown, fields, fields["time"].values[1], 4)["aot_550"]
    row, column = centre(coming[4])
    assert (column, row) == pytest.approx((30 + 4 * wind[0], 7.5 + 4 * wind[1]), abs=0.3)


def test_without_weather_a_network_cannot_know_the_wind() -> None:
    config = AerosolTraining(steps=5, width=4, rank=4)
    blind = fit(uniform_wind(40), weather=(), config=config)
    blind.errors = (0.1,) * 4
    east, west = (plume_in_wind(u, 0.0) for u in (0.5, -0.5))
    start = east["time"].values[1]
    assert forecast(blind, east, start, 4).equals(forecast(blind, west, start, 4))
    only_aerosol = forecast(blind, east[["aot_550"]].isel(time=[0, 1]), start, 4)
    assert only_aerosol["time"].size == 5


def test_a_real_day_is_forecast_better_than_by_persistence(shared_data: Path) -> None:
    """The analysis of its first half jumps three times; the loss must not chase that."""
    file = shared_data / "era5" / "merra2" / "M2T1NXAER.20230101_TOTEXTTAU_subset.nc4"
    day = open_fields([file])[0].load()
    config = AerosolTraining(steps=60, width=8, rank=16, unroll=1)
    model = fit(day.isel(time=slice(0, 14)), weather=(), config=config)
    model.errors = (0.1,)
    ours, last = [], []
    for now in range(17, 23):
        truth = day["aot_550"].values[now + 1]
        found = forecast(model, day, day["time"].values[now], 1)["aot_550"].values
        ours.append(np.mean((found[1] - truth) ** 2))
        last.append(np.mean((found[0] - truth) ** 2))
    assert np.sqrt(np.mean(ours) / np.mean(last)) < 0.85


# Its uncertainty


def test_calibration_finds_the_error_of_persistence_under_a_steady_trend() -> None:
    root = 0.3 + 0.01 * np.arange(12)[:, None, None] + np.zeros((12, ROWS, COLUMNS))
    root[:, 0, 0] += 0.1
    series = labelled(root**2, *(np.random.default_rng(0).normal(size=(3, *root.shape))))
    model = AerosolModel(Scaling.of(series, ("u",)), TINY)
    for weight in model.net.increment[-1].parameters():
        torch.nn.init.zeros_(weight)
    calibrate(model, series, steps=4)
    expected = 0.01 * np.arange(1, 5) / model.scaling.root_sd
    assert model.errors == pytest.approx(expected, rel=1e-4)


def test_uncertainty_of_a_square_is_that_of_many_draws(tiny: AerosolModel) -> None:
    sd = 0.3
    root = np.random.default_rng(0).normal(0.4, sd * tiny.scaling.root_sd, 200_000)
    found = tiny.scaling.aot_sd(np.array(0.16), np.array(sd))
    assert float(found) == pytest.approx(float((root**2).std()), rel=0.01)


def test_a_forecast_begins_with_the_analysis_and_grows_unsure(tiny: AerosolModel) -> None:
    fields = uniform_wind(8, seed=1)
    tiny.errors = (0.1, 0.2, 0.3)
    coming = forecast(tiny, fields, fields["time"].values[2], 3)
    assert np.allclose(coming["aot_550"][0], fields["aot_550"][2], atol=1e-5)
    assert np.all(coming["aot_550"] >= 0)
    assert np.all(coming["aot_550_uncertainty"][0] == 0)
    same = tiny.scaling.aot_sd(np.array(0.2), np.array([0.0, *tiny.errors]))
    assert np.all(np.diff(same) > 0)
    fields["aot_550"][3:] = np.nan  # the future is not known, and not looked at
    assert forecast(tiny, fields, str(fields["time"].values[2]), 3).equals(coming)


# At a scene


def coming(around_the_earth: bool) -> xr.Dataset:
    """AOT linear in place and time, but across 180 degrees."""
    hours = np.arange(3) * 6
    longitude = np.arange(-180, 180, 10.0) if around_the_earth else np.arange(0, 41, 10.0)
    coords = {
        "time": np.datetime64("2023-05-01T06", "ns") + hours.astype("timedelta64[h]"),
        "latitude": np.arange(40, 61, 5.0),
        "longitude": longitude,
    }
    t, y, x = np.meshgrid(hours, coords["latitude"], longitude, indexing="ij")
    aot = 0.1 + 0.01 * t + 0.002 * (y - 40) + 0.001 * np.abs(x)
    dims = tuple(coords)
    fields = {"aot_550": (dims, aot), "aot_550_uncertainty": (dims, 0.01 * t)}
    return xr.Dataset(fields, coords, {"source": "aerosol forecast from a test"})


def test_the_prior_of_a_scene_is_the_forecast_at_its_place_and_time(tmp_path: Path) -> None:
    prior = atmosphere_at(coming(False), 47.3, 7.9, "2023-05-01T09:00")
    aot = 0.1 + 0.03 + 0.002 * 7.3 + 0.001 * 7.9
    assert float(prior["aot_550"]) == pytest.approx(aot)
    analysis = 0.05 + 0.2 * aot
    assert float(prior["aot_550_uncertainty"]) == pytest.approx(np.hypot(0.03, analysis))
    with xr.open_dataset(write(prior, tmp_path / "atmosphere.nc")) as back:
        assert describe(back).startswith(f"aerosol forecast from a test; aot_550 {aot:.4g} ±")
        assert back.attrs["acquisition_time"] == "2023-05-01T09:00:00"


def test_the_prior_of_a_scene_can_be_merged_into_its_atmosphere(tmp_path: Path) -> None:
    place = {"latitude": 47.0, "longitude": 8.0, "time": np.datetime64("2023-05-01T09", "ns")}
    air = xr.Dataset({"surface_pressure": 950.0}, place)
    aerosol = atmosphere_at(coming(False), 47.3, 7.9, "2023-05-01T09:00")
    both = air.merge(aerosol, compat="override")
    assert {"surface_pressure", "aot_550", "aot_550_uncertainty"} <= set(both.data_vars)


@pytest.mark.parametrize("longitude", [175.0, -185.0, 180.0, -180.0])
def test_a_grid_around_the_earth_has_no_edge(longitude: float) -> None:
    prior = atmosphere_at(coming(True), 50.0, longitude, "2023-05-01T06:00")
    assert float(prior["aot_550"]) == pytest.approx(
        0.12 + 0.001 * (175 + 5 * (abs(longitude) == 180))
    )


@pytest.mark.parametrize(
    ("place", "what"),
    [
        (
            (30.0, 10.0, "2023-05-01T09"),
            "outside the fields: found fields of latitude 40 to 60, .*scene at latitude 30,",
        ),
        ((50.0, 41.0, "2023-05-01T09"), "outside the fields: .* scene at .*, longitude 41;"),
        ((50.0, 10.0, "2023-05-01T18:30"), "another time than the scene: .* of 2023-05-01 18:30"),
    ],
)
def test_a_scene_out_of_reach_is_refused(place: tuple[float, float, str], what: str) -> None:
    with pytest.raises(SifnetError, match=what):
        atmosphere_at(coming(False), *place)


# Checkpoints


def test_the_same_seed_gives_the_same_model_and_a_checkpoint_the_same_forecast(
    tiny: AerosolModel, tmp_path: Path
) -> None:
    series = uniform_wind(24)
    again = fit(series, weather=("u", "v"), config=TINY)
    for name, value in tiny.net.state_dict().items():
        assert torch.equal(value, again.net.state_dict()[name]), name
    tiny.save(tmp_path / "aerosol.ckpt")
    back = load(tmp_path / "aerosol.ckpt")
    assert (back.scaling, back.config, back.errors) == (tiny.scaling, tiny.config, tiny.errors)
    start = series["time"].values[5]
    assert forecast(back, series, start, 3).equals(forecast(tiny, series, start, 3))


def test_other_files_are_no_aerosol_model(tiny: AerosolModel, tmp_path: Path) -> None:
    with pytest.raises(SifnetError, match="not a readable model"):
        load(tmp_path / "absent.ckpt")
    torch.save({"format": 1, "kind": "retrieval"}, tmp_path / "other.ckpt")
    with pytest.raises(SifnetError, match="found ValueError: a checkpoint of retrieval, format 1"):
        load(tmp_path / "other.ckpt")
    torch.save(Path, tmp_path / "code.ckpt")
    with pytest.raises(SifnetError, match="Weights only load failed"):
        load(tmp_path / "code.ckpt")
    (tmp_path / "file").touch()
    with pytest.raises(SifnetError, match="cannot be written"):
        tiny.save(tmp_path / "file" / "aerosol.ckpt")


# What is refused


def _with_gap(series: xr.Dataset) -> xr.Dataset:
    series["aot_550"][4, 2, 2] = np.nan
    return series


BAD_SERIES: list[tuple[Callable[[xr.Dataset], xr.Dataset], str]] = [
    (lambda s: s.drop_vars("v"), "absent: v: found aot_550, u, q; expected aot_550, u, v"),
    (lambda s: s.isel(time=slice(0, 3)), "too few time steps: found 3; expected at least 4"),
    (_with_gap, "aot_550 has gaps: found 1 values that are no numbers, first at 2023-01-02T00"),
    (lambda s: s.expand_dims(level=[137]), "is not a series of maps: found .*level.* Select one"),
    (lambda s: s.isel(time=[0, 1, 2, 5, 6]), "steps are not even: found holes between steps"),
    (lambda s: s.isel(time=slice(None, None, -1)), "times cannot be used: found steps of -6 h"),
    (lambda s: s.isel(longitude=[0, 1, 2, 5]), "grid is not even: longitude: found 4 values"),
    (lambda s: s.isel(latitude=[0, 1]), "grid is not even: latitude: found 2 values"),
    (lambda s: s.assign(u=0 * s["u"]), "u is the same everywhere"),
]


@pytest.mark.parametrize(("spoil", "what"), BAD_SERIES)
def test_a_bad_series_is_refused(spoil: Callable[[xr.Dataset], xr.Dataset], what: str) -> None:
    with pytest.raises(SifnetError, match=what):
        fit(spoil(uniform_wind(12)), weather=("u", "v"), config=TINY)


BAD_FIELDS: list[tuple[Callable[[xr.Dataset], xr.Dataset], int, str]] = [
    (lambda s: s, 4, "not known so far ahead: found 4 steps; expected 1 to 3"),
    (lambda s: s.isel(time=slice(5, None)), 3, "lack a time: 2023-01-02T00:00"),
    (lambda s: s.isel(time=slice(0, 8)), 3, "lack a time: 2023-01-03T00:00"),
    (lambda s: s.isel(latitude=slice(2, None)), 3, "another grid .* latitude: found 14 values"),
    (lambda s: s.assign_coords(longitude=s["longitude"] + 1), 3, "another grid .* longitude"),
    (lambda s: s.isel(time=slice(None, None, 2)), 3, "another time step .*: found 12 h; exp.* 6 h"),
    (_with_gap, 3, "aot_550 has gaps"),
    (lambda s: s.drop_vars("u"), 3, "absent: u"),
]


@pytest.mark.parametrize(("spoil", "steps", "what"), BAD_FIELDS)
def test_bad_fields_are_refused(
    tiny: AerosolModel, spoil: Callable[[xr.Dataset], xr.Dataset], steps: int, what: str
) -> None:
    fields = uniform_wind(12)
    with pytest.raises(SifnetError, match=what):
        forecast(tiny, spoil(fields), fields["time"].values[5], steps)


def test_a_model_that_is_not_calibrated_does_not_forecast(tiny: AerosolModel) -> None:
    series = uniform_wind(12)
    raw = AerosolModel(tiny.scaling, TINY)
    with pytest.raises(SifnetError, match="expected a calibrated model"):
        forecast(raw, series, series["time"].values[3], 1)
    assert len(windows(series, tiny.scaling, 3)) == 8
