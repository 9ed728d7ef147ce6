"""What all benchmarks share: where they run, tables, their page, what is kept, one entry.

Every figure on a page is measured by the run that writes it. A page in ``docs/`` is written when
all of its script went well, or not at all.
"""

from __future__ import annotations

import inspect
import os
import platform
import re
import sys
import time
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray
from PIL import Image

import sifnet
from sifnet.files import whole, writable

Array = NDArray[np.float64]
ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
RESULTS = DOCS / "results.md"
DATA = ROOT.parent / "shared" / "data"
"""Reference data beside the project; what needs them says so where they are absent."""
ERA5 = DATA / "era5"
UNIT = "mW m⁻² nm⁻¹ sr⁻¹"


def run(benchmark: Callable[..., None], keep: str = "") -> None:
    """The one entry: ``python tests/benchmarks/NAME.py [FOLDER]``.

    Args:
        keep: the usual folder of what need not be made again; its benchmark takes ``folder``.
    """
    parser = ArgumentParser(description=inspect.getdoc(sys.modules["__main__"]),
                            formatter_class=RawDescriptionHelpFormatter)  # fmt: skip
    if keep:
        parser.add_argument("folder", nargs="?", type=writable, default=keep,
                            help="what is kept between runs (default: %(default)s)")  # fmt: skip
    benchmark(**vars(parser.parse_args()))


def needed(folder: Path) -> None:
    """Stop at once where reference data are absent."""
    if not folder.is_dir():
        raise SystemExit(f"The reference data are not there: {folder}")


def machine() -> str:
    """Processor, cores and versions, in words."""
    processor = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists() and (name := re.search(r"model name\s*:\s*(.+)", cpuinfo.read_text())):
        processor = name[1]
    return (
        f"{processor}, {os.cpu_count()} cores, Python {platform.python_version()}, "
        f"torch {torch.__version__}, sifnet {sifnet.__version__}"
    )


@contextmanager
def page(name: str, title: str, introduction: str) -> Iterator[Callable[..., None]]:
    """``docs/NAME.md``, written when the context ends without an error.

    Yields:
        What adds sections, and prints them at once so that a long run may be watched.
    """
    began = time.perf_counter()
    sections: list[str] = []

    def add(*more: str) -> None:
        sections.extend(more)
        print(*more, sep="\n\n", end="\n\n", flush=True)

    yield add
    minutes = (time.perf_counter() - began) / 60
    head = (f"# {title}", introduction,
            f"`make {name}` made this page in {minutes:.0f} minutes: {machine()}.")  # fmt: skip
    with whole(DOCS / f"{name}.md") as partial:
        partial.write_text("\n\n".join([*head, *sections]) + "\n", encoding="utf-8")


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Of Markdown; a sign before a figure becomes a minus sign."""
    lines = [f"| {' | '.join(head)} |", "|" + "---|" * len(head)]
    for row in rows:
        cells = [re.sub(r"(?<![\w.)-])-(?=[\d.])", "−", str(cell)) for cell in row]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def put_in(page: Path, name: str, content: str) -> None:
    """Replace what a page holds between ``figures:NAME`` and ``/figures:NAME``."""
    between = rf"(<!-- figures:{name} -->\n).*?(<!-- /figures:{name} -->)"
    text, count = re.subn(between, lambda m: f"{m[1]}{content}\n{m[2]}",
                          page.read_text(encoding="utf-8"), flags=re.DOTALL)  # fmt: skip
    if count != 1:
        raise ValueError(f"{page} has {count} places figures:{name} for a table; expected one")
    with whole(page) as partial:
        partial.write_text(text, encoding="utf-8")


def put_in_results(name: str, content: str) -> None:
    """The same of the page of results."""
    put_in(RESULTS, name, content)


def save(figure: Figure, name: str, colours: int | None = None) -> None:
    """As ``docs/NAME.png``; of few colours, where they are enough, a quarter as large."""
    with whole(DOCS / f"{name}.png") as partial:
        figure.savefig(partial, dpi=120)
        if colours is not None:
            with Image.open(partial) as picture:
                reduced = picture.convert("RGB").quantize(colours)
            reduced.save(partial, "png", optimize=True)
    plt.close(figure)


def bars(axis: Axes, groups: Sequence[str], series: Mapping[str, Sequence[float]],
         colours: Sequence[str]) -> None:  # fmt: skip
    """Horizontal bars: for every group one of each series, which carries its value."""
    height = 0.84 / len(series)
    for number, ((label, values), colour) in enumerate(zip(series.items(), colours, strict=True)):
        at = np.arange(len(groups)) + (number - (len(series) - 1) / 2) * height
        drawn = axis.barh(at, values, height * 0.92, color=colour, label=label)
        axis.bar_label(drawn, fmt=" %.3f", fontsize=7)
    axis.margins(x=0.12)
    axis.set_yticks(range(len(groups)), groups)
    axis.spines[["top", "right"]].set_visible(False)


def rms(values: ArrayLike, axis: int | tuple[int, ...] | None = None) -> Array:
    """Root mean square of what is not NaN."""
    return np.asarray(np.sqrt(np.nanmean(np.square(values), axis=axis)))


def within(z: Array) -> list[str]:
    """Shares of errors over their stated σ that are below one and two of it."""
    return [f"{(abs(z) <= limit).mean():.0%}" for limit in (1, 2)]


@dataclass
class Score:
    """Of one method: errors, and estimates over bare soil, where truth is zero; a line each."""

    errors: list[Array] = field(default_factory=list)
    soils: list[Array] = field(default_factory=list)

    def add(self, estimate: Array, truth: Array, bare: NDArray[np.bool_]) -> None:
        """Of one more line; NaN where there is no estimate."""
        good = np.isfinite(estimate)
        self.errors.append((estimate - truth)[good])
        self.soils.append(estimate[good & bare])

    @property
    def rmse(self) -> float:
        """Over all pixels of all lines."""
        return float(rms(np.concatenate(self.errors)))

    @property
    def biases(self) -> Array:
        """|Mean error| of each line."""
        return np.array([abs(e.mean()) for e in self.errors])

    @property
    def soil_means(self) -> Array:
        """|Mean estimate over bare soil| of each line."""
        return np.array([abs(s.mean()) for s in self.soils])

    def cells(self, over: Callable[[Array], float] = np.mean) -> list[str]:
        """RMSE, and the mean or the largest |bias| and |mean over soil|."""
        return [f"{v:.3f}" for v in (self.rmse, over(self.biases), over(self.soil_means))]


def parameters(network: torch.nn.Module) -> int:
    """Numbers that a network learns."""
    return sum(p.numel() for p in network.parameters() if p.requires_grad)
