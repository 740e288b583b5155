"""Bars of ours with the paper's values as dashes across them, a panel for each part of a figure.

The table has columns ``panel``, ``series``, ``x``, ``ours``, ``paper``; a row is a bar. Where the
paper has a number and we have none, there is only the dash, and the other way round.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from hyflexsim.analysis import style
from hyflexsim.analysis.notebook import Picture

MANY = 21
"""A panel with more bars has a row of its own."""
HALF, WHOLE = 40, 115
"""Characters that fit below a panel which shares its row, and one that does not."""
PAPER = "#B2182B"
ROW = 2.05
"""Inches of a row of panels."""


def beside_paper(
    table: pd.DataFrame,
    *,
    title: str,
    axes: tuple[str, str],
    log: bool = False,
    theirs: str = "paper",
) -> list[Axes]:
    """Draw every panel of a table.

    ``axes``: labels of x and y, the latter of all panels. ``theirs``: what dashes are called.
    """
    panels = list(dict.fromkeys(table["panel"]))
    with style.context():
        placed = _places([_is_wide(table[table["panel"] == panel]) for panel in panels])
        rows = 1 + max(row for row, _, _ in placed)
        figure = Picture(
            figsize=(style.PAGE, ROW * rows + 0.35), dpi=style.DPI, layout="constrained"
        )
        FigureCanvasAgg(figure)
        grid = figure.add_gridspec(rows, 2)
        drawn = []
        for panel, (row, column, wide) in zip(panels, placed, strict=True):
            ax = figure.add_subplot(grid[row, column : column + wide])
            mine = table[table["panel"] == panel]
            _panel(ax, mine, log, WHOLE if wide == 2 else HALF)
            _legend(ax, mine, theirs)
            ax.set_title(textwrap.fill(panel, 110 if wide == 2 else 55), loc="left")
            ax.set_xlabel(axes[0])
            if column == 0:
                ax.set_ylabel(axes[1])
            drawn.append(ax)
        figure.suptitle(title, x=0.01, ha="left", fontsize=8.5, weight="bold")
        return drawn


def _is_wide(table: pd.DataFrame) -> bool:
    """Whether a panel needs a row of its own: for its bars, or for the names below them."""
    names = dict.fromkeys(table["x"])
    return len(table) > MANY or sum(len(max(name.split(), key=len)) + 1 for name in names) > HALF


def _places(wide: Sequence[bool]) -> list[tuple[int, int, int]]:
    """Row, first column and columns of each panel: two that are not wide share a row.

    >>> _places([False, False, True, False])
    [(0, 0, 1), (0, 1, 1), (1, 0, 2), (2, 0, 2)]
    """
    places: list[tuple[int, int, int]] = []
    row, i = 0, 0
    while i < len(wide):
        if not any(wide[i : i + 2]) and i + 1 < len(wide):
            places += [(row, 0, 1), (row, 1, 1)]
            i += 2
        else:
            places.append((row, 0, 2))
            i += 1
        row += 1
    return places


def _panel(ax: Axes, table: pd.DataFrame, log: bool, room: int) -> None:
    names, ticks = list(dict.fromkeys(table["series"])), list(dict.fromkeys(table["x"]))
    colours = _colours(names)
    width = 0.82 / len(names)
    values = table[["ours", "paper"]].to_numpy(float)
    values = values[np.isfinite(values)]
    for i, name in enumerate(names):
        mine = table[table["series"] == name]
        at = np.array([ticks.index(x) for x in mine["x"]]) + (i - (len(names) - 1) / 2) * width
        ax.bar(at, mine["ours"].to_numpy(float), width * 0.9, color=colours[i], linewidth=0)
        ax.hlines(
            *(mine["paper"].to_numpy(float), at - width * 0.45, at + width * 0.45),
            colors=PAPER,
            linewidth=1.4,
        )
    ax.set_xticks(
        range(len(ticks)), [textwrap.fill(x, max(room // len(ticks) - 1, 5)) for x in ticks]
    )
    ax.set_xlim(-0.5, len(ticks) - 0.5)
    if log:
        ax.set_yscale("log")
        ax.set_ylim(float(values[values > 0].min()) / 1.4, float(values.max()) * 1.2)
        ax.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.10g}"))
        ax.yaxis.set_minor_locator(NullLocator())
    else:
        ax.set_ylim(min(0.0, float(values.min()) * 1.1), float(values.max()) * 1.08 or 1.0)
    ax.grid(axis="y", visible=True)


def _legend(ax: Axes, table: pd.DataFrame, theirs: str) -> None:
    names = list(dict.fromkeys(table["series"]))
    colours = _colours(names)
    dashes = bool(table["paper"].notna().any())
    handles: list[Patch | Line2D] = []
    if len(names) > 1:
        handles += [Patch(color=colours[i], label=name) for i, name in enumerate(names)]
    elif dashes:
        handles.append(Patch(color=colours[0], label="ours"))
    if dashes:
        handles.append(Line2D([], [], color=PAPER, linewidth=1.4, label=theirs))
    if handles:
        ax.legend(handles=handles, loc="center left", bbox_to_anchor=(1.01, 0.5), **style.LEGEND)


def _colours(names: Sequence[str]) -> list[str]:
    """Colours of their own; a family (names with the same first word, or numbers) shades of blue.

    >>> len(set(_colours(["A 1", "A 2", "B", "C"]))), _colours(["A 1", "A 2", "B"])[2]
    (4, '#D55E00')
    """
    firsts = ["" if name[:1].isdigit() else name.partition(" ")[0] for name in names]
    family = [first for first in firsts if firsts.count(first) > 1]
    others = iter(style.LABEL_COLOURS[1:] * len(names))
    shades = iter(
        style.lighter("#0B3C5D", 1 - 0.7 * i / max(len(family) - 1, 1)) for i in range(len(family))
    )
    if len(names) == 1:
        return [style.LABEL_COLOURS[0]]
    return [next(shades) if first in family else next(others) for first in firsts]
