"""Observations in hidden hours: against the Kalman filter's formula, and what they are good for."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from atmorep_bridge.core import stations, tasks
from atmorep_bridge.core.masks import from_time
from atmorep_bridge.core.training import Core
from atmorep_bridge.core.windows import Region
from sifnet.errors import SifnetError

NAME = "temperature_2m"
LAST = np.datetime64("2020-06-23T12", "ns")
HOUR = np.timedelta64(1, "h")


def rows(region: Region, places: list[tuple[int, int]], hours: int = 4, **other) -> pd.DataFrame:
    """Without error, at grid points."""
    times = LAST + np.arange(1, hours + 1) * HOUR
    values = region.data[NAME].sel(time=times).values
    made = [
        {"time": t, "latitude": region.latitude[y], "longitude": region.longitude[x],
         "field": NAME, "value": float(values[h, y, x]), "sigma": 0.1} | other
        for h, t in enumerate(times) for y, x in places
    ]  # fmt: skip
    return pd.DataFrame(made)


def test_a_single_observation_is_the_kalman_filter_of_one(
    core: Core, region: Region, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One field, one hour, one station: x + C/(C0 + σ²) (y - x), C of the past errors."""
    kinds, known = from_time(core.setup, 4), int(np.flatnonzero(region.times == LAST)[0])
    times = region.times[known - 3 : known + 5]
    members = {NAME: torch.randn(3, 1, 8, 12, 16)}
    past = torch.randn(9, 1, 8, 12, 16)
    monkeypatch.setattr(stations, "errors", lambda *_: {NAME: past})
    monkeypatch.setattr(stations, "MANY", 9)
    table = rows(region, [(5, 6)], hours=1, sigma=0.5, value=290.0)
    found = stations.corrected(core, region, members, times, known, kinds, table)[NAME]
    place = core.statistics.place(region)
    sd = core.statistics.sd(NAME, place)[0, 0].double()
    before, after = (
        core.statistics.value(NAME, m[:, :, 4:5], times[4:5], place)[:, 0, 0].double()
        for m in (members[NAME], found)
    )
    unit = (past / (past**2).mean(0).sqrt())[:, 0, 4].double()
    spread = members[NAME][:, 0, 4].double().std(0) * sd
    covariance = (unit * unit[:, 5, 6, None, None]).mean(0) * spread * spread[5, 6]
    apart = stations._apart(
        (region.latitude[[5]], region.longitude[[6]]),
        tuple(a.ravel() for a in np.meshgrid(region.latitude, region.longitude, indexing="ij")),
    )
    near = stations._taper(apart / stations.REACH).view(12, 16).double()
    gain = near * covariance / (covariance[5, 6] + 0.25)
    change = gain * (290.0 - before.mean(0)[5, 6])
    torch.testing.assert_close(after.mean(0) - before.mean(0), change, atol=2e-4, rtol=1e-3)
    assert torch.equal(found[:, :, :4], members[NAME][:, :, :4])  # hours that are known


def test_distances_and_their_weight() -> None:
    """Berlin and Paris are 878 km apart; the weight of Gaspari and Cohn falls from 1 to 0."""
    berlin, paris = (
        (np.array([52.52]), np.array([13.405])),
        (np.array([48.8566]), np.array([2.3522])),
    )
    assert float(stations._apart(berlin, paris)) == pytest.approx(878, abs=2)
    at = stations._taper(torch.tensor([0.0, 1.0, 1.9999, 3.0]))
    assert at.tolist() == pytest.approx([1, 5 / 24, 0, 0], abs=1e-5)


def test_between_grid_points_values_are_bilinear(region: Region, core: Core) -> None:
    plane = 2.0 * torch.arange(12)[:, None] + 3.0 * torch.arange(16) + torch.zeros(1, 1, 4, 1, 1)
    table = rows(region, [(0, 0)], 1)
    table["latitude"], table["longitude"] = region.latitude[3] + 0.1, region.longitude[-1]
    seen, points = stations._points(core, region, LAST + np.arange(1, 5) * HOUR, table)
    assert len(seen) == 1
    assert float(points.of({NAME: plane})) == pytest.approx(2 * 3.4 + 3 * 15, abs=1e-4)


def test_stations_make_withheld_places_better(core: Core, region: Region) -> None:
    told = rows(region, [(y, x) for y in (1, 5, 9) for x in (1, 5, 9, 13)])
    before, after = (tasks.nowcast(core, region, LAST, 4, t)[NAME] for t in (None, told))
    truth = region.data[NAME].sel(time=before["time"].values)
    kept = {"latitude": [3, 7, 10], "longitude": [3, 7, 11]}
    off = [float(((e.mean("member") - truth).isel(kept) ** 2).mean()) for e in (before, after)]
    assert off[1] < 0.7 * off[0]
    assert float(after.std("member").mean()) < 0.9 * float(before.std("member").mean())
    gap = (LAST + HOUR, LAST + 2 * HOUR)
    filled = tasks.interpolate(core, region, *gap, told)[NAME]
    assert not filled.equals(tasks.interpolate(core, region, *gap)[NAME])


def test_what_does_not_concern_the_map_changes_nothing(core: Core, region: Region) -> None:
    plain = tasks.nowcast(core, region, LAST, 4)[NAME]
    off = rows(region, [(3, 3)])
    far = off.assign(latitude=10.0)
    early = off.assign(time=LAST - 3 * HOUR)
    mistaken = off.assign(value=400.0)
    table = pd.concat([far, early, mistaken, off.assign(field="aot_550")])
    assert tasks.nowcast(core, region, LAST, 4, table)[NAME].equals(plain)
    with pytest.raises(SifnetError, match="no station is of these hours, this map"):
        tasks.nowcast(core, region, LAST, 4, pd.concat([far, early]))
    short = replace(region, data=region.data.sel(time=slice(LAST - 20 * HOUR, LAST)))
    with pytest.raises(SifnetError, match="too little of the past"):
        tasks.nowcast(core, short, LAST, 4, off)


def test_a_file_of_stations(tmp_path: Path) -> None:
    path = tmp_path / "stations.csv"
    row = "2019-03-28T09:00Z,51.5,-0.4,t2m,284.2,0.8"
    text = f"{','.join(stations.COLUMNS)}\n{row}\n"
    path.write_text(text)
    (read,) = stations.read_stations(path).to_dict("records")
    assert read == {"time": pd.Timestamp("2019-03-28T09"), "latitude": 51.5, "longitude": -0.4,
                   "field": NAME, "value": 284.2, "sigma": 0.8}  # fmt: skip
    for wrong in (text.replace("sigma", "error"), text.replace(",0.8", ",0"),
                  text.replace("284.2", "warm"), text.replace("2019-03", "2019-99"),
                  ""):  # fmt: skip
        path.write_text(wrong)
        with pytest.raises(SifnetError, match=r"stations cannot be read"):
            stations.read_stations(path)
