from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr

from atmorep_bridge.aerosol import ridge
from atmorep_bridge.aerosol.forecast import AerosolModel, calibrated, fit, forecast, load
from atmorep_bridge.aerosol.ridge import Choice
from atmorep_bridge.aerosol.series import Scaling
from atmorep_bridge.air.state import atmosphere_at, write
from atmorep_bridge.fields.opening import open_fields
from fakes import advection
from fakes.advection import COLUMNS, PIXEL, ROWS, STEP, labelled, moved, plume, uniform_wind
from sifnet.errors import SifnetError
from sifnet.retrieval.prior import describe

PIXEL_A_STEP = PIXEL / (STEP * 3600)  # m s-1


@pytest.fixture(scope="module")
def blown() -> AerosolModel:
    """Has learned what a wind does, from plumes in winds of up to 15 m/s."""
    series = uniform_wind(80)
    scaling = Scaling.of(series, ("u", "v"))
    maps = ridge._Series(scaling.aerosol(series), scaling.weather_maps(series), True)
    return AerosolModel(scaling, maps.ridge(Choice(0.001, 1.0)), (0.1,) * 4)


@pytest.fixture(scope="module")
def tiny() -> AerosolModel:
    series = uniform_wind(24)
    return calibrated(fit(series, weather=("u", "v")), series, steps=3)


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


# What the regression is


def maps(*shape: int, seed: int = 0) -> ridge.Maps:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def test_all_products_of_aerosol_and_weather_are_told_apart_as_least_squares_would() -> None:
    """Numpy's own solver on products that are written out, point by point."""
    aerosol, weather = maps(9, 5, 8), maps(9, 1, 5, 8, seed=1)
    made = ridge._Series(aerosol, weather, True).ridge(Choice(1e-7, 1.0))
    rows, changes = [], []
    for t in range(1, 8):
        size = np.sqrt(((aerosol[1:] - aerosol[:-1]) ** 2).mean((1, 2)))
        size = size[1:] + size[:-1]
        weight = 1 / (size[t - 1] + 0.1 * size.mean())
        for i, j in np.ndindex(5, 8):
            near = [(np.clip(i + y, 0, 4), (j + x) % 8) for y in range(-2, 3) for x in range(-2, 3)]
            last = [(np.clip(i + y, 0, 4), (j + x) % 8) for y in range(-1, 2) for x in range(-1, 2)]
            p = [aerosol[t][n] for n in near] + [(aerosol[t] - aerosol[t - 1])[n] for n in last]
            p += [aerosol[t, i, j] - aerosol[:, i, j].mean(), 1]
            w, v = weather[t, 0, i, j], weather[t + 1, 0, i, j]
            rows.append(weight * np.outer(p, [1, (w + v) / 2, v - w, (w + v) ** 2 / 4]).ravel())
            changes.append(weight * (aerosol[t + 1] - aerosol[t])[i, j])
    b = np.linalg.lstsq(np.array(rows, float), np.array(changes, float), rcond=None)[0]
    assert np.allclose(np.array(rows) @ made.b.ravel(), np.array(rows) @ b, atol=1e-3)


def test_the_world_is_round_in_longitude_and_ends_in_latitude() -> None:
    field = np.arange(12, dtype=np.float32).reshape(1, 3, 4)
    round_, flat = (ridge.around(field, 1, periodic)[0] for periodic in (True, False))
    assert round_[1, 0].tolist() == [3, 0, 1, 7, 4, 5, 11, 8, 9]
    assert flat[0, 0].tolist() == [0, 0, 1, 0, 0, 1, 4, 4, 5]
    made = ridge._Series(maps(9, 5, 8), maps(9, 2, 5, 8, seed=1), True).ridge(Choice(0.1, 1.0))
    made = replace(made, mean=0 * made.mean)
    past, weather = maps(2, 5, 8, seed=2), maps(3, 2, 5, 8, seed=3)
    turned = made.rollout(np.roll(past, 3, -1), np.roll(weather, 3, -1))
    assert np.allclose(turned, np.roll(made.rollout(past, weather), 3, -1), atol=1e-5)


def test_what_a_point_emits_is_its_own() -> None:
    """Two points answer to a wind that is their own, in opposite ways: no map tells them."""
    emitted = np.zeros((5, 8), np.float32)
    emitted[2, 3], emitted[3, 6] = 0.5, -0.5
    aerosol, weather = maps(200, 5, 8), maps(200, 1, 5, 8)
    for t in range(199):
        wind = (weather[t, 0] + weather[t + 1, 0]) / 2
        aerosol[t + 1] = 0.7 * aerosol[t] + emitted * wind + 0.1 * aerosol[t + 1]
    found = ridge._Series(aerosol, weather, True).ridge(Choice(0.1, 1.0, 0.01))
    own = found.c[..., 1] - np.median(found.c[..., 1])
    assert np.allclose(own, emitted, atol=0.1)


def test_weather_beyond_its_range_is_at_the_edge() -> None:
    made = ridge._Series(maps(9, 5, 8), maps(9, 2, 5, 8, seed=1), True).ridge(Choice(0.1, 1.0))
    past, weather = maps(2, 5, 8), np.ones((3, 2, 5, 8), np.float32)
    far = made.rollout(past, 100 * weather)
    assert np.array_equal(far, made.rollout(past, 1000 * weather))
    assert not np.array_equal(far, made.rollout(past, weather))


def test_a_choice_is_judged_by_what_it_was_not_fitted_on(monkeypatch: pytest.MonkeyPatch) -> None:
    series = maps(40, 5, 8)
    fitted: list[int] = []
    whole = ridge._Series.ridge
    monkeypatch.setattr(ridge._Series, "ridge", lambda self, choice: (
        fitted.append(len(self.aerosol)), whole(self, choice))[1])  # fmt: skip
    ridge._choose(series, np.empty((40, 0, 5, 8), np.float32), True)
    assert set(fitted) == {20, 30}


# What it learns


@pytest.mark.parametrize("wind", [(0.5, 0.0), (-0.5, 0.0), (0.0, 0.4), (0.0, -0.4)])
def test_a_plume_goes_where_the_wind_blows(blown: AerosolModel, wind: tuple[float, float]) -> None:
    fields = plume_in_wind(*wind)
    coming = forecast(blown, fields, fields["time"].values[1], 4)["aot_550"]
    row, column = centre(coming[4])
    assert (column, row) == pytest.approx((30 + 4 * wind[0], 7.5 + 4 * wind[1]), abs=0.3)


def test_without_weather_the_wind_cannot_be_known() -> None:
    blind = replace(fit(uniform_wind(40), weather=()), errors=(0.1,) * 4)
    east, west = (plume_in_wind(u, 0.0) for u in (0.5, -0.5))
    start = east["time"].values[1]
    assert forecast(blind, east, start, 4).equals(forecast(blind, west, start, 4))
    only_aerosol = forecast(blind, east[["aot_550"]].isel(time=[0, 1]), start, 4)
    assert only_aerosol["time"].size == 5


def test_a_real_day_is_forecast_better_than_by_persistence(shared_data: Path) -> None:
    """The analysis of its first half jumps three times; the fit must not chase that. The sun's
    height is all that is known of weather."""
    file = shared_data / "era5" / "merra2" / "M2T1NXAER.20230101_TOTEXTTAU_subset.nc4"
    day = open_fields([file])[0].load()
    turn = np.radians(15 * (day["time"].dt.hour - 11.5) + day["longitude"])
    north, tilt = np.radians(day["latitude"]), np.radians(-23.0)
    sun = np.sin(north) * np.sin(tilt) + np.cos(north) * np.cos(tilt) * np.cos(turn)
    day = day.assign(sun=sun.transpose("time", "latitude", "longitude"))
    model = replace(fit(day.isel(time=slice(0, 14)), weather=("sun",)), errors=(0.1,))
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
    fitted = ridge.fit(maps(12, ROWS, COLUMNS), maps(12, 1, ROWS, COLUMNS), True)
    still = replace(fitted, b=0 * fitted.b, c=0 * fitted.c)
    model = calibrated(AerosolModel(Scaling.of(series, ("u",)), still), series, steps=4)
    expected = 0.01 * np.arange(1, 5) / model.scaling.root_sd
    assert model.errors == pytest.approx(expected, rel=1e-4)


def test_uncertainty_of_a_square_is_that_of_many_draws(tiny: AerosolModel) -> None:
    sd = 0.3
    root = np.random.default_rng(0).normal(0.4, sd * tiny.scaling.root_sd, 200_000)
    found = tiny.scaling.aot_sd(np.array(0.16), np.array(sd))
    assert float(found) == pytest.approx(float((root**2).std()), rel=0.01)


def test_a_forecast_begins_with_the_analysis_and_grows_unsure(tiny: AerosolModel) -> None:
    fields = uniform_wind(8, seed=1)
    tiny = replace(tiny, errors=(0.1, 0.2, 0.3))
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


def test_a_checkpoint_gives_the_same_forecast(tiny: AerosolModel, tmp_path: Path) -> None:
    series = uniform_wind(24)
    tiny.save(tmp_path / "aerosol.ckpt")
    back = load(tmp_path / "aerosol.ckpt")
    assert (back.scaling, back.errors) == (tiny.scaling, tiny.errors)
    assert (back.ridge.choice, back.ridge.periodic) == (tiny.ridge.choice, True)
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
    (lambda s: s.isel(time=slice(0, 3)), "too few time steps: found 3; expected at least 12"),
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
        fit(spoil(uniform_wind(12)), weather=("u", "v"))


BAD_FIELDS: list[tuple[Callable[[xr.Dataset], xr.Dataset], int, str]] = [
    (lambda s: s, 4, "not known so far ahead: found 4 steps; expected 1 to 3"),
    (lambda s: s.isel(time=slice(5, None)), 3, "aot_550 has gaps: .* first at 2023-01-02T00:00"),
    (lambda s: s.isel(time=slice(0, 8)), 3, "u has gaps: .* first at 2023-01-03T00:00"),
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
    raw = replace(tiny, errors=())
    with pytest.raises(SifnetError, match="expected a calibrated model"):
        forecast(raw, series, series["time"].values[3], 1)
