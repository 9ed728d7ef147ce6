"""The picture of a series of measurements: its course, hourly means, and emission spectra."""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from numpy.typing import NDArray

from sifnet.product.axes import HOURS
from sifnet.product.axes import axes as dimensions
from sifnet.product.netcdf import trusted

UNITS = "mW m⁻² nm⁻¹ sr⁻¹"
INK, ACCENT, RED = "#1b2a34", "#0b7a4b", "#b3312c"
FLAGGED = "0.7"
COURSE = (("sif_760", "760 nm", ACCENT, INK), ("sif_687", "687 nm", RED, "#6d1511"))
BELOW = {  # what is drawn under it, as far as a product has it
    "reflectance_740": "reflectance\nat 740 nm",
    "solar_zenith_angle": "sun from\nzenith, °",
    "chi2_reduced": "χ², reduced",
}
SPECTRUM, AXIS = "sif_emission_spectrum", "emission_wavelength"
YIELD, LIGHT = "fluorescence_quantum_efficiency", "integrated_par"


def series_figure(product: xr.Dataset) -> Figure:
    """SIF and hourly means against time, what explains it; quantum efficiency; emission spectra."""
    further = {SPECTRUM: _spectra, YIELD: _against_light}
    further = {name: draw for name, draw in further.items() if name in product}
    figure = roomy_figure(9.0, 7.0 + 2.8 * len(further))
    below = {n: label for n, label in BELOW.items() if n in product and product[n].ndim}
    heights = (2.4, *[0.8] * len(below), *[0.25, 2.0] * len(further))
    panels = list(figure.subplots(len(heights), 1, height_ratios=heights))
    good = trusted(product)[:, 0]
    down, across = dimensions(product)
    timed = "time" in product.coords and product["time"].dims == (down,)
    when = product["time"].values if timed else np.arange(product.sizes[down])
    column = product.isel({across: 0})
    _course(panels[0], column, when, good)
    for axes, (name, label) in zip(panels[1:], below.items(), strict=False):
        values = np.broadcast_to(column[name].values, when.shape)
        for chosen, colour in ((good, ACCENT), (~good, FLAGGED)):
            axes.plot(when[chosen], values[chosen], color=colour, linestyle="none",
                      marker="o", markersize=3)  # fmt: skip
        axes.set_ylabel(label, fontsize=9)
        plain(axes)
    for axes in panels[: len(below)]:
        axes.sharex(panels[len(below)])
        axes.tick_params(labelbottom=False)
    _time_axis(panels[len(below)], when)
    rest = panels[1 + len(below) :]
    for space, axes, draw in zip(rest[::2], rest[1::2], further.values(), strict=True):
        space.set_axis_off()
        draw(axes, column, when, good)
    return figure


def _course(
    axes: Axes, column: xr.Dataset, when: NDArray[np.generic], good: NDArray[np.bool_]
) -> None:
    """SIF of every measurement, and the means of every hour with their uncertainty."""
    for name, label, colour, dark in COURSE:
        if name not in column:
            continue
        values, sigma = column[name].values, column[f"{name}_uncertainty"].values
        for chosen, drawn, text in ((good, colour, f"{label}, ± 1 σ"), (~good, FLAGGED, "flagged")):
            axes.errorbar(when[chosen], values[chosen], sigma[chosen], color=drawn,
                          elinewidth=0.6, label=text if chosen.any() else None, alpha=0.75,
                          linestyle="none", marker="o", markersize=3)  # fmt: skip
        if f"{name}_hourly" in column:
            start, mean = column[HOURS].values, column[f"{name}_hourly"].values
            middle, end = (start + np.timedelta64(minutes, "m") for minutes in (30, 60))
            axes.hlines(mean, start, end, color=dark, linewidth=1.1)
            axes.errorbar(middle, mean, column[f"{name}_hourly_uncertainty"].values, color=dark,
                          elinewidth=1.4, linestyle="none", label="hourly mean, ± 1 σ")  # fmt: skip
    axes.axhline(0, color="0.8", linewidth=0.8)
    axes.set_ylabel(f"SIF\n{UNITS}", fontsize=9)
    labels = dict(zip(*reversed(axes.get_legend_handles_labels()), strict=True))
    axes.legend(labels.values(), labels.keys(), frameon=False, fontsize=8, ncols=2)
    plain(axes)


def _spectra(
    axes: Axes, column: xr.Dataset, when: NDArray[np.generic], good: NDArray[np.bool_]
) -> None:
    """The mean emission of every hour, with the mean of the uncertainties in it."""
    hours = when.astype("datetime64[h]") if np.issubdtype(when.dtype, np.datetime64) else when * 0
    wavelength = column[AXIS].values
    found = np.unique(hours[good])
    for shade, hour in zip(np.linspace(0.25, 0.95, max(len(found), 1)), found, strict=False):
        chosen = good & (hours == hour)
        mean = column[SPECTRUM].values[chosen].mean(0)
        sigma = column[f"{SPECTRUM}_uncertainty"].values[chosen].mean(0)
        colour = (0.9 - 0.85 * shade, 0.75 - 0.3 * shade, 0.35)
        name = f"{str(hour)[11:13]} h" if hours.dtype.kind == "M" else None
        axes.fill_between(wavelength, mean - sigma, mean + sigma, color=colour, alpha=0.18,
                          linewidth=0)  # fmt: skip
        axes.plot(wavelength, mean, color=colour, linewidth=1.6, label=name)
    axes.set_xlim(wavelength[0], wavelength[-1])
    axes.axhline(0, color="0.8", linewidth=0.8)
    axes.set_xlabel("wavelength, nm", fontsize=9)
    axes.set_ylabel(f"mean emission, ± 1 σ\n{UNITS}", fontsize=9)
    if found.size:
        axes.legend(frameon=False, fontsize=8, ncols=max(1, len(found) // 8))
    plain(axes)


def _against_light(
    axes: Axes, column: xr.Dataset, when: NDArray[np.generic], good: NDArray[np.bool_]
) -> None:
    """Quantum efficiency of every trusted measurement against light; bars are its noise alone."""
    light, found = column[LIGHT].values, column[YIELD].values
    sigma, shared = (column[f"{YIELD}_uncertainty{end}"].values for end in ("", "_shared"))
    shown = good & np.isfinite(found) & np.isfinite(light)
    own = np.sqrt(np.maximum(sigma**2 - shared**2, 0.0))
    axes.errorbar(light[shown], 100 * found[shown], 100 * own[shown], color=ACCENT, elinewidth=0.6,
                  alpha=0.75, linestyle="none", marker="o", markersize=3)  # fmt: skip
    if shown.any():
        common = float(np.median(shared[shown] / np.abs(found[shown])))
        axes.set_title(f"all share ± {common:.0%}, of the formula and of PAR", fontsize=9,
                       loc="left", color="0.35")  # fmt: skip
    axes.set_xlabel("PAR, µmol m⁻² s⁻¹", fontsize=9)
    axes.set_ylabel("quantum efficiency, %\n± noise", fontsize=9)
    plain(axes)


def _time_axis(axes: Axes, when: NDArray[np.generic]) -> None:
    if np.issubdtype(when.dtype, np.datetime64):
        locator = AutoDateLocator()
        axes.xaxis.set_major_locator(locator)
        axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))
        axes.set_xlabel("time, UTC", fontsize=9)
    else:
        axes.set_xlabel("measurement", fontsize=9)


def plain(axes: Axes) -> None:
    """Small labels, no frame."""
    axes.tick_params(labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)


def roomy_figure(width: float, height: float) -> Figure:
    """A figure, in inches, that leaves room between its axes."""
    roomy = ConstrainedLayoutEngine(h_pad=0.08, w_pad=0.06)
    return Figure(figsize=(width, height), layout=roomy)
