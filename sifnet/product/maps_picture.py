"""Maps of a product in a figure, each with its colour bar."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colorbar import Colorbar
from matplotlib.colors import Colormap
from matplotlib.image import AxesImage
from matplotlib.ticker import MaxNLocator, NullFormatter
from numpy.typing import NDArray
from PIL import Image

from sifnet.files import whole
from sifnet.product.labels import headline
from sifnet.product.layout import Panel, four
from sifnet.product.netcdf import trusted
from sifnet.product.series_picture import INK, UNITS

Array = NDArray[np.float64]

GREY = "0.82"
MOST = 1200  # pixels a side that a picture shows; larger scenes are thinned
TICKS = 5  # on an axis at most: a third of the time of a picture finds the place of their labels
DPI = 130
TITLE: dict[str, Any] = {"fontsize": 11, "color": INK, "fontweight": "bold"}
LEGEND: dict[str, Any] = {"fontsize": 8, "color": "0.35"}
TITLE_AT, LEGEND_AT = 0.98, 0.01  # of the height
PANELS = (  # variable, title, unit, colours, whether zero belongs to the scale
    ("{sif}", "SIF at {nm} nm", UNITS, "viridis", True),
    ("{sif}_uncertainty", "uncertainty of SIF (1 σ)", UNITS, "magma", False),
    ("reflectance_740", "reflectance at 740 nm", "", "cividis", False),
    ("residual_rms", "residual radiance (rms)", UNITS, "inferno", False),
)


Shown = tuple[str, str, str, str, bool]


def panels_of(product: xr.Dataset) -> tuple[Shown, ...]:
    """PANELS of the wavelength that the sensor is looked at for."""
    sif = headline(product)
    told = {"sif": sif, "nm": sif.removeprefix("sif_")}
    return tuple((n.format(**told), title.format(**told), *rest) for n, title, *rest in PANELS)  # type: ignore[misc]


class Frame:
    """Four maps, their colour bars and what is said of them."""

    def __init__(self, shape: tuple[int, ...], panels: tuple[Shown, ...]):
        """An empty one.

        Args:
            shape: lines and samples of a scene.
            panels: see ``panels_of``.
        """
        self.panels = panels
        self.figure, places, self.lying = four(shape)
        empty = np.zeros((1, 1))
        self.maps = [
            draw_map(place, empty, title, unit, colours, lying=self.lying, shape=shape)
            for place, (_, title, unit, colours, _) in zip(places, panels, strict=True)
        ]

    def shown(self, product: xr.Dataset) -> Iterator[tuple[Array, tuple[float, float]]]:
        """What each map shows of a product of at most MOST pixels a side, and its limits."""
        good = trusted(product)
        for name, *_, zero in self.panels:
            values = np.where(good, product[name].values, np.nan)
            yield values.T if self.lying else values, span(values, zero=zero)

    def show(self, product: xr.Dataset, title: str, legend: str) -> None:
        """Put in a product."""
        for (image, _), (values, limits) in zip(self.maps, self.shown(product), strict=True):
            image.set_data(values)
            image.set_clim(*limits)
        self.figure.suptitle(title, y=TITLE_AT, **TITLE)
        self.figure.supxlabel(legend, y=LEGEND_AT, **LEGEND)


def write_png(canvas: FigureCanvasAgg, path: Path) -> None:
    """What is drawn. Without transparency it takes a third less time."""
    save_png(Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB"), path)


def save_png(picture: Image.Image, path: Path) -> None:
    """A picture, at DPI."""
    with whole(path) as partial:
        picture.save(partial, compress_level=3, dpi=(DPI, DPI))  # half the time, + 2 %


def draw_map(
    panel: Panel,
    values: Array,
    title: str,
    unit: str,
    colours: str,
    *,
    limits: tuple[float, float] = (0.0, 1.0),
    lying: bool = False,
    shape: tuple[int, ...] = (),
) -> tuple[AxesImage, Colorbar]:
    """One map, thinned to what a picture shows; along track is down, or right if lying.

    Args:
        shape: lines and samples of the scene, where ``values`` are thinned already.
    """
    drawn = values[tuple(slice(None, None, -(-length // MOST)) for length in values.shape)]
    lines, samples = shape or values.shape
    extent = (0, lines, samples, 0) if lying else (0, samples, lines, 0)
    axes = panel.axes
    image = axes.imshow(
        drawn.T if lying else drawn,
        cmap=_with_grey(colours),
        vmin=limits[0],
        vmax=limits[1],
        extent=extent,
        interpolation="nearest",
    )
    bar = colour_bar(axes, image, unit, cax=panel.bar, extend="both", ticks=MaxNLocator(TICKS))
    # The places of labels are said: to find them takes longer than to draw them.
    axes.set_title(title, fontsize=10, loc="left", color=INK, y=1.0)
    axes.locator_params(nbins=TICKS)
    axes.tick_params(labelsize=8, length=3)
    width, height = panel.size
    if panel.across:
        axes.set_xlabel("line" if lying else "sample", fontsize=8)
        axes.xaxis.set_label_coords(0.5, -0.28 / height)
    else:
        axes.set_xticks([])
    if panel.down:
        axes.set_ylabel("sample" if lying else "line", fontsize=8)
        axes.yaxis.set_label_coords(-0.46 / width, 0.5)
    else:
        axes.set_yticks([])
    axes.set_facecolor(GREY)
    axes.spines[:].set_visible(False)
    return image, bar


def colour_bar(axes: Axes, image: Any, label: str, **where: Any) -> Colorbar:
    """Beside or in axes, with small numbers."""
    bar = axes.figure.colorbar(image, **where)
    bar.set_label(label, fontsize=8)
    bar.ax.tick_params(labelsize=8, which="both")
    bar.ax.xaxis.set_minor_formatter(NullFormatter())
    bar.outline.set_visible(False)  # type: ignore[operator]
    return bar


def _with_grey(colours: str) -> Colormap:
    return colormaps[colours].with_extremes(bad=GREY)


def span(
    *values: Array, zero: bool = False, beyond: float = 0.01, margin: float = 0.0
) -> tuple[float, float]:
    """Limits of finite values but a share ``beyond`` them at each end; with zero inside."""
    together = np.concatenate([array.ravel() for array in values])
    finite = together[np.isfinite(together)]
    if not finite.size:
        return 0.0, 1.0
    low, high = np.quantile(finite, (beyond, 1 - beyond))
    low = min(low, 0.0) if zero else low
    room = margin * max(high - low, 1e-3)
    return float(low - room), float((high if high > low else low + 1e-6) + room)
