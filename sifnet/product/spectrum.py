"""A spectrum and its fit, of a pixel or the mean of some, and its picture."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sifnet.errors import SifnetError
from sifnet.product.series_picture import ACCENT, INK, UNITS, plain, roomy_figure
from sifnet.retrieval.explained import OF_PARAMETERS, ON_BANDS

GOLD = "#c8860a"


class Spectrum(xr.Dataset):
    """What ``product.sif.spectrum`` returns: a Dataset that can be drawn as a whole."""

    __slots__ = ()

    def plot(self) -> Figure:  # type: ignore[override]
        """Measured and fitted radiance, the residual, and the part that is fluorescence."""
        if "fitted" not in self:
            raise SifnetError(
                "this is no whole spectrum",
                found=", ".join(map(str, self.data_vars)) or "no variables",
                expected="measured, fitted, residual, fluorescence",
                remedy="Draw what product.sif.spectrum(line, sample) returns as it is.",
            )
        figure = roomy_figure(8.0, 6.6)
        panels = figure.subplots(3, 1, sharex=True, height_ratios=(2.2, 1.1, 1.1))
        nm = self["wavelength"].values
        _radiance(panels[0], nm, self)
        _residual(panels[1], nm, self)
        fluorescence = self["fluorescence"].values
        panels[2].fill_between(nm, fluorescence, color=ACCENT, alpha=0.25, linewidth=0)
        panels[2].plot(nm, fluorescence, color=ACCENT)
        panels[2].axhline(0, color="0.6", linewidth=0.8)
        panels[2].set_ylabel(f"fluorescence\nat the sensor\n{UNITS}", fontsize=8)
        panels[2].set_xlabel("wavelength (vacuum), nm", fontsize=9)
        for axes in panels:
            plain(axes)
        figure.suptitle(self._title(), fontsize=10, color=INK, x=0.02, ha="left")
        return figure

    def _title(self) -> str:
        pixels, told = int(self.attrs["pixels"]), self["value"].sel(parameter="sif_760")
        where = f"mean of {pixels} pixels"
        if "line" in self.coords:
            where = f"line {int(self['line'])}, sample {int(self['sample'])}"
        text = f"{self.attrs['scene']}: {where}\n"
        text += f"SIF at 760 nm {float(told):.2f} {UNITS}, χ² {float(self['chi2_reduced']):.2f}"
        source = self.attrs["source"]
        return text if source == "the scene" else f"{text}\n{source}"


def _radiance(axes: Axes, nm: np.ndarray, told: xr.Dataset) -> None:
    axes.plot(nm, told["measured"], ".", color=INK, markersize=4, label="measured")
    axes.plot(nm, told["fitted"], color=ACCENT, linewidth=1.2, label="fitted")
    encoder: dict[str, Any] = {"color": GOLD, "linewidth": 1.0, "linestyle": (0, (4, 2))}
    axes.plot(nm, told["encoder"], label="the encoder alone", **encoder)
    axes.set_ylim(bottom=0)
    axes.set_ylabel(f"radiance\n{UNITS}", fontsize=8)
    axes.legend(frameon=False, fontsize=8, loc="lower right")


def _residual(axes: Axes, nm: np.ndarray, told: xr.Dataset) -> None:
    scatter = int(told.attrs["pixels"]) ** -0.5
    axes.axhspan(-scatter, scatter, color="0.92", linewidth=0, label="± 1 σ")
    axes.plot(nm, told["residual"], color=INK, linewidth=0.9, drawstyle="steps-mid")
    axes.axhline(0, color="0.6", linewidth=0.8)
    reach = 1.1 * max(3 * scatter, float(abs(told["residual"]).max()))
    axes.set_ylim(-reach, reach)
    axes.set_ylabel("residual\nσ of a pixel", fontsize=8)


def mean_of(told: xr.Dataset, **attributes: Any) -> Spectrum:
    """One spectrum of all those of ``explained.Explainer``, its coordinates on ``band``."""
    count, wavelength = told.sizes["pixel"], told["wavelength"]
    names = [*ON_BANDS, *OF_PARAMETERS, "chi2_reduced"]
    mean = told[names].reset_coords(drop=True).mean("pixel", keep_attrs=True)
    where = {}
    if count == 1:
        where = {name: int(told[name].values[0]) for name in ("line", "sample")}
    coordinates = {
        "wavelength": ("band", wavelength.values.mean(0), wavelength.attrs),
        "parameter": told["parameter"].values,
        "unit": told["unit"].variable,
        **where,
    }
    return Spectrum(mean.data_vars, coordinates, {"pixels": count, **attributes})
