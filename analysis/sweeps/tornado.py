"""Tornado: how far each parameter moves an answer, the one that moves it most on top.

The table has a row a move: ``panel``, ``parameter`` (empty: the base), ``side``, ``change``,
``answer``. ``sim`` and its runs know nothing of it: what moves is decided where the table is made.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.patches import Patch

from hyflexsim.analysis import style
from hyflexsim.analysis.notebook import Picture

COLOURS = {"half": "#3F7FC4", "double": "#CC4433", "other": "#E0A030"}
MOST = 12
"""Parameters of a panel, those that move it most."""
LEAST = 0.001
"""Share of the base below which nothing is drawn."""


def tornado_plot(table: pd.DataFrame, *, title: str, axis: str) -> list[Axes]:
    """A panel for each of ``panel``, below each other; ``axis``: label of the answer."""
    panels = list(dict.fromkeys(table["panel"]))
    ranked = [_ranked(table[table["panel"] == panel]) for panel in panels]
    with style.context():
        heights = [0.75 + 0.17 * max(len(names), 1) for names in ranked]
        figure = Picture(
            figsize=(style.PAGE, sum(heights) + 0.35), dpi=style.DPI, layout="constrained"
        )
        FigureCanvasAgg(figure)
        grid = figure.add_gridspec(len(panels), 1, height_ratios=heights)
        drawn = []
        for i, (panel, names) in enumerate(zip(panels, ranked, strict=True)):
            ax = figure.add_subplot(grid[i, 0])
            _panel(ax, table[table["panel"] == panel], names)
            ax.set_title(textwrap.fill(panel, 110), loc="left")
            drawn.append(ax)
        drawn[-1].set_xlabel(axis)
        figure.suptitle(title, x=0.01, ha="left", fontsize=8.5, weight="bold")
        return drawn


def _base(table: pd.DataFrame) -> float:
    (base,) = table.loc[table["parameter"] == "", "answer"]
    return float(base)


def _ranked(table: pd.DataFrame) -> list[str]:
    """Parameters whose answers lie furthest apart, the base among them; the widest first."""
    base = _base(table)
    moved = table[table["parameter"] != ""].groupby("parameter", sort=False)["answer"]
    spread = moved.max().clip(lower=base) - moved.min().clip(upper=base)
    spread = spread[spread > LEAST * abs(base)].sort_values(ascending=False, kind="stable")
    return [str(name) for name in spread.index[:MOST]]


def _panel(ax: Axes, table: pd.DataFrame, names: Sequence[str]) -> None:
    base = _base(table)
    for i, name in enumerate(names):
        mine = table[table["parameter"] == name]
        # the longest first, so that a shorter one on the same side stays in sight
        mine = mine.iloc[(mine["answer"] - base).abs().argsort()[::-1]]
        for _, row in mine.iterrows():
            answer = float(row["answer"])
            ax.barh(i, answer - base, left=base, height=0.7, color=COLOURS[str(row["side"])])
    ax.axvline(base, color="#202020", linewidth=0.8)
    ax.set_yticks(range(len(names)), [_label(table, name) for name in names])
    ax.set_ylim(max(len(names), 1) - 0.5, -0.5)
    ax.margins(x=0.05)
    ax.grid(axis="x", visible=True)
    used = [side for side in COLOURS if side in set(table["side"])]
    words = {"half": "half", "double": "double", "other": "another word"}
    handles = [Patch(color=COLOURS[side], label=words[side]) for side in used]
    if handles:
        ax.legend(handles=handles, loc="center left", bbox_to_anchor=(1.01, 0.5), **style.LEGEND)


def _label(table: pd.DataFrame, name: str) -> str:
    """A parameter, with the words that it took where it is a word."""
    words = table.loc[(table["parameter"] == name) & (table["side"] == "other"), "change"]
    text = f"{name}: {', '.join(words)}" if len(words) else name
    return text if len(text) <= 52 else text[:51] + "…"
