"""Pictures of many scenes of one size: what they share is drawn once, the rest is painted over it.

Axes, ticks and colour bars take matplotlib most of the time of a picture, and so do the texts that
differ. Maps are pasted here, and texts written, with Pillow, in the font of matplotlib.
"""

from __future__ import annotations

from functools import cache, cached_property, lru_cache
from pathlib import Path

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.font_manager import FontProperties, findfont
from matplotlib.image import AxesImage
from matplotlib.ticker import MaxNLocator, ScalarFormatter
from PIL import Image, ImageDraw, ImageFont

from sifnet.product.maps_picture import (
    DPI,
    LEGEND,
    LEGEND_AT,
    TICKS,
    TITLE,
    TITLE_AT,
    Array,
    Frame,
    Shown,
    save_png,
)

FRAMES = 4  # sizes of scenes whose pictures are kept, 4 MB each
POINT = DPI / 72  # pixels
NUMBERS = 8  # points, of their size beside a bar
TICK, PAD = 3.5, 3.5  # points, of the length of a tick, and from there to its number
COLOURS = 256

Box = tuple[int, int, int, int]  # left, upper, right, lower


class Painting(Frame):
    """A frame that is drawn once, for scenes of one size."""

    def paint(self, product: xr.Dataset, title: str, legend: str, path: Path) -> None:
        """The picture of a product of at most ``MOST`` pixels a side, as PNG."""
        picture = self._ground.copy()
        pen = ImageDraw.Draw(picture)
        for (image, bar), (values, limits) in zip(self.maps, self.shown(product), strict=True):
            left, upper, right, lower = box(image.axes)
            small = Image.fromarray(_coloured(values, limits, image))
            size = right - left, lower - upper
            picture.paste(small.resize(size, Image.Resampling.NEAREST), (left, upper))
            _write_numbers(pen, bar.ax, limits)
        width, height = picture.size
        for text, at, anchor, style in (
            (title, 1 - TITLE_AT, "ma", TITLE), (legend, 1 - LEGEND_AT, "md", LEGEND)
        ):  # fmt: skip
            font = _font(style["fontsize"], style.get("fontweight", "normal"))
            where, ink = (width / 2, at * height), _ink(style["color"])
            pen.multiline_text(where, text, ink, font, anchor, align="center")
        save_png(picture, path)

    @cached_property
    def _ground(self) -> Image.Image:
        """All that is the same for all scenes."""
        self.figure.set_dpi(DPI)
        for image, bar in self.maps:
            image.set_visible(False)
            bar.ax.yaxis.set_tick_params(length=0, labelright=False)
            # The place of its label is said, which is else found from the numbers.
            bar.ax.yaxis.set_label_coords(*bar_label(bar.ax))
        canvas = FigureCanvasAgg(self.figure)
        canvas.draw()
        return Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")


@lru_cache(maxsize=FRAMES)
def painting(shape: tuple[int, ...], panels: tuple[Shown, ...]) -> Painting:
    """One that was drawn for another scene of this size, if one was."""
    return Painting(shape, panels)


def bar_label(axes: Axes) -> tuple[float, float]:
    """Place of the label of a bar, in its axes: beyond numbers of five digits."""
    width = axes.get_window_extent().width
    digits = _font(NUMBERS, "normal").getlength("0.000")
    return 1 + ((TICK + 2 * PAD) * POINT + digits) / width, 0.5


def box(axes: Axes) -> Box:
    """Pixels of axes."""
    extent, height = axes.get_window_extent(), axes.figure.bbox.height
    edges = extent.x0, height - extent.y1, extent.x1, height - extent.y0
    left, upper, right, lower = (round(edge) for edge in edges)
    return left, upper, max(right, left + 1), max(lower, upper + 1)


def _coloured(values: Array, limits: tuple[float, float], image: AxesImage) -> np.ndarray:
    """``row, column, 3`` of bytes, with the colours of an image."""
    table = np.concatenate([image.cmap(np.arange(COLOURS)), [image.cmap(np.nan)]])[:, :3]
    low, high = limits
    with np.errstate(invalid="ignore"):
        place = (np.clip((values - low) / (high - low), 0, 1) * COLOURS).clip(max=COLOURS - 1)
    index = np.where(np.isfinite(values), place, COLOURS).astype(np.intp)
    return np.round(255 * table).astype(np.uint8)[index]


def numbers(limits: tuple[float, float]) -> tuple[list[float], list[str], str]:
    """Places of ticks between limits, their numbers as matplotlib writes them, and what all are
    to be multiplied by or raised by, which is seldom said."""
    low, high = limits
    room = 1e-9 * (high - low)
    ticks = MaxNLocator(TICKS).tick_values(low, high)
    places = [float(place) for place in ticks if low - room <= place <= high + room]
    formatter = ScalarFormatter()
    formatter.create_dummy_axis()  # type: ignore[no-untyped-call]
    assert formatter.axis is not None
    formatter.axis.set_view_interval(low, high)
    return places, formatter.format_ticks(places), formatter.get_offset()


def _write_numbers(pen: ImageDraw.ImageDraw, axes: Axes, limits: tuple[float, float]) -> None:
    """Ticks and numbers on the right of a colour bar."""
    left, upper, right, lower = box(axes)
    font, end = _font(NUMBERS, "normal"), right + TICK * POINT
    places, texts, common = numbers(limits)
    for place, text in zip(places, texts, strict=True):
        share = (place - limits[0]) / (limits[1] - limits[0])
        down = lower - share * (lower - upper)
        pen.line([(right, down), (end, down)], "black")
        pen.text((end + PAD * POINT, down), text, "black", font, "lm")
    if common:
        pen.text((left, upper - 2 * TICK * POINT), common, "black", font, "ls")


@cache
def _font(points: float, weight: str) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(findfont(FontProperties(weight=weight)), points * POINT)


def _ink(colour: str) -> tuple[int, ...]:
    return tuple(round(255 * part) for part in to_rgb(colour))
