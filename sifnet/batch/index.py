"""The page that shows all that a folder of products holds."""

from __future__ import annotations

import json
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sifnet.batch.done import Failures
from sifnet.files import whole
from sifnet.product.labels import RADIANCE
from sifnet.product.report import PAGE


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
        page = PAGE.substitute(title=escape(title), body=body, kind="wide")
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
