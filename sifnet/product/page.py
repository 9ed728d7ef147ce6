"""Pages for people, of tables; each is one file without scripts."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from pathlib import Path
from string import Template

from sifnet.files import whole

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
 .warning { color: #8a1c0f; font-weight: bold }
 body.wide { max-width: 84em } .wide td { overflow-wrap: anywhere } .wide img { display: block }
 th.number { text-align: right } td:first-child { min-width: 5em }
</style>
<body class="$kind">
<h1>$title</h1>
$body
</body>
</html>
""")


class Number(str):
    """A cell that stands to the right."""

    __slots__ = ()


def write_page(path: Path, title: str, body: str, *, wide: bool = False) -> Path:
    """Write a page with a title, which is plain text, and a body, which is HTML.

    Raises:
        SifnetError: the page cannot be written.
    """
    page = _PAGE.substitute(title=escape(title), body=body, kind="wide" if wide else "")
    with whole(path) as partial:
        partial.write_text(page, encoding="utf-8")
    return path


def scenes(count: int) -> str:
    """The title of a page on so many scenes."""
    return f"sifnet: {count} scene{'s' * (count != 1)}"


def table(rows: Iterable[Iterable[str]], head: Iterable[str] = ()) -> str:
    """A table of cells that are HTML."""
    lines = [_row(head, "th")] if head else []
    return "<table>" + "\n".join([*lines, *(_row(row, "td") for row in rows)]) + "</table>"


def _row(cells: Iterable[str], tag: str) -> str:
    kinds = ((' class="number"' * isinstance(cell, Number), cell) for cell in cells)
    return f"<tr>{''.join(f'<{tag}{kind}>{cell}</{tag}>' for kind, cell in kinds)}</tr>"
