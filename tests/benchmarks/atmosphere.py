"""What knowing the air is worth: the same retrievals with three priors of pressure, and over hills.

    python tests/benchmarks/atmosphere.py [FOLDER]      (make atmosphere, 15 minutes)

Four lines and one over hills by full radiative transfer, under the weather of real days (see
``weather.py``; needs the samples of reanalyses in ../shared). Writes ``docs/atmosphere.md``,
``docs/atmosphere.png`` and ``docs/terrain.png``; lines are kept in FOLDER.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import rasterio
import xarray as xr
from harness import ERA5, UNIT, Array, Score, bars, needed, page, rms, run, save, table
from lines import SHAPE, SLOW, Kept, kept, line, methods
from pyproj import Transformer
from rasterio.transform import Affine, from_origin
from scipy.ndimage import uniform_filter
from weather import Weather, era5, ifs

from atmorep_bridge.air.state import state
from sifnet.product.retrieve import retrieve
from sifnet.retrieval.prior import USUAL, on_terrain
from sifnet.retrieval.shipped import model_for
from sifnet.scenes.scene import Scene
from sifnet.simulation.ground import smooth_pattern
from sifnet.simulation.scenery import PLACE, Settings
from sifnet.simulation.simulate import Relief
from sifnet.units import standard_pressure

PRESSURE_SD = USUAL["surface_pressure"][1]
PRIORS = {
    "±50": "standard atmosphere ± 50 hPa",
    "usual": f"standard atmosphere ± {PRESSURE_SD:g} hPa",
    "bridge": "atmorep-bridge",
    "off": "atmorep-bridge, pressure one σ off",
}
COLOURS = ("tab:red", "tab:orange", "tab:blue", "tab:cyan")
HILLS = {"sensor_height": 1.8, "solar_zenith_angle": 40.0, "aot_550": 0.12}
HILLS_SEED = 21
LOWEST, HIGHEST = 0.55, 0.85  # km, of the hills
NODES = 4  # elevations of full radiative transfer
MARGIN = 8  # pixels, of the elevation model around the line
PIXEL = 10.0  # m
CRS = "EPSG:32632"
Scores = dict[str, dict[str, Score]]
"""By method, then by prior."""


def main(folder: Path) -> None:
    """Run both parts and write the page."""
    needed(ERA5)
    days = {
        "0.35 km": ifs("ecmwf_model.nc", "Munich", 10),
        "0.6 km": ifs("20190517_mace-head_ecmwf.nc", "Mace Head", 13),
        "1.8 km": era5(),
        "3.0 km": ifs("ecmwf_model.nc", "Munich", 16),
    }
    introduction = f"SIF at 760 nm, {UNIT}."
    with page("atmosphere", "What knowing the air is worth", introduction) as add:
        scores: Scores = {}
        told = [_line(folder, name, day, scores) for name, day in days.items()]
        add(_lines_section(told, scores))
        add(_hills(folder / "hills", days["0.35 km"]))
        _lines_figure(scores)


def priors(scene: Scene, fields: Path) -> dict[str, xr.Dataset | None]:
    """What is told of the air, by the keys of PRIORS."""
    standard = float(standard_pressure(scene.dataset["ground_elevation"]).mean())
    bridge = state(scene, [fields])
    sigma = bridge["surface_pressure_uncertainty"]
    off = bridge.assign(surface_pressure=bridge["surface_pressure"] + sigma)
    return {
        "±50": xr.Dataset({"surface_pressure": standard, "surface_pressure_uncertainty": 50.0}),
        "usual": None,
        "bridge": bridge,
        "off": off.drop_vars("air_pressure"),
    }


def _line(folder: Path, name: str, day: Weather, scores: Scores) -> list[str]:
    """Add the scores of a line; a row of the table of what is true and what is told."""
    offset = day.pressure_offset(day.elevation)
    flown = line(folder, name, ground_elevation=day.elevation, pressure_offset=offset,
                 temperature_offset=day.temperature_offset)  # fmt: skip
    told = priors(flown.scene, _fields(flown.file.parent, day))
    for method, estimate in methods(flown.scene).items():
        for prior, air in told.items():
            score = scores.setdefault(method, {}).setdefault(prior, Score())
            score.add(estimate(air), flown.truth.sif_760.values, flown.bare)
    bridge = told["bridge"]
    assert bridge is not None
    missed = float(bridge.surface_pressure - day.pressure(day.elevation))
    warm = float(bridge.temperature_offset - day.temperature_offset)
    row = [
        name, day.name, f"{offset:+.1f}",
        f"{missed:+.2f} ± {float(bridge.surface_pressure_uncertainty):.1f}",
        f"{day.temperature_offset:+.1f}",
        f"{warm:+.1f} ± {float(bridge.temperature_offset_uncertainty):.1f}",
    ]  # fmt: skip
    print(row, flush=True)
    return row


def _fields(folder: Path, day: Weather) -> Path:
    path = folder / "weather.nc"
    day.fields.to_netcdf(path, engine="h5netcdf")
    return path


def _lines_section(told: list[list[str]], scores: Scores) -> str:
    rows = [[method, words, *scores[method][prior].cells()]
            for method in scores for prior, words in PRIORS.items()]  # fmt: skip
    gains = []
    for method, by_prior in scores.items():
        after, row = by_prior["bridge"], [method]
        for before in (by_prior["±50"], by_prior["usual"]):
            ratios = (after.rmse / before.rmse, after.biases.mean() / before.biases.mean())
            row += [f"{ratio - 1:+.0%}" for ratio in ratios]
        gains.append(row)
    weather = table(["sensor", "weather", "true pressure, hPa from standard",
                     "the bridge's error ± its σ, hPa", "true temperature, K from standard",
                     "the bridge's error ± its σ, K"], told)  # fmt: skip
    gained = [
        "method",
        "± 50 hPa: RMSE",
        "bias",
        f"± {PRESSURE_SD:g} hPa: RMSE",
        "bias",
    ]
    return f"""## Pressure, from nobody, from a table, from a reanalysis

The four lines of [accuracy](accuracy.md), simulated by full radiative transfer under the weather of
real days, moved to their place and hour. The bridge is not given the hour of the scene but analyses
1 h before and 2 h after it (ERA5: 1 h and 1 h); what it says is off by what weather does meanwhile.
The analyses themselves are taken for true, which they are to about 1 hPa: the last prior therefore
has the bridge's pressure one of its own σ too high on every line. Aerosol is known as little as
ever.

{weather}

![Error by method and prior](atmosphere.png)

RMSE over all pixels of all lines; mean of the |bias| of each line; mean of the |mean SIF| of each
line over bare soil, where it is zero. SFM and single pixels on {SLOW} pixels a line.

{table(["method", "pressure and temperature from", "RMSE", "bias", "soil"], rows)}

A method that looks at pixels one by one has nothing but the prior to tell pressure from
fluorescence; where a thousand pixels share one atmosphere their spectra tell it. 3FLD and SFM take
the prior's mean for true, whatever its σ. With the bridge instead of:

{table(gained, gains)}"""


def _lines_figure(scores: Scores) -> None:
    figure, axes = plt.subplots(1, 2, figsize=(9, 5), layout="compressed", sharey=True)
    for axis, title, value in (
        (axes[0], "RMSE of all lines", lambda score: score.rmse),
        (axes[1], "mean |bias| of a line", lambda score: score.biases.mean()),
    ):
        series = {words: [value(s[prior]) for s in scores.values()]
                  for prior, words in PRIORS.items()}  # fmt: skip
        bars(axis, list(scores), series, COLOURS)
        axis.set(title=title, xlabel=f"SIF at 760 nm, {UNIT}")
    axes[0].invert_yaxis()
    figure.legend(*axes[0].get_legend_handles_labels(), title="pressure and temperature from",
                  loc="outside lower center", ncols=len(PRIORS), frameon=False,
                  fontsize=8)  # fmt: skip
    save(figure, "atmosphere")


def _hills(folder: Path, day: Weather) -> str:
    """The second half of the page, and its figure."""
    flown = _hills_line(folder, day)
    elevation = flown.truth.ground_elevation.values
    scene, fields = _placed(flown.scene), _fields(folder, day)
    with_dem = state(scene, [fields], elevation=folder / "dem.tif")
    told = {
        "one elevation": state(scene, [fields]),
        "from the DEM": with_dem,
        "from the DEM, pressure of the standard atmosphere": with_dem[["ground_elevation"]],
    }
    model = model_for(scene)
    errors, rows = {}, []
    for name, air in told.items():
        sif = retrieve(on_terrain(scene, air), model, atmosphere=air).sif_760.values
        errors[name] = sif - flown.truth.sif_760.values
        rows.append([name, f"{_slope(elevation, errors[name]):+.3f}", f"{rms(errors[name]):.3f}",
                     f"{np.nanmean(errors[name]):+.3f}"])  # fmt: skip
        print(rows[-1], flush=True)
    _hills_figure(elevation, errors)
    fall = float(day.pressure(elevation.min()) - day.pressure(elevation.max()))
    head = ["elevation of the ground", f"SIF error for 100 m of height, {UNIT}", "RMSE", "bias"]
    return f"""## Hills

Smooth hills of {np.ptp(elevation) * 1e3:.0f} m under a sensor {HILLS["sensor_height"]} km above
their mean: pressure falls by {fall:.0f} hPa from valley to top, and the air between ground and
sensor with it. Full radiative transfer at {NODES} elevations, pressure that of the IFS column over
Munich at its own heights, slopes lit as level ground. `atmorep-bridge state` is told the hours
before and after, with one elevation for the scene or with `--elevation dem.tif`.

![SIF error over hills](terrain.png)

{table(head, rows)}

With one elevation, the oxygen that valleys add and tops lack may be taken for missing and added
fluorescence: a map then shows the hills. It is their shape that must be known; the pressure of the
whole the spectra tell."""


def _hills_line(folder: Path, day: Weather) -> Kept:
    """The line over hills; its DEM lies beside."""
    rng = np.random.default_rng(HILLS_SEED)
    ground = smooth_pattern((SHAPE[0] + 2 * MARGIN, SHAPE[1] + 2 * MARGIN), rng, 0.12)
    inside = ground[MARGIN:-MARGIN, MARGIN:-MARGIN]
    ground = np.interp(ground, [inside.min(), inside.max()], [LOWEST, HIGHEST])
    inside = ground[MARGIN:-MARGIN, MARGIN:-MARGIN]
    mean = float(inside.mean())
    level = Settings.drawn(rng, **HILLS, ground_elevation=mean,
                           pressure_offset=day.pressure_offset(mean),
                           temperature_offset=day.temperature_offset)  # fmt: skip
    over = {
        z: replace(level, ground_elevation=z, sensor_height=level.sensor_height + mean - z,
                   pressure_offset=day.pressure_offset(z))
        for z in np.linspace(inside.min(), inside.max(), NODES)
    }  # fmt: skip
    flown = kept(folder, "hyplant", SHAPE, HILLS_SEED, lambda _: level,
                 relief=Relief(inside, over))  # fmt: skip
    corner = _transform() @ (-MARGIN, -MARGIN)
    with rasterio.open(folder / "dem.tif", "w", driver="GTiff", dtype="float32", count=1, crs=CRS,
                       height=ground.shape[0], width=ground.shape[1],
                       transform=from_origin(*corner, PIXEL, PIXEL)) as dem:  # fmt: skip
        dem.write((ground * 1e3).astype(np.float32), 1)
    return flown


def _transform() -> Affine:
    to_map = Transformer.from_crs("EPSG:4326", CRS, always_xy=True)
    east, north = to_map.transform(PLACE["longitude"], PLACE["latitude"])
    return from_origin(east, north, PIXEL, PIXEL)


def _placed(scene: Scene) -> Scene:
    """On the map, as a georectified line is."""
    return Scene(scene.dataset.assign_attrs(crs=CRS, transform=tuple(_transform())[:6]))


def _slope(elevation: Array, error: Array) -> float:
    """Least-squares slope of error for 100 m of elevation."""
    good = np.isfinite(error)
    return float(np.polyfit(elevation[good] * 10, error[good], 1)[0])


def _hills_figure(elevation: Array, errors: dict[str, Array]) -> None:
    figure, axes = plt.subplots(1, 4, figsize=(13, 4), layout="compressed")
    metres = elevation * 1e3
    shown = axes[0].imshow(metres, cmap="terrain")
    axes[0].set_title("elevation\nof the ground")
    figure.colorbar(shown, ax=axes[0], label="m", shrink=0.7)
    two = list(errors.items())[:2]
    for axis, (name, error) in zip(axes[1:3], two, strict=True):
        shown = axis.imshow(_smooth(error), cmap="RdBu_r", vmin=-1, vmax=1)
        axis.contour(metres, levels=np.arange(550, 851, 50), colors="k", linewidths=0.4)
        axis.set_title(f"SIF error, elevation:\n{name}")
    figure.colorbar(shown, ax=axes[2], label=f"{UNIT}, mean of 5 x 5", shrink=0.7, extend="both")
    for axis in axes[:3]:
        axis.set(xticks=[], yticks=[])
    bins = np.linspace(metres.min(), metres.max(), 13)
    middle = (bins[1:] + bins[:-1]) / 2
    for (name, error), colour in zip(two, ("tab:red", "tab:blue"), strict=True):
        which = np.digitize(metres, bins[1:-1])
        means = [np.nanmean(error[which == k]) for k in range(len(middle))]
        label = f"{name}: {_slope(elevation, error):+.2f} for 100 m"
        axes[3].plot(middle, means, "o-", color=colour, label=label)
    axes[3].axhline(0, color="k", linewidth=0.6)
    axes[3].set(
        xlabel="elevation, m", ylabel=f"mean SIF error, {UNIT}", title="SIF error\nby elevation"
    )
    axes[3].legend(frameon=False, fontsize=8, loc="upper left")
    save(figure, "terrain")


def _smooth(error: Array) -> Array:
    """Mean of what is solved in 5 x 5 pixels."""
    solved = np.isfinite(error)
    total = uniform_filter(np.where(solved, error, 0.0), 5)
    return total / np.maximum(uniform_filter(solved.astype(float), 5), 1e-9)


if __name__ == "__main__":
    run(main, "benchmark_atmosphere")
