"""What knowing the air is worth: the same retrievals with three priors of pressure, and over hills.

    python tests/benchmarks/atmosphere.py [FOLDER]      (make atmosphere, 15 minutes)

Four lines and one over hills by full radiative transfer, under the weather of real days (see
``weather.py``; needs the samples of reanalyses in ../shared). Writes ``docs/atmosphere.md``,
``docs/atmosphere.png`` and ``docs/terrain.png``; lines are kept in FOLDER.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import rasterio
import xarray as xr
from lines import SHAPE, line
from numpy.typing import NDArray
from pyproj import Transformer
from rasterio.transform import Affine, from_origin
from scipy.ndimage import uniform_filter
from weather import SAMPLES, Weather, era5, ifs

from atmorep_bridge.state import state
from sifnet.evaluation.methods.all import evenly
from sifnet.evaluation.methods.fld import fld_scene
from sifnet.evaluation.methods.optimal_estimation import optimal_estimation_scene
from sifnet.evaluation.methods.spectral_fitting import spectral_fitting_scene
from sifnet.retrieval.prior import PRESSURE_SD, on_terrain
from sifnet.retrieval.shipped import model_for
from sifnet.retrieval.strips import retrieve
from sifnet.scenes import open_scene
from sifnet.scenes.scene import Scene
from sifnet.simulation.ground import smooth_pattern
from sifnet.simulation.scenery import PLACE, Settings
from sifnet.simulation.simulate import Relief, simulate
from sifnet.units import standard_pressure

Array = NDArray[np.float64]
DOCS = Path(__file__).resolve().parents[2] / "docs"
UNIT = "mW m⁻² nm⁻¹ sr⁻¹"
SLOW = 3000  # pixels on which the two methods are tried that solve one by one
PRIORS = {
    "±50": "standard atmosphere ± 50 hPa",
    "usual": f"standard atmosphere ± {PRESSURE_SD:g} hPa",
    "bridge": "atmorep-bridge",
    "off": "atmorep-bridge, pressure one σ off",
}
COLOURS = {"±50": "tab:red", "usual": "tab:orange", "bridge": "tab:blue", "off": "tab:cyan"}
HILLS = {"seed": 21, "sensor_height": 1.8, "solar_zenith_angle": 40, "aot_550": 0.12}
LOWEST, HIGHEST = 0.55, 0.85  # km, of the hills
NODES = 4  # elevations of full radiative transfer
PIXEL = 10.0  # m
CRS = "EPSG:32632"


def main(folder: Path) -> None:
    """Run both parts and write the page."""
    if not SAMPLES.is_dir():
        raise SystemExit(f"The samples of reanalyses are not there: {SAMPLES}")
    folder.mkdir(parents=True, exist_ok=True)
    days = {
        "0.35 km": ifs("ecmwf_model.nc", "Munich", 10),
        "0.6 km": ifs("20190517_mace-head_ecmwf.nc", "Mace Head", 13),
        "1.8 km": era5(),
        "3.0 km": ifs("ecmwf_model.nc", "Munich", 16),
    }
    scores: dict[tuple[str, str], Score] = {}
    told: list[str] = []
    for name, day in days.items():
        told.append(_line(folder, name, day, scores))
        print(told[-1], flush=True)
    page = _lines_page(told, scores)
    print(page, flush=True)
    _lines_figure(scores, DOCS / "atmosphere.png")
    page += "\n\n" + _hills(folder / "hills", days["0.35 km"])
    (DOCS / "atmosphere.md").write_text(page + "\n", encoding="utf-8")


@dataclass
class Score:
    """Of one method with one prior: errors, and estimates over bare soil, a line each."""

    errors: list[Array]
    soils: list[Array]

    @property
    def rmse(self) -> float:
        """Over all lines."""
        return float(np.sqrt(np.mean(np.concatenate(self.errors) ** 2)))

    @property
    def bias(self) -> float:
        """Mean |bias| of a line."""
        return float(np.mean([abs(e.mean()) for e in self.errors]))

    @property
    def soil(self) -> float:
        """Mean |mean over soil| of a line."""
        return float(np.mean([abs(s.mean()) for s in self.soils]))


def methods(scene: Scene) -> dict[str, Callable[[xr.Dataset | None], Array]]:
    """sif_760 (line, sample) of a scene from what is told of its air; NaN where not tried."""
    model, some = model_for(scene), evenly(scene.shape[:2], SLOW)
    places = {"line": np.flatnonzero(some.any(1)), "sample": np.flatnonzero(some.any(0))}
    part = Scene(scene.dataset.isel(places))

    def alone(told: xr.Dataset | None) -> Array:
        found = np.full(scene.shape[:2], np.nan)
        estimate = optimal_estimation_scene(part, shared=False, atmosphere=told)
        found[np.ix_(*places.values())] = estimate.sif_760.values
        return found

    return {
        "sifnet": lambda told: retrieve(scene, model, atmosphere=told).sif_760.values,
        "optimal estimation, shared": lambda told: (
            optimal_estimation_scene(scene, shared=True, atmosphere=told).sif_760.values
        ),
        "optimal estimation, single pixels": alone,
        "3FLD": lambda told: fld_scene(scene, atmosphere=told),
        "SFM": lambda told: spectral_fitting_scene(scene, atmosphere=told, at=some),
    }


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


def _line(folder: Path, name: str, day: Weather, scores: dict[tuple[str, str], Score]) -> str:
    """Add the scores of a line; a row of the table of what is true and what is told."""
    offset = day.pressure_offset(day.elevation)
    header = line(folder, name, ground_elevation=day.elevation, pressure_offset=offset,
                  temperature_offset=day.temperature_offset)  # fmt: skip
    scene, known = open_scene(header), priors(open_scene(header), _fields(header.parent, day))
    with xr.open_dataset(header.parent / "truth.nc") as truth:
        true, soil = truth.sif_760.values, truth.bare_soil.values.astype(bool)
    for method, estimate in methods(scene).items():
        for prior, told in known.items():
            sif = estimate(told)
            good = np.isfinite(sif)
            score = scores.setdefault((method, prior), Score([], []))
            score.errors.append((sif - true)[good])
            score.soils.append(sif[good & soil])
    bridge = known["bridge"]
    assert bridge is not None
    missed = float(bridge.surface_pressure - day.pressure(day.elevation))
    warm = float(bridge.temperature_offset - day.temperature_offset)
    return (
        f"| {name} | {day.name} | {offset:+.1f} | {missed:+.2f} "
        f"± {float(bridge.surface_pressure_uncertainty):.1f} | {day.temperature_offset:+.1f} | "
        f"{warm:+.1f} ± {float(bridge.temperature_offset_uncertainty):.1f} |"
    )


def _fields(folder: Path, day: Weather) -> Path:
    path = folder / "weather.nc"
    day.fields.to_netcdf(path, engine="h5netcdf")
    return path


def _lines_page(told: list[str], scores: dict[tuple[str, str], Score]) -> str:
    names = list(dict.fromkeys(method for method, _ in scores))
    rows = []
    for method in names:
        for prior, words in PRIORS.items():
            s = scores[method, prior]
            rows.append(f"| {method} | {words} | {s.rmse:.3f} | {s.bias:.3f} | {s.soil:.3f} |")
    gains = []
    for method in names:
        cells = [f"| {method} "]
        for prior in ("±50", "usual"):
            before, after = scores[method, prior], scores[method, "bridge"]
            cells += [f"| {getattr(after, what) / getattr(before, what) - 1:+.0%} "
                      for what in ("rmse", "bias")]  # fmt: skip
        gains.append("".join(cells).replace("-", "−") + "|")
    return "\n".join([
        "# What knowing the air is worth\n",
        "`make atmosphere` makes this page. SIF at 760 nm, " + UNIT + ".\n",
        "## Pressure, from nobody, from a table, from a reanalysis\n",
        "The four lines of [accuracy](accuracy.md), simulated by full radiative transfer under the "
        "weather of real days, moved to their place and hour. The bridge is not given the hour of "
        "the scene but analyses 1 h before and 2 h after it (ERA5: 1 h and 1 h); what it says is "
        "off by what weather does meanwhile. The analyses themselves are taken for true, which "
        "they are to about 1 hPa: the last prior therefore has the bridge's pressure one of its "
        "own σ too high on every line. Aerosol is known as little as ever.\n",
        "| sensor | weather | true pressure, hPa from standard | the bridge's error ± its σ, hPa | "
        "true temperature, K from standard | the bridge's error ± its σ, K |",
        "|---|---|---|---|---|---|", *told,
        "\n![Error by method and prior](atmosphere.png)\n",
        "RMSE over all pixels of all lines; mean of the |bias| of each line; mean of the |mean "
        "SIF| of each line over bare soil, where it is zero. SFM and single pixels on "
        f"{SLOW} pixels a line.\n",
        "| method | pressure and temperature from | RMSE | bias | soil |", "|---|---|---|---|---|",
        *rows,
        "\nA method that looks at pixels one by one has nothing but the prior to tell pressure "
        "from fluorescence. Where a thousand pixels share one atmosphere their spectra tell it: "
        "the RMSE of sifnet and of shared optimal estimation hardly depends on the prior; what "
        "sifnet gains is bias. 3FLD and SFM take the prior's mean for true, whatever its σ. With "
        "the bridge instead of:\n",
        "| method | ± 50 hPa: RMSE | bias | ± 8 hPa: RMSE | bias |", "|---|---|---|---|---|",
        *gains,
    ])  # fmt: skip


def _lines_figure(scores: dict[tuple[str, str], Score], path: Path) -> None:
    names = list(dict.fromkeys(method for method, _ in scores))
    figure, axes = plt.subplots(1, 2, figsize=(9, 5), layout="compressed", sharey=True)
    height = 0.19
    for axis, what, title in zip(
        axes, ("rmse", "bias"), ("RMSE of all lines", "mean |bias| of a line"), strict=True
    ):
        for place, (prior, words) in enumerate(PRIORS.items()):
            values = [getattr(scores[name, prior], what) for name in names]
            at = np.arange(len(names)) + (place - 1.5) * height
            bars = axis.barh(at, values, height * 0.92, color=COLOURS[prior], label=words)
            axis.bar_label(bars, fmt=" %.3f", fontsize=7)
        axis.set(title=title, xlabel=f"SIF at 760 nm, {UNIT}")
        axis.margins(x=0.12)
        axis.spines[["top", "right"]].set_visible(False)
    axes[0].set_yticks(range(len(names)), names)
    axes[0].invert_yaxis()
    figure.legend(*axes[0].get_legend_handles_labels(), title="pressure and temperature from",
                  loc="outside lower center", ncols=len(PRIORS), frameon=False,
                  fontsize=8)  # fmt: skip
    figure.savefig(path, dpi=130)
    plt.close(figure)


def _hills(folder: Path, day: Weather) -> str:
    """The second half of the page, and its figure."""
    header, true, elevation = _hills_line(folder, day)
    scene, dem = _placed(open_scene(header)), folder / "dem.tif"
    fields = _fields(folder, day)
    with_dem = state(scene, [fields], elevation=dem)
    known = {
        "one elevation": state(scene, [fields]),
        "from the DEM": with_dem,
        "from the DEM, pressure of the standard atmosphere": with_dem[["ground_elevation"]],
    }
    model = model_for(scene)
    errors, rows = {}, []
    for name, told in known.items():
        found = retrieve(on_terrain(scene, told), model, atmosphere=told).sif_760.values
        errors[name] = found - true
        good = np.isfinite(errors[name])
        rows.append(f"| {name} | {_slope(elevation, errors[name]):+.3f} | "
                    f"{np.sqrt(np.mean(errors[name][good] ** 2)):.3f} | "
                    f"{errors[name][good].mean():+.3f} |")  # fmt: skip
        print(rows[-1], flush=True)
    _hills_figure(elevation, errors, DOCS / "terrain.png")
    relief = np.ptp(elevation) * 1e3
    fall = float(day.pressure(elevation.min()) - day.pressure(elevation.max()))
    return "\n".join([
        "## Hills\n",
        f"Smooth hills of {relief:.0f} m under a sensor {HILLS['sensor_height']} km above their "
        f"mean: pressure falls by {fall:.0f} hPa from valley to top, and the air between ground "
        f"and sensor with it. Full radiative transfer at {NODES} elevations, pressure that of the "
        "IFS column over Munich at its own heights, slopes lit as level ground. "
        "`atmorep-bridge state` is told the hours before and after, with one elevation for the "
        "scene or with `--elevation dem.tif`.\n",
        "![SIF error over hills](terrain.png)\n",
        f"| elevation of the ground | SIF error for 100 m of height, {UNIT} | RMSE | bias |",
        "|---|---|---|---|", *rows,
        "\nWith one elevation, the oxygen that valleys add and tops lack is taken for missing and "
        "added fluorescence: the map shows the hills. It is their shape that must be known; the "
        "pressure of the whole the spectra tell.",
    ])  # fmt: skip


def _hills_line(folder: Path, day: Weather) -> tuple[Path, Array, Array]:
    """Header, true SIF and elevation of the line over hills; its DEM lies beside."""
    margin, rng = 8, np.random.default_rng(int(HILLS["seed"]))
    ground = smooth_pattern((SHAPE[0] + 2 * margin, SHAPE[1] + 2 * margin), rng, 0.12)
    inside = ground[margin:-margin, margin:-margin]
    ground = np.interp(ground, [inside.min(), inside.max()], [LOWEST, HIGHEST])
    inside = ground[margin:-margin, margin:-margin]
    mean = float(inside.mean())
    if not (folder / "truth.nc").exists():
        given = {k: float(v) for k, v in HILLS.items() if k != "seed"}
        level = Settings.drawn(rng, **given, ground_elevation=mean,
                               pressure_offset=day.pressure_offset(mean),
                               temperature_offset=day.temperature_offset)  # fmt: skip
        over = {
            z: replace(level, ground_elevation=z, sensor_height=level.sensor_height + mean - z,
                       pressure_offset=day.pressure_offset(z))
            for z in np.linspace(inside.min(), inside.max(), NODES)
        }  # fmt: skip
        simulate("hyplant", folder, lines=SHAPE[0], samples=SHAPE[1], seed=int(HILLS["seed"]),
                 settings=level, relief=Relief(inside, over))  # fmt: skip
    corner = _transform() @ (-margin, -margin)
    with rasterio.open(folder / "dem.tif", "w", driver="GTiff", dtype="float32", count=1, crs=CRS,
                       height=ground.shape[0], width=ground.shape[1],
                       transform=from_origin(*corner, PIXEL, PIXEL)) as dem:  # fmt: skip
        dem.write((ground * 1e3).astype(np.float32), 1)
    with xr.open_dataset(folder / "truth.nc") as truth:
        return next(folder.glob("*.hdr")), truth.sif_760.values, truth.ground_elevation.values


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


def _hills_figure(elevation: Array, errors: dict[str, Array], path: Path) -> None:
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
    figure.savefig(path, dpi=130)
    plt.close(figure)


def _smooth(error: Array) -> Array:
    """Mean of what is known in 5 x 5 pixels."""
    known = np.isfinite(error)
    total = uniform_filter(np.where(known, error, 0.0), 5)
    return total / np.maximum(uniform_filter(known.astype(float), 5), 1e-9)


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "benchmark_atmosphere"))
