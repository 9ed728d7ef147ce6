"""The figures of a report, empty: ``templates/report.js`` fills them from the page's own data.

Bokeh is imported here alone, so that nothing but a report waits for it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from bokeh.document import Document
from bokeh.embed import components
from bokeh.models import (
    Band,
    BasicTicker,
    BoxZoomTool,
    ColorBar,
    ColumnDataSource,
    CrosshairTool,
    CustomJS,
    CustomJSTickFormatter,
    DataRange1d,
    HoverTool,
    LinearColorMapper,
    NumeralTickFormatter,
    Range1d,
    Span,
    WheelZoomTool,
    Whisker,
)
from bokeh.plotting import figure
from bokeh.resources import Resources

INK, ACCENT, GOLD, GREY = "#1b2a34", "#0b7a4b", "#c8860a", "#8b979e"
NOISE = {"fill_color": "#dde4e7", "fill_alpha": 1.0, "line_alpha": 0.0, "level": "underlay"}
UNIT = "mW m⁻² nm⁻¹ sr⁻¹"
SPECTRUM = ("nm", "measured", "fitted", "encoder", "residual", "encoder_residual", "fluorescence",
            "low", "high")  # fmt: skip


def resources() -> str:
    """Bokeh's own script, to stand in the page."""
    return str(Resources(mode="inline", components=["bokeh"]).render_js())


def figures() -> tuple[str, dict[str, str]]:
    """A script, and the places of all figures by name."""
    spectrum = ColumnDataSource({name: [] for name in SPECTRUM}, name="spectrum")
    made = {
        "map": _map(),
        "series": _series(),
        "histogram": _histogram(),
        **_spectra(spectrum),
        "mean_residual": _mean_residual(),
        "air": _air(),
        "components": _components(),
        "registration": _registration(),
        "encoder": _encoder(),
        "losses": _losses(),
    }
    document = Document()
    with document.models.freeze():  # else all is gone through again for every figure
        for plot in made.values():
            document.add_root(plot)
    script, divs = components(made)
    return script, divs


def _plot(name: str, height: int, x: str, y: str, tools: Any = "", **options: Any) -> Any:
    plot = figure(
        name=name, height=height, sizing_mode="stretch_width", tools=tools, min_border_left=62,
        toolbar_location="above" if tools else None, x_axis_label=x, y_axis_label=y, **options,
    )  # fmt: skip
    plot.toolbar.logo = None
    plot.outline_line_color = None
    plot.grid.grid_line_color = "#e6ebed"
    plot.axis.axis_line_color = plot.axis.major_tick_line_color = "#9aa7ae"
    plot.axis.minor_tick_line_color = None
    plot.axis.axis_label_text_font_style = "normal"
    plot.axis.axis_label_text_color = plot.axis.major_label_text_color = INK
    plot.axis.axis_label_text_font_size = "12px"
    plot.background_fill_alpha = plot.border_fill_alpha = 0
    return plot


def _source(name: str, *columns: str) -> ColumnDataSource:
    return ColumnDataSource({column: [] for column in columns}, name=name)


def _tap() -> CustomJS:
    return CustomJS(code="window.sifnet.tapped(cb_obj.x, cb_obj.y)")


def _map() -> Any:
    """A picture of one layer, the spectra that are kept, and what is picked."""
    box, wheel = BoxZoomTool(match_aspect=True), WheelZoomTool()
    plot = _plot("map", 520, "", "", ["pan", wheel, box, "reset"], match_aspect=True,
                 x_range=DataRange1d(range_padding=0.01), y_range=DataRange1d(range_padding=0.01),
                 active_scroll=wheel, active_drag="pan", lod_threshold=None)  # fmt: skip
    plot.background_fill_color, plot.background_fill_alpha = "#d3dadd", 1.0
    colours = LinearColorMapper(palette=["#000000", "#ffffff"], low=0, high=1,
                                nan_color="#d3dadd", name="colours")  # fmt: skip
    image = ColumnDataSource(
        {"image": [np.zeros((1, 1), np.float32)], "x": [0], "y": [0], "dw": [1], "dh": [1]},
        name="image",
    )
    plot.image("image", x="x", y="y", dw="dw", dh="dh", source=image, color_mapper=colours)
    for grid in plot.grid:
        grid.grid_line_color, grid.grid_line_alpha, grid.level = "white", 0.35, "overlay"
    for axis in plot.axis:
        axis.formatter = CustomJSTickFormatter(code="return window.sifnet.tick(tick)")
    kept = plot.scatter("x", "y", source=_source("kept", "x", "y"), size=3, color="white",
                        line_color=INK, line_width=0.6, alpha=0.9)  # fmt: skip
    kept.name = "kept_glyph"
    plot.line("x", "y", source=_source("link", "x", "y"), color="white", line_width=1.5)
    plot.scatter("x", "y", source=_source("nearest", "x", "y"), marker="square", size=11,
                 fill_color=None, line_color="white", line_width=2)  # fmt: skip
    picked = _source("picked", "x", "y")
    plot.scatter("x", "y", source=picked, size=17, fill_color=None, line_color=INK, line_width=4.5)
    plot.scatter("x", "y", source=picked, size=17, fill_color=None, line_color="#ffd23f",
                 line_width=2.5)  # fmt: skip
    bar = ColorBar(color_mapper=colours, width=12, padding=4, ticker=BasicTicker(), name="bar",
                   title_text_font_style="normal", background_fill_alpha=0)  # fmt: skip
    plot.add_layout(bar, "right")
    plot.js_on_event("tap", _tap())
    for span in (plot.x_range, plot.y_range):
        span.js_on_change("end", CustomJS(code="window.sifnet && window.sifnet.scaled()"))
    plot.js_on_change("inner_width", CustomJS(code="window.sifnet && window.sifnet.scaled()"))
    return plot


def _series() -> Any:
    """Of a scene of one column: a layer against the number of the measurement."""
    plot = _plot("series", 420, "measurement", "", "pan,xwheel_zoom,box_zoom,reset",
                 active_scroll="xwheel_zoom")  # fmt: skip
    source = _source("measurements", "x", "y", "low", "high", "colour")
    bar = Whisker(base="x", upper="high", lower="low", source=source, line_color="#9fc7b4")
    bar.upper_head.size = bar.lower_head.size = 0
    plot.add_layout(bar)
    plot.scatter("x", "y", source=source, size=6, color="colour")
    plot.scatter("x", "y", source=_source("picked_measurement", "x", "y"), size=17, fill_color=None,
                 line_color=GOLD, line_width=3)  # fmt: skip
    plot.js_on_event("tap", _tap())
    return plot


def _histogram() -> Any:
    plot = _plot("histogram", 190, "", "pixels", x_range=DataRange1d(range_padding=0.02))
    plot.quad(left="left", right="right", bottom=0, top="top", color=ACCENT, alpha=0.75,
              line_color="white", line_width=0.5,
              source=_source("histogram_bins", "left", "right", "top"))  # fmt: skip
    plot.yaxis.formatter = NumeralTickFormatter(format="0[.]0a")
    plot.y_range.start = 0
    plot.add_layout(Span(location=0, dimension="height", line_color=GOLD, line_width=2,
                         name="here", visible=False))  # fmt: skip
    return plot


def _spectra(source: ColumnDataSource) -> dict[str, Any]:
    """Radiance, residual and fluorescence of what is picked, on the same wavelengths."""
    nm = DataRange1d(range_padding=0.01)
    tools = "xpan,xwheel_zoom,xbox_zoom,reset"
    radiance = _plot("radiance", 330, "", f"radiance, {UNIT}", tools, x_range=nm)
    radiance.y_range.start = 0
    radiance.scatter("nm", "measured", source=source, size=4, color=INK, legend_label="measured")
    fitted = radiance.line("nm", "fitted", source=source, color=ACCENT, line_width=1.6,
                           legend_label="fitted")  # fmt: skip
    radiance.line("nm", "encoder", source=source, color=GOLD, line_width=1.3, line_dash=[5, 3],
                  legend_label="encoder alone")  # fmt: skip
    shown = [
        ("nm", "@nm{0.00}"),
        ("measured", "@measured{0.00}"),
        ("fitted", "@fitted{0.00}"),
        ("residual, σ", "@residual{+0.00}"),
        ("fluorescence", "@fluorescence{0.00}"),
    ]
    radiance.add_tools(HoverTool(renderers=[fitted], tooltips=shown, mode="vline"))
    radiance.legend.location, radiance.legend.click_policy = "bottom_right", "hide"
    radiance.legend.border_line_color, radiance.legend.background_fill_alpha = None, 0.6
    residual = _plot(
        "residual",
        170,
        "",
        "residual, σ",
        x_range=nm,
        y_range=DataRange1d(only_visible=True, range_padding=0.15),
    )
    residual.add_layout(Band(base="nm", lower="low", upper="high", source=source, **NOISE))
    residual.add_layout(Span(location=0, dimension="width", line_color=GREY, line_width=1))
    residual.step("nm", "residual", source=source, color=INK, mode="center", line_width=1.1)
    away = residual.step("nm", "encoder_residual", source=source, color=GOLD, mode="center",
                         line_width=1, alpha=0.8)  # fmt: skip
    away.name, away.visible = "encoder_away", False
    glow = _plot("fluorescence", 200, "wavelength in vacuum, nm", "fluorescence", x_range=nm)
    glow.varea("nm", 0, "fluorescence", source=source, color=ACCENT, alpha=0.25)
    glow.line("nm", "fluorescence", source=source, color=ACCENT, line_width=1.6)
    cross = CrosshairTool(dimensions="height", line_color=GREY, line_alpha=0.6)
    for plot in (radiance, residual, glow):
        plot.add_tools(cross)
    return {"radiance": radiance, "residual": residual, "fluorescence": glow}


def _mean_residual() -> Any:
    plot = _plot("mean_residual", 300, "wavelength in vacuum, nm", "mean residual, σ of a pixel",
                 "xpan,xwheel_zoom,xbox_zoom,reset")  # fmt: skip
    source = _source("mean_by_band", "nm", "mean", "low", "high")
    plot.add_layout(Band(base="nm", lower="low", upper="high", source=source, **NOISE))
    plot.add_layout(Span(location=0, dimension="width", line_color=GREY, line_width=1))
    line = plot.step("nm", "mean", source=source, color=INK, mode="center", line_width=1.3)
    tips = [("nm", "@nm{0.00}"), ("mean residual", "@mean{+0.000} σ")]
    plot.add_tools(HoverTool(renderers=[line], tooltips=tips, mode="vline"))
    return plot


def _deviations(name: str, height: int, source: ColumnDataSource, **options: Any) -> Any:
    """Bars in standard deviations of what was known beforehand."""
    plot = _plot(name, height, options.pop("x", ""), "from the prior, σ", **options)
    for sd in (-1, 1):
        plot.add_layout(Span(location=sd, dimension="width", line_color=GREY, line_dash=[3, 3]))
    plot.add_layout(Span(location=0, dimension="width", line_color=GREY))
    plot.y_range.range_padding = 0.1
    at = _source(f"{name}_scale", "x", "y")
    plot.scatter("x", "y", source=at, alpha=0)  # one standard deviation is always to be seen
    bars = plot.vbar("x", 0.7, "sd", source=source, color=ACCENT, alpha=0.85)
    plot.add_tools(HoverTool(renderers=[bars], tooltips=[("", "@text")]))
    plot.xgrid.grid_line_color = None
    return plot


def _air() -> Any:
    source = _source("air_bars", "x", "sd", "text")
    return _deviations("air", 230, source, x_range=[])


def _components() -> Any:
    source = _source("component_bars", "x", "sd", "text")
    return _deviations("components", 230, source, x="component of what a simulation is wrong by")


def _registration() -> Any:
    plot = _plot("registration", 260, "sample (column of the detector)", "nm",
                 "xpan,xwheel_zoom,reset")  # fmt: skip
    source = _source("columns", "x", "shift", "width", "encoder_shift", "encoder_width")
    for name, colour, text in (
        ("shift", ACCENT, "shift of bands"),
        ("width", INK, "change of width"),
    ):
        plot.line("x", name, source=source, color=colour, line_width=1.6, legend_label=text)
        plot.line("x", f"encoder_{name}", source=source, color=colour, line_dash=[4, 3],
                  line_alpha=0.6)  # fmt: skip
    plot.add_layout(Span(location=0, dimension="width", line_color=GREY, line_width=1))
    _legend_above(plot)
    return plot


def _encoder() -> Any:
    plot = _plot("encoder", 300, f"SIF of the encoder alone, {UNIT}", f"SIF as refined, {UNIT}",
                 "pan,wheel_zoom,reset", x_range=Range1d(), y_range=Range1d())  # fmt: skip
    plot.line("x", "x", source=_source("one_to_one", "x"), color=GREY)
    both = _source("both", "encoder", "refined", "text")
    points = plot.scatter("encoder", "refined", source=both, size=5, color=ACCENT, alpha=0.6)
    plot.add_tools(HoverTool(renderers=[points], tooltips=[("", "@text")]))
    return plot


def _losses() -> Any:
    plot = _plot("losses", 260, "epoch", "loss and its terms", "xpan,xwheel_zoom,reset",
                 y_axis_type="log")  # fmt: skip
    source = _source("terms", "x", "y", "colour", "name", "width")
    plot.multi_line("x", "y", source=source, color="colour", line_width="width",
                    legend_field="name")  # fmt: skip
    _legend_above(plot)
    return plot


def _legend_above(plot: Any) -> None:
    """Beside what it explains, not on it."""
    (legend,) = plot.legend
    legend.orientation, legend.border_line_color, legend.padding = "horizontal", None, 0
    legend.label_text_font_size, legend.background_fill_alpha = "11px", 0.0
    plot.add_layout(legend, "above")
