"""Real monthly series of ocean, ice, air and aerosol for ``spheres.py``, and cheap forecasts."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
import xarray as xr
from harness import DATA, Array, rms
from torch import nn

from atmorep_bridge.fields.variables import monthly, open_variables
from atmorep_bridge.spheres import ridge as ridge_
from atmorep_bridge.spheres.forecast import forecast
from atmorep_bridge.spheres.model import Spheres, others_of, states_of
from atmorep_bridge.spheres.series import month_of, months_of

CLIMATE = DATA / "climate"
NINO = ("nino12", "nino3", "nino4", "nino34")
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
Series = dict[str, xr.DataArray]


def of(name: str, unit: str, times: Sequence[np.datetime64], values: object) -> xr.DataArray:
    """A monthly series from any."""
    array = xr.DataArray(np.asarray(values, float), {"time": np.array(times, "datetime64[ns]")},
                         ("time",), name=name)  # fmt: skip
    return monthly(array.sortby("time")).assign_attrs(units=unit)


def indices() -> Series:
    """Sea-surface temperature of the Niño regions, SOI, AO, NAO, PDO, ice extent and volume."""
    rows = np.array([line.split() for line in
                     (CLIMATE / "ersst5.nino.mth.91-20.ascii").read_text().splitlines()[2:]],
                    float)  # fmt: skip
    times = [np.datetime64(f"{int(y)}-{int(m):02d}") for y, m in rows[:, :2]]
    out = {n: of(n, "degC", times, rows[:, 2 + 2 * i]) for i, n in enumerate(NINO)}
    for name in ("soi", "ao", "nao", "pdo"):
        with (CLIMATE / f"index_{name}.csv").open() as file:
            cells = [(np.datetime64(f"{row['Year']}-{m + 1:02d}"), float(row[month]))
                     for row in csv.DictReader(file) for m, month in enumerate(MONTHS)
                     if row[month]]  # fmt: skip
        out[name] = of(name, "1", *zip(*cells, strict=True))
    with (CLIMATE / "nsidc_N_seaice_extent_daily_v3.0.csv").open() as file:
        days = [(np.datetime64("-".join(c.strip() for c in row[:3])), float(row[3]))
                for row in list(csv.reader(file))[2:]]  # fmt: skip
    out["extent"] = of("extent", "1e12 m2", *zip(*[d for d in days if d[1] > 0], strict=True))
    lines = (CLIMATE / "PIOMAS.vol.daily.1979.2020.dat").read_text().split("\n")[1:]
    days = [(np.datetime64(year) + np.timedelta64(int(day) - 1, "D"), float(volume))
            for year, day, volume in (line.split() for line in lines if line)]  # fmt: skip
    out["volume"] = of("volume", "1e12 m3", *zip(*days, strict=True))
    return out


def pinatubo() -> Series:
    """MERRA-2 AOD and temperature at 50 hPa, 1986 to 1995."""
    data = np.load(CLIMATE / "merra2_monthly_aod_t50_48x24_1986-1995.npz")
    coords = {"time": data["date"].astype("datetime64[ns]"), "latitude": data["lat"].astype(float),
              "longitude": data["lon"].astype(float)}  # fmt: skip
    return {name: xr.DataArray(data[name].astype(float), coords, tuple(coords), name=name,
                               attrs={"units": unit})
            for name, unit in (("aod", "1"), ("t50", "K"))}  # fmt: skip


def surface() -> Series:
    """ERSST v5 maps, 2010 to 2020, through the door that users have."""
    return open_variables([Path(CLIMATE / "ersstv5_sst.mnmean.nc")], ["sst"])


def month(values: xr.DataArray) -> Array:
    """Of the year, from 0."""
    return values["time"].values.astype("datetime64[M]").astype(int) % 12


def until(series: Mapping[str, xr.DataArray], last: str) -> Series:
    """What is known at the end of a month."""
    return {name: values.sel(time=slice(None, last)) for name, values in series.items()}


def anomalies(values: Array, months: Array, train: Array) -> Array:
    """From the means by month of the training."""
    usual = np.stack([values[train & (months == m)].mean(0) for m in range(12)])
    return values - usual[months]


def ridge(x: Array, y: Array, shrinkage: float) -> Array:
    """Coefficients; shrinkage in typical squares of the predictors."""
    gram = x.T @ x
    return np.linalg.solve(gram + shrinkage * np.diag(np.diag(gram)), x.T @ y)


class Cheap:
    """Forecasts of a state ``time, variable`` that one could make in an afternoon.

    Each gives ``time, variable`` for the row's time and ``lead`` months ahead, as anomalies.
    """

    def __init__(self, anomaly: Array, months: Array, train: Array, lead: int) -> None:
        self.x, self.months, self.lead = anomaly, months, lead
        self.y = np.concatenate([anomaly[lead:], np.full((lead, anomaly.shape[1]), np.nan)])
        inside = np.concatenate([train[lead:], np.zeros(lead, bool)])
        self.train = np.flatnonzero(inside & np.isfinite(self.y).all(1))

    def climatology(self) -> Array:
        """Nothing unusual."""
        return 0 * self.x

    def persistence(self) -> Array:
        """As unusual as now, by a share; the same share all the year."""
        x, y = self.x[self.train], self.y[self.train]
        return self.x * (x * y).sum(0) / (x**2).sum(0)

    def seasonal_persistence(self) -> Array:
        """The share of each month."""
        return self._by_month(lambda x, y: np.diag((x * y).sum(0) / (x**2).sum(0)))

    def inverse_model(self) -> Array:
        """Seasonal linear inverse model: of each month, all variables from all."""
        return self._by_month(lambda x, y: np.linalg.lstsq(x, y, rcond=None)[0])

    def _by_month(self, fit: object) -> Array:
        out = np.full(self.x.shape, np.nan)
        for m in range(12):
            rows = self.train[self.months[self.train] == m]
            out[self.months == m] = self.x[self.months == m] @ fit(self.x[rows], self.y[rows])  # type: ignore[operator]
        return out

    def lags(self, many: int = 12) -> Array:
        """``time, lag x variable``; zero before the record begins."""
        blank = np.zeros((many, self.x.shape[1]))
        longer = np.concatenate([blank, self.x])
        return np.hstack([longer[many - k : len(longer) - k] for k in range(many)])

    def ridge(self) -> Array:
        """On twelve months, the same all the year; the training's later half chose shrinkage."""
        x, half = self.lags(), len(self.train) // 2
        early, late = self.train[: half - self.lead], self.train[half:]
        choices = (0.01, 0.1, 1.0, 10.0, 100.0)
        best = min(choices, key=lambda s: float(rms(x[late] @ ridge(x[early], self.y[early], s)
                                                    - self.y[late])))  # fmt: skip
        return np.asarray(x @ ridge(x[self.train], self.y[self.train], best))


class Attention(nn.Module):
    """What a regression missed, from months of all spheres by cross-attention: a small network."""

    def __init__(self, variables: int, outputs: int, width: int = 32) -> None:
        super().__init__()
        self.token = nn.Linear(variables, width)
        self.place = nn.Parameter(torch.randn(12, width) / width**0.5)
        self.season = nn.Linear(2, width)
        self.look = nn.MultiheadAttention(width, 4, dropout=0.2, batch_first=True)
        self.out = nn.Sequential(nn.Linear(2 * width, width), nn.GELU(), nn.Linear(width, outputs))
        nn.init.zeros_(self.out[-1].weight)

    def forward(self, past: torch.Tensor, turn: torch.Tensor) -> torch.Tensor:
        """``row, output`` from ``row, month, variable`` and sine and cosine of the season."""
        tokens = self.token(past) + self.place
        query = self.season(turn)[:, None]
        seen = self.look(query, tokens, tokens)[0]
        return self.out(torch.cat([query, seen], -1))[:, 0]


def residual(past: Array, turn: Array, missed: Array, train: Array, held: Array,
             seed: int) -> Array:  # fmt: skip
    """The network's share of what was missed: fitted on ``train``, its best epoch on ``held``."""
    torch.manual_seed(seed)
    x, t, y = (torch.from_numpy(np.nan_to_num(v)).float() for v in (past, turn, missed))
    net = Attention(x.shape[-1], y.shape[-1])
    optimizer = torch.optim.AdamW(net.parameters(), 1e-3, weight_decay=0.1)
    best, kept = np.inf, 0 * missed
    for _ in range(60):
        net.train()
        for rows in torch.randperm(len(train)).split(32):
            some = torch.from_numpy(train)[rows]
            loss = ((net(x[some], t[some]) - y[some]) ** 2).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        net.eval()
        with torch.no_grad():
            said = net(x, t).double().numpy()
        error = float(np.mean((said - missed)[held] ** 2))
        if error < best:
            best, kept = error, said
    return kept


def hindcast(model: Spheres, series: Series, sphere: str, lead: int,
             year: int | None = None) -> tuple[Array, dict[str, Array]]:  # fmt: skip
    """Targets, months since 1970, and each variable ``time, point`` as forecast for them.

    Args:
        year: fitted again on all that was known before it, with what the model chose; None keeps
            what it was trained on.
    """
    axis, states = states_of(model.spheres, series)
    own, others = states[sphere], others_of(states, sphere)
    choice, law = (all_[sphere][lead - 1] for all_ in (model.choices, model.laws))
    x, y = ridge_.predictors(own, others, choice), ridge_.ahead(own, lead)
    if year is not None:
        rows = ridge_.rows_of(own, y)
        rows = rows[axis[rows] + lead < month_of(f"{year}-01")]
        weight = model.spheres[sphere].weight
        law = ridge_.fit(x[rows], y[rows], axis[rows] % 12, choice, weight)
    known = np.isfinite(own).all(1)
    coming, fields = law(x[known], axis[known] % 12), {}
    for variable, part in model.spheres[sphere].split(coming):
        now = np.isin(months_of(series[variable.name]), axis[known])
        rest = variable.amplitudes(series[variable.name].isel(time=now))[1]
        rest *= variable.kept[lead - 1]
        fields[variable.name] = variable.field(part, axis[known] + lead, rest)
    return axis[known] + lead, fields


def spread(model: Spheres, series: Series, name: str, starts: Sequence[np.datetime64],
           lead: int) -> Array:  # fmt: skip
    """Standard deviation of 50 members of an index, lead months ahead of each start."""
    found = []
    for i, start in enumerate(starts):
        coming = forecast(model, series, start, members=50, seed=i)
        drawn = next(e[name] for e in coming.values() if name in e)
        found.append(float(drawn.isel(time=lead - 1).std(ddof=1)))
    return np.array(found)


def interval(ours: Array, theirs: Array, block: Array, draws: int = 2000) -> tuple[float, ...]:
    """Ratio of rmse, and its 5 to 95 % range over years drawn with replacement.

    Args:
        ours, theirs: errors ``case, ...`` or their squares' weights in. block: year of each case.
    """
    rng, years = np.random.default_rng(0), np.unique(block)
    sums = np.array([[np.square(e[block == year]).sum() for year in years] for e in (ours, theirs)])
    drawn = rng.integers(0, years.size, (draws, years.size))
    ratios = np.sqrt(sums[0][drawn].sum(1) / sums[1][drawn].sum(1))
    low, high = np.quantile(ratios, (0.05, 0.95))
    return float(np.sqrt(sums[0].sum() / sums[1].sum())), float(low), float(high)
