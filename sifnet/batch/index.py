"""The page that shows all that a folder of products holds."""

from __future__ import annotations

import json
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sifnet.batch.done import Failures
from sifnet.files import MOST_TEXT, regular
from sifnet.product.page import Number, scenes, table, write_page
from sifnet.units import RADIANCE

_FIGURES = {  # over trusted pixels, of the STAC item: format and title
    "pixels": ("{:,.0f}", "pixels"),
    "trusted": ("{:.1%}", "trusted"),
    "sif_760_mean": ("{:.3f}", "mean SIF"),
    "sif_760_sd": ("{:.3f}", "sd"),
    "sif_760_uncertainty_mean": ("{:.3f}", "mean uncertainty"),
}


def write_index(folder: Path) -> Path:
    """Write ``index.html`` of all that a folder of products holds, from STAC items and failures.

    The page links to what lies beside it and shows thumbnails, which load as they are scrolled to:
    a thousand scenes are no burden.

    Raises:
        SifnetError: the page cannot be written.
    """
    items = [item for path in sorted(folder.glob("*_sif.json")) if (item := _item(path))]
    titles = (Number(title) for _, title in _FIGURES.values())
    maps = table(map(_row, items), ("", "scene", "sensor and time, UTC", *titles, "flags"))
    note = f"SIF at 760 nm of trusted pixels, {RADIANCE}; uncertainty is one standard deviation."
    title, body = scenes(len(items)), f"<p>{note}</p>\n{maps}"
    if failures := Failures.read(folder).entries.values():
        title += f", {len(failures)} failed"
        rows = ([escape(entry[key]) for key in ("scene", "reason", "time")] for entry in failures)
        failed = table(rows, ("scene", "reason and remedy", "time"))
        body = f"<h2>Failures</h2>\n{failed}\n<h2>Maps</h2>\n{body}"
    return write_page(folder / "index.html", title, body, wide=True)


def _item(path: Path) -> dict[str, Any]:
    """A STAC item of ours; nothing where the file is none, or its product is gone."""
    try:
        item: dict[str, Any] = json.loads(regular(path, MOST_TEXT).read_text(encoding="utf-8"))
        product = path.parent / item["assets"]["product"]["href"]
        return item if product.exists() and "sifnet:pixels" in item["properties"] else {}
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return {}


def _row(item: dict[str, Any]) -> list[str]:
    """Thumbnail, links, time, figures and flags of a scene."""
    properties = item["properties"]
    links = {name: escape(quote(asset["href"])) for name, asset in item["assets"].items()}
    picture = ""
    if thumbnail := links.pop("thumbnail", None):
        image = f'<img loading="lazy" alt="" src="{thumbnail}">'
        picture = f'<a href="{links.get("quicklook", thumbnail)}">{image}</a>'
    files = " ".join(f'<a href="{link}">{name}</a>' for name, link in links.items())
    values = [(form, properties.get(f"sifnet:{name}")) for name, (form, _) in _FIGURES.items()]
    time = str(properties["datetime"])[:19].replace("T", " ")
    flags = properties.get("sifnet:flags", {}).items()
    return [
        picture,
        f"{escape(item['id'])}<br>{files}",
        f"{escape(str(properties['instruments'][0]))}<br>{escape(time)}",
        *(Number("" if value is None else form.format(value)) for form, value in values),
        escape(", ".join(f"{n.replace('_', ' ')} {share:.1%}" for n, share in flags)) or "none",
    ]
