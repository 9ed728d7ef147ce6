"""Pages for people: one file each, made from the templates beside this, without any network."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sifnet.files import whole

if TYPE_CHECKING:
    from jinja2 import Environment


def write_page(path: Path, template: str, **content: Any) -> Path:
    """Write a page; text in ``content`` is escaped.

    Raises:
        SifnetError: the page cannot be written.
    """
    page = _environment().get_template(template).render(content)
    with whole(path) as partial:
        partial.write_text(page, encoding="utf-8")
    return path


@cache
def _environment() -> Environment:
    from jinja2 import Environment, FileSystemLoader

    folder = Path(__file__).parent / "templates"
    return Environment(
        loader=FileSystemLoader(folder), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )


def scenes(count: int) -> str:
    """The title of a page on so many scenes."""
    return f"sifnet: {count} scene{'s' * (count != 1)}"
