"""How figures look: a colour and a line style per method, the same in every figure and table of a report."""

import math
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from scripts.common.files import write_atomically

#: Okabe & Ito's colours, which people with any colour vision tell apart; the palest (yellow) left out.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#222222", "#E69F00", "#56B4E9")
#: Line styles differ too: for paper without colours, and where a colour comes again.
LINES: tuple[Any, ...] = ("-", (0, (6, 2)), (0, (3, 1.5)), (0, (6, 2, 1.5, 2)), (0, (1.5, 1.5)), (0, (9, 3)), "-")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
#: Outlines in pictures of cases.
HIT, FALSE_MARK, MISSED, REFERENCE, IGNORED = "#35d0ff", "#ffb000", "#ff5fa2", "#8dff8d", "#b9a6ff"
RC: Any = {"font.size": 10, "axes.grid": True, "grid.alpha": 0.25, "axes.spines.top": False, "axes.spines.right": False}
DPI = 160
PAGE_WIDTH = 10.5  # of the page's text, in inches of a figure


def colour(place: int) -> str:
    """Colour of the method at a place of the report."""
    return COLOURS[place % len(COLOURS)]


def line(place: int) -> dict[str, Any]:
    """Keywords of a method's line."""
    return {"color": colour(place), "linestyle": LINES[place % len(LINES)], "linewidth": 1.8}


def marked(place: int) -> dict[str, Any]:
    """Keywords of a method's markers."""
    return {"color": colour(place), "marker": MARKERS[place % len(MARKERS)]}


def new_figure(width: float, height: float) -> Figure:
    """A figure of a size in inches; `PAGE_WIDTH` fills the page."""
    return Figure(figsize=(width, height), layout="constrained", facecolor="white")


def save(figure: Figure, path: Path) -> Path:
    """Write a PNG file."""
    return write_atomically(path, lambda temporary: figure.savefig(temporary, dpi=DPI))


def style() -> Any:
    """Context in which figures are made."""
    return rc_context(RC)


def wrapped(names: Sequence[str], width: int = 16) -> list[str]:
    """Names broken at spaces into lines of at most `width` characters."""
    return [textwrap.fill(name, width, break_long_words=False) for name in names]


def panels_of(figure: Figure, down: int, across: int, count: int, **share: Any) -> list[Axes]:
    """The first `count` of down x across panels, row by row; the others are not shown."""
    panels = figure.subplots(down, across, squeeze=False, **share).ravel()
    for axes in panels[count:]:
        axes.set_visible(False)
    return list(panels[:count])


def legend(figure: Figure, axes: Axes) -> Figure:
    """The methods' names above a figure, in one line or two."""
    handles, labels = axes.get_legend_handles_labels()
    if handles:
        columns = len(handles) if len(handles) <= 4 else math.ceil(len(handles) / 2)
        look: dict[str, Any] = {"frameon": False, "fontsize": 10, "handlelength": 3.2}
        figure.legend(handles, labels, loc="outside upper center", ncols=columns, **look)
    return figure
