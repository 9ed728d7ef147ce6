"""Pages for people: a fit with its pictures, numbers and provenance; the index of a batch."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from html import escape
from pathlib import Path
from string import Template

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.figure import Figure

from sifnet.files import whole
from sifnet.product.netcdf import flag_shares, thinned, trusted
from sifnet.product.pictures import MOST

# The page holds its pictures, so that it can be sent as one file.
PAGE = Template("""<!doctype html>
<html lang="en"><meta charset="utf-8"><title>$title</title>
<style>
 body { font: 15px/1.5 system-ui, sans-serif; color: #1b2a34; max-width: 64em; margin: 2em auto;
        padding: 0 1em }
 h1 { font-size: 1.4em } h2 { font-size: 1.1em; margin-top: 2em }
 img { max-width: 100% } table { border-collapse: collapse }
 td, th { padding: .25em .8em; border-bottom: 1px solid #dde3e6; text-align: left;
          vertical-align: top }
 td.number { text-align: right; font-variant-numeric: tabular-nums }
 pre { white-space: pre-wrap; overflow-wrap: anywhere; margin: 0; font-size: .85em }
 body.wide { max-width: 84em } .wide td { overflow-wrap: anywhere } .wide img { display: block }
 th.number { text-align: right } td:first-child { min-width: 5em }
</style>
<body class="$kind">
<h1>$title</h1>
$body
</body>
</html>
""")
_STATISTICS = ("variable", "unit", "mean", "sd", "5 %", "median", "95 %")
_PROVENANCE = (
    "sensor", "acquisition_time", "solar_zenith_angle", "view_zenith_angle", "sensor_height",
    "ground_elevation", "reader_notes", "source_files", "source_sha256", "model_file",
    "model_sha256", "sifnet_version", "command", "seed", "atmosphere_source", "atmosphere_prior",
    "configuration", "history",
)  # fmt: skip


def write_report(
    products: Sequence[tuple[xr.Dataset, Path]], path: str | Path, *, log: Path | None = None
) -> Path:
    """Write a self-contained HTML page.

    Args:
        products: each with the PNG of its quicklook.
        log: the fit's table of losses (CSV with columns ``epoch`` and ``loss``), if there is one.

    Raises:
        SifnetError: the page cannot be written.
    """
    path = Path(path)
    body = "\n".join(_section(product, picture) for product, picture in products)
    title = f"sifnet: {len(products)} scene{'s' * (len(products) != 1)}"
    if log is not None and log.is_file():
        body += _losses(log)
    with whole(path) as partial:
        page = PAGE.substitute(title=escape(title), body=body, kind="")
        partial.write_text(page, encoding="utf-8")
    return path


def _section(product: xr.Dataset, picture: Path) -> str:
    product = thinned(product, MOST)
    name = escape(str(product.attrs.get("scene", "scene")))
    image = _image(picture.read_bytes(), f"maps of {name}")
    flags = ", ".join(f"{n} {100 * s:.2f} %" for n, s in flag_shares(product).items()) or "none"
    good = f"{100 * trusted(product).mean():.1f} % of pixels are trusted; flags: {flags}"
    return (
        f"<h2>{name}</h2>\n{image}\n<p>{escape(good)}</p>\n{_statistics(product)}\n"
        f"<h2>Where it came from</h2>\n{_provenance(product)}"
    )


def _statistics(product: xr.Dataset) -> str:
    """Table of the maps over trusted pixels; maps that were not retrieved are left out."""
    good = trusted(product)
    rows = []
    for name, variable in product.data_vars.items():
        if name == "quality_flag" or variable.dims != ("line", "sample"):
            continue
        values = variable.values[good]
        values = values[np.isfinite(values)].astype(float)
        if values.size:
            low, middle, high = np.quantile(values, (0.05, 0.5, 0.95))
            numbers = (values.mean(), values.std(), low, middle, high)
            cells = "".join(f'<td class="number">{number:.4g}</td>' for number in numbers)
            unit = escape(str(variable.attrs.get("units", "")))
            rows.append(f"<tr><td>{escape(str(name))}</td><td>{unit}</td>{cells}</tr>")
    head = "".join(f"<th>{label}</th>" for label in _STATISTICS)
    return f"<table><tr>{head}</tr>{''.join(rows)}</table>"


def _provenance(product: xr.Dataset) -> str:
    rows = [
        f"<tr><td>{name.replace('_', ' ')}</td><td><pre>{escape(str(value))}</pre></td></tr>"
        for name in _PROVENANCE
        if (value := product.attrs.get(name)) not in (None, "")
    ]
    return f"<table>{''.join(rows)}</table>"


def _losses(log: Path) -> str:
    """The loss over the epochs, and the terms it is the sum of."""
    table = pd.read_csv(log)
    if not {"epoch", "loss"} <= set(table.columns) or table["loss"].notna().sum() < 2:
        return ""
    table = table.groupby("epoch").mean(numeric_only=True)
    figure = Figure(figsize=(7.0, 3.4), layout="constrained")
    axes = figure.subplots()
    for name in table.columns.drop("step", errors="ignore"):
        if (table[name] > 0).any():
            axes.plot(table.index, table[name], label=name, linewidth=2 if name == "loss" else 1)
    axes.set(xlabel="epoch", ylabel="loss and its terms", yscale="log")
    axes.legend(frameon=False, fontsize=8, ncols=2)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    picture = log.with_name(".losses.png")
    try:
        figure.savefig(picture, dpi=110)
        return f"<h2>The fit</h2>\n{_image(picture.read_bytes(), 'losses')}"
    finally:
        picture.unlink(missing_ok=True)


def _image(png: bytes, text: str) -> str:
    return f'<img alt="{text}" src="data:image/png;base64,{base64.b64encode(png).decode()}">'
