"""Pages for people: a fit with its pictures, numbers and provenance; the index of a batch."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from html import escape
from pathlib import Path
from string import Template
from typing import Any
from urllib.parse import quote

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.figure import Figure

from sifnet.finished import Failures
from sifnet.outputs import flag_shares, thinned, trusted, whole
from sifnet.plots import MOST
from sifnet.product import RADIANCE

# The page holds its pictures, so that it can be sent as one file.
_PAGE = Template("""<!doctype html>
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
        page = _PAGE.substitute(title=escape(title), body=body, kind="")
        partial.write_text(page, encoding="utf-8")
    return path


def write_index(folder: Path) -> Path:
    """Write ``index.html`` of all that a folder of products holds, from STAC items and failures.

    The page links to what lies beside it and shows thumbnails, which load as they are scrolled to:
    a thousand scenes are no burden.

    Raises:
        SifnetError: the page cannot be written.
    """
    items = [item for path in sorted(folder.glob("*_sif.json")) if (item := _item(path))]
    failures = list(Failures.read(folder).entries.values())
    title = f"sifnet: {len(items)} scene{'s' * (len(items) != 1)}"
    if failures:
        title += f", {len(failures)} failed"
    body = _failures(failures) + _scenes(items)
    path = folder / "index.html"
    with whole(path) as partial:
        page = _PAGE.substitute(title=escape(title), body=body, kind="wide")
        partial.write_text(page, encoding="utf-8")
    return path


def _item(path: Path) -> dict[str, Any]:
    """A STAC item of ours; nothing where the file is none, or its product is gone."""
    try:
        item: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        product = path.parent / item["assets"]["product"]["href"]
        return item if product.exists() and "sifnet:pixels" in item["properties"] else {}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _failures(failures: list[dict[str, str]]) -> str:
    if not failures:
        return ""
    rows = [
        f"<tr><td>{escape(one['scene'])}</td><td>{escape(one['reason'])}</td>"
        f"<td>{escape(one['time'])}</td></tr>"
        for one in failures
    ]
    head = "<tr><th>scene</th><th>reason and remedy</th><th>time</th></tr>"
    return f"<h2>Failures</h2>\n<table>{head}{''.join(rows)}</table>\n<h2>Maps</h2>\n"


def _scenes(items: list[dict[str, Any]]) -> str:
    """A row a scene: thumbnail, links, time, and figures over its trusted pixels."""
    columns = {
        "pixels": "{:,.0f}", "trusted": "{:.1%}", "sif_760_mean": "{:.3f}", "sif_760_sd": "{:.3f}",
        "sif_760_uncertainty_mean": "{:.3f}",
    }  # fmt: skip
    rows = []
    for item in items:
        known, assets = item["properties"], item["assets"]
        links = {name: escape(quote(asset["href"])) for name, asset in assets.items()}
        picture = ""
        if "thumbnail" in links:
            image = f'<img loading="lazy" alt="" src="{links["thumbnail"]}">'
            picture = f'<a href="{links.get("quicklook", links["thumbnail"])}">{image}</a>'
        files = " ".join(f'<a href="{link}">{n}</a>' for n, link in links.items()
                         if n != "thumbnail")  # fmt: skip
        values = [known.get(f"sifnet:{name}") for name in columns]
        cells = "".join(
            f'<td class="number">{"" if value is None else form.format(value)}</td>'
            for value, form in zip(values, columns.values(), strict=True)
        )
        flags = ", ".join(
            f"{name.replace('_', ' ')} {share:.1%}"
            for name, share in known.get("sifnet:flags", {}).items()
        )
        when = str(known["datetime"])[:19].replace("T", " ")
        rows.append(
            f"<tr><td>{picture}</td><td>{escape(item['id'])}<br>{files}</td>"
            f"<td>{escape(str(known['instruments'][0]))}<br>{escape(when)}</td>{cells}"
            f"<td>{escape(flags) or 'none'}</td></tr>"
        )
    labels = ("", "scene", "sensor and time, UTC")
    head = "".join(f"<th>{label}</th>" for label in labels)
    figures = ("pixels", "trusted", "mean SIF", "sd", "mean uncertainty")
    head += "".join(f'<th class="number">{label}</th>' for label in figures)
    note = f"<p>SIF at 760 nm of trusted pixels, {RADIANCE}; uncertainty is one standard deviation."
    return f"{note}</p>\n<table><tr>{head}<th>flags</th></tr>\n" + "\n".join(rows) + "\n</table>"


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
