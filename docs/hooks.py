"""What the site is made of beside its pages: files of the checkout, commands, equations.

README, BEWARE, CONTRIBUTING, CHANGELOG and the README of ``data/`` are pages too, with links that
hold on the site. Equations are TeX in fences of the language ``math``, which GitHub draws too, and
become SVG here: no script, no font, no network.
"""

from __future__ import annotations

import html
import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer
from matplotlib.font_manager import FontProperties
from matplotlib.mathtext import math_to_image
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parent.parent
PAGES = {
    "README.md": "index.md",
    "BEWARE.md": "beware.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "data/README.md": "reference/data.md",
}
_LINK = re.compile(r"\]\((?!https?:|#)([^)#]+)(#[^)]*)?\)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are not in ``docs/``."""
    for source, page in PAGES.items():
        text = (ROOT / source).read_text(encoding="utf-8")
        files.append(File.generated(config, page, content=linked(text, source, page)))
    files.append(File.generated(config, "reference/commands.md", content=commands()))
    return files


def linked(text: str, source: str, page: str) -> str:
    """Text of a file of the checkout whose links lead to pages; to what is no page, they go."""
    up = "../" * page.count("/")

    def target(match: re.Match[str]) -> str:
        path = (ROOT / source).parent.joinpath(match[1]).resolve().relative_to(ROOT).as_posix()
        inside = PAGES.get(path) or (path[5:] if path.startswith("docs/") else None)
        return f"]({up}{inside}{match[2] or ''})" if inside else "]()"

    return re.sub(r"\[([^\]]*)\]\(\)", r"\1", _LINK.sub(target, text))


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Put in the tables that the code itself knows."""
    from sifnet.product.labels import OPTIONAL, VARIABLES
    from sifnet.scenes.scene import FLAGS

    tables = {
        "variables": ("variable | unit | is", [
            (f"`{name}`", about["units"], f"{about['long_name']}; {about.get('comment', '')}")
            for name, about in (VARIABLES | OPTIONAL).items()
        ]),
        "flags": ("bit | name | meaning", [
            (str(int(flag)), f"`{str(flag.name).lower()}`", meaning)
            for flag, meaning in FLAGS.items()
        ]),
    }  # fmt: skip
    for name, (head, rows) in tables.items():
        lines = [head, "---|---|---", *(" | ".join(row).rstrip("; ") for row in rows)]
        table = "\n".join(f"| {line} |" for line in lines)
        markdown = markdown.replace(f"<!-- table: {name} -->", table)
    return markdown


def on_page_content(content: str, **_: Any) -> str:
    """Docstrings name what they mean as Sphinx does; here the name is enough."""
    return re.sub(r":(?:class|mod|func|meth|attr):(?=<code)", "", content)


def commands() -> str:
    """A page with every command, its options and what they mean, from the commands themselves."""
    from atmorep_bridge import cli as bridge
    from sifnet import cli

    parts = ["# Commands", "`sifnet` is also `python -m sifnet`; `atmorep-bridge` is "
             "`python -m atmorep_bridge`."]  # fmt: skip
    for program, app in (("sifnet", cli.app), ("atmorep-bridge", bridge.app)):
        for name, command in _flat(typer.main.get_command(app)):
            rows = [(_names(p), getattr(p, "help", "") or "") for p in command.params]
            table = "\n".join(f"| {names} | {told.replace('|', '/')} |" for names, told in rows)
            parts += [f"## {program} {name}", command.help or "",
                      f"| | |\n|---|---|\n{table}" if rows else ""]  # fmt: skip
    return "\n\n".join(parts) + "\n"


def _flat(group: Any) -> Iterator[tuple[str, Any]]:
    """Commands in order, each group before its own."""
    for name, command in sorted(group.commands.items()):
        yield name, command
        for inner, its in _flat(command) if hasattr(command, "commands") else ():
            yield f"{name} {inner}", its


def _names(parameter: Any) -> str:
    if parameter.param_type_name == "argument":
        return f"`{parameter.metavar or parameter.name.upper()}`"
    return ", ".join(f"`{name}`" for name in (*parameter.opts, *parameter.secondary_opts))


def equation(source: str, *_: Any, **__: Any) -> str:
    """TeX, a formula a line, as SVG in the colour of the text."""
    drawn = []
    for line in filter(None, map(str.strip, source.splitlines())):
        svg = io.StringIO()
        math_to_image(f"${line}$", svg, prop=FontProperties(size=13), format="svg")
        figure = re.sub(r"(?s)^.*?(<svg )", r"\1", svg.getvalue())
        figure = re.sub(r"(?s)<metadata>.*?</metadata>", "", figure)
        # Ids are those of glyphs, and pages have many formulas.
        ours = f"f{abs(hash(line)) % 10**8}-"
        figure = re.sub(r'(id="|href="#)', rf"\g<1>{ours}", figure)
        style = "max-width:100%;height:auto;fill:currentColor"
        told = f'<svg role="img" aria-label="{html.escape(line)}" style="{style}" '
        figure = figure.replace("<svg ", told, 1)
        drawn.append(f'<p class="math">{figure}</p>')
    return "\n".join(drawn)
