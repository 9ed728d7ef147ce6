"""Where the maps of a picture and their colour bars go.

All places are known beforehand, in inches: to find them from the texts, as matplotlib's layouts do,
takes longer than to draw them.
"""

from __future__ import annotations

from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure

LONG = 1.8  # lines a sample from which a scene is shown lying on its side
WIDTH = 9.3
MARGIN = 0.02  # of its height, above the title of a picture, as matplotlib has it
HEAD, FOOT = 0.44, 0.38  # its title, and the legend of its flags
LEFT, RIGHT, ABOVE, BELOW = 0.72, 0.9, 0.32, 0.46  # of a map: labels, bar, title, labels
GAP, BAR = 0.06, 0.125  # between map and bar, and width of the bar
ASIDE = 0.2  # between two beside each other
HIGHEST = 2.9  # of a map that is below another
SHORTEST = 0.75  # of a colour bar, however flat the map is
SQUARE = 3.0  # of the square beside three maps


@dataclass(frozen=True)
class Panel:
    """Axes of a map and of its colour bar; whether ticks are needed: maps have them in common."""

    axes: Axes
    size: tuple[float, float]  # inches across and down
    bar: Axes | None = None  # of a square
    down: bool = True  # its ticks
    across: bool = True


def four(shape: tuple[int, ...], square: bool = False) -> tuple[Figure, list[Panel], bool]:
    """A picture of four maps, the last a ``square`` instead, and whether maps lie on their side.

    Two by two, or below each other where the scene is long.

    Args:
        shape: lines and samples of the scene.
    """
    aspect = shape[0] / shape[1]
    lying = aspect > LONG
    shown = 1 / aspect if lying else aspect  # height over width of a map in the picture
    columns = 2 if shown >= 1 / LONG else 1
    aside = LEFT if square else ASIDE
    wide = (WIDTH - LEFT - columns * RIGHT - (columns - 1) * aside) / columns
    tall = wide * shown
    if columns == 1 and tall > HIGHEST:
        wide, tall = HIGHEST / shown, HIGHEST
    rows = [max(tall, SHORTEST)] * (4 // columns)
    if square:
        rows[-1] = max(rows[-1], SQUARE)
    between = BELOW if square else 0.0
    height = HEAD + sum(rows) + len(rows) * ABOVE + (len(rows) - 1) * between + BELOW + FOOT
    height /= 1 - MARGIN
    figure = Figure(figsize=(WIDTH, height))

    def placed(left: float, middle: float, width: float, high: float) -> Axes:
        bottom = middle - high / 2
        return figure.add_axes((left / WIDTH, bottom / height, width / WIDTH, high / height))

    panels: list[Panel] = []
    top = (1 - MARGIN) * height - HEAD
    for row in rows:
        middle = top - ABOVE - row / 2
        for column in range(columns):
            left = LEFT + column * (wide + RIGHT + aside)
            number = len(panels)
            if square and number == 3:
                side = min(row, wide + RIGHT - ASIDE)
                panels.append(Panel(placed(left, middle, side, side), (side, side)))
                continue
            lowest = number + columns >= (3 if square else 4)
            axes = placed(left, middle, wide, tall)
            bar = placed(left + wide + GAP, middle, BAR, max(tall, SHORTEST))
            panels.append(Panel(axes, (wide, tall), bar, down=column == 0, across=lowest))
        top -= ABOVE + row + between
    return figure, panels, lying
