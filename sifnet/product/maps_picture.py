"""Maps of a product in a picture, each with its colour bar, in a frame that other scenes share."""

from __future__ import annotations

from functools import cached_property, lru_cache
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from matplotlib import colormaps
from matplotlib.artist import Artist
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
FRAMES = 4  # sizes of scenes whose frames are kept, 6 MB each
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
    """Four maps, their colour bars and what is said of them; all but axes differs between scenes.

    Axes, their ticks and titles take most of the time of a picture. They are drawn once.
    """

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
        self.title = self.figure.suptitle("", **TITLE)
        self.legend = self.figure.supxlabel("", **LEGEND)

    def show(self, product: xr.Dataset, title: str, legend: str) -> None:
        """Put in a product of at most MOST pixels a side."""
        good = trusted(product)
        for (image, _), (name, *_, zero) in zip(self.maps, self.panels, strict=True):
            values = np.where(good, product[name].values, np.nan)
            image.set_data(values.T if self.lying else values)
            image.set_clim(*span(values, zero=zero))
        self.title.set_text(title)
        self.legend.set_text(legend)

    def write(self, path: Path) -> None:
        """The figure as it is shown, as PNG."""
        canvas, ground = self._drawn
        canvas.restore_region(ground)
        for artist in self._changing():
            self.figure.draw_artist(artist)
        write_png(canvas, path)

    @cached_property
    def _drawn(self) -> tuple[FigureCanvasAgg, Any]:
        """A canvas, and all of it that is the same for all scenes."""
        self.figure.set_dpi(DPI)
        canvas = FigureCanvasAgg(self.figure)
        for artist in self._changing():
            artist.set_animated(True)  # is left out
        canvas.draw()
        return canvas, canvas.copy_from_bbox(self.figure.bbox)

    def _changing(self) -> list[Artist]:
        """Images, numbers beside bars, texts."""
        drawn = [(image, bar.ax.yaxis) for image, bar in self.maps]
        return [*chain.from_iterable(drawn), self.title, self.legend]


@lru_cache(maxsize=FRAMES)
def kept_frame(shape: tuple[int, ...], panels: tuple[Shown, ...]) -> Frame:
    """A frame that was drawn for another scene of this size, if one was."""
    return Frame(shape, panels)


def write_png(canvas: FigureCanvasAgg, path: Path) -> None:
    """What is drawn. Without transparency it takes a third less time."""
    picture = Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")
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
