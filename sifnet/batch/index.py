"""The page that shows all that a folder of products holds."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sifnet.batch.done import Failures
from sifnet.files import MOST_TEXT, regular
from sifnet.product.page import scenes, write_page

WIDTH, HIGHEST = 1200.0, 0.3  # of the map of footprints, in its own units, and height over width
NAMED = 12  # scenes whose names the map has room for
LEAST_SPAN = 0.02  # degrees that the map shows at least
STEPS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60)  # degrees of a graticule


def write_index(folder: Path) -> Path:
    """Write ``index.html`` of all that a folder of products holds, from STAC items and failures.

    The page links to what lies beside it and shows thumbnails, which load as they are scrolled to:
    a thousand scenes are no burden. Every sensor is shown by the SIF that it is looked at for.

    Raises:
        SifnetError: the page cannot be written.
    """
    items = [item for path in sorted(folder.glob("*_sif.json")) if (item := _item(path))]
    failures = list(Failures.read(folder).entries.values())
    rows = [_row(item, number) for number, item in enumerate(items)]
    title = scenes(len(items)) + (f", {len(failures)} failed" if failures else "")
    return write_page(
        folder / "index.html",
        "index.html",
        title=title,
        rows=rows,
        failures=failures,
        map=_map([item.get("geometry") for item in items], rows),
        sensors=sorted({row["sensor"] for row in rows}),
    )


def _item(path: Path) -> dict[str, Any]:
    """A STAC item of ours; nothing where the file is none, or its product is gone."""
    try:
        item: dict[str, Any] = json.loads(regular(path, MOST_TEXT).read_text(encoding="utf-8"))
        product = path.parent / item["assets"]["product"]["href"]
        return item if product.exists() and "sifnet:pixels" in item["properties"] else {}
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return {}


def _row(item: dict[str, Any], number: int) -> dict[str, Any]:
    """Links, time, figures and flags of a scene, as they are shown and as they are sorted."""
    properties = item["properties"]
    links = {name: quote(asset["href"]) for name, asset in item["assets"].items()}
    thumbnail = links.pop("thumbnail", None)
    first = str(properties.get("sifnet:headline", "sif_760"))
    figures = {
        "pixels": ("{:,.0f}", properties.get("sifnet:pixels")),
        "trusted": ("{:.1%}", properties.get("sifnet:trusted")),
        "mean": ("{:.2f}", properties.get(f"sifnet:{first}_mean")),
        "sd": ("{:.2f}", properties.get(f"sifnet:{first}_sd")),
        "uncertainty": ("{:.2f}", properties.get(f"sifnet:{first}_uncertainty_mean")),
    }
    flags = properties.get("sifnet:flags", {}).items()
    told = ", ".join(f"{name.replace('_', ' ')} {share:.1%}" for name, share in flags)
    return {
        "number": number,
        "name": item["id"],
        "links": links,
        "thumbnail": thumbnail,
        "sensor": str(properties["instruments"][0]),
        "time": str(properties["datetime"])[:19].replace("T", " "),
        "nm": first.removeprefix("sif_"),
        "figures": {
            name: ("" if value is None else form.format(value).replace("-", "−"), value)
            for name, (form, value) in figures.items()
        },
        "flags": told or "none",
        "flagged": sum(share for _, share in flags),
    }


def _map(geometries: list[dict[str, Any] | None], rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Footprints on a graticule, degrees east to the right, true to scale in the middle.

    Nothing where no scene says where it is.
    """
    shapes = [_rings(geometry) for geometry in geometries]
    points = [point for rings in shapes for ring in rings for point in ring]
    if not points:
        return {}
    east, north = zip(*points, strict=True)
    middle = (max(east) + min(east)) / 2, (max(north) + min(north)) / 2
    squeeze = max(0.1, math.cos(math.radians(middle[1])))
    tall = (max(north) - min(north)) / squeeze / HIGHEST
    span = max(max(east) - min(east), tall, LEAST_SPAN) * 1.2
    height = min(max((max(north) - min(north)) / squeeze / span * 1.3, 0.25), HIGHEST) * WIDTH

    def at(x: float, y: float) -> tuple[float, float]:
        scale = WIDTH / span
        return (
            WIDTH / 2 + (x - middle[0]) * scale,
            height / 2 - (y - middle[1]) * scale / squeeze,
        )

    drawn = []
    for row, rings in zip(rows, shapes, strict=True):
        paths = [" ".join(f"{x:.1f},{y:.1f}" for x, y in (at(*p) for p in ring)) for ring in rings]
        if rings:
            x, y = at(*(sum(axis) / len(rings[0]) for axis in zip(*rings[0], strict=True)))
            drawn.append({"row": row, "paths": paths, "x": round(x, 1), "y": round(y, 1)})
    step = next((s for s in STEPS if span / s <= 8), STEPS[-1])
    meridians = _multiples(middle[0], span, step)
    parallels = _multiples(middle[1], span * squeeze * height / WIDTH, step)
    return {
        "width": WIDTH, "height": round(height, 1), "drawn": drawn, "named": len(drawn) <= NAMED,
        "meridians": [(round(at(x, 0)[0], 1), _degrees(x, "E", "W")) for x in meridians],
        "parallels": [(round(at(0, y)[1], 1), _degrees(y, "N", "S")) for y in parallels],
    }  # fmt: skip


def _rings(geometry: dict[str, Any] | None) -> list[list[tuple[float, float]]]:
    """Lists of (east, north) of any geometry of a STAC item."""
    if not geometry:
        return []
    nested = geometry["coordinates"]
    depth = {"Point": 0, "LineString": 1, "Polygon": 2, "MultiPolygon": 3}.get(geometry["type"], -1)
    if depth == 0:
        rings = [[nested]]
    elif depth == 1:
        rings = [nested]
    elif depth == 2:
        rings = nested
    else:
        rings = [ring for polygon in nested for ring in polygon]
    return [[(float(p[0]), float(p[1])) for p in ring] for ring in rings]


def _multiples(middle: float, span: float, step: float) -> list[float]:
    first, last = (math.ceil((middle + side * span / 2) / step) for side in (-1, 1))
    return [number * step for number in range(first, last)]


def _degrees(value: float, positive: str, negative: str) -> str:
    return f"{abs(value):.6g}° {positive if value >= 0 else negative}"
