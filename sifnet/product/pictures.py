"""Pictures of products: a quicklook beside every map, truth beside estimate, one to one.

Every function returns its figure and, given a path, writes it as PNG.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import xarray as xr
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.image import imsave
from numpy.typing import NDArray

from sifnet.files import whole
from sifnet.product.labels import headline
from sifnet.product.layout import LONG, four
from sifnet.product.maps_picture import (
    DPI,
    GREY,
    LEGEND,
    MOST,
    TITLE,
    Frame,
    Shown,
    colour_bar,
    draw_map,
    panels_of,
    span,
    write_png,
)
from sifnet.product.netcdf import WINDOW, flag_shares, thinned, trusted, windows
from sifnet.product.painted import painting
from sifnet.product.series_picture import ACCENT, INK, UNITS, plain, roomy_figure, series_figure

Array = NDArray[np.float64]

THUMBNAIL = 160  # pixels a side at most, in an index of many scenes


def quicklook(product: xr.Dataset, path: str | Path | None = None) -> Figure:
    """SIF, its uncertainty, reflectance and residual; pixels that are not trusted are grey.

    A scene with one column is a series of measurements and is drawn against time. Of a file that is
    open (``netcdf.opened``) only what the picture shows is read.
    """
    if product["sif_760"].shape[1] > 1:
        frame = Frame(product["sif_760"].shape, panels := panels_of(product))
        frame.show(_of_panels(product, panels), _title(product), _flag_legend(product))
        return _saved(frame.figure, path)
    figure = series_figure(product)
    figure.suptitle(_title(product), **TITLE)
    figure.supxlabel(_flag_legend(product), **LEGEND)
    return _saved(figure, path)


def write_quicklook(product: xr.Dataset, path: Path) -> None:
    """The picture of ``quicklook``, of which all scenes of one size share what does not differ."""
    if product["sif_760"].shape[1] == 1:
        quicklook(product, path)
        return
    panels = panels_of(product)
    picture = painting(product["sif_760"].shape, panels)
    picture.paint(_of_panels(product, panels), _title(product), _flag_legend(product), path)


def _of_panels(product: xr.Dataset, panels: tuple[Shown, ...]) -> xr.Dataset:
    """What is shown of a product, as far as a picture has room."""
    names = ["sif_760", "quality_flag", *(name for name, *_ in panels)]
    return thinned(product[list(dict.fromkeys(names))], MOST)


def thumbnail(product: xr.Dataset, path: str | Path, most: int = THUMBNAIL) -> Path:
    """A small picture of what the sensor is looked at for, at most ``most`` pixels a side.

    Means of trusted pixels, so that noise does not hide fields; what is not trusted shows its
    reflectance in grey.
    """
    path, name = Path(path), headline(product)
    lines, samples = product["sif_760"].shape
    if samples == 1:
        small = thinned(product[["sif_760", "quality_flag"]], most)
        figure = Figure(figsize=(most / 100, most / 200))
        axes = figure.add_axes((0, 0, 1, 1))
        shown = np.where(trusted(small), small["sif_760"].values, np.nan)
        axes.plot(shown[:, 0], color=ACCENT, linewidth=1.5)
        axes.set_axis_off()
        with whole(path) as partial:
            figure.savefig(partial, dpi=100)
        return path
    values, grey = _block_means(product[[name, "sif_760", "reflectance_740", "quality_flag"]],
                                name, most)  # fmt: skip
    low, high = span(values, zero=True)
    dark, bright = span(grey)
    coloured = colormaps["viridis"]((values - low) / (high - low))
    ground = colormaps["gray"](0.25 + 0.6 * np.clip((grey - dark) / (bright - dark), 0, 1))
    ground[~np.isfinite(grey)] = float(GREY)
    picture = np.where(np.isfinite(values)[..., None], coloured, ground)
    picture = picture.swapaxes(0, 1) if lines / samples > LONG else picture
    grown = picture.repeat(each := max(1, most // 2 // max(picture.shape)), 0).repeat(each, 1)
    grown[..., 3] = 1.0
    with whole(path) as partial:
        imsave(partial, grown)
    return path


def _block_means(product: xr.Dataset, name: str, most: int) -> tuple[Array, Array]:
    """Of blocks of pixels, so that there are at most ``most`` a side: trusted SIF, reflectance."""
    lines, samples = product["sif_760"].shape
    block = -(-max(lines, samples) // most)
    parts: list[tuple[Array, Array]] = []
    for strip in windows(product, block * max(1, WINDOW // block)):
        planes = []
        for variable, used in ((name, trusted(strip)), ("reflectance_740", None)):
            plane = strip[variable].values.astype(float)
            plane = plane if used is None else np.where(used, plane, np.nan)
            room = [(0, -length % block) for length in plane.shape]
            cut = np.pad(plane, room, constant_values=np.nan)
            cells = cut.reshape(cut.shape[0] // block, block, -1, block)
            count = np.isfinite(cells).sum((1, 3))
            planes.append(np.where(count, np.nansum(cells, (1, 3)) / np.maximum(count, 1), np.nan))
        parts.append((planes[0], planes[1]))
    sif, reflectance = (np.concatenate(rows) for rows in zip(*parts, strict=True))
    return sif, reflectance


def _title(product: xr.Dataset) -> str:
    attributes = product.attrs
    time = str(attributes.get("acquisition_time", "")).replace("T", " ")
    return f"{attributes.get('scene', '')}\n{attributes.get('sensor', '')}, {time} UTC"


def _flag_legend(product: xr.Dataset) -> str:
    shares = [f"{n.replace('_', ' ')} {_percent(s)}" for n, s in flag_shares(product).items()]
    blind = _percent(1 - trusted(product).mean())
    return f"grey: not trusted, {blind} of pixels   (flags: {', '.join(shares) or 'none'})"


def _percent(share: float) -> str:
    return "< 0.1 %" if 0 < share < 5e-4 else f"{100 * share:.1f} %"


def evaluation_figure(
    estimate: Array,
    truth: Array,
    used: NDArray[np.bool_],
    *,
    names: tuple[str, str] = ("truth", "sifnet"),
    title: str = "SIF at 760 nm",
    path: str | Path | None = None,
) -> Figure:
    """Truth, estimate, error and the two against each other, mW m-2 nm-1 sr-1.

    Args:
        estimate, truth: (down, across) SIF.
        used: (down, across), the pixels that count; others are grey.
        names: of truth and estimate, or of any two that are compared.
    """
    one, other = names
    estimate, truth = np.where(used, estimate, np.nan), np.where(used, truth, np.nan)
    if truth.shape[1] == 1:
        figure = roomy_figure(5.0, 5.0)
        _one_to_one(figure.subplots(), truth[used], estimate[used], names)
        return _saved(figure, path)
    figure, (a, b, c, square), lying = four(truth.shape, square=True)
    d = square.axes
    error = estimate - truth
    limits = span(truth, estimate, zero=True)
    reach = float(np.nanquantile(abs(error), 0.99)) if used.any() else 1.0
    scored = f"bias {np.nanmean(error):+.3f}, RMSE {np.sqrt(np.nanmean(error**2)):.3f}"
    short = len(one) + len(other) < 24
    less = f"{other} minus {one}" if short else "difference"
    draw_map(a, truth, _end(one), UNITS, "viridis", limits=limits, lying=lying)
    draw_map(b, estimate, _end(other), UNITS, "viridis", limits=limits, lying=lying)
    draw_map(c, error, f"{less}: {scored}", UNITS, "RdBu_r",
             limits=(-reach, reach), lying=lying)  # fmt: skip
    _one_to_one(d, truth[used], estimate[used], names)
    against = f"{other} against {one}, pixel by pixel" if short else "pixel by pixel"
    d.set_title(against, fontsize=10, loc="left", color=INK)
    if d.collections:  # a density, of many points
        inside = d.inset_axes((0.58, 0.14, 0.36, 0.03))
        colour_bar(d, d.collections[0], "pixels", cax=inside, orientation="horizontal")
    whole_title = f"{title} against {one}" if one == "truth" else f"{title}: two products"
    figure.suptitle(whole_title, **TITLE)
    return _saved(figure, path)


def _end(name: str, most: int = 44) -> str:
    """The end of a name that is too long for a title, for there names of files differ."""
    return name if len(name) <= most else f"…{name[-most:]}"


def _one_to_one(axes: Axes, truth: Array, estimate: Array, names: tuple[str, str]) -> None:
    """Points, or their density when there are many, with the line of equality and statistics."""
    both = np.isfinite(truth) & np.isfinite(estimate)
    x, y = truth[both], estimate[both]
    many = x.size > 2000
    low, high = span(x, y, beyond=0.0005 if many else 0.0, margin=0.04)
    axes.plot((low, high), (low, high), color="0.5", linewidth=0.9, zorder=3)
    if many:
        axes.hexbin(x, y, gridsize=70, bins="log", cmap="viridis", mincnt=1, linewidths=0.1,
                    extent=(low, high, low, high), zorder=2)  # fmt: skip
    else:
        axes.plot(x, y, linestyle="none", marker="o", markersize=3.5, color=ACCENT, alpha=0.75,
                  markeredgewidth=0, zorder=2)  # fmt: skip
    axes.set(xlim=(low, high), ylim=(low, high), aspect="equal")
    for label, name in ((axes.set_xlabel, names[0]), (axes.set_ylabel, names[1])):
        label(f"{_end(name)}, {UNITS}", fontsize=9 if len(name) < 24 else 7)
    paper = {"facecolor": "white", "edgecolor": "none", "alpha": 0.8}
    axes.text(0.04, 0.96, _statistics(x, y), transform=axes.transAxes, va="top", fontsize=9,
              color=INK, bbox=paper)  # fmt: skip
    plain(axes)


def _statistics(x: Array, y: Array) -> str:
    if x.size < 2:
        return f"n = {x.size}"
    difference = y - x
    with np.errstate(invalid="ignore"):
        correlation = np.corrcoef(x, y)[0, 1]
    return (
        f"n = {x.size}\nr = {correlation:.3f}   r² = {correlation**2:.3f}\n"
        f"mean difference {difference.mean():+.3f}\n"
        f"rms difference {np.sqrt((difference**2).mean()):.3f}"
    )


def _saved(figure: Figure, path: str | Path | None) -> Figure:
    """A PNG is laid out and drawn once; ``savefig`` would draw all once more to lay it out."""
    if path is None:
        return figure
    if Path(path).suffix.lower() != ".png":
        with whole(Path(path)) as partial:
            figure.savefig(partial, dpi=DPI)
        return figure
    figure.set_dpi(DPI)
    canvas = FigureCanvasAgg(figure)
    engine = figure.get_layout_engine()
    if engine is not None:
        engine.execute(figure)
    figure.set_layout_engine("none")
    canvas.draw()
    write_png(canvas, Path(path))
    return figure
