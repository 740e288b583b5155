"""Ways to use sparse attention: accuracy against the energy of attention and against latency."""

from __future__ import annotations

import re
from typing import Any

import pandas as pd
from matplotlib.axes import Axes

from hyflexsim.analysis import style
from hyflexsim.analysis.studies.score_axes import panels

NAMES = {
    "": "all keys",
    "scores": "after the scores, exact",
    "bits": "bit by bit, exact",
    "bias": "by U, before",
    "upper bits": "by upper bits, before (SPRINT)",
    "mask": "diagonals, before (ASADI)",
}
COLOURS = dict(zip(NAMES, ("#303030", *style.LABEL_COLOURS), strict=False))


def ways_plot(table: pd.DataFrame) -> Axes:
    """Rows of workloads/sparsity/ways.py; the dashed line is full attention's score.

    Error bars: one standard error of the paired change from full attention. Beside a mark stands
    how many keys are kept (:func:`mark_of`).
    """
    full = table[table["by"].isna() | (table["by"] == "")].iloc[0]
    with style.context():
        axes = panels(2, style.PAGE, 3.2, sharey=True)
        for ax, column in zip(axes, ("attention_nj", "p50_us"), strict=True):
            for by, name in NAMES.items():
                rows = table[table["by"].fillna("") == by]
                if rows.empty:
                    continue
                marks: dict[str, Any] = {
                    "color": COLOURS[by],
                    "fmt": "o",
                    "ms": 3.2,
                    "lw": 0.7,
                    "capsize": 1.5,
                }
                across = rows[column] / (1e3 if column == "attention_nj" else 1)
                ax.errorbar(across, rows["score"], rows["change_error"], label=name, **marks)
                if ax is axes[0]:
                    _name(ax, across, rows, COLOURS[by])
            ax.axhline(full["score"], color="#606060", lw=0.6, ls="--")
            ax.grid(axis="y")
        item = "jet" if full["metric"] == "accuracy" else "text"
        axes[0].set_xlabel(
            f"energy of attention (µJ a {item}); numbers: keys kept, H: of each head"
        )
        axes[1].set_xlabel(f"latency of a {item} alone, p50 (µs)")
        axes[0].set_ylabel(full["metric"])
        above = {"loc": "lower left", "bbox_to_anchor": (0, 1.0), **style.LEGEND}
        axes[0].legend(ncols=2, **above)
    first: Axes = axes[0]
    return first


def mark_of(way: str) -> str:
    """How many keys a way keeps, in short.

    >>> [mark_of(way) for way in ("top 16, bit by bit", "within 3", "keys a head", "all keys")]
    ['16', '≤3', 'H', '']
    """
    number = re.search(r"\d+", way)
    if number is None:
        return "H" if way.startswith("keys a head") else ""
    return f"≤{number[0]}" if way.startswith("within") else number[0]


def _name(ax: Axes, across: pd.Series, rows: pd.DataFrame, colour: str) -> None:
    for x, y, way in zip(across, rows["score"], rows["way"], strict=True):
        mark = mark_of(way)
        right = mark.startswith(
            "≤"
        )  # it keeps more than its neighbours, whose bars are on the left
        ax.annotate(
            mark,
            (x, y),
            (4 if right else -4, 0),
            textcoords="offset points",
            ha="left" if right else "right",
            va="center",
            fontsize=style.SMALL,
            color=colour,
        )
