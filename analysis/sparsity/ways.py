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
NEAR = (0.035, 0.03)
"""Of the extent of all marks, half the width and height of a number with some room."""
COLOURS = dict(zip(NAMES, ("#303030", *style.LABEL_COLOURS), strict=False))


TRAINED = ", trained"
"""End of the name of a way that a model has been trained with."""


def ways_plot(table: pd.DataFrame) -> Axes:
    """Rows of workloads/sparsity/ways.py; the dashed line is full attention's score.

    Error bars: one standard error of the paired change from full attention. Beside a mark stands
    how many keys are kept (:func:`mark_of`); squares are of models trained with these keys alone.
    """
    table = table.assign(by=table["by"].fillna(""), trained=table["way"].str.endswith(TRAINED))
    full = table[table["by"] == ""].iloc[0]
    with style.context():
        axes = panels(2, style.PAGE, 3.2, sharey=True)
        for ax, column in zip(axes, ("attention_nj", "p50_us"), strict=True):
            drawn = table.assign(x=table[column] / (1e3 if column == "attention_nj" else 1))
            for (key, trained), rows in drawn.groupby(["by", "trained"], sort=False):
                by = str(key)
                marks: dict[str, Any] = {
                    "color": COLOURS[by],
                    "fmt": "s" if trained else "o",
                    "ms": 3.2,
                    "lw": 0.7,
                    "capsize": 1.5,
                }
                name = f"{NAMES[by]}{TRAINED if trained else ''}"
                ax.errorbar(rows["x"], rows["score"], rows["change_error"], label=name, **marks)
            ax.axhline(full["score"], color="#606060", lw=0.6, ls="--")
            ax.grid(axis="y")
            if ax is axes[0]:
                _name(ax, drawn)
        item = "jet" if full["metric"] == "accuracy" else "text"
        axes[0].set_xlabel(f"energy of attention (µJ a {item}); numbers: keys, H: of each head")
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


def _name(ax: Axes, drawn: pd.DataFrame) -> None:
    """Keys kept, beside a mark where no other mark or bar is: left, right, above or below it."""
    width, height = drawn["x"].max() - drawn["x"].min(), drawn["score"].max() - drawn["score"].min()
    for i, row in drawn.iterrows():
        bar = row["change_error"] / height
        dx, dy, side = _free_side(row, drawn.drop(index=i), width, height)
        points = 4 * dx, (6 + bar * ax.bbox.height * 72 / ax.figure.dpi) * dy
        ax.annotate(
            mark_of(row["way"]),
            (row["x"], row["score"]),
            points,
            textcoords="offset points",
            ha=side,
            va="center",
            fontsize=style.SMALL,
            color=COLOURS[row["by"]],
        )


def _free_side(
    row: pd.Series, others: pd.DataFrame, width: float, height: float
) -> tuple[int, int, str]:
    """Steps to the right and up to where a number has room, and how it is aligned there."""
    bars = others["change_error"] / height
    for dx, dy, side in ((-1, 0, "right"), (1, 0, "left"), (0, 1, "center")):
        across = (others["x"] - row["x"]) / width - NEAR[0] * dx
        up = (others["score"] - row["score"] - row["change_error"] * dy) / height - NEAR[1] * dy
        if ((across.abs() > NEAR[0]) | (up.abs() - bars > NEAR[1])).all():
            return dx, dy, side
    return 0, -1, "center"
