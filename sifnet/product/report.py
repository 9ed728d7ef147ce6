"""The page of a fit: its maps with pictures, numbers and provenance, and its losses.

It holds its pictures, so that it can be sent as one file.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from html import escape
from io import BytesIO
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.figure import Figure

from sifnet.product.axes import maps
from sifnet.product.doubts import ATTRIBUTE
from sifnet.product.netcdf import flag_shares, opened, thinned, trusted
from sifnet.product.page import Number, scenes, table, write_page
from sifnet.product.pictures import MOST
from sifnet.product.provenance import told

_STATISTICS = ("variable", "unit", *map(Number, ("mean", "sd", "5 %", "median", "95 %")))


def write_report(products: Sequence[Path], path: str | Path, *, log: Path | None = None) -> Path:
    """Write a self-contained HTML page.

    Args:
        products: files, each with the PNG of its quicklook beside it.
        log: the fit's table of losses (CSV with columns ``epoch`` and ``loss``), if there is one.

    Raises:
        SifnetError: a product cannot be read, or the page cannot be written.
    """
    body = "\n".join(_section(product) for product in products)
    if log is not None and log.is_file():
        body += _losses(pd.read_csv(log))
    return write_page(Path(path), scenes(len(products)), body)


def _section(path: Path) -> str:
    with opened(path) as file:
        product = thinned(file, MOST)
    name = escape(str(product.attrs["scene"]))
    image = _image(path.with_suffix(".png").read_bytes(), f"maps of {name}")
    flags = ", ".join(f"{n} {100 * s:.2f} %" for n, s in flag_shares(product).items()) or "none"
    good = f"{100 * trusted(product).mean():.1f} % of pixels are trusted; flags: {flags}"
    return (
        f"<h2>{name}</h2>\n{_warnings(product)}{image}\n<p>{escape(good)}</p>\n{_statistics(product)}\n"
        f"<h2>Where it came from</h2>\n{_provenance(product)}"
    )


def _warnings(product: xr.Dataset) -> str:
    """What in the scene does not fit physics, before its map."""
    doubts = str(product.attrs.get(ATTRIBUTE, "")).splitlines()
    items = "".join(f"<li>{escape(text)}</li>" for text in doubts)
    return f'<p class="warning">This scene does not fit:</p>\n<ul>{items}</ul>\n' if items else ""


def _statistics(product: xr.Dataset) -> str:
    """Table of the maps over trusted pixels; maps without any are left out."""
    good = trusted(product)
    rows = []
    for name in maps(product.drop_vars("quality_flag")):
        variable = product[name]
        values = variable.values[good].astype(float)
        values = values[np.isfinite(values)]
        if values.size:
            low, middle, high = np.quantile(values, (0.05, 0.5, 0.95))
            numbers = (values.mean(), values.std(), low, middle, high)
            unit = escape(str(variable.attrs.get("units", "")))
            rows.append([escape(name), unit, *(Number(f"{n:.4g}") for n in numbers)])
    return table(rows, _STATISTICS)


def _provenance(product: xr.Dataset) -> str:
    stated = {name.replace("_", " "): str(value) for name, value in told(product).items()}
    return table((name, f"<pre>{escape(text)}</pre>") for name, text in stated.items() if text)


def _losses(losses: pd.DataFrame) -> str:
    """The loss over the epochs, and the terms it is the sum of."""
    if not {"epoch", "loss"} <= set(losses.columns) or losses["loss"].notna().sum() < 2:
        return ""
    losses = losses.groupby("epoch").mean(numeric_only=True)
    figure = Figure(figsize=(7.0, 3.4), layout="constrained")
    axes = figure.subplots()
    for name in losses.columns.drop("step", errors="ignore"):
        if (losses[name] > 0).any():
            axes.plot(losses.index, losses[name], label=name, linewidth=1 + (name == "loss"))
    axes.set(xlabel="epoch", ylabel="loss and its terms", yscale="log")
    axes.legend(frameon=False, fontsize=8, ncols=2)
    axes.spines[["top", "right"]].set_visible(False)
    picture = BytesIO()
    figure.savefig(picture, dpi=110)
    return f"<h2>The fit</h2>\n{_image(picture.getvalue(), 'losses')}"


def _image(png: bytes, text: str) -> str:
    return f'<img alt="{text}" src="data:image/png;base64,{base64.b64encode(png).decode()}">'
