"""A noun as a person meets it: about ten lines of text, or a small table in a notebook."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

from sifnet.errors import shown

Rows = Iterable[tuple[str, str]]


def text(title: str, rows: Rows) -> str:
    """Lines of label and value under a title."""
    pairs = list(rows)
    width = max((len(label) for label, _ in pairs), default=0)
    lines = [f"  {label:<{width}}  {value}" for label, value in pairs]
    return shown("\n".join([f"<{title}>", *lines]))


def html(title: str, rows: Rows) -> str:
    """The same as a table; all that is given is text and is escaped."""
    cell = "text-align:left;vertical-align:top;padding:1px 12px 1px 0"
    body = "".join(
        f'<tr><td style="{cell};opacity:.65">{escape(label)}</td>'
        f'<td style="{cell};overflow-wrap:anywhere">{escape(value)}</td></tr>'
        for label, value in rows
    )
    return shown(f"<div><b>{escape(title)}</b><table>{body}</table></div>")
